/* receive_kafka: whether Kafka acknowledges what requests wait for, with `acknowledge: Replicated`.
 *
 *   idle    --began-->                                waiting
 *   waiting --nothing ended well for `patience_ms`--> away
 *   away    --one ended well-->                       waiting
 *   either  --the last one ended-->                   idle
 *
 * While it is away, requests are refused before the spool has them: a client would wait in vain,
 * and send again what is in the spool already, each time it gives up. Those that wait by then go on
 * waiting for as long again, since they are stored and may yet succeed; then they are given up, for
 * there are clients that never give up by themselves. What was stored of them is sent all the same,
 * and they count as waiting until the spool is done with them.
 *
 * Thread: that of the receiver's loop.
 */
#ifndef SIDECAR_EDGE_RECEIVE_KAFKA_H
#define SIDECAR_EDGE_RECEIVE_KAFKA_H

#include "sidecar/net/net_loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request that waits; zero before it does. */
struct receive_kafka_call {
    struct receive_kafka_call *next, **at; /* at: NULL where nobody waits for it any more */
};

/* Of one signal. Times are those of the loop. */
struct receive_kafka {
    struct net_loop *loop;
    uint32_t patience_ms;
    void (*give_up)(struct receive_kafka_call *call); /* answers its client */
    struct receive_kafka_call *calls;                 /* those with a client */
    size_t waiting;                                   /* with those that were given up */
    uint64_t since_ms;   /* the first of them began, or one ended well */
    uint64_t hurried_ms; /* 0: not */
    struct net_timer timer;
};

void receive_kafka_init(struct receive_kafka *kafka, struct net_loop *loop, uint32_t patience_ms,
                        void (*give_up)(struct receive_kafka_call *call));
void receive_kafka_fini(struct receive_kafka *kafka);

void receive_kafka_began(struct receive_kafka *kafka, struct receive_kafka_call *call);

/* The spool is done with it. */
void receive_kafka_ended(struct receive_kafka *kafka, struct receive_kafka_call *call, bool well);

/* The edge is about to stop: who still waits after `patience_ms` from now is given up, while there
 * is a connection to tell so. */
void receive_kafka_hurry(struct receive_kafka *kafka);

bool receive_kafka_is_away(const struct receive_kafka *kafka);

#endif
