/* split: cuts OTLP requests into smaller ones, each whole and valid, and picks items out of them.
 *
 *   request            ResourceSpans A { S1 {1 2 3} S2 {4} }   ResourceSpans B { S3 {5} }
 *   cut after item 2   A { S1 {1 2} }  |  A { S1 {3} S2 {4} }  B { S3 {5} }
 *
 * Wherever a resource, scope or metric is cut, its header (all fields but the items: resource,
 * scope, schema URL, a metric's name and unit, unknown fields) is repeated in each part; headers
 * and items are otherwise byte for byte what they were. Every item is in exactly one part, in its
 * old order. Items are counted as by otlp_walk(): spans, log records, data points; an item field of
 * an unknown kind counts as none and stays with the rest. A metric that carries two kinds of data
 * at once, which no SDK writes, is never cut.
 *
 * Several requests one behind the other are a request too. Input is what otlp_walk() has accepted;
 * on other bytes nothing outside them is read, and the result may be ERR_INVALID.
 *
 * Parts are lists of slices: nothing is copied but lengths. `work` is the caller's, cleared for
 * each part, so that a part is valid until `emit` returns. Pure; any thread.
 */
#ifndef SIDECAR_OTLP_SPLIT_H
#define SIDECAR_OTLP_SPLIT_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/otlp/slices.h"

struct otlp_part {
    const struct otlp_slices *slices; /* the part, a request of its own */
    uint32_t items;
    bool oversized; /* cannot be made small enough: one item, or what can't be cut */
};

/* Takes a part; anything but OK ends the cutting and is returned. */
typedef enum err otlp_part_fn(void *user, const struct otlp_part *part, struct error *error);

/* Cuts into parts of at most `part_max` bytes: between resources if that will do, else between
 * scopes, metrics, items. Two parts in a row are together above `part_max`, but around an oversized
 * one: at most twice as many as there must be. A request that fits is one part, itself; an empty
 * one is none.
 *
 * An oversized part holds one item with its headers (or one thing that can't be cut, or unknown
 * fields) and is above `part_max`. */
NODISCARD enum err otlp_split(enum signal signal, struct bytes request, size_t part_max,
                              struct otlp_slices *work, otlp_part_fn *emit, void *user,
                              struct error *error);

/* Puts items first .. first+count-1 with their headers into `out`, which is cleared first. What
 * holds no items at all (an empty resource) goes with the item before it. ERR_INVALID: there are
 * fewer items. */
NODISCARD enum err otlp_pick(enum signal signal, struct bytes request, uint32_t first,
                             uint32_t count, struct otlp_slices *out, struct error *error);

/* Puts the sound items with their headers into `out`, which is cleared first, and leaves out those
 * that otlp_walk_item() does not accept; a metric with two kinds of data counts as unsound. For
 * requests that otlp_walk() has refused: it may refuse this too, if the fault is in a header.
 * ERR_INVALID: the containers themselves are malformed. */
NODISCARD enum err otlp_sift(enum signal signal, struct bytes request, struct otlp_slices *out,
                             uint32_t *ret_kept, uint32_t *ret_rejected, struct error *error);

/* Cuts into two halves by items, the first not the smaller one. ERR_NOTFOUND: one item or none is
 * left, so that it is alone. */
NODISCARD enum err otlp_halve(enum signal signal, struct bytes request,
                              struct otlp_slices *ret_first, struct otlp_slices *ret_second,
                              struct error *error);

#endif
