#include "sidecar/net/net_socket.h"

#include "common/assert.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUT_KEPT = 16 * 1024,        /* bytes of an empty `out` that an idle connection keeps */
    USER_TIMEOUT_MS = 30 * 1000, /* until what was sent must be acknowledged by the peer's kernel */
    KEEPALIVE_S = 60,            /* of silence, then probes */
};

void net_socket_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) /* refused: merely slower */
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

/* Tells the kernel what we wait for now. */
static enum err watch(struct net_socket *socket, struct error *error)
{
    uint32_t events = 0;

    if (socket->state == SOCKET_CONNECTING) {
        events = EPOLLOUT;
    } else if (socket->state == SOCKET_HANDSHAKING) {
        events = tls_wants_write(socket->tls) ? EPOLLOUT : EPOLLIN;
    } else {
        if (!socket->paused)
            events |= EPOLLIN;
        if (net_socket_has_output(socket) || socket->blocked_on_write)
            events |= EPOLLOUT;
    }
    return net_source_watch(socket->loop, &socket->source, events, error);
}

static void fail(struct net_socket *socket, enum err err, const struct error *error)
{
    if (net_socket_is_open(socket))
        socket->ops->failed(socket, err, error);
}

static void watch_or_fail(struct net_socket *socket)
{
    struct error error = {0};
    if (!net_socket_is_open(socket))
        return;
    enum err err = watch(socket, &error);
    if (err)
        fail(socket, err, &error);
}

/* ---- coming up */

static void handshake(struct net_socket *socket)
{
    struct error error = {0};
    enum err err = OK;

    if (socket->tls != NULL)
        err = tls_handshake(socket->tls, &error);
    if (err == ERR_AGAIN) {
        watch_or_fail(socket);
        return;
    }
    if (err) {
        fail(socket, err, &error);
        return;
    }
    socket->state = SOCKET_OPEN;
    socket->ops->opened(socket);
    if (net_socket_is_open(socket))
        net_socket_resume(socket); /* the handshake may have read what follows it */
    watch_or_fail(socket);
}

static void connected(struct net_socket *socket)
{
    struct error error = {0};
    int cause = 0;
    socklen_t len = sizeof cause;

    if (getsockopt(socket->source.fd, SOL_SOCKET, SO_ERROR, &cause, &len) != 0)
        cause = errno;
    if (cause != 0) {
        errno = cause;
        fail(socket, error_set_errno(&error, ERR_IO, "connect"), &error);
        return;
    }
    socket->state = SOCKET_HANDSHAKING;
    handshake(socket);
}

/* ---- sending */

static enum err write_some(struct net_socket *socket, size_t *ret_written, struct error *error)
{
    struct bytes rest = {socket->out.data + socket->out_at, socket->out.len - socket->out_at};

    if (socket->tls != NULL)
        return tls_write(socket->tls, rest, ret_written, error);
    ssize_t n = send(socket->source.fd, rest.data, rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
        *ret_written = (size_t)n;
        return OK;
    }
    return errno == EAGAIN || errno == EINTR ? ERR_AGAIN : error_set_errno(error, ERR_IO, "send");
}

static enum err write_out(struct net_socket *socket, struct error *error)
{
    while (net_socket_has_output(socket)) {
        size_t written = 0;
        enum err err = write_some(socket, &written, error);
        if (err)
            return err;
        socket->out_at += written;
        socket->bytes_out += written;
        socket->progress_ms = net_loop_now_ms(socket->loop);
    }
    buf_clear(&socket->out);
    socket->out_at = 0;
    return OK;
}

/* What net_socket_kick() promised, as far as it goes without waiting. */
static void flush(struct net_socket *socket)
{
    struct error error = {0};

    if (!net_socket_is_open(socket) || socket->state != SOCKET_OPEN)
        return;
    if (!net_socket_has_output(socket))
        socket->progress_ms = net_loop_now_ms(socket->loop);

    enum err err = write_out(socket, &error);
    while (!err) {
        socket->ops->fill(socket);
        if (!net_socket_is_open(socket))
            return;
        if (!net_socket_has_output(socket))
            break;
        err = write_out(socket, &error);
    }
    if (err && err != ERR_AGAIN) {
        fail(socket, err, &error);
        return;
    }
    if (err == OK) {
        if (socket->out.cap > OUT_KEPT)
            buf_fini(&socket->out);
        socket->ops->flushed(socket);
    } else if (socket->ops->blocked != NULL) {
        socket->ops->blocked(socket);
    }
    watch_or_fail(socket);
}

static void run_flush(struct net_task *task)
{
    struct net_socket *socket = CONTAINER_OF(task, struct net_socket, flush);
    socket->flush_queued = false;
    flush(socket);
}

void net_socket_kick(struct net_socket *socket)
{
    if (socket->flush_queued || !net_socket_is_open(socket))
        return;
    socket->flush_queued = true;
    net_loop_defer(socket->loop, &socket->flush);
}

void net_socket_shutdown(struct net_socket *socket)
{
    tls_stream_close(&socket->tls);
    shutdown(socket->source.fd, SHUT_WR);
}

/* ---- receiving */

static enum err read_plain(int fd, void *into, size_t cap, size_t *ret_len, struct error *error)
{
    ssize_t n = recv(fd, into, cap, MSG_DONTWAIT);
    if (n > 0) {
        *ret_len = (size_t)n;
        return OK;
    }
    if (n == 0)
        return error_set(error, ERR_CLOSED, "the peer closed the connection");
    return errno == EAGAIN || errno == EINTR ? ERR_AGAIN
                                             : error_set_errno(error, ERR_IO, "receive");
}

enum err net_socket_read(struct net_socket *socket, void *into, size_t cap, size_t *ret_len,
                         struct error *error)
{
    enum err err;

    socket->blocked_on_write = false;
    if (socket->tls != NULL) {
        err = tls_read(socket->tls, into, cap, ret_len, error);
        if (err == ERR_AGAIN)
            socket->blocked_on_write = tls_wants_write(socket->tls);
    } else {
        err = read_plain(socket->source.fd, into, cap, ret_len, error);
    }
    if (!err)
        socket->bytes_in += *ret_len;
    return err;
}

void net_socket_pause(struct net_socket *socket)
{
    socket->paused = true;
    watch_or_fail(socket);
}

static void run_resume(struct net_task *task)
{
    struct net_socket *socket = CONTAINER_OF(task, struct net_socket, resume);
    socket->resume_queued = false;
    if (!net_socket_is_open(socket) || socket->paused)
        return;
    socket->ops->readable(socket);
    watch_or_fail(socket);
}

void net_socket_resume(struct net_socket *socket)
{
    socket->paused = false;
    if (socket->resume_queued || !net_socket_is_open(socket))
        return;
    socket->resume_queued = true;
    net_loop_defer(socket->loop, &socket->resume);
}

static void on_ready(struct net_source *source, uint32_t events)
{
    struct net_socket *socket = CONTAINER_OF(source, struct net_socket, source);

    if (socket->state == SOCKET_CONNECTING) {
        connected(socket);
        return;
    }
    if (socket->state == SOCKET_HANDSHAKING) {
        handshake(socket);
        return;
    }
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && socket->paused) {
        struct error error = {0}; /* nobody reads, so nobody else would find out */
        fail(socket, error_set(&error, ERR_CLOSED, "the peer closed the connection"), &error);
        return;
    }
    bool unblocked = socket->blocked_on_write && (events & EPOLLOUT) != 0;
    if (!socket->paused && (unblocked || (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)) {
        socket->ops->readable(socket);
        watch_or_fail(socket);
    }
    if ((events & EPOLLOUT) != 0)
        flush(socket);
}

/* ---- opening and closing */

enum err net_socket_open(struct net_socket *socket, const struct net_socket_ops *ops,
                         struct net_loop *loop, int fd, struct tls_stream *tls, bool connecting,
                         struct error *error)
{
    *socket = (struct net_socket){.ops = ops, .loop = loop, .tls = tls};
    socket->source = (struct net_source){.ready = on_ready, .fd = fd};
    socket->flush.run = run_flush;
    socket->resume.run = run_resume;
    socket->progress_ms = net_loop_now_ms(loop);
    socket->state = connecting ? SOCKET_CONNECTING : tls != NULL ? SOCKET_HANDSHAKING : SOCKET_OPEN;

    enum err err = watch(socket, error);
    if (err)
        net_socket_close(socket);
    return err;
}

void net_socket_close(struct net_socket *socket)
{
    int fd = socket->source.fd;

    tls_stream_close(&socket->tls);
    buf_fini(&socket->out);
    socket->out_at = 0;
    if (fd < 0)
        return;
    net_source_forget(socket->loop, &socket->source);
    close(fd);
}
