/* Patterns match as Perl's do, bad ones are refused with a sentence, and none can hang. */
#include "tests/support/test.h"

#include "common/regex.h"

#include <time.h>

static struct regex *compiled(const char *pattern)
{
    struct regex *regex = NULL;
    struct error error;

    if (regex_compile(pattern, &regex, &error))
        fail_msg("%s: %s", pattern, error.text);
    return regex;
}

static void test_finds_matches_and_their_groups(void **state)
{
    (void)state;
    AUTO(regex_free) struct regex *regex = compiled("(?<year>\\d{4})-(\\d\\d)(x)?");
    struct bytes text = BYTES_LITERAL("on 2026-11, then");
    struct regex_span spans[5];

    assert_int_equal(regex_groups(regex), 3);
    assert_string_equal(regex_group_name(regex, 1), "year");
    assert_null(regex_group_name(regex, 2));
    assert_int_equal(regex_search(regex, text, 0, spans, 5), REGEX_YES);
    assert_int_equal(spans[0].from, 3);
    assert_int_equal(spans[0].to, 10);
    assert_int_equal(spans[1].from, 3);
    assert_int_equal(spans[1].to, 7);
    assert_int_equal(spans[2].from, 8);
    assert_true(spans[3].from == REGEX_UNSET && spans[4].from == REGEX_UNSET);
    assert_int_equal(regex_search(regex, text, 4, spans, 5), REGEX_NO);
    assert_false(regex_matches(regex, (struct bytes){NULL, 0}));
}

static void test_walks_from_match_to_match_over_empty_ones(void **state)
{
    (void)state;
    AUTO(regex_free) struct regex *regex = compiled("a*");
    struct bytes text = BYTES_LITERAL("aa\xc3\xa9"
                                      "ba");
    const size_t want[][2] = {{0, 2}, {2, 2}, {4, 4}, {5, 6}, {6, 6}};
    struct regex_span span = {0};
    size_t found = 0;

    for (size_t at = 0; at != SIZE_MAX; at = regex_after(text, span)) {
        assert_int_equal(regex_search(regex, text, at, &span, 1), REGEX_YES);
        assert_true(found < sizeof want / sizeof want[0]);
        assert_int_equal(span.from, want[found][0]);
        assert_int_equal(span.to, want[found][1]);
        found++;
    }
    assert_int_equal(found, sizeof want / sizeof want[0]);
}

static void test_matches_around_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    AUTO(regex_free) struct regex *regex = compiled("b.d");

    assert_true(regex_matches(regex, BYTES_LITERAL("\xff\xfe"
                                                   "b\xc3\xa9"
                                                   "d\xff")));
    assert_false(regex_matches(regex, BYTES_LITERAL("b\xff"
                                                    "d")));
}

static void test_says_what_is_wrong_with_a_pattern_and_where(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"a(b", "missing closing parenthesis, at character 4"},
        {"x*+*", "at character 4"},
        {"\\C", "at character"},
        {"[z-a]", "at character 4"},
        {"(*UTF)\xff", "UTF-8"},
        {"((((((((((((((((((((((((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))"
         "))))))))))))))))))))))))",
         "nested"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct regex *regex = NULL;
        struct error error = {0};
        assert_int_equal(regex_compile(bad[i][0], &regex, &error), ERR_INVALID);
        assert_null(regex);
        if (strstr(error.text, bad[i][1]) == NULL)
            fail_msg("%s: %s", bad[i][0], error.text);
    }
}

static void test_refuses_patterns_that_are_too_much(void **state)
{
    (void)state;
    static char text[REGEX_PATTERN_MAX + 2];
    struct regex *regex = NULL;

    memset(text, 'a', REGEX_PATTERN_MAX + 1);
    assert_int_equal(regex_compile(text, &regex, NULL), ERR_INVALID);
    text[REGEX_PATTERN_MAX] = '\0';
    assert_ok(regex_compile(text, &regex, NULL));
    regex_free(&regex);

    memset(text, 0, sizeof text);
    for (size_t i = 0; i < REGEX_GROUPS_MAX + 1; i++)
        memcpy(text + 3 * i, "(a)", 3);
    assert_int_equal(regex_compile(text, &regex, NULL), ERR_INVALID);
    assert_int_equal(regex_compile("((((a{1000}){1000}){1000}){1000})", &regex, NULL), ERR_INVALID);
}

/* This thread's own: whatever else the machine does is not the pattern's fault. */
static uint64_t cpu_ms(void)
{
    struct timespec used;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* The classics: exponential and polynomial backtracking, deep recursion, scans from each character,
 * comparisons with groups; on one long line, and on many short ones that each stay below a limit.
 */
static void test_no_pattern_can_hang(void **state)
{
    (void)state;
    static const char *const patterns[] = {"^(a+)+$",
                                           "^(a|a)*$",
                                           "^(a|aa)+$",
                                           "(a+a+)+y",
                                           "^((a*)*)*$",
                                           "^(.*?,){30}P$",
                                           "(?:a(?R)?b|a)+$",
                                           "(?R)?a",
                                           "(*LIMIT_MATCH=4000000000)^(a+)+$",
                                           "a.*a.*a.*a.*\\d",
                                           "(?s)a.*a.*a.*a.*\\d",
                                           "[a-z]*[^!]*[a-z]+\\d",
                                           "(a+).*\\1.*\\1\\d",
                                           "(?:(?:a?)*)*\\d$",
                                           "(?=.*\\d)(?=.*\\d\\d)a",
                                           "(?<!b)a*+\\d",
                                           "^(?>(a+))+b(?<=aaaaaaaaa)"};
    static char texts[3][64 << 10];

    memset(texts, 'a', sizeof texts);
    for (size_t i = 0; i < sizeof texts[0]; i++) {
        if (i % 600 == 599)
            texts[1][i] = '\n';
        if (i % 40 == 39)
            texts[2][i] = '\n';
    }
    for (size_t i = 0; i < 3 * (sizeof patterns / sizeof patterns[0]); i++) {
        AUTO(regex_free) struct regex *regex = compiled(patterns[i / 3]);
        struct bytes text = {(const uint8_t *)texts[i % 3], sizeof texts[0]};
        uint64_t since = cpu_ms();
        regex_search(regex, text, 0, NULL, 0);
        uint64_t took = cpu_ms() - since;
        if (took > 2000)
            fail_msg("%s took %lu ms", patterns[i / 3], (unsigned long)took);
    }
}

static void test_says_when_it_gave_up(void **state)
{
    (void)state;
    AUTO(regex_free) struct regex *regex = compiled("^(a+)+$");

    assert_int_equal(
        regex_search(regex, BYTES_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"), 0, NULL, 0),
        REGEX_GAVE_UP);
    assert_true(regex_matches(regex, BYTES_LITERAL("aaaa")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_matches_and_their_groups),
        cmocka_unit_test(test_walks_from_match_to_match_over_empty_ones),
        cmocka_unit_test(test_matches_around_bytes_that_are_not_utf8),
        cmocka_unit_test(test_says_what_is_wrong_with_a_pattern_and_where),
        cmocka_unit_test(test_refuses_patterns_that_are_too_much),
        cmocka_unit_test(test_no_pattern_can_hang),
        cmocka_unit_test(test_says_when_it_gave_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
