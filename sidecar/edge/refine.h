/* refine: what a checked request goes through before it is spooled, whichever way it came in.
 *
 *   request --process--> --stamp--> --route--> cut into what is for each topic
 *      |                    |          |
 *      |                    |          +-- an edge without routes: not cut
 *      +--------------------+-- without processors for its signal: nothing is read or copied
 *
 * What it needs beyond the request is taken from the budget first: for a result that is a quarter
 * larger than the request to begin with, and more only if it turns out larger than that.
 *
 * Thread: one at a time; each worker has its own.
 */
#ifndef SIDECAR_EDGE_REFINE_H
#define SIDECAR_EDGE_REFINE_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/net/net_budget.h"
#include "sidecar/process/process.h"
#include "sidecar/spool/spool.h"

struct refine;
struct stamp;

/* Compiles what the edge says. Nothing of the document is kept; the budget is a loan. ERR_INVALID,
 * ERR_NOMEM. */
NODISCARD enum err refine_open(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                               struct net_budget *budget, struct refine **ret_refine,
                               struct error *error);
void refine_close(struct refine **refine);

/* Whether nothing is done to requests of the signal but stamping them. */
bool refine_is_plain(const struct refine *refine, enum signal signal);

/* What is to be stored, valid until the call ends: views, to be read one behind the other. */
struct refined {
    const struct bytes *slices;
    size_t slice_count, size_bytes;
    uint32_t items;
    const struct spool_cut *cuts; /* what is for which topic, see routes.h; at least one */
    size_t cut_count;
};

typedef enum err refine_emit_fn(void *context, const struct refined *request, struct error *error);

/* Hands what is left of the request to `emit`, all at once: that it is stored together or not at
 * all is the caller's to see to. Not called if every item was dropped. What `emit` returns is
 * returned. `counts` get what became of items, to be given to process_count() once the request has
 * been answered for.
 *
 * ERR_FULL: a result would be above `size_max` bytes before it is cut, or take more than the
 * budget's scratch. ERR_AGAIN: too much of that is in use. ERR_NOMEM. */
NODISCARD enum err refine_run(struct refine *refine, enum signal signal, struct bytes request,
                              uint32_t items, const struct stamp *stamp, size_t size_max,
                              refine_emit_fn *emit, void *context,
                              struct process_counts *ret_counts, struct error *error);

#endif
