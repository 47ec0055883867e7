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
    return seen_before(seen, (struct bytes){(const uint8_t *)id, (size_t)len});
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
    assert_false(seen_before(&seen, (struct bytes){0}));
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
        cmocka_unit_test(test_share_counts_the_last_minute_only),
    };
    return cmocka_run_group_tests_name("seen", tests, NULL, NULL);
}
