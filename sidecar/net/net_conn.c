/* One timer serves all deadlines of a connection. It is set to a time at which something may be
 * overdue, and looks again when it fires; so a request that comes and goes need not touch it.
 *
 *   handshaking -> guessing -> HTTP/1.1 or HTTP/2 -> lingering -> closed
 *                  conn_opened  start()              conn_linger  conn_close
 */
#include "sidecar/net/server_internal.h"

#include "common/assert.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_A_ROUND = 8, /* of READ_SIZE, before others get their turn */
    LINGER_MS = 2000,
};

static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum { PREFACE_SIZE = sizeof preface - 1 };

static struct net_conn *conn_of(struct net_socket *socket)
{
    return CONTAINER_OF(socket, struct net_conn, socket);
}

/* ---- the end */

static void free_conn(struct net_task *task)
{
    free(CONTAINER_OF(task, struct net_conn, free_task));
}

void conn_close(struct net_conn *conn)
{
    if (conn->closed)
        return;
    conn->closed = true;
    while (conn->requests != NULL)
        request_abandon(conn->requests);
    if (conn->protocol != NULL)
        conn->protocol->stop(conn);
    net_timer_cancel(conn->server->loop, &conn->timer);
    net_socket_close(&conn->socket);
    conn_discharge(conn, conn->overhead);
    net_loop_defer(conn->server->loop, &conn->free_task);
    server_conn_closed(conn->server, conn);
}

bool conn_charge(struct net_conn *conn, size_t bytes)
{
    if (!net_budget_take_overhead(conn->server->options.budget, bytes))
        return false;
    conn->overhead += bytes;
    return true;
}

void conn_discharge(struct net_conn *conn, size_t bytes)
{
    net_budget_give_overhead(conn->server->options.budget, bytes);
    conn->overhead -= bytes;
}

void conn_refuse(struct net_conn *conn, enum net_refusal refusal)
{
    server_count_refusal(conn->server, refusal);
    conn_close(conn);
}

void conn_linger(struct net_conn *conn)
{
    if (conn->ended) {
        conn_close(conn);
        return;
    }
    conn->lingering = true;
    conn->linger_until_ms = conn_now_ms(conn) + LINGER_MS;
    net_socket_shutdown(&conn->socket);
    net_socket_resume(&conn->socket);
    conn_arm(conn, conn->linger_until_ms);
}

void conn_drain(struct net_conn *conn)
{
    if (conn->closed || conn->draining)
        return;
    conn->draining = true;
    if (conn->protocol == NULL)
        conn_close(conn); /* it has asked for nothing */
    else
        conn->protocol->drain(conn);
}

/* ---- deadlines */

void conn_arm(struct net_conn *conn, uint64_t at_ms)
{
    if (!conn->closed && at_ms != UINT64_MAX && (!conn->timer.armed || conn->timer.at_ms > at_ms))
        net_timer_set(conn->server->loop, &conn->timer, at_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t opening_deadline(const struct net_conn *conn)
{
    const struct net_server_options *options = &conn->server->options;
    return conn->start_ms + (conn->socket.state == SOCKET_HANDSHAKING
                                 ? options->handshake_timeout_ms
                                 : options->header_timeout_ms);
}

static uint64_t write_deadline(const struct net_conn *conn)
{
    if (!net_socket_has_output(&conn->socket))
        return UINT64_MAX;
    return conn->socket.progress_ms + conn->server->options.write_timeout_ms;
}

static void on_timer(struct net_timer *timer)
{
    struct net_conn *conn = CONTAINER_OF(timer, struct net_conn, timer);
    uint64_t now = conn_now_ms(conn);

    if (conn->lingering) {
        if (now >= conn->linger_until_ms)
            conn_close(conn);
        else
            conn_arm(conn, conn->linger_until_ms);
        return;
    }
    if (conn->protocol == NULL) {
        if (now >= opening_deadline(conn))
            conn_refuse(conn, conn->socket.state == SOCKET_HANDSHAKING
                                  ? NET_REFUSED_TLS
                                  : NET_REFUSED_HEADER_TIMEOUT);
        else
            conn_arm(conn, opening_deadline(conn));
        return;
    }
    if (now >= write_deadline(conn)) {
        conn_refuse(conn, NET_REFUSED_WRITE_TIMEOUT);
        return;
    }
    if (now >= conn->age_at_ms) {
        conn->age_at_ms = UINT64_MAX;
        conn_drain(conn);
    }
    if (!conn->closed && now >= conn->protocol->deadline(conn))
        conn->protocol->overdue(conn, now);
    if (!conn->closed && !conn->lingering)
        conn_arm(conn, earlier(earlier(conn->protocol->deadline(conn), write_deadline(conn)),
                               conn->age_at_ms));
}

/* ---- receiving */

static void start(struct net_conn *conn, const struct protocol *protocol)
{
    conn->protocol = protocol;
    conn->active_ms = conn_now_ms(conn);
    if (protocol->start(conn)) {
        conn->protocol = NULL; /* nothing to stop */
        conn_refuse(conn, NET_REFUSED_EXHAUSTED);
        return;
    }
    conn_arm(conn, earlier(protocol->deadline(conn), conn->age_at_ms));
    net_socket_kick(&conn->socket);
}

/* HTTP/2 announces itself in 24 bytes; the first that differs makes it HTTP/1.1. */
static void guess(struct net_conn *conn, struct bytes data)
{
    size_t take = PREFACE_SIZE - conn->first_len;
    if (take > data.len)
        take = data.len;
    memcpy(conn->first + conn->first_len, data.data, take);
    conn->first_len += take;

    bool same = memcmp(conn->first, preface, conn->first_len) == 0;
    if (same && conn->first_len < PREFACE_SIZE)
        return;
    start(conn, same ? &http2_protocol : &http1_protocol);
    if (!conn->closed)
        conn->protocol->feed(conn, (struct bytes){conn->first, conn->first_len});
    if (!conn->closed && take < data.len)
        conn->protocol->feed(conn, (struct bytes){data.data + take, data.len - take});
}

static void take(struct net_conn *conn, struct bytes data)
{
    server_count(conn->server, COUNT_BYTES_RECEIVED, data.len);
    if (conn->lingering)
        return; /* read so that the peer can read */
    if (conn->protocol != NULL)
        conn->protocol->feed(conn, data);
    else
        guess(conn, data);
}

static void end_of_input(struct net_conn *conn)
{
    conn->ended = true;
    if (conn->lingering || conn->protocol == NULL) {
        conn_close(conn);
        return;
    }
    net_socket_pause(&conn->socket); /* the kernel would tell of it again and again */
    if (!conn->closed)
        conn->protocol->end(conn);
}

static void on_readable(struct net_socket *socket)
{
    struct net_conn *conn = conn_of(socket);
    uint8_t *into = conn->server->read_buffer;

    if (conn->protocol != NULL && !conn->lingering) /* what was kept while reading was paused */
        conn->protocol->feed(conn, (struct bytes){0});
    for (int i = 0; i < READS_A_ROUND; i++) {
        size_t len = 0;
        if (conn->closed || socket->paused)
            return;
        enum err err = net_socket_read(socket, into, READ_SIZE, &len, NULL);
        if (err == ERR_AGAIN)
            return;
        if (err == ERR_CLOSED) {
            end_of_input(conn);
            return;
        }
        if (err) {
            conn_close(conn);
            return;
        }
        take(conn, (struct bytes){into, len});
        if (len < READ_SIZE && socket->tls == NULL)
            return; /* that was all for now; the kernel will say if not */
    }
    if (!conn->closed && !socket->paused && socket->tls != NULL)
        net_socket_resume(socket); /* the rest may be in OpenSSL, of which epoll knows nothing */
}

/* ---- the socket's other events */

static void on_opened(struct net_socket *socket)
{
    struct net_conn *conn = conn_of(socket);
    struct bytes alpn = {0};

    if (socket->tls != NULL)
        alpn = tls_alpn(socket->tls);
    conn->start_ms = conn_now_ms(conn);
    if (bytes_equal(alpn, BYTES_LITERAL("h2")))
        start(conn, &http2_protocol);
    else if (alpn.len > 0)
        start(conn, &http1_protocol);
    else
        conn_arm(conn, opening_deadline(conn));
}

static void on_fill(struct net_socket *socket)
{
    struct net_conn *conn = conn_of(socket);

    if (conn->protocol != NULL && !conn->lingering)
        conn->protocol->fill(conn);
}

static void on_blocked(struct net_socket *socket)
{
    struct net_conn *conn = conn_of(socket);
    conn_arm(conn, write_deadline(conn));
}

static void on_flushed(struct net_socket *socket)
{
    struct net_conn *conn = conn_of(socket);

    server_count(conn->server, COUNT_BYTES_SENT, socket->bytes_out);
    socket->bytes_out = 0;
    if (conn->protocol != NULL && !conn->lingering)
        conn->protocol->flushed(conn);
}

static void on_failed(struct net_socket *socket, enum err err, const struct error *error)
{
    struct net_conn *conn = conn_of(socket);

    (void)err;
    (void)error; /* a peer's failure is its own business: it is counted, not told */
    if (socket->state == SOCKET_HANDSHAKING)
        conn_refuse(conn, NET_REFUSED_TLS);
    else
        conn_close(conn);
}

static const struct net_socket_ops socket_ops = {
    .opened = on_opened,
    .readable = on_readable,
    .fill = on_fill,
    .flushed = on_flushed,
    .blocked = on_blocked,
    .failed = on_failed,
};

/* ---- the beginning */

static void print_peer(const struct sockaddr_storage *peer, char *into, socklen_t cap)
{
    if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)peer;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, into, cap);
        else
            inet_ntop(AF_INET6, &in6->sin6_addr, into, cap);
    } else if (peer->ss_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, into, cap);
    }
}

static uint64_t when_old(const struct net_conn *conn)
{
    uint64_t age = conn->server->options.connection_age_max_ms;
    if (age == 0)
        return UINT64_MAX;
    /* A tenth earlier or later, so that clients that came together don't leave together. */
    uint64_t spread = ((uint64_t)(uintptr_t)conn >> 6) * 2654435761u % (age / 5 + 1);
    return conn->start_ms + age - age / 10 + spread;
}

static void fail_accept(struct net_server *server, struct net_conn *conn)
{
    server_count_refusal(server, NET_REFUSED_EXHAUSTED);
    if (conn != NULL)
        conn_discharge(conn, conn->overhead);
    free(conn);
}

void conn_accept(struct net_server *server, int fd, const struct sockaddr_storage *peer)
{
    struct net_conn *conn = calloc(1, sizeof *conn);
    struct tls_stream *tls = NULL;
    bool secure = server->options.tls != NULL;

    if (conn != NULL)
        conn->server = server;
    if (conn == NULL || !conn_charge(conn, secure ? CONN_TLS_COST : CONN_COST) ||
        (secure && tls_accept(server->options.tls, fd, &tls, NULL) != OK)) {
        close(fd);
        fail_accept(server, conn);
        return;
    }
    net_socket_tune(fd);
    if (net_socket_open(&conn->socket, &socket_ops, server->loop, fd, tls, false, NULL)) {
        fail_accept(server, conn);
        return;
    }

    conn->timer.fire = on_timer;
    conn->free_task.run = free_conn;
    conn->start_ms = conn->active_ms = net_loop_now_ms(server->loop);
    conn->age_at_ms = when_old(conn);
    print_peer(peer, conn->peer, sizeof conn->peer);
    conn->next = server->conns;
    if (server->conns != NULL)
        server->conns->prev = conn;
    server->conns = conn;
    server->conn_count++;
    server_count(server, COUNT_CONNECTIONS, 1);
    conn_arm(conn, opening_deadline(conn));
    if (tls == NULL)
        on_opened(&conn->socket);
}
