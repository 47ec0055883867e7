/* edge: the wiring of an edge: who hands what to whom, and which threads there are.
 *
 *   workers (one loop each)      committer             producer
 *   receive -> walk -> stamp --> spool: write, sync --> Kafka
 *      ^                            |                     |
 *      +------- acknowledgement ----+       cursor <------+
 *
 * Start: spool (recovery), producer, workers, health server. Stop: no new requests, answer what is
 * open, send what is in the spool as far as time allows, close. What is not sent stays in the
 * spool.
 *
 * Thread: the main thread.
 */
#ifndef SIDECAR_EDGE_EDGE_H
#define SIDECAR_EDGE_EDGE_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"

struct edge;
struct json;
struct spool;

/* Loans for the edge's life. */
struct edge_options {
    const struct pipeline *pipeline;
    const struct pipeline_edge *edge;
    const char *secrets_dir;    /* <name>/<key> below it; NULL: none */
    const char *spool_dir;      /* NULL: where the document says */
    const char *listen_address; /* NULL: all, on the ports of the document */
    const char *health_listen;  /* "ADDR:PORT"; NULL: all, on the port of the document */
    const char *metrics_listen;
    /* Adds to /debug/state, on the HTTP server's thread; NULL: nothing to add. */
    void (*more_state)(void *context, struct json *root);
    void *more_state_context;
    /* Something new can be read from the spool; on the committer's thread, quick. NULL: nobody
     * asks. */
    void (*stored)(void *context);
    void *stored_context;
};

/* The directory of the edge's spool, made if absent; the arena's, or the one that `options` names.
 * ERR_INVALID: nothing names one. */
NODISCARD enum err edge_make_dir(const struct edge_options *options, struct arena *arena,
                                 const char **ret_dir, struct error *error);

NODISCARD enum err edge_start(const struct edge_options *options, struct edge **ret_edge,
                              struct error *error);

/* Takes over what of a changed document an edge can change while it runs: what is stamped, CORS,
 * how large requests may be, the spool's policy, the producer's compression. Returns when all of it
 * holds, but for the compression, which waits for a new client. `pipeline` has this edge; nothing
 * of it is kept. ERR_INVALID, ERR_NOMEM: nothing has changed. */
NODISCARD enum err edge_change(struct edge *edge, const struct pipeline *pipeline,
                               struct error *error);

/* The first step of stopping: no new requests, and answers to those that are open. */
void edge_drain(struct edge *edge, uint32_t grace_ms);

/* Drains for at most `grace_ms` and frees. */
void edge_stop(struct edge **edge, uint32_t grace_ms);

/* For the single node, whose gateways read it themselves. */
struct spool *edge_spool(struct edge *edge);
const char *edge_spool_dir(const struct edge *edge);

/* Where OTLP is served, for port 0 in tests. */
uint16_t edge_grpc_port(const struct edge *edge);
uint16_t edge_http_port(const struct edge *edge);

#endif
