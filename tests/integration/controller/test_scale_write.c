/* Promise: replicas are written over what was judged and nothing else: a status that moved on does
 * not hold the step up, somebody else's number does. */
#include "tests/support/test.h"

#include "controller/reconcile/apply.h"
#include "tests/support/kube_script.h"

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define LIVE(version, replicas)                                                       \
    "{\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\"," \
    "\"uid\":\"u\",\"resourceVersion\":\"" version "\"},\"spec\":{\"replicas\":" replicas "}}"
#define GET "GET /apis/apps/v1/namespaces/shop/deployments/web HTTP"
#define SENT(version) \
    "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"spec\":{\"replicas\":4}}"
#define MOVED "{\"message\":\"the object has been modified\",\"reason\":\"Conflict\"}"

struct stand {
    struct kube_script script;
    struct store *store;
    atomic_bool leading;
    struct apply apply;
};

static void set_up(struct stand *stand, const struct http_step *steps, size_t count)
{
    kube_script_start(&stand->script, steps, count);
    stand->store = store_create("surgetank.dev/pipeline", NULL, NULL);
    atomic_store(&stand->leading, true);
    stand->apply = (struct apply){
        .client = stand->script.client, .store = stand->store, .leading = &stand->leading};
}

/* Whether all of the steps, and no more, were asked for. */
static void take_down(struct stand *stand, size_t requests)
{
    assert_int_equal(http_script_requests(stand->script.http), requests);
    store_destroy(&stand->store);
    kube_script_stop(&stand->script);
}

static void watch_brings(struct stand *stand, const char *text)
{
    AUTO(json_free) struct json *json = NULL;
    struct object *object = NULL;
    struct kube_sink sink = store_sink(stand->store);

    assert_ok(json_parse(bytes_from(text), 4096, &json, NULL));
    assert_ok(object_create(json, &object, NULL));
    sink.put(sink.context, &kube_deployments, object);
    object_unref(&object);
}

static enum err from_one_to_four(struct stand *stand, struct error *error)
{
    return apply_replicas(&stand->apply, &kube_deployments, "shop", "web", 1, 4, error);
}

static void test_writes_over_the_version_that_was_judged(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = SENT("7"), .status = 200, .body = "{}"},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    watch_brings(&stand, LIVE("7", "1"));
    assert_ok(from_one_to_four(&stand, NULL));
    take_down(&stand, 1);
}

static void test_asks_for_what_the_cache_does_not_have(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = GET, .status = 200, .body = LIVE("7", "1")},
        {.expect = SENT("7"), .status = 200, .body = "{}"},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    assert_ok(from_one_to_four(&stand, NULL));
    take_down(&stand, 2);
}

static void test_a_status_that_moves_on_does_not_hold_it_up(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = SENT("7"), .status = 409, .body = MOVED},
        {.expect = GET, .status = 200, .body = LIVE("8", "1")},
        {.expect = SENT("8"), .status = 409, .body = MOVED},
        {.expect = GET, .status = 200, .body = LIVE("9", "1")},
        {.expect = SENT("9"), .status = 200, .body = "{}"},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    watch_brings(&stand, LIVE("7", "1"));
    assert_ok(from_one_to_four(&stand, NULL));
    take_down(&stand, COUNT(steps));
}

static void test_never_writes_over_what_somebody_else_has_set(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = SENT("7"), .status = 409, .body = MOVED},
        {.expect = GET, .status = 200, .body = LIVE("8", "5")},
    };
    static struct stand stand;
    struct error error = {0};

    set_up(&stand, steps, COUNT(steps));
    watch_brings(&stand, LIVE("7", "1"));
    assert_int_equal(from_one_to_four(&stand, &error), ERR_CONFLICT);
    assert_string_equal(error.text, "scale Deployment web to 4: Deployment web has 5 replicas by "
                                    "now, and not 1");
    watch_brings(&stand, LIVE("8", "5"));
    assert_int_equal(from_one_to_four(&stand, NULL), ERR_CONFLICT); /* and asks nobody */
    take_down(&stand, COUNT(steps));
}

static void test_gives_up_where_it_is_always_too_late(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 409, .body = MOVED}, {.status = 200, .body = LIVE("8", "1")},
        {.status = 409, .body = MOVED}, {.status = 200, .body = LIVE("9", "1")},
        {.status = 409, .body = MOVED}, {.status = 200, .body = LIVE("10", "1")},
        {.status = 409, .body = MOVED},
    };
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    watch_brings(&stand, LIVE("7", "1"));
    assert_int_equal(from_one_to_four(&stand, NULL), ERR_CONFLICT);
    take_down(&stand, COUNT(steps));
}

static void test_what_is_gone_is_judged_again(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 404, .body = "{\"message\":\"not found\",\"reason\":\"NotFound\"}"}};
    static struct stand stand;

    set_up(&stand, steps, COUNT(steps));
    assert_int_equal(from_one_to_four(&stand, NULL), ERR_CONFLICT);
    atomic_store(&stand.leading, false);
    assert_int_equal(from_one_to_four(&stand, NULL), ERR_CLOSED);
    take_down(&stand, COUNT(steps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_over_the_version_that_was_judged),
        cmocka_unit_test(test_asks_for_what_the_cache_does_not_have),
        cmocka_unit_test(test_a_status_that_moves_on_does_not_hold_it_up),
        cmocka_unit_test(test_never_writes_over_what_somebody_else_has_set),
        cmocka_unit_test(test_gives_up_where_it_is_always_too_late),
        cmocka_unit_test(test_what_is_gone_is_judged_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
