/* portions: a request of log records, as batch.h makes them, handed on bit by bit where it is too
 * much at once for whoever takes it.
 *
 *   all records --smaller--> half of them ... --smaller--> one record --smaller--> half of its body
 *        |                        |                             |             ... --smaller-->
 * ERR_NOTFOUND
 *        '---- next --------------+--------- next --------------+--- next --> what is behind it
 *
 * Begun, the portion at hand is all of it. Whoever can't take it asks for a smaller one that begins
 * at the same place; whoever has taken it, or given it up, for the next. After one that was taken
 * portions grow again. Each record is in one portion, with its resource, in its old order; or its
 * body is in several that follow one another, cut between characters, each in a record like it with
 * its number in surgetank.line.piece.
 *
 * The request is a loan until the portions are begun again or end. Zero-initialised is empty.
 * Thread: one at a time.
 */
#ifndef SIDECAR_LINES_PORTIONS_H
#define SIDECAR_LINES_PORTIONS_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/error.h"
#include "sidecar/otlp/slices.h"

#define PORTION_BODY_MIN 1024 /* bytes of a body that is not cut any more */

struct portions {
    struct bytes request;
    uint32_t items, first, count; /* at hand: records first .. first + count - 1 */

    /* Of the one record at hand, if its body is cut: where the portion begins, how long it is. */
    struct bytes body;
    size_t body_at, body_len;
    unsigned number; /* 1, 2, ...; 0: it is not cut */

    struct bytes now; /* the portion at hand, a request of its own */
    struct otlp_slices slices;
    struct buf picked, made; /* one record; with a part of its body */
};

void portions_fini(struct portions *portions);

/* `items`: records of the request, one at least. */
void portions_begin(struct portions *portions, struct bytes request, uint32_t items);

/* How many records the portion at hand has: `now` is valid until the next call. */
uint32_t portions_items(const struct portions *portions);

bool portions_are_last(const struct portions *portions);

/* ERR_NOTFOUND: it can't be any smaller. ERR_NOMEM: as it was. ERR_INVALID: not a batch's. */
NODISCARD enum err portions_smaller(struct portions *portions);

/* ERR_NOTFOUND: that was the last. Others as above. */
NODISCARD enum err portions_next(struct portions *portions);

#endif
