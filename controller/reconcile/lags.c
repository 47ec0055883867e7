#include "controller/reconcile/lags.h"

#include "common/assert.h"
#include "common/map.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* One observer, with the pipelines that use it. */
struct watch {
    char *access_key;
    struct observer *observer;
    unsigned refs; /* pipelines, and calls under way; guarded by lags->mutex */
};

struct wanted_group {
    char *id;
    bool asleep; /* said by lags_set_asleep(); guarded by lags->mutex */
};

/* One pipeline. */
struct wanting {
    struct watch *watch;
    struct wanted_group *groups;
    size_t count;
};

struct lags {
    struct admin_pool *pool;
    pthread_mutex_t mutex; /* guards both maps and all counts */
    struct map watches;    /* access key -> struct watch * */
    struct map pipelines;  /* key -> struct wanting * */
};

struct lags *lags_create(struct admin_pool *pool)
{
    struct lags *lags = xcalloc(1, sizeof *lags);

    lags->pool = pool;
    pthread_mutex_init(&lags->mutex, NULL);
    return lags;
}

/* ---- watches */

/* Gives a reference back; the last one ends the observer, outside the mutex, for that can take ten
 * seconds. */
static void watch_release(struct lags *lags, struct watch *watch)
{
    pthread_mutex_lock(&lags->mutex);
    bool last = --watch->refs == 0;
    if (last)
        map_remove(&lags->watches, watch->access_key);
    pthread_mutex_unlock(&lags->mutex);
    if (!last)
        return;
    observer_destroy(&watch->observer);
    free(watch->access_key);
    free(watch);
}

/* A reference to the watch of that access, started if there is none. */
static enum err watch_acquire(struct lags *lags, const char *access_key,
                              const struct kafka_access *access, struct watch **ret_watch,
                              struct error *error)
{
    enum err err = OK;

    pthread_mutex_lock(&lags->mutex);
    struct watch *watch = map_get(&lags->watches, access_key);
    bool found = watch != NULL;
    if (!found) {
        watch = xcalloc(1, sizeof *watch);
        err = observer_create(lags->pool, access, &watch->observer, error);
        if (err) {
            free(watch);
        } else {
            watch->access_key = xstrdup(access_key);
            map_set(&lags->watches, access_key, watch);
        }
    }
    if (err == OK)
        watch->refs++;
    pthread_mutex_unlock(&lags->mutex);
    if (err)
        return err;
    if (found)
        err = observer_set_access(watch->observer, access, error);
    if (err) {
        watch_release(lags, watch);
        return err;
    }
    *ret_watch = watch;
    return OK;
}

/* A reference to the watch that pipeline `key` uses; NULL if none. */
static struct watch *watch_of(struct lags *lags, const char *key)
{
    struct watch *watch = NULL;

    pthread_mutex_lock(&lags->mutex);
    const struct wanting *wanting = map_get(&lags->pipelines, key);
    if (wanting != NULL) {
        watch = wanting->watch;
        watch->refs++;
    }
    pthread_mutex_unlock(&lags->mutex);
    return watch;
}

/* ---- pipelines */

static bool is_wanted(const struct pipeline *pipeline, const char *group)
{
    for (size_t i = 0; pipeline != NULL && i < pipeline->gateway_count; i++) {
        if (strcmp(pipeline->gateways[i].group_id, group) == 0)
            return true;
    }
    return false;
}

/* Ends what was wanted before; `kept`: what is wanted of the same watch from now on, or NULL. */
static void wanting_end(struct lags *lags, struct wanting *wanting, const struct watch *watch,
                        const struct pipeline *kept)
{
    ASSERT(wanting->watch != NULL);
    for (size_t i = 0; i < wanting->count; i++) {
        if (wanting->watch != watch || !is_wanted(kept, wanting->groups[i].id))
            observer_forget(wanting->watch->observer, wanting->groups[i].id);
        free(wanting->groups[i].id);
    }
    free(wanting->groups);
    watch_release(lags, wanting->watch);
    free(wanting);
}

static enum err want_group(struct observer *observer, const struct pipeline *pipeline,
                           const struct pipeline_gateway *gateway, bool asleep, struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    const char *topics[PIPELINE_TOPICS_MAX];

    for (size_t i = 0; i < gateway->from_count; i++)
        topics[i] = gateway->from[i]->topic;
    const struct observer_group group = {
        .group = gateway->group_id,
        .topics = topics,
        .topic_count = gateway->from_count,
        .latest = gateway->initial_offset == PIPELINE_OFFSET_LATEST,
        .asleep = asleep,
        .client_prefix = pipeline_member_id(pipeline, gateway, &arena),
    };
    if (group.client_prefix == NULL)
        return error_set(error, ERR_NOMEM, "watch group '%s'", gateway->group_id);
    return observer_want(observer, &group, error);
}

static struct wanted_group *find_group(const struct wanting *wanting, const char *id)
{
    for (size_t i = 0; wanting != NULL && i < wanting->count; i++) {
        if (strcmp(wanting->groups[i].id, id) == 0)
            return &wanting->groups[i];
    }
    return NULL;
}

/* Takes the place of what was wanted before, which is returned; who sleeps goes on sleeping. */
static struct wanting *wanting_replace(struct lags *lags, const char *key, struct wanting *wanting)
{
    pthread_mutex_lock(&lags->mutex);
    struct wanting *before = map_set(&lags->pipelines, key, wanting);
    for (size_t i = 0; i < wanting->count; i++) {
        const struct wanted_group *old = find_group(before, wanting->groups[i].id);
        wanting->groups[i].asleep = old != NULL && old->asleep;
    }
    pthread_mutex_unlock(&lags->mutex);
    return before;
}

static bool is_asleep(struct lags *lags, const char *key, const char *group)
{
    pthread_mutex_lock(&lags->mutex);
    const struct wanted_group *found = find_group(map_get(&lags->pipelines, key), group);
    bool asleep = found != NULL && found->asleep;
    pthread_mutex_unlock(&lags->mutex);
    return asleep;
}

enum err lags_want(struct lags *lags, const char *key, const struct pipeline *pipeline,
                   const char *access_key, const struct kafka_access *access, struct error *error)
{
    struct watch *watch = NULL;

    enum err err = watch_acquire(lags, access_key, access, &watch, error);
    if (err)
        return err;
    struct wanting *wanting = xcalloc(1, sizeof *wanting);
    wanting->watch = watch;
    wanting->count = pipeline->gateway_count;
    wanting->groups = xcalloc(pipeline->gateway_count, sizeof *wanting->groups);
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        wanting->groups[i].id = xstrdup(pipeline->gateways[i].group_id);

    struct wanting *before = wanting_replace(lags, key, wanting);
    for (size_t i = 0; i < pipeline->gateway_count && err == OK; i++)
        err = want_group(watch->observer, pipeline, &pipeline->gateways[i],
                         is_asleep(lags, key, pipeline->gateways[i].group_id), error);
    if (before != NULL)
        wanting_end(lags, before, watch, pipeline);
    return err;
}

void lags_forget(struct lags *lags, const char *key)
{
    pthread_mutex_lock(&lags->mutex);
    struct wanting *before = map_remove(&lags->pipelines, key);
    pthread_mutex_unlock(&lags->mutex);
    if (before != NULL)
        wanting_end(lags, before, NULL, NULL);
}

void lags_set_asleep(struct lags *lags, const char *key, const struct pipeline *pipeline,
                     const struct pipeline_gateway *gateway, bool asleep)
{
    struct watch *watch = watch_of(lags, key);

    if (watch == NULL)
        return;
    pthread_mutex_lock(&lags->mutex);
    struct wanted_group *found = find_group(map_get(&lags->pipelines, key), gateway->group_id);
    if (found != NULL)
        found->asleep = asleep;
    pthread_mutex_unlock(&lags->mutex);
    /* Only memory or the bound on groups could fail it, and then it stays registered as it was. */
    IGNORE_RESULT(want_group(watch->observer, pipeline, gateway, asleep, NULL));
    watch_release(lags, watch);
}

/* ---- reading */

enum err lags_read(struct lags *lags, const char *key, const char *group, struct group_lag *ret_lag)
{
    struct watch *watch = watch_of(lags, key);

    if (watch == NULL)
        return ERR_NOTFOUND;
    enum err err = observer_read(watch->observer, group, ret_lag);
    watch_release(lags, watch);
    return err;
}

enum err lags_each(struct lags *lags, const char *key, const char *group, observer_visit *visit,
                   void *context)
{
    struct watch *watch = watch_of(lags, key);

    if (watch == NULL)
        return ERR_NOTFOUND;
    enum err err = observer_each(watch->observer, group, visit, context);
    watch_release(lags, watch);
    return err;
}

void lags_destroy(struct lags **lags)
{
    if (*lags == NULL)
        return;
    for (struct map_entry *e = map_next(&(*lags)->pipelines, NULL); e != NULL;
         e = map_next(&(*lags)->pipelines, NULL)) {
        struct wanting *wanting = map_remove(&(*lags)->pipelines, e->key);
        wanting_end(*lags, wanting, NULL, NULL);
    }
    map_fini(&(*lags)->pipelines);
    map_fini(&(*lags)->watches);
    pthread_mutex_destroy(&(*lags)->mutex);
    free(*lags);
    *lags = NULL;
}
