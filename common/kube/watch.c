/* Everything but `synced`, `stopping` and `stopped` belongs to the HTTP client's thread: answers,
 * pieces of streams, timers, and stop_here() all run there, so there is at most one request and at
 * most one timer, never both. */
#include "common/kube/watch.h"

#include "common/assert.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/kube/answer.h"
#include "common/kube/request.h"
#include "common/kube/stream.h"
#include "common/map.h"
#include "common/metrics.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STREAM_MIN_S = 300,
    SILENCE_MS = 150000,
    PAGE_TIMEOUT_MS = 60000,
    SHORT_LIFE_MS = 1000,
    STABLE_LIFE_MS = 60000,
};

static const struct backoff pauses = {
    .initial_ms = 800, .max_ms = 30000, .multiplier_percent = 200, .jitter_percent = 50};

enum state { INITIAL, LIST, LIVE };

struct kube_watch {
    struct kube_client *client;
    struct kube_watch_config config; /* strings are ours */
    char *namespace, *label_selector, *field_selector;

    enum state state;
    bool cannot_stream_list; /* the server refused INITIAL once */
    struct map gathered;     /* "namespace/name" -> struct object, for the next replace */
    char *version;           /* of the last event, bookmark or list; NULL: none */
    char *page_token;        /* of the next page; NULL: the first */
    struct watch_stream stream;
    struct error stream_error; /* why on_event stopped the stream */
    bool stream_gone;          /* and whether it was an expired version */
    uint64_t opened_ms;
    bool heard;                    /* an event or bookmark, since then */
    bool suspect;                  /* the connection: silence */
    unsigned failures, relists;    /* since a stream lived for a minute */
    uint64_t request_id, timer_id; /* 0: none */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool synced, stopping, stopped;
};

static const struct metric_desc events_desc = {
    .name = "kube_watch_events_total",
    .kind = METRIC_COUNTER,
    .help = "Events received from watches, by kind and type.",
    .labels = {"kind", "type"}};
static const struct metric_desc restarts_desc = {.name = "kube_watch_restarts_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help =
                                                     "Watches opened again, by kind and reason.",
                                                 .labels = {"kind", "reason"}};
static const struct metric_desc synced_desc = {
    .name = "kube_watch_synced",
    .kind = METRIC_GAUGE,
    .help = "1 when the copy of a kind's objects is complete.",
    .labels = {"kind"}};

static void begin(struct kube_watch *watch);

static void set_text(char **slot, const char *text)
{
    char *copy = text == NULL || text[0] == '\0' ? NULL : xstrdup(text);
    free(*slot);
    *slot = copy;
}

/* ---- gathering what exists */

static void forget_gathered(struct kube_watch *watch)
{
    for (struct map_entry *e = map_next(&watch->gathered, NULL); e != NULL;
         e = map_next(&watch->gathered, e)) {
        struct object *object = e->value;
        object_unref(&object);
    }
    map_fini(&watch->gathered);
}

/* Kubernetes' bounds on names (253) and namespaces (63) make the key fit; what doesn't is no name
 * of theirs, and is only ever told apart by its first part. */
static void gather(struct kube_watch *watch, struct object **object, bool exists)
{
    char key[512];
    snprintf(key, sizeof key, "%s/%s", (*object)->namespace, (*object)->name);

    struct object *old =
        exists ? map_set(&watch->gathered, key, *object) : map_remove(&watch->gathered, key);
    object_unref(&old);
    if (exists)
        *object = NULL;
}

static void finish_gathering(struct kube_watch *watch, const char *version)
{
    const struct kube_sink *sink = &watch->config.sink;
    struct object **objects = xcalloc(watch->gathered.count, sizeof(struct object *));
    size_t count = 0;

    for (struct map_entry *e = map_next(&watch->gathered, NULL); e != NULL;
         e = map_next(&watch->gathered, e))
        objects[count++] = e->value;
    set_text(&watch->version, version);
    watch->state = LIVE;
    sink->replace(sink->context, watch->config.resource, objects, count);
    free(objects);
    forget_gathered(watch);

    pthread_mutex_lock(&watch->lock);
    watch->synced = true;
    pthread_mutex_unlock(&watch->lock);
    metric_set(metrics_series(&synced_desc, watch->config.resource->kind), 1);
}

/* `json` is cut down on the way. */
static enum err make_object(const struct kube_watch *watch, struct json *json,
                            struct object **ret_object, struct error *error)
{
    kube_complete_item(watch->config.resource, json);
    if (watch->config.project != NULL)
        watch->config.project(json);
    return object_create(json, ret_object, error);
}

/* ---- what to do next */

/* Back to the start: the copy can't be carried forward from any version we know. */
static void start_over(struct kube_watch *watch)
{
    forget_gathered(watch);
    set_text(&watch->version, NULL);
    set_text(&watch->page_token, NULL);
    watch->state = watch->cannot_stream_list ? LIST : INITIAL;
}

static void on_timer(void *context)
{
    struct kube_watch *watch = context;
    watch->timer_id = 0;
    begin(watch);
}

/* Does what the state says again: at once for `attempt` 0, else after a pause that grows with it,
 * of at least `at_least_ms`. `why` is for the log, or NULL. */
static void again(struct kube_watch *watch, const char *reason, unsigned attempt,
                  unsigned at_least_ms, const struct error *why)
{
    uint64_t pause = attempt == 0 ? 0 : backoff_delay_ms(&pauses, attempt, arc4random());

    metric_add(metrics_series(&restarts_desc, watch->config.resource->kind, reason), 1);
    if (pause < at_least_ms)
        pause = at_least_ms;
    if (why != NULL && watch->config.on_trouble != NULL)
        watch->config.on_trouble(watch->config.trouble_context, watch->config.resource, why,
                                 (unsigned)pause);
    /* ERR_CLOSED: the client is going, against the rules; nothing is left to do. */
    IGNORE_RESULT(http_call_after(kube_client_http(watch->client), (unsigned)pause, on_timer, watch,
                                  &watch->timer_id, NULL));
}

static bool was_stopped(struct kube_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    if (watch->stopping) {
        watch->stopped = true;
        pthread_cond_signal(&watch->changed);
    }
    bool stopping = watch->stopping;
    pthread_mutex_unlock(&watch->lock);
    return stopping;
}

/* ---- list */

static enum err take_page(struct kube_watch *watch, struct bytes body, struct error *error)
{
    AUTO(json_free) struct json *page = NULL;
    const struct kube_resource *resource = watch->config.resource;

    enum err err = json_parse(body, KUBE_PAGE_BYTES_MAX, &page, error);
    if (err)
        return error_prefix(error, err, "list of %s", resource->plural);
    if (json_kind(json_get(page, "items")) != JSON_ARRAY &&
        json_kind(json_get(page, "items")) != JSON_NULL)
        return error_set(error, ERR_INVALID, "list of %s without items", resource->plural);
    JSON_EACH(item, json_get(page, "items")) {
        struct object *object = NULL;
        err = make_object(watch, item, &object, error);
        if (err)
            return err;
        gather(watch, &object, true);
    }

    const struct json *metadata = json_get(page, "metadata");
    set_text(&watch->page_token, json_string(json_get(metadata, "continue"), ""));
    if (watch->page_token == NULL)
        finish_gathering(watch, object_resource_version(page));
    return OK;
}

static void on_page(void *context, const struct kube_answer *answer)
{
    struct kube_watch *watch = context;
    struct error error = *answer->error;
    enum err err = answer->err;

    watch->request_id = 0;
    if (was_stopped(watch))
        return;
    if (!err) {
        err = take_page(watch, answer->body, &error);
        if (err)
            start_over(watch);
    } else if (answer->gone) {
        start_over(watch);
    }
    if (err)
        again(watch, answer->gone ? "gone" : "failure",
              answer->gone ? watch->relists++ : ++watch->failures, answer->retry_after_ms, &error);
    else
        begin(watch);
}

static enum err open_page(struct kube_watch *watch, struct error *error)
{
    struct kube_query query[KUBE_PAGE_QUERY_MAX];
    struct kube_request request = {.method = "GET",
                                   .resource = watch->config.resource,
                                   .namespace = watch->namespace,
                                   .query = query,
                                   .timeout_ms = PAGE_TIMEOUT_MS,
                                   .response_max = KUBE_PAGE_BYTES_MAX,
                                   .fresh_connection = watch->suspect,
                                   .on_answer = on_page,
                                   .context = watch};
    request.query_count =
        kube_page_query(query, watch->label_selector, watch->field_selector, watch->page_token);
    return kube_submit(watch->client, &request, &watch->request_id, error);
}

/* ---- watch */

static enum err on_bookmark(struct kube_watch *watch, const struct json *object)
{
    const char *version = object_resource_version(object);
    bool is_end = strcmp(object_annotation(object, "k8s.io/initial-events-end"), "true") == 0;

    if (watch->state == INITIAL && is_end)
        finish_gathering(watch, version);
    else if (watch->state == LIVE && version[0] != '\0')
        set_text(&watch->version, version);
    return OK;
}

static enum err on_error_event(struct kube_watch *watch, const struct json *status,
                               struct error *error)
{
    struct kube_verdict verdict = answer_judge_status(status, error);
    watch->stream_gone = verdict.gone;
    return error_prefix(error, ERR_AGAIN, "watch of %s", watch->config.resource->plural);
}

static enum err on_event(void *context, enum watch_event_type type, struct json *json,
                         struct error *error)
{
    struct kube_watch *watch = context;
    const struct kube_sink *sink = &watch->config.sink;
    static const char *const names[] = {"added", "modified", "deleted", "bookmark", "error"};

    metric_add(metrics_series(&events_desc, watch->config.resource->kind, names[type]), 1);
    if (type == WATCH_ERROR)
        return on_error_event(watch, json, error);
    watch->heard = true;
    if (type == WATCH_BOOKMARK)
        return on_bookmark(watch, json);

    AUTO(object_unref) struct object *object = NULL;
    enum err err = make_object(watch, json, &object, error);
    if (err)
        return err;
    if (watch->state == INITIAL) {
        gather(watch, &object, type != WATCH_DELETED);
        return OK;
    }
    set_text(&watch->version, object->resource_version);
    if (type == WATCH_DELETED)
        sink->remove(sink->context, watch->config.resource, object);
    else
        sink->put(sink->context, watch->config.resource, object);
    return OK;
}

static enum err on_piece(void *context, struct bytes piece)
{
    struct kube_watch *watch = context;
    return watch_stream_feed(&watch->stream, piece, on_event, watch, &watch->stream_error);
}

/* The state after a stream's end, and how to go on. */
static void on_stream_end(void *context, const struct kube_answer *answer)
{
    struct kube_watch *watch = context;
    bool gone = answer->gone || watch->stream_gone, dead = watch->stream.dead;
    uint64_t lived_ms = clock_mono_ms() - watch->opened_ms;
    const struct error *why = dead ? &watch->stream_error : answer->error;

    watch->request_id = 0;
    watch_stream_reset(&watch->stream);
    if (was_stopped(watch))
        return;
    if (lived_ms >= STABLE_LIFE_MS)
        watch->failures = watch->relists = 0;
    watch->suspect = answer->err == ERR_AGAIN && answer->status == 0 && lived_ms >= SILENCE_MS;

    if (watch->state == INITIAL && (answer->status == 400 || answer->status == 422)) {
        watch->cannot_stream_list = true;
        start_over(watch);
        again(watch, "no_initial_events", 0, 0, NULL);
    } else if (gone) {
        start_over(watch);
        again(watch, "gone", watch->relists++, 0, why);
    } else if (dead) {
        start_over(watch);
        again(watch, "decode", watch->relists++, 0, why);
    } else if (watch->state == LIVE && answer->err == ERR_AGAIN && answer->status == 0 &&
               (lived_ms >= SHORT_LIFE_MS || watch->heard)) {
        again(watch, watch->suspect ? "silence" : "cut", watch->failures++, 0, NULL);
    } else if (watch->state == LIVE && !answer->err &&
               (lived_ms >= SHORT_LIFE_MS || watch->heard)) {
        watch->failures = 0;
        again(watch, "end", 0, 0, NULL);
    } else {
        if (watch->state == INITIAL || (answer->err && answer->err != ERR_AGAIN))
            start_over(watch);
        unsigned attempt = answer->status == 401 ? watch->failures : watch->failures + 1;
        watch->failures++; /* with new credentials it is tried at once */
        again(watch, "failure", attempt, answer->retry_after_ms, answer->err ? why : NULL);
    }
}

static enum err open_stream(struct kube_watch *watch, struct error *error)
{
    char timeout[16];
    struct kube_query query[8];
    size_t count = 0;

    snprintf(timeout, sizeof timeout, "%u", STREAM_MIN_S + arc4random_uniform(STREAM_MIN_S));
    query[count++] = (struct kube_query){"watch", "1"};
    query[count++] = (struct kube_query){"allowWatchBookmarks", "true"};
    query[count++] = (struct kube_query){"timeoutSeconds", timeout};
    if (watch->label_selector != NULL)
        query[count++] = (struct kube_query){"labelSelector", watch->label_selector};
    if (watch->field_selector != NULL)
        query[count++] = (struct kube_query){"fieldSelector", watch->field_selector};
    if (watch->state == INITIAL) {
        query[count++] = (struct kube_query){"sendInitialEvents", "true"};
        query[count++] = (struct kube_query){"resourceVersionMatch", "NotOlderThan"};
    } else {
        const char *version = watch->version == NULL ? "" : watch->version;
        query[count++] = (struct kube_query){"resourceVersion", version};
    }

    const struct kube_request request = {.method = "GET",
                                         .resource = watch->config.resource,
                                         .namespace = watch->namespace,
                                         .query = query,
                                         .query_count = count,
                                         .idle_timeout_ms = SILENCE_MS,
                                         .fresh_connection = watch->suspect,
                                         .on_body = on_piece,
                                         .on_answer = on_stream_end,
                                         .context = watch};
    watch->opened_ms = clock_mono_ms();
    watch->heard = watch->stream_gone = false;
    return kube_submit(watch->client, &request, &watch->request_id, error);
}

static void begin(struct kube_watch *watch)
{
    struct error error = {0};

    enum err err = watch->state == LIST ? open_page(watch, &error) : open_stream(watch, &error);
    if (err)
        again(watch, "failure", ++watch->failures, 0, &error);
}

/* ---- start and stop */

enum err kube_watch_start(struct kube_client *client, const struct kube_watch_config *config,
                          struct kube_watch **ret_watch, struct error *error)
{
    struct kube_watch *watch = xcalloc(1, sizeof *watch);

    watch->client = client;
    watch->config = *config;
    set_text(&watch->namespace, config->namespace);
    set_text(&watch->label_selector, config->label_selector);
    set_text(&watch->field_selector, config->field_selector);
    watch->config.namespace = watch->config.label_selector = NULL; /* ours are beside it */
    watch->config.field_selector = NULL;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, NULL);
    metric_set(metrics_series(&synced_desc, config->resource->kind), 0);

    /* Before the timer can run on the other thread, nobody else knows the watch. */
    enum err err =
        http_call_after(kube_client_http(client), 0, on_timer, watch, &watch->timer_id, error);
    if (err) {
        pthread_mutex_lock(&watch->lock);
        watch->stopping = watch->stopped = true;
        pthread_mutex_unlock(&watch->lock);
        kube_watch_stop(&watch);
        return err;
    }
    *ret_watch = watch;
    return OK;
}

static void stop_here(void *context)
{
    struct kube_watch *watch = context;

    pthread_mutex_lock(&watch->lock);
    watch->stopping = true;
    pthread_mutex_unlock(&watch->lock);
    if (watch->timer_id != 0)
        http_cancel(kube_client_http(watch->client), watch->timer_id);
    if (watch->request_id != 0)
        kube_cancel(watch->client, watch->request_id); /* its end says that we are stopped */
    else
        was_stopped(watch);
}

void kube_watch_stop(struct kube_watch **slot)
{
    struct kube_watch *watch = *slot;
    if (watch == NULL)
        return;

    pthread_mutex_lock(&watch->lock);
    bool stopped = watch->stopped;
    pthread_mutex_unlock(&watch->lock);
    if (!stopped) {
        enum err err =
            http_call_after(kube_client_http(watch->client), 0, stop_here, watch, NULL, NULL);
        ASSERT(!err); /* the client outlives its watches */
    }
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopped)
        pthread_cond_wait(&watch->changed, &watch->lock);
    pthread_mutex_unlock(&watch->lock);

    forget_gathered(watch);
    watch_stream_fini(&watch->stream);
    free(watch->namespace);
    free(watch->label_selector);
    free(watch->field_selector);
    free(watch->version);
    free(watch->page_token);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
    *slot = NULL;
}

bool kube_watch_synced(struct kube_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    bool synced = watch->synced;
    pthread_mutex_unlock(&watch->lock);
    return synced;
}
