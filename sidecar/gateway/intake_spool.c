/* On a single node each gateway is a reader of the spool: a frame is a message, and its cursor is
 * the commit. There are no repeats to look for, since frames come in order and once. */
#include "sidecar/gateway/intake.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/gateway/dead_letters.h"
#include "sidecar/spool/reader.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FRAMES_PER_POLL = 64,
    POLL_EVERY_MS = 200, /* unless woken; what was told before it could be read waits that long */
};

struct message {
    struct parcel parcel;
    struct spool_frame *frame;
    struct lane *lane;
    struct message *next; /* of its lane, oldest first */
    uint64_t done_ms;     /* 0: under way */
};

struct lane {
    struct spool_reader *reader; /* NULL: this gateway does not read the signal */
    struct message *oldest, **end;
};

struct intake_spool {
    struct intake intake;
    struct intake_options options;
    struct lane lanes[SIGNAL_COUNT];
    size_t budget_bytes;
    bool stopped;
    struct intake_state state;
};

/* Frames that are done, and have been for long enough, move the cursor. */
static void advance(struct intake_spool *intake, struct lane *lane, uint64_t now_ms)
{
    uint64_t settle_ms = (uint64_t)intake->options.gateway->settle_ms;

    while (lane->oldest != NULL && lane->oldest->done_ms != 0 &&
           lane->oldest->done_ms + settle_ms <= now_ms) {
        struct message *message = lane->oldest;

        lane->oldest = message->next;
        if (lane->oldest == NULL)
            lane->end = &lane->oldest;
        intake->state.held_bytes -= message->frame->data.len;
        spool_reader_ack(lane->reader, message->frame->end);
        spool_frame_release(&message->frame);
        free(message);
    }
}

static void done(struct intake *base, struct parcel *parcel, uint64_t now_ms)
{
    struct message *message = (struct message *)parcel; /* its first member */

    message->done_ms = now_ms == 0 ? 1 : now_ms;
    advance((struct intake_spool *)base, message->lane, now_ms);
}

/* False: nothing there, or an error that was told. */
static bool take(struct intake_spool *intake, struct lane *lane, enum signal signal)
{
    struct spool_frame *frame = NULL;
    struct error error = {0};

    enum err err = spool_reader_next(lane->reader, 0, &frame, &error);
    if (err == ERR_AGAIN)
        return false;
    if (err) {
        snprintf(intake->state.trouble, sizeof intake->state.trouble, "%.255s", error.text);
        return false;
    }
    struct message *message = calloc(1, sizeof *message);
    if (message == NULL)
        abort(); /* a few bytes, and a frame that must not be forgotten: a restart reads it anew */
    *message = (struct message){.parcel = {.intake = &intake->intake,
                                           .signal = signal,
                                           .value = frame->data,
                                           .items = (uint32_t)frame->items},
                                .frame = frame,
                                .lane = lane};
    *lane->end = message;
    lane->end = &message->next;
    intake->state.trouble[0] = '\0';
    intake->state.held_bytes += frame->data.len;
    intake->state.consumed_messages++;
    intake->state.consumed_items += frame->items;
    if (frame->items == 0)
        done(&intake->intake, &message->parcel, clock_mono_ms());
    else
        intake->options.deliver(intake->options.context, &message->parcel);
    return true;
}

static uint64_t poll(struct intake *base, uint64_t now_ms)
{
    struct intake_spool *intake = (struct intake_spool *)base;

    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct lane *lane = &intake->lanes[i];
        if (lane->reader == NULL)
            continue;
        advance(intake, lane, now_ms);
        for (int n = 0; n < FRAMES_PER_POLL && !intake->stopped &&
                        intake->state.held_bytes < intake->budget_bytes;
             n++)
            if (!take(intake, lane, (enum signal)i))
                break;
    }
    return now_ms + POLL_EVERY_MS;
}

/* Frames under way are forgotten and read anew; those whose parcels still are with the delivery
 * stay until these come back. Without a partition to give away, waiting for them is simpler: what
 * settles is kept in memory, and is handed on once more from there. */
static void rewind_all(struct intake *base)
{
    struct intake_spool *intake = (struct intake_spool *)base;

    for (int i = 0; i < SIGNAL_COUNT; i++) {
        for (struct message *at = intake->lanes[i].oldest; at != NULL; at = at->next) {
            if (at->done_ms == 0)
                continue;
            at->done_ms = 0;
            intake->options.deliver(intake->options.context, &at->parcel);
        }
    }
}

static void stop(struct intake *base)
{
    ((struct intake_spool *)base)->stopped = true;
}

static void commit(struct intake *base, uint64_t now_ms)
{
    struct intake_spool *intake = (struct intake_spool *)base;

    for (int i = 0; i < SIGNAL_COUNT; i++)
        advance(intake, &intake->lanes[i], now_ms);
}

static void state(struct intake *base, struct intake_state *ret_state)
{
    struct intake_spool *intake = (struct intake_spool *)base;

    snprintf(intake->state.protocol, sizeof intake->state.protocol, "spool");
    *ret_state = intake->state;
}

static void close_intake(struct intake *base)
{
    struct intake_spool *intake = (struct intake_spool *)base;

    for (int i = 0; i < SIGNAL_COUNT; i++) {
        while (intake->lanes[i].oldest != NULL) {
            struct message *message = intake->lanes[i].oldest;
            intake->lanes[i].oldest = message->next;
            spool_frame_release(&message->frame);
            free(message);
        }
        spool_reader_close(&intake->lanes[i].reader);
    }
    free(intake);
}

enum err intake_spool_open(const struct intake_options *options, struct intake **ret_intake,
                           struct error *error)
{
    static const struct intake_kind kind = {.poll = poll,
                                            .done = done,
                                            .rewind = rewind_all,
                                            .stop = stop,
                                            .commit = commit,
                                            .state = state,
                                            .close = close_intake};
    const struct pipeline_gateway *gateway = options->gateway;
    struct intake_spool *intake = calloc(1, sizeof *intake);
    enum err err = OK;
    if (intake == NULL)
        return error_set(error, ERR_NOMEM, "open intake");

    ASSERT(options->spool != NULL);
    intake->intake.kind = &kind;
    intake->options = *options;
    intake->budget_bytes = (size_t)gateway->memory_limit_bytes / 4;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        intake->lanes[i].end = &intake->lanes[i].oldest;
    for (size_t i = 0; i < gateway->from_count && !err; i++) {
        enum signal signal = gateway->from[i]->signal;
        if (intake->lanes[signal].reader == NULL)
            err = spool_reader_open(options->spool, signal, gateway->name,
                                    &intake->lanes[signal].reader, error);
    }
    if (err) {
        close_intake(&intake->intake);
        return err;
    }
    *ret_intake = &intake->intake;
    return OK;
}
