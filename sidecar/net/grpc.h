/* grpc: what gRPC puts on top of HTTP/2, as values: status codes, the 5-byte prefix of a message,
 * percent-encoded grpc-message, and grpc-status-details-bin with google.rpc.RetryInfo.
 *
 *   message := compressed (1: 0 or 1)  length (4, big endian)  bytes (length)
 *
 * Pure: no connection, no clock.
 */
#ifndef SIDECAR_NET_GRPC_H
#define SIDECAR_NET_GRPC_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

#define GRPC_PREFIX_SIZE 5

#define GRPC_STATUSES(X)           \
    X(GRPC_OK, 0)                  \
    X(GRPC_CANCELLED, 1)           \
    X(GRPC_UNKNOWN, 2)             \
    X(GRPC_INVALID_ARGUMENT, 3)    \
    X(GRPC_DEADLINE_EXCEEDED, 4)   \
    X(GRPC_NOT_FOUND, 5)           \
    X(GRPC_ALREADY_EXISTS, 6)      \
    X(GRPC_PERMISSION_DENIED, 7)   \
    X(GRPC_RESOURCE_EXHAUSTED, 8)  \
    X(GRPC_FAILED_PRECONDITION, 9) \
    X(GRPC_ABORTED, 10)            \
    X(GRPC_OUT_OF_RANGE, 11)       \
    X(GRPC_UNIMPLEMENTED, 12)      \
    X(GRPC_INTERNAL, 13)           \
    X(GRPC_UNAVAILABLE, 14)        \
    X(GRPC_DATA_LOSS, 15)          \
    X(GRPC_UNAUTHENTICATED, 16)

enum grpc_status {
#define X(name, number) name = number,
    GRPC_STATUSES(X)
#undef X
};

const char *grpc_status_name(enum grpc_status status); /* "UNAVAILABLE" */

/* "application/grpc", alone or with "+proto" or parameters; not grpc-web, nor "+json". */
bool grpc_is_content_type(struct bytes content_type);

void grpc_put_prefix(uint8_t prefix[GRPC_PREFIX_SIZE], bool compressed, uint32_t len);

/* Exactly one whole message must be in `body`. ERR_INVALID says what is wrong with it. */
NODISCARD enum err grpc_unframe(struct bytes body, bool *ret_compressed, struct bytes *ret_message,
                                struct error *error);

/* Appends `text` as grpc-message wants it: all but visible ASCII and the blank as %XX. */
NODISCARD enum err grpc_percent_encode(struct bytes text, struct buf *out);

/* Undoes it; a bad escape is kept as it stands, as the protocol says. */
NODISCARD enum err grpc_percent_decode(struct bytes text, struct buf *out);

/* base64 without padding, as gRPC wants it in "-bin" headers; base64_decode() undoes it. */
NODISCARD enum err grpc_base64_encode(struct bytes data, struct buf *out);

/* Appends a google.rpc.Status in protobuf, with a RetryInfo if retry_delay_ms is not 0. It is also
 * the body of an OTLP/HTTP error. `message` should be UTF-8. */
NODISCARD enum err grpc_encode_status(enum grpc_status status, const char *message,
                                      uint32_t retry_delay_ms, struct buf *out);

/* Looks for the RetryInfo in a google.rpc.Status. ERR_NOTFOUND: it has none. ERR_INVALID: no
 * protobuf. A negative delay is 0, one above 2^32 ms is that. */
NODISCARD enum err grpc_decode_retry_delay(struct bytes status, uint32_t *ret_delay_ms);

#endif
