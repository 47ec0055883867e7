#include "controller/reconcile/apply.h"

#include "common/contract/names.h"
#include "common/log.h"
#include "controller/reconcile/kinds.h"

#include <stdio.h>

enum err apply_allowed(const struct apply *apply, struct error *error)
{
    if (atomic_load(apply->leading))
        return OK;
    return error_set(error, ERR_CLOSED, "another operator leads now");
}

/* ---- one object */

static enum err check_owner(const struct json *live, const char *owner_uid, struct error *error)
{
    const struct json *owner = object_controller_of(live);

    if (owner != NULL && strcmp(json_string(json_get(owner, "uid"), ""), owner_uid) == 0)
        return OK;
    return error_set(
        error, ERR_INVALID, "%s %s exists and belongs to %s%s%s. Rename it, or the pipeline",
        json_string(json_get(live, "kind"), ""), object_name(live),
        owner != NULL ? json_string(json_get(owner, "kind"), "") : "somebody else",
        owner != NULL ? " " : "", owner != NULL ? json_string(json_get(owner, "name"), "") : "");
}

/* What is there now; *ret_live stays NULL if nothing is. The cache only has what carries our label,
 * so what it hasn't may be there nevertheless. */
static enum err read_live(const struct apply *apply, const struct kube_resource *resource,
                          const char *namespace, const char *name, struct json **ret_live,
                          struct error *error)
{
    struct object *cached = NULL;

    enum err err = store_get(apply->store, resource, namespace, name, &cached);
    if (err == OK) {
        *ret_live = object_parse(cached);
        object_unref(&cached);
        return OK;
    }
    err = kube_get(apply->client, resource, namespace, name, ret_live, error);
    return err == ERR_NOTFOUND ? OK : err;
}

static void note_write(const struct apply *apply, const struct kube_resource *resource,
                       const struct json *written, const char *seen_version)
{
    struct object *object = NULL;

    if (object_create(written, &object, NULL) == OK)
        store_note_write(apply->store, resource, object, seen_version);
    object_unref(&object);
}

/* A merge patch that replaces the first list in which the spec of `live` is not the desired one;
 * NULL: it differs in no list. */
static struct json *patch_of_list(const struct json *desired, const struct json *live)
{
    AUTO(json_free) struct json *patch = json_new_object();
    const struct json *from = json_get(desired, "spec");
    struct json *into = json_set_object(patch, "spec"), *whole = NULL;
    char path[DIFF_PATH_MAX] = "", key[DIFF_PATH_MAX];

    if (diff_covers(from, json_get(live, "spec"), path))
        return NULL;
    for (const char *at = path; *at != '\0';) { /* it names no elements of lists */
        size_t len = strcspn(at, ".");
        snprintf(key, sizeof key, "%.*s", (int)len, at);
        from = json_get(from, key);
        if (json_kind(from) == JSON_ARRAY) {
            struct json *list = json_clone(from);
            json_set(into, key, &list);
            MOVE(whole, patch);
            return whole;
        }
        into = json_set_object(into, key);
        at += len + (at[len] == '.');
    }
    return NULL;
}

/* Lists are merged, ports by their number for one, so what somebody put beside ours can make the
 * whole invalid: two ports of one name. Then the list is replaced first. */
static enum err send(const struct apply *apply, struct json *desired, const struct json *live,
                     struct json **ret_written, struct error *error)
{
    const struct kube_resource *resource = kind_of(desired);
    const struct kube_apply how = {.field_manager = NAMES_FIELD_MANAGER, .force = true};
    AUTO(json_free) struct json *replaced = NULL;

    enum err err = kube_apply(apply->client, resource, desired, &how, ret_written, error);
    if (err != ERR_INVALID || live == NULL)
        return err;
    AUTO(json_free) struct json *patch = patch_of_list(desired, live);
    if (patch == NULL)
        return err;
    json_set_string(json_set_object(patch, "metadata"), "resourceVersion",
                    object_resource_version(live));
    if (kube_merge_patch(apply->client, resource, object_namespace(desired), object_name(desired),
                         NULL, patch, NAMES_FIELD_MANAGER, &replaced, NULL))
        return err; /* the first sentence says more */
    json_set_string(json_get(desired, "metadata"), "resourceVersion",
                    object_resource_version(replaced));
    return kube_apply(apply->client, resource, desired, &how, ret_written, error);
}

enum err apply_object(const struct apply *apply, const char *owner_uid, struct json *desired,
                      enum apply_outcome *ret_outcome, char path[DIFF_PATH_MAX],
                      struct error *error)
{
    const struct kube_resource *resource = kind_of(desired);
    AUTO(json_free) struct json *live = NULL;
    AUTO(json_free) struct json *written = NULL;

    path[0] = '\0';
    diff_seal(desired);
    enum err err =
        read_live(apply, resource, object_namespace(desired), object_name(desired), &live, error);
    if (err)
        return err;
    if (live != NULL) {
        err = check_owner(live, owner_uid, error);
        if (err)
            return err;
        if (diff_covers(desired, live, path)) {
            *ret_outcome = APPLY_SAME;
            return OK;
        }
        json_set_string(json_get(desired, "metadata"), "resourceVersion",
                        object_resource_version(live));
    }
    err = apply_allowed(apply, error);
    if (err)
        return err;
    err = send(apply, desired, live, &written, error);
    if (err)
        return error_prefix(error, err, "%s %s", resource->kind, object_name(desired));

    note_write(apply, resource, written, object_resource_version(live));
    LOG_INFO(live != NULL ? "Changed child" : "Created child", LOG_STR("kind", resource->kind),
             LOG_STR("namespace", object_namespace(desired)), LOG_STR("name", object_name(desired)),
             LOG_STR("at", path));
    *ret_outcome = live != NULL ? APPLY_CHANGED : APPLY_CREATED;
    return OK;
}

/* ---- what is no longer wanted */

static bool is_wanted(const struct json *objects, const struct kube_resource *resource,
                      const struct object *child)
{
    JSON_EACH(object, objects) {
        if (kind_of(object) == resource && strcmp(object_name(object), child->name) == 0 &&
            strcmp(object_namespace(object), child->namespace) == 0)
            return true;
    }
    return false;
}

static enum err delete_child(const struct apply *apply, const struct kube_resource *resource,
                             const struct object *child, struct error *error)
{
    const struct kube_delete how = {.uid = child->uid};

    enum err err = apply_allowed(apply, error);
    if (err)
        return err;
    err = kube_delete(apply->client, resource, child->namespace, child->name, &how, error);
    if (err == ERR_NOTFOUND || err == ERR_CONFLICT)
        return OK; /* gone, or another object by now: the watch will tell */
    if (err)
        return error_prefix(error, err, "delete %s %s", resource->kind, child->name);
    LOG_INFO("Deleted child", LOG_STR("kind", resource->kind),
             LOG_STR("namespace", child->namespace), LOG_STR("name", child->name));
    return OK;
}

enum err apply_prune(const struct apply *apply, const char *owner_uid, const struct json *objects,
                     size_t *ret_deleted, struct error *error)
{
    size_t kinds = 0, deleted = 0;
    enum err err = OK;

    while (kind_children[kinds] != NULL)
        kinds++;
    while (kinds-- > 0 && err == OK) {
        const struct kube_resource *resource = kind_children[kinds];
        AUTO(object_list_fini)
        struct object_list children = store_owned(apply->store, resource, owner_uid);
        for (size_t i = 0; i < children.count && err == OK; i++) {
            if (is_wanted(objects, resource, children.items[i]))
                continue;
            err = delete_child(apply, resource, children.items[i], error);
            deleted++;
        }
    }
    if (err == OK)
        *ret_deleted = deleted;
    return err;
}

/* ---- replicas */

/* Whether `live` still is what was judged, but for its status. */
static enum err check_replicas(const struct json *live, const struct kube_resource *resource,
                               const char *name, int64_t from, struct error *error)
{
    int64_t replicas = json_int(json_at(live, "spec.replicas"), 1);

    if (live == NULL)
        return error_set(error, ERR_CONFLICT, "%s %s is gone", resource->kind, name);
    if (replicas != from)
        return error_set(error, ERR_CONFLICT, "%s %s has %d replicas by now, and not %d",
                         resource->kind, name, (int)replicas, (int)from);
    return OK;
}

/* While pods come and go the status moves the version on, and says nothing against the decision. */
enum err apply_replicas(const struct apply *apply, const struct kube_resource *resource,
                        const char *namespace, const char *name, int64_t from, int64_t to,
                        struct error *error)
{
    enum { TRIES = 4 };
    AUTO(json_free) struct json *live = NULL;

    enum err err = apply_allowed(apply, error);
    if (err == OK)
        err = read_live(apply, resource, namespace, name, &live, error);
    if (err == OK)
        err = check_replicas(live, resource, name, from, error);
    if (err)
        return err;
    for (int i = 1;; i++) {
        err = kube_scale(apply->client, resource, namespace, name, (int)to,
                         object_resource_version(live), NAMES_FIELD_MANAGER, error);
        if (err != ERR_CONFLICT || i == TRIES)
            break;
        json_free(&live);
        err = kube_get(apply->client, resource, namespace, name, &live, error);
        if (err == OK)
            err = check_replicas(live, resource, name, from, error);
        if (err)
            break;
    }
    if (err)
        return error_prefix(error, err, "scale %s %s to %d", resource->kind, name, (int)to);
    LOG_INFO("Scaled", LOG_STR("kind", resource->kind), LOG_STR("namespace", namespace),
             LOG_STR("name", name), LOG_I64("from", from), LOG_I64("replicas", to));
    return OK;
}

/* ---- patches */

enum err apply_patch(const struct apply *apply, const struct kube_resource *resource,
                     const char *namespace, const char *name, const struct json *patch,
                     struct error *error)
{
    AUTO(json_free) struct json *written = NULL;

    enum err err = apply_allowed(apply, error);
    if (err)
        return err;
    err = kube_merge_patch(apply->client, resource, namespace, name, NULL, patch,
                           NAMES_FIELD_MANAGER, &written, error);
    if (err)
        return error_prefix(error, err, "%s %s", resource->kind, name);
    LOG_INFO("Patched", LOG_STR("kind", resource->kind), LOG_STR("namespace", namespace),
             LOG_STR("name", name));
    return OK;
}
