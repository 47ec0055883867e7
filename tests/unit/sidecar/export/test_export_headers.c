/* What a pipeline wants sent is sent, and what can't be is refused by name. */
#include "tests/support/test.h"

#include "sidecar/export/export_headers.h"

#include <string.h>

static const char *value_of(const struct export_headers *headers, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < headers->count; i++)
        if (strcmp(headers->items[i].name, name) == 0)
            value = headers->items[i].value;
    return value;
}

static void test_sends_own_headers_in_lower_case(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct pipeline_pair pairs[] = {{"X-One", "1"}, {"x-two", "a b"}};
    const struct pipeline_export settings = {.headers = {pairs, 2}};
    struct export_headers headers = {0};

    assert_ok(export_headers_make(&settings, NULL, &arena, &headers, NULL));
    assert_int_equal(headers.count, 2);
    assert_string_equal(value_of(&headers, "x-one"), "1");
    assert_string_equal(value_of(&headers, "x-two"), "a b");
}

static void test_sends_the_tenant_under_its_header(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const struct pipeline_export settings = {.tenant = "team-a", .tenant_header = "X-Scope-OrgID"};
    const struct pipeline_export none = {.tenant = NULL};
    struct export_headers headers = {0};

    assert_ok(export_headers_make(&settings, NULL, &arena, &headers, NULL));
    assert_int_equal(headers.count, 1);
    assert_string_equal(value_of(&headers, "x-scope-orgid"), "team-a");
    assert_ok(export_headers_make(&none, NULL, &arena, &headers, NULL));
    assert_int_equal(headers.count, 0);
}

static void test_refuses_what_can_not_be_a_header(void **state)
{
    (void)state;
    static const struct pipeline_pair bad[] = {
        {"", "v"}, {"a b", "v"}, {"a:b", "v"}, {"a", "line\nbreak"}, {"a", "\x80"}};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        AUTO(arena_fini) struct arena arena = {0};
        struct pipeline_pair pair = bad[i];
        const struct pipeline_export settings = {.headers = {&pair, 1}};
        struct export_headers headers = {.count = 7};
        struct error error = {0};
        assert_int_equal(export_headers_make(&settings, NULL, &arena, &headers, &error),
                         ERR_INVALID);
        assert_non_null(strstr(error.text, "header"));
        assert_int_equal(headers.count, 7); /* untouched */
    }
}

static void test_asks_for_a_directory_where_a_secret_is_needed(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const struct pipeline_export settings = {.bearer_token_secret = {.name = "s", .key = "token"}};
    struct export_headers headers = {0};
    struct error error = {0};

    assert_int_equal(export_headers_make(&settings, NULL, &arena, &headers, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "--secrets"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_own_headers_in_lower_case),
        cmocka_unit_test(test_sends_the_tenant_under_its_header),
        cmocka_unit_test(test_refuses_what_can_not_be_a_header),
        cmocka_unit_test(test_asks_for_a_directory_where_a_secret_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
