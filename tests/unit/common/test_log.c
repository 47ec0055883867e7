/* A line of the log is one of JSON, or of logfmt, whatever the values are. */
#include "tests/support/test.h"

#include "common/json.h"
#include "common/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What one event with this value writes. */
static char *logged(enum log_format format, const char *value)
{
    static char text[16384];
    char path[] = "/tmp/surgetank-log-XXXXXX";
    int file = mkstemp(path), was = dup(STDERR_FILENO);

    assert_true(file >= 0 && was >= 0);
    unlink(path);
    dup2(file, STDERR_FILENO);
    log_setup(LOG_LEVEL_INFO, format);
    LOG_INFO("Tried", LOG_STR("value", value), LOG_I64("after", 7));
    dup2(was, STDERR_FILENO);
    ssize_t len = pread(file, text, sizeof text - 1, 0);
    close(file);
    close(was);
    assert_true(len > 0 && text[len - 1] == '\n');
    text[len - 1] = '\0';
    return text;
}

static struct json *parsed(const char *value)
{
    const char *line = logged(LOG_FORMAT_JSON, value);
    struct json *json = NULL;

    assert_ok(
        json_parse((struct bytes){(const uint8_t *)line, strlen(line)}, 1 << 16, &json, NULL));
    return json;
}

static void test_a_line_of_json_gives_a_value_back(void **state)
{
    (void)state;
    static const char *const values[] = {"", "plain", "a \"b\" \\ \n\t\x01\x7f",
                                         "\xc3\xbc\xf0\x9f\x92\xa7"};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        AUTO(json_free) struct json *json = parsed(values[i]);
        assert_string_equal(json_string(json_get(json, "value"), NULL), values[i]);
        assert_int_equal(json_int(json_get(json, "after"), 0), 7);
    }
}

static void test_bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    AUTO(json_free)
    struct json *json = parsed("a\xff"
                               "b\xc3");

    assert_string_equal(json_string(json_get(json, "value"), NULL), "a\xef\xbf\xbd"
                                                                    "b\xef\xbf\xbd");
    assert_non_null(strstr(logged(LOG_FORMAT_LOGFMT, "a\xff"), "value=\"a\xef\xbf\xbd\" after=7"));
}

static void test_a_value_that_is_too_long_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state;
    static char value[8192];

    for (size_t shift = 0; shift < 8; shift++) {
        memset(value, 'x', shift);
        for (size_t at = shift; at + 3 < sizeof value; at += 3)
            memcpy(value + at, at % 2 == 0 ? "\xe2\x82\xac" : "\"\"\"", 3);
        AUTO(json_free) struct json *json = parsed(value);
        const char *cut = json_string(json_get(json, "value"), "");
        assert_true(strlen(cut) > 1000);
        assert_memory_equal(cut, value, strlen(cut));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_of_json_gives_a_value_back),
        cmocka_unit_test(test_bytes_that_are_not_utf8_are_replaced),
        cmocka_unit_test(test_a_value_that_is_too_long_is_cut_and_the_line_stays_whole),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
