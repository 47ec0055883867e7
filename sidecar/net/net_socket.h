/* net_socket: one TCP connection, with or without TLS, on a loop; what servers and clients share.
 *
 *   connecting --(EPOLLOUT)--> handshaking --(TLS done, or none)--> open --> closed
 *
 * Reading is asked for by `readable`. Sending is pulled: whoever has something new to send calls
 * net_socket_kick(), and at the end of the round `fill` appends to `out` what there is, so that all
 * answers of a round leave in one system call.
 *
 * Internal to sidecar/net. Thread: the loop's.
 */
#ifndef SIDECAR_NET_NET_SOCKET_H
#define SIDECAR_NET_NET_SOCKET_H

#include "common/buf.h"
#include "common/tls.h"
#include "sidecar/net/net_loop.h"

struct net_socket;

struct net_socket_ops {
    /* Connected, and TLS is up. May close the socket, as all of these may. */
    void (*opened)(struct net_socket *socket);
    /* Call net_socket_read() until ERR_AGAIN, or net_socket_resume() later. */
    void (*readable)(struct net_socket *socket);
    /* Append to socket->out, until it holds NET_SOCKET_OUT or there is no more. */
    void (*fill)(struct net_socket *socket);
    /* All of it has been handed to the kernel. */
    void (*flushed)(struct net_socket *socket);
    /* Some of it waits until the peer has read more. May be NULL. */
    void (*blocked)(struct net_socket *socket);
    /* Broken, or its handshake failed (then ERR_INVALID is the peer's fault). Close it. */
    void (*failed)(struct net_socket *socket, enum err err, const struct error *error);
};

enum { NET_SOCKET_OUT = 256 * 1024 };

/* Closed is told by net_socket_is_open(). */
enum net_socket_state { SOCKET_CONNECTING, SOCKET_HANDSHAKING, SOCKET_OPEN };

struct net_socket {
    const struct net_socket_ops *ops;
    struct net_loop *loop;
    struct net_source source;
    struct tls_stream *tls;
    struct buf out;       /* to be sent */
    size_t out_at;        /* how much of it has been */
    uint64_t progress_ms; /* when `out` was empty, or last became shorter */
    uint64_t bytes_in, bytes_out;
    struct net_task flush, resume;
    enum net_socket_state state;
    bool paused, flush_queued, resume_queued, blocked_on_write;
};

/* Takes over `fd`, which is non-blocking, and `tls` (may be NULL). On failure both are closed.
 * `connecting`: connect() is under way. `opened` is called from a later event, or, without TLS and
 * not connecting, is the caller's to do. */
NODISCARD enum err net_socket_open(struct net_socket *socket, const struct net_socket_ops *ops,
                                   struct net_loop *loop, int fd, struct tls_stream *tls,
                                   bool connecting, struct error *error);

/* Closes, sending nothing more. The struct must stay in memory until the round has ended. */
void net_socket_close(struct net_socket *socket);

static inline bool net_socket_is_open(const struct net_socket *socket)
{
    return socket->source.fd >= 0;
}

/* ERR_AGAIN, ERR_CLOSED (end of stream), ERR_IO. */
NODISCARD enum err net_socket_read(struct net_socket *socket, void *into, size_t cap,
                                   size_t *ret_len, struct error *error);

/* Stops and restarts `readable`. Restarting calls it at the end of the round even if the kernel has
 * nothing new, for TLS may have, and so may the caller. */
void net_socket_pause(struct net_socket *socket);
void net_socket_resume(struct net_socket *socket);

/* Has `fill` called and `out` sent at the end of this round. */
void net_socket_kick(struct net_socket *socket);

/* No more will be sent: TLS goodbye and FIN. Reading goes on. */
void net_socket_shutdown(struct net_socket *socket);

static inline bool net_socket_has_output(const struct net_socket *socket)
{
    return socket->out_at < socket->out.len;
}

/* Sets the usual options of a TCP connection: no delay, dead peers found out. */
void net_socket_tune(int fd);

#endif
