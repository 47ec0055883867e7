/* The frames of one signal, from the spool to the end of their way. */
#include "sidecar/edge/produce_internal.h"

#include "common/log.h"

#include <stdio.h>

enum { IN_FLIGHT_MAX = 4096 }; /* messages, so that the journal's searches stay short */

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

void lane_trouble(struct lane *lane, const char *text)
{
    snprintf(lane->state.trouble, sizeof lane->state.trouble, "%.*s",
             (int)sizeof lane->state.trouble - 1, text);
}

void lane_advance(struct produce *produce, struct lane *lane)
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
                       : produce_topic_cut_limit(&lane->topic);
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
        message_send(produce, at);
    }
    lane_advance(produce, lane); /* a frame without data is done already */
    return OK;
}

/* Knows the topic, or says what is in the way. */
static bool know_topic(struct produce *produce, struct lane *lane)
{
    struct error error = {0};
    bool known = lane->topic.known;

    if (produce_topic_refresh(&lane->topic, produce->producer, &error))
        lane_trouble(lane, error.text);
    else if (!known && lane->topic.known)
        lane_trouble(lane, "");
    if (lane->topic.known && lane->topic.message_max < produce->batch_wanted)
        produce->batch_wanted = lane->topic.message_max;
    return lane->topic.known;
}

bool lane_feed(struct produce *produce, struct lane *lane)
{
    struct error error = {0};
    bool any = false;

    if (lane->topic.name == NULL || !produce_is_fit(produce))
        return false;
    for (int i = 0; i < 64; i++) {
        if (produce->held_bytes >= produce->options.in_flight_bytes ||
            producer_in_flight(produce->producer) + lane->state.waiting >= IN_FLIGHT_MAX ||
            !know_topic(produce, lane) || !produce_is_fit(produce))
            break;
        enum err err = take_frame(produce, lane, &error);
        if (err == ERR_AGAIN)
            break;
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

enum err lane_open(struct produce *produce, enum signal signal, struct error *error)
{
    struct lane *lane = &produce->lanes[signal];
    struct spool_stats stats;

    *lane = (struct lane){.signal = signal,
                          .items = metrics_series(&items_desc, signal_name(signal)),
                          .messages = metrics_series(&messages_desc, signal_name(signal)),
                          .bytes = metrics_series(&bytes_desc, signal_name(signal)),
                          .retries = metrics_series(&retries_desc, signal_name(signal)),
                          .dead_letters = metrics_series(&dead_desc, signal_name(signal)),
                          .dropped = metrics_series(&dropped_desc, signal_name(signal))};
    lane->end = &lane->oldest;
    produce_topic_init(&lane->topic, produce->options.lanes[signal].topic,
                       produce->options.lanes[signal].dead_letter);
    if (lane->topic.name == NULL)
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

void lane_close(struct lane *lane)
{
    while (lane->oldest != NULL) {
        struct outgoing *left = lane->oldest;
        lane->oldest = left->next;
        outgoing_free(&left);
    }
    spool_frame_release(&lane->uncut);
    spool_reader_close(&lane->reader);
}
