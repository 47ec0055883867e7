/* TLS: who may talk to whom, that certificates are followed while connections go on, and that gRPC
 * and HTTP/1.1 travel over it as they do without.
 */
// link: tests/support/net_peer.c tests/support/certs.c
#include "tests/support/test.h"

#include "common/http_client.h"
#include "common/tls.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/certs.h"
#include "tests/support/net_peer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 128 };

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options server_options;
    struct net_server *server;
    struct tls_server_options server_files;
    struct tls_client_options client_files;
    struct tls_context *server_tls, *client_tls;
    struct grpc_client_options options;
    struct grpc_client *client;
    struct cert_authority *authority, *other;
    char dir[PATH_SIZE];
    char ca[PATH_SIZE], other_ca[PATH_SIZE], cert[PATH_SIZE], key[PATH_SIZE];
    char client_cert[PATH_SIZE], client_key[PATH_SIZE];
    bool done;
    enum grpc_outcome outcome;
    enum grpc_status status;
    char message[256];
    size_t received;
} f;

static void on_request(void *ctx, struct net_request *request)
{
    const struct net_response response = {.status = 200, .body = net_request_body(request)};
    struct grpc_reply reply = {0};
    struct error error = {0};

    (void)ctx;
    if (!grpc_request_is_call(request)) {
        net_respond(&request, &response);
        return;
    }
    if (grpc_request_open(request, 64 << 20, &reply.status, &error))
        reply.message = error.text;
    f.received = net_request_body(request).len;
    grpc_respond(&request, &reply);
}

static void on_done(void *ctx, const struct grpc_result *result)
{
    (void)ctx;
    f.outcome = result->outcome;
    f.status = result->status;
    snprintf(f.message, sizeof f.message, "%.*s", (int)result->message.len,
             (const char *)result->message.data);
    f.done = true;
}

static void path(char into[PATH_SIZE], const char *name)
{
    snprintf(into, PATH_SIZE, "%.100s/%s", f.dir, name);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    snprintf(f.dir, sizeof f.dir, "/tmp/test-net-tls-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    path(f.ca, "ca.pem");
    path(f.other_ca, "other-ca.pem");
    path(f.cert, "tls.crt");
    path(f.key, "tls.key");
    path(f.client_cert, "client.crt");
    path(f.client_key, "client.key");
    f.authority = cert_authority_create("test authority", f.ca);
    f.other = cert_authority_create("other authority", f.other_ca);
    cert_issue(f.authority, "server", 600, f.cert, f.key);
    cert_issue(f.authority, "client", 600, f.client_cert, f.client_key);

    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.server_options);
    f.server_options.address = "127.0.0.1";
    f.server_options.budget = &f.budget;
    f.server_options.on_request = on_request;
    f.server_files = (struct tls_server_options){
        .certificate_file = f.cert, .key_file = f.key, .alpn = "h2,http/1.1"};
    f.client_files = (struct tls_client_options){.ca_file = f.ca, .alpn = "h2"};
    grpc_client_options_init(&f.options);
    f.options.host = "localhost";
    return 0;
}

static int tear_down(void **state)
{
    const char *const files[] = {f.ca, f.other_ca, f.cert, f.key, f.client_cert, f.client_key};
    (void)state;
    grpc_client_destroy(&f.client);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    tls_context_close(&f.server_tls);
    tls_context_close(&f.client_tls);
    cert_authority_destroy(&f.authority);
    cert_authority_destroy(&f.other);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(files[i]);
    rmdir(f.dir);
    return 0;
}

static void start_server(void)
{
    struct error error = {0};
    if (tls_server_open(&f.server_files, &f.server_tls, &error))
        fail_msg("%s", error.text);
    f.server_options.tls = f.server_tls;
    assert_ok(net_server_open(f.loop, &f.server_options, &f.server, NULL));
    f.options.port = net_server_port(f.server);
}

static void create_client(void)
{
    struct error error = {0};
    grpc_client_destroy(&f.client);
    tls_context_close(&f.client_tls);
    if (tls_client_open(&f.client_files, &f.client_tls, &error))
        fail_msg("%s", error.text);
    f.options.tls = f.client_tls;
    assert_ok(grpc_client_create(f.loop, &f.options, &f.client, NULL));
}

static void call(struct bytes message)
{
    const struct grpc_call_params params = {.path = "/s/m",
                                            .message = &message,
                                            .message_count = 1,
                                            .timeout_ms = 60000,
                                            .done = on_done};
    f.done = false;
    assert_ok(grpc_client_call(f.client, &params, NULL, NULL));
    net_peer_run_until(f.loop, &f.done);
}

static void expect(enum grpc_outcome outcome, const char *text)
{
    if (f.outcome != outcome || strstr(f.message, text) == NULL)
        fail_msg("%s: %s", grpc_outcome_name(f.outcome), f.message);
}

static void test_carries_calls_of_any_size(void **state)
{
    static uint8_t large[3 << 20];
    (void)state;
    start_server();
    create_client();
    for (size_t len = 0; len <= sizeof large; len = len * 7 + 1) {
        call((struct bytes){large, len});
        expect(GRPC_CALL_ANSWERED, "");
        assert_int_equal(f.received, len);
    }
}

static void test_trusts_nobody_it_was_not_told_to_trust(void **state)
{
    struct net_server_stats stats;
    (void)state;
    start_server();
    f.client_files.ca_file = f.other_ca;
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "certificate");
    net_peer_run_for(f.loop, 20);
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.refused[NET_REFUSED_TLS], 1);

    f.client_files.insecure_skip_verify = true;
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");
}

static void test_checks_the_name_in_the_certificate(void **state)
{
    (void)state;
    start_server();
    f.options.server_name = "elsewhere";
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "ostname mismatch");
    f.options.server_name = "127.0.0.1";
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");
    f.options.server_name = "127.0.0.2";
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "IP address mismatch");
}

static void test_refuses_an_expired_certificate(void **state)
{
    (void)state;
    cert_issue(f.authority, "server", -10, f.cert, f.key);
    start_server();
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "expired");
}

static void test_asks_clients_for_a_certificate_when_told_to(void **state)
{
    (void)state;
    f.server_files.client_ca_file = f.ca;
    start_server();
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_LOST, "certificate required"); /* TLS 1.3 tells after its handshake */

    f.client_files.certificate_file = f.client_cert;
    f.client_files.key_file = f.client_key;
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");

    cert_issue(f.other, "stranger", 600, f.client_cert, f.client_key);
    create_client();
    call((struct bytes){0});
    assert_true(f.outcome != GRPC_CALL_ANSWERED);
}

static void test_says_when_the_server_does_not_speak_http2(void **state)
{
    (void)state;
    f.server_files.alpn = "http/1.1";
    start_server();
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "");
    f.server_files.alpn = NULL;
    net_server_close(&f.server);
    tls_context_close(&f.server_tls);
    start_server();
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "does not speak HTTP/2");
}

static void test_says_when_the_server_speaks_no_tls(void **state)
{
    (void)state;
    assert_ok(net_server_open(f.loop, &f.server_options, &f.server, NULL));
    f.options.port = net_server_port(f.server);
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_TLS_FAILED, "");
}

/* ---- files that change */

static void refresh(struct tls_context *context, enum err want, bool want_changed)
{
    bool changed = false;
    struct error error = {0};
    enum err err = tls_refresh(context, &changed, &error);
    if (err != want)
        fail_msg("%s: %s", err_name(err), error.text);
    assert_int_equal(changed, want_changed);
}

static void test_follows_its_certificate_while_connections_go_on(void **state)
{
    struct tls_state now;
    (void)state;
    start_server();
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");
    refresh(f.server_tls, OK, false);

    cert_issue(f.other, "server", 1200, f.cert, f.key);
    refresh(f.server_tls, OK, true);
    refresh(f.server_tls, OK, false);
    tls_context_state(f.server_tls, &now);
    assert_int_equal(now.loads, 2);
    assert_in_range(now.not_after_unix_s, time(NULL) + 1100, time(NULL) + 1201);
    call((struct bytes){0}); /* the connection that is open */
    expect(GRPC_CALL_ANSWERED, "");
    create_client();
    call((struct bytes){0}); /* a new one */
    expect(GRPC_CALL_TLS_FAILED, "certificate");
    f.client_files.ca_file = f.other_ca;
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");
}

/* ---- libcurl's side of it */

struct fetched {
    atomic_bool done;
    enum err err;
    int status;
};

static void on_fetched(void *context, enum err err, const struct http_response *response,
                       const struct error *error)
{
    struct fetched *fetched = context;
    (void)error;
    fetched->err = err;
    fetched->status = err ? 0 : http_response_status(response);
    atomic_store(&fetched->done, true);
}

/* 200, or 0 if no connection could be trusted. */
static int fetch(struct http_client *client, const struct http_tls *files)
{
    char url[64];
    struct fetched fetched = {.done = false};
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", net_server_port(f.server));
    const struct http_request request = {.method = "POST",
                                         .url = url,
                                         .tls = files,
                                         .body = BYTES_LITERAL("hello"),
                                         .total_timeout_ms = 60000,
                                         .fresh_connection = true,
                                         .on_done = on_fetched,
                                         .context = &fetched};
    assert_ok(http_submit(client, &request, NULL, NULL));
    while (!atomic_load(&fetched.done))
        net_loop_run_once(f.loop, 5);
    return fetched.status;
}

/* The authority and the client's own certificate are read again for each connection. */
static void test_http_client_follows_its_files(void **state)
{
    struct http_client *client = NULL;
    const struct http_client_config config = {.name = "test"};
    const struct http_tls files = {
        .ca_file = f.ca, .cert_file = f.client_cert, .key_file = f.client_key};
    (void)state;
    cert_issue(f.authority, "client", 600, f.client_cert, f.client_key);
    f.server_files.client_ca_file = f.ca;
    start_server();
    assert_ok(http_client_create(&config, &client, NULL));
    assert_int_equal(fetch(client, &files), 200);

    cert_issue(f.other, "server", 600, f.cert, f.key);
    refresh(f.server_tls, OK, true);
    assert_int_equal(fetch(client, &files), 0); /* a stranger now */
    assert_int_equal(rename(f.other_ca, f.ca), 0);
    refresh(f.server_tls, OK, true); /* it asks for clients of the other authority, too */
    assert_int_equal(fetch(client, &files), 0);
    cert_issue(f.other, "client", 600, f.client_cert, f.client_key);
    assert_int_equal(fetch(client, &files), 200);
    http_client_destroy(&client);
}

static void spoil(const char *file)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs("-----BEGIN CERTIFICATE-----\nnonsense\n", out);
    fclose(out);
}

static void test_keeps_what_it_has_when_the_new_files_are_bad(void **state)
{
    struct tls_state now;
    (void)state;
    start_server();
    spoil(f.cert);
    refresh(f.server_tls, ERR_INVALID, false);
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");

    cert_issue(f.authority, "server", 600, f.cert, f.client_key); /* whose key lies elsewhere */
    refresh(f.server_tls, ERR_INVALID, false);
    unlink(f.key);
    refresh(f.server_tls, ERR_INVALID, false);
    tls_context_state(f.server_tls, &now);
    assert_int_equal(now.loads, 1);
    assert_int_equal(now.failures, 3);

    cert_issue(f.authority, "server", 600, f.cert, f.key);
    refresh(f.server_tls, OK, true);
    create_client();
    call((struct bytes){0});
    expect(GRPC_CALL_ANSWERED, "");
}

static void test_names_the_file_that_it_cannot_use(void **state)
{
    struct error error = {0};
    (void)state;
    f.server_files.key_file = "/nonexistent/tls.key";
    assert_int_equal(tls_server_open(&f.server_files, &f.server_tls, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "/nonexistent/tls.key"));
    assert_non_null(strstr(error.text, "No such file"));
    f.server_files.key_file = NULL;
    assert_int_equal(tls_server_open(&f.server_files, &f.server_tls, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "key is missing"));
    f.client_files.ca_file = f.key;
    assert_int_equal(tls_client_open(&f.client_files, &f.client_tls, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, f.key));
}

/* ---- HTTP/1.1 and handshakes that go wrong */

static void test_serves_http1_over_tls(void **state)
{
    struct tls_stream *stream = NULL;
    struct net_peer peer;
    char text[512] = "";
    size_t len = 0, got = 0;
    enum err err;
    (void)state;
    start_server();
    f.client_files.alpn = "http/1.1";
    create_client();
    net_peer_connect(&peer, f.loop, f.options.port);
    assert_int_equal(setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO,
                                &(struct timeval){.tv_usec = 1000}, sizeof(struct timeval)),
                     0);
    assert_ok(tls_connect(f.client_tls, peer.fd, "localhost", &stream, NULL));
    while ((err = tls_handshake(stream, NULL)) == ERR_AGAIN)
        net_loop_run_once(f.loop, 1);
    assert_ok(err);
    assert_true(bytes_equal(tls_alpn(stream), BYTES_LITERAL("http/1.1")));
    assert_ok(tls_write(stream,
                        BYTES_LITERAL("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
                        &len, NULL));
    while (strstr(text, "\r\n\r\nhi") == NULL) {
        net_loop_run_once(f.loop, 1);
        err = tls_read(stream, text + got, sizeof text - 1 - got, &len, NULL);
        assert_true(err == OK || err == ERR_AGAIN);
        got += err == OK ? len : 0;
    }
    tls_stream_close(&stream);
    net_peer_close(&peer);
}

static void test_gives_up_on_a_handshake_that_does_not_come(void **state)
{
    struct net_server_stats stats;
    struct net_peer peer;
    (void)state;
    f.server_options.handshake_timeout_ms = 40;
    start_server();
    net_peer_connect(&peer, f.loop, f.options.port);
    net_peer_await_end(&peer);
    net_peer_close(&peer);
    net_peer_connect(&peer, f.loop, f.options.port);
    net_peer_send_text(&peer, "POST / HTTP/1.1\r\n\r\n");
    net_peer_await_end(&peer);
    net_peer_close(&peer);
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.refused[NET_REFUSED_TLS], 2);
    assert_int_equal(stats.connections, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_carries_calls_of_any_size),
        TEST(test_trusts_nobody_it_was_not_told_to_trust),
        TEST(test_checks_the_name_in_the_certificate),
        TEST(test_refuses_an_expired_certificate),
        TEST(test_asks_clients_for_a_certificate_when_told_to),
        TEST(test_says_when_the_server_does_not_speak_http2),
        TEST(test_says_when_the_server_speaks_no_tls),
        TEST(test_follows_its_certificate_while_connections_go_on),
        TEST(test_http_client_follows_its_files),
        TEST(test_keeps_what_it_has_when_the_new_files_are_bad),
        TEST(test_names_the_file_that_it_cannot_use),
        TEST(test_serves_http1_over_tls),
        TEST(test_gives_up_on_a_handshake_that_does_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
