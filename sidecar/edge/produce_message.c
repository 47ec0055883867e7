/* One message on its way: sent, reported, tried again, put aside. */
#include "sidecar/edge/produce_internal.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { DEAD_LETTERS_PARTITION = -1 }; /* RD_KAFKA_PARTITION_UA: any */

static const struct backoff retry_backoff = {
    .initial_ms = 200, .max_ms = 30000, .multiplier_percent = 200, .jitter_percent = 30};

struct lane *message_lane(struct produce *produce, const struct message *message)
{
    return &produce->lanes[message->outgoing->frame->lane];
}

static uint32_t next_random(struct produce *produce)
{
    produce->random = produce->random * 1664525u + 1013904223u;
    return produce->random;
}

/* Puts the message on the list of those that wait for another try. */
static void wait_and_retry(struct produce *produce, struct message *message)
{
    message->due_ms =
        clock_mono_ms() + backoff_delay_ms(&retry_backoff, message->attempts, next_random(produce));
    message->next_waiting = produce->waiting;
    produce->waiting = message;
    message_lane(produce, message)->state.waiting++;
}

static void note(struct produce *produce, const struct message *message)
{
    struct error error = {0};
    const struct journal_entry entry = {.seq = message->outgoing->frame->seq,
                                        .first_try_ms = message->first_try_ms,
                                        .cut_bytes = message->outgoing->cut_bytes,
                                        .partition = message->partition,
                                        .part = message->part,
                                        .parts = message->parts,
                                        .lane = message->outgoing->frame->lane};
    if (!message->halved && journal_note(produce->journal, &entry, &error))
        LOG_WARN("Could not note a message in the journal", LOG_STR("error", error.text));
}

static size_t make_headers(const struct produce *produce, const struct message *message,
                           char texts[2][24], struct producer_header headers[PRODUCER_HEADERS_MAX])
{
    const struct spool_frame *frame = message->outgoing->frame;
    size_t n = 0;
#define TEXT(s) ((struct bytes){(const uint8_t *)(s), strlen(s)})
    snprintf(texts[0], 24, "%" PRIu64, frame->accepted_ns / 1000000);
    snprintf(texts[1], 24, "%" PRIu64, message->first_try_ms);
    headers[n++] = (struct producer_header){NAMES_HEADER_ID, TEXT(message->id)};
    headers[n++] = (struct producer_header){NAMES_HEADER_ACCEPTED, TEXT(texts[0])};
    headers[n++] = (struct producer_header){NAMES_HEADER_SIGNAL, TEXT(signal_name(frame->lane))};
    if (message->retry)
        headers[n++] = (struct producer_header){NAMES_HEADER_RETRY, TEXT(texts[1])};
    if (message->destination != TO_TOPIC) {
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_REASON, TEXT(message->reason)};
        headers[n++] =
            (struct producer_header){NAMES_HEADER_DLQ_GATEWAY, TEXT(produce->options.source)};
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_TOPIC,
                                                TEXT(produce->lanes[frame->lane].topic.name)};
    }
    if (message->destination == TO_DEAD_LETTERS_POINTER)
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_POINTER, TEXT("1")};
#undef TEXT
    return n;
}

static void put_aside(struct produce *produce, struct message *message, const char *why);

void message_send(struct produce *produce, struct message *message)
{
    struct lane *lane = message_lane(produce, message);
    struct producer_header headers[PRODUCER_HEADERS_MAX];
    char texts[2][24];
    struct error error = {0};

    if (!produce_topic_has(&lane->topic, message->partition))
        message->partition = produce_topic_choose(&lane->topic);
    if (message->first_try_ms == 0)
        message->first_try_ms = clock_wall_ms();
    note(produce, message);

    bool aside = message->destination != TO_TOPIC;
    const struct producer_message send = {
        .topic = aside ? lane->topic.dead_letter : lane->topic.name,
        .partition = aside ? DEAD_LETTERS_PARTITION : message->partition,
        .value =
            message->destination == TO_DEAD_LETTERS_POINTER ? (struct bytes){0} : message->value,
        .headers = headers,
        .headers_len = make_headers(produce, message, texts, headers),
        .timestamp_ms = (int64_t)clock_wall_ms(),
        .message = message};

    enum err err = producer_send(produce->producer, &send, &error);
    if (err != ERR_FULL && message->attempts++ > 0) {
        metric_add(lane->retries, 1);
        lane->state.retries++;
    }
    if (!err) {
        lane->state.in_flight++;
    } else if (err == ERR_INVALID) {
        put_aside(produce, message, error.text);
    } else {
        if (err != ERR_FULL)
            lane_trouble(lane, error.text);
        wait_and_retry(produce, message);
    }
}

/* Kafka won't take it as it is: halves, then the dead letters, then a pointer there. */
static void put_aside(struct produce *produce, struct message *message, const char *why)
{
    struct message *halves[2];
    struct lane *lane = message_lane(produce, message);
    enum err err =
        message->destination == TO_TOPIC ? outgoing_halve(message, halves, NULL) : ERR_NOTFOUND;

    if (err == OK) {
        message_send(produce, halves[0]);
        message_send(produce, halves[1]);
        return;
    }
    if (err == ERR_NOMEM) {
        wait_and_retry(produce, message);
        return;
    }
    if (message->destination == TO_DEAD_LETTERS_POINTER) {
        LOG_ERROR("Kafka refuses even a pointer in the dead letters",
                  LOG_STR("topic", lane->topic.dead_letter), LOG_STR("why", why));
        lane_trouble(lane, why);
        wait_and_retry(produce, message);
        return;
    }
    message->destination =
        message->destination == TO_TOPIC ? TO_DEAD_LETTERS : TO_DEAD_LETTERS_POINTER;
    snprintf(message->reason, sizeof message->reason, "%.*s", (int)sizeof message->reason - 1, why);
    LOG_WARN("Put a message into the dead letters", LOG_STR("topic", lane->topic.dead_letter),
             LOG_STR("id", message->id), LOG_U64("items", message->items), LOG_STR("why", why));
    message_send(produce, message);
}

static void count_stored(struct lane *lane, const struct message *message)
{
    if (message->destination == TO_TOPIC) {
        lane->state.delivered++;
        metric_add(lane->items, message->items);
        metric_add(lane->messages, 1);
        metric_add(lane->bytes, (double)message->value.len);
        return;
    }
    lane->state.dead_letters++;
    metric_add(lane->dead_letters, 1);
    if (message->destination == TO_DEAD_LETTERS_POINTER)
        metric_add(lane->dropped, message->items);
}

/* By what we know, the topic takes it: then the limit was lowered since, and its batch was too
 * large rather than the message. */
static bool should_fit(const struct lane *lane, const struct message *message)
{
    return message->destination == TO_TOPIC && !message->doubted &&
           message->value.len <= produce_topic_cut_limit(&lane->topic);
}

void message_report(void *context, void *opaque, bool stored, int32_t partition, int64_t offset,
                    enum kafka_verdict verdict, const char *why)
{
    struct produce *produce = context;
    struct message *message = opaque;
    struct lane *lane = message_lane(produce, message);

    (void)partition;
    (void)offset;
    lane->state.in_flight--;
    if (stored) {
        lane_trouble(lane, "");
        count_stored(lane, message);
        outgoing_message_done(message);
        lane_advance(produce, lane);
        return;
    }
    lane_trouble(lane, why);
    switch (verdict) {
    case KAFKA_TOO_LARGE:
        if (should_fit(lane, message)) {
            message->doubted = true;
            produce_topic_doubt(&lane->topic);
            wait_and_retry(produce, message);
            break;
        }
        put_aside(produce, message, why);
        break;
    case KAFKA_REFUSED:
        put_aside(produce, message, why);
        break;
    case KAFKA_FATAL:
        message->retry = true; /* it may have arrived */
        wait_and_retry(produce, message);
        break;
    case KAFKA_RETRY:
        produce_topic_doubt(&lane->topic);
        wait_and_retry(produce, message);
        break;
    }
}

void message_resend_due(struct produce *produce)
{
    struct message *list = produce->waiting;
    uint64_t now = clock_mono_ms();

    produce->waiting = NULL;
    while (list != NULL) {
        struct message *message = list;
        struct lane *lane = message_lane(produce, message);

        list = message->next_waiting;
        if (message->due_ms > now || !produce_is_fit(produce)) {
            message->next_waiting = produce->waiting;
            produce->waiting = message;
            continue;
        }
        lane->state.waiting--;
        message_send(produce, message);
    }
}
