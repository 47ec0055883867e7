/* A condition means what its header says, or is refused with the place and what to write. */
#include "tests/support/test.h"

#include "common/contract/signal.h"
#include "common/expr/expr.h"

#include <math.h>
#include <stdio.h>

/* ---- an item to ask about */

struct fact {
    enum expr_root root;
    const char *key; /* NULL: none */
    struct expr_value value;
};

#define TEXT(s)                                                               \
    {                                                                         \
        .type = EXPR_STRING, .string = {(const uint8_t *)(s), sizeof(s) - 1 } \
    }
#define INT(n)                           \
    {                                    \
        .type = EXPR_INT, .integer = (n) \
    }
#define DOUBLE(n)                          \
    {                                      \
        .type = EXPR_DOUBLE, .number = (n) \
    }
#define BOOL(b)                           \
    {                                     \
        .type = EXPR_BOOL, .boolean = (b) \
    }

static const struct fact facts[] = {
    {EXPR_RESOURCE, "k8s.namespace.name", TEXT("pay")},
    {EXPR_RESOURCE, "team", TEXT("red")},
    {EXPR_SCOPE, "library", TEXT("flask")},
    {EXPR_SCOPE_NAME, NULL, TEXT("io.http")},
    {EXPR_ATTRIBUTES, "http.route", TEXT("/cart/{id}")},
    {EXPR_ATTRIBUTES, "http.status_code", INT(503)},
    {EXPR_ATTRIBUTES, "ratio", DOUBLE(0.5)},
    {EXPR_ATTRIBUTES, "nan", DOUBLE((double)NAN)},
    {EXPR_ATTRIBUTES, "retried", BOOL(true)},
    {EXPR_ATTRIBUTES, "tags", {.type = EXPR_OTHER}},
    {EXPR_ATTRIBUTES, "tags/0", TEXT("a")},
    {EXPR_ATTRIBUTES, "same", INT(503)},
    {EXPR_BODY, NULL, TEXT("GET /cart timed out after 30 s")},
    {EXPR_NAME, NULL, TEXT("GET")},
    {EXPR_SEVERITY, NULL, INT(10)},
    {EXPR_STATUS, NULL, INT(2)},
    {EXPR_KIND, NULL, INT(3)},
    {EXPR_DURATION, NULL, INT(1500000000)},
};

static struct expr_value lookup(void *context, const struct expr_path *path)
{
    char key[128] = "";

    (void)context;
    for (size_t i = 0; i < path->key_count; i++)
        snprintf(key + strlen(key), sizeof key - strlen(key), "%s%.*s", i > 0 ? "/" : "",
                 (int)path->keys[i].len, (const char *)path->keys[i].data);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
        if (facts[i].root == path->root &&
            strcmp(facts[i].key == NULL ? "" : facts[i].key, key) == 0)
            return facts[i].value;
    return (struct expr_value){0};
}

static struct expr *parsed(const char *text)
{
    struct expr *expr = NULL;
    const char *advice = NULL;
    struct error error = {0};

    if (expr_parse(text, &expr, &advice, &error))
        fail_msg("%s: %s. %s", text, error.text, advice);
    return expr;
}

static void assert_is(const char *text, bool want)
{
    AUTO(expr_free) struct expr *expr = parsed(text);

    if (expr_eval(expr, lookup, NULL) != want)
        fail_msg("%s is not %s", text, want ? "true" : "false");
}

static void assert_refused(const char *text, const char *want)
{
    struct expr *expr = NULL;
    const char *advice = NULL;
    struct error error = {0};
    char got[1024];

    assert_int_equal(expr_parse(text, &expr, &advice, &error), ERR_INVALID);
    assert_null(expr);
    assert_non_null(advice);
    snprintf(got, sizeof got, "%s. %s", error.text, advice);
    assert_string_equal(got, want);
}

/* ---- meaning */

static void test_compares_text_by_bytes(void **state)
{
    (void)state;
    assert_is("k8s.namespace.name == \"pay\"", true);
    assert_is("k8s.namespace.name == 'pay'", true);
    assert_is("resource[\"k8s.namespace.name\"] != \"pay\"", false);
    assert_is("k8s.namespace.name < \"paz\"", true);
    assert_is("k8s.namespace.name < \"pa\"", false);
    assert_is("k8s.namespace.name >= \"pay\"", true);
    assert_is("\"paz\" > k8s.namespace.name", true);
    assert_is("scope[\"library\"] == \"flask\" and scope.name == \"io.http\"", true);
}

static void test_compares_numbers_by_value(void **state)
{
    (void)state;
    assert_is("attributes[\"http.status_code\"] >= 500", true);
    assert_is("attributes[\"http.status_code\"] == 503.0", true);
    assert_is("attributes[\"http.status_code\"] < 5.03e2", false);
    assert_is("500 <= attributes[\"http.status_code\"]", true);
    assert_is("attributes[\"ratio\"] > 0", true);
    assert_is("attributes[\"ratio\"] == -0.5", false);
    assert_is("attributes[\"http.status_code\"] == attributes[\"same\"]", true);
    assert_is("attributes[\"http.status_code\"] > attributes[\"ratio\"]", true);
    assert_is("attributes[\"nan\"] == attributes[\"nan\"]", false);
    assert_is("attributes[\"nan\"] >= 0 or attributes[\"nan\"] < 0", false);
}

static void test_what_is_of_another_type_or_absent_is_not_equal(void **state)
{
    (void)state;
    assert_is("attributes[\"http.status_code\"] == \"503\"", false);
    assert_is("attributes[\"http.status_code\"] != \"503\"", true);
    assert_is("attributes[\"no\"] == \"\"", false);
    assert_is("attributes[\"no\"] != \"x\"", true);
    assert_is("attributes[\"no\"] < 1 or attributes[\"no\"] >= 1", false);
    assert_is("attributes[\"tags\"] == \"a\"", false);
    assert_is("attributes[\"tags\"][\"0\"] == \"a\"", true);
    assert_is("attributes[\"retried\"] == 1", false);
    assert_is("attributes[\"retried\"] == true", true);
    assert_is("attributes[\"retried\"] != false", true);
}

static void test_names_of_severities_are_ranges_in_order(void **state)
{
    (void)state; /* the record is INFO2 */
    assert_is("severity == \"INFO\"", true);
    assert_is("severity != \"INFO\"", false);
    assert_is("severity < \"INFO\"", false);
    assert_is("severity <= \"INFO\"", true);
    assert_is("severity > \"INFO\"", false);
    assert_is("severity >= \"info\"", true);
    assert_is("severity == \"INFO2\"", true);
    assert_is("severity == \"INFO3\"", false);
    assert_is("severity < \"INFO3\"", true);
    assert_is("severity < \"WARN\" and severity > \"DEBUG\"", true);
    assert_is("severity == 10", true);
    assert_is("severity in [\"DEBUG\", \"INFO\"]", true);
    assert_is("\"WARN\" > severity", true);
}

static void test_words_and_durations_of_spans(void **state)
{
    (void)state;
    assert_is("status == \"error\"", true);
    assert_is("status in [\"ok\", \"unset\"]", false);
    assert_is("kind == \"client\"", true);
    assert_is("kind not in [\"server\", \"client\"]", false);
    assert_is("duration > \"1s\"", true);
    assert_is("duration <= \"1500ms\"", true);
    assert_is("duration >= \"1m\"", false);
    assert_is("name == \"GET\"", true);
}

static void test_lists_patterns_and_presence(void **state)
{
    (void)state;
    assert_is("k8s.namespace.name in [\"shop\", \"pay\"]", true);
    assert_is("not k8s.namespace.name in [\"shop\"]", true);
    assert_is("attributes[\"http.status_code\"] in [500, 503.0, \"x\", true]", true);
    assert_is("attributes[\"no\"] not in [\"x\"]", true);
    assert_is("body =~ \"timed? out\"", true);
    assert_is("body matches '^GET /\\w+ .*\\d+ s$'", true);
    assert_is("body =~ \"^timed\"", false);
    assert_is("attributes[\"http.status_code\"] =~ \"503\"", false);
    assert_is("exists attributes[\"tags\"]", true);
    assert_is("exists(attributes[\"no\"])", false);
    assert_is("exists body and !exists body[\"x\"]", true);
}

static void test_and_binds_closer_than_or_and_not_closest(void **state)
{
    (void)state;
    assert_is("true or false and false", true);
    assert_is("(true or false) and false", false);
    assert_is("not false and false", false);
    assert_is("not (false and false)", true);
    assert_is("!!true || false && false", true);
    assert_is("true\n  and\n\ttrue", true);
    assert_is("true == attributes[\"retried\"]", true);
}

static void test_a_backslash_is_itself_but_before_quotes_and_backslashes(void **state)
{
    (void)state;
    assert_is("attributes[\"http.route\"] == \"/cart/\\{id}\"", false);
    assert_is("\"a\\\"b\" != name and 'a\\'b' != name", true);
    assert_is("body =~ \"\\d\\d s\"", true);
    assert_is("body =~ \"\\\\d\\\\d s\"", true);
}

static void test_severities_of_other_loggers(void **state)
{
    (void)state;
    assert_int_equal(expr_severity(bytes_from("info")), 9);
    assert_int_equal(expr_severity(bytes_from("Warning")), 13);
    assert_int_equal(expr_severity(bytes_from("ERROR3")), 19);
    assert_int_equal(expr_severity(bytes_from("critical")), 21);
    assert_int_equal(expr_severity(bytes_from("I")), 0);
    assert_int_equal(expr_severity(bytes_from("")), 0);
}

/* ---- whom it is about */

static void test_is_about_the_signals_that_have_all_its_fields(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned signals;
        enum expr_level level;
    } cases[] = {
        {"true", EXPR_ALL_SIGNALS, EXPR_AT_RESOURCE},
        {"k8s.pod.name == \"x\"", EXPR_ALL_SIGNALS, EXPR_AT_RESOURCE},
        {"scope.name == \"x\" and k8s.pod.name == \"x\"", EXPR_ALL_SIGNALS, EXPR_AT_SCOPE},
        {"attributes[\"x\"] == 1", EXPR_ALL_SIGNALS, EXPR_AT_ITEM},
        {"severity < \"INFO\"", 1u << SIGNAL_LOGS, EXPR_AT_ITEM},
        {"not status == \"ok\"", 1u << SIGNAL_TRACES, EXPR_AT_ITEM},
        {"name == \"x\"", 1u << SIGNAL_TRACES | 1u << SIGNAL_METRICS, EXPR_AT_ITEM},
        {"name == \"x\" or kind == \"client\"", 1u << SIGNAL_TRACES, EXPR_AT_ITEM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(expr_free) struct expr *expr = parsed(cases[i].text);
        assert_int_equal(expr_signals(expr), cases[i].signals);
        assert_int_equal(expr_level(expr), cases[i].level);
    }
}

static void test_reads_a_path_alone(void **state)
{
    (void)state;
    AUTO(expr_free) struct expr *expr = NULL;
    const char *advice = NULL;

    assert_ok(expr_parse_path(" attributes[\"a b\"]['c'] ", &expr, &advice, NULL));
    assert_int_equal(expr_path(expr)->root, EXPR_ATTRIBUTES);
    assert_int_equal(expr_path(expr)->key_count, 2);
    assert_true(bytes_equal(expr_path(expr)->keys[1], BYTES_LITERAL("c")));
    expr_free(&expr);
    assert_int_equal(expr_parse_path("body == 1", &expr, &advice, NULL), ERR_INVALID);
    assert_int_equal(expr_parse_path("", &expr, &advice, NULL), ERR_INVALID);
}

/* ---- refusals */

static void test_refusals_name_the_place_and_what_to_write(void **state)
{
    (void)state;
    assert_refused("severty < \"INFO\"",
                   "line 1, column 1: \"severty\" is no field. Write severity, body, status, kind, "
                   "duration, name, attributes[\"key\"], resource[\"key\"] or the name of a "
                   "resource's attribute with a dot in it; put text in quotes");
    assert_refused("severity < \"INFORMATION\"",
                   "line 1, column 12: severity can't be compared with this. Write \"TRACE\", "
                   "\"DEBUG\", \"INFO\", \"WARN\", \"ERROR\" or \"FATAL\"");
    assert_refused("true and\n  status = \"ok\"",
                   "line 2, column 10: \"=\" is no operator. Write == to compare, =~ to match a "
                   "pattern");
    assert_refused("body =~ \"\xc3\xbc(\" and true",
                   "line 1, column 9: the pattern: missing closing parenthesis, at character 4. "
                   "Write a pattern as Perl knows them, as in \"time-?out\"");
    assert_refused(
        "name == \"\xc3\xbc\" and )",
        "line 1, column 17: a condition should be here, not \")\". Write a condition, as "
        "in severity < \"INFO\"");
    assert_refused(
        "duration > 500ms",
        "line 1, column 12: \"500ms\" is no number. Write a number, as in 500 or 0.5; put "
        "durations in quotes, as in \"500ms\"");
    assert_refused("severity < \"INFO\" and status == \"ok\"",
                   "line 1, column 23: no signal has status beside the fields before it. Write one "
                   "expression for each signal; what a signal doesn't have, it is never asked "
                   "about");
}

static void test_refuses_what_means_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "(",
        "true)",
        "true true",
        "not",
        "and",
        "true and",
        "body",
        "\"x\"",
        "5",
        "\"x\" == 5",
        "body ==",
        "body == x.y.",
        "body in []",
        "body in [\"a\"",
        "body in \"a\"",
        "body in [\"a\",]",
        "body not == 1",
        "body =~ body",
        "body =~ 5",
        "severity =~ \"INFO\"",
        "status < \"ok\"",
        "status == \"OK\"",
        "status == 2",
        "kind == \"x\"",
        "duration > 5",
        "duration > \"5\"",
        "attributes",
        "attributes == 1",
        "attributes.http.route == \"x\"",
        "attributes[http]",
        "attributes[\"a\" == 1",
        "scope == \"x\"",
        "name[\"x\"] == 1",
        "exists",
        "exists \"x\"",
        "exists(body",
        "attributes[\"x\"] < true",
        "severity == 25",
        "severity == body",
        "\"unfinished",
        "name == 5",
        "a.b == 0x10",
        "a.b == 1e999",
        "a.b == 1.2.3",
        "a.b == \"x\" # comment",
        "body == \"x\" && \x80",
        "1 < 2",
        "attributes[\"1\"][\"2\"][\"3\"][\"4\"][\"5\"][\"6\"][\"7\"][\"8\"][\"9\"] == 1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct expr *expr = NULL;
        const char *advice = NULL;
        struct error error = {0};
        if (expr_parse(bad[i], &expr, &advice, &error) != ERR_INVALID)
            fail_msg("'%s' was not refused", bad[i]);
        assert_non_null(advice);
        assert_memory_equal(error.text, "line 1, column ", 15);
    }
}

static void repeat(char *into, size_t size, const char *what, size_t times)
{
    size_t used = 0;
    for (size_t i = 0; i < times && used + strlen(what) < size; i++)
        used += (size_t)snprintf(into + used, size - used, "%s", what);
}

static void test_length_depth_terms_and_lists_are_bounded(void **state)
{
    (void)state;
    struct expr *expr = NULL;
    const char *advice = NULL;
    char text[2048];

    memset(text, ' ', sizeof text);
    memcpy(text, "true", 4);
    text[EXPR_TEXT_MAX] = '\0';
    assert_ok(expr_parse(text, &expr, &advice, NULL));
    expr_free(&expr);
    text[EXPR_TEXT_MAX] = ' ';
    text[EXPR_TEXT_MAX + 1] = '\0';
    assert_int_equal(expr_parse(text, &expr, &advice, NULL), ERR_INVALID);

    repeat(text, sizeof text, "(", EXPR_DEPTH_MAX + 1);
    strncat(text, "true", 5);
    assert_int_equal(expr_parse(text, &expr, &advice, NULL), ERR_INVALID);
    repeat(text, sizeof text, "!", EXPR_DEPTH_MAX);
    strncat(text, "true", 5);
    assert_ok(expr_parse(text, &expr, &advice, NULL));
    expr_free(&expr);
    repeat(text, sizeof text, "!", EXPR_DEPTH_MAX + 1);
    strncat(text, "true", 5);
    assert_int_equal(expr_parse(text, &expr, &advice, NULL), ERR_INVALID);

    repeat(text, sizeof text, "true||", EXPR_TERMS_MAX - 1);
    strncat(text, "true", 5);
    assert_ok(expr_parse(text, &expr, &advice, NULL));
    expr_free(&expr);
    repeat(text, sizeof text, "true||", EXPR_TERMS_MAX);
    strncat(text, "true", 5);
    assert_int_equal(expr_parse(text, &expr, &advice, NULL), ERR_INVALID);

    snprintf(text, sizeof text, "a.b in [");
    repeat(text + strlen(text), 1024, "1,", EXPR_LIST_MAX);
    strncat(text, "1]", 3);
    assert_int_equal(expr_parse(text, &expr, &advice, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compares_text_by_bytes),
        cmocka_unit_test(test_compares_numbers_by_value),
        cmocka_unit_test(test_what_is_of_another_type_or_absent_is_not_equal),
        cmocka_unit_test(test_names_of_severities_are_ranges_in_order),
        cmocka_unit_test(test_words_and_durations_of_spans),
        cmocka_unit_test(test_lists_patterns_and_presence),
        cmocka_unit_test(test_and_binds_closer_than_or_and_not_closest),
        cmocka_unit_test(test_a_backslash_is_itself_but_before_quotes_and_backslashes),
        cmocka_unit_test(test_severities_of_other_loggers),
        cmocka_unit_test(test_is_about_the_signals_that_have_all_its_fields),
        cmocka_unit_test(test_reads_a_path_alone),
        cmocka_unit_test(test_refusals_name_the_place_and_what_to_write),
        cmocka_unit_test(test_refuses_what_means_nothing),
        cmocka_unit_test(test_length_depth_terms_and_lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
