/* A request is answered on its loop's thread. While the spool has it, a struct pending stands for
 * it: the committer's thread leaves the result there and posts it back. What routes cut into
 * several is one append all the same, stored whole or not at all: after a failure clients send all
 * of it again, and nothing of it must be there already. */
#include "sidecar/edge/receive.h"

#include "common/assert.h"
#include "common/clock.h"
#include "sidecar/edge/receive_answer.h"
#include "sidecar/edge/receive_kafka.h"
#include "sidecar/edge/receive_metrics.h"
#include "sidecar/edge/receive_queue.h"
#include "sidecar/edge/receive_tokens.h"
#include "sidecar/edge/refine.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/status.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/pods/pods.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { MADE_KEPT = 1 << 20 }; /* bytes, for the next request */

/* One listening port and what is particular to it. */
struct port {
    struct receive *receive;
    struct net_server *server;
    size_t body_max;
    bool drained;
};

struct receive {
    struct receive_options options;
    struct net_loop *loop;
    struct port grpc, http;
    struct buf made;      /* protobuf made of the JSON at hand, or of what is sound in a request */
    struct pending *idle; /* for reuse */
    struct receive_queue queue;
    struct receive_kafka kafka[SIGNAL_COUNT]; /* SPOOL_ACK_REPLICATED only */
    struct receive_metrics metrics;
    _Atomic size_t in_spool;
    void (*drained)(void *context);
    void *drained_context;
};

/* A request that the spool has. The waiter is lent to the spool until done. */
struct pending {
    struct spool_waiter waiter;
    struct net_task done;
    struct receive_kafka_call call;
    bool given;  /* to the spool, which will answer */
    bool failed; /* for this reason */
    enum refusal refusal;
    struct error error;

    struct receive *receive;
    struct net_request *request; /* NULL: its client has been told not to wait any longer */
    struct pending *next;
    struct answer answer;
    uint64_t since_ns;
    uint32_t items;
    uint64_t bytes;
    struct otlp_response *partial; /* what was left out; NULL: nothing */
    struct process_counts counts;
};

/* ---- into the spool and back */

static struct pending *take_pending(struct receive *receive)
{
    struct pending *pending = receive->idle;
    if (pending == NULL)
        return calloc(1, sizeof *pending);
    receive->idle = pending->next;
    return pending;
}

static void give_pending(struct pending *pending)
{
    free(pending->partial);
    pending->partial = NULL;
    pending->next = pending->receive->idle;
    pending->receive->idle = pending;
}

static void fail(struct pending *pending, enum refusal refusal, enum err err,
                 const struct error *error)
{
    pending->failed = true;
    pending->refusal = refusal;
    pending->error = error != NULL ? *error : (struct error){.code = err};
}

/* Back on the loop's thread: the spool has decided. */
static void finish(struct pending *pending)
{
    struct receive *receive = pending->receive;
    struct net_request *request = pending->request;

    if (pending->given && receive->options.ack == SPOOL_ACK_REPLICATED)
        receive_kafka_ended(&receive->kafka[pending->answer.signal], &pending->call,
                            !pending->failed);
    if (!pending->failed)
        process_count(&pending->counts);
    if (request == NULL) {
        give_pending(pending);
        return;
    }
    if (!pending->failed) {
        receive_metrics_accept(&receive->metrics, &pending->answer, pending->items, pending->bytes,
                               (double)(clock_mono_ns() - pending->since_ns) / 1e9);
        if (pending->partial != NULL)
            receive_metrics_reject(&pending->answer, (uint32_t)pending->partial->rejected);
        answer_success(&pending->answer, &request, pending->partial);
    } else {
        answer_refusal(&pending->answer, &request, pending->refusal, pending->error.text);
    }
    give_pending(pending);
}

static void finish_and_look(struct net_task *task)
{
    struct pending *pending = CONTAINER_OF(task, struct pending, done);
    struct receive *receive = pending->receive;

    finish(pending);
    receive_queue_look(&receive->queue);
}

static void give_up(struct receive_kafka_call *call)
{
    struct pending *pending = CONTAINER_OF(call, struct pending, call);

    answer_refusal(&pending->answer, &pending->request, REFUSED_KAFKA_AWAY,
                   "Kafka acknowledges nothing; this is stored and goes there when it does, so "
                   "that it is there twice if it is sent again");
}

/* The committer's thread. */
static void spooled(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct pending *pending = CONTAINER_OF(waiter, struct pending, waiter);
    struct receive *receive = pending->receive;

    if (err)
        fail(pending, refusal_of_spool(err), err, error);
    else if (receive->options.stored != NULL)
        receive->options.stored(receive->options.context);
    pending->done.run = finish_and_look;
    net_loop_post(receive->loop, &pending->done);
    atomic_fetch_sub(&receive->in_spool, 1); /* the last touch: see receive_close() */
}

/* All that is left of the request, for whatever topics. A failure is noted here. */
static enum err append(void *context, const struct refined *refined, struct error *error)
{
    struct pending *pending = context;
    struct receive *receive = pending->receive;
    const struct spool_request request = {.lane = pending->answer.signal,
                                          .parts = refined->slices,
                                          .part_count = refined->slice_count,
                                          .items = refined->items,
                                          .cuts = refined->cuts,
                                          .cut_count = refined->cut_count};

    pending->bytes = refined->size_bytes;
    pending->waiter.done = spooled;
    pending->waiter.ack = receive->options.ack;
    enum err err = spool_append(receive->options.spool, &request, &pending->waiter, error);
    if (err) {
        fail(pending, refusal_of_spool(err), err, error);
        return err;
    }
    pending->given = true;
    if (receive->options.ack != SPOOL_ACK_REPLICATED)
        return OK;
    receive_kafka_began(&receive->kafka[request.lane], &pending->call);
    if (receive->options.stored != NULL)
        receive->options.stored(receive->options.context);
    return OK;
}

static bool is_local(const struct receive *receive, const struct net_request *request)
{
    const char *peer = net_request_peer(request);
    return receive->options.all_local || strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0;
}

/* The pod of this node that has the peer's address, if it is known. */
static struct pod *sender_of(const struct receive *receive, const struct net_request *request)
{
    struct pods *pods = receive->options.pods;
    return pods == NULL ? NULL : pods_by_address(pods, net_request_peer(request));
}

/* Hands the checked message to the spool. Ends `partial`. */
static void store(struct receive *receive, struct net_request *request, const struct answer *answer,
                  struct bytes message, uint32_t items, struct otlp_response **partial)
{
    AUTO(pod_unref) struct pod *pod = sender_of(receive, request);
    const struct stamp *stamp = pod != NULL                  ? pod->stamp
                                : is_local(receive, request) ? receive->options.limits.stamp_local
                                                             : receive->options.limits.stamp_remote;
    struct error error = {0};

    if (receive_kafka_is_away(&receive->kafka[answer->signal])) {
        answer_refusal(answer, &request, REFUSED_KAFKA_AWAY,
                       "Kafka acknowledges nothing, and this edge answers when it has; try again");
        return;
    }
    struct pending *pending = take_pending(receive);
    if (pending == NULL) {
        answer_refusal(answer, &request, REFUSED_MEMORY, "no memory for another request");
        return;
    }
    *pending = (struct pending){.receive = receive,
                                .request = request,
                                .answer = *answer,
                                .since_ns = clock_mono_ns(),
                                .items = items};
    MOVE(pending->partial, *partial);
    atomic_fetch_add(&receive->in_spool, 1);
    enum err err = refine_run(receive->options.limits.refine, answer->signal, message, items, stamp,
                              spool_request_max(receive->options.spool), append, pending,
                              &pending->counts, &error);
    net_request_drop_body(request); /* the spool has its copy */
    if (pending->given)
        return;
    if (err && !pending->failed)
        fail(pending, err == ERR_FULL ? REFUSED_TOO_LARGE : refusal_of_spool(err), err, &error);
    atomic_fetch_sub(&receive->in_spool, 1); /* refused, or nothing was left of it */
    finish(pending);
}

/* Takes out of a refused request the items that are at fault, so that the others are not lost with
 * them. NULL: nothing would be left, or the fault is not in an item. */
static struct otlp_response *sift(struct receive *receive, enum signal signal, struct bytes message,
                                  const char *fault, struct otlp_summary *ret_summary)
{
    AUTO(otlp_slices_fini) struct otlp_slices sound = {0};
    uint32_t kept = 0, rejected = 0;

    if (otlp_sift(signal, message, &sound, &kept, &rejected, NULL) || kept == 0 || rejected == 0)
        return NULL;
    buf_clear(&receive->made);
    receive->made.max = message.len;
    if (otlp_slices_append_to(&sound, &receive->made) ||
        otlp_walk(signal, buf_bytes(&receive->made), NULL, ret_summary, NULL))
        return NULL;
    struct otlp_response *partial = malloc(sizeof *partial);
    if (partial == NULL)
        return NULL;
    *partial = (struct otlp_response){.partial = true, .rejected = rejected};
    snprintf(partial->message, sizeof partial->message,
             "malformed items were left out; the first: %.400s", fault);
    return partial;
}

/* Checks the protobuf message and stores it; an empty one is a success with nothing to store. */
static void take_in(struct receive *receive, struct net_request *request,
                    const struct answer *answer, struct bytes message)
{
    struct otlp_response *partial = NULL;
    struct otlp_summary summary;
    struct error error = {0};

    enum err err = otlp_walk(answer->signal, message, NULL, &summary, &error);
    if (err) {
        partial = sift(receive, answer->signal, message, error.text, &summary);
        message = buf_bytes(&receive->made);
    }
    if (err && partial == NULL)
        answer_refusal(answer, &request, REFUSED_MALFORMED, error.text);
    else if (summary.items == 0)
        answer_success(answer, &request, NULL);
    else
        store(receive, request, answer, message, summary.items, &partial);
    free(partial);
}

/* ---- gRPC */

static bool signal_of_service(struct bytes path, enum signal *ret_signal)
{
    static const char *const paths[SIGNAL_COUNT] = {
        [SIGNAL_TRACES] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        [SIGNAL_METRICS] = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        [SIGNAL_LOGS] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    };
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        if (bytes_equal(path, (struct bytes){(const uint8_t *)paths[i], strlen(paths[i])})) {
            *ret_signal = (enum signal)i;
            return true;
        }
    }
    return false;
}

static void serve_grpc(struct port *port, struct net_request *request)
{
    struct receive *receive = port->receive;
    struct answer answer = {.grpc = true, .encoding = OTLP_PROTO};
    enum grpc_status status = GRPC_OK;
    struct error error = {0};

    bool known = signal_of_service(net_request_path(request), &answer.signal);
    answer.no_signal = !known;
    if (net_request_refusal(request) == NET_REFUSED_MEMORY) { /* and its path may not be whole */
        answer_net_refusal(&answer, &request, NET_REFUSED_MEMORY);
    } else if (!known) {
        answer_refusal(&answer, &request, REFUSED_NO_SUCH_PATH,
                       "this server has the OTLP trace, metrics and logs services");
    } else if (net_request_refusal(request) == NET_REFUSED_BY_HANDLER) {
        answer_net_refusal(&answer, &request, NET_REFUSED_BY_HANDLER);
    } else if (!receive->options.serves[answer.signal]) {
        answer_refusal(&answer, &request, REFUSED_NOT_READ,
                       "no gateway of this pipeline reads this signal");
    } else if (grpc_request_open(request, port->body_max, &status, &error)) {
        answer_refusal(&answer, &request, refusal_of_grpc(status), error.text);
    } else {
        take_in(receive, request, &answer, net_request_body(request));
    }
}

/* ---- HTTP */

static bool signal_of_path(struct bytes path, enum signal *ret_signal)
{
    static const char prefix[] = "/v1/";
    size_t skip = sizeof prefix - 1;

    if (path.len < skip || memcmp(path.data, prefix, skip) != 0)
        return false;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        const char *name = signal_name((enum signal)i);
        if (path.len - skip == strlen(name) && memcmp(path.data + skip, name, strlen(name)) == 0) {
            *ret_signal = (enum signal)i;
            return true;
        }
    }
    return false;
}

/* The Access-Control-Allow-Origin to answer with; NULL: none. */
static const char *allowed_origin(const struct receive *receive, const struct net_request *request)
{
    struct bytes origin = net_request_header(request, NET_HEADER_ORIGIN);

    for (size_t i = 0; origin.len > 0 && i < receive->options.limits.cors_origins_len; i++) {
        const char *allowed = receive->options.limits.cors_origins[i];
        if (strcmp(allowed, "*") == 0 ||
            (strlen(allowed) == origin.len && memcmp(allowed, origin.data, origin.len) == 0))
            return allowed;
    }
    return NULL;
}

/* A browser asks before it sends, without a token. */
static bool is_preflight(const struct net_request *request)
{
    return bytes_equal(net_request_method(request), BYTES_LITERAL("OPTIONS")) &&
           net_request_header(request, NET_HEADER_ORIGIN).len > 0;
}

/* Checks what HTTP adds around the message. False: it has been answered. */
static bool open_http(struct port *port, struct net_request **request, struct answer *answer)
{
    struct bytes method = net_request_method(*request);
    enum net_refusal refusal = net_request_refusal(*request);
    struct error error = {0};

    answer->allow_origin = allowed_origin(port->receive, *request);
    answer->vary_origin = port->receive->options.limits.cors_origins_len > 0;
    bool json =
        !otlp_encoding_of(net_request_header(*request, NET_HEADER_CONTENT_TYPE), &answer->encoding);
    if (json)
        answer->encoding = OTLP_JSON; /* a sentence that people can read */
    bool known = signal_of_path(net_request_path(*request), &answer->signal);
    answer->no_signal = !known;
    if (refusal == NET_REFUSED_MEMORY) { /* and its path, as its headers, may not be whole */
        answer_net_refusal(answer, request, refusal);
    } else if (!known) {
        answer_refusal(answer, request, REFUSED_NO_SUCH_PATH,
                       "there are /v1/traces, /v1/metrics and /v1/logs");
    } else if (is_preflight(*request) && answer->allow_origin != NULL) {
        answer_preflight(answer, request);
    } else if (!bytes_equal(method, BYTES_LITERAL("POST"))) {
        answer_refusal(answer, request, REFUSED_METHOD, "use POST");
    } else if (refusal != NET_REFUSED_NOT) {
        answer_net_refusal(answer, request, refusal);
    } else if (json) {
        answer_refusal(answer, request, REFUSED_CONTENT_TYPE,
                       "content-type must be application/x-protobuf or application/json");
    } else if (!port->receive->options.serves[answer->signal]) {
        answer_refusal(answer, request, REFUSED_NOT_READ,
                       "no gateway of this pipeline reads this signal");
    } else if (net_request_decode(*request, port->body_max, &refusal, &error)) {
        answer_refusal(answer, request, refusal_of_net(refusal), error.text);
    } else {
        return true;
    }
    return false;
}

static void serve_http(struct port *port, struct net_request *request)
{
    struct receive *receive = port->receive;
    struct answer answer = {.grpc = false};
    struct error error = {0};

    if (!open_http(port, &request, &answer))
        return;
    if (answer.encoding == OTLP_PROTO) {
        take_in(receive, request, &answer, net_request_body(request));
        return;
    }
    buf_clear(&receive->made);
    receive->made.max = port->body_max;
    enum err err =
        otlp_json_read(answer.signal, net_request_body(request), NULL, &receive->made, &error);
    if (err) {
        answer_refusal(&answer, &request,
                       err == ERR_FULL    ? REFUSED_TOO_LARGE
                       : err == ERR_NOMEM ? REFUSED_MEMORY
                                          : REFUSED_MALFORMED,
                       error.text);
        return;
    }
    net_request_drop_body(request); /* the text has served */
    take_in(receive, request, &answer, buf_bytes(&receive->made));
}

/* ---- the servers */

static void serve(void *ctx, struct net_request *request)
{
    struct port *port = ctx;
    struct buf *made = &port->receive->made;

    if (grpc_request_is_call(request))
        serve_grpc(port, request);
    else
        serve_http(port, request);
    if (made->cap > MADE_KEPT)
        buf_fini(made); /* the spool has its copy */
}

static void on_request(void *ctx, struct net_request *request)
{
    struct port *port = ctx;

    if (net_request_refusal(request) != NET_REFUSED_NOT ||
        !receive_queue_take(&port->receive->queue, port, request))
        serve(port, request);
}

static bool on_headers(void *ctx, struct net_request *request)
{
    const struct port *port = ctx;
    struct receive_tokens *tokens = port->receive->options.tokens;

    return tokens == NULL || is_preflight(request) ||
           receive_tokens_allow(tokens, net_request_header(request, NET_HEADER_AUTHORIZATION));
}

static void on_drained(void *ctx)
{
    struct port *port = ctx;
    struct receive *receive = port->receive;

    port->drained = true;
    if (receive->grpc.drained && receive->http.drained && receive->drained != NULL)
        receive->drained(receive->drained_context);
}

static enum err open_port(struct receive *receive, struct port *port, uint16_t number,
                          size_t body_max, struct error *error)
{
    struct net_server_options options;

    port->receive = receive;
    port->body_max = body_max;
    net_server_options_init(&options);
    if (receive->options.address != NULL)
        options.address = receive->options.address;
    options.port = number;
    options.tls = receive->options.tls;
    options.budget = receive->options.budget;
    options.ctx = port;
    options.on_request = on_request;
    options.on_headers = on_headers;
    options.on_drained = on_drained;
    options.body_max = body_max;
    options.memory_wait_ms = receive->options.wait_ms;
    return net_server_open(receive->loop, &options, &port->server, error);
}

enum err receive_open(struct net_loop *loop, const struct receive_options *options,
                      struct receive **ret_receive, struct error *error)
{
    AUTO(receive_close) struct receive *receive = calloc(1, sizeof *receive);
    if (receive == NULL)
        return error_set(error, ERR_NOMEM, "open OTLP receiver");
    receive->options = *options;
    receive->loop = loop;
    if (receive->options.wait_ms == 0)
        receive->options.wait_ms = RECEIVE_WAIT_MS;
    receive_queue_init(&receive->queue, loop, options->spool, receive->options.wait_ms, serve);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        receive_kafka_init(&receive->kafka[i], loop, receive->options.wait_ms, give_up);

    enum err err = open_port(receive, &receive->grpc, options->grpc_port,
                             options->limits.grpc_body_max, error);
    if (err)
        return error_prefix(error, err, "OTLP/gRPC");
    err = open_port(receive, &receive->http, options->http_port, options->limits.http_body_max,
                    error);
    if (err)
        return error_prefix(error, err, "OTLP/HTTP");
    MOVE(*ret_receive, receive);
    return OK;
}

static void set_body_max(struct port *port, size_t body_max)
{
    port->body_max = body_max;
    net_server_set_body_max(port->server, body_max);
}

void receive_change(struct receive *receive, const struct receive_limits *limits)
{
    receive->options.limits = *limits;
    set_body_max(&receive->grpc, limits->grpc_body_max);
    set_body_max(&receive->http, limits->http_body_max);
}

uint16_t receive_grpc_port(const struct receive *receive)
{
    return net_server_port(receive->grpc.server);
}

uint16_t receive_http_port(const struct receive *receive)
{
    return net_server_port(receive->http.server);
}

void receive_drain(struct receive *receive, uint64_t deadline_ms, void (*drained)(void *context),
                   void *context)
{
    receive->drained = drained;
    receive->drained_context = context;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        receive_kafka_hurry(&receive->kafka[i]);
    net_server_drain(receive->grpc.server, deadline_ms);
    net_server_drain(receive->http.server, deadline_ms);
}

void receive_stats(const struct receive *receive, struct receive_stats *ret_stats)
{
    net_server_stats(receive->grpc.server, &ret_stats->grpc);
    net_server_stats(receive->http.server, &ret_stats->http);
}

size_t receive_in_spool(const struct receive *receive)
{
    return receive_queue_count(&receive->queue) + atomic_load(&receive->in_spool);
}

void receive_close(struct receive **receive)
{
    struct receive *gone = *receive;
    if (gone == NULL)
        return;

    net_server_close(&gone->grpc.server);
    net_server_close(&gone->http.server);
    receive_queue_fini(&gone->queue);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        receive_kafka_fini(&gone->kafka[i]);
    buf_fini(&gone->made);
    while (gone->idle != NULL) {
        struct pending *pending = gone->idle;
        gone->idle = pending->next;
        free(pending);
    }
    free(gone);
    *receive = NULL;
}
