#include "common/contract/pipeline_shape.h"

#include "common/contract/names.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

#define HOUR_MS INT64_C(3600000)

/* An entry as it would be read from {name: NAME}, with all its defaults. */
static void read_named(struct field_reader *reader, const struct shape *shape, const char *name,
                       const char *path, void *target)
{
    AUTO(json_free) struct json *object = json_new_object();

    json_set_string(object, "name", name);
    field_read(reader, shape, object, path, target);
}

static bool is_read(const struct pipeline *pipeline, const char *topic)
{
    for (size_t g = 0; g < pipeline->gateway_count; g++)
        for (size_t i = 0; i < pipeline->gateways[g].from_names.count; i++)
            if (strcmp(pipeline->gateways[g].from_names.items[i], topic) == 0)
                return true;
    return false;
}

/* Without topics: one for each signal that a gateway reads. */
static bool default_topics(struct field_reader *reader, struct pipeline *pipeline)
{
    if (pipeline->topic_count > 0)
        return true;
    pipeline->topics = arena_zalloc(&pipeline->arena, SIGNAL_COUNT * sizeof *pipeline->topics);
    if (pipeline->topics == NULL)
        return false;
    for (int signal = 0; signal < SIGNAL_COUNT; signal++) {
        const char *name = signal_name((enum signal)signal);
        if (is_read(pipeline, name))
            read_named(reader, &shape_topic, name, "spec.topics",
                       &pipeline->topics[pipeline->topic_count++]);
    }
    return true;
}

static void default_signal(struct field_reader *reader, struct pipeline_topic *topic,
                           const char *path)
{
    if ((int)topic->signal != FIELD_WORD_UNSET)
        return;
    for (int signal = 0; topic->name != NULL && signal < SIGNAL_COUNT; signal++)
        if (strcmp(topic->name, signal_name((enum signal)signal)) == 0)
            topic->signal = (enum signal)signal;
    if ((int)topic->signal != FIELD_WORD_UNSET)
        return;
    topic->signal = SIGNAL_TRACES;
    if (!faults_at(reader->faults, path))
        fault_add(reader->faults, path, "Write traces, metrics or logs",
                  "is missing, and the topic isn't named as a signal");
}

/* A broker's own default could be compaction, which deletes messages. */
static bool default_cleanup(struct arena *arena, struct pipeline_map *config)
{
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->items[i].name, "cleanup.policy") == 0)
            return true;
    struct pipeline_pair *items = arena_zalloc(arena, (config->count + 1) * sizeof *items);
    if (items == NULL)
        return false;
    for (size_t i = 0; i < config->count; i++)
        items[i] = config->items[i];
    items[config->count] = (struct pipeline_pair){"cleanup.policy", "delete"};
    config->items = items;
    config->count++;
    return true;
}

static bool default_topic(struct field_reader *reader, struct pipeline *pipeline, size_t index)
{
    struct pipeline_topic *topic = &pipeline->topics[index];
    char path[FAULT_PATH_MAX], below[FAULT_PATH_MAX];

    fault_path_at("spec.topics", index, below);
    default_signal(reader, topic, fault_path(below, "signal", path));
    if (topic->retention_ms == FIELD_UNSET)
        topic->retention_ms = topic->signal == SIGNAL_LOGS ? 48 * HOUR_MS : 24 * HOUR_MS;
    if (topic->min_insync_replicas == FIELD_UNSET)
        topic->min_insync_replicas = topic->replication_factor > 2 ? 2 : 1;
    if (topic->topic == NULL)
        topic->topic = arena_printf(&pipeline->arena, "%s.%s.%s", pipeline->namespace,
                                    pipeline->name, topic->name);
    if (topic->topic == NULL || !default_cleanup(&pipeline->arena, &topic->config))
        return false;
    topic->dead_letter =
        arena_printf(&pipeline->arena, "%s" NAMES_DEAD_LETTER_SUFFIX, topic->topic);
    return topic->dead_letter != NULL;
}

static bool default_globs(struct arena *arena, struct pipeline_strings *globs)
{
    static const char *const everything[] = {"*"};

    if (globs->count > 0)
        return true;
    globs->items = arena_zalloc(arena, sizeof everything);
    if (globs->items == NULL)
        return false;
    globs->items[globs->count++] = everything[0];
    return true;
}

/* Container logs come from programs in any language; files have one writer, whom we don't know. */
static bool default_container_logs(struct arena *arena, struct pipeline_container_logs *logs)
{
    enum { LANGUAGES = PIPELINE_LANGUAGE_NONE };

    if (logs == NULL)
        return true;
    struct pipeline_following *following = &logs->following;
    if (following->multiline_count == 0) {
        following->multiline = arena_zalloc(arena, LANGUAGES * sizeof *following->multiline);
        if (following->multiline == NULL)
            return false;
        for (int i = 0; i < LANGUAGES; i++)
            following->multiline[following->multiline_count++].language = (enum pipeline_language)i;
    }
    return default_globs(arena, &logs->namespaces) && default_globs(arena, &logs->pods);
}

static bool default_metadata(struct arena *arena, struct pipeline_kubernetes_metadata *metadata)
{
    static const char *const ways[] = {PIPELINE_METADATA_PATH, PIPELINE_METADATA_CONNECTION};

    if (metadata == NULL || metadata->from.count > 0)
        return true;
    metadata->from.items = arena_zalloc(arena, sizeof ways);
    if (metadata->from.items == NULL)
        return false;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        metadata->from.items[metadata->from.count++] = ways[i];
    return true;
}

static bool default_edges(struct field_reader *reader, struct pipeline *pipeline)
{
    static const char *const access_modes[] = {"ReadWriteOnce"};

    if (pipeline->edge_count == 0) {
        pipeline->edges = arena_zalloc(&pipeline->arena, sizeof *pipeline->edges);
        if (pipeline->edges == NULL)
            return false;
        pipeline->edge_count = 1;
        read_named(reader, &shape_edge, NAMES_EDGE, "spec.edges", pipeline->edges);
    }
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        struct pipeline_edge *edge = &pipeline->edges[i];
        struct pipeline_strings *modes = &edge->spool.access_modes;
        bool daemon_set = edge->mode == PIPELINE_DAEMONSET;

        if ((int)edge->otlp.expose == FIELD_WORD_UNSET)
            edge->otlp.expose = daemon_set ? PIPELINE_EXPOSE_NODE_LOCAL : PIPELINE_EXPOSE_CLUSTER;
        if (!default_container_logs(&pipeline->arena, edge->container_logs) ||
            !default_metadata(&pipeline->arena, edge->kubernetes_metadata))
            return false;
        if (daemon_set && edge->spool.host_path == NULL)
            edge->spool.host_path = NAMES_SPOOL_DIR;
        if (edge->spool.host_path == NULL && modes->count == 0) {
            modes->items = arena_zalloc(&pipeline->arena, sizeof access_modes);
            if (modes->items == NULL)
                return false;
            modes->items[modes->count++] = access_modes[0];
        }
    }
    return true;
}

/* Looks up what the gateway reads. A name that is no topic is a fault, and left out. */
static bool resolve_from(struct field_reader *reader, struct pipeline *pipeline, size_t index)
{
    struct pipeline_gateway *gateway = &pipeline->gateways[index];
    const struct pipeline_strings *names = &gateway->from_names;
    char path[FAULT_PATH_MAX], from[FAULT_PATH_MAX];

    fault_path(fault_path_at("spec.gateways", index, path), "from", from);
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
    gateway->from = arena_zalloc(&pipeline->arena, (names->count + 1) * sizeof(*gateway->from));
    if (gateway->from == NULL)
        return false;
    for (size_t i = 0; i < names->count; i++) {
        const struct pipeline_topic *topic = pipeline_topic(pipeline, names->items[i]);
        if (topic != NULL) {
            gateway->from[gateway->from_count++] = topic;
            continue;
        }
        fault_add(reader->faults, fault_path_at(from, i, path),
                  "Write the name of one of spec.topics; without any, traces, metrics or logs",
                  "\"%s\" names no topic", names->items[i]);
    }
    return true;
}

static bool default_gateway(struct field_reader *reader, struct pipeline *pipeline, size_t index)
{
    struct pipeline_gateway *gateway = &pipeline->gateways[index];

    if (gateway->group_id == NULL)
        gateway->group_id = arena_printf(&pipeline->arena, "%s.%s.%s", pipeline->namespace,
                                         pipeline->name, gateway->name);
    return gateway->group_id != NULL && resolve_from(reader, pipeline, index);
}

/* A copy of the whole document in one of its own annotations. */
static void drop_last_applied(struct pipeline_map *annotations)
{
    size_t kept = 0;

    for (size_t i = 0; i < annotations->count; i++)
        if (strcmp(annotations->items[i].name, LAST_APPLIED) != 0)
            annotations->items[kept++] = annotations->items[i];
    annotations->count = kept;
}

/* A missing name is a fault already; later steps print names, so they get a stand-in. */
static void name_the_nameless(struct pipeline *pipeline)
{
    static const char nameless[] = "unnamed";

    if (pipeline->name == NULL)
        pipeline->name = nameless;
    for (size_t i = 0; i < pipeline->topic_count; i++)
        if (pipeline->topics[i].name == NULL)
            pipeline->topics[i].name = nameless;
    for (size_t i = 0; i < pipeline->edge_count; i++)
        if (pipeline->edges[i].name == NULL)
            pipeline->edges[i].name = nameless;
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        if (pipeline->gateways[i].name == NULL)
            pipeline->gateways[i].name = nameless;
}

bool pipeline_default(struct field_reader *reader, struct pipeline *pipeline)
{
    drop_last_applied(&pipeline->annotations);
    if (!default_topics(reader, pipeline) || !default_edges(reader, pipeline))
        return false;
    name_the_nameless(pipeline);
    for (size_t i = 0; i < pipeline->topic_count; i++)
        if (!default_topic(reader, pipeline, i))
            return false;
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        if (!default_gateway(reader, pipeline, i))
            return false;
    return !reader->out_of_memory;
}
