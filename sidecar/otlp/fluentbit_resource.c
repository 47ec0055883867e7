#include "sidecar/otlp/fluentbit_resource.h"

#include "sidecar/otlp/any_json.h"

#include <string.h>

#define ATTRIBUTES 1 /* the number of a Resource's */

enum group { OF_RESOURCE, OF_KUBERNETES, OF_LABELS, OF_ANNOTATIONS };

static bool is(struct bytes text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

static bool begins(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len > len && memcmp(text.data, prefix, len) == 0;
}

/* To which object an attribute belongs, and under which name. */
static enum group group_of(struct bytes key, struct bytes *ret_name)
{
    static const struct {
        const char *attribute, *name;
        enum group group;
    } names[] = {
        {"k8s.pod.name", "pod_name", OF_KUBERNETES},
        {"k8s.namespace.name", "namespace_name", OF_KUBERNETES},
        {"k8s.pod.uid", "pod_id", OF_KUBERNETES},
        {"k8s.node.name", "host", OF_KUBERNETES},
        {"k8s.pod.ip", "pod_ip", OF_KUBERNETES},
        {"k8s.container.name", "container_name", OF_KUBERNETES},
        {"container.id", "docker_id", OF_KUBERNETES},
        {"container.image.id", "container_hash", OF_KUBERNETES},
        {"container.image.name", "container_image", OF_KUBERNETES},
        {"k8s.pod.label.", NULL, OF_LABELS},
        {"k8s.pod.labels.", NULL, OF_LABELS},
        {"k8s.pod.annotation.", NULL, OF_ANNOTATIONS},
        {"k8s.pod.annotations.", NULL, OF_ANNOTATIONS},
    };

    *ret_name = key;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].name != NULL && is(key, names[i].attribute)) {
            *ret_name = bytes_from(names[i].name);
            return names[i].group;
        }
        if (names[i].name == NULL && begins(key, names[i].attribute)) {
            size_t len = strlen(names[i].attribute);
            *ret_name = (struct bytes){key.data + len, key.len - len};
            return names[i].group;
        }
    }
    return OF_RESOURCE;
}

/* `"name":` before a member's value, or before an object's. */
static enum err put_name(struct buf *out, struct bytes name)
{
    bool first = out->data[out->len - 1] == '{';

    enum err err = first ? OK : buf_append_byte(out, ',');
    if (!err)
        err = any_json_string(out, name);
    return err ? err : buf_append_byte(out, ':');
}

/* An object that begins, or one within it, called `title`, which may be the first of it. */
static enum err open_object(struct buf *out, const char *title)
{
    enum err err = OK;

    if (title != NULL && out->len == 0)
        err = buf_append_byte(out, '{');
    if (title != NULL && !err)
        err = put_name(out, bytes_from(title));
    return err ? err : buf_append_byte(out, '{');
}

/* Appends the members of a group, if there are any, and closes what has a title. */
static enum err put_group(struct buf *out, struct any_pairs pairs, enum group group,
                          const char *title)
{
    struct any_pair pair;
    struct bytes name;
    bool opened = false;
    enum err err = OK;

    while (!err && any_pairs_next_last(&pairs, &pair)) {
        if (group_of(pair.key, &name) != group)
            continue;
        if (!opened)
            err = open_object(out, title);
        opened = true;
        if (!err)
            err = put_name(out, name);
        if (!err)
            err = any_json_write(out, pair.value);
    }
    return err || !opened || title == NULL ? err : buf_append_byte(out, '}');
}

static enum err make(struct fluentbit_resource *made, struct any_pairs pairs)
{
    enum err err = put_group(&made->kubernetes, pairs, OF_KUBERNETES, NULL);
    if (!err)
        err = put_group(&made->kubernetes, pairs, OF_LABELS, "labels");
    if (!err)
        err = put_group(&made->kubernetes, pairs, OF_ANNOTATIONS, "annotations");
    if (!err && made->kubernetes.len > 0)
        err = buf_append_byte(&made->kubernetes, '}');
    if (!err)
        err = put_group(&made->rest, pairs, OF_RESOURCE, NULL);
    if (!err && made->rest.len > 0)
        err = buf_append_byte(&made->rest, '}');
    return err;
}

enum err fluentbit_resource_make(struct fluentbit_resource *made, struct bytes resource)
{
    if (bytes_equal(buf_bytes(&made->of), resource))
        return OK;
    buf_clear(&made->of);
    buf_clear(&made->kubernetes);
    buf_clear(&made->rest);
    enum err err = make(made, (struct any_pairs){resource, ATTRIBUTES});
    if (!err)
        err = buf_append(&made->of, resource);
    if (err) { /* of no resource, as it says */
        buf_clear(&made->kubernetes);
        buf_clear(&made->rest);
    }
    return err;
}

void fluentbit_resource_fini(struct fluentbit_resource *made)
{
    buf_fini(&made->of);
    buf_fini(&made->kubernetes);
    buf_fini(&made->rest);
}
