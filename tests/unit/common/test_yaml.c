/* YAML means here what it means to Kubernetes, or is refused; nothing that a text holds makes the
 * tree larger than its bounds. */
#include "tests/support/test.h"

#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>

static enum err parse(const char *text, struct json **ret_documents, struct error *error)
{
    struct bytes bytes = {(const uint8_t *)text, strlen(text)};
    return yaml_parse(bytes, 1 << 20, ret_documents, error);
}

/* The first document as compact JSON. */
static void assert_is(const char *text, const char *want)
{
    AUTO(json_free) struct json *documents = NULL;
    AUTO(buf_fini) struct buf got = {0};
    struct error error = {0};

    if (parse(text, &documents, &error))
        fail_msg("%s: %s", text, error.text);
    assert_ok(json_print(json_first(documents), &got));
    assert_string_equal(buf_text(&got), want);
}

static void assert_refused(const char *text, const char *says)
{
    AUTO(json_free) struct json *documents = NULL;
    struct error error = {0};

    enum err err = parse(text, &documents, &error);
    if (err == OK)
        fail_msg("was taken: %s", text);
    assert_null(documents);
    if (strstr(error.text, says) == NULL)
        fail_msg("%s: says \"%s\", not \"%s\"", text, error.text, says);
}

static void test_plain_scalars_are_resolved(void **state)
{
    (void)state;
    assert_is("[1, -2, +3, 1.5, 1e3, .5, 1., 0x1F, 0o17, 0]", "[1,-2,3,1.5,1000,0.5,1,31,15,0]");
    assert_is("[true, True, FALSE, ~, null, Null, ]", "[true,true,false,null,null,null]");
    assert_is("{a: , b: 10Gi, c: 15%, d: 1h30m, e: 12:30, f: 2026-01-01, g: .., h: 1.2.3}",
              "{\"a\":null,\"b\":\"10Gi\",\"c\":\"15%\",\"d\":\"1h30m\",\"e\":\"12:30\","
              "\"f\":\"2026-01-01\",\"g\":\"..\",\"h\":\"1.2.3\"}");
}

static void test_quotes_make_strings(void **state)
{
    (void)state;
    assert_is("- '1'\n- \"true\"\n- 'yes'\n- \"\"\n- '0644'\n- |\n  null\n",
              "[\"1\",\"true\",\"yes\",\"\",\"0644\",\"null\\n\"]");
}

static void test_json_is_read_as_json(void **state)
{
    (void)state;
    assert_is("{\"a\":\"\\ud83c\\udf0a \\/ \\u00fc\",\n\t\"b\":[1,null]}",
              "{\"a\":\"\xf0\x9f\x8c\x8a / \xc3\xbc\",\"b\":[1,null]}");
    assert_is("{a: 1}", "{\"a\":1}");
}

static void test_refuses_what_kubernetes_reads_differently(void **state)
{
    (void)state;
    static const char *const words[] = {"yes", "No",   "ON",  "off",  "y",     "N",    "0644",
                                        "1_0", "0b11", "-07", "0X1F", "-0x1F", "1_0.5"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "a:\n  - %s\n", words[i]);
        assert_refused(text, "line 2, column 5: Kubernetes reads");
    }
    assert_refused("{on: resource}", "this key");
    assert_is("{'on': 'yes', nobody: x_1, a_1: _}",
              "{\"on\":\"yes\",\"nobody\":\"x_1\",\"a_1\":\"_\"}");
}

static void test_refuses_with_line_and_column(void **state)
{
    (void)state;
    assert_refused("a: 1\nb: 2\na: 3\n", "line 3, column 1: the key is here for the second time");
    assert_refused("a: !!str 1\n", "tags are not taken");
    assert_refused("a: !x {b: 1}\n", "tags are not taken");
    assert_refused("? [a]\n: 1\n", "a key must be a string");
    assert_refused("a: &x {b: 1}\nc: {<<: *x}\n", "line 2, column 5: merge keys");
    assert_refused("a: .inf\n", "infinity");
    assert_refused("a: 1e999\n", "too large");
    assert_refused("a: 0xFFFFFFFFFFFFFFFFF\n", "too large");
    assert_refused("a: \"x\\0y\"\n", "NUL");
    assert_refused("a: *x\n", "no anchor");
    assert_refused("a: &x [*x]\n", "inside of what it means");
    assert_refused("a: [1\n", "line 2");
    assert_refused("a:\n\t- b\n", "line 2");
    assert_refused("a: \x80\n", "byte 3");
    assert_refused("a: b: c\n", "line 1");
}

static void test_documents_come_in_order(void **state)
{
    (void)state;
    AUTO(json_free) struct json *documents = NULL;

    assert_ok(parse("a: 1\n---\n# nothing\n---\n[b]\n...\n---\nc\n", &documents, NULL));
    assert_int_equal(json_size(documents), 3);
    assert_int_equal(json_kind(json_item(documents, 1)), JSON_ARRAY);
    json_free(&documents);
    assert_ok(yaml_parse((struct bytes){NULL, 0}, 1, &documents, NULL));
    assert_int_equal(json_size(documents), 0);
}

static void test_aliases_are_copies(void **state)
{
    (void)state;
    assert_is("{a: &x [1, &y b], c: *x, d: *y}", "{\"a\":[1,\"b\"],\"c\":[1,\"b\"],\"d\":\"b\"}");
    assert_refused("a: &x 1\n---\nb: *x\n", "no anchor");
}

static void test_a_billion_laughs_are_not_told(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = {0};

    assert_ok(buf_append_text(&text, "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n"));
    for (int i = 1; i < 10; i++) {
        assert_ok(buf_printf(&text, "l%d: &l%d [", i, i));
        for (int j = 0; j < 9; j++)
            assert_ok(buf_printf(&text, "*l%d, ", i - 1));
        assert_ok(buf_append_text(&text, "]\n"));
    }
    assert_refused(buf_text(&text), "too many values");
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    char text[2 * JSON_DEPTH_MAX + 8];

    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    text[2 * JSON_DEPTH_MAX] = '\0';
    AUTO(json_free) struct json *documents = NULL;
    assert_ok(parse(text, &documents, NULL));

    memset(text, '[', JSON_DEPTH_MAX + 1);
    text[JSON_DEPTH_MAX + 1] = '\0';
    assert_refused(text, "too deep");

    /* An alias deepens without nesting in the text. */
    AUTO(buf_fini) struct buf chain = {0};
    assert_ok(buf_append_text(&chain, "- &a0 [x]\n"));
    for (int i = 1; i < 63; i++)
        assert_ok(buf_printf(&chain, "- &a%d [*a%d]\n", i, i - 1));
    assert_refused(buf_text(&chain), "too deep");
}

static void test_size_is_bounded(void **state)
{
    (void)state;
    AUTO(json_free) struct json *documents = NULL;
    AUTO(buf_fini) struct buf text = {0};

    assert_int_equal(yaml_parse(BYTES_LITERAL("abcd"), 3, &documents, NULL), ERR_FULL);
    for (int i = 0; i <= YAML_NODES_MAX; i++)
        assert_ok(buf_append_text(&text, "- a\n"));
    assert_refused(buf_text(&text), "too many values");
    buf_clear(&text);
    assert_ok(buf_append_text(&text, "{\"a\":["));
    for (int i = 0; i <= YAML_NODES_MAX; i++)
        assert_ok(buf_append_text(&text, "1,"));
    assert_ok(buf_append_text(&text, "1]}"));
    assert_refused(buf_text(&text), "too many values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_scalars_are_resolved),
        cmocka_unit_test(test_quotes_make_strings),
        cmocka_unit_test(test_json_is_read_as_json),
        cmocka_unit_test(test_refuses_what_kubernetes_reads_differently),
        cmocka_unit_test(test_refuses_with_line_and_column),
        cmocka_unit_test(test_documents_come_in_order),
        cmocka_unit_test(test_aliases_are_copies),
        cmocka_unit_test(test_a_billion_laughs_are_not_told),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_size_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
