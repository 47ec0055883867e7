/* finalize: what must be done outside Kubernetes before a pipeline may go: its topics, where
 * `deletionPolicy: Delete` says so and we made them. Only then there is a finalizer.
 *
 *   deleted --children gone--> topics deleted --> finalizer removed
 *           --Kafka away for FINALIZE_PATIENCE_MS, or the namespace is going--> finalizer removed,
 *             topics kept, an Event says so
 *
 * Consumer groups and volumes are never deleted.
 */
#ifndef CONTROLLER_RECONCILE_FINALIZE_H
#define CONTROLLER_RECONCILE_FINALIZE_H

#include "controller/reconcile/reconcile.h"

enum { FINALIZE_PATIENCE_MS = 300000, FINALIZE_RETRY_MS = 5000 };

/* Puts the finalizer on a pipeline that needs one, and takes it off one that doesn't any more.
 * ERR_CONFLICT: somebody wrote in between. */
NODISCARD enum err finalize_prepare(const struct reconcile *reconcile,
                                    const struct subject *subject, const struct json *live,
                                    struct error *error);

/* Asks the API server whether the namespace is being deleted: nothing can be made in it any more.
 */
bool finalize_namespace_is_going(const struct reconcile *reconcile, const char *namespace);

/* One step of a pipeline's end. `live` is being deleted. */
struct work_result finalize(const struct reconcile *reconcile, const char *key,
                            const struct json *live);

#endif
