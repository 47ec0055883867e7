/* receive_kafka: whether Kafka acknowledges what requests wait for, with `acknowledge: Replicated`.
 *
 *   idle --began--> waiting --nothing ended well for `patience_ms`--> away --one ended well-->
 * waiting
 *     ^----------------+----------------- the last one ended ------------+
 *
 * While it is away, requests are refused before the spool has them: a client would wait in vain,
 * and send again what is in the spool already, each time it gives up. Those that wait by then go on
 * waiting, since they are stored and may yet succeed.
 *
 * Thread: that of the receiver's loop.
 */
#ifndef SIDECAR_EDGE_RECEIVE_KAFKA_H
#define SIDECAR_EDGE_RECEIVE_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one signal. Zero is a beginning. Times are those of the loop. */
struct receive_kafka {
    size_t waiting;    /* requests */
    uint64_t since_ms; /* the first of them began, or one ended well */
};

void receive_kafka_began(struct receive_kafka *kafka, uint64_t now_ms);
void receive_kafka_ended(struct receive_kafka *kafka, bool well, uint64_t now_ms);

bool receive_kafka_is_away(const struct receive_kafka *kafka, uint64_t now_ms,
                           uint32_t patience_ms);

#endif
