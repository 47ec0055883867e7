#include "sidecar/net/grpc_server.h"

#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum { SMALL_REPLY = 512 };

#define ACCEPT_ENCODING "identity,gzip,zstd,deflate"

bool grpc_request_is_call(const struct net_request *request)
{
    return net_request_is_http2(request) &&
           bytes_equal(net_request_method(request), BYTES_LITERAL("POST")) &&
           grpc_is_content_type(net_request_header(request, NET_HEADER_CONTENT_TYPE));
}

/* ---- opening */

static enum grpc_status status_of(enum net_refusal refusal)
{
    if (refusal == NET_REFUSED_BODY_SIZE || refusal == NET_REFUSED_DECOMPRESSED_SIZE)
        return GRPC_RESOURCE_EXHAUSTED;
    if (refusal == NET_REFUSED_CORRUPT)
        return GRPC_INVALID_ARGUMENT;
    return refusal == NET_REFUSED_ENCODING ? GRPC_UNIMPLEMENTED : GRPC_UNAVAILABLE;
}

static enum err refused(enum net_refusal refusal, struct error *error)
{
    if (refusal == NET_REFUSED_BODY_SIZE)
        return error_set(error, ERR_FULL, "message is too large; send smaller batches");
    if (refusal == NET_REFUSED_MEMORY)
        return error_set(error, ERR_AGAIN, "too many bytes in flight; try again later");
    return error_set(error, ERR_AGAIN, "refused: %s", net_refusal_name(refusal));
}

static enum err open_compressed(struct net_request *request, size_t max,
                                enum grpc_status *ret_status, struct error *error)
{
    struct bytes name = net_request_header(request, NET_HEADER_GRPC_ENCODING);
    enum compression compression;
    enum net_refusal refusal = NET_REFUSED_NOT;

    if (compression_parse(name, &compression)) {
        *ret_status = GRPC_UNIMPLEMENTED;
        return error_set(error, ERR_INVALID,
                         "grpc-encoding '%.*s' is not known; use gzip, zstd, deflate or identity",
                         (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
    }
    if (compression == COMPRESSION_NONE) {
        *ret_status = GRPC_INTERNAL;
        return error_set(error, ERR_INVALID, "a compressed message without grpc-encoding");
    }
    enum err err = net_request_decompress(request, compression, max, &refusal, error);
    if (err)
        *ret_status = status_of(refusal);
    return err;
}

enum err grpc_request_open(struct net_request *request, size_t max, enum grpc_status *ret_status,
                           struct error *error)
{
    enum net_refusal refusal = net_request_refusal(request);
    bool compressed = false;
    struct bytes message;

    if (refusal != NET_REFUSED_NOT) {
        *ret_status = status_of(refusal);
        return refused(refusal, error);
    }
    enum err err = grpc_unframe(net_request_body(request), &compressed, &message, error);
    if (err) {
        *ret_status = GRPC_INTERNAL;
        return err;
    }
    net_request_skip(request, GRPC_PREFIX_SIZE);
    if (compressed)
        return open_compressed(request, max, ret_status, error);
    if (message.len > max) {
        *ret_status = GRPC_RESOURCE_EXHAUSTED;
        return error_set(error, ERR_FULL,
                         "message of %zu bytes is larger than %zu; send smaller "
                         "batches",
                         message.len, max);
    }
    return OK;
}

/* ---- answering */

static void respond_ok(struct net_request **request, struct bytes message)
{
    static const struct net_field headers[] = {{"content-type", "application/grpc"},
                                               {"grpc-accept-encoding", ACCEPT_ENCODING}};
    static const struct net_field trailers[] = {{"grpc-status", "0"}};
    uint8_t small[SMALL_REPLY], *memory = small;
    size_t len = GRPC_PREFIX_SIZE + message.len;

    ASSERT(len <= NET_RESPONSE_MAX);
    if (len > sizeof small)
        memory = malloc(len);
    if (memory == NULL) {
        const struct grpc_reply reply = {.status = GRPC_UNAVAILABLE, .message = "out of memory"};
        grpc_respond(request, &reply);
        return;
    }
    grpc_put_prefix(memory, false, (uint32_t)message.len);
    if (message.len > 0)
        memcpy(memory + GRPC_PREFIX_SIZE, message.data, message.len);
    const struct net_response response = {
        .status = 200,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = {memory, len},
        .trailers = trailers,
        .trailer_count = 1,
    };
    net_respond(request, &response);
    if (memory != small)
        free(memory);
}

/* As much of the text as may be sent, without cutting a UTF-8 sequence. */
static struct bytes cut(const char *text)
{
    size_t len = strnlen(text, GRPC_REPLY_MESSAGE_MAX + 1);
    if (len > GRPC_REPLY_MESSAGE_MAX)
        for (len = GRPC_REPLY_MESSAGE_MAX; len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80;)
            len--;
    return (struct bytes){(const uint8_t *)text, len};
}

static const char *encode_details(const struct grpc_reply *reply, struct buf *status,
                                  struct buf *out)
{
    if (grpc_encode_status(reply->status, reply->message, reply->retry_delay_ms, status) != OK ||
        grpc_base64_encode(buf_bytes(status), out) != OK)
        return NULL;
    return buf_text(out);
}

/* A Trailers-Only answer. Out of memory, it loses its text and keeps its status. */
void grpc_respond(struct net_request **request, const struct grpc_reply *reply)
{
    struct net_field headers[5] = {{"content-type", "application/grpc"},
                                   {"grpc-accept-encoding", ACCEPT_ENCODING}};
    size_t count = 2;
    char number[8];
    AUTO(buf_fini) struct buf message = {0}, status = {0}, details = {0};
    const char *text = NULL;

    if (reply->status == GRPC_OK) {
        respond_ok(request, reply->body);
        return;
    }
    snprintf(number, sizeof number, "%d", (int)reply->status);
    headers[count++] = (struct net_field){"grpc-status", number};
    if (reply->message != NULL && grpc_percent_encode(cut(reply->message), &message) == OK)
        text = buf_text(&message);
    if (text != NULL)
        headers[count++] = (struct net_field){"grpc-message", text};
    if (reply->retry_delay_ms > 0) {
        text = encode_details(reply, &status, &details);
        if (text != NULL)
            headers[count++] = (struct net_field){"grpc-status-details-bin", text};
    }
    const struct net_response response = {.status = 200, .headers = headers, .header_count = count};
    net_respond(request, &response);
}
