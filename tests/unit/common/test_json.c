/* Reading is total, building keeps ownership straight, and bad text is refused with its place. */
#include "tests/support/test.h"

#include "common/json.h"

static struct json *parse(const char *text)
{
    struct json *json = NULL;
    assert_ok(
        json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, 1 << 20, &json, NULL));
    return json;
}

static void test_getters_accept_whatever_is_there(void **state)
{
    (void)state;
    AUTO(json_free) struct json *json = parse("{\"a\":{\"b\":[1,\"x\",null,true]},\"n\":1e300}");

    assert_int_equal(json_int(json_item(json_at(json, "a.b"), 0), 7), 1);
    assert_string_equal(json_string(json_item(json_at(json, "a.b"), 1), "-"), "x");
    assert_int_equal(json_kind(json_item(json_at(json, "a.b"), 2)), JSON_NULL);
    assert_true(json_bool(json_item(json_at(json, "a.b"), 3), false));
    assert_null(json_at(json, "a.b.c.d"));
    assert_string_equal(json_string(json_at(json, "a"), "-"), "-");
    assert_int_equal(json_int(json_get(json, "n"), 0), 1LL << 53);
    assert_int_equal(json_size(json_at(json, "a.b")), 4);
    assert_null(json_first(NULL));
}

static void test_refuses_bad_text_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "empty"},        {"{\"a\":}", "byte 5"}, {"{} x", "byte 3"},
        {"[1,2", "bad JSON"}, {"\"\x01", "bad JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json *json = NULL;
        struct error error = {0};
        struct bytes text = {(const uint8_t *)cases[i].text, strlen(cases[i].text)};
        assert_int_equal(json_parse(text, 100, &json, &error), ERR_INVALID);
        assert_null(json);
        assert_non_null(strstr(error.text, cases[i].says));
    }
}

static void test_bounds_size_and_depth(void **state)
{
    (void)state;
    struct json *json = NULL;
    char deep[300];

    memset(deep, '[', 150);
    memset(deep + 150, ']', 150);
    assert_int_equal(json_parse((struct bytes){(uint8_t *)deep, 300}, 1000, &json, NULL),
                     ERR_INVALID);
    assert_int_equal(json_parse((struct bytes){(uint8_t *)deep, 300}, 299, &json, NULL), ERR_FULL);
}

static void test_builds_replaces_and_compares(void **state)
{
    (void)state;
    AUTO(json_free) struct json *built = json_new_object(), *copy = NULL;
    AUTO(buf_fini) struct buf text = {0};

    json_set_string(built, "a", "1");
    json_set_string(built, "a", "2");
    json_add_string(json_set_array(built, "list"), "\"\n");
    json_set_number(json_need_object(built, "o"), "n", 3);
    json_set_bool(json_need_object(built, "o"), "t", true);
    copy = json_clone(built);
    assert_ok(json_print(built, &text));
    assert_string_equal(buf_text(&text),
                        "{\"a\":\"2\",\"list\":[\"\\\"\\n\"],\"o\":{\"n\":3,\"t\":true}}");
    assert_true(json_equal(built, copy));
    json_remove(copy, "a");
    assert_false(json_equal(built, copy));
}

/* kubectl prints a text without tabs line by line. */
static void test_lays_out_with_spaces_and_leaves_strings_alone(void **state)
{
    (void)state;
    AUTO(json_free) struct json *built = json_new_object(), *again = NULL;
    AUTO(buf_fini) struct buf text = {0};

    json_set_string(built, "a", ":\t\n");
    json_set_bool(json_add_object(json_set_array(built, "list")), "t:", true);
    json_set_object(built, "o");
    assert_ok(json_print_pretty(built, &text));
    assert_string_equal(buf_text(&text), "{\n"
                                         "  \"a\": \":\\t\\n\",\n"
                                         "  \"list\": [{\n"
                                         "      \"t:\": true\n"
                                         "    }],\n"
                                         "  \"o\": {\n"
                                         "  }\n"
                                         "}");
    assert_ok(json_parse(buf_bytes(&text), 1000, &again, NULL));
    assert_true(json_equal(again, built));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_getters_accept_whatever_is_there),
        cmocka_unit_test(test_refuses_bad_text_with_its_place),
        cmocka_unit_test(test_bounds_size_and_depth),
        cmocka_unit_test(test_builds_replaces_and_compares),
        cmocka_unit_test(test_lays_out_with_spaces_and_leaves_strings_alone),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
