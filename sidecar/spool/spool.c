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

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { IDLE_BUFFERS = 4 }; /* kept when nothing waits; more are kept under load */

struct queue {
    struct frame_buf *first, *last;
    uint64_t marks; /* that are set in what is queued or being committed */
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

size_t spool_marks_max(const struct spool *spool)
{
    return spool->store->marks_max;
}

uint64_t spool_incarnation(const struct spool *spool)
{
    return spool->store->incarnation;
}

uint64_t spool_run_begin(const struct spool *spool, enum signal lane)
{
    return spool->store->lanes[lane].run_begin;
}

/* ---- appending */

struct measure {
    size_t data, meta, marks; /* bytes */
    uint32_t marks_set;
};

static size_t measure_sum(const struct measure *size)
{
    return size->data + size->meta + size->marks;
}

static enum err measure_marks(const struct spool *spool, const struct spool_request *request,
                              struct measure *size, struct error *error)
{
    if (request->mark_count > 2 * (size_t)SPOOL_MARKS_MAX)
        return error_set(error, ERR_INVALID, "request with %zu marks", request->mark_count);
    for (size_t i = 0; i < request->mark_count; i++) {
        const struct spool_mark *mark = &request->marks[i];
        if (!mark->forget && mark->value.len > SPOOL_MARK_VALUE)
            return error_set(error, ERR_INVALID, "mark of %zu bytes; %d are allowed",
                             mark->value.len, SPOOL_MARK_VALUE);
        size->marks += mark_len(mark);
        size->marks_set += !mark->forget;
    }
    if (size->marks_set > spool->store->marks_max)
        return error_set(error, ERR_INVALID, "request with %u marks; a lane has %u at most",
                         (unsigned)size->marks_set, (unsigned)spool->store->marks_max);
    return OK;
}

/* Adds up the parts, and refuses what no segment could hold. */
static enum err measure(const struct spool *spool, const struct spool_request *request,
                        struct measure *ret_size, struct error *error)
{
    size_t max = spool->request_max, len = 0;
    struct measure size = {.meta = request->meta.len};

    if (request->lane >= SIGNAL_COUNT || request->part_count > SPOOL_PARTS_MAX)
        return error_set(error, ERR_INVALID, "request of %zu parts for lane %u",
                         request->part_count, (unsigned)request->lane);
    for (size_t i = 0; i < request->part_count && len <= max; i++)
        len = request->parts[i].len > max ? max + 1 : len + request->parts[i].len;
    size.data = len;
    enum err err = measure_marks(spool, request, &size, error);
    if (err)
        return err;
    if (len > max || size.meta > SPOOL_META_MAX || measure_sum(&size) > max)
        return error_set(error, ERR_INVALID,
                         "the request is too large for the spool: it takes %zu bytes at most, a "
                         "segment's worth; a larger spool.size makes larger segments, up to 64 MiB",
                         max);
    if (measure_sum(&size) == 0)
        return error_set(error, ERR_INVALID, "the request is empty");
    *ret_size = size;
    return OK;
}

/* Whether there will be a place for each mark, even if all keys that wait are new ones. */
static enum err admit_marks(const struct spool *spool, enum signal lane, uint32_t set,
                            struct error *error)
{
    uint64_t max = spool->store->marks_max;
    uint64_t known = atomic_load(&spool->store->lanes[lane].mark_count);

    if (set == 0)
        return OK;
    if (known + set > max)
        return error_set(error, ERR_FULL,
                         "%s have %" PRIu64 " marks of %" PRIu64 " that segments of %" PRIu64
                         " KiB allow; a larger spool.size makes "
                         "larger segments",
                         signal_name(lane), known, max, spool->store->config.segment_bytes >> 10);
    if (known + spool->queues[lane].marks + set > max)
        return error_set(error, ERR_AGAIN,
                         "the disk is slower than the senders: %" PRIu64 " marks wait for it",
                         spool->queues[lane].marks);
    return OK;
}

/* Whether the lane takes the request now. The queue lock is held. */
static enum err admit(struct spool *spool, enum signal lane, const struct measure *size,
                      struct error *error)
{
    struct queue *queue = &spool->queues[lane];
    size_t max = spool->store->config.pending_max_bytes, len = measure_sum(size);

    if (spool->closed)
        return error_set(error, ERR_CLOSED, "the spool is closing");
    /* Whatever fits a segment gets in when nothing else waits, so that it gets in at all. */
    if (spool->pending_bytes > 0 && (len > max || spool->pending_bytes > max - len)) {
        queue->refused_again++;
        return error_set(error, ERR_AGAIN,
                         "the disk is slower than the senders: %zu bytes wait for it",
                         spool->pending_bytes);
    }
    enum err err = admit_marks(spool, lane, size->marks_set, error);
    queue->refused_again += err == ERR_AGAIN;
    queue->refused_full += err == ERR_FULL;
    return err;
}

/* What is admitted waits from now on. */
static void add_pending(struct spool *spool, enum signal lane, const struct measure *size)
{
    spool->pending_bytes += measure_sum(size);
    spool->queues[lane].marks += size->marks_set;
}

static void take_pending(struct spool *spool, enum signal lane, const struct measure *size)
{
    spool->pending_bytes -= measure_sum(size);
    spool->queues[lane].marks -= size->marks_set;
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
static struct frame_buf *open_frame(struct spool *spool, struct queue *queue,
                                    const struct measure *size)
{
    struct frame_buf *frame = queue->last;

    if (frame != NULL && pending_fits(frame, size->data, size->meta, size->marks))
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
static enum err append_large(struct spool *spool, const struct spool_request *request,
                             const struct measure *size, struct spool_waiter *waiter,
                             struct error *error)
{
    struct pending_limits limits = {.data = (uint32_t)size->data,
                                    .entries = 1,
                                    .meta = (uint32_t)size->meta,
                                    .marks = (uint32_t)size->marks};
    struct queue *queue = &spool->queues[request->lane];

    pthread_mutex_lock(&spool->queue_lock);
    enum err err = admit(spool, request->lane, size, error);
    if (!err)
        add_pending(spool, request->lane, size);
    pthread_mutex_unlock(&spool->queue_lock);
    if (err)
        return err;

    AUTO(pending_destroy) struct frame_buf *frame = pending_create(limits);
    if (frame != NULL)
        pending_add(frame, request, size->data, clock_wall_ns(), waiter);

    pthread_mutex_lock(&spool->queue_lock);
    if (frame == NULL) {
        take_pending(spool, request->lane, size);
        err = error_set(error, ERR_NOMEM, "append a request of %zu bytes", size->data);
    } else if (spool->closed) {
        take_pending(spool, request->lane, size);
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

static enum err append_small(struct spool *spool, const struct spool_request *request,
                             const struct measure *size, struct spool_waiter *waiter,
                             struct error *error)
{
    struct queue *queue = &spool->queues[request->lane];
    uint64_t now_ns = clock_wall_ns();

    pthread_mutex_lock(&spool->queue_lock);
    enum err err = admit(spool, request->lane, size, error);
    struct frame_buf *frame = err ? NULL : open_frame(spool, queue, size);
    if (frame != NULL) {
        pending_add(frame, request, size->data, now_ns, waiter);
        add_pending(spool, request->lane, size);
        queue->requests++;
        wake_committer(spool);
    } else if (!err) {
        err = error_set(error, ERR_NOMEM, "append a request of %zu bytes", size->data);
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

static enum err need_marks(struct store *store, enum signal lane, struct error *error)
{
    pthread_mutex_lock(&store->lock);
    enum err err = store_need_marks(&store->lanes[lane], error);
    pthread_mutex_unlock(&store->lock);
    return err;
}

enum err spool_append(struct spool *spool, const struct spool_request *request,
                      struct spool_waiter *waiter, struct error *error)
{
    const struct pending_limits *limits = &spool->limits;
    struct measure size;

    enum err err = measure(spool, request, &size, error);
    if (!err)
        err = check_room(spool, request->lane, error);
    if (!err && request->mark_count > 0)
        err = need_marks(spool->store, request->lane, error);
    if (err)
        return err;
    if (size.data > limits->data || size.meta > limits->meta || size.marks > limits->marks)
        return append_large(spool, request, &size, waiter, error);
    return append_small(spool, request, &size, waiter, error);
}

void spool_marks_each(struct spool *spool, enum signal lane, spool_visit_mark_fn *visit,
                      void *context)
{
    struct store *store = spool->store;

    pthread_mutex_lock(&store->lock);
    if (store->lanes[lane].marks != NULL)
        marks_each(store->lanes[lane].marks, visit, context);
    pthread_mutex_unlock(&store->lock);
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

/* Commits one lane's part of the group, and adds up what no longer waits. */
static void commit_lane(struct spool *spool, enum signal lane_id, struct frame_buf *frames,
                        struct measure *sum)
{
    struct store *store = spool->store;
    struct error error = {0};
    uint64_t failed = 0, full = 0;

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
}

/* A buffer for the next group; one that was made for a large request is freed. */
static void give_back(void *context, struct frame_buf *frame)
{
    struct spool *spool = context;

    if (frame->limits.entries != spool->limits.entries) {
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
            give_back(spool, frame);
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
    spool->store->give_back = give_back;
    spool->store->give_back_context = spool;
    uint64_t room = store_segment_room(spool->store);
    spool->limits = pending_limits(room);
    spool->request_max = (size_t)(room - FRAME_HEADER - FRAME_ENTRY);
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

/* With no reader open nothing is wanted. */
static void drop_recent(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        recent_tidy(store, &store->lanes[i]);
    ASSERT(store->lent_count == 0); /* frames must have been released */
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
    if (spool->store != NULL)
        drop_recent(spool->store);
    store_close(&spool->store);
    drop_buffers(spool, 0);
    pthread_mutex_destroy(&spool->queue_lock);
    pthread_cond_destroy(&spool->wake);
    free(spool);
    *spool_at = NULL;
}
