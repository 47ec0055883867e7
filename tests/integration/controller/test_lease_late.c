/* Whoever was held up while it renewed the lease has lost it, although the renewal went through: by
 * then another may lead. */
#include "tests/support/test.h"

#include "controller/kube/lease.h"
#include "tests/support/fake_clock.h"
#include "tests/support/kube_script.h"

// link: tests/support/http_script.c tests/support/kube_script.c tests/support/fake_clock.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define LEASE(holder, version)                                                             \
    "{\"metadata\":{\"name\":\"lead\",\"namespace\":\"ns\",\"resourceVersion\":\"" version \
    "\"},\"spec\":{\"holderIdentity\":\"" holder "\",\"leaseDurationSeconds\":15,"         \
    "\"leaseTransitions\":3}}"

struct seen {
    _Atomic int led, lost;
};

static void on_leading(void *context)
{
    ((struct seen *)context)->led++;
}

static void on_lost(void *context)
{
    ((struct seen *)context)->lost++;
}

static void test_a_renewal_that_took_too_long_is_a_loss(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "GET ", .status = 200, .body = LEASE("", "1")},
        {.expect = "PUT ", .status = 200, .body = LEASE("me", "2")},
        {.expect = "PUT ", .status = 200, .body = LEASE("me", "3"), .delay_ms = 2000},
        {.expect = "GET ", .status = 200, .body = LEASE("other", "4")}};
    struct kube_script script;
    struct seen seen = {0};
    struct lease *lease = NULL;
    const struct lease_config config = {.namespace = "ns",
                                        .name = "lead",
                                        .identity = "me",
                                        .on_leading = on_leading,
                                        .on_lost = on_lost,
                                        .context = &seen};

    fake_clock_set_ms(1000); /* long ago: nothing is waited for between the steps */
    kube_script_start(&script, steps, COUNT(steps));
    assert_ok(lease_create(&script.client, &config, &lease, NULL));
    assert_true(http_script_wait(script.http, 3));
    fake_clock_set_ms(1000 + LEASE_RENEW_DEADLINE_MS); /* before the answer, unless we are late */
    assert_true(http_script_wait(script.http, COUNT(steps)));
    assert_int_equal(seen.led, 1);
    assert_int_equal(seen.lost, 1);
    lease_destroy(&lease);
    assert_int_equal(seen.lost, 1);
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_renewal_that_took_too_long_is_a_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
