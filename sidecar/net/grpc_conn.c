/* One HTTP/2 connection to a server. Nothing in nghttp2's callbacks closes it: `doomed` remembers
 * that it must be.
 *
 * A message is copied once, from the caller's parts into the socket's output behind its DATA
 * frame's header (nghttp2's NO_COPY). A call that has finished has no parts any more, so its stream
 * sends nothing: the RST_STREAM is on its way.
 */
#include "sidecar/net/client_internal.h"

#include "common/assert.h"
#include "sidecar/net/http2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 64 * 1024,
    READS_A_ROUND = 8,
    FIELDS = 10,           /* of a request, before its metadata */
    STREAMS_UNKNOWN = 100, /* allowed before the server has said how many */
    WINDOW = 8 << 20,      /* for replies of all streams together */
};

static struct grpc_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- receiving: nghttp2's callbacks */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user_data)
{
    struct grpc_call *call = call_of(session, frame->hd.stream_id);

    (void)flags;
    (void)user_data;
    if (call != NULL && !call->finished)
        call_take_header(call, (struct bytes){name, name_len}, (struct bytes){value, value_len});
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t len, void *user_data)
{
    struct grpc_call *call = call_of(session, stream_id);

    (void)flags;
    (void)user_data;
    if (call != NULL && !call->finished)
        call_take_data(call, (struct bytes){data, len});
    return 0;
}

static void go_away(struct grpc_conn *conn)
{
    conn->draining = true;
    if (conn->client->current == conn) {
        conn->client->current = NULL;
        client_pump(conn->client);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct grpc_conn *conn = user_data;

    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client_count(conn->client, CLIENT_GOAWAYS, 1);
        go_away(conn);
    }
    if (frame->hd.type == NGHTTP2_SETTINGS)
        client_pump(conn->client); /* more streams may be allowed now */
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct grpc_call *call = call_of(session, frame->hd.stream_id);
        if (call != NULL)
            call->ended = true;
    }
    return 0;
}

/* What became of a call whose stream has closed. */
static void conclude(struct grpc_conn *conn, struct grpc_call *call, uint32_t code)
{
    char text[96];

    call_list_remove(&conn->calls, call);
    conn->active_ms = net_loop_now_ms(conn->client->loop);
    if (call->finished) {
        call_release(call);
        return;
    }
    if (!call->ended && call->grpc_status < 0 && code == NGHTTP2_REFUSED_STREAM) {
        call_retry(call);
        return;
    }
    if (call->ended || call->grpc_status >= 0) {
        call_finish_answered(call);
    } else {
        snprintf(text, sizeof text, "the server reset the stream: %s",
                 nghttp2_http2_strerror(code));
        call_finish(call, GRPC_CALL_LOST, text);
    }
    call_release(call);
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t code,
                           void *user_data)
{
    struct grpc_conn *conn = user_data;
    struct grpc_call *call = call_of(session, stream_id);

    if (call != NULL) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        conclude(conn, call, code);
        client_pump(conn->client);
    }
    return 0;
}

/* ---- sending */

static ssize_t read_message(nghttp2_session *session, int32_t stream_id, uint8_t *into, size_t cap,
                            uint32_t *data_flags, nghttp2_data_source *source, void *user_data)
{
    struct grpc_call *call = source->ptr;
    size_t n = call->size - call->sent;

    (void)session;
    (void)stream_id;
    (void)into;
    (void)user_data;
    if (call->finished)
        return NGHTTP2_ERR_DEFERRED; /* for ever */
    if (n > cap)
        n = cap;
    call->sent += n;
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (call->sent == call->size)
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static enum err copy_message(struct grpc_call *call, size_t len, struct buf *out)
{
    enum err err = buf_reserve(out, len);

    while (!err && len > 0) {
        struct bytes from = {call->prefix + call->prefix_at, GRPC_PREFIX_SIZE - call->prefix_at};
        size_t *at = &call->prefix_at;
        if (from.len == 0) {
            const struct bytes *part = &call->params.message[call->part];
            if (call->part_at == part->len) {
                call->part++;
                call->part_at = 0;
                continue;
            }
            from = (struct bytes){part->data + call->part_at, part->len - call->part_at};
            at = &call->part_at;
        }
        if (from.len > len)
            from.len = len;
        err = buf_append(out, from);
        *at += from.len;
        len -= from.len;
    }
    return err;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                     size_t len, nghttp2_data_source *source, void *user_data)
{
    enum { FRAME_HEADER_SIZE = 9 };
    struct grpc_conn *conn = user_data;
    struct grpc_call *call = source->ptr;
    struct buf *out = &conn->socket.out;

    (void)session;
    (void)frame; /* no padding: we have no callback that asks for any */
    if (call->finished)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (out->len >= NET_SOCKET_OUT)
        return NGHTTP2_ERR_WOULDBLOCK;
    if (buf_append(out, (struct bytes){header, FRAME_HEADER_SIZE}) || copy_message(call, len, out))
        return NGHTTP2_ERR_CALLBACK_FAILURE; /* half a frame is out: the end of the connection */
    return 0;
}

bool grpc_conn_has_room(const struct grpc_conn *conn)
{
    uint32_t streams =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return conn->calls.count < streams;
}

bool grpc_conn_send(struct grpc_conn *conn, struct grpc_call *call)
{
    const struct grpc_call_params *params = &call->params;
    struct grpc_client *client = conn->client;
    uint64_t now = net_loop_now_ms(client->loop);
    uint64_t left = call->deadline_ms > now ? call->deadline_ms - now : 1;
    char timeout[16];
    nghttp2_nv fields[FIELDS + GRPC_METADATA_MAX];
    size_t count = 0;
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_message};

    /* At most 8 digits, as the protocol has it; seconds for what would need more. */
    snprintf(timeout, sizeof timeout, left < 100000000 ? "%um" : "%uS",
             (unsigned)(left < 100000000 ? left : left / 1000));
    fields[count++] = http2_field(":method", "POST");
    fields[count++] = http2_field(":scheme", client->options.tls != NULL ? "https" : "http");
    fields[count++] = http2_field(":path", params->path);
    fields[count++] = http2_field(":authority", client->authority);
    fields[count++] = http2_field("te", "trailers");
    fields[count++] = http2_field("content-type", "application/grpc");
    fields[count++] = http2_field("user-agent", client->user_agent);
    fields[count++] = http2_field("grpc-timeout", timeout);
    fields[count++] = http2_field("grpc-accept-encoding", "identity,gzip,zstd,deflate");
    if (params->encoding != NULL) {
        fields[count] = http2_field("grpc-encoding", params->encoding);
        /* grpcio remembers a value that it does not know with the name, and then knows no value. */
        fields[count++].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
    for (size_t i = 0; i < params->metadata_count; i++)
        fields[count++] = http2_field(params->metadata[i].name, params->metadata[i].value);

    call_start_over(call);
    int32_t stream_id = nghttp2_submit_request(conn->session, NULL, fields, count, &provider, call);
    if (stream_id < 0) {
        conn->draining = true; /* no stream numbers left, or GOAWAY */
        net_socket_kick(&conn->socket);
        return false;
    }
    call->stream_id = stream_id;
    call->conn = conn;
    if (conn->calls.count == 0)
        conn->busy_ms = now;
    call_list_append(&conn->calls, call);
    conn->active_ms = now;
    net_socket_kick(&conn->socket);
    return true;
}

void grpc_conn_reset(struct grpc_conn *conn, struct grpc_call *call)
{
    if (conn->closed)
        return;
    if (nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                  NGHTTP2_CANCEL) != 0)
        conn->doomed = true;
    net_socket_kick(&conn->socket);
}

/* ---- deadlines: PING when it is silent, the end when nothing is asked */

static bool is_watched(const struct grpc_conn *conn)
{
    return conn->client->options.keepalive_ms != 0 && conn->calls.count > 0;
}

/* Silence is counted from what last came, or from the call that ended a time without any. */
static uint64_t ping_due(const struct grpc_conn *conn)
{
    uint64_t since = conn->read_ms > conn->busy_ms ? conn->read_ms : conn->busy_ms;
    return since + conn->client->options.keepalive_ms;
}

static uint64_t next_look(const struct grpc_conn *conn)
{
    const struct grpc_client_options *options = &conn->client->options;
    uint64_t at = UINT64_MAX;

    if (conn->ping_ms != 0)
        at = conn->ping_ms + options->keepalive_timeout_ms;
    else if (is_watched(conn))
        at = ping_due(conn);
    else if (options->keepalive_ms != 0) /* calls may come */
        at = net_loop_now_ms(conn->client->loop) + options->keepalive_ms;
    if (conn->calls.count == 0 && options->idle_timeout_ms != 0 &&
        conn->active_ms + options->idle_timeout_ms < at)
        at = conn->active_ms + options->idle_timeout_ms;
    return at;
}

static void arm(struct grpc_conn *conn)
{
    uint64_t at = next_look(conn), now = net_loop_now_ms(conn->client->loop);
    if (at != UINT64_MAX)
        net_timer_set(conn->client->loop, &conn->timer, at > now ? at : now + 1);
}

static void on_timer(struct net_timer *timer)
{
    struct grpc_conn *conn = CONTAINER_OF(timer, struct grpc_conn, timer);
    const struct grpc_client_options *options = &conn->client->options;
    uint64_t now = net_loop_now_ms(conn->client->loop);

    if (conn->ping_ms != 0 && now >= conn->ping_ms + options->keepalive_timeout_ms) {
        grpc_conn_close(conn, "the server has fallen silent");
        return;
    }
    if (conn->calls.count == 0 && options->idle_timeout_ms != 0 &&
        now >= conn->active_ms + options->idle_timeout_ms) {
        grpc_conn_close(conn, "idle");
        return;
    }
    if (conn->ping_ms == 0 && is_watched(conn) && now >= ping_due(conn)) {
        conn->ping_ms = now;
        if (nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL) != 0)
            conn->doomed = true;
        net_socket_kick(&conn->socket);
    }
    arm(conn);
}

/* ---- the socket's events */

static struct grpc_conn *conn_of(struct net_socket *socket)
{
    return CONTAINER_OF(socket, struct grpc_conn, socket);
}

static enum err greet(struct grpc_conn *conn)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
    };
    if (nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, WINDOW) != 0)
        return ERR_NOMEM;
    return OK;
}

static void fail_connecting(struct grpc_conn *conn, enum grpc_outcome outcome,
                            const struct error *error)
{
    struct grpc_client *client = conn->client;
    grpc_conn_close(conn, error->text);
    client_connect_failed(client, outcome, error);
}

static void on_opened(struct net_socket *socket)
{
    struct grpc_conn *conn = conn_of(socket);
    struct grpc_client *client = conn->client;
    struct error error = {0};

    if (socket->tls != NULL && !bytes_equal(tls_alpn(socket->tls), BYTES_LITERAL("h2"))) {
        error_set(&error, ERR_INVALID, "%s port %u does not speak HTTP/2 over TLS", client->host,
                  client->options.port);
        fail_connecting(conn, GRPC_CALL_TLS_FAILED, &error);
        return;
    }
    nghttp2_session *session = NULL;
    if (nghttp2_session_client_new2(&session, client->callbacks, conn, client->session_options) ==
        0)
        conn->session = session;
    if (session == NULL || greet(conn)) {
        error_set(&error, ERR_NOMEM, "start HTTP/2");
        fail_connecting(conn, GRPC_CALL_CONNECT_FAILED, &error);
        return;
    }
    conn->ready = true;
    conn->read_ms = conn->active_ms = net_loop_now_ms(client->loop);
    arm(conn);
    net_socket_kick(socket);
    client_connected(client);
}

static bool meet_doom(struct grpc_conn *conn)
{
    if (conn->doomed)
        grpc_conn_close(conn, "HTTP/2 failed");
    return conn->closed;
}

static void on_readable(struct net_socket *socket)
{
    struct grpc_conn *conn = conn_of(socket);
    struct grpc_client *client = conn->client;
    uint8_t data[READ_SIZE];

    for (int i = 0; i < READS_A_ROUND; i++) {
        size_t len = 0;
        struct error error = {0};
        enum err err = net_socket_read(socket, data, sizeof data, &len, &error);
        if (err == ERR_AGAIN)
            return;
        if (err) {
            grpc_conn_close(conn, error.text);
            return;
        }
        client_count(client, CLIENT_BYTES_RECEIVED, len);
        conn->read_ms = net_loop_now_ms(client->loop);
        conn->ping_ms = 0; /* anything will do for an answer */
        if (nghttp2_session_mem_recv(conn->session, data, len) < 0)
            conn->doomed = true;
        if (meet_doom(conn))
            return;
        net_socket_kick(socket);
        if (len < sizeof data && socket->tls == NULL)
            return; /* that was all for now; the kernel will say if not */
    }
    net_socket_resume(socket); /* the rest in the next round; TLS may hold some of it */
}

static void on_fill(struct net_socket *socket)
{
    struct grpc_conn *conn = conn_of(socket);
    struct buf *out = &socket->out;

    while (conn->ready && !conn->doomed && out->len < NET_SOCKET_OUT) {
        const uint8_t *data;
        size_t before = out->len;
        ssize_t n = nghttp2_session_mem_send(conn->session, &data);
        if (n < 0 || (n > 0 && buf_append(out, (struct bytes){data, (size_t)n})))
            conn->doomed = true;
        if (n == 0 && out->len == before)
            break;
    }
    if (conn->doomed)
        grpc_conn_close(conn, "HTTP/2 failed");
}

static void on_flushed(struct net_socket *socket)
{
    struct grpc_conn *conn = conn_of(socket);

    client_count(conn->client, CLIENT_BYTES_SENT, socket->bytes_out);
    socket->bytes_out = 0;
    if (!conn->ready)
        return;
    bool over = nghttp2_session_want_read(conn->session) == 0 &&
                nghttp2_session_want_write(conn->session) == 0;
    if (over || (conn->draining && conn->calls.count == 0))
        grpc_conn_close(conn, "the server is going away");
}

static void on_failed(struct net_socket *socket, enum err err, const struct error *error)
{
    struct grpc_conn *conn = conn_of(socket);
    struct grpc_client *client = conn->client;
    struct error told = *error;

    if (conn->ready) {
        grpc_conn_close(conn, error->text);
        return;
    }
    error_prefix(&told, err, "%s port %u", client->host, client->options.port);
    fail_connecting(
        conn, socket->state == SOCKET_HANDSHAKING ? GRPC_CALL_TLS_FAILED : GRPC_CALL_CONNECT_FAILED,
        &told);
}

static const struct net_socket_ops socket_ops = {
    .opened = on_opened,
    .readable = on_readable,
    .fill = on_fill,
    .flushed = on_flushed,
    .failed = on_failed,
};

/* ---- opening and closing */

static void free_conn(struct net_task *task)
{
    free(CONTAINER_OF(task, struct grpc_conn, free_task));
}

static void unlink_conn(struct grpc_conn *conn)
{
    struct grpc_conn **at = &conn->client->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    if (conn->client->current == conn)
        conn->client->current = NULL;
}

void grpc_conn_close(struct grpc_conn *conn, const char *why)
{
    struct grpc_client *client = conn->client;
    enum grpc_outcome outcome = client->destroyed ? GRPC_CALL_CANCELLED : GRPC_CALL_LOST;
    struct grpc_call *call;

    if (conn->closed)
        return;
    conn->closed = true;
    unlink_conn(conn);
    if (conn->ready)
        client_count(client, CLIENT_CONNECTED, (uint64_t)-1);
    net_timer_cancel(client->loop, &conn->timer);
    net_socket_close(&conn->socket);
    nghttp2_session_del(conn->session);
    conn->session = NULL;
    while ((call = conn->calls.first) != NULL) {
        call_list_remove(&conn->calls, call);
        if (!call->finished)
            call_finish(call, outcome, why);
        call_release(call);
    }
    net_loop_defer(client->loop, &conn->free_task);
    client_pump(client);
}

static enum err connect_to(const struct sockaddr_storage *addr, socklen_t len, int *ret_fd,
                           struct error *error)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set_errno(error, ERR_IO, "make a socket");
    net_socket_tune(fd);
    if (connect(fd, (const struct sockaddr *)addr, len) != 0 && errno != EINPROGRESS) {
        error_set_errno(error, ERR_IO, "connect");
        close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    return OK;
}

enum err grpc_conn_open(struct grpc_client *client, const struct sockaddr_storage *addr,
                        socklen_t len, struct grpc_conn **ret_conn, struct error *error)
{
    struct tls_stream *tls = NULL;
    int fd = -1;

    struct grpc_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return error_set(error, ERR_NOMEM, "connect to %s", client->host);
    enum err err = connect_to(addr, len, &fd, error);
    if (!err && client->options.tls != NULL) {
        err = tls_connect(client->options.tls, fd, client->server_name, &tls, error);
        if (err)
            close(fd);
    }
    if (!err)
        err = net_socket_open(&conn->socket, &socket_ops, client->loop, fd, tls, true, error);
    if (err) {
        free(conn);
        return error_prefix(error, err, "%s port %u", client->host, client->options.port);
    }
    conn->client = client;
    conn->timer.fire = on_timer;
    conn->free_task.run = free_conn;
    conn->next = client->conns;
    client->conns = conn;
    *ret_conn = conn;
    return OK;
}

enum err client_prepare_http2(struct grpc_client *client, struct error *error)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;

    if (nghttp2_session_callbacks_new(&callbacks) == 0)
        client->callbacks = callbacks;
    if (nghttp2_option_new(&option) == 0)
        client->session_options = option;
    if (callbacks == NULL || option == NULL)
        return error_set(error, ERR_NOMEM, "prepare HTTP/2");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_option_set_peer_max_concurrent_streams(option, STREAMS_UNKNOWN);
    return OK;
}

void client_forget_http2(struct grpc_client *client)
{
    nghttp2_session_callbacks_del(client->callbacks);
    nghttp2_option_del(client->session_options);
}
