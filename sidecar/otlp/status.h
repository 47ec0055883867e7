/* status: what OTLP answers, as bytes: Export*ServiceResponse and google.rpc.Status with RetryInfo,
 * in protobuf and in JSON.
 *
 *   response        := partial_success (1) { rejected (1) int64  error_message (2) }    all signals
 *   Status          := code (1)  message (2)  details (3) Any*
 *   Any             := type_url (1) "type.googleapis.com/google.rpc.RetryInfo"  value (2) RetryInfo
 *   RetryInfo       := retry_delay (1) { seconds (1)  nanos (2) }
 *
 * Decoding is lenient as protobuf is (unknown fields, other details) and bounded by the caller's
 * body limit. Texts are cut at their arrays' size, on a character boundary. Pure; any thread.
 */
#ifndef SIDECAR_OTLP_STATUS_H
#define SIDECAR_OTLP_STATUS_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"

enum otlp_encoding { OTLP_PROTO, OTLP_JSON };

/* "application/x-protobuf" or "application/json". */
const char *otlp_content_type(enum otlp_encoding encoding);

/* By Content-Type, parameters ignored, in any case. False: neither. */
bool otlp_encoding_of(struct bytes content_type, enum otlp_encoding *ret_encoding);

#define OTLP_MESSAGE_MAX 512 /* bytes of a message that are kept, with its NUL */

struct otlp_status {
    int32_t code; /* of gRPC: 0 is OK */
    char message[OTLP_MESSAGE_MAX];
    bool has_retry_delay; /* RetryInfo is there; the delay may be 0 */
    uint64_t retry_delay_ms;
};

struct otlp_response {
    bool partial;     /* partial_success is there and says something */
    int64_t rejected; /* spans, data points or log records; 0 with a message is a warning */
    char message[OTLP_MESSAGE_MAX];
};

/* Append to `out`. ERR_FULL, ERR_NOMEM as buf_append(). A message that is not UTF-8 is mended. */
NODISCARD enum err otlp_status_encode(const struct otlp_status *status, enum otlp_encoding encoding,
                                      struct buf *out);
NODISCARD enum err otlp_response_encode(enum signal signal, const struct otlp_response *response,
                                        enum otlp_encoding encoding, struct buf *out);

/* ERR_INVALID: `body` is not what the encoding says. An empty protobuf body is a full success, and
 * a status with code 0; an empty JSON body is accepted likewise. */
NODISCARD enum err otlp_status_decode(struct bytes body, enum otlp_encoding encoding,
                                      struct otlp_status *ret_status, struct error *error);
NODISCARD enum err otlp_response_decode(enum signal signal, struct bytes body,
                                        enum otlp_encoding encoding,
                                        struct otlp_response *ret_response, struct error *error);

#endif
