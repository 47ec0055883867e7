/* process: the processors of an edge or gateway, on one request at a time.
 *
 *   request --rewrite--> each resource, scope and item through all processors --> request
 *
 * Processors apply in order: what an earlier one changed, a later one sees, also where it changed a
 * resource and the later one asks about it from an item. Nothing is decoded into objects; what no
 * processor touches is copied byte for byte, with the fields that newer SDKs send. A resource or
 * scope that loses all its items goes too.
 *
 *   attributes  on the resource, the scope or the items        (attributes.h)
 *   parse       JSON or a pattern out of an item's text        (parse.h)
 *   redact      values of keys, matches of patterns            (redact.h)
 *   filter      drops items of which an expression is true     (expr.h)
 *   sample      keeps a part of the spans and log records, and all of which `keep` is true
 *
 * Sampling decides by the trace's randomness, the same in every pod and for every signal, and notes
 * its threshold in the spans that it keeps (sample.h). What has no trace id is decided by a hash of
 * its bytes, so that a repeat is decided alike. Data points are never sampled.
 *
 * Total: every request that otlp_walk() accepts comes out as one that it accepts, and the only
 * errors are those of memory and size. Time is linear in the request for each processor.
 *
 * Thread: a struct process belongs to one thread at a time, for it holds buffers and patterns.
 */
#ifndef SIDECAR_PROCESS_PROCESS_H
#define SIDECAR_PROCESS_PROCESS_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/pipeline.h"
#include "common/error.h"

#define PROCESS_KEPT_BYTES (256u << 10) /* memory that process_release() leaves for next time */

#define PROCESS_ROOM (64u << 10)

struct metric;
struct process;

/* Bytes that a run with this `size_max` takes at most. */
static inline size_t process_memory(size_t size_max)
{
    return 2 * size_max + (size_t)4 * PROCESS_ROOM;
}

/* What became of items: one for each processor that has dropped some, or could not parse some. */
struct process_counts {
    size_t count;
    struct process_tally {
        struct metric *metric;
        uint32_t step, items;
    } list[PIPELINE_PROCESSORS_MAX];
};

/* Compiles the processors; nothing of them is kept. `owner` is for metrics: "edge", or
 * "gateway/NAME"; copied. ERR_INVALID: as pipeline_read() would have said. ERR_NOMEM. */
NODISCARD enum err process_create(const struct pipeline_processor *processors, size_t count,
                                  const char *owner, struct process **ret_process,
                                  struct error *error);
void process_destroy(struct process **process);

/* Whether any processor does anything to requests of the signal. */
bool process_concerns(const struct process *process, enum signal signal);

/* Puts what becomes of `request` into *ret_request, valid until the next run or release, with the
 * items that are left: with none it may be dropped. `request` is one that otlp_walk() has accepted.
 *
 * ERR_FULL: the result would be above `size_max` bytes, or one item, resource or scope of it above
 * a quarter of that and PROCESS_ROOM. Memory is at most process_memory(size_max). ERR_NOMEM. */
NODISCARD enum err process_run(struct process *process, enum signal signal, struct bytes request,
                               size_t size_max, struct bytes *ret_request, uint32_t *ret_items,
                               struct process_counts *ret_counts, struct error *error);

/* Gives back what one large request took. */
void process_release(struct process *process);

/* Adds to the metrics, once what the counts are of has been answered for. The process may be gone
 * by then. Any thread. */
void process_count(const struct process_counts *counts);

#endif
