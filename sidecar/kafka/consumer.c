/* The rebalance callback may return before the partitions are given up: librdkafka waits for the
 * call that does it, and the group waits for librdkafka. That is how a revocation drains first. */
#include "sidecar/kafka/consumer.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/kafka/initial_offset.h"
#include "sidecar/kafka/kafka_access.h"
#include "sidecar/kafka/member.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ASK_MS = 5000,
    FILES_MS = 5000,     /* between two looks at the files of credentials */
    LOG_LEVEL_QUIET = 6, /* of syslog: no debugging */
};

struct consumer {
    struct member *member; /* NULL: none */
    struct member *next;   /* with new credentials, to take its place */
    struct kafka_health health;
    struct consumer_options options;
    int fd;
    uint64_t files_at_ms;
    uint32_t files_stamp, certificates_stamp; /* all of them; those of TLS */
    bool classic;                             /* the broker does not have KIP-848 */
    bool ever;                                /* a partition was assigned */
    bool closing;
    bool paused;
    bool dead;
    rd_kafka_topic_partition_list_t *revoking; /* given back by consumer_let_go() */
};

static const struct metric_desc commits_desc = {.name = "surgetank_gateway_commit_failures_total",
                                                .kind = METRIC_COUNTER,
                                                .help = "Commits that Kafka did not take."};

static const struct metric_desc reloads_desc = {
    .name = "surgetank_gateway_kafka_credential_reloads_total",
    .kind = METRIC_COUNTER,
    .help = "Changed files of credentials for Kafka, by whether they could be taken over.",
    .labels = {"result"}};

static struct consumer *of_health(void *opaque)
{
    return (struct consumer *)((char *)opaque - offsetof(struct consumer, health));
}

static bool topic_index(const struct consumer *consumer, const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < consumer->options.topic_count; i++) {
        if (strcmp(consumer->options.topics[i], name) == 0) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool position_of(const struct consumer *consumer, const rd_kafka_topic_partition_t *from,
                        struct consumer_position *ret_at)
{
    *ret_at = (struct consumer_position){.partition = from->partition, .offset = from->offset};
    return topic_index(consumer, from->topic, &ret_at->topic);
}

/* ---- partitions come and go */

static void on_assign(struct consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_resp_err_t code = rd_kafka_committed(consumer->member->client, partitions, ASK_MS);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_health_ok(&consumer->health); /* who answers lets us in */
    else
        LOG_WARN("Could not read the group's offsets at once; the client will",
                 LOG_STR("reason", rd_kafka_err2str(code)));
    for (int i = 0; i < partitions->cnt; i++) {
        rd_kafka_topic_partition_t *at = &partitions->elems[i];
        bool resumed = !consumer->options.latest || at->offset >= 0;
        struct consumer_position position;

        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            at->offset = RD_KAFKA_OFFSET_STORED;
        else if (at->offset < 0)
            at->offset = initial_offset(consumer->member->client, at, consumer->options.latest);
        if (!position_of(consumer, at, &position))
            continue;
        if (position.offset < 0)
            position.offset = -1;
        consumer->options.assigned(consumer->options.context, &position, resumed);
    }
    rd_kafka_error_t *failed = rd_kafka_incremental_assign(consumer->member->client, partitions);
    if (failed != NULL) {
        LOG_ERROR("Could not take over partitions",
                  LOG_STR("reason", rd_kafka_error_string(failed)));
        rd_kafka_error_destroy(failed);
    }
    if (consumer->paused)
        rd_kafka_pause_partitions(consumer->member->client, partitions);
    consumer->ever = true;
    rd_kafka_set_log_level(consumer->member->client, LOG_LEVEL_QUIET);
}

/* librdkafka keeps a partition paused that was given back so, and would not read it when it is
 * assigned to us once more. */
static void unassign(struct consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
    rd_kafka_resume_partitions(consumer->member->client, partitions);
    rd_kafka_error_t *failed = rd_kafka_incremental_unassign(consumer->member->client, partitions);
    if (failed != NULL) {
        LOG_WARN("Could not give back partitions",
                 LOG_STR("reason", rd_kafka_error_string(failed)));
        rd_kafka_error_destroy(failed);
    }
}

static void on_revoke(struct consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
    bool lost = rd_kafka_assignment_lost(consumer->member->client) || consumer->closing;

    for (int i = 0; i < partitions->cnt; i++) {
        struct consumer_position at;
        if (!position_of(consumer, &partitions->elems[i], &at))
            continue;
        if (lost)
            consumer->options.lost(consumer->options.context, &at);
        else
            consumer->options.revoking(consumer->options.context, &at);
    }
    if (lost) {
        unassign(consumer, partitions);
        return;
    }
    ASSERT(consumer->revoking == NULL);
    consumer->revoking = rd_kafka_topic_partition_list_copy(partitions);
    rd_kafka_pause_partitions(consumer->member->client, consumer->revoking);
}

static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
    struct consumer *consumer = of_health(opaque);

    LOG_INFO("Group rebalances", LOG_STR("what", rd_kafka_err2name(code)),
             LOG_I64("partitions", partitions->cnt));
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        on_assign(consumer, partitions);
    else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        on_revoke(consumer, partitions);
    else
        rd_kafka_assign(client, NULL);
}

void consumer_let_go(struct consumer *consumer)
{
    if (consumer->revoking == NULL)
        return;
    unassign(consumer, consumer->revoking);
    rd_kafka_topic_partition_list_destroy(consumer->revoking);
    consumer->revoking = NULL;
}

/* ---- opening and closing */

static void on_commit(rd_kafka_t *client, rd_kafka_resp_err_t code,
                      rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
    struct consumer *consumer = of_health(opaque);

    (void)client;
    for (int i = 0; offsets != NULL && i < offsets->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        code = offsets->elems[i].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return;
    consumer->options.commit_failed(consumer->options.context);
    metric_add(metrics_series(&commits_desc), 1);
    LOG_WARN("Kafka did not take a commit", LOG_STR("reason", rd_kafka_err2str(code)));
}

static enum err make_member(struct consumer *consumer, struct member **ret_member,
                            struct error *error)
{
    const struct member_options options = {.consumer = &consumer->options,
                                           .health = &consumer->health,
                                           .classic = consumer->classic,
                                           .on_rebalance = on_rebalance,
                                           .on_commit = on_commit};
    return member_make(&options, ret_member, error);
}

static enum err join(struct consumer *consumer, struct error *error)
{
    return member_join(consumer->member, &consumer->options, consumer->fd, error);
}

/* What it had comes back as lost(). */
static void leave(struct consumer *consumer)
{
    if (consumer->member == NULL)
        return;
    consumer->closing = true;
    consumer_let_go(consumer);
    member_leave(&consumer->member);
    consumer->closing = false;
}

enum err consumer_open(const struct consumer_options *options, struct consumer **ret_consumer,
                       struct error *error)
{
    struct consumer *consumer = calloc(1, sizeof *consumer);
    if (consumer == NULL)
        return error_set(error, ERR_NOMEM, "open Kafka consumer");

    ASSERT(options->topic_count > 0 && options->topic_count <= CONSUMER_TOPICS_MAX);
    consumer->options = *options;
    kafka_health_init(&consumer->health);
    consumer->files_stamp = kafka_access_stamp(options->access);
    consumer->certificates_stamp = kafka_access_certificates_stamp(options->access);
    consumer->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum err err = OK;
    if (consumer->fd < 0)
        err = error_set_errno(error, ERR_IO, "eventfd");
    if (!err)
        err = make_member(consumer, &consumer->member, error);
    if (!err)
        err = join(consumer, error);
    if (err) {
        consumer_close(&consumer);
        return err;
    }
    *ret_consumer = consumer;
    return OK;
}

void consumer_close(struct consumer **consumer)
{
    struct consumer *gone = *consumer;
    if (gone == NULL)
        return;

    leave(gone);
    member_leave(&gone->next);
    if (gone->fd >= 0)
        close(gone->fd);
    kafka_health_fini(&gone->health);
    free(gone);
    *consumer = NULL;
}

int consumer_fd(const struct consumer *consumer)
{
    return consumer->fd;
}

/* ---- reading */

/* After it has told of a lost offset the client fetches no more of that partition, and refuses to
 * seek in it: it has to be assigned anew. */
static enum err assign_anew(struct consumer *consumer, const struct consumer_position *at,
                            struct error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    const char *topic = consumer->options.topics[at->topic];

    rd_kafka_topic_partition_list_add(list, topic, at->partition)->offset = at->offset;
    rd_kafka_error_t *failed = rd_kafka_incremental_unassign(consumer->member->client, list);
    if (failed == NULL)
        failed = rd_kafka_incremental_assign(consumer->member->client, list);
    if (failed == NULL && consumer->paused)
        rd_kafka_pause_partitions(consumer->member->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (failed == NULL)
        return OK;
    enum err err = error_set(error, ERR_CLOSED, "%s", rd_kafka_error_string(failed));
    rd_kafka_error_destroy(failed);
    return err;
}

/* The offset is not in the topic any more (retention), or not yet (made anew): to the earliest. */
static void on_offset_gone(struct consumer *consumer, const rd_kafka_message_t *message)
{
    struct consumer_position at = {.partition = message->partition};
    const char *topic = rd_kafka_topic_name(message->rkt);
    int64_t low = 0, high = 0, position = message->offset;
    struct error error = {0};

    if (!topic_index(consumer, topic, &at.topic))
        return;
    if (rd_kafka_query_watermark_offsets(consumer->member->client, topic, message->partition, &low,
                                         &high, ASK_MS) != 0)
        low = RD_KAFKA_OFFSET_BEGINNING;
    at.offset = low;
    if (assign_anew(consumer, &at, &error)) {
        LOG_ERROR("Could not go to the earliest message", LOG_STR("topic", topic),
                  LOG_I64("partition", message->partition), LOG_STR("error", error.text));
        consumer->dead = true; /* rather than a partition that nobody reads */
        return;
    }
    int64_t missed = low > position && position >= 0 ? low - position : 0;
    LOG_ERROR("Retention has overtaken the group, or the topic was made anew",
              LOG_STR("topic", topic), LOG_I64("partition", message->partition),
              LOG_I64("from", position), LOG_I64("to", low), LOG_I64("missed", missed));
    if (at.offset < 0)
        at.offset = -1;
    consumer->options.reset(consumer->options.context, &at, missed);
}

static void on_consumer_error(struct consumer *consumer, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
        message->err == RD_KAFKA_RESP_ERR__NO_OFFSET) {
        on_offset_gone(consumer, message);
        return;
    }
    pthread_mutex_lock(&consumer->health.lock);
    snprintf(consumer->health.text, sizeof consumer->health.text, "%s",
             rd_kafka_message_errstr(message));
    consumer->health.errors++;
    pthread_mutex_unlock(&consumer->health.lock);
    LOG_WARN("Kafka consumer reported an error", LOG_STR("code", rd_kafka_err2name(message->err)),
             LOG_STR("reason", rd_kafka_message_errstr(message)));
}

/* A broker without KIP-848 ends a member of that kind at once: as a classic one then. */
static void notice_fatal(struct consumer *consumer)
{
    struct error error = {0};

    pthread_mutex_lock(&consumer->health.lock);
    bool fatal = consumer->health.fatal;
    consumer->health.fatal = false;
    pthread_mutex_unlock(&consumer->health.lock);
    if (!fatal)
        return;
    if (consumer->classic || consumer->ever) {
        consumer->dead = true;
        return;
    }
    LOG_INFO("The broker does not have the new group protocol; using the classic one");
    leave(consumer);
    pthread_mutex_lock(&consumer->health.lock);
    consumer->health.fatal = false; /* what the old one said while it ended */
    pthread_mutex_unlock(&consumer->health.lock);
    consumer->classic = true;
    if (make_member(consumer, &consumer->member, &error) || join(consumer, &error)) {
        LOG_ERROR("Could not open a classic consumer", LOG_STR("error", error.text));
        consumer->dead = true;
    }
}

void consumer_clear(struct consumer *consumer)
{
    uint64_t count = 0;
    ssize_t cleared = read(consumer->fd, &count, sizeof count);
    (void)cleared; /* nothing to clear is fine */
}

/* A client for new certificates or a new client secret, which is made before the group is left:
 * what can't be used leaves the old one at work. */
static enum err make_next(struct consumer *consumer, struct error *error)
{
    struct member *next = NULL;

    enum err err = make_member(consumer, &next, error);
    if (err)
        return err;
    member_leave(&consumer->next); /* it never joined */
    consumer->next = next;
    return OK;
}

/* A password that has changed is for the connections to come, and needs no other client. */
static void follow_files(struct consumer *consumer)
{
    const struct kafka_access *access = consumer->options.access;
    enum err err = ERR_NOTFOUND;
    struct error error = {0};

    if (clock_mono_ms() < consumer->files_at_ms)
        return;
    consumer->files_at_ms = clock_mono_ms() + FILES_MS;
    uint32_t stamp = kafka_access_stamp(access); /* before they are read */
    uint32_t certificates = kafka_access_certificates_stamp(access);
    if (stamp == consumer->files_stamp)
        return;
    if (certificates == consumer->certificates_stamp)
        err = kafka_conf_login_again(consumer->member->client, access, &error);
    if (err == ERR_NOTFOUND)
        err = make_next(consumer, &error);
    metric_add(metrics_series(&reloads_desc, err ? "failed" : "ok"), 1);
    if (err) {
        LOG_ERROR("Kept the old credentials for Kafka", LOG_STR("error", error.text));
        return;
    }
    consumer->files_stamp = stamp;
    consumer->certificates_stamp = certificates;
    LOG_INFO("Read the credentials for Kafka again",
             LOG_STR("for", consumer->next == NULL ? "connections to come" : "a new client"));
}

bool consumer_is_stale(const struct consumer *consumer)
{
    return consumer->next != NULL;
}

void consumer_renew(struct consumer *consumer)
{
    struct error error = {0};

    if (consumer->next == NULL)
        return;
    leave(consumer);
    MOVE(consumer->member, consumer->next);
    kafka_health_ok(&consumer->health); /* what the old one complained about */
    if (join(consumer, &error)) {
        LOG_ERROR("Could not join the group with new credentials", LOG_STR("error", error.text));
        consumer->dead = true;
    }
}

bool consumer_poll(struct consumer *consumer, struct consumer_message *ret_message)
{
    if (consumer->member == NULL)
        return false;
    follow_files(consumer);
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->member->client, 0);
        if (message == NULL)
            break;
        struct consumer_position at = {.partition = message->partition, .offset = message->offset};
        if (message->err || !topic_index(consumer, rd_kafka_topic_name(message->rkt), &at.topic)) {
            if (message->err)
                on_consumer_error(consumer, message);
            rd_kafka_message_destroy(message);
            continue;
        }
        rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        *ret_message = (struct consumer_message){
            .at = at,
            .key = {message->key, message->key_len},
            .value = {message->payload, message->len},
            .timestamp_ms = rd_kafka_message_timestamp(message, &type),
            .handle = message,
            .member = consumer->member,
        };
        member_hold(consumer->member);
        kafka_health_ok(&consumer->health);
        return true;
    }
    notice_fatal(consumer);
    return false;
}

void consumer_release(struct consumer_message *message)
{
    if (message->handle == NULL)
        return;
    member_give_back(message->member, message->handle);
    *message = (struct consumer_message){0};
}

struct bytes consumer_header(const struct consumer_message *message, const char *name)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t size = 0;

    if (rd_kafka_message_headers(message->handle, &headers) != 0 ||
        rd_kafka_header_get_last(headers, name, &value, &size) != 0)
        return (struct bytes){0};
    return (struct bytes){value, size};
}

bool consumer_header_at(const struct consumer_message *message, size_t index, const char **ret_name,
                        struct bytes *ret_value)
{
    rd_kafka_headers_t *headers = NULL;
    const void *value = NULL;
    size_t size = 0;

    if (rd_kafka_message_headers(message->handle, &headers) != 0 ||
        rd_kafka_header_get_all(headers, index, ret_name, &value, &size) != 0)
        return false;
    *ret_value = (struct bytes){value, size};
    return true;
}

/* ---- positions */

static enum err commit_and_wait(struct consumer *consumer,
                                const rd_kafka_topic_partition_list_t *list, uint32_t wait_ms,
                                struct error *error)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->member->client);
    rd_kafka_resp_err_t code =
        rd_kafka_commit_queue(consumer->member->client, list, queue, NULL, NULL);
    rd_kafka_event_t *event =
        code == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_queue_poll(queue, (int)wait_ms) : NULL;

    if (event != NULL)
        code = rd_kafka_event_error(event);
    else if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET)
        return OK;
    return error_set(error, ERR_AGAIN, "commit: %s", rd_kafka_err2str(code));
}

enum err consumer_commit(struct consumer *consumer, const struct consumer_position *positions,
                         size_t count, uint32_t wait_ms, struct error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    enum err err = OK;

    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, consumer->options.topics[positions[i].topic],
                                          positions[i].partition)
            ->offset = positions[i].offset;
    if (consumer->member == NULL) {
        err = error_set(error, ERR_CLOSED, "commit: no client");
    } else if (wait_ms > 0) {
        err = commit_and_wait(consumer, list, wait_ms, error);
    } else {
        rd_kafka_resp_err_t code = rd_kafka_commit(consumer->member->client, list, 1);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            err = error_set(error, ERR_AGAIN, "commit: %s", rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(list);
    return err;
}

void consumer_pause(struct consumer *consumer, bool paused)
{
    rd_kafka_topic_partition_list_t *list = NULL;

    if (consumer->paused == paused)
        return;
    consumer->paused = paused;
    if (consumer->member == NULL || rd_kafka_assignment(consumer->member->client, &list) != 0)
        return;
    if (paused)
        rd_kafka_pause_partitions(consumer->member->client, list);
    else
        rd_kafka_resume_partitions(consumer->member->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (!paused && consumer->revoking != NULL)
        rd_kafka_pause_partitions(consumer->member->client, consumer->revoking);
}

enum err consumer_seek(struct consumer *consumer, const struct consumer_position *at,
                       struct error *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    const char *topic = consumer->options.topics[at->topic];

    rd_kafka_topic_partition_list_add(list, topic, at->partition)->offset = at->offset;
    rd_kafka_error_t *failed = rd_kafka_seek_partitions(consumer->member->client, list, ASK_MS);
    rd_kafka_resp_err_t code = failed != NULL ? rd_kafka_error_code(failed) : list->elems[0].err;
    if (failed != NULL)
        rd_kafka_error_destroy(failed);
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return OK;
    return error_set(error, ERR_AGAIN, "seek in '%s' [%d]: %s", topic, at->partition,
                     rd_kafka_err2str(code));
}

bool consumer_is_dead(const struct consumer *consumer)
{
    return consumer->dead;
}

const char *consumer_protocol(const struct consumer *consumer)
{
    return consumer->classic ? "classic" : "consumer";
}

struct kafka_health *consumer_health(struct consumer *consumer)
{
    return &consumer->health;
}
