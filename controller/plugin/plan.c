/* What applying a document would change: the document against the one in the cluster, both made
 * into objects by the operator's own code, and the status for what Kafka has now. Drift isn't
 * shown: the operator puts it back whether one applies or not.
 */
#include "controller/plugin/plugin.h"

#include "common/contract/names.h"
#include "common/kube/object.h"
#include "common/xalloc.h"
#include "controller/desired/desired.h"
#include "controller/reconcile/diff.h"
#include "controller/reconcile/kinds.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct plan {
    const struct pipeline *before; /* NULL: there is none yet */
    const struct pipeline *after;
    const struct json *status; /* of the pipeline in the cluster, or NULL */
    unsigned changes;
};

/* One line of the plan: what happens, to what. */
static void say(struct plan *plan, const char *what, const char *format, ...) PRINTF_LIKE(3, 4);

static void say(struct plan *plan, const char *what, const char *format, ...)
{
    va_list args;

    plan->changes++;
    printf("  %-8s ", what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static const char *hours(int64_t ms, char into[PLUGIN_DURATION_SIZE])
{
    return plugin_duration(ms / 1000, into);
}

/* ---- objects */

static const struct json *find_object(const struct json *objects, const struct json *like)
{
    JSON_EACH(object, objects) {
        if (kind_of(object) == kind_of(like) && strcmp(object_name(object), object_name(like)) == 0)
            return object;
    }
    return NULL;
}

static int64_t pods_of(const struct plan *plan, const struct json *workload)
{
    const char *edge = object_label(workload, NAMES_LABEL_EDGE);
    const char *gateway = object_label(workload, NAMES_LABEL_GATEWAY);

    if (edge[0] != '\0')
        return json_int(json_get(plugin_named(json_get(plan->status, "edges"), edge), "desired"),
                        0);
    return json_int(json_get(plugin_named(json_get(plan->status, "gateways"), gateway), "replicas"),
                    0);
}

/* The operator leaves the volumes of a StatefulSet as they were made; plan_edges() has said what
 * becomes of them. */
static void keep_claims(const struct json *old, struct json *new)
{
    const struct json *claims = json_at(old, "spec.volumeClaimTemplates");

    if (claims == NULL || kind_of(new) != &kube_statefulsets)
        return;
    struct json *kept = json_clone(claims);
    json_set(json_get(new, "spec"), "volumeClaimTemplates", &kept);
}

static void compare_object(struct plan *plan, const struct json *old, const struct json *new)
{
    const char *kind = json_string(json_get(new, "kind"), "");
    const struct json *template = json_at(new, "spec.template");
    char path[DIFF_PATH_MAX];

    if (old == NULL) {
        say(plan, "create", "%s %s", kind, object_name(new));
        return;
    }
    if (json_equal(old, new))
        return;
    /* Something that is only left out is found the other way round. */
    if (diff_covers(new, old, path))
        diff_covers(old, new, path);
    say(plan, "change", "%s %s at %s", kind, object_name(new), path);
    if (template != NULL && !json_equal(template, json_at(old, "spec.template")))
        say(plan, "restart", "the %" PRId64 " pods of %s, a few at a time", pods_of(plan, new),
            object_name(new));
}

static void plan_objects(const struct plugin_options *options, struct plan *plan)
{
    AUTO(json_free) struct json *after = plugin_objects(options, plan->after);
    AUTO(json_free)
    struct json *before =
        plan->before != NULL ? plugin_objects(options, plan->before) : json_new_array();

    puts("Objects");
    JSON_EACH(object, after) {
        const struct json *old = find_object(before, object);
        keep_claims(old, object);
        compare_object(plan, old, object);
    }
    JSON_EACH(object, before) {
        if (find_object(after, object) == NULL)
            say(plan, "delete", "%s %s", json_string(json_get(object, "kind"), ""),
                object_name(object));
    }
}

/* ---- edges */

static bool same_strings(const struct pipeline_strings *a, const struct pipeline_strings *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    }
    return a->count == b->count;
}

static void plan_volumes(struct plan *plan, const struct pipeline_edge *old,
                         const struct pipeline_edge *new)
{
    const struct pipeline_spool *is = &old->spool, *be = &new->spool;
    const char *class = is->storage_class_name, *wanted = be->storage_class_name;

    if (new->mode != PIPELINE_STATEFULSET || old->mode != PIPELINE_STATEFULSET)
        return;
    if (is->size_bytes < be->size_bytes)
        say(plan, "grow", "the volumes of %s in place, where their StorageClass lets them",
            new->name);
    if (is->size_bytes > be->size_bytes)
        say(plan, "keep", "the volumes of %s as large as they are", new->name);
    if (strcmp(class != NULL ? class : "", wanted != NULL ? wanted : "") != 0 ||
        !same_strings(&is->access_modes, &be->access_modes))
        say(plan, "keep",
            "the volumes of %s as they were made: only an edge of another name gets others",
            new->name);
}

static void plan_edges(struct plan *plan)
{
    puts("Edges");
    for (size_t i = 0; i < plan->after->edge_count; i++) {
        const struct pipeline_edge *new = &plan->after->edges[i];
        const struct pipeline_edge *old =
            plan->before != NULL ? pipeline_edge(plan->before, new->name) : NULL;
        if (old == NULL) {
            say(plan, "add", "%s", new->name);
            continue;
        }
        if (old->replicas < new->replicas)
            say(plan, "grow", "%s from %" PRId64 " to %" PRId64 " pods", new->name, old->replicas,
                new->replicas);
        if (old->replicas > new->replicas)
            say(plan, "shrink",
                "%s from %" PRId64 " to %" PRId64 " pods, one at a time, each once its spool is "
                "empty; its volume stays",
                new->name, old->replicas, new->replicas);
        plan_volumes(plan, old, new);
    }
    for (size_t i = 0; plan->before != NULL && i < plan->before->edge_count; i++) {
        if (pipeline_edge(plan->after, plan->before->edges[i].name) == NULL)
            say(plan, "remove",
                "%s; what its spools still hold stays on their volumes, so let them drain first",
                plan->before->edges[i].name);
    }
}

/* ---- topics */

static const struct pipeline_topic *find_topic(const struct pipeline *pipeline, const char *topic)
{
    for (size_t i = 0; pipeline != NULL && i < pipeline->topic_count; i++) {
        if (strcmp(pipeline->topics[i].topic, topic) == 0)
            return &pipeline->topics[i];
    }
    return NULL;
}

/* Age of the oldest message that some gateway of the present pipeline has yet to read; -1: unknown.
 */
static int64_t oldest_unread(const struct plan *plan, const char *topic)
{
    int64_t oldest = 0;

    for (size_t i = 0; plan->before != NULL && i < plan->before->gateway_count; i++) {
        const struct pipeline_gateway *gateway = &plan->before->gateways[i];
        for (size_t j = 0; j < gateway->from_count; j++) {
            if (strcmp(gateway->from[j]->topic, topic) != 0)
                continue;
            const struct json *state =
                plugin_named(json_get(plan->status, "gateways"), gateway->name);
            int64_t age = json_int(json_get(state, "lagSeconds"), -1);
            if (age < 0)
                return -1;
            oldest = age > oldest ? age : oldest;
        }
    }
    return oldest;
}

static void plan_retention(struct plan *plan, const struct pipeline_topic *old,
                           const struct pipeline_topic *new)
{
    char from[PLUGIN_DURATION_SIZE], to[PLUGIN_DURATION_SIZE], age[PLUGIN_DURATION_SIZE];
    int64_t unread = oldest_unread(plan, new->topic);

    if (old->retention_ms == new->retention_ms)
        return;
    if (new->retention_ms > old->retention_ms) {
        say(plan, "keep", "messages of %s for %s instead of %s", new->topic,
            hours(new->retention_ms, to), hours(old->retention_ms, from));
        return;
    }
    say(plan, "expire", "messages of %s older than %s (now %s)", new->topic,
        hours(new->retention_ms, to), hours(old->retention_ms, from));
    if (unread < 0)
        say(plan, "hold", "that until it is known that nothing unread would expire");
    else if (unread * 1000 >= new->retention_ms / 10 * 9)
        say(plan, "hold", "that until the unread messages are read: the oldest is %s old",
            plugin_duration(unread, age));
}

static void plan_topic(struct plan *plan, const struct pipeline_topic *new)
{
    const struct pipeline_topic *old = find_topic(plan->before, new->topic);
    const struct json *state = plugin_named(json_get(plan->status, "topics"), new->name);
    int64_t present = json_int(json_get(state, "partitions"), 0);

    /* Known, and not there yet: nothing of it was seen so far. */
    if ((old == NULL || present == 0) && new->ownership == PIPELINE_OWNERSHIP_CREATE) {
        say(plan, "create",
            "%s with %" PRId64 " partitions and %" PRId64
            " replicas; one that exists already is used as it is",
            new->topic, new->partitions, new->replication_factor);
        return;
    }
    if (old == NULL) {
        say(plan, "use", "%s, %s", new->topic,
            new->ownership == PIPELINE_OWNERSHIP_ADOPT ? "and manage it" : "and never touch it");
        return;
    }
    if (present > 0 && new->partitions > present)
        say(plan, "grow", "%s from %" PRId64 " to %" PRId64 " partitions", new->topic, present,
            new->partitions);
    if (present > 0 && new->partitions < present)
        say(plan, "refuse",
            "to take partitions away from %s: it has %" PRId64 ", the document says %" PRId64,
            new->topic, present, new->partitions);
    if (old->replication_factor != new->replication_factor)
        say(plan, "leave", "%s at replicationFactor %" PRId64 ": only a reassignment changes that",
            new->topic, old->replication_factor);
    plan_retention(plan, old, new);
    if (old->max_message_bytes != new->max_message_bytes ||
        strcmp(old->compression, new->compression) != 0)
        say(plan, "set", "configs of %s", new->topic);
}

static void plan_topics(struct plan *plan)
{
    puts("Topics");
    for (size_t i = 0; i < plan->after->topic_count; i++)
        plan_topic(plan, &plan->after->topics[i]);
    for (size_t i = 0; plan->before != NULL && i < plan->before->topic_count; i++) {
        if (find_topic(plan->after, plan->before->topics[i].topic) == NULL)
            say(plan, "leave", "%s in Kafka, with what it holds, and look after it no more",
                plan->before->topics[i].topic);
    }
}

/* ---- groups */

/* What a group without offsets would send to its backend. */
static void plan_history(struct plan *plan, const struct pipeline_gateway *gateway)
{
    char retention[PLUGIN_DURATION_SIZE];

    for (size_t i = 0; i < gateway->from_count; i++) {
        const struct pipeline_topic *topic = gateway->from[i];
        if (gateway->initial_offset == PIPELINE_OFFSET_LATEST)
            say(plan, "skip", "what %s holds already: initialOffset is latest", topic->topic);
        else if (find_topic(plan->before, topic->topic) != NULL)
            say(plan, "send",
                "all that %s holds, up to %s of it, to %s; initialOffset: latest "
                "would begin with now",
                topic->topic, hours(topic->retention_ms, retention), gateway->export.endpoint);
    }
}

static void plan_gateway(struct plan *plan, const struct pipeline_gateway *new)
{
    const struct pipeline_gateway *old =
        plan->before != NULL ? pipeline_gateway(plan->before, new->name) : NULL;

    if (old == NULL || strcmp(old->group_id, new->group_id) != 0) {
        say(plan, "new", "group %s for gateway %s", new->group_id, new->name);
        if (old != NULL)
            say(plan, "leave", "group %s with its offsets", old->group_id);
        plan_history(plan, new);
        return;
    }
    if (strcmp(old->export.endpoint, new->export.endpoint) != 0)
        say(plan, "redirect", "%s from %s to %s, from where it stands; nothing is sent again",
            new->name, old->export.endpoint, new->export.endpoint);
    if (old->scaling.min_replicas != new->scaling.min_replicas ||
        old->scaling.max_replicas != new->scaling.max_replicas)
        say(plan, "scale",
            "%s between %" PRId64 " and %" PRId64 " pods (now %" PRId64 " and %" PRId64 ")",
            new->name, new->scaling.min_replicas, new->scaling.max_replicas,
            old->scaling.min_replicas, old->scaling.max_replicas);
}

static void plan_groups(struct plan *plan)
{
    puts("Gateways and groups");
    for (size_t i = 0; i < plan->after->gateway_count; i++)
        plan_gateway(plan, &plan->after->gateways[i]);
    for (size_t i = 0; plan->before != NULL && i < plan->before->gateway_count; i++) {
        const struct pipeline_gateway *old = &plan->before->gateways[i];
        if (pipeline_gateway(plan->after, old->name) == NULL)
            say(plan, "leave", "group %s with its offsets; nobody reads for %s any more",
                old->group_id, old->export.endpoint);
    }
}

/* ---- the whole */

/* The API server's own checks: schema, CEL, admission. */
static enum err check_at_server(struct kube_client *client, const struct pipeline *pipeline,
                                struct error *error)
{
    const struct kube_apply how = {
        .field_manager = "kubectl-surgetank", .force = true, .dry_run = true};
    static const char *const from_server[] = {"uid", "resourceVersion", "generation",
                                              "creationTimestamp", "managedFields"};
    AUTO(json_free)
    struct json *document = object_new(&kind_pipelines, pipeline->namespace, pipeline->name);
    struct json *spec = json_clone(json_get(pipeline->document, "spec"));
    struct json *metadata = json_clone(json_get(pipeline->document, "metadata"));

    json_set_string(metadata, "namespace", pipeline->namespace);
    for (size_t i = 0; i < sizeof from_server / sizeof from_server[0]; i++)
        json_remove(metadata, from_server[i]);
    json_set(document, "metadata", &metadata);
    json_set(document, "spec", &spec);
    return kube_apply(client, &kind_pipelines, document, &how, NULL, error);
}

/* *ret_before stays NULL if there is none, or none that can be read. */
static enum err read_present(struct kube_client *client, const struct pipeline *after,
                             struct pipeline **ret_before, struct json **ret_live,
                             struct error *error)
{
    struct faults *faults = xcalloc(1, sizeof *faults);

    enum err err =
        kube_get(client, &kind_pipelines, after->namespace, after->name, ret_live, error);
    if (err == OK && pipeline_read(*ret_live, ret_before, faults, NULL) != OK)
        puts("The present document has faults, so all of the new one is shown.");
    faults_fini(faults);
    free(faults);
    return err == ERR_NOTFOUND ? OK : err;
}

static int print_plan(const struct plugin_options *options, struct plan *plan)
{
    printf("%s %s/%s\n", plan->before != NULL ? "Changes to" : "New:", plan->after->namespace,
           plan->after->name);
    plan_edges(plan);
    plan_topics(plan);
    plan_groups(plan);
    plan_objects(options, plan);
    if (plan->changes == 0)
        puts("Nothing would change.");
    return PLUGIN_OK;
}

int plugin_plan(const struct plugin_options *options)
{
    AUTO(pipeline_free) struct pipeline *after = NULL;
    AUTO(pipeline_free) struct pipeline *before = NULL;
    AUTO(kube_client_destroy) struct kube_client *client = NULL;
    AUTO(json_free) struct json *live = NULL;
    struct error error = {0};

    int code = plugin_read_file(options, &after);
    if (code != PLUGIN_OK)
        return code;
    enum err err = plugin_connect(options, &client, &error);
    if (err == OK)
        err = read_present(client, after, &before, &live, &error);
    if (err)
        return plugin_fail(PLUGIN_FAILED, &error);
    err = check_at_server(client, after, &error);
    if (err)
        return plugin_fail(err == ERR_INVALID ? PLUGIN_WRONG : PLUGIN_FAILED, &error);

    if (before != NULL) {
        /* These are the server's to give, and no change. */
        after->uid = before->uid;
        after->generation = before->generation;
    }
    struct plan plan = {.before = before, .after = after, .status = json_get(live, "status")};
    return print_plan(options, &plan);
}
