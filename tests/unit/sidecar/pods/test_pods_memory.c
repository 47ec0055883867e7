/* Promise: when memory runs out while pods are taken in, looked up or stamped anew, the process
 * goes on without what it could not have, or says so and ends, and nothing in between: a restart
 * asks the API server again. Each allocation fails in turn, each time in a process of its own. */
// link: tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "common/buf.h"
#include "sidecar/pods/pods.h"
#include "tests/support/fault_alloc.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NONE_LEFT = 7, ALLOCATIONS_MAX = 2000 };

static struct object *first, *second;

static struct object *object_of(const char *text)
{
    AUTO(json_free) struct json *json = NULL;
    struct object *object = NULL;

    assert_ok(json_parse(bytes_from(text), 4096, &json, NULL));
    pod_project(json);
    assert_ok(object_create(json, &object, NULL));
    return object;
}

static int begin(void **state)
{
    (void)state;
    first = object_of("{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u1\","
                      "\"resourceVersion\":\"7\",\"labels\":{\"app\":\"web\"}},"
                      "\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"podIP\":\"10.0.0.7\"}}");
    second = object_of("{\"metadata\":{\"name\":\"db\",\"namespace\":\"shop\",\"uid\":\"u2\","
                       "\"resourceVersion\":\"8\"},\"spec\":{\"nodeName\":\"n1\"},"
                       "\"status\":{\"podIP\":\"10.0.0.8\"}}");
    return 0;
}

static int end(void **state)
{
    (void)state;
    object_unref(&first);
    object_unref(&second);
    return 0;
}

/* Whether the uid is unknown, or that of the pod of this name. */
static bool is_right(struct pods *pods, const char *uid, const char *name)
{
    AUTO(pod_unref) struct pod *pod = pods_by_uid(pods, bytes_from(uid));
    return pod == NULL || strcmp(pod->attributes[1].value, name) == 0;
}

/* In the child: the nth allocation fails somewhere in here. */
static int live(unsigned nth)
{
    static const char *const labels[] = {"app"};
    const struct pod_wishes wishes = {labels, NULL, 1, 0};
    const struct stamp_rule rule = {.action = STAMP_UPSERT, .key = "team", .value = "blue"};
    struct pods *pods = NULL;

    fault_alloc_fail_at(nth);
    if (pods_create(&wishes, &pods, NULL))
        return fault_alloc_has_failed() ? 0 : 1;
    struct kube_sink sink = pods_sink(pods);
    sink.put(sink.context, &kube_pods, first);
    sink.replace(sink.context, &kube_pods, (struct object *[]){first, second}, 2);
    enum err err = pods_set_rules(pods, &rule, 1, NULL);
    sink.remove(sink.context, &kube_pods, first);
    bool right = is_right(pods, "u1", "web") && is_right(pods, "u2", "db");
    bool failed = fault_alloc_has_failed();
    fault_alloc_fail_at(0);
    sink.put(sink.context, &kube_pods, first); /* memory is back */
    AUTO(pod_unref) struct pod *pod = pods_by_uid(pods, bytes_from("u1"));
    right = right && pod != NULL && (err == OK || err == ERR_NOMEM);
    pod_unref(&pod);
    pods_destroy(&pods);
    return !right ? 1 : failed ? 0 : NONE_LEFT;
}

/* What became of it; SIGABRT is what xalloc.h promises. */
static int status_of(unsigned nth)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDERR_FILENO);
        _exit(live(nth));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT)
        fail_msg("allocation %u: signal %d", nth, WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static void test_go_on_or_end_whichever_allocation_fails(void **state)
{
    (void)state;
    unsigned nth = 1;
    int status;

    while ((status = status_of(nth)) == 0 && nth < ALLOCATIONS_MAX)
        nth++;
    if (status != NONE_LEFT)
        fail_msg("allocation %u: a pod is wrong, or never found again", nth);
    print_message("%u allocations\n", nth - 1);
    assert_in_range(nth, 20, ALLOCATIONS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_go_on_or_end_whichever_allocation_fails, begin, end),
    };
    return cmocka_run_group_tests_name("pods without memory", tests, NULL, NULL);
}
