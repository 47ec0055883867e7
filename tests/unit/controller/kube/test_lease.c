/* At most one leads, whoever's clock is wrong; and who has lost stops before another may start. */
#include "tests/support/test.h"

#include "common/kube/object.h"
#include "controller/kube/lease.h"

#include <stdio.h>

static void test_stands_by_until_the_record_has_not_changed_for_its_duration(void **state)
{
    (void)state;
    struct lease_view view = {
        .identity = "me", .exists = true, .holder = "other", .duration_ms = 15000, .seen_ms = 1000};
    assert_int_equal(lease_decide(&view, 1000), LEASE_WAIT);
    assert_int_equal(lease_decide(&view, 15999), LEASE_WAIT);
    assert_int_equal(lease_decide(&view, 16000), LEASE_TAKE);
    view.holder = "";
    assert_int_equal(lease_decide(&view, 1000), LEASE_TAKE);
    view.holder = "me"; /* from before a restart under the same name */
    assert_int_equal(lease_decide(&view, 1000), LEASE_TAKE);
    view.exists = false;
    assert_int_equal(lease_decide(&view, 1000), LEASE_CREATE);
}

static void test_leads_until_the_deadline_or_another_name(void **state)
{
    (void)state;
    struct lease_view view = {.identity = "me",
                              .exists = true,
                              .holder = "me",
                              .duration_ms = 15000,
                              .leading = true,
                              .renewed_ms = 5000};
    assert_int_equal(lease_decide(&view, 5000), LEASE_RENEW);
    assert_int_equal(lease_decide(&view, 14999), LEASE_RENEW);
    assert_int_equal(lease_decide(&view, 15000), LEASE_LOSE);
    view.holder = "other";
    assert_int_equal(lease_decide(&view, 5000), LEASE_LOSE);
    view.holder = "";
    assert_int_equal(lease_decide(&view, 5000), LEASE_TAKE);
    assert_int_equal(lease_decide(&view, 15000), LEASE_LOSE);
    view.exists = false;
    assert_int_equal(lease_decide(&view, 5000), LEASE_CREATE);
    assert_int_equal(lease_decide(&view, 15000), LEASE_LOSE);
}

/* Two electors, each with a clock of its own that starts anywhere, read and write one record with
 * optimistic locking; reads and writes are lost and delayed at random. */
struct elector {
    struct lease_view view;
    char holder[8], identity[8];
    uint64_t offset, seen_version, next_step;
};

static void test_never_has_two_leaders_whatever_is_lost_or_late(void **state)
{
    (void)state;
    struct elector electors[3] = {0};
    char holder[8] = "";
    uint64_t version = 1, terms = 0;
    uint32_t random = 7;

    for (unsigned i = 0; i < 3; i++) {
        snprintf(electors[i].identity, sizeof electors[i].identity, "e%u", i);
        electors[i].offset = 1000000ull * (i * i + 1);
        electors[i].next_step = i * 300;
    }
    for (uint64_t now = 0; now < 4000000; now += 100) {
        for (unsigned i = 0; i < 3; i++) {
            struct elector *e = &electors[i];
            uint64_t own = now + e->offset;
            random = random * 1664525u + 1013904223u;
            bool lost = (random >> 24) < 90;
            bool bad_times = (now / 60000) % 3 == i; /* then nearly everything is lost */
            if (bad_times && (random >> 16 & 7) != 0)
                lost = true;
            if (now < e->next_step)
                continue;
            e->next_step = now + 2000 + (random >> 20) % 400;

            if (!lost && e->seen_version != version) {
                snprintf(e->holder, sizeof e->holder, "%s", holder);
                e->seen_version = version;
                e->view.seen_ms = own;
            }
            e->view.identity = e->identity;
            e->view.exists = true;
            e->view.holder = e->holder;
            e->view.duration_ms = LEASE_DURATION_MS;
            switch (lease_decide(&e->view, own)) {
            case LEASE_LOSE:
                e->view.leading = false;
                break;
            case LEASE_TAKE:
            case LEASE_RENEW:
                if (lost || e->seen_version != version) /* a conflict */
                    break;
                terms += !e->view.leading;
                snprintf(holder, sizeof holder, "%s", e->identity);
                snprintf(e->holder, sizeof e->holder, "%s", e->identity);
                e->seen_version = ++version;
                e->view.seen_ms = own;
                if ((random >> 8 & 15) == 0)
                    break; /* written, but the answer was lost */
                e->view.leading = true;
                e->view.renewed_ms = own;
                break;
            case LEASE_CREATE:
            case LEASE_WAIT:
                break;
            }
        }
        unsigned leaders = 0;
        for (unsigned i = 0; i < 3; i++)
            leaders +=
                electors[i].view.leading &&
                now + electors[i].offset < electors[i].view.renewed_ms + LEASE_RENEW_DEADLINE_MS;
        assert_in_range(leaders, 0, 1);
    }
    assert_true(terms > 5); /* it did change hands */
}

static void test_writes_the_record_that_others_can_read(void **state)
{
    (void)state;
    const uint64_t at = 1795260000123456789u;
    AUTO(json_free) struct json *first = lease_record(NULL, "ns", "lead", "me", false, at);
    assert_string_equal(object_name(first), "lead");
    assert_string_equal(json_string(json_at(first, "spec.holderIdentity"), ""), "me");
    assert_string_equal(json_string(json_at(first, "spec.renewTime"), ""),
                        "2026-11-21T11:20:00.123456Z");
    assert_int_equal(json_int(json_at(first, "spec.leaseTransitions"), -1), 0);

    json_set_string(json_get(first, "metadata"), "resourceVersion", "5");
    AUTO(json_free)
    struct json *renewed = lease_record(first, "ns", "lead", "me", false, at + 1000000000u);
    assert_string_equal(object_resource_version(renewed), "5");
    assert_string_equal(json_string(json_at(renewed, "spec.acquireTime"), ""),
                        "2026-11-21T11:20:00.123456Z");
    AUTO(json_free) struct json *taken = lease_record(renewed, "ns", "lead", "you", false, at);
    assert_int_equal(json_int(json_at(taken, "spec.leaseTransitions"), -1), 1);
    AUTO(json_free) struct json *released = lease_record(taken, "ns", "lead", "you", true, at);
    assert_string_equal(json_string(json_at(released, "spec.holderIdentity"), "x"), "");
    assert_int_equal(json_int(json_at(released, "spec.leaseDurationSeconds"), 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stands_by_until_the_record_has_not_changed_for_its_duration),
        cmocka_unit_test(test_leads_until_the_deadline_or_another_name),
        cmocka_unit_test(test_never_has_two_leaders_whatever_is_lost_or_late),
        cmocka_unit_test(test_writes_the_record_that_others_can_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
