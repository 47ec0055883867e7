/* topics: the work on Kafka, by threads of its own, so that no reconcile ever waits for a broker.
 *
 *   topics_want --queue--> credentials -> describe -> plan -> apply -> board -> reconcile's queue
 *
 * Each pipeline comes again every TOPICS_RESYNC_MS, which is how drift is seen and put back, and
 * rotated credentials are noticed; sooner when its spec changes, after TOPICS_FAILED_MS when Kafka
 * didn't answer. That a Kafka doesn't answer is remembered for TOPICS_FAILED_MS, so that many
 * pipelines don't wait for the same dead brokers one after the other.
 *
 * A topic is made in two steps, so that no crash in between loses one to "made by others":
 *
 *   missing --board: Intended--> status says so (reconcile writes it) --> made --board: Created-->
 *
 * Metrics: surgetank_topic_operations_total{operation,outcome}.
 * Thread: any for the calls.
 */
#ifndef CONTROLLER_RECONCILE_TOPICS_H
#define CONTROLLER_RECONCILE_TOPICS_H

#include "controller/queue/workers.h"
#include "controller/reconcile/apply.h"
#include "controller/reconcile/board.h"
#include "controller/reconcile/lags.h"

enum {
    TOPICS_RESYNC_MS = 120000,
    TOPICS_FAILED_MS = 10000,
    TOPICS_TIMEOUT_MS = 10000,
    TOPICS_THREADS = 4,
    TOPICS_DELETE_TIMEOUT_MS = 20000,
};

struct topics;

struct topics_config {
    struct apply apply;
    struct board *board;
    struct admin_pool *pool;
    struct lags *lags;
    /* Called when something new is on the board about `key`. */
    void (*on_news)(void *context, const char *key);
    void *context;
};

NODISCARD enum err topics_create(const struct topics_config *config, struct topics **ret_topics,
                                 struct error *error);
void topics_destroy(struct topics **topics);

/* For gaining and losing the leadership. */
void topics_start(struct topics *topics);
void topics_stop(struct topics *topics);

/* Has Kafka looked at for this pipeline, unless that was done for the same document and status.
 * `live`: the pipeline as cached. */
void topics_want(struct topics *topics, const struct subject *subject, const struct json *live);

/* The pipeline is gone, or not ours to look after. */
void topics_forget(struct topics *topics, const char *key);

/* Deletes the topics of `deletionPolicy: Delete` that the status says we made. Blocks, at most
 * TOPICS_DELETE_TIMEOUT_MS. *ret_deleted: how many. */
NODISCARD enum err topics_delete_made(struct topics *topics, const struct pipeline *pipeline,
                                      const struct json *status, size_t *ret_deleted,
                                      struct error *error);

#endif
