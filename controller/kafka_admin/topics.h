/* topics: what Kafka has, and doing what a topic_plan says. Batched: one call serves many topics.
 *
 * Thread: any; blocks until its deadline.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_TOPICS_H
#define CONTROLLER_KAFKA_ADMIN_TOPICS_H

#include "controller/kafka_admin/admin.h"
#include "controller/kafka_admin/topic_plan.h"

#define TOPICS_BATCH 50 /* topics in one request to Kafka */

/* Fills observed[i] for names[i], configs included; strings and arrays are in `arena`. One topic's
 * trouble is in its own `err`; the call fails only when nothing could be asked. */
NODISCARD enum err topics_describe(struct admin *admin, const char *const *names, size_t count,
                                   uint32_t timeout_ms, struct arena *arena,
                                   struct topic_observed *observed, struct error *error);

/* As topics_describe(), without configs: half the requests, and no right to see configs needed. */
NODISCARD enum err topics_describe_shape(struct admin *admin, const char *const *names,
                                         size_t count, uint32_t timeout_ms, struct arena *arena,
                                         struct topic_observed *observed, struct error *error);

struct topic_outcome {
    struct error error; /* code OK: done, or nothing was to be done */
};

/* Carries out plans[i] into outcomes[i]: makes, grows, sets, in this order. A topic that is there
 * after all is ERR_CONFLICT: somebody else made it in the meantime, or we did and the broker that
 * was asked had not heard of it (seconds, where hundreds are made at once). Describe and plan
 * again.
 */
NODISCARD enum err topics_apply(struct admin *admin, const struct topic_plan *plans, size_t count,
                                uint32_t timeout_ms, struct topic_outcome *outcomes,
                                struct error *error);

/* Deletes the topic if it still is the one with `topic_id`. OK too when there is none of that name.
 * ERR_CONFLICT: the id differs, nothing was deleted. */
NODISCARD enum err topics_delete(struct admin *admin, const char *topic, const char *topic_id,
                                 uint32_t timeout_ms, struct error *error);

#endif
