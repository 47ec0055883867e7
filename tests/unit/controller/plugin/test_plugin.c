/* Promise: what the plugin shows or plans is what the operator would do: a document that the
 * operator refuses is refused here, with the same advice. */
#include "tests/support/test.h"

#include "controller/plugin/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP \
    "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: p}\nspec:\n"
#define KAFKA "  kafka: {bootstrapServers: [\"h:9092\"]}\n"
#define LOGS                                                                                    \
    "  topics: [{name: logs}]\n  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: " \
    "\"h:1\"}}}]\n"

/* The exit status for a document; what was printed to stderr is kept in `said`. */
static int read_document(const char *text, char *said, size_t size)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    char path[] = "/tmp/surgetank-plugin-XXXXXX";
    FILE *printed = tmpfile();
    int fd = mkstemp(path), before = dup(STDERR_FILENO);

    assert_true(fd >= 0 && before >= 0 && printed != NULL);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_true(dup2(fileno(printed), STDERR_FILENO) >= 0);
    int code =
        plugin_read_file(&(struct plugin_options){.verb = "render", .file = path}, &pipeline);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    unlink(path);
    rewind(printed);
    said[fread(said, 1, size - 1, printed)] = '\0';
    fclose(printed);
    assert_int_equal(pipeline != NULL, code == PLUGIN_OK);
    return code;
}

static void test_what_the_operator_refuses_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *document, *said; /* NULL: it is fine */
    } table[] = {
        {TOP KAFKA LOGS, NULL},
        {TOP KAFKA "  edges: [{name: e, mode: DaemonSet}]\n" LOGS, NULL}, /* if it may have nodes */
        {TOP LOGS, "spec.kafka"},
        {TOP KAFKA "  edges: [{name: e, spool: {storage: {hostPath: /data}}}]\n" LOGS,
         "Set mode: DaemonSet, or storageClassName"},
        {TOP KAFKA
         "  edges: [{name: e, receivers: {files: [{name: f, paths: [/srv/x.log]}]}}]\n" LOGS,
         "are the node's"},
        {TOP KAFKA "  edges: [{name: e}, {name: e-pods}]\n" LOGS, "Rename one of them"},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char said[2000];
        int code = read_document(table[i].document, said, sizeof said);
        if (code != (table[i].said == NULL ? PLUGIN_OK : PLUGIN_WRONG) ||
            strstr(said, table[i].said == NULL ? "" : table[i].said) == NULL)
            fail_msg("document %zu: %d, %s", i, code, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_operator_refuses_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
