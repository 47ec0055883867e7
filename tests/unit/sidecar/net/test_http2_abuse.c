/* Promise: no client of HTTP/2 holds more of the server than its limits allow, whatever frames it
 * sends and however long it takes; each is counted under its reason, and others are served on. The
 * frames are made by hand: no library would send them. */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { CONTINUATION = 9, END_STREAM = 1, END_HEADERS = 4, FRAME_HEAD = 9 };

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options options;
    struct net_server *server;
    struct net_peer peer;
    unsigned requests;
    bool hold;
    struct net_request *held[8];
} f;

static void on_request(void *ctx, struct net_request *request)
{
    const struct net_response response = {.status = 200, .body = BYTES_LITERAL("hello")};
    (void)ctx;
    if (f.hold)
        f.held[f.requests++] = request;
    else
        net_respond(&request, &response);
}

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.peer.fd = -1};
    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.options);
    f.options.address = "127.0.0.1";
    f.options.budget = &f.budget;
    f.options.on_request = on_request;
    return 0;
}

static int tear_down(void **state)
{
    const struct net_response response = {.status = 200};
    (void)state;
    for (unsigned i = 0; f.hold && i < f.requests; i++)
        net_respond(&f.held[i], &response);
    net_peer_close(&f.peer);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    assert_int_equal(net_budget_used(&f.budget), 0);
    assert_int_equal(f.budget.overhead, 0);
    return 0;
}

static struct net_server_stats stats(void)
{
    struct net_server_stats now;
    net_server_stats(f.server, &now);
    return now;
}

/* ---- frames */

static void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t stream,
                      struct bytes payload)
{
    const uint8_t head[FRAME_HEAD] = {(uint8_t)(payload.len >> 16),
                                      (uint8_t)(payload.len >> 8),
                                      (uint8_t)payload.len,
                                      type,
                                      flags,
                                      (uint8_t)(stream >> 24),
                                      (uint8_t)(stream >> 16),
                                      (uint8_t)(stream >> 8),
                                      (uint8_t)stream};
    assert_ok(buf_append(out, (struct bytes){head, sizeof head}));
    assert_ok(buf_append(out, payload));
}

/* A header that is not indexed, nor in Huffman's code. */
static void put_header(struct buf *block, const char *name, const char *value)
{
    assert_true(strlen(name) < 127 && strlen(value) < 127);
    assert_ok(buf_append_byte(block, 0));
    assert_ok(buf_append_byte(block, (uint8_t)strlen(name)));
    assert_ok(buf_append_text(block, name));
    assert_ok(buf_append_byte(block, (uint8_t)strlen(value)));
    assert_ok(buf_append_text(block, value));
}

static void put_request(struct buf *out, uint32_t stream, uint8_t flags)
{
    AUTO(buf_fini) struct buf block = {0};
    put_header(&block, ":method", "POST");
    put_header(&block, ":scheme", "http");
    put_header(&block, ":path", "/v1/logs");
    put_header(&block, ":authority", "here");
    put_frame(out, HEADERS, flags, stream, buf_bytes(&block));
}

static void put_number_frame(struct buf *out, uint8_t type, uint32_t stream, uint32_t number)
{
    const uint8_t payload[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                (uint8_t)(number >> 8), (uint8_t)number};
    put_frame(out, type, 0, stream, (struct bytes){payload, sizeof payload});
}

static void send_out(struct buf *out)
{
    net_peer_send(&f.peer, out->data, out->len);
    buf_clear(out);
}

/* Sends until the other side has closed; an abuse that is borne for ever fails the test. */
static void send_until_closed(const struct buf *out, unsigned times)
{
    for (unsigned i = 0; i < times && stats().connections > 0; i++) {
        for (size_t at = 0; at < out->len && stats().connections > 0;) {
            ssize_t n = send(f.peer.fd, out->data + at, out->len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
            at += n > 0 ? (size_t)n : 0;
            if (n < 0 && errno != EAGAIN)
                break;
            net_loop_run_once(f.loop, 0);
        }
    }
    net_peer_run_for(f.loop, 20);
    assert_int_equal(stats().connections, 0);
}

/* Greets, with a window of `window` bytes for each answer. */
static void start(uint32_t window)
{
    AUTO(buf_fini) struct buf out = {0};
    const uint8_t setting[6] = {0,
                                4,
                                (uint8_t)(window >> 24),
                                (uint8_t)(window >> 16),
                                (uint8_t)(window >> 8),
                                (uint8_t)window};
    assert_ok(net_server_open(f.loop, &f.options, &f.server, NULL));
    net_peer_connect(&f.peer, f.loop, net_server_port(f.server));
    assert_ok(buf_append_text(&out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    put_frame(&out, SETTINGS, 0, 0, (struct bytes){setting, sizeof setting});
    send_out(&out);
    net_peer_run_for(f.loop, 5);
}

/* The error code of the first frame of that type that came; -1: there is none. */
static int64_t code_of(uint8_t type, size_t at_in_payload)
{
    while (net_peer_take(&f.peer))
        ;
    const uint8_t *at = f.peer.in.data, *end = at + f.peer.in.len;
    while (end - at >= FRAME_HEAD) {
        size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        if (at[3] == type && (size_t)(end - at) >= FRAME_HEAD + at_in_payload + 4) {
            const uint8_t *code = at + FRAME_HEAD + at_in_payload;
            return (int64_t)code[0] << 24 | code[1] << 16 | code[2] << 8 | code[3];
        }
        if ((size_t)(end - at) < FRAME_HEAD + len)
            break;
        at += FRAME_HEAD + len;
    }
    return -1;
}

enum {
    RST_CODE_AT = 0,
    GOAWAY_CODE_AT = 4,
    FLOW_CONTROL_ERROR = 3,
    STREAM_CLOSED = 5,
    REFUSED_STREAM = 7
};

/* ---- slow ones */

static void test_gives_up_on_headers_that_have_no_end(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.options.header_timeout_ms = 50;
    start(65535);
    put_request(&out, 1, END_STREAM); /* and no CONTINUATION */
    send_out(&out);
    net_peer_await_end(&f.peer);
    assert_int_equal(stats().refused[NET_REFUSED_HEADER_TIMEOUT], 1);
    assert_int_equal(stats().connections, 0);
}

static void test_gives_up_on_a_frame_that_is_cut_off(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.options.header_timeout_ms = 50;
    start(65535);
    put_request(&out, 1, END_STREAM | END_HEADERS);
    net_peer_send(&f.peer, out.data, out.len - 1);
    net_peer_await_end(&f.peer);
    assert_int_equal(stats().refused[NET_REFUSED_HEADER_TIMEOUT], 1);
}

static void test_gives_up_on_a_client_that_opens_no_window_for_its_answers(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.options.write_timeout_ms = 60;
    start(0);
    for (uint32_t stream = 1; stream < 20; stream += 2)
        put_request(&out, stream, END_STREAM | END_HEADERS);
    send_out(&out);
    net_peer_await_end(&f.peer);
    assert_int_equal(stats().refused[NET_REFUSED_WRITE_TIMEOUT], 1);
    assert_int_equal(stats().requests, 10);
}

static void test_a_body_of_empty_frames_ends_at_its_deadline(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.options.body_timeout_ms = 60;
    start(65535);
    put_request(&out, 1, END_HEADERS);
    send_out(&out);
    for (int i = 0; i < 20; i++) {
        put_frame(&out, DATA, 0, 1, (struct bytes){0});
        send_out(&out);
        net_peer_run_for(f.loop, 5);
    }
    assert_int_equal(stats().refused[NET_REFUSED_BODY_TIMEOUT], 1);
    assert_int_equal(code_of(RST_STREAM, RST_CODE_AT), 8); /* CANCEL: clients try again */
    assert_int_equal(stats().requests, 0);
}

/* ---- floods */

static void test_ends_a_connection_that_opens_and_resets_streams_without_end(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    start(65535);
    for (uint32_t stream = 1; stream < 10000; stream += 2) { /* of two kinds, each 2500 times */
        put_request(&out, stream, stream % 4 == 1 ? END_HEADERS : END_HEADERS | END_STREAM);
        put_number_frame(&out, RST_STREAM, stream, 8);
    }
    send_until_closed(&out, 1);
    assert_int_equal(stats().refused[NET_REFUSED_FLOOD], 1);
    assert_in_range(stats().requests, 100, 1100);
}

static void test_ends_a_connection_whose_continuations_have_no_end(void **state)
{
    AUTO(buf_fini) struct buf out = {0}, block = {0}, head = {0};
    (void)state;
    start(65535);
    put_request(&head, 1, END_STREAM);
    send_out(&head);
    put_header(&block, "x-more", "and more and more and more");
    for (int i = 0; i < 100; i++)
        put_frame(&out, CONTINUATION, 0, 1, buf_bytes(&block));
    send_until_closed(&out, 1000);
    assert_int_equal(stats().requests, 0);
    assert_true(stats().refused[NET_REFUSED_FLOOD] + stats().refused[NET_REFUSED_MALFORMED] > 0);
}

static void test_ends_a_connection_that_changes_its_settings_without_end(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    start(65535);
    for (int i = 0; i < 1000; i++)
        put_frame(&out, SETTINGS, 0, 0, (struct bytes){0});
    send_until_closed(&out, 1000); /* and reads no acknowledgement */
    assert_int_equal(stats().refused[NET_REFUSED_FLOOD], 1);
}

/* ---- games with windows */

static void test_refuses_a_window_that_overflows(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    start(65535);
    put_number_frame(&out, WINDOW_UPDATE, 0, 0x7fffffff);
    send_out(&out);
    net_peer_await_end(&f.peer);
    assert_int_equal(code_of(GOAWAY, GOAWAY_CODE_AT), FLOW_CONTROL_ERROR);
    assert_true(stats().refused[NET_REFUSED_MALFORMED] > 0);
}

/* ---- races */

/* What we have reset may still be under way: it is no fault of the peer's. */
static void test_bears_what_comes_for_a_stream_that_it_has_reset(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.options.body_timeout_ms = 30;
    start(65535);
    put_request(&out, 1, END_HEADERS);
    send_out(&out);
    net_peer_run_for(f.loop, 60);
    assert_int_equal(code_of(RST_STREAM, RST_CODE_AT), 8);
    put_frame(&out, DATA, END_STREAM, 1, BYTES_LITERAL("late"));
    put_request(&out, 3, END_STREAM | END_HEADERS);
    send_out(&out);
    net_peer_run_for(f.loop, 20);
    assert_int_equal(stats().responses, 1);
    assert_int_equal(stats().connections, 1);
}

/* ---- what everything together may hold */

static void test_bounds_what_connections_and_requests_hold(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    f.hold = true;
    f.budget.overhead_max = 16 * 1024 + 3 * 2048;
    start(65535);
    for (uint32_t stream = 1; stream < 10; stream += 2)
        put_request(&out, stream, END_STREAM | END_HEADERS);
    send_out(&out);
    net_peer_run_for(f.loop, 20);
    assert_int_equal(f.requests, 3);
    assert_int_equal(stats().refused[NET_REFUSED_EXHAUSTED], 2);
    assert_int_equal(code_of(RST_STREAM, RST_CODE_AT), REFUSED_STREAM);

    struct net_peer second;
    net_peer_connect(&second, f.loop, net_server_port(f.server));
    net_peer_await_end(&second);
    net_peer_close(&second);
    assert_int_equal(stats().refused[NET_REFUSED_EXHAUSTED], 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_gives_up_on_headers_that_have_no_end),
        TEST(test_gives_up_on_a_frame_that_is_cut_off),
        TEST(test_gives_up_on_a_client_that_opens_no_window_for_its_answers),
        TEST(test_a_body_of_empty_frames_ends_at_its_deadline),
        TEST(test_ends_a_connection_that_opens_and_resets_streams_without_end),
        TEST(test_ends_a_connection_whose_continuations_have_no_end),
        TEST(test_ends_a_connection_that_changes_its_settings_without_end),
        TEST(test_refuses_a_window_that_overflows),
        TEST(test_bears_what_comes_for_a_stream_that_it_has_reset),
        TEST(test_bounds_what_connections_and_requests_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
