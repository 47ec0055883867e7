/* receive: the OTLP server of an edge: gRPC and HTTP requests into the spool, and their answers.
 *
 *   request --checks--> walk --> refine --> spool_append --done--> answer
 *      |         |        |                     |
 *      +---------+--------+---------------------+--> a refusal, with its reason and its counter
 *
 * A request with malformed items among sound ones is taken without them, and the answer is a
 * partial success that says how many and why: one bad span must not take the others of its batch
 * with it.
 *
 * One struct receive per worker thread, each with its own listening sockets on the same ports. An
 * answer of success means what spool.h promises of the acknowledgement mode, never less. What can't
 * be taken now is answered so that SDKs try again (UNAVAILABLE with RetryInfo, 503 with
 * Retry-After); what never will be, so that they don't.
 *
 * Thread: that of its loop; receive_in_spool() and receive_stats() from anywhere.
 */
#ifndef SIDECAR_EDGE_RECEIVE_H
#define SIDECAR_EDGE_RECEIVE_H

#include "common/attr.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/net/net_server.h"
#include "sidecar/spool/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_loop;
struct receive;
struct pods;
struct refine;
struct receive_tokens;
struct stamp;
struct tls_context;

/* What refused clients are asked to wait: in a RetryInfo, in Retry-After. */
#define RECEIVE_RETRY_MS    1000
#define RECEIVE_RETRY_AFTER "1"

/* What requests wait at most, for memory and then for the spool, before they are refused: exporters
 * give an export 10 s. With SPOOL_ACK_REPLICATED, also how long no request of a signal has been
 * acknowledged when the next ones are refused; after twice that so are those that wait. */
#define RECEIVE_WAIT_MS 4000

/* What may change while requests come in. Pointers are loans until the next receive_change(), but
 * the origins for the receiver's life. */
struct receive_limits {
    size_t grpc_body_max, http_body_max; /* bytes, decompressed too */

    struct refine *refine;            /* this thread's */
    const struct stamp *stamp_local;  /* for what comes from this node */
    const struct stamp *stamp_remote; /* for the rest */

    const char *const *cors_origins; /* "*" or exact */
    size_t cors_origins_len;
};

/* All other pointers are loans for the receiver's life. */
struct receive_options {
    struct spool *spool;
    struct net_budget *budget;
    struct tls_context *tls; /* NULL: plaintext */
    enum spool_ack ack;
    uint32_t wait_ms; /* 0: RECEIVE_WAIT_MS */

    const char *address; /* NULL: all */
    uint16_t grpc_port, http_port;
    struct receive_limits limits;
    bool all_local; /* everything comes from this node */

    struct pods *pods; /* NULL: who sent it is not looked up */

    bool serves[SIGNAL_COUNT];     /* false: nobody reads it, so it is refused for good */
    struct receive_tokens *tokens; /* NULL: nobody is asked for one */

    /* Somebody may want to read the spool: when a request is in it, on the committer's thread; if
     * the acknowledgement waits for the reader, when it was handed over, on the loop's. */
    void (*stored)(void *context);
    void *context;
};

NODISCARD enum err receive_open(struct net_loop *loop, const struct receive_options *options,
                                struct receive **ret_receive, struct error *error);

/* From the next request on. Its loop's thread. */
void receive_change(struct receive *receive, const struct receive_limits *limits);

/* The ports in use, for port 0. */
uint16_t receive_grpc_port(const struct receive *receive);
uint16_t receive_http_port(const struct receive *receive);

/* Stops accepting, answers what is open; `drained` is called on the loop's thread when no
 * connection is left, at the latest at `deadline_ms` (monotonic). */
void receive_drain(struct receive *receive, uint64_t deadline_ms, void (*drained)(void *context),
                   void *context);

/* Requests that wait for the spool, and that it has and has not answered. Any thread. */
size_t receive_in_spool(const struct receive *receive);

struct receive_stats {
    struct net_server_stats grpc, http;
};

void receive_stats(const struct receive *receive, struct receive_stats *ret_stats);

/* receive_in_spool() must be 0, and what was posted to the loop must have run. */
void receive_close(struct receive **receive);

#endif
