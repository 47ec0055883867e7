#include "sidecar/process/value.h"

uint32_t value_attributes_field(enum otlp_message_id message)
{
    const struct otlp_message *in = &otlp_messages[message];

    for (size_t i = 0; i < in->field_count; i++)
        if (in->fields[i].kind == OTLP_KIND_MESSAGE && in->fields[i].child == OTLP_KEY_VALUE)
            return in->fields[i].number;
    return 0;
}

/* As SDKs write it: 0a len key 12 len value, and nothing behind. */
static inline bool is_plain(struct bytes key_value, struct bytes *ret_key, struct bytes *ret_any)
{
    const uint8_t *at = key_value.data;

    if (key_value.len < 4 || at[0] != 0x0a || at[1] >= 0x80 || key_value.len < (size_t)at[1] + 4)
        return false;
    const uint8_t *value = at + 2 + at[1];
    if (value[0] != 0x12 || value[1] >= 0x80 || key_value.len != (size_t)at[1] + 4 + value[1])
        return false;
    *ret_key = (struct bytes){at + 2, at[1]};
    *ret_any = (struct bytes){value + 2, value[1]};
    return true;
}

void value_of_attribute(struct bytes key_value, struct bytes *ret_key, struct bytes *ret_any)
{
    struct bytes key = {0}, any = {0};
    struct wire_field field;

    if (is_plain(key_value, ret_key, ret_any))
        return;
    while (key_value.len > 0 && wire_next(&key_value, &field)) {
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == KEY_VALUE_KEY)
            key = field.payload;
        else if (field.number == KEY_VALUE_VALUE && (field.payload.len > 0 || any.data == NULL))
            any = field.payload; /* they merge, so an empty one changes nothing */
    }
    *ret_key = key;
    *ret_any = any;
}

bool value_find(struct bytes message, uint32_t number, struct bytes key, struct bytes *ret_any)
{
    struct wire_field field;
    struct bytes found, any;

    while (message.len > 0 && wire_next(&message, &field)) {
        if (field.number != number || field.type != WIRE_LEN || field.payload.len < key.len)
            continue;
        value_of_attribute(field.payload, &found, &any);
        if (bytes_equal(found, key)) {
            *ret_any = any;
            return true;
        }
    }
    return false;
}

/* The alternative that counts: the last one. */
static bool last_of(struct bytes any, struct wire_field *ret_field)
{
    struct wire_field field;
    bool found = false;

    while (any.len > 0 && wire_next(&any, &field)) {
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES) {
            *ret_field = field;
            found = true;
        }
    }
    return found;
}

bool value_member(struct bytes any, struct bytes key, struct bytes *ret_any)
{
    struct wire_field field;

    return last_of(any, &field) && field.number == ANY_MAP && field.type == WIRE_LEN &&
           value_find(field.payload, 1, key, ret_any);
}

struct expr_value value_read(struct bytes any)
{
    struct expr_value value = {.type = EXPR_OTHER};
    struct wire_field field;

    if (!last_of(any, &field))
        return value;
    if (field.number == ANY_STRING && field.type == WIRE_LEN) {
        value.type = EXPR_STRING;
        value.string = field.payload;
    } else if (field.number == ANY_BOOL && field.type == WIRE_VARINT) {
        value.type = EXPR_BOOL;
        value.boolean = field.value != 0;
    } else if (field.number == ANY_INT && field.type == WIRE_VARINT) {
        value.type = EXPR_INT;
        value.integer = (int64_t)field.value;
    } else if (field.number == ANY_DOUBLE && field.type == WIRE_FIXED64) {
        value.type = EXPR_DOUBLE;
        memcpy(&value.number, &field.value, sizeof value.number);
    }
    return value;
}

/* Lists hold values, maps hold KeyValues that hold values: every payload that may hold a message
 * is looked into, which errs to the safe side. */
bool value_is_shallow(struct bytes any, unsigned depth)
{
    struct wire_field field;

    if (depth == 0)
        return false;
    while (any.len > 0 && wire_next(&any, &field)) {
        bool nests =
            field.type == WIRE_LEN && (field.number == ANY_ARRAY || field.number == ANY_MAP);
        struct bytes rest = field.payload;
        struct wire_field element;
        if (nests && depth < 3)
            return false;
        while (nests && rest.len > 0 && wire_next(&rest, &element)) {
            struct bytes key, inner = element.payload;
            if (element.type != WIRE_LEN)
                continue;
            if (field.number == ANY_MAP)
                value_of_attribute(element.payload, &key, &inner);
            if (!value_is_shallow(inner, depth - 3))
                return false;
        }
    }
    return true;
}
