/* One message on its way: sent, reported, tried again, put aside. */
#include "sidecar/edge/produce_internal.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "common/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DEAD_LETTERS_PARTITION = -1, /* RD_KAFKA_PARTITION_UA: any */
    REASON_MAX = 200,
    UNKNOWN_MS = 200, /* until a message for a topic that is not known is looked at again */
    ROOM_MS = 20,     /* until a record that has not been encoded for want of room is looked at */
};

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
static void wait_until(struct produce *produce, struct message *message, uint64_t due_ms)
{
    message->due_ms = due_ms;
    message->next_waiting = produce->waiting;
    produce->waiting = message;
    message_lane(produce, message)->state.waiting++;
}

static void wait_and_retry(struct produce *produce, struct message *message)
{
    wait_until(produce, message,
               clock_mono_ms() +
                   backoff_delay_ms(&retry_backoff, message->attempts, next_random(produce)));
}

/* Records of their own make good batches only if those of a frame stay together. */
static int32_t choose_partition(struct message *message, struct bytes key)
{
    struct outgoing *outgoing = message->outgoing;
    bool together = key.len == 0 && message->topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON;

    if (together && produce_topic_has(message->topic, outgoing->partition))
        return outgoing->partition;
    outgoing->partition = produce_topic_choose(message->topic, key);
    return outgoing->partition;
}

/* By its key, for the journal: of all parts of a frame that have keys the same is true. */
static int32_t partition_to_note(const struct message *message)
{
    return message->key_len > 0 ? -message->topic->described.partitions : message->partition;
}

/* Where it goes, and since when it is tried, fixed for good. */
static void settle(struct produce *produce, struct message *message, uint64_t now_ms)
{
    struct error error = {0};

    if (!produce_topic_has(message->topic, message->partition))
        message->partition =
            choose_partition(message, (struct bytes){message->key, message->key_len});
    if (message->first_try_ms == 0)
        message->first_try_ms = now_ms;
    if (message->noted)
        return;
    const struct journal_entry entry = {.seq = message->outgoing->frame->seq,
                                        .first_try_ms = message->first_try_ms,
                                        .cut_bytes = message->outgoing->cut_bytes,
                                        .partition = partition_to_note(message),
                                        .part = message->part,
                                        .parts = message->outgoing->parts,
                                        .plan = message->outgoing->plan,
                                        .lane = message->outgoing->frame->lane};
    message->noted = true;
    if (journal_note(produce->journal, &entry, &error))
        LOG_WARN("Could not note a message in the journal", LOG_STR("error", error.text));
}

static void write_notes(struct produce *produce)
{
    struct error error = {0};

    if (journal_write(produce->journal, &error))
        LOG_WARN("Could not write the journal", LOG_STR("error", error.text));
}

void message_settle_all(struct produce *produce, struct outgoing *outgoing)
{
    uint64_t now_ms = clock_wall_ms();

    for (struct message *at = outgoing->messages; at != NULL; at = at->next)
        if (at->topic->known)
            settle(produce, at, now_ms);
    write_notes(produce);
}

/* What headers point to. */
struct header_texts {
    char id[OUTGOING_ID_MAX], accepted[NUM_MAX], first_try[NUM_MAX];
};

static struct bytes decimal(char into[static NUM_MAX], uint64_t value)
{
    return (struct bytes){(const uint8_t *)into, (size_t)(num_put_u64(into, value, 1) - into)};
}

static size_t make_headers(const struct produce *produce, const struct message *message,
                           struct header_texts *texts,
                           struct producer_header headers[PRODUCER_HEADERS_MAX])
{
    const struct spool_frame *frame = message->outgoing->frame;
    const char *reason = message->reason != NULL ? message->reason : "";
    size_t n = 0;
#define TEXT(s) ((struct bytes){(const uint8_t *)(s), strlen(s)})
    outgoing_id(message, texts->id);
    headers[n++] = (struct producer_header){NAMES_HEADER_ID, TEXT(texts->id)};
    headers[n++] = (struct producer_header){NAMES_HEADER_ACCEPTED,
                                            decimal(texts->accepted, frame->accepted_ns / 1000000)};
    headers[n++] = (struct producer_header){NAMES_HEADER_SIGNAL, TEXT(signal_name(frame->lane))};
    if (message->retry)
        headers[n++] = (struct producer_header){NAMES_HEADER_RETRY,
                                                decimal(texts->first_try, message->first_try_ms)};
    if (message->destination != TO_TOPIC) {
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_REASON, TEXT(reason)};
        headers[n++] =
            (struct producer_header){NAMES_HEADER_DLQ_GATEWAY, TEXT(produce->options.source)};
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_TOPIC, TEXT(message->topic->name)};
    }
    if (message->destination == TO_DEAD_LETTERS_POINTER)
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_POINTER, TEXT("1")};
#undef TEXT
    return n;
}

static void put_aside(struct produce *produce, struct message *message, const char *why);

/* False: its topic is not known yet. */
static bool has_topic(struct produce *produce, struct message *message)
{
    message->topic->wanted = true;
    if (!message->topic->known)
        wait_until(produce, message, clock_mono_ms() + UNKNOWN_MS);
    return message->topic->known;
}

/* False: not now, it waits. */
static bool encode(struct produce *produce, struct message *message)
{
    struct error error = {0};
    size_t bytes = 0;

    if (message->unencoded && produce->encoded_bytes >= produce->options.in_flight_bytes) {
        wait_until(produce, message, clock_mono_ms() + ROOM_MS);
        return false;
    }
    enum err err = outgoing_encode(message, &produce->work, &bytes, &error);
    produce->encoded_bytes += bytes;
    if (err == ERR_NOMEM) {
        wait_and_retry(produce, message);
    } else if (err) { /* cannot be: it was checked at the door */
        message->unencoded = false;
        put_aside(produce, message, error.text);
    }
    return err == OK;
}

void message_send(struct produce *produce, struct message *message)
{
    struct lane *lane = message_lane(produce, message);
    struct producer_header headers[PRODUCER_HEADERS_MAX];
    struct header_texts texts;
    struct error error = {0};

    const struct bytes key = {message->key, message->key_len};
    if (!has_topic(produce, message) || !encode(produce, message))
        return;
    bool noted = message->noted;
    uint64_t now_ms = clock_wall_ms();
    settle(produce, message, now_ms);
    if (!noted)
        write_notes(produce);

    bool aside = message->destination != TO_TOPIC;
    const struct producer_message send = {
        .topic = aside ? message->topic->dead_letter : message->topic->name,
        .partition = aside ? DEAD_LETTERS_PARTITION : message->partition,
        .key = key,
        .value =
            message->destination == TO_DEAD_LETTERS_POINTER ? (struct bytes){0} : message->value,
        .headers = headers,
        .headers_len = make_headers(produce, message, &texts, headers),
        .timestamp_ms = (int64_t)now_ms,
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
    char id[OUTGOING_ID_MAX];
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
                  LOG_STR("topic", message->topic->dead_letter), LOG_STR("why", why));
        lane_trouble(lane, why);
        wait_and_retry(produce, message);
        return;
    }
    message->destination =
        message->destination == TO_TOPIC ? TO_DEAD_LETTERS : TO_DEAD_LETTERS_POINTER;
    free(message->reason);
    message->reason = strndup(why, REASON_MAX);
    outgoing_id(message, id);
    LOG_WARN("Put a message into the dead letters", LOG_STR("topic", message->topic->dead_letter),
             LOG_STR("id", id), LOG_U64("items", message->items), LOG_STR("why", why));
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
static bool should_fit(const struct message *message)
{
    return message->destination == TO_TOPIC && !message->doubted &&
           message->value.len <= produce_topic_cut_limit(message->topic);
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
        if (lane->state.trouble[0] != '\0')
            lane_trouble(lane, "");
        count_stored(lane, message);
        if (message->topic->encoding == PIPELINE_ENCODING_FLUENTBIT_JSON && message->owned != NULL)
            produce->encoded_bytes -= message->value.len;
        outgoing_message_done(message);
        if (message->outgoing->left == 0)
            lane_advance(produce, lane);
        return;
    }
    lane_trouble(lane, why);
    switch (verdict) {
    case KAFKA_TOO_LARGE:
        if (should_fit(message)) {
            message->doubted = true;
            produce_topic_doubt(message->topic);
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
        produce_topic_doubt(message->topic);
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
