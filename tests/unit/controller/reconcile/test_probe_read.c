/* What a pod says of itself is read as far as it is there, and nothing is made up. */
#include "controller/reconcile/probe.h"

#include "tests/support/test.h"

#include <string.h>

static struct pod_state read_text(const char *text)
{
    AUTO(json_free) struct json *json = NULL;
    struct pod_state state;

    assert_ok(
        json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, 1 << 16, &json, NULL));
    probe_read(json, 1000000, &state);
    return state;
}

static void test_reads_an_edge(void **state)
{
    (void)state;
    struct pod_state idle = read_text(
        "{\"generation\":3,\"spool\":{\"full\":false,\"lanes\":{\"traces\":{\"waitingItems\":0,"
        "\"bytes\":67108864,\"oldestUnixMs\":0}}}}");
    assert_true(idle.known && idle.spool_known);
    assert_int_equal(idle.generation, 3);
    assert_int_equal(idle.spooled_bytes, 0);

    struct pod_state busy =
        read_text("{\"kubernetesMetadata\":{\"trouble\":\"forbidden\"},\"spool\":{\"full\":true,"
                  "\"lanes\":{\"traces\":{\"waitingItems\":9,\"bytes\":4096,"
                  "\"oldestUnixMs\":990000},\"logs\":{\"waitingItems\":1,\"bytes\":4096,"
                  "\"oldestUnixMs\":940000}}}}");
    assert_int_equal(busy.spooled_bytes, 8192);
    assert_int_equal(busy.oldest_spooled_seconds, 60);
    assert_true(busy.full);
    assert_string_equal(idle.metadata_trouble, "");
    assert_string_equal(busy.metadata_trouble, "forbidden");
}

static void test_reads_a_gateway(void **state)
{
    (void)state;
    struct pod_state up = read_text("{\"generation\":1,\"backend\":{\"state\":\"up\"},"
                                    "\"ledger\":{\"deadLetters\":7}}");
    assert_int_equal(up.backend, PROBE_BACKEND_UP);
    assert_int_equal(up.dead_letters, 7);
    assert_false(up.spool_known);

    struct pod_state down =
        read_text("{\"backend\":{\"state\":\"failing\",\"trouble\":\"connection refused\"}}");
    assert_int_equal(down.backend, PROBE_BACKEND_DOWN);
    assert_string_equal(down.backend_error, "connection refused");
}

static void test_reads_what_a_pod_says_of_its_document(void **state)
{
    (void)state;
    struct pod_state pod =
        read_text("{\"generation\":2,\"document\":{\"generation\":2,\"takenSeconds\":17,"
                  "\"candidate\":true,\"refused\":\"spec.x: is no y\",\"waits\":\"\"}}");
    assert_int_equal(pod.generation, 2);
    assert_int_equal(pod.taken_seconds, 17);
    assert_string_equal(pod.refused, "spec.x: is no y");
}

static void test_takes_nonsense_for_nothing(void **state)
{
    (void)state;
    struct pod_state odd = read_text("{\"backend\":7,\"spool\":[1],\"generation\":\"x\"}");
    assert_true(odd.known);
    assert_int_equal(odd.backend, PROBE_BACKEND_UNKNOWN);
    assert_false(odd.spool_known);
    assert_int_equal(odd.dead_letters, -1);
    assert_false(read_text("[]").known);
}

static void test_keeps_the_health_port_of_a_pod_in_the_cache(void **state)
{
    (void)state;
    const char *text =
        "{\"metadata\":{\"name\":\"p\",\"annotations\":{\"x\":\"y\"}},\"spec\":{\"containers\":[{"
        "\"name\":\"surgetank\",\"ports\":[{\"name\":\"metrics\",\"containerPort\":1},{\"name\":"
        "\"health\",\"containerPort\":23133}]}]}}";
    AUTO(json_free) struct json *pod = NULL;

    assert_ok(json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, 1 << 16, &pod, NULL));
    probe_project_pod(pod);
    assert_int_equal(json_int(json_at(pod, PROBE_PORT_PATH), 0), 23133);
    assert_null(json_at(pod, "spec.containers"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_an_edge),
        cmocka_unit_test(test_reads_a_gateway),
        cmocka_unit_test(test_reads_what_a_pod_says_of_its_document),
        cmocka_unit_test(test_takes_nonsense_for_nothing),
        cmocka_unit_test(test_keeps_the_health_port_of_a_pod_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
