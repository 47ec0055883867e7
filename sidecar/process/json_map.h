/* json_map: a JSON object as the map that OTLP makes of it: a KeyValueList message.
 *
 *   {"a": 1, "b": [true, null], "c": {"d": 0.5}}
 *
 * Whole numbers that fit are ints, others doubles; null is an empty value. Members keep their
 * order; one that comes twice is there twice. Pure.
 */
#ifndef SIDECAR_PROCESS_JSON_MAP_H
#define SIDECAR_PROCESS_JSON_MAP_H

#include "common/attr.h"
#include "common/buf.h"

#define JSON_MAP_DEPTH_MAX 16 /* objects and lists within each other */

/* Appends the message to `out`. ERR_INVALID: the text is no JSON object, or nested too deep; `out`
 * is then as it was. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err json_map_read(struct bytes text, struct buf *out);

#endif
