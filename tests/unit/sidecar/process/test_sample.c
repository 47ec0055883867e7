/* Promise: a part of the traces is kept, whole, the same one in every process, and of what has no
 * trace about that part too. */
// link: tests/support/processors.c
#include "tests/support/processors.h"
#include "tests/support/test.h"

#include "sidecar/otlp/otlp_json.h"
#include "sidecar/process/sample.h"

#include <stdio.h>

/* A span whose trace id is sixteen bytes long. */
static bool keeps(double ratio, const uint8_t id[static 16])
{
    uint8_t span[18] = {0x0a, 16};

    memcpy(span + 2, id, 16);
    const struct item item = {.message = OTLP_SPAN, .bytes = {span, sizeof span}};
    return sample_keeps(sample_threshold(ratio), &item);
}

static void test_the_threshold_is_that_of_consistent_sampling(void **state)
{
    (void)state;
    assert_true(sample_threshold(1) == 0);
    assert_true(sample_threshold(0.5) == UINT64_C(0x80000000000000));
    assert_true(sample_threshold(0.25) == UINT64_C(0xc0000000000000));
    assert_true(sample_threshold(0.0625) == UINT64_C(0xf0000000000000));
    assert_true(sample_threshold(0) == UINT64_C(1) << 56);
}

static void test_the_lowest_56_bits_of_the_trace_id_decide(void **state)
{
    (void)state;
    uint8_t id[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* and then */
                      0x80, 0,    0,    0,    0,    0,    0};

    assert_true(keeps(0.5, id));
    id[9] = 0x7f;
    id[15] = 0xff;
    assert_false(keeps(0.5, id));
    memset(id, 0, 9);
    memset(id + 9, 0xff, 7);
    assert_true(keeps(0.0001, id));
    assert_false(keeps(0, id));
    assert_true(keeps(1, id));
}

static void test_a_higher_ratio_keeps_all_that_a_lower_one_does(void **state)
{
    (void)state;
    uint64_t random = 1;
    unsigned kept = 0;

    for (unsigned i = 0; i < 4000; i++) {
        uint8_t id[16] = {0};
        for (size_t at = 0; at < 16; at++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            id[at] = (uint8_t)(random >> 56);
        }
        if (keeps(0.25, id))
            assert_true(keeps(0.3, id));
        kept += keeps(0.25, id);
    }
    assert_in_range(kept, 850, 1150);
}

static void test_what_has_no_trace_is_decided_by_itself_and_alike_each_time(void **state)
{
    (void)state;
    unsigned kept = 0;

    for (unsigned i = 0; i < 4000; i++) {
        char body[32];
        int len = snprintf(body, sizeof body, "line %u", i);
        const struct item item = {.message = OTLP_LOG_RECORD,
                                  .bytes = {(const uint8_t *)body, (size_t)len}};
        bool first = sample_keeps(sample_threshold(0.25), &item);
        assert_true(first == sample_keeps(sample_threshold(0.25), &item));
        kept += first;
    }
    assert_in_range(kept, 850, 1150);
}

static uint32_t left(enum signal signal, const char *processors, const char *json)
{
    AUTO(process_destroy) struct process *process = processors_make(processors);
    AUTO(buf_fini) struct buf request = {0};
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0;

    assert_ok(otlp_json_read(signal, bytes_from(json), NULL, &request, NULL));
    assert_ok(
        process_run(process, signal, buf_bytes(&request), SIZE_MAX, &out, &items, &counts, NULL));
    return items;
}

static void test_keeps_what_keep_is_true_of_and_never_drops_points(void **state)
{
    (void)state;
    static const char none[] = "        - sample: {ratio: 0, keep: 'status == \"error\"'}\n";

    assert_int_equal(
        left(SIGNAL_TRACES, none,
             "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"status\":{\"code\":2}},"
             "{\"name\":\"x\"},{\"status\":{\"code\":1}}]}]}]}"),
        1);
    assert_int_equal(
        left(SIGNAL_LOGS, none, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{}]}]}]}"),
        0);
    assert_int_equal(left(SIGNAL_LOGS,
                          "        - sample: {ratio: 0, keep: 'status != \"error\"'}\n",
                          "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{}]}]}]}"),
                     0); /* it is about spans */
    assert_int_equal(left(SIGNAL_METRICS, none,
                          "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"a\","
                          "\"gauge\":{\"dataPoints\":[{},{}]}}]}]}]}"),
                     2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_threshold_is_that_of_consistent_sampling),
        cmocka_unit_test(test_the_lowest_56_bits_of_the_trace_id_decide),
        cmocka_unit_test(test_a_higher_ratio_keeps_all_that_a_lower_one_does),
        cmocka_unit_test(test_what_has_no_trace_is_decided_by_itself_and_alike_each_time),
        cmocka_unit_test(test_keeps_what_keep_is_true_of_and_never_drops_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
