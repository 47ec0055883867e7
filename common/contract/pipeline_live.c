#include "common/contract/pipeline_live.h"

#include "common/crc32c.h"

#include <stdio.h>
#include <string.h>

/* Of an edge, of a gateway: dotted paths, to the end of the list. A field that isn't here is read
 * at start; whoever makes a program follow it adds it. */
static const char *const edge_live[] = {
    "receivers.otlp.grpc.maxRequestBytes",
    "receivers.otlp.http.maxRequestBytes",
    "receivers.otlp.http.corsAllowedOrigins",
    "resourceAttributes",
    "processors",
    "routes",
    "spool.size",
    "spool.minFree",
    "spool.whenFull",
    "spool.maxAge",
    "producer.compression",
    "producer.compressionLevel",
    "producer.freshFirst",
    NULL,
};
static const char *const gateway_live[] = {
    "processors", "batch", "export", "retry", "deadLetter.holdAbove", NULL,
};

/* The controller's, or Kubernetes'. */
static const char *const not_in_program[] = {
    "mode",
    "replicas",
    "scaling",
    "podDisruptionBudget",
    "rollout",
    "podTemplate",
    "receivers.otlp.expose",
    "receivers.otlp.serviceAnnotations",
    "spool.storage.storageClassName",
    "spool.storage.accessModes",
    "deadLetter.retention",
    NULL,
};

static const char *const of_edge_spec[] = {"clusterName", "kafka", "topics", NULL};
static const char *const of_gateway_spec[] = {"kafka", "topics", NULL};
/* How the controller makes a topic. */
static const char *const not_in_topic[] = {
    "ownership",
    "partitions",
    "replicationFactor",
    "retention",
    "retentionSize",
    "minInsyncReplicas",
    "maxMessageBytes",
    "compression",
    "deletionPolicy",
    "config",
    NULL,
};

static const char *last_key(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot == NULL ? path : dot + 1;
}

/* The object that holds the last key of `path`; NULL if there is none. */
static struct json *holder(struct json *object, const char *path)
{
    char above[128];
    const char *dot = strrchr(path, '.');

    if (dot == NULL)
        return object;
    snprintf(above, sizeof above, "%.*s", (int)(dot - path), path);
    return json_at(object, above);
}

static void remove_at(struct json *object, const char *path)
{
    struct json *above = holder(object, path);
    if (above != NULL)
        json_remove(above, last_key(path));
}

static void remove_all(struct json *object, const char *const *paths)
{
    for (; *paths != NULL; paths++)
        remove_at(object, *paths);
}

static void keep_only(struct json *object, const char *const *keys)
{
    struct json *next = NULL;

    for (struct json *member = json_first(object); member != NULL; member = next) {
        bool kept = false;
        next = json_next(member);
        for (const char *const *key = keys; *key != NULL; key++)
            kept = kept || strcmp(json_key(member), *key) == 0;
        if (!kept)
            json_remove(object, json_key(member));
    }
}

static struct json *find(const struct json *list, const char *name)
{
    JSON_EACH(element, list)
        if (strcmp(json_string(json_get(element, "name"), ""), name) == 0)
            return element;
    return NULL;
}

static struct json *self_in(const struct json *document, bool edge, const char *name)
{
    return find(json_get(json_get(document, "spec"), edge ? "edges" : "gateways"), name);
}

/* Leaves in `topics` what the gateway reads. */
static void keep_read(struct json *spec, const struct json *from)
{
    struct json *kept = json_new_array();

    JSON_EACH(name, from) {
        const struct json *topic = find(json_get(spec, "topics"), json_string(name, ""));
        if (topic == NULL)
            continue;
        struct json *copy = json_clone(topic);
        json_add(kept, &copy);
    }
    json_set(spec, "topics", &kept);
}

/* All that the program reads. */
static struct json *program_part(const struct pipeline *pipeline, bool edge, const char *name)
{
    AUTO(json_free) struct json *document = pipeline_to_json(pipeline);
    struct json *spec = json_take(document, "spec");
    struct json *self = json_clone(find(json_get(spec, edge ? "edges" : "gateways"), name));

    keep_only(spec, edge ? of_edge_spec : of_gateway_spec);
    if (!edge)
        keep_read(spec, json_get(self, "from"));
    JSON_EACH(topic, json_get(spec, "topics"))
        remove_all(topic, not_in_topic);
    remove_all(self, not_in_program);
    json_set(spec, edge ? "edge" : "gateway", &self);
    return spec;
}

struct json *pipeline_start_part(const struct pipeline *pipeline, bool edge, const char *name)
{
    struct json *spec = program_part(pipeline, edge, name);

    json_remove(spec, "clusterName"); /* stamped, which is live */
    remove_all(json_get(spec, edge ? "edge" : "gateway"), edge ? edge_live : gateway_live);
    return spec;
}

bool pipeline_same_program(const struct pipeline *a, const struct pipeline *b, bool edge,
                           const char *name)
{
    AUTO(json_free) struct json *of_a = program_part(a, edge, name);
    AUTO(json_free) struct json *of_b = program_part(b, edge, name);

    return json_equal(of_a, of_b);
}

/* ---- differences */

static void note(const char *path, char into[PIPELINE_DIFFERENCE_MAX])
{
    size_t len = strlen(into);
    snprintf(into + len, PIPELINE_DIFFERENCE_MAX - len, "%s%s", len == 0 ? "" : ", ", path);
}

static void compare(const struct json *a, const struct json *b, const char *path,
                    char into[PIPELINE_DIFFERENCE_MAX])
{
    char below[192];

    if (json_kind(a) != JSON_OBJECT || json_kind(b) != JSON_OBJECT) {
        if (!json_equal(a, b))
            note(path, into);
        return;
    }
    JSON_EACH(member, a) {
        const char *key = json_key(member);
        snprintf(below, sizeof below, "%s%s%s", path, path[0] == '\0' ? "" : ".", key);
        compare(member, json_get(b, key), below, into);
    }
    JSON_EACH(member, b) {
        const char *key = json_key(member);
        snprintf(below, sizeof below, "%s%s%s", path, path[0] == '\0' ? "" : ".", key);
        if (json_get(a, key) == NULL)
            note(below, into);
    }
}

void pipeline_difference(const struct json *a, const struct json *b,
                         char into[PIPELINE_DIFFERENCE_MAX])
{
    into[0] = '\0';
    compare(a, b, "", into);
}

bool pipeline_same_at(const struct pipeline *a, const struct pipeline *b, bool edge,
                      const char *name, const char *path)
{
    AUTO(json_free) struct json *in_a = pipeline_to_json(a);
    AUTO(json_free) struct json *in_b = pipeline_to_json(b);

    return json_equal(json_at(self_in(in_a, edge, name), path),
                      json_at(self_in(in_b, edge, name), path));
}

/* ---- taking over */

static void copy_at(const struct json *from, struct json *to, const char *path)
{
    const struct json *value = json_at(from, path);
    struct json *above = holder(to, path);

    if (above == NULL)
        return;
    json_remove(above, last_key(path));
    if (value == NULL)
        return;
    struct json *copy = json_clone(value);
    json_set(above, last_key(path), &copy);
}

/* What a program knows of topics, which it reads at start. */
static struct json *topics_of(const struct json *document)
{
    struct json *topics = json_clone(json_at(document, "spec.topics"));

    JSON_EACH(topic, topics)
        remove_all(topic, not_in_topic);
    return topics;
}

static bool have_same_topics(const struct json *a, const struct json *b)
{
    AUTO(json_free) struct json *of_a = topics_of(a);
    AUTO(json_free) struct json *of_b = topics_of(b);

    return json_equal(of_a, of_b);
}

void pipeline_copy_live(const struct json *from, struct json *to, bool edge, const char *name)
{
    const struct json *source = self_in(from, edge, name);
    struct json *self = self_in(to, edge, name);
    bool same_topics = have_same_topics(from, to);

    if (edge)
        copy_at(json_get(from, "spec"), json_get(to, "spec"), "clusterName"); /* stamped */
    for (const char *const *path = edge ? edge_live : gateway_live; *path != NULL; path++)
        if (same_topics || strcmp(*path, "routes") != 0) /* they wait for the topics they name */
            copy_at(source, self, *path);
}

/* ---- candidates */

bool pipeline_takes_candidate(const char *pod, unsigned percent)
{
    return crc32c(0, bytes_from(pod)) % 100 < percent;
}
