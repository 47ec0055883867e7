#include "sidecar/net/grpc.h"

#include "common/base64.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

const char *grpc_status_name(enum grpc_status status)
{
    switch (status) {
#define X(name, number) \
    case name:          \
        return &#name[sizeof "GRPC_" - 1];
        GRPC_STATUSES(X)
#undef X
    }
    return "UNKNOWN";
}

bool grpc_is_content_type(struct bytes content_type)
{
    static const char name[] = "application/grpc+proto";
    size_t len = 0;

    while (len < content_type.len && content_type.data[len] != ';' && content_type.data[len] != ' ')
        len++;
    return (len == sizeof "application/grpc" - 1 || len == sizeof name - 1) &&
           strncasecmp((const char *)content_type.data, name, len) == 0;
}

/* ---- framing */

void grpc_put_prefix(uint8_t prefix[GRPC_PREFIX_SIZE], bool compressed, uint32_t len)
{
    prefix[0] = compressed ? 1 : 0;
    for (int i = 0; i < 4; i++)
        prefix[1 + i] = (uint8_t)(len >> (8 * (3 - i)));
}

enum err grpc_unframe(struct bytes body, bool *ret_compressed, struct bytes *ret_message,
                      struct error *error)
{
    if (body.len < GRPC_PREFIX_SIZE)
        return error_set(error, ERR_INVALID, "gRPC message ends within its prefix (%zu bytes)",
                         body.len);
    if (body.data[0] > 1)
        return error_set(error, ERR_INVALID, "gRPC message has flag %u, where 0 and 1 are known",
                         body.data[0]);

    size_t len = 0;
    for (int i = 1; i < GRPC_PREFIX_SIZE; i++)
        len = len << 8 | body.data[i];
    size_t there = body.len - GRPC_PREFIX_SIZE;
    if (there < len)
        return error_set(error, ERR_INVALID, "gRPC message is cut short (%zu of %zu bytes)", there,
                         len);
    if (there > len)
        return error_set(error, ERR_INVALID,
                         "more than one gRPC message where one is expected (%zu bytes behind it)",
                         there - len);

    *ret_compressed = body.data[0] == 1;
    *ret_message = (struct bytes){body.data + GRPC_PREFIX_SIZE, len};
    return OK;
}

/* ---- grpc-message */

enum err grpc_percent_encode(struct bytes text, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    enum err err = buf_reserve(out, text.len); /* mostly there is nothing to escape */
    for (size_t i = 0; !err && i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            err = buf_append_byte(out, c);
        } else {
            const uint8_t escape[3] = {'%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};
            err = buf_append(out, (struct bytes){escape, sizeof escape});
        }
    }
    return err;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum err grpc_percent_decode(struct bytes text, struct buf *out)
{
    enum err err = buf_reserve(out, text.len);
    for (size_t i = 0; !err && i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '%' && i + 2 < text.len) {
            int high = hex_digit(text.data[i + 1]), low = hex_digit(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (uint8_t)(high << 4 | low);
                i += 2;
            }
        }
        err = buf_append_byte(out, c);
    }
    return err;
}

/* ---- base64 of grpc-status-details-bin */

enum err grpc_base64_encode(struct bytes data, struct buf *out)
{
    enum err err = base64_encode(data, out);
    if (!err)
        out->len -= (3 - data.len % 3) % 3; /* the padding */
    return err;
}

/* ---- google.rpc.Status, by hand: four messages of two fields each */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static const char retry_info_url[] = "type.googleapis.com/google.rpc.RetryInfo";

static enum err put_varint(struct buf *out, uint64_t value)
{
    enum err err = OK;
    for (; !err && value >= 0x80; value >>= 7)
        err = buf_append_byte(out, (uint8_t)(value | 0x80));
    return err ? err : buf_append_byte(out, (uint8_t)value);
}

static enum err put_number(struct buf *out, unsigned field, uint64_t value)
{
    if (value == 0)
        return OK;
    enum err err = put_varint(out, field << 3 | WIRE_VARINT);
    return err ? err : put_varint(out, value);
}

static enum err put_bytes(struct buf *out, unsigned field, struct bytes value)
{
    if (value.len == 0)
        return OK;
    enum err err = put_varint(out, field << 3 | WIRE_BYTES);
    if (!err)
        err = put_varint(out, value.len);
    return err ? err : buf_append(out, value);
}

static enum err put_retry_info(struct buf *out, uint32_t delay_ms)
{
    uint8_t memory[3][96]; /* each message is at most 64 bytes; caps keep these from growing */
    struct buf duration = {.data = memory[0], .cap = sizeof memory[0], .max = sizeof memory[0]};
    struct buf info = {.data = memory[1], .cap = sizeof memory[1], .max = sizeof memory[1]};
    struct buf any = {.data = memory[2], .cap = sizeof memory[2], .max = sizeof memory[2]};
    struct bytes url = {(const uint8_t *)retry_info_url, sizeof retry_info_url - 1};

    enum err err = put_number(&duration, 1, delay_ms / 1000);
    if (!err)
        err = put_number(&duration, 2, (uint64_t)(delay_ms % 1000) * 1000000);
    if (!err)
        err = put_bytes(&info, 1, buf_bytes(&duration));
    if (!err)
        err = put_bytes(&any, 1, url);
    if (!err)
        err = put_bytes(&any, 2, buf_bytes(&info));
    return err ? err : put_bytes(out, 3, buf_bytes(&any));
}

enum err grpc_encode_status(enum grpc_status status, const char *message, uint32_t retry_delay_ms,
                            struct buf *out)
{
    if (message == NULL)
        message = "";
    enum err err = put_number(out, 1, (uint64_t)status);
    if (!err)
        err = put_bytes(out, 2, bytes_from(message));
    if (!err && retry_delay_ms > 0)
        err = put_retry_info(out, retry_delay_ms);
    return err;
}

struct field {
    uint64_t number, value; /* value: of a varint, else 0 */
    struct bytes data;      /* of WIRE_BYTES, else empty */
};

static bool take_varint(struct bytes *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->len > 0; shift += 7) {
        uint8_t byte = *in->data;
        in->data++;
        in->len--;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool take_bytes(struct bytes *in, uint64_t len, struct bytes *ret_data)
{
    if (len > in->len)
        return false;
    *ret_data = (struct bytes){in->data, (size_t)len};
    in->data += len;
    in->len -= (size_t)len;
    return true;
}

static bool take_field(struct bytes *in, struct field *ret_field)
{
    uint64_t tag, len;
    struct field field = {0};
    struct bytes skipped;
    bool whole = false;

    if (!take_varint(in, &tag))
        return false;
    field.number = tag >> 3;
    switch (tag & 7) {
    case WIRE_VARINT:
        whole = take_varint(in, &field.value);
        break;
    case WIRE_BYTES:
        whole = take_varint(in, &len) && take_bytes(in, len, &field.data);
        break;
    case WIRE_64:
        whole = take_bytes(in, 8, &skipped);
        break;
    case WIRE_32:
        whole = take_bytes(in, 4, &skipped);
        break;
    default: /* groups are not used here */
        break;
    }
    *ret_field = field;
    return whole;
}

/* The last field of that number, as protobuf has it. */
static enum err find_field(struct bytes message, uint64_t number, struct field *ret_field)
{
    enum err err = ERR_NOTFOUND;
    while (message.len > 0) {
        struct field field;
        if (!take_field(&message, &field))
            return ERR_INVALID;
        if (field.number != number)
            continue;
        *ret_field = field;
        err = OK;
    }
    return err;
}

static enum err read_delay(struct bytes retry_info, uint32_t *ret_delay_ms)
{
    struct field duration = {0}, seconds = {0}, nanos = {0};

    if (find_field(retry_info, 1, &duration) == ERR_INVALID ||
        find_field(duration.data, 1, &seconds) == ERR_INVALID ||
        find_field(duration.data, 2, &nanos) == ERR_INVALID)
        return ERR_INVALID;

    int64_t s = (int64_t)seconds.value, ns = (int64_t)nanos.value;
    if (s < 0 || ns < 0) {
        *ret_delay_ms = 0;
    } else if (s > UINT32_MAX / 1000 || ns >= 1000000000) {
        *ret_delay_ms = UINT32_MAX;
    } else {
        int64_t ms = s * 1000 + ns / 1000000;
        *ret_delay_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
    }
    return OK;
}

static bool is_retry_info(struct bytes url)
{
    static const char name[] = "/google.rpc.RetryInfo"; /* whatever host it is said to live on */
    size_t len = sizeof name - 1;
    return url.len >= len && memcmp(url.data + url.len - len, name, len) == 0;
}

enum err grpc_decode_retry_delay(struct bytes status, uint32_t *ret_delay_ms)
{
    while (status.len > 0) {
        struct field detail, url = {0}, value = {0};
        if (!take_field(&status, &detail))
            return ERR_INVALID;
        if (detail.number != 3)
            continue;
        if (find_field(detail.data, 1, &url) == ERR_INVALID ||
            find_field(detail.data, 2, &value) == ERR_INVALID)
            return ERR_INVALID;
        if (is_retry_info(url.data))
            return read_delay(value.data, ret_delay_ms);
    }
    return ERR_NOTFOUND;
}
