/* Promise: whatever arrives at an edge is answered in its own protocol, success only for what the
 * spool has synced, and every refusal with its reason, its status and its counter. Real sockets and
 * a real spool on a disk in memory. */
// link: tests/support/fault_disk.c tests/support/net_peer.c tests/support/numbered.c
// link: tests/support/processors.c
#include "tests/support/test.h"

#include "common/compress.h"
#include "common/metrics.h"
#include "sidecar/edge/receive.h"
#include "sidecar/edge/receive_tokens.h"
#include "sidecar/edge/refine.h"
#include "sidecar/edge/routes.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/status.h"
#include "sidecar/pods/pods.h"
#include "sidecar/spool/reader.h"
#include "tests/support/fault_disk.h"
#include "tests/support/net_peer.h"
#include "tests/support/numbered.h"
#include "tests/support/processors.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 20000, SIZE = 256 << 10, PENDING_MAX = 64 << 10 };

struct edge {
    struct net_loop *loop;
    struct net_budget budget;
    uint32_t wait_ms;
    struct stamp *stamp;
    struct refine *refine;
    struct spool *spool;
    struct spool_reader *reader; /* holds what is stored */
    struct receive *receive;
    struct receive_tokens *tokens;
    char tokens_file[40];
};

/* Of the edge that is opened next. */
static struct pods *known_pods;
static enum spool_ack acknowledge;
static const char *const origins[] = {"https://shop.example"};

static void write_tokens(const struct edge *edge, const char *text)
{
    FILE *file = fopen(edge->tokens_file, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void open_tokens(struct edge *edge, const char *text)
{
    snprintf(edge->tokens_file, sizeof edge->tokens_file, "/tmp/surgetank-tokens-XXXXXX");
    int fd = mkstemp(edge->tokens_file);
    assert_true(fd >= 0);
    close(fd);
    write_tokens(edge, text);
    assert_ok(receive_tokens_open(edge->tokens_file, &edge->tokens, NULL));
}

static void open_waiting_edge(struct edge *edge, const char *tokens, const char *processors,
                              const char *routes, uint32_t wait_ms)
{
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline(processors, routes);
    const struct spool_config config = {
        .dir = "spool", .size_bytes = SIZE, .pending_max_bytes = PENDING_MAX};

    *edge = (struct edge){.budget = {.max = 1 << 20, .scratch_max = 1 << 20}, .wait_ms = wait_ms};
    if (tokens != NULL)
        open_tokens(edge, tokens);
    fault_disk_reset();
    assert_ok(net_loop_create(&edge->loop, NULL));
    assert_ok(stamp_create(NULL, 0, &edge->stamp, NULL));
    assert_ok(refine_open(pipeline, &pipeline->edges[0], &edge->budget, &edge->refine, NULL));
    assert_ok(spool_open(&config, &edge->spool, NULL));
    assert_ok(spool_reader_open(edge->spool, SIGNAL_LOGS, "test", &edge->reader, NULL));
    const struct receive_options options = {
        .spool = edge->spool,
        .budget = &edge->budget,
        .ack = acknowledge,
        .wait_ms = edge->wait_ms,
        .address = "127.0.0.1",
        .limits = {.refine = edge->refine,
                   .grpc_body_max = BODY_MAX,
                   .http_body_max = BODY_MAX,
                   .stamp_local = edge->stamp,
                   .stamp_remote = edge->stamp,
                   .cors_origins = origins,
                   .cors_origins_len = 1},
        .pods = known_pods,
        .serves = {[SIGNAL_LOGS] = true},
        .tokens = edge->tokens,
    };
    assert_ok(receive_open(edge->loop, &options, &edge->receive, NULL));
}

static void open_refining_edge(struct edge *edge, const char *tokens, const char *processors,
                               const char *routes)
{
    open_waiting_edge(edge, tokens, processors, routes, 30);
}

static void open_edge(struct edge *edge, const char *tokens)
{
    open_refining_edge(edge, tokens, "[]", "[]");
}

static void close_edge(struct edge *edge)
{
    for (int i = 0; i < 3000 && (i == 0 || receive_in_spool(edge->receive) > 0); i++)
        net_peer_run_for(edge->loop, 20);
    assert_int_equal(receive_in_spool(edge->receive), 0);
    receive_close(&edge->receive);
    refine_close(&edge->refine);
    receive_tokens_close(&edge->tokens);
    if (edge->tokens_file[0] != '\0')
        unlink(edge->tokens_file);
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

static size_t waiting_bytes(struct edge *edge)
{
    struct spool_stats stats;
    spool_stats(edge->spool, &stats);
    return stats.pending_bytes;
}

/* The counter of refusals, found by its labels in what is exposed; -1: there is none yet. */
static int refusals(const char *protocol, const char *reason)
{
    AUTO(buf_fini) struct buf text = {0};
    const char *signal = strcmp(reason, "no_such_path") == 0 ? "signal=\"\"," : "";
    int total = 0;
    char want[100];

    assert_ok(metrics_expose(&text));
    assert_non_null(buf_text(&text));
    snprintf(want, sizeof want, "%sprotocol=\"%s\",reason=\"%s\"} ", signal, protocol, reason);
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

static void compress_by(enum compression compression, struct bytes plain, struct buf *out)
{
    struct compressor *compressor = NULL;
    assert_ok(compressor_create(compression, 1, &compressor, NULL));
    assert_ok(compressor_run(compressor, &plain, 1, out, NULL));
    compressor_destroy(&compressor);
}

static void compress_it(struct bytes plain, struct buf *out)
{
    compress_by(COMPRESSION_GZIP, plain, out);
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

/* One bad log record does not take the others of its batch with it. */
static void test_takes_what_is_sound_and_says_what_was_not(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, answer = {0}, all_bad = {0};
    static const char bad[] =
        "\x0a\x08\x12\x06\x12\x04\x4a\x02\xab\xcd"; /* a trace id of 2 bytes */
    static const char want[] = "\r\n\r\n\x0a";      /* a partial_success */

    numbered_request(1, 3, 20, &value);
    assert_ok(buf_append(&value, (struct bytes){(const uint8_t *)bad, sizeof bad - 1}));
    numbered_request(4, 2, 20, &value);
    open_edge(&edge, NULL);
    ask(&edge, POST_LOGS PROTO, buf_bytes(&value), &answer);
    assert_non_null(strstr(buf_text(&answer), "HTTP/1.1 200"));
    const char *body = strstr(buf_text(&answer), want);
    assert_non_null(body);
    struct otlp_response response;
    size_t at = (size_t)(body - (const char *)answer.data) + 4;
    assert_ok(otlp_response_decode(SIGNAL_LOGS, (struct bytes){answer.data + at, answer.len - at},
                                   OTLP_PROTO, &response, NULL));
    assert_true(response.partial);
    assert_int_equal(response.rejected, 1);
    assert_non_null(strstr(response.message, "trace_id"));
    assert_int_equal(stored_items(&edge), 5);

    assert_ok(buf_append(&all_bad, (struct bytes){(const uint8_t *)bad, sizeof bad - 1}));
    expect(&edge, POST_LOGS PROTO, buf_bytes(&all_bad), "400");
    assert_ok(buf_append_text(&value, "\x0a\xff")); /* the containers themselves */
    expect(&edge, POST_LOGS PROTO, buf_bytes(&value), "400");
    assert_int_equal(stored_items(&edge), 5);
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
    ask(&edge,
        "OPTIONS /v1/logs HTTP/1.1\r\nOrigin: https://shop.example\r\n"
        "Access-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: content-type,x-tenant_1\r\n",
        (struct bytes){0}, &yes);
    assert_non_null(strstr(buf_text(&yes), "204"));
    assert_non_null(strstr(buf_text(&yes), "access-control-allow-origin: https://shop.example"));
    assert_non_null(strstr(buf_text(&yes), "access-control-allow-methods: POST"));
    assert_non_null(
        strstr(buf_text(&yes), "access-control-allow-headers: content-type,x-tenant_1\r\n"));
    assert_non_null(strstr(buf_text(&yes), "vary: origin"));
    assert_null(strstr(buf_text(&yes), "credentials"));
    ask(&edge, "OPTIONS /v1/logs HTTP/1.1\r\nOrigin: https://evil.example\r\n", (struct bytes){0},
        &no);
    assert_null(strstr(buf_text(&no), "access-control-allow-origin"));
    close_edge(&edge);
}

static void test_asks_for_its_token(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, answer = {0};

    numbered_request(1, 1, 0, &value);
    open_edge(&edge, "secret\n");
    int before = refusals("http_proto", "unauthenticated");
    expect(&edge, POST_LOGS PROTO, buf_bytes(&value), "401");
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secreT\r\n", buf_bytes(&value), "401");
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secrets\r\n", buf_bytes(&value), "401");
    expect(&edge, POST_LOGS PROTO "Authorization: Basic secret\r\n", buf_bytes(&value), "401");
    ask(&edge, POST_LOGS PROTO, buf_bytes(&value), &answer);
    assert_non_null(strstr(buf_text(&answer), "www-authenticate: Bearer"));
    assert_int_equal(refusals("http_proto", "unauthenticated"), before + 5);
    assert_int_equal(stored_items(&edge), 0);
    expect(&edge, POST_LOGS PROTO "Authorization: Bearer secret\r\n", buf_bytes(&value), "200");
    expect(&edge, POST_LOGS PROTO "Authorization: bearer secret\r\n", buf_bytes(&value), "200");
    assert_int_equal(stored_items(&edge), 2);
    close_edge(&edge);
}

/* While tokens are changed, the old and the new one are good. */
static void test_follows_its_tokens_while_they_are_changed(void **state)
{
    (void)state;
    struct edge edge;
    struct error error = {0};
    bool changed = false;
    const struct bytes old = BYTES_LITERAL("Bearer old"), new = BYTES_LITERAL("Bearer new");

    open_edge(&edge, "old");
    assert_true(receive_tokens_allow(edge.tokens, old));
    assert_ok(receive_tokens_refresh(edge.tokens, &changed, NULL));
    assert_false(changed);
    write_tokens(&edge, "\n old \r\nnew\n");
    assert_ok(receive_tokens_refresh(edge.tokens, &changed, NULL));
    assert_true(changed);
    assert_true(receive_tokens_allow(edge.tokens, old));
    assert_true(receive_tokens_allow(edge.tokens, new));
    write_tokens(&edge, "new");
    assert_ok(receive_tokens_refresh(edge.tokens, &changed, NULL));
    assert_false(receive_tokens_allow(edge.tokens, old));

    write_tokens(&edge, "\n \n"); /* nobody at all would be let in */
    assert_int_equal(receive_tokens_refresh(edge.tokens, &changed, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "at least one token"));
    assert_true(receive_tokens_allow(edge.tokens, new));
    unlink(edge.tokens_file);
    assert_int_equal(receive_tokens_refresh(edge.tokens, &changed, &error), ERR_NOTFOUND);
    assert_true(receive_tokens_allow(edge.tokens, new));
    assert_false(receive_tokens_allow(edge.tokens, BYTES_LITERAL("Bearer ")));
    assert_false(receive_tokens_allow(edge.tokens, (struct bytes){0}));
    close_edge(&edge);
}

/* ---- processors and routes */

#define THREE_RECORDS                                                                           \
    BYTES_LITERAL("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":5}," \
                  "{\"severityNumber\":9},{\"severityNumber\":17}]}]}]}")

/* The items stored under a tag, of all that was stored since the last call. */
struct stored {
    uint32_t tags[8], items[8];
    size_t count;
};

static void read_stored(struct edge *edge, struct stored *stored)
{
    struct spool_frame *frame = NULL;

    *stored = (struct stored){0};
    while (spool_reader_next(edge->reader, 200, &frame, NULL) == OK) {
        for (uint32_t i = 0; i < frame->entry_count; i++) {
            struct spool_entry entry = spool_frame_entry(frame, i);
            assert_true(stored->count < 8);
            stored->tags[stored->count] = entry.tag;
            stored->items[stored->count++] = entry.items;
        }
        spool_frame_release(&frame);
    }
}

/* What is stored next holds the text. */
static bool stores(struct edge *edge, const char *text)
{
    struct spool_frame *frame = NULL;

    assert_ok(spool_reader_next(edge->reader, 2000, &frame, NULL));
    struct spool_entry entry = spool_frame_entry(frame, 0);
    bool found = memmem(entry.data.data, entry.data.len, text, strlen(text)) != NULL;
    spool_frame_release(&frame);
    return found;
}

static void test_says_which_pod_a_request_came_from(void **state)
{
    (void)state;
    static const char text[] = "{\"metadata\":{\"name\":\"web-0\",\"namespace\":\"shop\",\"uid\":"
                               "\"u1\",\"resourceVersion\":"
                               "\"1\"},\"status\":{\"podIP\":\"127.0.0.1\"}}";
    const struct pod_wishes wishes = {0};
    AUTO(json_free) struct json *json = NULL;
    struct object *pod = NULL;
    struct edge edge;

    assert_ok(pods_create(&wishes, &known_pods, NULL));
    struct kube_sink sink = pods_sink(known_pods);
    open_edge(&edge, NULL);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    assert_false(stores(&edge, "web-0")); /* not known yet, and nobody waited */

    assert_ok(json_parse(BYTES_LITERAL(text), sizeof text, &json, NULL));
    assert_ok(object_create(json, &pod, NULL));
    sink.put(sink.context, &kube_pods, pod);
    object_unref(&pod);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    assert_true(stores(&edge, "web-0"));
    close_edge(&edge);
    pods_destroy(&known_pods);
}

static void test_stores_what_processors_leave(void **state)
{
    (void)state;
    struct edge edge;

    open_refining_edge(&edge, NULL, "        - filter: {drop: 'severity < \"INFO\"'}\n", "[]");
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    assert_int_equal(stored_items(&edge), 2);
    assert_int_equal(net_budget_used(&edge.budget), 0);
    close_edge(&edge);
}

static void test_a_request_that_processors_leave_nothing_of_is_a_success(void **state)
{
    (void)state;
    struct edge edge;

    open_refining_edge(&edge, NULL, "        - filter: {drop: 'true'}\n", "[]");
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    assert_int_equal(stored_items(&edge), 0);
    close_edge(&edge);
}

static void test_stores_each_part_under_the_tag_of_its_topic(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline("[]", "[]");
    uint32_t red = routes_tag(pipeline, pipeline_topic(pipeline, "red-logs"));
    struct stored stored;
    struct edge edge;

    open_refining_edge(&edge, NULL, "[]",
                       "        - {when: 'severity == \"INFO\"', to: red-logs}\n");
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    read_stored(&edge, &stored);
    assert_int_equal(stored.count, 2);
    assert_int_equal(stored.tags[0], 0);
    assert_int_equal(stored.items[0], 2);
    assert_int_equal(stored.tags[1], red);
    assert_int_equal(stored.items[1], 1);
    close_edge(&edge);
}

static void test_a_routed_request_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    struct edge edge;

    open_refining_edge(&edge, NULL, "[]",
                       "        - {when: 'severity == \"INFO\"', to: red-logs}\n");
    fault_disk_fail(1, true, ERR_IO);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "503");
    fault_disk_fail(0, false, OK);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    assert_int_equal(stored_items(&edge), 3);
    spool_stop_appends(edge.spool);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "503");
    assert_int_equal(stored_items(&edge), 3);
    close_edge(&edge);
}

static void test_refuses_what_it_has_no_memory_to_process(void **state)
{
    (void)state;
    struct edge edge;

    open_refining_edge(&edge, NULL, "        - filter: {drop: 'severity < \"INFO\"'}\n", "[]");
    assert_true(net_budget_take_scratch(&edge.budget, 900 << 10)); /* others are at it */
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "503");
    net_budget_give_scratch(&edge.budget, 900 << 10);
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "200");
    edge.budget.scratch_max = 200 << 10; /* it would never do */
    expect(&edge, POST_LOGS JSON, THREE_RECORDS, "413");
    assert_int_equal(stored_items(&edge), 2);
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
                                            .timeout_ms = 60000,
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
    static uint8_t large[BODY_MAX + 1], zeros[1 << 20];
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, gzip = {0}, bomb = {0};

    numbered_request(1, 3, 20, &value);
    compress_it(buf_bytes(&value), &gzip);
    compress_it((struct bytes){zeros, sizeof zeros}, &bomb);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&value), NULL).status, GRPC_OK);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&gzip), "gzip").status, GRPC_OK);
    assert_int_equal(stored_items(&edge), 6);

    int malformed = refusals("grpc", "malformed"), path = refusals("grpc", "no_such_path");
    int too_large = refusals("grpc", "too_large"), encoding = refusals("grpc", "encoding");
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
    assert_int_equal(refusals("grpc", "too_large"), too_large + 1);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&bomb), "gzip").status,
                     GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(refusals("grpc", "too_large"), too_large + 2);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, BYTES_LITERAL("no gzip"), "gzip").status,
                     GRPC_INVALID_ARGUMENT);
    assert_int_equal(refusals("grpc", "malformed"), malformed + 2);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&value), "snappy").status,
                     GRPC_UNIMPLEMENTED);
    assert_int_equal(refusals("grpc", "encoding"), encoding + 1);
    assert_int_equal(stored_items(&edge), 6);
    grpc_client_destroy(&client);
    close_edge(&edge);
}

static void test_takes_every_compression_by_either_protocol(void **state)
{
    (void)state;
    static const struct {
        enum compression compression;
        const char *name;
    } all[] = {
        {COMPRESSION_GZIP, "gzip"}, {COMPRESSION_ZSTD, "zstd"}, {COMPRESSION_DEFLATE, "deflate"}};
    const struct bytes json = BYTES_LITERAL(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7\"}]}]}]}");
    AUTO(buf_fini) struct buf value = {0};
    struct edge edge;
    uint64_t want = 0;

    numbered_request(1, 3, 20, &value);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        AUTO(buf_fini) struct buf proto = {0}, text = {0};
        char head[160];

        compress_by(all[i].compression, buf_bytes(&value), &proto);
        compress_by(all[i].compression, json, &text);
        snprintf(head, sizeof head, POST_LOGS PROTO "Content-Encoding: %s\r\n", all[i].name);
        expect(&edge, head, buf_bytes(&proto), "200");
        snprintf(head, sizeof head, POST_LOGS JSON "Content-Encoding: %s\r\n", all[i].name);
        expect(&edge, head, buf_bytes(&text), "200");
        assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&proto), all[i].name).status,
                         GRPC_OK);
        want += 3 + 1 + 3;
        assert_int_equal(stored_items(&edge), want);
    }
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

#define RETRY_INFO "type.googleapis.com/google.rpc.RetryInfo"

/* Refuses over both protocols so that clients try again, and counts it under that reason. */
static void expect_try_again(struct edge *edge, struct grpc_client *client, struct bytes message,
                             const char *reason)
{
    AUTO(buf_fini) struct buf proto = {0};
    int grpc = refusals("grpc", reason), http = refusals("http_proto", reason);
    uint64_t stored = stored_items(edge);

    struct reply reply = call(edge, client, EXPORT_LOGS, message, NULL);
    assert_int_equal(reply.status, GRPC_UNAVAILABLE);
    assert_true(reply.has_retry_delay);
    assert_int_equal(refusals("grpc", reason), grpc + 1);
    ask(edge, POST_LOGS PROTO, message, &proto);
    assert_non_null(strstr(buf_text(&proto), "HTTP/1.1 503"));
    assert_non_null(strstr(buf_text(&proto), "retry-after: 1\r\n"));
    assert_non_null(strstr(buf_text(&proto), "content-type: application/x-protobuf"));
    assert_non_null(memmem(proto.data, proto.len, RETRY_INFO, strlen(RETRY_INFO)));
    assert_int_equal(refusals("http_proto", reason), http + 1);
    assert_int_equal(stored_items(edge), stored);
}

static void test_asks_to_try_again_when_memory_is_short(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, 10, 100, &value);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    struct net_budget_wait others = {.bytes = edge.budget.max};
    assert_true(net_budget_ask(&edge.budget, &others));
    expect_try_again(&edge, client, buf_bytes(&value), "memory");
    net_budget_give(&edge.budget, others.bytes);
    assert_int_equal(call(&edge, client, EXPORT_LOGS, buf_bytes(&value), NULL).status, GRPC_OK);
    grpc_client_destroy(&client);
    close_edge(&edge);
}

/* A waiter that keeps the committer, and so whatever is put into the spool after it. */
struct keeper {
    struct spool_waiter waiter;
    sem_t kept, go;
};

static void keep_committer(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct keeper *keeper = CONTAINER_OF(waiter, struct keeper, waiter);
    (void)error;
    assert_ok(err);
    sem_post(&keeper->kept);
    sem_wait(&keeper->go);
}

enum { SLOW_CALLS = 4 + PENDING_MAX / 10000 }; /* of 10 kB: more than may wait for the disk */

/* Calls of which only some fit what may wait for the disk, while the committer is kept. */
struct slow {
    struct edge edge;
    struct grpc_client *client;
    struct keeper keeper;
    struct reply replies[SLOW_CALLS];
    struct buf value;
    struct bytes message;
};

/* On an edge that has been opened. */
static void call_a_slow_disk(struct slow *slow)
{
    struct keeper *keeper = &slow->keeper;

    numbered_request(1, 10, 1000, &slow->value);
    slow->message = buf_bytes(&slow->value);
    slow->client = open_client(&slow->edge);
    const struct spool_request first = {
        .lane = SIGNAL_LOGS, .parts = &slow->message, .part_count = 1, .items = 10};

    *keeper = (struct keeper){.waiter = {.done = keep_committer, .ack = SPOOL_ACK_SYNCED}};
    sem_init(&keeper->kept, 0, 0);
    sem_init(&keeper->go, 0, 0);
    assert_ok(spool_append(slow->edge.spool, &first, &keeper->waiter, NULL));
    sem_wait(&keeper->kept);
    for (size_t i = 0; i < SLOW_CALLS; i++) {
        const struct grpc_call_params params = {.path = EXPORT_LOGS,
                                                .message = &slow->message,
                                                .message_count = 1,
                                                .timeout_ms = 60000,
                                                .done = on_reply,
                                                .ctx = &slow->replies[i]};
        assert_ok(grpc_client_call(slow->client, &params, NULL, NULL));
    }
}

/* Lets the committer go on, and closes: what was a success is stored. How many of the calls were
 * one in the end. */
static unsigned end_slow_calls(struct slow *slow)
{
    unsigned taken = 0;

    sem_post(&slow->keeper.go);
    for (size_t i = 0; i < SLOW_CALLS; i++) {
        net_peer_run_until(slow->edge.loop, &slow->replies[i].came);
        taken += slow->replies[i].status == GRPC_OK;
    }
    sem_destroy(&slow->keeper.kept);
    sem_destroy(&slow->keeper.go);
    assert_int_equal(stored_items(&slow->edge), 10 * (taken + 1));
    grpc_client_destroy(&slow->client);
    close_edge(&slow->edge);
    buf_fini(&slow->value);
    return taken;
}

static void test_requests_wait_while_the_disk_is_slow(void **state)
{
    (void)state;
    struct slow slow = {.client = NULL};

    open_waiting_edge(&slow.edge, NULL, "[]", "[]", 60000);
    call_a_slow_disk(&slow);
    while (receive_in_spool(slow.edge.receive) < SLOW_CALLS)
        net_loop_run_once(slow.edge.loop, 10);
    net_peer_run_for(slow.edge.loop, 20);
    for (size_t i = 0; i < SLOW_CALLS; i++)
        assert_false(slow.replies[i].came);
    struct spool_stats stats;
    spool_stats(slow.edge.spool, &stats);
    assert_true(stats.pending_bytes <= PENDING_MAX);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].refused_again, 0); /* they have not even asked */
    assert_int_equal(end_slow_calls(&slow), SLOW_CALLS);
}

static void test_asks_to_try_again_when_the_disk_is_slow_for_long(void **state)
{
    (void)state;
    struct slow slow = {.client = NULL};

    open_edge(&slow.edge, NULL);
    call_a_slow_disk(&slow);
    net_peer_run_until(slow.edge.loop, &slow.replies[SLOW_CALLS - 1].came);
    assert_int_equal(slow.replies[SLOW_CALLS - 1].status, GRPC_UNAVAILABLE);
    expect_try_again(&slow.edge, slow.client, slow.message, "busy");
    end_slow_calls(&slow);
}

static void test_requests_that_wait_are_told_of_the_end(void **state)
{
    (void)state;
    struct slow slow = {.client = NULL};

    open_waiting_edge(&slow.edge, NULL, "[]", "[]", 60000);
    call_a_slow_disk(&slow);
    while (receive_in_spool(slow.edge.receive) < SLOW_CALLS)
        net_loop_run_once(slow.edge.loop, 10);
    spool_stop_appends(slow.edge.spool);
    net_peer_run_until(slow.edge.loop, &slow.replies[SLOW_CALLS - 1].came);
    assert_int_equal(slow.replies[SLOW_CALLS - 1].status, GRPC_UNAVAILABLE);
    assert_in_range(end_slow_calls(&slow), 1, SLOW_CALLS - 1);
}

/* The disk is slow, and memory has room for either topic's record but not for both: the client is
 * refused and will send all of it again, so nothing of it may be there then. */
static void test_a_routed_request_is_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    enum { FILLERS = 5, FILLER = 11000, BODY = 6000 };
    static const uint8_t zeros[FILLER];
    const struct bytes fill = {zeros, FILLER};
    const struct spool_request filler = {
        .lane = SIGNAL_LOGS, .parts = &fill, .part_count = 1, .items = 1};
    struct keeper keeper = {.waiter = {.done = keep_committer, .ack = SPOOL_ACK_SYNCED}};
    AUTO(buf_fini) struct buf request = {0};
    struct edge edge;

    assert_ok(buf_append_text(&request, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":["));
    for (int i = 0; i < 2; i++)
        assert_ok(buf_printf(&request,
                             "%s{\"severityNumber\":%d,\"body\":{\"stringValue\":\"%0*d\"}}",
                             i > 0 ? "," : "", i > 0 ? 9 : 5, BODY, 0));
    assert_ok(buf_append_text(&request, "]}]}]}"));
    open_refining_edge(&edge, NULL, "[]",
                       "        - {when: 'severity == \"INFO\"', to: red-logs}\n");
    sem_init(&keeper.kept, 0, 0);
    sem_init(&keeper.go, 0, 0);
    assert_ok(spool_append(edge.spool, &filler, &keeper.waiter, NULL));
    sem_wait(&keeper.kept);
    for (int i = 1; i < FILLERS; i++)
        assert_ok(spool_append(edge.spool, &filler, NULL, NULL));
    expect(&edge, POST_LOGS JSON, buf_bytes(&request), "503");
    sem_post(&keeper.go);
    while (waiting_bytes(&edge) > 0)
        net_loop_run_once(edge.loop, 1);
    assert_int_equal(stored_items(&edge), FILLERS);
    expect(&edge, POST_LOGS JSON, buf_bytes(&request), "200");
    assert_int_equal(stored_items(&edge), FILLERS + 2);
    close_edge(&edge);
    sem_destroy(&keeper.kept);
    sem_destroy(&keeper.go);
}

static void test_asks_to_try_again_when_the_spool_is_stopping(void **state)
{
    (void)state;
    struct edge edge;
    AUTO(buf_fini) struct buf value = {0}, json = {0};
    const struct bytes text = BYTES_LITERAL(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7\"}]}]}]}");

    numbered_request(1, 10, 100, &value);
    open_edge(&edge, NULL);
    struct grpc_client *client = open_client(&edge);
    spool_stop_appends(edge.spool);
    expect_try_again(&edge, client, buf_bytes(&value), "stopping");
    ask(&edge, POST_LOGS JSON, text, &json);
    assert_non_null(strstr(buf_text(&json), "\r\n\r\n{\"code\":14,"));
    assert_non_null(strstr(buf_text(&json), "\"retryDelay\":\"1s\""));
    grpc_client_destroy(&client);
    close_edge(&edge);
}

/* What `reader` is given next is delivered. */
static void deliver(struct edge *edge)
{
    struct spool_frame *frame = NULL;
    assert_ok(spool_reader_next(edge->reader, 60000, &frame, NULL));
    spool_reader_ack(edge->reader, frame->end);
    spool_frame_release(&frame);
}

static void begin_call(struct grpc_client *client, const struct bytes *message, struct reply *reply)
{
    const struct grpc_call_params params = {.path = EXPORT_LOGS,
                                            .message = message,
                                            .message_count = 1,
                                            .timeout_ms = 60000,
                                            .done = on_reply,
                                            .ctx = reply};
    *reply = (struct reply){0};
    assert_ok(grpc_client_call(client, &params, NULL, NULL));
}

static void await_items(struct edge *edge, uint64_t items)
{
    while (stored_items(edge) < items)
        net_loop_run_once(edge->loop, 10);
}

static void open_replicated_edge(struct edge *edge, uint32_t wait_ms)
{
    acknowledge = SPOOL_ACK_REPLICATED;
    open_waiting_edge(edge, NULL, "[]", "[]", wait_ms);
    acknowledge = SPOOL_ACK_SYNCED;
}

static void test_answers_when_kafka_has_acknowledged(void **state)
{
    (void)state;
    struct edge edge;
    struct reply reply;
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, 10, 100, &value);
    const struct bytes message = buf_bytes(&value);
    open_replicated_edge(&edge, 60000);
    struct grpc_client *client = open_client(&edge);
    begin_call(client, &message, &reply);
    await_items(&edge, 10);
    net_peer_run_for(edge.loop, 20);
    assert_false(reply.came);
    deliver(&edge);
    net_peer_run_until(edge.loop, &reply.came);
    assert_int_equal(reply.status, GRPC_OK);
    grpc_client_destroy(&client);
    close_edge(&edge);
}

/* Requests that Kafka is to acknowledge: while it does not, those that come are refused before the
 * spool has them, or it would fill with what clients send again and again; and those that it has
 * are not left without an answer, but stay there. */
static void test_asks_to_try_again_while_kafka_acknowledges_nothing(void **state)
{
    (void)state;
    struct edge edge;
    struct reply reply;
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, 10, 100, &value);
    const struct bytes message = buf_bytes(&value);
    open_replicated_edge(&edge, 30);
    struct grpc_client *client = open_client(&edge);
    int before = refusals("grpc", "kafka_away");
    begin_call(client, &message, &reply);
    net_peer_run_until(edge.loop, &reply.came);
    assert_int_equal(reply.status, GRPC_UNAVAILABLE);
    assert_true(reply.has_retry_delay);
    assert_int_equal(refusals("grpc", "kafka_away"), before + 1);
    assert_int_equal(stored_items(&edge), 10);
    expect_try_again(&edge, client, message, "kafka_away");

    deliver(&edge); /* it is back */
    while (receive_in_spool(edge.receive) > 0)
        net_loop_run_once(edge.loop, 1);
    net_loop_run_once(edge.loop, 1);
    begin_call(client, &message, &reply);
    await_items(&edge, 20);
    deliver(&edge);
    net_peer_run_until(edge.loop, &reply.came);
    grpc_client_destroy(&client);
    close_edge(&edge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_protobuf_json_and_gzip_over_http),
        cmocka_unit_test(test_takes_what_is_sound_and_says_what_was_not),
        cmocka_unit_test(test_refuses_over_http_with_reason_status_and_counter),
        cmocka_unit_test(test_lets_a_page_of_an_allowed_origin_ask_first),
        cmocka_unit_test(test_asks_for_its_token),
        cmocka_unit_test(test_follows_its_tokens_while_they_are_changed),
        cmocka_unit_test(test_says_which_pod_a_request_came_from),
        cmocka_unit_test(test_stores_what_processors_leave),
        cmocka_unit_test(test_a_request_that_processors_leave_nothing_of_is_a_success),
        cmocka_unit_test(test_stores_each_part_under_the_tag_of_its_topic),
        cmocka_unit_test(test_a_routed_request_that_fails_leaves_nothing_behind),
        cmocka_unit_test(test_refuses_what_it_has_no_memory_to_process),
        cmocka_unit_test(test_takes_and_refuses_over_grpc),
        cmocka_unit_test(test_takes_every_compression_by_either_protocol),
        cmocka_unit_test(test_asks_to_try_again_when_the_spool_is_full),
        cmocka_unit_test(test_asks_to_try_again_when_memory_is_short),
        cmocka_unit_test(test_requests_wait_while_the_disk_is_slow),
        cmocka_unit_test(test_asks_to_try_again_when_the_disk_is_slow_for_long),
        cmocka_unit_test(test_requests_that_wait_are_told_of_the_end),
        cmocka_unit_test(test_a_routed_request_is_taken_whole_or_not_at_all),
        cmocka_unit_test(test_asks_to_try_again_when_the_spool_is_stopping),
        cmocka_unit_test(test_answers_when_kafka_has_acknowledged),
        cmocka_unit_test(test_asks_to_try_again_while_kafka_acknowledges_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
