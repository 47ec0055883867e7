/* Promise: whatever arrives at an edge is answered in its own protocol, success only for what the
 * spool has synced, and every refusal with its reason, its status and its counter. Real sockets and
 * a real spool on a disk in memory. */
// link: tests/support/fault_disk.c tests/support/net_peer.c tests/support/numbered.c
#include "tests/support/test.h"

#include "common/compress.h"
#include "common/metrics.h"
#include "sidecar/edge/receive.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/spool/reader.h"
#include "tests/support/fault_disk.h"
#include "tests/support/net_peer.h"
#include "tests/support/numbered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 20000, SIZE = 256 << 10 };

struct edge {
    struct net_loop *loop;
    struct net_budget budget;
    struct stamp *stamp;
    struct spool *spool;
    struct spool_reader *reader; /* holds what is stored */
    struct receive *receive;
};

static const char *const origins[] = {"https://shop.example"};

static void open_edge(struct edge *edge, const char *token)
{
    const struct spool_config config = {.dir = "spool", .size_bytes = SIZE};

    *edge = (struct edge){.budget = {.max = 1 << 20}};
    fault_disk_reset();
    assert_ok(net_loop_create(&edge->loop, NULL));
    assert_ok(stamp_create(NULL, 0, &edge->stamp, NULL));
    assert_ok(spool_open(&config, &edge->spool, NULL));
    assert_ok(spool_reader_open(edge->spool, SIGNAL_LOGS, "test", &edge->reader, NULL));
    const struct receive_options options = {.spool = edge->spool,
                                            .budget = &edge->budget,
                                            .ack = SPOOL_ACK_SYNCED,
                                            .address = "127.0.0.1",
                                            .grpc_body_max = BODY_MAX,
                                            .http_body_max = BODY_MAX,
                                            .stamp_local = edge->stamp,
                                            .stamp_remote = edge->stamp,
                                            .serves = {[SIGNAL_LOGS] = true},
                                            .bearer_token = token,
                                            .cors_origins = origins,
                                            .cors_origins_len = 1};
    assert_ok(receive_open(edge->loop, &options, &edge->receive, NULL));
}

static void close_edge(struct edge *edge)
{
    net_peer_run_for(edge->loop, 20);
    assert_int_equal(receive_in_spool(edge->receive), 0);
    receive_close(&edge->receive);
    spool_reader_close(&edge->reader);
    spool_close(&edge->spool);
    stamp_destroy(&edge->stamp);
    net_loop_destroy(&edge->loop);
}

static uint64_t stored_items(struct edge *edge)
{
    struct spool_stats stats;
    spool_stats(edge->spool, &stats);
    return stats.lanes[SIGNAL_LOGS].items;
}

/* The counter of refusals, found by its labels in what is exposed; -1: there is none yet. */
static int refusals(const char *protocol, const char *reason)
{
    AUTO(buf_fini) struct buf text = {0};
    int total = 0;
    char want[100];

    assert_ok(metrics_expose(&text));
    assert_non_null(buf_text(&text));
    snprintf(want, sizeof want, "protocol=\"%s\",reason=\"%s\"} ", protocol, reason);
    for (const char *at = (const char *)text.data; (at = strstr(at, want)) != NULL;) {
        at += strlen(want);
        total += (int)strtol(at, NULL, 10);
    }
    return total;
}

/* ---- HTTP */

/* Sends one request on a connection of its own, and returns its answer up to the end. */
static void ask(struct edge *edge, const char *head, struct bytes body, struct buf *answer)
{
    struct net_peer peer;
    AUTO(buf_fini) struct buf request = {0};

    assert_ok(buf_printf(&request, "%sHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                         head, body.len));
    assert_ok(buf_append(&request, body));
    net_peer_connect(&peer, edge->loop, receive_http_port(edge->receive));
    net_peer_send(&peer, request.data, request.len);
    net_peer_await_end(&peer);
    assert_ok(buf_append_text(answer, net_peer_text(&peer)));
    net_peer_close(&peer);
}

static void expect(struct edge *edge, const char *head, struct bytes body, const char *want)
{
    AUTO(buf_fini) struct buf answer = {0};

    ask(edge, head, body, &answer);
    const char *text = buf_text(&answer);
    assert_non_null(text);
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, want, strlen(want)) != 0)
        fail_msg("wanted %s, got: %.200s", want, text);
}

#define POST_LOGS "POST /v1/logs HTTP/1.1\r\n"
#define PROTO     "Content-Type: application/x-protobuf\r\n"
#define JSON      "Content-Type: application/json\r\n"

static void compress_it(struct bytes plain, struct buf *out)
{
    struct compressor *compressor = NULL;
    assert_ok(compressor_create(COMPRESSION_GZIP, 1, &compressor, NULL));
    assert_ok(compressor_run(compressor, &plain, 1, out, NULL));
    compressor_destroy(&compressor);
}

static void test_takes_protobuf_json_and_gzip_over_http(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, gzip = {0};
    const struct bytes json = BYTES_LITERAL(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7\"}]}]}]}");

    open_edge(&edge, NULL);
    numbered_request(1, 3, 20, &value);
    compress_it(buf_bytes(&value), &gzip);
    expect(&edge, POST_LOGS PROTO, buf_bytes(&value), "200");
    assert_int_equal(stored_items(&edge), 3);
    expect(&edge, POST_LOGS PROTO "Content-Encoding: gzip\r\n", buf_bytes(&gzip), "200");
    assert_int_equal(stored_items(&edge), 6);
    expect(&edge, POST_LOGS JSON, json, "200");
    assert_int_equal(stored_items(&edge), 7);
    expect(&edge, POST_LOGS PROTO, (struct bytes){0}, "200"); /* nothing to store is a success */
    assert_int_equal(stored_items(&edge), 7);
    close_edge(&edge);
}

static void test_refuses_over_http_with_reason_status_and_counter(void **state)
{
    (void)state;
    static uint8_t large[BODY_MAX + 1], zeros[4 << 20];
    AUTO(buf_fini) struct buf value = {0}, bomb = {0};
    struct edge edge;

    numbered_request(1, 3, 20, &value);
    compress_it((struct bytes){zeros, sizeof zeros}, &bomb);
    assert_true(bomb.len < BODY_MAX);
    const struct {
        const char *head;
        struct bytes body;
        const char *want, *protocol, *reason;
    } cases[] = {
        {POST_LOGS PROTO, BYTES_LITERAL("\x0a\xff"), "400", "http_proto", "malformed"},
        {POST_LOGS JSON, BYTES_LITERAL("{\"resourceLogs\":["), "400", "http_json", "malformed"},
        {POST_LOGS "Content-Type: text/plain\r\n", buf_bytes(&value), "415", "http_json",
         "content_type"},
        {POST_LOGS PROTO, {large, sizeof large}, "413", "http_proto", "too_large"},
        {POST_LOGS PROTO "Content-Encoding: gzip\r\n", buf_bytes(&bomb), "413", "http_proto",
         "too_large"},
        {POST_LOGS PROTO "Content-Encoding: gzip\r\n", BYTES_LITERAL("no gzip"), "400",
         "http_proto", "malformed"},
        {POST_LOGS PROTO "Content-Encoding: br\r\n", buf_bytes(&value), "415", "http_proto",
         "encoding"},
        {"POST /v1/nothing HTTP/1.1\r\n" PROTO, buf_bytes(&value), "404", "http_proto",
         "no_such_path"},
        {"POST /v1/traces HTTP/1.1\r\n" PROTO, buf_bytes(&value), "404", "http_proto", "not_read"},
        {"GET /v1/logs HTTP/1.1\r\n", {0}, "405", "http_json", "method"},
    };

    open_edge(&edge, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int before = refusals(cases[i].protocol, cases[i].reason);
        expect(&edge, cases[i].head, cases[i].body, cases[i].want);
        if (refusals(cases[i].protocol, cases[i].reason) != before + 1)
            fail_msg("case %zu: %s was not counted", i, cases[i].reason);
    }
    assert_int_equal(stored_items(&edge), 0);
    close_edge(&edge);
}

static void test_lets_a_page_of_an_allowed_origin_ask_first(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf yes = {0}, no = {0};

    open_edge(&edge, "secret"); /* a preflight carries no token */
    ask(&edge, "OPTIONS /v1/logs HTTP/1.1\r\nOrigin: https://shop.example\r\n", (struct bytes){0},
        &yes);
    assert_non_null(strstr(buf_text(&yes), "204"));
    assert_non_null(strstr(buf_text(&yes), "access-control-allow-origin: https://shop.example"));
    ask(&edge, "OPTIONS /v1/logs HTTP/1.1\r\nOrigin: https://evil.example\r\n", (struct bytes){0},
        &no);
    assert_null(strstr(buf_text(&no), "access-control-allow-origin"));
    close_edge(&edge);
}

static void test_asks_for_its_token(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, 1, 0, &value);
    open_edge(&edge, "secret");
    int before = refusals("http_proto", "unauthenticated");
    expect(&edge, POST_LOGS PROTO, buf_bytes(&value), "401");
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secreT\r\n", buf_bytes(&value), "401");
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secrets\r\n", buf_bytes(&value), "401");
    assert_int_equal(refusals("http_proto", "unauthenticated"), before + 3);
    assert_int_equal(stored_items(&edge), 0);
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secret\r\n", buf_bytes(&value), "200");
    assert_int_equal(stored_items(&edge), 1);
    close_edge(&edge);
}

/* ---- gRPC */

struct reply {
    bool came;
    enum grpc_status status;
    bool has_retry_delay;
};

static void on_reply(void *context, const struct grpc_result *result)
{
    struct reply *reply = context;
    assert_int_equal(result->outcome, GRPC_CALL_ANSWERED);
    *reply = (struct reply){true, result->status, result->has_retry_delay};
}

static struct reply call(struct edge *edge, struct grpc_client *client, const char *path,
                         struct bytes message, const char *encoding)
{
    struct reply reply = {0};
    const struct grpc_call_params params = {.path = path,
                                            .message = &message,
                                            .message_count = 1,
                                            .encoding = encoding,
                                            .timeout_ms = 10000,
                                            .done = on_reply,
                                            .ctx = &reply};
    assert_ok(grpc_client_call(client, &params, NULL, NULL));
    net_peer_run_until(edge->loop, &reply.came);
    return reply;
}

static struct grpc_client *open_client(struct edge *edge)
{
    struct grpc_client_options options;
    struct grpc_client *client = NULL;

    grpc_client_options_init(&options);
    options.host = "127.0.0.1";
    options.port = receive_grpc_port(edge->receive);
    assert_ok(grpc_client_create(edge->loop, &options, &client, NULL));
    return client;
}

#define EXPORT_LOGS "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

static void test_takes_and_refuses_over_grpc(void **state)
{
    (void)state;
    static uint8_t large[BODY_MAX + 1];
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, gzip = {0};

    numbered_request(1, 3, 20, &value);
    compress_it(buf_bytes(&value), &gzip);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&value), NULL).status, GRPC_OK);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&gzip), "gzip").status, GRPC_OK);
    assert_int_equal(stored_items(&edge), 6);

    int malformed = refusals("grpc", "malformed"), path = refusals("grpc", "no_such_path");
    assert_int_equal(call(&edge, client, EXPORT_LOGS, BYTES_LITERAL("\x0a\xff"), NULL).status,
                     GRPC_INVALID_ARGUMENT);
    assert_int_equal(refusals("grpc", "malformed"), malformed + 1);
    assert_int_equal(call(&edge, client, "/a.B/C", buf_bytes(&value), NULL).status,
                     GRPC_UNIMPLEMENTED);
    assert_int_equal(refusals("grpc", "no_such_path"), path + 1);
    struct reply reply =
        call(&edge, client, EXPORT_LOGS, (struct bytes){large, sizeof large}, NULL);
    assert_int_equal(reply.status, GRPC_RESOURCE_EXHAUSTED);
    assert_false(reply.has_retry_delay); /* or it would be sent again for ever */
    assert_int_equal(stored_items(&edge), 6);
    grpc_client_destroy(&client);
    close_edge(&edge);
}

/* A full disk is answered so that SDKs try again, and what was promised before stays. */
static void test_asks_to_try_again_when_the_spool_is_full(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, answer = {0};
    struct reply reply = {.status = GRPC_OK};
    unsigned taken = 0;

    numbered_request(1, 10, 1000, &value);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    int before = refusals("grpc", "spool_full");
    for (; reply.status == GRPC_OK && taken < 1000; taken++)
        reply = call(&edge, client, EXPORT_LOGS, buf_bytes(&value), NULL);
    assert_int_equal(reply.status, GRPC_UNAVAILABLE);
    assert_true(reply.has_retry_delay);
    assert_int_equal(refusals("grpc", "spool_full"), before + 1);
    assert_int_equal(stored_items(&edge), 10 * (taken - 1));
    ask(&edge, POST_LOGS PROTO, buf_bytes(&value), &answer);
    assert_non_null(strstr(buf_text(&answer), "HTTP/1.1 503"));
    assert_non_null(strstr(buf_text(&answer), "retry-after: 1"));
    grpc_client_destroy(&client);
    close_edge(&edge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_protobuf_json_and_gzip_over_http),
        cmocka_unit_test(test_refuses_over_http_with_reason_status_and_counter),
        cmocka_unit_test(test_lets_a_page_of_an_allowed_origin_ask_first),
        cmocka_unit_test(test_asks_for_its_token),
        cmocka_unit_test(test_takes_and_refuses_over_grpc),
        cmocka_unit_test(test_asks_to_try_again_when_the_spool_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
