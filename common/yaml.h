/* yaml: the door to libyaml. Text of YAML or JSON becomes a tree of struct json.
 *
 * Plain scalars are resolved by YAML 1.2's core rules, quoted ones are strings. Where Kubernetes,
 * whose rules are YAML 1.1's, would read something else (yes, no, on, off, 0644), the text is
 * refused, so that a document means the same to both. Refused as well: a key twice in one object,
 * keys that aren't scalars, tags, merge keys, and NUL in strings. Aliases are copied, within the
 * bound on nodes. Every error names line and column.
 *
 * Thread: any; no state.
 */
#ifndef COMMON_YAML_H
#define COMMON_YAML_H

#include "common/json.h"

#define YAML_NODES_MAX   10000
#define YAML_ANCHORS_MAX 64 /* in one document */

/* Parses all documents of the text (--- between them) into one array; empty ones are left out. A
 * text that begins with '{' and is JSON is taken as such. ERR_FULL: longer than size_max bytes or
 * more than YAML_NODES_MAX nodes. ERR_INVALID. Depth is bounded by JSON_DEPTH_MAX. */
NODISCARD enum err yaml_parse(struct bytes text, size_t size_max, struct json **ret_documents,
                              struct error *error);

#endif
