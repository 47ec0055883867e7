/* grpc_client: unary gRPC calls to one target, many at once over one HTTP/2 connection.
 *
 *   queued --connected, stream free--> sent --answer, reset, deadline--> done() called
 *     ^                                  |
 *     +--- the server did not look at it (GOAWAY, REFUSED_STREAM), up to 3 times
 *
 * A connection is made when a call needs one, with the name resolved anew in a thread of its own,
 * and given up when it fails or the server says GOAWAY (what it still answers is awaited). When
 * connecting fails, all queued calls fail; trying again, and how soon, is the caller's decision.
 *
 * Thread: that of its loop; grpc_client_stats() from anywhere.
 */
#ifndef SIDECAR_NET_GRPC_CLIENT_H
#define SIDECAR_NET_GRPC_CLIENT_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/compress.h"
#include "common/error.h"
#include "sidecar/net/grpc.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/net/net_request.h"

struct tls_context;
struct grpc_client;
struct grpc_call;

/* Fill by grpc_client_options_init(), then change. Text is copied. */
struct grpc_client_options {
    const char *host;        /* a name or an address; required */
    uint16_t port;           /* required */
    const char *authority;   /* :authority; NULL: host:port */
    const char *server_name; /* what the certificate must be for; NULL: host */
    const char *user_agent;
    struct tls_context *tls;     /* with ALPN "h2"; NULL: plaintext. A loan for the client's life */
    unsigned calls_max;          /* 1024 queued or sent at once */
    size_t reply_max;            /* 4 MiB of message */
    uint32_t connect_timeout_ms; /* 10 s for name, TCP, TLS together */
    uint32_t keepalive_ms;       /* 30 s of silence with calls under way: PING. 0: never */
    uint32_t keepalive_timeout_ms; /* 10 s for any answer to it */
    uint32_t idle_timeout_ms;      /* 5 min without a call: the connection is closed. 0: never */
};

/* How a call ended. Whatever is not GRPC_CALL_ANSWERED came from the connection, not from the
 * backend's judgement; only LOST, DEADLINE, CANCELLED and BAD_REPLY may have been carried out. */
#define GRPC_OUTCOMES(X)                                                                           \
    X(GRPC_CALL_ANSWERED, "answered")       /* status and message are the server's */              \
    X(GRPC_CALL_RESOLVE_FAILED, "resolve")  /* the name has no address */                          \
    X(GRPC_CALL_CONNECT_FAILED, "connect")  /* refused, unreachable, timed out */                  \
    X(GRPC_CALL_TLS_FAILED, "tls")          /* certificate, or no HTTP/2 over it */                \
    X(GRPC_CALL_UNPROCESSED, "unprocessed") /* the server did not look at it: safe to retry */     \
    X(GRPC_CALL_LOST, "lost")               /* reset, or the connection went, before the answer */ \
    X(GRPC_CALL_DEADLINE, "deadline")       /* timeout_ms went by */                               \
    X(GRPC_CALL_CANCELLED, "cancelled")     /* grpc_client_cancel() or _destroy() */               \
    X(GRPC_CALL_BAD_REPLY, "bad_reply")     /* above reply_max, or no gRPC message */

enum grpc_outcome {
#define X(name, text) name,
    GRPC_OUTCOMES(X)
#undef X
        GRPC_OUTCOME_COUNT
};

const char *grpc_outcome_name(enum grpc_outcome outcome);

#define GRPC_METADATA_MAX 40 /* fields of one call */

/* Valid during done() only. */
struct grpc_result {
    enum grpc_outcome outcome;
    unsigned http_status;    /* 0: none came */
    enum grpc_status status; /* without grpc-status: by http_status, as gRPC maps it, or UNKNOWN */
    struct bytes message;    /* decoded grpc-message, or our own sentence for other outcomes */
    struct bytes details;    /* decoded google.rpc.Status; empty: none */
    bool has_retry_delay;    /* RetryInfo, or Retry-After in seconds */
    uint32_t retry_delay_ms;
    unsigned accepts;  /* grpc-accept-encoding: 1 << enum compression each; 0: it did not say */
    struct bytes body; /* the reply's message, unframed */
};

/* Everything it points to is the caller's and must stay until done(). */
struct grpc_call_params {
    const char *path; /* "/package.Service/Method" */
    const struct net_field *metadata;
    size_t metadata_count;       /* at most GRPC_METADATA_MAX */
    const struct bytes *message; /* the message's parts, in order; the prefix is ours */
    size_t message_count;
    const char *encoding; /* grpc-encoding of a message that is compressed; NULL: it is not */
    uint32_t timeout_ms;  /* from now; required; sent as grpc-timeout too */
    void (*done)(void *ctx, const struct grpc_result *result);
    void *ctx;
};

struct grpc_client_stats {
    uint64_t connects, connect_failures, goaways;
    uint64_t calls;                        /* started */
    uint64_t retried;                      /* unprocessed, and sent again */
    uint64_t outcomes[GRPC_OUTCOME_COUNT]; /* ended */
    uint64_t bytes_sent, bytes_received;
    uint64_t in_flight; /* now, queued or sent */
    bool connected;     /* now */
};

void grpc_client_options_init(struct grpc_client_options *options);
NODISCARD enum err grpc_client_create(struct net_loop *loop,
                                      const struct grpc_client_options *options,
                                      struct grpc_client **ret_client, struct error *error);

/* Ends every call as GRPC_CALL_CANCELLED first. Not from within done(). */
void grpc_client_destroy(struct grpc_client **client);

/* Starts a call. done() is called exactly once, never from within this function. ERR_FULL:
 * calls_max are under way. ERR_INVALID: a parameter; ERR_NOMEM. *ret_call may be NULL; it is valid
 * until done(). */
NODISCARD enum err grpc_client_call(struct grpc_client *client,
                                    const struct grpc_call_params *params,
                                    struct grpc_call **ret_call, struct error *error);

/* Ends a call: done() with GRPC_CALL_CANCELLED comes from within this function. */
void grpc_client_cancel(struct grpc_client *client, struct grpc_call *call);

void grpc_client_stats(const struct grpc_client *client, struct grpc_client_stats *ret_stats);

#endif
