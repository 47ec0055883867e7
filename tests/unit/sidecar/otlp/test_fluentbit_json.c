/* The documents that readers of Fluent Bit's topics expect, and that every record becomes exactly
 * one, valid JSON whatever it holds. */
// link: tests/support/otlp_random.c tests/support/fault_alloc.c
// wrap: malloc calloc realloc
#include "tests/support/test.h"

#include "common/json.h"
#include "sidecar/otlp/fluentbit_json.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/walk.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/otlp_random.h"

#include <stdio.h>
#include <string.h>

struct documents {
    struct buf text; /* one below the other */
    unsigned count;
    bool parse;
};

static enum err write(void *user, struct bytes resource, struct bytes record, struct error *error)
{
    struct documents *documents = user;
    size_t from = documents->text.len;

    enum err err = fluentbit_json_write(resource, record, &documents->text, error);
    if (err)
        return err;
    if (documents->parse) {
        AUTO(json_free) struct json *json = NULL;
        const struct bytes text = {documents->text.data + from, documents->text.len - from};
        assert_ok(json_parse(text, text.len, &json, error));
        assert_int_equal(json_kind(json_get(json, "@timestamp")), JSON_NUMBER);
    }
    documents->count++;
    return buf_append_byte(&documents->text, '\n');
}

/* What becomes of a request in OTLP/JSON. */
static void assert_becomes(const char *otlp, const char *want)
{
    AUTO(buf_fini) struct buf request = {0};
    struct documents documents = {.parse = true};

    assert_ok(otlp_json_read(SIGNAL_LOGS, bytes_from(otlp), NULL, &request, NULL));
    assert_ok(fluentbit_records(buf_bytes(&request), write, &documents, NULL));
    assert_string_equal(buf_text(&documents.text), want);
    buf_fini(&documents.text);
}

static void test_writes_a_containers_line_as_fluent_bit_with_its_kubernetes_filter(void **state)
{
    (void)state;
    assert_becomes(
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":["
        "{\"key\":\"k8s.pod.name\",\"value\":{\"stringValue\":\"shop-0\"}},"
        "{\"key\":\"k8s.namespace.name\",\"value\":{\"stringValue\":\"prod\"}},"
        "{\"key\":\"k8s.pod.label.app\",\"value\":{\"stringValue\":\"shop\"}},"
        "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}]},"
        "\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"1790164512345678901\","
        "\"body\":{\"stringValue\":\"a \\\"b\\\"\\n\\u0001\"},"
        "\"attributes\":[{\"key\":\"log.iostream\",\"value\":{\"stringValue\":\"stderr\"}}]}]}]}]}",
        "{\"@timestamp\":1790164512.345678,\"log\":\"a \\\"b\\\"\\n\\u0001\",\"stream\":\"stderr\","
        "\"kubernetes\":{\"pod_name\":\"shop-0\",\"namespace_name\":\"prod\","
        "\"labels\":{\"app\":\"shop\"}},\"resource\":{\"service.name\":\"shop\"}}\n");
}

static void test_puts_the_members_of_a_map_at_the_top(void **state)
{
    (void)state;
    assert_becomes(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{"
        "\"observedTimeUnixNano\":\"2000000\",\"severityNumber\":9,\"severityText\":\"INFO\","
        "\"body\":{\"kvlistValue\":{\"values\":["
        "{\"key\":\"@timestamp\",\"value\":{\"stringValue\":\"x\"}},"
        "{\"key\":\"level\",\"value\":{\"stringValue\":\"info\"}},"
        "{\"key\":\"n\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"-7\"},"
        "{\"doubleValue\":0.5},{\"boolValue\":true},{}]}}}]}},"
        "\"traceId\":\"5b8efff798038103d269b633813fc60c\"},"
        "{\"body\":{\"bytesValue\":\"AQI=\"}}]}]}]}",
        "{\"@timestamp\":0.002000,\"level\":\"info\",\"n\":[-7,0.5,true,null],"
        "\"severity_number\":9,\"severity_text\":\"INFO\","
        "\"trace_id\":\"5b8efff798038103d269b633813fc60c\"}\n"
        "{\"@timestamp\":0.000000,\"log\":\"AQI=\"}\n");
}

static void test_lets_the_first_of_two_members_with_one_name_count(void **state)
{
    (void)state;
    assert_becomes("{\"resourceLogs\":[{\"resource\":{\"attributes\":["
                   "{\"key\":\"k8s.pod.name\",\"value\":{\"stringValue\":\"p\"}}]},"
                   "\"scopeLogs\":[{\"logRecords\":[{\"severityText\":\"WARN\","
                   "\"body\":{\"kvlistValue\":{\"values\":["
                   "{\"key\":\"stream\",\"value\":{\"stringValue\":\"body\"}},"
                   "{\"key\":\"kubernetes\",\"value\":{\"intValue\":1}}]}},"
                   "\"attributes\":["
                   "{\"key\":\"severity_text\",\"value\":{\"stringValue\":\"mine\"}},"
                   "{\"key\":\"log.iostream\",\"value\":{\"stringValue\":\"stdout\"}}]}]}]}]}",
                   "{\"@timestamp\":0.000000,\"stream\":\"body\",\"kubernetes\":1,"
                   "\"severity_text\":\"mine\"}\n");
}

static void test_makes_valid_json_of_each_record_of_any_request(void **state)
{
    (void)state;

    for (unsigned seed = 0; seed < 300; seed++) {
        AUTO(buf_fini) struct buf request = {0};
        struct otlp_random random = {.state = seed, .odd = seed % 2 == 1};
        struct otlp_summary summary = {0};
        struct documents documents = {.parse = true};

        otlp_random_request(&random, SIGNAL_LOGS, &request);
        assert_ok(otlp_count(SIGNAL_LOGS, buf_bytes(&request), &summary, NULL));
        assert_ok(fluentbit_records(buf_bytes(&request), write, &documents, NULL));
        assert_int_equal(documents.count, summary.items);
        buf_fini(&documents.text);
    }
}

static void test_says_so_whichever_allocation_fails(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0};
    struct otlp_random random = {.state = 3};

    otlp_random_request(&random, SIGNAL_LOGS, &request);
    for (unsigned nth = 1;; nth++) {
        struct documents documents = {0};
        fault_alloc_fail_at(nth);
        enum err err = fluentbit_records(buf_bytes(&request), write, &documents, NULL);
        bool failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        buf_fini(&documents.text);
        assert_int_equal(err, failed ? ERR_NOMEM : OK);
        if (!failed)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_a_containers_line_as_fluent_bit_with_its_kubernetes_filter),
        cmocka_unit_test(test_puts_the_members_of_a_map_at_the_top),
        cmocka_unit_test(test_lets_the_first_of_two_members_with_one_name_count),
        cmocka_unit_test(test_makes_valid_json_of_each_record_of_any_request),
        cmocka_unit_test(test_says_so_whichever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
