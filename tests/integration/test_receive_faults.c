/* Promise: whichever system call fails while an edge begins to listen, accepts a connection and
 * serves it, and whichever allocation in the middle of a TLS handshake: a request is taken whole,
 * or refused so that clients send it again, or its connection ends; success is never said of what
 * is not stored, and the next request is served; credentials that can't be read again stay. Some
 * calls fail in turn, all of them where SURGETANK_LOSS is set. SURGETANK_SEED repeats a run. */
// link: tests/support/fault_alloc.c tests/support/fault_calls.c tests/support/numbered.c
// link: tests/support/processors.c tests/support/certs.c
// wrap: malloc calloc realloc strdup strndup
// wrap: accept4 epoll_create1 epoll_ctl epoll_wait eventfd fstat inotify_add_watch inotify_init1
// wrap: listen open opendir poll pread pthread_create read recv send setsockopt socket stat statx
#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/tls.h"
#include "sidecar/edge/receive.h"
#include "sidecar/edge/receive_tokens.h"
#include "sidecar/edge/refine.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/otlp/stamp.h"
#include "tests/support/certs.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/fault_calls.h"
#include "tests/support/numbered.h"
#include "tests/support/processors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BODY_MAX = 1 << 20,
    ITEMS = 3,
    NTH_MAX = 5000,
    VARIANTS = 4,
    PATIENCE_MS = 60000,
    STRIDE = 5,
    LOADING_MAX = 200000
};

static struct edge {
    char dir[40], ca[64], certificate[64], key[64];
    struct cert_authority *authority;
    struct tls_context *tls, *client_tls;
    struct net_loop *loop;
    struct net_budget budget;
    struct stamp *stamp;
    struct refine *refine;
    struct spool *spool;
    struct receive *receive;
} edge;

struct breakage {
    void (*fail_at)(unsigned nth, unsigned variant);
    bool (*failed)(void);
    unsigned variants;
    bool secure;
};

/* The test's own calls and allocations do not fail. */
static void spare(bool spared)
{
    fault_alloc_spare(spared);
    fault_calls_spare(spared);
}

/* ---- the edge */

static int begin(void **state)
{
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline("[]", "[]");

    (void)state;
    spare(true);
    edge = (struct edge){.dir = "/tmp/surgetank-faults-XXXXXX",
                         .budget = {.max = 8 << 20, .scratch_max = 8 << 20}};
    assert_non_null(mkdtemp(edge.dir));
    snprintf(edge.ca, sizeof edge.ca, "%s/ca", edge.dir);
    snprintf(edge.certificate, sizeof edge.certificate, "%s/crt", edge.dir);
    snprintf(edge.key, sizeof edge.key, "%s/key", edge.dir);
    edge.authority = cert_authority_create("test authority", edge.ca);
    cert_issue(edge.authority, "server", 600, edge.certificate, edge.key);
    const struct tls_server_options server = {
        .certificate_file = edge.certificate, .key_file = edge.key, .alpn = "h2,http/1.1"};
    const struct tls_client_options client = {.ca_file = edge.ca, .alpn = "http/1.1"};
    assert_ok(tls_server_open(&server, &edge.tls, NULL));
    assert_ok(tls_client_open(&client, &edge.client_tls, NULL));
    assert_ok(stamp_create(NULL, 0, &edge.stamp, NULL));
    assert_ok(refine_open(pipeline, &pipeline->edges[0], &edge.budget, &edge.refine, NULL));
    const struct spool_config config = {
        .dir = edge.dir, .size_bytes = 64 << 20, .save_interval_ms = 1000000};
    assert_ok(spool_open(&config, &edge.spool, NULL));
    return 0;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    refine_close(&edge.refine);
    spool_close(&edge.spool);
    stamp_destroy(&edge.stamp);
    tls_context_close(&edge.tls);
    tls_context_close(&edge.client_tls);
    cert_authority_destroy(&edge.authority);
    snprintf(command, sizeof command, "rm -rf %s", edge.dir);
    assert_int_equal(system(command), 0);
    spare(false);
    return 0;
}

static enum err open_receive(bool secure, struct error *error)
{
    const struct receive_options options = {
        .spool = edge.spool,
        .budget = &edge.budget,
        .tls = secure ? edge.tls : NULL,
        .ack = SPOOL_ACK_SYNCED,
        .address = "127.0.0.1",
        .limits = {.refine = edge.refine,
                   .grpc_body_max = BODY_MAX,
                   .http_body_max = BODY_MAX,
                   .stamp_local = edge.stamp,
                   .stamp_remote = edge.stamp},
        .serves = {[SIGNAL_LOGS] = true},
    };
    enum err err = net_loop_create(&edge.loop, error);
    if (!err)
        err = receive_open(edge.loop, &options, &edge.receive, error);
    if (err)
        net_loop_destroy(&edge.loop);
    return err;
}

static void turn(void)
{
    spare(false);
    net_loop_run_once(edge.loop, 1);
    spare(true);
}

static void settle(void)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (receive_in_spool(edge.receive) > 0) {
        assert_true(clock_mono_ms() < until);
        turn();
    }
    turn();
}

static uint64_t stored_items(void)
{
    struct spool_stats stats;
    spool_stats(edge.spool, &stats);
    return stats.lanes[SIGNAL_LOGS].items;
}

/* ---- a client */

struct client {
    int fd;
    struct tls_stream *tls;
    bool up, ended;
    struct buf request, answer;
    size_t sent;
};

static void dial(struct client *client, bool secure)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(receive_http_port(edge.receive)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .up = !secure};
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(client->fd, F_SETFL, O_NONBLOCK), 0);
    if (secure)
        assert_ok(tls_connect(edge.client_tls, client->fd, "localhost", &client->tls, NULL));
}

static void write_request(struct client *client)
{
    AUTO(buf_fini) struct buf value = {0};

    numbered_request(1, ITEMS, 20, &value);
    assert_ok(buf_printf(&client->request,
                         "POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Type: application/x-protobuf\r\nContent-Length: %zu\r\n\r\n",
                         value.len));
    assert_ok(buf_append(&client->request, buf_bytes(&value)));
}

static enum err give(struct client *client, struct bytes rest, size_t *ret_n)
{
    if (client->tls != NULL)
        return tls_write(client->tls, rest, ret_n, NULL);
    ssize_t n = send(client->fd, rest.data, rest.len, MSG_NOSIGNAL);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0 ? OK : ERR_AGAIN; /* what is wrong, reading will tell */
}

static enum err take(struct client *client, uint8_t *into, size_t cap, size_t *ret_n)
{
    if (client->tls != NULL)
        return tls_read(client->tls, into, cap, ret_n, NULL);
    ssize_t n = recv(client->fd, into, cap, 0);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0 ? OK : n < 0 && (errno == EAGAIN || errno == EINTR) ? ERR_AGAIN : ERR_CLOSED;
}

static void step(struct client *client)
{
    uint8_t chunk[4096];
    size_t n = 0;
    enum err err = client->up ? OK : tls_handshake(client->tls, NULL);

    client->up = err == OK;
    while (!err && client->sent < client->request.len) {
        const struct bytes rest = {client->request.data + client->sent,
                                   client->request.len - client->sent};
        err = give(client, rest, &n);
        client->sent += err ? 0 : n;
    }
    if (client->up)
        while ((err = take(client, chunk, sizeof chunk, &n)) == OK)
            assert_ok(buf_append(&client->answer, (struct bytes){chunk, n}));
    client->ended = err != OK && err != ERR_AGAIN;
}

/* The status; -1: none came. */
static int ask(bool secure)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;
    struct client client;
    int status = -1;

    dial(&client, secure);
    write_request(&client);
    while (!client.ended) {
        assert_true(clock_mono_ms() < until);
        turn();
        step(&client);
    }
    const char *text = client.answer.len == 0 ? "" : buf_text(&client.answer);
    if (strncmp(text, "HTTP/1.1 ", 9) == 0)
        status = (int)strtol(text + 9, NULL, 10);
    tls_stream_close(&client.tls);
    close(client.fd);
    buf_fini(&client.request);
    buf_fini(&client.answer);
    return status;
}

/* ---- each in turn */

static void open_or_say_why(bool secure)
{
    struct error error = {0};

    spare(false);
    enum err err = open_receive(secure, &error);
    spare(true);
    if (err == OK)
        return;
    assert_int_not_equal(error.text[0], '\0');
    assert_ok(open_receive(secure, NULL));
}

/* True: it failed, and all is as it should be. */
static bool fail_one(const struct breakage *breakage, unsigned nth, unsigned variant)
{
    uint64_t before = stored_items();

    breakage->fail_at(nth, variant);
    open_or_say_why(breakage->secure);
    int status = ask(breakage->secure);
    bool failed = breakage->failed();
    breakage->fail_at(0, 0);
    if (status != 200 && status != 503 && status != -1)
        fail_msg("%u, variant %u: answered %d, which clients take as final", nth, variant, status);
    if (status == 200)
        assert_int_equal(stored_items(), before + ITEMS);
    settle();
    before = stored_items();
    assert_int_equal(ask(breakage->secure), 200);
    assert_int_equal(stored_items(), before + ITEMS);
    settle();
    receive_close(&edge.receive);
    net_loop_destroy(&edge.loop);
    assert_int_equal(net_budget_used(&edge.budget), 0);
    return failed;
}

static void fail_each(const struct breakage *breakage)
{
    bool any = true;
    unsigned nth = 0;

    seed_rand();
    while (any && nth < NTH_MAX) {
        any = false;
        nth += getenv("SURGETANK_LOSS") != NULL ? 1 : 1 + (unsigned)rand() % STRIDE;
        for (unsigned variant = 0; variant < breakage->variants; variant++)
            any |= fail_one(breakage, nth, variant);
    }
    print_message("%u of them\n", nth);
    assert_in_range(nth, 5, NTH_MAX - 1);
}

static void fail_alloc_at(unsigned nth, unsigned variant)
{
    (void)variant;
    fault_alloc_fail_at(nth);
}

static bool call_has_failed(void)
{
    return fault_calls_failed() != NULL;
}

static void test_takes_or_defers_whichever_call_fails(void **state)
{
    (void)state;
    fail_each(&(struct breakage){fault_calls_fail_at, call_has_failed, VARIANTS, false});
}

static void test_takes_or_defers_over_tls_whichever_call_fails(void **state)
{
    (void)state;
    fail_each(&(struct breakage){fault_calls_fail_at, call_has_failed, VARIANTS, true});
}

static void test_takes_or_defers_over_tls_whichever_allocation_fails(void **state)
{
    (void)state;
    fail_each(&(struct breakage){fail_alloc_at, fault_alloc_has_failed, 1, true});
}

/* ---- credentials */

static void write_tokens(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* As if it had been replaced by another one. */
static void touch(const char *path, unsigned nth)
{
    const struct timespec times[] = {{.tv_sec = nth}, {.tv_sec = nth}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* What was there before a refresh that fails, stays; the next one takes what is new. True: it
 * failed. */
static bool refresh_one(const struct breakage *breakage, struct receive_tokens *tokens,
                        const char *path, unsigned nth, unsigned now)
{
    static const struct bytes shown[] = {{(const uint8_t *)"Bearer one", 10},
                                         {(const uint8_t *)"Bearer two", 10}};
    bool changed = false;

    write_tokens(path, now == 0 ? "one\n" : "two\n");
    touch(edge.certificate, nth);
    breakage->fail_at(nth, nth);
    spare(false);
    enum err err = receive_tokens_refresh(tokens, &changed, NULL);
    enum err tls = tls_refresh(edge.tls, &changed, NULL);
    spare(true);
    bool failed = breakage->failed();
    breakage->fail_at(0, 0);
    assert_true(receive_tokens_allow(tokens, shown[err == OK ? now : 1 - now]));
    assert_true(tls == OK || failed);
    touch(edge.certificate, nth + LOADING_MAX);
    assert_ok(receive_tokens_refresh(tokens, &changed, NULL));
    assert_ok(tls_refresh(edge.tls, &changed, NULL));
    assert_true(receive_tokens_allow(tokens, shown[now]));
    assert_false(receive_tokens_allow(tokens, shown[1 - now]));
    return failed;
}

/* Each of them in turn, from some stride to the next. */
static void refresh_each(const struct breakage *breakage, unsigned stride)
{
    struct receive_tokens *tokens = NULL;
    char path[64];
    bool any = true;
    unsigned nth = 0;

    seed_rand();
    snprintf(path, sizeof path, "%s/tokens", edge.dir);
    write_tokens(path, "one\n");
    assert_ok(receive_tokens_open(path, &tokens, NULL));
    for (unsigned now = 1; any && nth < LOADING_MAX; now = 1 - now) {
        nth += 1 + (unsigned)rand() % stride;
        any = refresh_one(breakage, tokens, path, nth, now);
    }
    print_message("%u of them\n", nth);
    assert_in_range(nth, 3, LOADING_MAX - 1);
    assert_ok(open_receive(true, NULL));
    assert_int_equal(ask(true), 200);
    settle();
    receive_close(&edge.receive);
    net_loop_destroy(&edge.loop);
    receive_tokens_close(&tokens);
}

static void test_credentials_stay_whatever_fails_while_they_are_read_again(void **state)
{
    (void)state;
    refresh_each(&(struct breakage){.fail_at = fault_calls_fail_at, .failed = call_has_failed}, 1);
    refresh_each(&(struct breakage){.fail_at = fail_alloc_at, .failed = fault_alloc_has_failed},
                 150);
}

/* OpenSSL's allocations are to come here as well; it asks before its first one. */
static void *ssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(size);
}

static void *ssl_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(memory, size);
}

static void ssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_takes_or_defers_whichever_call_fails),
        T(test_takes_or_defers_over_tls_whichever_call_fails),
        T(test_takes_or_defers_over_tls_whichever_allocation_fails),
        T(test_credentials_stay_whatever_fails_while_they_are_read_again),
    };
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
        return 1;
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("receive with faults", tests, NULL, NULL);
}
