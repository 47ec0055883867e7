/* The pod behind a log or a connection is found, by what the watch has said last, and never taken
 * for another one.
 */
// link: tests/support/fake_clock.c
#include "tests/support/test.h"

#include "common/buf.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/pods/pods.h"
#include "tests/support/fake_clock.h"

#include <stdio.h>
#include <stdlib.h>

#define WEB                                                                                        \
    "{'kind':'Pod','apiVersion':'v1','metadata':{'name':'web-6d4cf56db6-x2x7k',"                   \
    "'namespace':'shop','uid':'u1','resourceVersion':'7',"                                         \
    "'labels':{'app':'web','pod-template-hash':'6d4cf56db6','other':'x'},"                         \
    "'annotations':{'team':'blue','huge':'%s'},"                                                   \
    "'ownerReferences':[{'controller':true,'kind':'ReplicaSet','name':'web-6d4cf56db6'}]},"        \
    "'spec':{'nodeName':'n1','containers':[{'name':'app'}]},"                                      \
    "'status':{'phase':'Running','podIP':'10.0.0.7','podIPs':[{'ip':'10.0.0.7'},{'ip':'fd00::7'}]" \
    "}}"

#define PLAIN                                                                        \
    "{'metadata':{'name':'%s','namespace':'shop','uid':'%s','resourceVersion':'8'}," \
    "'spec':{'nodeName':'n1','hostNetwork':%s},'status':{'phase':'%s','podIP':'10.0.0.7'}}"

static struct object *object_of(const char *text)
{
    AUTO(json_free) struct json *json = NULL;
    AUTO(buf_fini) struct buf fixed = {0};
    struct object *object = NULL;

    assert_ok(buf_append_text(&fixed, text));
    for (size_t i = 0; i < fixed.len; i++)
        if (fixed.data[i] == '\'')
            fixed.data[i] = '"';
    assert_ok(json_parse(buf_bytes(&fixed), fixed.len, &json, NULL));
    pod_project(json);
    assert_ok(object_create(json, &object, NULL));
    return object;
}

static struct object *web(void)
{
    static char huge[POD_VALUE_MAX + 2], text[4096];

    memset(huge, 'x', POD_VALUE_MAX + 1);
    snprintf(text, sizeof text, WEB, huge);
    return object_of(text);
}

static struct object *plain(const char *name, const char *uid, bool host_network, const char *phase)
{
    char text[512];

    snprintf(text, sizeof text, PLAIN, name, uid, host_network ? "true" : "false", phase);
    return object_of(text);
}

static struct pods *made(void)
{
    static const char *const labels[] = {"app", "missing"}, *const annotations[] = {"team", "huge"};
    const struct pod_wishes wishes = {labels, annotations, 2, 2};
    struct pods *pods = NULL;

    assert_ok(pods_create(&wishes, &pods, NULL));
    return pods;
}

static void put(struct pods *pods, struct object *object)
{
    struct kube_sink sink = pods_sink(pods);
    sink.put(sink.context, &kube_pods, object);
    object_unref(&object);
}

static void take_away(struct pods *pods, struct object *object)
{
    struct kube_sink sink = pods_sink(pods);
    sink.remove(sink.context, &kube_pods, object);
    object_unref(&object);
}

static const char *name_at(struct pods *pods, const char *address)
{
    static char name[64];
    AUTO(pod_unref) struct pod *pod = pods_by_address(pods, address);

    snprintf(name, sizeof name, "%s", pod == NULL ? "" : pod->attributes[1].value);
    return name;
}

static bool knows(struct pods *pods, const char *uid)
{
    AUTO(pod_unref) struct pod *pod = pods_by_uid(pods, bytes_from(uid));
    return pod != NULL;
}

static void test_knows_a_pod_and_what_was_asked_for(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();
    static const char *const want[][2] = {{"k8s.namespace.name", "shop"},
                                          {"k8s.pod.name", "web-6d4cf56db6-x2x7k"},
                                          {"k8s.pod.uid", "u1"},
                                          {"k8s.node.name", "n1"},
                                          {"k8s.replicaset.name", "web-6d4cf56db6"},
                                          {"k8s.deployment.name", "web"},
                                          {"k8s.pod.label.app", "web"},
                                          {"k8s.pod.annotation.team", "blue"}};

    put(pods, web());
    AUTO(pod_unref) struct pod *pod = pods_by_address(pods, "10.0.0.7");
    assert_non_null(pod);
    assert_int_equal(pod->attribute_count, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < pod->attribute_count; i++) {
        assert_string_equal(pod->attributes[i].key, want[i][0]);
        assert_string_equal(pod->attributes[i].value, want[i][1]);
    }
    assert_string_equal(name_at(pods, "fd00::7"), "web-6d4cf56db6-x2x7k");
    assert_string_equal(name_at(pods, "10.0.0.8"), "");
    assert_true(knows(pods, "u1"));
    assert_false(knows(pods, "u2"));
    assert_false(knows(pods, ""));
}

static void test_an_address_belongs_to_who_had_it_last(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();

    put(pods, plain("old", "u1", false, "Running"));
    put(pods, plain("new", "u2", false, "Running"));
    assert_string_equal(name_at(pods, "10.0.0.7"), "new");
    put(pods, plain("old", "u1", false, "Succeeded"));
    assert_string_equal(name_at(pods, "10.0.0.7"), "new");
    take_away(pods, plain("old", "u1", false, "Succeeded"));
    assert_ok(pods_set_rules(pods, NULL, 0, NULL));
    assert_string_equal(name_at(pods, "10.0.0.7"), "new");
    put(pods, plain("new", "u2", false, "Failed"));
    assert_string_equal(name_at(pods, "10.0.0.7"), "");
    put(pods, plain("host", "u3", true, "Running"));
    assert_string_equal(name_at(pods, "10.0.0.7"), "");
}

static void test_a_deleted_pod_is_known_by_its_uid_for_a_while(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();

    fake_clock_set_ms(1000);
    put(pods, web());
    take_away(pods, web());
    assert_string_equal(name_at(pods, "10.0.0.7"), "");
    assert_true(knows(pods, "u1"));
    fake_clock_set_ms(1000 + PODS_KEPT_MS);
    put(pods, plain("other", "u2", true, "Running"));
    assert_false(knows(pods, "u1"));
}

static void test_a_list_takes_the_place_of_what_was_known(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();
    struct kube_sink sink = pods_sink(pods);
    struct object *now[] = {plain("b", "u2", false, "Running")};

    put(pods, plain("a", "u1", false, "Running"));
    sink.replace(sink.context, &kube_pods, now, 1);
    assert_string_equal(name_at(pods, "10.0.0.7"), "b");
    sink.replace(sink.context, &kube_pods, NULL, 0);
    assert_string_equal(name_at(pods, "10.0.0.7"), "");
    object_unref(&now[0]);
}

static void test_finds_the_pod_of_a_manifest_by_the_uid_in_its_path(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();

    put(pods, object_of("{'metadata':{'name':'etcd','namespace':'kube-system','uid':'u1',"
                        "'resourceVersion':'1','annotations':{'kubernetes.io/config.mirror':'m1'}},"
                        "'spec':{'nodeName':'n1'}}"));
    assert_true(knows(pods, "m1"));
    assert_true(knows(pods, "u1"));
}

static void test_holds_so_many_and_no_more(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();
    char uid[16];

    for (unsigned i = 0; i < PODS_MAX + 10; i++) {
        snprintf(uid, sizeof uid, "u%u", i);
        put(pods, plain("p", uid, true, "Running"));
    }
    assert_true(knows(pods, "u0"));
    assert_false(knows(pods, uid));
    take_away(pods, plain("p", "u0", true, "Running"));
    put(pods, plain("p", uid, true, "Running"));
    assert_true(knows(pods, uid));
    assert_false(knows(pods, "u0"));
}

/* ResourceLogs with Resource {k8s.pod.name: mine}, and one record. */
static const char request[] = "\x0a\x22\x0a\x1c\x0a\x1a\x0a\x0ck8s.pod.name\x12\x0a\x0a\x08"
                              "mine....\x12\x02\x12\x00";

static bool stamped_has(const struct pod *pod, const char *text)
{
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf whole = {0};
    struct otlp_summary summary;
    struct error error = {0};

    assert_ok(stamp_apply(pod->stamp, BYTES_LITERAL(request), 4096, &slices, NULL));
    assert_ok(otlp_slices_append_to(&slices, &whole));
    if (otlp_walk(SIGNAL_LOGS, buf_bytes(&whole), NULL, &summary, &error))
        fail_msg("%s", error.text);
    return memmem(whole.data, whole.len, text, strlen(text)) != NULL;
}

static void test_stamps_what_the_sender_did_not_say_and_then_by_the_rules(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();
    const struct stamp_rule rules[] = {{"tier", "edge", STAMP_INSERT},
                                       {"k8s.replicaset.name", NULL, STAMP_DELETE}};

    put(pods, web());
    AUTO(pod_unref) struct pod *before = pods_by_address(pods, "10.0.0.7");
    assert_true(stamped_has(before, "mine"));
    assert_false(stamped_has(before, "x2x7k"));
    assert_true(stamped_has(before, "k8s.deployment.name"));
    assert_true(stamped_has(before, "k8s.replicaset.name"));
    assert_false(stamped_has(before, "tier"));

    assert_ok(pods_set_rules(pods, rules, 2, NULL));
    AUTO(pod_unref) struct pod *after = pods_by_address(pods, "10.0.0.7");
    assert_true(stamped_has(after, "tier"));
    assert_false(stamped_has(after, "k8s.replicaset.name"));
    assert_false(stamped_has(before, "tier"));
    put(pods, plain("p", "u9", false, "Running"));
    AUTO(pod_unref) struct pod *later = pods_by_uid(pods, BYTES_LITERAL("u9"));
    assert_true(stamped_has(later, "tier"));
}

static void test_without_a_cluster_nobody_is_known(void **state)
{
    (void)state;
    AUTO(pods_destroy) struct pods *pods = made();
    struct error error = {0};

    unsetenv("KUBERNETES_SERVICE_HOST");
    assert_int_equal(pods_start(pods, "n1", &error), ERR_NOTFOUND);
    assert_int_equal(pods_start(pods, "", &error), ERR_INVALID);
    assert_false(knows(pods, "u1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_knows_a_pod_and_what_was_asked_for),
        cmocka_unit_test(test_an_address_belongs_to_who_had_it_last),
        cmocka_unit_test(test_a_deleted_pod_is_known_by_its_uid_for_a_while),
        cmocka_unit_test(test_a_list_takes_the_place_of_what_was_known),
        cmocka_unit_test(test_finds_the_pod_of_a_manifest_by_the_uid_in_its_path),
        cmocka_unit_test(test_holds_so_many_and_no_more),
        cmocka_unit_test(test_stamps_what_the_sender_did_not_say_and_then_by_the_rules),
        cmocka_unit_test(test_without_a_cluster_nobody_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
