#include "sidecar/kafka/member.h"

#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum err member_make(const struct member_options *options, struct member **ret_member,
                     struct error *error)
{
    char kbytes[24], bytes[24], reason[256] = "";
    const struct consumer_options *consumer = options->consumer;
    bool classic = options->classic;
    size_t fetch = consumer->prefetch_bytes < (1u << 20) ? (1u << 20) : consumer->prefetch_bytes;

    snprintf(kbytes, sizeof kbytes, "%zu", fetch / 1024);
    snprintf(bytes, sizeof bytes, "%zu", fetch);
    const struct kafka_property extra[] = {
        {"group.id", consumer->group_id},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", "false"},
        {"queued.max.messages.kbytes", kbytes},
        {"fetch.max.bytes", bytes},
        {"fetch.wait.max.ms", "500"}, /* a fetch returns as soon as there is something */
        {"fetch.queue.backoff.ms", "10"},
        {"topic.metadata.refresh.interval.ms", "5000"}, /* a topic may be made after us */
        {"group.protocol", classic ? "classic" : "consumer"},
        {"debug", classic ? NULL : "cgrp"}, /* until it is a member: see kafka_conf.c */
        {"partition.assignment.strategy", classic ? "cooperative-sticky" : NULL},
        {"session.timeout.ms", classic ? "10000" : NULL},
        {"heartbeat.interval.ms", classic ? "3000" : NULL},
    };
    rd_kafka_conf_t *conf = NULL;

    enum err err = kafka_conf_make(consumer->access, extra, sizeof extra / sizeof extra[0],
                                   options->health, &conf, error);
    if (err)
        return err;
    rd_kafka_conf_set_rebalance_cb(conf, options->on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, options->on_commit);
    struct member *member = calloc(1, sizeof *member);
    if (member != NULL)
        member->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (member == NULL || member->client == NULL) {
        rd_kafka_conf_destroy(conf);
        err = error_set(error, member == NULL ? ERR_NOMEM : ERR_INVALID, "open Kafka consumer: %s",
                        reason);
        free(member);
        return err;
    }
    kafka_conf_start(member->client, consumer->access);
    *ret_member = member;
    return OK;
}

enum err member_join(struct member *member, const struct consumer_options *options, int fd,
                     struct error *error)
{
    static const uint64_t one = 1; /* what an eventfd takes */
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)options->topic_count);

    rd_kafka_poll_set_consumer(member->client);
    member->queue = rd_kafka_queue_get_consumer(member->client);
    rd_kafka_queue_io_event_enable(member->queue, fd, &one, sizeof one);
    for (size_t i = 0; i < options->topic_count; i++)
        rd_kafka_topic_partition_list_add(list, options->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(member->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, ERR_INVALID, "subscribe as group '%s': %s", options->group_id,
                         rd_kafka_err2str(code));
    return OK;
}

static void free_member(struct member *member)
{
    rd_kafka_destroy(member->client);
    free(member);
}

void member_leave(struct member **member)
{
    struct member *gone = *member;
    if (gone == NULL)
        return;

    rd_kafka_consumer_close(gone->client);
    if (gone->queue != NULL) {
        rd_kafka_queue_io_event_enable(gone->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(gone->queue);
    }
    gone->left = true;
    if (gone->messages == 0)
        free_member(gone);
    *member = NULL;
}

void member_hold(struct member *member)
{
    member->messages++;
}

void member_give_back(struct member *member, rd_kafka_message_t *message)
{
    rd_kafka_message_destroy(message);
    ASSERT(member->messages > 0);
    if (--member->messages == 0 && member->left)
        free_member(member);
}
