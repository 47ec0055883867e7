/* scale: the loop that looks at the lag of every gateway and decides how many replicas it should
 * have.
 *
 *   lags, cache, probe -> scaling_decide() -> board -> (wanted changed) reconcile's queue
 *
 * It writes nothing to the API server: reconcile does, so that each pipeline has one writer. Runs
 * every SCALE_TICK_MS while we lead.
 *
 * Metrics: kafka_consumer_group_lag{group,topic,partition}, surgetank_gateway_lag_messages,
 * surgetank_gateway_lag_seconds, surgetank_gateway_drain_seconds,
 * surgetank_gateway_wanted_replicas, surgetank_gateway_replicas (all by namespace, pipeline,
 * gateway).
 * Thread: its own.
 */
#ifndef CONTROLLER_RECONCILE_SCALE_H
#define CONTROLLER_RECONCILE_SCALE_H

#include "controller/cache/store.h"
#include "controller/reconcile/board.h"
#include "controller/reconcile/lags.h"
#include "controller/reconcile/probe.h"

enum { SCALE_TICK_MS = 2000 };

struct scale_config {
    struct store *store;
    struct board *board;
    struct lags *lags;
    struct probe *probe;
    /* Wanted replicas or the reason changed, or it is worth showing new numbers. */
    void (*on_news)(void *context, const char *key);
    void *context;
};

struct scale;

NODISCARD enum err scale_create(const struct scale_config *config, struct scale **ret_scale,
                                struct error *error);
void scale_destroy(struct scale **scale);
void scale_set_active(struct scale *scale, bool active);

#endif
