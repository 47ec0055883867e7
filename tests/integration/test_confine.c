/* Promise: after confine_process() a process reaches the paths it was given and nothing else, makes
 * no system call that is not listed, and does all that an edge does: threads, names, Kafka, its
 * spool, files that others replace. Each case confines a child of the test. */
// link: tests/support/mock_kafka.c
#include "tests/support/test.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/metrics.h"
#include "sidecar/confine/confine.h"
#include "sidecar/edge/edge.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/no_descriptors.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: what is not so ends it with a line that says which. */
#define NEED(condition)                                                                      \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            dprintf(2, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            _exit(1);                                                                        \
        }                                                                                    \
    } while (0)

struct place {
    char root[64], read[96], write[96], other[96];
};

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void in_dir(char into[160], const char *dir, const char *name)
{
    NEED(snprintf(into, 160, "%s/%s", dir, name) < 160);
}

static int make_place(void **state)
{
    static struct place place;
    char path[160];

    snprintf(place.root, sizeof place.root, "/tmp/confine-XXXXXX");
    assert_non_null(mkdtemp(place.root));
    snprintf(place.read, sizeof place.read, "%s/read", place.root);
    snprintf(place.write, sizeof place.write, "%s/write", place.root);
    snprintf(place.other, sizeof place.other, "%s/other", place.root);
    assert_int_equal(mkdir(place.read, 0700) | mkdir(place.write, 0700) | mkdir(place.other, 0700),
                     0);
    in_dir(path, place.read, "file");
    write_text(path, "one");
    in_dir(path, place.other, "file");
    write_text(path, "secret");
    *state = &place;
    return 0;
}

static int remove_place(void **state)
{
    const struct place *place = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", place->root);
    return system(command);
}

static struct confine_state confine(const struct place *place)
{
    const struct confine_path paths[] = {{place->read, CONFINE_READ},
                                         {place->write, CONFINE_WRITE},
                                         {"/nowhere/at/all", CONFINE_READ},
                                         {NULL, CONFINE_READ}};
    struct confine_state state;
    struct error error = {0};

    if (confine_process(paths, sizeof paths / sizeof paths[0], &state, &error))
        dprintf(2, "%s\n", error.text);
    NEED(error.code == OK);
    NEED(state.no_new_privileges && (state.landlock == 0) == (state.without[0] != '\0'));
    return state;
}

/* Returns the child's status, as wait() tells it. */
static int in_child(void (*body)(const struct place *place), const struct place *place)
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        body(place);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- files */

static int try_open(const char *dir, const char *name, int flags)
{
    char path[160];

    in_dir(path, dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static void reach_out(const struct place *place)
{
    if (confine(place).landlock == 0) {
        dprintf(2, "this kernel has no Landlock: only that confinement goes on without it\n");
        return;
    }
    NEED(try_open(place->read, "file", O_RDONLY) == 0);
    NEED(try_open(place->read, "file", O_RDWR) == EACCES);
    NEED(try_open(place->read, "new", O_RDWR | O_CREAT) == EACCES);
    NEED(try_open(place->other, "file", O_RDONLY) == EACCES);
    NEED(try_open(place->root, "", O_RDONLY) == EACCES);
    NEED(try_open("/etc", "passwd", O_RDONLY) == EACCES || try_open("/etc", "", O_RDONLY) == 0);
    NEED(try_open("/tmp", "new", O_RDWR | O_CREAT) == EACCES);
}

static void test_reads_what_it_may_and_nothing_else(void **state)
{
    assert_int_equal(in_child(reach_out, *state), 0);
}

/* What can't be opened now may be there: kept from it for good, nobody would know why. */
static void confine_without_descriptors(const struct place *place)
{
    const struct confine_path paths[] = {{place->read, CONFINE_READ}};
    struct confine_state state;
    struct error error = {0};
    struct rlimit before;

    NEED(no_descriptors_begin(1, &before)); /* that is the ruleset's */
    enum err err = confine_process(paths, 1, &state, &error);
    if (err == OK && state.landlock == 0) {
        dprintf(2, "this kernel has no Landlock\n");
        return;
    }
    NEED(err == ERR_IO && strstr(error.text, place->read) != NULL);
}

static void test_a_path_that_no_descriptor_is_left_for_ends_the_start(void **state)
{
    assert_int_equal(in_child(confine_without_descriptors, *state), 0);
}

static void work_in_spool(const struct place *place)
{
    char one[160], two[160], dir[160];

    confine(place);
    in_dir(one, place->write, "one");
    in_dir(two, place->write, "two");
    in_dir(dir, place->write, "dir");
    int fd = open(one, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    NEED(fd >= 0);
    NEED(pwrite(fd, "x", 1, 0) == 1 && fallocate(fd, 0, 0, 8192) == 0);
    NEED(fdatasync(fd) == 0 && ftruncate(fd, 4096) == 0 && close(fd) == 0);
    NEED(rename(one, two) == 0 && mkdir(dir, 0700) == 0);
    in_dir(one, dir, "one");
    NEED(rename(two, one) == 0 || errno == EXDEV);
    NEED(unlink(access(one, F_OK) == 0 ? one : two) == 0 && rmdir(dir) == 0);
}

static void test_makes_renames_and_removes_in_its_own_directory(void **state)
{
    assert_int_equal(in_child(work_in_spool, *state), 0);
}

static void expect(const char *path, const char *text)
{
    AUTO(buf_fini) struct buf got = {0};

    NEED(file_read(path, 100, &got, NULL) == OK);
    NEED(strcmp(buf_text(&got), text) == 0);
}

/* As kubelet does it: file -> ..data/file, ..data -> a directory of the day. */
static void swap_data(const char *dir, const char *version)
{
    char path[160], link[160], fresh[160];

    in_dir(path, dir, version);
    NEED(mkdir(path, 0700) == 0);
    in_dir(link, path, "file");
    int fd = open(link, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    NEED(fd >= 0 && write(fd, version, strlen(version)) == (ssize_t)strlen(version));
    close(fd);
    in_dir(fresh, dir, "..fresh");
    in_dir(link, dir, "..data");
    NEED(symlink(version, fresh) == 0 && rename(fresh, link) == 0);
}

static void follow_swaps(const struct place *place)
{
    char path[160], found[CONFINE_PATH_MAX];
    int go[2], done[2];
    char byte = 0;

    swap_data(place->read, "..v1");
    in_dir(path, place->read, "config");
    NEED(symlink("..data/file", path) == 0);
    NEED(confine_place_of(path, found) != NULL && strcmp(found, place->read) == 0);
    NEED(pipe2(go, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0);
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        confine(place);
        expect(path, "..v1");
        NEED(write(done[1], "", 1) == 1 && read(go[0], &byte, 1) == 1);
        expect(path, "..v2");
        _exit(0);
    }
    int status = 1;
    NEED(read(done[0], &byte, 1) == 1);
    swap_data(place->read, "..v2");
    NEED(write(go[1], "", 1) == 1);
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
}

static void test_reads_a_configuration_that_was_swapped(void **state)
{
    assert_int_equal(in_child(follow_swaps, *state), 0);
}

/* ---- system calls */

static void call_unlisted(const struct place *place)
{
    if (!confine(place).system_calls) {
        dprintf(2, "this kernel has no seccomp filters\n");
        return;
    }
    NEED(syscall(SYS_acct, NULL) == -1 && errno == ENOSYS);
    NEED(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == ENOSYS);
    NEED(fork() == -1 && errno == ENOSYS);
    NEED(syscall(SYS_kill, getppid(), 0) == -1 && errno == ENOSYS);
}

static void test_knows_no_call_that_is_not_listed(void **state)
{
    assert_int_equal(in_child(call_unlisted, *state), 0);
}

static void run_a_program(const struct place *place)
{
    char *const argv[] = {NULL};

    if (!confine(place).system_calls)
        raise(SIGSYS); /* as it would be */
    execve("/bin/true", argv, argv);
}

static void test_ends_when_it_is_made_to_run_a_program(void **state)
{
    int status = in_child(run_a_program, *state);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- the whole edge */

static const char document[] =
    "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: p}\n"
    "spec:\n  kafka: {bootstrapServers: ['%s']}\n  topics:\n  - {name: logs, signal: logs, topic: "
    "t}\n"
    "  gateways:\n  - {name: g, from: [logs], export: {otlp: {endpoint: 'nowhere:4317'}}}\n";

static const char request[] =
    "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    "Content-Length: 80\r\n\r\n"
    "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"x\"}}]}]}]}";

static void *resolve(void *context)
{
    struct addrinfo *found = NULL;

    *(int *)context = getaddrinfo("localhost", "80", NULL, &found);
    freeaddrinfo(found);
    return NULL;
}

static void post(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    char answer[256] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    NEED(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    NEED(send(fd, request, sizeof request - 1, 0) == (ssize_t)sizeof request - 1);
    NEED(recv(fd, answer, sizeof answer - 1, 0) > 0);
    NEED(strncmp(answer, "HTTP/1.1 200", 12) == 0);
    close(fd);
}

/* Reads where Kafka is from `from`, then is an edge until one request has been handed over. */
static void be_an_edge(const struct place *place, int from)
{
    char bootstrap[128] = "", text[1024], path[160];
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};
    struct edge *edge = NULL;
    pthread_t thread;
    int resolved = -1;

    NEED(read(from, bootstrap, sizeof bootstrap - 1) > 0);
    in_dir(path, place->read, "pipeline.yaml");
    snprintf(text, sizeof text, document, bootstrap);
    write_text(path, text);
    NEED(pipeline_load(path, &pipeline, &faults, &error) == OK);
    confine(place);
    pipeline->edges[0].otlp.grpc_port = pipeline->edges[0].otlp.http_port = 0;
    pipeline->edges[0].spool.min_free_percent = 0;
    const struct edge_options options = {.pipeline = pipeline,
                                         .edge = &pipeline->edges[0],
                                         .spool_dir = place->write,
                                         .listen_address = "127.0.0.1",
                                         .health_listen = "127.0.0.1:0",
                                         .metrics_listen = "127.0.0.1:0"};
    if (edge_start(&options, &edge, &error))
        dprintf(2, "%s\n", error.text);
    NEED(edge != NULL);
    NEED(pthread_create(&thread, NULL, resolve, &resolved) == 0);
    NEED(pthread_join(thread, NULL) == 0 && resolved == 0);
    post(edge_http_port(edge));
    AUTO(buf_fini) struct buf page = {0};
    NEED(metrics_expose(&page) == OK);
    NEED(strstr(buf_text(&page), "process_resident_memory_bytes 0\n") == NULL);
    edge_stop(&edge, 60000);
    pipeline_free(&pipeline);
    _exit(0);
}

static void see(void *context, const struct mock_message *message)
{
    *(size_t *)context += message->value.len;
}

static void test_an_edge_works_all_the_same(void **state)
{
    struct mock_kafka kafka;
    size_t bytes = 0;
    int status = -1, to[2];

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    pid_t pid = fork(); /* before librdkafka has threads */
    assert_true(pid >= 0);
    if (pid == 0)
        be_an_edge(*state, to[0]);
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", 1, 1), 0);
    assert_true(write(to[1], kafka.bootstrap, strlen(kafka.bootstrap)) > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(mock_kafka_read(&kafka, "t", 1, see, &bytes), 1);
    assert_true(bytes > 0);
    mock_kafka_stop(&kafka);
    close(to[0]);
    close(to[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_it_may_and_nothing_else),
        cmocka_unit_test(test_a_path_that_no_descriptor_is_left_for_ends_the_start),
        cmocka_unit_test(test_makes_renames_and_removes_in_its_own_directory),
        cmocka_unit_test(test_reads_a_configuration_that_was_swapped),
        cmocka_unit_test(test_knows_no_call_that_is_not_listed),
        cmocka_unit_test(test_ends_when_it_is_made_to_run_a_program),
        cmocka_unit_test(test_an_edge_works_all_the_same),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
