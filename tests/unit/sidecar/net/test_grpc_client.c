/* A call ends exactly once and says truly how: answered, refused before it was looked at, or lost;
 * whatever the server, the name service and the network do meanwhile.
 *
 * The servers here are our own, and a hand-played one for what a sound server does not do.
 */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/grpc_client.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CALLS_MAX = 2048, HELD_MAX = 512 };

static const struct bytes ping_message = {(const uint8_t *)"ping", 4};

struct outcome {
    unsigned times;
    struct grpc_result result; /* its bytes copied into the buffers below */
    char message[256];
    char body[256];
    size_t body_len;
};

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options server_options;
    struct net_server *server;
    struct grpc_client_options options;
    struct grpc_client *client;
    struct grpc_reply reply;
    bool hold;
    struct net_request *held[HELD_MAX];
    unsigned held_count, requests;
    struct outcome outcomes[CALLS_MAX];
    unsigned started, done;
    bool all_done;
    struct grpc_call_params params;
    size_t last_message_len;
    uint8_t last_message[64];
} f;

/* ---- the server's side */

static void on_request(void *ctx, struct net_request *request)
{
    struct grpc_reply reply = f.reply;
    struct error error = {0};

    (void)ctx;
    f.requests++;
    assert_true(grpc_request_is_call(request));
    if (f.hold) {
        f.held[f.held_count++] = request;
        return;
    }
    if (grpc_request_open(request, 64 << 20, &reply.status, &error))
        reply.message = error.text;
    struct bytes message = net_request_body(request);
    f.last_message_len = message.len;
    if (message.len > 0)
        memcpy(f.last_message, message.data, message.len < 64 ? message.len : 64);
    grpc_respond(&request, &reply);
}

static void start_server(void)
{
    assert_ok(net_server_open(f.loop, &f.server_options, &f.server, NULL));
    f.options.port = net_server_port(f.server);
}

static void answer_held(void)
{
    for (unsigned i = 0; i < f.held_count; i++)
        grpc_respond(&f.held[i], &f.reply);
    f.held_count = 0;
}

/* ---- the client's side */

static void on_done(void *ctx, const struct grpc_result *result)
{
    struct outcome *outcome = ctx;

    outcome->times++;
    outcome->result = *result;
    snprintf(outcome->message, sizeof outcome->message, "%.*s", (int)result->message.len,
             (const char *)result->message.data);
    outcome->body_len = result->body.len;
    if (result->body.len > 0)
        memcpy(outcome->body, result->body.data,
               result->body.len < sizeof outcome->body ? result->body.len : sizeof outcome->body);
    f.done++;
    f.all_done = f.done == f.started;
}

static void create_client(void)
{
    assert_ok(grpc_client_create(f.loop, &f.options, &f.client, NULL));
}

static struct grpc_call *call(void)
{
    struct grpc_call *started = NULL;
    f.params.ctx = &f.outcomes[f.started++];
    f.all_done = false;
    assert_ok(grpc_client_call(f.client, &f.params, &started, NULL));
    return started;
}

static void finish_calls(void)
{
    net_peer_run_until(f.loop, &f.all_done);
    for (unsigned i = 0; i < f.started; i++)
        assert_int_equal(f.outcomes[i].times, 1);
}

static void expect(unsigned i, enum grpc_outcome outcome, enum grpc_status status)
{
    if (f.outcomes[i].result.outcome != outcome || f.outcomes[i].result.status != status)
        fail_msg("call %u: %s, %s: %s", i, grpc_outcome_name(f.outcomes[i].result.outcome),
                 grpc_status_name(f.outcomes[i].result.status), f.outcomes[i].message);
}

static struct grpc_client_stats stats(void)
{
    struct grpc_client_stats now;
    grpc_client_stats(f.client, &now);
    return now;
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.server_options);
    f.server_options.address = "127.0.0.1";
    f.server_options.budget = &f.budget;
    f.server_options.on_request = on_request;
    grpc_client_options_init(&f.options);
    f.options.host = "127.0.0.1";
    f.params = (struct grpc_call_params){.path = "/test.Service/Do",
                                         .message = &ping_message,
                                         .message_count = 1,
                                         .timeout_ms = 60000,
                                         .done = on_done};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    answer_held();
    grpc_client_destroy(&f.client);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    return 0;
}

/* ---- answers */

static void test_carries_a_call_there_and_its_reply_back(void **state)
{
    (void)state;
    f.reply.body = BYTES_LITERAL("pong");
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_int_equal(f.outcomes[0].result.http_status, 200);
    assert_true((f.outcomes[0].result.accepts & 1u << COMPRESSION_GZIP) != 0);
    assert_true((f.outcomes[0].result.accepts & 1u << COMPRESSION_ZSTD) != 0);
    assert_int_equal(f.outcomes[0].body_len, 4);
    assert_memory_equal(f.outcomes[0].body, "pong", 4);
    assert_int_equal(f.last_message_len, 4);
    assert_memory_equal(f.last_message, "ping", 4);
}

static void test_gathers_a_message_of_many_parts(void **state)
{
    const struct bytes parts[] = {BYTES_LITERAL("a"), {0}, BYTES_LITERAL("bc"), BYTES_LITERAL("d")};
    (void)state;
    f.params.message = parts;
    f.params.message_count = 4;
    start_server();
    create_client();
    call();
    f.params.message_count = 0;
    finish_calls();
    assert_int_equal(f.last_message_len, 4);
    assert_memory_equal(f.last_message, "abcd", 4);
    call();
    finish_calls();
    expect(1, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_int_equal(f.last_message_len, 0);
}

static void test_carries_a_message_larger_than_every_window(void **state)
{
    enum { SIZE = 10 << 20 };
    uint8_t *data = malloc(SIZE);
    (void)state;
    assert_non_null(data);
    memset(data, 7, SIZE);
    const struct bytes large = {data, SIZE};
    f.params.message = &large;
    f.server_options.stream_window = 64 << 10;
    f.server_options.connection_window = 64 << 10;
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_int_equal(f.last_message_len, SIZE);
    free(data);
}

static void test_tells_status_message_and_delay_of_a_refusal(void **state)
{
    (void)state;
    f.reply = (struct grpc_reply){.status = GRPC_UNAVAILABLE,
                                  .message = "spool is full: 100% of 10 GiB\n\xc3\xa9",
                                  .retry_delay_ms = 1500};
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_UNAVAILABLE);
    assert_string_equal(f.outcomes[0].message, f.reply.message);
    assert_true(f.outcomes[0].result.has_retry_delay);
    assert_int_equal(f.outcomes[0].result.retry_delay_ms, 1500);
}

static void test_keeps_many_calls_on_one_connection(void **state)
{
    (void)state;
    start_server();
    create_client();
    for (int i = 0; i < 1000; i++)
        call();
    finish_calls();
    for (unsigned i = 0; i < 1000; i++)
        expect(i, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_int_equal(stats().connects, 1);
    assert_int_equal(stats().in_flight, 0);
    assert_int_equal(f.requests, 1000);
}

static void test_opens_no_more_streams_than_the_server_allows(void **state)
{
    struct net_server_stats server_stats;
    (void)state;
    f.server_options.streams_max = 4;
    start_server();
    create_client();
    call();
    finish_calls(); /* the server's SETTINGS are known now */
    f.hold = true;
    for (int i = 0; i < 50; i++)
        call();
    net_peer_run_for(f.loop, 30);
    assert_int_equal(f.held_count, 4);
    f.hold = false;
    answer_held();
    finish_calls();
    net_server_stats(f.server, &server_stats);
    assert_int_equal(server_stats.refused[NET_REFUSED_STREAMS], 0);
}

static void test_sends_again_what_came_before_the_server_said_how_much_it_takes(void **state)
{
    struct net_server_stats server_stats;
    (void)state;
    f.server_options.streams_max = 60;
    start_server();
    create_client();
    for (int i = 0; i < 90; i++)
        call();
    finish_calls();
    for (unsigned i = 0; i < 90; i++)
        expect(i, GRPC_CALL_ANSWERED, GRPC_OK);
    net_server_stats(f.server, &server_stats);
    assert_int_equal(server_stats.refused[NET_REFUSED_STREAMS], stats().retried);
}

static void test_refuses_calls_above_its_limit(void **state)
{
    (void)state;
    f.options.calls_max = 2;
    f.options.port = 1;
    create_client();
    call();
    call();
    assert_int_equal(grpc_client_call(f.client, &f.params, NULL, NULL), ERR_FULL);
    finish_calls();
    call();
    finish_calls();
}

static void test_refuses_a_call_that_makes_no_sense(void **state)
{
    (void)state;
    f.options.port = 1;
    create_client();
    f.params.timeout_ms = 0;
    assert_int_equal(grpc_client_call(f.client, &f.params, NULL, NULL), ERR_INVALID);
    f.params.timeout_ms = 1;
    f.params.path = "no-slash";
    assert_int_equal(grpc_client_call(f.client, &f.params, NULL, NULL), ERR_INVALID);
}

/* ---- connecting */

static void test_says_that_nobody_listens(void **state)
{
    (void)state;
    close(net_peer_listen(&f.options.port));
    create_client();
    call();
    assert_int_equal(f.done, 0); /* never from within the call */
    finish_calls();
    expect(0, GRPC_CALL_CONNECT_FAILED, GRPC_UNAVAILABLE);
    assert_non_null(strstr(f.outcomes[0].message, "refused"));
    assert_int_equal(stats().connect_failures, 1);
}

static void test_connects_again_for_the_next_call(void **state)
{
    (void)state;
    close(net_peer_listen(&f.server_options.port));
    f.options.port = f.server_options.port;
    create_client();
    call();
    finish_calls();
    start_server();
    call();
    finish_calls();
    expect(1, GRPC_CALL_ANSWERED, GRPC_OK);
}

static void test_says_that_a_name_is_not_known(void **state)
{
    (void)state;
    f.options.host = "no-such-host.invalid";
    f.options.port = 1;
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_RESOLVE_FAILED, GRPC_UNAVAILABLE);
    assert_non_null(strstr(f.outcomes[0].message, "no-such-host.invalid"));
}

static void test_finds_a_server_by_its_name(void **state)
{
    (void)state;
    f.options.host = "localhost";
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_OK);
}

static void test_may_be_destroyed_while_it_looks_up_a_name(void **state)
{
    (void)state;
    f.options.host = "no-such-host.invalid";
    f.options.port = 1;
    create_client();
    call();
    net_loop_run_once(f.loop, 0);
    grpc_client_destroy(&f.client);
    expect(0, GRPC_CALL_CANCELLED, GRPC_CANCELLED);
    net_peer_run_for(f.loop, 50);
}

static void test_gives_up_on_a_server_that_never_greets(void **state)
{
    (void)state;
    int listener = net_peer_listen(&f.options.port); /* the kernel accepts, nobody else does */
    f.params.timeout_ms = 80;
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_DEADLINE, GRPC_DEADLINE_EXCEEDED);
    close(listener);
}

/* ---- endings */

static void test_ends_a_call_at_its_deadline(void **state)
{
    (void)state;
    f.hold = true;
    f.params.timeout_ms = 400;
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_DEADLINE, GRPC_DEADLINE_EXCEEDED);
    net_peer_run_for(f.loop, 20);
    assert_int_equal(f.held_count, 1);
    assert_true(net_request_is_gone(f.held[0])); /* the server was told */
}

static void test_ends_a_call_that_flow_control_holds_up(void **state)
{
    static uint8_t data[1 << 20];
    const struct bytes large = {data, sizeof data};
    struct net_peer server;
    (void)state;
    int listener = net_peer_listen(&f.options.port);
    f.params.message = &large;
    f.params.timeout_ms = 100;
    create_client();
    call();
    net_peer_accept(&server, f.loop, listener);
    net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9); /* SETTINGS, and never a WINDOW_UPDATE */
    finish_calls();
    expect(0, GRPC_CALL_DEADLINE, GRPC_DEADLINE_EXCEEDED);
    memset(data, 0xff, sizeof data); /* ours again */
    net_peer_run_for(f.loop, 20);
    net_peer_close(&server);
    close(listener);
}

static void test_cancels_a_call_at_any_point(void **state)
{
    (void)state;
    f.hold = true;
    start_server();
    create_client();
    grpc_client_cancel(f.client, call()); /* queued */
    assert_int_equal(f.done, 1);
    struct grpc_call *sent = call();
    while (f.held_count == 0)
        net_loop_run_once(f.loop, 10);
    grpc_client_cancel(f.client, sent);
    finish_calls();
    expect(0, GRPC_CALL_CANCELLED, GRPC_CANCELLED);
    expect(1, GRPC_CALL_CANCELLED, GRPC_CANCELLED);
    net_peer_run_for(f.loop, 20);
}

static void test_cancels_everything_when_destroyed(void **state)
{
    (void)state;
    f.hold = true;
    f.server_options.streams_max = 2;
    start_server();
    create_client();
    for (int i = 0; i < 10; i++)
        call();
    while (f.held_count == 0)
        net_loop_run_once(f.loop, 10);
    grpc_client_destroy(&f.client);
    finish_calls();
    for (unsigned i = 0; i < 10; i++)
        expect(i, GRPC_CALL_CANCELLED, GRPC_CANCELLED);
}

static void test_calls_are_lost_with_a_server_that_dies(void **state)
{
    struct net_peer server;
    (void)state;
    int listener = net_peer_listen(&f.options.port);
    create_client();
    call();
    call();
    net_peer_accept(&server, f.loop, listener);
    net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9);
    net_peer_await(&server, 24 + 9);
    net_peer_run_for(f.loop, 10);
    net_peer_reset(&server);
    finish_calls();
    expect(0, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
    expect(1, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
    assert_false(stats().connected);
    close(listener);
}

/* Draining: what was sent is answered, what comes later goes to a new connection. */
static void test_moves_on_when_the_server_goes_away(void **state)
{
    (void)state;
    f.hold = true;
    start_server();
    create_client();
    call();
    while (f.held_count == 0)
        net_loop_run_once(f.loop, 10);

    struct net_server *old = f.server;
    f.server_options.port = f.options.port;
    net_server_drain(old, net_loop_now_ms(f.loop) + 60000);
    f.server = NULL;
    start_server();
    net_peer_run_for(f.loop, 30);
    call();
    while (f.held_count < 2)
        net_loop_run_once(f.loop, 10);
    assert_int_equal(f.done, 0);
    answer_held();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_OK);
    expect(1, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_true(stats().goaways > 0);
    assert_int_equal(stats().connects, 2);
    net_server_close(&old);
}

/* GOAWAY that names a last stream below ours: never looked at, so sent again without asking. */
static void test_sends_again_what_goaway_says_was_not_looked_at(void **state)
{
    struct net_peer server;
    (void)state;
    int listener = net_peer_listen(&f.options.port);
    create_client();
    call();
    net_peer_accept(&server, f.loop, listener);
    net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9);
    net_peer_run_for(f.loop, 10);
    net_peer_send(&server,
                  "\0\0\10\7\0\0\0\0\0"
                  "\0\0\0\0"
                  "\0\0\0\0",
                  17);
    struct net_peer second;
    net_peer_accept(&second, f.loop, listener);
    assert_int_equal(f.done, 0);
    assert_int_equal(stats().retried, 1);
    net_peer_close(&server);
    net_peer_close(&second);
    finish_calls();
    expect(0, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
    close(listener);
}

static void test_gives_up_on_a_server_that_never_looks(void **state)
{
    (void)state;
    int listener = net_peer_listen(&f.options.port);
    create_client();
    call();
    for (int i = 0; i < 3; i++) {
        struct net_peer server;
        net_peer_accept(&server, f.loop, listener);
        net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9);
        net_peer_run_for(f.loop, 10);
        net_peer_send(&server,
                      "\0\0\10\7\0\0\0\0\0"
                      "\0\0\0\0"
                      "\0\0\0\0",
                      17);
        net_peer_run_for(f.loop, 10);
        net_peer_close(&server);
    }
    finish_calls();
    expect(0, GRPC_CALL_UNPROCESSED, GRPC_UNAVAILABLE);
    close(listener);
}

/* ---- answers that are none. Frames by hand: type 1 HEADERS, 0 DATA, 3 RST_STREAM. */

static void play(const char *frames, size_t len)
{
    struct net_peer server;
    int listener = net_peer_listen(&f.options.port);
    create_client();
    call();
    net_peer_accept(&server, f.loop, listener);
    net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9);
    net_peer_await(&server, 24 + 9 + 60);
    net_peer_send(&server, frames, len);
    finish_calls();
    net_peer_close(&server);
    close(listener);
}

static void test_takes_a_missing_grpc_status_for_unknown(void **state)
{
    (void)state;
    play("\0\0\1\1\5\0\0\0\1\x88", 10); /* :status 200, END_STREAM */
    expect(0, GRPC_CALL_ANSWERED, GRPC_UNKNOWN);
    assert_int_equal(f.outcomes[0].result.http_status, 200);
}

static void test_maps_an_http_error_as_grpc_does(void **state)
{
    (void)state;
    play("\0\0\5\1\5\0\0\0\1\x08\3"
         "503",
         14);
    expect(0, GRPC_CALL_ANSWERED, GRPC_UNAVAILABLE);
    assert_int_equal(f.outcomes[0].result.http_status, 503);
    assert_non_null(strstr(f.outcomes[0].message, "503"));
}

static void test_says_that_the_stream_was_reset(void **state)
{
    (void)state;
    play("\0\0\4\3\0\0\0\0\1\0\0\0\2", 13);
    expect(0, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
    assert_non_null(strstr(f.outcomes[0].message, "INTERNAL_ERROR"));
}

static void test_survives_bytes_that_are_no_http2(void **state)
{
    (void)state;
    play("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    expect(0, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
}

static void test_bounds_the_reply(void **state)
{
    static const char large[1000];
    (void)state;
    f.options.reply_max = 999;
    f.reply.body = (struct bytes){(const uint8_t *)large, sizeof large};
    start_server();
    create_client();
    call();
    finish_calls();
    expect(0, GRPC_CALL_BAD_REPLY, GRPC_INTERNAL);
    f.reply.body.len = 999;
    call();
    finish_calls();
    expect(1, GRPC_CALL_ANSWERED, GRPC_OK);
}

static void test_finds_out_a_server_that_has_fallen_silent(void **state)
{
    struct net_peer server;
    (void)state;
    int listener = net_peer_listen(&f.options.port);
    f.options.keepalive_ms = 40;
    f.options.keepalive_timeout_ms = 40;
    create_client();
    call();
    net_peer_accept(&server, f.loop, listener);
    net_peer_send(&server, "\0\0\0\4\0\0\0\0\0", 9);
    finish_calls();
    expect(0, GRPC_CALL_LOST, GRPC_UNAVAILABLE);
    assert_non_null(strstr(f.outcomes[0].message, "silent"));
    net_peer_close(&server);
    close(listener);
}

static void test_keeps_a_slow_server_that_answers_pings(void **state)
{
    (void)state;
    f.hold = true;
    f.options.keepalive_ms = 20;
    f.options.keepalive_timeout_ms = 500;
    start_server();
    create_client();
    call();
    net_peer_run_for(f.loop, 700);
    answer_held();
    finish_calls();
    expect(0, GRPC_CALL_ANSWERED, GRPC_OK);
    assert_int_equal(stats().connects, 1);
}

static void test_closes_an_idle_connection(void **state)
{
    (void)state;
    f.options.idle_timeout_ms = 40;
    start_server();
    create_client();
    call();
    finish_calls();
    assert_true(stats().connected);
    net_peer_run_for(f.loop, 80);
    assert_false(stats().connected);
    call();
    finish_calls();
    expect(1, GRPC_CALL_ANSWERED, GRPC_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_carries_a_call_there_and_its_reply_back),
        TEST(test_gathers_a_message_of_many_parts),
        TEST(test_carries_a_message_larger_than_every_window),
        TEST(test_tells_status_message_and_delay_of_a_refusal),
        TEST(test_keeps_many_calls_on_one_connection),
        TEST(test_opens_no_more_streams_than_the_server_allows),
        TEST(test_sends_again_what_came_before_the_server_said_how_much_it_takes),
        TEST(test_refuses_calls_above_its_limit),
        TEST(test_refuses_a_call_that_makes_no_sense),
        TEST(test_says_that_nobody_listens),
        TEST(test_connects_again_for_the_next_call),
        TEST(test_says_that_a_name_is_not_known),
        TEST(test_finds_a_server_by_its_name),
        TEST(test_may_be_destroyed_while_it_looks_up_a_name),
        TEST(test_gives_up_on_a_server_that_never_greets),
        TEST(test_ends_a_call_at_its_deadline),
        TEST(test_ends_a_call_that_flow_control_holds_up),
        TEST(test_cancels_a_call_at_any_point),
        TEST(test_cancels_everything_when_destroyed),
        TEST(test_calls_are_lost_with_a_server_that_dies),
        TEST(test_moves_on_when_the_server_goes_away),
        TEST(test_sends_again_what_goaway_says_was_not_looked_at),
        TEST(test_gives_up_on_a_server_that_never_looks),
        TEST(test_takes_a_missing_grpc_status_for_unknown),
        TEST(test_maps_an_http_error_as_grpc_does),
        TEST(test_says_that_the_stream_was_reset),
        TEST(test_survives_bytes_that_are_no_http2),
        TEST(test_bounds_the_reply),
        TEST(test_finds_out_a_server_that_has_fallen_silent),
        TEST(test_keeps_a_slow_server_that_answers_pings),
        TEST(test_closes_an_idle_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
