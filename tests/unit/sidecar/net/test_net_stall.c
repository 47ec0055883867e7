/* Promise: a sender that was given memory for a body and then stalls keeps it only as long as
 * nobody else wants it; and nobody is taken for stalled whose bytes come, or could not be read. */
// link: tests/support/net_peer.c
#include "tests/support/test.h"

#include "sidecar/net/net_server.h"
#include "tests/support/net_peer.h"

#include <poll.h>
#include <string.h>

#define HEAD "POST /v1/logs HTTP/1.1\r\nHost: here\r\n"

enum { SENDERS = 8, BODY = 8000, CHARGED = 8192, LONG_MS = 120000, SERVERS = 2 };

static struct fixture {
    struct net_loop *loop;
    struct net_budget budget;
    struct net_server_options options;
    struct net_server *servers[SERVERS];
    struct net_peer senders[SENDERS], other;
    unsigned requests;
} f;

static char body[BODY];

static void on_request(void *ctx, struct net_request *request)
{
    static const struct net_response fine = {.status = 200};
    static const struct net_response none = {.status = 507};

    (void)ctx;
    f.requests++;
    net_respond(&request, net_request_refusal(request) == NET_REFUSED_NOT ? &fine : &none);
}

static int set_up(void **state)
{
    (void)state;
    f = (struct fixture){.budget = {.max = SENDERS * CHARGED}};
    f.other.fd = -1;
    for (int i = 0; i < SENDERS; i++)
        f.senders[i].fd = -1;
    assert_ok(net_loop_create(&f.loop, NULL));
    net_server_options_init(&f.options);
    f.options.address = "127.0.0.1";
    f.options.budget = &f.budget;
    f.options.on_request = on_request;
    f.options.body_timeout_ms = f.options.memory_wait_ms = LONG_MS;
    f.options.body_stall_ms = 40;
    return 0;
}

static void start(void)
{
    for (int i = 0; i < SERVERS; i++)
        assert_ok(net_server_open(f.loop, &f.options, &f.servers[i], NULL));
}

static int tear_down(void **state)
{
    (void)state;
    net_peer_close(&f.other);
    for (int i = 0; i < SENDERS; i++)
        net_peer_close(&f.senders[i]);
    for (int i = 0; i < SERVERS; i++)
        net_server_close(&f.servers[i]);
    net_loop_destroy(&f.loop);
    assert_int_equal(net_budget_used(&f.budget), 0);
    assert_int_equal(f.budget.overhead, 0);
    return 0;
}

static uint64_t stalled(void)
{
    struct net_server_stats stats;
    net_server_stats(f.servers[0], &stats);
    return stats.refused[NET_REFUSED_BODY_STALLED];
}

/* `count` senders have all the memory, and have sent five bytes each. */
static void fill(int count, const char *head)
{
    f.budget.max = (size_t)count * CHARGED;
    for (int i = 0; i < count; i++) {
        net_peer_connect(&f.senders[i], f.loop, net_server_port(f.servers[0]));
        net_peer_send_text(&f.senders[i], head);
        net_peer_send_text(&f.senders[i], "hello");
    }
    while (net_budget_used(&f.budget) < f.budget.max)
        net_loop_run_once(f.loop, 10);
}

/* One more, which waits for memory. */
static void send_other(struct net_server *to)
{
    net_peer_connect(&f.other, f.loop, net_server_port(to));
    net_peer_send_text(&f.other, HEAD "Content-Length: 8000\r\n\r\n");
    net_peer_send(&f.other, body, BODY);
}

static bool has_begun(int sender)
{
    net_peer_take(&f.senders[sender]);
    return strstr(net_peer_text(&f.senders[sender]), " 100 Continue") != NULL;
}

static void await_other_waiting(void)
{
    while (!net_budget_is_waited_for(&f.budget))
        net_loop_run_once(f.loop, 10);
}

static int ended(void)
{
    int count = 0;
    for (int i = 0; i < SENDERS; i++)
        if (f.senders[i].fd >= 0 && net_peer_take(&f.senders[i])) {
            net_peer_await_text(&f.senders[i], "HTTP/1.1 503 ");
            net_peer_await_text(&f.senders[i], "retry-after: 1\r\n");
            count++;
        }
    return count;
}

static void one_gives_way(struct net_server *to)
{
    fill(SENDERS, HEAD "Content-Length: 8000\r\n\r\n");
    net_peer_run_for(f.loop, 120);
    assert_int_equal(stalled(), 0); /* nobody wants it */
    send_other(to);
    net_peer_await_text(&f.other, "HTTP/1.1 200 ");
    assert_int_equal(stalled(), 1);
    net_peer_run_for(f.loop, 120);
    assert_int_equal(ended(), 1); /* and none but as much as was wanted */
    assert_int_equal(stalled(), 1);
    assert_int_equal(f.requests, 1);
}

static void test_a_stalled_body_gives_way_to_who_waits(void **state)
{
    (void)state;
    start();
    one_gives_way(f.servers[0]);
}

static void test_who_waits_may_be_with_another_thread(void **state)
{
    (void)state;
    start();
    one_gives_way(f.servers[1]);
}

static void test_the_place_of_one_serves_others_in_turn(void **state)
{
    (void)state;
    start();
    fill(SENDERS, HEAD "Content-Length: 8000\r\n\r\n");
    for (unsigned i = 1; i <= 2 * SENDERS; i++) {
        send_other(f.servers[0]);
        net_peer_await_text(&f.other, "HTTP/1.1 200 ");
        net_peer_close(&f.other);
        assert_int_equal(f.requests, i);
    }
    assert_int_equal(stalled(), 1);
}

static void test_bytes_that_only_trickle_are_a_stall(void **state)
{
    (void)state;
    start();
    fill(1, HEAD "Content-Length: 8000\r\n\r\n");
    send_other(f.servers[0]);
    for (int i = 0; i < 5000 && stalled() == 0; i++) {
        net_peer_send_text(&f.senders[0], "x");
        net_peer_run_for(f.loop, 2);
    }
    assert_int_equal(stalled(), 1);
    net_peer_await_text(&f.other, "HTTP/1.1 200 ");
}

/* More than a dozen times as long as a stall may last. */
static void test_a_body_that_comes_slowly_keeps_its_turn(void **state)
{
    static char chunk[8 * 1024 + 1];

    (void)state;
    start();
    fill(1, HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\n");
    net_peer_send_text(&f.senders[0], "\r\n");
    send_other(f.servers[0]);
    memset(chunk, 'x', sizeof chunk - 1);
    for (int i = 0; i < 60; i++) {
        net_peer_send_text(&f.senders[0], "2000\r\n");
        net_peer_send_text(&f.senders[0], chunk);
        net_peer_send_text(&f.senders[0], "\r\n");
        net_peer_run_for(f.loop, 10);
        assert_int_equal(stalled(), 0);
    }
    assert_true(net_budget_is_waited_for(&f.budget));
    net_peer_send_text(&f.senders[0], "0\r\n\r\n");
    net_peer_await_text(&f.senders[0], "HTTP/1.1 200 ");
    net_peer_await_text(&f.other, "HTTP/1.1 200 ");
    assert_int_equal(stalled(), 0);
}

static void test_who_has_waited_has_as_long_as_others(void **state)
{
    (void)state;
    f.options.body_stall_ms = 4000; /* looked after each quarter of it */
    start();
    fill(1, HEAD "Content-Length: 8000\r\n\r\n");
    for (int i = 1; i <= 2; i++) { /* one waits while the other has it */
        net_peer_connect(&f.senders[i], f.loop, net_server_port(f.servers[0]));
        net_peer_send_text(&f.senders[i],
                           HEAD "Content-Length: 8000\r\nExpect: 100-continue\r\n\r\n");
    }
    await_other_waiting();
    net_peer_send(&f.senders[0], body, BODY - 5);
    while (!has_begun(1) && !has_begun(2))
        net_loop_run_once(f.loop, 10);
    int first = has_begun(1) ? 1 : 2;
    net_peer_run_for(f.loop, 1100);
    assert_int_equal(stalled(), 0);
    net_peer_send(&f.senders[first], body, BODY);
    net_peer_await_text(&f.senders[3 - first], " 100 Continue");
    net_peer_send(&f.senders[3 - first], body, BODY);
    for (int i = 0; i <= 2; i++)
        net_peer_await_text(&f.senders[i], "HTTP/1.1 200 ");
    assert_int_equal(stalled(), 0);
}

static void test_who_was_held_up_itself_judges_nobody(void **state)
{
    (void)state;
    f.options.body_stall_ms = 1000;
    start();
    fill(1, HEAD "Content-Length: 8000\r\n\r\n");
    send_other(f.servers[0]);
    await_other_waiting();
    poll(NULL, 0, 1200); /* the loop does not run */
    net_loop_run_once(f.loop, 0);
    net_loop_run_once(f.loop, 0);
    assert_int_equal(stalled(), 0);
    net_peer_send(&f.senders[0], body, BODY - 5);
    net_peer_await_text(&f.senders[0], "HTTP/1.1 200 ");
    net_peer_await_text(&f.other, "HTTP/1.1 200 ");
    assert_int_equal(stalled(), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_a_stalled_body_gives_way_to_who_waits),
        T(test_who_waits_may_be_with_another_thread),
        T(test_the_place_of_one_serves_others_in_turn),
        T(test_bytes_that_only_trickle_are_a_stall),
        T(test_a_body_that_comes_slowly_keeps_its_turn),
        T(test_who_has_waited_has_as_long_as_others),
        T(test_who_was_held_up_itself_judges_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
