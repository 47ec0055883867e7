/* any_json: OTLP's attributes and AnyValues as plain JSON, without the types that OTLP/JSON adds.
 *
 *   string               as it is; bytes that are no UTF-8 become U+E000 to U+E0FF
 *   bytes                the same
 *   integer, bool, none  5, true, null
 *   double               0.1, and 5.0 where it is whole, so that a reader that takes types from
 *                        values takes both for fractions; NaN and infinities are strings
 *   array, kvlist        [...], {...}; of two members with one name the last
 *
 * Pure; any thread.
 */
#ifndef SIDECAR_OTLP_ANY_JSON_H
#define SIDECAR_OTLP_ANY_JSON_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a list of KeyValue is: the field of a message, repeated. */
struct any_pairs {
    struct bytes message;
    uint32_t number;
};

struct any_pair {
    struct bytes key, value; /* an AnyValue */
};

#define ANY_KVLIST_VALUES 1 /* the number of a KeyValueList's */

/* The next one; `pairs` is what is left then. False: no more. */
bool any_pairs_next(struct any_pairs *pairs, struct any_pair *ret_pair);

/* The same without those that come again soon (within 64): the last one counts, and there are
 * readers that refuse what has two. */
bool any_pairs_next_last(struct any_pairs *pairs, struct any_pair *ret_pair);

bool any_pairs_have(struct any_pairs pairs, struct bytes name);
size_t any_pairs_count(struct any_pairs pairs);

/* The pairs of an AnyValue that is a map; of another one all zeros. */
struct any_pairs any_map(struct bytes any);

/* Append. ERR_INVALID: nested deeper than OTLP_DEPTH_MAX. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err any_json_string(struct buf *out, struct bytes text);
NODISCARD enum err any_json_integer(struct buf *out, int64_t value);
NODISCARD enum err any_json_write(struct buf *out, struct bytes any);
NODISCARD enum err any_json_map(struct buf *out, struct any_pairs pairs);

#endif
