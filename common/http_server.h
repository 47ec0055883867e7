/* http_server: the door to libwebsockets. Small pages for probes, scrapers and people: health,
 * metrics, state. One thread serves all listeners of one server.
 *
 * A listener is an address with a table of routes. A handler fills the reply in one go, on the
 * server's thread, and must not block for long: what it needs is kept ready by somebody else. Only
 * GET and HEAD are served; anything else is 405, an unknown path 404.
 *
 * Limits: 64 connections, 4 KiB of request headers, 5 s for a client to send or take something.
 */
#ifndef COMMON_HTTP_SERVER_H
#define COMMON_HTTP_SERVER_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/error.h"

#define HTTP_ROUTES_MAX    16
#define HTTP_LISTENERS_MAX 4

struct http_reply {
    int status;               /* 200 unless the handler says otherwise */
    const char *content_type; /* a literal; text/plain unless the handler says otherwise */
    struct buf body;
};

typedef void http_handler_fn(void *context, struct http_reply *reply);

struct http_route {
    const char *path; /* exact, without the query; lives as long as the server */
    http_handler_fn *handler;
    void *context;
};

struct http_listener {
    const char *listen; /* "ADDR:PORT"; ":PORT" or "0.0.0.0:PORT" is every address; port 0: any */
    const struct http_route *routes;
    size_t routes_len;
};

struct http_server;

/* Binds and serves until closed. The tables are copied. ERR_IO: an address can't be had. */
NODISCARD enum err http_server_open(const struct http_listener *listeners, size_t len,
                                    struct http_server **ret_server, struct error *error);

/* The port that listener `index` got. */
uint16_t http_server_port(const struct http_server *server, size_t index);

/* Stops the thread and frees; sets *server to NULL. No handler runs any more. */
void http_server_close(struct http_server **server);

/* Handler for /metrics: everything in common/metrics.h. `context` is not used. */
void http_serve_metrics(void *context, struct http_reply *reply);

#endif
