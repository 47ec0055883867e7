#include "sidecar/edge/receive_answer.h"

#include "common/metrics.h"
#include "sidecar/edge/receive.h"
#include "sidecar/net/grpc_server.h"

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

const char *answer_protocol(const struct answer *answer)
{
    if (answer->grpc)
        return "grpc";
    return answer->encoding == OTLP_JSON ? "http_json" : "http_proto";
}

static void count_refusal(const struct answer *answer, const char *reason)
{
    metric_add(
        metrics_series(&refused_desc, signal_name(answer->signal), answer_protocol(answer), reason),
        1);
}

/* Sends an HTTP answer with what its kind needs: content type, CORS, Retry-After. */
static void send_http(const struct answer *answer, struct net_request **request, unsigned status,
                      struct bytes body, bool again)
{
    struct net_field headers[4];
    size_t n = 0;

    headers[n++] = (struct net_field){"content-type", otlp_content_type(answer->encoding)};
    if (answer->allow_origin != NULL)
        headers[n++] = (struct net_field){"access-control-allow-origin", answer->allow_origin};
    if (again)
        headers[n++] = (struct net_field){"retry-after", "1"};
    if (status == 405)
        headers[n++] = (struct net_field){"allow", "POST"};
    const struct net_response response = {
        .status = status, .headers = headers, .header_count = n, .body = body};
    net_respond(request, &response);
}

void answer_success(const struct answer *answer, struct net_request **request)
{
    if (answer->grpc) {
        grpc_respond(request, &(struct grpc_reply){.status = GRPC_OK}); /* empty: full success */
        return;
    }
    send_http(answer, request, 200,
              answer->encoding == OTLP_JSON ? BYTES_LITERAL("{}") : (struct bytes){0}, false);
}

void answer_grpc_failure(const struct answer *answer, struct net_request **request,
                         enum grpc_status status, const char *sentence)
{
    const struct grpc_reply reply = {.status = status,
                                     .message = sentence,
                                     .retry_delay_ms =
                                         status == GRPC_UNAVAILABLE ? RECEIVE_RETRY_MS : 0};
    count_refusal(answer, grpc_status_name(status));
    grpc_respond(request, &reply);
}

void answer_refusal(const struct answer *answer, struct net_request **request, enum refusal refusal,
                    const char *sentence)
{
    bool again = refusals[refusal].again;

    count_refusal(answer, refusals[refusal].label);
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
    send_http(answer, request, refusals[refusal].http, buf_bytes(&body), again);
}

void answer_preflight(const struct answer *answer, struct net_request **request)
{
    const struct net_field headers[] = {
        {"access-control-allow-origin", answer->allow_origin},
        {"access-control-allow-methods", "POST"},
        {"access-control-allow-headers", "content-type, content-encoding, authorization"},
        {"access-control-max-age", "7200"},
    };
    const struct net_response response = {
        .status = 204, .headers = headers, .header_count = sizeof headers / sizeof headers[0]};
    net_respond(request, &response);
}
