#include "controller/kube/lease.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "common/kube/object.h"
#include "common/rfc3339.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { STANDBY_TIMEOUT_MS = 5000, RELEASE_TIMEOUT_MS = 2000, HOLDER_SIZE = 256 };

/* ---- the decision */

static enum lease_action decide_leading(const struct lease_view *view, uint64_t now_ms)
{
    bool ours = strcmp(view->holder, view->identity) == 0;

    if (now_ms - view->renewed_ms >= LEASE_RENEW_DEADLINE_MS)
        return LEASE_LOSE;
    if (!view->exists)
        return LEASE_CREATE; /* deleted by hand */
    if (!ours && view->holder[0] != '\0')
        return LEASE_LOSE;
    return ours ? LEASE_RENEW : LEASE_TAKE;
}

enum lease_action lease_decide(const struct lease_view *view, uint64_t now_ms)
{
    if (view->leading)
        return decide_leading(view, now_ms);
    if (!view->exists)
        return LEASE_CREATE;
    if (view->holder[0] == '\0' || strcmp(view->holder, view->identity) == 0)
        return LEASE_TAKE;
    return now_ms - view->seen_ms >= view->duration_ms ? LEASE_TAKE : LEASE_WAIT;
}

struct json *lease_record(const struct json *old, const char *namespace, const char *name,
                          const char *identity, bool release, uint64_t wall_ns)
{
    char now[RFC3339_SIZE];
    struct json *lease = old == NULL ? object_new(&kube_leases, namespace, name) : json_clone(old);
    struct json *spec = json_need_object(lease, "spec");
    bool same = strcmp(json_string(json_get(spec, "holderIdentity"), ""), identity) == 0;
    int64_t transitions = json_int(json_get(spec, "leaseTransitions"), 0);

    rfc3339_micros(wall_ns, now);
    object_drop_managed_fields(lease);
    json_set_string(spec, "holderIdentity", release ? "" : identity);
    json_set_number(spec, "leaseDurationSeconds", release ? 1 : LEASE_DURATION_MS / 1000);
    json_set_string(spec, "renewTime", now);
    if (!same) {
        json_set_string(spec, "acquireTime", now);
        json_set_number(spec, "leaseTransitions", (double)(old == NULL ? 0 : transitions + 1));
    }
    return lease;
}

/* ---- the actor */

struct lease {
    struct kube_client *client;
    struct lease_config config;
    char *namespace, *name, *identity;
    pthread_t thread;
    bool started;
    struct json *record; /* as last seen or written; the thread's */
    bool must_read;      /* the record may have changed behind our back; the thread's */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool ending, leading;
    uint64_t renewed_ms, seen_ms, duration_ms;
    char holder[HOLDER_SIZE];
};

/* Takes the record; a new version of it starts its validity. */
static void observe(struct lease *lease, struct json **record, uint64_t seen_ms)
{
    const struct json *spec = json_get(*record, "spec");
    bool same = lease->record != NULL && strcmp(object_resource_version(lease->record),
                                                object_resource_version(*record)) == 0;
    int64_t seconds = json_int(json_get(spec, "leaseDurationSeconds"), 0);

    pthread_mutex_lock(&lease->lock);
    if (!same)
        lease->seen_ms = seen_ms;
    lease->duration_ms =
        seconds > 0 && seconds <= 3600 ? (uint64_t)seconds * 1000 : LEASE_DURATION_MS;
    snprintf(lease->holder, sizeof lease->holder, "%s",
             json_string(json_get(spec, "holderIdentity"), ""));
    pthread_mutex_unlock(&lease->lock);
    json_free(&lease->record);
    MOVE(lease->record, *record);
}

static struct lease_view view_of(struct lease *lease)
{
    return (struct lease_view){.identity = lease->identity,
                               .exists = lease->record != NULL,
                               .holder = lease->holder,
                               .duration_ms = lease->duration_ms,
                               .seen_ms = lease->seen_ms,
                               .leading = lease->leading,
                               .renewed_ms = lease->renewed_ms};
}

static void set_timeout(struct lease *lease)
{
    uint64_t now = clock_mono_ms(), deadline = lease->renewed_ms + LEASE_RENEW_DEADLINE_MS;
    unsigned timeout = STANDBY_TIMEOUT_MS;

    if (lease->leading && deadline < now + timeout)
        timeout = deadline > now ? (unsigned)(deadline - now) : 1;
    kube_client_set_timeout(lease->client, timeout);
}

static void complain(const struct lease *lease, const struct error *error)
{
    if (lease->config.on_trouble != NULL)
        lease->config.on_trouble(lease->config.context, error);
}

static void read_record(struct lease *lease)
{
    struct json *record = NULL;
    struct error error = {0};

    set_timeout(lease);
    enum err err =
        kube_get(lease->client, &kube_leases, lease->namespace, lease->name, &record, &error);
    if (!err)
        observe(lease, &record, clock_mono_ms());
    else if (err == ERR_NOTFOUND)
        json_free(&lease->record);
    lease->must_read = err != OK && err != ERR_NOTFOUND;
    if (lease->must_read)
        complain(lease, &error);
}

static void lose(struct lease *lease)
{
    pthread_mutex_lock(&lease->lock);
    lease->leading = false;
    pthread_mutex_unlock(&lease->lock);
    lease->must_read = true;
    lease->config.on_lost(lease->config.context);
}

static void write_record(struct lease *lease)
{
    uint64_t begun_ms = clock_mono_ms();
    struct json *written = NULL;
    struct error error = {0};
    AUTO(json_free)
    struct json *record = lease_record(lease->record, lease->namespace, lease->name,
                                       lease->identity, false, clock_wall_ns());

    set_timeout(lease);
    enum err err = lease->record == NULL
                       ? kube_create(lease->client, &kube_leases, record, &written, &error)
                       : kube_update(lease->client, &kube_leases, record, &written, &error);
    lease->must_read = err != OK;
    if (err && err != ERR_CONFLICT) /* a conflict is how elections end for all but one */
        complain(lease, &error);
    if (err)
        return;

    bool was_leading = lease->leading;
    observe(lease, &written, begun_ms);
    /* The answer may have come so late that another has the right to take over by now. */
    bool in_time = clock_mono_ms() - begun_ms < LEASE_RENEW_DEADLINE_MS;
    pthread_mutex_lock(&lease->lock);
    lease->renewed_ms = begun_ms;
    lease->leading = in_time;
    pthread_mutex_unlock(&lease->lock);
    if (!was_leading && in_time)
        lease->config.on_leading(lease->config.context);
    else if (was_leading && !in_time)
        lose(lease);
}

static void step(struct lease *lease)
{
    struct lease_view view = view_of(lease);

    /* A leader writes over what it wrote, and looks only after a conflict or a failure; it stops
     * before it looks when its time is up. */
    bool lost = view.leading && lease_decide(&view, clock_mono_ms()) == LEASE_LOSE;
    if (!lost && (!view.leading || lease->must_read)) {
        read_record(lease);
        if (!view.leading && lease->must_read)
            return; /* not known who leads */
    }

    view = view_of(lease);
    switch (lease_decide(&view, clock_mono_ms())) {
    case LEASE_WAIT:
        break;
    case LEASE_LOSE:
        lose(lease);
        break;
    case LEASE_CREATE:
    case LEASE_TAKE:
    case LEASE_RENEW:
        write_record(lease);
        break;
    }
}

/* Until the next step: the retry period with jitter, or less when the leadership would end before.
 */
static bool wait_for_next(struct lease *lease)
{
    uint64_t now = clock_mono_ms(),
             due = now + LEASE_RETRY_MS + arc4random_uniform(LEASE_RETRY_MS / 5);
    uint64_t deadline = lease->renewed_ms + LEASE_RENEW_DEADLINE_MS;

    if (lease->leading && deadline < due)
        due = deadline;
    struct timespec until = cond_deadline(due);
    pthread_mutex_lock(&lease->lock);
    int failed = 0;
    while (!lease->ending && failed == 0)
        failed = pthread_cond_timedwait(&lease->changed, &lease->lock, &until);
    bool ending = lease->ending;
    pthread_mutex_unlock(&lease->lock);
    return !ending;
}

static void release(struct lease *lease)
{
    AUTO(json_free)
    struct json *record = lease_record(lease->record, lease->namespace, lease->name,
                                       lease->identity, true, clock_wall_ns());

    kube_client_set_timeout(lease->client, RELEASE_TIMEOUT_MS);
    /* A courtesy: without it the next one waits until the lease has run out. */
    IGNORE_RESULT(kube_update(lease->client, &kube_leases, record, NULL, NULL));
}

static void *run(void *context)
{
    struct lease *lease = context;

    do {
        step(lease);
    } while (wait_for_next(lease));

    if (lease->leading) {
        lose(lease);
        release(lease);
    }
    return NULL;
}

enum err lease_create(struct kube_client **client, const struct lease_config *config,
                      struct lease **ret_lease, struct error *error)
{
    sigset_t all, before;

    ASSERT(config->identity[0] != '\0');
    if (strlen(config->identity) >= HOLDER_SIZE)
        return error_set(error, ERR_INVALID, "the identity is longer than %d characters",
                         HOLDER_SIZE - 1);
    AUTO(lease_destroy) struct lease *lease = xcalloc(1, sizeof *lease);
    MOVE(lease->client, *client);
    lease->config = *config;
    lease->namespace = xstrdup(config->namespace);
    lease->name = xstrdup(config->name);
    lease->identity = xstrdup(config->identity);
    lease->must_read = true;
    pthread_mutex_init(&lease->lock, NULL);
    cond_init(&lease->changed);

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&lease->thread, NULL, run, lease);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(error, ERR_NOMEM, "start the lease's thread: %s", strerror(failed));
    pthread_setname_np(lease->thread, "lease");
    lease->started = true;
    MOVE(*ret_lease, lease);
    return OK;
}

void lease_destroy(struct lease **slot)
{
    struct lease *lease = *slot;
    if (lease == NULL)
        return;

    if (lease->started) {
        pthread_mutex_lock(&lease->lock);
        lease->ending = true;
        pthread_cond_broadcast(&lease->changed);
        pthread_mutex_unlock(&lease->lock);
        pthread_join(lease->thread, NULL);
    }
    kube_client_destroy(&lease->client);
    json_free(&lease->record);
    pthread_cond_destroy(&lease->changed);
    pthread_mutex_destroy(&lease->lock);
    free(lease->namespace);
    free(lease->name);
    free(lease->identity);
    free(lease);
    *slot = NULL;
}

bool lease_leader(struct lease *lease, char *into, size_t size)
{
    pthread_mutex_lock(&lease->lock);
    snprintf(into, size, "%s", lease->holder);
    bool fresh = lease->holder[0] != '\0' && clock_mono_ms() - lease->seen_ms < lease->duration_ms;
    pthread_mutex_unlock(&lease->lock);
    return fresh;
}
