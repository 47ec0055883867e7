/* Faults are bounded, printable, and one line each, whatever the document holds. */
#include "tests/support/test.h"

#include "common/contract/fault.h"

static void test_prints_path_what_and_advice(void **state)
{
    (void)state;
    AUTO(faults_fini) struct faults faults = {0};
    AUTO(buf_fini) struct buf text = {0};
    struct error error = {0};

    assert_int_equal(faults_error(&faults, &error), OK);
    fault_add_below(&faults, "spec.edges[0]", "name", "Choose another", "is %s", "taken");
    assert_ok(faults_print(&faults, &text));
    assert_string_equal(buf_text(&text), "spec.edges[0].name: is taken. Choose another\n");
    assert_int_equal(faults_error(&faults, &error), ERR_INVALID);
    assert_string_equal(error.text, "spec.edges[0].name: is taken. Choose another");
}

static void test_counts_what_it_does_not_keep(void **state)
{
    (void)state;
    AUTO(faults_fini) struct faults faults = {0};
    AUTO(buf_fini) struct buf text = {0};
    struct error error = {0};

    for (int i = 0; i < FAULTS_MAX + 7; i++)
        fault_add(&faults, "a", "b", "c");
    assert_int_equal(faults.count, FAULTS_MAX);
    assert_ok(faults_print(&faults, &text));
    assert_non_null(strstr(buf_text(&text), "\nand 7 more\n"));
    assert_int_equal(faults_error(&faults, &error), ERR_INVALID);
    assert_string_equal(error.text, "a: c. b (and 106 more)");
}

static void test_what_is_quoted_is_short_and_printable(void **state)
{
    (void)state;
    char into[FAULT_QUOTE_MAX], text[FAULT_QUOTE_MAX * 2];

    assert_string_equal(fault_quote("a\nb\x1b[31m", into), "a?b?[31m");
    assert_string_equal(fault_quote("gr\xc3\xbc\xc3\x9f", into), "gr\xc3\xbc\xc3\x9f");

    /* Every place at which a sequence of four bytes can be cut. */
    for (size_t at = FAULT_QUOTE_MAX - 10; at < FAULT_QUOTE_MAX; at++) {
        memset(text, 'a', sizeof text);
        memcpy(text + at, "\xf0\x9f\x8c\x8a", 4);
        text[sizeof text - 1] = '\0';
        fault_quote(text, into);
        assert_true(strlen(into) < FAULT_QUOTE_MAX);
        assert_string_equal(into + strlen(into) - 3, "...");
        const char *wave = strchr(into, '\xf0');
        if (wave != NULL)
            assert_memory_equal(wave, "\xf0\x9f\x8c\x8a", 4);
        else
            assert_null(strchr(into, '\x9f'));
    }
}

static void test_knows_what_was_complained_about(void **state)
{
    (void)state;
    AUTO(faults_fini) struct faults faults = {0};

    fault_add(&faults, "spec.edges[1]", "b", "c");
    assert_true(faults_at(&faults, "spec.edges[1]"));
    assert_true(faults_at(&faults, "spec.edges[1].name"));
    assert_true(faults_at(&faults, "spec.edges"));
    assert_false(faults_at(&faults, "spec.edges[11]"));
    assert_false(faults_at(&faults, "spec.edge"));
    assert_false(faults_at(&faults, "spec.gateways"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prints_path_what_and_advice),
        cmocka_unit_test(test_counts_what_it_does_not_keep),
        cmocka_unit_test(test_what_is_quoted_is_short_and_printable),
        cmocka_unit_test(test_knows_what_was_complained_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
