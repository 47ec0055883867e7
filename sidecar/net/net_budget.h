/* net_budget: how many bytes may be in flight over all connections and threads. Whoever is about to
 * take memory for a peer asks first; what is refused is answered, never waited for.
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
    size_t max; /* bytes, inclusive; 0: no limit, still counted */
};

static inline bool net_budget_take(struct net_budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
    if (budget->max == 0 || (before <= budget->max && bytes <= budget->max - before))
        return true;
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
    return false;
}

static inline void net_budget_give(struct net_budget *budget, size_t bytes)
{
    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

static inline size_t net_budget_used(const struct net_budget *budget)
{
    return atomic_load_explicit(&budget->used, memory_order_relaxed);
}

#endif
