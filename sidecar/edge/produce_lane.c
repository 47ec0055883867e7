/* The frames of one signal, from the spool to the end of their way. */
#include "sidecar/edge/produce_internal.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    IN_FLIGHT_MAX = 4096, /* messages; one frame alone may be more */
    ASK_AGAIN_MS = 1000,  /* after nobody answered */
    DRAINING_MS = 2000,   /* age of what is read that shows a backlog */
    DRAINING_BYTES = 6 << 20,
    TELL_AGAIN_MS = 60000,
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

static const struct metric_desc keyless_desc = {
    .name = "surgetank_edge_keyless_items_total",
    .kind = METRIC_COUNTER,
    .help = "Items sent without a key, because repeating their headers by key would be too much.",
    .labels = {"signal"}};

void lane_describe(struct lane *lane)
{
    lane->state.topic_known = lane->topic_count > 0 && lane->topics[0].known;
    lane->state.message_max = 0;
    for (size_t i = 0; i < lane->topic_count; i++) {
        const struct produce_topic *topic = &lane->topics[i];
        if (i == 0 || topic->message_max < lane->state.message_max)
            lane->state.message_max = topic->message_max;
    }
    if (lane->topic_count > 0)
        lane->state.partitions = lane->topics[0].described.partitions;
}

/* Trouble begins and ends in the log, at most once a minute: who doesn't look at /debug/state would
 * otherwise see a spool that fills, and not why. */
static void tell_trouble(struct lane *lane, const char *text)
{
    const char *signal = signal_name(lane->signal);
    bool has = text[0] != '\0';

    if (lane->told && !has) {
        lane->told = false;
        LOG_INFO("Sends to Kafka again", LOG_STR("signal", signal));
    } else if (!lane->told && has && clock_mono_ms() >= lane->tell_at_ms) {
        lane->told = true;
        lane->tell_at_ms = clock_mono_ms() + TELL_AGAIN_MS;
        LOG_WARN("Could not send to Kafka; it stays in the spool and is tried again",
                 LOG_STR("signal", signal), LOG_STR("error", text));
    }
}

void lane_trouble(struct lane *lane, const char *text)
{
    tell_trouble(lane, text);
    snprintf(lane->state.trouble, sizeof lane->state.trouble, "%.*s",
             (int)sizeof lane->state.trouble - 1, text);
}

/* ---- frames under way */

static void frames_init(struct frames *frames)
{
    frames->oldest = NULL;
    frames->end = &frames->oldest;
}

static void frames_add(struct frames *frames, struct outgoing *outgoing)
{
    *frames->end = outgoing;
    frames->end = &outgoing->next;
}

static struct outgoing *frames_take(struct frames *frames)
{
    struct outgoing *first = frames->oldest;

    frames->oldest = first->next;
    if (frames->oldest == NULL)
        frames->end = &frames->oldest;
    return first;
}

bool lane_is_empty(const struct lane *lane)
{
    return lane->in_turn.oldest == NULL && lane->ahead.oldest == NULL;
}

static void acknowledge(struct produce *produce, struct lane *lane, struct frames *frames)
{
    while (frames->oldest != NULL && frames->oldest->left == 0) {
        struct outgoing *done = frames_take(frames);
        produce->held_bytes -= done->frame->data.len;
        spool_reader_ack(lane->reader, done->frame->end);
        outgoing_free(&done);
    }
}

void lane_advance(struct produce *produce, struct lane *lane)
{
    acknowledge(produce, lane, &lane->in_turn);
    acknowledge(produce, lane, &lane->ahead);
    /* Not up to the cursor: what lies above the saved one is read again after a crash. */
    struct spool_saved saved = spool_reader_saved(lane->reader);
    if (saved.cursor != lane->forgotten.cursor)
        journal_forget(produce->journal, lane->signal, 0, saved.cursor);
    if (saved.ahead_to != lane->forgotten.ahead_to)
        journal_forget(produce->journal, lane->signal, saved.ahead_from, saved.ahead_to);
    lane->forgotten = saved;
}

/* ---- from the spool */

static int32_t noted_partition(const struct message *message, const struct journal_entry *entry)
{
    const struct bytes key = {message->key, message->key_len};

    return entry->partition < 0 ? produce_topic_by_key(key, -entry->partition) : entry->partition;
}

/* What an earlier run may have sent goes out as it went out then. Cut by another plan it is another
 * message, of which each item may be a repeat. */
static void restore(struct produce *produce, struct outgoing *outgoing)
{
    for (struct message *at = outgoing->messages; at != NULL; at = at->next) {
        struct journal_entry entry;
        if (journal_find(produce->journal, outgoing->frame->lane, outgoing->frame->seq, at->part,
                         &entry)) {
            at->retry = true;
            at->first_try_ms = entry.first_try_ms;
            at->noted = entry.plan == outgoing->plan;
            at->partition = at->noted ? noted_partition(at, &entry) : -1;
        } else if (!journal_is_whole(produce->journal)) {
            at->retry = true;
            at->first_try_ms = outgoing->frame->accepted_ns / 1000000;
        }
    }
}

/* One limit for all parts of a frame, that of the topic which takes least. */
static size_t cut_limit(const struct lane *lane)
{
    size_t limit = SIZE_MAX;

    for (size_t i = 0; i < lane->topic_count; i++)
        if (produce_topic_cut_limit(&lane->topics[i]) < limit)
            limit = produce_topic_cut_limit(&lane->topics[i]);
    return limit;
}

/* What is read in turn tells whether a backlog drains, and that nothing old is left. */
static void look_at_age(struct lane *lane, const struct spool_frame *frame)
{
    uint64_t now = clock_wall_ns();

    if (frame->ahead)
        return;
    lane->old_read |= frame->seq >= lane->run_begin;
    lane->draining =
        now > frame->accepted_ns && now - frame->accepted_ns > DRAINING_MS * 1000000ull;
}

/* Bytes that may be under way. What is fresh waits behind them, so they are few while a backlog
 * drains: five frames, as many requests as a client has under way at a broker, and the next one.
 * With fewer the broker waits for us, and not more is gained. */
static size_t room_bytes(const struct produce *produce, const struct lane *lane)
{
    size_t room = produce->options.in_flight_bytes;

    return produce->options.fresh_first && lane->draining && room > DRAINING_BYTES ? DRAINING_BYTES
                                                                                   : room;
}

static enum err take_frame(struct produce *produce, struct lane *lane, struct error *error)
{
    struct spool_frame *frame = NULL;
    struct outgoing *outgoing = NULL;
    struct journal_entry entry;
    struct outgoing_plan plan = {lane->topics, lane->topic_count, lane->plan, cut_limit(lane)};
    bool old;

    enum err err = OK;
    MOVE(frame, lane->uncut);
    if (frame == NULL)
        err = spool_reader_next(lane->reader, 0, &frame, error);
    if (err)
        return err;
    look_at_age(lane, frame);
    old = frame->seq < lane->run_begin;
    if (old && journal_find(produce->journal, lane->signal, frame->seq, JOURNAL_ANY_PART, &entry))
        plan.cut_bytes = (size_t)entry.cut_bytes;
    err = outgoing_cut(&frame, &plan, &produce->work, &outgoing, error);
    if (err) {
        MOVE(lane->uncut, frame);
        return err;
    }
    produce->held_bytes += outgoing->frame->data.len;
    metric_add(lane->keyless, (double)outgoing->keyless_items);
    frames_add(outgoing->frame->ahead ? &lane->ahead : &lane->in_turn, outgoing);
    if (old)
        restore(produce, outgoing);
    message_settle_all(produce, outgoing);
    for (struct message *at = outgoing->messages, *next; at != NULL; at = next) {
        next = at->next; /* halves that are put in are sent where they are made */
        message_send(produce, at);
    }
    lane_advance(produce, lane); /* a frame without data is done already */
    return OK;
}

/* Knows the topic, or says what is in the way. */
static bool know_topic(struct produce *produce, struct lane *lane, struct produce_topic *topic)
{
    struct error error = {0};
    bool known = topic->known;

    if (clock_mono_ms() < produce->ask_again_ms)
        return known;
    enum err err = produce_topic_refresh(topic, produce->producer, &error);
    if (err == ERR_AGAIN)
        produce->ask_again_ms = clock_mono_ms() + ASK_AGAIN_MS;
    if (err)
        lane_trouble(lane, error.text);
    else if (!known && topic->known)
        lane_trouble(lane, "");
    if (topic->known && topic->message_max < produce->batch_wanted)
        produce->batch_wanted = topic->message_max;
    return topic->known;
}

/* The default one has to be there. Another is asked about once a message is for it, which waits
 * until it is there: what may be in flight fills up then, and the lane stands. */
static bool know_topics(struct produce *produce, struct lane *lane)
{
    for (size_t i = 1; i < lane->topic_count; i++)
        if (lane->topics[i].wanted)
            know_topic(produce, lane, &lane->topics[i]);
    return know_topic(produce, lane, &lane->topics[0]);
}

bool lane_feed(struct produce *produce, struct lane *lane)
{
    struct error error = {0};
    bool any = false;

    if (lane->topic_count == 0 || !produce_is_fit(produce) || !know_topics(produce, lane))
        return false;
    for (int i = 0; i < 64; i++) {
        if (produce->held_bytes >= room_bytes(produce, lane) ||
            producer_in_flight(produce->producer) + lane->state.waiting >= IN_FLIGHT_MAX ||
            !produce_is_fit(produce))
            break;
        enum err err = take_frame(produce, lane, &error);
        if (err == ERR_AGAIN) {
            lane->old_read = true; /* there is nothing left to read at all */
            lane->draining = false;
            break;
        }
        if (err) {
            lane_trouble(lane, error.text);
            LOG_ERROR("Could not read the spool", LOG_STR("signal", signal_name(lane->signal)),
                      LOG_STR("error", error.text));
            break;
        }
        any = true;
    }
    return any;
}

/* ---- opening and closing */

static enum err open_topics(const struct produce *produce, struct lane *lane, struct error *error)
{
    const struct produce_options *options = &produce->options;
    size_t count = 0, rest = 1;

    for (size_t i = 0; i < options->route_count; i++)
        count += options->routes[i].topic->signal == lane->signal;
    if (count == 0)
        return OK;
    lane->topics = calloc(count, sizeof *lane->topics);
    if (lane->topics == NULL)
        return error_set(error, ERR_NOMEM, "%zu topics", count);
    for (size_t i = 0; i < options->route_count; i++) {
        const struct produce_route *route = &options->routes[i];
        if (route->topic->signal != lane->signal)
            continue;
        size_t at = route->tag == 0 ? 0 : rest++;
        ASSERT(at < count); /* one of them is the default */
        produce_topic_init(&lane->topics[at], route->topic, route->tag);
    }
    lane->topic_count = count;
    lane->plan = outgoing_plan_id(lane->topics, count);
    return OK;
}

/* Of a signal that no topic takes any more. It is not lost: it goes when one does again. */
static void tell_stranded(const struct produce *produce, struct lane *lane)
{
    struct spool_stats stats;
    uint64_t items = 0;

    spool_stats(produce->options.spool, &stats);
    const struct spool_lane_stats *of = &stats.lanes[lane->signal];
    for (size_t i = 0; i < of->reader_count; i++)
        if (strcmp(of->readers[i].name, PRODUCE_READER) == 0)
            items = of->readers[i].items;
    if (items == 0)
        return;
    LOG_WARN("What was accepted of a signal stays in the spool: no topic takes it now",
             LOG_STR("signal", signal_name(lane->signal)), LOG_U64("items", items),
             LOG_STR("advice", "let a gateway read the signal again until it is sent"));
    snprintf(lane->state.trouble, sizeof lane->state.trouble,
             "%llu items wait in the spool, and the document has no topic for them",
             (unsigned long long)items);
}

enum err lane_open(struct produce *produce, enum signal signal, struct error *error)
{
    struct lane *lane = &produce->lanes[signal];

    *lane = (struct lane){.signal = signal,
                          .old_read = true,
                          .items = metrics_series(&items_desc, signal_name(signal)),
                          .messages = metrics_series(&messages_desc, signal_name(signal)),
                          .bytes = metrics_series(&bytes_desc, signal_name(signal)),
                          .retries = metrics_series(&retries_desc, signal_name(signal)),
                          .dead_letters = metrics_series(&dead_desc, signal_name(signal)),
                          .dropped = metrics_series(&dropped_desc, signal_name(signal)),
                          .keyless = metrics_series(&keyless_desc, signal_name(signal))};
    frames_init(&lane->in_turn);
    frames_init(&lane->ahead);
    enum err err = open_topics(produce, lane, error);
    if (!err && lane->topic_count == 0)
        tell_stranded(produce, lane);
    if (err || lane->topic_count == 0)
        return err;
    err = spool_reader_open(produce->options.spool, signal, PRODUCE_READER, &lane->reader, error);
    if (err)
        return err;
    lane->run_begin = spool_run_begin(produce->options.spool, signal);
    lane->old_read = false;
    lane_order(produce, lane);
    lane_advance(produce, lane); /* the journal may tell of what is long done */
    return OK;
}

void lane_order(const struct produce *produce, struct lane *lane)
{
    const struct produce_options *options = &produce->options;

    if (lane->reader != NULL)
        spool_reader_fresh_first(lane->reader, options->fresh_first ? options->in_flight_bytes : 0);
}

static void close_frames(struct frames *frames)
{
    while (frames->oldest != NULL) {
        struct outgoing *left = frames_take(frames);
        outgoing_free(&left);
    }
}

void lane_close(struct lane *lane)
{
    close_frames(&lane->in_turn);
    close_frames(&lane->ahead);
    spool_frame_release(&lane->uncut);
    spool_reader_close(&lane->reader);
    free(lane->topics);
}
