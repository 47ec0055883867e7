/* client_internal: what the files of the gRPC client share. Nobody outside sidecar/net includes it.
 *
 *   grpc_client.c  calls: queue, deadlines, how they end; finding and connecting to the server
 *   grpc_answer.c  what a call keeps of its answer
 *   grpc_conn.c    one connection: HTTP/2 streams, GOAWAY, PING
 *
 * A call is in the client's queue (conn NULL) or in its connection's list. One that has ended while
 * its stream is open stays with the connection until nghttp2 is done with the stream.
 */
#ifndef SIDECAR_NET_CLIENT_INTERNAL_H
#define SIDECAR_NET_CLIENT_INTERNAL_H

#include "common/buf.h"
#include "common/compress.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/net/net_lookup.h"
#include "sidecar/net/net_socket.h"

#include <stdatomic.h>

struct grpc_conn;

struct call_list {
    struct grpc_call *first, *last;
    unsigned count;
};

struct grpc_call {
    struct grpc_call *next, *prev;
    struct grpc_client *client;
    struct grpc_conn *conn;
    struct grpc_call_params params;
    struct net_timer timer; /* the deadline */
    uint64_t deadline_ms;
    unsigned attempts;
    bool finished; /* done() has been called: what params point to is gone */

    int32_t stream_id;
    uint8_t prefix[GRPC_PREFIX_SIZE];
    size_t size, sent;    /* of prefix and message, as handed to nghttp2 */
    size_t part, part_at; /* where in the message the next byte to copy is */
    size_t prefix_at;

    unsigned http_status;
    int grpc_status; /* -1: none came */
    bool ended;      /* the server has sent all of it */
    bool oversize;
    bool has_retry_after;
    uint32_t retry_after_ms;
    unsigned accepts;          /* as in the result */
    enum compression encoding; /* of the reply, where its prefix says that it is compressed */
    struct buf message, details, body; /* body: with its prefix */
    struct buf plain;                  /* what a compressed body was before */
};

/* One counter for each of struct grpc_client_stats but outcomes[]. */
enum client_counter {
    CLIENT_CONNECTS,
    CLIENT_CONNECT_FAILURES,
    CLIENT_GOAWAYS,
    CLIENT_CALLS,
    CLIENT_RETRIED,
    CLIENT_BYTES_SENT,
    CLIENT_BYTES_RECEIVED,
    CLIENT_IN_FLIGHT,
    CLIENT_CONNECTED,
    CLIENT_COUNTERS
};

struct grpc_client {
    struct net_loop *loop;
    struct grpc_client_options options; /* its texts are the four below */
    char *host, *authority, *server_name, *user_agent;

    struct call_list queue;
    struct grpc_call *spare; /* calls to be used again */
    unsigned spare_count;
    struct net_task pump; /* connects if need be, and sends what is queued */
    bool pump_queued, destroyed;

    struct grpc_conn *conns;   /* all: the current one and those that drain */
    struct grpc_conn *current; /* takes new calls, or is coming up; NULL: none */
    struct net_lookup *lookup;
    struct net_addresses addresses;
    unsigned address_at, addresses_left, rotation;
    struct net_timer connect_timer;
    uint64_t connect_deadline_ms;

    void *callbacks, *session_options; /* nghttp2's */
    _Atomic uint64_t counters[CLIENT_COUNTERS], outcomes[GRPC_OUTCOME_COUNT];
};

/* Only the loop's thread writes, so adding needs no locked instruction. */
static inline void client_count(struct grpc_client *client, enum client_counter counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(&client->counters[counter], memory_order_relaxed);
    atomic_store_explicit(&client->counters[counter], old + n, memory_order_relaxed);
}

/* ---- grpc_client.c */

void call_list_append(struct call_list *list, struct grpc_call *call);
void call_list_remove(struct call_list *list, struct grpc_call *call);

/* Has the queue looked at when the round ends. */
void client_pump(struct grpc_client *client);

/* Calls done() with what the server answered. */
void call_finish_answered(struct grpc_call *call);

/* Calls done() with an outcome of our own. */
void call_finish(struct grpc_call *call, enum grpc_outcome outcome, const char *text);

/* The server did not look at it: back to the queue, or its end if that happens too often. */
void call_retry(struct grpc_call *call);

/* Its stream is closed and it has finished: to be used again. */
void call_release(struct grpc_call *call);

/* The current connection is up; or could not be made. */
void client_connected(struct grpc_client *client);
void client_connect_failed(struct grpc_client *client, enum grpc_outcome outcome,
                           const struct error *error);

/* ---- grpc_answer.c */

/* Header fields and trailers; those that we don't know mean nothing. */
void call_take_header(struct grpc_call *call, struct bytes name, struct bytes value);
void call_take_data(struct grpc_call *call, struct bytes data);

/* Forgets what has come and what was sent: the call goes out from its beginning. */
void call_start_over(struct grpc_call *call);

/* ---- grpc_conn.c */

struct grpc_conn {
    struct grpc_conn *next;
    struct grpc_client *client;
    struct net_socket socket;
    void *session; /* nghttp2's */
    struct call_list calls;
    struct net_timer timer;
    struct net_task free_task;
    uint64_t read_ms;   /* when something last came */
    uint64_t ping_ms;   /* when our PING left; 0: none is out */
    uint64_t active_ms; /* when a call last began or ended */
    uint64_t busy_ms;   /* since when there has always been one */
    bool ready;         /* connected, TLS is up */
    bool draining;      /* GOAWAY came, or streams have run out: no more calls */
    bool closed, doomed;
};

NODISCARD enum err client_prepare_http2(struct grpc_client *client, struct error *error);
void client_forget_http2(struct grpc_client *client);

NODISCARD enum err grpc_conn_open(struct grpc_client *client, const struct sockaddr_storage *addr,
                                  socklen_t len, struct grpc_conn **ret_conn, struct error *error);

/* Closes at once. Its calls are lost, or tried again if the server can't have seen them. */
void grpc_conn_close(struct grpc_conn *conn, const char *why);

/* One more stream is allowed by the server now. */
bool grpc_conn_has_room(const struct grpc_conn *conn);

/* Opens a stream for a queued call. False: not on this connection, which drains then. */
bool grpc_conn_send(struct grpc_conn *conn, struct grpc_call *call);

/* Resets the stream of a call that has finished. */
void grpc_conn_reset(struct grpc_conn *conn, struct grpc_call *call);

#endif
