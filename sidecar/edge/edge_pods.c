#include "sidecar/edge/edge_pods.h"

#include "common/arena.h"
#include "common/contract/names.h"
#include "common/log.h"
#include "sidecar/edge/edge_live.h"
#include "sidecar/pods/pods.h"

#include <stdlib.h>

enum err edge_pods_change(struct pods *pods, const struct pipeline *pipeline,
                          const struct pipeline_edge *edge, struct error *error)
{
    AUTO(arena_fini) struct arena scratch = {0};
    struct stamp_rule *rules = NULL;
    size_t count = 0;

    if (pods == NULL)
        return OK;
    enum err err = edge_live_rules(pipeline, edge, &scratch, &rules, &count, error);
    return err ? err : pods_set_rules(pods, rules, count, error);
}

enum err edge_pods_open(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                        struct pods **ret_pods, struct error *error)
{
    AUTO(pods_destroy) struct pods *pods = NULL;
    struct error trouble = {0};

    if (!pipeline_watches_pods(edge)) {
        *ret_pods = NULL;
        return OK;
    }
    const struct pipeline_kubernetes_metadata *metadata = edge->kubernetes_metadata;
    const struct pod_wishes wishes = {metadata->labels.items, metadata->annotations.items,
                                      metadata->labels.count, metadata->annotations.count};
    enum err err = pods_create(&wishes, &pods, error);
    if (!err)
        err = edge_pods_change(pods, pipeline, edge, error);
    if (err)
        return err;
    if (pods_start(pods, getenv(NAMES_NODE_ENV), &trouble) != OK)
        LOG_WARN("Goes on without kubernetesMetadata", LOG_STR("error", trouble.text));
    MOVE(*ret_pods, pods);
    return OK;
}
