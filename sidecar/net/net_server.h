/* net_server: HTTP/1.1 and HTTP/2 on one listening socket, in one loop's thread.
 *
 *     edge: receive    gateway: export
 *           |                 |
 *      grpc_server       grpc_client     calls: framing, statuses, retry delays (grpc.h)
 *           |                 |
 *      net_request            |          a request, whole, and its answer; body_pool, net_budget
 *           |                 |
 *      http1  http2       grpc_conn      protocols, over http-parser and nghttp2
 *           \ /               |
 *         net_conn            |          which protocol, deadlines, lingering
 *            |                |
 *            +-- net_socket --+          a connection, with or without TLS (common/tls.h)
 *                    |
 *                net_loop                epoll, timers, tasks from other threads
 *
 * A file knows those below it and not those above; what comes up does so through callbacks.
 *
 * Each connection says what it speaks: by ALPN over TLS, else by its first bytes (HTTP/2 with prior
 * knowledge, or HTTP/1.1). Several threads serve one port by opening a server each, on a loop of
 * its own, with the same address: the kernel spreads connections (SO_REUSEPORT). They share nothing
 * but the budget.
 *
 *   headers --on_headers--> refused -----------------------------> on_request (net_request_refusal)
 *      `--> memory for the body --> body, charged --whole--------> on_request
 *              |   ^                    `--too large-------------> on_request (net_request_refusal)
 *              |   ^                    `--stalled, and others wait--> refused
 *           waiting, in turn --memory_wait_ms--------------------> on_request (net_request_refusal)
 *
 * A body is read once the budget has room for all of it. Until then a connection of HTTP/1.1 is not
 * read; a stream of HTTP/2 does not get a window beyond the first 64 KiB, while the others of its
 * connection go on: stopping the connection could stop the very request whose memory is waited for.
 * The sender learns by flow control, and waits. Who has got memory and sends nothing for
 * body_stall_ms loses it as soon as somebody waits, and may try again. Every refusal has a reason
 * and a counter.
 *
 * Shutting down: net_server_drain() stops accepting, tells clients (GOAWAY, Connection: close),
 * answers what is open and cuts off the rest at its deadline.
 *
 * Thread: that of its loop; net_server_stats() from anywhere.
 */
#ifndef SIDECAR_NET_NET_SERVER_H
#define SIDECAR_NET_NET_SERVER_H

#include "common/attr.h"
#include "common/error.h"
#include "sidecar/net/net_budget.h"
#include "sidecar/net/net_request.h"

#include <stdatomic.h>

struct tls_context;
struct net_server;

/* Fill by net_server_options_init(), then change. All limits are inclusive. */
struct net_server_options {
    const char
        *address;  /* numeric, "0.0.0.0" or "::"; default "::" with IPv4 too, where there is IPv6 */
    uint16_t port; /* 0: any, see net_server_port() */
    struct tls_context *tls;   /* NULL: plaintext. A loan for the server's life */
    struct net_budget *budget; /* required, a loan for the server's life and its requests' */

    void *ctx;
    /* The request is whole, or was refused: yours until net_respond(). Required. */
    void (*on_request)(void *ctx, struct net_request *request);
    /* Headers are there, no body yet: false refuses it (NET_REFUSED_BY_HANDLER), without waiting
     * for the body. The request is not yours here. NULL: all are welcome. */
    bool (*on_headers)(void *ctx, struct net_request *request);
    /* net_server_drain() has come to its end: no connection is left. Closing the server is
     * allowed here. May be NULL. */
    void (*on_drained)(void *ctx);

    unsigned connections_max;      /* 1024 */
    unsigned streams_max;          /* 256 at once on one HTTP/2 connection */
    size_t headers_max;            /* 16 KiB of names and values of one request */
    size_t body_max;               /* 16 MiB as received */
    size_t stream_window;          /* 1 MiB of HTTP/2 flow control, once there is memory */
    size_t connection_window;      /* 4 MiB: 400 MB/s over 10 ms */
    size_t pool_max;               /* 1 MiB of body memory kept for reuse, while requests come */
    uint32_t keep_ms;              /* 5 s without a request: what is kept is given back */
    uint32_t handshake_timeout_ms; /* 10 s from accept to the end of the TLS handshake */
    uint32_t header_timeout_ms;    /* 10 s from a request's first byte to the end of its headers */
    uint32_t body_timeout_ms;      /* 60 s from there to the end of its body */
    uint32_t body_stall_ms;        /* 2 s with hardly any of a body, while others wait for memory */
    uint32_t memory_wait_ms;       /* 5 s at most until there is memory for a body */
    uint32_t write_timeout_ms;     /* 30 s without any progress in sending */
    uint32_t idle_timeout_ms;      /* 10 min without a request */
    uint32_t connection_age_max_ms; /* 0: none; else GOAWAY then, so that clients spread again */
};

void net_server_options_init(struct net_server_options *options);

/* Binds and listens. ERR_INVALID: the address; ERR_CONFLICT: the port is taken; ERR_IO. */
NODISCARD enum err net_server_open(struct net_loop *loop, const struct net_server_options *options,
                                   struct net_server **ret_server, struct error *error);

/* Cuts every connection and frees. Requests not answered yet stay valid until they are. */
void net_server_close(struct net_server **server);

uint16_t net_server_port(const struct net_server *server);

/* Another limit for bodies, from the next check on. */
void net_server_set_body_max(struct net_server *server, size_t body_max);

/* See above. Returns at once; on_drained() tells the end, at the latest `deadline_ms` (monotonic).
 */
void net_server_drain(struct net_server *server, uint64_t deadline_ms);

/* Counters since the server was opened, and gauges of now. */
struct net_server_stats {
    uint64_t connections_accepted;
    uint64_t requests;       /* that came to on_request() */
    uint64_t responses;      /* that were queued to a client */
    uint64_t responses_lost; /* answered after the client went away */
    uint64_t bytes_received; /* from sockets, after TLS */
    uint64_t bytes_sent;
    uint64_t refused[NET_REFUSAL_COUNT];
    uint64_t connections; /* open now */
    uint64_t in_flight;   /* requests with a handler now */
    uint64_t waited;      /* requests whose body had to wait for memory */
    uint64_t waiting;     /* of them, now */
    uint64_t kept_bytes;  /* of body memory, for reuse */
};

/* Any thread. */
void net_server_stats(const struct net_server *server, struct net_server_stats *ret_stats);

/* Sums up servers of one port. */
void net_server_stats_add(struct net_server_stats *sum, const struct net_server_stats *stats);

#endif
