/* What of a server's answer is kept with its call: header fields, trailers and the reply's bytes.
 */
#include "sidecar/net/client_internal.h"

#include "common/base64.h"

#include <string.h>

enum { TEXT_MAX = 8 * 1024 }; /* of grpc-message and of the details, decoded */

static unsigned parse_number(struct bytes text, unsigned limit)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return limit;
        number = number * 10 + (unsigned)(text.data[i] - '0');
        if (number >= limit)
            return limit;
    }
    return (unsigned)number;
}

/* A text that can't be had is left out: the status says enough. */
static void take_text(struct buf *into, struct bytes value,
                      enum err (*decode)(struct bytes text, struct buf *out))
{
    buf_clear(into);
    into->max = TEXT_MAX;
    if (decode(value, into) != OK && decode == base64_decode)
        buf_clear(into);
}

static unsigned parse_encodings(struct bytes list)
{
    unsigned found = 1u << COMPRESSION_NONE;

    while (list.len > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.len);
        struct bytes name = {list.data, comma == NULL ? list.len : (size_t)(comma - list.data)};
        enum compression compression = COMPRESSION_NONE;
        size_t skip = name.len + (comma != NULL);
        while (name.len > 0 && name.data[0] == ' ')
            name = (struct bytes){name.data + 1, name.len - 1};
        while (name.len > 0 && name.data[name.len - 1] == ' ')
            name.len--;
        if (compression_parse(name, &compression) == OK)
            found |= 1u << compression;
        list = (struct bytes){list.data + skip, list.len - skip};
    }
    return found;
}

void call_take_header(struct grpc_call *call, struct bytes name, struct bytes value)
{
    enum { STATUS_BEYOND = 1000, SECONDS_MAX = UINT32_MAX / 1000 };

    if (bytes_equal(name, BYTES_LITERAL(":status"))) {
        call->http_status = parse_number(value, STATUS_BEYOND);
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-status"))) {
        call->grpc_status = (int)parse_number(value, STATUS_BEYOND);
        if (call->grpc_status > GRPC_UNAUTHENTICATED || value.len == 0)
            call->grpc_status = GRPC_UNKNOWN;
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-message"))) {
        take_text(&call->message, value, grpc_percent_decode);
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-status-details-bin"))) {
        take_text(&call->details, value, base64_decode);
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-encoding"))) {
        if (compression_parse(value, &call->encoding))
            call->encoding = COMPRESSION_NONE; /* a compressed reply is then one we can't read */
    } else if (bytes_equal(name, BYTES_LITERAL("grpc-accept-encoding"))) {
        call->accepts |= parse_encodings(value); /* may come in several fields */
    } else if (bytes_equal(name, BYTES_LITERAL("retry-after"))) {
        unsigned seconds = parse_number(value, SECONDS_MAX);
        call->has_retry_after = value.len > 0 && seconds < SECONDS_MAX; /* not as a date */
        call->retry_after_ms = call->has_retry_after ? seconds * 1000 : 0;
    }
}

void call_take_data(struct grpc_call *call, struct bytes data)
{
    if (call->oversize)
        return;
    call->body.max = call->client->options.reply_max + GRPC_PREFIX_SIZE;
    if (buf_append(&call->body, data)) {
        call->oversize = true; /* the status may still come, and counts for more than the reply */
        buf_clear(&call->body);
    }
}

void call_start_over(struct grpc_call *call)
{
    call->sent = call->part = call->part_at = call->prefix_at = 0;
    call->http_status = 0;
    call->grpc_status = -1;
    call->ended = call->oversize = call->has_retry_after = false;
    call->retry_after_ms = 0;
    call->accepts = 0;
    call->encoding = COMPRESSION_NONE;
    buf_clear(&call->message);
    buf_clear(&call->details);
    buf_clear(&call->body);
}
