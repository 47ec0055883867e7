/* The threads of the spool: many that append, and the committer.
 *
 * They meet in `queue`: for each lane the frames in the making, oldest first, of which the last is
 * still open. The committer takes all of them at once, and while it writes and syncs, the next ones
 * fill. Order of locks: the store's before queue_lock.
 */
#include "sidecar/spool/spool.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "sidecar/spool/store.h"

#include <stdlib.h>
#include <time.h>

enum { IDLE_BUFFERS = 4 }; /* kept when nothing waits; more are kept under load */

struct queue {
    struct frame_buf *first, *last;
    uint64_t requests, refused_full, refused_again, refused_failed;
};

struct spool {
    struct store *store;
    struct pending_limits limits;
    size_t request_max;
    pthread_t committer;
    bool started;

    pthread_mutex_t queue_lock;
    pthread_cond_t wake; /* the committer has something to do */

    /* Guarded by queue_lock. */
    struct queue queues[SIGNAL_COUNT];
    struct frame_buf *buffers; /* empty ones */
    unsigned buffer_count;
    size_t pending_bytes; /* data and meta of what is queued or being committed */
    bool asleep;
    bool nudged;
    bool closed; /* no more appends */
    bool stop;
};

struct store *spool_store(struct spool *spool)
{
    return spool->store;
}

size_t spool_request_max(const struct spool *spool)
{
    return spool->request_max;
}

uint64_t spool_incarnation(const struct spool *spool)
{
    return spool->store->incarnation;
}

/* ---- appending */

/* Adds up the parts, and refuses what no segment could hold. */
static enum err measure(const struct spool *spool, const struct spool_request *request,
                        size_t *ret_len, struct error *error)
{
    size_t max = spool->request_max, len = 0;

    if (request->lane >= SIGNAL_COUNT || request->part_count > SPOOL_PARTS_MAX)
        return error_set(error, ERR_INVALID, "request of %zu parts for lane %u",
                         request->part_count, (unsigned)request->lane);
    for (size_t i = 0; i < request->part_count && len <= max; i++)
        len = request->parts[i].len > max ? max + 1 : len + request->parts[i].len;
    if (len > max || request->meta.len > SPOOL_META_MAX || request->meta.len > max - len)
        return error_set(error, ERR_INVALID,
                         "the request is too large for the spool: it takes %zu bytes at most, a "
                         "segment's worth; a larger spool.size makes larger segments, up to 64 MiB",
                         max);
    if (len == 0 && request->meta.len == 0)
        return error_set(error, ERR_INVALID, "the request is empty");
    *ret_len = len;
    return OK;
}

/* Whether the lane takes `len` bytes now. The queue lock is held. */
static enum err admit(struct spool *spool, enum signal lane, size_t len, struct error *error)
{
    struct queue *queue = &spool->queues[lane];
    size_t max = spool->store->config.pending_max_bytes;

    if (spool->closed)
        return error_set(error, ERR_CLOSED, "the spool is closing");
    /* Whatever fits a segment gets in when nothing else waits, so that it gets in at all. */
    if (spool->pending_bytes > 0 && (len > max || spool->pending_bytes > max - len)) {
        queue->refused_again++;
        return error_set(error, ERR_AGAIN,
                         "the disk is slower than the senders: %zu bytes wait for it",
                         spool->pending_bytes);
    }
    return OK;
}

static void enqueue(struct queue *queue, struct frame_buf *frame)
{
    frame->next = NULL;
    if (queue->last != NULL)
        queue->last->next = frame;
    else
        queue->first = frame;
    queue->last = frame;
}

static void wake_committer(struct spool *spool)
{
    if (spool->asleep)
        pthread_cond_signal(&spool->wake);
}

/* The frame that the request goes into: the last one, or a new one behind it. Queue lock held. */
static struct frame_buf *open_frame(struct spool *spool, struct queue *queue, size_t data_len,
                                    size_t meta_len)
{
    struct frame_buf *frame = queue->last;

    if (frame != NULL && pending_fits(frame, data_len, meta_len))
        return frame;
    frame = spool->buffers;
    if (frame != NULL) {
        spool->buffers = frame->next;
        spool->buffer_count--;
    } else {
        frame = pending_create(spool->limits);
    }
    if (frame != NULL)
        enqueue(queue, frame);
    return frame;
}

/* A request above the frame limit gets a frame of its own, and is copied before the lock. */
static enum err append_large(struct spool *spool, const struct spool_request *request, size_t len,
                             struct spool_waiter *waiter, struct error *error)
{
    struct pending_limits limits = {
        .data = (uint32_t)len, .entries = 1, .meta = (uint32_t)request->meta.len};
    struct queue *queue = &spool->queues[request->lane];

    pthread_mutex_lock(&spool->queue_lock);
    enum err err = admit(spool, request->lane, len + request->meta.len, error);
    if (!err)
        spool->pending_bytes += len + request->meta.len;
    pthread_mutex_unlock(&spool->queue_lock);
    if (err)
        return err;

    AUTO(pending_destroy) struct frame_buf *frame = pending_create(limits);
    if (frame != NULL)
        pending_add(frame, request, len, clock_wall_ns(), waiter);

    pthread_mutex_lock(&spool->queue_lock);
    if (frame == NULL) {
        spool->pending_bytes -= len + request->meta.len;
        err = error_set(error, ERR_NOMEM, "append a request of %zu bytes", len);
    } else if (spool->closed) {
        spool->pending_bytes -= len + request->meta.len;
        err = error_set(error, ERR_CLOSED, "the spool is closing");
    } else {
        queue->requests++;
        enqueue(queue, frame);
        frame = NULL;
        wake_committer(spool);
    }
    pthread_mutex_unlock(&spool->queue_lock);
    return err;
}

static enum err append_small(struct spool *spool, const struct spool_request *request, size_t len,
                             struct spool_waiter *waiter, struct error *error)
{
    struct queue *queue = &spool->queues[request->lane];
    uint64_t now_ns = clock_wall_ns();

    pthread_mutex_lock(&spool->queue_lock);
    enum err err = admit(spool, request->lane, len + request->meta.len, error);
    struct frame_buf *frame = err ? NULL : open_frame(spool, queue, len, request->meta.len);
    if (frame != NULL) {
        pending_add(frame, request, len, now_ns, waiter);
        spool->pending_bytes += len + request->meta.len;
        queue->requests++;
        wake_committer(spool);
    } else if (!err) {
        err = error_set(error, ERR_NOMEM, "append a request of %zu bytes", len);
    }
    pthread_mutex_unlock(&spool->queue_lock);
    return err;
}

/* What the committer said last about the lane's room. */
static enum err check_room(struct spool *spool, enum signal lane_id, struct error *error)
{
    struct store *store = spool->store;
    const struct lane *lane = &store->lanes[lane_id];

    if (!atomic_load_explicit(&lane->is_full, memory_order_relaxed))
        return OK;
    pthread_mutex_lock(&store->lock);
    enum err err = lane->full.code;
    if (err)
        error_set(error, err, "%s", lane->full.text);
    pthread_mutex_unlock(&store->lock);
    if (!err)
        return OK;
    pthread_mutex_lock(&spool->queue_lock);
    spool->queues[lane_id].refused_full++;
    pthread_mutex_unlock(&spool->queue_lock);
    return err;
}

enum err spool_append(struct spool *spool, const struct spool_request *request,
                      struct spool_waiter *waiter, struct error *error)
{
    size_t len = 0;

    enum err err = measure(spool, request, &len, error);
    if (!err)
        err = check_room(spool, request->lane, error);
    if (err)
        return err;
    if (len > spool->limits.data || request->meta.len > spool->limits.meta)
        return append_large(spool, request, len, waiter, error);
    return append_small(spool, request, len, waiter, error);
}

void spool_stop_appends(struct spool *spool)
{
    pthread_mutex_lock(&spool->queue_lock);
    spool->closed = true;
    pthread_mutex_unlock(&spool->queue_lock);
}

void spool_stats(struct spool *spool, struct spool_stats *ret_stats)
{
    store_stats(spool->store, ret_stats);
    pthread_mutex_lock(&spool->queue_lock);
    ret_stats->pending_bytes = spool->pending_bytes;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        ret_stats->lanes[i].requests = spool->queues[i].requests;
        ret_stats->lanes[i].refused_full = spool->queues[i].refused_full;
        ret_stats->lanes[i].refused_again = spool->queues[i].refused_again;
        ret_stats->lanes[i].refused_failed = spool->queues[i].refused_failed;
    }
    pthread_mutex_unlock(&spool->queue_lock);
}

/* ---- the committer */

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
    for (; frames != end; frames = frames->next)
        answer(frames, SPOOL_ACK_WRITTEN, OK, NULL);
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

/* Commits one lane's part of the group. Returns the bytes that no longer wait. */
static size_t commit_lane(struct spool *spool, enum signal lane_id, struct frame_buf *frames)
{
    struct store *store = spool->store;
    struct error error = {0};
    uint64_t failed = 0, full = 0;
    size_t bytes = 0;

    store_commit(store, lane_id, frames, answer_written, NULL, &error);
    for (struct frame_buf *frame = frames; frame != NULL; frame = frame->next) {
        bytes += frame->header.data_len + frame->header.meta_len;
        if (!frame->err) {
            answer(frame, SPOOL_ACK_WRITTEN, OK, NULL);
            answer(frame, SPOOL_ACK_SYNCED, OK, NULL);
            hand_to_readers(store, lane_id, frame);
            continue;
        }
        for (enum spool_ack ack = SPOOL_ACK_SYNCED; ack <= SPOOL_ACK_REPLICATED; ack++)
            answer(frame, ack, frame->err, &error);
        if (frame->err == ERR_FULL)
            full += frame->requests;
        else
            failed += frame->requests;
    }
    if (full + failed > 0) {
        pthread_mutex_lock(&spool->queue_lock);
        spool->queues[lane_id].refused_full += full;
        spool->queues[lane_id].refused_failed += failed;
        pthread_mutex_unlock(&spool->queue_lock);
    }
    return bytes;
}

/* Gives buffers back for the next group; those made for one large request are freed. */
static void recycle(struct spool *spool, struct frame_buf *frames)
{
    while (frames != NULL) {
        struct frame_buf *frame = frames;
        frames = frame->next;
        if (frame->limits.entries != spool->limits.entries) {
            pending_destroy(&frame);
            continue;
        }
        pending_reset(frame);
        pthread_mutex_lock(&spool->queue_lock);
        frame->next = spool->buffers;
        spool->buffers = frame;
        spool->buffer_count++;
        pthread_mutex_unlock(&spool->queue_lock);
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
    size_t bytes = 0;
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        if (groups[lane] == NULL)
            continue;
        bytes += commit_lane(spool, lane, groups[lane]);
        recycle(spool, groups[lane]);
    }
    pthread_mutex_lock(&spool->queue_lock);
    spool->pending_bytes -= bytes;
}

static void drop_buffers(struct spool *spool, unsigned keep)
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

static void *run_committer(void *context)
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
            drop_buffers(spool, IDLE_BUFFERS);
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
static void nudge(void *context)
{
    struct spool *spool = context;

    pthread_mutex_lock(&spool->queue_lock);
    spool->nudged = true;
    wake_committer(spool);
    pthread_mutex_unlock(&spool->queue_lock);
}

/* ---- opening and closing */

enum err spool_open(const struct spool_config *config, struct spool **ret_spool,
                    struct error *error)
{
    AUTO(spool_close) struct spool *spool = calloc(1, sizeof *spool);

    if (spool == NULL)
        return error_set(error, ERR_NOMEM, "open spool '%s'", config->dir);
    bool made = pthread_mutex_init(&spool->queue_lock, NULL) == 0;
    ASSERT(made); /* glibc's have nothing that could fail */
    cond_init(&spool->wake);

    enum err err = store_open(config, &spool->store, error);
    if (err)
        return err;
    spool->store->nudge = nudge;
    spool->store->nudge_context = spool;
    uint64_t segment_bytes = spool->store->config.segment_bytes;
    spool->limits = pending_limits(segment_bytes);
    spool->request_max = (size_t)(segment_bytes - FRAME_ALIGN);
    if (pthread_create(&spool->committer, NULL, run_committer, spool) != 0)
        return error_set(error, ERR_NOMEM, "start the committer of spool '%s'", config->dir);
    spool->started = true;
    MOVE(*ret_spool, spool);
    return OK;
}

static void stop_committer(struct spool *spool)
{
    pthread_mutex_lock(&spool->queue_lock);
    spool->closed = spool->stop = true;
    pthread_cond_signal(&spool->wake);
    pthread_mutex_unlock(&spool->queue_lock);
    pthread_join(spool->committer, NULL);
}

static void abandon_replicated(struct store *store)
{
    static const struct error closed = {ERR_CLOSED,
                                        "the spool was closed before this was replicated"};

    pthread_mutex_lock(&store->lock);
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++)
        store_answer_replicated(store, lane, UINT64_MAX, ERR_CLOSED, &closed);
    pthread_mutex_unlock(&store->lock);
}

void spool_close(struct spool **spool_at)
{
    struct spool *spool = *spool_at;

    if (spool == NULL)
        return;
    if (spool->started)
        stop_committer(spool);
    if (spool->store != NULL)
        abandon_replicated(spool->store);
    store_close(&spool->store);
    drop_buffers(spool, 0);
    pthread_mutex_destroy(&spool->queue_lock);
    pthread_cond_destroy(&spool->wake);
    free(spool);
    *spool_at = NULL;
}
