/* The calls that wait: a request is put together, sent by kube_submit() (request.c), waited for,
 * and sent again where client.h says so. */
#include "common/kube/client.h"

#include "common/clock.h"
#include "common/kube/object.h"
#include "common/kube/request.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

enum { LIST_TRIES_MAX = 5 };

/* ---- one call, until its answer or the deadline */

struct waiter {
    struct kube_call call; /* how kube_client_allow_writes() finds us */
    pthread_mutex_t lock;  /* guards done */
    pthread_cond_t changed;
    bool done;
    struct kube_answer answer; /* but error and body, which are below */
    struct error error;
    struct buf body;
};

static void on_answer(void *context, const struct kube_answer *answer)
{
    struct waiter *waiter = context;

    pthread_mutex_lock(&waiter->lock);
    waiter->answer = *answer;
    waiter->error = *answer->error;
    buf_clear(&waiter->body);
    enum err err = buf_append(&waiter->body, answer->body);
    if (err)
        waiter->answer.err = error_set(&waiter->error, err, "answer");
    waiter->done = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

static void wait_for(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->done)
        pthread_cond_wait(&waiter->changed, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
}

static enum err try_once(struct kube_client *client, struct kube_request *request,
                         struct waiter *waiter, struct error *error)
{
    request->on_answer = on_answer;
    request->context = waiter;
    waiter->done = false;
    enum err err = kube_call_submit(client, request, &waiter->call, error);
    if (err)
        return err;
    wait_for(waiter);
    kube_call_end(client, &waiter->call);
    if (waiter->answer.err && error != NULL)
        *error = waiter->error;
    return waiter->answer.err;
}

/* A server that says when to come back is taken at its word. */
static bool wait_and_retry(struct kube_client *client, const struct waiter *waiter,
                           uint64_t deadline_ms, bool *refreshed)
{
    const struct kube_answer *answer = &waiter->answer;

    if (answer->status == 401 && !*refreshed) {
        *refreshed = true;
        return true;
    }
    if (answer->err != ERR_AGAIN || answer->retry_after_ms == 0 ||
        (answer->status != 429 && answer->status != 503) ||
        clock_mono_ms() + answer->retry_after_ms >= deadline_ms)
        return false;
    return kube_call_pause(client, &waiter->call, answer->retry_after_ms);
}

/* `waiter->body` holds the answer afterwards. */
static enum err call(struct kube_client *client, struct kube_request *request,
                     struct waiter *waiter, struct error *error)
{
    uint64_t deadline_ms = clock_mono_ms() + kube_call_timeout_ms(client);
    bool refreshed = false;
    enum err err = OK;

    waiter->call.is_write = strcmp(request->method, "GET") != 0;
    if (request->response_max == 0)
        request->response_max = KUBE_OBJECT_BYTES_MAX;
    do {
        uint64_t now = clock_mono_ms();
        request->timeout_ms = (unsigned)(deadline_ms > now ? deadline_ms - now : 1);
        waiter->answer = (struct kube_answer){0};
        err = try_once(client, request, waiter, error);
    } while (err && wait_and_retry(client, waiter, deadline_ms, &refreshed));
    return err;
}

static void waiter_fini(struct waiter *waiter)
{
    buf_fini(&waiter->body);
}

#define WAITER                                                                 \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

/* A call whose answer is one JSON document. */
static enum err call_json(struct kube_client *client, struct kube_request *request,
                          struct json **ret_json, struct error *error)
{
    AUTO(waiter_fini) struct waiter waiter = WAITER;
    AUTO(json_free) struct json *json = NULL;

    enum err err = call(client, request, &waiter, error);
    if (err || ret_json == NULL)
        return err;
    err = json_parse(buf_bytes(&waiter.body), waiter.body.len, &json, error);
    if (err) /* whoever cut it off or put it there: the next one may be whole */
        return error_prefix(error, ERR_AGAIN, "the API server's answer to %s", request->method);
    MOVE(*ret_json, json);
    return OK;
}

/* ---- reading */

enum err kube_get(struct kube_client *client, const struct kube_resource *resource,
                  const char *namespace, const char *name, struct json **ret_json,
                  struct error *error)
{
    struct kube_request request = {
        .method = "GET", .resource = resource, .namespace = namespace, .name = name};
    return call_json(client, &request, ret_json, error);
}

enum err kube_get_raw(struct kube_client *client, const char *path, struct buf *ret_body,
                      struct error *error)
{
    AUTO(waiter_fini) struct waiter waiter = WAITER;
    struct kube_request request = {.method = "GET", .path = path};

    enum err err = call(client, &request, &waiter, error);
    if (err)
        return err;
    err = buf_append(ret_body, buf_bytes(&waiter.body));
    return err ? error_set(error, err, "answer of %zu bytes", waiter.body.len) : OK;
}

static enum err get_page(struct kube_client *client, const struct kube_resource *resource,
                         const char *namespace, const char *label_selector, const char *token,
                         struct waiter *waiter, struct json **ret_page, struct error *error)
{
    struct kube_query query[KUBE_PAGE_QUERY_MAX];
    struct kube_request request = {.method = "GET",
                                   .resource = resource,
                                   .namespace = namespace,
                                   .query = query,
                                   .response_max = KUBE_PAGE_BYTES_MAX};
    request.query_count = kube_page_query(query, label_selector, NULL, token);

    enum err err = call(client, &request, waiter, error);
    if (err)
        return err;
    err = json_parse(buf_bytes(&waiter->body), KUBE_PAGE_BYTES_MAX, ret_page, error);
    return err ? error_prefix(error, ERR_AGAIN, "list of %s", resource->plural) : OK;
}

/* Moves the page's items to `list`. Items of a list carry no kind of their own. */
static void add_items(const struct kube_resource *resource, struct json *page, struct json *list)
{
    AUTO(json_free) struct json *items = json_take(page, "items");
    struct json *into = json_get(list, "items");

    JSON_EACH(item, items) {
        struct json *copy = json_clone(item);
        kube_complete_item(resource, copy);
        json_add(into, &copy);
    }
}

static enum err list_once(struct kube_client *client, const struct kube_resource *resource,
                          const char *namespace, const char *label_selector, bool *ret_gone,
                          struct json **ret_list, struct error *error)
{
    AUTO(json_free) struct json *list = json_new_object();
    AUTO(json_free) struct json *page = NULL;
    const char *token = NULL;

    json_set_array(list, "items");
    do {
        AUTO(waiter_fini) struct waiter waiter = WAITER;
        struct json *next = NULL;
        enum err err =
            get_page(client, resource, namespace, label_selector, token, &waiter, &next, error);
        *ret_gone = waiter.answer.gone;
        if (err)
            return err;
        json_free(&page);
        page = next;
        add_items(resource, page, list);
        token = json_string(json_at(page, "metadata.continue"), "");
    } while (token[0] != '\0');

    struct json *metadata = json_take(page, "metadata");
    if (metadata != NULL)
        json_set(list, "metadata", &metadata);
    MOVE(*ret_list, list);
    return OK;
}

enum err kube_list(struct kube_client *client, const struct kube_resource *resource,
                   const char *namespace, const char *label_selector, struct json **ret_list,
                   struct error *error)
{
    bool gone = false;
    enum err err = OK;

    for (unsigned tries = 0; tries < LIST_TRIES_MAX; tries++) {
        err = list_once(client, resource, namespace, label_selector, &gone, ret_list, error);
        if (!err || !gone)
            break;
    }
    return err;
}

/* ---- writing */

static enum err call_with_body(struct kube_client *client, struct kube_request *request,
                               const struct json *body, struct json **ret_json, struct error *error)
{
    AUTO(buf_fini) struct buf text = {.max = KUBE_OBJECT_BYTES_MAX};

    enum err err = json_print(body, &text);
    if (err)
        return error_set(error, err, "body of %s", request->method);
    request->body = buf_bytes(&text);
    return call_json(client, request, ret_json, error);
}

enum err kube_create(struct kube_client *client, const struct kube_resource *resource,
                     const struct json *object, struct json **ret_json, struct error *error)
{
    const struct kube_query query[] = {{"fieldValidation", "Strict"}};
    struct kube_request request = {.method = "POST",
                                   .resource = resource,
                                   .namespace = object_namespace(object),
                                   .query = query,
                                   .query_count = 1};
    return call_with_body(client, &request, object, ret_json, error);
}

enum err kube_update(struct kube_client *client, const struct kube_resource *resource,
                     const struct json *object, struct json **ret_json, struct error *error)
{
    const struct kube_query query[] = {{"fieldValidation", "Strict"}};
    struct kube_request request = {.method = "PUT",
                                   .resource = resource,
                                   .namespace = object_namespace(object),
                                   .name = object_name(object),
                                   .query = query,
                                   .query_count = 1};
    return call_with_body(client, &request, object, ret_json, error);
}

enum err kube_apply(struct kube_client *client, const struct kube_resource *resource,
                    const struct json *object, const struct kube_apply *how, struct json **ret_json,
                    struct error *error)
{
    const struct kube_query query[] = {{"fieldManager", how->field_manager},
                                       {"force", how->force ? "true" : "false"},
                                       {"fieldValidation", "Strict"},
                                       {"dryRun", "All"}};
    struct kube_request request = {.method = "PATCH",
                                   .resource = resource,
                                   .namespace = object_namespace(object),
                                   .name = object_name(object),
                                   .subresource = how->subresource,
                                   .query = query,
                                   .query_count = how->dry_run ? 4 : 3,
                                   .content_type = "application/apply-patch+yaml"};
    return call_with_body(client, &request, object, ret_json, error);
}

enum err kube_merge_patch(struct kube_client *client, const struct kube_resource *resource,
                          const char *namespace, const char *name, const char *subresource,
                          const struct json *patch, const char *field_manager,
                          struct json **ret_json, struct error *error)
{
    const struct kube_query query[] = {{"fieldManager", field_manager},
                                       {"fieldValidation", "Strict"}};
    struct kube_request request = {.method = "PATCH",
                                   .resource = resource,
                                   .namespace = namespace,
                                   .name = name,
                                   .subresource = subresource,
                                   .query = query,
                                   .query_count = 2,
                                   .content_type = "application/merge-patch+json"};
    return call_with_body(client, &request, patch, ret_json, error);
}

enum err kube_scale(struct kube_client *client, const struct kube_resource *resource,
                    const char *namespace, const char *name, int replicas,
                    const char *resource_version, const char *field_manager, struct error *error)
{
    AUTO(json_free) struct json *patch = json_new_object();

    if (resource_version != NULL)
        json_set_string(json_set_object(patch, "metadata"), "resourceVersion", resource_version);
    json_set_number(json_set_object(patch, "spec"), "replicas", replicas);
    return kube_merge_patch(client, resource, namespace, name, "scale", patch, field_manager, NULL,
                            error);
}

enum err kube_delete(struct kube_client *client, const struct kube_resource *resource,
                     const char *namespace, const char *name, const struct kube_delete *how,
                     struct error *error)
{
    AUTO(json_free) struct json *options = json_new_object();
    struct kube_request request = {
        .method = "DELETE", .resource = resource, .namespace = namespace, .name = name};

    json_set_string(options, "apiVersion", "v1");
    json_set_string(options, "kind", "DeleteOptions");
    json_set_string(options, "propagationPolicy",
                    how->propagation == NULL ? "Background" : how->propagation);
    if (how->uid != NULL)
        json_set_string(json_need_object(options, "preconditions"), "uid", how->uid);
    if (how->resource_version != NULL)
        json_set_string(json_need_object(options, "preconditions"), "resourceVersion",
                        how->resource_version);
    return call_with_body(client, &request, options, NULL, error);
}
