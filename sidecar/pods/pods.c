/* One entry for each pod, found by uid, by the uid of its manifest and by its addresses; the entry
 * holds the reference. An address belongs to who had it last. */
#include "sidecar/pods/pods.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/metrics.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const struct metric_desc known_desc = {.name = "surgetank_edge_pods",
                                              .kind = METRIC_GAUGE,
                                              .help = "Pods of this node that are known."};
static const struct metric_desc lookups_desc = {
    .name = "surgetank_edge_pod_lookups_total",
    .kind = METRIC_COUNTER,
    .help = "How often the pod behind a log or a connection was looked for, and found.",
    .labels = {"by", "result"}};
static const struct metric_desc refused_desc = {
    .name = "surgetank_edge_pods_refused_total",
    .kind = METRIC_COUNTER,
    .help = "Pods that could not be taken: too many, or too much about one."};

struct entry {
    struct pod *pod;
    uint64_t removed_ms; /* monotonic; 0: it is there */
};

struct pods {
    struct arena arena; /* the wishes */
    struct pod_wishes wishes;
    struct kube_client *client;
    struct kube_watch *watch;

    pthread_mutex_t lock; /* guards what follows */
    struct arena rules_arena;
    struct stamp_rule *rules;
    size_t rule_count;
    struct map by_uid;        /* struct entry */
    struct map by_static_uid; /* the same entries; not owned */
    struct map by_address;
    char trouble[sizeof(((struct error *)NULL)->text)];
    uint64_t trouble_ms; /* monotonic, when told last; 0: it is over, UINT64_MAX: for good */
};

/* ---- the table; all with the lock held */

static void unindex(struct map *map, const char *key, const struct entry *entry)
{
    if (map_get(map, key) == entry)
        map_remove(map, key);
}

static void unlink_addresses(struct pods *pods, const struct entry *entry)
{
    for (size_t i = 0; i < entry->pod->address_count; i++)
        unindex(&pods->by_address, entry->pod->addresses[i], entry);
}

static void forget(struct pods *pods, struct entry *entry)
{
    unlink_addresses(pods, entry);
    if (entry->pod->static_uid != NULL)
        unindex(&pods->by_static_uid, entry->pod->static_uid, entry);
    map_remove(&pods->by_uid, entry->pod->uid);
    pod_unref(&entry->pod);
    free(entry);
}

static void set_pod(struct pods *pods, struct entry *entry, struct pod **pod)
{
    if (entry->pod != NULL) {
        unlink_addresses(pods, entry);
        pod_unref(&entry->pod);
    }
    MOVE(entry->pod, *pod);
    entry->removed_ms = 0;
    for (size_t i = 0; i < entry->pod->address_count; i++)
        map_set(&pods->by_address, entry->pod->addresses[i], entry);
    if (entry->pod->static_uid != NULL)
        map_set(&pods->by_static_uid, entry->pod->static_uid, entry);
}

/* Those that went long ago; all of them, if there are too many. */
static void sweep(struct pods *pods)
{
    uint64_t now_ms = clock_mono_ms();
    bool crowded = pods->by_uid.count >= PODS_MAX;
    struct map_entry *next = map_next(&pods->by_uid, NULL);

    while (next != NULL) {
        struct entry *entry = next->value;
        next = map_next(&pods->by_uid, next);
        if (entry->removed_ms != 0 && (crowded || now_ms - entry->removed_ms >= PODS_KEPT_MS))
            forget(pods, entry);
    }
}

static void show_count(const struct pods *pods)
{
    metric_set(metrics_series(&known_desc), (double)pods->by_uid.count);
}

static enum err take(struct pods *pods, const struct object *object, struct error *error)
{
    AUTO(json_free) struct json *json = object_parse(object);
    AUTO(pod_unref) struct pod *pod = NULL;

    enum err err = pod_create(json, &pods->wishes, pods->rules, pods->rule_count, &pod, error);
    if (err)
        return err;
    struct entry *entry = map_get(&pods->by_uid, pod->uid);
    if (entry == NULL && pods->by_uid.count >= PODS_MAX)
        return error_set(error, ERR_FULL, "more than %d pods on this node", PODS_MAX);
    if (entry == NULL) {
        entry = xcalloc(1, sizeof *entry);
        map_set(&pods->by_uid, pod->uid, entry);
    }
    set_pod(pods, entry, &pod);
    return OK;
}

static void put_one(struct pods *pods, const struct object *object)
{
    struct error error = {0};

    if (take(pods, object, &error)) {
        metric_add(metrics_series(&refused_desc), 1);
        LOG_WARN("Left out a pod", LOG_STR("pod", object->name), LOG_STR("error", error.text));
    }
}

static void remove_one(struct pods *pods, const char *uid)
{
    struct entry *entry = map_get(&pods->by_uid, uid);

    if (entry == NULL || entry->removed_ms != 0)
        return;
    unlink_addresses(pods, entry);
    entry->removed_ms = clock_mono_ms();
}

/* ---- what the watch says */

static bool is_among(const char *uid, struct object *const *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(objects[i]->uid, uid) == 0)
            return true;
    return false;
}

static void on_replace(void *context, const struct kube_resource *resource,
                       struct object *const *objects, size_t count)
{
    struct pods *pods = context;

    (void)resource;
    pthread_mutex_lock(&pods->lock);
    pods->trouble_ms = 0;
    for (struct map_entry *e = map_next(&pods->by_uid, NULL); e != NULL;
         e = map_next(&pods->by_uid, e))
        if (!is_among(e->key, objects, count))
            remove_one(pods, e->key);
    sweep(pods);
    for (size_t i = 0; i < count; i++)
        put_one(pods, objects[i]);
    show_count(pods);
    pthread_mutex_unlock(&pods->lock);
}

static void on_put(void *context, const struct kube_resource *resource, struct object *object)
{
    struct pods *pods = context;

    (void)resource;
    pthread_mutex_lock(&pods->lock);
    pods->trouble_ms = 0;
    sweep(pods);
    put_one(pods, object);
    show_count(pods);
    pthread_mutex_unlock(&pods->lock);
}

static void on_remove(void *context, const struct kube_resource *resource, struct object *object)
{
    struct pods *pods = context;

    (void)resource;
    pthread_mutex_lock(&pods->lock);
    remove_one(pods, object->uid);
    sweep(pods);
    show_count(pods);
    pthread_mutex_unlock(&pods->lock);
}

struct kube_sink pods_sink(struct pods *pods)
{
    return (struct kube_sink){
        .replace = on_replace, .put = on_put, .remove = on_remove, .context = pods};
}

/* ---- who is it */

static struct pod *find(struct pods *pods, struct map *const *maps, size_t count, const char *key)
{
    struct pod *pod = NULL;

    pthread_mutex_lock(&pods->lock);
    for (size_t i = 0; i < count && pod == NULL; i++) {
        const struct entry *entry = map_get(maps[i], key);
        pod = entry == NULL ? NULL : pod_ref(entry->pod);
    }
    pthread_mutex_unlock(&pods->lock);
    return pod;
}

static void count_lookup(const char *by, const struct pod *pod)
{
    metric_add(metrics_series(&lookups_desc, by, pod != NULL ? "found" : "unknown"), 1);
}

struct pod *pods_by_uid(struct pods *pods, struct bytes uid)
{
    struct map *const maps[] = {&pods->by_uid, &pods->by_static_uid};
    char key[256];

    if (uid.len == 0 || uid.len >= sizeof key)
        return NULL;
    memcpy(key, uid.data, uid.len);
    key[uid.len] = '\0';
    struct pod *pod = find(pods, maps, 2, key);
    count_lookup("path", pod);
    return pod;
}

struct pod *pods_by_address(struct pods *pods, const char *address)
{
    struct map *const maps[] = {&pods->by_address};

    struct pod *pod = find(pods, maps, 1, address);
    count_lookup("connection", pod);
    return pod;
}

/* ---- rules */

static enum err copy_rules(const struct stamp_rule *rules, size_t count, struct arena *arena,
                           struct stamp_rule **ret_rules)
{
    struct stamp_rule *copies = arena_zalloc(arena, (count + 1) * sizeof *copies);

    for (size_t i = 0; i < count && copies != NULL; i++) {
        copies[i].action = rules[i].action;
        copies[i].key = arena_strdup(arena, rules[i].key);
        copies[i].value = rules[i].value == NULL ? NULL : arena_strdup(arena, rules[i].value);
        if (copies[i].key == NULL || (rules[i].value != NULL && copies[i].value == NULL))
            return ERR_NOMEM;
    }
    *ret_rules = copies;
    return copies == NULL ? ERR_NOMEM : OK;
}

static void restamp_all(struct pods *pods)
{
    for (struct map_entry *e = map_next(&pods->by_uid, NULL); e != NULL;
         e = map_next(&pods->by_uid, e)) {
        struct entry *entry = e->value;
        struct pod *again = NULL;
        if (pod_restamp(entry->pod, pods->rules, pods->rule_count, &again, NULL) != OK) {
            metric_add(metrics_series(&refused_desc), 1);
            continue; /* as before, until the pod changes */
        }
        pod_unref(&entry->pod); /* the addresses are the same, and whose they are */
        entry->pod = again;
    }
}

enum err pods_set_rules(struct pods *pods, const struct stamp_rule *rules, size_t count,
                        struct error *error)
{
    struct arena arena = {0};
    struct stamp_rule *copies = NULL;

    if (copy_rules(rules, count, &arena, &copies)) {
        arena_fini(&arena);
        return error_set(error, ERR_NOMEM, "rules for pods");
    }
    pthread_mutex_lock(&pods->lock);
    arena_fini(&pods->rules_arena);
    pods->rules_arena = arena;
    pods->rules = copies;
    pods->rule_count = count;
    restamp_all(pods);
    pthread_mutex_unlock(&pods->lock);
    return OK;
}

/* ---- life */

static const char *const *copy_list(struct arena *arena, const char *const *list, size_t count)
{
    const char **copies = arena_zalloc(arena, (count + 1) * sizeof *copies);

    for (size_t i = 0; i < count && copies != NULL; i++) {
        copies[i] = arena_strdup(arena, list[i]);
        if (copies[i] == NULL)
            return NULL;
    }
    return copies;
}

enum err pods_create(const struct pod_wishes *wishes, struct pods **ret_pods, struct error *error)
{
    AUTO(pods_destroy) struct pods *pods = calloc(1, sizeof *pods);

    if (pods == NULL)
        return error_set(error, ERR_NOMEM, "pods");
    pthread_mutex_init(&pods->lock, NULL);
    pods->wishes = *wishes;
    pods->wishes.labels = copy_list(&pods->arena, wishes->labels, wishes->label_count);
    pods->wishes.annotations =
        copy_list(&pods->arena, wishes->annotations, wishes->annotation_count);
    if (pods->wishes.labels == NULL || pods->wishes.annotations == NULL)
        return error_set(error, ERR_NOMEM, "pods");
    MOVE(*ret_pods, pods);
    return OK;
}

static void note_trouble(struct pods *pods, const struct error *error, uint64_t at_ms)
{
    pthread_mutex_lock(&pods->lock);
    memcpy(pods->trouble, error->text, sizeof pods->trouble);
    pods->trouble_ms = at_ms;
    pthread_mutex_unlock(&pods->lock);
}

void pods_state(struct pods *pods, struct pods_state *ret_state)
{
    pthread_mutex_lock(&pods->lock);
    bool told = pods->trouble_ms == UINT64_MAX ||
                (pods->trouble_ms != 0 && clock_mono_ms() - pods->trouble_ms < PODS_TOLD_MS);
    *ret_state = (struct pods_state){.known = pods->by_uid.count};
    if (told)
        memcpy(ret_state->trouble, pods->trouble, sizeof ret_state->trouble);
    pthread_mutex_unlock(&pods->lock);
}

static void on_trouble(void *context, const struct kube_resource *resource,
                       const struct error *error, unsigned pause_ms)
{
    struct pods *pods = context;

    (void)resource;
    note_trouble(pods, error, clock_mono_ms());
    LOG_WARN("Could not watch this node's pods", LOG_STR("error", error->text),
             LOG_U64("again_in_ms", pause_ms));
}

enum err pods_watch(struct pods *pods, struct kube_client **client, const char *node,
                    struct error *error)
{
    char selector[PODS_NODE_MAX + sizeof "spec.nodeName="];

    MOVE(pods->client, *client);
    snprintf(selector, sizeof selector, "spec.nodeName=%.*s", PODS_NODE_MAX, node);
    const struct kube_watch_config config = {.resource = &kube_pods,
                                             .field_selector = selector,
                                             .project = pod_project,
                                             .sink = pods_sink(pods),
                                             .on_trouble = on_trouble,
                                             .trouble_context = pods};
    return kube_watch_start(pods->client, &config, &pods->watch, error);
}

static enum err connect(struct kube_client **ret_client, struct error *error)
{
    AUTO(kube_auth_destroy) struct kube_auth *auth = NULL;

    enum err err = kube_auth_in_cluster(NULL, &auth, error);
    return err ? err : kube_client_create(&auth, "pods", ret_client, error);
}

enum err pods_start(struct pods *pods, const char *node, struct error *error)
{
    struct kube_client *client = NULL;
    struct error why = {0};
    enum err err = OK;

    if (node == NULL || node[0] == '\0')
        err = error_set(&why, ERR_INVALID, "the name of this node is not known");
    if (!err)
        err = connect(&client, &why);
    if (!err)
        err = pods_watch(pods, &client, node, &why);
    if (err)
        note_trouble(pods, &why, UINT64_MAX);
    if (err && error != NULL)
        *error = why;
    return err;
}

void pods_destroy(struct pods **pods)
{
    struct pods *gone = *pods;
    if (gone == NULL)
        return;
    kube_watch_stop(&gone->watch);
    kube_client_destroy(&gone->client);
    for (struct map_entry *e; (e = map_next(&gone->by_uid, NULL)) != NULL;)
        forget(gone, e->value);
    map_fini(&gone->by_uid);
    map_fini(&gone->by_static_uid);
    map_fini(&gone->by_address);
    arena_fini(&gone->rules_arena);
    arena_fini(&gone->arena);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *pods = NULL;
}
