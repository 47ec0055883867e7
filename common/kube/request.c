#include "common/kube/request.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "common/kube/answer.h"
#include "common/kube/object.h"
#include "common/metrics.h"
#include "common/url.h"
#include "common/xalloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct kube_client {
    struct kube_auth *auth;
    struct http_client *http;
    char host[256]; /* label of the metrics */
    _Atomic unsigned timeout_ms;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool writes_allowed;
    struct kube_call *calls; /* those that somebody waits for */
};

/* One request on its way. */
struct pending {
    struct kube_client *client;
    struct kube_credentials *credentials;
    char method[8];
    uint64_t begun_ms;
    void (*on_answer)(void *context, const struct kube_answer *answer);
    http_body_fn *on_body;
    void *context;
};

static const struct metric_desc requests_desc = {
    .name = "rest_client_requests_total",
    .kind = METRIC_COUNTER,
    .help = "Requests to the API server, by status code, method and host.",
    .labels = {"code", "method", "host"}};

static const double duration_buckets[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};
static const struct metric_desc duration_desc = {
    .name = "rest_client_request_duration_seconds",
    .kind = METRIC_HISTOGRAM,
    .help = "Duration of requests to the API server, without watches.",
    .labels = {"verb", "host"},
    .buckets = duration_buckets,
    .buckets_len = sizeof duration_buckets / sizeof *duration_buckets};

static void pending_free(struct pending **slot)
{
    if (*slot == NULL)
        return;
    kube_credentials_unref(&(*slot)->credentials);
    free(*slot);
    *slot = NULL;
}

/* ---- the client */

enum err kube_client_create(struct kube_auth **auth, const char *name,
                            struct kube_client **ret_client, struct error *error)
{
    char agent[64];
    snprintf(agent, sizeof agent, "surgetank/%s", name);
    const struct http_client_config config = {
        .name = name, .user_agent = agent, .proxy = kube_auth_proxy(*auth)};

    AUTO(kube_client_destroy) struct kube_client *client = xcalloc(1, sizeof *client);
    MOVE(client->auth, *auth);
    pthread_mutex_init(&client->lock, NULL);
    cond_init(&client->changed);
    client->writes_allowed = true;
    client->timeout_ms = KUBE_CALL_TIMEOUT_MS;
    const char *host = strstr(kube_auth_server(client->auth), "://");
    snprintf(client->host, sizeof client->host, "%s", host == NULL ? "" : host + 3);

    enum err err = http_client_create(&config, &client->http, error);
    if (err)
        return err;
    MOVE(*ret_client, client);
    return OK;
}

void kube_client_destroy(struct kube_client **slot)
{
    struct kube_client *client = *slot;
    if (client == NULL)
        return;

    http_client_destroy(&client->http);
    ASSERT(client->calls == NULL);
    kube_auth_destroy(&client->auth);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
    *slot = NULL;
}

const char *kube_client_server(const struct kube_client *client)
{
    return kube_auth_server(client->auth);
}

const char *kube_client_namespace(const struct kube_client *client)
{
    return kube_auth_namespace(client->auth);
}

void kube_client_set_timeout(struct kube_client *client, unsigned timeout_ms)
{
    client->timeout_ms = timeout_ms;
}

unsigned kube_call_timeout_ms(const struct kube_client *client)
{
    return client->timeout_ms;
}

struct http_client *kube_client_http(struct kube_client *client)
{
    return client->http;
}

/* ---- the answer, on the HTTP client's thread */

static void count(const struct pending *pending, int status)
{
    char code[16];

    snprintf(code, sizeof code, "%d", status);
    metric_add(metrics_series(&requests_desc, status == 0 ? "<error>" : code, pending->method,
                              pending->client->host),
               1);
    if (pending->on_body == NULL)
        metric_observe(metrics_series(&duration_desc, pending->method, pending->client->host),
                       (double)(clock_mono_ms() - pending->begun_ms) / 1000);
}

static enum err on_piece(void *context, struct bytes piece)
{
    struct pending *pending = context;
    return pending->on_body(pending->context, piece);
}

static void on_done(void *context, enum err err, const struct http_response *response,
                    const struct error *error)
{
    struct pending *pending = context;
    struct error own = *error;
    struct kube_answer answer = {.err = err, .error = &own};

    if (!err) {
        answer.status = http_response_status(response);
        answer.body = http_response_body(response);
        struct kube_verdict verdict = answer_judge(
            answer.status, answer.body, http_response_header(response, "Retry-After"), &own);
        answer.err = verdict.err;
        answer.gone = verdict.gone;
        answer.retry_after_ms = verdict.retry_after_ms;
    } else if (err == ERR_INVALID) {
        answer.err = ERR_AGAIN; /* certificates: ours and the server's are renewed now and then */
    }
    if (answer.status == 401)
        kube_auth_expire(pending->client->auth, pending->credentials);
    count(pending, answer.status);
    pending->on_answer(pending->context, &answer);
    pending_free(&pending);
}

/* ---- the request */

static enum err make_url(const struct kube_client *client, const struct kube_request *request,
                         struct buf *url, struct error *error)
{
    enum err err = OK;

    if (request->path != NULL) {
        err = url_start(url, kube_auth_server(client->auth));
        if (!err)
            err = buf_append_text(url, request->path);
    } else {
        bool all = request->namespace == NULL || request->namespace[0] == '\0';
        if (all && request->name != NULL && request->resource->namespaced)
            return error_set(error, ERR_INVALID, "%s '%s' without a namespace",
                             request->resource->kind, request->name);
        err = kube_resource_url(request->resource, kube_auth_server(client->auth),
                                all ? NULL : request->namespace, request->name,
                                request->subresource, url, error);
        if (err)
            return err;
    }
    for (size_t i = 0; !err && i < request->query_count; i++)
        err = url_query(url, request->query[i].name, request->query[i].value);
    if (!err && buf_text(url) == NULL)
        err = ERR_NOMEM;
    return err ? error_set(error, err, "URL") : OK;
}

enum err kube_submit(struct kube_client *client, const struct kube_request *request,
                     uint64_t *ret_id, struct error *error)
{
    AUTO(buf_fini) struct buf url = {.max = 64 << 10};
    AUTO(pending_free) struct pending *pending = xcalloc(1, sizeof *pending);

    ASSERT(request->on_answer != NULL);
    enum err err = make_url(client, request, &url, error);
    if (err)
        return err;
    err = kube_auth_get(client->auth, &pending->credentials, error);
    if (err)
        return err;
    pending->client = client;
    snprintf(pending->method, sizeof pending->method, "%s", request->method);
    pending->begun_ms = clock_mono_ms();
    pending->on_answer = request->on_answer;
    pending->on_body = request->on_body;
    pending->context = request->context;

    const struct http_header headers[] = {{"Accept", "application/json"},
                                          {"Content-Type", request->content_type == NULL
                                                               ? "application/json"
                                                               : request->content_type}};
    const struct http_request http = {.method = request->method,
                                      .url = buf_text(&url),
                                      .headers = headers,
                                      .header_count = request->body.len > 0 ? 2 : 1,
                                      .bearer_token = pending->credentials->token,
                                      .tls = &pending->credentials->tls,
                                      .body = request->body,
                                      .total_timeout_ms = request->timeout_ms,
                                      .idle_timeout_ms = request->idle_timeout_ms,
                                      .response_max = request->response_max,
                                      .fresh_connection = request->fresh_connection,
                                      .on_body = request->on_body == NULL ? NULL : on_piece,
                                      .on_done = on_done,
                                      .context = pending};
    err = http_submit(client->http, &http, ret_id, error);
    if (err)
        return err;
    pending = NULL; /* on_done's now */
    return OK;
}

void kube_cancel(struct kube_client *client, uint64_t id)
{
    http_cancel(client->http, id);
}

/* ---- calls that somebody waits for */

enum err kube_call_submit(struct kube_client *client, const struct kube_request *request,
                          struct kube_call *call, struct error *error)
{
    enum err err = OK;

    pthread_mutex_lock(&client->lock);
    if (call->is_write && !client->writes_allowed)
        err = error_set(error, ERR_CLOSED, "nothing may be written: this is not the leader");
    pthread_mutex_unlock(&client->lock);
    if (err)
        return err;
    err = kube_submit(client, request, &call->id, error);
    if (err)
        return err;

    pthread_mutex_lock(&client->lock);
    call->prev = NULL;
    call->next = client->calls;
    if (client->calls != NULL)
        client->calls->prev = call;
    client->calls = call;
    bool too_late = call->is_write && !client->writes_allowed;
    pthread_mutex_unlock(&client->lock);
    if (too_late)
        http_cancel(client->http, call->id);
    return OK;
}

void kube_call_end(struct kube_client *client, struct kube_call *call)
{
    pthread_mutex_lock(&client->lock);
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

bool kube_call_pause(struct kube_client *client, const struct kube_call *call, unsigned ms)
{
    struct timespec until = cond_deadline_in(ms);

    pthread_mutex_lock(&client->lock);
    int failed = 0;
    while ((client->writes_allowed || !call->is_write) && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&client->changed, &client->lock, &until);
    bool go_on = client->writes_allowed || !call->is_write;
    pthread_mutex_unlock(&client->lock);
    return go_on;
}

/* Cuts the writes under way short and returns whether there were any. */
static bool cancel_writes(struct kube_client *client)
{
    bool any = false;
    for (struct kube_call *call = client->calls; call != NULL; call = call->next) {
        if (call->is_write)
            http_cancel(client->http, call->id);
        any = any || call->is_write;
    }
    return any;
}

void kube_client_allow_writes(struct kube_client *client, bool allowed)
{
    pthread_mutex_lock(&client->lock);
    client->writes_allowed = allowed;
    pthread_cond_broadcast(&client->changed);
    while (!client->writes_allowed && cancel_writes(client))
        pthread_cond_wait(&client->changed, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

/* ---- lists */

size_t kube_page_query(struct kube_query query[KUBE_PAGE_QUERY_MAX], const char *label_selector,
                       const char *field_selector, const char *token)
{
    size_t count = 0;

    query[count++] = (struct kube_query){"limit", KUBE_PAGE_SIZE};
    if (label_selector != NULL)
        query[count++] = (struct kube_query){"labelSelector", label_selector};
    if (field_selector != NULL)
        query[count++] = (struct kube_query){"fieldSelector", field_selector};
    if (token != NULL)
        query[count++] = (struct kube_query){"continue", token};
    return count;
}

void kube_complete_item(const struct kube_resource *resource, struct json *item)
{
    char version[KUBE_API_VERSION_SIZE];

    object_drop_managed_fields(item);
    if (json_get(item, "kind") == NULL) {
        json_set_string(item, "apiVersion", kube_resource_api_version(resource, version));
        json_set_string(item, "kind", resource->kind);
    }
}
