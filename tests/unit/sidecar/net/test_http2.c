/* The HTTP/2 server keeps its limits against clients that do not keep theirs, and loses no request
 * of those that do. The clients are nghttp2 sessions whose bytes the test carries, so that it can
 * also send what no session would.
 */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

enum { STREAMS = 4096, HELD_MAX = 4096 };

struct stream {
    bool closed;
    uint32_t error_code;
    char status[8], grpc_status[8], grpc_message[256], details[256], accept[64], type[32];
    uint8_t body[64];
    size_t body_len;
    const uint8_t *send; /* the request's body */
    size_t send_len, sent;
    bool never_end; /* the body stays open */
};

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options options;
    struct net_server *server;
    struct net_peer peer;
    nghttp2_session *session;
    struct stream streams[STREAMS];
    bool goaway;
    uint32_t goaway_code;
    int32_t goaway_last; /* of the first one */
    unsigned closed;
    bool hold, drained;
    struct net_request *held[HELD_MAX];
    unsigned held_count, requests;
    struct grpc_reply reply;
    enum net_refusal refusal;
    size_t message_max, last_len;
} f;

/* ---- the server's side */

static void answer(struct net_request *request)
{
    const struct net_response response = {.status = 200, .body = net_request_body(request)};
    struct grpc_reply reply = f.reply;
    struct error error = {0};

    if (!grpc_request_is_call(request)) {
        net_respond(&request, &response);
        return;
    }
    if (grpc_request_open(request, f.message_max, &reply.status, &error))
        reply.message = error.text;
    f.last_len = net_request_body(request).len;
    grpc_respond(&request, &reply);
}

static void on_request(void *ctx, struct net_request *request)
{
    (void)ctx;
    f.requests++;
    f.refusal = net_request_refusal(request);
    if (f.hold)
        f.held[f.held_count++] = request;
    else
        answer(request);
}

static void answer_held(void)
{
    for (unsigned i = 0; i < f.held_count; i++)
        answer(f.held[i]);
    f.held_count = 0;
}

static void on_drained(void *ctx)
{
    (void)ctx;
    f.drained = true;
}

static uint64_t refused(enum net_refusal refusal)
{
    struct net_server_stats stats;
    net_server_stats(f.server, &stats);
    return stats.refused[refusal];
}

/* ---- the client's side */

static void copy(char *into, size_t size, const uint8_t *value, size_t len)
{
    snprintf(into, size, "%.*s", (int)len, (const char *)value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *user)
{
    struct stream *stream = &f.streams[frame->hd.stream_id];
    struct bytes n = {name, name_len};
    (void)session;
    (void)flags;
    (void)user;
    if (bytes_equal(n, BYTES_LITERAL(":status")))
        copy(stream->status, sizeof stream->status, value, len);
    if (bytes_equal(n, BYTES_LITERAL("content-type")))
        copy(stream->type, sizeof stream->type, value, len);
    if (bytes_equal(n, BYTES_LITERAL("grpc-status")))
        copy(stream->grpc_status, sizeof stream->grpc_status, value, len);
    if (bytes_equal(n, BYTES_LITERAL("grpc-message")))
        copy(stream->grpc_message, sizeof stream->grpc_message, value, len);
    if (bytes_equal(n, BYTES_LITERAL("grpc-status-details-bin")))
        copy(stream->details, sizeof stream->details, value, len);
    if (bytes_equal(n, BYTES_LITERAL("grpc-accept-encoding")))
        copy(stream->accept, sizeof stream->accept, value, len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user)
{
    struct stream *stream = &f.streams[stream_id];
    (void)session;
    (void)flags;
    (void)user;
    for (size_t i = 0; i < len && stream->body_len < sizeof stream->body; i++)
        stream->body[stream->body_len++] = data[i];
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t code, void *user)
{
    (void)session;
    (void)user;
    f.streams[stream_id].closed = true;
    f.streams[stream_id].error_code = code;
    f.closed++;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    (void)user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        if (!f.goaway)
            f.goaway_last = frame->goaway.last_stream_id;
        f.goaway = true;
        f.goaway_code = frame->goaway.error_code;
    }
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *into, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *stream = &f.streams[stream_id];
    size_t n = stream->send_len - stream->sent;
    (void)session;
    (void)source;
    (void)user;
    if (n > cap)
        n = cap;
    if (n > 0)
        memcpy(into, stream->send + stream->sent, n);
    stream->sent += n;
    if (stream->sent == stream->send_len) {
        if (stream->never_end)
            return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static void connect_session(void)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    net_peer_connect(&f.peer, f.loop, net_server_port(f.server));
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_peer_max_concurrent_streams(option, STREAMS);
    assert_int_equal(nghttp2_session_client_new2(&f.session, callbacks, NULL, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(f.session, 0, NULL, 0), 0);
}

/* Carries bytes both ways until nothing moves. */
static void exchange(void)
{
    for (int quiet = 0; quiet < 3;) {
        const uint8_t *data;
        ssize_t n;
        quiet++;
        while ((n = nghttp2_session_mem_send(f.session, &data)) > 0) {
            net_peer_send(&f.peer, data, (size_t)n);
            quiet = 0;
        }
        assert_int_equal(n, 0);
        net_peer_run_for(f.loop, 2);
        while (net_peer_take(&f.peer))
            ;
        if (f.peer.in.len > 0) {
            assert_true(nghttp2_session_mem_recv(f.session, f.peer.in.data, f.peer.in.len) >= 0);
            buf_clear(&f.peer.in);
            quiet = 0;
        }
    }
}

static void exchange_until_closed(unsigned count)
{
    for (int i = 0; i < 500 && f.closed < count && !f.peer.ended; i++)
        exchange();
    assert_int_equal(f.closed, count);
}

static void exchange_until_goaway(void)
{
    for (int i = 0; i < 5000 && !f.goaway; i++)
        exchange();
    assert_true(f.goaway);
}

#define NV(n, v)                                                               \
    {                                                                          \
        .name = (uint8_t *)(uintptr_t)(n), .value = (uint8_t *)(uintptr_t)(v), \
        .namelen = strlen(n), .valuelen = strlen(v)                            \
    }

static int32_t request_with(const char *type, const char *name, const char *value, const void *body,
                            size_t len, bool never_end)
{
    const nghttp2_nv fields[] = {
        NV(":method", "POST"), NV(":scheme", "http"),    NV(":path", "/a.B/C"),
        NV(":authority", "x"), NV("content-type", type), NV(name, value),
    };
    nghttp2_data_provider provider = {.read_callback = read_body};
    int32_t id = nghttp2_submit_request(f.session, NULL, fields, 6, &provider, NULL);
    assert_true(id > 0 && id < STREAMS);
    f.streams[id].send = body;
    f.streams[id].send_len = len;
    f.streams[id].never_end = never_end;
    return id;
}

static const char hi[] = "\0\0\0\0\2hi";

static int32_t call(void)
{
    return request_with("application/grpc", "te", "trailers", hi, 7, false);
}

static int set_up(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.peer.fd = -1;
    f.message_max = 1 << 20;
    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.options);
    f.options.address = "127.0.0.1";
    f.options.budget = &f.budget;
    f.options.on_request = on_request;
    f.options.on_drained = on_drained;
    f.options.body_stall_ms = 60000; /* memory is held by bodies whose end does not come */
    return 0;
}

static void start(void)
{
    assert_ok(net_server_open(f.loop, &f.options, &f.server, NULL));
    connect_session();
}

static int tear_down(void **state)
{
    (void)state;
    answer_held();
    nghttp2_session_del(f.session);
    net_peer_close(&f.peer);
    net_server_close(&f.server);
    net_loop_destroy(&f.loop);
    assert_int_equal(net_budget_used(&f.budget), 0);
    return 0;
}

/* ---- gRPC */

static void expect(int32_t id, const char *grpc_status)
{
    const struct stream *stream = &f.streams[id];
    assert_true(stream->closed);
    assert_string_equal(stream->status, "200");
    assert_string_equal(stream->type, "application/grpc");
    if (strcmp(stream->grpc_status, grpc_status) != 0)
        fail_msg("grpc-status %s: %s", stream->grpc_status, stream->grpc_message);
}

static void test_answers_a_call_with_message_and_trailers(void **state)
{
    (void)state;
    f.reply.body = BYTES_LITERAL("ok");
    start();
    int32_t id = call();
    exchange_until_closed(1);
    expect(id, "0");
    assert_string_equal(f.streams[1].accept, "identity,gzip,zstd,deflate");
    assert_int_equal(f.streams[id].error_code, NGHTTP2_NO_ERROR);
    assert_int_equal(f.streams[id].body_len, 7);
    assert_memory_equal(f.streams[id].body, "\0\0\0\0\2ok", 7);
}

static void test_answers_a_refusal_in_trailers_only(void **state)
{
    (void)state;
    f.reply = (struct grpc_reply){
        .status = GRPC_UNAVAILABLE, .message = "100% full", .retry_delay_ms = 2000};
    start();
    int32_t id = call();
    exchange_until_closed(1);
    expect(id, "14");
    assert_string_equal(f.streams[id].grpc_message, "100%25 full");
    assert_true(f.streams[id].details[0] != '\0');
    assert_null(strchr(f.streams[id].details, '='));
    assert_int_equal(f.streams[id].body_len, 0);
}

static void test_refuses_framing_that_is_not_one_message(void **state)
{
    static const struct {
        const char *body;
        size_t len;
    } bad[] = {
        {"", 0}, {"\0\0\0", 3}, {"\0\0\0\0\3hi", 7}, {"\0\0\0\0\1hi", 7}, {"\2\0\0\0\2hi", 7}};
    (void)state;
    start();
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int32_t id =
            request_with("application/grpc", "te", "trailers", bad[i].body, bad[i].len, false);
        exchange_until_closed(i + 1);
        expect(id, "13");
    }
}

static size_t gzip_frame(uint8_t *into, size_t cap, const void *data, size_t len)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = into + GRPC_PREFIX_SIZE;
    stream.avail_out = (uInt)(cap - GRPC_PREFIX_SIZE);
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    grpc_put_prefix(into, true, (uint32_t)stream.total_out);
    return GRPC_PREFIX_SIZE + stream.total_out;
}

static void test_decompresses_messages_within_bounds(void **state)
{
    static uint8_t zeros[1 << 20], packed[8192];
    (void)state;
    f.message_max = sizeof zeros;
    start();
    size_t len = gzip_frame(packed, sizeof packed, zeros, sizeof zeros);
    int32_t id = request_with("application/grpc", "grpc-encoding", "gzip", packed, len, false);
    exchange_until_closed(1);
    expect(id, "0");
    assert_int_equal(f.last_len, sizeof zeros);

    f.message_max = sizeof zeros - 1;
    id = request_with("application/grpc", "grpc-encoding", "gzip", packed, len, false);
    exchange_until_closed(2);
    expect(id, "8");

    id = request_with("application/grpc", "grpc-encoding", "snappy", packed, len, false);
    exchange_until_closed(3);
    expect(id, "12");
    assert_string_equal(f.streams[id].accept, "identity,gzip,zstd,deflate");

    packed[len - 9] ^= 1;
    id = request_with("application/grpc", "grpc-encoding", "gzip", packed, len, false);
    exchange_until_closed(4);
    assert_true(strcmp(f.streams[id].grpc_status, "3") == 0 ||
                strcmp(f.streams[id].grpc_status, "8") == 0);
}

static void test_tells_a_message_too_large_before_it_is_there(void **state)
{
    static uint8_t large[100000] = {0, 0xff, 0xff, 0xff, 0xff};
    (void)state;
    f.options.body_max = 50000;
    start();
    int32_t id = request_with("application/grpc", "te", "trailers", large, sizeof large, true);
    exchange_until_closed(1);
    expect(id, "8");
    assert_int_equal(f.refusal, NET_REFUSED_BODY_SIZE);
    assert_int_equal(refused(NET_REFUSED_BODY_SIZE), 1);
    assert_int_equal(f.streams[id].error_code, NGHTTP2_NO_ERROR); /* stop sending, all is said */
    id = call();
    exchange_until_closed(2);
    expect(id, "0");
}

/* ---- memory */

enum { LARGE = 200 << 10 };

static uint8_t large[LARGE];

static uint64_t waiting(void)
{
    struct net_server_stats stats;
    net_server_stats(f.server, &stats);
    return stats.waiting;
}

static int32_t large_call(bool never_end)
{
    grpc_put_prefix(large, false, LARGE - GRPC_PREFIX_SIZE);
    return request_with("application/grpc", "te", "trailers", large, LARGE, never_end);
}

/* A call that has the memory for its body, and does not send the last byte of it. */
static int32_t begin_large_call(void)
{
    int32_t id = large_call(true);
    f.streams[id].send_len = LARGE - 1;
    exchange();
    assert_int_equal(f.streams[id].sent, LARGE - 1);
    return id;
}

static void end_large_call(int32_t id)
{
    f.streams[id].send_len = LARGE;
    f.streams[id].never_end = false;
    assert_int_equal(nghttp2_session_resume_data(f.session, id), 0);
}

/* Both are on one connection: the one that has memory can end, so the other gets it. */
static void test_a_stream_that_waits_for_memory_does_not_hold_up_who_has_it(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    start();
    int32_t first = begin_large_call();
    int32_t second = large_call(false);
    exchange();
    assert_int_equal(waiting(), 1);
    assert_int_equal(f.streams[second].sent, 65535); /* its first window, and no more */
    assert_int_equal(f.closed, 0);
    end_large_call(first);
    exchange_until_closed(2);
    expect(first, "0");
    expect(second, "0");
    assert_int_equal(f.last_len, LARGE - GRPC_PREFIX_SIZE);
    assert_int_equal(refused(NET_REFUSED_MEMORY), 0);
}

static void test_a_small_request_that_came_whole_waits_its_turn_too(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    start();
    int32_t first = begin_large_call();
    int32_t second = large_call(false), small = call();
    exchange();
    assert_int_equal(waiting(), 2);
    assert_false(f.streams[small].closed);
    end_large_call(first);
    exchange_until_closed(3);
    expect(second, "0");
    expect(small, "0");
}

static void test_refuses_for_want_of_memory_after_a_while(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    f.options.memory_wait_ms = 50;
    start();
    int32_t first = begin_large_call();
    int32_t second = large_call(false);
    exchange_until_closed(1);
    expect(second, "14");
    assert_int_equal(refused(NET_REFUSED_MEMORY), 1);
    end_large_call(first);
    exchange_until_closed(2);
    expect(first, "0");
}

static void test_refuses_what_has_not_even_memory_to_wait(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    f.budget.overhead_max = 100 << 10; /* for one that waits */
    start();
    int32_t first = begin_large_call();
    int32_t second = large_call(false), third = large_call(false);
    exchange_until_closed(1);
    expect(third, "14");
    assert_false(f.streams[second].closed);
    end_large_call(first);
    exchange_until_closed(3);
    expect(second, "0");
}

static void test_many_large_requests_share_little_memory(void **state)
{
    enum { CALLS = 40 };
    int32_t ids[CALLS];
    (void)state;
    f.budget.max = 600 << 10;
    start();
    for (int i = 0; i < CALLS; i++)
        ids[i] = large_call(false);
    for (int i = 0; i < 500 && f.closed < CALLS; i++) {
        exchange();
        assert_true(net_budget_used(&f.budget) <= f.budget.max);
    }
    assert_int_equal(f.closed, CALLS);
    for (int i = 0; i < CALLS; i++)
        expect(ids[i], "0");
    assert_int_equal(f.budget.overhead, 16 * 1024); /* the connection's: nothing else is left */
}

static void test_a_stream_that_stalls_gives_way_to_who_waits(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    f.options.memory_wait_ms = 60000;
    f.options.body_stall_ms = 40;
    start();
    int32_t first = begin_large_call();
    net_peer_run_for(f.loop, 120);
    exchange();
    assert_int_equal(f.closed, 0); /* nobody waits */
    int32_t second = large_call(false);
    exchange_until_closed(2);
    assert_int_equal(f.streams[first].error_code, NGHTTP2_CANCEL);
    expect(second, "0");
    assert_int_equal(refused(NET_REFUSED_BODY_STALLED), 1);
    assert_int_equal(refused(NET_REFUSED_MEMORY), 0);
    int32_t third = large_call(false); /* the connection goes on */
    exchange_until_closed(3);
    expect(third, "0");
    assert_int_equal(f.requests, 2);
}

static void test_forgets_streams_that_are_reset_while_they_wait(void **state)
{
    (void)state;
    f.budget.max = 256 << 10;
    start();
    int32_t first = begin_large_call();
    int32_t second = large_call(false), third = large_call(false);
    exchange();
    assert_int_equal(waiting(), 2);
    nghttp2_submit_rst_stream(f.session, 0, second, NGHTTP2_CANCEL);
    exchange();
    assert_int_equal(waiting(), 1);
    end_large_call(first);
    exchange_until_closed(3);
    expect(third, "0");
}

static void test_serves_plain_http_over_http2(void **state)
{
    (void)state;
    start();
    int32_t id = request_with("application/json", "origin", "x", "{}", 2, false);
    exchange_until_closed(1);
    assert_string_equal(f.streams[id].status, "200");
    assert_int_equal(f.streams[id].body_len, 2);
    assert_memory_equal(f.streams[id].body, "{}", 2);
}

/* ---- limits */

static void test_refuses_streams_opened_before_its_settings_came(void **state)
{
    (void)state;
    f.hold = true;
    f.options.streams_max = 10;
    start();
    for (int i = 0; i < 25; i++)
        call();
    exchange();
    assert_int_equal(f.held_count, 10);
    assert_int_equal(f.closed, 15);
    assert_int_equal(refused(NET_REFUSED_STREAMS), 15);
    for (int32_t id = 21; id < 50; id += 2)
        assert_int_equal(f.streams[id].error_code, NGHTTP2_REFUSED_STREAM);
    answer_held();
    exchange_until_closed(25);
    expect(1, "0");
}

/* Resetting a request does not take it from its handler, so it must not make room for another. */
static void test_counts_requests_that_were_reset(void **state)
{
    (void)state;
    f.hold = true;
    f.options.streams_max = 10;
    start();
    exchange();
    for (int i = 0; i < 60; i++) {
        int32_t id = call();
        exchange();
        nghttp2_submit_rst_stream(f.session, 0, id, NGHTTP2_CANCEL);
        exchange();
    }
    assert_int_equal(f.held_count, 20);
    assert_int_equal(refused(NET_REFUSED_STREAMS), 40);
    assert_true(net_request_is_gone(f.held[0]));
    answer_held();
    f.hold = false;
    int32_t id = call();
    exchange();
    expect(id, "0");
}

static void test_answers_431_to_headers_that_are_too_long(void **state)
{
    static char value[2000];
    (void)state;
    memset(value, 'x', sizeof value - 1);
    f.options.headers_max = 1000;
    start();
    int32_t id = request_with("application/grpc", "x-long", value, hi, 7, false);
    exchange_until_closed(1);
    assert_string_equal(f.streams[id].status, "431");
    assert_int_equal(refused(NET_REFUSED_HEADERS), 1);
    assert_int_equal(f.requests, 0);
    id = call();
    exchange_until_closed(2);
    expect(id, "0");
}

static void test_resets_a_stream_whose_headers_have_no_end(void **state)
{
    static char value[8000];
    (void)state;
    memset(value, 'x', sizeof value - 1);
    f.options.headers_max = 1000;
    start();
    int32_t id = request_with("application/grpc", "x-long", value, hi, 7, false);
    exchange_until_closed(1);
    assert_int_equal(f.streams[id].error_code, NGHTTP2_INTERNAL_ERROR);
    id = call();
    exchange_until_closed(2);
    expect(id, "0");
}

static void test_gives_up_on_a_body_that_does_not_come(void **state)
{
    (void)state;
    f.options.body_timeout_ms = 50;
    start();
    int32_t slow = request_with("application/grpc", "te", "trailers", hi, 6, true);
    exchange();
    net_peer_run_for(f.loop, 80);
    exchange_until_closed(1);
    assert_int_equal(f.streams[slow].error_code, NGHTTP2_CANCEL);
    assert_int_equal(refused(NET_REFUSED_BODY_TIMEOUT), 1);
    assert_int_equal(f.requests, 0);
    int32_t id = call();
    exchange_until_closed(2);
    expect(id, "0");
}

static void test_gives_up_on_a_client_that_does_not_greet(void **state)
{
    (void)state;
    f.options.header_timeout_ms = 50;
    start();
    net_peer_send_text(&f.peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    net_peer_await_end(&f.peer);
    assert_int_equal(refused(NET_REFUSED_HEADER_TIMEOUT), 1);
}

static void test_closes_an_idle_connection_politely(void **state)
{
    (void)state;
    f.options.idle_timeout_ms = 50;
    start();
    call();
    exchange_until_closed(1);
    exchange_until_goaway();
    assert_int_equal(f.goaway_code, NGHTTP2_NO_ERROR);
    net_peer_await_end(&f.peer);
}

static void test_asks_old_connections_to_leave(void **state)
{
    (void)state;
    f.options.connection_age_max_ms = 500;
    start();
    exchange();
    assert_false(f.goaway);
    exchange_until_goaway();
    assert_int_equal(f.goaway_last, (1u << 31) - 1); /* what is under way is still welcome */
    net_peer_await_end(&f.peer);
}

static void test_closes_a_connection_that_floods_it_with_pings(void **state)
{
    static const char ping[] = "\0\0\x8\6\0\0\0\0\0abcdefgh";
    (void)state;
    start();
    exchange();
    for (int i = 0; i < 200000 && !f.peer.ended; i++) {
        if (send(f.peer.fd, ping, 17, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            net_loop_run_once(f.loop, 1); /* and its answers are not read */
        struct net_server_stats stats;
        net_server_stats(f.server, &stats);
        if (stats.connections == 0)
            break;
    }
    net_peer_run_for(f.loop, 50);
    assert_true(refused(NET_REFUSED_FLOOD) + refused(NET_REFUSED_MALFORMED) > 0);
}

static void test_survives_frames_cut_at_every_byte(void **state)
{
    const uint8_t *data;
    ssize_t n;
    AUTO(buf_fini) struct buf sent = {0};
    (void)state;
    start();
    call();
    while ((n = nghttp2_session_mem_send(f.session, &data)) > 0)
        assert_ok(buf_append(&sent, (struct bytes){data, (size_t)n}));
    for (size_t at = 0; at < sent.len; at++) {
        net_peer_send(&f.peer, sent.data + at, 1);
        net_loop_run_once(f.loop, 1);
    }
    exchange_until_closed(1);
    expect(1, "0");
}

static void test_survives_a_client_that_leaves_at_any_byte(void **state)
{
    const uint8_t *data;
    ssize_t n;
    AUTO(buf_fini) struct buf sent = {0};
    (void)state;
    start();
    call();
    while ((n = nghttp2_session_mem_send(f.session, &data)) > 0)
        assert_ok(buf_append(&sent, (struct bytes){data, (size_t)n}));
    net_peer_close(&f.peer);
    for (size_t len = 0; len <= sent.len; len++) {
        struct net_peer peer;
        net_peer_connect(&peer, f.loop, net_server_port(f.server));
        net_peer_send(&peer, sent.data, len);
        net_loop_run_once(f.loop, 1);
        if (len % 2 == 0)
            net_peer_reset(&peer);
        else
            net_peer_close(&peer);
        net_loop_run_once(f.loop, 1);
    }
    net_peer_run_for(f.loop, 20);
    struct net_server_stats stats;
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.in_flight, 0);
}

static void test_ends_the_connection_at_a_protocol_error(void **state)
{
    (void)state;
    start();
    exchange();
    net_peer_send(&f.peer, "\0\0\1\0\0\0\0\0\0x", 10); /* DATA on stream 0 */
    exchange();
    assert_true(f.goaway);
    assert_int_equal(f.goaway_code, NGHTTP2_PROTOCOL_ERROR);
    net_peer_await_end(&f.peer);
    assert_true(refused(NET_REFUSED_MALFORMED) > 0);
}

/* ---- endings */

static void test_drains_by_answering_what_is_open(void **state)
{
    (void)state;
    f.hold = true;
    start();
    int32_t id = call();
    exchange();
    net_server_drain(f.server, net_loop_now_ms(f.loop) + 60000);
    exchange();
    assert_true(f.goaway);
    exchange();
    net_peer_run_for(f.loop, 600);
    assert_false(f.drained);
    answer_held();
    exchange();
    expect(id, "0");
    net_peer_await_end(&f.peer);
    net_peer_close(&f.peer);
    net_peer_run_until(f.loop, &f.drained);
    assert_int_equal(refused(NET_REFUSED_SHUTDOWN), 0);
}

static void test_an_answer_to_a_client_that_left_does_no_harm(void **state)
{
    struct net_server_stats stats;
    (void)state;
    f.hold = true;
    start();
    call();
    call();
    exchange();
    assert_int_equal(f.held_count, 2);
    nghttp2_submit_rst_stream(f.session, 0, 1, NGHTTP2_CANCEL);
    exchange();
    assert_true(net_request_is_gone(f.held[0]));
    assert_false(net_request_is_gone(f.held[1]));
    net_peer_reset(&f.peer);
    net_peer_run_for(f.loop, 20);
    assert_true(net_request_is_gone(f.held[1]));
    answer_held();
    net_server_stats(f.server, &stats);
    assert_int_equal(stats.responses_lost, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_a_call_with_message_and_trailers),
        TEST(test_answers_a_refusal_in_trailers_only),
        TEST(test_refuses_framing_that_is_not_one_message),
        TEST(test_decompresses_messages_within_bounds),
        TEST(test_tells_a_message_too_large_before_it_is_there),
        TEST(test_a_stream_that_waits_for_memory_does_not_hold_up_who_has_it),
        TEST(test_a_small_request_that_came_whole_waits_its_turn_too),
        TEST(test_refuses_for_want_of_memory_after_a_while),
        TEST(test_refuses_what_has_not_even_memory_to_wait),
        TEST(test_many_large_requests_share_little_memory),
        TEST(test_a_stream_that_stalls_gives_way_to_who_waits),
        TEST(test_forgets_streams_that_are_reset_while_they_wait),
        TEST(test_serves_plain_http_over_http2),
        TEST(test_refuses_streams_opened_before_its_settings_came),
        TEST(test_counts_requests_that_were_reset),
        TEST(test_answers_431_to_headers_that_are_too_long),
        TEST(test_resets_a_stream_whose_headers_have_no_end),
        TEST(test_gives_up_on_a_body_that_does_not_come),
        TEST(test_gives_up_on_a_client_that_does_not_greet),
        TEST(test_closes_an_idle_connection_politely),
        TEST(test_asks_old_connections_to_leave),
        TEST(test_closes_a_connection_that_floods_it_with_pings),
        TEST(test_survives_frames_cut_at_every_byte),
        TEST(test_survives_a_client_that_leaves_at_any_byte),
        TEST(test_ends_the_connection_at_a_protocol_error),
        TEST(test_drains_by_answering_what_is_open),
        TEST(test_an_answer_to_a_client_that_left_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
