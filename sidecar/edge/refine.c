#include "sidecar/edge/refine.h"

#include "common/contract/names.h"
#include "sidecar/edge/routes.h"
#include "sidecar/otlp/stamp.h"

#include <stdlib.h>

struct refine {
    struct process *process; /* NULL: none */
    struct routes *routes;   /* NULL: none */
    struct net_budget *budget;
    struct otlp_slices slices;

    size_t taken; /* from the budget, for the request at hand */
    refine_emit_fn *emit;
    void *context;
};

void refine_close(struct refine **refine)
{
    struct refine *gone = *refine;
    if (gone == NULL)
        return;

    process_destroy(&gone->process);
    routes_destroy(&gone->routes);
    otlp_slices_fini(&gone->slices);
    free(gone);
    *refine = NULL;
}

enum err refine_open(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                     struct net_budget *budget, struct refine **ret_refine, struct error *error)
{
    AUTO(refine_close) struct refine *refine = calloc(1, sizeof *refine);
    enum err err = OK;

    if (refine == NULL)
        return error_set(error, ERR_NOMEM, "processors");
    refine->budget = budget;
    if (edge->processor_count > 0)
        err = process_create(edge->processors, edge->processor_count, NAMES_EDGE, &refine->process,
                             error);
    if (!err && edge->route_count > 0)
        err = routes_create(pipeline, edge, &refine->routes, error);
    if (err)
        return err;
    MOVE(*ret_refine, refine);
    return OK;
}

bool refine_is_plain(const struct refine *refine, enum signal signal)
{
    return (refine->process == NULL || !process_concerns(refine->process, signal)) &&
           (refine->routes == NULL || !routes_concern(refine->routes, signal));
}

/* ---- memory beyond the request */

/* So much in all. What is above the limit altogether is never going to be processed. */
static enum err take(struct refine *refine, size_t needed, struct error *error)
{
    size_t bytes = needed > refine->taken ? needed - refine->taken : 0;

    if (refine->budget->scratch_max != 0 && needed > refine->budget->scratch_max)
        return error_set(error, ERR_FULL,
                         "the request takes more memory to process than memoryLimit has for that");
    if (!net_budget_take_scratch(refine->budget, bytes))
        return error_set(error, ERR_AGAIN, "too many bytes are in flight to process a request");
    refine->taken += bytes;
    return OK;
}

/* Gives the budget back, and what a large request has made the buffers grow to. */
static void settle(struct refine *refine)
{
    if (refine->process != NULL)
        process_release(refine->process);
    if (refine->routes != NULL)
        routes_release(refine->routes);
    net_budget_give_scratch(refine->budget, refine->taken);
    refine->taken = 0;
}

/* ---- the steps */

/* A result that is larger than was thought is made again with twice the room. */
static enum err run_process(struct refine *refine, enum signal signal, struct bytes *request,
                            uint32_t *items, size_t size_max, struct process_counts *counts,
                            struct error *error)
{
    size_t room = request->len + request->len / 4 + PROCESS_ROOM;

    for (;; room *= 2) {
        bool last = room >= size_max;
        if (last)
            room = size_max;
        enum err err = take(refine, process_memory(room), error);
        if (err)
            return err;
        err = process_run(refine->process, signal, *request, room, request, items, counts, error);
        if (err != ERR_FULL || last)
            return err;
    }
}

/* Routes see what the topic gets, stamped attributes too. A request that is cut has its resources
 * once for each topic: if that is more than was thought, it is cut again with twice the room. */
static enum err route(struct refine *refine, enum signal signal, uint32_t items,
                      struct error *error)
{
    size_t size = refine->slices.size_bytes, before = refine->taken;
    struct routed routed;

    enum err err = take(refine, before + size, error);
    if (!err)
        err = otlp_slices_join(&refine->slices);
    if (err)
        return err;
    struct bytes whole = refine->slices.count > 0 ? refine->slices.list[0] : (struct bytes){0};
    for (size_t room = size + size / 4 + PROCESS_ROOM;; room *= 2) {
        err = take(refine, before + size + items + room, error);
        if (err)
            return err;
        err = routes_split(refine->routes, signal, whole, items, room, &routed, error);
        if (err != ERR_FULL)
            break;
    }
    if (err)
        return err;
    const struct refined request = {&routed.bytes, 1,           routed.bytes.len,
                                    items,         routed.cuts, routed.cut_count};
    return refine->emit(refine->context, &request, error);
}

static enum err run(struct refine *refine, enum signal signal, struct bytes request, uint32_t items,
                    const struct stamp *stamp, size_t size_max, struct process_counts *counts,
                    struct error *error)
{
    if (refine->process != NULL && process_concerns(refine->process, signal)) {
        enum err err = run_process(refine, signal, &request, &items, size_max, counts, error);
        if (err || items == 0)
            return err;
    }
    enum err err = stamp_apply(stamp, request, size_max, &refine->slices, error);
    if (err)
        return err;
    if (refine->routes != NULL && routes_concern(refine->routes, signal))
        return route(refine, signal, items, error);
    const struct spool_cut all = {refine->slices.size_bytes, items, 0};
    const struct refined whole = {
        refine->slices.list, refine->slices.count, all.len, items, &all, 1};
    return refine->emit(refine->context, &whole, error);
}

enum err refine_run(struct refine *refine, enum signal signal, struct bytes request, uint32_t items,
                    const struct stamp *stamp, size_t size_max, refine_emit_fn *emit, void *context,
                    struct process_counts *ret_counts, struct error *error)
{
    refine->emit = emit;
    refine->context = context;
    ret_counts->count = 0;
    enum err err = run(refine, signal, request, items, stamp, size_max, ret_counts, error);
    if (refine->taken > 0)
        settle(refine);
    return err;
}
