#include "sidecar/otlp/wire.h"

bool wire_varint_long(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    const uint8_t *from = *at;
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (from == end)
            return false;
        uint8_t byte = *from++;
        if (shift == 63 && byte > 1) /* the tenth byte has one bit left */
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            *at = from;
            return true;
        }
    }
    return false;
}

/* Groups end with the number that they began with, and hold fields, which may be groups. */
static bool skip_group(const uint8_t **at, const uint8_t *end, uint32_t number)
{
    uint32_t open[WIRE_GROUPS_MAX];
    unsigned depth = 0;

    open[depth++] = number;
    while (depth > 0) {
        uint32_t tag = 0;
        if (!wire_tag(at, end, &tag))
            return false;
        if ((tag & 7) == WIRE_GROUP) {
            if (depth == WIRE_GROUPS_MAX)
                return false;
            open[depth++] = tag >> 3;
        } else if ((tag & 7) == WIRE_GROUP_END) {
            if (open[--depth] != tag >> 3)
                return false;
        } else if (!wire_skip(at, end, tag)) {
            return false;
        }
    }
    return true;
}

bool wire_skip(const uint8_t **at, const uint8_t *end, uint32_t tag)
{
    const uint8_t *from = *at;
    struct bytes payload;
    uint64_t value;
    bool whole = false;

    switch (tag & 7) {
    case WIRE_VARINT:
        whole = wire_varint(&from, end, &value);
        break;
    case WIRE_FIXED64:
        whole = end - from >= 8;
        from += whole ? 8 : 0;
        break;
    case WIRE_LEN:
        whole = wire_len(&from, end, &payload);
        break;
    case WIRE_GROUP:
        whole = skip_group(&from, end, tag >> 3);
        break;
    case WIRE_FIXED32:
        whole = end - from >= 4;
        from += whole ? 4 : 0;
        break;
    default: /* the end of a group that never began */
        break;
    }
    if (whole)
        *at = from;
    return whole;
}

bool wire_next_other(struct bytes *rest, struct wire_field *ret_field)
{
    struct wire_field field = {0};

    if (rest->len == 0) /* data may be NULL */
        return false;
    const uint8_t *at = rest->data, *end = rest->data + rest->len;
    if (!wire_tag(&at, end, &field.tag))
        return false;
    field.number = field.tag >> 3;
    field.type = (enum wire_type)(field.tag & 7);

    if (field.type == WIRE_LEN) {
        if (!wire_len(&at, end, &field.payload))
            return false;
    } else {
        const uint8_t *value = at;
        if (!wire_skip(&at, end, field.tag))
            return false;
        if (field.type == WIRE_FIXED32)
            field.value = wire_get_fixed32(value);
        else if (field.type == WIRE_FIXED64)
            field.value = wire_get_fixed64(value);
        else if (field.type == WIRE_VARINT)
            wire_varint(&value, end, &field.value);
    }
    field.whole = (struct bytes){rest->data, (size_t)(at - rest->data)};
    *rest = (struct bytes){at, (size_t)(end - at)};
    *ret_field = field;
    return true;
}
