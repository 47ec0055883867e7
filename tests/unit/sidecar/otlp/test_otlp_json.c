/* OTLP/JSON means what protobuf's own classes take it to mean (tests/golden/otlp, made by them),
 * goes there and back without loss, and what is refused is refused with its place. */
// link: tests/support/otlp_random.c tests/support/golden.c
#include "sidecar/otlp/otlp_json.h"

#include "sidecar/otlp/json_text.h"
#include "sidecar/otlp/json_value.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/golden.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 200 };

static struct bytes text_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void assert_same_text(struct buf *got, struct buf *want)
{
    assert_non_null(buf_text(got));
    assert_non_null(buf_text(want));
    assert_string_equal((const char *)got->data, (const char *)want->data);
}

/* ---- against protobuf */

static void check_golden(const char *name)
{
    AUTO(buf_fini) struct buf json = {0}, proto = {0}, want = {0}, got = {0}, back = {0};
    AUTO(buf_fini) struct buf from_proto = {0};
    struct otlp_summary ours, theirs;
    struct error error = {0};
    char path[100];
    enum signal signal = name[0] == 't'   ? SIGNAL_TRACES
                         : name[0] == 'm' ? SIGNAL_METRICS
                                          : SIGNAL_LOGS;

    snprintf(path, sizeof path, "tests/golden/otlp/%s.json", name);
    assert_true(golden_read(path, &json));
    snprintf(path, sizeof path, "tests/golden/otlp/%s.bin", name);
    assert_true(golden_read(path, &proto));
    snprintf(path, sizeof path, "tests/golden/otlp/%s.out.json", name);
    assert_true(golden_read(path, &want));

    if (otlp_json_read(signal, buf_bytes(&json), NULL, &got, &error) != OK)
        fail_msg("%s: %s", name, error.text);
    assert_ok(otlp_walk(signal, buf_bytes(&got), NULL, &ours, &error));
    assert_ok(otlp_walk(signal, buf_bytes(&proto), NULL, &theirs, &error));
    assert_int_equal(got.len, proto.len); /* the same fields, if in another order */
    assert_int_equal(ours.items, theirs.items);
    assert_int_equal(ours.resources, theirs.resources);
    assert_int_equal(ours.scopes, theirs.scopes);

    assert_ok(otlp_json_write(signal, buf_bytes(&got), &back, &error));
    assert_same_text(&back, &want);
    assert_ok(otlp_json_write(signal, buf_bytes(&proto), &from_proto, &error));
    assert_same_text(&from_proto, &want);

    /* what we write is in the order of the numbers, and so is what protobuf writes: byte for byte
     */
    buf_clear(&got);
    assert_ok(otlp_json_read(signal, buf_bytes(&want), NULL, &got, &error));
    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&proto)));
}

static void test_means_what_protobuf_takes_it_to_mean(void **state)
{
    (void)state;
    check_golden("traces_sdk");
    check_golden("traces_odd");
    check_golden("metrics_sdk");
    check_golden("logs_sdk");
}

/* ---- there and back */

static void test_goes_there_and_back(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0}, once = {0}, again = {0}, twice = {0};
        struct otlp_random random = {.state = round, .odd = round % 2};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary before, after;
        struct error error = {0};

        otlp_random_request(&random, signal, &request);
        assert_ok(otlp_json_write(signal, buf_bytes(&request), &once, &error));
        if (otlp_json_read(signal, buf_bytes(&once), NULL, &again, &error) != OK)
            fail_msg("seed %u: %s", round, error.text);
        assert_ok(otlp_json_write(signal, buf_bytes(&again), &twice, &error));
        assert_same_text(&twice, &once);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &before, &error));
        assert_ok(otlp_walk(signal, buf_bytes(&again), NULL, &after, &error));
        assert_int_equal(before.resources, after.resources);
        if (!random.odd) /* odd ones have metrics of two kinds, of which one is left */
            assert_int_equal(before.items, after.items);
    }
}

/* Lengths take one byte more at each of 128 and 16384, of everything around the text. */
static void test_makes_room_for_lengths_of_any_size(void **state)
{
    (void)state;
    static char text[17000];
    AUTO(buf_fini) struct buf json = {0}, got = {0}, back = {0};

    for (size_t len = 0; len < sizeof text; len += len < 300 || len > 16300 ? 1 : 500) {
        struct otlp_summary summary;
        buf_clear(&json);
        buf_clear(&got);
        buf_clear(&back);
        memset(text, 'x', len);
        assert_ok(buf_printf(&json,
                             "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{"
                             "\"stringValue\":\"%.*s\"}},{\"severityNumber\":1}]}]}]}",
                             (int)len, text));
        assert_ok(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), NULL, &got, NULL));
        assert_ok(otlp_walk(SIGNAL_LOGS, buf_bytes(&got), NULL, &summary, NULL));
        assert_int_equal(summary.items, 2);
        assert_ok(otlp_json_write(SIGNAL_LOGS, buf_bytes(&got), &back, NULL));
        assert_true(bytes_equal(buf_bytes(&back), buf_bytes(&json)));
    }
}

/* ---- what is refused */

#define SPAN(text) "{\"resourceSpans\":[{},{\"scopeSpans\":[{\"spans\":[{" text "}]}]}]}"
#define AT         "resourceSpans[1].scopeSpans[0].spans[0]"

static void test_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "OTLP/JSON request: the text ends too early at byte 0"},
        {" []", "OTLP/JSON request: not an object at byte 1"},
        {"{", "OTLP/JSON request: the text ends too early at byte 1"},
        {"{\"resourceSpans\":", "resourceSpans[0]: the text ends too early at byte 17"},
        {"{\"resourceSpans\":[{} ", "resourceSpans[0]: the text ends too early at byte 21"},
        {"{\"resourceSpans\":[{\"sco", "resourceSpans[0]: the text ends too early at byte 23"},
        {"{} x", "OTLP/JSON request: something follows the request at byte 3"},
        {"{\"a\" 1}", "OTLP/JSON request: a colon is missing at byte 5"},
        {"{\"a\":1,}", "OTLP/JSON request: not a string at byte 7"},
        {"{\"a\":1 \"b\":2}", "OTLP/JSON request: a comma or a bracket is missing at byte 7"},
        {"{\"a\":[1,{\"b\":tru}]}", "OTLP/JSON request: not a value at byte 13"},
        {"{\"a\":[1}", "OTLP/JSON request: a comma or a bracket is missing at byte 7"},
        {"{\"a\":01}", "OTLP/JSON request: a comma or a bracket is missing at byte 6"},
        {"{\"a\":\"\x01\"}", "OTLP/JSON request: a control character in a string at byte 6"},
        {"{\"a\":\"\xff\"}", "OTLP/JSON request: invalid UTF-8 at byte 6"},
        {"{\"resourceSpans\":{}}", "resourceSpans[0]: not a list at byte 17"},
        {"{\"resourceSpans\":[null]}", "resourceSpans[0]: null in a list at byte 18"},
        {"{\"resourceSpans\":[{},5]}", "resourceSpans[1]: not an object at byte 21"},
        {"{\"resourceSpans\":[{}{}]}",
         "resourceSpans[0]: a comma or a bracket is missing at byte 20"},
        {"{\"resourceSpans\":[],\"resourceSpans\":[]}", "resourceSpans[0]: comes twice at byte 20"},
        {SPAN("\"traceId\":\"abc\""), AT ".traceId: an odd number of hex digits at byte 57"},
        {SPAN("\"traceId\":\"xy\""), AT ".traceId: not hex digits at byte 57"},
        {SPAN("\"traceId\":5"), AT ".traceId: not a string at byte 57"},
        {SPAN("\"name\":\"\\x\""), AT ".name: an escape that JSON does not have at byte 55"},
        {SPAN("\"name\":\"\\u12g4\""), AT ".name: a broken \\u escape at byte 55"},
        {SPAN("\"kind\":\"\""), AT ".kind: neither a number nor a name at byte 54"},
        {SPAN("\"trace_id\":\"\",\"traceId\":\"\""), AT ".traceId: comes twice at byte 61"},
        {SPAN("\"kind\":2147483648"), AT ".kind: a number out of its range at byte 54"},
        {SPAN("\"kind\":1.5"), AT ".kind: not a whole number at byte 54"},
        {SPAN("\"startTimeUnixNano\":\"-1\""),
         AT ".startTimeUnixNano: a number out of its range at byte 67"},
        {SPAN("\"startTimeUnixNano\":\"18446744073709551616\""),
         AT ".startTimeUnixNano: a number out of its range at byte 67"},
        {SPAN("\"startTimeUnixNano\":\"\""), AT ".startTimeUnixNano: not a number at byte 67"},
        {SPAN("\"startTimeUnixNano\":true"), AT ".startTimeUnixNano: not a number at byte 67"},
        {SPAN("\"flags\":4294967296"), AT ".flags: a number out of its range at byte 55"},
        {SPAN("\"attributes\":[{\"value\":{\"intValue\":1,\"boolValue\":true}}]"),
         AT ".attributes[0].value.boolValue: is one of several that exclude each other at byte 84"},
        {SPAN("\"attributes\":[{\"value\":{\"boolValue\":\"true\"}}]"),
         AT ".attributes[0].value.boolValue: not true or false at byte 83"},
        {SPAN("\"attributes\":[{\"value\":{\"bytesValue\":\"a\"}}]"),
         AT ".attributes[0].value.bytesValue: base64 is cut off at byte 84"},
        {SPAN("\"attributes\":[{\"value\":{\"bytesValue\":\"a=bc\"}}]"),
         AT ".attributes[0].value.bytesValue: not base64 at byte 84"},
        {SPAN("\"attributes\":[{\"value\":{\"doubleValue\":1e999}}]"),
         AT ".attributes[0].value.doubleValue: a number out of its range at byte 85"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(buf_fini) struct buf out = {0};
        struct error error = {0};
        assert_ok(buf_append_text(&out, "before"));
        enum err err = otlp_json_read(SIGNAL_TRACES, text_of(cases[i].text), NULL, &out, &error);
        if (err == OK)
            fail_msg("case %zu: accepted", i);
        assert_int_equal(err, ERR_INVALID);
        assert_string_equal(error.text, cases[i].says);
        assert_int_equal(out.len, 6);
        assert_int_equal(otlp_json_read(SIGNAL_TRACES, text_of(cases[i].text), NULL, &out, NULL),
                         ERR_INVALID);
    }
}

/* What OTLP does not have and protobuf's own JSON has, and the Collector takes. */
static void test_takes_enums_by_name_and_fields_in_snake_case(void **state)
{
    (void)state;
    static const struct {
        const char *text, *same;
    } cases[] = {
        {"\"kind\":\"SPAN_KIND_SERVER\"", "\"kind\":2"},
        {"\"kind\":\"5\"", "\"kind\":5"},
        {"\"kind\":\"99\"", "\"kind\":99"},
        {"\"kind\":\"SPAN_KIND_FROM_THE_FUTURE\",\"name\":\"x\"", "\"name\":\"x\""},
        {"\"kind\":\"STATUS_CODE_OK\"", ""},
        {"\"kind\":\"SPAN_KIND_\"", ""},
        {"\"status\":{\"code\":\"STATUS_CODE_ERROR\"}", "\"status\":{\"code\":2}"},
        {"\"start_time_unix_nano\":7,\"dropped_links_count\":1",
         "\"startTimeUnixNano\":\"7\",\"droppedLinksCount\":1"},
        {"\"parent_span_id\":\"00000000000000Ab\"", "\"parentSpanId\":\"00000000000000ab\""},
        {"\"_name\":\"x\",\"name_\":\"x\",\"na_me\":\"x\",\"_\":1", ""},
        {"\"attributes\":[{\"key\":\"a\",\"value\":{\"string_value\":\"b\"}}]",
         "\"attributes\":[{\"key\":\"a\",\"value\":{\"stringValue\":\"b\"}}]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(buf_fini) struct buf text = {0}, proto = {0}, got = {0}, want = {0};
        struct error error = {0};
        assert_ok(buf_printf(&text, "{\"resource_spans\":[{\"scopeSpans\":[{\"spans\":[{%s}]}]}]}",
                             cases[i].text));
        assert_ok(buf_printf(&want, "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{%s}]}]}]}",
                             cases[i].same));
        if (otlp_json_read(SIGNAL_TRACES, buf_bytes(&text), NULL, &proto, &error) != OK)
            fail_msg("case %zu: %s", i, error.text);
        assert_ok(otlp_json_write(SIGNAL_TRACES, buf_bytes(&proto), &got, NULL));
        assert_same_text(&got, &want);
    }
}

static void test_refuses_a_text_that_is_cut_off(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf json = {0}, out = {0};

    assert_true(golden_read("tests/golden/otlp/traces_sdk.json", &json));
    while (json.data[json.len - 1] != '}')
        json.len--;
    for (size_t len = 0; len < json.len; len++) {
        uint8_t *exact = malloc(len + 1); /* so that a byte too far is seen by ASan */
        memcpy(exact + 1, json.data, len);
        assert_int_equal(
            otlp_json_read(SIGNAL_TRACES, (struct bytes){exact + 1, len}, NULL, &out, NULL),
            ERR_INVALID);
        free(exact);
    }
}

static void test_bounds_depth(void **state)
{
    (void)state;
    for (unsigned depth = 1; depth <= 110; depth++) {
        AUTO(buf_fini) struct buf json = {0}, out = {0};
        unsigned lists = (depth - 1) / 2;
        struct otlp_limits limits = {.depth_max = 5 + depth};

        assert_ok(buf_append_text(&json, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{"
                                         "\"body\":"));
        for (unsigned i = 0; i < lists; i++)
            assert_ok(buf_append_text(&json, "{\"arrayValue\":{\"values\":["));
        assert_ok(buf_append_text(&json, "{}"));
        for (unsigned i = 0; i < lists; i++)
            assert_ok(buf_append_text(&json, "]}}"));
        assert_ok(buf_append_text(&json, "}]}]}]}"));
        assert_int_equal(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), NULL, &out, NULL),
                         5 + 2 * lists <= 100 ? OK : ERR_INVALID);
        limits.depth_max = 5 + 2 * lists;
        assert_ok(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), &limits, &out, NULL));
        limits.depth_max--;
        assert_int_equal(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), &limits, &out, NULL),
                         ERR_INVALID);
    }
}

static void test_bounds_the_depth_of_what_it_skips(void **state)
{
    (void)state;
    for (int depth = JSON_TEXT_SKIP_DEPTH_MAX - 1; depth <= JSON_TEXT_SKIP_DEPTH_MAX + 1; depth++) {
        AUTO(buf_fini) struct buf json = {0}, out = {0};
        assert_ok(buf_append_text(&json, "{\"x\":"));
        for (int i = 0; i < depth; i++)
            assert_ok(buf_append_text(&json, i % 2 != 0 ? "{\"y\":" : "["));
        assert_ok(buf_append_text(&json, "1"));
        for (int i = depth; i-- > 0;)
            assert_ok(buf_append_text(&json, i % 2 != 0 ? "}" : ",[]]"));
        assert_ok(buf_append_text(&json, "}"));
        assert_int_equal(otlp_json_read(SIGNAL_LOGS, buf_bytes(&json), NULL, &out, NULL),
                         depth <= JSON_TEXT_SKIP_DEPTH_MAX ? OK : ERR_INVALID);
    }
}

static void test_stops_at_the_size_it_is_given(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf json = {0}, whole = {0};
    struct error error = {0};

    assert_true(golden_read("tests/golden/otlp/traces_sdk.json", &json));
    assert_ok(otlp_json_read(SIGNAL_TRACES, buf_bytes(&json), NULL, &whole, NULL));
    for (size_t max = 1; max < whole.len; max++) {
        AUTO(buf_fini) struct buf out = {.max = max};
        assert_int_equal(otlp_json_read(SIGNAL_TRACES, buf_bytes(&json), NULL, &out, &error),
                         ERR_FULL);
        assert_int_equal(out.len, 0);
    }
    assert_string_equal(error.text, "OTLP/JSON request becomes too big: no room");
    for (size_t max = 1; max < 2000; max += 7) {
        AUTO(buf_fini) struct buf out = {.max = max};
        assert_int_equal(otlp_json_write(SIGNAL_TRACES, buf_bytes(&whole), &out, &error), ERR_FULL);
        assert_int_equal(out.len, 0);
    }
}

/* ---- values */

static void test_reads_doubles_as_the_library_does(void **state)
{
    (void)state;
    struct otlp_random random = {.state = 7};

    for (int i = 0; i < 20000; i++) {
        char text[64];
        uint64_t bits = otlp_random_next(&random);
        double value, got = 0;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        if (i % 2 == 0)
            value = (double)(int64_t)(bits % 1000000000) / pow(10, (double)(bits % 23));
        snprintf(text, sizeof text, "%.*g", 1 + (int)(otlp_random_next(&random) % 17), value);
        assert_null(json_value_double(text_of(text), &got));
        value = strtod(text, NULL);
        if (memcmp(&got, &value, sizeof got) != 0)
            fail_msg("%s: %.17g", text, got);
    }
}

static void test_reads_whole_numbers_however_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *fault;
        int64_t value;
    } cases[] = {
        {"0", NULL, 0},
        {"-0", NULL, 0},
        {"-1", NULL, -1},
        {"9223372036854775807", NULL, INT64_MAX},
        {"-9223372036854775808", NULL, INT64_MIN},
        {"9223372036854775808", "a number out of its range", 0},
        {"-9223372036854775809", "a number out of its range", 0},
        {"1e3", NULL, 1000},
        {"1E+3", NULL, 1000},
        {"1.5e1", NULL, 15},
        {"1000e-3", NULL, 1},
        {"-1.0", NULL, -1},
        {"0e999999999999", NULL, 0},
        {"1e999999999999", "a number out of its range", 0},
        {"1e-999999999999", "not a whole number", 0},
        {"0.1", "not a whole number", 0},
        {"00000000000000000000000000000000000000000000000000000000001", NULL, 1},
        {"10000000000000000000000000000000000000000000000000000000001e-58",
         "a number out of its range", 0},
        {"10000000000000000000000000000000000000000000000000000000000e-58", NULL, 1},
        {"", "not a number", 0},
        {"-", "not a number", 0},
        {"--1", "not a number", 0},
        {"--0", "not a number", 0},
        {"1.", "not a number", 0},
        {".5", "not a number", 0},
        {"1e", "not a number", 0},
        {"1e+", "not a number", 0},
        {"1 ", "not a number", 0},
        {"0x1", "not a number", 0},
        {"NaN", "not a number", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = 0;
        const char *fault = json_value_int(text_of(cases[i].text), INT64_MIN, INT64_MAX, &value);
        if ((fault == NULL) != (cases[i].fault == NULL))
            fail_msg("'%s': %s", cases[i].text, fault != NULL ? fault : "accepted");
        if (fault != NULL)
            assert_string_equal(fault, cases[i].fault);
        assert_true(value == cases[i].value);
    }
}

static void test_reads_base64_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"YQ==", "a"},
        {"YQ", "a"},
        {"YWI=", "ab"},
        {"YWI", "ab"},
        {"YWJj", "abc"},
        {"-_-_", "\xfb\xff\xbf"},
        {"+/+/", "\xfb\xff\xbf"},
        {"Y", NULL},
        {"YQ=", NULL},
        {"====", NULL},
        {"Y Q=", NULL},
        {"YQ==YQ==", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[16], *end = NULL;
        const char *fault = json_value_base64(text_of(cases[i].text), bytes, &end);
        if ((fault == NULL) != (cases[i].bytes != NULL))
            fail_msg("'%s'", cases[i].text);
        if (fault == NULL) {
            assert_int_equal(end - bytes, strlen(cases[i].bytes));
            assert_memory_equal(bytes, cases[i].bytes, strlen(cases[i].bytes));
        }
    }
}

static void test_mends_halves_of_surrogate_pairs(void **state)
{
    (void)state;
    static const struct {
        const char *raw, *text;
    } cases[] = {
        {"\\ud83e\\udd9c", "\xf0\x9f\xa6\x9c"},
        {"\\ud83e", "\xef\xbf\xbd"},
        {"\\udd9c\\ud83e", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\\ud83e\\u0041", "\xef\xbf\xbd"
                           "A"},
        {"\\ud83ex", "\xef\xbf\xbdx"},
        {"\\uDBFF\\uDFFF", "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t text[64];
        uint8_t *end = json_text_unescape(text_of(cases[i].raw), text);
        assert_int_equal(end - text, strlen(cases[i].text));
        assert_memory_equal(text, cases[i].text, strlen(cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_what_protobuf_takes_it_to_mean),
        cmocka_unit_test(test_goes_there_and_back),
        cmocka_unit_test(test_makes_room_for_lengths_of_any_size),
        cmocka_unit_test(test_says_what_is_wrong_and_where),
        cmocka_unit_test(test_takes_enums_by_name_and_fields_in_snake_case),
        cmocka_unit_test(test_refuses_a_text_that_is_cut_off),
        cmocka_unit_test(test_bounds_depth),
        cmocka_unit_test(test_bounds_the_depth_of_what_it_skips),
        cmocka_unit_test(test_stops_at_the_size_it_is_given),
        cmocka_unit_test(test_reads_doubles_as_the_library_does),
        cmocka_unit_test(test_reads_whole_numbers_however_they_are_written),
        cmocka_unit_test(test_reads_base64_of_every_kind),
        cmocka_unit_test(test_mends_halves_of_surrogate_pairs),
    };
    return cmocka_run_group_tests_name("otlp_json", tests, NULL, NULL);
}
