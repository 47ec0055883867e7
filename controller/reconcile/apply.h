/* apply: makes the API server agree with what a pipeline should have, with as few requests as that
 * takes.
 *
 *   in the cache, covers      nothing is sent
 *   in the cache, drifted     server-side apply, with the resourceVersion that was judged; where
 *                             what somebody put beside ours makes that invalid, the list is
 *                             replaced
 *   not in the cache          asked for first: it may be there without our label
 *   another owner's           never touched: ERR_INVALID, which names it
 *
 * Nothing is written unless we lead: then every call that would is ERR_CLOSED.
 *
 * Thread: any; one pipeline is with one thread at a time.
 */
#ifndef CONTROLLER_RECONCILE_APPLY_H
#define CONTROLLER_RECONCILE_APPLY_H

#include "common/kube/client.h"
#include "controller/cache/store.h"
#include "controller/reconcile/diff.h"

#include <stdatomic.h>

struct apply {
    struct kube_client *client;
    struct store *store;
    const atomic_bool *leading;
};

enum apply_outcome { APPLY_SAME, APPLY_CREATED, APPLY_CHANGED };

/* One object of desired(). `owner_uid`: the pipeline's. `path`: where it had drifted. The object
 * gets its seal and resourceVersion. */
NODISCARD enum err apply_object(const struct apply *apply, const char *owner_uid,
                                struct json *desired, enum apply_outcome *ret_outcome,
                                char path[DIFF_PATH_MAX], struct error *error);

/* Deletes the children of `owner_uid` that aren't in `objects` (an array; NULL keeps none), last
 * kinds first. */
NODISCARD enum err apply_prune(const struct apply *apply, const char *owner_uid,
                               const struct json *objects, size_t *ret_deleted,
                               struct error *error);

/* Sets spec.replicas through /scale, to `to` if they still are `from`, which the decision was made
 * on. ERR_CONFLICT: they are not, or it is gone; judge again. */
NODISCARD enum err apply_replicas(const struct apply *apply, const struct kube_resource *resource,
                                  const char *namespace, const char *name, int64_t from, int64_t to,
                                  struct error *error);

/* A merge patch of what is not ours as a whole. */
NODISCARD enum err apply_patch(const struct apply *apply, const struct kube_resource *resource,
                               const char *namespace, const char *name, const struct json *patch,
                               struct error *error);

/* Whether we may write, to Kafka too. ERR_CLOSED: somebody else leads. */
NODISCARD enum err apply_allowed(const struct apply *apply, struct error *error);

#endif
