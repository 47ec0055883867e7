/* libwebsockets is used for what it is good at here: plain GETs over HTTP/1.1. Each listener is a
 * vhost; its routes hang on the vhost's user pointer. The body is made whole before the first byte
 * goes out, so the length is known and a slow reader costs memory but never a handler. */
#include "common/http_server.h"

#include "common/assert.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/num.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CHUNK = 8192, HEADERS_MAX = 4096, CONNECTIONS_MAX = 64, TIMEOUT_S = 5 };

struct listener {
    struct http_route routes[HTTP_ROUTES_MAX];
    size_t routes_len;
    char name[24]; /* libwebsockets keeps the pointer, as it does with the address */
    char host[64];
    struct lws_vhost *vhost;
};

struct http_server {
    struct lws_context *context;
    struct listener listeners[HTTP_LISTENERS_MAX];
    size_t len;
    pthread_t thread;
    bool running;
    atomic_bool stopping;
};

/* What libwebsockets keeps for each connection. */
struct session {
    struct buf body;
    size_t sent;
};

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                 size_t len);

static const struct lws_protocols protocols[] = {
    {.name = "http", .callback = serve, .per_session_data_size = sizeof(struct session)},
    {.name = NULL}};

static void run_handler(const struct listener *listener, const char *path,
                        struct http_reply *ret_reply)
{
    for (size_t i = 0; i < listener->routes_len; i++) {
        const struct http_route *route = &listener->routes[i];
        if (strcmp(route->path, path) == 0) {
            route->handler(route->context, ret_reply);
            return;
        }
    }
    ret_reply->status = 404;
    if (buf_append_text(&ret_reply->body, "not found; there is:\n"))
        return;
    for (size_t i = 0; i < listener->routes_len; i++)
        if (buf_printf(&ret_reply->body, "  %s\n", listener->routes[i].path))
            return;
}

/* Writes status and headers and keeps the body for the writeable callbacks. Non-zero closes. */
static int answer(struct lws *wsi, struct session *session, const char *path)
{
    uint8_t scratch[LWS_PRE + 1024], *at = scratch + LWS_PRE, *end = scratch + sizeof scratch - 1;
    const struct listener *listener = lws_get_vhost_user(lws_get_vhost(wsi));
    struct http_reply reply = {.status = 200, .content_type = "text/plain; charset=utf-8"};
    bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;

    if (!head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) == 0)
        reply.status = 405;
    else
        run_handler(listener, path, &reply);

    buf_fini(&session->body);
    session->body = reply.body;
    session->sent = 0;
    if (lws_add_http_common_headers(wsi, (unsigned)reply.status, reply.content_type,
                                    session->body.len, &at, end) ||
        lws_finalize_write_http_header(wsi, scratch + LWS_PRE, &at, end))
        return 1;
    if (head)
        session->sent = session->body.len;
    if (session->sent == session->body.len)
        return lws_http_transaction_completed(wsi) ? -1 : 0; /* only below 0 closes */
    lws_callback_on_writable(wsi);
    return 0;
}

static int write_more(struct lws *wsi, struct session *session)
{
    uint8_t chunk[LWS_PRE + CHUNK];
    size_t left = session->body.len - session->sent, n = left < CHUNK ? left : CHUNK;

    if (n == 0)
        return 0;
    memcpy(chunk + LWS_PRE, session->body.data + session->sent, n);
    session->sent += n;
    bool last = session->sent == session->body.len;
    if (lws_write(wsi, chunk + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) != (int)n)
        return 1;
    lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, TIMEOUT_S);
    if (last)
        return lws_http_transaction_completed(wsi) ? -1 : 0; /* only below 0 closes */
    lws_callback_on_writable(wsi);
    return 0;
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                 size_t len)
{
    /* The other two hundred reasons are libwebsockets' own business. */
    if (reason == LWS_CALLBACK_HTTP)
        return answer(wsi, user, in);
    if (reason == LWS_CALLBACK_HTTP_WRITEABLE)
        return write_more(wsi, user);
    if (reason == LWS_CALLBACK_CLOSED_HTTP && user != NULL) {
        buf_fini(&((struct session *)user)->body);
        return 0;
    }
    return lws_callback_http_dummy(wsi, reason, user, in, len);
}

static void *service_thread(void *context)
{
    struct http_server *server = context;
    pthread_setname_np(pthread_self(), "http-server");
    while (!atomic_load(&server->stopping) && lws_service(server->context, 0) >= 0)
        ;
    return NULL;
}

static void forward_log(int level, const char *line)
{
    (void)level;
    LOG_DEBUG("libwebsockets", LOG_STR("line", line));
}

static enum err open_listener(struct http_server *server, const struct http_listener *wanted,
                              struct error *error)
{
    struct listener *listener = &server->listeners[server->len];
    uint16_t port = 0;

    ASSERT(wanted->routes_len <= HTTP_ROUTES_MAX);
    if (!num_parse_address(wanted->listen, listener->host, sizeof listener->host, &port))
        return error_set(error, ERR_INVALID, "listen on '%s': give ADDR:PORT", wanted->listen);
    memcpy(listener->routes, wanted->routes, wanted->routes_len * sizeof *wanted->routes);
    listener->routes_len = wanted->routes_len;
    snprintf(listener->name, sizeof listener->name, "listener-%zu", server->len);

    bool everywhere = listener->host[0] == '\0' || strcmp(listener->host, "0.0.0.0") == 0;
    /* With IPv6 libwebsockets takes an IPv4 address for "::", and listens everywhere. */
    bool ipv4 = !everywhere && strchr(listener->host, ':') == NULL;
    const struct lws_context_creation_info info = {
        .vhost_name = listener->name,
        .port = port,
        .iface = everywhere ? NULL : listener->host,
        .protocols = protocols,
        .user = listener,
        .timeout_secs = TIMEOUT_S,
        .keepalive_timeout = 30,
        .options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   (ipv4 ? LWS_SERVER_OPTION_DISABLE_IPV6 : 0),
    };
    listener->vhost = lws_create_vhost(server->context, &info);
    if (listener->vhost == NULL)
        return error_set(error, ERR_IO,
                         "listen on '%s': the address is taken or not of this machine",
                         wanted->listen);
    server->len++;
    return OK;
}

enum err http_server_open(const struct http_listener *listeners, size_t len,
                          struct http_server **ret_server, struct error *error)
{
    AUTO(http_server_close) struct http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return error_set(error, ERR_NOMEM, "open HTTP server");

    ASSERT(len <= HTTP_LISTENERS_MAX);
    lws_set_log_level(LLL_ERR | LLL_WARN, forward_log);
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .fd_limit_per_thread = CONNECTIONS_MAX + 16,
        .pt_serv_buf_size = HEADERS_MAX,
        .max_http_header_data = HEADERS_MAX,
        .max_http_header_pool = CONNECTIONS_MAX,
        .gid = -1,
        .uid = -1,
    };
    server->context = lws_create_context(&info);
    if (server->context == NULL)
        return error_set(error, ERR_NOMEM, "open HTTP server");
    for (size_t i = 0; i < len; i++) {
        enum err err = open_listener(server, &listeners[i], error);
        if (err)
            return err;
    }
    if (pthread_create(&server->thread, NULL, service_thread, server) != 0)
        return error_set_errno(error, ERR_NOMEM, "start HTTP server thread");
    server->running = true;
    MOVE(*ret_server, server);
    return OK;
}

uint16_t http_server_port(const struct http_server *server, size_t index)
{
    ASSERT(index < server->len);
    return (uint16_t)lws_get_vhost_listen_port(server->listeners[index].vhost);
}

void http_server_close(struct http_server **server)
{
    struct http_server *gone = *server;
    if (gone == NULL)
        return;

    if (gone->running) {
        atomic_store(&gone->stopping, true);
        lws_cancel_service(gone->context);
        pthread_join(gone->thread, NULL);
    }
    if (gone->context != NULL)
        lws_context_destroy(gone->context);
    free(gone);
    *server = NULL;
}

void http_serve_metrics(void *context, struct http_reply *reply)
{
    (void)context;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    if (metrics_expose(&reply->body)) {
        reply->status = 500;
        buf_clear(&reply->body);
    }
}
