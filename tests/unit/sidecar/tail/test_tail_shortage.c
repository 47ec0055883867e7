/* Promise: what can't be had or looked at for want of memory or descriptors is not gone, however
 * long that lasts: no line is lost, read twice or cut in two, no position is lost at a start, and
 * reading goes on afterwards. Each allocation fails in turn; the clock is the test's. */
// link: tests/support/tailing.c tests/support/fake_clock.c tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "tests/support/fake_clock.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/no_descriptors.h"
#include "tests/support/tailing.h"

#include <poll.h>
#include <stdio.h>

enum {
    STEP_MS = 50,
    SOON_MS = 2000,
    LONG_MS = TAIL_GRACE_MS + 1500,
    NTH_MAX = 500,
    POLLS_MAX = 60000
};

static struct tailing t;
static uint64_t now_ms;

static int begin(void **state)
{
    (void)state;
    now_ms = 1000000;
    fake_clock_set_ms(now_ms);
    tailing_begin(&t);
    t.spool_bytes = 64 << 20;
    tailing_open(&t);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tailing_end(&t);
    return 0;
}

static void pass(uint64_t ms)
{
    for (uint64_t until = now_ms + ms; now_ms < until; now_ms += STEP_MS) {
        fake_clock_set_ms(now_ms);
        tail_turn(t.tail, 0);
    }
}

/* The committer takes its own time. It is done with the tail then, which may be closed. */
static void pass_until_stored(void)
{
    pass(SOON_MS);
    for (unsigned polls = 0; !tail_is_stored(t.tail) || tail_in_spool(t.tail); polls++) {
        assert_in_range(polls, 0, POLLS_MAX);
        poll(NULL, 0, 1);
        fake_clock_set_ms(++now_ms);
        tail_turn(t.tail, 0);
    }
}

/* For longer than a file without a name is given, and less than an unfinished line is. */
static void test_names_that_cannot_be_listed_are_not_gone(void **state)
{
    struct rlimit before;

    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 whole\n");
    pass_until_stored();
    tailing_append(tailing_path(&t, "a.log"), "n=1 ");
    pass(SOON_MS);
    assert_true(no_descriptors_begin(0, &before));
    pass(LONG_MS);
    assert_true(no_descriptors_end(&before));
    tailing_append(tailing_path(&t, "a.log"), "the rest\n");
    pass_until_stored();
    tailing_check(&t, 2);
}

static void test_no_position_is_lost_at_a_start_without_memory(void **state)
{
    const struct tail_options options = {.sources = &t.source, .source_count = 1, .spool = t.spool};
    unsigned nth = 0, refused = 0;
    bool failed = true;

    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 once\n");
    pass_until_stored();
    while (failed && nth++ < NTH_MAX) {
        struct error error = {0};
        tail_close(&t.tail);
        fault_alloc_fail_at(nth);
        enum err err = tail_open(&options, &t.tail, &error);
        failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        if (err) {
            refused++;
            assert_true(failed && error.text[0] != '\0');
            assert_ok(tail_open(&options, &t.tail, NULL));
        }
        pass_until_stored();
        assert_int_equal(tail_records(t.tail), 0); /* all of it was read long ago */
    }
    print_message("%u allocations, %u of which the start needs\n", nth - 1, refused);
    assert_in_range(refused, 3, NTH_MAX - 1);
    pass_until_stored();
    tailing_check(&t, 1);
}

/* A name that changes is stored without any line. */
static void test_reads_on_whichever_allocation_for_positions_alone_fails(void **state)
{
    static const char *const names[] = {"a.log", "b.log"};
    unsigned nth = 0;
    bool failed = true;
    uint64_t written = 0;

    (void)state;
    tailing_write(tailing_path(&t, names[0]), written++, 1, 0);
    pass_until_stored();
    while (failed && nth++ < NTH_MAX) {
        const char *from = tailing_path(&t, names[(nth - 1) % 2]);
        const char *to = tailing_path(&t, names[nth % 2]);
        assert_int_equal(rename(from, to), 0);
        fault_alloc_fail_at(nth);
        pass(SOON_MS);
        failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        tailing_write(to, written++, 1, 0);
        pass_until_stored();
        assert_int_equal(tail_records(t.tail), written);
    }
    print_message("%u allocations\n", nth - 1);
    assert_in_range(nth, 3, NTH_MAX - 1);
    tailing_check(&t, written);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_names_that_cannot_be_listed_are_not_gone),
        T(test_no_position_is_lost_at_a_start_without_memory),
        T(test_reads_on_whichever_allocation_for_positions_alone_fails),
    };
    return cmocka_run_group_tests_name("tail without memory or descriptors", tests, NULL, NULL);
}
