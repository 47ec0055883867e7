/* initial_offset: where a group begins in a partition in which it has committed nothing.
 *
 *   earliest                                        at the beginning
 *   latest, nothing was committed in the topic      at the end: the group is new
 *   latest, something was, in other partitions      at the beginning: the partition is new, and what
 *                                                   it holds was never read
 *   in doubt                                        at the beginning, which loses nothing
 *
 * Thread: the consumer's; asks Kafka, and waits for it.
 */
#ifndef SIDECAR_KAFKA_INITIAL_OFFSET_H
#define SIDECAR_KAFKA_INITIAL_OFFSET_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* An offset, or RD_KAFKA_OFFSET_BEGINNING. */
int64_t initial_offset(rd_kafka_t *client, const rd_kafka_topic_partition_t *at, bool latest);

#endif
