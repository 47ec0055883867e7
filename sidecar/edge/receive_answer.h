/* receive_answer: what clients are told, in their own protocol and encoding. Every refusal has a
 * reason, which decides the status code, whether to try again, and the counter.
 *
 *   reason           gRPC                          HTTP   again?
 *   spool_full       UNAVAILABLE + RetryInfo       503    yes
 *   busy, memory     UNAVAILABLE + RetryInfo       503    yes
 *   failed           UNAVAILABLE + RetryInfo       503    yes
 *   too_large        RESOURCE_EXHAUSTED            413    no
 *   malformed        INVALID_ARGUMENT              400    no
 *   encoding         UNIMPLEMENTED                 415    no
 *   unauthenticated  UNAUTHENTICATED               401    no
 *   not_read, path   UNIMPLEMENTED                 404    no
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
    enum signal signal; /* SIGNAL_TRACES where the path names none */
    enum otlp_encoding encoding;
    bool grpc;
    const char *allow_origin; /* NULL: no CORS header */
};

#define REFUSALS(X)                                                                 \
    X(REFUSED_SPOOL_FULL, "spool_full", GRPC_UNAVAILABLE, 503, true)                \
    X(REFUSED_BUSY, "busy", GRPC_UNAVAILABLE, 503, true)                            \
    X(REFUSED_MEMORY, "memory", GRPC_UNAVAILABLE, 503, true)                        \
    X(REFUSED_STOPPING, "stopping", GRPC_UNAVAILABLE, 503, true)                    \
    X(REFUSED_FAILED, "failed", GRPC_UNAVAILABLE, 503, true)                        \
    X(REFUSED_TOO_LARGE, "too_large", GRPC_RESOURCE_EXHAUSTED, 413, false)          \
    X(REFUSED_MALFORMED, "malformed", GRPC_INVALID_ARGUMENT, 400, false)            \
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

/* "grpc", "http_proto", "http_json": the metrics' label. */
const char *answer_protocol(const struct answer *answer);

/* Each of these answers, counts, and ends your ownership. */
void answer_success(const struct answer *answer, struct net_request **request);
void answer_refusal(const struct answer *answer, struct net_request **request, enum refusal refusal,
                    const char *sentence);
void answer_grpc_failure(const struct answer *answer, struct net_request **request,
                         enum grpc_status status, const char *sentence);
void answer_preflight(const struct answer *answer, struct net_request **request);

#endif
