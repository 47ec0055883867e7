/* claims: which pipeline a topic or a consumer group belongs to, so that two never meet by
 * accident. Pure.
 *
 *   claim := (Kafka cluster, topic or group, name)
 *
 * A claim belongs to the oldest pipeline that makes it, by creation time, then by namespace and
 * name; it passes on when that one is deleted or makes it no more. A topic with `ownership:
 * Observe` claims nothing: that is how one shares a topic on purpose.
 *
 * A cluster is known by its id once Kafka was asked, and before that by its bootstrap addresses,
 * whose order doesn't matter.
 *
 * Thread: its owner's.
 */
#ifndef CONTROLLER_RECONCILE_CLAIMS_H
#define CONTROLLER_RECONCILE_CLAIMS_H

#include "common/contract/pipeline.h"

struct claims;

struct claims *claims_create(void);
void claims_destroy(struct claims **claims);

/* Replaces all that pipeline `key` ("namespace/name") claims. `created` is an RFC 3339 time. */
void claims_put(struct claims *claims, const char *key, const char *created,
                const struct pipeline *pipeline);
void claims_drop(struct claims *claims, const char *key);

/* Kafka at these addresses is the cluster with this id. */
void claims_note_cluster(struct claims *claims, const struct pipeline_strings *bootstrap,
                         const char *cluster_id);

/* A claim of `key` that belongs to an older pipeline: ERR_CONFLICT with the sentence, which names
 * both. */
NODISCARD enum err claims_check(const struct claims *claims, const char *key, struct error *error);

#endif
