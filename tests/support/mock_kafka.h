/* mock_kafka: librdkafka's mock cluster of one broker, and a reader of whole topics.
 */
#ifndef TESTS_SUPPORT_MOCK_KAFKA_H
#define TESTS_SUPPORT_MOCK_KAFKA_H

#include "common/bytes.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdint.h>

struct mock_kafka {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *cluster;
    char bootstrap[128];
};

void mock_kafka_start(struct mock_kafka *mock);
void mock_kafka_stop(struct mock_kafka *mock);

struct mock_message {
    int32_t partition;
    int64_t offset;
    struct bytes value;
    const rd_kafka_message_t *message;
};

/* The last header of that name as text; "" if there is none. */
void mock_message_header(const struct mock_message *message, const char *name, char *into,
                         size_t size);

/* Reads the topic from its beginning to its end and calls `visit` for each message. Returns how
 * many there were. */
unsigned mock_kafka_read(const struct mock_kafka *mock, const char *topic, int partitions,
                         void (*visit)(void *context, const struct mock_message *message),
                         void *context);

#endif
