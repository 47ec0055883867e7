/* An attempt ends with the backend's last word, and a backend that takes no compression gets every
 * item all the same: over gRPC from a server of our own, over HTTP from a scripted one.
 */
// link: tests/support/http_script.c
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/export/export.h"
#include "sidecar/export/export_headers.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/http_script.h"
#include "tests/support/net_peer.h"

#include <stdio.h>

static const struct bytes parts[] = {{(const uint8_t *)"one ", 4}, {(const uint8_t *)"request", 7}};

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server *server;
    struct pipeline_export settings;
    char endpoint[64];
    struct export *export;
    unsigned judged;
    bool done;
    struct judgement judgement;

    bool takes[COMPRESSION_ZSTD + 1];
    struct grpc_reply refusal, answer;
    unsigned seen[COMPRESSION_ZSTD + 1]; /* requests in each encoding */
    unsigned sound;                      /* whose message was the batch */
} f;

static void on_request(void *ctx, struct net_request *request)
{
    enum compression encoding = COMPRESSION_NONE;
    struct grpc_reply reply = f.answer;
    struct error error = {0};

    (void)ctx;
    assert_ok(compression_parse(net_request_header(request, NET_HEADER_GRPC_ENCODING), &encoding));
    f.seen[encoding]++;
    if (!f.takes[encoding])
        reply = f.refusal;
    else if (grpc_request_open(request, 1000, &reply.status, &error))
        reply.message = error.text;
    else
        f.sound += bytes_equal(net_request_body(request), BYTES_LITERAL("one request"));
    grpc_respond(&request, &reply);
}

static void on_judged(void *context, const struct judgement *judgement)
{
    (void)context;
    f.judged++;
    f.judgement = *judgement;
    f.done = true;
}

static void open_export(enum pipeline_otlp_protocol protocol)
{
    f.settings.protocol = protocol;
    f.settings.endpoint = f.endpoint;
    f.settings.timeout_ms = 60000;
    const struct export_options options = {
        .loop = f.loop, .settings = &f.settings, .user_agent = "test", .gateway = "g"};
    assert_ok(export_open(&options, &f.export, NULL));
}

static void start_grpc(void)
{
    struct net_server_options options;

    net_server_options_init(&options);
    options.address = "127.0.0.1";
    options.budget = &f.budget;
    options.on_request = on_request;
    assert_ok(net_server_open(f.loop, &options, &f.server, NULL));
    snprintf(f.endpoint, sizeof f.endpoint, "127.0.0.1:%u", (unsigned)net_server_port(f.server));
    f.settings.tls.insecure = true;
    open_export(PIPELINE_OTLP_GRPC);
}

static void start_http(struct http_script *script)
{
    snprintf(f.endpoint, sizeof f.endpoint, "%s", http_script_url(script));
    open_export(PIPELINE_OTLP_HTTP);
}

static const struct judgement *send(void)
{
    const struct export_batch batch = {.signal = SIGNAL_TRACES,
                                       .parts = parts,
                                       .part_count = 2,
                                       .size_bytes = 11,
                                       .done = on_judged};
    unsigned before = f.judged;

    f.done = false;
    assert_ok(export_send(f.export, &batch, NULL));
    net_peer_run_until(f.loop, &f.done);
    assert_int_equal(f.judged, before + 1);
    return &f.judgement;
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.settings.compression = PIPELINE_COMPRESSION_ZSTD;
    f.takes[COMPRESSION_NONE] = f.takes[COMPRESSION_GZIP] = f.takes[COMPRESSION_ZSTD] = true;
    assert_ok(net_loop_create(&f.loop, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    export_close(&f.export);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    return 0;
}

static void test_grpc_falls_back_to_what_the_backend_takes(void **state)
{
    (void)state;
    f.takes[COMPRESSION_ZSTD] = false;
    f.refusal = (struct grpc_reply){.status = GRPC_INTERNAL,
                                    .message = "Error parsing 'grpc-encoding' metadata"};
    start_grpc();
    for (int i = 0; i < 5; i++)
        assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_int_equal(f.seen[COMPRESSION_ZSTD], 1); /* and no more */
    assert_int_equal(f.seen[COMPRESSION_GZIP], 5);
    assert_int_equal(f.sound, 5);
}

static void test_grpc_falls_back_to_no_compression(void **state)
{
    (void)state;
    f.takes[COMPRESSION_ZSTD] = f.takes[COMPRESSION_GZIP] = false;
    f.refusal = (struct grpc_reply){.status = GRPC_UNIMPLEMENTED, .message = "no decompressor"};
    start_grpc();
    assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_int_equal(f.seen[COMPRESSION_ZSTD], 1);
    assert_int_equal(f.seen[COMPRESSION_GZIP], 1);
    assert_int_equal(f.seen[COMPRESSION_NONE], 2);
    assert_int_equal(f.sound, 2);
}

static void test_grpc_tells_a_refusal_of_the_data_as_it_is(void **state)
{
    (void)state;
    f.answer = (struct grpc_reply){.status = GRPC_INVALID_ARGUMENT, .message = "bad span"};
    start_grpc();
    assert_int_equal(send()->verdict, VERDICT_REFUSED);
    assert_string_equal(f.judgement.text, "INVALID_ARGUMENT: bad span");
    assert_int_equal(f.seen[COMPRESSION_NONE], 1); /* it might have been the compression */
    f.answer.status = GRPC_OK;
    assert_int_equal(send()->verdict, VERDICT_DONE);
    f.answer.status = GRPC_INVALID_ARGUMENT;
    assert_int_equal(send()->verdict, VERDICT_REFUSED);
    assert_int_equal(f.seen[COMPRESSION_ZSTD], 3);
    assert_int_equal(f.seen[COMPRESSION_NONE], 1);
}

static void test_grpc_sends_as_many_headers_as_a_document_may_name(void **state)
{
    (void)state;
    struct pipeline_pair pairs[EXPORT_HEADERS_MAX];
    char names[EXPORT_HEADERS_MAX][16];

    for (size_t i = 0; i < EXPORT_HEADERS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "x-%zu", i);
        pairs[i] = (struct pipeline_pair){names[i], "v"};
    }
    f.settings.headers = (struct pipeline_map){pairs, EXPORT_HEADERS_MAX};
    start_grpc();
    assert_int_equal(send()->verdict, VERDICT_DONE);
}

#define HTTP(code, header, text)                             \
    {                                                        \
        .expect = (header), .status = (code), .body = (text) \
    }

static void test_http_falls_back_to_what_the_backend_takes(void **state)
{
    (void)state;
    static const struct http_step steps[] = {
        HTTP(400, "content-encoding: zstd\r\n", "unsupported compression: zstd"),
        HTTP(200, "content-encoding: gzip\r\n", ""),
        HTTP(200, "content-encoding: gzip\r\n", ""),
    };
    struct http_script *script = http_script_start(steps, 3);

    start_http(script);
    assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_int_equal(http_script_requests(script), 3);
    http_script_stop(&script);
}

static void test_http_falls_back_to_no_compression(void **state)
{
    (void)state;
    static const struct http_step steps[] = {
        HTTP(415, "content-encoding: zstd\r\n", NULL),
        HTTP(415, "content-encoding: gzip\r\n", NULL),
        HTTP(200, "\r\n\r\none request", NULL),
    };
    struct http_script *script = http_script_start(steps, 3);

    start_http(script);
    assert_int_equal(send()->verdict, VERDICT_DONE);
    assert_null(strstr(http_script_request(script, 2), "ncoding:"));
    http_script_stop(&script);
}

static void test_http_keeps_what_an_outage_interrupted(void **state)
{
    (void)state;
    static const struct http_step steps[] = {
        HTTP(415, "content-encoding: zstd\r\n", NULL),
        HTTP(503, "content-encoding: gzip\r\n", NULL),
        HTTP(415, "content-encoding: zstd\r\n", NULL),
        {.expect = "content-encoding: gzip\r\n",
         .status = 200,
         .body = "cut off",
         .cut = 3,
         .end = HTTP_END_CUT},
        HTTP(200, "content-encoding: zstd\r\n", NULL),
    };
    struct http_script *script = http_script_start(steps, 5);

    start_http(script);
    assert_int_equal(send()->verdict, VERDICT_AGAIN);
    assert_int_equal(send()->verdict, VERDICT_AGAIN);
    assert_true(f.judgement.lost_connection);
    assert_int_equal(send()->verdict, VERDICT_DONE);
    http_script_stop(&script);
}

static void test_http_that_closes_between_two_encodings_is_told_once(void **state)
{
    (void)state;
    static const struct http_step steps[] = {
        HTTP(415, "content-encoding: zstd\r\n", NULL),
        {.expect = "content-encoding: gzip\r\n", .end = HTTP_END_HOLD},
    };
    const struct export_batch batch = {.signal = SIGNAL_LOGS,
                                       .parts = parts,
                                       .part_count = 2,
                                       .size_bytes = 11,
                                       .done = on_judged};
    struct http_script *script = http_script_start(steps, 2);

    start_http(script);
    assert_ok(export_send(f.export, &batch, NULL));
    assert_true(http_script_wait(script, 1)); /* its answer may be in hand, or still on the way */
    export_close(&f.export);
    assert_int_equal(f.judged, 1);
    assert_int_equal(f.judgement.verdict, VERDICT_AGAIN);
    http_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_grpc_falls_back_to_what_the_backend_takes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_grpc_falls_back_to_no_compression, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_grpc_tells_a_refusal_of_the_data_as_it_is, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_grpc_sends_as_many_headers_as_a_document_may_name,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http_falls_back_to_what_the_backend_takes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_http_falls_back_to_no_compression, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http_keeps_what_an_outage_interrupted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_http_that_closes_between_two_encodings_is_told_once,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests_name("otlp exporters", tests, NULL, NULL);
}
