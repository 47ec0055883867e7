/* stamp: sets resource attributes in an OTLP request without decoding or copying it.
 *
 *   action   attribute is there     attribute is missing
 *   insert   left as it is          added
 *   update   gets the value         left out
 *   upsert   gets the value         added
 *   delete   goes                   left out
 *
 * Rules apply in order: what an earlier one added, a later one sees. A key is there once after it
 * was written, however often it was there before. A missing Resource is made when there is
 * something to add; several Resource fields in one ResourceSpans become one, as protobuf merges
 * them. All other bytes stay as they are, unknown fields included; only lengths around a changed
 * Resource are written anew.
 *
 * A plan is compiled once, from the configuration; it is then read-only, and any thread may use it.
 */
#ifndef SIDECAR_OTLP_STAMP_H
#define SIDECAR_OTLP_STAMP_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/otlp/slices.h"

#define STAMP_KEYS_MAX  64         /* different keys in a plan */
#define STAMP_BYTES_MAX (64 << 10) /* all keys and values of a plan */

#define STAMP_SLICES_MAX 65536 /* of a result; one that would need more is copied into one */

enum stamp_action { STAMP_INSERT, STAMP_UPDATE, STAMP_UPSERT, STAMP_DELETE };

struct stamp_rule {
    const char *key;   /* not empty, UTF-8 */
    const char *value; /* UTF-8; may be empty; not read for STAMP_DELETE */
    enum stamp_action action;
};

struct stamp;

/* Compiles `count` rules; nothing of them is kept. ERR_INVALID: no UTF-8, an empty key, a missing
 * value, or above a limit. ERR_NOMEM. */
NODISCARD enum err stamp_create(const struct stamp_rule *rules, size_t count,
                                struct stamp **ret_stamp, struct error *error);
void stamp_destroy(struct stamp **stamp);

/* Puts the stamped request into `out`, which is cleared first: views of `request` and of the plan,
 * and a few made bytes. An empty plan gives `request` itself, as does one that changes nothing.
 *
 * `request` is one that otlp_walk() has accepted, of any signal; on others it never reads outside
 * them, and may say ERR_INVALID. ERR_FULL: the result would be above `size_max` bytes.
 * ERR_NOMEM. After an error `out` holds nothing of use. */
NODISCARD enum err stamp_apply(const struct stamp *stamp, struct bytes request, size_t size_max,
                               struct otlp_slices *out, struct error *error);

#endif
