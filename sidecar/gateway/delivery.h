/* delivery: parcels become requests to the backend, and every answer is acted on.
 *
 *   parcel --> request being filled --full or old--> ready --> in flight --> the answer:
 *
 *     DONE                 done
 *     PARTIAL              done, with a copy to the dead letters
 *     AGAIN, MEND          ready as the last, after a wait; after retry.maxElapsed dead letters;
 *                          as two halves if it seems to be at fault itself (suspect.h)
 *     TOO_LARGE, REFUSED   ready as two halves
 *
 * Halving ends with one item alone: that one is a dead letter, the rest is stored. If more than
 * `holdAbove` of what was handled in the last minute would become dead letters, it is held back
 * instead, and the state says so: something is wrong with the backend or the route, not with an
 * item.
 *
 * While the backend fails, one request at a time probes it, at growing intervals; requests take
 * turns at it, so that one which it can't stand does not stop the others. When it answers, several
 * go at once, more with each success, fewer after a failure.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_DELIVERY_H
#define SIDECAR_GATEWAY_DELIVERY_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/export/export.h"
#include "sidecar/gateway/parcel.h"

#include <stdbool.h>
#include <stdint.h>

#define DELIVERY_IN_FLIGHT_MAX 16
#define DELIVERY_HOLD_MIN      20    /* dead letters in a minute below which nothing is held */
#define DELIVERY_HOLD_MS       30000 /* how long a held request waits */

struct delivery;

struct delivery_options {
    const struct pipeline_gateway *gateway;
    struct export *export;
    /* Every piece of the parcel is stored or a dead letter. */
    void (*done)(void *context, struct parcel *parcel);
    /* This piece is for the dead letters; delivery_buried() when it is there. */
    void (*bury)(void *context, struct piece *piece, const char *reason);
    /* The backend's connection was lost after it had taken data. */
    void (*backend_lost)(void *context);
    /* An answer came: delivery_run() may have something to send. */
    void (*wake)(void *context);
    void *context;
};

struct delivery_state {
    uint64_t requests, delivered_items, delivered_bytes;
    uint64_t failures;    /* answers other than success */
    uint64_t rejected;    /* items, in partial successes */
    uint64_t buried;      /* pieces sent to the dead letters */
    uint64_t in_flight;   /* requests */
    uint64_t waiting;     /* requests ready or being filled */
    uint32_t failing;     /* failures in a row; 0: the backend is up */
    bool holding;         /* too much would become dead letters */
    bool mend;            /* what fails needs a person */
    uint64_t next_try_ms; /* monotonic */
    char trouble[300];    /* what the backend said last; "" while all is well */
};

NODISCARD enum err delivery_open(const struct delivery_options *options,
                                 struct delivery **ret_delivery, struct error *error);

/* Nothing may be in flight: close the exporter first. Parcels that are not done are forgotten; they
 * are their intake's. */
void delivery_close(struct delivery **delivery);

/* Nothing is sent while it is paused; what is under way is answered. */
void delivery_pause(struct delivery *delivery, bool paused);

/* Another document's settings, and another exporter if it is not NULL: then nothing may be in
 * flight. What waits is tried at once. `gateway` as in the options. */
void delivery_change(struct delivery *delivery, const struct pipeline_gateway *gateway,
                     struct export *export);

void delivery_add(struct delivery *delivery, struct parcel *parcel, uint64_t now_ms);

/* What was made of the parcel goes in its place; takes the value's memory. */
void delivery_add_made(struct delivery *delivery, struct parcel *parcel, uint8_t **owned,
                       size_t size, uint32_t items, uint64_t now_ms);

/* It is for the dead letters as it is. */
void delivery_give_up(struct delivery *delivery, struct parcel *parcel, const char *reason);

/* Sends what is due. Returns when to call again at the latest (monotonic ms). */
uint64_t delivery_run(struct delivery *delivery, uint64_t now_ms);

/* What is being filled goes out without waiting: on shutdown and before a revocation. */
void delivery_flush(struct delivery *delivery);

void delivery_buried(struct delivery *delivery, struct piece *piece);

void delivery_state(const struct delivery *delivery, struct delivery_state *ret_state);

#endif
