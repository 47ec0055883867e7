#include "sidecar/process/attributes.h"

#include "common/array.h"
#include "sidecar/otlp/out.h"
#include "sidecar/process/value.h"

#include <stdlib.h>

void attributes_fini(struct attributes *attributes)
{
    free(attributes->list);
    *attributes = (struct attributes){0};
}

static enum err push(struct attributes *attributes, struct attribute attribute)
{
    struct attribute *list =
        array_grow(attributes->list, attributes->count, &attributes->cap, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    attributes->list = list;
    attributes->list[attributes->count++] = attribute;
    return OK;
}

static bool is_attribute(const struct attributes *attributes, const struct wire_field *field)
{
    return field->number == attributes->number && field->type == WIRE_LEN;
}

enum err attributes_load(struct attributes *attributes, struct bytes message, uint32_t number)
{
    struct wire_field field;

    attributes->message = message;
    attributes->number = number;
    attributes->count = 0;
    attributes->changed = false;
    while (message.len > 0 && wire_next(&message, &field)) {
        struct attribute attribute = {0};
        if (!is_attribute(attributes, &field))
            continue;
        value_of_attribute(field.payload, &attribute.key, &attribute.any);
        enum err err = push(attributes, attribute);
        if (err)
            return err;
    }
    return OK;
}

const struct attribute *attributes_find(const struct attributes *attributes, struct bytes key)
{
    for (size_t i = 0; i < attributes->count; i++)
        if (!attributes->list[i].gone && bytes_equal(attributes->list[i].key, key))
            return &attributes->list[i];
    return NULL;
}

void attributes_remove(struct attributes *attributes, struct bytes key)
{
    for (size_t i = 0; i < attributes->count; i++) {
        struct attribute *at = &attributes->list[i];
        if (!at->gone && bytes_equal(at->key, key)) {
            at->gone = true;
            attributes->changed = true;
        }
    }
}

enum err attributes_set(struct attributes *attributes, struct bytes key, struct bytes any)
{
    attributes_remove(attributes, key);
    attributes->changed = true;
    return push(attributes, (struct attribute){.key = key, .any = any, .made = true});
}

static enum err write_made(const struct attributes *attributes, const struct attribute *made,
                           struct buf *out)
{
    struct out_mark mark;

    enum err err =
        out_open(out, attributes->number, made->key.len + made->any.len + WIRE_HEAD_MAX / 2, &mark);
    if (!err)
        err = out_field(out, KEY_VALUE_KEY, made->key);
    if (!err)
        err = out_field(out, KEY_VALUE_VALUE, made->any);
    return err ? err : out_close(out, &mark);
}

/* What stays is copied in runs. */
enum err attributes_write(const struct attributes *attributes, struct buf *out)
{
    struct bytes rest = attributes->message;
    const struct attribute *next = attributes->list;
    const uint8_t *copied = rest.data;
    struct wire_field field;
    enum err err = OK;

    while (rest.len > 0 && wire_next(&rest, &field) && err == OK) {
        if (!is_attribute(attributes, &field) || !next++->gone)
            continue;
        err = buf_append(out, (struct bytes){copied, (size_t)(field.whole.data - copied)});
        copied = rest.data;
    }
    if (!err)
        err = buf_append(out, (struct bytes){copied, (size_t)(rest.data - copied)});
    for (; next != attributes->list + attributes->count && err == OK; next++)
        if (!next->gone)
            err = write_made(attributes, next, out);
    return err;
}

/* ---- rules */

static enum err apply(struct attributes *attributes, const struct attribute_rule *rule)
{
    bool present = attributes_find(attributes, rule->key) != NULL;
    struct bytes any = rule->any;

    if (rule->action == PIPELINE_CHANGE_DELETE) {
        attributes_remove(attributes, rule->key);
        return OK;
    }
    if ((present && rule->action == PIPELINE_CHANGE_INSERT) ||
        (!present && rule->action == PIPELINE_CHANGE_UPDATE))
        return OK;
    if (rule->from.len > 0) {
        const struct attribute *from = attributes_find(attributes, rule->from);
        if (from == NULL || !value_is_shallow(from->any, VALUE_DEPTH_MAX))
            return OK;
        any = from->any;
    }
    if (rule->action == PIPELINE_CHANGE_RENAME)
        attributes_remove(attributes, rule->from);
    return attributes_set(attributes, rule->key, any);
}

enum err attributes_apply(struct attributes *attributes, const struct attribute_rule *rules,
                          size_t count)
{
    enum err err = OK;

    for (size_t i = 0; i < count && err == OK; i++)
        err = apply(attributes, &rules[i]);
    return err;
}
