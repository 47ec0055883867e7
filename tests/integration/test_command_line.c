/* What a person who types surgetank-sidecar meets: a document that is checked, a command line that
 * is wrong, addresses that are overridden. The program's own main() runs here. */
// link: tests/support/free_port.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "tests/support/free_port.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD \
    "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: p}\nspec:\n"
#define GATEWAY "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: '127.0.0.1:1'}}}]\n"
#define KAFKA   "  kafka: {bootstrapServers: ['127.0.0.1:1']}\n"
#define TWO     "  edges: [{name: a}, {name: b}]\n"
#define EDGE_FMT                                                                                  \
    "  edges: [{name: e, spool: {size: 1Gi, minFree: 0%%}, receivers: {otlp: {grpc: {port: %u}, " \
    "http: {port: %u}}}}]\n"

enum { LONG_MS = 120000, LOOK_MS = 20, SAID_MAX = 8192 };

static char dir[48], document[64], build[256], program[300];

/* BUILD/tests/integration/test_x -> BUILD/surgetank-sidecar */
static void find_program(void)
{
    char self[256] = "";

    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(build, sizeof build, "%s", dirname(dirname(dirname(self))));
    snprintf(program, sizeof program, "%s/surgetank-sidecar", build);
    assert_int_equal(access(program, X_OK), 0);
}

static void write_document(const char *text)
{
    FILE *file = fopen(document, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Runs a command to its end; what it says is in `said`. Returns the exit status. */
static int run(const char *command, char said[static SAID_MAX])
{
    FILE *out = popen(command, "re");
    assert_non_null(out);
    size_t len = fread(said, 1, SAID_MAX - 1, out);
    said[len] = '\0';
    int status = pclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int type(const char *arguments, char said[static SAID_MAX])
{
    char command[600];

    snprintf(command, sizeof command, "%s %s 2>&1", program, arguments);
    return run(command, said);
}

static void assert_says(const char *arguments, int want, const char *text)
{
    char said[SAID_MAX];

    int status = type(arguments, said);
    if (status != want || strstr(said, text) == NULL)
        fail_msg("%s: exit status %d, not %d, or no \"%s\" in:\n%s", arguments, status, want, text,
                 said);
}

static void test_check_says_nothing_of_a_sound_document(void **state)
{
    char said[SAID_MAX], arguments[128];

    (void)state;
    write_document(HEAD KAFKA GATEWAY);
    snprintf(arguments, sizeof arguments, "check --pipeline %s", document);
    assert_int_equal(type(arguments, said), 0);
    assert_string_equal(said, "");
}

static void test_check_has_a_line_for_each_fault(void **state)
{
    char said[SAID_MAX], arguments[128];

    (void)state;
    write_document(HEAD "  kafka: {bootstrapServers: [kafka]}\n  edges: [{name: e, replicas: -1}]\n"
                        "  gateways: [{name: g, from: [logs], export: {otpl: {endpoint: a:1}}}]\n");
    snprintf(arguments, sizeof arguments, "check --pipeline %s", document);
    assert_int_equal(type(arguments, said), 2);
    assert_string_equal(
        said, "spec.kafka.bootstrapServers[0]: has no port. Write host:port, as in "
              "kafka-0.kafka.svc:9092\n"
              "spec.edges[0].replicas: is -1, which is too small. Write something from 0 to 500\n"
              "spec.gateways[0].export.otpl: is no field that we know. Did you mean otlp?\n");
}

static void test_check_names_a_file_that_is_no_document(void **state)
{
    char arguments[128];

    (void)state;
    assert_says("check --pipeline /nowhere/p.yaml", 2, "open '/nowhere/p.yaml': No such file");
    write_document("spec: [\n");
    snprintf(arguments, sizeof arguments, "check --pipeline %s", document);
    assert_says(arguments, 2, "pipeline.yaml': line 2, column 1: ");
    write_document("");
    assert_says(arguments, 2, "pipeline.yaml' holds no TelemetryPipeline");
}

static void test_a_wrong_command_line_is_named(void **state)
{
    static const struct {
        const char *verb, *document, *says;
    } cases[] = {
        {"frob", HEAD KAFKA GATEWAY, "there is no such verb: frob"},
        {"edge --edge nope", HEAD KAFKA GATEWAY, "the pipeline has no edge 'nope'"},
        {"edge", HEAD KAFKA TWO GATEWAY, "several edges: say --edge NAME"},
        {"edge", HEAD GATEWAY, "no `kafka`: use `run`"},
        {"gateway", HEAD KAFKA GATEWAY, "say --gateway NAME"},
        {"gateway --gateway nope", HEAD KAFKA GATEWAY, "the pipeline has no gateway 'nope'"},
        {"run", HEAD KAFKA GATEWAY, "the pipeline has `kafka`: use `edge` and `gateway`"},
        {"run", HEAD TWO GATEWAY, "Keep one edge, or set spec.kafka"},
        {"run --frob", HEAD GATEWAY, "unrecognized option '--frob'"},
        {"run more", HEAD GATEWAY, "one word too many: more"},
        {"run --log-level loud", HEAD GATEWAY,
         "--log-level is debug, info, warn or error, not: loud"},
    };
    char arguments[160];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_document(cases[i].document);
        snprintf(arguments, sizeof arguments, "%s --pipeline %s", cases[i].verb, document);
        assert_says(arguments, 2, cases[i].says);
    }
    assert_says("edge", 2, "say --pipeline FILE");
    assert_says("spool ls", 2, "usage: spool ls DIR");
    assert_says("--help", 0, "surgetank-sidecar check --pipeline FILE");
}

/* Whether a GET of `path` on that port is answered with 200. */
static bool is_served(uint16_t port, const char *path)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[64], answer[16] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    bool served = connect(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
                  send(fd, request, (size_t)len, MSG_NOSIGNAL) == len &&
                  recv(fd, answer, 12, MSG_WAITALL) == 12 && strstr(answer, " 200") != NULL;
    close(fd);
    return served;
}

static void await_served(uint16_t port, const char *path)
{
    uint64_t until = clock_mono_ms() + LONG_MS;

    while (!is_served(port, path)) {
        if (clock_mono_ms() > until)
            fail_msg("%s is not served on port %u", path, port);
        poll(NULL, 0, LOOK_MS);
    }
}

static void test_health_and_metrics_are_where_they_were_asked_for(void **state)
{
    char text[700], spool[64], health[32], metrics[32];
    uint16_t health_port = free_port(), metrics_port = free_port();
    int status = -1;

    (void)state;
    snprintf(text, sizeof text, HEAD EDGE_FMT GATEWAY, free_port(), free_port());
    write_document(text);
    snprintf(spool, sizeof spool, "%s/spool", dir);
    snprintf(health, sizeof health, "127.0.0.1:%u", health_port);
    snprintf(metrics, sizeof metrics, "127.0.0.1:%u", metrics_port);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "run", "--pipeline", document, "--spool", spool, "--listen",
              "127.0.0.1", "--health-listen", health, "--metrics-listen", metrics, "--log-level",
              "error", (char *)NULL);
        _exit(99);
    }
    await_served(health_port, "/ready");
    assert_true(is_served(health_port, "/health"));
    assert_true(is_served(health_port, "/debug/state"));
    assert_true(is_served(metrics_port, "/metrics"));
    assert_false(is_served(metrics_port, "/ready"));
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);

    snprintf(text, sizeof text, "spool verify %s", spool);
    assert_says(text, 0, "are sound, 0 damages");
    snprintf(text, sizeof text, "spool verify %s", dir);
    assert_says(text, 1, "holds no spool");
}

static void test_each_program_says_which_version_it_is(void **state)
{
    static const char *const names[] = {"surgetank-sidecar", "surgetank-controller",
                                        "kubectl-surgetank"};
    char want[SAID_MAX], said[SAID_MAX], command[600];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(command, sizeof command,
                 "echo \"%s $(sed -n 's/^version: //p' charts/surgetank/Chart.yaml) (build\"",
                 names[i]);
        assert_int_equal(run(command, want), 0);
        want[strcspn(want, "\n")] = '\0';
        snprintf(command, sizeof command, "%s/%s --version", build, names[i]);
        assert_int_equal(run(command, said), 0);
        size_t len = strlen(said);
        if (strncmp(said, want, strlen(want)) != 0 || len < 3 ||
            strcmp(said + len - 2, ")\n") != 0 || strchr(said, '\n') != said + len - 1)
            fail_msg("%s says \"%s\", not \"%s ...)\"", names[i], said, want);
    }
}

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/surgetank-command-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(document, sizeof document, "%s/pipeline.yaml", dir);
    find_program();
    return 0;
}

static int end(void **state)
{
    char command[80];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_says_nothing_of_a_sound_document),
        cmocka_unit_test(test_check_has_a_line_for_each_fault),
        cmocka_unit_test(test_check_names_a_file_that_is_no_document),
        cmocka_unit_test(test_a_wrong_command_line_is_named),
        cmocka_unit_test(test_each_program_says_which_version_it_is),
        cmocka_unit_test(test_health_and_metrics_are_where_they_were_asked_for),
    };
    return cmocka_run_group_tests_name("command_line", tests, begin, end);
}
