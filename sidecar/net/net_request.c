/* What a request is told of headers is kept as one text; of the body see net_body.c. A server that
 * has had nothing to do for a while gives back what it keeps for the next request.
 */
#include "sidecar/net/server_internal.h"

#include "common/assert.h"

#include <stdlib.h>
#include <strings.h>

enum {
    SPARE_MAX = 512,       /* requests kept by a server */
    SPARE_TEXT_MAX = 4096, /* bytes of header text that a spare one keeps */
    SPARE_REPLY_MAX = 4096,
};

const char *net_refusal_name(enum net_refusal refusal)
{
    static const char *const names[] = {
#define X(name, text, who) text,
        NET_REFUSALS(X)
#undef X
    };
    return refusal < NET_REFUSAL_COUNT ? names[refusal] : "unknown";
}

bool net_refusal_is_own(enum net_refusal refusal)
{
    enum { HANDED = false, OWN = true };
    static const bool own[] = {
#define X(name, text, who) who,
        NET_REFUSALS(X)
#undef X
    };
    return own[refusal];
}

/* ---- life */

static void link_request(struct net_conn *conn, struct net_request *request)
{
    request->conn = conn;
    request->prev = NULL;
    request->next = conn->requests;
    if (conn->requests != NULL)
        conn->requests->prev = request;
    conn->requests = request;
    conn->request_count++;
}

static void unlink_request(struct net_request *request)
{
    struct net_conn *conn = request->conn;
    if (conn == NULL)
        return;
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        conn->requests = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    request->next = request->prev = NULL;
    request->conn = NULL;
    conn->request_count--;
}

struct net_request *request_create(struct net_conn *conn)
{
    struct net_server *server = conn->server;
    struct net_request *request = server->spare;
    struct buf text = {0}, reply = {0};

    if (!net_budget_take_overhead(server->options.budget, REQUEST_COST))
        return NULL;
    if (request != NULL) {
        server->spare = request->next;
        server->spare_count--;
        text = request->text;
        reply = request->reply;
        buf_clear(&text);
        buf_clear(&reply);
    } else {
        request = malloc(sizeof *request);
        if (request == NULL) {
            net_budget_give_overhead(server->options.budget, REQUEST_COST);
            return NULL;
        }
    }

    *request = (struct net_request){
        .server = server, .text = text, .reply = reply, .overhead = REQUEST_COST};
    memcpy(request->peer, conn->peer, sizeof request->peer);
    conn->active_ms = conn_now_ms(conn);
    request->deadline_ms = conn->active_ms + server->options.header_timeout_ms;
    conn_arm(conn, request->deadline_ms);
    link_request(conn, request);
    return request;
}

void request_release(struct net_request *request)
{
    struct net_server *server = request->server;

    ASSERT(request->state != REQUEST_HANDED);
    if (request->conn != NULL)
        request->conn->active_ms = conn_now_ms(request->conn);
    unlink_request(request);
    net_request_drop_body(request);
    net_budget_give_overhead(server->options.budget, request->overhead);
    request->overhead = 0;
    if (request->text.cap > SPARE_TEXT_MAX)
        buf_fini(&request->text);
    if (request->reply.cap > SPARE_REPLY_MAX)
        buf_fini(&request->reply);

    server_keep(server);
    if (server->spare_count >= SPARE_MAX || server->closed) {
        buf_fini(&request->text);
        buf_fini(&request->reply);
        free(request);
        return;
    }
    request->next = server->spare;
    server->spare = request;
    server->spare_count++;
}

void request_abandon(struct net_request *request)
{
    request->stream_id = 0;
    bool granted = request->admission == ADMISSION_WAITING && !request_stop_waiting(request);
    if (!granted && request->state != REQUEST_HANDED)
        request_release(request);
    else if (granted || request->conn->closed)
        unlink_request(request); /* admit() releases it, or its answer does */
}

/* ---- headers */

static const struct {
    const char *name;
    size_t len;
} kept[NET_HEADER_COUNT] = {
#define X(id, text) [id] = {text, sizeof(text) - 1},
    NET_HEADERS(X)
#undef X
};

static struct span keep_text(struct net_request *request, struct bytes text)
{
    struct span span = {(uint32_t)request->text.len, (uint32_t)text.len};
    size_t cost = request->text.len + text.len > REQUEST_TEXT_FREE ? text.len : 0;

    if (net_budget_take_overhead(request->server->options.budget, cost)) {
        request->overhead += cost;
        if (buf_append(&request->text, text) == OK)
            return span;
    }
    request->refusal = NET_REFUSED_MEMORY;
    return (struct span){0, 0};
}

static struct bytes text_of(const struct net_request *request, struct span span)
{
    if (span.len == 0)
        return (struct bytes){0};
    return (struct bytes){request->text.data + span.at, span.len};
}

static bool count_header(struct net_request *request, size_t size)
{
    request->header_size += size;
    if (request->header_size > request->server->options.headers_max)
        request->refusal = NET_REFUSED_HEADERS;
    return request->refusal == NET_REFUSED_NOT;
}

void request_set_method(struct net_request *request, struct bytes method)
{
    if (count_header(request, method.len))
        request->method = keep_text(request, method);
}

/* Of "http://host/path?query" or "/path?query", the path. */
static struct bytes path_of(struct bytes target)
{
    const uint8_t *scheme = NULL;
    if (target.len > 0 && target.data[0] != '/')
        scheme = memmem(target.data, target.len, "://", 3);
    if (scheme != NULL) {
        size_t skipped = (size_t)(scheme - target.data) + 3;
        target = (struct bytes){target.data + skipped, target.len - skipped};
        const uint8_t *slash = target.len > 0 ? memchr(target.data, '/', target.len) : NULL;
        if (slash == NULL)
            return BYTES_LITERAL("/");
        target.len -= (size_t)(slash - target.data);
        target.data = slash;
    }
    const uint8_t *query = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    if (query != NULL)
        target.len = (size_t)(query - target.data);
    return target;
}

void request_set_target(struct net_request *request, struct bytes target)
{
    if (count_header(request, target.len))
        request->path = keep_text(request, path_of(target));
}

bool request_add_header(struct net_request *request, struct bytes name, struct bytes value)
{
    enum { OVERHEAD = 32 }; /* of each, as HTTP/2 counts */

    if (!count_header(request, name.len + value.len + OVERHEAD))
        return false;
    for (unsigned i = 0; i < NET_HEADER_COUNT; i++) {
        if (kept[i].len != name.len ||
            strncasecmp(kept[i].name, (const char *)name.data, name.len) != 0)
            continue;
        if (request->headers[i].len == 0) /* of several, the first counts */
            request->headers[i] = keep_text(request, value);
        break;
    }
    return request->refusal == NET_REFUSED_NOT;
}

bool request_headers_done(struct net_request *request, uint64_t length)
{
    struct net_server *server = request->server;

    if (request->refusal != NET_REFUSED_NOT)
        return false;
    if (server->options.on_headers != NULL &&
        !server->options.on_headers(server->options.ctx, request))
        request->refusal = NET_REFUSED_BY_HANDLER;
    else if (length > server->options.body_max)
        request->refusal = NET_REFUSED_BODY_SIZE;
    else
        request->body_expected = (size_t)length;
    request->headers_whole = true;
    request->deadline_ms = net_loop_now_ms(server->loop) + server->options.body_timeout_ms;
    return request->refusal == NET_REFUSED_NOT;
}

/* ---- to the handler and back */

void request_hand_over(struct net_request *request)
{
    struct net_server *server = request->server;

    ASSERT(request->state == REQUEST_RECEIVING);
    request->state = REQUEST_HANDED;
    server_count(server, COUNT_REQUESTS, 1);
    server_count(server, COUNT_IN_FLIGHT, 1);
    server->options.on_request(server->options.ctx, request);
}

void request_refuse(struct net_request *request, enum net_refusal refusal)
{
    request->refusal = refusal;
    if (request->admission == ADMISSION_WAITING && !request_stop_waiting(request))
        return; /* admit() does it */
    server_count_refusal(request->server, refusal);
    net_request_drop_body(request);
    request_hand_over(request);
}

void net_respond(struct net_request **request, const struct net_response *response)
{
    struct net_request *answered = *request;
    struct net_server *server = answered->server;

    *request = NULL;
    ASSERT(answered->state == REQUEST_HANDED);
    ASSERT(response->header_count <= NET_FIELDS_MAX);
    ASSERT(response->trailer_count <= NET_FIELDS_MAX);
    ASSERT(response->body.len <= NET_RESPONSE_MAX);
    bool gone = net_request_is_gone(answered);
    answered->state = REQUEST_ANSWERED;
    server_count(server, gone ? COUNT_RESPONSES_LOST : COUNT_RESPONSES, 1);
    if (gone)
        request_release(answered);
    else
        answered->conn->protocol->respond(answered->conn, answered, response);
    server_request_ended(server);
}

static void run_posted(struct net_task *task)
{
    struct net_request *request = CONTAINER_OF(task, struct net_request, task);
    request->posted(request);
}

void net_request_post(struct net_request *request, void (*run)(struct net_request *request))
{
    request->posted = run;
    request->task.run = run_posted;
    net_loop_post(request->server->loop, &request->task);
}

/* ---- what was asked */

struct bytes net_request_method(const struct net_request *request)
{
    return text_of(request, request->method);
}

struct bytes net_request_path(const struct net_request *request)
{
    return text_of(request, request->path);
}

struct bytes net_request_header(const struct net_request *request, enum net_header header)
{
    return text_of(request, request->headers[header]);
}

bool net_request_is_http2(const struct net_request *request)
{
    return request->is_http2;
}

const char *net_request_peer(const struct net_request *request)
{
    return request->peer;
}

enum net_refusal net_request_refusal(const struct net_request *request)
{
    return request->refusal;
}

bool net_request_is_gone(const struct net_request *request)
{
    return request->conn == NULL || (request->is_http2 && request->stream_id == 0);
}
