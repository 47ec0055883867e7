/* A changed policy is checked as the configuration was, on a store that exists for that only, and
 * handed to the committer, whose fields it concerns. Segments keep the size they have. */
#include "sidecar/spool/store.h"

#include <stdlib.h>

struct policy {
    struct spool_config config;
    uint32_t segments_max;
    uint32_t share[SIGNAL_COUNT];
};

static void store_scratch_free(struct store **scratch)
{
    free(*scratch);
}

enum err spool_set_policy(struct spool *spool, const struct spool_policy *policy,
                          struct error *error)
{
    struct store *store = spool_store(spool);
    AUTO(store_scratch_free) struct store *scratch = calloc(1, sizeof *scratch);
    struct policy *wanted = malloc(sizeof *wanted), *before = NULL;

    if (scratch == NULL || wanted == NULL) {
        free(wanted);
        return error_set(error, ERR_NOMEM, "change the spool's policy");
    }
    pthread_mutex_lock(&store->lock);
    struct spool_config config = store->config;
    pthread_mutex_unlock(&store->lock);
    config.size_bytes = policy->size_bytes;
    config.min_free_percent = policy->min_free_percent;
    config.when_full = policy->when_full;
    config.max_age_ms = policy->max_age_ms;
    scratch->dir = store->dir;
    enum err err = store_resolve(&config, scratch, error);
    if (err) {
        free(wanted);
        return err;
    }
    *wanted = (struct policy){.config = scratch->config, .segments_max = scratch->segments_max};
    for (int i = 0; i < SIGNAL_COUNT; i++)
        wanted->share[i] = scratch->share[i];

    pthread_mutex_lock(&store->lock);
    before = store->policy;
    store->policy = wanted;
    if (store->nudge != NULL)
        store->nudge(store->nudge_context);
    pthread_mutex_unlock(&store->lock);
    free(before);
    return OK;
}

/* No lane is full any more where room is made: appends find out what there is to drop. */
static void open_lanes(struct store *store)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        store->lanes[i].full.code = OK;
        atomic_store(&store->lanes[i].is_full, false);
    }
}

void policy_take(struct store *store)
{
    struct policy *taken = NULL;

    pthread_mutex_lock(&store->lock);
    MOVE(taken, store->policy);
    if (taken != NULL) {
        store->config.size_bytes = taken->config.size_bytes;
        store->config.min_free_percent = taken->config.min_free_percent;
        store->config.when_full = taken->config.when_full;
        store->config.max_age_ms = taken->config.max_age_ms;
        store->segments_max = taken->segments_max;
        for (int i = 0; i < SIGNAL_COUNT; i++)
            store->share[i] = taken->share[i];
        if (store->config.when_full == SPOOL_DROP_OLDEST)
            open_lanes(store);
    }
    pthread_mutex_unlock(&store->lock);
    free(taken);
}
