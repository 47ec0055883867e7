/* store: the objects that the watches keep equal to the API server's, by kind, namespace and name,
 * with an index by controlling owner and one by the value of one label (the pipeline's name).
 *
 *   kube_watch --store_sink()--> store --on_change(object)--> whose name to put in the queue
 *
 * Objects are shared and immutable (kube/object.h): what one gets stays as it was.
 *
 * Thread: any. One mutex guards the maps; it is never held during a callback.
 */
#ifndef CONTROLLER_CACHE_STORE_H
#define CONTROLLER_CACHE_STORE_H

#include "common/kube/object.h"
#include "common/kube/watch.h"

struct store;

/* Something was put, replaced by another version, or removed. `old` is NULL for a new one, `now`
 * for one that is gone. Called on the watch's thread, after the store has it. */
typedef void store_change_fn(void *context, const struct kube_resource *resource,
                             const struct object *old, const struct object *now);

/* `label`: whose values are indexed. `on_change` may be NULL. */
struct store *store_create(const char *label, store_change_fn *on_change, void *context);
void store_destroy(struct store **slot);

/* For kube_watch_config.sink. One watch for each resource. */
struct kube_sink store_sink(struct store *store);

/* A reference of one's own; ERR_NOTFOUND. */
NODISCARD enum err store_get(struct store *store, const struct kube_resource *resource,
                             const char *namespace, const char *name, struct object **ret_object);

/* ---- several: references of one's own, in order of namespace and name */

struct object_list {
    struct object **items;
    size_t count;
};
void object_list_fini(struct object_list *list);

/* `namespace` NULL: all. */
struct object_list store_list(struct store *store, const struct kube_resource *resource,
                              const char *namespace);
struct object_list store_owned(struct store *store, const struct kube_resource *resource,
                               const char *owner_uid);
struct object_list store_labelled(struct store *store, const struct kube_resource *resource,
                                  const char *namespace, const char *label_value);
size_t store_count(struct store *store, const struct kube_resource *resource);

/* What we wrote ourselves, before the watch brings it: kept if its uid is that of the stored one
 * and the stored one hasn't moved since `seen_version`, so that an older event can't be overtaken.
 * Returns whether it was kept. No on_change. */
bool store_note_write(struct store *store, const struct kube_resource *resource,
                      struct object *object, const char *seen_version);

#endif
