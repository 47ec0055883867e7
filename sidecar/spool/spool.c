#include "common/assert.h"
#include "common/cond.h"
#include "sidecar/spool/spool_internal.h"

#include <stdlib.h>

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
        ret_stats->lanes[i].written_lost = spool->queues[i].written_lost;
    }
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
    spool->store->nudge = spool_nudge;
    spool->store->nudge_context = spool;
    spool->store->give_back = spool_give_back;
    spool->store->give_back_context = spool;
    uint64_t room = store_segment_room(spool->store);
    spool->limits = pending_limits(room);
    spool->request_max = (size_t)(room - FRAME_HEADER - FRAME_ENTRY);
    if (pthread_create(&spool->committer, NULL, spool_run_committer, spool) != 0)
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
    spool_drop_buffers(spool, 0);
    pthread_mutex_destroy(&spool->queue_lock);
    pthread_cond_destroy(&spool->wake);
    free(spool);
    *spool_at = NULL;
}
