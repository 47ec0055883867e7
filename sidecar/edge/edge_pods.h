/* edge_pods: kubernetesMetadata, from the document's words to a table of the node's pods.
 *
 * Thread: the main thread.
 */
#ifndef SIDECAR_EDGE_EDGE_PODS_H
#define SIDECAR_EDGE_EDGE_PODS_H

#include "common/contract/pipeline.h"
#include "common/error.h"

struct pods;

/* Begins to watch the pods of this node; NULL, and OK, where the edge asks for nothing that takes a
 * watch. Telemetry doesn't wait for the API server, and goes on without it: that it can't be asked
 * is no error and goes to the log. ERR_NOMEM. */
NODISCARD enum err edge_pods_open(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                                  struct pods **ret_pods, struct error *error);

/* From now on what comes from a pod is stamped as this document says. NULL is fine. */
NODISCARD enum err edge_pods_change(struct pods *pods, const struct pipeline *pipeline,
                                    const struct pipeline_edge *edge, struct error *error);

#endif
