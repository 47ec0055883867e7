/* An edge asks the API server for the pods of its node and no others, takes what comes, and goes on
 * when it is refused.
 */
#include "tests/support/test.h"

#include "sidecar/pods/pods.h"
#include "tests/support/kube_script.h"

#include <string.h>
#include <time.h>

// link: tests/support/http_script.c tests/support/kube_script.c

#define POD(type, name, uid, address, version)                                              \
    "{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name "\",\"namespace\":" \
    "\"shop\",\"uid\":\"" uid "\",\"resourceVersion\":\"" version "\",\"labels\":{\"app\":" \
    "\"web\"},\"managedFields\":[{\"manager\":\"x\"}]},\"spec\":{\"nodeName\":\"n1\"},"     \
    "\"status\":{\"phase\":\"Running\",\"podIP\":\"" address "\"}}}\n"
#define INITIAL_END(version)                                                                \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"," \
    "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"

static struct pods *watching(struct kube_script *script)
{
    static const char *const labels[] = {"app"};
    const struct pod_wishes wishes = {labels, NULL, 1, 0};
    struct pods *pods = NULL;

    assert_ok(pods_create(&wishes, &pods, NULL));
    assert_ok(pods_watch(pods, &script->client, "n1", NULL));
    return pods;
}

/* Until the pod is known (or no more), for at most a minute. */
static bool becomes(struct pods *pods, const char *address, bool known)
{
    for (int i = 0; i < 6000; i++) {
        AUTO(pod_unref) struct pod *pod = pods_by_address(pods, address);
        if ((pod != NULL) == known)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static void test_knows_the_pods_of_its_node(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.expect = "fieldSelector=spec.nodeName%3Dn1",
                                       .status = 200,
                                       .chunked = true,
                                       .body = POD("ADDED", "a", "u1", "10.0.0.1", "5")
                                           POD("ADDED", "b", "u2", "10.0.0.2", "6") INITIAL_END("7")
                                               POD("MODIFIED", "a", "u1", "10.0.0.3", "8")
                                                   POD("DELETED", "b", "u2", "10.0.0.2", "9"),
                                       .end = HTTP_END_HOLD}};
    struct kube_script script;

    kube_script_start(&script, steps, 1);
    struct pods *pods = watching(&script);
    assert_true(becomes(pods, "10.0.0.3", true));
    assert_true(becomes(pods, "10.0.0.2", false));
    assert_true(becomes(pods, "10.0.0.1", false));
    struct pod *gone = pods_by_uid(pods, BYTES_LITERAL("u2"));
    assert_non_null(gone);
    assert_string_equal(gone->attributes[gone->attribute_count - 1].key, "k8s.pod.label.app");
    pod_unref(&gone);
    assert_null(strstr(http_script_request(script.http, 0), "/namespaces/"));
    pods_destroy(&pods);
    kube_script_stop(&script);
}

#define REFUSAL "{\"kind\":\"Status\",\"code\":403,\"message\":\"forbidden to look\"}"

static void test_says_why_it_knows_nobody(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.status = 403, .body = REFUSAL},
                                      {.status = 403, .body = REFUSAL},
                                      {.status = 403, .body = REFUSAL}};
    struct kube_script script;
    struct pods_state told = {0};

    kube_script_start(&script, steps, 3);
    struct pods *pods = watching(&script);
    for (int i = 0; i < 6000 && told.trouble[0] == '\0'; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        pods_state(pods, &told);
    }
    assert_non_null(strstr(told.trouble, "forbidden to look"));
    pods_destroy(&pods);
    kube_script_stop(&script);
}

static void test_goes_on_when_it_is_refused_and_asks_again(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 403, .body = REFUSAL},
        {.expect = "fieldSelector=spec.nodeName%3Dn1",
         .status = 200,
         .chunked = true,
         .body = POD("ADDED", "a", "u1", "10.0.0.1", "5") INITIAL_END("7"),
         .end = HTTP_END_HOLD}};
    struct kube_script script;

    kube_script_start(&script, steps, 2);
    struct pods *pods = watching(&script);
    struct pods_state told;
    assert_true(becomes(pods, "10.0.0.1", true));
    pods_state(pods, &told);
    assert_int_equal(told.known, 1);
    assert_string_equal(told.trouble, "");
    pods_destroy(&pods);
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_the_pods_of_its_node),
        cmocka_unit_test(test_says_why_it_knows_nobody),
        cmocka_unit_test(test_goes_on_when_it_is_refused_and_asks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
