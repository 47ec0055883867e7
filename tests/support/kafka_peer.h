/* kafka_peer: the other programs around a Kafka cluster: producers and consumers, to give tests
 * something to look at. Works against librdkafka's mock cluster and real brokers. Fails the test on
 * anything unexpected. */
#ifndef TESTS_SUPPORT_KAFKA_PEER_H
#define TESTS_SUPPORT_KAFKA_PEER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* Writes `count` messages of ten bytes and waits for the acks. `timestamp_ms` 0: now. */
void peer_produce(const char *bootstrap, const char *topic, int32_t partition, unsigned count,
                  int64_t timestamp_ms);

/* The same in one transaction, which leaves a marker at the end of the partition. */
void peer_produce_transaction(const char *bootstrap, const char *topic, int32_t partition,
                              unsigned count);

/* Commits `offset` for the group without joining it. */
void peer_commit(const char *bootstrap, const char *group, const char *topic, int32_t partition,
                 int64_t offset);

/* A member of the group, subscribed and assigned something; poll it with peer_poll() to keep it
 * alive. `kip848`: with the new protocol. */
rd_kafka_t *peer_join(const char *bootstrap, const char *group, const char *client_id,
                      const char *topic, bool kip848);

/* Polls for `ms`, dropping what comes. Returns how many messages came. */
unsigned peer_poll(rd_kafka_t *consumer, int ms);

void peer_leave(rd_kafka_t **consumer);

/* Waits `ms` on the real clock. */
void peer_wait(unsigned ms);

#endif
