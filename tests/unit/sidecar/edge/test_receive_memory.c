/* Promise: when memory runs out, a request is taken whole, or refused so that clients send it
 * again, or its connection ends; success is never said of what is not stored, and the next request
 * is served. Every allocation that a request takes fails in turn, from its connection on. */
// link: tests/support/fault_alloc.c tests/support/net_peer.c tests/support/numbered.c
// link: tests/support/processors.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "common/compress.h"
#include "sidecar/edge/receive.h"
#include "sidecar/edge/refine.h"
#include "sidecar/net/grpc.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/spool/reader.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/net_peer.h"
#include "tests/support/numbered.h"
#include "tests/support/processors.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20, ITEMS = 3, ALLOCATIONS_MAX = 1000, ANSWER_MAX = 8192 };

static char dir[] = "/tmp/surgetank-memory-XXXXXX";

static struct edge {
    struct net_loop *loop;
    struct net_budget budget;
    struct stamp *stamp;
    struct refine *refine;
    struct spool *spool;
    struct receive *receive;
} edge;

/* What came of one request. */
struct outcome {
    bool failed; /* an allocation did */
    int status;  /* of HTTP, or of gRPC; -1: no answer */
};

typedef struct outcome ask_fn(unsigned nth);

/* ---- the edge */

static void open_spool(void)
{
    const struct spool_config config = {
        .dir = dir, .size_bytes = 64 << 20, .save_interval_ms = 1000000};
    AUTO(pipeline_free)
    struct pipeline *pipeline =
        processors_pipeline("\n        - redact: {keys: [card]}\n",
                            "\n        - {when: 'severity == \"INFO\"', to: red-logs}\n");

    edge = (struct edge){.budget = {.max = 8 << 20, .scratch_max = 8 << 20}};
    assert_non_null(mkdtemp(dir));
    assert_ok(stamp_create(NULL, 0, &edge.stamp, NULL));
    assert_ok(refine_open(pipeline, &pipeline->edges[0], &edge.budget, &edge.refine, NULL));
    assert_ok(spool_open(&config, &edge.spool, NULL));
}

static void close_spool(void)
{
    char command[64];

    refine_close(&edge.refine);
    spool_close(&edge.spool);
    stamp_destroy(&edge.stamp);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void open_receive(void)
{
    const struct receive_options options = {
        .spool = edge.spool,
        .budget = &edge.budget,
        .ack = SPOOL_ACK_SYNCED,
        .address = "127.0.0.1",
        .limits = {.refine = edge.refine,
                   .grpc_body_max = BODY_MAX,
                   .http_body_max = BODY_MAX,
                   .stamp_local = edge.stamp,
                   .stamp_remote = edge.stamp},
        .serves = {[SIGNAL_LOGS] = true},
    };
    assert_ok(net_loop_create(&edge.loop, NULL));
    assert_ok(receive_open(edge.loop, &options, &edge.receive, NULL));
}

/* Until nobody waits for the spool, not even who has left. */
static void settle(void)
{
    for (int i = 0; i < 3000 && (i == 0 || receive_in_spool(edge.receive) > 0); i++)
        net_peer_run_for(edge.loop, 2);
    assert_int_equal(receive_in_spool(edge.receive), 0);
}

static void close_receive(void)
{
    settle();
    receive_close(&edge.receive);
    net_loop_destroy(&edge.loop);
    assert_int_equal(net_budget_used(&edge.budget), 0);
}

static uint64_t stored_items(void)
{
    struct spool_stats stats;
    spool_stats(edge.spool, &stats);
    return stats.lanes[SIGNAL_LOGS].items;
}

/* ---- clients, which allocate nothing themselves while the edge is short */

static void connect_to(struct net_peer *peer, uint16_t port)
{
    net_peer_connect(peer, edge.loop, port);
    assert_ok(buf_reserve(&peer->in, ANSWER_MAX));
}

static struct outcome ask_http(unsigned nth, const char *head, struct bytes body)
{
    AUTO(buf_fini) struct buf request = {0};
    struct outcome outcome = {.status = -1};
    struct net_peer peer;

    assert_ok(buf_printf(&request,
                         "POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s"
                         "Content-Length: %zu\r\n\r\n",
                         head, body.len));
    assert_ok(buf_append(&request, body));
    connect_to(&peer, receive_http_port(edge.receive));
    fault_alloc_fail_at(nth);
    net_peer_send(&peer, request.data, request.len);
    net_peer_await_end(&peer);
    outcome.failed = fault_alloc_has_failed();
    fault_alloc_fail_at(0);
    if (strncmp(net_peer_text(&peer), "HTTP/1.1 ", 9) == 0)
        outcome.status = (int)strtol(net_peer_text(&peer) + 9, NULL, 10);
    net_peer_close(&peer);
    return outcome;
}

/* The bytes of one gRPC call, and what its trailers say. */
struct call {
    struct buf message;
    size_t sent;
    int status;
    bool closed;
};

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *user)
{
    static const char wanted[] = "grpc-status";
    struct call *call = user;
    char text[8];
    (void)session;
    (void)frame;
    (void)flags;
    if (name_len != strlen(wanted) || memcmp(name, wanted, name_len) != 0)
        return 0;
    snprintf(text, sizeof text, "%.*s", (int)len, (const char *)value);
    call->status = (int)strtol(text, NULL, 10);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *user)
{
    struct call *call = user;
    (void)session;
    (void)stream_id;
    (void)code;
    call->closed = true;
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *into, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct call *call = user;
    size_t n = call->message.len - call->sent;
    (void)session;
    (void)stream_id;
    (void)source;
    n = n > cap ? cap : n;
    memcpy(into, call->message.data + call->sent, n);
    call->sent += n;
    if (call->sent == call->message.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

#define NV(n, v)                                                               \
    {                                                                          \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v), \
        .namelen = strlen(n), .valuelen = strlen(v)                            \
    }

static nghttp2_session *open_session(struct call *call, const char *encoding)
{
    static const char path[] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    const nghttp2_nv fields[] = {
        NV(":method", "POST"),
        NV(":scheme", "http"),
        NV(":path", path),
        NV(":authority", "x"),
        NV("te", "trailers"),
        NV("content-type", "application/grpc"),
        NV("grpc-encoding", encoding),
    };
    nghttp2_data_provider provider = {.read_callback = read_body};
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *session = NULL;

    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    assert_int_equal(nghttp2_session_client_new(&session, callbacks, call), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(session, 0, NULL, 0), 0);
    assert_true(nghttp2_submit_request(session, NULL, fields, sizeof fields / sizeof fields[0],
                                       &provider, NULL) > 0);
    return session;
}

/* Carries bytes both ways until the call or its connection has ended. */
static void carry(nghttp2_session *session, struct net_peer *peer, const struct call *call)
{
    for (int i = 0; i < 60000 && !call->closed && !peer->ended; i++) {
        const uint8_t *data;
        ssize_t n;
        while ((n = nghttp2_session_mem_send(session, &data)) > 0)
            net_peer_send(peer, data, (size_t)n);
        net_loop_run_once(edge.loop, 1);
        while (net_peer_take(peer))
            ;
        assert_true(nghttp2_session_mem_recv(session, peer->in.data, peer->in.len) >= 0);
        peer->in.len = 0;
    }
    assert_true(call->closed || peer->ended);
}

static struct outcome ask_grpc(unsigned nth, const char *encoding, struct bytes message)
{
    uint8_t prefix[5] = {encoding[0] != 'i'};
    struct call call = {.status = -1};
    struct outcome outcome = {0};
    struct net_peer peer;

    for (int i = 0; i < 4; i++)
        prefix[4 - i] = (uint8_t)(message.len >> 8 * i);
    assert_ok(buf_append(&call.message, (struct bytes){prefix, sizeof prefix}));
    assert_ok(buf_append(&call.message, message));
    nghttp2_session *session = open_session(&call, encoding);
    connect_to(&peer, receive_grpc_port(edge.receive));
    fault_alloc_fail_at(nth);
    carry(session, &peer, &call);
    outcome = (struct outcome){fault_alloc_has_failed(), call.status};
    fault_alloc_fail_at(0);
    nghttp2_session_del(session);
    net_peer_close(&peer);
    buf_fini(&call.message);
    return outcome;
}

/* ---- each in turn */

static void compress_by(enum compression compression, struct bytes plain, struct buf *out)
{
    struct compressor *compressor = NULL;
    assert_ok(compressor_create(compression, 1, &compressor, NULL));
    assert_ok(compressor_run(compressor, &plain, 1, out, NULL));
    compressor_destroy(&compressor);
}

static struct outcome ask_proto(unsigned nth)
{
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, ITEMS, 20, &value);
    return ask_http(nth, "Content-Type: application/x-protobuf\r\n", buf_bytes(&value));
}

static struct outcome ask_json(unsigned nth)
{
    static const char records[] =
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":["
        "{\"severityNumber\":9,\"body\":{\"stringValue\":\"a\"}},{\"timeUnixNano\":\"7\"},"
        "{\"attributes\":[{\"key\":\"card\",\"value\":{\"stringValue\":\"4111\"}}]}]}]}]}";
    AUTO(buf_fini) struct buf gzip = {0};

    compress_by(COMPRESSION_GZIP, bytes_from(records), &gzip);
    return ask_http(nth, "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
                    buf_bytes(&gzip));
}

static struct outcome ask_zstd_call(unsigned nth)
{
    AUTO(buf_fini) struct buf value = {0}, zstd = {0};

    numbered_request(1, ITEMS, 1000, &value);
    compress_by(COMPRESSION_ZSTD, buf_bytes(&value), &zstd);
    return ask_grpc(nth, "zstd", buf_bytes(&zstd));
}

/* True: it failed, and all is as it should be. */
static bool fail_one(ask_fn *ask, unsigned nth, int success, int refusal)
{
    uint64_t before = stored_items();

    open_receive();
    struct outcome outcome = ask(nth);
    if (outcome.status != success && outcome.status != refusal && outcome.status != -1)
        fail_msg("allocation %u: answered %d, which clients take as final", nth, outcome.status);
    if (outcome.status == success)
        assert_int_equal(stored_items(), before + ITEMS);
    settle();
    before = stored_items();
    struct outcome next = ask(0);
    assert_int_equal(next.status, success);
    assert_int_equal(stored_items(), before + ITEMS);
    close_receive();
    return outcome.failed;
}

static void fail_each(ask_fn *ask, int success, int refusal)
{
    unsigned nth = 1;

    open_spool();
    while (fail_one(ask, nth, success, refusal) && nth < ALLOCATIONS_MAX)
        nth++;
    close_spool();
    print_message("%u allocations\n", nth - 1);
    assert_in_range(nth, 5, ALLOCATIONS_MAX - 1);
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
}

static void test_takes_or_defers_protobuf_whichever_allocation_fails(void **state)
{
    (void)state;
    fail_each(ask_proto, 200, 503);
}

static void test_takes_or_defers_json_whichever_allocation_fails(void **state)
{
    (void)state;
    fail_each(ask_json, 200, 503);
}

static void test_takes_or_defers_calls_whichever_allocation_fails(void **state)
{
    (void)state;
    fail_each(ask_zstd_call, GRPC_OK, GRPC_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_or_defers_protobuf_whichever_allocation_fails),
        cmocka_unit_test(test_takes_or_defers_json_whichever_allocation_fails),
        cmocka_unit_test(test_takes_or_defers_calls_whichever_allocation_fails),
    };
    return cmocka_run_group_tests_name("receive without memory", tests, NULL, NULL);
}
