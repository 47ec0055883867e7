/* The thread is the only one that frees what is watched and the only one that writes what was read,
 * so it may look at both without the lock; it takes the lock to write, and to see registrations.
 */
#include "controller/kafka_admin/observer.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "common/xalloc.h"
#include "controller/kafka_admin/access.h"
#include "controller/kafka_admin/rounds.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct observer {
    struct admin_pool *pool;
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;
    bool stop;
    struct kafka_access *access;
    struct watch watch;
    struct observer_stats stats;
};

/* ---- the thread */

static void run_round(struct observer *observer)
{
    AUTO(access_destroy) struct kafka_access *access = NULL;
    struct admin *admin = NULL;
    struct error error = {.code = OK, .text = ""};
    uint64_t begun_ms = clock_mono_ms();

    pthread_mutex_lock(&observer->mutex);
    watch_sweep(&observer->watch);
    enum err err = access_copy(observer->access, &access, &error);
    pthread_mutex_unlock(&observer->mutex);

    struct round round = {.mutex = &observer->mutex,
                          .watch = &observer->watch,
                          .stats = &observer->stats,
                          .stop = &observer->stop,
                          .access = access};
    if (!err)
        err = admin_acquire(observer->pool, access, &admin, &error);
    if (!err) {
        round.admin = admin;
        err = round_ask(&round, &error);
    }
    admin_release(&admin);
    round_evaluate(&round, err ? error.text : "");

    pthread_mutex_lock(&observer->mutex);
    observer->stats.rounds++;
    observer->stats.rounds_failed += err != OK;
    observer->stats.round_ms = clock_mono_ms() - begun_ms;
    observer->stats.err = err;
    snprintf(observer->stats.text, sizeof observer->stats.text, "%.*s", OBSERVER_TEXT_MAX - 1,
             err ? error.text : "");
    pthread_mutex_unlock(&observer->mutex);
}

/* False: to stop. */
static bool wait_until(struct observer *observer, uint64_t at_ms)
{
    struct timespec at = cond_deadline(at_ms);

    pthread_mutex_lock(&observer->mutex);
    while (!observer->stop && clock_mono_ms() < at_ms)
        pthread_cond_timedwait(&observer->wake, &observer->mutex, &at);
    bool stop = observer->stop;
    pthread_mutex_unlock(&observer->mutex);
    return !stop;
}

static void *observe(void *context)
{
    struct observer *observer = context;
    uint64_t next_ms = clock_mono_ms();

    while (wait_until(observer, next_ms)) {
        run_round(observer);
        next_ms += OBSERVER_ENDS_MS;
        if (next_ms < clock_mono_ms()) /* it took longer: no hurry to catch up */
            next_ms = clock_mono_ms() + OBSERVER_ENDS_MS / 4;
    }
    return NULL;
}

/* ---- its owner */

enum err observer_create(struct admin_pool *pool, const struct kafka_access *access,
                         struct observer **ret_observer, struct error *error)
{
    AUTO(observer_destroy) struct observer *observer = xcalloc(1, sizeof *observer);

    observer->pool = pool;
    pthread_mutex_init(&observer->mutex, NULL);
    cond_init(&observer->wake);
    enum err err = access_copy(access, &observer->access, error);
    if (err)
        return err;
    if (pthread_create(&observer->thread, NULL, observe, observer) != 0)
        return error_set(error, ERR_NOMEM, "start a lag observer: no thread to be had");
    observer->started = true;
    pthread_setname_np(observer->thread, "lag-observer");
    MOVE(*ret_observer, observer);
    return OK;
}

static void stop_thread(struct observer *observer)
{
    if (!observer->started)
        return;
    pthread_mutex_lock(&observer->mutex);
    observer->stop = true;
    pthread_cond_signal(&observer->wake);
    pthread_mutex_unlock(&observer->mutex);
    pthread_join(observer->thread, NULL);
}

void observer_destroy(struct observer **observer)
{
    if (*observer == NULL)
        return;
    stop_thread(*observer);
    watch_fini(&(*observer)->watch);
    access_destroy(&(*observer)->access);
    pthread_cond_destroy(&(*observer)->wake);
    pthread_mutex_destroy(&(*observer)->mutex);
    free(*observer);
    *observer = NULL;
}

enum err observer_set_access(struct observer *observer, const struct kafka_access *access,
                             struct error *error)
{
    AUTO(access_destroy) struct kafka_access *copy = NULL;

    enum err err = access_copy(access, &copy, error);
    if (err)
        return err;
    pthread_mutex_lock(&observer->mutex);
    struct kafka_access *old = observer->access;
    observer->access = copy;
    copy = old;
    pthread_mutex_unlock(&observer->mutex);
    return OK;
}

enum err observer_want(struct observer *observer, const struct observer_group *group,
                       struct error *error)
{
    pthread_mutex_lock(&observer->mutex);
    enum err err = watch_put(&observer->watch, group, error);
    pthread_mutex_unlock(&observer->mutex);
    return err;
}

void observer_forget(struct observer *observer, const char *group)
{
    pthread_mutex_lock(&observer->mutex);
    watch_remove(&observer->watch, group);
    pthread_mutex_unlock(&observer->mutex);
}

enum err observer_read(struct observer *observer, const char *group, struct group_lag *ret_lag)
{
    pthread_mutex_lock(&observer->mutex);
    const struct watched_group *watched = map_get(&observer->watch.groups, group);
    if (watched != NULL)
        *ret_lag = watched->lag;
    pthread_mutex_unlock(&observer->mutex);
    return watched != NULL ? OK : ERR_NOTFOUND;
}

static void visit_place(const struct watched_group *group, struct watched_place *place,
                        observer_visit *visit, void *context)
{
    const struct lag_context lag = watch_context(group, (int64_t)clock_mono_ms());

    for (uint32_t i = 0; i < place->partition_count; i++) {
        struct partition_lag partition = lag_of(&lag, &place->topic->ends[i], &place->commits[i]);
        partition.topic = place->topic->name;
        partition.partition = (int32_t)i;
        visit(context, &partition);
    }
}

enum err observer_each(struct observer *observer, const char *group, observer_visit *visit,
                       void *context)
{
    pthread_mutex_lock(&observer->mutex);
    struct watched_group *watched = map_get(&observer->watch.groups, group);
    if (watched != NULL)
        watch_fit_group(watched);
    for (size_t i = 0; watched != NULL && i < watched->place_count; i++)
        visit_place(watched, &watched->places[i], visit, context);
    pthread_mutex_unlock(&observer->mutex);
    return watched != NULL ? OK : ERR_NOTFOUND;
}

void observer_stats(struct observer *observer, struct observer_stats *ret_stats)
{
    pthread_mutex_lock(&observer->mutex);
    *ret_stats = observer->stats;
    pthread_mutex_unlock(&observer->mutex);
}
