/* Promise: whatever allocation or system call fails in an edge, be it while it starts, takes
 * requests, takes over a changed document, follows files, sends to Kafka or stops: it goes on, or
 * says why it can't and ends, and what it had acknowledged is in Kafka after the next start. The
 * edge is a process, and a random one of its calls, of whichever thread, fails in each life.
 *
 * SURGETANK_SEED repeats a run; SURGETANK_LOSS=N makes it N times as long. */
// link: tests/support/broker_process.c tests/support/edge_process.c tests/support/ledger.c
// link: tests/support/sender.c tests/support/mock_kafka.c tests/support/numbered.c
// link: tests/support/free_port.c tests/support/edge_trial.c
// link: tests/support/fault_alloc.c tests/support/fault_calls.c
// wrap: malloc calloc realloc strdup strndup
// wrap: accept4 epoll_create1 epoll_ctl epoll_wait eventfd fstat inotify_add_watch inotify_init1
// wrap: listen open opendir poll pread pthread_create read recv send setsockopt socket stat statx
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "tests/support/edge_trial.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/fault_calls.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { LIVES = 24 };

static unsigned nth, variant;
static struct {
    unsigned up, ended, aborted;
} lives;

static void write_document(bool other)
{
    char files[160];

    snprintf(files, sizeof files, "        files: [{name: f, paths: ['%s/*.log']}]\n", edge.dir);
    edge_process_write(&edge,
                       &(struct edge_document){.bootstrap = broker.bootstrap,
                                               .topic = "t",
                                               .receivers = files,
                                               .spool = other ? "{size: 128Mi, minFree: 0%}"
                                                              : "{size: 64Mi, minFree: 0%}"});
}

static int begin(void **state)
{
    (void)state;
    trial_begin();
    lives.up = lives.ended = lives.aborted = 0;
    write_document(false);
    ledger.may_repeat = true; /* where it is the Kafka client whose call failed */
    return 0;
}

/* In the edge's process. */
static void run_out_of_memory(void)
{
    fault_alloc_fail_at(nth);
}

static void fail_a_call(void)
{
    fault_calls_fail_at(nth, variant);
}

/* By its own decision, or for want of memory (xalloc.h, and librdkafka does the same). */
static void judge_end(int status)
{
    edge.pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT)
        fail_msg("call %u, variant %u: died of signal %d", nth, variant, WTERMSIG(status));
    lives.aborted += WIFSIGNALED(status);
    lives.ended += WIFEXITED(status) && WEXITSTATUS(status) != 0;
}

static bool has_ended(void)
{
    int status = 0;

    if (waitpid(edge.pid, &status, WNOHANG) == 0)
        return false;
    judge_end(status);
    return true;
}

/* False: it ended instead. */
static bool comes_up(void)
{
    uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;

    for (;;) {
        AUTO(buf_fini) struct buf body = {0};
        if (edge_process_get(edge.health_port, NAMES_PATH_READY, &body))
            return true;
        if (has_ended())
            return false;
        if (clock_mono_ms() > until)
            fail_msg("call %u, variant %u: neither ready nor gone", nth, variant);
        poll(NULL, 0, 5);
    }
}

static void live_once(unsigned number)
{
    edge_process_start(&edge);
    if (!comes_up())
        return;
    lives.up++;
    write_document(number % 2 == 0);
    assert_int_equal(kill(edge.pid, SIGHUP), 0);
    sender_run(&sender, 30);
    if (number % 4 == 0)
        edge_process_terminate(&edge);
    sender_finish(&sender);
    sender_close(&sender);
    if (has_ended())
        return;
    if (number % 4 == 0)
        judge_end(edge_process_wait(&edge));
    else
        edge_process_kill(&edge);
}

/* Few are needed to fail while it starts, thousands while it works. */
static void live_and_check(void (*prepare)(void))
{
    edge.prepare = prepare;
    for (unsigned i = 0; i < LIVES * trial_factor(); i++) {
        nth = 1 + (unsigned)rand() % (8u << rand() % 12);
        variant = (unsigned)rand() % 4;
        live_once(i);
    }
    edge.prepare = NULL;
    edge_process_start(&edge);
    edge_process_await_ready(&edge);
    sender_run(&sender, 20);
    sender_finish(&sender);
    edge_process_await_empty(&edge);
    trial_check();
    print_message("%u lives came up, %u ended with a reason, %u for want of memory; %zu records "
                  "acknowledged, all in Kafka\n",
                  lives.up, lives.ended, lives.aborted, ledger_promised(&ledger));
}

static void test_an_edge_that_runs_out_of_memory_loses_nothing(void **state)
{
    (void)state;
    live_and_check(run_out_of_memory);
}

static void test_an_edge_whose_calls_fail_loses_nothing_and_goes_on(void **state)
{
    (void)state;
    live_and_check(fail_a_call);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_edge_that_runs_out_of_memory_loses_nothing, begin,
                                        trial_end),
        cmocka_unit_test_setup_teardown(test_an_edge_whose_calls_fail_loses_nothing_and_goes_on,
                                        begin, trial_end),
    };
    return cmocka_run_group_tests_name("edge faults", tests, NULL, NULL);
}
