/* One map of series, one of budgets by object, both the thread's own; the mutex guards the queue
 * alone. Series and budgets that are quiet are forgotten when their map is full. */
#include "controller/kube/event.h"

#include "common/clock.h"
#include "common/cond.h"
#include "common/kube/object.h"
#include "common/map.h"
#include "common/metrics.h"
#include "common/rfc3339.h"
#include "common/xalloc.h"

#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    QUIET_MS = 360000,
    PATCH_MS = 30000,
    NEW_NOTE_MS = 300000,
    BURST = 25,
    REFILL_MS = 300000,
    NAME_MAX_LEN = 200,
    LAST_WRITES_S = 2,
};

/* What event_record() was told. */
struct news {
    struct news *next;
    struct json *regarding; /* reference of the object, as an Event has it */
    enum event_type type;
    char *reason, *action, *note, *key;
    uint64_t wall_ns;
};

struct series {
    char namespace[64], name[256]; /* of the Event */
    char *note;
    uint32_t count, patched_count;
    uint64_t first_ms, last_ms, patched_ms; /* monotonic */
    uint64_t last_wall_ns;
};

struct budget {
    unsigned left;
    uint64_t filled_ms;
};

struct event_recorder {
    struct kube_client *client;
    char *controller, *instance;
    pthread_t thread;
    bool started;
    struct map series;  /* by key; the thread's */
    struct map budgets; /* by uid; the thread's */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct news *queue, **queue_end;
    size_t queued;
    bool ending;
};

static const struct metric_desc events_desc = {
    .name = "kube_events_total",
    .kind = METRIC_COUNTER,
    .help = "Kubernetes Events that were asked for, by type and outcome.",
    .labels = {"type", "outcome"}};

static const char *type_name(enum event_type type)
{
    return type == EVENT_WARNING ? "Warning" : "Normal";
}

static void count_outcome(enum event_type type, const char *outcome)
{
    metric_add(metrics_series(&events_desc, type_name(type), outcome), 1);
}

static void news_free(struct news **slot)
{
    struct news *news = *slot;
    if (news == NULL)
        return;
    json_free(&news->regarding);
    free(news->reason);
    free(news->action);
    free(news->note);
    free(news->key);
    free(news);
    *slot = NULL;
}

static void series_free(struct series *series)
{
    free(series->note);
    free(series);
}

/* ---- what to forget */

static void forget_quiet_series(struct event_recorder *recorder, uint64_t now)
{
    for (struct map_entry *e = map_next(&recorder->series, NULL), *next; e != NULL; e = next) {
        struct series *series = e->value;
        next = map_next(&recorder->series, e);
        if (now - series->last_ms >= QUIET_MS) {
            map_remove(&recorder->series, e->key);
            series_free(series);
        }
    }
}

static void refill(struct budget *budget, uint64_t now)
{
    while (budget->left < BURST && now - budget->filled_ms >= REFILL_MS) {
        budget->left++;
        budget->filled_ms += REFILL_MS;
    }
    if (budget->left == BURST)
        budget->filled_ms = now;
}

static void forget_full_budgets(struct event_recorder *recorder, uint64_t now)
{
    for (struct map_entry *e = map_next(&recorder->budgets, NULL), *next; e != NULL; e = next) {
        struct budget *budget = e->value;
        next = map_next(&recorder->budgets, e);
        refill(budget, now);
        if (budget->left == BURST) {
            map_remove(&recorder->budgets, e->key);
            free(budget);
        }
    }
}

static bool take_budget(struct event_recorder *recorder, const char *uid, uint64_t now)
{
    struct budget *budget = map_get(&recorder->budgets, uid);

    if (budget == NULL) {
        if (recorder->budgets.count >= EVENT_SERIES_MAX)
            forget_full_budgets(recorder, now);
        if (recorder->budgets.count >= EVENT_SERIES_MAX)
            return false;
        budget = xcalloc(1, sizeof *budget);
        *budget = (struct budget){.left = BURST, .filled_ms = now};
        map_set(&recorder->budgets, uid, budget);
    }
    refill(budget, now);
    if (budget->left == 0)
        return false;
    budget->left--;
    return true;
}

/* ---- writing */

/* "<object's name>.<time in hex>", as everybody's Events are called. */
static void make_name(const struct news *news, char *into, size_t size)
{
    const char *name = json_string(json_get(news->regarding, "name"), "");
    size_t len = strlen(name) < NAME_MAX_LEN ? strlen(name) : NAME_MAX_LEN;

    while (len > 0 && !isalnum((unsigned char)name[len - 1]))
        len--;
    snprintf(into, size, "%.*s.%" PRIx64, (int)len, name, news->wall_ns);
}

static struct json *make_event(const struct event_recorder *recorder, const struct news *news,
                               const struct series *series)
{
    char time[RFC3339_SIZE];
    struct json *event = object_new(&kube_events, series->namespace, series->name);
    struct json *regarding = json_clone(news->regarding);

    json_set_string(event, "eventTime", rfc3339_micros(news->wall_ns, time));
    json_set_string(event, "reportingController", recorder->controller);
    json_set_string(event, "reportingInstance", recorder->instance);
    json_set_string(event, "action", news->action);
    json_set_string(event, "reason", news->reason);
    json_set_string(event, "note", news->note);
    json_set_string(event, "type", type_name(news->type));
    json_set(event, "regarding", &regarding);
    return event;
}

static void create(struct event_recorder *recorder, const struct news *news, uint64_t now)
{
    struct series *series = xcalloc(1, sizeof *series);
    const char *namespace = json_string(json_get(news->regarding, "namespace"), "");

    snprintf(series->namespace, sizeof series->namespace, "%s",
             namespace[0] == '\0' ? "default" : namespace);
    make_name(news, series->name, sizeof series->name);
    series->note = xstrdup(news->note);
    series->count = series->patched_count = 1;
    series->first_ms = series->last_ms = series->patched_ms = now;

    AUTO(json_free) struct json *event = make_event(recorder, news, series);
    enum err err = kube_create(recorder->client, &kube_events, event, NULL, NULL);
    count_outcome(news->type, err ? "failed" : "written");
    struct series *old = err ? map_remove(&recorder->series, news->key)
                             : map_set(&recorder->series, news->key, series);
    if (old != NULL)
        series_free(old);
    if (err)
        series_free(series);
}

/* ERR_NOTFOUND and the like: the Event has run out; the series goes, and the next one is new. */
static enum err patch(struct event_recorder *recorder, struct series *series, uint64_t now)
{
    char time[RFC3339_SIZE];
    AUTO(json_free) struct json *body = json_new_object();
    struct json *json = json_set_object(body, "series");

    json_set_number(json, "count", series->count);
    json_set_string(json, "lastObservedTime", rfc3339_micros(series->last_wall_ns, time));
    series->patched_count = series->count;
    series->patched_ms = now;
    return kube_merge_patch(recorder->client, &kube_events, series->namespace, series->name, NULL,
                            body, "surgetank", NULL, NULL);
}

static void handle(struct event_recorder *recorder, const struct news *news)
{
    uint64_t now = clock_mono_ms();
    struct series *series = map_get(&recorder->series, news->key);
    bool is_same = series != NULL && now - series->last_ms < QUIET_MS &&
                   (strcmp(series->note, news->note) == 0 || now - series->first_ms < NEW_NOTE_MS);

    if (is_same) {
        series->count++;
        series->last_ms = now;
        series->last_wall_ns = news->wall_ns;
        count_outcome(news->type, "aggregated");
        return;
    }
    if (recorder->series.count >= EVENT_SERIES_MAX)
        forget_quiet_series(recorder, now);
    if (recorder->series.count >= EVENT_SERIES_MAX ||
        !take_budget(recorder, json_string(json_get(news->regarding, "uid"), ""), now)) {
        count_outcome(news->type, "dropped");
        return;
    }
    create(recorder, news, now);
}

static void patch_due(struct event_recorder *recorder, bool all)
{
    uint64_t now = clock_mono_ms();

    for (struct map_entry *e = map_next(&recorder->series, NULL), *next; e != NULL; e = next) {
        struct series *series = e->value;
        next = map_next(&recorder->series, e);
        if (series->count == series->patched_count || (!all && now - series->patched_ms < PATCH_MS))
            continue;
        if (patch(recorder, series, now)) {
            map_remove(&recorder->series, e->key);
            series_free(series);
        }
    }
}

/* ---- the thread */

static struct news *take(struct event_recorder *recorder)
{
    struct news *news = recorder->queue;
    if (news == NULL)
        return NULL;
    recorder->queue = news->next;
    if (recorder->queue == NULL)
        recorder->queue_end = &recorder->queue;
    recorder->queued--;
    return news;
}

static void *run(void *context)
{
    struct event_recorder *recorder = context;
    uint64_t patch_at = clock_mono_ms() + PATCH_MS;

    pthread_mutex_lock(&recorder->lock);
    for (;;) {
        AUTO(news_free) struct news *news = take(recorder);
        if (news == NULL && recorder->ending)
            break;
        if (news == NULL && clock_mono_ms() < patch_at) {
            struct timespec until = cond_deadline(patch_at);
            pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until);
            continue;
        }
        pthread_mutex_unlock(&recorder->lock);
        if (news != NULL)
            handle(recorder, news);
        if (clock_mono_ms() >= patch_at) {
            patch_due(recorder, false);
            patch_at = clock_mono_ms() + PATCH_MS / 6;
        }
        pthread_mutex_lock(&recorder->lock);
    }
    pthread_mutex_unlock(&recorder->lock);
    patch_due(recorder, true);
    return NULL;
}

enum err event_recorder_create(struct kube_client *client, const char *controller,
                               const char *instance, struct event_recorder **ret_recorder,
                               struct error *error)
{
    sigset_t all, before;

    AUTO(event_recorder_destroy) struct event_recorder *recorder = xcalloc(1, sizeof *recorder);
    recorder->client = client;
    recorder->controller = xstrdup(controller);
    recorder->instance = xstrdup(instance);
    recorder->queue_end = &recorder->queue;
    pthread_mutex_init(&recorder->lock, NULL);
    cond_init(&recorder->changed);

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&recorder->thread, NULL, run, recorder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(error, ERR_NOMEM, "start the events' thread: %s", strerror(failed));
    pthread_setname_np(recorder->thread, "events");
    recorder->started = true;
    MOVE(*ret_recorder, recorder);
    return OK;
}

void event_recorder_destroy(struct event_recorder **slot)
{
    struct event_recorder *recorder = *slot;
    if (recorder == NULL)
        return;

    if (recorder->started) {
        pthread_mutex_lock(&recorder->lock);
        recorder->ending = true;
        pthread_cond_broadcast(&recorder->changed);
        pthread_mutex_unlock(&recorder->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LAST_WRITES_S;
        if (pthread_timedjoin_np(recorder->thread, NULL, &until) != 0) {
            kube_client_allow_writes(recorder->client, false); /* ends what is under way */
            pthread_join(recorder->thread, NULL);
        }
    }
    for (struct map_entry *e = map_next(&recorder->series, NULL); e != NULL;
         e = map_next(&recorder->series, e))
        series_free(e->value);
    for (struct map_entry *e = map_next(&recorder->budgets, NULL); e != NULL;
         e = map_next(&recorder->budgets, e))
        free(e->value);
    map_fini(&recorder->series);
    map_fini(&recorder->budgets);
    pthread_cond_destroy(&recorder->changed);
    pthread_mutex_destroy(&recorder->lock);
    free(recorder->controller);
    free(recorder->instance);
    free(recorder);
    *slot = NULL;
}

/* ---- telling it */

static struct json *reference_of(const struct json *object)
{
    static const char *const of_metadata[] = {"name", "namespace", "uid", "resourceVersion"};
    struct json *reference = json_new_object();

    json_set_string(reference, "apiVersion", json_string(json_get(object, "apiVersion"), ""));
    json_set_string(reference, "kind", json_string(json_get(object, "kind"), ""));
    for (size_t i = 0; i < sizeof of_metadata / sizeof *of_metadata; i++) {
        const char *value = json_string(json_get(json_get(object, "metadata"), of_metadata[i]), "");
        if (value[0] != '\0')
            json_set_string(reference, of_metadata[i], value);
    }
    return reference;
}

/* Ends a note that was cut before the character that the cut went through. */
static void mend_cut(char *note)
{
    size_t end = strlen(note);

    while (end > 0 && ((uint8_t)note[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && ((uint8_t)note[end - 1] & 0x80) != 0)
        end--;
    note[end] = '\0';
}

static char *make_key(const struct json *regarding, enum event_type type, const char *reason,
                      const char *action)
{
    char key[512];
    snprintf(key, sizeof key, "%s/%s/%s/%s", json_string(json_get(regarding, "uid"), ""),
             type_name(type), reason, action);
    return xstrdup(key);
}

void event_record(struct event_recorder *recorder, const struct json *regarding,
                  enum event_type type, const char *reason, const char *action, const char *format,
                  ...)
{
    AUTO(news_free) struct news *news = xcalloc(1, sizeof *news);
    char note[EVENT_NOTE_MAX + 1] = "";
    va_list args;

    va_start(args, format);
    int len = vsnprintf(note, sizeof note, format, args);
    va_end(args);
    if (len > EVENT_NOTE_MAX)
        mend_cut(note);
    news->note = xstrdup(note);
    news->regarding = reference_of(regarding);
    news->type = type;
    news->reason = xstrdup(reason);
    news->action = xstrdup(action);
    news->key = make_key(news->regarding, type, reason, action);
    news->wall_ns = clock_wall_ns();

    pthread_mutex_lock(&recorder->lock);
    if (recorder->queued >= EVENT_QUEUE_MAX || recorder->ending) {
        count_outcome(type, "dropped");
    } else {
        *recorder->queue_end = news;
        recorder->queue_end = &news->next;
        recorder->queued++;
        news = NULL; /* the queue's now */
        pthread_cond_signal(&recorder->changed);
    }
    pthread_mutex_unlock(&recorder->lock);
}
