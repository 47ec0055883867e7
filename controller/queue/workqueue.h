/* workqueue: names to work on. Pure: every call takes the time, nothing locks or waits.
 *
 *            add                 get                  done
 *   (absent) ----> WAITING ----------> PROCESSING ----------> (absent)
 *   (absent) -add_after-> DELAYED --due--> WAITING
 *   PROCESSING --add--> PROCESSING and dirty --done--> WAITING
 *
 * A name waits at most once, and is with at most one worker: added while it is worked on, it waits
 * again when that is done. Of several delays the earliest counts. At most `parallel` names are
 * PROCESSING at once.
 *
 * workqueue_retry() delays by 5 ms doubling to 1000 s for each name, until workqueue_forget().
 *
 * Thread: its owner's; queue/workers.h puts a mutex and threads around it.
 */
#ifndef CONTROLLER_QUEUE_WORKQUEUE_H
#define CONTROLLER_QUEUE_WORKQUEUE_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

enum { WORKQUEUE_BACKOFF_MIN_MS = 5, WORKQUEUE_BACKOFF_MAX_MS = 1000000 };

struct workqueue;

/* Totals since creation; named after what controller-runtime calls them. */
struct workqueue_stats {
    size_t depth;           /* workqueue_depth: WAITING */
    size_t delayed;         /* DELAYED */
    size_t processing;      /* controller_runtime_active_workers */
    uint64_t adds;          /* workqueue_adds_total */
    uint64_t retries;       /* workqueue_retries_total */
    uint64_t unfinished_ms; /* workqueue_unfinished_work_seconds: sum over PROCESSING */
    uint64_t longest_ms;    /* workqueue_longest_running_processor_seconds */
};

/* `parallel`: bound on PROCESSING, at least 1. */
struct workqueue *workqueue_create(unsigned parallel);
void workqueue_destroy(struct workqueue **slot);

void workqueue_add(struct workqueue *queue, const char *name, uint64_t now_ms);
void workqueue_add_after(struct workqueue *queue, const char *name, uint64_t delay_ms,
                         uint64_t now_ms);

/* As add_after, with the name's own backoff; the delay is returned. */
uint64_t workqueue_retry(struct workqueue *queue, const char *name, uint64_t now_ms);
void workqueue_forget(struct workqueue *queue, const char *name);

/* Drops a name that waits or is delayed, and its backoff; one that is PROCESSING is only made
 * clean. */
void workqueue_drop(struct workqueue *queue, const char *name);

/* The next name, which is PROCESSING from now on; valid until its workqueue_done(). NULL: nothing
 * is due, or all workers are busy; then *ret_due_ms is when to ask again (UINT64_MAX: after the
 * next add or done). *ret_waited_ms: workqueue_queue_duration_seconds. Both may be NULL. */
const char *workqueue_get(struct workqueue *queue, uint64_t now_ms, uint64_t *ret_due_ms,
                          uint64_t *ret_waited_ms);

/* Ends the work on a name; returns how long it took (workqueue_work_duration_seconds). */
uint64_t workqueue_done(struct workqueue *queue, const char *name, uint64_t now_ms);

struct workqueue_stats workqueue_stats(const struct workqueue *queue, uint64_t now_ms);

#endif
