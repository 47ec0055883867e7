/* http2_answer: a response becomes the frames of its request's stream: HEADERS, DATA, and HEADERS
 * again for the trailers.
 *
 * Thread: the server's loop.
 */
#ifndef SIDECAR_NET_HTTP2_ANSWER_H
#define SIDECAR_NET_HTTP2_ANSWER_H

#include "common/attr.h"
#include "common/error.h"

#include <nghttp2/nghttp2.h>

struct net_request;
struct net_response;

/* Queues the frames; the response is copied. The status is 200 to 599 (ASSERT). ERR_NOMEM: nothing
 * or only a part is queued, and the connection must end. */
NODISCARD enum err http2_answer(nghttp2_session *session, struct net_request *request,
                                const struct net_response *response);

#endif
