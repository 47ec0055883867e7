#include "controller/cache/store.h"

#include "common/array.h"
#include "common/map.h"
#include "common/num.h"
#include "common/xalloc.h"
#include "controller/cache/index.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_SIZE = 512 };

/* All objects of one kind. */
struct shelf {
    struct map objects; /* "namespace/name" -> struct object, our references */
    struct index by_owner, by_label;
};

struct store {
    char *label;
    store_change_fn *on_change;
    void *context;
    pthread_mutex_t lock; /* guards shelves and all that is on them */
    struct map shelves;   /* "plural.group" -> struct shelf */
};

/* What happened, to be told when the mutex is free again. */
struct change {
    struct object *old, *now;
};

struct changes {
    struct change *items;
    size_t count, cap;
};

static void key_of(const char *namespace, const char *name, char into[KEY_SIZE])
{
    snprintf(into, KEY_SIZE, "%s/%s", namespace == NULL ? "" : namespace, name);
}

/* ---- shelves; the mutex is held */

static struct shelf *shelf_of(struct store *store, const struct kube_resource *resource)
{
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.%s", resource->plural, resource->group);

    struct shelf *shelf = map_get(&store->shelves, key);
    if (shelf == NULL) {
        shelf = xcalloc(1, sizeof *shelf);
        map_set(&store->shelves, key, shelf);
    }
    return shelf;
}

static void shelf_put(const struct store *store, struct shelf *shelf, const char *key,
                      struct object *object)
{
    map_set(&shelf->objects, key, object_ref(object));
    index_add(&shelf->by_owner, object->owner_uid, key, object);
    index_add(&shelf->by_label, object_label_of(object, store->label), key, object);
}

/* Takes the object off the shelf; the reference is the caller's. */
static struct object *shelf_take(const struct store *store, struct shelf *shelf, const char *key)
{
    struct object *object = map_remove(&shelf->objects, key);
    if (object == NULL)
        return NULL;
    index_remove(&shelf->by_owner, object->owner_uid, key);
    index_remove(&shelf->by_label, object_label_of(object, store->label), key);
    return object;
}

static void shelf_free(struct shelf *shelf)
{
    index_fini(&shelf->by_owner);
    index_fini(&shelf->by_label);
    for (struct map_entry *e = map_next(&shelf->objects, NULL); e != NULL;
         e = map_next(&shelf->objects, e)) {
        struct object *object = e->value;
        object_unref(&object);
    }
    map_fini(&shelf->objects);
    free(shelf);
}

/* ---- changes */

/* Takes over both references. */
static void changes_add(struct changes *changes, struct object *old, struct object *now)
{
    changes->items =
        xarray_grow(changes->items, changes->count, &changes->cap, sizeof *changes->items);
    changes->items[changes->count++] = (struct change){old, now};
}

static void changes_tell(const struct store *store, const struct kube_resource *resource,
                         struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        struct change *change = &changes->items[i];
        if (store->on_change != NULL)
            store->on_change(store->context, resource, change->old, change->now);
        object_unref(&change->old);
        object_unref(&change->now);
    }
    free(changes->items);
}

/* Versions of one object count up (they are revisions of etcd; from Kubernetes 1.35 on that is a
 * promise). Where they aren't numbers, what comes later is newer. */
static bool is_older(const struct object *object, const struct object *than)
{
    uint64_t a = 0, b = 0;
    return strcmp(object->uid, than->uid) == 0 &&
           num_parse_u64(object->resource_version, UINT64_MAX, &a) &&
           num_parse_u64(than->resource_version, UINT64_MAX, &b) && a < b;
}

/* Puts the object where it belongs, unless it says nothing new. */
static void put_one(const struct store *store, struct shelf *shelf, struct object *object,
                    struct changes *changes)
{
    char key[KEY_SIZE];
    key_of(object->namespace, object->name, key);

    const struct object *known = map_get(&shelf->objects, key);
    if (known != NULL && strcmp(known->uid, object->uid) == 0 &&
        (strcmp(known->resource_version, object->resource_version) == 0 || is_older(object, known)))
        return;
    struct object *old = shelf_take(store, shelf, key);
    shelf_put(store, shelf, key, object);
    changes_add(changes, old, object_ref(object));
}

/* ---- the sink */

static void on_put(void *context, const struct kube_resource *resource, struct object *object)
{
    struct store *store = context;
    struct changes changes = {0};

    pthread_mutex_lock(&store->lock);
    put_one(store, shelf_of(store, resource), object, &changes);
    pthread_mutex_unlock(&store->lock);
    changes_tell(store, resource, &changes);
}

static void on_remove(void *context, const struct kube_resource *resource, struct object *object)
{
    struct store *store = context;
    struct changes changes = {0};
    char key[KEY_SIZE];

    key_of(object->namespace, object->name, key);
    pthread_mutex_lock(&store->lock);
    struct shelf *shelf = shelf_of(store, resource);
    const struct object *known = map_get(&shelf->objects, key);
    if (known != NULL && strcmp(known->uid, object->uid) == 0)
        changes_add(&changes, shelf_take(store, shelf, key), NULL);
    pthread_mutex_unlock(&store->lock);
    changes_tell(store, resource, &changes);
}

static void on_replace(void *context, const struct kube_resource *resource,
                       struct object *const *objects, size_t count)
{
    struct store *store = context;
    struct changes changes = {0};
    struct map present = {0}; /* key -> anything */
    char key[KEY_SIZE];

    pthread_mutex_lock(&store->lock);
    struct shelf *shelf = shelf_of(store, resource);
    for (size_t i = 0; i < count; i++) {
        key_of(objects[i]->namespace, objects[i]->name, key);
        map_set(&present, key, objects[i]);
        put_one(store, shelf, objects[i], &changes);
    }
    for (struct map_entry *e = map_next(&shelf->objects, NULL), *next; e != NULL; e = next) {
        next = map_next(&shelf->objects, e);
        if (map_get(&present, e->key) == NULL) {
            snprintf(key, sizeof key, "%s", e->key); /* e goes with the object */
            changes_add(&changes, shelf_take(store, shelf, key), NULL);
        }
    }
    pthread_mutex_unlock(&store->lock);
    map_fini(&present);
    changes_tell(store, resource, &changes);
}

struct kube_sink store_sink(struct store *store)
{
    return (struct kube_sink){
        .replace = on_replace, .put = on_put, .remove = on_remove, .context = store};
}

/* ---- the store */

struct store *store_create(const char *label, store_change_fn *on_change, void *context)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->label = xstrdup(label);
    store->on_change = on_change;
    store->context = context;
    pthread_mutex_init(&store->lock, NULL);
    return store;
}

void store_destroy(struct store **slot)
{
    struct store *store = *slot;
    if (store == NULL)
        return;

    for (struct map_entry *e = map_next(&store->shelves, NULL); e != NULL;
         e = map_next(&store->shelves, e))
        shelf_free(e->value);
    map_fini(&store->shelves);
    pthread_mutex_destroy(&store->lock);
    free(store->label);
    free(store);
    *slot = NULL;
}

enum err store_get(struct store *store, const struct kube_resource *resource, const char *namespace,
                   const char *name, struct object **ret_object)
{
    char key[KEY_SIZE];
    key_of(namespace, name, key);

    pthread_mutex_lock(&store->lock);
    struct object *object = map_get(&shelf_of(store, resource)->objects, key);
    if (object != NULL)
        *ret_object = object_ref(object);
    pthread_mutex_unlock(&store->lock);
    return object == NULL ? ERR_NOTFOUND : OK;
}

bool store_note_write(struct store *store, const struct kube_resource *resource,
                      struct object *object, const char *seen_version)
{
    struct object *old = NULL;
    char key[KEY_SIZE];

    key_of(object->namespace, object->name, key);
    pthread_mutex_lock(&store->lock);
    struct shelf *shelf = shelf_of(store, resource);
    const struct object *known = map_get(&shelf->objects, key);
    bool keep = known != NULL && strcmp(known->uid, object->uid) == 0 &&
                strcmp(known->resource_version, seen_version) == 0;
    if (keep) {
        old = shelf_take(store, shelf, key);
        shelf_put(store, shelf, key, object);
    }
    pthread_mutex_unlock(&store->lock);
    object_unref(&old);
    return keep;
}

/* ---- several */

void object_list_fini(struct object_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        object_unref(&list->items[i]);
    free(list->items);
    *list = (struct object_list){0};
}

static int by_name(const void *a, const void *b)
{
    const struct object *left = *(struct object *const *)a, *right = *(struct object *const *)b;
    int order = strcmp(left->namespace, right->namespace);
    return order != 0 ? order : strcmp(left->name, right->name);
}

/* The mutex is held. */
static struct object_list pick(const struct map *map, const char *namespace)
{
    struct object_list list = {0};

    if (map == NULL || map->count == 0)
        return list;
    list.items = xcalloc(map->count, sizeof(struct object *));
    for (struct map_entry *e = map_next(map, NULL); e != NULL; e = map_next(map, e)) {
        struct object *object = e->value;
        if (namespace == NULL || strcmp(object->namespace, namespace) == 0)
            list.items[list.count++] = object_ref(object);
    }
    return list;
}

static struct object_list sorted(struct object_list list)
{
    if (list.count > 1)
        qsort(list.items, list.count, sizeof(struct object *), by_name);
    return list;
}

struct object_list store_list(struct store *store, const struct kube_resource *resource,
                              const char *namespace)
{
    pthread_mutex_lock(&store->lock);
    struct object_list list = pick(&shelf_of(store, resource)->objects, namespace);
    pthread_mutex_unlock(&store->lock);
    return sorted(list);
}

struct object_list store_owned(struct store *store, const struct kube_resource *resource,
                               const char *owner_uid)
{
    pthread_mutex_lock(&store->lock);
    struct object_list list =
        pick(index_find(&shelf_of(store, resource)->by_owner, owner_uid), NULL);
    pthread_mutex_unlock(&store->lock);
    return sorted(list);
}

struct object_list store_labelled(struct store *store, const struct kube_resource *resource,
                                  const char *namespace, const char *label_value)
{
    pthread_mutex_lock(&store->lock);
    struct object_list list =
        pick(index_find(&shelf_of(store, resource)->by_label, label_value), namespace);
    pthread_mutex_unlock(&store->lock);
    return sorted(list);
}

size_t store_count(struct store *store, const struct kube_resource *resource)
{
    pthread_mutex_lock(&store->lock);
    size_t count = shelf_of(store, resource)->objects.count;
    pthread_mutex_unlock(&store->lock);
    return count;
}
