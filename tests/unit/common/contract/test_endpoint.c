/* Addresses and URLs come apart into what is connected to; nothing that holds a password, and
 * nothing that could be meant in two ways, is taken. */
#include "tests/support/test.h"

#include "common/contract/endpoint.h"

#include <string.h>

static void test_takes_addresses_apart(void **state)
{
    (void)state;
    struct endpoint endpoint;

    assert_ok(endpoint_parse_address("tempo.monitoring.svc:4317", &endpoint, NULL));
    assert_string_equal(endpoint.host, "tempo.monitoring.svc");
    assert_int_equal(endpoint.port, 4317);
    assert_false(endpoint.tls);
    assert_string_equal(endpoint.path, "");

    assert_ok(endpoint_parse_address("[2001:db8::1]:65535", &endpoint, NULL));
    assert_string_equal(endpoint.host, "2001:db8::1");
    assert_int_equal(endpoint.port, 65535);
}

static void test_takes_urls_apart(void **state)
{
    (void)state;
    struct endpoint endpoint;

    assert_ok(endpoint_parse_url("https://loki.example.com/otlp/", &endpoint, NULL));
    assert_string_equal(endpoint.host, "loki.example.com");
    assert_int_equal(endpoint.port, 443);
    assert_true(endpoint.tls);
    assert_string_equal(endpoint.path, "/otlp");

    assert_ok(endpoint_parse_url("http://[::1]:9090/api/v1/otlp", &endpoint, NULL));
    assert_string_equal(endpoint.host, "::1");
    assert_int_equal(endpoint.port, 9090);
    assert_false(endpoint.tls);
    assert_string_equal(endpoint.path, "/api/v1/otlp");

    assert_ok(endpoint_parse_url("http://localhost", &endpoint, NULL));
    assert_int_equal(endpoint.port, 80);
    assert_string_equal(endpoint.path, "");
}

static void test_refuses_bad_addresses(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",          "tempo",       ":4317",      "tempo:",
        "tempo:0",   "tempo:65536", "tempo:-1",   "tempo:99999999999",
        "tempo:1x",  "a b:1",       "http://a:1", "::1:4317",
        "[::1:4317", "[::1]",       "a:1/b",      "\xc3\xa4:1"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct endpoint endpoint;
        if (endpoint_parse_address(cases[i], &endpoint, NULL) != ERR_INVALID)
            fail_msg("'%s' was taken", cases[i]);
    }
}

static void test_refuses_bad_urls(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",           "tempo:4318",       "ftp://a",        "http://",       "http:///path",
        "http://a:0", "http://u:p@a",     "http://a@b/",    "http://a/?q=1", "http://a/#f",
        "http://a?q", "http://a/with it", "http://a:80x/b", "http://[::1/b", "http://a/\x7f"};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct endpoint endpoint;
        if (endpoint_parse_url(cases[i], &endpoint, NULL) != ERR_INVALID)
            fail_msg("'%s' was taken", cases[i]);
    }
}

static void test_errors_do_not_repeat_the_text(void **state)
{
    (void)state;
    struct endpoint endpoint;
    struct error error = {0};

    assert_int_equal(endpoint_parse_url("https://user:hunter2@tempo", &endpoint, &error),
                     ERR_INVALID);
    assert_null(strstr(error.text, "hunter2"));
}

static void test_long_hosts_and_paths_are_refused(void **state)
{
    (void)state;
    char text[ENDPOINT_PATH_MAX * 2];
    struct endpoint endpoint;

    memset(text, 'a', sizeof text);
    memcpy(text, "http://", 7);
    text[7 + ENDPOINT_HOST_MAX] = '\0';
    assert_ok(endpoint_parse_url(text, &endpoint, NULL));
    text[7 + ENDPOINT_HOST_MAX] = 'a';
    text[8 + ENDPOINT_HOST_MAX] = '\0';
    assert_int_equal(endpoint_parse_url(text, &endpoint, NULL), ERR_INVALID);

    text[8 + ENDPOINT_HOST_MAX] = 'a';
    text[8] = '/';
    text[8 + ENDPOINT_PATH_MAX] = '\0';
    assert_ok(endpoint_parse_url(text, &endpoint, NULL));
    text[8 + ENDPOINT_PATH_MAX] = 'a';
    text[9 + ENDPOINT_PATH_MAX] = '\0';
    assert_int_equal(endpoint_parse_url(text, &endpoint, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_addresses_apart),
        cmocka_unit_test(test_takes_urls_apart),
        cmocka_unit_test(test_refuses_bad_addresses),
        cmocka_unit_test(test_refuses_bad_urls),
        cmocka_unit_test(test_errors_do_not_repeat_the_text),
        cmocka_unit_test(test_long_hosts_and_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
