#include "sidecar/pods/pod.h"

#include "common/arena.h"
#include "common/kube/object.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MIRROR_ANNOTATION   "kubernetes.io/config.mirror"
#define TEMPLATE_HASH_LABEL "pod-template-hash"

/* What pod_create() hands out is the first member of this. */
struct counted {
    struct pod pod;
    struct arena arena; /* all text */
    atomic_uint refs;
};

static struct counted *counted_of(struct pod *pod)
{
    return (struct counted *)pod;
}

struct pod *pod_ref(struct pod *pod)
{
    atomic_fetch_add(&counted_of(pod)->refs, 1);
    return pod;
}

void pod_unref(struct pod **pod)
{
    struct pod *gone = *pod;

    *pod = NULL;
    if (gone == NULL || atomic_fetch_sub(&counted_of(gone)->refs, 1) > 1)
        return;
    stamp_destroy(&gone->stamp);
    arena_fini(&counted_of(gone)->arena);
    free(gone);
}

/* ---- facts; memory that is out is noticed at the end */

struct maker {
    struct counted *made;
    bool no_memory;
};

static const char *keep(struct maker *maker, const char *text)
{
    const char *kept = arena_strdup(&maker->made->arena, text);
    maker->no_memory |= kept == NULL;
    return kept;
}

static void put(struct maker *maker, const char *key, const char *value)
{
    struct pod *pod = &maker->made->pod;

    if (value[0] == '\0' || pod->attribute_count == POD_ATTRIBUTES_MAX)
        return;
    pod->attributes[pod->attribute_count++] =
        (struct pod_attribute){keep(maker, key), keep(maker, value)};
}

/* "web-6d4cf56db6" is of the Deployment "web", if the pod says that its template's hash is that. */
static void put_deployment(struct maker *maker, const struct json *object, const char *replica_set)
{
    const char *hash = object_label(object, TEMPLATE_HASH_LABEL);
    size_t len = strlen(replica_set), tail = strlen(hash) + 1;
    char name[256];

    if (hash[0] == '\0' || len <= tail || len - tail >= sizeof name ||
        replica_set[len - tail] != '-' || strcmp(replica_set + len - tail + 1, hash) != 0)
        return;
    memcpy(name, replica_set, len - tail);
    name[len - tail] = '\0';
    put(maker, "k8s.deployment.name", name);
}

static void put_owner(struct maker *maker, const struct json *object)
{
    static const char *const kinds[][2] = {{"ReplicaSet", "k8s.replicaset.name"},
                                           {"StatefulSet", "k8s.statefulset.name"},
                                           {"DaemonSet", "k8s.daemonset.name"},
                                           {"Job", "k8s.job.name"}};
    const struct json *owner = object_controller_of(object);
    const char *kind = json_string(json_get(owner, "kind"), "");
    const char *name = json_string(json_get(owner, "name"), "");

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i][0]) == 0)
            put(maker, kinds[i][1], name);
    if (strcmp(kind, "ReplicaSet") == 0)
        put_deployment(maker, object, name);
}

static void put_wished(struct maker *maker, const char *prefix, const char *const *keys,
                       size_t count, const struct json *values)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = json_string(json_get(values, keys[i]), "");
        if (strlen(value) > POD_VALUE_MAX)
            continue;
        const char *key = arena_printf(&maker->made->arena, "%s%s", prefix, keys[i]);
        maker->no_memory |= key == NULL;
        if (key != NULL)
            put(maker, key, value);
    }
}

static void put_address(struct maker *maker, const char *address)
{
    struct pod *pod = &maker->made->pod;

    for (size_t i = 0; i < pod->address_count; i++)
        if (strcmp(pod->addresses[i], address) == 0)
            return;
    if (address[0] != '\0' && pod->address_count < POD_ADDRESSES_MAX)
        pod->addresses[pod->address_count++] = keep(maker, address);
}

/* A pod on the node's network shares its address; one that is over has given its own away. */
static void put_addresses(struct maker *maker, const struct json *object)
{
    const char *phase = json_string(json_at(object, "status.phase"), "");

    if (json_bool(json_at(object, "spec.hostNetwork"), false) || strcmp(phase, "Succeeded") == 0 ||
        strcmp(phase, "Failed") == 0)
        return;
    put_address(maker, json_string(json_at(object, "status.podIP"), ""));
    JSON_EACH(entry, json_at(object, "status.podIPs"))
        put_address(maker, json_string(json_get(entry, "ip"), ""));
}

/* ---- the stamp */

static enum err make_stamp(struct pod *pod, const struct stamp_rule *rules, size_t rule_count,
                           struct error *error)
{
    struct stamp_rule *all = calloc(pod->attribute_count + rule_count + 1, sizeof *all);
    size_t count = 0;

    if (all == NULL)
        return error_set(error, ERR_NOMEM, "pod");
    for (size_t i = 0; i < pod->attribute_count; i++)
        all[count++] =
            (struct stamp_rule){pod->attributes[i].key, pod->attributes[i].value, STAMP_INSERT};
    for (size_t i = 0; i < rule_count; i++)
        all[count++] = rules[i];
    enum err err = stamp_create(all, count, &pod->stamp, error);
    free(all);
    return err;
}

static enum err finish(struct maker *maker, const struct stamp_rule *rules, size_t rule_count,
                       struct pod **ret_pod, struct error *error)
{
    AUTO(pod_unref) struct pod *pod = &maker->made->pod;

    if (maker->no_memory)
        return error_set(error, ERR_NOMEM, "pod");
    enum err err = make_stamp(pod, rules, rule_count, error);
    if (err)
        return error_prefix(error, err, "pod '%s'", pod->uid);
    MOVE(*ret_pod, pod);
    return OK;
}

enum err pod_create(const struct json *object, const struct pod_wishes *wishes,
                    const struct stamp_rule *rules, size_t rule_count, struct pod **ret_pod,
                    struct error *error)
{
    if (object_name(object)[0] == '\0' || object_uid(object)[0] == '\0')
        return error_set(error, ERR_INVALID, "a pod without name or uid");
    struct maker maker = {.made = calloc(1, sizeof *maker.made)};
    if (maker.made == NULL)
        return error_set(error, ERR_NOMEM, "pod");
    struct pod *pod = &maker.made->pod;
    const char *mirror = object_annotation(object, MIRROR_ANNOTATION);

    maker.made->refs = 1;
    pod->uid = keep(&maker, object_uid(object));
    pod->static_uid = mirror[0] == '\0' ? NULL : keep(&maker, mirror);
    put(&maker, "k8s.namespace.name", object_namespace(object));
    put(&maker, "k8s.pod.name", object_name(object));
    put(&maker, "k8s.pod.uid", object_uid(object));
    put(&maker, "k8s.node.name", json_string(json_at(object, "spec.nodeName"), ""));
    put_owner(&maker, object);
    put_wished(&maker, "k8s.pod.label.", wishes->labels, wishes->label_count,
               json_at(object, "metadata.labels"));
    put_wished(&maker, "k8s.pod.annotation.", wishes->annotations, wishes->annotation_count,
               json_at(object, "metadata.annotations"));
    put_addresses(&maker, object);
    return finish(&maker, rules, rule_count, ret_pod, error);
}

enum err pod_restamp(const struct pod *pod, const struct stamp_rule *rules, size_t rule_count,
                     struct pod **ret_pod, struct error *error)
{
    struct maker maker = {.made = calloc(1, sizeof *maker.made)};
    if (maker.made == NULL)
        return error_set(error, ERR_NOMEM, "pod");
    struct pod *copy = &maker.made->pod;

    maker.made->refs = 1;
    copy->uid = keep(&maker, pod->uid);
    copy->static_uid = pod->static_uid == NULL ? NULL : keep(&maker, pod->static_uid);
    for (size_t i = 0; i < pod->address_count; i++)
        put_address(&maker, pod->addresses[i]);
    for (size_t i = 0; i < pod->attribute_count; i++)
        put(&maker, pod->attributes[i].key, pod->attributes[i].value);
    return finish(&maker, rules, rule_count, ret_pod, error);
}

/* ---- the watch keeps no more than this */

static void keep_members(struct json *object, const char *const *names)
{
    struct json *next = json_first(object);

    while (next != NULL) {
        struct json *member = next;
        next = json_next(member);
        bool wanted = false;
        for (const char *const *name = names; *name != NULL; name++)
            wanted |= strcmp(json_key(member), *name) == 0;
        if (wanted)
            continue;
        struct json *gone = json_take(object, json_key(member));
        json_free(&gone);
    }
}

void pod_project(struct json *object)
{
    static const char *const top[] = {"apiVersion", "kind", "metadata", "spec", "status", NULL};
    static const char *const metadata[] = {
        "name", "namespace", "uid", "labels", "annotations", "ownerReferences", "resourceVersion",
        NULL};
    static const char *const spec[] = {"nodeName", "hostNetwork", NULL};
    static const char *const status[] = {"phase", "podIP", "podIPs", NULL};

    keep_members(object, top);
    keep_members(json_get(object, "metadata"), metadata);
    keep_members(json_get(object, "spec"), spec);
    keep_members(json_get(object, "status"), status);
}
