/* crc32c agrees with the published vectors, and its fast way with the plain one at every length. */
#include "tests/support/test.h"

#include "common/crc32c.h"

/* RFC 3720, B.4 */
static void test_agrees_with_the_published_vectors(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++) {
        up[i] = i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(crc32c(0, (struct bytes){zeros, 32}), 0x8a9136aa);
    assert_int_equal(crc32c(0, (struct bytes){ones, 32}), 0x62a8ab43);
    assert_int_equal(crc32c(0, (struct bytes){up, 32}), 0x46dd794e);
    assert_int_equal(crc32c(0, (struct bytes){down, 32}), 0x113fdb5c);
    assert_int_equal(crc32c(0, BYTES_LITERAL("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, (struct bytes){0}), 0);
}

static void test_is_the_same_fast_and_plain(void **state)
{
    (void)state;
    static uint8_t data[20000];
    uint32_t seed = 1;

    for (size_t i = 0; i < sizeof data; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    for (size_t len = 0; len <= sizeof data - 8; len += len < 200 ? 1 : 37)
        for (size_t skew = 0; skew < 8; skew += 3) {
            struct bytes view = {data + skew, len};
            assert_int_equal(crc32c((uint32_t)len, view), crc32c_portable((uint32_t)len, view));
        }
}

static void test_continues_where_it_stopped(void **state)
{
    (void)state;
    static const uint8_t data[7000] = {1, 2, 3};

    uint32_t whole = crc32c(0, (struct bytes){data, sizeof data});
    for (size_t cut = 0; cut < sizeof data; cut += 111) {
        uint32_t first = crc32c(0, (struct bytes){data, cut});
        assert_int_equal(crc32c(first, (struct bytes){data + cut, sizeof data - cut}), whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_published_vectors),
        cmocka_unit_test(test_is_the_same_fast_and_plain),
        cmocka_unit_test(test_continues_where_it_stopped),
    };
    return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}
