/* net_budget: how much memory peers may take, over all connections and threads. Whoever is about to
 * take memory for a peer asks first; what is refused is answered, never waited for.
 *
 *   bodies     as received and as decompressed: most of it, and the reason for refusing requests
 *   overhead   of connections and requests, whatever their bodies: apart, so that neither a client
 *              with large bodies nor one with many connections takes what the others need
 *
 * Thread: any.
 */
#ifndef SIDECAR_NET_NET_BUDGET_H
#define SIDECAR_NET_NET_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct net_budget {
    _Atomic size_t used;
    size_t max; /* bytes of bodies, inclusive; 0: no limit, still counted */
    _Atomic size_t overhead;
    size_t overhead_max; /* bytes, inclusive; 0: no limit, still counted */
};

static inline bool net_budget_add(_Atomic size_t *used, size_t max, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(used, bytes, memory_order_relaxed);
    if (max == 0 || (before <= max && bytes <= max - before))
        return true;
    atomic_fetch_sub_explicit(used, bytes, memory_order_relaxed);
    return false;
}

static inline bool net_budget_take(struct net_budget *budget, size_t bytes)
{
    return net_budget_add(&budget->used, budget->max, bytes);
}

static inline void net_budget_give(struct net_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

static inline size_t net_budget_used(const struct net_budget *budget)
{
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
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
