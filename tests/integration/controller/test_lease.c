/* The elector as an actor: what it asks the API server, and when it says that it leads. */
#include "tests/support/test.h"

#include "controller/kube/lease.h"
#include "tests/support/kube_script.h"

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

struct seen {
    _Atomic int led, lost, troubles;
};

static void on_leading(void *context)
{
    ((struct seen *)context)->led++;
}

static void on_lost(void *context)
{
    ((struct seen *)context)->lost++;
}

static void on_trouble(void *context, const struct error *error)
{
    (void)error;
    ((struct seen *)context)->troubles++;
}

static void run_script(const struct http_step *steps, size_t count, struct seen *seen,
                       struct kube_script *script)
{
    struct lease *lease = NULL;
    const struct lease_config config = {.namespace = "ns",
                                        .name = "lead",
                                        .identity = "me",
                                        .on_leading = on_leading,
                                        .on_lost = on_lost,
                                        .on_trouble = on_trouble,
                                        .context = seen};

    kube_script_start(script, steps, count);
    assert_ok(lease_create(&script->client, &config, &lease, NULL));
    assert_true(http_script_wait(script->http, count - 1));
    lease_destroy(&lease); /* the last step is what it says when it goes */
}

#define LEASE(holder, version)                                                             \
    "{\"metadata\":{\"name\":\"lead\",\"namespace\":\"ns\",\"resourceVersion\":\"" version \
    "\"},\"spec\":{\"holderIdentity\":\"" holder "\",\"leaseDurationSeconds\":15,"         \
    "\"leaseTransitions\":3}}"

static void test_makes_keeps_and_gives_back_the_lease(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "GET /apis/coordination.k8s.io/v1/namespaces/ns/leases/lead", .status = 404},
        {.expect = "POST ", .status = 201, .body = LEASE("me", "1")},
        {.expect = "\"resourceVersion\":\"1\"", .status = 200, .body = LEASE("me", "2")},
        {.expect = "\"holderIdentity\":\"\"", .status = 200, .body = LEASE("", "3")}};
    struct kube_script script;
    struct seen seen = {0};

    run_script(steps, COUNT(steps), &seen, &script);
    assert_int_equal(seen.led, 1);
    assert_int_equal(seen.lost, 1);
    assert_int_equal(seen.troubles, 0);
    kube_script_stop(&script);
}

static void test_is_lost_when_another_name_is_in_it(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "GET ", .status = 200, .body = LEASE("", "1")},
        {.expect = "PUT ", .status = 200, .body = LEASE("me", "2")},
        {.expect = "PUT ", .status = 409, .body = "{\"reason\":\"Conflict\",\"message\":\"m\"}"},
        {.expect = "GET ", .status = 200, .body = LEASE("other", "9")},
        {.status = 200}};
    struct kube_script script;
    struct seen seen = {0};

    run_script(steps, COUNT(steps), &seen, &script);
    assert_int_equal(seen.led, 1);
    assert_int_equal(seen.lost, 1);
    assert_int_equal(http_script_requests(script.http), 4); /* nothing is given back */
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makes_keeps_and_gives_back_the_lease),
        cmocka_unit_test(test_is_lost_when_another_name_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
