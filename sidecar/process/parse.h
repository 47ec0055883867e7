/* parse: fields out of a text. From JSON, an object's members; from a pattern, its named groups
 * that took part, as text. They become attributes of the item, over those of the same key, or the
 * body of a log record, as a map. The text itself stays where it was, but for a body that is
 * replaced.
 *
 * A text that isn't there, is no JSON object or isn't matched leaves the item as it is.
 *
 * Thread: one at a time.
 */
#ifndef SIDECAR_PROCESS_PARSE_H
#define SIDECAR_PROCESS_PARSE_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/contract/pipeline.h"
#include "sidecar/process/attributes.h"
#include "sidecar/process/item.h"

struct parse;

/* Nothing of `wanted` is kept. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err parse_create(const struct pipeline_parse *wanted, struct parse **ret_parse,
                                struct error *error);
void parse_destroy(struct parse **parse);

/* The signals whose items have such a text and such a place, as bits (expr_signals()). */
unsigned parse_signals(const struct parse *parse);

/* Appends the changed item to `out`; *ret_parsed false: it stays as it is, and nothing was written.
 * `work` is the caller's. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err parse_item(struct parse *parse, struct item *item, struct attributes *work,
                              struct buf *out, bool *ret_parsed);

#endif
