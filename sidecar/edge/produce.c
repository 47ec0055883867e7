#include "sidecar/edge/produce.h"

#include "common/assert.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/edge/journal.h"
#include "sidecar/edge/outgoing.h"
#include "sidecar/kafka/producer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MESSAGE_OVERHEAD = 4096, /* headers and the batch around a value */
    UNKNOWN_MAX = 1000000, /* librdkafka's and the Collector's default, where a topic won't tell */
    DESCRIBE_WAIT_MS = 1000,
    DESCRIBE_AGAIN_MS = 1000, /* while a topic is unknown */
    DESCRIBE_EVERY_MS = 60000,
    BUSY_POLL_MS = 5,
    QUIET_POLL_MS = 50, /* when nothing came of it for QUIET_AFTER_MS */
    QUIET_AFTER_MS = 1000,
    IDLE_MS = 500, /* how long an idle thread sleeps unless it is kicked */
    EAGER_MS = 2,  /* the same for EAGER_FOR_MS after a kick, if frames come later than it */
    EAGER_FOR_MS = 200,
    DEAD_LETTERS_PARTITION = -1, /* RD_KAFKA_PARTITION_UA: any */
    IN_FLIGHT_MAX = 4096,        /* messages, so that the journal's searches stay short */
};

static const struct backoff retry_backoff = {
    .initial_ms = 200, .max_ms = 30000, .multiplier_percent = 200, .jitter_percent = 30};

struct lane {
    enum signal signal;
    const char *topic, *dead_letter;
    struct spool_reader *reader;
    struct outgoing *oldest, **end; /* frames not stored whole yet, in order */
    struct spool_frame *uncut;      /* read, but there was no memory for its messages */
    uint64_t old_frames;            /* left by an earlier run and not read yet */
    struct producer_topic described;
    bool known;
    size_t message_max;
    uint64_t describe_at_ms, described_ms; /* monotonic: when to ask, and when we did */
    int32_t next_partition;
    struct produce_lane_state state;
    struct metric *items, *messages, *bytes, *retries, *dead_letters, *dropped;
};

struct produce {
    struct produce_options options;
    struct producer *producer;
    struct journal *journal;
    struct lane lanes[SIGNAL_COUNT];
    struct otlp_slices slices;
    struct message *waiting; /* for another try */
    size_t held_bytes;       /* of frames in memory */
    bool vouched;            /* the journal tells all that an earlier run may have sent */
    uint64_t clients;
    uint64_t reopen_at_ms;
    size_t batch_bytes, batch_wanted; /* the client's, and what the smallest topic takes */
    uint64_t moved_ms;                /* when something was last sent or reported */
    uint64_t kicked_ms;
    uint32_t random;
    uint64_t deadline_ms; /* for draining; 0: not stopping */
    bool running;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool kicked, sleeping, stopping;
    uint32_t drain_ms;
    struct produce_state published;
};

static const struct metric_desc items_desc = {.name = "surgetank_edge_produced_items_total",
                                              .kind = METRIC_COUNTER,
                                              .help = "Items that Kafka acknowledged.",
                                              .labels = {"signal"}};
static const struct metric_desc messages_desc = {.name = "surgetank_edge_produced_messages_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help = "Messages that Kafka acknowledged.",
                                                 .labels = {"signal"}};
static const struct metric_desc bytes_desc = {
    .name = "surgetank_edge_produced_bytes_total",
    .kind = METRIC_COUNTER,
    .help = "Bytes of values, before compression, that Kafka acknowledged.",
    .labels = {"signal"}};
static const struct metric_desc retries_desc = {.name = "surgetank_edge_produce_retries_total",
                                                .kind = METRIC_COUNTER,
                                                .help =
                                                    "Messages sent again after a failed delivery.",
                                                .labels = {"signal"}};
static const struct metric_desc dead_desc = {
    .name = "surgetank_edge_dead_letters_total",
    .kind = METRIC_COUNTER,
    .help = "Messages put into the dead-letter topic because Kafka would not take them.",
    .labels = {"signal"}};
static const struct metric_desc dropped_desc = {
    .name = "surgetank_edge_dropped_items_total",
    .kind = METRIC_COUNTER,
    .help = "Items of which only a pointer could be put into the dead-letter topic.",
    .labels = {"signal"}};

/* ---- small things */

static void trouble(struct lane *lane, const char *text)
{
    snprintf(lane->state.trouble, sizeof lane->state.trouble, "%.*s",
             (int)sizeof lane->state.trouble - 1, text);
}

static uint32_t next_random(struct produce *produce)
{
    produce->random = produce->random * 1664525u + 1013904223u;
    return produce->random;
}

/* Puts the message on the list of those that wait for another try. */
static void wait_and_retry(struct produce *produce, struct message *message)
{
    struct lane *lane = &produce->lanes[message->outgoing->frame->lane];

    message->due_ms =
        clock_mono_ms() + backoff_delay_ms(&retry_backoff, message->attempts, next_random(produce));
    message->next_waiting = produce->waiting;
    produce->waiting = message;
    lane->state.waiting++;
}

/* Frames that are stored whole, from the oldest on, move the cursor. */
static void advance(struct produce *produce, struct lane *lane)
{
    while (lane->oldest != NULL && lane->oldest->left == 0) {
        struct outgoing *done = lane->oldest;

        lane->oldest = done->next;
        if (lane->oldest == NULL)
            lane->end = &lane->oldest;
        produce->held_bytes -= done->frame->data.len;
        spool_reader_ack(lane->reader, done->frame->end);
        journal_forget(produce->journal, lane->signal, done->frame->end.seq);
        outgoing_free(&done);
    }
}

static size_t cut_limit(const struct lane *lane)
{
    size_t limit = lane->message_max > 2 * MESSAGE_OVERHEAD ? lane->message_max - MESSAGE_OVERHEAD
                                                            : lane->message_max / 2 + 1;
    return limit < PRODUCE_MESSAGE_MAX ? limit : PRODUCE_MESSAGE_MAX;
}

/* ---- sending */

/* The next partition that has a leader, in turn; the one whose turn it is if none has. */
static int32_t choose_partition(struct lane *lane)
{
    int32_t partitions = lane->described.partitions;

    for (int32_t i = 0; i < partitions; i++) {
        int32_t at = (lane->next_partition + i) % partitions;
        if (lane->described.leaders[at]) {
            lane->next_partition = (at + 1) % partitions;
            return at;
        }
    }
    return lane->next_partition % partitions;
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
                                                TEXT(produce->lanes[frame->lane].topic)};
    }
    if (message->destination == TO_DEAD_LETTERS_POINTER)
        headers[n++] = (struct producer_header){NAMES_HEADER_DLQ_POINTER, TEXT("1")};
#undef TEXT
    return n;
}

static void put_aside(struct produce *produce, struct message *message, const char *why);

static void send_message(struct produce *produce, struct message *message)
{
    struct lane *lane = &produce->lanes[message->outgoing->frame->lane];
    struct producer_header headers[PRODUCER_HEADERS_MAX];
    char texts[2][24];
    struct error error = {0};

    if (message->partition < 0 || message->partition >= lane->described.partitions)
        message->partition = choose_partition(lane);
    if (message->first_try_ms == 0)
        message->first_try_ms = clock_wall_ms();
    note(produce, message);

    bool aside = message->destination != TO_TOPIC;
    const struct producer_message send = {
        .topic = aside ? lane->dead_letter : lane->topic,
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
            trouble(lane, error.text);
        wait_and_retry(produce, message);
    }
}

/* Kafka won't take it as it is: halves, then the dead letters, then a pointer there. */
static void put_aside(struct produce *produce, struct message *message, const char *why)
{
    struct message *halves[2];
    struct lane *lane = &produce->lanes[message->outgoing->frame->lane];
    enum err err =
        message->destination == TO_TOPIC ? outgoing_halve(message, halves, NULL) : ERR_NOTFOUND;

    if (err == OK) {
        send_message(produce, halves[0]);
        send_message(produce, halves[1]);
        return;
    }
    if (err != ERR_NOTFOUND) { /* no memory for it now */
        wait_and_retry(produce, message);
        return;
    }
    if (message->destination == TO_DEAD_LETTERS_POINTER) {
        LOG_ERROR("Kafka refuses even a pointer in the dead letters",
                  LOG_STR("topic", lane->dead_letter), LOG_STR("why", why));
        trouble(lane, why);
        wait_and_retry(produce, message);
        return;
    }
    message->destination =
        message->destination == TO_TOPIC ? TO_DEAD_LETTERS : TO_DEAD_LETTERS_POINTER;
    snprintf(message->reason, sizeof message->reason, "%.*s", (int)sizeof message->reason - 1, why);
    LOG_WARN("Put a message into the dead letters", LOG_STR("topic", lane->dead_letter),
             LOG_STR("id", message->id), LOG_U64("items", message->items), LOG_STR("why", why));
    send_message(produce, message);
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

/* Something about the topic may have changed: ask, but not at every failure. */
static void describe_soon(struct lane *lane)
{
    uint64_t soon_ms = lane->described_ms + DESCRIBE_AGAIN_MS;

    if (lane->describe_at_ms > soon_ms)
        lane->describe_at_ms = soon_ms;
}

/* By what we know, the topic takes it: then the limit was lowered since, and its batch was too
 * large rather than the message. */
static bool should_fit(const struct lane *lane, const struct message *message)
{
    return message->destination == TO_TOPIC && !message->doubted &&
           message->value.len <= cut_limit(lane);
}

static void on_report(void *context, void *opaque, bool stored, int32_t partition, int64_t offset,
                      enum kafka_verdict verdict, const char *why)
{
    struct produce *produce = context;
    struct message *message = opaque;
    struct lane *lane = &produce->lanes[message->outgoing->frame->lane];

    (void)partition;
    (void)offset;
    lane->state.in_flight--;
    if (stored) {
        trouble(lane, "");
        count_stored(lane, message);
        outgoing_message_done(message);
        advance(produce, lane);
        return;
    }
    trouble(lane, why);
    switch (verdict) {
    case KAFKA_TOO_LARGE:
        if (should_fit(lane, message)) {
            message->doubted = true;
            describe_soon(lane);
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
        describe_soon(lane);
        wait_and_retry(produce, message);
        break;
    }
}

/* ---- the topic */

static void learn_message_max(struct produce *produce, struct lane *lane)
{
    struct error error = {0};
    size_t bytes = UNKNOWN_MAX;

    if (producer_message_max(produce->producer, lane->topic, DESCRIBE_WAIT_MS, &bytes, &error))
        LOG_WARN("Could not learn a topic's max.message.bytes, assuming the default",
                 LOG_STR("topic", lane->topic), LOG_U64("bytes", bytes),
                 LOG_STR("error", error.text));
    lane->message_max = bytes;
    if (bytes < produce->batch_wanted)
        produce->batch_wanted = bytes;
}

/* Knows the topic, or says what is in the way. */
static bool know_topic(struct produce *produce, struct lane *lane)
{
    uint64_t now = clock_mono_ms();
    struct error error = {0};

    if (now < lane->describe_at_ms)
        return lane->known;
    enum err err = producer_describe(produce->producer, lane->topic, DESCRIBE_WAIT_MS,
                                     &lane->described, &error);
    lane->described_ms = clock_mono_ms();
    lane->describe_at_ms = lane->described_ms + (err ? DESCRIBE_AGAIN_MS : DESCRIBE_EVERY_MS);
    if (err) {
        if (err == ERR_NOTFOUND)
            lane->known = false;
        trouble(lane, error.text);
        return lane->known;
    }
    if (!lane->known)
        trouble(lane, "");
    lane->known = true;
    learn_message_max(produce, lane);
    return true;
}

/* ---- from the spool */

/* What an earlier run may have sent goes out as it went out then. */
static void restore(struct produce *produce, struct outgoing *outgoing, bool old)
{
    for (struct message *at = outgoing->messages; at != NULL; at = at->next) {
        struct journal_entry entry;
        if (journal_find(produce->journal, outgoing->frame->lane, outgoing->frame->seq, at->part,
                         &entry)) {
            at->retry = true;
            at->partition = entry.partition;
            at->first_try_ms = entry.first_try_ms;
        } else if (old && !journal_is_whole(produce->journal)) {
            at->retry = true;
            at->first_try_ms = outgoing->frame->accepted_ns / 1000000;
        }
    }
}

static enum err take_frame(struct produce *produce, struct lane *lane, struct error *error)
{
    struct spool_frame *frame = NULL;
    struct outgoing *outgoing = NULL;
    struct journal_entry entry;
    bool old = lane->old_frames > 0;

    enum err err = OK;
    MOVE(frame, lane->uncut);
    if (frame == NULL)
        err = spool_reader_next(lane->reader, 0, &frame, error);
    if (err)
        return err;
    size_t limit = journal_find(produce->journal, lane->signal, frame->seq, 0, &entry)
                       ? (size_t)entry.cut_bytes
                       : cut_limit(lane);
    err = outgoing_cut(&frame, limit, &produce->slices, &outgoing, error);
    if (err == ERR_INVALID) /* cannot be: it was checked at the door; keep it whole all the same */
        err = outgoing_cut(&frame, SIZE_MAX, &produce->slices, &outgoing, error);
    if (err) {
        MOVE(lane->uncut, frame);
        return err;
    }
    lane->old_frames -= old;
    produce->held_bytes += outgoing->frame->data.len;
    *lane->end = outgoing;
    lane->end = &outgoing->next;
    restore(produce, outgoing, old);
    for (struct message *at = outgoing->messages, *next; at != NULL; at = next) {
        next = at->next; /* halves that are put in are sent where they are made */
        send_message(produce, at);
    }
    advance(produce, lane); /* a frame without data is done already */
    return OK;
}

/* False: the client's batches are too large for some topic, or it is dead. Nothing is sent until it
 * has been replaced. */
static bool is_fit(const struct produce *produce)
{
    return !producer_is_dead(produce->producer) && produce->batch_bytes <= produce->batch_wanted;
}

/* True: there was something. */
static bool feed(struct produce *produce, struct lane *lane)
{
    struct error error = {0};
    bool any = false;

    if (lane->topic == NULL || !is_fit(produce))
        return false;
    for (int i = 0; i < 64; i++) {
        if (produce->held_bytes >= produce->options.in_flight_bytes ||
            producer_in_flight(produce->producer) + lane->state.waiting >= IN_FLIGHT_MAX ||
            !know_topic(produce, lane) || !is_fit(produce))
            break;
        enum err err = take_frame(produce, lane, &error);
        if (err == ERR_AGAIN)
            break;
        if (err) {
            trouble(lane, error.text);
            LOG_ERROR("Could not read the spool", LOG_STR("signal", signal_name(lane->signal)),
                      LOG_STR("error", error.text));
            break;
        }
        any = true;
    }
    return any;
}

/* Once nothing of an earlier run is left to be read, the journal tells all of it. */
static void vouch(struct produce *produce)
{
    struct error error = {0};

    if (produce->vouched)
        return;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (produce->lanes[i].old_frames > 0)
            return;
    produce->vouched = true;
    if (!journal_is_whole(produce->journal) && journal_vouch(produce->journal, &error))
        LOG_WARN("Could not write the journal anew", LOG_STR("error", error.text));
}

static void resend_due(struct produce *produce)
{
    struct message *list = produce->waiting;
    uint64_t now = clock_mono_ms();

    produce->waiting = NULL;
    while (list != NULL) {
        struct message *message = list;
        struct lane *lane = &produce->lanes[message->outgoing->frame->lane];

        list = message->next_waiting;
        if (message->due_ms > now || !is_fit(produce)) {
            message->next_waiting = produce->waiting;
            produce->waiting = message;
            continue;
        }
        lane->state.waiting--;
        send_message(produce, message);
    }
}

/* ---- the thread */

static enum err open_client(struct produce *produce, struct error *error)
{
    const struct producer_options options = {.access = produce->options.access,
                                             .compression = produce->options.compression,
                                             .compression_level =
                                                 produce->options.compression_level,
                                             .queue_bytes = 2 * produce->options.in_flight_bytes,
                                             .batch_bytes = produce->batch_wanted,
                                             .report = on_report,
                                             .context = produce};
    enum err err = producer_open(&options, &produce->producer, error);
    if (err)
        return err;
    produce->batch_bytes = options.batch_bytes;
    produce->clients++;
    return OK;
}

/* A dead client can't be mended: everything under way is reported, and a new one takes it over. One
 * whose batches are too large is replaced when nothing is under way. */
static void replace_client(struct produce *produce)
{
    bool died = producer_is_dead(produce->producer);
    struct producer *dead = produce->producer;
    struct error error = {0};

    if (clock_mono_ms() < produce->reopen_at_ms)
        return;
    produce->reopen_at_ms = clock_mono_ms() + DESCRIBE_AGAIN_MS;
    if (open_client(produce, &error)) {
        produce->producer = dead;
        LOG_ERROR("Could not make a new Kafka client", LOG_STR("error", error.text));
        return;
    }
    if (died)
        LOG_WARN("Replaced the Kafka client after a fatal error",
                 LOG_U64("clients", produce->clients));
    else
        LOG_INFO("Opened a Kafka client with smaller batches",
                 LOG_U64("bytes", produce->batch_bytes));
    producer_close(&dead, 0);
}

static void publish(struct produce *produce)
{
    pthread_mutex_lock(&produce->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct lane *lane = &produce->lanes[i];
        lane->state.topic_known = lane->known;
        lane->state.partitions = lane->described.partitions;
        lane->state.message_max = lane->message_max;
        produce->published.lanes[i] = lane->state;
    }
    kafka_health_read(producer_health(produce->producer), produce->published.kafka,
                      sizeof produce->published.kafka, &produce->published.kafka_since_ms);
    produce->published.clients = produce->clients;
    pthread_mutex_unlock(&produce->lock);
}

/* Sleeps until somebody has something for us. */
static void sleep_idle(struct produce *produce)
{
    struct timespec until;
    bool eager = produce->options.replicated && clock_mono_ms() < produce->kicked_ms + EAGER_FOR_MS;
    uint64_t at = clock_wall_ns() + (eager ? EAGER_MS : IDLE_MS) * 1000000ull;

    until.tv_sec = (time_t)(at / 1000000000u);
    until.tv_nsec = (long)(at % 1000000000u);
    pthread_mutex_lock(&produce->lock);
    produce->sleeping = true;
    if (!produce->kicked && !produce->stopping)
        pthread_cond_timedwait(&produce->wake, &produce->lock, &until);
    produce->sleeping = false;
    if (produce->kicked)
        produce->kicked_ms = clock_mono_ms();
    produce->kicked = false;
    pthread_mutex_unlock(&produce->lock);
}

static bool is_empty(const struct produce *produce)
{
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (produce->lanes[i].oldest != NULL)
            return false;
    return true;
}

/* True: it is time to go. */
static bool should_stop(struct produce *produce, bool idle)
{
    pthread_mutex_lock(&produce->lock);
    if (produce->stopping && produce->deadline_ms == 0)
        produce->deadline_ms = clock_mono_ms() + produce->drain_ms + 1;
    pthread_mutex_unlock(&produce->lock);
    if (produce->deadline_ms == 0)
        return false;
    return (idle && is_empty(produce)) || clock_mono_ms() >= produce->deadline_ms;
}

/* How long to wait for reports: not at all while there is more to send or nothing under way, and
 * with longer breaks while Kafka is away. */
static uint32_t poll_ms(const struct produce *produce, bool fed, bool waiting)
{
    if (fed || !waiting)
        return 0;
    return clock_mono_ms() < produce->moved_ms + QUIET_AFTER_MS ? BUSY_POLL_MS : QUIET_POLL_MS;
}

static void *run(void *context)
{
    struct produce *produce = context;
    bool idle = false;

    while (!should_stop(produce, idle)) {
        bool fed = false;

        if (producer_is_dead(produce->producer) ||
            (!is_fit(produce) && producer_in_flight(produce->producer) == 0))
            replace_client(produce);
        for (int i = 0; i < SIGNAL_COUNT; i++)
            fed |= feed(produce, &produce->lanes[i]);
        vouch(produce);
        resend_due(produce);
        bool waiting = producer_in_flight(produce->producer) > 0 || produce->waiting != NULL;
        int reports = producer_poll(produce->producer, poll_ms(produce, fed, waiting));
        if (fed || reports > 0)
            produce->moved_ms = clock_mono_ms();
        publish(produce);
        idle = !fed && !waiting && reports == 0;
        if (idle && produce->deadline_ms == 0)
            sleep_idle(produce);
    }
    return NULL;
}

/* ---- opening and closing */

static enum err open_lane(struct produce *produce, enum signal signal, struct error *error)
{
    struct lane *lane = &produce->lanes[signal];
    struct spool_stats stats;

    *lane = (struct lane){.signal = signal,
                          .topic = produce->options.lanes[signal].topic,
                          .dead_letter = produce->options.lanes[signal].dead_letter,
                          .message_max = UNKNOWN_MAX,
                          .items = metrics_series(&items_desc, signal_name(signal)),
                          .messages = metrics_series(&messages_desc, signal_name(signal)),
                          .bytes = metrics_series(&bytes_desc, signal_name(signal)),
                          .retries = metrics_series(&retries_desc, signal_name(signal)),
                          .dead_letters = metrics_series(&dead_desc, signal_name(signal)),
                          .dropped = metrics_series(&dropped_desc, signal_name(signal))};
    lane->end = &lane->oldest;
    if (lane->topic == NULL)
        return OK;
    enum err err =
        spool_reader_open(produce->options.spool, signal, PRODUCE_READER, &lane->reader, error);
    if (err)
        return err;
    spool_stats(produce->options.spool, &stats);
    for (size_t i = 0; i < stats.lanes[signal].reader_count; i++)
        if (strcmp(stats.lanes[signal].readers[i].name, PRODUCE_READER) == 0)
            lane->old_frames = stats.lanes[signal].readers[i].frames;
    return OK;
}

enum err produce_open(const struct produce_options *options, struct produce **ret_produce,
                      struct error *error)
{
    struct produce *produce = calloc(1, sizeof *produce);
    if (produce == NULL)
        return error_set(error, ERR_NOMEM, "open producer");
    produce->options = *options;
    produce->random = (uint32_t)clock_wall_ns();
    produce->batch_wanted = PRODUCER_BATCH_MAX;
    pthread_mutex_init(&produce->lock, NULL);
    pthread_cond_init(&produce->wake, NULL);

    enum err err = journal_open(options->journal_path, spool_incarnation(options->spool),
                                &produce->journal, error);
    for (int i = 0; i < SIGNAL_COUNT && !err; i++)
        err = open_lane(produce, (enum signal)i, error);
    if (!err)
        err = open_client(produce, error);
    if (!err && pthread_create(&produce->thread, NULL, run, produce) != 0)
        err = error_set_errno(error, ERR_NOMEM, "start the producing thread");
    if (err) {
        produce_close(&produce, 0);
        return err;
    }
    produce->running = true;
    pthread_setname_np(produce->thread, "produce");
    *ret_produce = produce;
    return OK;
}

void produce_kick(struct produce *produce)
{
    pthread_mutex_lock(&produce->lock);
    produce->kicked = true;
    if (produce->sleeping)
        pthread_cond_signal(&produce->wake);
    pthread_mutex_unlock(&produce->lock);
}

void produce_close(struct produce **produce, uint32_t drain_ms)
{
    struct produce *gone = *produce;
    if (gone == NULL)
        return;

    if (gone->running) {
        pthread_mutex_lock(&gone->lock);
        gone->stopping = true;
        gone->drain_ms = drain_ms;
        pthread_cond_signal(&gone->wake);
        pthread_mutex_unlock(&gone->lock);
        pthread_join(gone->thread, NULL);
    }
    producer_close(&gone->producer, 0);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        while (gone->lanes[i].oldest != NULL) {
            struct outgoing *left = gone->lanes[i].oldest;
            gone->lanes[i].oldest = left->next;
            outgoing_free(&left);
        }
        spool_frame_release(&gone->lanes[i].uncut);
        spool_reader_close(&gone->lanes[i].reader);
    }
    journal_close(&gone->journal);
    otlp_slices_fini(&gone->slices);
    pthread_cond_destroy(&gone->wake);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *produce = NULL;
}

void produce_state(struct produce *produce, struct produce_state *ret_state)
{
    pthread_mutex_lock(&produce->lock);
    *ret_state = produce->published;
    pthread_mutex_unlock(&produce->lock);
}
