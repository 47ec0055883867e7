/* gather: what is known of a pipeline, from the cache and the board, as one set of facts: the input
 * of desired() and of its conditions. Reads only; sends nothing.
 */
#ifndef CONTROLLER_RECONCILE_GATHER_H
#define CONTROLLER_RECONCILE_GATHER_H

#include "controller/api/status.h"
#include "controller/cache/store.h"
#include "controller/desired/desired.h"
#include "controller/reconcile/board.h"
#include "controller/reconcile/probe.h"

struct gather {
    struct store *store;
    struct board *board;
    struct probe *probe; /* NULL: pods are not asked */
};

/* The pods of an edge or gateway, as they say they are. */
struct pods {
    struct known_pod {
        char *name, *uid;
        struct pod_state state;
    } * items;
    size_t count, cap;
};

struct rollouts;

struct gathered {
    struct pipeline_status status; /* facts; conditions not yet */
    struct desired_bounds bounds[PIPELINE_GATEWAYS_MAX];
    int64_t gateway_replicas[PIPELINE_GATEWAYS_MAX]; /* spec.replicas now; -1: no Deployment */
    bool gateway_is_new[PIPELINE_GATEWAYS_MAX];      /* made just now; set by children_apply() */
    int64_t edge_replicas[PIPELINE_EDGES_MAX];       /* of a StatefulSet; -1: none */
    bool edge_can_shrink[PIPELINE_EDGES_MAX];        /* the last pod's spool is empty */
    struct json *workloads[PIPELINE_EDGES_MAX];      /* the StatefulSets */
    const struct json *volume_claims[PIPELINE_EDGES_MAX];
    struct json *stranded[PIPELINE_EDGES_MAX]; /* of the status; set by volumes_apply() */
    struct pods edge_pods[PIPELINE_EDGES_MAX], gateway_pods[PIPELINE_GATEWAYS_MAX];
    struct rollouts *rollouts; /* what the ConfigMaps are to say; see rollouts.h */
};

/* `old_status`: of the pipeline as cached, for what a restart must not forget. */
void gather_facts(const struct gather *gather, const struct subject *subject,
                  const struct json *old_status, struct gathered **ret_gathered);
void gathered_free(struct gathered **gathered);

/* Kafka's topics of a pipeline: those of the document, then each dead-letter topic once. */
struct topic_use {
    const struct pipeline_topic *source; /* whose replication and sizes it takes */
    const char *topic;
    int64_t retention_ms; /* of a dead-letter topic */
    bool dead_letter;
};
size_t gather_topics(const struct pipeline *pipeline, struct topic_use uses[STATUS_TOPICS_MAX]);

#endif
