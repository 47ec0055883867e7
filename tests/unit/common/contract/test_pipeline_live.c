/* What may change while a program runs is one list, for the controller's hash and for the sidecar:
 * everything that isn't on it, or the controller's own business, needs a start, so that nothing new
 * is taken for live by mistake. */
#include "tests/support/test.h"

#include "common/contract/pipeline_live.h"
#include "common/yaml.h"

#include <stdio.h>

static const char base[] =
    "apiVersion: surgetank.dev/v1alpha1\n"
    "kind: TelemetryPipeline\n"
    "metadata: {name: shop, namespace: ns}\n"
    "spec:\n"
    "  kafka: {bootstrapServers: ['k:9092']}\n"
    "  topics: [{name: logs, signal: logs}, {name: traces, signal: traces}]\n"
    "  edges: [{name: edge}]\n"
    "  gateways:\n"
    "  - {name: a, from: [logs], export: {otlp: {endpoint: 'a:4317'}}}\n"
    "  - {name: b, from: [traces], export: {otlp: {endpoint: 'b:4317'}}}\n";

/* The base with `value` (YAML) at a dotted path below the first edge, the first gateway (with
 * `edge` false) or, with a path that starts with "spec.", the document. */
static struct pipeline *with(bool edge, const char *path, const char *value)
{
    AUTO(json_free) struct json *documents = NULL;
    AUTO(json_free) struct json *values = NULL;
    struct faults faults = {0};
    struct pipeline *pipeline = NULL;
    struct error error = {0};
    char key[64];

    assert_ok(yaml_parse(bytes_from(base), sizeof base, &documents, NULL));
    struct json *document = json_first(documents);
    struct json *at = strncmp(path, "spec.", 5) == 0
                          ? document
                          : json_first(json_at(document, edge ? "spec.edges" : "spec.gateways"));
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        at = json_need_object(at, key);
    }
    assert_ok(yaml_parse(bytes_from(value), 4096, &values, NULL));
    struct json *copy = json_clone(json_first(values));
    json_set(at, path, &copy);
    if (pipeline_read(document, &pipeline, &faults, &error))
        fail_msg("%s", error.text);
    faults_fini(&faults);
    return pipeline;
}

/* Where what `name` needs a start for differs from the base, with `value` at `path`. */
static const char *waits(bool edge, const char *name, const char *path, const char *value)
{
    static char into[PIPELINE_DIFFERENCE_MAX];
    AUTO(pipeline_free) struct pipeline *before = with(false, "spec.paused", "false");
    AUTO(pipeline_free) struct pipeline *after = with(edge, path, value);
    AUTO(json_free) struct json *a = pipeline_start_part(before, edge, name);
    AUTO(json_free) struct json *b = pipeline_start_part(after, edge, name);

    pipeline_difference(a, b, into);
    return into;
}

static void test_edges_follow_what_they_can_change(void **state)
{
    (void)state;
    static const char *const live[][2] = {
        {"resourceAttributes", "[{key: a, value: b, action: upsert}]"},
        {"receivers.otlp.grpc.maxRequestBytes", "8Mi"},
        {"receivers.otlp.http.corsAllowedOrigins", "['*']"},
        {"spool.size", "20Gi"},
        {"spool.whenFull", "DropOldest"},
        {"spool.maxAge", "1h"},
        {"producer.compression", "lz4"},
        {"producer.freshFirst", "false"},
        {"routes", "[{when: 'severity > \"INFO\"', to: logs}]"},
        {"replicas", "7"},
        {"spec.clusterName", "east"},
    };
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        assert_string_equal(waits(true, "edge", live[i][0], live[i][1]), "");
    assert_string_equal(waits(true, "edge", "receivers.otlp.grpc.port", "14317"),
                        "edge.receivers.otlp.grpc.port");
    assert_string_equal(waits(true, "edge", "spool.acknowledge", "Written"),
                        "edge.spool.acknowledge");
    assert_string_equal(waits(true, "edge", "memoryLimit", "256Mi"), "edge.memoryLimit");
    assert_string_equal(waits(true, "edge", "spec.kafka.bootstrapServers", "['other:9092']"),
                        "kafka.bootstrapServers");
}

static void test_gateways_follow_what_they_can_change(void **state)
{
    (void)state;
    assert_string_equal(waits(false, "a", "export.otlp.endpoint", "c:4317"), "");
    assert_string_equal(waits(false, "a", "retry.maxInterval", "10s"), "");
    assert_string_equal(waits(false, "a", "deadLetter.holdAbove", "50%"), "");
    assert_string_equal(waits(false, "a", "scaling.maxReplicas", "3"), "");
    assert_string_equal(waits(false, "a", "consumer.groupID", "g"), "gateway.consumer.groupID");
    assert_string_equal(waits(false, "a", "deadLetter.topic", "d"), "gateway.deadLetter.topic");
}

static void test_one_program_does_not_wait_for_what_is_anothers(void **state)
{
    (void)state;
    assert_string_equal(waits(false, "b", "consumer.groupID", "g"), "");
    assert_string_equal(waits(false, "b", "spec.topics",
                              "[{name: logs, signal: logs, topic: x}, {name: traces, signal: "
                              "traces, partitions: 48}]"),
                        "");
    assert_string_equal(waits(false, "a", "spec.topics",
                              "[{name: logs, signal: logs, topic: x}, {name: traces, signal: "
                              "traces}]"),
                        "topics");
}

static void test_copies_what_is_live_and_nothing_else(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *before = with(false, "spec.paused", "false");
    AUTO(pipeline_free)
    struct pipeline *after = with(false, "spec.edges",
                                  "[{name: edge, receivers: {otlp: {grpc: {port: 7, "
                                  "maxRequestBytes: 8Mi}}}, spool: {maxAge: 1h}}]");
    AUTO(json_free) struct json *from = pipeline_to_json(after);
    AUTO(json_free) struct json *to = pipeline_to_json(before);
    AUTO(pipeline_free) struct pipeline *mixed = NULL;
    struct faults faults = {0};

    pipeline_copy_live(from, to, true, "edge");
    assert_ok(pipeline_read(to, &mixed, &faults, NULL));
    faults_fini(&faults);
    assert_int_equal(mixed->edges[0].otlp.grpc_port, before->edges[0].otlp.grpc_port);
    assert_int_equal(mixed->edges[0].otlp.grpc_max_request_bytes, 8 << 20);
    assert_int_equal(mixed->edges[0].spool.max_age_ms, 3600000);
    assert_false(pipeline_same_at(before, after, true, "edge", "spool.maxAge"));
    assert_true(pipeline_same_at(mixed, after, true, "edge", "spool.maxAge"));
}

/* A route to a topic that the program has not heard of waits with it; else routes are live. */
static void test_routes_wait_for_the_topics_that_they_name(void **state)
{
    (void)state;
    static const char *const topics[] = {
        "[{name: logs, signal: logs, partitions: 7}, {name: traces, signal: traces}]",
        "[{name: logs, signal: logs}, {name: traces, signal: traces}, {name: x, signal: logs}]"};

    for (size_t i = 0; i < 2; i++) {
        AUTO(pipeline_free) struct pipeline *before = with(false, "spec.paused", "false");
        AUTO(pipeline_free) struct pipeline *after = with(false, "spec.topics", topics[i]);
        AUTO(json_free) struct json *from = pipeline_to_json(after);
        AUTO(json_free) struct json *to = pipeline_to_json(before);
        AUTO(json_free) struct json *values = NULL;
        AUTO(pipeline_free) struct pipeline *mixed = NULL;
        struct faults faults = {0};

        assert_ok(
            yaml_parse(bytes_from(i == 0 ? "[{to: logs}]" : "[{to: x}]"), 4096, &values, NULL));
        struct json *routes = json_clone(json_first(values));
        json_set(json_first(json_at(from, "spec.edges")), "routes", &routes);
        pipeline_copy_live(from, to, true, "edge");
        assert_ok(pipeline_read(to, &mixed, &faults, NULL));
        faults_fini(&faults);
        assert_int_equal(mixed->edges[0].route_count, i == 0);
    }
}

static void test_pods_keep_the_candidate_as_its_share_grows(void **state)
{
    (void)state;
    char name[32];
    unsigned few = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "shop-edge-%d", i);
        assert_false(pipeline_takes_candidate(name, 0));
        assert_true(pipeline_takes_candidate(name, 100));
        few += pipeline_takes_candidate(name, 5);
        if (pipeline_takes_candidate(name, 5))
            assert_true(pipeline_takes_candidate(name, 25));
    }
    assert_in_range(few, 20, 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges_follow_what_they_can_change),
        cmocka_unit_test(test_gateways_follow_what_they_can_change),
        cmocka_unit_test(test_one_program_does_not_wait_for_what_is_anothers),
        cmocka_unit_test(test_copies_what_is_live_and_nothing_else),
        cmocka_unit_test(test_routes_wait_for_the_topics_that_they_name),
        cmocka_unit_test(test_pods_keep_the_candidate_as_its_share_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
