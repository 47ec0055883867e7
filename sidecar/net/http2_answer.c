/* nghttp2 copies a header at once and asks for the body when the stream may send: body and trailers
 * are kept in the request until then. */
#include "sidecar/net/http2_answer.h"

#include "common/assert.h"
#include "sidecar/net/http2.h"
#include "sidecar/net/server_internal.h"

static int submit_trailers(nghttp2_session *session, struct net_request *request)
{
    nghttp2_nv fields[NET_FIELDS_MAX];
    const char *at = (const char *)request->reply.data + request->reply_body_len;

    for (unsigned i = 0; i < request->trailer_count; i++) {
        const char *value = at + strlen(at) + 1;
        fields[i] = http2_field(at, value);
        at = value + strlen(value) + 1;
    }
    return nghttp2_submit_trailer(session, request->stream_id, fields, request->trailer_count);
}

static ssize_t read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *into, size_t cap,
                          uint32_t *data_flags, nghttp2_data_source *source, void *user_data)
{
    struct net_request *request = source->ptr;
    size_t n = request->reply_body_len - request->reply_at;

    (void)stream_id;
    (void)user_data;
    if (n > cap)
        n = cap;
    if (n > 0)
        memcpy(into, request->reply.data + request->reply_at, n);
    request->reply_at += n;
    if (request->reply_at < request->reply_body_len)
        return (ssize_t)n;
    *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    if (request->trailer_count > 0) {
        *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (submit_trailers(session, request) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

/* The body and the trailers, which are sent later than this call. */
static enum err keep_reply(struct net_request *request, const struct net_response *response)
{
    struct buf *reply = &request->reply;

    enum err err = buf_append(reply, response->body);
    for (size_t i = 0; !err && i < response->trailer_count; i++) {
        const struct net_field *field = &response->trailers[i];
        err = buf_append(reply,
                         (struct bytes){(const uint8_t *)field->name, strlen(field->name) + 1});
        if (!err)
            err = buf_append(
                reply, (struct bytes){(const uint8_t *)field->value, strlen(field->value) + 1});
    }
    request->reply_body_len = response->body.len;
    request->trailer_count = (unsigned)response->trailer_count;
    return err;
}

enum err http2_answer(nghttp2_session *session, struct net_request *request,
                      const struct net_response *response)
{
    nghttp2_nv fields[1 + NET_FIELDS_MAX];
    nghttp2_data_provider provider = {.source.ptr = request, .read_callback = read_reply};
    const char status[] = {(char)('0' + response->status / 100),
                           (char)('0' + response->status / 10 % 10),
                           (char)('0' + response->status % 10), '\0'};
    bool has_data = response->body.len > 0 || response->trailer_count > 0;

    ASSERT(response->status >= 200);
    ASSERT(response->status < 600);
    if (keep_reply(request, response))
        return ERR_NOMEM;
    fields[0] = http2_field(":status", status);
    for (size_t i = 0; i < response->header_count; i++)
        fields[1 + i] = http2_field(response->headers[i].name, response->headers[i].value);
    bool submitted =
        nghttp2_submit_response(session, request->stream_id, fields, 1 + response->header_count,
                                has_data ? &provider : NULL) == 0;
    return submitted ? OK : ERR_NOMEM;
}
