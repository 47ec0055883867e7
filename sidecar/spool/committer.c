/* The committer: one thread that takes what waits in all lanes, has it written and synced, answers,
 * and between groups keeps the house: cursors, spare segments, what is too old. */
#include "common/clock.h"
#include "common/cond.h"
#include "sidecar/spool/spool_internal.h"

#include <time.h>

enum { IDLE_BUFFERS = 4 }; /* kept when nothing waits; more are kept under load */

/* Answers the waiters of `frame` that wait for `ack`, and leaves the others in their order. */
static void answer(struct frame_buf *frame, enum spool_ack ack, enum err verdict,
                   const struct error *error)
{
    struct spool_waiter **at = &frame->waiters;

    while (*at != NULL) {
        struct spool_waiter *waiter = *at;
        if (waiter->ack != ack) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->seq = frame->header.seq;
        waiter->done(waiter, verdict, error);
    }
    frame->waiters_tail = at;
}

static void answer_written(void *context, struct frame_buf *frames, const struct frame_buf *end)
{
    (void)context;
    for (; frames != end; frames = frames->next) {
        answer(frames, SPOOL_ACK_WRITTEN, OK, NULL);
        frames->written = true;
    }
}

/* Moves who waits for the readers over to them; they may have been there already. */
static void hand_to_readers(struct store *store, enum signal lane_id, struct frame_buf *frame)
{
    struct lane *lane = &store->lanes[lane_id];

    if (frame->waiters == NULL)
        return;
    pthread_mutex_lock(&store->lock);
    for (struct spool_waiter *waiter = frame->waiters; waiter != NULL; waiter = waiter->next)
        waiter->seq = frame->header.seq;
    *lane->replicated_tail = frame->waiters;
    lane->replicated_tail = frame->waiters_tail;
    frame->waiters = NULL;
    frame->waiters_tail = &frame->waiters;
    store_answer_replicated(store, lane_id, store_slowest(lane), OK, NULL);
    pthread_mutex_unlock(&store->lock);
}

/* Commits one lane's part of the group, and adds up what no longer waits. */
static void commit_lane(struct spool *spool, enum signal lane_id, struct frame_buf *frames,
                        struct measure *sum)
{
    struct store *store = spool->store;
    struct error error = {0};
    uint64_t failed = 0, full = 0, lost = 0;

    store_commit(store, lane_id, frames, answer_written, NULL, &error);
    for (struct frame_buf *frame = frames; frame != NULL; frame = frame->next) {
        sum->data += frame->header.data_len;
        sum->meta += frame->header.meta_len;
        sum->marks += frame->header.marks_len;
        sum->marks_set += frame->marks_set;
        if (!frame->err) {
            answer(frame, SPOOL_ACK_WRITTEN, OK, NULL);
            answer(frame, SPOOL_ACK_SYNCED, OK, NULL);
            hand_to_readers(store, lane_id, frame);
            continue;
        }
        for (enum spool_ack ack = SPOOL_ACK_SYNCED; ack <= SPOOL_ACK_REPLICATED; ack++)
            answer(frame, ack, frame->err, &error);
        lost += frame->written ? frame->written_items : 0;
        if (frame->err == ERR_FULL)
            full += frame->requests;
        else
            failed += frame->requests;
    }
    if (full + failed > 0) {
        pthread_mutex_lock(&spool->queue_lock);
        spool->queues[lane_id].refused_full += full;
        spool->queues[lane_id].refused_failed += failed;
        spool->queues[lane_id].written_lost += lost;
        pthread_mutex_unlock(&spool->queue_lock);
    }
}

/* A buffer for the next group. */
void spool_give_back(void *context, struct frame_buf *frame)
{
    struct spool *spool = context;

    if (frame->single) {
        pending_destroy(&frame);
        return;
    }
    pending_reset(frame);
    pthread_mutex_lock(&spool->queue_lock);
    frame->next = spool->buffers;
    spool->buffers = frame;
    spool->buffer_count++;
    pthread_mutex_unlock(&spool->queue_lock);
}

/* What readers have still goes back when they are done. */
static void recycle(struct spool *spool, struct frame_buf *frames)
{
    while (frames != NULL) {
        struct frame_buf *frame = frames;
        frames = frame->next;
        if (frame->lent)
            recent_release(spool->store, frame);
        else
            spool_give_back(spool, frame);
    }
}

static bool anything_waits(const struct spool *spool)
{
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (spool->queues[i].first != NULL)
            return true;
    return false;
}

/* Takes what waits and commits it. Called and returns with the queue lock held. */
static void commit_group(struct spool *spool)
{
    struct frame_buf *groups[SIGNAL_COUNT];

    for (int i = 0; i < SIGNAL_COUNT; i++) {
        groups[i] = spool->queues[i].first;
        spool->queues[i].first = spool->queues[i].last = NULL;
    }
    pthread_mutex_unlock(&spool->queue_lock);
    struct measure sums[SIGNAL_COUNT] = {0};
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        if (groups[lane] == NULL)
            continue;
        commit_lane(spool, lane, groups[lane], &sums[lane]);
        recycle(spool, groups[lane]);
    }
    pthread_mutex_lock(&spool->queue_lock);
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++)
        take_pending(spool, lane, &sums[lane]);
}

void spool_drop_buffers(struct spool *spool, unsigned keep)
{
    while (spool->buffer_count > keep) {
        struct frame_buf *frame = spool->buffers;
        spool->buffers = frame->next;
        spool->buffer_count--;
        pending_destroy(&frame);
    }
}

static void nap(struct spool *spool, unsigned ms)
{
    struct timespec until = cond_deadline_in(ms);

    spool->asleep = true;
    /* Whatever woke it, what there is to do is looked at again. */
    (void)pthread_cond_timedwait(&spool->wake, &spool->queue_lock, &until);
    spool->asleep = false;
}

void *spool_run_committer(void *context)
{
    struct spool *spool = context;
    struct store *store = spool->store;
    unsigned interval_ms = store->config.save_interval_ms;
    uint64_t kept_ms = clock_mono_ms();
    bool more = true; /* for housekeeping to do */

    /* For people who look at threads; without it the name is the program's. */
    (void)pthread_setname_np(pthread_self(), "spool");
    pthread_mutex_lock(&spool->queue_lock);
    while (!spool->stop || anything_waits(spool)) {
        bool idle = !anything_waits(spool);
        if (!idle)
            commit_group(spool);
        if (idle && !more && !spool->nudged) {
            spool_drop_buffers(spool, IDLE_BUFFERS);
            nap(spool, interval_ms);
            idle = !anything_waits(spool);
        }
        uint64_t now_ms = clock_mono_ms();
        if ((idle && (more || spool->nudged)) || now_ms - kept_ms >= interval_ms) {
            spool->nudged = false;
            pthread_mutex_unlock(&spool->queue_lock);
            more = store_housekeep(store);
            kept_ms = now_ms;
            pthread_mutex_lock(&spool->queue_lock);
        }
    }
    pthread_mutex_unlock(&spool->queue_lock);
    return NULL;
}

/* A reader has passed a segment. The store's lock is held. */
void spool_nudge(void *context)
{
    struct spool *spool = context;

    pthread_mutex_lock(&spool->queue_lock);
    spool->nudged = true;
    wake_committer(spool);
    pthread_mutex_unlock(&spool->queue_lock);
}
