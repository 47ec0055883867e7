/* net_request: one HTTP request, whole, and its one answer; the same for HTTP/1.1 and HTTP/2.
 *
 *   receiving --whole, or refused--> yours --net_respond--> gone
 *
 * From on_request() (net_server.h) until net_respond() the request is yours. It outlives its
 * connection: answering a client that has gone away does nothing. Every request must be answered,
 * for its memory and its share of the budget go with the answer.
 *
 * Views into a request (path, headers, body) are valid until it is answered, the body also only
 * until it is decompressed, dropped or taken.
 *
 * Thread: that of its server's loop. Others reach it by net_request_post().
 */
#ifndef SIDECAR_NET_NET_REQUEST_H
#define SIDECAR_NET_NET_REQUEST_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/compress.h"
#include "common/error.h"

struct net_loop;
struct net_request;

/* Why something was turned away. Each is a counter of struct net_server_stats. HANDED come to
 * on_request(), which answers them; OWN the library answers itself. */
#define NET_REFUSALS(X)                                                                         \
    X(NET_REFUSED_NOT, "none", HANDED)                                                          \
    X(NET_REFUSED_BY_HANDLER, "handler", HANDED)  /* on_headers() said no */                    \
    X(NET_REFUSED_MEMORY, "memory", HANDED)       /* budget of bytes in flight: retryable */    \
    X(NET_REFUSED_BODY_SIZE, "body_size", HANDED) /* above body_max */                          \
    X(NET_REFUSED_DECOMPRESSED_SIZE, "decompressed_size", HANDED) /* grew above it then */      \
    X(NET_REFUSED_ENCODING, "encoding", HANDED)    /* a content coding we don't have */         \
    X(NET_REFUSED_CORRUPT, "corrupt", HANDED)      /* not what its encoding says */             \
    X(NET_REFUSED_EXHAUSTED, "exhausted", OWN)     /* no memory for a connection or stream */   \
    X(NET_REFUSED_CONNECTIONS, "connections", OWN) /* too many: closed at once */               \
    X(NET_REFUSED_STREAMS, "streams", OWN)         /* too many at once: REFUSED_STREAM */       \
    X(NET_REFUSED_HEADERS, "headers", OWN)         /* too long: 431 */                          \
    X(NET_REFUSED_MALFORMED, "malformed", OWN)     /* not HTTP: 400, or GOAWAY */               \
    X(NET_REFUSED_FLOOD, "flood", OWN)             /* control frames without end: GOAWAY */     \
    X(NET_REFUSED_HEADER_TIMEOUT, "header_timeout", OWN) /* 408, or GOAWAY */                   \
    X(NET_REFUSED_BODY_TIMEOUT, "body_timeout", OWN)     /* 503, or RST_STREAM */               \
    X(NET_REFUSED_BODY_STALLED, "body_stalled", OWN)     /* others need its memory: likewise */ \
    X(NET_REFUSED_WRITE_TIMEOUT, "write_timeout", OWN)   /* did not read our answers: closed */ \
    X(NET_REFUSED_TLS, "tls", OWN)                       /* handshake failed or timed out */    \
    X(NET_REFUSED_SHUTDOWN, "shutdown", OWN)             /* cut off at the end of a drain */

enum net_refusal {
#define X(name, text, who) name,
    NET_REFUSALS(X)
#undef X
        NET_REFUSAL_COUNT
};

const char *net_refusal_name(enum net_refusal refusal); /* the second column: a metric's label */
bool net_refusal_is_own(enum net_refusal refusal);      /* the third */

/* The headers that are kept; the others are checked, counted and forgotten. */
#define NET_HEADERS(X)                                           \
    X(NET_HEADER_AUTHORITY, "host") /* :authority in HTTP/2 */   \
    X(NET_HEADER_CONTENT_TYPE, "content-type")                   \
    X(NET_HEADER_CONTENT_ENCODING, "content-encoding")           \
    X(NET_HEADER_ACCEPT_ENCODING, "accept-encoding")             \
    X(NET_HEADER_GRPC_ENCODING, "grpc-encoding")                 \
    X(NET_HEADER_AUTHORIZATION, "authorization")                 \
    X(NET_HEADER_TE, "te")                                       \
    X(NET_HEADER_ORIGIN, "origin")                               \
    X(NET_HEADER_CORS_METHOD, "access-control-request-method")   \
    X(NET_HEADER_CORS_HEADERS, "access-control-request-headers") \
    X(NET_HEADER_USER_AGENT, "user-agent")                       \
    X(NET_HEADER_TENANT, "x-scope-orgid")

enum net_header {
#define X(name, text) name,
    NET_HEADERS(X)
#undef X
        NET_HEADER_COUNT
};

/* A header or trailer to send. Names in lower case, values visible ASCII; anything else is our own
 * mistake. */
struct net_field {
    const char *name, *value;
};

#define NET_FIELDS_MAX   12         /* of a response, headers and trailers each */
#define NET_RESPONSE_MAX (1u << 20) /* bytes of a response's body */

/* Everything is copied during net_respond(). */
struct net_response {
    unsigned status;
    const struct net_field *headers; /* content-length, date and connection are added */
    size_t header_count;
    struct bytes body;
    const struct net_field *trailers; /* HTTP/2 only; left out in HTTP/1.1 */
    size_t trailer_count;
    bool close; /* end the connection after this answer: Connection: close, or GOAWAY */
};

/* ---- what was asked */
struct bytes net_request_method(const struct net_request *request);
struct bytes net_request_path(const struct net_request *request); /* without ?query */
struct bytes net_request_header(const struct net_request *request, enum net_header header);
bool net_request_is_http2(const struct net_request *request);

/* The client's address as text, without the port. */
const char *net_request_peer(const struct net_request *request);

/* Not NET_REFUSED_NOT: there is no body, and the answer should say why. */
enum net_refusal net_request_refusal(const struct net_request *request);

/* ---- its body */
struct bytes net_request_body(const struct net_request *request);

/* Replaces the body by what it was before compression, charging the budget as it grows.
 * *ret_refusal says which of MEMORY, DECOMPRESSED_SIZE, CORRUPT it was, and is counted; the body is
 * gone then. `max` bytes, inclusive. COMPRESSION_NONE changes nothing. */
NODISCARD enum err net_request_decompress(struct net_request *request, enum compression compression,
                                          size_t max, enum net_refusal *ret_refusal,
                                          struct error *error);

/* The same by the request's Content-Encoding; an unknown one is NET_REFUSED_ENCODING. */
NODISCARD enum err net_request_decode(struct net_request *request, size_t max,
                                      enum net_refusal *ret_refusal, struct error *error);

/* Skips the first `n` bytes of the body (at most its length). */
void net_request_skip(struct net_request *request, size_t n);

/* Gives the body back to its pool, and its bytes to the budget, before the answer. */
void net_request_drop_body(struct net_request *request);

/* ---- the answer */

/* Answers, and ends your ownership. Safe whatever became of the connection. */
void net_respond(struct net_request **request, const struct net_response *response);

/* The client reset the stream or lost the connection; nobody will see the answer. */
bool net_request_is_gone(const struct net_request *request);

/* Any thread: `run` is called in the request's thread. One at a time. Until it runs, the request
 * belongs to the post. */
void net_request_post(struct net_request *request, void (*run)(struct net_request *request));

#endif
