#include "sidecar/net/server_internal.h"

#include "common/assert.h"
#include "common/clock.h"
#include "sidecar/net/http2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    ACCEPTS_A_ROUND = 64,
    ACCEPT_PAUSE_MS = 100, /* after running out of file descriptors or kernel memory */
};

void net_server_options_init(struct net_server_options *options)
{
    *options = (struct net_server_options){
        .connections_max = 1024,
        .streams_max = 256,
        .headers_max = 16 << 10,
        .body_max = 16 << 20,
        .stream_window = 1 << 20,
        .connection_window = 4 << 20,
        .pool_max = 1 << 20,
        .keep_ms = 5000,
        .handshake_timeout_ms = 10 * 1000,
        .header_timeout_ms = 10 * 1000,
        .body_timeout_ms = 60 * 1000,
        .body_stall_ms = 2 * 1000,
        .memory_wait_ms = 5 * 1000,
        .write_timeout_ms = 30 * 1000,
        .idle_timeout_ms = 10 * 60 * 1000,
    };
}

/* ---- accepting */

static enum err watch_listener(struct net_server *server, bool on, struct error *error)
{
    if (server->listener.fd < 0)
        return OK;
    return net_source_watch(server->loop, &server->listener, on ? EPOLLIN : 0, error);
}

static void stop_listening(struct net_server *server)
{
    int fd = server->listener.fd;

    net_timer_cancel(server->loop, &server->accept_timer);
    if (fd < 0)
        return;
    net_source_forget(server->loop, &server->listener);
    close(fd);
}

static void on_accept_timer(struct net_timer *timer)
{
    struct net_server *server = CONTAINER_OF(timer, struct net_server, accept_timer);
    if (watch_listener(server, true, NULL)) /* no memory in the kernel: once more */
        net_timer_set(server->loop, timer, net_loop_now_ms(server->loop) + ACCEPT_PAUSE_MS);
}

static void pause_accepting(struct net_server *server)
{
    /* Failing leaves it watched: that costs CPU until the pressure ends, and nothing else. */
    IGNORE_RESULT(watch_listener(server, false, NULL));
    net_timer_set(server->loop, &server->accept_timer,
                  net_loop_now_ms(server->loop) + ACCEPT_PAUSE_MS);
}

static void on_acceptable(struct net_source *source, uint32_t events)
{
    struct net_server *server = CONTAINER_OF(source, struct net_server, listener);

    (void)events;
    for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(source->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                server_count_refusal(server, NET_REFUSED_CONNECTIONS);
                pause_accepting(server);
            }
            return; /* else none is waiting, or one gave up in the queue */
        }
        server_count(server, COUNT_ACCEPTED, 1);
        if (server->conn_count >= server->options.connections_max) {
            server_count_refusal(server, NET_REFUSED_CONNECTIONS);
            close(fd);
        } else {
            conn_accept(server, fd, &peer);
        }
    }
}

/* ---- opening */

static enum err parse_address(const char *address, uint16_t port, struct sockaddr_storage *ret_addr,
                              socklen_t *ret_len, struct error *error)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
        memcpy(ret_addr, &in, sizeof in);
        *ret_len = sizeof in;
        return OK;
    }
    if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1) {
        memcpy(ret_addr, &in6, sizeof in6);
        *ret_len = sizeof in6;
        return OK;
    }
    return error_set(
        error, ERR_INVALID,
        "'%s' is no address to listen on; use a numeric one such as 0.0.0.0 or ::", address);
}

static enum err bind_and_listen(int fd, const struct sockaddr_storage *addr, socklen_t len,
                                struct error *error)
{
    int yes = 1, no = 0;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0)
        return error_set_errno(error, ERR_IO, "set socket options");
    if (addr->ss_family == AF_INET6) /* refused: then "::" means IPv6 alone */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, (const struct sockaddr *)addr, len) != 0)
        return error_set_errno(error, errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "bind");
    if (listen(fd, BACKLOG) != 0)
        return error_set_errno(error, ERR_IO, "listen");
    return OK;
}

static uint16_t bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr = {.in6 = {0}};
    socklen_t len = sizeof addr;

    if (getsockname(fd, &addr.any, &len) != 0)
        return 0;
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}

static enum err start_listening(struct net_server *server, const char *address, uint16_t port,
                                struct error *error)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = 0;

    enum err err = parse_address(address, port, &addr, &len, error);
    if (err)
        return err;
    server->listener.fd =
        socket(addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (server->listener.fd < 0)
        return error_set_errno(error, ERR_IO, "make a socket");
    err = bind_and_listen(server->listener.fd, &addr, len, error);
    if (err)
        return err;
    server->port = bound_port(server->listener.fd);
    return watch_listener(server, true, error);
}

static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void on_drain_timer(struct net_timer *timer);
static void on_keep_timer(struct net_timer *timer);

enum err net_server_open(struct net_loop *loop, const struct net_server_options *options,
                         struct net_server **ret_server, struct error *error)
{
    const char *address = options->address;

    ASSERT(options->on_request != NULL);
    ASSERT(options->budget != NULL);
    AUTO(net_server_close) struct net_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return error_set(error, ERR_NOMEM, "open server");
    server->loop = loop;
    server->options = *options;
    server->options.address = NULL;
    server->listener = (struct net_source){.ready = on_acceptable, .fd = -1};
    server->accept_timer.fire = on_accept_timer;
    server->drain_timer.fire = on_drain_timer;
    server->keep_timer.fire = on_keep_timer;
    server->stall_timer.fire = stall_look;
    server->pool.kept_max = options->pool_max;
    server->read_buffer = malloc(READ_SIZE);
    if (server->read_buffer == NULL)
        return error_set(error, ERR_NOMEM, "open server");

    enum err err = http2_prepare(server, error);
    if (err)
        return err;
    if (address == NULL)
        address = has_ipv6() ? "::" : "0.0.0.0";
    err = start_listening(server, address, options->port, error);
    if (err)
        return error_prefix(error, err, "listen on %s port %u", address, options->port);

    MOVE(*ret_server, server);
    return OK;
}

uint16_t net_server_port(const struct net_server *server)
{
    return server->port;
}

/* ---- closing */

static uint64_t count_of(const struct net_server *server, enum counter counter)
{
    return atomic_load_explicit(&server->counters[counter], memory_order_relaxed);
}

static void drop_kept(struct net_server *server)
{
    while (server->spare != NULL) {
        struct net_request *request = server->spare;
        server->spare = request->next;
        buf_fini(&request->text);
        buf_fini(&request->reply);
        free(request);
    }
    server->spare_count = 0;
    body_pool_clear(&server->pool);
    atomic_store_explicit(&server->kept, 0, memory_order_relaxed);
    for (unsigned i = 0; i < COMPRESSIONS; i++)
        decompressor_destroy(&server->decompressors[i]);
}

static void on_keep_timer(struct net_timer *timer)
{
    struct net_server *server = CONTAINER_OF(timer, struct net_server, keep_timer);

    if (count_of(server, COUNT_REQUESTS) == server->keep_requests)
        drop_kept(server);
    else
        server_keep(server);
}

void server_keep(struct net_server *server)
{
    atomic_store_explicit(&server->kept, server->pool.kept, memory_order_relaxed);
    if (server->keep_timer.armed || server->closed)
        return;
    server->keep_requests = count_of(server, COUNT_REQUESTS);
    net_timer_set(server->loop, &server->keep_timer,
                  net_loop_now_ms(server->loop) + server->options.keep_ms);
}

static void free_server(struct net_server *server)
{
    drop_kept(server);
    http2_forget(server);
    free(server->read_buffer);
    free(server);
}

static void free_unused(struct net_server *server)
{
    if (server->closed && count_of(server, COUNT_IN_FLIGHT) == 0 &&
        count_of(server, COUNT_WAITING) == 0)
        free_server(server);
}

void net_server_close(struct net_server **server)
{
    struct net_server *old = *server;
    if (old == NULL)
        return;
    *server = NULL;

    stop_listening(old);
    old->drained = true; /* on_drained() is not for this */
    net_timer_cancel(old->loop, &old->drain_timer);
    while (old->conns != NULL)
        conn_close(old->conns);
    net_timer_cancel(old->loop, &old->keep_timer);
    net_timer_cancel(old->loop, &old->stall_timer);
    old->closed = true;
    free_unused(old);
}

void server_request_ended(struct net_server *server)
{
    server_count(server, COUNT_IN_FLIGHT, (uint64_t)-1);
    free_unused(server);
}

void server_wait_ended(struct net_server *server)
{
    server_count(server, COUNT_WAITING, (uint64_t)-1);
    free_unused(server);
}

static void tell_drained(struct net_server *server)
{
    if (!server->draining || server->drained || server->conns != NULL)
        return;
    server->drained = true;
    net_timer_cancel(server->loop, &server->drain_timer);
    if (server->options.on_drained != NULL)
        server->options.on_drained(server->options.ctx);
}

void server_conn_closed(struct net_server *server, struct net_conn *conn)
{
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    server->conn_count--;
    server_count(server, COUNT_CONNECTIONS, (uint64_t)-1);
    if (server->draining && !server->drained &&
        server->conns == NULL) /* told from the timer, not from within */
        net_timer_set(server->loop, &server->drain_timer, net_loop_now_ms(server->loop));
}

static void on_drain_timer(struct net_timer *timer)
{
    struct net_server *server = CONTAINER_OF(timer, struct net_server, drain_timer);

    while (server->conns != NULL)
        conn_refuse(server->conns, NET_REFUSED_SHUTDOWN);
    tell_drained(server);
}

void net_server_set_body_max(struct net_server *server, size_t body_max)
{
    server->options.body_max = body_max;
}

void net_server_drain(struct net_server *server, uint64_t deadline_ms)
{
    struct net_conn *next;

    if (server->draining)
        return;
    server->draining = true;
    stop_listening(server);
    for (struct net_conn *conn = server->conns; conn != NULL; conn = next) {
        next = conn->next;
        conn_drain(conn);
    }
    net_timer_set(server->loop, &server->drain_timer,
                  server->conns == NULL ? net_loop_now_ms(server->loop) : deadline_ms);
}

/* ---- what connections share */

struct decompressor *server_decompressor(struct net_server *server, enum compression compression)
{
    struct decompressor **slot = &server->decompressors[compression];

    if (*slot == NULL && decompressor_create(compression, slot, NULL))
        return NULL;
    decompressor_reset(*slot);
    return *slot;
}

const char *server_date(struct net_server *server)
{
    uint64_t now_s = clock_wall_ms() / 1000;

    if (now_s != server->date_s) {
        time_t when = (time_t)now_s;
        struct tm tm;
        gmtime_r(&when, &tm);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        server->date_s = now_s;
    }
    return server->date;
}

void net_server_stats(const struct net_server *server, struct net_server_stats *ret_stats)
{
    struct net_server_stats stats = {
        .connections_accepted = count_of(server, COUNT_ACCEPTED),
        .requests = count_of(server, COUNT_REQUESTS),
        .responses = count_of(server, COUNT_RESPONSES),
        .responses_lost = count_of(server, COUNT_RESPONSES_LOST),
        .bytes_received = count_of(server, COUNT_BYTES_RECEIVED),
        .bytes_sent = count_of(server, COUNT_BYTES_SENT),
        .connections = count_of(server, COUNT_CONNECTIONS),
        .in_flight = count_of(server, COUNT_IN_FLIGHT),
        .waited = count_of(server, COUNT_WAITED),
        .waiting = count_of(server, COUNT_WAITING),
        .kept_bytes = atomic_load_explicit(&server->kept, memory_order_relaxed),
    };
    for (unsigned i = 0; i < NET_REFUSAL_COUNT; i++)
        stats.refused[i] = atomic_load_explicit(&server->refused[i], memory_order_relaxed);
    *ret_stats = stats;
}

void net_server_stats_add(struct net_server_stats *sum, const struct net_server_stats *stats)
{
    sum->connections_accepted += stats->connections_accepted;
    sum->requests += stats->requests;
    sum->responses += stats->responses;
    sum->responses_lost += stats->responses_lost;
    sum->bytes_received += stats->bytes_received;
    sum->bytes_sent += stats->bytes_sent;
    sum->connections += stats->connections;
    sum->in_flight += stats->in_flight;
    sum->waited += stats->waited;
    sum->waiting += stats->waiting;
    sum->kept_bytes += stats->kept_bytes;
    for (unsigned i = 0; i < NET_REFUSAL_COUNT; i++)
        sum->refused[i] += stats->refused[i];
}
