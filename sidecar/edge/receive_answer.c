#include "sidecar/edge/receive_answer.h"

#include "common/metrics.h"
#include "sidecar/edge/receive.h"
#include "sidecar/net/grpc_server.h"

#include <ctype.h>
#include <stdio.h>

static const struct {
    const char *label;
    enum grpc_status grpc;
    unsigned http;
    bool again;
} refusals[] = {
#define X(name, label_, grpc_, http_, again_) \
    [name] = {.label = (label_), .grpc = (grpc_), .http = (http_), .again = (again_)},
    REFUSALS(X)
#undef X
};

static const struct metric_desc refused_desc = {
    .name = "surgetank_edge_refused_requests_total",
    .kind = METRIC_COUNTER,
    .help = "OTLP requests that were refused, by reason. Clients give up after a while: what is "
            "refused for long is lost there.",
    .labels = {"signal", "protocol", "reason"}};

enum refusal refusal_of_spool(enum err err)
{
    if (err == ERR_FULL)
        return REFUSED_SPOOL_FULL;
    if (err == ERR_AGAIN)
        return REFUSED_BUSY;
    if (err == ERR_INVALID)
        return REFUSED_TOO_LARGE;
    if (err == ERR_NOMEM)
        return REFUSED_MEMORY;
    if (err == ERR_CLOSED)
        return REFUSED_STOPPING;
    return REFUSED_FAILED;
}

enum refusal refusal_of_grpc(enum grpc_status status)
{
    if (status == GRPC_RESOURCE_EXHAUSTED)
        return REFUSED_TOO_LARGE;
    if (status == GRPC_UNAVAILABLE)
        return REFUSED_MEMORY;
    if (status == GRPC_UNIMPLEMENTED)
        return REFUSED_ENCODING;
    return status == GRPC_INVALID_ARGUMENT ? REFUSED_MALFORMED : REFUSED_FRAMING;
}

/* Of those refusals of the server that reach a handler; the others count as want of memory. */
static const struct net_meaning {
    enum refusal refusal;
    const char *sentence;
} net_meanings[NET_REFUSAL_COUNT] = {
    [NET_REFUSED_BY_HANDLER] = {REFUSED_UNAUTHENTICATED,
                                "send 'authorization: Bearer TOKEN' with the token of this edge"},
    [NET_REFUSED_BODY_SIZE] = {REFUSED_TOO_LARGE,
                               "the request is larger than maxRequestBytes; send smaller batches"},
    [NET_REFUSED_DECOMPRESSED_SIZE] = {REFUSED_TOO_LARGE, "the request is larger than "
                                                          "maxRequestBytes; send smaller batches"},
    [NET_REFUSED_ENCODING] = {REFUSED_ENCODING,
                              "content-encoding is not one of gzip, zstd, deflate, identity"},
    [NET_REFUSED_CORRUPT] = {REFUSED_MALFORMED, "the body is not what its content-encoding says"},
    [NET_REFUSED_MEMORY] = {REFUSED_MEMORY, "too many bytes are in flight; try again"},
};

static const struct net_meaning *net_meaning(enum net_refusal refusal)
{
    return &net_meanings[net_meanings[refusal].sentence != NULL ? refusal : NET_REFUSED_MEMORY];
}

enum refusal refusal_of_net(enum net_refusal refusal)
{
    return net_meaning(refusal)->refusal;
}

void answer_net_refusal(const struct answer *answer, struct net_request **request,
                        enum net_refusal refusal)
{
    const struct net_meaning *meaning = net_meaning(refusal);

    answer_refusal(answer, request, meaning->refusal, meaning->sentence);
}

enum answer_protocol answer_protocol(const struct answer *answer)
{
    if (answer->grpc)
        return PROTOCOL_GRPC;
    return answer->encoding == OTLP_JSON ? PROTOCOL_HTTP_JSON : PROTOCOL_HTTP_PROTO;
}

const char *answer_protocol_name(enum answer_protocol protocol)
{
    static const char *const names[] = {
#define X(name, label) [name] = (label),
        ANSWER_PROTOCOLS(X)
#undef X
    };
    return names[protocol];
}

static void count_refusal(const struct answer *answer, enum refusal refusal)
{
    const char *signal = answer->no_signal ? "" : signal_name(answer->signal);

    metric_add(metrics_series(&refused_desc, signal, answer_protocol_name(answer_protocol(answer)),
                              refusals[refusal].label),
               1);
}

/* ---- HTTP */

enum { HEADERS_MAX = 8, CORS_HEADERS_MAX = 1024 };

struct fields {
    struct net_field list[HEADERS_MAX];
    size_t count;
};

static void put_field(struct fields *fields, const char *name, const char *value)
{
    fields->list[fields->count++] = (struct net_field){name, value};
}

static void put_origin(struct fields *fields, const struct answer *answer)
{
    if (answer->allow_origin != NULL) {
        put_field(fields, "access-control-allow-origin", answer->allow_origin);
        put_field(fields, "access-control-expose-headers", "retry-after");
    }
    if (answer->vary_origin)
        put_field(fields, "vary", "origin");
}

static void send_http(const struct answer *answer, struct net_request **request, unsigned status,
                      struct fields *fields, struct bytes body)
{
    put_field(fields, "content-type", otlp_content_type(answer->encoding));
    put_origin(fields, answer);
    const struct net_response response = {
        .status = status, .headers = fields->list, .header_count = fields->count, .body = body};
    net_respond(request, &response);
}

/* What the reason wants beside its status. */
static void put_advice(struct fields *fields, enum refusal refusal)
{
    if (refusals[refusal].again)
        put_field(fields, "retry-after", RECEIVE_RETRY_AFTER);
    if (refusal == REFUSED_METHOD)
        put_field(fields, "allow", "POST, OPTIONS");
    if (refusal == REFUSED_UNAUTHENTICATED)
        put_field(fields, "www-authenticate", "Bearer");
    if (refusal == REFUSED_ENCODING)
        put_field(fields, "accept-encoding", "gzip, zstd, deflate, identity");
}

void answer_success(const struct answer *answer, struct net_request **request,
                    const struct otlp_response *partial)
{
    struct fields fields = {.count = 0};
    AUTO(buf_fini) struct buf body = {0};
    struct bytes reply = answer->encoding == OTLP_JSON ? BYTES_LITERAL("{}") : (struct bytes){0};

    if (partial != NULL) {
        if (otlp_response_encode(answer->signal, partial, answer->encoding, &body) == OK)
            reply = buf_bytes(&body); /* else a full success, which loses no more */
    }
    if (answer->grpc)
        grpc_respond(request, &(struct grpc_reply){.status = GRPC_OK, .body = reply});
    else
        send_http(answer, request, 200, &fields, reply);
}

void answer_refusal(const struct answer *answer, struct net_request **request, enum refusal refusal,
                    const char *sentence)
{
    bool again = refusals[refusal].again;
    struct fields fields = {.count = 0};

    count_refusal(answer, refusal);
    if (answer->grpc) {
        const struct grpc_reply reply = {.status = refusals[refusal].grpc,
                                         .message = sentence,
                                         .retry_delay_ms = again ? RECEIVE_RETRY_MS : 0};
        grpc_respond(request, &reply);
        return;
    }

    struct otlp_status status = {.code = (int32_t)refusals[refusal].grpc,
                                 .has_retry_delay = again,
                                 .retry_delay_ms = again ? RECEIVE_RETRY_MS : 0};
    AUTO(buf_fini) struct buf body = {0};
    snprintf(status.message, sizeof status.message, "%s", sentence);
    if (otlp_status_encode(&status, answer->encoding, &body))
        buf_clear(&body); /* the status line still says it */
    put_advice(&fields, refusal);
    send_http(answer, request, refusals[refusal].http, &fields, buf_bytes(&body));
}

/* The headers that the page wants to send, as they were asked for: what they say is not looked at,
 * and no cookie opens anything here. NULL: not a list of names. */
static const char *asked_headers(const struct net_request *request, struct buf *text)
{
    struct bytes asked = net_request_header(request, NET_HEADER_CORS_HEADERS);

    if (asked.len == 0 || asked.len > CORS_HEADERS_MAX || buf_append(text, asked))
        return NULL;
    for (size_t i = 0; i < asked.len; i++)
        if (!isalnum(asked.data[i]) && memchr("-_, ", asked.data[i], 4) == NULL)
            return NULL;
    return buf_text(text);
}

void answer_preflight(const struct answer *answer, struct net_request **request)
{
    AUTO(buf_fini) struct buf text = {0};
    const char *headers = asked_headers(*request, &text);
    struct fields fields = {.count = 0};

    if (headers == NULL)
        headers = "content-type, content-encoding, authorization";
    put_origin(&fields, answer);
    put_field(&fields, "access-control-allow-methods", "POST");
    put_field(&fields, "access-control-allow-headers", headers);
    put_field(&fields, "access-control-max-age", "7200");
    const struct net_response response = {
        .status = 204, .headers = fields.list, .header_count = fields.count};
    net_respond(request, &response);
}
