/* workers: threads that take names from a workqueue.
 *
 * What `work` says about a name decides when it comes again: now and then (resync), after a time,
 * or by its backoff. A name is with one worker at a time.
 *
 * Metrics, with label name: those of workqueue.h, and controller_runtime_reconcile_total{result},
 * controller_runtime_reconcile_errors_total, controller_runtime_reconcile_time_seconds,
 * controller_runtime_active_workers, controller_runtime_max_concurrent_reconciles.
 * Thread: any. One mutex guards the queue; it is not held during `work`.
 */
#ifndef CONTROLLER_QUEUE_WORKERS_H
#define CONTROLLER_QUEUE_WORKERS_H

#include "common/error.h"

#include <stdint.h>

struct workers;

struct work_result {
    enum { WORK_DONE, WORK_LATER, WORK_RETRY } verdict;
    uint64_t delay_ms; /* WORK_LATER: come again after it; the backoff is forgotten, as with DONE */
};
typedef struct work_result work_fn(void *context, const char *name);

struct workers_config {
    const char *name; /* of the controller: label of the metrics, and of the threads */
    unsigned threads;
    uint64_t resync_ms; /* a name that is DONE comes again after it, +-10 %; 0: never */
    work_fn *work;
    void *context;
};

/* Names may be added at once; nothing is worked on before workers_start(). */
NODISCARD enum err workers_create(const struct workers_config *config, struct workers **ret_workers,
                                  struct error *error);

/* Starts, or stops after the names in hand are done; what waits stays. For gaining and losing the
 * leadership. Not from `work`. */
void workers_start(struct workers *workers);
void workers_stop(struct workers *workers);

/* Stops, joins and frees. */
void workers_destroy(struct workers **slot);

void workers_add(struct workers *workers, const char *name);

/* Sets the gauges, for metrics_on_refresh(); `context` is a struct workers. */
void workers_refresh(void *context);

/* The object is gone: no resync any more. */
void workers_drop(struct workers *workers, const char *name);

#endif
