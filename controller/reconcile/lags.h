/* lags: the observers, one for each Kafka access, and which groups of which pipelines they watch.
 *
 * An observer lives as long as some pipeline wants a group of it. Credentials that changed reach it
 * with the next lags_want().
 *
 * Thread: any. One mutex guards the table; observers are counted, so that a slow end of one doesn't
 * hold the table.
 */
#ifndef CONTROLLER_RECONCILE_LAGS_H
#define CONTROLLER_RECONCILE_LAGS_H

#include "common/contract/pipeline.h"
#include "controller/kafka_admin/observer.h"

struct lags;

/* `pool` outlives it. */
struct lags *lags_create(struct admin_pool *pool);
void lags_destroy(struct lags **lags);

/* Watches the groups of all gateways of `pipeline`, called `key`; those it had before and has no
 * more are forgotten. `access_key`: credentials_key(). */
NODISCARD enum err lags_want(struct lags *lags, const char *key, const struct pipeline *pipeline,
                             const char *access_key, const struct kafka_access *access,
                             struct error *error);
void lags_forget(struct lags *lags, const char *key);

/* A gateway was scaled to zero by us, or woken: its group commits nothing meanwhile. That stays so
 * over every lags_want() until it is said otherwise. */
void lags_set_asleep(struct lags *lags, const char *key, const struct pipeline *pipeline,
                     const struct pipeline_gateway *gateway, bool asleep);

/* As observer_read() and observer_each(). ERR_NOTFOUND: not watched. */
NODISCARD enum err lags_read(struct lags *lags, const char *key, const char *group,
                             struct group_lag *ret_lag);
NODISCARD enum err lags_each(struct lags *lags, const char *key, const char *group,
                             observer_visit *visit, void *context);

#endif
