/* A child is written only when it doesn't say what it should, whatever the server defaulted, others
 * added or quantities look like; and it is written when anything of ours is gone, changed or no
 * longer said.
 */
#include "controller/reconcile/diff.h"

#include "tests/support/test.h"

static struct json *parse(const char *text)
{
    struct json *json = NULL;
    assert_ok(
        json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, 1 << 20, &json, NULL));
    return json;
}

/* Where `live` differs from `desired`; "" if it covers it. */
static const char *differs(const char *desired, const char *live)
{
    static char path[DIFF_PATH_MAX];
    AUTO(json_free) struct json *want = parse(desired);
    AUTO(json_free) struct json *have = parse(live);
    bool covered = diff_covers(want, have, path);

    assert_true(covered == (path[0] == '\0'));
    return path;
}

static void test_ignores_what_the_server_defaulted(void **state)
{
    (void)state;
    assert_string_equal(
        differs("{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\"}]}}}}",
                "{\"spec\":{\"replicas\":3,\"template\":{\"spec\":{\"restartPolicy\":\"Always\","
                "\"containers\":[{\"name\":\"a\",\"terminationMessagePath\":\"/x\"}]}}},"
                "\"status\":{\"replicas\":3}}"),
        "");
}

static void test_finds_what_was_edited_by_hand(void **state)
{
    (void)state;
    assert_string_equal(differs("{\"spec\":{\"a\":{\"b\":1}}}", "{\"spec\":{\"a\":{\"b\":2}}}"),
                        "spec.a.b");
    assert_string_equal(differs("{\"data\":{\"k\":\"v\"}}", "{\"data\":{}}"), "data.k");
    assert_string_equal(differs("{\"args\":[\"a\",\"b\"]}", "{\"args\":[\"a\"]}"), "args");
    assert_string_equal(differs("{\"args\":[\"a\"]}", "{\"args\":[\"a\",\"b\"]}"), "args");
}

static void test_leaves_containers_and_labels_of_others_alone(void **state)
{
    (void)state;
    assert_string_equal(differs("{\"containers\":[{\"name\":\"ours\",\"image\":\"x\"}]}",
                                "{\"containers\":[{\"name\":\"mesh\"},{\"name\":\"ours\","
                                "\"image\":\"x\"}]}"),
                        "");
    assert_string_equal(differs("{\"metadata\":{\"labels\":{\"a\":\"b\"}}}",
                                "{\"metadata\":{\"labels\":{\"a\":\"b\",\"c\":\"d\"}}}"),
                        "");
}

static void test_sees_a_selector_that_selects_less(void **state)
{
    (void)state;
    assert_string_equal(differs("{\"spec\":{\"selector\":{\"a\":\"b\"}}}",
                                "{\"spec\":{\"selector\":{\"a\":\"b\",\"c\":\"d\"}}}"),
                        "spec.selector");
}

static void test_matches_ports_by_number(void **state)
{
    (void)state;
    assert_string_equal(
        differs("{\"ports\":[{\"port\":4318},{\"port\":4317,\"name\":\"grpc\"}]}",
                "{\"ports\":[{\"port\":4317,\"name\":\"grpc\",\"nodePort\":3},{\"port\":4318}]}"),
        "");
    assert_string_equal(differs("{\"ports\":[{\"containerPort\":1,\"name\":\"a\"}]}",
                                "{\"ports\":[{\"containerPort\":1,\"name\":\"b\"}]}"),
                        "ports.name");
}

static void test_compares_quantities_by_value_and_nothing_else_that_way(void **state)
{
    (void)state;
    assert_string_equal(differs("{\"requests\":{\"cpu\":\"0.5\",\"memory\":\"1024Mi\"}}",
                                "{\"requests\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}"),
                        "");
    assert_string_equal(differs("{\"limits\":{\"cpu\":2}}", "{\"limits\":{\"cpu\":\"2\"}}"), "");
    assert_string_equal(
        differs("{\"requests\":{\"cpu\":\"0.5\"}}", "{\"requests\":{\"cpu\":\"501m\"}}"),
        "requests.cpu");
    assert_string_equal(differs("{\"labels\":{\"v\":\"1.0\"}}", "{\"labels\":{\"v\":\"1\"}}"),
                        "labels.v");
}

static void test_takes_an_absent_field_for_its_zero(void **state)
{
    (void)state;
    assert_string_equal(differs("{\"a\":false,\"b\":0,\"c\":\"\",\"d\":{},\"e\":[]}", "{}"), "");
    assert_string_equal(differs("{\"a\":true}", "{}"), "a");
}

static void test_notices_a_field_that_is_no_longer_said(void **state)
{
    (void)state;
    char path[DIFF_PATH_MAX];
    AUTO(json_free) struct json *before = parse("{\"metadata\":{},\"spec\":{\"a\":1,\"b\":2}}");
    AUTO(json_free) struct json *same = parse("{\"metadata\":{},\"spec\":{\"a\":1,\"b\":2}}");
    AUTO(json_free) struct json *after = parse("{\"metadata\":{},\"spec\":{\"a\":1}}");

    diff_seal(before);
    diff_seal(same);
    diff_seal(after);
    assert_true(diff_covers(same, before, path));
    assert_false(diff_covers(after, before, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ignores_what_the_server_defaulted),
        cmocka_unit_test(test_finds_what_was_edited_by_hand),
        cmocka_unit_test(test_leaves_containers_and_labels_of_others_alone),
        cmocka_unit_test(test_sees_a_selector_that_selects_less),
        cmocka_unit_test(test_matches_ports_by_number),
        cmocka_unit_test(test_compares_quantities_by_value_and_nothing_else_that_way),
        cmocka_unit_test(test_takes_an_absent_field_for_its_zero),
        cmocka_unit_test(test_notices_a_field_that_is_no_longer_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
