/* http_client: HTTP requests to others, many at once on one thread. The door to libcurl.
 *
 *   http_submit() --> queue --> [ client's thread: connect, send, receive ] --> on_done()
 *        ^                              |  on_body() for each piece of a 2xx body      |
 *        +--- from any thread, and from these callbacks -------------------------------+
 *
 * HTTP/2 over TLS where the peer offers it (requests share one connection), else HTTP/1.1 with
 * keep-alive. Redirects are not followed. No proxy is used unless one is configured, whatever the
 * environment says. Credentials travel only to the URL of their own request. TLS files are read
 * again for each new connection; a resumed TLS session would carry the identity of the old files,
 * so there are none. A connection whose peer doesn't answer at TCP level for 30 s is dead.
 *
 * Every accepted request gets exactly one on_done():
 *   OK           an HTTP answer came, whatever its status; judge response->status
 *   ERR_AGAIN    no answer: name, connection, reset, one of the three timeouts
 *   ERR_INVALID  no answer and trying again won't help: certificates, not HTTP
 *   ERR_FULL     the body passed response_max (what was streamed by on_body is not counted)
 *   ERR_CLOSED   cancelled, or the client is going
 *   other        what on_body returned to end the request
 *
 * Limits: HTTP_REQUESTS_MAX requests accepted and not done; headers of an answer 64 KiB.
 *
 * Thread: any, for http_submit(), http_cancel(), http_call_after(). Callbacks run on the client's
 * own thread, one at a time: they must not block, nor destroy the client.
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

enum { HTTP_REQUESTS_MAX = 4096 };

struct http_client;

struct http_client_config {
    const char *name;                  /* of the thread, at most 15 characters; NULL: "http" */
    const char *user_agent;            /* NULL: "surgetank" */
    const char *proxy;                 /* URL; NULL: none */
    unsigned connections_max;          /* open at once over all hosts; 0: 64 */
    unsigned connections_per_host_max; /* 0: no bound of its own */
};

/* Where trust and identity come from: a file or, if that is NULL, PEM text. All of it may be left
 * out: the system's CAs and no certificate of our own. */
struct http_tls {
    const char *ca_file, *cert_file, *key_file;
    struct bytes ca_pem, cert_pem, key_pem;
    const char *server_name; /* verified instead of the URL's host, and sent as SNI */
    bool insecure_skip_verify;
};

struct http_header {
    const char *name, *value;
};

struct http_response; /* valid during on_done() only */

/* 100..599. */
int http_response_status(const struct http_response *response);
/* What on_body() didn't take. */
struct bytes http_response_body(const struct http_response *response);
/* Value of the last header (or trailer) of that name, NULL if absent. */
const char *http_response_header(const struct http_response *response, const char *name);

/* A piece of a 2xx body, valid during the call. Anything but OK ends the request with that code. */
typedef enum err http_body_fn(void *context, struct bytes piece);

/* `response` is NULL unless `err` is OK; `error` has the sentence otherwise. */
typedef void http_done_fn(void *context, enum err err, const struct http_response *response,
                          const struct error *error);

struct http_request {
    const char *method; /* "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD" */
    const char *url;    /* http:// or https://, see common/url.h */
    const struct http_header *headers;
    size_t header_count;
    const char *bearer_token;   /* NULL: none. Never logged, not even by libcurl's own tracing */
    const struct http_tls *tls; /* NULL: the system's CAs */
    struct bytes body;          /* lent until on_done(); everything else here is copied */

    unsigned connect_timeout_ms; /* 0: 10 s */
    unsigned total_timeout_ms;   /* 0: none */
    unsigned idle_timeout_ms;    /* between two signs of life of the peer; 0: none */
    size_t response_max;         /* of a gathered body; 0: 1 MiB */
    bool http1;                  /* don't offer HTTP/2 */
    bool fresh_connection;       /* the old one is under suspicion */

    http_body_fn *on_body; /* NULL: 2xx bodies are gathered like all others */
    http_done_fn *on_done;
    void *context;
};

/* Starts the thread. */
NODISCARD enum err http_client_create(const struct http_client_config *config,
                                      struct http_client **ret_client, struct error *error);

/* Ends all requests with ERR_CLOSED (callbacks run before this returns), timers without a call,
 * joins the thread and frees. Not from a callback. */
void http_client_destroy(struct http_client **slot);

/* Accepts a request; *ret_id (may be NULL) is for http_cancel() and is set before any callback.
 * ERR_INVALID: no or malformed URL, method, or a header with CR, LF or NUL in it. ERR_FULL: too
 * many in flight. ERR_CLOSED: the client is going. No callback comes after a failure here. */
NODISCARD enum err http_submit(struct http_client *client, const struct http_request *request,
                               uint64_t *ret_id, struct error *error);

/* Ends a request or a timer early; a request's on_done() gets ERR_CLOSED soon afterwards, a timer
 * that hasn't begun is forgotten. Nothing happens if it is over already. */
void http_cancel(struct http_client *client, uint64_t id);

/* Runs `call` on the client's thread after the delay, once. */
typedef void http_call_fn(void *context);
NODISCARD enum err http_call_after(struct http_client *client, unsigned delay_ms,
                                   http_call_fn *call, void *context, uint64_t *ret_id,
                                   struct error *error);

#endif
