/* Promise: memory that runs out and system calls that fail, one at a time, cost a tail no line and
 * double none: what it could not do it does again. Files and spool are real; allocations and calls
 * of opening a tail and of following a file through a rotation fail in turn, some of them, or all
 * where SURGETANK_LOSS is set. SURGETANK_SEED repeats a run. */
// link: tests/support/tailing.c tests/support/fault_alloc.c tests/support/fault_calls.c
// wrap: malloc calloc realloc strdup strndup
// wrap: accept4 epoll_create1 epoll_ctl epoll_wait eventfd fstat inotify_add_watch inotify_init1
// wrap: listen open opendir poll pread pthread_create read recv send setsockopt socket stat statx
#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/fault_calls.h"
#include "tests/support/tailing.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUND = 40, TURNS = 6, PATIENCE_MS = 60000, STEPS_MAX = 3000, STRIDE = 9 };

static struct tailing t;
static uint64_t written, rotations;
static uint64_t before; /* of it, in an earlier tail */

/* The test's own calls and allocations do not fail. */
static void spare(bool spared)
{
    fault_alloc_spare(spared);
    fault_calls_spare(spared);
}

static int begin(void **state)
{
    (void)state;
    spare(true);
    tailing_begin(&t);
    t.source.rescan_ms = 200; /* what is missed is soon found, though nobody says so */
    t.spool_bytes = 64 << 20;
    written = before = rotations = 0;
    tailing_open(&t);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tailing_end(&t);
    spare(false);
    return 0;
}

static void turn(uint32_t wait_ms)
{
    spare(false);
    tail_turn(t.tail, wait_ms);
    spare(true);
}

static void fail_alloc_at(unsigned nth, unsigned variant)
{
    (void)variant;
    fault_alloc_fail_at(nth);
}

static const char *failed_alloc(void)
{
    return fault_alloc_has_failed() ? "an allocation" : NULL;
}

struct fault {
    void (*fail_at)(unsigned nth, unsigned variant);
    const char *(*failed)(void);
    unsigned variants;
};

static const struct fault no_memory = {fail_alloc_at, failed_alloc, 3};
static const struct fault bad_calls = {fault_calls_fail_at, fault_calls_failed, 3};

/* Whole lines, the beginning of one, a rotation now and then, the end of that line. */
static void write_and_follow(unsigned round)
{
    char half[64], name[40];

    tailing_write(tailing_path(&t, "a.log"), written, ROUND, 20);
    written += ROUND;
    snprintf(half, sizeof half, "n=%llu ", (unsigned long long)written++);
    tailing_append(tailing_path(&t, "a.log"), half);
    for (int i = 0; i < TURNS; i++)
        turn(1);
    tailing_append(tailing_path(&t, "a.log"), "end\n");
    if (round % 3 == 0) {
        snprintf(name, sizeof name, "a.log.%llu", (unsigned long long)++rotations);
        assert_int_equal(rename(tailing_path(&t, "a.log"), tailing_path(&t, name)), 0);
        if (rotations > 2) { /* all of it was read long ago */
            snprintf(name, sizeof name, "a.log.%llu", (unsigned long long)rotations - 2);
            assert_int_equal(unlink(tailing_path(&t, name)), 0);
        }
    }
}

/* What is read is stored, or something has failed. */
static void follow(const struct fault *fault)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    while (fault->failed() == NULL &&
           (tail_records(t.tail) < written - before || !tail_is_stored(t.tail))) {
        assert_true(clock_mono_ms() < until);
        turn(5);
    }
    turn(0);
}

/* Nothing fails any more: until all that was written has been read. */
static void catch_up(const char *after)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS;

    for (;;) {
        uint64_t arrived = t.records;
        tailing_collect(&t);
        if (t.records >= written)
            return;
        if (t.records != arrived)
            until = clock_mono_ms() + PATIENCE_MS;
        if (clock_mono_ms() > until)
            fail_msg("after %s: %llu of %llu lines", after, (unsigned long long)t.records,
                     (unsigned long long)written);
        tailing_run_ms(&t, 20);
    }
}

/* A tail comes up after each failure or says what it lacks. */
static void reopen(void)
{
    const struct tail_options options = {.sources = &t.source, .source_count = 1, .spool = t.spool};
    struct error error = {0};

    tail_stop(t.tail, PATIENCE_MS);
    for (uint64_t until = clock_mono_ms() + PATIENCE_MS; tail_in_spool(t.tail); poll(NULL, 0, 1))
        assert_true(clock_mono_ms() < until);
    tail_close(&t.tail);
    before = written;
    spare(false);
    enum err err = tail_open(&options, &t.tail, &error);
    spare(true);
    if (err == OK)
        return;
    assert_int_not_equal(error.text[0], '\0');
    assert_ok(tail_open(&options, &t.tail, NULL));
}

static unsigned stride(void)
{
    return getenv("SURGETANK_LOSS") != NULL ? 1 : 1 + (unsigned)rand() % STRIDE;
}

/* In turn, until one is not reached any more. */
static void fail_each(const struct fault *fault, void (*step)(unsigned round))
{
    unsigned nth = 1;

    seed_rand();
    for (unsigned round = 0; nth < STEPS_MAX; nth += stride()) {
        const char *last = NULL;
        for (unsigned i = 0; i < fault->variants; i++) {
            fault->fail_at(nth, (unsigned)rand());
            step(round++);
            follow(fault);
            const char *failed = fault->failed();
            fault->fail_at(0, 0);
            last = failed != NULL ? failed : last;
            catch_up(failed != NULL ? failed : "nothing");
        }
        if (last == NULL)
            break;
    }
    print_message("%u of them\n", nth);
    assert_in_range(nth, 5, STEPS_MAX - 1);
    tailing_check(&t, written);
}

/* Without rotations, which leave more to recover each time. */
static void reopen_and_follow(unsigned round)
{
    (void)round;
    reopen();
    write_and_follow(1);
}

static void test_no_allocation_that_fails_costs_a_line(void **state)
{
    (void)state;
    fail_each(&no_memory, write_and_follow);
}

static void test_no_call_that_fails_costs_a_line(void **state)
{
    (void)state;
    fail_each(&bad_calls, write_and_follow);
}

static void test_no_allocation_that_fails_at_its_start_costs_a_line(void **state)
{
    (void)state;
    fail_each(&no_memory, reopen_and_follow);
}

static void test_no_call_that_fails_at_its_start_costs_a_line(void **state)
{
    (void)state;
    fail_each(&bad_calls, reopen_and_follow);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_no_allocation_that_fails_costs_a_line),
        T(test_no_call_that_fails_costs_a_line),
        T(test_no_allocation_that_fails_at_its_start_costs_a_line),
        T(test_no_call_that_fails_at_its_start_costs_a_line),
    };
    return cmocka_run_group_tests_name("tail faults", tests, NULL, NULL);
}
