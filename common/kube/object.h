/* object: Kubernetes objects, as a JSON tree to work on and as `struct object` to keep and share.
 *
 * A struct object is immutable and counted: compact JSON text (a tenth of the memory of a tree) and
 * the few fields that everybody asks for. Whoever wants more parses a tree of his own with
 * object_parse(), and may change it freely.
 *
 * Thread: any for struct object; a tree belongs to one thread.
 */
#ifndef COMMON_KUBE_OBJECT_H
#define COMMON_KUBE_OBJECT_H

#include "common/json.h"
#include "common/kube/resource.h"

/* ---- shared objects */

struct object {
    const char *namespace; /* "" for cluster-wide kinds */
    const char *name, *uid, *resource_version;
    const char *owner_uid; /* of the owner with controller=true, else "" */
    const char *labels;    /* key NUL value NUL ... NUL; object_label_of() */
    int64_t generation;
    uint64_t hash;         /* object_hash() */
    struct bytes text;     /* compact JSON */
    _Atomic unsigned refs; /* object_ref(), object_unref() only */
};

/* Takes a copy of `json`. ERR_INVALID: not an object, or no name. */
NODISCARD enum err object_create(const struct json *json, struct object **ret_object,
                                 struct error *error);
struct object *object_ref(struct object *object);
void object_unref(struct object **slot);

/* "" if absent. */
const char *object_label_of(const struct object *object, const char *key);

/* A tree of one's own; never NULL. */
struct json *object_parse(const struct object *object);

/* ---- reading a tree; all accept NULL, and return "" where nothing is */

const char *object_name(const struct json *json);
const char *object_namespace(const struct json *json);
const char *object_uid(const struct json *json);
const char *object_resource_version(const struct json *json);
int64_t object_generation(const struct json *json);
const char *object_label(const struct json *json, const char *key);
const char *object_annotation(const struct json *json, const char *key);
bool object_is_deleting(const struct json *json);

/* The ownerReference with controller=true, or NULL. */
const struct json *object_controller_of(const struct json *json);

/* Status "True", "False", "Unknown" of the condition, "" if absent. */
const char *object_condition(const struct json *json, const char *type);

/* A hash of everything but status and what the server alone writes in metadata (managedFields,
 * resourceVersion, generation, uid, creationTimestamp, selfLink): equal before and after a write
 * that changed nothing. The order of members does not matter. */
uint64_t object_hash(const struct json *json);

/* ---- changing a tree */

void object_drop_managed_fields(struct json *json);

/* {apiVersion, kind, metadata: {name, namespace}}; namespace NULL or "": none. */
struct json *object_new(const struct kube_resource *resource, const char *namespace,
                        const char *name);

/* ---- projections, for kube_watch_config.project: what the cache keeps of a kind */

/* name, namespace, uid, labels, owners, deletion; spec.nodeName; status.podIP, phase, Ready and
 * PodScheduled conditions, restarts and waiting or termination reasons of the containers. */
void object_project_pod(struct json *pod);

#endif
