#include "common/contract/field.h"

#include "common/contract/duration.h"
#include "common/contract/quantity.h"

#include <stdio.h>

static const void *member(const void *source, size_t offset)
{
    return (const char *)source + offset;
}

/* The pointer that lies there, whatever it points to. */
static const void *pointer_at(const void *at)
{
    const void *pointer = NULL;
    memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

static void write_number(const struct field *field, const void *at, struct json *into)
{
    int64_t value = *(const int64_t *)at;
    char text[64];

    if (value == field->none || value == FIELD_UNSET)
        return;
    if (field->kind == FIELD_INT) {
        json_set_number(into, field->name, (double)value);
        return;
    }
    if (field->kind == FIELD_DURATION)
        duration_print(value, text);
    else if (field->kind == FIELD_SIZE)
        quantity_print(value, text);
    else
        snprintf(text, sizeof text, "%lld%%", (long long)value);
    json_set_string(into, field->name, text);
}

static void write_amount(const struct field *field, const void *at, struct json *into)
{
    const struct pipeline_amount *amount = at;
    char text[32];

    if (amount->percent) {
        snprintf(text, sizeof text, "%lld%%", (long long)amount->value);
        json_set_string(into, field->name, text);
    } else {
        json_set_number(into, field->name, (double)amount->value);
    }
}

static void write_strings(const struct field *field, const struct pipeline_strings *strings,
                          struct json *into)
{
    if (strings->count == 0)
        return;
    struct json *list = json_set_array(into, field->name);
    for (size_t i = 0; i < strings->count; i++)
        json_add_string(list, strings->items[i]);
}

static void write_map(const struct field *field, const struct pipeline_map *map, struct json *into)
{
    if (map->count == 0)
        return;
    struct json *object = json_set_object(into, field->name);
    for (size_t i = 0; i < map->count; i++)
        json_set_string(object, map->items[i].name, map->items[i].value);
}

static void write_secret(const struct field *field, const struct pipeline_secret *secret,
                         struct json *into)
{
    if (secret->name == NULL)
        return;
    struct json *object = json_set_object(into, field->name);
    json_set_string(object, "name", secret->name);
    json_set_string(object, "key", secret->key);
}

static void write_list(const struct field *field, const void *source, struct json *into)
{
    const char *items = pointer_at(member(source, field->offset));
    size_t count = *(const size_t *)member(source, field->count_offset);

    if (count == 0)
        return;
    struct json *list = json_set_array(into, field->name);
    for (size_t i = 0; i < count; i++)
        field_write(field->shape, items + i * field->shape->size, json_add_object(list));
}

/* An object without contents isn't worth writing. */
static void write_object(const struct field *field, const void *at, struct json *into)
{
    struct json *object = json_set_object(into, field->name);

    field_write(field->shape, at, object);
    if (json_size(object) == 0)
        json_remove(into, field->name);
}

static void write_field(const struct field *field, const void *source, struct json *into)
{
    const void *at = member(source, field->offset);
    struct json *raw = NULL;

    switch (field->kind) {
    case FIELD_BOOL:
        json_set_bool(into, field->name, *(const bool *)at);
        return;
    case FIELD_INT:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_PERCENT:
        write_number(field, at, into);
        return;
    case FIELD_RATIO:
        json_set_number(into, field->name, *(const double *)at);
        return;
    case FIELD_AMOUNT:
        write_amount(field, at, into);
        return;
    case FIELD_WORD:
        if (*(const int *)at != FIELD_WORD_UNSET)
            json_set_string(into, field->name, field->words[*(const int *)at]);
        return;
    case FIELD_STRING:
        if (*(const char *const *)at != NULL)
            json_set_string(into, field->name, *(const char *const *)at);
        return;
    case FIELD_STRINGS:
        write_strings(field, at, into);
        return;
    case FIELD_MAP:
        write_map(field, at, into);
        return;
    case FIELD_RAW:
        raw = json_clone(*(const struct json *const *)at);
        if (raw != NULL)
            json_set(into, field->name, &raw);
        return;
    case FIELD_SECRET:
        write_secret(field, at, into);
        return;
    case FIELD_OBJECT:
        write_object(field, at, into);
        return;
    case FIELD_POINTER:
        if (pointer_at(at) != NULL)
            write_object(field, pointer_at(at), into);
        return;
    case FIELD_LIST:
        write_list(field, source, into);
        return;
    }
}

void field_write(const struct shape *shape, const void *source, struct json *into)
{
    for (size_t i = 0; i < shape->count; i++)
        write_field(&shape->fields[i], source, into);
}

static void visit_list(const struct field *field, const void *source, pipeline_visit_secret *visit,
                       void *context)
{
    const char *items = pointer_at(member(source, field->offset));
    size_t count = *(const size_t *)member(source, field->count_offset);

    for (size_t i = 0; i < count; i++)
        field_secrets(field->shape, items + i * field->shape->size, visit, context);
}

void field_secrets(const struct shape *shape, const void *source, pipeline_visit_secret *visit,
                   void *context)
{
    for (size_t i = 0; i < shape->count; i++) {
        const struct field *field = &shape->fields[i];
        const void *at = member(source, field->offset);

        if (field->kind == FIELD_SECRET) {
            const struct pipeline_secret *secret = at;
            if (secret->name != NULL)
                visit(context, secret);
        } else if (field->kind == FIELD_OBJECT) {
            field_secrets(field->shape, at, visit, context);
        } else if (field->kind == FIELD_POINTER && pointer_at(at) != NULL) {
            field_secrets(field->shape, pointer_at(at), visit, context);
        } else if (field->kind == FIELD_LIST) {
            visit_list(field, source, visit, context);
        }
    }
}
