#include "controller/kafka_admin/peek.h"

#include "common/assert.h"
#include "common/clock.h"
#include "controller/kafka_admin/access.h"
#include "controller/kafka_admin/kafka_error.h"

#include <string.h>

/* librdkafka's simple consumer: the one that needs no group. */
struct reader {
    rd_kafka_t *consumer;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *topics[PEEKS_MAX]; /* NULL: not reading any more */
    int32_t partitions[PEEKS_MAX];
};

static void stop_reading(struct reader *reader, size_t i)
{
    if (reader->topics[i] == NULL)
        return;
    rd_kafka_consume_stop(reader->topics[i], reader->partitions[i]);
    rd_kafka_topic_destroy(reader->topics[i]);
    reader->topics[i] = NULL;
}

static void close_reader(struct reader *reader)
{
    for (size_t i = 0; i < PEEKS_MAX; i++)
        stop_reading(reader, i);
    if (reader->queue != NULL)
        rd_kafka_queue_destroy(reader->queue);
    if (reader->consumer != NULL)
        rd_kafka_destroy(reader->consumer);
}

static enum err open_reader(struct reader *reader, const struct kafka_access *access,
                            struct error *error)
{
    static const char *const settings[][2] = {
        {"enable.auto.commit", "false"}, {"enable.partition.eof", "true"},
        {"auto.offset.reset", "error"},  {"fetch.message.max.bytes", "65536"},
        {"queued.min.messages", "1"},    {"fetch.wait.max.ms", "100"},
    };
    rd_kafka_conf_t *conf = NULL;
    char why[256];

    enum err err = access_conf(access, &conf, error);
    if (err)
        return err;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        rd_kafka_conf_res_t set =
            rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why);
        ASSERT(set == RD_KAFKA_CONF_OK);
    }
    reader->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (reader->consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_INVALID, "open a Kafka reader: %s", why);
    }
    access_start(reader->consumer, access);
    reader->queue = rd_kafka_queue_new(reader->consumer);
    return OK;
}

static enum err start_reading(struct reader *reader, const struct peek *peeks, size_t count,
                              struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_t *topic = rd_kafka_topic_new(reader->consumer, peeks[i].topic, NULL);
        if (topic == NULL)
            return kafka_error_set(error, rd_kafka_last_error(), "read a record", NULL);
        if (rd_kafka_consume_start_queue(topic, peeks[i].partition, peeks[i].at, reader->queue)) {
            rd_kafka_topic_destroy(topic);
            return kafka_error_set(error, rd_kafka_last_error(), "read a record", NULL);
        }
        reader->topics[i] = topic;
        reader->partitions[i] = peeks[i].partition;
    }
    return OK;
}

static size_t find(const struct peek *peeks, size_t count, const rd_kafka_message_t *message)
{
    size_t i = 0;
    while (i < count && (message->rkt == NULL || peeks[i].partition != message->partition ||
                         strcmp(peeks[i].topic, rd_kafka_topic_name(message->rkt)) != 0))
        i++;
    return i;
}

static bool take(struct peek *peek, const rd_kafka_message_t *message)
{
    if (peek->found != LAG_NOT_PEEKED)
        return false;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        peek->found = LAG_NOTHING;
        peek->end = message->offset;
    } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_timestamp_type_t type;
        int64_t made_ms = rd_kafka_message_timestamp(message, &type);
        peek->found = LAG_RECORD;
        peek->timestamp_ms = made_ms > 0 ? made_ms : 0;
    }
    return peek->found != LAG_NOT_PEEKED;
}

enum err peek_records(const struct kafka_access *access, struct peek *peeks, size_t count,
                      uint32_t timeout_ms, struct error *error)
{
    AUTO(close_reader) struct reader reader = {.consumer = NULL};
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;
    size_t answered = 0;

    ASSERT(count <= PEEKS_MAX);
    for (size_t i = 0; i < count; i++)
        peeks[i].found = LAG_NOT_PEEKED;
    enum err err = open_reader(&reader, access, error);
    if (!err)
        err = start_reading(&reader, peeks, count, error);
    if (err)
        return err;
    while (answered < count && clock_mono_ms() < deadline_ms) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(reader.queue, 100);
        if (message == NULL)
            continue;
        size_t at = find(peeks, count, message);
        bool taken = at < count && take(&peeks[at], message);
        rd_kafka_message_destroy(message);
        if (taken) {
            answered++;
            stop_reading(&reader, at);
        }
    }
    if (answered < count)
        return error_set(error, ERR_AGAIN,
                         "%zu of %zu records could not be read: to know the age of a backlog, the "
                         "operator's user needs the right to read the topics",
                         count - answered, count);
    return OK;
}
