/* What was encoded decodes to itself, and nothing else decodes. */
#include "tests/support/test.h"

#include "common/base64.h"

static void test_decodes_what_it_encoded(void **state)
{
    (void)state;
    uint8_t data[70];

    for (size_t len = 0; len < sizeof data; len++) {
        AUTO(buf_fini) struct buf text = {0};
        AUTO(buf_fini) struct buf back = {0};
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(i * 37 + len);
        assert_ok(base64_encode((struct bytes){data, len}, &text));
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_ok(base64_decode(buf_bytes(&text), &back));
        assert_true(bytes_equal(buf_bytes(&back), (struct bytes){data, len}));
    }
}

static void test_knows_the_vectors_of_the_rfc_with_and_without_padding(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE"},
                                             {"foobar", "Zm9v\nYmFy\n"},
                                             {"fo\xff\xfe", "Zm///g"},
                                             {"fo\xff\xfe", "Zm__/g=="}};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        AUTO(buf_fini) struct buf back = {0};
        assert_ok(base64_decode(bytes_from(vectors[i][1]), &back));
        assert_string_equal(buf_text(&back), vectors[i][0]);
    }
}

static void test_refuses_everything_else(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z", "Zm9vY", "Zm9v!", "Zg==Zg==", "Zm 9v", "Z=g="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO(buf_fini) struct buf back = {0};
        assert_int_equal(base64_decode(bytes_from(bad[i]), &back), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_what_it_encoded),
        cmocka_unit_test(test_knows_the_vectors_of_the_rfc_with_and_without_padding),
        cmocka_unit_test(test_refuses_everything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
