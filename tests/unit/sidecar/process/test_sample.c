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
    /* Four digits that tell, as the specification's own table has them. */
    assert_true(sample_threshold(1.0 / 3) == UINT64_C(0xaaab0000000000));
    assert_true(sample_threshold(0.2) == UINT64_C(0xcccd0000000000));
    assert_true(sample_threshold(0.1) == UINT64_C(0xe6660000000000));
    assert_true(sample_threshold(0.01) == UINT64_C(0xfd70a000000000));
    assert_true(sample_threshold(0.001) == UINT64_C(0xffbe7700000000));
    assert_true(sample_threshold(0.0001) == UINT64_C(0xfff97240000000));
    assert_true(sample_threshold(0.000001) == UINT64_C(0xffffef39000000));
    assert_true(sample_threshold(0x1p-56) == UINT64_C(0xffffffffffffff));
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

/* What becomes of a span with that randomness and tracestate; NULL: it is dropped. */
static void check_state(const char *processor, const char *random, const char *before,
                        const char *want)
{
    AUTO(process_destroy) struct process *process = processors_make(processor);
    AUTO(buf_fini) struct buf in = {0}, expected = {0}, request = {0}, json = {0};
    static const char span[] = "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":"
                               "\"000000000000000000%s\",%s%s%s\"name\":\"x\"}]}]}]}";
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0;

#define STATE(text) text[0] != '\0' ? "\"traceState\":\"" : "", text, text[0] != '\0' ? "\"," : ""
    assert_ok(buf_printf(&in, span, random, STATE(before)));
    assert_ok(otlp_json_read(SIGNAL_TRACES, buf_bytes(&in), NULL, &request, NULL));
    assert_ok(process_run(process, SIGNAL_TRACES, buf_bytes(&request), SIZE_MAX, &out, &items,
                          &counts, NULL));
    assert_int_equal(items, want != NULL);
    if (want == NULL)
        return;
    if (strcmp(want, before) == 0)
        assert_true(bytes_equal(out, buf_bytes(&request))); /* to the byte */
    assert_ok(buf_printf(&expected, span, random, STATE(want)));
#undef STATE
    buf_clear(&request);
    assert_ok(otlp_json_read(SIGNAL_TRACES, buf_bytes(&expected), NULL, &request, NULL));
    assert_ok(otlp_json_write(SIGNAL_TRACES, out, &json, NULL));
    buf_clear(&expected);
    assert_ok(otlp_json_write(SIGNAL_TRACES, buf_bytes(&request), &expected, NULL));
    assert_string_equal(buf_text(&json), buf_text(&expected));
}

#define SAMPLE(text) "        - sample: {" text "}\n"
#define R_LOW        "40000000000000"
#define R_HIGH       "d0000000000000"

static void test_notes_the_threshold_in_what_it_keeps(void **state)
{
    (void)state;
    static const char quarter[] = SAMPLE("ratio: 0.25"), tenth[] = SAMPLE("ratio: 0.1");

    check_state(quarter, R_HIGH, "", "ot=th:c");
    check_state(quarter, R_LOW, "", NULL);
    check_state(tenth, "e6660000000000", "", "ot=th:e666");
    check_state(quarter, R_HIGH, "a=1,b=2", "ot=th:c,a=1,b=2");
    check_state(quarter, R_HIGH, "ot=x:y", "ot=th:c;x:y");
    check_state(quarter, R_HIGH, "ot=th:0", "ot=th:c"); /* all were kept before */
    check_state(quarter, R_HIGH, "a=1,ot=p:8;th:8", "ot=th:c;p:8,a=1");
}

static void test_does_not_make_up_for_what_an_earlier_sampler_dropped(void **state)
{
    (void)state;
    static const char quarter[] = SAMPLE("ratio: 0.25");

    check_state(quarter, "f0000000000000", "a=1,ot=th:e", "a=1,ot=th:e");
    check_state(quarter, R_HIGH, "ot=th:C000", "ot=th:C000"); /* the same */
    check_state(quarter, R_LOW, "ot=th:e", NULL);
}

static void test_takes_the_randomness_that_a_trace_brings(void **state)
{
    (void)state;
    static const char quarter[] = SAMPLE("ratio: 0.25");

    check_state(quarter, R_LOW, "ot=rv:" R_HIGH, "ot=th:c;rv:" R_HIGH);
    check_state(quarter, R_HIGH, "ot=rv:" R_LOW, NULL);
    check_state(quarter, R_HIGH, "ot=rv:4", "ot=th:c;rv:4"); /* it has 14 digits, or is none */
    check_state(quarter, R_LOW, "ot=th:c;rv:" R_HIGH, "ot=th:c;rv:" R_HIGH);
}

static void test_takes_back_a_threshold_that_can_not_be(void **state)
{
    (void)state;
    static const char quarter[] = SAMPLE("ratio: 0.25");

    check_state(quarter, R_HIGH, "ot=th:e", ""); /* it should have been dropped */
    check_state(quarter, R_HIGH, "a=1,ot=th:e;x:y,b=2", "ot=x:y,a=1,b=2");
    check_state(quarter, R_HIGH, "a=1,ot=th:what", "a=1");
    check_state(quarter, R_HIGH, "ot=th:8,ot=th:0", "ot=th:8,ot=th:0"); /* nobody knows */
}

static void test_leaves_alone_what_chance_had_no_part_in(void **state)
{
    (void)state;
    static const char keep[] = SAMPLE("ratio: 0.25, keep: 'name == \"x\"'");

    check_state(keep, R_HIGH, "ot=th:8", "ot=th:8");
    check_state(keep, R_LOW, "", "");
    check_state(SAMPLE("ratio: 1"), R_HIGH, "a=1", "a=1");
    check_state(SAMPLE("ratio: 0.9999"), "00000000000000", "a=1", "a=1"); /* no trace id */
}

static void test_a_later_sampler_goes_on_where_the_first_one_ended(void **state)
{
    (void)state;
    check_state(SAMPLE("ratio: 0.5") SAMPLE("ratio: 0.25"), R_HIGH, "", "ot=th:c");
    check_state(SAMPLE("ratio: 0.25") SAMPLE("ratio: 0.5"), R_HIGH, "", "ot=th:c");
    check_state(SAMPLE("ratio: 0.5") SAMPLE("ratio: 0.25"), "a0000000000000", "", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_threshold_is_that_of_consistent_sampling),
        cmocka_unit_test(test_the_lowest_56_bits_of_the_trace_id_decide),
        cmocka_unit_test(test_a_higher_ratio_keeps_all_that_a_lower_one_does),
        cmocka_unit_test(test_what_has_no_trace_is_decided_by_itself_and_alike_each_time),
        cmocka_unit_test(test_keeps_what_keep_is_true_of_and_never_drops_points),
        cmocka_unit_test(test_notes_the_threshold_in_what_it_keeps),
        cmocka_unit_test(test_does_not_make_up_for_what_an_earlier_sampler_dropped),
        cmocka_unit_test(test_takes_the_randomness_that_a_trace_brings),
        cmocka_unit_test(test_takes_back_a_threshold_that_can_not_be),
        cmocka_unit_test(test_leaves_alone_what_chance_had_no_part_in),
        cmocka_unit_test(test_a_later_sampler_goes_on_where_the_first_one_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
