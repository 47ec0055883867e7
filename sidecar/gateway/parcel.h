/* parcel: one message on its way through a gateway, from intake to done.
 *
 *   intake --parcel--> delivery --pieces--> backend | dead letters
 *      ^                  |
 *      +---- parcel_done -+   when no piece of it is left
 *
 * A parcel begins as one piece, and is done when every piece of it was stored by the backend or
 * lies in the dead letters. More of them come into being when a backend refuses a request and it is
 * cut to find the culprit.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_PARCEL_H
#define SIDECAR_GATEWAY_PARCEL_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/signal.h"

#include <stdbool.h>
#include <stdint.h>

struct intake;

/* Embedded in what its intake keeps for a message. */
struct parcel {
    struct intake *intake;
    enum signal signal;
    struct bytes value; /* OTLP, the intake's until done; empty: undecodable, see `raw` */
    uint32_t items;
    uint32_t pieces;           /* not done yet */
    struct parcel *next_empty; /* nothing of it was left; the wiring's */
};

/* One part of a parcel's items, alone or with others in a request. */
struct piece {
    struct piece *next, **place; /* of its request, or of those in the dead letters */
    struct parcel *parcel;
    struct bytes value;
    uint8_t *owned; /* the value's memory; NULL: the parcel's own */
    uint32_t items;
    void *dead_context; /* of the dead letters, while it is there */
};

/* One more piece of the parcel. Ends the process where there is no memory: a few bytes, and data in
 * hand that must not be forgotten. The next start reads it anew. */
struct piece *piece_create(struct parcel *parcel, struct bytes value, uint32_t items);

/* Stored, or in the dead letters, or its items are in other pieces now. True: no piece of its
 * parcel is left. */
NODISCARD bool piece_done(struct piece **piece);

/* Forgotten; the parcel, which may be gone, does not learn of it. */
void piece_destroy(struct piece **piece);

#endif
