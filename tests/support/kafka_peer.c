#include "tests/support/kafka_peer.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <time.h>

static rd_kafka_t *new_client(rd_kafka_type_t type, const char *const (*settings)[2], size_t count)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    for (size_t i = 0; i < count; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why))
            fail_msg("%s: %s", settings[i][0], why);
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof why);
    if (client == NULL)
        fail_msg("%s", why);
    return client;
}

#define NEW_CLIENT(type, settings) new_client(type, settings, sizeof(settings) / sizeof *(settings))

static char payload[] = "0123456789";

static void write_messages(rd_kafka_t *producer, const char *topic, int32_t partition,
                           unsigned count, int64_t timestamp_ms)
{
    const rd_kafka_vu_t message[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {payload, sizeof payload - 1}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_ms},
    };

    for (unsigned i = 0; i < count; i++) {
        rd_kafka_error_t *failed =
            rd_kafka_produceva(producer, message, sizeof message / sizeof message[0]);
        if (failed != NULL)
            fail_msg("produce: %s", rd_kafka_error_string(failed));
    }
    if (rd_kafka_flush(producer, 60000))
        fail_msg("could not write to %s", topic);
}

void peer_produce(const char *bootstrap, const char *topic, int32_t partition, unsigned count,
                  int64_t timestamp_ms)
{
    const char *const settings[][2] = {{"bootstrap.servers", bootstrap}, {"linger.ms", "1"}};
    rd_kafka_t *producer = NEW_CLIENT(RD_KAFKA_PRODUCER, settings);
    write_messages(producer, topic, partition, count, timestamp_ms);
    rd_kafka_destroy(producer);
}

static void no_error(rd_kafka_error_t *error)
{
    if (error != NULL)
        fail_msg("%s", rd_kafka_error_string(error));
}

void peer_produce_transaction(const char *bootstrap, const char *topic, int32_t partition,
                              unsigned count)
{
    const char *const settings[][2] = {{"bootstrap.servers", bootstrap},
                                       {"transactional.id", topic}};
    rd_kafka_t *producer = NEW_CLIENT(RD_KAFKA_PRODUCER, settings);
    no_error(rd_kafka_init_transactions(producer, 60000));
    no_error(rd_kafka_begin_transaction(producer));
    write_messages(producer, topic, partition, count, 0);
    no_error(rd_kafka_commit_transaction(producer, 60000));
    rd_kafka_destroy(producer);
}

void peer_commit(const char *bootstrap, const char *group, const char *topic, int32_t partition,
                 int64_t offset)
{
    const char *const settings[][2] = {{"bootstrap.servers", bootstrap}, {"group.id", group}};
    rd_kafka_t *consumer = NEW_CLIENT(RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__WAIT_COORD;
    for (int tries = 0; code && tries < 600; tries++) { /* the coordinator may not be known yet */
        code = rd_kafka_commit(consumer, list, 0);
        if (code)
            peer_wait(100);
    }
    if (code)
        fail_msg("commit: %s", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
}

rd_kafka_t *peer_join(const char *bootstrap, const char *group, const char *client_id,
                      const char *topic, bool kip848)
{
    const char *const settings[][2] = {
        {"bootstrap.servers", bootstrap}, {"group.id", group},
        {"client.id", client_id},         {"auto.offset.reset", "earliest"},
        {"enable.auto.commit", "false"},  {"group.protocol", kip848 ? "consumer" : "classic"},
    };
    rd_kafka_t *consumer = NEW_CLIENT(RD_KAFKA_CONSUMER, settings);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    for (int tries = 0; tries < 600; tries++) {
        rd_kafka_topic_partition_list_t *assigned = NULL;
        peer_poll(consumer, 100);
        rd_kafka_assignment(consumer, &assigned);
        int count = assigned->cnt;
        rd_kafka_topic_partition_list_destroy(assigned);
        if (count > 0)
            return consumer;
    }
    fail_msg("%s was assigned nothing", client_id);
    return NULL;
}

unsigned peer_poll(rd_kafka_t *consumer, int ms)
{
    unsigned came = 0;
    for (int at = 0; at < ms; at += 50) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 50);
        if (message == NULL)
            continue;
        came += message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_message_destroy(message);
    }
    return came;
}

void peer_leave(rd_kafka_t **consumer)
{
    rd_kafka_consumer_close(*consumer);
    rd_kafka_destroy(*consumer);
    *consumer = NULL;
}

void peer_wait(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}
