/* Promise: a child that was edited by hand comes back, also where the edit and what we say can't
 * both be: a port of another number under the same name. */
#include "tests/support/test.h"

#include "controller/reconcile/apply.h"
#include "tests/support/kube_script.h"

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define LIVE(version, port)                                                                      \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":"  \
    "\"shop\",\"uid\":\"u\",\"resourceVersion\":\"" version "\",\"ownerReferences\":[{\"kind\":" \
    "\"TelemetryPipeline\",\"name\":\"p\",\"uid\":\"o\",\"controller\":true}]},\"spec\":{"       \
    "\"ports\":[{\"name\":\"otlp\",\"port\":" port "}]}}"
#define DESIRED                                                                                 \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":" \
    "\"shop\"},\"spec\":{\"ports\":[{\"name\":\"otlp\",\"port\":4317}]}}"
#define GET "GET /api/v1/namespaces/shop/services/web HTTP"
#define INVALID(what) \
    "{\"kind\":\"Status\",\"message\":\"" what "\",\"reason\":\"Invalid\",\"code\":422}"
#define REPLACES                                                               \
    "{\"spec\":{\"ports\":[{\"name\":\"otlp\",\"port\":4317}]},\"metadata\":{" \
    "\"resourceVersion\":\"7\"}}"

/* Applies DESIRED against the steps, all of which must be taken. */
static enum err apply_with(const struct http_step *steps, size_t count,
                           enum apply_outcome *ret_outcome, struct error *error)
{
    struct kube_script script;
    atomic_bool leading = true;
    AUTO(json_free) struct json *desired = NULL;
    struct store *store = store_create("surgetank.dev/pipeline", NULL, NULL);
    char path[DIFF_PATH_MAX];

    kube_script_start(&script, steps, count);
    const struct apply apply = {.client = script.client, .store = store, .leading = &leading};
    assert_ok(json_parse(bytes_from(DESIRED), 4096, &desired, NULL));
    enum err err = apply_object(&apply, "o", desired, ret_outcome, path, error);
    assert_int_equal(http_script_requests(script.http), count);
    kube_script_stop(&script);
    store_destroy(&store);
    return err;
}

static void test_a_list_that_clashes_with_ours_is_replaced(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = GET, .status = 200, .body = LIVE("7", "9999")},
        {.expect = "\"resourceVersion\":\"7\"", .status = 422, .body = INVALID("Duplicate value")},
        {.expect = REPLACES, .status = 200, .body = LIVE("8", "4317")},
        {.expect = "\"resourceVersion\":\"8\"", .status = 200, .body = LIVE("9", "4317")},
    };
    enum apply_outcome outcome = APPLY_SAME;
    struct error error = {0};

    if (apply_with(steps, COUNT(steps), &outcome, &error))
        fail_msg("%s", error.text);
    assert_int_equal(outcome, APPLY_CHANGED);
}

static void test_what_is_invalid_all_the_same_is_said_as_it_was(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = GET, .status = 200, .body = LIVE("7", "9999")},
        {.status = 422, .body = INVALID("no such thing")},
        {.expect = REPLACES, .status = 422, .body = INVALID("nor this")},
    };
    enum apply_outcome outcome = APPLY_SAME;
    struct error error = {0};

    assert_int_equal(apply_with(steps, COUNT(steps), &outcome, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "no such thing"));
}

static void test_what_does_not_clash_is_applied_once(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = GET, .status = 200, .body = LIVE("7", "9999")},
        {.expect = "\"resourceVersion\":\"7\"", .status = 200, .body = LIVE("8", "4317")},
    };
    enum apply_outcome outcome = APPLY_SAME;

    assert_ok(apply_with(steps, COUNT(steps), &outcome, NULL));
    assert_int_equal(outcome, APPLY_CHANGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_that_clashes_with_ours_is_replaced),
        cmocka_unit_test(test_what_is_invalid_all_the_same_is_said_as_it_was),
        cmocka_unit_test(test_what_does_not_clash_is_applied_once),
    };
    return cmocka_run_group_tests_name("apply_object", tests, NULL, NULL);
}
