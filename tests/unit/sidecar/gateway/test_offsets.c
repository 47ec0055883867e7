/* What may be committed: never past a message that is outstanding, never back, and all of it in the
 * end. */
#include "tests/support/test.h"

#include "sidecar/gateway/offsets.h"

#include <stdio.h>
#include <stdlib.h>

static void test_commits_up_to_the_lowest_outstanding(void **state)
{
    (void)state;
    struct offsets offsets;

    offsets_init(&offsets, 5);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 5); /* where reading began */
    for (int64_t offset = 5; offset <= 10; offset++)
        if (offset != 8) /* a marker */
            assert_ok(offsets_add(&offsets, offset));
    offsets_done(&offsets, 6, 1);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 5);
    offsets_done(&offsets, 5, 1);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 7);
    offsets_done(&offsets, 9, 1);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 7);
    offsets_done(&offsets, 7, 1);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 10);
    offsets_done(&offsets, 10, 1);
    assert_int_equal(offsets_commit(&offsets, 1, 0), 11);
    assert_int_equal(offsets_held(&offsets), 0);
    offsets_fini(&offsets);
}

static void test_waits_until_the_backend_has_settled(void **state)
{
    (void)state;
    struct offsets offsets;

    offsets_init(&offsets, 0);
    assert_ok(offsets_add(&offsets, 0));
    assert_ok(offsets_add(&offsets, 1));
    offsets_done(&offsets, 1, 1000);
    offsets_done(&offsets, 0, 1500);
    assert_int_equal(offsets_commit(&offsets, 2499, 1000), 0);
    assert_int_equal(offsets_commit(&offsets, 2500, 1000), 2);
    offsets_fini(&offsets);
}

static void test_refuses_a_message_that_comes_twice(void **state)
{
    (void)state;
    struct offsets offsets;

    offsets_init(&offsets, 3);
    assert_int_equal(offsets_add(&offsets, 2), ERR_INVALID);
    assert_ok(offsets_add(&offsets, 3));
    assert_int_equal(offsets_add(&offsets, 3), ERR_INVALID);
    assert_int_equal(offsets_held(&offsets), 1);
    offsets_fini(&offsets);
}

static void test_done_twice_or_without_being_read_is_our_mistake(void **state)
{
    (void)state;
    struct offsets offsets;

    offsets_init(&offsets, 0);
    assert_ok(offsets_add(&offsets, 0));
    expect_assert_failure(offsets_done(&offsets, 1, 1));
    offsets_done(&offsets, 0, 1);
    expect_assert_failure(offsets_done(&offsets, 0, 1));
    offsets_fini(&offsets);
}

enum { MESSAGES = 400 };

/* Reads and finishes in random order; a model with one flag a message says what may be committed.
 */
static void run_at_random(unsigned seed)
{
    bool read[MESSAGES] = {false}, finished[MESSAGES] = {false};
    struct offsets offsets;
    int next = 0, left = MESSAGES;

    srand(seed);
    offsets_init(&offsets, 0);
    while (left > 0) {
        if (next < MESSAGES && rand() % 2 == 0) {
            if (rand() % 8 == 0) { /* a gap */
                finished[next] = read[next] = true;
                left--;
            } else {
                assert_ok(offsets_add(&offsets, next));
                read[next] = true;
            }
            next++;
        }
        int pick = rand() % MESSAGES;
        if (read[pick] && !finished[pick]) {
            offsets_done(&offsets, pick, 1);
            finished[pick] = true;
            left--;
        }
        int64_t commit = offsets_commit(&offsets, 2, 0);
        for (int64_t i = 0; i < commit; i++)
            if (!finished[i])
                fail_msg("seed %u: committed %d, but %d is outstanding", seed, (int)commit, (int)i);
        int lowest = 0;
        while (lowest < next && finished[lowest])
            lowest++;
        if (commit < lowest && !(read[lowest - 1] && commit + 8 >= lowest))
            fail_msg("seed %u: committed %d of %d", seed, (int)commit, lowest);
    }
    assert_int_equal(offsets_held(&offsets), 0);
    offsets_fini(&offsets);
}

static void test_agrees_with_a_model_whatever_the_order(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++)
        run_at_random(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_up_to_the_lowest_outstanding),
        cmocka_unit_test(test_waits_until_the_backend_has_settled),
        cmocka_unit_test(test_refuses_a_message_that_comes_twice),
        cmocka_unit_test(test_done_twice_or_without_being_read_is_our_mistake),
        cmocka_unit_test(test_agrees_with_a_model_whatever_the_order),
    };
    return cmocka_run_group_tests_name("offsets", tests, NULL, NULL);
}
