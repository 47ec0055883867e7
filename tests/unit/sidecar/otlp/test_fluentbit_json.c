/* The documents that readers of Fluent Bit's topics expect, and that every record becomes exactly
 * one, valid JSON whatever it holds. */
// link: tests/support/otlp_random.c tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "common/endian.h"
#include "common/json.h"
#include "sidecar/otlp/any_json.h"
#include "sidecar/otlp/fluentbit_json.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/walk.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/otlp_random.h"

#include <stdio.h>
#include <string.h>

#define ACCEPTED_NS UINT64_C(1790164513500000000)

struct documents {
    struct buf text; /* one below the other */
    struct fluentbit_resource made;
    unsigned count;
    bool parse;
};

static void forget(struct documents *documents)
{
    buf_fini(&documents->text);
    fluentbit_resource_fini(&documents->made);
}

static enum err write(void *user, struct bytes resource, struct bytes record, struct error *error)
{
    struct documents *documents = user;
    size_t from = documents->text.len;

    enum err err = fluentbit_json_write(resource, record, ACCEPTED_NS, &documents->made,
                                        &documents->text, error);
    if (err)
        return err;
    if (documents->parse) {
        AUTO(json_free) struct json *json = NULL;
        const struct bytes text = {documents->text.data + from, documents->text.len - from};
        assert_ok(json_parse(text, text.len, &json, error));
        assert_non_null(json_get(json, "@timestamp"));
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
    forget(&documents);
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
        "{\"@timestamp\":1790164512.345679,\"log\":\"a \\\"b\\\"\\n\\u0001\",\"stream\":\"stderr\","
        "\"time\":\"2026-09-23T11:55:12.345678901Z\","
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
        "{\"key\":\"level\",\"value\":{\"stringValue\":\"info\"}},"
        "{\"key\":\"n\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"-7\"},"
        "{\"doubleValue\":0.1},{\"doubleValue\":5},{\"boolValue\":true},{}]}}}]}},"
        "\"traceId\":\"5b8efff798038103d269b633813fc60c\"},"
        "{\"body\":{\"bytesValue\":\"AQJ4gA==\"}},{\"timeUnixNano\":\"1790164512500000000\"}]}]}]}",
        "{\"@timestamp\":0.002,\"level\":\"info\",\"n\":[-7,0.1,5.0,true,null],"
        "\"severity_number\":9,\"severity_text\":\"INFO\","
        "\"trace_id\":\"5b8efff798038103d269b633813fc60c\"}\n"
        "{\"@timestamp\":1790164513.5,\"log\":\"\\u0001\\u0002x\xee\x82\x80\"}\n"
        "{\"@timestamp\":1790164512.5,\"log\":null}\n");
}

/* A LogRecord of that time becomes what printf says of its seconds. */
static void assert_timestamp(uint64_t time_ns)
{
    uint8_t record[9] = {0x09}; /* time_unix_nano, a fixed64 */
    struct documents documents = {0};
    char want[128];
    double seconds = (double)(time_ns / 1000000000) + (double)(time_ns % 1000000000) / 1000000000;

    put_le64(record + 1, time_ns);
    assert_ok(write(&documents, (struct bytes){0}, (struct bytes){record, sizeof record}, NULL));
    int len = snprintf(want, sizeof want, "{\"@timestamp\":%.16g", seconds);
    if (strchr(want, '.') == NULL && seconds == (double)(uint64_t)seconds)
        len += snprintf(want + len, sizeof want - (size_t)len, ".0");
    snprintf(want + len, sizeof want - (size_t)len, ",\"log\":null}\n");
    assert_string_equal(buf_text(&documents.text), want);
    forget(&documents);
}

static void test_writes_timestamps_as_printf_writes_their_double(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    uint64_t random = 1;

    for (uint64_t k = 0; k < 512; k++) { /* half way between two microseconds, and beside it */
        uint64_t time_ns = (1790164512 + (k << 20)) * second + k * 1953125;
        for (uint64_t beside = time_ns - 300; beside <= time_ns + 300; beside += 100)
            assert_timestamp(beside);
        assert_timestamp((k << 22) * second + second - k);
    }
    for (int i = 0; i < 100000; i++) {
        random = random * 6364136223846793005 + 1442695040888963407;
        assert_timestamp(random >> (i % 8));
    }
    for (uint64_t power = 1; power <= 1000000000; power *= 10)
        for (int64_t beside = -1000; beside <= 1000; beside += 125)
            assert_timestamp(power * second + (uint64_t)beside);
    assert_timestamp(UINT64_MAX);
}

static void test_writes_whole_numbers_as_printf_does(void **state)
{
    (void)state;
    static const double whole[] = {
        0.0, -0.0, 1, -1, 5, 1e15, -1e15, 0x1p53, 0x1.fffffffffffffp62, -0x1.fffffffffffffp62};

    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        AUTO(buf_fini) struct buf text = {0};
        uint8_t any[9] = {0x21}; /* double_value, a fixed64 */
        char want[64];
        memcpy(any + 1, &whole[i], sizeof whole[i]);
        assert_ok(any_json_write(&text, (struct bytes){any, sizeof any}));
        snprintf(want, sizeof want, "%.1f", whole[i]);
        assert_string_equal(buf_text(&text), want);
    }
}

static void test_leaves_the_time_to_a_record_that_tells_its_own(void **state)
{
    (void)state;
    assert_becomes(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"1\","
        "\"body\":{\"kvlistValue\":{\"values\":["
        "{\"key\":\"@timestamp\",\"value\":{\"stringValue\":\"2026-09-23T11:15:12Z\"}},"
        "{\"key\":\"time\",\"value\":{\"stringValue\":\"11:15\"}}]}},"
        "\"attributes\":["
        "{\"key\":\"@timestamp\",\"value\":{\"stringValue\":\"another\"}},"
        "{\"key\":\"log.iostream\",\"value\":{\"stringValue\":\"stdout\"}}]},"
        "{\"timeUnixNano\":\"1\",\"body\":{\"stringValue\":\"b\"},"
        "\"attributes\":[{\"key\":\"@timestamp\",\"value\":{\"stringValue\":\"2026\"}}]}]}]}]}",
        "{\"@timestamp\":\"2026-09-23T11:15:12Z\",\"time\":\"11:15\",\"stream\":\"stdout\"}\n"
        "{\"log\":\"b\",\"@timestamp\":\"2026\"}\n");
}

static void test_lets_the_last_of_two_members_of_one_list_count(void **state)
{
    (void)state;
    assert_becomes(
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"5000000000\","
        "\"body\":{\"kvlistValue\":{\"values\":["
        "{\"key\":\"a\",\"value\":{\"stringValue\":\"first\"}},"
        "{\"key\":\"b\",\"value\":{\"kvlistValue\":{\"values\":["
        "{\"key\":\"a\",\"value\":{}},{\"key\":\"a\",\"value\":{\"intValue\":1}}]}}},"
        "{\"key\":\"a\",\"value\":{\"stringValue\":\"second\"}}]}},"
        "\"attributes\":[{\"key\":\"c\",\"value\":{\"intValue\":1}},"
        "{\"key\":\"c\",\"value\":{\"intValue\":2}}]}]}]}]}",
        "{\"@timestamp\":5.0,\"b\":{\"a\":1},\"a\":\"second\",\"c\":2}\n");
}

/* As protobuf says; severity_text and a body are fields 3 and 5. */
static void test_lets_the_last_of_a_field_that_is_there_twice_count(void **state)
{
    (void)state;
    struct documents documents = {.parse = true};

    assert_ok(write(&documents, (struct bytes){0},
                    bytes_from("\x1a\x01"
                               "a\x2a\x03\n\x01x\x1a\x01"
                               "b\x2a\x03\n\x01y"),
                    NULL));
    assert_string_equal(buf_text(&documents.text), "{\"@timestamp\":1790164513.5,\"log\":\"y\","
                                                   "\"severity_text\":\"b\"}\n");
    forget(&documents);
}

static void test_tells_each_record_of_its_own_resource(void **state)
{
    (void)state;
    assert_becomes(
        "{\"resourceLogs\":[{\"resource\":{\"attributes\":["
        "{\"key\":\"k8s.pod.annotation.a\",\"value\":{\"stringValue\":\"1\"}},"
        "{\"key\":\"k8s.pod.ip\",\"value\":{\"stringValue\":\"10.0.0.1\"}}]},"
        "\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"5000000000\"},{\"timeUnixNano\":"
        "\"6000000000\"}]}]},"
        "{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"7000000000\"}]}]},"
        "{\"resource\":{\"attributes\":[{\"key\":\"k8s.pod.label.l\",\"value\":{\"intValue\":1}}]},"
        "\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"8000000000\"}]}]}]}",
        "{\"@timestamp\":5.0,\"log\":null,\"kubernetes\":{\"pod_ip\":\"10.0.0.1\",\"annotations\":{"
        "\"a\":\"1\"}}}\n"
        "{\"@timestamp\":6.0,\"log\":null,\"kubernetes\":{\"pod_ip\":\"10.0.0.1\",\"annotations\":{"
        "\"a\":\"1\"}}}\n"
        "{\"@timestamp\":7.0,\"log\":null}\n"
        "{\"@timestamp\":8.0,\"log\":null,\"kubernetes\":{\"labels\":{\"l\":1}}}\n");
}

/* Every character at every place of eight: strings are looked at in blocks. */
static void test_finds_what_must_be_escaped_wherever_it_is(void **state)
{
    (void)state;

    for (unsigned c = 0; c < 256; c++) {
        for (unsigned place = 0; place < 17; place++) {
            AUTO(buf_fini) struct buf out = {0};
            AUTO(json_free) struct json *json = NULL;
            uint8_t text[17];
            memset(text, '~', sizeof text);
            text[place] = (uint8_t)c;
            assert_ok(any_json_string(&out, (struct bytes){text, sizeof text}));
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            assert_int_equal(out.len == sizeof text + 2, plain);
            assert_ok(json_parse(buf_bytes(&out), out.len, &json, NULL));
            if (c > 0 && c < 0x80)
                assert_memory_equal(json_string(json, ""), text, sizeof text);
        }
    }
}

/* A map with `members` members, and as many attributes of which the last has a name of the map's.
 */
static void write_wide(unsigned members, struct documents *documents)
{
    AUTO(buf_fini) struct buf otlp = {0}, list = {0}, request = {0};

    for (unsigned i = 0; i < members; i++)
        assert_ok(buf_printf(&list, "%s{\"key\":\"k%u\",\"value\":{\"intValue\":%u}}", i ? "," : "",
                             i, i));
    assert_ok(buf_printf(&otlp,
                         "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{"
                         "\"body\":{\"kvlistValue\":{\"values\":[%s]}},\"attributes\":[%s]}]}]}]}",
                         buf_text(&list), buf_text(&list)));
    assert_ok(otlp_json_read(SIGNAL_LOGS, buf_bytes(&otlp), NULL, &request, NULL));
    assert_ok(fluentbit_records(buf_bytes(&request), write, documents, NULL));
}

static void test_does_not_compare_names_for_minutes(void **state)
{
    (void)state;
    struct documents few = {.parse = true}, many = {.parse = true};

    write_wide(300, &few);
    assert_null(strstr(buf_text(&few.text), "\"attributes\""));
    forget(&few);
    write_wide(20000, &many);
    assert_non_null(strstr(buf_text(&many.text), "\"k19999\":19999,\"attributes\":{\"k0\":0,"));
    forget(&many);
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
                   "{\"@timestamp\":1790164513.5,\"stream\":\"body\",\"kubernetes\":1,"
                   "\"severity_text\":\"mine\",\"time\":\"2026-09-23T11:55:13.500000000Z\"}\n");
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
        forget(&documents);
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
        forget(&documents);
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
        cmocka_unit_test(test_writes_timestamps_as_printf_writes_their_double),
        cmocka_unit_test(test_writes_whole_numbers_as_printf_does),
        cmocka_unit_test(test_leaves_the_time_to_a_record_that_tells_its_own),
        cmocka_unit_test(test_lets_the_last_of_two_members_of_one_list_count),
        cmocka_unit_test(test_lets_the_last_of_a_field_that_is_there_twice_count),
        cmocka_unit_test(test_tells_each_record_of_its_own_resource),
        cmocka_unit_test(test_finds_what_must_be_escaped_wherever_it_is),
        cmocka_unit_test(test_does_not_compare_names_for_minutes),
        cmocka_unit_test(test_makes_valid_json_of_each_record_of_any_request),
        cmocka_unit_test(test_says_so_whichever_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
