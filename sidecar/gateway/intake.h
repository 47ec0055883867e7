/* intake: where a gateway's messages come from: a consumer group (intake_kafka.c), or on a single
 * node the spool itself (intake_spool.c). It hands on parcels and hears of each exactly once.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_INTAKE_H
#define SIDECAR_GATEWAY_INTAKE_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/gateway/parcel.h"

#include <stdbool.h>

struct dead_letter;
struct dead_letters;
struct net_loop;
struct spool;

struct intake_kind;

struct intake {
    const struct intake_kind *kind;
};

/* What the wiring gives every kind; loans for the intake's life. */
struct intake_options {
    struct net_loop *loop;
    const struct pipeline *pipeline;
    const struct pipeline_gateway *gateway;
    const char *secrets_dir;
    struct spool *spool; /* single node */
    struct dead_letters *dead_letters;

    /* A message to be delivered. */
    void (*deliver)(void *context, struct parcel *parcel);
    /* There is something to poll for. */
    void (*wake)(void *context);
    void *context;
};

struct intake_state {
    uint64_t consumed_messages, consumed_items;
    uint64_t repeats;     /* items of messages seen before */
    uint64_t undecodable; /* messages */
    uint64_t missed;      /* messages lost to retention */
    uint64_t held_bytes;  /* of parcels not done */
    uint64_t partitions;  /* assigned now */
    char protocol[16];    /* "consumer", "classic", "spool" */
    char trouble[256];    /* why nothing comes; "" if all is well */
};

struct intake_kind {
    /* Takes in what there is, as far as the budget goes. Returns when to call again at the latest
     * (monotonic ms), or `now_ms` if there is more. */
    uint64_t (*poll)(struct intake *intake, uint64_t now_ms);
    /* The parcel needs no more work, and its memory may go. */
    void (*done)(struct intake *intake, struct parcel *parcel, uint64_t now_ms);
    /* A backend that answers before it stores was lost: what may be gone is handed on once more. */
    void (*rewind)(struct intake *intake);
    /* No more messages; what is under way goes on. */
    void (*stop)(struct intake *intake);
    /* Writes down how far delivery has got, waiting for it. */
    void (*commit)(struct intake *intake, uint64_t now_ms);
    /* Says where a parcel comes from and where its dead letters go; NULL: nothing to say. */
    void (*origin)(struct intake *intake, const struct parcel *parcel, struct dead_letter *letter);
    void (*state)(struct intake *intake, struct intake_state *ret_state);
    void (*close)(struct intake *intake);
};

NODISCARD enum err intake_kafka_open(const struct intake_options *options,
                                     struct intake **ret_intake, struct error *error);
NODISCARD enum err intake_spool_open(const struct intake_options *options,
                                     struct intake **ret_intake, struct error *error);

#endif
