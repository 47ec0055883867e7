/* pods: the pods of this node, found by their uid (from the path of a log) or by their address
 * (from a connection).
 *
 *   API server --watch, spec.nodeName = NODE--> table --pods_by_uid(), pods_by_address()--> pod
 *
 * Nothing waits for it: who is not known (yet, or because the API server is away or refuses us)
 * goes without, and is counted. A pod that was deleted is still found by its uid for PODS_KEPT_MS,
 * as its logs are read to their end; by its address no more. Memory: some kilobytes for each pod of
 * the node, PODS_MAX at most.
 *
 * Metrics: surgetank_edge_pods, surgetank_edge_pod_lookups_total{by,result},
 * surgetank_edge_pods_refused_total; the watch's own (common/kube/watch.h).
 *
 * Threads: any, but for create, start and destroy. A mutex guards the table, never held for long.
 */
#ifndef SIDECAR_PODS_PODS_H
#define SIDECAR_PODS_PODS_H

#include "common/kube/watch.h"
#include "sidecar/pods/pod.h"

#define PODS_MAX      2048 /* with those kept; a node has some hundred */
#define PODS_KEPT_MS  600000
#define PODS_TOLD_MS  120000 /* a watch that fails tells so at least every 45 s */
#define PODS_NODE_MAX 253

struct pods;

/* Copies the wishes. ERR_NOMEM. */
NODISCARD enum err pods_create(const struct pod_wishes *wishes, struct pods **ret_pods,
                               struct error *error);

/* Begins to watch as the service account of this pod. An error says why not: without a cluster, a
 * token or a node's name; the table stays empty then. What fails later is tried again. */
NODISCARD enum err pods_start(struct pods *pods, const char *node, struct error *error);
/* Likewise, by a client of somebody else's making; takes it. */
NODISCARD enum err pods_watch(struct pods *pods, struct kube_client **client, const char *node,
                              struct error *error);
void pods_destroy(struct pods **pods);

/* What the stamps do behind the pod's attributes, from now on; copied. ERR_NOMEM: as before. */
NODISCARD enum err pods_set_rules(struct pods *pods, const struct stamp_rule *rules, size_t count,
                                  struct error *error);

/* A reference of one's own, for pod_unref(); NULL: not known. */
struct pod *pods_by_uid(struct pods *pods, struct bytes uid);
struct pod *pods_by_address(struct pods *pods, const char *address);

struct pods_state {
    size_t known;
    char trouble[sizeof(((struct error *)NULL)->text)]; /* why the watch does not work; "" */
};
void pods_state(struct pods *pods, struct pods_state *ret_state);

/* Where the watch puts what it sees. */
struct kube_sink pods_sink(struct pods *pods);

#endif
