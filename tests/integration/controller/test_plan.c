/* Promise: `kubectl surgetank plan` says what applying a document would do, and nothing that the
 * operator would not do. */
#include "tests/support/test.h"

#include "common/yaml.h"
#include "controller/plugin/plugin.h"
#include "tests/support/kube_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// link: tests/support/http_script.c tests/support/kube_script.c

#define HEAD                                                                                 \
    "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\n"                          \
    "metadata: {name: p, namespace: shop, uid: u, generation: 1}\nspec:\n"                   \
    "  kafka: {bootstrapServers: ['h:9092']}\n"                                              \
    "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: 'h:1', tls: {insecure: " \
    "true}}}}]\n"
#define EDGE(spool)       "  edges: [{name: edge, spool: " spool "}]\n"
#define TOPIC(replicas)   "  topics: [{name: logs, partitions: 6, replicationFactor: " replicas "}]\n"
#define TOPIC_SEEN(count) "status: {topics: [{name: logs, partitions: " count "}]}\n"

enum { SAID_MAX = 8192 };

/* The document as JSON, as the server has it. */
static void print_json(const char *yaml, struct buf *into)
{
    AUTO(json_free) struct json *documents = NULL;

    assert_ok(yaml_parse(bytes_from(yaml), 1 << 20, &documents, NULL));
    assert_ok(json_print(json_first(documents), into));
}

/* Runs the verb with its output in `said`; the exit status. */
static int run(const struct plugin_options *options, char said[static SAID_MAX])
{
    FILE *printed = tmpfile();
    int before = dup(STDOUT_FILENO);

    assert_true(before >= 0 && printed != NULL);
    fflush(stdout);
    assert_true(dup2(fileno(printed), STDOUT_FILENO) >= 0);
    int code = plugin_plan(options);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    rewind(printed);
    said[fread(said, 1, SAID_MAX - 1, printed)] = '\0';
    fclose(printed);
    return code;
}

static void plan(const char *before, const char *after, char said[static SAID_MAX])
{
    AUTO(buf_fini) struct buf present = {0};
    struct kube_script script;
    char config[128], path[] = "/tmp/surgetank-plan-XXXXXX";
    int fd = mkstemp(path);

    print_json(before, &present);
    const struct http_step steps[] = {
        {.expect = "GET /apis/surgetank.dev/v1alpha1/namespaces/shop/telemetrypipelines/p ",
         .status = 200,
         .body = buf_text(&present)},
        {.expect = "dryRun=All", .status = 200, .body = buf_text(&present)},
    };
    assert_true(fd >= 0);
    assert_int_equal(write(fd, after, strlen(after)), strlen(after));
    close(fd);
    kube_script_start(&script, steps, 2);
    snprintf(config, sizeof config, "%s/config", script.dir);
    const struct plugin_options options = {.verb = "plan", .file = path, .kubeconfig = config};
    assert_int_equal(run(&options, said), PLUGIN_OK);
    assert_int_equal(http_script_requests(script.http), 2);
    kube_script_stop(&script);
    unlink(path);
}

/* What it says begins its line with `verb`, and nothing has `not` in it. */
static void check(const char *before, const char *after, const char *verb, const char *says,
                  const char * not )
{
    char said[SAID_MAX], line[256];

    plan(before, after, said);
    snprintf(line, sizeof line, "\n  %-8s %s", verb, says);
    if (strstr(said, line) == NULL || strstr(said, not ) != NULL)
        fail_msg("no \"%s\", or \"%s\", in:\n%s", line + 1, not, said);
}

static void test_the_same_document_changes_nothing(void **state)
{
    char said[SAID_MAX];

    (void)state;
    plan(HEAD EDGE("{size: 1Gi}") TOPIC("3") TOPIC_SEEN("6"), HEAD EDGE("{size: 1Gi}") TOPIC("3"),
         said);
    if (strstr(said, "Nothing would change.") == NULL)
        fail_msg("%s", said);
}

static void test_volumes_grow_in_place_and_their_statefulset_stays(void **state)
{
    (void)state;
    check(HEAD EDGE("{size: 1Gi}"), HEAD EDGE("{size: 2Gi}"), "grow",
          "the volumes of edge in place, where their StorageClass lets them", "StatefulSet");
    check(HEAD EDGE("{size: 1Gi}"), HEAD EDGE("{size: 2Gi}"), "change", "ConfigMap p-edge at ",
          "restart");
}

static void test_volumes_do_not_shrink_and_keep_their_class(void **state)
{
    (void)state;
    check(HEAD, HEAD EDGE("{size: 2Gi}"), "keep", "the volumes of edge as large as they are",
          "StatefulSet");
    check(HEAD EDGE("{size: 2Gi}"), HEAD EDGE("{size: 2Gi, storage: {storageClassName: fast}}"),
          "keep", "the volumes of edge as they were made: only an edge of another name",
          "StatefulSet");
}

static void test_what_else_changes_in_a_statefulset_is_said(void **state)
{
    (void)state;
    check(HEAD EDGE("{size: 1Gi}"), HEAD EDGE("{size: 2Gi}, rollout: {paused: true}"), "change",
          "StatefulSet p-edge at spec.updateStrategy", "volumeClaimTemplates");
}

static void test_a_topic_that_was_never_made_is_made_as_the_document_says(void **state)
{
    (void)state;
    check(HEAD TOPIC("3"), HEAD TOPIC("1"), "create", "shop.p.logs with ", "reassignment");
    check(HEAD TOPIC("3") TOPIC_SEEN("6"), HEAD TOPIC("1"), "leave",
          "shop.p.logs at replicationFactor 3: only a reassignment", "create");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_document_changes_nothing),
        cmocka_unit_test(test_volumes_grow_in_place_and_their_statefulset_stays),
        cmocka_unit_test(test_volumes_do_not_shrink_and_keep_their_class),
        cmocka_unit_test(test_what_else_changes_in_a_statefulset_is_said),
        cmocka_unit_test(test_a_topic_that_was_never_made_is_made_as_the_document_says),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
