/* What comes out of processors is what the document says, and everything else is as it was. */
// link: tests/support/processors.c
#include "tests/support/processors.h"
#include "tests/support/test.h"

#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/walk.h"

#include <stdio.h>

struct outcome {
    uint32_t items;
    struct process_counts counts;
};

/* What step `step` dropped, or could not parse. */
static uint32_t tally(const struct outcome *outcome, uint32_t step)
{
    for (size_t i = 0; i < outcome->counts.count; i++)
        if (outcome->counts.list[i].step == step)
            return outcome->counts.list[i].items;
    return 0;
}

/* Both requests in JSON; `want` in the way otlp_json_write() writes. "": nothing is left. */
static struct outcome check(enum signal signal, const char *processors, const char *in,
                            const char *want)
{
    AUTO(process_destroy) struct process *process = processors_make(processors);
    AUTO(buf_fini) struct buf request = {0}, got = {0};
    struct outcome outcome = {0};
    struct otlp_summary summary = {0};
    struct error error = {0};
    struct bytes out;

    if (otlp_json_read(signal, bytes_from(in), NULL, &request, &error))
        fail_msg("%s", error.text);
    assert_ok(process_run(process, signal, buf_bytes(&request), SIZE_MAX, &out, &outcome.items,
                          &outcome.counts, NULL));
    if (otlp_walk(signal, out, NULL, &summary, &error))
        fail_msg("%s", error.text);
    assert_int_equal(summary.items, outcome.items);
    assert_ok(otlp_json_write(signal, out, &got, NULL));
    assert_string_equal(buf_text(&got), want[0] == '\0' ? "{}" : want);
    return outcome;
}

#define LOGS(resource, records)                                                                \
    "{\"resourceLogs\":[{\"resource\":{" resource "},\"scopeLogs\":[{\"logRecords\":[" records \
    "]}]}]}"
#define SPANS(resource, spans) \
    "{\"resourceSpans\":[{\"resource\":{" resource "},\"scopeSpans\":[{\"spans\":[" spans "]}]}]}"
#define ATTRIBUTES(list) "\"attributes\":[" list "]"
#define KV(key, value)   "{\"key\":\"" key "\",\"value\":{\"stringValue\":\"" value "\"}}"
#define KVI(key, value)  "{\"key\":\"" key "\",\"value\":{\"intValue\":\"" value "\"}}"
#define RECORD(n, text)  "{\"severityNumber\":" n ",\"body\":{\"stringValue\":\"" text "\"}}"

/* ---- attributes */

static void test_each_action_does_what_it_says_on_resources(void **state)
{
    (void)state;
    check(SIGNAL_LOGS,
          "        - attributes:\n"
          "            \"on\": resource\n"
          "            actions:\n"
          "              - {key: a, value: new, action: insert}\n"
          "              - {key: b, value: new, action: insert}\n"
          "              - {key: c, value: new, action: update}\n"
          "              - {key: d, value: new, action: update}\n"
          "              - {key: e, value: new}\n"
          "              - {key: f, action: delete}\n"
          "              - {key: g2, fromAttribute: g, action: rename}\n"
          "              - {key: h, fromAttribute: a}\n"
          "              - {key: i, fromAttribute: missing}\n"
          "              - {key: j, fromAttribute: missing, action: rename}\n",
          LOGS(ATTRIBUTES(KV("a", "1") "," KV("c", "3") "," KV("f", "6") "," KVI("g", "7")),
               RECORD("9", "x")),
          LOGS(ATTRIBUTES(KV("a", "1") "," KV("b", "new") "," KV("c", "new") "," KV(
                   "e", "new") "," KVI("g2", "7") "," KV("h", "1")),
               RECORD("9", "x")));
}

static void test_acts_on_items_and_scopes_too(void **state)
{
    (void)state;
    check(
        SIGNAL_TRACES,
        "        - attributes: {\"on\": item, actions: [{key: k, value: v}]}\n"
        "        - attributes: {\"on\": scope, actions: [{key: s, value: t}]}\n",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"a\"},{\"name\":"
        "\"b\"," ATTRIBUTES(KV("k", "old")) "}]}]}]}",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"scope\":{" ATTRIBUTES(KV(
            "s",
            "t")) "},\"spans\":[{\"name\":\"a\"," ATTRIBUTES(KV("k",
                                                                "v")) "},"
                                                                      "{\"name\":\"b\"," ATTRIBUTES(
                                                                          KV("k", "v")) "}]}]}]}");
}

static void test_acts_on_every_kind_of_data_point(void **state)
{
    (void)state;
#define POINT      "{" ATTRIBUTES(KV("k", "v")) "}"
#define POINTS(in) "\"dataPoints\":[" in "]"
#define METRICS(p)                                                                                                                        \
    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"a\",\"gauge\":{" POINTS(p) "}},{\"name\":\"b\",\"sum\":{" POINTS( \
        p) "}},{\"name\":\"c\",\"histogram\":{" POINTS(p) "}},{\"name\":\"d\","                                                           \
                                                          "\"exponentialHistogram\":{" POINTS(                                            \
                                                              p) "}},{\"name\":\"e\",\"summary\":"                                        \
                                                                 "{" POINTS(p) "}}]}]}]}"
    check(SIGNAL_METRICS, "        - attributes: {\"on\": item, actions: [{key: k, value: v}]}\n",
          METRICS("{}"), METRICS(POINT));
}

static void test_makes_a_resource_where_there_is_none(void **state)
{
    (void)state;
    check(SIGNAL_LOGS, "        - attributes: {actions: [{key: k, value: v}]}\n",
          "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[" RECORD("9", "x") "]}]}]}",
          LOGS(ATTRIBUTES(KV("k", "v")), RECORD("9", "x")));
}

/* ---- filter */

static void test_drops_what_the_filter_says_and_counts_it(void **state)
{
    (void)state;
    struct outcome outcome = check(SIGNAL_LOGS, "        - filter: {drop: 'severity < \"INFO\"'}\n",
                                   LOGS("", RECORD("5", "debug") "," RECORD("9", "info") "," RECORD(
                                                "1", "trace") "," RECORD("17", "error")),
                                   LOGS("", RECORD("9", "info") "," RECORD("17", "error")));
    assert_int_equal(outcome.items, 2);
    assert_int_equal(tally(&outcome, 0), 2);
}

static void test_what_loses_all_its_items_goes_and_what_had_none_stays(void **state)
{
    (void)state;
    static const char in[] =
        "{\"resourceLogs\":["
        "{\"resource\":{" ATTRIBUTES(KV("r", "1")) "},\"scopeLogs\":[{\"logRecords\":[" RECORD(
            "5",
            "x") "]}]},"
                 "{\"resource\":{" ATTRIBUTES(KV(
                     "r",
                     "2")) "},\"scopeLogs\":[{\"schemaUrl\":\"s\"}]},"
                           "{\"scopeLogs\":[{\"scope\":{\"name\":\"gone\"},\"logRecords\":[" RECORD(
                               "5", "x") "]},"
                                         "{\"scope\":{\"name\":\"stays\"},\"logRecords\":[" RECORD(
                                             "9", "x") "]}]}]}";

    check(SIGNAL_LOGS, "        - filter: {drop: 'severity < \"INFO\"'}\n", in,
          "{\"resourceLogs\":["
          "{\"resource\":{" ATTRIBUTES(KV(
              "r", "2")) "},\"scopeLogs\":[{\"schemaUrl\":\"s\"}]},"
                         "{\"scopeLogs\":[{\"scope\":{\"name\":\"stays\"},\"logRecords\":[" RECORD(
                             "9", "x") "]}]}]}");
    struct outcome outcome = check(SIGNAL_LOGS, "        - filter: {drop: 'true'}\n",
                                   LOGS("", RECORD("5", "x") "," RECORD("9", "y")), "");
    assert_int_equal(outcome.items, 0);
    assert_int_equal(tally(&outcome, 0), 2);
}

static void test_a_filter_for_records_drops_no_span(void **state)
{
    (void)state;
    AUTO(process_destroy)
    struct process *process =
        processors_make("        - filter: {drop: 'not (severity >= \"INFO\")'}\n");

    assert_true(process_concerns(process, SIGNAL_LOGS));
    assert_false(process_concerns(process, SIGNAL_TRACES));
    assert_false(process_concerns(process, SIGNAL_METRICS));
    check(SIGNAL_TRACES,
          "        - filter: {drop: 'not (severity >= \"INFO\")'}\n"
          "        - filter: {drop: 'name == \"b\"'}\n",
          SPANS("", "{\"name\":\"a\"},{\"name\":\"b\"}"), SPANS("", "{\"name\":\"a\"}"));
}

static void test_filters_by_all_that_spans_have(void **state)
{
    (void)state;
    static const char spans[] = "{\"name\":\"a\",\"kind\":2,\"startTimeUnixNano\":\"1000000000\","
                                "\"endTimeUnixNano\":\"1200000000\",\"status\":{\"code\":2}},"
                                "{\"name\":\"b\",\"kind\":3,\"startTimeUnixNano\":\"1000000000\","
                                "\"endTimeUnixNano\":\"3000000000\"}";
    static const struct {
        const char *drop;
        uint32_t left;
    } cases[] = {
        {"status == \"error\"", 1},    {"status == \"unset\"", 1},   {"kind == \"server\"", 1},
        {"duration > \"1s\"", 1},      {"duration >= \"200ms\"", 0}, {"name =~ \"^[ab]$\"", 0},
        {"k8s.pod.name == \"p\"", 0},  {"k8s.pod.name == \"q\"", 2}, {"exists resource[\"x\"]", 2},
        {"name in [\"a\", \"c\"]", 1}, {"scope.name == \"lib\"", 0}, {"scope[\"x\"] == \"y\"", 2}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(buf_fini) struct buf request = {0};
        char processors[128], json[1024];
        struct process_counts counts;
        struct bytes out;
        uint32_t items = 0;

        snprintf(processors, sizeof processors, "        - filter: {drop: '%s'}\n", cases[i].drop);
        snprintf(json, sizeof json,
                 "{\"resourceSpans\":[{\"resource\":{" ATTRIBUTES(
                     KV("k8s.pod.name",
                        "p")) "},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[%s]}]}]}",
                 spans);
        AUTO(process_destroy) struct process *process = processors_make(processors);
        assert_ok(otlp_json_read(SIGNAL_TRACES, bytes_from(json), NULL, &request, NULL));
        assert_ok(process_run(process, SIGNAL_TRACES, buf_bytes(&request), SIZE_MAX, &out, &items,
                              &counts, NULL));
        if (items != cases[i].left)
            fail_msg("%s leaves %u", cases[i].drop, items);
    }
}

static void test_filters_data_points_by_the_metric_they_are_of(void **state)
{
    (void)state;
    check(SIGNAL_METRICS,
          "        - filter: {drop: 'name == \"a\" or attributes[\"k\"] == \"v\"'}\n",
          "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"a\",\"gauge\":{"
          "\"dataPoints\":[{}]}},{\"name\":\"b\",\"sum\":{\"dataPoints\":[{},{" ATTRIBUTES(
              KV("k", "v")) "}],\"isMonotonic\":true}}]}]}]}",
          "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"b\",\"sum\":{"
          "\"dataPoints\":[{}],\"isMonotonic\":true}}]}]}]}");
}

static void test_a_severity_that_is_only_text_counts(void **state)
{
    (void)state;
    check(
        SIGNAL_LOGS, "        - filter: {drop: 'severity < \"WARN\"'}\n",
        LOGS("",
             "{\"severityText\":\"info\"},{\"severityText\":\"Warning\"},{\"severityText\":\"?\"}"),
        LOGS("", "{\"severityText\":\"Warning\"},{\"severityText\":\"?\"}"));
}

/* ---- order */

static void test_a_step_sees_what_earlier_ones_did_and_not_what_later_ones_do(void **state)
{
    (void)state;
    static const char in[] = LOGS(ATTRIBUTES(KV("a.b", "1")), RECORD("9", "x"));
    static const char set[] = "        - attributes: {actions: [{key: a.b, value: \"2\"}]}\n";
    static const char filter[] = "        - filter: {drop: 'a.b == \"2\"'}\n";
    char processors[256];

    snprintf(processors, sizeof processors, "%s%s", filter, set);
    check(SIGNAL_LOGS, processors, in, LOGS(ATTRIBUTES(KV("a.b", "2")), RECORD("9", "x")));
    snprintf(processors, sizeof processors, "%s%s", set, filter);
    struct outcome outcome = check(SIGNAL_LOGS, processors, in, "");
    assert_int_equal(tally(&outcome, 1), 1);
}

static void test_what_is_parsed_can_be_asked_about(void **state)
{
    (void)state;
    struct outcome outcome = check(
        SIGNAL_LOGS,
        "        - parse: {json: body}\n"
        "        - filter: {drop: 'attributes[\"level\"] == \"debug\"'}\n"
        "        - attributes: {\"on\": item, actions: [{key: level, action: delete}]}\n",
        LOGS("", "{\"body\":{\"stringValue\":\"{\\\"level\\\":\\\"debug\\\"}\"}},"
                 "{\"body\":{\"stringValue\":\"{\\\"level\\\":\\\"info\\\",\\\"n\\\":1}\"}}"),
        LOGS("",
             "{\"body\":{\"stringValue\":\"{\\\"level\\\":\\\"info\\\",\\\"n\\\":1}\"}," ATTRIBUTES(
                 KVI("n", "1")) "}"));
    assert_int_equal(tally(&outcome, 1), 1);
}

/* ---- parse */

static void test_parses_json_of_every_type_into_the_body(void **state)
{
    (void)state;
    check(
        SIGNAL_LOGS, "        - parse: {json: body, to: body}\n",
        LOGS(
            "",
            "{\"body\":{\"stringValue\":\" {\\\"s\\\":\\\"\\\\u00e4\\\\n\\\",\\\"i\\\":-5,"
            "\\\"d\\\":0.5,\\\"b\\\":true,\\\"z\\\":null,\\\"l\\\":[1,[]],\\\"o\\\":{\\\"x\\\":{}},"
            "\\\"big\\\":18446744073709551616}\\n\"},\"traceId\":"
            "\"0102030405060708090a0b0c0d0e0f10\"}"),
        LOGS("", "{\"body\":{\"kvlistValue\":{\"values\":["
                 "{\"key\":\"s\",\"value\":{\"stringValue\":\"\xc3\xa4\\n\"}},"
                 "{\"key\":\"i\",\"value\":{\"intValue\":\"-5\"}},"
                 "{\"key\":\"d\",\"value\":{\"doubleValue\":0.5}},"
                 "{\"key\":\"b\",\"value\":{\"boolValue\":true}},"
                 "{\"key\":\"z\",\"value\":{}},"
                 "{\"key\":\"l\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},"
                 "{\"arrayValue\":{}}]}}},"
                 "{\"key\":\"o\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{"
                 "\"kvlistValue\":{}}}]}}},"
                 "{\"key\":\"big\",\"value\":{\"doubleValue\":1.8446744073709552e+19}}]}},"
                 "\"traceId\":\"0102030405060708090a0b0c0d0e0f10\"}"));
}

static void test_parses_named_groups(void **state)
{
    (void)state;
    check(SIGNAL_LOGS,
          "        - parse: {regex: '^(?<level>[A-Z]+) (?:(?<code>\\d+) )?(.*)$'}\n"
          "        - parse: {regex: '(?<first>.)', from: 'attributes[\"level\"]'}\n",
          LOGS("", RECORD("9", "WARN 17 disk") "," RECORD("9", "INFO well")),
          LOGS("", "{\"severityNumber\":9,\"body\":{\"stringValue\":\"WARN 17 disk\"}," ATTRIBUTES(
                       KV("level", "WARN") "," KV("code", "17") "," KV(
                           "first", "W")) "},"
                                          "{\"severityNumber\":9,\"body\":{\"stringValue\":\"INFO "
                                          "well\"}," ATTRIBUTES(
                                              KV("level", "INFO") "," KV("first", "I")) "}"));
}

static void test_what_cannot_be_parsed_goes_on_and_is_counted(void **state)
{
    (void)state;
    static const char *const texts[] = {"no JSON",
                                        "{",
                                        "[1]",
                                        "{\\\"a\\\":}",
                                        "{\\\"a\\\":1} x",
                                        "{\\\"a\\\":1,}",
                                        "{a:1}",
                                        "7",
                                        "{\\\"a\\\":01}",
                                        "",
                                        "{\\\"a\\\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char json[512];
        snprintf(json, sizeof json, LOGS("", "{\"body\":{\"stringValue\":\"%s\"}}"), texts[i]);
        struct outcome outcome =
            check(SIGNAL_LOGS, "        - parse: {json: body, to: body}\n", json, json);
        assert_int_equal(tally(&outcome, 0), 1);
        assert_int_equal(outcome.items, 1);
    }
}

/* ---- redact */

static void test_redacts_keys_and_patterns_wherever_they_are(void **state)
{
    (void)state;
#define NESTED(value)                                                                             \
    "{\"key\":\"deep\",\"value\":{\"arrayValue\":{\"values\":[{\"kvlistValue\":{\"values\":[" KV( \
        "card", value) "]}}]}}}"
    check(SIGNAL_TRACES,
          "        - redact: {keys: [card], patterns: ['\\b\\d{4}-\\d{4}\\b', 'secret-\\w+']}\n",
          SPANS(ATTRIBUTES(KVI("card", "5") "," KV("x", "a 1234-5678 b secret-z, 8765-4321.")),
                "{\"name\":\"pay 1234-5678\"," ATTRIBUTES(KV("k", "v") "," NESTED(
                    "n")) ",\"events\":[{\"name\":\"secret-"
                          "e\"," ATTRIBUTES(
                              KV("card", "1")) "}],\"links\":["
                                               "{" ATTRIBUTES(
                                                   KV("k", "12"
                                                           "34"
                                                           "-5"
                                                           "67"
                                                           "8")) "}],"
                                                                 "\"status\":{\"message\":\"no "
                                                                 "secret-s!\",\"code\":2}}"),
          SPANS(ATTRIBUTES(
                    KV("card", "[redacted]") "," KV("x", "a [redacted] b [redacted], [redacted].")),
                "{\"name\":\"pay [redacted]\"," ATTRIBUTES(KV("k", "v") "," NESTED("[redacted]")) ",\"events\":[{\"name\":\"[redacted]\"," ATTRIBUTES(
                    KV("card",
                       "[redacted]")) "}],\"links\":[{" ATTRIBUTES(KV("k",
                                                                      "[redacted]")) "}],"
                                                                                     "\"status\":{"
                                                                                     "\"message\":"
                                                                                     "\"no "
                                                                                     "[redacted]!"
                                                                                     "\",\"code\":"
                                                                                     "2}}"));
}

static void test_redacts_bodies_scopes_exemplars_and_metadata(void **state)
{
    (void)state;
    static const char processors[] = "        - redact: {keys: [card], patterns: [secret]}\n";

    check(SIGNAL_LOGS, processors,
          "{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":{" ATTRIBUTES(
              KV("card", "1")) "},"
                               "\"logRecords\":[{\"body\":{\"kvlistValue\":{\"values\":[" KV(
                                   "card", "1") "," KV("m", "a secret") "]}}}]}]}]}",
          "{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":{" ATTRIBUTES(KV(
              "card", "[redacted]")) "},"
                                     "\"logRecords\":[{\"body\":{\"kvlistValue\":{\"values\":[" KV(
                                         "card", "[redacted]") "," KV("m",
                                                                      "a [redacted]") "]}}}]}]}]}");
    check(SIGNAL_METRICS, processors,
          "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"secret\",\"gauge\":{"
          "\"dataPoints\":[{\"exemplars\":[{\"filteredAttributes\":[" KV(
              "card", "1") "]}]}]},"
                           "\"metadata\":[" KV("m", "secret") "]}]}]}]}",
          "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":\"secret\",\"gauge\":{"
          "\"dataPoints\":[{\"exemplars\":[{\"filteredAttributes\":[" KV(
              "card", "[redacted]") "]}]}]},"
                                    "\"metadata\":[" KV("m", "[redacted]") "]}]}]}]}");
}

static void test_a_text_that_cannot_be_searched_is_replaced_whole(void **state)
{
    (void)state;
    check(
        SIGNAL_LOGS, "        - redact: {patterns: ['^(a|aa)+$']}\n",
        LOGS("", RECORD("9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab")),
        LOGS("", RECORD("9", "[redacted]")));
}

/* ---- what nobody knows */

#define UNKNOWN "\xa2\x06\x01x" /* field 100, a string */

static void test_unknown_fields_survive_at_every_level(void **state)
{
    (void)state;
    /* in the request, ResourceLogs, Resource, ScopeLogs, scope, record and its KeyValue */
    static const char request[] =
        UNKNOWN "\x0a\x2c" UNKNOWN "\x0a\x04" UNKNOWN "\x12\x20" UNKNOWN "\x0a\x04" UNKNOWN
                "\x12\x14" UNKNOWN "\x32\x0e" UNKNOWN "\x0a\x01k\x12\x05\x0a\x03"
                "abc";
    AUTO(process_destroy)
    struct process *process =
        processors_make("        - attributes: {actions: [{key: r, value: v}]}\n"
                        "        - attributes: {\"on\": scope, actions: [{key: s, value: v}]}\n"
                        "        - attributes: {\"on\": item, actions: [{key: i, value: v}]}\n"
                        "        - redact: {keys: [k]}\n"
                        "        - filter: {drop: 'attributes[\"i\"] != \"v\"'}\n");
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0, found = 0;

    assert_ok(
        otlp_walk(SIGNAL_LOGS, BYTES_LITERAL(request), NULL, &(struct otlp_summary){0}, NULL));
    assert_ok(process_run(process, SIGNAL_LOGS, BYTES_LITERAL(request), SIZE_MAX, &out, &items,
                          &counts, NULL));
    assert_ok(otlp_walk(SIGNAL_LOGS, out, NULL, &(struct otlp_summary){0}, NULL));
    assert_int_equal(items, 1);
    for (size_t i = 0; i + 4 <= out.len; i++)
        found += memcmp(out.data + i, UNKNOWN, 4) == 0;
    assert_int_equal(found, 7);
    for (size_t i = 0; i + 3 <= out.len; i++)
        assert_memory_not_equal(out.data + i, "abc", 3);
}

/* ---- bounds */

static void test_says_when_the_result_is_too_large(void **state)
{
    (void)state;
    AUTO(process_destroy)
    struct process *process = processors_make(
        "        - attributes: {\"on\": item, actions: [{key: k, value: a-long-value}]}\n");
    AUTO(buf_fini) struct buf request = {0};
    struct process_counts counts;
    struct error error = {0};
    struct bytes out;
    uint32_t items = 0;

    assert_ok(
        otlp_json_read(SIGNAL_LOGS, bytes_from(LOGS("", "{},{},{},{}")), NULL, &request, NULL));
    assert_int_equal(
        process_run(process, SIGNAL_LOGS, buf_bytes(&request), 64, &out, &items, &counts, &error),
        ERR_FULL);
    assert_non_null(strstr(error.text, "above 64 bytes"));
    assert_ok(
        process_run(process, SIGNAL_LOGS, buf_bytes(&request), 256, &out, &items, &counts, &error));
    assert_int_equal(items, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_action_does_what_it_says_on_resources),
        cmocka_unit_test(test_acts_on_items_and_scopes_too),
        cmocka_unit_test(test_acts_on_every_kind_of_data_point),
        cmocka_unit_test(test_makes_a_resource_where_there_is_none),
        cmocka_unit_test(test_drops_what_the_filter_says_and_counts_it),
        cmocka_unit_test(test_what_loses_all_its_items_goes_and_what_had_none_stays),
        cmocka_unit_test(test_a_filter_for_records_drops_no_span),
        cmocka_unit_test(test_filters_by_all_that_spans_have),
        cmocka_unit_test(test_filters_data_points_by_the_metric_they_are_of),
        cmocka_unit_test(test_a_severity_that_is_only_text_counts),
        cmocka_unit_test(test_a_step_sees_what_earlier_ones_did_and_not_what_later_ones_do),
        cmocka_unit_test(test_what_is_parsed_can_be_asked_about),
        cmocka_unit_test(test_parses_json_of_every_type_into_the_body),
        cmocka_unit_test(test_parses_named_groups),
        cmocka_unit_test(test_what_cannot_be_parsed_goes_on_and_is_counted),
        cmocka_unit_test(test_redacts_keys_and_patterns_wherever_they_are),
        cmocka_unit_test(test_redacts_bodies_scopes_exemplars_and_metadata),
        cmocka_unit_test(test_a_text_that_cannot_be_searched_is_replaced_whole),
        cmocka_unit_test(test_unknown_fields_survive_at_every_level),
        cmocka_unit_test(test_says_when_the_result_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
