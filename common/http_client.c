/* The mutex guards what other threads hand over (requests, cancellations, timers) and nothing that
 * curl touches; it is never held during a callback. Callbacks can't change the list of active
 * transfers either: what they submit or cancel is handed over like everybody else's. */
#include "common/http_client.h"

#include "common/array.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/http_transfer.h"
#include "common/xalloc.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { POLL_MAX_MS = 60000, CONNECTIONS_MAX = 64 };

struct timer {
    struct timer *next;
    uint64_t id, due_ms;
    http_call_fn *call;
    void *context;
};

struct http_client {
    char name[16];
    char *user_agent, *proxy;
    CURLM *multi;
    pthread_t thread;
    bool started;
    struct transfer *active; /* client's thread only */

    pthread_mutex_t lock; /* guards all below */
    bool stopping;
    uint64_t last_id;
    size_t accepted; /* and not done */
    struct transfer *incoming, **incoming_end;
    uint64_t *cancelled;
    size_t cancelled_count, cancelled_cap;
    struct timer *timers; /* by due_ms */
};
/* ---- the client's thread */

static void finish(struct http_client *client, struct transfer *transfer, CURLcode code)
{
    struct error error = {0};
    enum err err = transfer_outcome(transfer, code, &error);

    curl_multi_remove_handle(client->multi, transfer->easy);
    if (transfer->prev != NULL)
        transfer->prev->next = transfer->next;
    else
        client->active = transfer->next;
    if (transfer->next != NULL)
        transfer->next->prev = transfer->prev;

    pthread_mutex_lock(&client->lock);
    client->accepted--;
    pthread_mutex_unlock(&client->lock);

    transfer->on_done(transfer->context, err, err ? NULL : &transfer->response, &error);
    transfer_free(&transfer);
}

static void stop(struct http_client *client, struct transfer *transfer, enum err why,
                 const char *sentence)
{
    transfer->stopped = why;
    error_set(&transfer->reason, why, "%s", sentence);
    finish(client, transfer, CURLE_ABORTED_BY_CALLBACK);
}

static void take_incoming(struct http_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct transfer *transfer = client->incoming;
    client->incoming = NULL;
    client->incoming_end = &client->incoming;
    pthread_mutex_unlock(&client->lock);

    while (transfer != NULL) {
        struct transfer *next = transfer->next;
        transfer->prev = NULL;
        transfer->next = client->active;
        if (client->active != NULL)
            client->active->prev = transfer;
        client->active = transfer;

        transfer->heard_ms = clock_mono_ms();
        CURLMcode code = curl_multi_add_handle(client->multi, transfer->easy);
        if (code)
            stop(client, transfer, ERR_NOMEM, curl_multi_strerror(code));
        transfer = next;
    }
}

static struct transfer *find_active(struct http_client *client, uint64_t id)
{
    struct transfer *transfer = client->active;
    while (transfer != NULL && transfer->id != id)
        transfer = transfer->next;
    return transfer;
}

static void take_cancelled(struct http_client *client)
{
    for (;;) {
        uint64_t id = 0;
        pthread_mutex_lock(&client->lock);
        if (client->cancelled_count > 0)
            id = client->cancelled[--client->cancelled_count];
        pthread_mutex_unlock(&client->lock);
        if (id == 0)
            return;

        struct transfer *transfer = find_active(client, id);
        if (transfer != NULL)
            stop(client, transfer, ERR_CLOSED, "cancelled");
    }
}

static void run_timers(struct http_client *client)
{
    uint64_t now = clock_mono_ms(); /* one that sets itself anew comes next time */

    for (;;) {
        struct timer *timer = NULL;
        pthread_mutex_lock(&client->lock);
        if (client->timers != NULL && client->timers->due_ms <= now) {
            timer = client->timers;
            client->timers = timer->next;
        }
        pthread_mutex_unlock(&client->lock);
        if (timer == NULL)
            return;
        timer->call(timer->context);
        free(timer);
    }
}

static void reap(struct http_client *client)
{
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left)) != NULL;) {
        struct transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        finish(client, transfer, code);
    }
}

static void stop_idle(struct http_client *client)
{
    uint64_t now = clock_mono_ms();

    for (struct transfer *transfer = client->active, *next; transfer != NULL; transfer = next) {
        next = transfer->next;
        if (transfer->idle_timeout_ms > 0 &&
            now - transfer->heard_ms >= transfer->idle_timeout_ms) {
            char sentence[64];
            snprintf(sentence, sizeof sentence, "nothing was received for %u ms",
                     transfer->idle_timeout_ms);
            stop(client, transfer, ERR_AGAIN, sentence);
        }
    }
}

static int until_next(struct http_client *client)
{
    uint64_t now = clock_mono_ms(), wait = POLL_MAX_MS;

    for (struct transfer *t = client->active; t != NULL; t = t->next) {
        uint64_t due = t->heard_ms + t->idle_timeout_ms;
        if (t->idle_timeout_ms > 0 && due < now + wait)
            wait = due > now ? due - now : 0;
    }
    pthread_mutex_lock(&client->lock);
    if (client->incoming != NULL || client->cancelled_count > 0 || client->stopping)
        wait = 0;
    else if (client->timers != NULL && client->timers->due_ms < now + wait)
        wait = client->timers->due_ms > now ? client->timers->due_ms - now : 0;
    pthread_mutex_unlock(&client->lock);
    return (int)wait;
}

static bool is_stopping(struct http_client *client)
{
    pthread_mutex_lock(&client->lock);
    bool stopping = client->stopping;
    pthread_mutex_unlock(&client->lock);
    return stopping;
}

static void *run(void *context)
{
    struct http_client *client = context;
    int running = 0;

    pthread_setname_np(pthread_self(), client->name);
    while (!is_stopping(client)) {
        take_incoming(client);
        take_cancelled(client);
        run_timers(client);
        curl_multi_perform(client->multi, &running);
        reap(client);
        stop_idle(client);
        curl_multi_poll(client->multi, NULL, 0, until_next(client), NULL);
    }

    take_incoming(client);
    while (client->active != NULL)
        stop(client, client->active, ERR_CLOSED, "the client is going");
    return NULL;
}

/* ---- from any thread */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static enum err start_thread(struct http_client *client, struct error *error)
{
    sigset_t all, before;

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&client->thread, NULL, run, client);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(error, ERR_NOMEM, "start thread '%s': %s", client->name, strerror(failed));
    client->started = true;
    return OK;
}

enum err http_client_create(const struct http_client_config *config,
                            struct http_client **ret_client, struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);

    AUTO(http_client_destroy) struct http_client *client = xcalloc(1, sizeof *client);
    pthread_mutex_init(&client->lock, NULL);
    client->incoming_end = &client->incoming;
    snprintf(client->name, sizeof client->name, "%s", config->name != NULL ? config->name : "http");
    client->user_agent = xstrdup(config->user_agent != NULL ? config->user_agent : "surgetank");
    client->proxy = config->proxy != NULL ? xstrdup(config->proxy) : NULL;

    client->multi = curl_multi_init();
    if (client->multi == NULL)
        return error_set(error, ERR_NOMEM, "HTTP client");
    long connections =
        config->connections_max > 0 ? (long)config->connections_max : CONNECTIONS_MAX;
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connections);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)config->connections_per_host_max);

    enum err err = start_thread(client, error);
    if (err)
        return err;
    MOVE(*ret_client, client);
    return OK;
}

void http_client_destroy(struct http_client **slot)
{
    struct http_client *client = *slot;
    if (client == NULL)
        return;

    if (client->started) {
        ASSERT(!pthread_equal(pthread_self(), client->thread));
        pthread_mutex_lock(&client->lock);
        client->stopping = true;
        pthread_mutex_unlock(&client->lock);
        curl_multi_wakeup(client->multi);
        pthread_join(client->thread, NULL);
    }
    while (client->timers != NULL) {
        struct timer *timer = client->timers;
        client->timers = timer->next;
        free(timer);
    }
    curl_multi_cleanup(client->multi);
    pthread_mutex_destroy(&client->lock);
    free(client->cancelled);
    free(client->user_agent);
    free(client->proxy);
    free(client);
    *slot = NULL;
}

enum err http_submit(struct http_client *client, const struct http_request *request,
                     uint64_t *ret_id, struct error *error)
{
    AUTO(transfer_free) struct transfer *transfer = NULL;

    enum err err = transfer_create(request, client->user_agent, client->proxy, &transfer, error);
    if (err)
        return err;

    pthread_mutex_lock(&client->lock);
    if (client->stopping)
        err = error_set(error, ERR_CLOSED, "%s: the client is going", transfer->shown);
    else if (client->accepted >= HTTP_REQUESTS_MAX)
        err = error_set(error, ERR_FULL, "%s: %d requests are under way already", transfer->shown,
                        HTTP_REQUESTS_MAX);
    if (!err) {
        transfer->id = ++client->last_id;
        if (ret_id != NULL)
            *ret_id = transfer->id;
        client->accepted++;
        *client->incoming_end = transfer;
        client->incoming_end = &transfer->next;
        transfer = NULL; /* the client's now */
    }
    pthread_mutex_unlock(&client->lock);
    if (!err)
        curl_multi_wakeup(client->multi);
    return err;
}

static bool forget_timer(struct http_client *client, uint64_t id)
{
    for (struct timer **at = &client->timers; *at != NULL; at = &(*at)->next) {
        if ((*at)->id == id) {
            struct timer *timer = *at;
            *at = timer->next;
            free(timer);
            return true;
        }
    }
    return false;
}

void http_cancel(struct http_client *client, uint64_t id)
{
    pthread_mutex_lock(&client->lock);
    if (!forget_timer(client, id)) {
        client->cancelled = xarray_grow(client->cancelled, client->cancelled_count,
                                        &client->cancelled_cap, sizeof *client->cancelled);
        client->cancelled[client->cancelled_count++] = id;
    }
    pthread_mutex_unlock(&client->lock);
    curl_multi_wakeup(client->multi);
}

enum err http_call_after(struct http_client *client, unsigned delay_ms, http_call_fn *call,
                         void *context, uint64_t *ret_id, struct error *error)
{
    struct timer *timer = xcalloc(1, sizeof *timer);
    timer->due_ms = clock_mono_ms() + delay_ms;
    timer->call = call;
    timer->context = context;

    pthread_mutex_lock(&client->lock);
    if (client->stopping) {
        pthread_mutex_unlock(&client->lock);
        free(timer);
        return error_set(error, ERR_CLOSED, "the client is going");
    }
    timer->id = ++client->last_id;
    if (ret_id != NULL)
        *ret_id = timer->id;
    struct timer **at = &client->timers;
    while (*at != NULL && (*at)->due_ms <= timer->due_ms)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
    pthread_mutex_unlock(&client->lock);
    curl_multi_wakeup(client->multi);
    return OK;
}
