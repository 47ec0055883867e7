/* member: librdkafka's end of a consumer, from when it is made until its last message was given
 * back: a group can be left, and another client take its place, while messages of the first are
 * still under way.
 *
 *   made --join--> in the group --leave--> out of it, messages still held --the last one--> freed
 *
 * Files of credentials are read when it is made. Thread: the consumer's.
 */
#ifndef SIDECAR_KAFKA_MEMBER_H
#define SIDECAR_KAFKA_MEMBER_H

#include "common/attr.h"
#include "common/error.h"
#include "sidecar/kafka/consumer.h"
#include "sidecar/kafka/kafka_conf.h"

struct member {
    rd_kafka_t *client;
    rd_kafka_queue_t *queue; /* NULL until it joins */
    size_t messages;         /* handed out and not given back */
    bool left;
};

struct member_options {
    const struct consumer_options *consumer;
    struct kafka_health *health; /* the client's opaque, for its whole life */
    bool classic;                /* not KIP-848 */
    void (*on_rebalance)(rd_kafka_t *client, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque);
    void (*on_commit)(rd_kafka_t *client, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque);
};

/* ERR_INVALID: a property, or credentials that can't be used. Asks nothing of Kafka. */
NODISCARD enum err member_make(const struct member_options *options, struct member **ret_member,
                               struct error *error);

/* From now on partitions come; `fd`, an eventfd, becomes readable when something does. */
NODISCARD enum err member_join(struct member *member, const struct consumer_options *options,
                               int fd, struct error *error);

/* Leaves the group, on_rebalance() being called from within; frees now or with the last message. */
void member_leave(struct member **member);

/* A message has come of it, or one is given back. */
void member_hold(struct member *member);
void member_give_back(struct member *member, rd_kafka_message_t *message);

#endif
