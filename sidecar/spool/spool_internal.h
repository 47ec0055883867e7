/* What the files of the spool's threads share: many that append, and the committer.
 *
 *   append.c      a request into the lane's open frame, or refused
 *   committer.c   what waits, into the segments; answers whoever waits for it
 *   spool.c       opening, closing, what is asked of it
 *
 * They meet in `queue`: for each lane the frames in the making, oldest first, of which the last is
 * still open. The committer takes all of them at once, and while it writes and syncs, the next ones
 * fill. Order of locks: the store's before queue_lock.
 */
#ifndef SIDECAR_SPOOL_SPOOL_INTERNAL_H
#define SIDECAR_SPOOL_SPOOL_INTERNAL_H

#include "sidecar/spool/spool.h"
#include "sidecar/spool/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct queue {
    struct frame_buf *first, *last;
    uint64_t marks; /* that are set in what is queued or being committed */
    uint64_t requests, refused_full, refused_again, refused_failed;
    uint64_t written_lost;
};

struct spool {
    struct store *store;
    struct pending_limits limits;
    size_t request_max;
    pthread_t committer;
    bool started;

    pthread_mutex_t queue_lock;
    pthread_cond_t wake; /* the committer has something to do */

    /* Guarded by queue_lock; what is atomic is also read without. */
    struct queue queues[SIGNAL_COUNT];
    struct frame_buf *buffers; /* empty ones */
    unsigned buffer_count;
    _Atomic size_t pending_bytes; /* data and meta of what is queued or being committed */
    bool asleep;
    bool nudged;
    atomic_bool closed; /* no more appends */
    bool stop;
};

/* What a request, or several, take up. */
struct measure {
    size_t data, meta, marks; /* bytes */
    uint32_t entries, marks_set;
};

static inline size_t measure_sum(const struct measure *size)
{
    return size->data + size->meta + size->marks;
}

/* What was counted as waiting no longer does. The queue lock is held. */
static inline void take_pending(struct spool *spool, enum signal lane, const struct measure *size)
{
    spool->pending_bytes -= measure_sum(size);
    spool->queues[lane].marks -= size->marks_set;
}

/* The queue lock is held. */
static inline void wake_committer(struct spool *spool)
{
    if (spool->asleep)
        pthread_cond_signal(&spool->wake);
}

/* ---- committer.c */

/* Runs the committer until it is told to stop and nothing waits; `context` is a struct spool. */
void *spool_run_committer(void *context);

/* store_config's: a reader has passed a segment; a frame is nobody's any more. */
void spool_nudge(void *context);
void spool_give_back(void *context, struct frame_buf *frame);

/* Frees empty buffers until `keep` are left. The queue lock is held, or nobody else is there. */
void spool_drop_buffers(struct spool *spool, unsigned keep);

#endif
