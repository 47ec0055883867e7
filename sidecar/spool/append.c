/* A request into the spool: measured, admitted, copied into the lane's open frame. */
#include "common/clock.h"
#include "sidecar/spool/spool_internal.h"

#include <inttypes.h>

static size_t sum(size_t a, size_t b)
{
    return b > SIZE_MAX - a ? SIZE_MAX : a + b;
}

size_t spool_request_size(const struct spool_request *request)
{
    size_t size = request->meta.len;

    for (size_t i = 0; i < request->part_count; i++)
        size = sum(size, request->parts[i].len);
    for (size_t i = 0; i < request->mark_count; i++)
        size = sum(size, mark_len(&request->marks[i]));
    for (size_t i = 1; i < request->cut_count; i++)
        size = sum(size, FRAME_ENTRY);
    return size;
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

static enum err measure_cuts(const struct spool_request *request, struct measure *size,
                             struct error *error)
{
    uint64_t len = 0, items = 0;

    for (size_t i = 0; i < request->cut_count && i < SPOOL_CUTS_MAX; i++) {
        len += request->cuts[i].len;
        items += request->cuts[i].items;
    }
    if (request->cut_count > SPOOL_CUTS_MAX ||
        (request->cut_count > 0 && (len != size->data || items != request->items)))
        return error_set(error, ERR_INVALID,
                         "request of %zu bytes, cut into %zu entries of %" PRIu64 " bytes",
                         size->data, request->cut_count, len);
    size->entries = request->cut_count > 0 ? (uint32_t)request->cut_count : 1;
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
    for (size_t i = 0; i < request->part_count; i++)
        len = sum(len, request->parts[i].len);
    size.data = len;
    enum err err = measure_marks(spool, request, &size, error);
    if (!err && len <= max)
        err = measure_cuts(request, &size, error);
    if (err)
        return err;
    if (size.meta > SPOOL_META_MAX || spool_request_size(request) > max)
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

bool spool_has_room(const struct spool *spool)
{
    size_t pending = atomic_load_explicit(&spool->pending_bytes, memory_order_relaxed);
    return pending <= spool->store->config.pending_max_bytes / 2 || atomic_load(&spool->closed);
}

/* Whether the lane takes the request now. The queue lock is held. */
static enum err admit(struct spool *spool, enum signal lane, const struct measure *size,
                      struct error *error)
{
    struct queue *queue = &spool->queues[lane];
    size_t max = spool->store->config.pending_max_bytes, len = measure_sum(size);
    size_t pending = spool->pending_bytes;

    if (spool->closed)
        return error_set(error, ERR_CLOSED, "the spool is closing");
    /* Whatever fits a segment gets in when little else waits, so that it gets in at all. */
    if (!spool_has_room(spool) && (len > max || pending > max - len)) {
        queue->refused_again++;
        return error_set(error, ERR_AGAIN,
                         "the disk is slower than the senders: %zu bytes wait for it", pending);
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

static void enqueue(struct queue *queue, struct frame_buf *frame)
{
    frame->next = NULL;
    if (queue->last != NULL)
        queue->last->next = frame;
    else
        queue->first = frame;
    queue->last = frame;
}

/* The frame that the request goes into: the last one, or a new one behind it. Queue lock held. */
static struct frame_buf *open_frame(struct spool *spool, struct queue *queue,
                                    const struct measure *size)
{
    struct frame_buf *frame = queue->last;

    if (frame != NULL && pending_fits(frame, size->entries, size->data, size->meta, size->marks))
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
                                    .entries = size->entries,
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
    if (frame != NULL) {
        frame->single = true;
        pending_add(frame, request, size->data, clock_wall_ns(), waiter);
    }

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
    if (size.data > limits->data || size.entries > limits->entries || size.meta > limits->meta ||
        size.marks > limits->marks)
        return append_large(spool, request, &size, waiter, error);
    return append_small(spool, request, &size, waiter, error);
}
