/* Promise: replicas stand on the numbers at which the busiest one has fewer partitions, and the HPA
 * is told bounds that it can't misread. */
#include "tests/support/test.h"

#include "controller/scaling/scaling.h"
#include "controller/scaling/text.h"

static void test_steps_are_where_the_largest_share_changes(void **state)
{
    (void)state;
    static const uint32_t of_126[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                      12, 13, 14, 16, 18, 21, 26, 32, 42, 63, 126};
    size_t at = 0;
    for (uint32_t r = 1; r <= 126; r++) {
        while (of_126[at] < r)
            at++;
        assert_int_equal(scaling_step_up(126, r), of_126[at]);
        assert_int_equal(scaling_step_down(126, r), of_126[at] == r ? r : of_126[at - 1]);
    }
}

static void test_steps_agree_with_their_definition_for_every_small_topic(void **state)
{
    (void)state;
    for (uint32_t p = 1; p <= 200; p++) {
        for (uint32_t r = 1; r <= p; r++) {
            uint32_t down = scaling_step_down(p, r), up = scaling_step_up(p, r);
            assert_true(down <= r && r <= up && up <= p);
            assert_int_equal((p + down - 1) / down, (p + r - 1) / r);
            assert_true(down == 1 || (p + down - 2) / (down - 1) > (p + down - 1) / down);
            assert_true(up == r || (p + up - 1) / up < (p + r - 1) / r);
            assert_true(up == r || (p + up - 2) / (up - 1) == (p + r - 1) / r);
        }
    }
}

static void test_a_step_is_never_above_the_partitions(void **state)
{
    (void)state;
    assert_int_equal(scaling_step_up(12, 500), 12);
    assert_int_equal(scaling_step_down(12, 500), 12);
    assert_int_equal(scaling_step_up(12, 0), 0);
    assert_int_equal(scaling_step_up(UINT32_MAX, UINT32_MAX - 1), UINT32_MAX);
    assert_int_equal(scaling_step_up(0, 7), 7); /* partitions not known yet */
}

static void test_the_hpa_floor_follows_the_lag_and_only_cpu_lifts_its_ceiling(void **state)
{
    (void)state;
    struct scaling_bounds bounds = scaling_hpa_bounds(false, 6, 12);
    assert_int_equal(bounds.replicas_min, 6);
    assert_int_equal(bounds.replicas_max, 6);
    bounds = scaling_hpa_bounds(true, 6, 12);
    assert_int_equal(bounds.replicas_min, 6);
    assert_int_equal(bounds.replicas_max, 12);
    bounds = scaling_hpa_bounds(true, 0, 12); /* an HPA can't say 0 */
    assert_int_equal(bounds.replicas_min, 1);
    assert_int_equal(bounds.replicas_max, 12);
    bounds = scaling_hpa_bounds(true, 14, 12);
    assert_int_equal(bounds.replicas_max, 14);
}

static void test_scale_is_not_taken_from_whoever_rightly_holds_it(void **state)
{
    (void)state;
    assert_false(scaling_must_patch(SCALING_FIXED, false, 1, 5));
    assert_true(scaling_must_patch(SCALING_DIRECT, false, 5, 2));
    assert_true(scaling_must_patch(SCALING_HPA, false, 5, 2));
    assert_false(scaling_must_patch(SCALING_HPA, true, 5, 2)); /* CPU asks for the five */
    assert_true(scaling_must_patch(SCALING_HPA, true, 2, 5));
    assert_true(scaling_must_patch(SCALING_HPA, true, 1, 0));
    assert_false(scaling_must_patch(SCALING_DIRECT, false, 3, 3));
}

static void test_numbers_read_as_people_write_them(void **state)
{
    (void)state;
    assert_string_equal(text_count(0).at, "0");
    assert_string_equal(text_count(999).at, "999");
    assert_string_equal(text_count(1000).at, "1,000");
    assert_string_equal(text_count(UINT64_MAX).at, "18,446,744,073,709,551,615");
    assert_string_equal(text_rate(0).at, "0 msg/s");
    assert_string_equal(text_rate(0.0 / 1 - 5).at, "0 msg/s");
    assert_string_equal(text_rate(0.25).at, "0.25 msg/s");
    assert_string_equal(text_rate(1239.7).at, "1,240 msg/s");
    assert_string_equal(text_ms(0).at, "0s");
    assert_string_equal(text_ms(400).at, "400ms");
    assert_string_equal(text_ms(45999).at, "45s");
    assert_string_equal(text_ms(250000).at, "4m10s");
    assert_string_equal(text_ms(300000).at, "5m");
    assert_string_equal(text_ms(7500000).at, "2h5m");
    assert_string_equal(text_ms(273600000).at, "3d4h");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_are_where_the_largest_share_changes),
        cmocka_unit_test(test_steps_agree_with_their_definition_for_every_small_topic),
        cmocka_unit_test(test_a_step_is_never_above_the_partitions),
        cmocka_unit_test(test_the_hpa_floor_follows_the_lag_and_only_cpu_lifts_its_ceiling),
        cmocka_unit_test(test_scale_is_not_taken_from_whoever_rightly_holds_it),
        cmocka_unit_test(test_numbers_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
