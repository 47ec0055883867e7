/* A name is with one worker at a time, is never lost, and comes when it is due. */
#include "tests/support/test.h"

#include "controller/queue/workqueue.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static void assert_nothing_until(struct workqueue *queue, uint64_t now, uint64_t want_due)
{
    uint64_t due = 0;
    assert_null(workqueue_get(queue, now, &due, NULL));
    assert_int_equal(due, want_due);
}

static void test_gives_each_name_once_in_order(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);
    uint64_t waited = 0;

    workqueue_add(queue, "a", 1);
    workqueue_add(queue, "b", 2);
    workqueue_add(queue, "a", 3);
    assert_int_equal(workqueue_stats(queue, 3).depth, 2);
    assert_string_equal(workqueue_get(queue, 5, NULL, &waited), "a");
    assert_int_equal(waited, 4);
    assert_string_equal(workqueue_get(queue, 5, NULL, NULL), "b");
    assert_nothing_until(queue, 5, UINT64_MAX);
    assert_int_equal(workqueue_stats(queue, 5).adds, 2);
    workqueue_destroy(&queue);
}

static void test_gives_a_name_added_during_work_again_only_after_it(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);

    workqueue_add(queue, "a", 0);
    const char *name = workqueue_get(queue, 0, NULL, NULL);
    workqueue_add(queue, "a", 1);
    workqueue_add(queue, "a", 2);
    assert_nothing_until(queue, 3, UINT64_MAX);
    assert_int_equal(workqueue_done(queue, name, 7), 7);
    assert_string_equal(workqueue_get(queue, 8, NULL, NULL), "a");
    workqueue_done(queue, "a", 9);
    assert_nothing_until(queue, 9, UINT64_MAX);
    workqueue_destroy(&queue);
}

static void test_bounds_what_is_worked_on_at_once(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(2);

    workqueue_add(queue, "a", 0);
    workqueue_add(queue, "b", 0);
    workqueue_add(queue, "c", 0);
    assert_non_null(workqueue_get(queue, 10, NULL, NULL));
    assert_non_null(workqueue_get(queue, 20, NULL, NULL));
    assert_nothing_until(queue, 20, UINT64_MAX);

    struct workqueue_stats stats = workqueue_stats(queue, 100);
    assert_int_equal(stats.processing, 2);
    assert_int_equal(stats.depth, 1);
    assert_int_equal(stats.unfinished_ms, 170);
    assert_int_equal(stats.longest_ms, 90);

    workqueue_done(queue, "a", 100);
    assert_string_equal(workqueue_get(queue, 100, NULL, NULL), "c");
    workqueue_destroy(&queue);
}

static void test_holds_delayed_names_until_the_earliest_time_asked_for(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);

    workqueue_add_after(queue, "late", 100, 0);
    workqueue_add_after(queue, "a", 50, 0);
    workqueue_add_after(queue, "a", 90, 0);
    workqueue_add_after(queue, "b", 70, 0);
    workqueue_add_after(queue, "b", 20, 0);
    assert_nothing_until(queue, 19, 20);
    assert_string_equal(workqueue_get(queue, 20, NULL, NULL), "b");
    assert_nothing_until(queue, 49, 50);
    assert_string_equal(workqueue_get(queue, 60, NULL, NULL), "a");
    assert_nothing_until(queue, 99, 100);
    assert_string_equal(workqueue_get(queue, 100, NULL, NULL), "late");
    assert_nothing_until(queue, 1000, UINT64_MAX);
    workqueue_destroy(&queue);
}

static void test_keeps_a_delay_that_falls_due_during_work(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);

    workqueue_add_after(queue, "a", 10, 0);
    workqueue_add(queue, "a", 0);
    assert_string_equal(workqueue_get(queue, 0, NULL, NULL), "a");
    assert_nothing_until(queue, 50, UINT64_MAX);
    workqueue_done(queue, "a", 60);
    assert_string_equal(workqueue_get(queue, 60, NULL, NULL), "a");
    workqueue_destroy(&queue);
}

static void test_doubles_the_delay_of_each_failing_name_until_forgotten(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);
    uint64_t want = WORKQUEUE_BACKOFF_MIN_MS, now = 0;

    for (int i = 0; i < 40; i++) {
        assert_int_equal(workqueue_retry(queue, "a", now), want);
        assert_nothing_until(queue, now + want - 1, now + want);
        now += want;
        assert_string_equal(workqueue_get(queue, now, NULL, NULL), "a");
        workqueue_done(queue, "a", now);
        want = want * 2 < WORKQUEUE_BACKOFF_MAX_MS ? want * 2 : WORKQUEUE_BACKOFF_MAX_MS;
    }
    assert_int_equal(workqueue_retry(queue, "b", now), WORKQUEUE_BACKOFF_MIN_MS);
    workqueue_forget(queue, "a");
    assert_int_equal(workqueue_retry(queue, "a", now), WORKQUEUE_BACKOFF_MIN_MS);
    assert_int_equal(workqueue_stats(queue, now).retries, 42);
    workqueue_destroy(&queue);
}

static void test_drops_a_name_wherever_it_is(void **state)
{
    (void)state;
    struct workqueue *queue = workqueue_create(10);

    workqueue_add(queue, "first", 0);
    workqueue_add(queue, "waits", 0);
    workqueue_add_after(queue, "waits", 10, 0);
    workqueue_retry(queue, "delayed", 0);
    workqueue_add(queue, "busy", 0);
    workqueue_drop(queue, "waits");
    workqueue_drop(queue, "delayed");
    workqueue_drop(queue, "unknown");
    assert_string_equal(workqueue_get(queue, 1000, NULL, NULL), "first");
    assert_string_equal(workqueue_get(queue, 1000, NULL, NULL), "busy");
    workqueue_add(queue, "busy", 1000);
    workqueue_drop(queue, "busy");
    workqueue_done(queue, "busy", 1000);
    workqueue_add(queue, "last", 1000); /* the line's end is still right */
    assert_string_equal(workqueue_get(queue, 1000, NULL, NULL), "last");
    assert_nothing_until(queue, 1000, UINT64_MAX);
    workqueue_destroy(&queue);
}

/* Against a plain model: for each name, whether it must come and whether it is in hand. */
static void test_loses_nothing_in_many_random_steps(void **state)
{
    (void)state;
    enum { NAMES = 20, STEPS = 200000 };
    struct workqueue *queue = workqueue_create(3);
    bool must_come[NAMES] = {false}, in_hand[NAMES] = {false};
    uint64_t due[NAMES] = {0};
    uint32_t random = 1;
    char name[8];

    for (uint64_t now = 1; now < STEPS; now++) {
        random = random * 1664525u + 1013904223u;
        unsigned i = (random >> 8) % NAMES;
        snprintf(name, sizeof name, "%u", i);
        for (unsigned k = 0; k < NAMES; k++) {
            if (due[k] != 0 && due[k] <= now) {
                must_come[k] = true;
                due[k] = 0;
            }
        }
        switch (random >> 28) {
        case 0:
        case 1:
        case 2:
            workqueue_add(queue, name, now);
            must_come[i] = true;
            break;
        case 3:
        case 4: {
            uint64_t delay = 1 + (random >> 16) % 50;
            workqueue_add_after(queue, name, delay, now);
            if (due[i] == 0 || now + delay < due[i])
                due[i] = now + delay;
            break;
        }
        case 5:
        case 6:
        case 7:
            if (in_hand[i]) {
                workqueue_done(queue, name, now);
                in_hand[i] = false;
            }
            break;
        default: {
            const char *got = workqueue_get(queue, now, NULL, NULL);
            if (got == NULL)
                break;
            unsigned k = (unsigned)strtoul(got, NULL, 10);
            assert_true(must_come[k]);
            assert_false(in_hand[k]);
            must_come[k] = false;
            in_hand[k] = true;
        }
        }
    }
    for (unsigned k = 0; k < NAMES; k++) { /* all that was asked for comes in the end */
        snprintf(name, sizeof name, "%u", k);
        if (in_hand[k])
            workqueue_done(queue, name, STEPS);
    }
    for (const char *got; (got = workqueue_get(queue, 2 * STEPS, NULL, NULL)) != NULL;) {
        unsigned k = (unsigned)strtoul(got, NULL, 10);
        assert_true(must_come[k] || due[k] != 0);
        must_come[k] = false;
        due[k] = 0;
        workqueue_done(queue, got, 2 * STEPS);
    }
    for (unsigned k = 0; k < NAMES; k++)
        assert_true(!must_come[k] && due[k] == 0);
    workqueue_destroy(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_each_name_once_in_order),
        cmocka_unit_test(test_gives_a_name_added_during_work_again_only_after_it),
        cmocka_unit_test(test_bounds_what_is_worked_on_at_once),
        cmocka_unit_test(test_holds_delayed_names_until_the_earliest_time_asked_for),
        cmocka_unit_test(test_keeps_a_delay_that_falls_due_during_work),
        cmocka_unit_test(test_doubles_the_delay_of_each_failing_name_until_forgotten),
        cmocka_unit_test(test_drops_a_name_wherever_it_is),
        cmocka_unit_test(test_loses_nothing_in_many_random_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
