/* wire: protobuf's wire format, bounds-checked.
 *
 *   message := field*        field := tag value        tag := varint of (number << 3 | type)
 *   value   := varint | 8 bytes | 4 bytes | length (varint) bytes | group
 *
 * Readers take what is left and move it forward; false means malformed or cut off, and then nothing
 * was moved. Writers write to memory that the caller has measured. All little endian.
 */
#ifndef SIDECAR_OTLP_WIRE_H
#define SIDECAR_OTLP_WIRE_H

#include "common/bytes.h"
#include "common/endian.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_LEN = 2,
    WIRE_GROUP = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5,
};

#define WIRE_VARINT_MAX 10                         /* bytes */
#define WIRE_LEN_MAX    5                          /* bytes of a length that fits 32 bits */
#define WIRE_HEAD_MAX   ((size_t)2 * WIRE_LEN_MAX) /* bytes of a tag and such a length */
#define WIRE_GROUPS_MAX 64 /* groups within each other; nobody has written one for years */

#define WIRE_TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

/* What wire_varint() does for values of more than two bytes. */
bool wire_varint_long(const uint8_t **at, const uint8_t *end, uint64_t *ret_value);

static inline bool wire_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    if (*at < end && **at < 0x80) {
        *ret_value = *(*at)++;
        return true;
    }
    if (end - *at >= 2 && (*at)[1] < 0x80) { /* most items and their bodies are that long */
        *ret_value = ((*at)[0] & 0x7fu) | (uint64_t)(*at)[1] << 7;
        *at += 2;
        return true;
    }
    return wire_varint_long(at, end, ret_value);
}

/* A field number from 1 and a type that exists; a tag is at most 32 bits. */
static inline bool wire_tag(const uint8_t **at, const uint8_t *end, uint32_t *ret_tag)
{
    const uint8_t *from = *at;
    uint64_t tag = 0;

    if (!wire_varint(&from, end, &tag) || tag > UINT32_MAX || tag < 8 || (tag & 7) > WIRE_FIXED32)
        return false;
    *ret_tag = (uint32_t)tag;
    *at = from;
    return true;
}

/* A length, and that many bytes behind it. */
static inline bool wire_len(const uint8_t **at, const uint8_t *end, struct bytes *ret_payload)
{
    const uint8_t *from = *at;
    uint64_t len = 0;

    if (!wire_varint(&from, end, &len) || len > (uint64_t)(end - from))
        return false;
    *ret_payload = (struct bytes){from, (size_t)len};
    *at = from + len;
    return true;
}

/* Moves over the value of a field whose tag has been read. */
bool wire_skip(const uint8_t **at, const uint8_t *end, uint32_t tag);

static inline uint32_t wire_get_fixed32(const uint8_t *at)
{
    return get_le32(at);
}

static inline uint64_t wire_get_fixed64(const uint8_t *at)
{
    return get_le64(at);
}

/* ---- one field at a time */

struct wire_field {
    uint32_t tag, number;
    enum wire_type type;
    uint64_t value;       /* of WIRE_VARINT, WIRE_FIXED32, WIRE_FIXED64 */
    struct bytes payload; /* of WIRE_LEN */
    struct bytes whole;   /* from the tag to the end of the value */
};

/* What wire_next() does for all but the commonest fields. */
bool wire_next_other(struct bytes *rest, struct wire_field *ret_field);

/* Most fields are length-delimited, with a tag and a length of one byte each. */
static inline bool wire_next(struct bytes *rest, struct wire_field *ret_field)
{
    const uint8_t *at = rest->data;

    if (rest->len < 2 || at[0] >= 0x80 || (at[0] & 7) != WIRE_LEN || at[0] < 8 || at[1] >= 0x80 ||
        rest->len - 2 < at[1])
        return wire_next_other(rest, ret_field);
    size_t whole = (size_t)at[1] + 2;
    *ret_field = (struct wire_field){.tag = at[0],
                                     .number = at[0] >> 3,
                                     .type = WIRE_LEN,
                                     .payload = {at + 2, at[1]},
                                     .whole = {at, whole}};
    *rest = (struct bytes){at + whole, rest->len - whole};
    return true;
}

/* ---- writing */

static inline size_t wire_varint_size(uint64_t value)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

/* Writes at most WIRE_VARINT_MAX bytes and returns the end. */
static inline uint8_t *wire_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

static inline uint8_t *wire_put_fixed32(uint8_t *to, uint32_t value)
{
    put_le32(to, value);
    return to + sizeof value;
}

static inline uint8_t *wire_put_fixed64(uint8_t *to, uint64_t value)
{
    put_le64(to, value);
    return to + sizeof value;
}

/* Bytes of a length-delimited field, given those of its payload. */
static inline size_t wire_len_size(uint32_t number, size_t payload)
{
    return wire_varint_size(WIRE_TAG(number, WIRE_LEN)) + wire_varint_size(payload) + payload;
}

/* The tag and length of such a field: at most WIRE_HEAD_MAX bytes for payloads under 4 GiB. */
static inline uint8_t *wire_put_len(uint8_t *to, uint32_t number, size_t payload)
{
    to = wire_put_varint(to, WIRE_TAG(number, WIRE_LEN));
    return wire_put_varint(to, payload);
}

#endif
