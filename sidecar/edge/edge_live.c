#include "sidecar/edge/edge_live.h"

#include "common/contract/names.h"
#include "sidecar/edge/refine.h"
#include "sidecar/otlp/stamp.h"

#include <stdlib.h>
#include <unistd.h>

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "take over the document");
}

/* What is stamped on what comes from this node, or, with local_node NULL, on the rest. */
static enum err make_rules(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                           const char *local_node, struct arena *arena,
                           struct stamp_rule **ret_rules, size_t *ret_count, struct error *error)
{
    static const enum stamp_action actions[] = {[PIPELINE_ACTION_INSERT] = STAMP_INSERT,
                                                [PIPELINE_ACTION_UPDATE] = STAMP_UPDATE,
                                                [PIPELINE_ACTION_UPSERT] = STAMP_UPSERT,
                                                [PIPELINE_ACTION_DELETE] = STAMP_DELETE};
    struct stamp_rule *rules =
        arena_zalloc(arena, (edge->resource_attribute_count + 1) * sizeof *rules);
    size_t n = 0;

    if (rules == NULL)
        return no_memory(error);
    for (size_t i = 0; i < edge->resource_attribute_count; i++) {
        const struct pipeline_attribute *attribute = &edge->resource_attributes[i];
        if (attribute->from_node && local_node == NULL)
            continue;
        rules[n++] =
            (struct stamp_rule){.key = attribute->key,
                                .value = attribute->from_node ? local_node : attribute->value,
                                .action = actions[attribute->action]};
    }
    if (pipeline->cluster_name != NULL)
        rules[n++] = (struct stamp_rule){
            .key = "k8s.cluster.name", .value = pipeline->cluster_name, .action = STAMP_INSERT};
    *ret_rules = rules;
    *ret_count = n;
    return OK;
}

static enum err make_stamp(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                           const char *local_node, struct arena *arena, struct stamp **ret_stamp,
                           struct error *error)
{
    struct stamp_rule *rules = NULL;
    size_t count = 0;

    enum err err = make_rules(pipeline, edge, local_node, arena, &rules, &count, error);
    return err ? err : stamp_create(rules, count, ret_stamp, error);
}

static const char *node_name(struct arena *arena)
{
    char host[256] = "";
    const char *node = getenv(NAMES_NODE_ENV);

    if (node != NULL && node[0] != '\0')
        return node;
    gethostname(host, sizeof host - 1);
    return arena_strdup(arena, host);
}

enum err edge_live_rules(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                         struct arena *arena, struct stamp_rule **ret_rules, size_t *ret_count,
                         struct error *error)
{
    const char *node = node_name(arena);

    return node == NULL ? no_memory(error)
                        : make_rules(pipeline, edge, node, arena, ret_rules, ret_count, error);
}

static enum err make_stamps(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                            struct edge_live *live, struct error *error)
{
    AUTO(arena_fini) struct arena scratch = {0};
    const char *node = node_name(&scratch);

    if (node == NULL)
        return no_memory(error);
    enum err err = make_stamp(pipeline, edge, node, &scratch, &live->stamp_local, error);
    if (!err)
        err = make_stamp(pipeline, edge, NULL, &scratch, &live->stamp_remote, error);
    return err ? error_prefix(error, err, "resourceAttributes") : OK;
}

static enum err copy_origins(const struct pipeline_strings *origins, struct edge_live *live,
                             struct error *error)
{
    const char **copies = arena_zalloc(&live->arena, (origins->count + 1) * sizeof *copies);

    if (copies == NULL)
        return no_memory(error);
    for (size_t i = 0; i < origins->count; i++) {
        copies[i] = arena_printf(&live->arena, "%s", origins->items[i]);
        if (copies[i] == NULL)
            return no_memory(error);
    }
    live->limits.cors_origins = copies;
    live->limits.cors_origins_len = origins->count;
    return OK;
}

enum err edge_live_make(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                        struct net_budget *budget, struct edge_live **ret_live, struct error *error)
{
    AUTO(edge_live_free) struct edge_live *live = calloc(1, sizeof *live);

    if (live == NULL)
        return no_memory(error);
    enum err err = make_stamps(pipeline, edge, live, error);
    if (!err)
        err = copy_origins(&edge->otlp.cors_allowed_origins, live, error);
    for (size_t i = 0; i < EDGE_WORKERS_MAX && !err; i++)
        err = refine_open(pipeline, edge, budget, &live->refines[i], error);
    if (!err)
        err = refine_open(pipeline, edge, budget, &live->refine_files, error);
    if (err)
        return err;
    live->limits.stamp_local = live->stamp_local;
    live->limits.stamp_remote = live->stamp_remote;
    live->limits.grpc_body_max = (size_t)edge->otlp.grpc_max_request_bytes;
    live->limits.http_body_max = (size_t)edge->otlp.http_max_request_bytes;
    MOVE(*ret_live, live);
    return OK;
}

void edge_live_retire(struct edge_live *live)
{
    stamp_destroy(&live->stamp_local);
    stamp_destroy(&live->stamp_remote);
    for (size_t i = 0; i < EDGE_WORKERS_MAX; i++)
        refine_close(&live->refines[i]);
    refine_close(&live->refine_files);
}

void edge_live_free(struct edge_live **live)
{
    while (*live != NULL) {
        struct edge_live *gone = *live;
        *live = gone->retired;
        edge_live_retire(gone);
        arena_fini(&gone->arena);
        free(gone);
    }
}
