#include "controller/queue/workers.h"

#include "common/clock.h"
#include "common/cond.h"
#include "common/metrics.h"
#include "common/xalloc.h"
#include "controller/queue/workqueue.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64 };

static const double seconds_buckets[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                         1,     2.5,   5,    10,    30,   60,  300};
#define BUCKETS .buckets = seconds_buckets, .buckets_len = sizeof seconds_buckets / sizeof(double)

static const struct metric_desc descs[] = {
    {.name = "workqueue_depth",
     .kind = METRIC_GAUGE,
     .help = "Names that wait to be worked on.",
     .labels = {"name"}},
    {.name = "workqueue_adds_total",
     .kind = METRIC_COUNTER,
     .help = "Names that were added.",
     .labels = {"name"}},
    {.name = "workqueue_retries_total",
     .kind = METRIC_COUNTER,
     .help = "Names that were added again after a failure.",
     .labels = {"name"}},
    {.name = "workqueue_unfinished_work_seconds",
     .kind = METRIC_GAUGE,
     .help = "How long what is being worked on has been in hand, summed up.",
     .labels = {"name"}},
    {.name = "workqueue_longest_running_processor_seconds",
     .kind = METRIC_GAUGE,
     .help = "How long the oldest work has been in hand.",
     .labels = {"name"}},
    {.name = "controller_runtime_active_workers",
     .kind = METRIC_GAUGE,
     .help = "Workers that have something in hand.",
     .labels = {"controller"}},
    {.name = "controller_runtime_max_concurrent_reconciles",
     .kind = METRIC_GAUGE,
     .help = "Workers there are.",
     .labels = {"controller"}},
    {.name = "workqueue_queue_duration_seconds",
     .kind = METRIC_HISTOGRAM,
     .help = "How long names waited.",
     .labels = {"name"},
     BUCKETS},
    {.name = "workqueue_work_duration_seconds",
     .kind = METRIC_HISTOGRAM,
     .help = "How long the work took.",
     .labels = {"name"},
     BUCKETS},
    {.name = "controller_runtime_reconcile_time_seconds",
     .kind = METRIC_HISTOGRAM,
     .help = "How long a reconciliation took.",
     .labels = {"controller"},
     BUCKETS},
    {.name = "controller_runtime_reconcile_errors_total",
     .kind = METRIC_COUNTER,
     .help = "Reconciliations that failed.",
     .labels = {"controller"}},
};
enum {
    DEPTH,
    ADDS,
    RETRIES,
    UNFINISHED,
    LONGEST,
    ACTIVE,
    CONCURRENT,
    WAITED,
    TOOK,
    RECONCILE_TIME,
    RECONCILE_ERRORS,
    SERIES_COUNT
};

static const struct metric_desc results_desc = {.name = "controller_runtime_reconcile_total",
                                                .kind = METRIC_COUNTER,
                                                .help = "Reconciliations, by what they said.",
                                                .labels = {"controller", "result"}};

struct workers {
    struct workers_config config;
    char *name;
    struct metric *series[SERIES_COUNT];
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct workqueue *queue;
    bool running, ending;
    size_t in_hand;
};

/* ---- metrics; the mutex is held */

static void publish(struct workers *workers)
{
    struct workqueue_stats stats = workqueue_stats(workers->queue, clock_mono_ms());

    metric_set(workers->series[DEPTH], (double)stats.depth);
    metric_set(workers->series[ADDS], (double)stats.adds);
    metric_set(workers->series[RETRIES], (double)stats.retries);
    metric_set(workers->series[UNFINISHED], (double)stats.unfinished_ms / 1000);
    metric_set(workers->series[LONGEST], (double)stats.longest_ms / 1000);
    metric_set(workers->series[ACTIVE], (double)stats.processing);
}

static void count_result(struct workers *workers, struct work_result result, uint64_t took_ms)
{
    static const char *const names[] = {
        [WORK_DONE] = "success", [WORK_LATER] = "requeue_after", [WORK_RETRY] = "error"};

    metric_add(metrics_series(&results_desc, workers->name, names[result.verdict]), 1);
    if (result.verdict == WORK_RETRY)
        metric_add(workers->series[RECONCILE_ERRORS], 1);
    metric_observe(workers->series[TOOK], (double)took_ms / 1000);
    metric_observe(workers->series[RECONCILE_TIME], (double)took_ms / 1000);
}

/* ---- a worker; the mutex is held around the queue */

static uint64_t resync_delay_ms(const struct workers *workers)
{
    uint64_t tenth = workers->config.resync_ms / 10; /* so that they don't all come at once */
    uint64_t spread = tenth > UINT32_MAX / 2 ? UINT32_MAX / 2 : tenth;
    return workers->config.resync_ms - spread + arc4random_uniform((uint32_t)(2 * spread + 1));
}

static void settle(struct workers *workers, const char *name, struct work_result result)
{
    uint64_t now = clock_mono_ms();
    char *own = xstrdup(name); /* the queue's may go with workqueue_done() */
    uint64_t took_ms = workqueue_done(workers->queue, name, now);

    if (result.verdict == WORK_RETRY)
        workqueue_retry(workers->queue, own, now);
    else
        workqueue_forget(workers->queue, own);
    if (result.verdict == WORK_LATER)
        workqueue_add_after(workers->queue, own, result.delay_ms, now);
    else if (result.verdict == WORK_DONE && workers->config.resync_ms > 0)
        workqueue_add_after(workers->queue, own, resync_delay_ms(workers), now);
    count_result(workers, result, took_ms);
    publish(workers);
    free(own);
}

static void wait_until(struct workers *workers, uint64_t due_ms)
{
    if (due_ms == UINT64_MAX) {
        pthread_cond_wait(&workers->changed, &workers->lock);
        return;
    }
    struct timespec until = cond_deadline(due_ms);
    pthread_cond_timedwait(&workers->changed, &workers->lock, &until);
}

static void *run(void *context)
{
    struct workers *workers = context;

    pthread_mutex_lock(&workers->lock);
    while (!workers->ending) {
        uint64_t due = UINT64_MAX, waited_ms = 0;
        const char *name = workers->running
                               ? workqueue_get(workers->queue, clock_mono_ms(), &due, &waited_ms)
                               : NULL;
        if (name == NULL) {
            wait_until(workers, due);
            continue;
        }
        workers->in_hand++;
        metric_observe(workers->series[WAITED], (double)waited_ms / 1000);
        pthread_mutex_unlock(&workers->lock);
        struct work_result result = workers->config.work(workers->config.context, name);
        pthread_mutex_lock(&workers->lock);
        settle(workers, name, result);
        workers->in_hand--;
        pthread_cond_broadcast(&workers->changed);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

void workers_refresh(void *context)
{
    struct workers *workers = context;
    pthread_mutex_lock(&workers->lock);
    publish(workers);
    pthread_mutex_unlock(&workers->lock);
}

/* ---- the pool */

static enum err start_threads(struct workers *workers, struct error *error)
{
    sigset_t all, before;
    int failed = 0;

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (workers->thread_count < workers->config.threads && !failed) {
        failed = pthread_create(&workers->threads[workers->thread_count], NULL, run, workers);
        if (!failed)
            workers->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(error, ERR_NOMEM, "start worker %u: %s", workers->thread_count,
                         strerror(failed));
    return OK;
}

enum err workers_create(const struct workers_config *config, struct workers **ret_workers,
                        struct error *error)
{
    if (config->threads == 0 || config->threads > THREADS_MAX)
        return error_set(error, ERR_INVALID, "%u workers: it must be 1 to %d", config->threads,
                         THREADS_MAX);

    AUTO(workers_destroy) struct workers *workers = xcalloc(1, sizeof *workers);
    workers->config = *config;
    workers->name = xstrdup(config->name);
    workers->queue = workqueue_create(config->threads);
    pthread_mutex_init(&workers->lock, NULL);
    cond_init(&workers->changed);
    for (size_t i = 0; i < SERIES_COUNT; i++)
        workers->series[i] = metrics_series(&descs[i], workers->name);
    metric_set(workers->series[CONCURRENT], config->threads);

    enum err err = start_threads(workers, error);
    if (err)
        return err;
    MOVE(*ret_workers, workers);
    return OK;
}

static void set_running(struct workers *workers, bool running)
{
    pthread_mutex_lock(&workers->lock);
    workers->running = running;
    pthread_cond_broadcast(&workers->changed);
    while (!workers->running && workers->in_hand > 0)
        pthread_cond_wait(&workers->changed, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}

void workers_start(struct workers *workers)
{
    set_running(workers, true);
}

void workers_stop(struct workers *workers)
{
    set_running(workers, false);
}

void workers_destroy(struct workers **slot)
{
    struct workers *workers = *slot;
    if (workers == NULL)
        return;

    pthread_mutex_lock(&workers->lock);
    workers->running = false;
    workers->ending = true;
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    workqueue_destroy(&workers->queue);
    pthread_cond_destroy(&workers->changed);
    pthread_mutex_destroy(&workers->lock);
    free(workers->name);
    free(workers);
    *slot = NULL;
}

void workers_add(struct workers *workers, const char *name)
{
    pthread_mutex_lock(&workers->lock);
    workqueue_add(workers->queue, name, clock_mono_ms());
    pthread_cond_broadcast(&workers->changed);
    pthread_mutex_unlock(&workers->lock);
}

void workers_drop(struct workers *workers, const char *name)
{
    pthread_mutex_lock(&workers->lock);
    workqueue_drop(workers->queue, name);
    pthread_mutex_unlock(&workers->lock);
}
