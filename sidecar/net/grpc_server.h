/* grpc_server: unary gRPC calls on top of net_request.
 *
 * Thread: that of the request.
 */
#ifndef SIDECAR_NET_GRPC_SERVER_H
#define SIDECAR_NET_GRPC_SERVER_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/net/grpc.h"
#include "sidecar/net/net_request.h"

#define GRPC_REPLY_MESSAGE_MAX 1024 /* bytes of text that are sent; more is cut */

/* What to answer. Everything is copied during grpc_respond(). */
struct grpc_reply {
    enum grpc_status status;
    const char *message;     /* a sentence; NULL: none. Not sent with GRPC_OK */
    uint32_t retry_delay_ms; /* not 0: a RetryInfo goes with the status */
    struct bytes body;       /* the reply's protobuf, with GRPC_OK only; may be empty */
};

/* The request is a gRPC call: HTTP/2, POST, a gRPC content type. If not, answer it as HTTP. */
bool grpc_request_is_call(const struct net_request *request);

/* Checks the framing, decompresses (gzip, zstd, deflate, at most `max` bytes) and leaves the
 * message as the request's body. On failure *ret_status is what to answer and `error` the sentence:
 * UNIMPLEMENTED for an unknown grpc-encoding, RESOURCE_EXHAUSTED (too large), UNAVAILABLE (memory),
 * INTERNAL (framing), INVALID_ARGUMENT (corrupt). A request that was refused on its way
 * (net_request_refusal()) fails the same way. */
NODISCARD enum err grpc_request_open(struct net_request *request, size_t max,
                                     enum grpc_status *ret_status, struct error *error);

/* Answers, and ends your ownership. */
void grpc_respond(struct net_request **request, const struct grpc_reply *reply);

#endif
