/* The Collector's key of a resource is two 64-bit hashes of its attributes, written one behind the
 * other in the order of their keys (pdatautil.MapHash):
 *
 *   bytes := { f4 key value }*             key := hash(bytes) hash(bytes f3), each little endian
 *   value := f5 | f6 bytes | f7 string | f8 (true) | f9 (false) | fa int64 | fb double
 *          | fc { f4 key value }* fd | fe value* ff
 *
 * Of attributes with the same key each is written, with the value of the first.
 */
#include "sidecar/otlp/partition.h"

#include "common/array.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#define XXH_INLINE_ALL
#include <stdlib.h>
#include <xxhash.h>

enum { RESOURCE_X = 1, RESOURCE = 1, ATTRIBUTE = 1, KEY = 1, VALUE = 2, LIST_VALUE = 1 };

/* AnyValue's alternatives. */
enum { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY, ANY_MAP, ANY_BYTES };

enum {
    MARK_EXTRA = 0xf3,
    MARK_KEY,
    MARK_EMPTY,
    MARK_BYTES,
    MARK_STRING,
    MARK_TRUE,
    MARK_FALSE,
    MARK_INT,
    MARK_DOUBLE,
    MARK_MAP,
    MARK_MAP_END,
    MARK_LIST,
    MARK_LIST_END,
};

struct attribute {
    struct bytes key, value; /* value: an AnyValue */
    size_t index;
};

struct attributes {
    struct attribute *list;
    size_t count, cap;
};

static void attributes_fini(struct attributes *attributes)
{
    free(attributes->list);
}

static enum err add_attribute(struct attributes *attributes, struct bytes key_value)
{
    struct attribute attribute = {.index = attributes->count};
    struct wire_field field;

    while (key_value.len > 0) {
        if (!wire_next(&key_value, &field))
            return ERR_INVALID;
        if (field.number == KEY && field.type == WIRE_LEN)
            attribute.key = field.payload;
        if (field.number == VALUE && field.type == WIRE_LEN)
            attribute.value = field.payload;
    }
    struct attribute *list =
        array_grow(attributes->list, attributes->count, &attributes->cap, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    attributes->list = list;
    attributes->list[attributes->count++] = attribute;
    return OK;
}

/* Adds the KeyValues in a message, which are its field 1 in a Resource and in a KeyValueList. */
static enum err add_attributes(struct attributes *attributes, struct bytes message)
{
    struct wire_field field;
    enum err err = OK;

    while (err == OK && message.len > 0) {
        if (!wire_next(&message, &field))
            return ERR_INVALID;
        if (field.number == ATTRIBUTE && field.type == WIRE_LEN)
            err = add_attribute(attributes, field.payload);
    }
    return err;
}

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_key(const void *a, const void *b)
{
    const struct attribute *one = a, *two = b;
    int order = compare_bytes(one->key, two->key);

    return order != 0 ? order : (one->index > two->index) - (one->index < two->index);
}

/* ---- what is hashed */

static enum err put_mark(struct buf *out, uint8_t mark, struct bytes bytes)
{
    enum err err = buf_append_byte(out, mark);
    return err ? err : buf_append(out, bytes);
}

static enum err put_fixed64(struct buf *out, uint8_t mark, uint64_t value)
{
    uint8_t bytes[8];

    wire_put_fixed64(bytes, value);
    return put_mark(out, mark, (struct bytes){bytes, sizeof bytes});
}

static enum err put_value(struct bytes any, unsigned depth, struct buf *out);

static enum err put_map(struct attributes *attributes, unsigned depth, struct buf *out)
{
    struct bytes value = {0};
    enum err err = OK;

    if (attributes->count > 1)
        qsort(attributes->list, attributes->count, sizeof attributes->list[0], by_key);
    for (size_t i = 0; err == OK && i < attributes->count; i++) {
        const struct attribute *attribute = &attributes->list[i];
        if (i == 0 || compare_bytes(attribute->key, attribute[-1].key) != 0)
            value = attribute->value;
        err = put_mark(out, MARK_KEY, attribute->key);
        if (err == OK)
            err = put_value(value, depth, out);
    }
    return err;
}

static enum err put_inner_map(struct bytes map, unsigned depth, struct buf *out)
{
    AUTO(attributes_fini) struct attributes attributes = {0};

    enum err err = add_attributes(&attributes, map);
    if (err == OK)
        err = buf_append_byte(out, MARK_MAP);
    if (err == OK)
        err = put_map(&attributes, depth, out);
    return err ? err : buf_append_byte(out, MARK_MAP_END);
}

static enum err put_list(struct bytes list, unsigned depth, struct buf *out)
{
    struct wire_field field;

    enum err err = buf_append_byte(out, MARK_LIST);
    while (err == OK && list.len > 0) {
        if (!wire_next(&list, &field))
            return ERR_INVALID;
        if (field.number == LIST_VALUE && field.type == WIRE_LEN)
            err = put_value(field.payload, depth, out);
    }
    return err ? err : buf_append_byte(out, MARK_LIST_END);
}

static enum err put_value(struct bytes any, unsigned depth, struct buf *out)
{
    struct wire_field field, last = {0};

    if (depth == OTLP_DEPTH_MAX)
        return ERR_INVALID;
    while (any.len > 0) {
        if (!wire_next(&any, &field))
            return ERR_INVALID;
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES)
            last = field;
    }
    switch (last.number) {
    case ANY_STRING:
        return put_mark(out, MARK_STRING, last.payload);
    case ANY_BOOL:
        return buf_append_byte(out, last.value != 0 ? MARK_TRUE : MARK_FALSE);
    case ANY_INT:
        return put_fixed64(out, MARK_INT, last.value);
    case ANY_DOUBLE:
        return put_fixed64(out, MARK_DOUBLE, last.value);
    case ANY_ARRAY:
        return put_list(last.payload, depth + 1, out);
    case ANY_MAP:
        return put_inner_map(last.payload, depth + 1, out);
    case ANY_BYTES:
        return put_mark(out, MARK_BYTES, last.payload);
    default:
        return buf_append_byte(out, MARK_EMPTY);
    }
}

static enum err hash(struct attributes *attributes, struct buf *work,
                     uint8_t key[OTLP_RESOURCE_KEY_SIZE])
{
    memset(key, 0, OTLP_RESOURCE_KEY_SIZE);
    if (attributes->count == 0)
        return OK;
    buf_clear(work);
    enum err err = put_map(attributes, 0, work);
    if (err)
        return err;
    wire_put_fixed64(key, XXH64(work->data, work->len, 0));
    err = buf_append_byte(work, MARK_EXTRA);
    if (err)
        return err;
    wire_put_fixed64(key + 8, XXH64(work->data, work->len, 0));
    return OK;
}

static enum err say(enum err err, struct error *error)
{
    if (err == ERR_INVALID)
        return error_set(error, err, "partition: the OTLP request is malformed");
    return err ? error_set(error, err, "partition an OTLP request") : OK;
}

/* ---- groups */

/* A field of the request: a resource with all that is in it, or something unknown, which goes with
 * the resource in front of it. */
struct member {
    uint8_t key[OTLP_RESOURCE_KEY_SIZE];
    struct bytes field;
    size_t index, first; /* its place in the request; that of the first with the same key */
    uint32_t items;
};

struct members {
    struct member *list;
    size_t count, cap;
    struct attributes attributes; /* work */
    struct buf hashed;
};

static void members_fini(struct members *members)
{
    free(members->list);
    attributes_fini(&members->attributes);
    buf_fini(&members->hashed);
}

static enum err key_of_resource_x(struct members *members, struct bytes resource_x,
                                  uint8_t key[OTLP_RESOURCE_KEY_SIZE])
{
    struct wire_field field;
    enum err err = OK;

    members->attributes.count = 0;
    while (err == OK && resource_x.len > 0) {
        if (!wire_next(&resource_x, &field))
            return ERR_INVALID;
        if (field.number == RESOURCE && field.type == WIRE_LEN)
            err = add_attributes(&members->attributes, field.payload);
    }
    return err ? err : hash(&members->attributes, &members->hashed, key);
}

static enum err add_member(struct members *members, enum signal signal,
                           const struct wire_field *field)
{
    struct member member = {.field = field->whole, .index = members->count};
    struct otlp_level_counts counts = {0};

    if (members->count > 0)
        memcpy(member.key, members->list[members->count - 1].key, sizeof member.key);
    if (field->number == RESOURCE_X && field->type == WIRE_LEN) {
        enum err err = key_of_resource_x(members, field->payload, member.key);
        if (err)
            return err;
        if (!otlp_count_level(signal, 1, field->payload, &counts))
            return ERR_INVALID;
        member.items = counts.at[otlp_levels[signal].count];
    }
    struct member *list = array_grow(members->list, members->count, &members->cap, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    members->list = list;
    members->list[members->count++] = member;
    return OK;
}

static int by_hash(const void *a, const void *b)
{
    const struct member *one = a, *two = b;
    int order = memcmp(one->key, two->key, sizeof one->key);

    return order != 0 ? order : (one->index > two->index) - (one->index < two->index);
}

static int by_first(const void *a, const void *b)
{
    const struct member *one = a, *two = b;

    if (one->first != two->first)
        return one->first < two->first ? -1 : 1;
    return (one->index > two->index) - (one->index < two->index);
}

static void sort_into_groups(struct members *members)
{
    if (members->count == 0)
        return;
    qsort(members->list, members->count, sizeof members->list[0], by_hash);
    for (size_t i = 0; i < members->count; i++) {
        struct member *member = &members->list[i];
        bool same = i > 0 && memcmp(member->key, member[-1].key, sizeof member->key) == 0;
        member->first = same ? member[-1].first : member->index;
    }
    qsort(members->list, members->count, sizeof members->list[0], by_first);
}

enum err otlp_group_by_resource(enum signal signal, struct bytes request, struct otlp_slices *work,
                                otlp_group_fn *emit, void *user, struct error *error)
{
    AUTO(members_fini) struct members members = {0};
    struct wire_field field;

    while (request.len > 0) {
        if (!wire_next(&request, &field))
            return say(ERR_INVALID, error);
        enum err err = add_member(&members, signal, &field);
        if (err)
            return say(err, error);
    }
    sort_into_groups(&members);

    for (size_t i = 0; i < members.count;) {
        const struct member *first = &members.list[i];
        uint32_t items = 0;
        otlp_slices_clear(work);
        for (; i < members.count && members.list[i].first == first->first; i++) {
            enum err err = otlp_slices_add(work, members.list[i].field);
            if (err)
                return say(err, error);
            items += members.list[i].items;
        }
        enum err err =
            emit(user, (struct bytes){first->key, sizeof first->key}, work, items, error);
        if (err)
            return err;
    }
    return OK;
}
