/* librdkafka's simple consumer, which needs no group. All questions share one queue for messages
 * and one for the answers of when a time begins. */
#include "sidecar/kafka/look_back.h"

#include "common/clock.h"
#include "sidecar/kafka/kafka_access.h"

#include <stdlib.h>

enum { DATING_MS = 3000 };

struct question {
    struct question *next;
    void *whose;
    const char *topic;
    int32_t partition;
    int64_t until;
    uint64_t asked_ms;
    size_t bytes;
    rd_kafka_topic_t *reading; /* NULL: dating */
};

struct look_back {
    struct look_back_options options;
    struct kafka_health health;
    rd_kafka_t *client; /* NULL: never asked */
    rd_kafka_queue_t *messages, *dates;
    uint32_t files_stamp; /* of the credentials that the client has read */
    struct question *questions;
};

enum err look_back_create(const struct look_back_options *options, struct look_back **ret_look_back,
                          struct error *error)
{
    struct look_back *look_back = calloc(1, sizeof *look_back);
    if (look_back == NULL)
        return error_set(error, ERR_NOMEM, "look back");

    look_back->options = *options;
    kafka_health_init(&look_back->health);
    *ret_look_back = look_back;
    return OK;
}

static enum err open_client(struct look_back *look_back, struct error *error)
{
    static const struct kafka_property extra[] = {
        {"enable.auto.commit", "false"},        {"enable.partition.eof", "true"},
        {"auto.offset.reset", "earliest"},      {"isolation.level", "read_committed"},
        {"queued.min.messages", "1024"},        {"queued.max.messages.kbytes", "8192"},
        {"fetch.message.max.bytes", "4194304"}, {"fetch.wait.max.ms", "100"},
    };
    rd_kafka_conf_t *conf = NULL;
    char reason[256] = "";

    look_back->files_stamp = kafka_access_stamp(look_back->options.access);
    enum err err = kafka_conf_make(look_back->options.access, extra, sizeof extra / sizeof extra[0],
                                   &look_back->health, &conf, error);
    if (err)
        return err;
    look_back->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (look_back->client == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(error, ERR_INVALID, "open a Kafka reader: %s", reason);
    }
    kafka_conf_start(look_back->client, look_back->options.access);
    look_back->messages = rd_kafka_queue_new(look_back->client);
    look_back->dates = rd_kafka_queue_new(look_back->client);
    return OK;
}

static void close_client(struct look_back *look_back)
{
    if (look_back->client == NULL)
        return;
    rd_kafka_queue_destroy(look_back->messages);
    rd_kafka_queue_destroy(look_back->dates);
    rd_kafka_destroy(look_back->client);
    look_back->client = NULL;
}

/* ---- questions */

static void stop_reading(struct question *question)
{
    if (question->reading == NULL)
        return;
    rd_kafka_consume_stop(question->reading, question->partition);
    rd_kafka_topic_destroy(question->reading);
}

static void take_out(struct look_back *look_back, struct question *question)
{
    struct question **place = &look_back->questions;

    while (*place != question)
        place = &(*place)->next;
    *place = question->next;
    stop_reading(question);
    free(question);
}

static void end(struct look_back *look_back, struct question *question, bool whole)
{
    void *whose = question->whose;

    take_out(look_back, question);
    look_back->options.ended(look_back->options.context, whose, whole);
}

void look_back_forget(struct look_back *look_back, void *whose)
{
    for (struct question *at = look_back->questions; at != NULL; at = at->next) {
        if (at->whose == whose) {
            take_out(look_back, at);
            return;
        }
    }
}

static struct question *find(struct look_back *look_back, const char *topic, int32_t partition)
{
    for (struct question *at = look_back->questions; at != NULL; at = at->next)
        if (at->partition == partition && strcmp(at->topic, topic) == 0)
            return at;
    return NULL;
}

static void ask_date(struct look_back *look_back, const struct question *question, int64_t since_ms)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, question->topic, question->partition)->offset =
        since_ms;
    rd_kafka_ListOffsets(look_back->client, list, NULL, look_back->dates);
    rd_kafka_topic_partition_list_destroy(list);
}

enum err look_back_ask(struct look_back *look_back, void *whose, const char *topic,
                       int32_t partition, int64_t since_ms, int64_t until, struct error *error)
{
    if (look_back->questions == NULL &&
        look_back->files_stamp != kafka_access_stamp(look_back->options.access))
        close_client(look_back); /* its credentials are not those of today */
    enum err err = look_back->client != NULL ? OK : open_client(look_back, error);
    if (err)
        return err;
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return error_set(error, ERR_NOMEM, "look back");

    *question = (struct question){.next = look_back->questions,
                                  .whose = whose,
                                  .topic = topic,
                                  .partition = partition,
                                  .until = until,
                                  .asked_ms = clock_mono_ms()};
    look_back->questions = question;
    ask_date(look_back, question, since_ms < 0 ? 0 : since_ms);
    return OK;
}

/* ---- dating */

/* `from`: where the time begins; below 0: not known. */
static void start_reading(struct look_back *look_back, struct question *question, int64_t from)
{
    int64_t least =
        question->until > LOOK_BACK_MESSAGES_MAX ? question->until - LOOK_BACK_MESSAGES_MAX : 0;

    if (from < least)
        from = least;
    if (from >= question->until) {
        end(look_back, question, true); /* the first try came later, if at all */
        return;
    }
    question->reading = rd_kafka_topic_new(look_back->client, question->topic, NULL);
    if (question->reading == NULL) {
        end(look_back, question, false);
        return;
    }
    if (rd_kafka_consume_start_queue(question->reading, question->partition, from,
                                     look_back->messages) != 0) {
        rd_kafka_topic_destroy(question->reading);
        question->reading = NULL;
        end(look_back, question, false);
    }
}

static void take_dates(struct look_back *look_back)
{
    rd_kafka_event_t *event = NULL;

    while ((event = rd_kafka_queue_poll(look_back->dates, 0)) != NULL) {
        const rd_kafka_ListOffsets_result_t *result = rd_kafka_event_ListOffsets_result(event);
        size_t count = 0;
        const rd_kafka_ListOffsetsResultInfo_t **infos =
            result == NULL ? NULL : rd_kafka_ListOffsets_result_infos(result, &count);
        for (size_t i = 0; i < count; i++) {
            const rd_kafka_topic_partition_t *at =
                rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
            struct question *question = find(look_back, at->topic, at->partition);
            if (question != NULL && question->reading == NULL)
                start_reading(look_back, question, at->err ? -1 : at->offset);
        }
        rd_kafka_event_destroy(event);
    }
}

/* ---- reading */

static void take_message(struct look_back *look_back, rd_kafka_message_t *message)
{
    struct question *question =
        message->rkt == NULL
            ? NULL
            : find(look_back, rd_kafka_topic_name(message->rkt), message->partition);

    if (question == NULL || question->reading == NULL)
        return; /* ended by a bound */
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        end(look_back, question, true);
        return;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        end(look_back, question, false);
        return;
    }
    if (message->offset < question->until) {
        const struct consumer_message found = {
            .at = {.partition = message->partition, .offset = message->offset},
            .key = {message->key, message->key_len},
            .value = {message->payload, message->len},
            .timestamp_ms = -1,
            .handle = message};
        look_back->options.found(look_back->options.context, question->whose, &found);
    }
    question->bytes += message->len;
    if (message->offset + 1 >= question->until)
        end(look_back, question, true);
    else if (question->bytes >= LOOK_BACK_BYTES_MAX)
        end(look_back, question, false);
}

static void keep_time(struct look_back *look_back, uint64_t now_ms)
{
    struct question *next = NULL;

    for (struct question *at = look_back->questions; at != NULL; at = next) {
        next = at->next;
        if (now_ms >= at->asked_ms + LOOK_BACK_MS)
            end(look_back, at, false);
        else if (at->reading == NULL && now_ms >= at->asked_ms + DATING_MS)
            start_reading(look_back, at, -1);
    }
}

bool look_back_poll(struct look_back *look_back, uint64_t now_ms)
{
    if (look_back->questions == NULL)
        return false;
    take_dates(look_back);
    for (int i = 0; i < LOOK_BACK_MESSAGES_MAX; i++) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(look_back->messages, 0);
        if (message == NULL)
            break;
        take_message(look_back, message);
        rd_kafka_message_destroy(message);
    }
    keep_time(look_back, now_ms);
    return look_back->questions != NULL;
}

void look_back_destroy(struct look_back **look_back)
{
    struct look_back *gone = *look_back;
    if (gone == NULL)
        return;

    while (gone->questions != NULL)
        take_out(gone, gone->questions);
    close_client(gone);
    kafka_health_fini(&gone->health);
    free(gone);
    *look_back = NULL;
}
