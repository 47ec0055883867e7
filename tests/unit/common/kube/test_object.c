/* A shared object says what its tree said, and its hash moves with what people edit alone. */
#include "tests/support/test.h"

#include "common/kube/object.h"

#include <stdlib.h>

static struct json *parse(const char *text)
{
    struct json *json = NULL;
    assert_ok(
        json_parse((struct bytes){(const uint8_t *)text, strlen(text)}, 1 << 20, &json, NULL));
    return json;
}

static uint64_t hash_of(const char *text)
{
    AUTO(json_free) struct json *json = parse(text);
    return object_hash(json);
}

static void test_keeps_what_everybody_asks_for(void **state)
{
    (void)state;
    AUTO(json_free)
    struct json *json = parse(
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u1\",\"generation\":4,"
        "\"resourceVersion\":\"12\",\"labels\":{\"a\":\"1\",\"b\":\"\",\"c\":\"3\"},"
        "\"ownerReferences\":[{\"uid\":\"no\"},{\"uid\":\"o1\",\"controller\":true}]}}");
    struct object *object = NULL;

    assert_ok(object_create(json, &object, NULL));
    assert_string_equal(object->name, "web");
    assert_string_equal(object->namespace, "shop");
    assert_string_equal(object->uid, "u1");
    assert_string_equal(object->resource_version, "12");
    assert_string_equal(object->owner_uid, "o1");
    assert_int_equal(object->generation, 4);
    assert_string_equal(object_label_of(object, "a"), "1");
    assert_string_equal(object_label_of(object, "b"), "");
    assert_string_equal(object_label_of(object, "c"), "3");
    assert_string_equal(object_label_of(object, "d"), "");

    struct object *second = object_ref(object);
    object_unref(&object);
    AUTO(json_free) struct json *again = object_parse(second);
    assert_true(json_equal(json, again));
    object_unref(&second);
}

static void test_refuses_what_has_no_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"{}", "[]", "\"x\"", "{\"metadata\":{\"name\":3}}",
                                      "{\"metadata\":{\"name\":\"\"}}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO(json_free) struct json *json = parse(bad[i]);
        struct object *object = NULL;
        assert_int_equal(object_create(json, &object, NULL), ERR_INVALID);
    }
}

static void test_hash_ignores_what_only_the_server_writes(void **state)
{
    (void)state;
    uint64_t plain = hash_of("{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":1,\"y\":[1,2]}}");

    assert_int_equal(
        plain, hash_of("{\"status\":{\"z\":1},\"spec\":{\"y\":[1,2],\"x\":1},\"metadata\":{"
                       "\"uid\":\"u\",\"resourceVersion\":\"9\",\"generation\":3,\"name\":\"a\","
                       "\"creationTimestamp\":\"t\",\"managedFields\":[{}]}}"));
    static const char *const edits[] = {
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":1,\"y\":[2,1]}}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":\"1\",\"y\":[1,2]}}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"y\":1,\"x\":[1,2]}}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":1,\"y\":[1,2],\"n\":null}}",
        "{\"metadata\":{\"name\":\"a\",\"labels\":{}},\"spec\":{\"x\":1,\"y\":[1,2]}}",
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"x\":1,\"y\":[[1,2]]}}",
        "{\"metadata\":{\"name\":\"a\"},\"data\":{\"x\":1,\"y\":[1,2]}}",
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        assert_int_not_equal(plain, hash_of(edits[i]));
}

/* What the cache keeps is text: what a number becomes in it counts. */
static void test_hash_of_a_number_is_that_of_its_text(void **state)
{
    (void)state;
    assert_int_equal(hash_of("{\"spec\":-0}"), hash_of("{\"spec\":0}"));
    assert_int_equal(hash_of("{\"spec\":1e999}"), hash_of("{\"spec\":null}"));
}

static void test_makes_an_object_with_its_names(void **state)
{
    (void)state;
    AUTO(json_free) struct json *child = object_new(&kube_services, "shop", "edge");
    AUTO(json_free)
    struct json *want = parse(
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"edge\",\"namespace\":"
        "\"shop\"}}");

    assert_true(json_equal(child, want));
    AUTO(json_free) struct json *wide = object_new(&kube_namespaces, "shop", "n");
    assert_string_equal(object_namespace(wide), "");
}

static void test_cuts_a_pod_down_to_what_is_asked_of_it(void **state)
{
    (void)state;
    AUTO(json_free)
    struct json *pod = parse(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"uid\":\"u\","
        "\"annotations\":{\"long\":\"x\"},\"labels\":{\"a\":\"b\"}},\"spec\":{\"nodeName\":\"n\","
        "\"containers\":[{}],\"volumes\":[]},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0."
        "1\","
        "\"hostIP\":\"h\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
        "\"containerStatuses\":[{\"name\":\"c\",\"image\":\"long\",\"restartCount\":2,"
        "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]}}");
    AUTO(json_free)
    struct json *want = parse(
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"uid\":\"u\","
        "\"labels\":{\"a\":\"b\"}},\"spec\":{\"nodeName\":\"n\"},\"status\":{\"phase\":\"Running\","
        "\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
        "\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":2,"
        "\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}}]}}");

    object_project_pod(pod);
    assert_true(json_equal(pod, want));
    assert_string_equal(object_condition(pod, "Ready"), "True");
    assert_string_equal(object_condition(pod, "Other"), "");
    AUTO(json_free) struct json *odd = parse("{\"metadata\":3,\"status\":[1]}");
    object_project_pod(odd); /* whatever comes */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_what_everybody_asks_for),
        cmocka_unit_test(test_refuses_what_has_no_name),
        cmocka_unit_test(test_hash_ignores_what_only_the_server_writes),
        cmocka_unit_test(test_hash_of_a_number_is_that_of_its_text),
        cmocka_unit_test(test_makes_an_object_with_its_names),
        cmocka_unit_test(test_cuts_a_pod_down_to_what_is_asked_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
