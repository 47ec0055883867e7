#include "tests/support/http_script.h"

#include "common/buf.h"
#include "common/xalloc.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 512, REQUESTS_MAX = 4096, WAIT_MS = 60000 };

struct http_script {
    const struct http_step *steps;
    size_t step_count;
    char url[64];
    int listener;
    pthread_t acceptor;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    bool stopping;
    size_t next_step;
    char *requests[REQUESTS_MAX];
    size_t request_count;
    pthread_t threads[CONNECTIONS_MAX];
    size_t connection_count;
};

struct connection {
    struct http_script *script;
    int fd;
};

static void nap(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static bool stopping(struct http_script *script)
{
    pthread_mutex_lock(&script->lock);
    bool yes = script->stopping;
    pthread_mutex_unlock(&script->lock);
    return yes;
}

/* Waits for bytes to read; false when the script is stopped. */
static bool readable(struct http_script *script, int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    while (!stopping(script)) {
        if (poll(&poller, 1, 20) > 0)
            return true;
    }
    return false;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

static size_t content_length(const char *head)
{
    const char *at = strcasestr(head, "\r\ncontent-length:");
    return at == NULL ? 0 : strtoul(at + 17, NULL, 10);
}

/* Reads one request; NULL at the end of the connection. */
static char *read_request(struct http_script *script, int fd)
{
    AUTO(buf_fini) struct buf text = {0};

    for (;;) {
        const char *whole = buf_text(&text);
        const char *end = strstr(whole, "\r\n\r\n");
        if (end != NULL && text.len >= (size_t)(end + 4 - whole) + content_length(whole))
            return xstrdup(whole);

        char piece[4096];
        if (!readable(script, fd))
            return NULL;
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        if (got <= 0 || buf_append(&text, (struct bytes){(uint8_t *)piece, (size_t)got}))
            return NULL;
    }
}

static bool send_body(int fd, const struct http_step *step, size_t len)
{
    size_t piece = step->piece > 0 ? step->piece : len;

    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        char head[32];
        if (at > 0 && step->delay_ms > 0)
            nap(step->delay_ms);
        int used = snprintf(head, sizeof head, "%zx\r\n", n);
        if (step->chunked && !send_all(fd, head, (size_t)used))
            return false;
        if (!send_all(fd, step->body + at, n) || (step->chunked && !send_all(fd, "\r\n", 2)))
            return false;
    }
    return true;
}

/* Returns whether the connection goes on. */
static bool play(struct http_script *script, int fd, const struct http_step *step)
{
    size_t len = step->body == NULL ? 0 : strlen(step->body), sent = len;
    AUTO(buf_fini) struct buf head = {0};

    if (step->cut > 0 && step->cut < len)
        sent = step->cut;
    if (step->delay_ms > 0)
        nap(step->delay_ms);
    if (step->status > 0) {
        enum err err = buf_printf(&head, "HTTP/1.1 %d Scripted\r\n%s", step->status,
                                  step->headers == NULL ? "" : step->headers);
        if (!err)
            err = step->chunked ? buf_append_text(&head, "Transfer-Encoding: chunked\r\n\r\n")
                                : buf_printf(&head, "Content-Length: %zu\r\n\r\n", len);
        if (err || !send_all(fd, (const char *)head.data, head.len) || !send_body(fd, step, sent))
            return false;
    }
    if (step->end == HTTP_END_HOLD) {
        char ignored[64];
        while (readable(script, fd) && recv(fd, ignored, sizeof ignored, 0) > 0)
            ;
        return false;
    }
    if (step->end == HTTP_END_CUT)
        return false;
    return !step->chunked || send_all(fd, "0\r\n\r\n", 5);
}

static const struct http_step *take_step(struct http_script *script, char *request)
{
    static const struct http_step beyond = {.status = 599, .body = "no step left"};
    static const struct http_step unexpected = {.status = 598, .body = "unexpected request"};
    const struct http_step *step = &beyond;

    pthread_mutex_lock(&script->lock);
    if (script->request_count < REQUESTS_MAX)
        script->requests[script->request_count++] = request;
    if (script->next_step < script->step_count)
        step = &script->steps[script->next_step++];
    pthread_cond_broadcast(&script->changed);
    pthread_mutex_unlock(&script->lock);

    if (step->expect != NULL && strstr(request, step->expect) == NULL) {
        fprintf(stderr, "http_script: wanted '%s' in: %s\n", step->expect, request);
        return &unexpected;
    }
    return step;
}

static void *serve(void *context)
{
    struct connection *connection = context;
    struct http_script *script = connection->script;

    for (;;) {
        char *request = read_request(script, connection->fd);
        if (request == NULL || !play(script, connection->fd, take_step(script, request)))
            break;
    }
    close(connection->fd);
    free(connection);
    return NULL;
}

static void *accept_all(void *context)
{
    struct http_script *script = context;

    while (readable(script, script->listener)) {
        struct connection *connection = xcalloc(1, sizeof *connection);
        connection->script = script;
        connection->fd = accept(script->listener, NULL, NULL);
        pthread_mutex_lock(&script->lock);
        if (connection->fd < 0 || script->connection_count == CONNECTIONS_MAX ||
            pthread_create(&script->threads[script->connection_count], NULL, serve, connection) !=
                0) {
            close(connection->fd);
            free(connection);
        } else {
            int on = 1;
            IGNORE_RESULT(setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
            script->connection_count++;
        }
        pthread_mutex_unlock(&script->lock);
    }
    return NULL;
}

struct http_script *http_script_start(const struct http_step *steps, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct http_script *script = xcalloc(1, sizeof *script);

    script->steps = steps;
    script->step_count = count;
    pthread_mutex_init(&script->lock, NULL);
    pthread_cond_init(&script->changed, NULL);
    script->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(script->listener, (struct sockaddr *)&address, size) != 0 ||
        listen(script->listener, 128) != 0 ||
        getsockname(script->listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&script->acceptor, NULL, accept_all, script) != 0) {
        perror("http_script");
        abort();
    }
    snprintf(script->url, sizeof script->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return script;
}

void http_script_stop(struct http_script **slot)
{
    struct http_script *script = *slot;
    if (script == NULL)
        return;

    pthread_mutex_lock(&script->lock);
    script->stopping = true;
    pthread_mutex_unlock(&script->lock);
    pthread_join(script->acceptor, NULL);
    for (size_t i = 0; i < script->connection_count; i++)
        pthread_join(script->threads[i], NULL);
    for (size_t i = 0; i < script->request_count; i++)
        free(script->requests[i]);
    close(script->listener);
    pthread_cond_destroy(&script->changed);
    pthread_mutex_destroy(&script->lock);
    free(script);
    *slot = NULL;
}

const char *http_script_url(const struct http_script *script)
{
    return script->url;
}

bool http_script_wait(struct http_script *script, size_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;

    pthread_mutex_lock(&script->lock);
    int failed = 0;
    while (script->request_count < count && !failed)
        failed = pthread_cond_timedwait(&script->changed, &script->lock, &until);
    bool came = script->request_count >= count;
    pthread_mutex_unlock(&script->lock);
    return came;
}

size_t http_script_requests(struct http_script *script)
{
    pthread_mutex_lock(&script->lock);
    size_t count = script->request_count;
    pthread_mutex_unlock(&script->lock);
    return count;
}

size_t http_script_connections(struct http_script *script)
{
    pthread_mutex_lock(&script->lock);
    size_t count = script->connection_count;
    pthread_mutex_unlock(&script->lock);
    return count;
}

const char *http_script_request(struct http_script *script, size_t nth)
{
    pthread_mutex_lock(&script->lock);
    const char *request = nth < script->request_count ? script->requests[nth] : "";
    pthread_mutex_unlock(&script->lock);
    return request;
}
