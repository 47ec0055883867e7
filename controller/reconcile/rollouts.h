/* rollouts: what the ConfigMaps of a pipeline are to say next, from what they say now and what the
 * pods say. Reads the cache only; desired/rollout.h decides.
 */
#ifndef CONTROLLER_RECONCILE_ROLLOUTS_H
#define CONTROLLER_RECONCILE_ROLLOUTS_H

#include "controller/reconcile/gather.h"

struct rollouts {
    struct desired_rollout edges[PIPELINE_EDGES_MAX], gateways[PIPELINE_GATEWAYS_MAX];
    struct json *maps[PIPELINE_EDGES_MAX + PIPELINE_GATEWAYS_MAX]; /* `current` points into them */
    size_t map_count;
    bool under_way; /* look again soon */
};

/* Fills in the rollouts of `gathered->status` too. The caller frees it. */
struct rollouts *rollouts_decide(const struct gather *gather, const struct subject *subject,
                                 struct gathered *gathered);
void rollouts_free(struct rollouts **rollouts);

#endif
