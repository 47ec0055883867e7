/* Instants survive the way to text and back, and nonsense is no instant. */
#include "tests/support/test.h"

#include "common/rfc3339.h"

#include <time.h>

static void test_writes_times_as_kubernetes_does(void **state)
{
    (void)state;
    char text[RFC3339_SIZE];
    const uint64_t at = 1795260000123456789u;

    assert_string_equal(rfc3339_seconds(at, text), "2026-11-21T11:20:00Z");
    assert_string_equal(rfc3339_micros(at, text), "2026-11-21T11:20:00.123456Z");
    assert_string_equal(rfc3339_micros(0, text), "1970-01-01T00:00:00.000000Z");
    assert_string_equal(rfc3339_nanos(at, text), "2026-11-21T11:20:00.123456789Z");
}

static void test_writes_every_day_as_the_calendar_has_it(void **state)
{
    (void)state;
    char want[RFC3339_SIZE], got[RFC3339_SIZE];

    for (uint64_t day = 0; day < UINT64_MAX / 1000000000 / 86400; day++) {
        time_t seconds = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        gmtime_r(&seconds, &tm);
        assert_true(strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
        assert_string_equal(rfc3339_seconds((uint64_t)seconds * 1000000000, got), want);
    }
}

static void test_reads_fractions_and_offsets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t want;
    } cases[] = {{"2026-11-21T11:20:00Z", 1795260000000000000u},
                 {"2026-11-21T11:20:00.5Z", 1795260000500000000u},
                 {"2026-11-21T11:20:00.1234567891Z", 1795260000123456789u},
                 {"2026-11-21T13:20:00+02:00", 1795260000000000000u},
                 {"2026-11-21T06:50:00-04:30", 1795260000000000000u}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t at = 0;
        assert_true(rfc3339_parse(cases[i].text, &at));
        assert_int_equal(at, cases[i].want);
    }
}

static void test_refuses_what_is_no_instant(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "now",
                                      "2026-11-21",
                                      "2026-11-21T11:20:00",
                                      "2026-13-21T11:20:00Z",
                                      "2026-11-21T11:20:00Z ",
                                      "2026-11-21T11:20:00+2:00",
                                      "2026-11-21T11:20:00+99:00",
                                      "1969-12-31T23:59:59Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t at = 0;
        assert_false(rfc3339_parse(bad[i], &at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_times_as_kubernetes_does),
        cmocka_unit_test(test_writes_every_day_as_the_calendar_has_it),
        cmocka_unit_test(test_reads_fractions_and_offsets),
        cmocka_unit_test(test_refuses_what_is_no_instant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
