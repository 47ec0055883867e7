/* HTTP/2 over nghttp2, which keeps the streams, the windows and the header tables.
 *
 * A stream begins with a window of FIRST_WINDOW, and gets more of it once there is memory for the
 * whole body. What comes before is kept, as overhead. The connection's window is given back at
 * once whatever its streams wait for, so that they never hold each other up.
 *
 * A request that is whole goes to its handler from within nghttp2's callback; answering from there
 * only queues frames, which fill() takes out when the round ends. Nothing in here sends, and
 * nothing closes the connection while nghttp2 is on the stack: `doomed` remembers that it must.
 *
 * Beyond nghttp2's own count of open streams, requests that are with a handler although their
 * stream was reset count too: resetting is no way to have more work done at once. Nor is it a way
 * to have work done for nothing: resets are counted, but only those of requests that have not been
 * answered (nghttp2's own limit, which counts all, would cut off curl, which resets every stream
 * that is over).
 */
#include "sidecar/net/http2.h"

#include "sidecar/net/http2_answer.h"
#include "sidecar/net/server_internal.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

enum {
    DRAIN_NOTICE_MS = 500, /* from "no new streams, please" to "none is taken" */
    RESET_BURST = 1000,    /* requests that a peer resets before their answers */
    RESET_RATE = 200,      /* of them a second, after that */
    HEADERS_HOSTILE = 4,   /* times headers_max: not worth decoding to the end, nor an answer */
    RESETS_OPEN = 2,       /* times streams_max: requests of one connection, reset ones included */
};

struct http2 {
    nghttp2_session *session;
    struct net_conn *conn;
    bool greeted;                     /* the peer's SETTINGS are there */
    bool doomed;                      /* close when nghttp2 has returned */
    enum net_refusal doomed_for;      /* and why */
    uint64_t final_goaway_at_ms;      /* UINT64_MAX: not draining, or sent already */
    uint64_t resets, resets_since_ms; /* how many of RESET_BURST are used up, and when */
};

static struct http2 *http2_of(const struct net_conn *conn)
{
    return conn->session;
}

static struct net_request *request_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static void doom(struct http2 *http2, enum net_refusal refusal)
{
    if (!http2->doomed)
        http2->doomed_for = refusal;
    http2->doomed = true;
}

static void http2_respond(struct net_conn *conn, struct net_request *request,
                          const struct net_response *response);

/* ---- receiving: nghttp2's callbacks */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;
    struct net_server *server = http2->conn->server;
    int32_t stream_id = frame->hd.stream_id;

    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers */
    bool may = http2->conn->request_count < RESETS_OPEN * server->options.streams_max;
    struct net_request *request = may ? request_create(http2->conn) : NULL;
    if (request == NULL) { /* without a request, what follows on the stream is ignored */
        server_count_refusal(server, may ? NET_REFUSED_EXHAUSTED : NET_REFUSED_STREAMS);
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id,
                                         NGHTTP2_REFUSED_STREAM);
    }
    request->is_http2 = true;
    request->stream_id = stream_id;
    return nghttp2_session_set_stream_user_data(session, stream_id, request);
}

/* nghttp2 has checked that it is a number. */
static uint64_t parse_length(struct bytes digits)
{
    uint64_t length = 0;
    for (size_t i = 0; i < digits.len; i++)
        length = length * 10 + (uint64_t)(digits.data[i] - '0');
    return length;
}

/* What is too much, request->refusal remembers until the headers are whole. */
static void take_header(struct net_request *request, struct bytes name, struct bytes value)
{
    if (bytes_equal(name, BYTES_LITERAL(":method"))) {
        request_set_method(request, value);
    } else if (bytes_equal(name, BYTES_LITERAL(":path"))) {
        request_set_target(request, value);
    } else {
        if (bytes_equal(name, BYTES_LITERAL(":authority")))
            name = BYTES_LITERAL("host");
        else if (bytes_equal(name, BYTES_LITERAL("content-length")))
            request->content_length = parse_length(value);
        IGNORE_RESULT(request_add_header(request, name, value));
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user_data)
{
    struct net_request *request = request_of(session, frame->hd.stream_id);
    struct bytes n = {name, name_len}, v = {value, value_len};

    struct http2 *http2 = user_data;

    (void)flags;
    if (request == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers of a request have nothing to say here */
    take_header(request, n, v);
    if (request->header_size <= HEADERS_HOSTILE * http2->conn->server->options.headers_max)
        return 0;
    server_count_refusal(http2->conn->server, NET_REFUSED_HEADERS);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* nghttp2 resets the stream */
}

static void on_whole(struct net_request *request)
{
    if (request->state == REQUEST_RECEIVING && request->refusal == NET_REFUSED_NOT &&
        request->admission != ADMISSION_WAITING)
        request_hand_over(request);
}

/* Whether the body may be longer than the window that the stream began with. */
static bool is_long(const struct net_request *request)
{
    return request->body_expected == 0 || request->body_expected > FIRST_WINDOW;
}

/* There is memory: lets the rest of a long body come. */
static void open_window(struct http2 *http2, struct net_request *request)
{
    const struct net_server_options *options = &http2->conn->server->options;

    conn_arm(http2->conn, request->deadline_ms);
    if (!is_long(request) || request->whole)
        return;
    if (nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                              (int32_t)options->stream_window) != 0 ||
        nghttp2_session_consume_stream(http2->session, request->stream_id, request->body.len) != 0)
        doom(http2, NET_REFUSED_EXHAUSTED);
}

static void admit(struct http2 *http2, struct net_request *request, struct bytes first)
{
    if (request_admit(request, first) == ADMISSION_DONE)
        open_window(http2, request);
}

static void on_headers_done(struct http2 *http2, struct net_request *request, bool whole)
{
    static const struct net_response too_long = {.status = 431};

    if (request->refusal == NET_REFUSED_HEADERS) {
        server_count_refusal(http2->conn->server, NET_REFUSED_HEADERS);
        request->state = REQUEST_ANSWERED;
        http2_respond(http2->conn, request, &too_long);
    } else if (!request_headers_done(request, request->content_length)) {
        request_refuse(request, request->refusal);
    } else if (whole)
        on_whole(request);
    else if (request->content_length > 0)
        admit(http2, request, (struct bytes){0});
    else
        conn_arm(http2->conn, request->deadline_ms);
}

/* A bucket that fills with resets and leaks with time. */
static void count_reset(struct http2 *http2)
{
    uint64_t now = conn_now_ms(http2->conn);
    uint64_t leaked = (now - http2->resets_since_ms) * RESET_RATE / 1000;

    if (leaked > 0) {
        http2->resets = leaked < http2->resets ? http2->resets - leaked : 0;
        http2->resets_since_ms = now;
    }
    if (++http2->resets > RESET_BURST)
        doom(http2, NET_REFUSED_FLOOD);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct net_request *request = NULL;

    if (frame->hd.type == NGHTTP2_SETTINGS)
        http2->greeted = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM && request_of(session, frame->hd.stream_id) != NULL)
        count_reset(http2);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    request = request_of(session, frame->hd.stream_id);
    if (request == NULL)
        return 0;
    request->whole = last;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        on_headers_done(http2, request, last);
    else if (last)
        on_whole(request);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user_data)
{
    struct net_request *request = request_of(session, stream_id);
    struct http2 *http2 = user_data;
    struct bytes chunk = {data, len};

    (void)flags;
    if (nghttp2_session_consume_connection(session, len) != 0)
        doom(http2, NET_REFUSED_EXHAUSTED);
    if (request == NULL || request->state != REQUEST_RECEIVING ||
        request->refusal != NET_REFUSED_NOT)
        return 0; /* refused already, and the peer does not know yet */
    if (request->admission == ADMISSION_NONE)
        admit(http2, request, chunk);
    if (!request_add_body(request, chunk))
        request_refuse(request, request->refusal);
    else if (request->admission == ADMISSION_DONE && is_long(request) &&
             nghttp2_session_consume_stream(session, stream_id, len) != 0)
        doom(http2, NET_REFUSED_EXHAUSTED);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code,
                           void *user_data)
{
    struct net_request *request = request_of(session, stream_id);

    (void)code;
    (void)user_data;
    if (request != NULL) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        request_abandon(request);
    }
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user_data)
{
    struct http2 *http2 = user_data;

    (void)session;
    (void)frame;
    if (code == NGHTTP2_ERR_REFUSED_STREAM)
        server_count_refusal(http2->conn->server, NET_REFUSED_STREAMS);
    return 0;
}

/* ---- sending */

/* Errors that nghttp2 answers by itself are seen here. */
static void count_complaint(struct net_server *server, const nghttp2_frame *frame)
{
    uint32_t code = NGHTTP2_NO_ERROR;

    if (frame->hd.type == NGHTTP2_GOAWAY)
        code = frame->goaway.error_code;
    else if (frame->hd.type == NGHTTP2_RST_STREAM &&
             frame->rst_stream.error_code == NGHTTP2_PROTOCOL_ERROR)
        code = NGHTTP2_PROTOCOL_ERROR;
    if (code != NGHTTP2_NO_ERROR)
        server_count_refusal(server, code == NGHTTP2_ENHANCE_YOUR_CALM ? NET_REFUSED_FLOOD
                                                                       : NET_REFUSED_MALFORMED);
}

/* A peer that still sends the body of a request that has its answer is told to stop. */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http2 *http2 = user_data;

    count_complaint(http2->conn->server, frame);
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    struct net_request *request = request_of(session, frame->hd.stream_id);
    if (request == NULL || request->whole)
        return 0;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_NO_ERROR);
}

static void http2_respond(struct net_conn *conn, struct net_request *request,
                          const struct net_response *response)
{
    struct http2 *http2 = http2_of(conn);

    if (http2_answer(http2->session, request, response))
        doom(http2, NET_REFUSED_EXHAUSTED); /* half an answer is worse than none */
    net_request_drop_body(request);
    request->deadline_ms = conn_now_ms(conn) + conn->server->options.write_timeout_ms;
    conn_arm(conn, request->deadline_ms);
    net_socket_kick(&conn->socket);
    if (response->close)
        conn_drain(conn);
}

/* ---- the session */

enum err http2_prepare(struct net_server *server, struct error *error)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) == 0)
        server->http2_callbacks = callbacks;
    if (nghttp2_option_new(&option) == 0)
        server->http2_options = option;
    if (callbacks == NULL || option == NULL)
        return error_set(error, ERR_NOMEM, "prepare HTTP/2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    /* It would keep as many streams as may be open, 66 KiB for a connection, only to tell a frame
     * for one that is over from other frames that can be ignored. */
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_auto_window_update(option, 1);
    return OK;
}

void http2_forget(struct net_server *server)
{
    nghttp2_session_callbacks_del(server->http2_callbacks);
    nghttp2_option_del(server->http2_options);
}

static enum err greet(struct http2 *http2, const struct net_server_options *options)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, FIRST_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)options->headers_max},
    };
    size_t count = sizeof settings / sizeof settings[0];

    if (nghttp2_submit_settings(http2->session, NGHTTP2_FLAG_NONE, settings, count) != 0 ||
        nghttp2_session_set_local_window_size(http2->session, NGHTTP2_FLAG_NONE, 0,
                                              (int32_t)options->connection_window) != 0)
        return ERR_NOMEM;
    return OK;
}

static void http2_stop(struct net_conn *conn)
{
    struct http2 *http2 = http2_of(conn);
    if (http2 == NULL)
        return;
    nghttp2_session_del(http2->session);
    free(http2);
    conn->session = NULL;
}

static enum err http2_start(struct net_conn *conn)
{
    struct net_server *server = conn->server;
    struct http2 *http2 = calloc(1, sizeof *http2);

    if (http2 == NULL)
        return ERR_NOMEM;
    conn->session = http2;
    http2->conn = conn;
    http2->final_goaway_at_ms = UINT64_MAX;
    if (nghttp2_session_server_new2(&http2->session, server->http2_callbacks, http2,
                                    server->http2_options) != 0 ||
        greet(http2, &server->options)) {
        http2_stop(conn);
        return ERR_NOMEM;
    }
    return OK;
}

/* Closes if it has to; true: it did. */
static bool meet_doom(struct http2 *http2)
{
    struct net_conn *conn = http2->conn;
    if (!http2->doomed)
        return false;
    conn_refuse(conn, http2->doomed_for);
    return true;
}

static void http2_feed(struct net_conn *conn, struct bytes data)
{
    struct http2 *http2 = http2_of(conn);

    if (data.len == 0)
        return;
    ssize_t n = nghttp2_session_mem_recv(http2->session, data.data, data.len);
    if (n == NGHTTP2_ERR_FLOODED)
        doom(http2, NET_REFUSED_FLOOD);
    else if (n == NGHTTP2_ERR_NOMEM)
        doom(http2, NET_REFUSED_EXHAUSTED);
    else if (n < 0)
        doom(http2, NET_REFUSED_MALFORMED);
    if (!meet_doom(http2))
        net_socket_kick(&conn->socket);
}

static void http2_admitted(struct net_conn *conn, struct net_request *request)
{
    struct http2 *http2 = http2_of(conn);

    if (request->whole)
        on_whole(request);
    else
        open_window(http2, request);
    if (!meet_doom(http2))
        net_socket_kick(&conn->socket);
}

static bool is_owing(const struct net_conn *conn)
{
    for (struct net_request *request = conn->requests; request != NULL; request = request->next)
        if (request->state != REQUEST_RECEIVING && request->stream_id != 0)
            return true;
    return false;
}

static void http2_end(struct net_conn *conn)
{
    if (!is_owing(conn) && !net_socket_has_output(&conn->socket))
        conn_close(conn);
}

static void http2_fill(struct net_conn *conn)
{
    struct http2 *http2 = http2_of(conn);
    struct buf *out = &conn->socket.out;

    while (!http2->doomed && out->len < NET_SOCKET_OUT) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(http2->session, &data);
        if (n <= 0) {
            if (n < 0)
                doom(http2, NET_REFUSED_EXHAUSTED);
            break;
        }
        if (buf_append(out, (struct bytes){data, (size_t)n}))
            doom(http2, NET_REFUSED_EXHAUSTED);
    }
    IGNORE_RESULT(meet_doom(http2)); /* the socket looks for itself */
}

static void http2_flushed(struct net_conn *conn)
{
    struct http2 *http2 = http2_of(conn);

    bool over = nghttp2_session_want_read(http2->session) == 0 &&
                nghttp2_session_want_write(http2->session) == 0;
    bool drained =
        conn->draining && http2->final_goaway_at_ms == UINT64_MAX && conn->requests == NULL;

    if (conn->ended && !is_owing(conn))
        conn_close(conn);
    else if (over || drained)
        conn_linger(conn);
}

/* ---- going away */

static void send_final_goaway(struct http2 *http2)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(http2->session);

    http2->final_goaway_at_ms = UINT64_MAX;
    if (nghttp2_submit_goaway(http2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) !=
        0)
        doom(http2, NET_REFUSED_EXHAUSTED);
    net_socket_kick(&http2->conn->socket);
}

/* In two steps, so that requests under way when the first GOAWAY leaves are still answered. */
static void http2_drain(struct net_conn *conn)
{
    struct http2 *http2 = http2_of(conn);

    if (nghttp2_submit_shutdown_notice(http2->session) != 0)
        doom(http2, NET_REFUSED_EXHAUSTED);
    http2->final_goaway_at_ms = conn_now_ms(conn) + DRAIN_NOTICE_MS;
    conn_arm(conn, http2->final_goaway_at_ms);
    net_socket_kick(&conn->socket);
}

/* ---- deadlines */

static uint64_t http2_deadline(const struct net_conn *conn)
{
    const struct http2 *http2 = http2_of(conn);
    const struct net_server_options *options = &conn->server->options;
    uint64_t at = http2->final_goaway_at_ms;

    if (!http2->greeted && conn->start_ms + options->header_timeout_ms < at)
        at = conn->start_ms + options->header_timeout_ms;
    if (conn->requests == NULL && !conn->draining &&
        conn->active_ms + options->idle_timeout_ms < at)
        at = conn->active_ms + options->idle_timeout_ms;
    for (struct net_request *request = conn->requests; request != NULL; request = request->next)
        if (request->state != REQUEST_HANDED && request->deadline_ms < at)
            at = request->deadline_ms;
    return at;
}

/* Resets the stream, whose end releases the request. */
static void cancel(struct http2 *http2, struct net_request *request)
{
    request->deadline_ms = UINT64_MAX; /* once is enough */
    if (nghttp2_submit_rst_stream(http2->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                  NGHTTP2_CANCEL) != 0)
        doom(http2, NET_REFUSED_EXHAUSTED);
}

static void http2_stalled(struct net_conn *conn, struct net_request *request)
{
    struct http2 *http2 = http2_of(conn);

    request->refusal = NET_REFUSED_BODY_STALLED;
    net_request_drop_body(request);
    cancel(http2, request);
    if (!meet_doom(http2))
        net_socket_kick(&conn->socket);
}

/* A request is late: with its body, which is its own affair; with its headers, and then nothing
 * else can come; or in taking its answer, which flow control may hold up for ever. */
static void end_overdue(struct http2 *http2, uint64_t now_ms)
{
    struct net_server *server = http2->conn->server;

    for (struct net_request *request = http2->conn->requests; request != NULL;
         request = request->next) {
        if (request->state == REQUEST_HANDED || request->deadline_ms > now_ms)
            continue;
        if (request->admission == ADMISSION_WAITING) {
            request->deadline_ms = UINT64_MAX; /* memory has come just now, if not refused */
            request_refuse(request, NET_REFUSED_MEMORY);
            continue;
        }
        if (request->state == REQUEST_ANSWERED || !request->headers_whole) {
            doom(http2, request->state == REQUEST_ANSWERED ? NET_REFUSED_WRITE_TIMEOUT
                                                           : NET_REFUSED_HEADER_TIMEOUT);
            return;
        }
        server_count_refusal(server, NET_REFUSED_BODY_TIMEOUT);
        cancel(http2, request);
    }
}

static void http2_overdue(struct net_conn *conn, uint64_t now_ms)
{
    struct http2 *http2 = http2_of(conn);
    const struct net_server_options *options = &conn->server->options;

    if (!http2->greeted && now_ms >= conn->start_ms + options->header_timeout_ms) {
        conn_refuse(conn, NET_REFUSED_HEADER_TIMEOUT);
        return;
    }
    if (now_ms >= http2->final_goaway_at_ms)
        send_final_goaway(http2);
    else if (conn->requests == NULL && now_ms >= conn->active_ms + options->idle_timeout_ms)
        conn_drain(conn);
    end_overdue(http2, now_ms);
    if (!meet_doom(http2))
        net_socket_kick(&conn->socket);
}

const struct protocol http2_protocol = {
    .start = http2_start,
    .feed = http2_feed,
    .admitted = http2_admitted,
    .stalled = http2_stalled,
    .end = http2_end,
    .fill = http2_fill,
    .flushed = http2_flushed,
    .respond = http2_respond,
    .drain = http2_drain,
    .deadline = http2_deadline,
    .overdue = http2_overdue,
    .stop = http2_stop,
};
