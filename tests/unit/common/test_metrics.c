/* Promise: what is counted comes out as Prometheus reads it, and what is gone comes out no more. */
#include "tests/support/test.h"

#include "common/metrics.h"

#include <stdio.h>

static const struct metric_desc lag_desc = {.name = "test_lag_messages",
                                            .kind = METRIC_GAUGE,
                                            .help = "Lag.",
                                            .labels = {"pipeline", "gateway"}};
static const struct metric_desc busy_desc = {
    .name = "test_busy", .kind = METRIC_GAUGE, .help = "Busy.", .labels = {"n"}};

static bool shows(const char *text)
{
    AUTO(buf_fini) struct buf page = {0};

    assert_ok(metrics_expose(&page));
    assert_non_null(buf_text(&page));
    return strstr(buf_text(&page), text) != NULL;
}

static void test_series_come_out_with_their_labels_escaped(void **state)
{
    (void)state;
    metric_set(metrics_series(&lag_desc, "a\"b\\c\nd", "g"), 2.5);
    assert_true(shows("# HELP test_lag_messages Lag.\n# TYPE test_lag_messages gauge\n"));
    assert_true(shows("test_lag_messages{pipeline=\"a\\\"b\\\\c\\nd\",gateway=\"g\"} 2.5\n"));
}

static void test_a_sweep_drops_what_was_not_set_since_the_last_one(void **state)
{
    (void)state;
    metrics_sweep(&lag_desc);
    metrics_sweep(&lag_desc);
    metric_set(metrics_series(&lag_desc, "stays", "g"), 1);
    metric_set(metrics_series(&lag_desc, "goes", "g"), 1);
    metrics_sweep(&lag_desc);
    assert_true(shows("pipeline=\"stays\"") && shows("pipeline=\"goes\""));
    metric_set(metrics_series(&lag_desc, "stays", "g"), 2);
    metrics_sweep(&lag_desc);
    assert_true(shows("test_lag_messages{pipeline=\"stays\",gateway=\"g\"} 2\n"));
    assert_false(shows("pipeline=\"goes\""));
    metric_set(metrics_series(&lag_desc, "comes", "g"), 3); /* behind the one that is left */
    assert_true(shows("pipeline=\"stays\"") && shows("pipeline=\"comes\""));
    metrics_sweep(&lag_desc);
    metrics_sweep(&lag_desc);
    assert_false(shows("pipeline="));
}

static void test_too_many_series_end_in_one_and_a_sweep_makes_room(void **state)
{
    char name[16];

    (void)state;
    for (int i = 0; i < METRIC_SERIES_MAX + 5; i++) {
        snprintf(name, sizeof name, "%d", i);
        metric_set(metrics_series(&busy_desc, name), 1);
    }
    assert_true(shows("test_busy{n=\"_overflow\"} 1\n"));
    metrics_sweep(&busy_desc);
    metrics_sweep(&busy_desc);
    metric_set(metrics_series(&busy_desc, "fresh"), 1);
    assert_true(shows("test_busy{n=\"fresh\"} 1\n"));
    assert_false(shows("_overflow"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_come_out_with_their_labels_escaped),
        cmocka_unit_test(test_a_sweep_drops_what_was_not_set_since_the_last_one),
        cmocka_unit_test(test_too_many_series_end_in_one_and_a_sweep_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
