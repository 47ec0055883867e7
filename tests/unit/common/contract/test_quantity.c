/* Sizes mean what Kubernetes means by them, exactly, or are refused; what is printed is read again
 * as the same. */
#include "tests/support/test.h"

#include "common/contract/quantity.h"

static void test_reads_what_kubernetes_reads(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {{"0", 0},
                 {"4096", 4096},
                 {"16Mi", 16777216},
                 {"10Gi", 10737418240},
                 {"1.5Gi", 1610612736},
                 {"0.5Ki", 512},
                 {"1k", 1000},
                 {"1.5G", 1500000000},
                 {"1e3", 1000},
                 {"12E2", 1200},
                 {"1E", 1000000000000000000},
                 {"1Ei", 1152921504606846976},
                 {"50e-1", 5},
                 {"3000m", 3},
                 {"0.000001M", 1}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t bytes = -1;
        assert_ok(quantity_parse(cases[i].text, &bytes, NULL));
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void test_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",     "Gi",    "-1", "+1",  "1 Gi", "1gi", "1K",  "1Mb",  "1i",     "0.1",
        "500m", "5e-1",  "..", "8Ei", "10E",  "1e",  "1e+", "1e19", "1e1000", "9223372036854775808",
        "1Gi1", "0.1Gi", "1u", "\xff"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};
        int64_t bytes = -1;
        enum err err = quantity_parse(cases[i], &bytes, &error);
        if (err != ERR_INVALID)
            fail_msg("'%s' was taken for %lld", cases[i], (long long)bytes);
        assert_true(error.text[0] != '\0');
    }
}

static void test_what_is_printed_reads_the_same(void **state)
{
    (void)state;
    static const int64_t cases[] = {
        0,          1,           1000,        1023,      1024,
        1536,       16777216,    10737418240, 1LL << 60, (1LL << 60) - 1,
        1000000000, 987654321987};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[QUANTITY_TEXT_MAX];
        int64_t bytes = -1;
        quantity_print(cases[i], text);
        assert_ok(quantity_parse(text, &bytes, NULL));
        assert_int_equal(bytes, cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_kubernetes_reads),
        cmocka_unit_test(test_refuses_the_rest),
        cmocka_unit_test(test_what_is_printed_reads_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
