/* curl's own low-speed limit averages over seconds and counts a bookmark a minute as too slow, so
 * the client measures idle time itself, from heard_ms. After a lost HTTP/2 connection curl 7.88 may
 * report a short body as success, so its length is checked against Content-Length here. */
#include "common/http_transfer.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    CONNECT_TIMEOUT_MS = 10000,
    RESPONSE_MAX = 1 << 20,
    HEADERS_MAX = 64 << 10,
    DEAD_PEER_MS = 30000,
};

/* ---- a transfer and its curl callbacks */

void transfer_free(struct transfer **slot)
{
    struct transfer *transfer = *slot;
    if (transfer == NULL)
        return;

    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    buf_fini(&transfer->response.headers);
    buf_fini(&transfer->response.body);
    free(transfer->shown);
    free(transfer);
    *slot = NULL;
}

static size_t on_curl_header(char *line, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t len = size * count, kept = len;

    transfer->heard_ms = clock_mono_ms();
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        buf_clear(&transfer->response.headers); /* what came before was a 1xx */
        return len;
    }
    while (kept > 0 && (line[kept - 1] == '\r' || line[kept - 1] == '\n'))
        kept--;
    if (kept == 0)
        return len;

    enum err err = buf_append(&transfer->response.headers, (struct bytes){(uint8_t *)line, kept});
    if (!err)
        err = buf_append_byte(&transfer->response.headers, '\0');
    if (err) {
        transfer->stopped = err;
        error_set(&transfer->reason, err, "headers above %d bytes", HEADERS_MAX);
        return 0;
    }
    return len;
}

static size_t on_curl_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    struct bytes piece = {(uint8_t *)data, size * count};
    long status = 0;

    transfer->heard_ms = clock_mono_ms();
    transfer->received += piece.len;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);

    if (transfer->on_body != NULL && status >= 200 && status < 300) {
        transfer->stopped = transfer->on_body(transfer->context, piece);
        if (transfer->stopped)
            error_set(&transfer->reason, transfer->stopped, "the reader stopped");
    } else {
        transfer->stopped = buf_append(&transfer->response.body, piece);
        if (transfer->stopped)
            error_set(&transfer->reason, transfer->stopped, "the answer is longer than %zu bytes",
                      transfer->response.body.max);
    }
    return transfer->stopped ? 0 : piece.len;
}

/* A peer that vanished must not hold a watch for hours, and no socket may leak into a child. */
static int on_curl_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
    (void)context;
    (void)purpose;
    unsigned dead_ms = DEAD_PEER_MS;

    /* Both are improvements, not conditions: a kernel that refuses them is still usable. */
    IGNORE_RESULT(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms));
    IGNORE_RESULT(fcntl(fd, F_SETFD, FD_CLOEXEC));
    return CURL_SOCKOPT_OK;
}

/* ---- making a request ready, on the caller's thread */

static bool is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        bool alnum = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9');
        if (!alnum && strchr("!#$%&'*+-.^_`|~", *text) == NULL)
            return false;
    }
    return true;
}

static enum err add_header(struct transfer *transfer, const char *name, const char *value,
                           struct error *error)
{
    if (!is_token(name))
        return error_set(error, ERR_INVALID, "'%s' is no name for a header", name);
    for (const char *at = value; *at != '\0'; at++) {
        if ((uint8_t)*at < 0x20 && *at != '\t')
            return error_set(error, ERR_INVALID, "header %s has a control character in its value",
                             name);
    }

    AUTO(buf_fini) struct buf line = {0};
    /* curl's way of saying "an empty value" is a semicolon. */
    enum err err =
        *value == '\0' ? buf_printf(&line, "%s;", name) : buf_printf(&line, "%s: %s", name, value);
    const char *text = err ? NULL : buf_text(&line);
    struct curl_slist *list = text == NULL ? NULL : curl_slist_append(transfer->headers, text);
    if (list == NULL)
        return error_set(error, ERR_NOMEM, "header %s", name);
    transfer->headers = list;
    return OK;
}

/* Tells curl that it should send no header of its own invention. */
static enum err drop_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *list = curl_slist_append(transfer->headers, line);
    if (list == NULL)
        return ERR_NOMEM;
    transfer->headers = list;
    return OK;
}

static enum err set_headers(struct transfer *transfer, const struct http_request *request,
                            struct error *error)
{
    bool has_type = false;

    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        enum err err = add_header(transfer, header->name, header->value, error);
        if (err)
            return err;
        has_type = has_type || strcasecmp(header->name, "Content-Type") == 0;
    }
    if (request->bearer_token != NULL) {
        AUTO(buf_fini) struct buf value = {0};
        const char *text = NULL;
        if (!buf_printf(&value, "Bearer %s", request->bearer_token))
            text = buf_text(&value);
        if (text == NULL)
            return error_set(error, ERR_NOMEM, "bearer token");
        enum err err = add_header(transfer, "Authorization", text, error);
        explicit_bzero(value.data, value.len);
        if (err)
            return err;
    }

    /* "Expect: 100-continue" costs a second where the peer ignores it. */
    enum err err = drop_header(transfer, "Expect:");
    if (!err && !has_type)
        err = drop_header(transfer, "Content-Type:");
    if (err)
        return error_set(error, err, "headers");
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
    return OK;
}

static void url_free(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void curl_text_free(char **text)
{
    curl_free(*text);
}

/* Connects to the URL's host, but asks for `server_name`'s certificate. */
static enum err set_server_name(struct transfer *transfer, CURLU *url, const char *server_name,
                                struct error *error)
{
    AUTO(curl_text_free) char *host = NULL;
    AUTO(curl_text_free) char *port = NULL;
    AUTO(buf_fini) struct buf text = {0};

    if (curl_url_get(url, CURLUPART_HOST, &host, 0) ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ||
        curl_url_set(url, CURLUPART_HOST, server_name, 0))
        return error_set(error, ERR_INVALID, "server name '%s'", server_name);

    if (buf_printf(&text, "%s:%s:%s:%s", server_name, port, host, port) || buf_text(&text) == NULL)
        return error_set(error, ERR_NOMEM, "server name");
    transfer->connect_to = curl_slist_append(NULL, buf_text(&text));
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_TO, transfer->connect_to);

    buf_clear(&text);
    if (buf_printf(&text, "%s:%s", host, port) || buf_text(&text) == NULL)
        return error_set(error, ERR_NOMEM, "server name");
    return add_header(transfer, "Host", buf_text(&text), error);
}

static enum err set_url(struct transfer *transfer, const struct http_request *request,
                        struct error *error)
{
    AUTO(url_free) CURLU *url = curl_url();
    AUTO(curl_text_free) char *scheme = NULL;
    AUTO(curl_text_free) char *user = NULL;
    AUTO(curl_text_free) char *full = NULL;

    if (url == NULL)
        return error_set(error, ERR_NOMEM, "URL");
    CURLUcode code = curl_url_set(url, CURLUPART_URL, request->url, 0);
    if (code)
        return error_set(error, ERR_INVALID, "URL '%.*s': %s", (int)strcspn(request->url, "?@"),
                         request->url, curl_url_strerror(code));
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        return error_set(error, ERR_INVALID, "URL '%.*s' is neither http:// nor https://",
                         (int)strcspn(request->url, "?@"), request->url);
    if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        return error_set(error, ERR_INVALID,
                         "a URL must not hold a user name or password; use a header or a token");

    if (request->tls != NULL && request->tls->server_name != NULL) {
        enum err err = set_server_name(transfer, url, request->tls->server_name, error);
        if (err)
            return err;
    }
    if (curl_url_get(url, CURLUPART_URL, &full, 0))
        return error_set(error, ERR_NOMEM, "URL");
    curl_easy_setopt(transfer->easy, CURLOPT_URL, full);
    curl_easy_setopt(transfer->easy, CURLOPT_PROTOCOLS_STR, "http,https");

    AUTO(buf_fini) struct buf shown = {0};
    if (buf_printf(&shown, "%s %.*s", request->method, (int)strcspn(request->url, "?"),
                   request->url) ||
        buf_text(&shown) == NULL)
        return error_set(error, ERR_NOMEM, "URL");
    transfer->shown = xstrdup(buf_text(&shown));
    return OK;
}

static void set_blob(CURL *easy, CURLoption option, struct bytes pem)
{
    union {
        const uint8_t *in;
        void *out;
    } data = {.in = pem.data}; /* curl copies it, but asks for a pointer to change */
    struct curl_blob blob = {.data = data.out, .len = pem.len, .flags = CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct http_tls *tls)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* files are read again */
    if (tls == NULL)
        return;

    if (tls->insecure_skip_verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls->ca_file != NULL || tls->ca_pem.len > 0)
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* these and no others */
    if (tls->ca_file != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
    else if (tls->ca_pem.len > 0)
        set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca_pem);
    if (tls->cert_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
    else if (tls->cert_pem.len > 0)
        set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert_pem);
    if (tls->key_file != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key_file);
    else if (tls->key_pem.len > 0)
        set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key_pem);
}

static void set_method(struct transfer *transfer, const struct http_request *request)
{
    CURL *easy = transfer->easy;
    const char *method = request->method;

    transfer->is_head = strcmp(method, "HEAD") == 0;
    if (transfer->is_head) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request->body.len > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                         request->body.len == 0 ? "" : (const char *)request->body.data);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

static void set_connection(CURL *easy, const struct http_request *request, const char *user_agent,
                           const char *proxy)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, user_agent);
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy == NULL ? "" : proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, proxy == NULL ? "*" : "");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(request->http1 ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* share the connection that is being opened */
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_curl_socket);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    curl_easy_setopt(
        easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(request->connect_timeout_ms > 0 ? request->connect_timeout_ms : CONNECT_TIMEOUT_MS));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->total_timeout_ms);
}

enum err transfer_create(const struct http_request *request, const char *user_agent,
                         const char *proxy, struct transfer **ret_transfer, struct error *error)
{
    ASSERT(request->on_done != NULL);
    if (request->method == NULL || !is_token(request->method))
        return error_set(error, ERR_INVALID, "a request needs a method");
    if (request->url == NULL)
        return error_set(error, ERR_INVALID, "a request needs a URL");

    AUTO(transfer_free) struct transfer *transfer = xcalloc(1, sizeof *transfer);
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL)
        return error_set(error, ERR_NOMEM, "request");

    enum err err = set_url(transfer, request, error);
    if (err)
        return err;
    err = set_headers(transfer, request, error);
    if (err)
        return err;
    set_method(transfer, request);
    set_connection(transfer->easy, request, user_agent, proxy);
    set_tls(transfer->easy, request->tls);

    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
    curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);

    transfer->response.headers.max = HEADERS_MAX;
    transfer->response.body.max = request->response_max > 0 ? request->response_max : RESPONSE_MAX;
    transfer->idle_timeout_ms = request->idle_timeout_ms;
    transfer->on_body = request->on_body;
    transfer->on_done = request->on_done;
    transfer->context = request->context;
    MOVE(*ret_transfer, transfer);
    return OK;
}

/* ---- the outcome, on the client's thread */

static enum err judge(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return OK;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    case CURLE_UNSUPPORTED_PROTOCOL: /* the peer speaks, but no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return ERR_INVALID;
    default:
        return ERR_AGAIN;
    }
}

static enum err check_length(const struct transfer *transfer, struct error *error)
{
    curl_off_t length = -1;

    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (transfer->is_head || length < 0 || (uint64_t)length == transfer->received)
        return OK;
    int status = transfer->response.status;
    if (status == 204 || status == 304)
        return OK;
    return error_set(error, ERR_AGAIN, "%s: the answer was cut off after %" PRIu64 " of %lld bytes",
                     transfer->shown, transfer->received, (long long)length);
}

enum err transfer_outcome(struct transfer *transfer, CURLcode code, struct error *error)
{
    long status = 0;

    if (transfer->stopped) {
        *error = transfer->reason;
        return error_prefix(error, transfer->stopped, "%s", transfer->shown);
    }
    if (code) {
        const char *why =
            transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code);
        return error_set(error, judge(code), "%s: %s", transfer->shown, why);
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = (int)status;
    return check_length(transfer, error);
}

/* ---- reading an answer */

int http_response_status(const struct http_response *response)
{
    return response->status;
}

struct bytes http_response_body(const struct http_response *response)
{
    return buf_bytes(&response->body);
}

const char *http_response_header(const struct http_response *response, const char *name)
{
    const char *found = NULL, *end = (const char *)response->headers.data + response->headers.len;
    size_t len = strlen(name);

    for (const char *at = (const char *)response->headers.data; at < end; at += strlen(at) + 1) {
        if (strncasecmp(at, name, len) == 0 && at[len] == ':')
            found = at + len + 1 + strspn(at + len + 1, " \t");
    }
    return found;
}
