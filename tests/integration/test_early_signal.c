/* Promise: SIGTERM ends the program orderly even when it comes before the document has been read.
 * The first process of a container has no other way: what comes while it is not ready for it, and
 * not blocked, is lost, and the pod is killed at the end of its grace. The program's own main()
 * runs here. */
// link: tests/support/free_port.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "tests/support/free_port.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_MS = 120000, LOOK_MS = 5 };

static struct {
    char dir[48], document[64], spool[64];
    uint16_t grpc, http, health, metrics;
} t;

/* BUILD/tests/integration/test_x -> BUILD/surgetank-sidecar */
static void find_program(char *into, size_t size)
{
    char self[256] = "";

    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(into, size, "%s/surgetank-sidecar", dirname(dirname(dirname(self))));
    assert_int_equal(access(into, X_OK), 0);
}

static pid_t start_program(void)
{
    char program[300], health[32], metrics[32];

    find_program(program, sizeof program);
    snprintf(health, sizeof health, "127.0.0.1:%u", t.health);
    snprintf(metrics, sizeof metrics, "127.0.0.1:%u", t.metrics);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execl(program, program, "run", "--pipeline", t.document, "--spool", t.spool, "--listen",
          "127.0.0.1", "--health-listen", health, "--metrics-listen", metrics, "--log-level",
          "error", (char *)NULL);
    _exit(99);
}

/* It has begun to read the document, as somebody else can open the other end: and waits for it. */
static FILE *await_reader(void)
{
    uint64_t until = clock_mono_ms() + LONG_MS;

    for (;;) {
        int fd = open(t.document, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0)
            return fdopen(fd, "w");
        assert_int_equal(errno, ENXIO);
        if (clock_mono_ms() > until)
            fail_msg("the program does not read its document");
        poll(NULL, 0, LOOK_MS);
    }
}

static void write_document(FILE *file)
{
    fprintf(file,
            "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: p}\n"
            "spec:\n  topics: [{name: logs}]\n"
            "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: '127.0.0.1:1'}}}]\n"
            "  edges:\n    - name: edge\n      spool: {size: 1Gi, minFree: 0%%}\n"
            "      receivers: {otlp: {grpc: {port: %u}, http: {port: %u}}}\n",
            t.grpc, t.http);
    assert_int_equal(fclose(file), 0);
}

static int await_end(pid_t pid)
{
    uint64_t until = clock_mono_ms() + LONG_MS;
    int status = -1;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > until) {
            kill(pid, SIGKILL);
            fail_msg("the program does not end");
        }
        poll(NULL, 0, LOOK_MS);
    }
    return status;
}

static void test_a_signal_before_the_document_was_read_ends_it_orderly(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};

    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(mkfifo(t.document, 0600), 0);
        pid_t pid = start_program();
        FILE *document = await_reader();
        assert_int_equal(kill(pid, signals[i]), 0);
        write_document(document);
        assert_int_equal(await_end(pid), 0);
        assert_int_equal(unlink(t.document), 0);
    }
}

static int begin(void **state)
{
    (void)state;
    snprintf(t.dir, sizeof t.dir, "/tmp/surgetank-early-XXXXXX");
    if (mkdtemp(t.dir) == NULL)
        return -1;
    snprintf(t.document, sizeof t.document, "%s/pipeline.yaml", t.dir);
    snprintf(t.spool, sizeof t.spool, "%s/spool", t.dir);
    t.grpc = free_port();
    t.http = free_port();
    t.health = free_port();
    t.metrics = free_port();
    return 0;
}

static int end(void **state)
{
    char command[80];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", t.dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signal_before_the_document_was_read_ends_it_orderly),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
