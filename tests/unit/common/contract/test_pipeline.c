/* What the golden files don't show: finding one's way in a pipeline, secrets, environment
 * variables, files, `check`, and what holds in a cluster only. */
#include "tests/support/test.h"

#include "common/contract/pipeline.h"
#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TOP                                    \
    "apiVersion: surgetank.dev/v1alpha1\n"     \
    "kind: TelemetryPipeline\n"                \
    "metadata: {name: shop, namespace: obs}\n" \
    "spec:\n"
#define KAFKA "  kafka: {bootstrapServers: ['kafka:9092']}\n"
#define GATEWAY \
    "  gateways: [{name: tempo, from: [traces], export: {otlp: {endpoint: 'tempo:4317'}}}]\n"

static struct json *parse(const char *text)
{
    AUTO(json_free) struct json *documents = NULL;
    struct bytes bytes = {(const uint8_t *)text, strlen(text)};

    assert_ok(yaml_parse(bytes, PIPELINE_TEXT_MAX, &documents, NULL));
    return json_clone(json_first(documents));
}

static struct pipeline *read_text(const char *text)
{
    AUTO(json_free) struct json *document = parse(text);
    AUTO(faults_fini) struct faults faults = {0};
    struct pipeline *pipeline = NULL;
    struct error error = {0};

    if (pipeline_read(document, &pipeline, &faults, &error))
        fail_msg("%s", error.text);
    return pipeline;
}

/* ---- finding one's way */

static void test_finds_by_name(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = read_text(TOP KAFKA GATEWAY);

    assert_ptr_equal(pipeline_topic(pipeline, "traces"), &pipeline->topics[0]);
    assert_null(pipeline_topic(pipeline, "logs"));
    assert_ptr_equal(pipeline_edge(pipeline, "edge"), &pipeline->edges[0]);
    assert_null(pipeline_edge(pipeline, "other"));
    assert_ptr_equal(pipeline_gateway(pipeline, "tempo"), &pipeline->gateways[0]);
    assert_null(pipeline_gateway(pipeline, "edge"));
    assert_ptr_equal(pipeline->gateways[0].from[0], &pipeline->topics[0]);
}

static void test_a_signal_goes_to_the_topic_named_so_or_to_the_only_one(void **state)
{
    (void)state;
    AUTO(pipeline_free)
    struct pipeline *pipeline = read_text(
        TOP KAFKA "  topics:\n"
                  "    - {name: spans, signal: traces}\n"
                  "    - {name: pay, signal: logs}\n"
                  "    - {name: logs}\n" //
                  "    - {name: web, signal: logs}\n"
                  "  gateways: [{name: a, from: [spans], export: {otlp: {endpoint: 'a:1'}}}]\n");

    assert_string_equal(pipeline_topic_of(pipeline, SIGNAL_TRACES)->name, "spans");
    assert_null(pipeline_topic_of(pipeline, SIGNAL_METRICS));
    assert_string_equal(pipeline_topic_of(pipeline, SIGNAL_LOGS)->name, "logs");
}

static void test_dead_letters_go_beside_their_topic_or_where_the_gateway_says(void **state)
{
    (void)state;
    AUTO(pipeline_free)
    struct pipeline *pipeline =
        read_text(TOP KAFKA "  gateways:\n"
                            "    - {name: a, from: [traces], export: {otlp: {endpoint: 'a:1'}}}\n"
                            "    - {name: b, from: [traces], deadLetter: {topic: dead},"
                            " export: {otlp: {endpoint: 'a:1'}}}\n");
    const struct pipeline_topic *topic = &pipeline->topics[0];

    assert_string_equal(pipeline_dead_letter(&pipeline->gateways[0], topic), "obs.shop.traces.dlq");
    assert_string_equal(pipeline_dead_letter(&pipeline->gateways[1], topic), "dead");
}

static void test_spools_have_directories_of_their_own(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = read_text(TOP KAFKA GATEWAY);
    AUTO(arena_fini) struct arena arena = {0};

    assert_string_equal(pipeline_spool_dir(pipeline, &pipeline->edges[0], &arena),
                        "/var/lib/surgetank/obs/shop/edge");
    pipeline->edges[0].spool.host_path = "/data";
    assert_string_equal(pipeline_spool_dir(pipeline, &pipeline->edges[0], &arena),
                        "/data/obs/shop/edge");
}

/* ---- secrets */

static void collect(void *context, const struct pipeline_secret *secret)
{
    struct buf *names = context;
    assert_ok(buf_printf(names, "%s/%s ", secret->name, secret->key));
}

static void test_each_tier_names_the_secrets_it_mounts(void **state)
{
    (void)state;
    AUTO(pipeline_free)
    struct pipeline *pipeline = read_text(
        TOP "  kafka:\n"
            "    bootstrapServers: ['kafka:9092']\n"
            "    tls: {enabled: true, caSecret: {name: ca}}\n"
            "    sasl: {usernameSecret: {name: u, key: name}, passwordSecret: {name: u, key: p}}\n"
            "  edges: [{name: e, receivers: {otlp: {bearerTokenSecret: {name: t, key: k}}}}]\n"
            "  gateways:\n"
            "    - {name: a, from: [traces], export: {otlp: {endpoint: 'a:1',"
            " auth: {bearer: {tokenSecret: {name: b, key: k}}}}}}\n"
            "    - {name: b, from: [traces], export: {otlp: {endpoint: 'a:1'}}}\n");
    AUTO(buf_fini) struct buf names = {0};

    pipeline_edge_secrets(pipeline, &pipeline->edges[0], collect, &names);
    assert_string_equal(buf_text(&names), "ca/ca.crt u/name u/p t/k ");
    buf_clear(&names);
    pipeline_gateway_secrets(pipeline, &pipeline->gateways[0], collect, &names);
    assert_string_equal(buf_text(&names), "ca/ca.crt u/name u/p b/k ");
    buf_clear(&names);
    pipeline_gateway_secrets(pipeline, &pipeline->gateways[1], collect, &names);
    assert_string_equal(buf_text(&names), "ca/ca.crt u/name u/p ");

    AUTO(arena_fini) struct arena arena = {0};
    const struct pipeline_tls_client *tls = &pipeline->kafka->tls;
    const char *path = NULL;
    struct error error = {0};
    assert_ok(pipeline_secret_path(&tls->ca_secret, "/secrets", &arena, &path, &error));
    assert_string_equal(path, "/secrets/ca/ca.crt");
    assert_ok(pipeline_secret_path(&tls->key_secret, "/secrets", &arena, &path, &error));
    assert_null(path);
    assert_ok(pipeline_secret_path(&tls->key_secret, NULL, &arena, &path, &error));
    assert_int_equal(pipeline_secret_path(&tls->ca_secret, NULL, &arena, &path, &error),
                     ERR_INVALID);
    assert_non_null(strstr(error.text, "--secrets DIR"));
}

static void test_a_secret_can_not_name_a_file_elsewhere(void **state)
{
    (void)state;
    static const char *const secrets[] = {"{name: .., key: x}",       "{name: a/b, key: x}",
                                          "{name: a, key: ../x}",     "{name: a, key: /etc/x}",
                                          "{name: a, key: ..x}",      "{name: ., key: x}",
                                          "{name: a, key: \"x\\ty\"}"};

    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        AUTO(pipeline_free) struct pipeline *pipeline = NULL;
        AUTO(faults_fini) struct faults faults = {0};
        char text[1024];
        snprintf(text, sizeof text,
                 TOP KAFKA
                 "  edges: [{name: e, receivers: {otlp: {bearerTokenSecret: %s}}}]\n" GATEWAY,
                 secrets[i]);
        AUTO(json_free) struct json *document = parse(text);
        assert_int_equal(pipeline_read(document, &pipeline, &faults, NULL), ERR_INVALID);
        assert_string_equal(faults.items[0].path, "spec.edges[0].receivers.otlp.bearerTokenSecret");
    }
}

/* ---- environment variables */

static const char *environment(const char *name)
{
    if (strcmp(name, "HOST") == 0)
        return "tempo";
    if (strcmp(name, "PORT") == 0)
        return "4317";
    return strcmp(name, "NESTED") == 0 ? "${env:HOST}" : NULL;
}

static void test_replaces_variables_in_strings_only_once(void **state)
{
    (void)state;
    AUTO(json_free)
    struct json *document =
        parse("a: '${env:HOST}:${env:PORT}'\nb: [x, '<${env:NESTED}>', 1]\nc: '$HOST ${HOST}'\n");
    AUTO(faults_fini) struct faults faults = {0};

    pipeline_expand_env(document, environment, &faults);
    assert_false(faults_any(&faults));
    assert_string_equal(json_string(json_get(document, "a"), ""), "tempo:4317");
    assert_string_equal(json_string(json_item(json_get(document, "b"), 1), ""), "<${env:HOST}>");
    assert_string_equal(json_string(json_get(document, "c"), ""), "$HOST ${HOST}");
}

static void test_says_where_a_variable_is_missing(void **state)
{
    (void)state;
    AUTO(json_free)
    struct json *document = parse("spec: {list: [{a: '${env:NOT_SET}'}, '${env:', '${env:}']}\n");
    AUTO(faults_fini) struct faults faults = {0};
    AUTO(buf_fini) struct buf text = {0};

    pipeline_expand_env(document, environment, &faults);
    assert_ok(faults_print(&faults, &text));
    assert_string_equal(buf_text(&text),
                        "spec.list[0].a: needs the environment variable NOT_SET, which isn't set."
                        " Set it, or write the value itself\n"
                        "spec.list[1]: has a ${env: that isn't closed. Write ${env:NAME}\n"
                        "spec.list[2]: has a variable without a usable name. Write ${env:NAME}\n");
}

/* ---- files */

struct file {
    char path[64];
};

static void remove_file(struct file *file)
{
    unlink(file->path);
}

static struct file write_file(const char *text)
{
    struct file file = {"/tmp/surgetank-test-XXXXXX"};
    int fd = mkstemp(file.path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return file;
}

static enum err load(const char *text, struct error *error)
{
    AUTO(remove_file) struct file file = write_file(text);
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};
    return pipeline_load(file.path, &pipeline, &faults, error);
}

static void test_loads_the_one_pipeline_of_a_file(void **state)
{
    (void)state;
    struct error error = {0};

    assert_ok(load(TOP KAFKA GATEWAY, &error));
    assert_ok(load("kind: ConfigMap\n---\n" TOP KAFKA GATEWAY "---\n# nothing\n", &error));
    assert_int_equal(load("kind: A\n---\nkind: B\n", &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "holds no TelemetryPipeline"));
    assert_int_equal(load(TOP KAFKA GATEWAY "---\n" TOP KAFKA GATEWAY, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "holds 2 TelemetryPipelines"));
    assert_int_equal(load("kind: ConfigMap\n", &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "surgetank.dev/v1alpha1 is wanted"));
    assert_int_equal(load("", &error), ERR_INVALID);
    assert_int_equal(load("a: [1\n", &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "line 2"));
}

static void test_loads_what_the_environment_holds(void **state)
{
    (void)state;
    struct error error = {0};
    const char *text = TOP "  clusterName: ${env:SURGETANK_TEST_CLUSTER}\n" KAFKA GATEWAY;

    unsetenv("SURGETANK_TEST_CLUSTER");
    assert_int_equal(load(text, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "spec.clusterName: needs the environment variable"));
    setenv("SURGETANK_TEST_CLUSTER", "fra1", 1);
    assert_ok(load(text, &error));
}

static void test_a_missing_file_is_not_found(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};
    struct error error = {0};

    assert_int_equal(pipeline_load("/nonexistent/x.yaml", &pipeline, &faults, &error),
                     ERR_NOTFOUND);
    assert_non_null(strstr(error.text, "/nonexistent/x.yaml"));
    assert_int_equal(pipeline_load("/tmp", &pipeline, &faults, &error), ERR_IO);
}

static void test_too_long_a_file_is_refused(void **state)
{
    (void)state;
    char *text = malloc(PIPELINE_TEXT_MAX + 2);
    struct error error = {0};

    assert_non_null(text);
    memset(text, '#', PIPELINE_TEXT_MAX + 1);
    text[PIPELINE_TEXT_MAX + 1] = '\0';
    assert_int_equal(load(text, &error), ERR_FULL);
    free(text);
}

static void test_check_exits_with_2_on_a_fault(void **state)
{
    (void)state;
    AUTO(remove_file) struct file good = write_file(TOP KAFKA GATEWAY);
    AUTO(remove_file) struct file bad = write_file(TOP KAFKA);

    assert_int_equal(pipeline_check(good.path), 0);
    assert_int_equal(pipeline_check(bad.path), 2);
    assert_int_equal(pipeline_check("/nonexistent"), 2);
}

/* ---- reading */

static void test_faults_of_an_earlier_document_are_forgotten(void **state)
{
    (void)state;
    AUTO(json_free) struct json *bad = parse(TOP KAFKA);
    AUTO(json_free) struct json *good = parse(TOP KAFKA GATEWAY);
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};

    assert_int_equal(pipeline_read(bad, &pipeline, &faults, NULL), ERR_INVALID);
    assert_true(faults_any(&faults));
    assert_ok(pipeline_read(good, &pipeline, &faults, NULL));
    assert_false(faults_any(&faults));
}

static void test_twice_the_same_field_is_a_fault(void **state)
{
    (void)state;
    const char *text = "{\"apiVersion\":\"surgetank.dev/v1alpha1\",\"kind\":\"TelemetryPipeline\","
                       "\"metadata\":{\"name\":\"a\"},\"spec\":{\"paused\":true,\"paused\":false,"
                       "\"gateways\":[{\"name\":\"a\",\"from\":[\"logs\"],"
                       "\"export\":{\"otlp\":{\"endpoint\":\"a:1\"}}}]}}";
    AUTO(json_free) struct json *document = parse(text);
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};

    assert_int_equal(pipeline_read(document, &pipeline, &faults, NULL), ERR_INVALID);
    assert_string_equal(faults.items[0].path, "spec.paused");
}

static void test_a_document_that_is_none_is_a_fault(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};
    AUTO(json_free) struct json *list = json_new_array();

    assert_int_equal(pipeline_read(NULL, &pipeline, &faults, NULL), ERR_INVALID);
    assert_int_equal(pipeline_read(list, &pipeline, &faults, NULL), ERR_INVALID);
}

static void test_a_cluster_wants_kafka_and_volumes(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *good = read_text(TOP KAFKA GATEWAY);
    AUTO(pipeline_free)
    struct pipeline *bad =
        read_text(TOP "  edges: [{name: e, spool: {storage: {hostPath: /data}}}]\n" GATEWAY);
    AUTO(faults_fini) struct faults faults = {0};
    struct error error = {0};

    assert_ok(pipeline_check_in_cluster(good, &faults, &error));
    assert_int_equal(pipeline_check_in_cluster(bad, &faults, &error), ERR_INVALID);
    assert_int_equal(faults.count, 2);
    assert_string_equal(faults.items[0].path, "spec.kafka");
    assert_string_equal(faults.items[1].path, "spec.edges[0].spool.storage.hostPath");
}

#define LOGS "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: \"h:1\"}}}]\n"

static void test_files_in_a_cluster_are_those_of_the_node(void **state)
{
    (void)state;
    AUTO(pipeline_free)
    struct pipeline *bad = read_text(TOP KAFKA "  edges: [{name: e, receivers: {files: [{name: f, "
                                               "paths: [\"/*/x.log\"]}]}}]\n" LOGS);
    AUTO(pipeline_free)
    struct pipeline *good =
        read_text(TOP KAFKA "  edges: [{name: e, mode: DaemonSet, receivers: "
                            "{files: [{name: f, paths: [/srv/x.log]}]}}]\n" LOGS);
    AUTO(faults_fini) struct faults faults = {0};
    struct error error = {0};

    assert_ok(pipeline_check_in_cluster(good, &faults, &error));
    assert_int_equal(pipeline_check_in_cluster(bad, &faults, &error), ERR_INVALID);
    assert_int_equal(faults.count, 2); /* the mode, and all of the node */
    assert_string_equal(faults.items[0].path, "spec.edges[0].receivers.files");
}

static void add_dir(void *context, const char *dir)
{
    char *all = context;
    size_t used = strlen(all);
    snprintf(all + used, 256 - used, "%s ", dir);
}

static void test_log_directories_end_before_the_first_wildcard_and_are_told_once(void **state)
{
    (void)state;
    AUTO(pipeline_free)
    struct pipeline *pipeline = read_text(
        TOP KAFKA
        "  edges: [{name: e, mode: DaemonSet, receivers: {containerLogs: {enabled: true}, "
        "files: [{name: f, paths: [/var/log/x.log, \"/srv/a*/x.log\", /srv/b/x.log, "
        "\"/opt/[ab]/x\", /opts/x, /opt/y]}]}}]\n" LOGS);
    char all[256] = "";

    pipeline_log_dirs(pipeline->edges, add_dir, all);
    assert_string_equal(all, "/var/log /var/lib/docker/containers /srv /opt /opts ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_by_name),
        cmocka_unit_test(test_a_signal_goes_to_the_topic_named_so_or_to_the_only_one),
        cmocka_unit_test(test_dead_letters_go_beside_their_topic_or_where_the_gateway_says),
        cmocka_unit_test(test_spools_have_directories_of_their_own),
        cmocka_unit_test(test_each_tier_names_the_secrets_it_mounts),
        cmocka_unit_test(test_a_secret_can_not_name_a_file_elsewhere),
        cmocka_unit_test(test_replaces_variables_in_strings_only_once),
        cmocka_unit_test(test_says_where_a_variable_is_missing),
        cmocka_unit_test(test_loads_the_one_pipeline_of_a_file),
        cmocka_unit_test(test_loads_what_the_environment_holds),
        cmocka_unit_test(test_a_missing_file_is_not_found),
        cmocka_unit_test(test_too_long_a_file_is_refused),
        cmocka_unit_test(test_check_exits_with_2_on_a_fault),
        cmocka_unit_test(test_faults_of_an_earlier_document_are_forgotten),
        cmocka_unit_test(test_twice_the_same_field_is_a_fault),
        cmocka_unit_test(test_a_document_that_is_none_is_a_fault),
        cmocka_unit_test(test_a_cluster_wants_kafka_and_volumes),
        cmocka_unit_test(test_files_in_a_cluster_are_those_of_the_node),
        cmocka_unit_test(test_log_directories_end_before_the_first_wildcard_and_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
