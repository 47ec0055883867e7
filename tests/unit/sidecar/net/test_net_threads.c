/* Servers share a port and a budget between threads, and answers come from a thread of their own,
 * as in the edge, where a committer answers. What TSan has to see is in here.
 */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/grpc_client.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 2, CLIENTS = 6, CALLS = 200 };

struct worker {
    struct net_loop *loop;
    struct net_server *server;
    pthread_t thread;
};

/* For four requests at once: the others wait, and are told by threads that are not theirs. */
static struct net_budget budget = {.max = 8 << 10};
static struct worker workers[WORKERS];

/* What handlers give to the committer. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static struct net_request *waiting[WORKERS * CLIENTS * CALLS];
static unsigned waiting_count;
static bool over;

static void answer(struct net_request *request)
{
    const struct grpc_reply reply = {.status = GRPC_OK, .body = net_request_body(request)};
    grpc_respond(&request, &reply);
}

static void on_request(void *ctx, struct net_request *request)
{
    enum grpc_status status;

    (void)ctx;
    assert_ok(grpc_request_open(request, 1 << 20, &status, NULL));
    pthread_mutex_lock(&mutex);
    waiting[waiting_count++] = request;
    pthread_cond_signal(&arrived);
    pthread_mutex_unlock(&mutex);
}

static void *commit(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    while (!over || waiting_count > 0) {
        while (waiting_count > 0)
            net_request_post(waiting[--waiting_count], answer);
        if (!over)
            pthread_cond_wait(&arrived, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *serve(void *arg)
{
    struct worker *worker = arg;
    net_loop_run(worker->loop);
    net_server_close(&worker->server);
    return NULL;
}

static unsigned done;
static bool all_done;

static void on_done(void *ctx, const struct grpc_result *result)
{
    (void)ctx;
    assert_int_equal(result->outcome, GRPC_CALL_ANSWERED);
    assert_int_equal(result->status, GRPC_OK);
    assert_true(bytes_equal(result->body, BYTES_LITERAL("hello")));
    all_done = ++done == CLIENTS * CALLS;
}

static uint16_t start_workers(void)
{
    struct net_server_options options;

    net_server_options_init(&options);
    options.address = "127.0.0.1";
    options.budget = &budget;
    options.on_request = on_request;
    options.memory_wait_ms = 60000;
    for (int i = 0; i < WORKERS; i++) {
        assert_ok(net_loop_create(&workers[i].loop, NULL));
        assert_ok(net_server_open(workers[i].loop, &options, &workers[i].server, NULL));
        options.port = net_server_port(workers[i].server);
    }
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, serve, &workers[i]), 0);
    return options.port;
}

static uint64_t count_requests(void)
{
    uint64_t requests = 0;
    for (int i = 0; i < WORKERS; i++) {
        struct net_server_stats stats;
        net_server_stats(workers[i].server, &stats);
        requests += stats.requests;
    }
    return requests;
}

static void test_answers_from_another_thread_reach_every_client(void **state)
{
    static const struct bytes hello = {(const uint8_t *)"hello", 5};
    struct grpc_call_params params = {.path = "/s/m",
                                      .message = &hello,
                                      .message_count = 1,
                                      .timeout_ms = 60000,
                                      .done = on_done};
    struct grpc_client_options options;
    struct grpc_client *clients[CLIENTS] = {NULL};
    struct net_loop *loop = NULL;
    pthread_t committer;
    (void)state;

    uint16_t port = start_workers();
    assert_int_equal(pthread_create(&committer, NULL, commit, NULL), 0);
    assert_ok(net_loop_create(&loop, NULL));
    grpc_client_options_init(&options);
    options.host = "localhost";
    options.port = port;
    for (int i = 0; i < CLIENTS; i++) {
        assert_ok(grpc_client_create(loop, &options, &clients[i], NULL));
        for (int n = 0; n < CALLS; n++)
            assert_ok(grpc_client_call(clients[i], &params, NULL, NULL));
    }
    net_peer_run_until(loop, &all_done);
    assert_int_equal(count_requests(), CLIENTS * CALLS);

    for (int i = 0; i < CLIENTS; i++)
        grpc_client_destroy(&clients[i]);
    net_loop_destroy(&loop);
    pthread_mutex_lock(&mutex);
    over = true;
    pthread_cond_signal(&arrived);
    pthread_mutex_unlock(&mutex);
    pthread_join(committer, NULL);
    for (int i = 0; i < WORKERS; i++) {
        net_loop_stop(workers[i].loop);
        pthread_join(workers[i].thread, NULL);
        net_loop_destroy(&workers[i].loop);
    }
    assert_int_equal(net_budget_used(&budget), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_from_another_thread_reach_every_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
