/* With nobody waiting, taking and giving are one atomic operation each. Whoever can't take counts
 * itself as waiting before it looks once more, and whoever gives looks for waiters afterwards: one
 * of the two sees the other. */
#include "sidecar/net/net_budget.h"

#include "common/assert.h"

static bool take(struct net_budget *budget, size_t bytes)
{
    size_t used = atomic_load(&budget->used), max = budget->max;

    do {
        bool fits = max == 0 || used == 0 || (bytes <= max && used <= max - bytes);
        if (!fits)
            return false;
    } while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
    return true;
}

static void unlink_wait(struct net_budget *budget, struct net_budget_wait *wait)
{
    if (wait->prev != NULL)
        wait->prev->next = wait->next;
    else
        budget->first = wait->next;
    if (wait->next != NULL)
        wait->next->prev = wait->prev;
    else
        budget->last = wait->prev;
    wait->queued = false;
    atomic_fetch_sub(&budget->waiting, 1);
}

/* In the order of asking; the first that does not fit holds up those behind it. */
static void grant(struct net_budget *budget)
{
    while (budget->first != NULL && take(budget, budget->first->bytes)) {
        struct net_budget_wait *wait = budget->first;
        unlink_wait(budget, wait);
        wait->granted(wait);
    }
}

bool net_budget_ask(struct net_budget *budget, struct net_budget_wait *wait)
{
    if (atomic_load(&budget->waiting) == 0 && take(budget, wait->bytes))
        return true;

    pthread_mutex_lock(&budget->lock);
    atomic_fetch_add(&budget->waiting, 1);
    bool taken = budget->first == NULL && take(budget, wait->bytes);
    if (taken) {
        atomic_fetch_sub(&budget->waiting, 1);
    } else {
        wait->next = NULL;
        wait->prev = budget->last;
        if (budget->last != NULL)
            budget->last->next = wait;
        else
            budget->first = wait;
        budget->last = wait;
        wait->queued = true;
    }
    pthread_mutex_unlock(&budget->lock);
    return taken;
}

bool net_budget_cancel(struct net_budget *budget, struct net_budget_wait *wait)
{
    pthread_mutex_lock(&budget->lock);
    bool queued = wait->queued;
    if (queued) {
        unlink_wait(budget, wait);
        grant(budget); /* it may have been what held up the others */
    }
    pthread_mutex_unlock(&budget->lock);
    return queued;
}

void net_budget_give(struct net_budget *budget, size_t bytes)
{
    size_t before = atomic_fetch_sub(&budget->used, bytes);

    ASSERT(before >= bytes);
    if (atomic_load(&budget->waiting) == 0)
        return;
    pthread_mutex_lock(&budget->lock);
    grant(budget);
    pthread_mutex_unlock(&budget->lock);
}
