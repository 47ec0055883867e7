/* pod: what is known of one pod, as attributes of a resource. Immutable, counted.
 *
 *   k8s.namespace.name k8s.pod.name k8s.pod.uid k8s.node.name
 *   k8s.deployment.name k8s.replicaset.name     the owner: of a ReplicaSet also the Deployment,
 *   k8s.statefulset.name k8s.daemonset.name     whose name it tells with the pod's template hash
 *   k8s.job.name
 *   k8s.pod.label.<key> k8s.pod.annotation.<key>      those that were asked for
 *
 * Thread: any.
 */
#ifndef SIDECAR_PODS_POD_H
#define SIDECAR_PODS_POD_H

#include "common/json.h"
#include "sidecar/otlp/stamp.h"

#include <stddef.h>

#define POD_ADDRESSES_MAX  4
#define POD_VALUE_MAX      1024 /* bytes of an annotation; a longer one is left out */
#define POD_ATTRIBUTES_MAX 56
#define POD_OWN_ATTRIBUTES 3 /* of them in front: namespace, name, uid, which paths tell too */

struct pod_attribute {
    const char *key, *value;
};

/* Which labels and annotations; loans. */
struct pod_wishes {
    const char *const *labels, *const *annotations;
    size_t label_count, annotation_count;
};

struct pod {
    const char *uid;
    const char *static_uid; /* what kubelet calls the pod of a manifest on the node; NULL: none */
    const char *addresses[POD_ADDRESSES_MAX]; /* none for a pod that has its node's */
    size_t address_count;
    struct pod_attribute attributes[POD_ATTRIBUTES_MAX];
    size_t attribute_count;
    struct stamp *stamp; /* inserts the attributes, then does what the rules say */
};

/* From a Pod object of the API, or of pod_project(). Values are UTF-8, as the API's are. `rules`
 * are of the document. ERR_INVALID: no pod, or more than a stamp can hold. ERR_NOMEM. */
NODISCARD enum err pod_create(const struct json *object, const struct pod_wishes *wishes,
                              const struct stamp_rule *rules, size_t rule_count,
                              struct pod **ret_pod, struct error *error);

/* The same pod with other rules. */
NODISCARD enum err pod_restamp(const struct pod *pod, const struct stamp_rule *rules,
                               size_t rule_count, struct pod **ret_pod, struct error *error);

struct pod *pod_ref(struct pod *pod);
void pod_unref(struct pod **pod); /* NULL is fine */

/* Cuts the object down to what pod_create() reads. */
void pod_project(struct json *object);

#endif
