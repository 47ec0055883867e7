/* Durations mean what Go and Kubernetes mean by them, exactly, or are refused; what is printed is
 * read again as the same. */
#include "tests/support/test.h"

#include "common/contract/duration.h"

static void test_reads_what_go_would_write(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"0", 0},           {"0s", 0},         {"500ms", 500},     {"1m", 60000},
                 {"1h30m", 5400000}, {"1.5h", 5400000}, {"1m0.5s", 60500},  {"168h", 604800000},
                 {"0.001s", 1},      {"100ms5ms", 105}, {"1h0m0s", 3600000}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        assert_ok(duration_parse(cases[i].text, &ms, NULL));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void test_refuses_the_rest(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        " ",
                                        "1",
                                        "1 h",
                                        "h",
                                        "-1s",
                                        "+1s",
                                        "1d",
                                        "1H",
                                        "1h30",
                                        "0.1ms",
                                        "500us",
                                        "1e3",
                                        ".",
                                        ".s",
                                        "1..5s",
                                        "9999999999999999999h",
                                        "900000000000000h",
                                        "1s ",
                                        "\xff"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error = {0};
        int64_t ms = -1;
        assert_int_equal(duration_parse(cases[i], &ms, &error), ERR_INVALID);
        assert_int_equal(ms, -1);
        assert_true(error.text[0] != '\0');
    }
}

static void test_what_is_printed_reads_the_same(void **state)
{
    (void)state;
    static const int64_t cases[] = {0, 1, 999, 1000, 60000, 3599999, 3600000, 86400000, INT64_MAX};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[DURATION_TEXT_MAX];
        int64_t ms = -1;
        duration_print(cases[i], text);
        assert_ok(duration_parse(text, &ms, NULL));
        assert_int_equal(ms, cases[i]);
    }
}

static void test_prints_the_short_form(void **state)
{
    (void)state;
    char text[DURATION_TEXT_MAX];

    duration_print(86400000, text);
    assert_string_equal(text, "24h");
    duration_print(5400250, text);
    assert_string_equal(text, "1h30m250ms");
    duration_print(0, text);
    assert_string_equal(text, "0s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_go_would_write),
        cmocka_unit_test(test_refuses_the_rest),
        cmocka_unit_test(test_what_is_printed_reads_the_same),
        cmocka_unit_test(test_prints_the_short_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
