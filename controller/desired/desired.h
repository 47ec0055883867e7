/* desired: the objects that a pipeline should have. Pure. See README.md for the list.
 *
 *   pipeline + operator's settings + what scaling decided  ->  objects, in the order to apply them
 *
 * Whether the pipeline may have them (claims, node access) is decided before, in desired/rights.h.
 * Thread: any.
 */
#ifndef CONTROLLER_DESIRED_DESIRED_H
#define CONTROLLER_DESIRED_DESIRED_H

#include "common/contract/pipeline.h"
#include "common/json.h"

/* What the operator was told about all pipelines. */
struct desired_settings {
    const char *sidecar_image;
    const char *image_pull_policy; /* NULL: Kubernetes' own rule */
};

/* What scaling decided for one gateway. */
struct desired_bounds {
    int64_t replicas_min, replicas_max; /* of the HPA */
};

/* What the ConfigMap of one edge or gateway says; see desired/rollout.h. */
struct desired_rollout {
    const char *current; /* NULL: the document as it is now */
    bool candidate;      /* the document as it is now goes beside it, to `percent` of the pods */
    unsigned percent;
};

struct desired_input {
    const struct pipeline *pipeline;
    const struct desired_settings *settings;
    const struct desired_bounds *bounds; /* one for each gateway, in order; NULL: as in the spec */

    /* One for each edge and gateway, in order; NULL: everybody gets the document as it is. */
    const struct desired_rollout *edge_rollouts, *gateway_rollouts;

    /* The volumeClaimTemplates that the StatefulSet of each edge has now, or NULL. Kubernetes lets
     * nobody change them, so they are kept as they are. One for each edge; NULL: none exist. */
    const struct json *const *volume_claims;
};

/* An array of objects; the caller frees it. */
struct json *desired_objects(const struct desired_input *input);

/* The document that the pods of an edge or gateway read, as it is in their ConfigMap. */
void desired_document(const struct pipeline *pipeline, bool edge, const char *name,
                      struct buf *into);

/* Whether the StatefulSet of `edge` would get volumes of another class or access mode if it were
 * made now. (Their size is the business of reconcile/volumes.h.) */
bool desired_volumes_differ(const struct pipeline_edge *edge, const struct json *volume_claims);

/* The size that the volumes of a StatefulSet with these templates are made with; 0: none. */
int64_t desired_volumes_bytes(const struct json *volume_claims);

#define DESIRED_SPOOL_VOLUME "spool" /* of an edge's pod; its claims are called spool-<pod> */

#define DESIRED_NAME_MAX 52 /* a StatefulSet's pods carry its name and 11 characters in a label */

#define DESIRED_PODS_SUFFIX "-pods" /* of the headless Service of a StatefulSet */

/* "<pipeline>-<part>"; false if that is longer than DESIRED_NAME_MAX. */
bool desired_name(const struct pipeline *pipeline, const char *part,
                  char into[DESIRED_NAME_MAX + 1]);

#endif
