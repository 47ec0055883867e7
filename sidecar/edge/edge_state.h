/* edge_state: what an edge tells about itself: health, readiness, /debug/state, gauges.
 *
 *   {"role":"edge","pipeline":"shop","edge":"edge","generation":3,"ready":true,
 *    "spool":{"incarnation":"...","sizeBytes":N,"diskBytes":N,"full":false,"lanes":{"traces":{
 *        "acceptedItems":N,"waitingItems":N,"waitingFrames":N,"deliveredItems":N,"droppedItems":N,
 *        "damagedItems":N,"bytes":N,"oldestUnixMs":N,"full":false}, ...}},
 *    "kafka":{"trouble":"","sinceUnixMs":N,"clients":1,"lanes":{"traces":{"topicKnown":true,
 *        "partitions":12,"inFlight":N,"waiting":N,"delivered":N,"retries":N,"deadLetters":N,
 *        "trouble":""}, ...}},
 *    "kubernetesMetadata":{"pods":N,"trouble":""}}
 *
 * Thread: the HTTP server's.
 */
#ifndef SIDECAR_EDGE_EDGE_STATE_H
#define SIDECAR_EDGE_EDGE_STATE_H

#include "common/http_server.h"
#include "sidecar/edge/edge.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct edge_tail;
struct pods;
struct produce;
struct spool;

struct edge_state {
    const struct edge_options *options;
    struct spool *spool;
    struct edge_tail *tail; /* NULL: none; set before anybody asks */
    struct pods *pods;      /* likewise */
    atomic_bool ready;
    pthread_mutex_t lock;    /* guards what follows */
    struct produce *produce; /* NULL: none, or it is stopping */
};

/* Also sets the gauges of spool and producer whenever metrics are read. Once in a process. */
void edge_state_init(struct edge_state *state, const struct edge_options *options,
                     struct spool *spool, struct produce *produce);

/* Before the producer is closed: nobody asks it any more. */
void edge_state_forget_produce(struct edge_state *state);
void edge_state_fini(struct edge_state *state);

http_handler_fn edge_serve_health, edge_serve_ready, edge_serve_state;

#endif
