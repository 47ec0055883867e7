/* The bytes in a file are the same on every machine. */
#include "tests/support/test.h"

#include "common/endian.h"

static void test_puts_the_lowest_byte_first(void **state)
{
    (void)state;
    uint8_t at[13] = {0};
    static const uint8_t want[13] = {0,    0x04, 0x03, 0x02, 0x01, 0x88, 0x77,
                                     0x66, 0x55, 0x44, 0x33, 0x22, 0x11};

    put_le32(at + 1, 0x01020304);
    put_le64(at + 5, 0x1122334455667788);
    assert_memory_equal(at, want, sizeof want);
}

static void test_gets_what_it_put_at_any_address(void **state)
{
    (void)state;
    uint8_t at[16];

    for (size_t i = 0; i < 8; i++) {
        put_le32(at + i, 0xfedcba98);
        assert_int_equal(get_le32(at + i), 0xfedcba98);
        put_le64(at + i, 0xfedcba9876543210);
        assert_int_equal(get_le64(at + i), 0xfedcba9876543210);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_puts_the_lowest_byte_first),
        cmocka_unit_test(test_gets_what_it_put_at_any_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
