/* An id is known among the last SEEN_MAX, and the share of dead letters is that of the last minute.
 */
#include "tests/support/test.h"

#include "sidecar/gateway/seen.h"
#include "sidecar/gateway/share.h"

#include <stdio.h>

static bool see(struct seen *seen, int number)
{
    char id[32];
    int len = snprintf(id, sizeof id, "00aa-%d-0/1", number);
    struct bytes bytes = {(const uint8_t *)id, (size_t)len};
    bool known = seen_knows(seen, bytes);
    seen_add(seen, bytes);
    return known;
}

static void test_knows_the_last_ids_and_forgets_older_ones(void **state)
{
    (void)state;
    struct seen seen = {0};

    for (int i = 0; i < 3 * SEEN_MAX; i++) {
        assert_false(see(&seen, i));
        assert_true(see(&seen, i));
        if (i >= SEEN_MAX - 1)
            assert_true(see(&seen, i - SEEN_MAX + 1));
    }
    assert_false(see(&seen, 0));
    assert_false(seen_knows(&seen, (struct bytes){0}));
    seen_fini(&seen);
}

/* What was looked up later and is older makes room for what is newer, never the other way round. */
static void test_what_was_looked_up_comes_before_what_was_read(void **state)
{
    (void)state;
    struct seen seen = {0}, earlier = {0};

    for (int i = 0; i < 10; i++)
        assert_false(see(&seen, 2000 + i));
    for (int i = 0; i < SEEN_MAX; i++)
        assert_false(see(&earlier, i));
    seen_join(&seen, &earlier);
    assert_null(earlier.ring);
    assert_true(see(&seen, 2000));
    assert_true(see(&seen, 2009));
    assert_true(see(&seen, 10)); /* the oldest ten had to go */
    assert_true(see(&seen, SEEN_MAX - 1));
    assert_false(see(&seen, 9));
    seen_fini(&seen);
    assert_false(see(&seen, 3));
    seen_join(&seen, &earlier); /* nothing was found */
    assert_true(see(&seen, 3));
    seen_fini(&seen);
}

static void test_share_counts_the_last_minute_only(void **state)
{
    (void)state;
    struct share share = {0};
    uint64_t now = 1000000;

    for (int i = 0; i < 30; i++)
        share_add(&share, now, 0, 1);
    assert_true(share_exceeds(&share, now, 20, 10));
    assert_false(share_exceeds(&share, now, 31, 10));
    share_add(&share, now, 300, 0); /* 30 of 330: under a tenth */
    assert_false(share_exceeds(&share, now, 20, 10));
    assert_true(share_exceeds(&share, now, 20, 9));
    assert_false(share_exceeds(&share, now + 60000, 20, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_the_last_ids_and_forgets_older_ones),
        cmocka_unit_test(test_what_was_looked_up_comes_before_what_was_read),
        cmocka_unit_test(test_share_counts_the_last_minute_only),
    };
    return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
