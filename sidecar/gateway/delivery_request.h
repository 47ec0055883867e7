/* delivery_request: pieces that are one request to the backend, and how it is cut in two.
 *
 *   several pieces  ->  two requests with half of the pieces each
 *   one piece       ->  two requests with half of its items each
 *   one item        ->  can't be cut
 *
 * Items change requests, none is added and none goes. Where there is no memory, the process ends:
 * see parcel.h.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_DELIVERY_REQUEST_H
#define SIDECAR_GATEWAY_DELIVERY_REQUEST_H

#include "common/attr.h"
#include "sidecar/gateway/parcel.h"
#include "sidecar/gateway/suspect.h"

#include <stdbool.h>
#include <stddef.h>

struct delivery;

/* One attempt at the backend, again and again until it is decided. */
struct delivery_request {
    struct delivery_request *next;
    struct delivery *delivery;
    enum signal signal;
    struct piece *pieces, **end;
    size_t count, bytes; /* of the pieces added */
    uint64_t items;      /* likewise */
    uint64_t since_ms;   /* first piece added */
    uint64_t due_ms;     /* not before */
    uint64_t first_try_ms;
    uint64_t outages; /* when it was sent */
    struct suspect suspect;
    bool held;           /* its item is the culprit, and there are too many of those */
    struct bytes *parts; /* while in flight */
};

struct delivery_request *delivery_request_create(struct delivery *delivery, enum signal signal,
                                                 uint64_t since_ms);

/* With the pieces that are left in it, whose parcels don't learn of it. */
void delivery_request_destroy(struct delivery_request **request);

void delivery_request_add(struct delivery_request *request, struct piece **piece);

/* Its first piece, out of it; NULL: none is left. */
struct piece *delivery_request_take(struct delivery_request *request);

/* Ends the request and makes two of it. False: one item is alone, and nothing has changed. */
NODISCARD bool delivery_request_halve(struct delivery_request **request,
                                      struct delivery_request *ret_halves[2]);

#endif
