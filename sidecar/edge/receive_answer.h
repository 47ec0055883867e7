/* receive_answer: what clients are told, in their own protocol and encoding. Every refusal has a
 * reason, which decides the status code, whether to try again, and the counter: REFUSALS, below.
 *
 * The body of an HTTP refusal is a google.rpc.Status in the request's encoding; one that may be
 * tried again has a RetryInfo in it, and Retry-After beside it.
 *
 * Thread: the request's.
 */
#ifndef SIDECAR_EDGE_RECEIVE_ANSWER_H
#define SIDECAR_EDGE_RECEIVE_ANSWER_H

#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/net/grpc.h"
#include "sidecar/net/net_request.h"
#include "sidecar/otlp/status.h"

#include <stdbool.h>

/* How to answer one request. */
struct answer {
    enum signal signal; /* unless `no_signal` */
    bool no_signal;     /* the path names none: the metrics' label is empty */
    enum otlp_encoding encoding;
    bool grpc;
    bool vary_origin;         /* the answer depends on Origin: caches must know */
    const char *allow_origin; /* NULL: no CORS header */
};

#define ANSWER_PROTOCOLS(X)              \
    X(PROTOCOL_GRPC, "grpc")             \
    X(PROTOCOL_HTTP_PROTO, "http_proto") \
    X(PROTOCOL_HTTP_JSON, "http_json")

enum answer_protocol {
#define X(name, label) name,
    ANSWER_PROTOCOLS(X)
#undef X
        PROTOCOL_COUNT
};

#define REFUSALS(X)                                                                 \
    X(REFUSED_SPOOL_FULL, "spool_full", GRPC_UNAVAILABLE, 503, true)                \
    X(REFUSED_BUSY, "busy", GRPC_UNAVAILABLE, 503, true)                            \
    X(REFUSED_MEMORY, "memory", GRPC_UNAVAILABLE, 503, true)                        \
    X(REFUSED_KAFKA_AWAY, "kafka_away", GRPC_UNAVAILABLE, 503, true)                \
    X(REFUSED_STOPPING, "stopping", GRPC_UNAVAILABLE, 503, true)                    \
    X(REFUSED_FAILED, "failed", GRPC_UNAVAILABLE, 503, true)                        \
    X(REFUSED_TOO_LARGE, "too_large", GRPC_RESOURCE_EXHAUSTED, 413, false)          \
    X(REFUSED_MALFORMED, "malformed", GRPC_INVALID_ARGUMENT, 400, false)            \
    X(REFUSED_FRAMING, "framing", GRPC_INTERNAL, 400, false)                        \
    X(REFUSED_ENCODING, "encoding", GRPC_UNIMPLEMENTED, 415, false)                 \
    X(REFUSED_CONTENT_TYPE, "content_type", GRPC_UNIMPLEMENTED, 415, false)         \
    X(REFUSED_METHOD, "method", GRPC_UNIMPLEMENTED, 405, false)                     \
    X(REFUSED_UNAUTHENTICATED, "unauthenticated", GRPC_UNAUTHENTICATED, 401, false) \
    X(REFUSED_NOT_READ, "not_read", GRPC_UNIMPLEMENTED, 404, false)                 \
    X(REFUSED_NO_SUCH_PATH, "no_such_path", GRPC_UNIMPLEMENTED, 404, false)

enum refusal {
#define X(name, label, grpc, http, again) name,
    REFUSALS(X)
#undef X
};

/* What a failed append means to the client. */
enum refusal refusal_of_spool(enum err err);

/* What a request that could not be opened as a gRPC call means. */
enum refusal refusal_of_grpc(enum grpc_status status);

/* What it means that the server refused it before a handler saw it; of those refusals that reach a
 * handler. */
enum refusal refusal_of_net(enum net_refusal refusal);

enum answer_protocol answer_protocol(const struct answer *answer);
const char *answer_protocol_name(enum answer_protocol protocol); /* the metrics' label */

/* Each of these answers, counts, and ends your ownership. */
/* `partial`: NULL, or what was left out of it. */
void answer_success(const struct answer *answer, struct net_request **request,
                    const struct otlp_response *partial);
void answer_refusal(const struct answer *answer, struct net_request **request, enum refusal refusal,
                    const char *sentence);

/* The same for what the server refused, with a sentence of its own. */
void answer_net_refusal(const struct answer *answer, struct net_request **request,
                        enum net_refusal refusal);

/* To a browser that asks before it sends from a page of an allowed origin. */
void answer_preflight(const struct answer *answer, struct net_request **request);

#endif
