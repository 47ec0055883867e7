/* kube_client: requests to the API server.
 *
 * Two styles on one connection: the calls below wait, at most KUBE_CALL_TIMEOUT_MS with all their
 * retries, and are for worker threads; kube_submit() doesn't wait and is for the watches. Answers
 * become codes:
 *
 *   404                      ERR_NOTFOUND
 *   409                      ERR_CONFLICT   AlreadyExists, a resourceVersion or uid that moved on,
 *                                           or fields of another manager (named in the sentence)
 *   400 405 406 413 415 422  ERR_INVALID    with the fields that the server named; so is the 500
 *                                           that an apply with an unknown field gets
 *   401                      ERR_AGAIN      after credentials were read again and the call repeated
 *   403                      ERR_INVALID    with the verb, resource and namespace that RBAC lacks
 *   410                      ERR_AGAIN      and kube_answer.gone
 *   429 500 502 503 504      ERR_AGAIN      after waiting out Retry-After (429, 503) while time is
 *                                           left
 *   nothing                  ERR_AGAIN
 *
 * Counted in rest_client_requests_total{code,method,host}.
 * Thread: any; not from callbacks of the HTTP client, but for kube_submit(), kube_cancel().
 */
#ifndef COMMON_KUBE_CLIENT_H
#define COMMON_KUBE_CLIENT_H

#include "common/http_client.h"
#include "common/json.h"
#include "common/kube/auth.h"
#include "common/kube/resource.h"

#define KUBE_PAGE_SIZE "500" /* objects of a list, as its query says it */

enum {
    KUBE_CALL_TIMEOUT_MS = 30000,
    KUBE_OBJECT_BYTES_MAX = 16 << 20, /* one object as JSON; etcd holds 1.5 MiB */
    KUBE_PAGE_BYTES_MAX = 128 << 20,
};

struct kube_client;

/* Takes `auth`. `name` (at most 15 characters) is its thread's, and is part of the User-Agent. */
NODISCARD enum err kube_client_create(struct kube_auth **auth, const char *name,
                                      struct kube_client **ret_client, struct error *error);

/* Ends everything in flight with ERR_CLOSED. Watches must be stopped before. */
void kube_client_destroy(struct kube_client **slot);

/* While false, every call but GET is refused with ERR_CLOSED, and those under way are cut short;
 * it returns when they have ended. True at first. For losing the leadership: nothing is written
 * behind this door. */
void kube_client_allow_writes(struct kube_client *client, bool allowed);

/* For all further calls, instead of KUBE_CALL_TIMEOUT_MS. */
void kube_client_set_timeout(struct kube_client *client, unsigned timeout_ms);

const char *kube_client_server(const struct kube_client *client);
const char *kube_client_namespace(const struct kube_client *client);

/* ---- calls. `ret_json`, where not NULL, is the object that the server answered. */

NODISCARD enum err kube_get(struct kube_client *client, const struct kube_resource *resource,
                            const char *namespace, const char *name, struct json **ret_json,
                            struct error *error);

/* All objects, in pages; *ret_list is {metadata: {resourceVersion}, items: [...]}, items without
 * managedFields, with apiVersion and kind. `namespace` NULL: all. Starts again when the pages
 * expire on the way. */
NODISCARD enum err kube_list(struct kube_client *client, const struct kube_resource *resource,
                             const char *namespace, const char *label_selector,
                             struct json **ret_list, struct error *error);

NODISCARD enum err kube_create(struct kube_client *client, const struct kube_resource *resource,
                               const struct json *object, struct json **ret_json,
                               struct error *error);

/* PUT: the object as a whole, with its resourceVersion. */
NODISCARD enum err kube_update(struct kube_client *client, const struct kube_resource *resource,
                               const struct json *object, struct json **ret_json,
                               struct error *error);

/* Server-side apply. Namespace and name come from the object; a resourceVersion in it makes the
 * write fail with ERR_CONFLICT if somebody wrote since (or the object is gone). Strict: unknown
 * fields are refused. */
struct kube_apply {
    const char *field_manager; /* required, at most 128 characters */
    const char *subresource;   /* NULL, or "status" */
    bool force;                /* take fields over from other managers */
    bool dry_run;
};
NODISCARD enum err kube_apply(struct kube_client *client, const struct kube_resource *resource,
                              const struct json *object, const struct kube_apply *how,
                              struct json **ret_json, struct error *error);

/* JSON merge patch (RFC 7386); `subresource` may be NULL. Put metadata.resourceVersion in the patch
 * to write only over what was read. */
NODISCARD enum err kube_merge_patch(struct kube_client *client,
                                    const struct kube_resource *resource, const char *namespace,
                                    const char *name, const char *subresource,
                                    const struct json *patch, const char *field_manager,
                                    struct json **ret_json, struct error *error);

/* spec.replicas through /scale. `resource_version`: NULL writes over whatever is there. */
NODISCARD enum err kube_scale(struct kube_client *client, const struct kube_resource *resource,
                              const char *namespace, const char *name, int replicas,
                              const char *resource_version, const char *field_manager,
                              struct error *error);

/* `uid` and `resource_version`, where not NULL, are preconditions (ERR_CONFLICT). */
struct kube_delete {
    const char *uid, *resource_version;
    const char *propagation; /* "Background" (where NULL), "Foreground", "Orphan" */
};
NODISCARD enum err kube_delete(struct kube_client *client, const struct kube_resource *resource,
                               const char *namespace, const char *name,
                               const struct kube_delete *how, struct error *error);

/* GET of a path below the server, as `kubectl get --raw`. */
NODISCARD enum err kube_get_raw(struct kube_client *client, const char *path, struct buf *ret_body,
                                struct error *error);

/* ---- requests with a callback, for kube/watch */

struct kube_query {
    const char *name, *value;
};

struct kube_answer {
    enum err err;              /* OK for 2xx */
    const struct error *error; /* the sentence */
    int status;                /* of HTTP, 0 without an answer */
    bool gone;                 /* 410, or a Status that says Expired or Gone */
    unsigned retry_after_ms;   /* 0: not said */
    struct bytes body;         /* valid during on_answer() */
};

struct kube_request {
    const char *method; /* "GET", ... */
    const struct kube_resource *resource;
    const char *namespace, *name, *subresource; /* NULL: none */
    const struct kube_query *query;
    size_t query_count;
    const char *path;         /* instead of all the above but the method */
    const char *content_type; /* of `body`; NULL: application/json */
    struct bytes body;        /* lent until the callback */
    unsigned timeout_ms;      /* 0: none */
    unsigned idle_timeout_ms; /* 0: none */
    size_t response_max;
    bool fresh_connection;
    http_body_fn *on_body; /* NULL: the answer's body is in the answer */
    void (*on_answer)(void *context, const struct kube_answer *answer);
    void *context;
};

/* One try, no retries; a 401 has expired the credentials by the time on_answer() is called. */
NODISCARD enum err kube_submit(struct kube_client *client, const struct kube_request *request,
                               uint64_t *ret_id, struct error *error);
void kube_cancel(struct kube_client *client, uint64_t id);

/* For timers on the same thread. */
struct http_client *kube_client_http(struct kube_client *client);

#endif
