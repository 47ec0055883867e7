#include "sidecar/kafka/producer.h"

#include "common/assert.h"
#include "common/num.h"

#include <stdio.h>
#include <stdlib.h>

/* librdkafka's own cap on one message, before compression. The topic's limit is what counts, and
 * the caller cuts by it; this one only must not be in the way. */
enum { CLIENT_MESSAGE_MAX = 100 << 20, PURGE_TRIES = 10 };

struct producer {
    rd_kafka_t *client;
    struct kafka_health health;
    struct producer_options options;
    size_t in_flight;
    size_t queued_bytes; /* of keys and values in flight */
    int reports;         /* during one poll */
    bool dead;
};

/* Not rd_kafka_message_errstr(): of a message that has a value it says the value. */
static const char *reason_of(const rd_kafka_message_t *message)
{
    const char *told = rd_kafka_message_produce_errstr(message);
    return told != NULL ? told : rd_kafka_err2str(message->err);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    struct kafka_health *health = opaque;
    struct producer *producer =
        (struct producer *)((char *)health - offsetof(struct producer, health));
    bool stored = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    enum kafka_verdict verdict = stored ? KAFKA_RETRY : kafka_judge(message->err);

    (void)client;
    ASSERT(producer->in_flight > 0);
    producer->in_flight--;
    producer->queued_bytes -= message->len + message->key_len;
    producer->reports++;
    if (stored)
        kafka_health_ok(health);
    if (!stored && verdict == KAFKA_RETRY &&
        rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        verdict = KAFKA_FATAL; /* stored or not, nobody knows: the identity must not change */
    producer->options.report(producer->options.context, message->_private, stored,
                             message->partition, message->offset, verdict,
                             stored ? "" : reason_of(message));
}

/* The user's batch.size may be less than what topics take, not more: Kafka would refuse whole
 * batches, and messages that fit with them. */
static enum err cap_batches(rd_kafka_conf_t *conf, size_t max, struct error *error)
{
    char text[24] = "", reason[256] = "";
    size_t size = sizeof text;
    uint64_t set = 0;

    if (rd_kafka_conf_get(conf, "batch.size", text, &size) == RD_KAFKA_CONF_OK &&
        num_parse_u64(text, UINT64_MAX, &set) && set <= max)
        return OK;
    snprintf(text, sizeof text, "%zu", max);
    if (rd_kafka_conf_set(conf, "batch.size", text, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return OK;
    return error_set(error, ERR_INVALID, "Kafka property 'batch.size': %s", reason);
}

enum err producer_open(const struct producer_options *options, struct producer **ret_producer,
                       struct error *error)
{
    char level[16], kbytes[24], largest[24], batch[24], reason[256] = "";
    size_t batch_bytes = options->batch_bytes == 0 ? PRODUCER_BATCH_MAX : options->batch_bytes;
    struct producer *producer = calloc(1, sizeof *producer);
    if (producer == NULL)
        return error_set(error, ERR_NOMEM, "open Kafka producer");

    snprintf(level, sizeof level, "%d", options->compression_level);
    /* librdkafka would never take a message that is larger than its queue: has_room() bounds it. */
    snprintf(kbytes, sizeof kbytes, "%zu", (options->queue_bytes + 2 * CLIENT_MESSAGE_MAX) / 1024);
    snprintf(largest, sizeof largest, "%d", (int)CLIENT_MESSAGE_MAX);
    snprintf(batch, sizeof batch, "%zu", batch_bytes);
    const struct kafka_property extra[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {"message.timeout.ms", "0"},
        {"compression.type", options->compression},
        {"compression.level", level},
        {"queue.buffering.max.kbytes", kbytes},
        {"queue.buffering.max.messages", "100000"},
        {"message.max.bytes", largest},
        {"batch.size", batch},
        {"batch.num.messages", options->alone ? "1" : NULL},
        {"linger.ms", "2"},
        {"retry.backoff.max.ms", "2000"},
    };
    rd_kafka_conf_t *conf = NULL;

    kafka_health_init(&producer->health);
    enum err err = kafka_conf_make(options->access, extra, sizeof extra / sizeof extra[0],
                                   &producer->health, &conf, error);
    if (!err) {
        err = cap_batches(conf, batch_bytes, error);
        if (err)
            rd_kafka_conf_destroy(conf);
    }
    if (!err) {
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
        if (producer->client == NULL) {
            rd_kafka_conf_destroy(conf);
            err = error_set(error, ERR_INVALID, "open Kafka producer: %s", reason);
        } else {
            kafka_conf_start(producer->client, options->access);
        }
    }
    if (err) {
        kafka_health_fini(&producer->health);
        free(producer);
        return err;
    }
    producer->options = *options;
    producer->options.access = NULL; /* a loan for this call */
    *ret_producer = producer;
    return OK;
}

void producer_close(struct producer **producer, uint32_t flush_ms)
{
    struct producer *gone = *producer;
    if (gone == NULL)
        return;

    if (!gone->dead && gone->in_flight > 0)
        rd_kafka_flush(gone->client, (int)flush_ms);
    if (gone->in_flight > 0) {
        rd_kafka_purge(gone->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        /* Serves the reports of what was purged. A message without one would be lost from sight. */
        for (int i = 0; i < PURGE_TRIES && gone->in_flight > 0; i++)
            rd_kafka_flush(gone->client, 1000);
    }
    rd_kafka_destroy(gone->client);
    kafka_health_fini(&gone->health);
    free(gone);
    *producer = NULL;
}

static rd_kafka_headers_t *make_headers(const struct producer_message *message)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->headers_len);

    for (size_t i = 0; i < message->headers_len && headers != NULL; i++) {
        const struct producer_header *header = &message->headers[i];
        if (rd_kafka_header_add(headers, header->name, -1, header->value.data,
                                (ssize_t)header->value.len)) {
            rd_kafka_headers_destroy(headers);
            return NULL;
        }
    }
    return headers;
}

/* librdkafka's API takes non-const pointers to what it only reads. */
static void *unconst(const void *data)
{
    union {
        const void *in;
        void *out;
    } view = {.in = data};
    return view.out;
}

/* One message alone may be larger than the queue. */
static bool has_room(const struct producer *producer, size_t bytes)
{
    size_t max = producer->options.queue_bytes, queued = producer->queued_bytes;

    return producer->in_flight == 0 || (queued <= max && bytes <= max - queued);
}

enum err producer_send(struct producer *producer, const struct producer_message *message,
                       struct error *error)
{
    size_t bytes = message->value.len + message->key.len;

    if (producer->dead)
        return error_set(error, ERR_CLOSED, "the Kafka client had a fatal error");
    if (!has_room(producer, bytes))
        return error_set(error, ERR_FULL, "the producer's queue is full");
    rd_kafka_headers_t *headers = make_headers(message);
    if (headers == NULL)
        return error_set(error, ERR_NOMEM, "headers of a message for topic '%s'", message->topic);

    const rd_kafka_vu_t fields[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = message->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = message->partition},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0}, /* the value is neither copied nor freed */
        {.vtype = RD_KAFKA_VTYPE_VALUE,
         .u.mem = {.ptr = unconst(message->value.data), .size = message->value.len}},
        {.vtype = RD_KAFKA_VTYPE_KEY,
         .u.mem = {.ptr = message->key.len > 0 ? unconst(message->key.data) : NULL,
                   .size = message->key.len}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = message->timestamp_ms},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = message->message},
    };
    rd_kafka_error_t *refused =
        rd_kafka_produceva(producer->client, fields, sizeof fields / sizeof fields[0]);
    if (refused == NULL) {
        producer->in_flight++;
        producer->queued_bytes += bytes;
        return OK;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(refused);
    rd_kafka_error_destroy(refused);
    rd_kafka_headers_destroy(headers);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return error_set(error, ERR_FULL, "the producer's queue is full");
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        producer->dead = true;
        return error_set(error, ERR_CLOSED, "the Kafka client had a fatal error");
    }
    return error_set(error, kafka_judge(code) == KAFKA_TOO_LARGE ? ERR_INVALID : ERR_AGAIN,
                     "produce to '%s' [%d]: %s", message->topic, message->partition,
                     rd_kafka_err2str(code));
}

int producer_poll(struct producer *producer, uint32_t wait_ms)
{
    producer->reports = 0;
    rd_kafka_poll(producer->client, (int)wait_ms);
    pthread_mutex_lock(&producer->health.lock);
    producer->dead |= producer->health.fatal;
    pthread_mutex_unlock(&producer->health.lock);
    return producer->reports;
}

bool producer_is_dead(const struct producer *producer)
{
    return producer->dead;
}

size_t producer_in_flight(const struct producer *producer)
{
    return producer->in_flight;
}

struct kafka_health *producer_health(struct producer *producer)
{
    return &producer->health;
}

enum err producer_describe(struct producer *producer, const char *topic, uint32_t wait_ms,
                           struct producer_topic *ret_topic, struct error *error)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer->client, topic, NULL);
    if (handle == NULL)
        return error_set(error, ERR_NOMEM, "topic '%s'", topic);

    rd_kafka_resp_err_t code =
        rd_kafka_metadata(producer->client, 0, handle, &metadata, (int)wait_ms);
    rd_kafka_topic_destroy(handle);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(error, ERR_AGAIN, "describe topic '%s': %s", topic,
                         rd_kafka_err2str(code));

    enum err err = OK;
    if (metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
        err =
            error_set(error, ERR_NOTFOUND, "topic '%s' does not exist, or may not be seen", topic);
    } else {
        const struct rd_kafka_metadata_topic *found = &metadata->topics[0];
        ret_topic->partitions = found->partition_cnt < PRODUCER_PARTITIONS_MAX
                                    ? found->partition_cnt
                                    : PRODUCER_PARTITIONS_MAX;
        memset(ret_topic->leaders, 0, sizeof ret_topic->leaders);
        for (int i = 0; i < found->partition_cnt; i++) {
            int32_t id = found->partitions[i].id;
            if (id >= 0 && id < PRODUCER_PARTITIONS_MAX)
                ret_topic->leaders[id] = found->partitions[i].leader >= 0;
        }
    }
    rd_kafka_metadata_destroy(metadata);
    if (!err)
        kafka_health_ok(&producer->health); /* who answers lets us in */
    return err;
}

static enum err read_message_max(rd_kafka_event_t *event, size_t *ret_bytes, struct error *error)
{
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result(event);
    size_t resources = 0, entries = 0;
    uint64_t value = 0;

    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE)
        return error_set(error, ERR_NOTFOUND, "%s", rd_kafka_event_error_string(event));
    if (rd_kafka_event_error(event))
        return error_set(error, ERR_AGAIN, "%s", rd_kafka_event_error_string(event));
    const rd_kafka_ConfigResource_t **list =
        rd_kafka_DescribeConfigs_result_resources(result, &resources);
    if (resources != 1 || rd_kafka_ConfigResource_error(list[0]))
        return error_set(error, ERR_INVALID, "%s",
                         resources == 1 ? rd_kafka_ConfigResource_error_string(list[0]) : "empty");
    const rd_kafka_ConfigEntry_t **configs = rd_kafka_ConfigResource_configs(list[0], &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *text = rd_kafka_ConfigEntry_value(configs[i]);
        if (strcmp(rd_kafka_ConfigEntry_name(configs[i]), "max.message.bytes") != 0)
            continue;
        if (text == NULL || !num_parse_u64(text, INT32_MAX, &value))
            return error_set(error, ERR_INVALID, "max.message.bytes is no number");
        *ret_bytes = (size_t)value;
        return OK;
    }
    return error_set(error, ERR_INVALID, "max.message.bytes is not told");
}

enum err producer_message_max(struct producer *producer, const char *topic, uint32_t wait_ms,
                              size_t *ret_bytes, struct error *error)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(producer->client);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(producer->client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char reason[128];

    rd_kafka_AdminOptions_set_request_timeout(options, (int)wait_ms, reason, sizeof reason);
    rd_kafka_DescribeConfigs(producer->client, &resource, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)wait_ms + 1000);
    enum err err = event == NULL ? error_set(error, ERR_AGAIN, "no answer within %u ms", wait_ms)
                                 : read_message_max(event, ret_bytes, error);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    return err ? error_prefix(error, err, "ask for max.message.bytes of topic '%s'", topic) : OK;
}
