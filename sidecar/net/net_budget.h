/* net_budget: how much memory peers may take, over all connections and threads.
 *
 *   bodies     as they are received: asked for whole, before the first byte is kept, and waited for
 *   scratch    what a body becomes while it is worked on, decompressed or processed: taken or not
 *   overhead   of connections and requests, whatever their bodies: taken or not; apart, so that
 *              neither a client with large bodies nor one with many connections takes what the
 *              others need
 *
 *   net_budget_ask --enough, and nobody waits--> taken
 *                  `--> waiting --net_budget_give of others, in its turn--> granted()
 *                              `--net_budget_cancel--> not taken
 *
 * Nobody can wait for ever, nor for each other. Who waits for bodies holds none: a request asks
 * once, for all that it has announced. So bodies are held only by requests that have got all they
 * asked for; those depend on their sender, whose connection goes on being read, and on the disk,
 * and both have deadlines; a sender that stalls has a short one while others wait (net_stall.c).
 * Turns are taken in the order of asking, so a large request is not overtaken until it starves; one
 * that is larger than all there is gets its turn when nothing is held.
 *
 * Zero-initialised but for its limits, a budget is ready. Thread: any.
 */
#ifndef SIDECAR_NET_NET_BUDGET_H
#define SIDECAR_NET_NET_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Who asks, embedded in the asker's own object; `bytes` and `granted` are the asker's to set. */
struct net_budget_wait {
    size_t bytes;
    /* They have been taken for you. On the thread that gave them back: quick, and without a call of
     * the budget. */
    void (*granted)(struct net_budget_wait *wait);
    struct net_budget_wait *next, *prev; /* the budget's */
    bool queued;
};

struct net_budget {
    _Atomic size_t used; /* bodies */
    size_t max;          /* bytes, inclusive, but for a single larger one; 0: no limit, counted */
    _Atomic size_t scratch;
    size_t scratch_max; /* bytes, inclusive; 0: no limit, still counted */
    _Atomic size_t overhead;
    size_t overhead_max; /* likewise */

    atomic_uint waiting;  /* askers in the queue, or about to be */
    pthread_mutex_t lock; /* guards the queue */
    struct net_budget_wait *first, *last;
};

/* True: wait->bytes are taken. False: `wait` is lent to the budget until granted() has been called,
 * perhaps before this returns, or net_budget_cancel() has returned true. */
bool net_budget_ask(struct net_budget *budget, struct net_budget_wait *wait);

/* True: it waits no more, and nothing was taken. False: granted() has been called. */
bool net_budget_cancel(struct net_budget *budget, struct net_budget_wait *wait);

void net_budget_give(struct net_budget *budget, size_t bytes);

/* Whether somebody waits now. */
static inline bool net_budget_is_waited_for(const struct net_budget *budget)
{
    return atomic_load(&budget->waiting) > 0;
}

static inline size_t net_budget_used(const struct net_budget *budget)
{
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

/* ---- scratch and overhead */

static inline bool net_budget_add(_Atomic size_t *used, size_t max, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(used, bytes, memory_order_relaxed);
    if (max == 0 || (before <= max && bytes <= max - before))
        return true;
    atomic_fetch_sub_explicit(used, bytes, memory_order_relaxed);
    return false;
}

static inline bool net_budget_take_scratch(struct net_budget *budget, size_t bytes)
{
    return net_budget_add(&budget->scratch, budget->scratch_max, bytes);
}

static inline void net_budget_give_scratch(struct net_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->scratch, bytes, memory_order_relaxed);
}

static inline bool net_budget_take_overhead(struct net_budget *budget, size_t bytes)
{
    return net_budget_add(&budget->overhead, budget->overhead_max, bytes);
}

static inline void net_budget_give_overhead(struct net_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->overhead, bytes, memory_order_relaxed);
}

#endif
