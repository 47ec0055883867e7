#include "common/contract/pipeline_shape.h"

#include "common/contract/names.h"

const struct pipeline_topic *pipeline_topic(const struct pipeline *pipeline, const char *name)
{
    for (size_t i = 0; i < pipeline->topic_count; i++)
        if (strcmp(pipeline->topics[i].name, name) == 0)
            return &pipeline->topics[i];
    return NULL;
}

const struct pipeline_edge *pipeline_edge(const struct pipeline *pipeline, const char *name)
{
    for (size_t i = 0; i < pipeline->edge_count; i++)
        if (strcmp(pipeline->edges[i].name, name) == 0)
            return &pipeline->edges[i];
    return NULL;
}

const struct pipeline_gateway *pipeline_gateway(const struct pipeline *pipeline, const char *name)
{
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        if (strcmp(pipeline->gateways[i].name, name) == 0)
            return &pipeline->gateways[i];
    return NULL;
}

const struct pipeline_topic *pipeline_topic_of(const struct pipeline *pipeline, enum signal signal)
{
    const struct pipeline_topic *only = NULL;

    for (size_t i = 0; i < pipeline->topic_count; i++) {
        const struct pipeline_topic *topic = &pipeline->topics[i];
        if (topic->signal != signal)
            continue;
        if (only == NULL || strcmp(topic->name, signal_name(signal)) == 0)
            only = topic;
    }
    return only; /* several without one named as the signal are refused when read */
}

const char *pipeline_dead_letter(const struct pipeline_gateway *gateway,
                                 const struct pipeline_topic *topic)
{
    return gateway->dead_letter_topic != NULL ? gateway->dead_letter_topic : topic->dead_letter;
}

const char *pipeline_member_id(const struct pipeline *pipeline,
                               const struct pipeline_gateway *gateway, struct arena *arena)
{
    bool known = pipeline->uid != NULL; /* outside Kubernetes there is none, and nobody scales */
    return arena_printf(arena, "surgetank-gateway-%s%s%s", gateway->name, known ? "-" : "",
                        known ? pipeline->uid : "");
}

const char *pipeline_spool_dir(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                               struct arena *arena)
{
    const char *root = edge->spool.host_path == NULL ? NAMES_SPOOL_DIR : edge->spool.host_path;
    return arena_printf(arena, "%s/%s/%s/%s", root, pipeline->namespace, pipeline->name,
                        edge->name);
}

bool pipeline_metadata_from(const struct pipeline_edge *edge, const char *way)
{
    const struct pipeline_kubernetes_metadata *metadata = edge->kubernetes_metadata;

    for (size_t i = 0; metadata != NULL && i < metadata->from.count; i++)
        if (strcmp(metadata->from.items[i], way) == 0)
            return true;
    return false;
}

bool pipeline_watches_pods(const struct pipeline_edge *edge)
{
    const struct pipeline_kubernetes_metadata *metadata = edge->kubernetes_metadata;

    return metadata != NULL && (metadata->labels.count > 0 || metadata->annotations.count > 0 ||
                                pipeline_metadata_from(edge, PIPELINE_METADATA_CONNECTION));
}

static void kafka_secrets(const struct pipeline *pipeline, pipeline_visit_secret *visit,
                          void *context)
{
    if (pipeline->kafka != NULL)
        field_secrets(&shape_kafka, pipeline->kafka, visit, context);
}

void pipeline_edge_secrets(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                           pipeline_visit_secret *visit, void *context)
{
    kafka_secrets(pipeline, visit, context);
    field_secrets(&shape_edge, edge, visit, context);
}

void pipeline_gateway_secrets(const struct pipeline *pipeline,
                              const struct pipeline_gateway *gateway, pipeline_visit_secret *visit,
                              void *context)
{
    kafka_secrets(pipeline, visit, context);
    field_secrets(&shape_gateway, gateway, visit, context);
}
