/* edge_live: what the receivers of an edge do by the document and can change while they run: what
 * is processed and stamped, whom browsers may serve, how large a request may be. Made anew as a
 * whole, swapped in by each worker on its own thread; see edge_change().
 *
 * Answers under way may still name an origin of the one before, so the memory of a retired one is
 * kept until the edge stops: a few hundred bytes for each change.
 */
#ifndef SIDECAR_EDGE_EDGE_LIVE_H
#define SIDECAR_EDGE_EDGE_LIVE_H

#include "common/arena.h"
#include "common/contract/pipeline.h"
#include "sidecar/edge/receive.h"

#define EDGE_WORKERS_MAX 4

struct stamp_rule;

struct edge_live {
    struct edge_live *retired; /* the one before */
    struct arena arena;
    struct stamp *stamp_local, *stamp_remote;
    struct refine *refines[EDGE_WORKERS_MAX]; /* one for each worker */
    struct refine *refine_files;              /* and one for log files */
    struct receive_limits limits;             /* points into what is above, but for refine */
};

/* ERR_INVALID: resourceAttributes that can't be stamped. Keeps nothing of the document; the budget,
 * of what is in flight, is a loan. */
NODISCARD enum err edge_live_make(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                                  struct net_budget *budget, struct edge_live **ret_live,
                                  struct error *error);

/* The rules of stamp_local, for stamps that say more; text is the document's or in `arena`. */
NODISCARD enum err edge_live_rules(const struct pipeline *pipeline,
                                   const struct pipeline_edge *edge, struct arena *arena,
                                   struct stamp_rule **ret_rules, size_t *ret_count,
                                   struct error *error);

/* No worker uses it any more; what answers may name stays. */
void edge_live_retire(struct edge_live *live);

/* This one and all that it has taken the place of. */
void edge_live_free(struct edge_live **live);

#endif
