#include "common/kube/object.h"

#include "common/assert.h"
#include "common/xalloc.h"

#include <math.h>
#include <stdlib.h>

/* ---- shared objects */

/* One block: the struct, then the strings, then the text. */
static const char *pack(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *start = *at;
    memcpy(start, text, size);
    *at += size;
    return start;
}

static size_t labels_size(const struct json *labels)
{
    size_t size = 1;
    JSON_EACH(label, labels)
        size += strlen(json_key(label)) + strlen(json_string(label, "")) + 2;
    return size;
}

static const char *pack_labels(char **at, const struct json *labels)
{
    char *start = *at;
    JSON_EACH(label, labels) {
        pack(at, json_key(label));
        pack(at, json_string(label, ""));
    }
    *(*at)++ = '\0';
    return start;
}

enum err object_create(const struct json *json, struct object **ret_object, struct error *error)
{
    AUTO(buf_fini) struct buf text = {0};
    const char *name = object_name(json), *namespace = object_namespace(json);
    const char *uid = object_uid(json), *version = object_resource_version(json);
    const char *owner = json_string(json_get(object_controller_of(json), "uid"), "");
    const struct json *labels = json_at(json, "metadata.labels");

    if (name[0] == '\0')
        return error_set(error, ERR_INVALID, "an object without a name");
    enum err err = json_print(json, &text);
    if (err)
        return error_set(error, err, "object '%s'", name);

    size_t strings = strlen(name) + strlen(namespace) + strlen(uid) + strlen(version) +
                     strlen(owner) + 5 + labels_size(labels);
    struct object *object = xcalloc(1, sizeof *object + strings + text.len);
    char *at = (char *)(object + 1);
    object->refs = 1;
    object->name = pack(&at, name);
    object->namespace = pack(&at, namespace);
    object->uid = pack(&at, uid);
    object->resource_version = pack(&at, version);
    object->owner_uid = pack(&at, owner);
    object->labels = pack_labels(&at, labels);
    object->generation = object_generation(json);
    object->hash = object_hash(json);
    memcpy(at, text.data, text.len);
    object->text = (struct bytes){(const uint8_t *)at, text.len};
    *ret_object = object;
    return OK;
}

const char *object_label_of(const struct object *object, const char *key)
{
    for (const char *at = object->labels; *at != '\0';) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(at, key) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return "";
}

struct object *object_ref(struct object *object)
{
    object->refs++;
    return object;
}

void object_unref(struct object **slot)
{
    struct object *object = *slot;
    if (object != NULL && --object->refs == 0)
        free(object);
    *slot = NULL;
}

struct json *object_parse(const struct object *object)
{
    struct json *json = NULL;
    /* We printed it ourselves from a tree that had been parsed within the bounds. */
    if (json_parse(object->text, object->text.len, &json, NULL))
        xalloc_fail(object->text.len);
    return json;
}

/* ---- reading */

static const struct json *metadata(const struct json *json)
{
    return json_get(json, "metadata");
}

const char *object_name(const struct json *json)
{
    return json_string(json_get(metadata(json), "name"), "");
}

const char *object_namespace(const struct json *json)
{
    return json_string(json_get(metadata(json), "namespace"), "");
}

const char *object_uid(const struct json *json)
{
    return json_string(json_get(metadata(json), "uid"), "");
}

const char *object_resource_version(const struct json *json)
{
    return json_string(json_get(metadata(json), "resourceVersion"), "");
}

int64_t object_generation(const struct json *json)
{
    return json_int(json_get(metadata(json), "generation"), 0);
}

const char *object_label(const struct json *json, const char *key)
{
    return json_string(json_get(json_get(metadata(json), "labels"), key), "");
}

const char *object_annotation(const struct json *json, const char *key)
{
    return json_string(json_get(json_get(metadata(json), "annotations"), key), "");
}

bool object_is_deleting(const struct json *json)
{
    return json_kind(json_get(metadata(json), "deletionTimestamp")) == JSON_STRING;
}

const struct json *object_controller_of(const struct json *json)
{
    JSON_EACH(owner, json_get(metadata(json), "ownerReferences")) {
        if (json_bool(json_get(owner, "controller"), false))
            return owner;
    }
    return NULL;
}

const char *object_condition(const struct json *json, const char *type)
{
    JSON_EACH(condition, json_at(json, "status.conditions")) {
        if (strcmp(json_string(json_get(condition, "type"), ""), type) == 0)
            return json_string(json_get(condition, "status"), "");
    }
    return "";
}

/* ---- the hash: FNV-1a of each value; members of an object are added up, so that their order does
 * not matter. It tells an edit from none; nobody gains by making two objects collide. */

static uint64_t mix_byte(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * 1099511628211u;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = mix_byte(hash, (uint8_t)*text);
    return hash;
}

static uint64_t mix_number(uint64_t hash, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        hash = mix_byte(hash, (uint8_t)(number >> (8 * i)));
    return hash;
}

static uint64_t hash_value(const struct json *json)
{
    enum json_kind kind = json_kind(json);
    if (kind == JSON_NUMBER && !isfinite(json_number(json, 0)))
        kind = JSON_NULL; /* as which it is printed */
    uint64_t hash = mix_byte(14695981039346656037u, (uint8_t)kind), sum = 0;

    if (kind == JSON_STRING)
        return mix_text(hash, json_string(json, ""));
    if (kind == JSON_BOOL)
        return mix_byte(hash, json_bool(json, false));
    if (kind == JSON_NUMBER) {
        double number = json_number(json, 0) + 0.0; /* -0 is printed as 0 */
        uint64_t bits = 0;
        memcpy(&bits, &number, sizeof bits);
        return mix_number(hash, bits);
    }

    JSON_EACH(element, json) {
        if (kind == JSON_ARRAY)
            hash = mix_number(hash, hash_value(element));
        else
            sum += mix_number(mix_text(hash, json_key(element)), hash_value(element));
    }
    return mix_number(hash, sum);
}

static bool is_server_side(const char *key)
{
    static const char *const keys[] = {"managedFields", "resourceVersion",   "generation",
                                       "uid",           "creationTimestamp", "selfLink"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key, keys[i]) == 0)
            return true;
    }
    return false;
}

uint64_t object_hash(const struct json *json)
{
    uint64_t sum = 0;

    JSON_EACH(member, json) {
        const char *key = json_key(member);
        bool is_metadata = strcmp(key, "metadata") == 0;
        if (strcmp(key, "status") == 0)
            continue;
        if (!is_metadata) {
            sum += mix_text(hash_value(member), key);
            continue;
        }
        JSON_EACH(field, member) {
            if (!is_server_side(json_key(field)))
                sum += mix_text(hash_value(field) ^ 1, json_key(field));
        }
    }
    return sum;
}

/* ---- changing */

void object_drop_managed_fields(struct json *json)
{
    json_remove(json_get(json, "metadata"), "managedFields");
}

struct json *object_new(const struct kube_resource *resource, const char *namespace,
                        const char *name)
{
    char version[KUBE_API_VERSION_SIZE];
    struct json *json = json_new_object();

    json_set_string(json, "apiVersion", kube_resource_api_version(resource, version));
    json_set_string(json, "kind", resource->kind);
    struct json *meta = json_set_object(json, "metadata");
    json_set_string(meta, "name", name);
    if (resource->namespaced && namespace != NULL && namespace[0] != '\0')
        json_set_string(meta, "namespace", namespace);
    return json;
}

/* ---- projections */

static void keep_only(struct json *object, const char *const *keys)
{
    struct json *member = json_first(object);

    while (member != NULL) {
        struct json *next = json_next(member);
        bool keep = false;
        for (const char *const *key = keys; *key != NULL; key++)
            keep = keep || strcmp(json_key(member), *key) == 0;
        if (!keep)
            json_remove(object, json_key(member));
        member = next;
    }
}

void object_project_pod(struct json *pod)
{
    static const char *const of_pod[] = {"apiVersion", "kind", "metadata", "spec", "status", NULL};
    static const char *const of_metadata[] = {"name",
                                              "namespace",
                                              "uid",
                                              "resourceVersion",
                                              "generation",
                                              "labels",
                                              "ownerReferences",
                                              "deletionTimestamp",
                                              "creationTimestamp",
                                              NULL};
    static const char *const of_spec[] = {"nodeName", NULL};
    static const char *const of_status[] = {"podIP",
                                            "phase",
                                            "reason",
                                            "message",
                                            "conditions",
                                            "containerStatuses",
                                            "initContainerStatuses",
                                            NULL};
    static const char *const of_container[] = {"name",  "ready",     "restartCount",
                                               "state", "lastState", NULL};

    keep_only(pod, of_pod);
    keep_only(json_get(pod, "metadata"), of_metadata);
    keep_only(json_get(pod, "spec"), of_spec);
    struct json *status = json_get(pod, "status");
    keep_only(status, of_status);
    JSON_EACH(container, json_get(status, "containerStatuses"))
        keep_only(container, of_container);
    JSON_EACH(container, json_get(status, "initContainerStatuses"))
        keep_only(container, of_container);
}
