/* otlp_json: OTLP/JSON to protobuf bytes and back, in one pass and without a tree.
 *
 * Reading follows the OTLP mapping: trace and span ids in hex of either case, other bytes in base64
 * (also URL-safe, also without padding); 64-bit integers as strings or numbers; "NaN", "Infinity"
 * and "-Infinity"; unknown members are skipped; null is absent. Integers may be written 1.0 or 1e3
 * if they are whole. Where OTLP is narrower than protobuf's own JSON, both are taken, as the
 * Collector does: names in lowerCamelCase and in snake_case, enums by number and by name. OTLP
 * would have the ones skipped and the others refused, and that is data lost. A name that an enum
 * does not have is skipped like an unknown member.
 *
 * Refused, as ERR_INVALID with the path and the offset: bad JSON, anything behind the value, a
 * value of the wrong type or out of its range, null in a list, a member that comes twice, two
 * members of one oneof, nesting beyond the limit. A \u escape that is half of a pair, as JavaScript
 * cuts strings, becomes U+FFFD; invalid UTF-8 is refused.
 *
 *   resourceSpans[3].scopeSpans[0].spans[7].traceId: an odd number of hex digits at byte 1234
 *
 * What comes out is accepted by otlp_walk() with the same limits. Time is linear in the text,
 * memory is `out` and a stack bounded by the depth limit. Pure; any thread.
 */
#ifndef SIDECAR_OTLP_OTLP_JSON_H
#define SIDECAR_OTLP_OTLP_JSON_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/otlp/walk.h"

/* Appends the request as protobuf to `out`. `limits` may be NULL; its items_max and resources_max
 * are for otlp_walk(). ERR_INVALID: see above. ERR_FULL: `out` is at its max; ERR_NOMEM. */
NODISCARD enum err otlp_json_read(enum signal signal, struct bytes text,
                                  const struct otlp_limits *limits, struct buf *out,
                                  struct error *error);

/* Appends a request, as accepted by otlp_walk(), as OTLP/JSON to `out`: no blanks, fields in the
 * order of their numbers, 64-bit integers as strings. Unknown fields are left out; what comes more
 * than once is merged. ERR_INVALID: malformed, or nested deeper than OTLP_DEPTH_MAX. ERR_FULL,
 * ERR_NOMEM. */
NODISCARD enum err otlp_json_write(enum signal signal, struct bytes request, struct buf *out,
                                   struct error *error);

#endif
