#include "sidecar/process/item.h"

#include "sidecar/process/value.h"

enum {
    SPAN_NAME = 5,
    SPAN_KIND = 6,
    SPAN_START = 7,
    SPAN_END = 8,
    SPAN_STATUS = 15,
    STATUS_CODE = 3,
    LOG_SEVERITY = 2,
    LOG_SEVERITY_TEXT = 3,
    LOG_BODY = 5,
    METRIC_NAME = 1,
    SCOPE_NAME = 1,
    SCOPE_VERSION = 2,
};

static const struct expr_value absent = {.type = EXPR_ABSENT};

/* The last field of that number and type, as protobuf has it for what comes once. */
static bool last_field(struct bytes message, uint32_t number, enum wire_type type,
                       struct wire_field *ret_field)
{
    struct wire_field field;
    bool found = false;

    while (message.len > 0 && wire_next(&message, &field)) {
        if (field.number == number && field.type == type) {
            *ret_field = field;
            found = true;
        }
    }
    return found;
}

static struct expr_value text_field(struct bytes message, uint32_t number)
{
    struct wire_field field;

    if (!last_field(message, number, WIRE_LEN, &field) || field.payload.len == 0)
        return absent;
    return (struct expr_value){.type = EXPR_STRING, .string = field.payload};
}

static struct expr_value integer(int64_t value)
{
    return (struct expr_value){.type = EXPR_INT, .integer = value};
}

static struct expr_value enum_field(struct bytes message, uint32_t number)
{
    struct wire_field field;
    bool found = last_field(message, number, WIRE_VARINT, &field);

    return integer(found ? (int64_t)(int32_t)field.value : 0);
}

/* Several Status messages merge into one, so the last code in any of them counts. */
static struct expr_value status_of(struct bytes span)
{
    struct expr_value status = integer(0);
    struct wire_field field, code;

    while (span.len > 0 && wire_next(&span, &field))
        if (field.number == SPAN_STATUS && field.type == WIRE_LEN &&
            last_field(field.payload, STATUS_CODE, WIRE_VARINT, &code))
            status.integer = (int32_t)code.value;
    return status;
}

static struct expr_value duration_of(struct bytes span)
{
    struct wire_field start, end;

    if (!last_field(span, SPAN_START, WIRE_FIXED64, &start) ||
        !last_field(span, SPAN_END, WIRE_FIXED64, &end))
        return absent;
    if (end.value < start.value)
        return integer(0);
    uint64_t duration = end.value - start.value;
    return integer(duration > INT64_MAX ? INT64_MAX : (int64_t)duration);
}

/* The number, or what the text stands for where a logger gives no number. */
static struct expr_value severity_of(struct bytes record)
{
    struct expr_value severity = enum_field(record, LOG_SEVERITY);

    if (severity.integer == 0) {
        struct expr_value text = text_field(record, LOG_SEVERITY_TEXT);
        if (text.type == EXPR_STRING)
            severity.integer = expr_severity(text.string);
    }
    return severity.integer > 0 ? severity : absent;
}

/* What the keys behind the first one lead to. */
static struct expr_value go_into(struct bytes any, const struct expr_path *path, size_t from)
{
    for (size_t i = from; i < path->key_count; i++)
        if (!value_member(any, path->keys[i], &any))
            return absent;
    return value_read(any);
}

static struct expr_value attribute(struct bytes message, uint32_t number,
                                   const struct expr_path *path)
{
    struct bytes any;

    if (!value_find(message, number, path->keys[0], &any))
        return absent;
    return go_into(any, path, 1);
}

static struct expr_value body_of(struct bytes record, const struct expr_path *path)
{
    struct wire_field body;

    if (!last_field(record, LOG_BODY, WIRE_LEN, &body))
        return absent;
    return go_into(body.payload, path, 0);
}

struct expr_value item_lookup(void *context, const struct expr_path *path)
{
    const struct item *item = context;
    bool span = item->message == OTLP_SPAN, record = item->message == OTLP_LOG_RECORD;

    switch (path->root) {
    case EXPR_RESOURCE:
        return attribute(item->resource, value_attributes_field(OTLP_RESOURCE), path);
    case EXPR_SCOPE:
        return attribute(item->scope, value_attributes_field(OTLP_SCOPE), path);
    case EXPR_ATTRIBUTES:
        return attribute(item->bytes, value_attributes_field(item->message), path);
    case EXPR_BODY:
        return record ? body_of(item->bytes, path) : absent;
    case EXPR_SCOPE_NAME:
        return text_field(item->scope, SCOPE_NAME);
    case EXPR_SCOPE_VERSION:
        return text_field(item->scope, SCOPE_VERSION);
    case EXPR_NAME:
        return span     ? text_field(item->bytes, SPAN_NAME)
               : record ? absent
                        : text_field(item->metric, METRIC_NAME);
    case EXPR_SEVERITY:
        return record ? severity_of(item->bytes) : absent;
    case EXPR_STATUS:
        return span ? status_of(item->bytes) : absent;
    case EXPR_KIND:
        return span ? enum_field(item->bytes, SPAN_KIND) : absent;
    case EXPR_DURATION:
        return span ? duration_of(item->bytes) : absent;
    }
    return absent;
}
