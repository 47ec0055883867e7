#include "tests/support/mock_kafka.h"

#include "tests/support/test.h"

#include <stdio.h>

void mock_kafka_start(struct mock_kafka *mock)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, NULL);
    mock->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(mock->owner);
    mock->cluster = rd_kafka_mock_cluster_new(mock->owner, 1);
    assert_non_null(mock->cluster);
    rd_kafka_mock_set_controller_id(mock->cluster, 1); /* there is none otherwise */
    rd_kafka_mock_group_initial_rebalance_delay_ms(mock->cluster, 50);
    snprintf(mock->bootstrap, sizeof mock->bootstrap, "%s",
             rd_kafka_mock_cluster_bootstraps(mock->cluster));
}

void mock_kafka_stop(struct mock_kafka *mock)
{
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->owner);
}

void mock_message_header(const struct mock_message *message, const char *name, char *into,
                         size_t size)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t len = 0;

    into[0] = '\0';
    if (rd_kafka_message_headers(message->message, &headers) == 0 &&
        rd_kafka_header_get_last(headers, name, &value, &len) == 0)
        snprintf(into, size, "%.*s", (int)len, (const char *)value);
}

static rd_kafka_t *open_reader(const struct mock_kafka *mock, const char *topic, int partitions)
{
    const char *const settings[][2] = {{"bootstrap.servers", mock->bootstrap},
                                       {"group.id", "reader"},
                                       {"enable.auto.commit", "false"},
                                       {"enable.partition.eof", "true"},
                                       {"auto.offset.reset", "earliest"}};
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        assert_int_equal(rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why),
                         RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    assert_non_null(reader);

    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(reader, list), 0);
    rd_kafka_topic_partition_list_destroy(list);
    return reader;
}

unsigned mock_kafka_read(const struct mock_kafka *mock, const char *topic, int partitions,
                         void (*visit)(void *context, const struct mock_message *message),
                         void *context)
{
    rd_kafka_t *reader = open_reader(mock, topic, partitions);
    unsigned count = 0;
    int ends = 0;

    for (int tries = 0; ends < partitions; tries++) {
        assert_true(tries < 1000000);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 60000);
        if (message == NULL)
            fail_msg("%s could not be read to its end", topic);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            ends++;
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            const struct mock_message found = {
                message->partition, message->offset, {message->payload, message->len}, message};
            if (visit != NULL)
                visit(context, &found);
            count++;
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    return count;
}
