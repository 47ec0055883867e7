/* Numbers become the text that printf makes of them. */
#include "tests/support/test.h"

#include "common/num.h"

#include <inttypes.h>
#include <stdio.h>

static void assert_same(uint64_t value)
{
    char want[64], got[64];

    for (unsigned width = 1; width <= 24; width++) {
        snprintf(want, sizeof want, "%0*" PRIu64, (int)width, value);
        *num_put_u64(got, value, width) = '\0';
        assert_string_equal(got, want);
    }
    snprintf(want, sizeof want, "%" PRId64, (int64_t)value);
    *num_put_i64(got, (int64_t)value) = '\0';
    assert_string_equal(got, want);
    snprintf(want, sizeof want, "%016" PRIx64, value);
    *num_put_hex(got, value, 16) = '\0';
    assert_string_equal(got, want);
}

static void test_writes_numbers_as_printf_does(void **state)
{
    (void)state;
    uint64_t power = 1;

    for (int digits = 0; digits < 20; digits++, power *= 10)
        for (uint64_t near = power - 2; near != power + 2; near++) {
            assert_same(near);
            assert_same(-near);
        }
    for (int bit = 0; bit < 64; bit++)
        assert_same(UINT64_C(1) << bit);
}

static void test_writes_no_more_than_the_longest(void **state)
{
    (void)state;
    char text[NUM_MAX];

    assert_int_equal(num_put_u64(text, UINT64_MAX, 1) - text, NUM_MAX - 1);
    assert_int_equal(num_put_i64(text, INT64_MIN) - text, NUM_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_numbers_as_printf_does),
        cmocka_unit_test(test_writes_no_more_than_the_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
