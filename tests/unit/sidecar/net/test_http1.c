/* HTTP/1.1 requests arrive whole however they are cut up, are answered in order, and what breaks a
 * rule or a limit gets the right status and costs no more than it may. */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <zlib.h>

#define HEAD "POST /v1/logs?x=1 HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\n"

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options options;
    struct net_server *server;
    struct net_peer peer;
    struct net_request *held; /* by a handler that answers later */
    bool hold, accept_headers, drained;
    unsigned requests;
    enum net_refusal refusal;
    size_t decode_max; /* 0: the body is taken as it is */
} f;

/* Answers 200 with the body that came, or 4xx with the reason for which none did. */
static void answer(struct net_request *request)
{
    static const struct net_field headers[] = {{"content-type", "text/plain"}};
    struct net_response response = {.status = 200, .headers = headers, .header_count = 1};
    enum net_refusal refusal = net_request_refusal(request);

    if (refusal == NET_REFUSED_NOT && f.decode_max > 0)
        assert_true(net_request_decode(request, f.decode_max, &refusal, NULL) == OK ||
                    refusal != NET_REFUSED_NOT);
    f.refusal = refusal;
    if (refusal == NET_REFUSED_NOT) {
        response.body = net_request_body(request);
    } else {
        const char *name = net_refusal_name(refusal);
        response.status = refusal == NET_REFUSED_MEMORY ? 503 : 413;
        response.body = (struct bytes){(const uint8_t *)name, strlen(name)};
    }
    /* The answer's body is copied before the request's goes. */
    net_respond(&request, &response);
}

static void on_request(void *ctx, struct net_request *request)
{
    assert_ptr_equal(ctx, &f);
    f.requests++;
    if (f.hold) {
        assert_null(f.held);
        f.held = request;
    } else {
        answer(request);
    }
}

static bool on_headers(void *ctx, struct net_request *request)
{
    (void)ctx;
    (void)request;
    return f.accept_headers;
}

static void on_drained(void *ctx)
{
    (void)ctx;
    f.drained = true;
}

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.accept_headers = true};
    f.peer.fd = -1;
    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.options);
    f.options.address = "127.0.0.1";
    f.options.budget = &f.budget;
    f.options.ctx = &f;
    f.options.on_request = on_request;
    f.options.on_headers = on_headers;
    f.options.on_drained = on_drained;
    return 0;
}

static void start(void)
{
    assert_ok(net_server_open(f.loop, &f.options, &f.server, NULL));
    net_peer_connect(&f.peer, f.loop, net_server_port(f.server));
}

static int tear_down(void **state)
{
    (void)state;
    net_peer_close(&f.peer);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    assert_int_equal(net_budget_used(&f.budget), 0);
    assert_int_equal(f.budget.overhead, 0);
    return 0;
}

static uint64_t refused(enum net_refusal refusal)
{
    struct net_server_stats stats;
    net_server_stats(f.server, &stats);
    return stats.refused[refusal];
}

static void expect(const char *text)
{
    net_peer_await_text(&f.peer, text);
}

/* ---- requests that are welcome */

static void test_answers_a_request_and_keeps_the_connection(void **state)
{
    (void)state;
    start();
    for (int i = 0; i < 3; i++) {
        net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
        expect("hello");
        assert_non_null(strstr(net_peer_text(&f.peer), "HTTP/1.1 200 OK\r\nDate: "));
        assert_non_null(strstr(net_peer_text(&f.peer), "Content-Length: 5\r\n"));
        assert_null(strstr(net_peer_text(&f.peer), "Connection: close"));
        buf_clear(&f.peer.in);
    }
    assert_int_equal(f.requests, 3);
}

static void test_shows_the_handler_what_was_asked(void **state)
{
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Authorization: Bearer x\r\nX-Scope-OrgID:  acme \r\n"
                                     "X-Other: y\r\nOrigin:\r\n\r\n");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    assert_true(bytes_equal(net_request_method(f.held), BYTES_LITERAL("POST")));
    assert_true(bytes_equal(net_request_path(f.held), BYTES_LITERAL("/v1/logs")));
    assert_true(
        bytes_equal(net_request_header(f.held, NET_HEADER_AUTHORITY), BYTES_LITERAL("here")));
    assert_true(bytes_equal(net_request_header(f.held, NET_HEADER_AUTHORIZATION),
                            BYTES_LITERAL("Bearer x")));
    assert_true(bytes_equal(net_request_header(f.held, NET_HEADER_TENANT), BYTES_LITERAL("acme")));
    assert_int_equal(net_request_header(f.held, NET_HEADER_ORIGIN).len, 0);
    assert_string_equal(net_request_peer(f.held), "127.0.0.1");
    assert_false(net_request_is_http2(f.held));
    answer(f.held);
    expect("200 OK");
}

static void test_reads_a_request_split_at_every_byte(void **state)
{
    static const char request[] = HEAD
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
    (void)state;
    start();
    for (size_t at = 1; at < sizeof request - 1; at++) {
        net_peer_send(&f.peer, request, at);
        net_loop_run_once(f.loop, 5);
        net_loop_run_once(f.loop, 0);
        net_peer_send(&f.peer, request + at, sizeof request - 1 - at);
        expect("abcdefg");
        buf_clear(&f.peer.in);
    }
    assert_int_equal(f.requests, sizeof request - 2);
}

static void test_reads_a_request_that_comes_byte_by_byte(void **state)
{
    static const char request[] = HEAD "Content-Length: 5\r\n\r\nhello";
    (void)state;
    start();
    for (size_t at = 0; at < sizeof request - 1; at++) {
        net_peer_send(&f.peer, request + at, 1);
        net_loop_run_once(f.loop, 5);
    }
    expect("hello");
}

static void test_answers_pipelined_requests_in_order_though_handlers_are_slow(void **state)
{
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer,
                       HEAD "Content-Length: 1\r\n\r\na" HEAD "Content-Length: 1\r\n\r\nb" HEAD
                            "Content-Length: 1\r\n\r\nc");
    for (int i = 0; i < 3; i++) {
        while (f.held == NULL)
            net_loop_run_once(f.loop, 10);
        net_peer_run_for(f.loop, 10);
        assert_int_equal(f.requests, i + 1); /* the next one waits for this one's answer */
        struct net_request *request = f.held;
        f.held = NULL;
        answer(request);
    }
    expect("\r\n\r\na");
    expect("\r\n\r\nc");
    assert_true(strstr(net_peer_text(&f.peer), "\r\n\r\na") <
                strstr(net_peer_text(&f.peer), "\r\n\r\nb"));
    assert_true(strstr(net_peer_text(&f.peer), "\r\n\r\nb") <
                strstr(net_peer_text(&f.peer), "\r\n\r\nc"));
}

static void test_says_continue_before_it_waits_for_a_body(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 100 Continue\r\n\r\n");
    net_peer_send_text(&f.peer, "hello");
    expect("\r\n\r\nhello");
}

static void test_refuses_an_expectation_that_it_does_not_know(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\nExpect: the-moon\r\n\r\n");
    expect("HTTP/1.1 417 ");
    net_peer_await_end(&f.peer);
}

static void test_answers_a_client_that_has_sent_its_last_byte(void **state)
{
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    shutdown(f.peer.fd, SHUT_WR);
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    net_peer_run_for(f.loop, 10);
    answer(f.held);
    expect("hello");
    net_peer_await_end(&f.peer);
}

static void test_closes_after_the_answer_if_asked_to(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, HEAD "Connection: close\r\nContent-Length: 5\r\n\r\nhello");
    expect("Connection: close\r\n\r\nhello");
    net_peer_await_end(&f.peer);
}

static void test_speaks_http_1_0(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi");
    expect("\r\n\r\nhi");
    net_peer_await_end(&f.peer);
}

static void test_sends_no_body_in_answer_to_head(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, "HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    expect("Content-Length: 2\r\n\r\n");
    net_peer_send_text(&f.peer, HEAD "\r\n");
    expect("Content-Length: 0\r\n\r\n");
    assert_null(strstr(net_peer_text(&f.peer), "hi"));
}

static void test_ignores_an_offer_to_upgrade(void **state)
{
    (void)state;
    start();
    net_peer_send_text(&f.peer, HEAD "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                                     "HTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\nhi");
    expect("HTTP/1.1 200 OK");
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    expect("hello");
}

static void test_takes_a_large_body_without_a_copy_too_many(void **state)
{
    enum { SIZE = 3 << 20 };
    char *body = malloc(SIZE);
    (void)state;
    assert_non_null(body);
    memset(body, 'x', SIZE);
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 3145728\r\n\r\n");
    net_peer_send(&f.peer, body, SIZE);
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    struct bytes got = net_request_body(f.held);
    assert_int_equal(got.len, SIZE);
    assert_memory_equal(got.data, body, SIZE);
    assert_in_range(net_budget_used(&f.budget), SIZE, 2 * SIZE);
    net_request_drop_body(f.held);
    answer(f.held);
    expect("200 OK");
    free(body);
}

/* ---- requests that are not */

/* Kept for the next request while requests come, and not longer. */
static void test_gives_memory_back_when_nobody_asks(void **state)
{
    struct net_server_stats stats;
    (void)state;
    f.options.keep_ms = 60;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    expect("hello");
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.kept_bytes, 2048);
    net_peer_run_for(f.loop, 150);
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.kept_bytes, 0);
    buf_clear(&f.peer.in);
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nagain");
    expect("again");
}

/* Above a MiB blocks are made to measure, and grow with what has come. */
static void test_takes_a_very_large_body_for_little_more_than_its_size(void **state)
{
    enum { SIZE = 20 << 20 };
    (void)state;
    f.options.body_max = SIZE;
    f.budget.max = SIZE + 4096;
    f.hold = true;
    start();
    char *head = NULL;
    assert_true(asprintf(&head, HEAD "Content-Length: %d\r\n\r\n", SIZE) > 0);
    uint8_t *body = calloc(1, SIZE);
    assert_non_null(body);
    body[SIZE - 1] = 'e';
    net_peer_send_text(&f.peer, head);
    net_peer_send(&f.peer, body, SIZE);
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    struct bytes got = net_request_body(f.held);
    assert_int_equal(got.len, SIZE);
    assert_memory_equal(got.data, body, SIZE);
    const struct net_response response = {.status = 200};
    net_respond(&f.held, &response);
    expect("200 OK");
    free(body);
    free(head);
}

static void test_refuses_what_is_no_http(void **state)
{
    static const char *const bad[] = {
        "\x16\x03\x01\x02\x00\x01",
        "NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    };
    (void)state;
    start();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        net_peer_send_text(&f.peer, bad[i]);
        expect("HTTP/1.1 400 Bad Request");
        net_peer_await_end(&f.peer);
        net_peer_close(&f.peer);
        assert_int_equal(refused(NET_REFUSED_MALFORMED), i + 1);
        net_peer_connect(&f.peer, f.loop, net_server_port(f.server));
    }
    assert_int_equal(f.requests, 0);
}

static void test_refuses_headers_without_end(void **state)
{
    char line[64];
    (void)state;
    f.options.headers_max = 1024;
    start();
    net_peer_send_text(&f.peer, HEAD);
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "x-%d: 0123456789\r\n", i);
        net_peer_send_text(&f.peer, line);
    }
    expect("HTTP/1.1 431 ");
    net_peer_await_end(&f.peer);
    assert_int_equal(refused(NET_REFUSED_HEADERS), 1);
    assert_int_equal(f.requests, 0);
}

static void test_refuses_one_endless_header(void **state)
{
    char chunk[256];
    (void)state;
    memset(chunk, 'x', sizeof chunk);
    f.options.headers_max = 1024;
    start();
    net_peer_send_text(&f.peer, HEAD "X-Long: ");
    for (int i = 0; i < 10; i++)
        net_peer_send(&f.peer, chunk, sizeof chunk);
    expect("HTTP/1.1 431 ");
}

static void test_refuses_a_body_that_says_it_is_too_large(void **state)
{
    (void)state;
    f.options.body_max = 100;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 101\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 413 ");
    net_peer_await_end(&f.peer);
    assert_null(strstr(net_peer_text(&f.peer), "100 Continue"));
    assert_int_equal(f.refusal, NET_REFUSED_BODY_SIZE);
    assert_int_equal(refused(NET_REFUSED_BODY_SIZE), 1);
}

static void test_takes_a_body_of_exactly_the_limit(void **state)
{
    (void)state;
    f.options.body_max = 5;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    expect("hello");
}

static void test_refuses_a_chunked_body_when_it_turns_out_too_large(void **state)
{
    (void)state;
    f.options.body_max = 10;
    start();
    net_peer_send_text(&f.peer, HEAD "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n");
    net_peer_run_for(f.loop, 5);
    assert_int_equal(f.requests, 0);
    net_peer_send_text(&f.peer, "6\r\nabcdef\r\n");
    expect("HTTP/1.1 413 ");
    net_peer_send_text(&f.peer, "6\r\nabcdef\r\n"); /* still under way: read and dropped */
    net_peer_await_end(&f.peer);
    assert_int_equal(f.requests, 1);
}

/* Starts with 8 KiB for bodies, of which a request has 2 that is not answered yet. */
static struct net_request *hold_all_but_little(void)
{
    f.budget.max = 8192;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    f.hold = false;
    return f.held;
}

static uint64_t waiting(void)
{
    struct net_server_stats stats;
    net_server_stats(f.server, &stats);
    return stats.waiting;
}

static void await_waiting(uint64_t count)
{
    while (waiting() < count)
        net_loop_run_once(f.loop, 10);
}

/* The body is read after another request has given its memory back, and not before. */
static void expect_to_wait_and_succeed(const char *head, const char *body, const char *answer_body)
{
    struct net_request *first = hold_all_but_little();
    struct net_peer other;

    net_peer_connect(&other, f.loop, net_server_port(f.server));
    net_peer_send_text(&other, head);
    net_peer_send_text(&other, body);
    await_waiting(1);
    net_peer_run_for(f.loop, 20);
    assert_false(net_peer_take(&other)); /* nothing at all: no 100 Continue either */
    assert_int_equal(f.requests, 1);
    assert_true(net_budget_used(&f.budget) <= 2048);

    answer(first);
    net_peer_await_text(&other, answer_body);
    assert_int_equal(refused(NET_REFUSED_MEMORY), 0);
    assert_int_equal(waiting(), 0);
    net_peer_close(&other);
}

static void test_a_body_waits_for_memory(void **state)
{
    (void)state;
    char body[8001];
    memset(body, 'x', 7999);
    memcpy(body + 7999, "e", 2);
    expect_to_wait_and_succeed(HEAD "Content-Length: 8000\r\n\r\n", body, "xxxe");
}

static void test_a_body_of_unknown_length_waits_for_memory(void **state)
{
    (void)state;
    expect_to_wait_and_succeed(HEAD "Transfer-Encoding: chunked\r\n\r\n", "5\r\nthere\r\n0\r\n\r\n",
                               "there");
}

static void test_asks_to_continue_when_there_is_memory(void **state)
{
    (void)state;
    expect_to_wait_and_succeed(HEAD "Content-Length: 7000\r\nExpect: 100-continue\r\n\r\n", "",
                               "100 Continue");
}

static void test_forgets_who_goes_away_while_it_waits(void **state)
{
    (void)state;
    struct net_request *first = hold_all_but_little();
    struct net_peer gone, next;

    net_peer_connect(&gone, f.loop, net_server_port(f.server));
    net_peer_send_text(&gone, HEAD "Content-Length: 8000\r\n\r\n");
    await_waiting(1);
    net_peer_connect(&next, f.loop, net_server_port(f.server));
    net_peer_send_text(&next, HEAD "Content-Length: 8000\r\n\r\n");
    await_waiting(2);
    net_peer_reset(&gone);
    while (waiting() > 1)
        net_loop_run_once(f.loop, 10);
    answer(first);
    while (waiting() > 0)
        net_loop_run_once(f.loop, 10);
    net_peer_close(&next);
}

/* Memory is granted to a request in the same moment that its connection is lost. */
static void test_gives_back_what_comes_too_late(void **state)
{
    (void)state;
    struct net_request *first = hold_all_but_little();
    struct net_peer other;

    net_peer_connect(&other, f.loop, net_server_port(f.server));
    net_peer_send_text(&other, HEAD "Content-Length: 8000\r\n\r\n");
    await_waiting(1);
    answer(first);               /* its turn has come; it will hear of it in the next round */
    net_server_close(&f.server); /* and by then has no connection, nor has it a server */
    net_peer_close(&other);
}

static void test_refuses_for_want_of_memory_and_recovers(void **state)
{
    struct net_peer other;
    (void)state;
    f.options.memory_wait_ms = 30;
    struct net_request *first = hold_all_but_little();
    net_peer_connect(&other, f.loop, net_server_port(f.server));
    net_peer_send_text(&other, HEAD "Content-Length: 8000\r\n\r\n");
    net_peer_await_text(&other, "HTTP/1.1 503 ");
    assert_int_equal(f.refusal, NET_REFUSED_MEMORY);
    assert_int_equal(refused(NET_REFUSED_MEMORY), 1);
    net_peer_close(&other);

    answer(first);
    expect("hello");
    assert_int_equal(net_budget_used(&f.budget), 0);
}

static void test_lets_the_handler_refuse_before_the_body(void **state)
{
    (void)state;
    f.accept_headers = false;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 413 ");
    assert_int_equal(f.refusal, NET_REFUSED_BY_HANDLER);
    assert_null(strstr(net_peer_text(&f.peer), "100 Continue"));
}

static void test_gives_up_on_headers_that_come_too_slowly(void **state)
{
    (void)state;
    f.options.header_timeout_ms = 50;
    start();
    net_peer_send_text(&f.peer, HEAD);
    expect("HTTP/1.1 408 ");
    net_peer_await_end(&f.peer);
    assert_int_equal(refused(NET_REFUSED_HEADER_TIMEOUT), 1);
}

static void test_gives_up_on_a_client_that_says_nothing(void **state)
{
    (void)state;
    f.options.header_timeout_ms = 50;
    start();
    net_peer_await_end(&f.peer);
    assert_int_equal(refused(NET_REFUSED_HEADER_TIMEOUT), 1);
}

static void test_gives_up_on_a_body_that_trickles(void **state)
{
    (void)state;
    f.options.body_timeout_ms = 60;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 1000\r\n\r\n");
    for (int i = 0; i < 20 && !f.peer.ended; i++) {
        net_peer_send_text(&f.peer, "x");
        net_peer_run_for(f.loop, 10);
    }
    expect("HTTP/1.1 503 "); /* 408 would be final to an OTLP client */
    expect("retry-after: 1\r\n");
    assert_int_equal(refused(NET_REFUSED_BODY_TIMEOUT), 1);
    assert_int_equal(f.requests, 0);
}

static void test_closes_an_idle_connection(void **state)
{
    (void)state;
    f.options.idle_timeout_ms = 50;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    expect("hello");
    net_peer_await_end(&f.peer);
}

static void test_closes_a_client_that_does_not_read_its_answers(void **state)
{
    struct net_server_stats stats = {.connections = 1};
    (void)state;
    f.options.write_timeout_ms = 60;
    f.options.body_max = 1 << 20;
    start();
    uint8_t *body = calloc(1, 1 << 20);
    assert_non_null(body);
    for (int i = 0; i < 40 && stats.connections > 0; i++) {
        char *head = NULL;
        assert_true(asprintf(&head, HEAD "Content-Length: %d\r\n\r\n", 1 << 20) > 0);
        send(f.peer.fd, head, strlen(head), MSG_DONTWAIT | MSG_NOSIGNAL);
        free(head);
        for (int at = 0; at < 1 << 20 && stats.connections > 0;) {
            ssize_t n =
                send(f.peer.fd, body + at, (size_t)((1 << 20) - at), MSG_DONTWAIT | MSG_NOSIGNAL);
            at += n > 0 ? (int)n : 0;
            net_loop_run_once(f.loop, n > 0 ? 0 : 5);
            net_server_stats(f.server, &stats);
        }
    }
    free(body);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(refused(NET_REFUSED_WRITE_TIMEOUT), 1);
}

static void test_refuses_connections_above_the_limit(void **state)
{
    struct net_peer second;
    (void)state;
    f.options.connections_max = 1;
    start();
    net_peer_run_for(f.loop, 5);
    net_peer_connect(&second, f.loop, net_server_port(f.server));
    net_peer_await_end(&second);
    net_peer_close(&second);
    assert_int_equal(refused(NET_REFUSED_CONNECTIONS), 1);
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    expect("hello");
}

/* ---- endings */

static void test_an_answer_to_a_client_that_left_does_no_harm(void **state)
{
    struct net_server_stats stats;
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    net_peer_reset(&f.peer);
    net_peer_run_for(f.loop, 20);
    assert_true(net_request_is_gone(f.held));
    answer(f.held);
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.responses_lost, 1);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.in_flight, 0);
}

static void test_an_answer_may_even_outlive_the_server(void **state)
{
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    net_server_close(&f.server);
    assert_int_equal(net_request_body(f.held).len, 5);
    answer(f.held);
}

static void test_drains_by_answering_what_is_open(void **state)
{
    struct net_peer idle;
    (void)state;
    f.hold = true;
    start();
    net_peer_connect(&idle, f.loop, net_server_port(f.server));
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    net_server_drain(f.server, net_loop_now_ms(f.loop) + 60000);
    net_peer_await_end(&idle);
    net_peer_close(&idle);
    assert_false(f.drained);
    answer(f.held);
    expect("Connection: close\r\n\r\nhello");
    net_peer_await_end(&f.peer);
    net_peer_close(&f.peer);
    net_peer_run_until(f.loop, &f.drained);
    assert_int_equal(refused(NET_REFUSED_SHUTDOWN), 0);
}

static void test_cuts_off_what_is_open_when_the_drain_ends(void **state)
{
    (void)state;
    f.hold = true;
    start();
    net_peer_send_text(&f.peer, HEAD "Content-Length: 5\r\n\r\nhello");
    while (f.held == NULL)
        net_loop_run_once(f.loop, 10);
    net_server_drain(f.server, net_loop_now_ms(f.loop) + 30);
    net_peer_run_until(f.loop, &f.drained);
    assert_int_equal(refused(NET_REFUSED_SHUTDOWN), 1);
    net_peer_await_end(&f.peer);
    answer(f.held);
}

/* ---- Content-Encoding */

static size_t gzip(uint8_t *into, size_t cap, const void *data, size_t len)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = into;
    stream.avail_out = (uInt)cap;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    size_t size = cap - stream.avail_out;
    deflateEnd(&stream);
    return size;
}

static void post(const char *encoding, const uint8_t *body, size_t len)
{
    char head[256];
    snprintf(head, sizeof head, HEAD "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
             encoding, len);
    net_peer_send_text(&f.peer, head);
    net_peer_send(&f.peer, body, len);
}

static void test_decompresses_a_body(void **state)
{
    uint8_t packed[256];
    (void)state;
    f.decode_max = 1000;
    start();
    post("gzip", packed, gzip(packed, sizeof packed, "hello, hello, hello", 19));
    expect("hello, hello, hello");
    post("identity", (const uint8_t *)"plain", 5);
    expect("plain");
}

static void test_refuses_a_bomb_a_torn_body_and_a_foreign_coding(void **state)
{
    enum { SIZE = 1 << 20 };
    uint8_t packed[4096], *zeros = calloc(1, SIZE);
    (void)state;
    assert_non_null(zeros);
    size_t len = gzip(packed, sizeof packed, zeros, SIZE);
    free(zeros);
    f.decode_max = SIZE - 1;
    start();
    post("gzip", packed, len);
    expect("decompressed_size");
    post("gzip", packed, gzip(packed, sizeof packed, "hello", 5) - 1);
    expect("corrupt");
    post("br", packed, len);
    expect("encoding");
    assert_int_equal(refused(NET_REFUSED_DECOMPRESSED_SIZE), 1);
    assert_int_equal(refused(NET_REFUSED_CORRUPT), 1);
    assert_int_equal(refused(NET_REFUSED_ENCODING), 1);
    assert_int_equal(net_budget_used(&f.budget), 0);
}

static void test_refuses_a_bomb_that_the_budget_does_not_hold(void **state)
{
    enum { SIZE = 1 << 20 };
    uint8_t packed[4096], *zeros = calloc(1, SIZE);
    (void)state;
    assert_non_null(zeros);
    size_t len = gzip(packed, sizeof packed, zeros, SIZE);
    free(zeros);
    f.budget.scratch_max = SIZE / 2;
    f.decode_max = SIZE;
    start();
    post("gzip", packed, len);
    expect("HTTP/1.1 503 ");
    assert_int_equal(f.refusal, NET_REFUSED_MEMORY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_a_request_and_keeps_the_connection),
        TEST(test_shows_the_handler_what_was_asked),
        TEST(test_reads_a_request_split_at_every_byte),
        TEST(test_reads_a_request_that_comes_byte_by_byte),
        TEST(test_answers_pipelined_requests_in_order_though_handlers_are_slow),
        TEST(test_says_continue_before_it_waits_for_a_body),
        TEST(test_refuses_an_expectation_that_it_does_not_know),
        TEST(test_answers_a_client_that_has_sent_its_last_byte),
        TEST(test_closes_after_the_answer_if_asked_to),
        TEST(test_speaks_http_1_0),
        TEST(test_sends_no_body_in_answer_to_head),
        TEST(test_ignores_an_offer_to_upgrade),
        TEST(test_takes_a_large_body_without_a_copy_too_many),
        TEST(test_takes_a_very_large_body_for_little_more_than_its_size),
        TEST(test_gives_memory_back_when_nobody_asks),
        TEST(test_refuses_what_is_no_http),
        TEST(test_refuses_headers_without_end),
        TEST(test_refuses_one_endless_header),
        TEST(test_refuses_a_body_that_says_it_is_too_large),
        TEST(test_takes_a_body_of_exactly_the_limit),
        TEST(test_refuses_a_chunked_body_when_it_turns_out_too_large),
        TEST(test_refuses_for_want_of_memory_and_recovers),
        TEST(test_a_body_waits_for_memory),
        TEST(test_a_body_of_unknown_length_waits_for_memory),
        TEST(test_asks_to_continue_when_there_is_memory),
        TEST(test_forgets_who_goes_away_while_it_waits),
        TEST(test_gives_back_what_comes_too_late),
        TEST(test_lets_the_handler_refuse_before_the_body),
        TEST(test_gives_up_on_headers_that_come_too_slowly),
        TEST(test_gives_up_on_a_client_that_says_nothing),
        TEST(test_gives_up_on_a_body_that_trickles),
        TEST(test_closes_an_idle_connection),
        TEST(test_closes_a_client_that_does_not_read_its_answers),
        TEST(test_refuses_connections_above_the_limit),
        TEST(test_an_answer_to_a_client_that_left_does_no_harm),
        TEST(test_an_answer_may_even_outlive_the_server),
        TEST(test_drains_by_answering_what_is_open),
        TEST(test_cuts_off_what_is_open_when_the_drain_ends),
        TEST(test_decompresses_a_body),
        TEST(test_refuses_a_bomb_a_torn_body_and_a_foreign_coding),
        TEST(test_refuses_a_bomb_that_the_budget_does_not_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
