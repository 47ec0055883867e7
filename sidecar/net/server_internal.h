/* server_internal: what the files of the server share. Nobody outside sidecar/net includes it.
 *
 *   net_server.c   listening, accepting, draining, counting
 *   net_conn.c     one connection: which protocol, its deadlines, its end
 *   http1.c        HTTP/1.1 on it     \  both feed net_request.c, and send
 *   http2.c        HTTP/2 on it       /  what net_respond() gives them
 *   net_request.c  a request: its headers, its way to the handler, its answer
 *   net_body.c     its body within limits, and the memory for it
 *   net_stall.c    bodies that keep memory which others wait for
 *
 * A connection, its session and its requests point at each other; all of it belongs to one thread.
 * A request that is with its handler may lose its connection (conn is NULL then) and even its
 * server, whose struct stays until the last one is answered.
 */
#ifndef SIDECAR_NET_SERVER_INTERNAL_H
#define SIDECAR_NET_SERVER_INTERNAL_H

#include "sidecar/net/body_pool.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/net/net_server.h"
#include "sidecar/net/net_socket.h"

#include <netinet/in.h>

struct net_conn;

/* ---- net_server.c */

enum {
    READ_SIZE = 64 * 1024, /* of the buffer that all connections of a server read into */

    /* Bytes that are charged as overhead: what a session of nghttp2, of OpenSSL, and a request with
     * its stream and headers were measured to take, rounded up. */
    CONN_COST = 16 * 1024,
    CONN_TLS_COST = 32 * 1024,
    REQUEST_COST = 2 * 1024,
    REQUEST_TEXT_FREE = 1024, /* of REQUEST_COST: longer kept headers are charged as they come */

    /* Bytes that a stream of HTTP/2 may send before there is memory for its body: what the protocol
     * begins with, and the sort of request that needs no second round trip. */
    FIRST_WINDOW = 64 * 1024 - 1,

    COMPRESSIONS = COMPRESSION_DEFLATE + 1,
};

/* One counter for each member of struct net_server_stats but refused[]. */
enum counter {
    COUNT_ACCEPTED,
    COUNT_REQUESTS,
    COUNT_RESPONSES,
    COUNT_RESPONSES_LOST,
    COUNT_BYTES_RECEIVED,
    COUNT_BYTES_SENT,
    COUNT_CONNECTIONS,
    COUNT_IN_FLIGHT,
    COUNT_WAITED,
    COUNT_WAITING,
    COUNTERS
};

struct net_server {
    struct net_loop *loop;
    struct net_server_options options; /* address is not kept */
    struct net_source listener;
    struct net_timer accept_timer; /* out of file descriptors: accept again then */
    struct net_timer drain_timer;
    struct net_timer keep_timer;  /* armed while something is kept for reuse */
    uint64_t keep_requests;       /* seen when it was armed */
    struct net_timer stall_timer; /* armed while bodies are under way */
    uint64_t looked_ms;           /* at them, the last time */
    uint16_t port;
    bool draining, drained, closed;

    struct net_conn *conns;
    unsigned conn_count;

    struct net_request *spare; /* requests to be used again, their buffers kept */
    unsigned spare_count;
    struct body_pool pool;
    struct decompressor *decompressors[COMPRESSIONS]; /* made when first needed */
    uint8_t *read_buffer;

    void *http2_callbacks, *http2_options; /* nghttp2's, the same for all sessions */
    uint64_t date_s;
    char date[32]; /* of that second, for HTTP/1.1 */

    _Atomic uint64_t counters[COUNTERS], refused[NET_REFUSAL_COUNT];
    _Atomic uint64_t kept; /* pool.kept, for others to read */
};

/* Only the loop's thread writes, so adding needs no locked instruction. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

static inline void server_count(struct net_server *server, enum counter counter, uint64_t n)
{
    counter_add(&server->counters[counter], n);
}

static inline void server_count_refusal(struct net_server *server, enum net_refusal refusal)
{
    counter_add(&server->refused[refusal], 1);
}

/* A connection has closed; `conn` is unlinked and freed when the round ends. */
void server_conn_closed(struct net_server *server, struct net_conn *conn);

/* A request is no longer with its handler, or no longer waits for memory: frees the server if it is
 * closed and that was the last. */
void server_request_ended(struct net_server *server);
void server_wait_ended(struct net_server *server);

/* Something may be kept for reuse: looks again later whether it still is of use. */
void server_keep(struct net_server *server);

/* The Date header's value now. */
const char *server_date(struct net_server *server);

/* The server's decompressor of that kind, reset; NULL: out of memory. */
struct decompressor *server_decompressor(struct net_server *server, enum compression compression);

/* ---- net_conn.c */

/* What HTTP/1.1 and HTTP/2 do differently. `session` of the connection is theirs. */
struct protocol {
    NODISCARD enum err (*start)(struct net_conn *conn);
    /* Takes bytes from the peer. May close the connection. */
    void (*feed)(struct net_conn *conn, struct bytes data);
    /* The peer will send no more. */
    void (*end)(struct net_conn *conn);
    /* Appends to the socket's output. */
    void (*fill)(struct net_conn *conn);
    /* All output is on its way. */
    void (*flushed)(struct net_conn *conn);
    /* Sends the answer, which may point into the request, and drops its body or all of it. */
    void (*respond)(struct net_conn *conn, struct net_request *request,
                    const struct net_response *response);
    /* The request, which waited, has got memory for its body. */
    void (*admitted)(struct net_conn *conn, struct net_request *request);
    /* The request's body has stalled, and its memory is needed: refuses it, to be tried again, and
     * gives the memory back at once. May close the connection. */
    void (*stalled)(struct net_conn *conn, struct net_request *request);
    /* Ends the connection as soon as what is open has been answered. */
    void (*drain)(struct net_conn *conn);
    /* The earliest time at which something is overdue; UINT64_MAX: nothing can be. */
    uint64_t (*deadline)(const struct net_conn *conn);
    /* That time has come. */
    void (*overdue)(struct net_conn *conn, uint64_t now_ms);
    void (*stop)(struct net_conn *conn);
};

extern const struct protocol http1_protocol, http2_protocol;

struct net_conn {
    struct net_conn *next, *prev; /* in server->conns */
    struct net_server *server;
    struct net_socket socket;
    const struct protocol *protocol; /* NULL until it is known */
    void *session;                   /* the protocol's */
    struct net_request *requests;    /* all that have this connection, oldest last */
    unsigned request_count;
    struct net_timer timer;
    struct net_task free_task;
    size_t overhead;          /* charged to the budget */
    uint64_t start_ms;        /* accepted */
    uint64_t active_ms;       /* last saw a request begin or end */
    uint64_t age_at_ms;       /* when connection_age_max_ms is over; UINT64_MAX: never */
    uint64_t linger_until_ms; /* when lingering ends, whatever the peer does */
    bool closed, draining;
    bool ended;        /* the peer has sent its last byte */
    bool lingering;    /* we have sent our last byte, and read on until the peer has seen it */
    uint8_t first[24]; /* bytes that may be HTTP/2's preface */
    size_t first_len;
    char peer[INET6_ADDRSTRLEN];
};

/* Takes over `fd`. */
void conn_accept(struct net_server *server, int fd, const struct sockaddr_storage *peer);

/* Closes now, detaching its requests. Idempotent; the struct lives until the round ends. */
void conn_close(struct net_conn *conn);

/* Counts the reason and closes. */
void conn_refuse(struct net_conn *conn, enum net_refusal refusal);

/* Charges memory that the connection holds; false: there is none. It is given back at its end, or
 * before. */
bool conn_charge(struct net_conn *conn, size_t bytes);
void conn_discharge(struct net_conn *conn, size_t bytes);

/* Something may be overdue at that time. */
void conn_arm(struct net_conn *conn, uint64_t at_ms);

/* Ends our side once all has been sent. Closing at once could reset the connection under an answer
 * that the peer has not read yet, if it is still sending. */
void conn_linger(struct net_conn *conn);

void conn_drain(struct net_conn *conn);

static inline uint64_t conn_now_ms(const struct net_conn *conn)
{
    return net_loop_now_ms(conn->server->loop);
}

/* ---- net_request.c */

enum request_state { REQUEST_RECEIVING, REQUEST_HANDED, REQUEST_ANSWERED };

/* Whether there is memory for the body: not asked for yet, asked for, charged. */
enum admission { ADMISSION_NONE, ADMISSION_WAITING, ADMISSION_DONE };

struct span {
    uint32_t at, len;
};

struct net_request {
    struct net_request *next, *prev; /* in conn->requests, or server->spare */
    struct net_server *server;
    struct net_conn *conn; /* NULL: gone */
    enum request_state state;
    enum net_refusal refusal;
    int32_t stream_id; /* HTTP/2's; 0: closed, or HTTP/1.1 */
    bool is_http2;
    bool headers_whole;
    bool whole;              /* HTTP/2: the peer has sent all of it */
    uint64_t content_length; /* HTTP/2's, 0: not said */
    uint64_t deadline_ms;    /* of its headers, then of its body; HTTP/2: then of its answer */

    struct buf text; /* method, path and kept headers, one behind the other */
    struct span method, path, headers[NET_HEADER_COUNT];
    size_t header_size; /* of all names and values, kept or not */

    struct buf body;      /* memory of the pool */
    size_t body_at;       /* what net_request_skip() skipped */
    size_t body_expected; /* by content-length or gRPC's prefix; 0: unknown */
    enum admission admission;
    struct net_budget_wait wait;
    uint64_t progress_ms; /* since when, and from where on, it has hardly grown: net_stall.c's */
    size_t progress_len;
    size_t charged, scratch; /* to the budget: for the body as it came, and what was made of it */
    size_t overhead;         /* likewise */
    size_t early;            /* of it, for the part of the body that came while it waited */

    struct net_task task;
    void (*posted)(struct net_request *request);
    char peer[INET6_ADDRSTRLEN];

    struct buf reply; /* HTTP/2: the answer's body, then its trailers as name NUL value NUL */
    size_t reply_at, reply_body_len;
    unsigned trailer_count;
};

/* A request of `conn`, receiving. NULL: no memory for it. */
struct net_request *request_create(struct net_conn *conn);

/* Gives all it holds back. Not for a request that is with its handler. */
void request_release(struct net_request *request);

/* The stream or connection has gone: releases the request, or leaves it to its handler. */
void request_abandon(struct net_request *request);

void request_set_method(struct net_request *request, struct bytes method);
void request_set_target(struct net_request *request, struct bytes target);

/* Counts a header against headers_max and keeps it if it is one of those. False: it was too much,
 * and refusal says so. */
bool request_add_header(struct net_request *request, struct bytes name, struct bytes value);

/* Headers are whole: asks on_headers(). `length` is content-length, or 0. False: refused. */
bool request_headers_done(struct net_request *request, uint64_t length);

/* Gives the request, whole or refused, to on_request(). It may be answered, even released, when
 * this returns. */
void request_hand_over(struct net_request *request);

/* Refuses on the way and tells the handler, at the latest when memory that it waited for has come.
 */
void request_refuse(struct net_request *request, enum net_refusal refusal);

/* ---- net_body.c */

/* Before the first of the body: asks the budget for all of it, content-length or what `first` tells
 * of a gRPC message's length. ADMISSION_WAITING: protocol->admitted() will be called, or the
 * request's deadline comes. */
enum admission request_admit(struct net_request *request, struct bytes first);

/* Ends the waiting. False: too late, protocol->admitted() will be called. */
bool request_stop_waiting(struct net_request *request);

/* More of the body. False: refused, from now on nothing is taken. */
bool request_add_body(struct net_request *request, struct bytes data);

/* ---- net_stall.c */

/* The request has got memory for its body: from now on it must come. */
void stall_watch(struct net_request *request);

/* The server's stall_timer. */
void stall_look(struct net_timer *timer);

#endif
