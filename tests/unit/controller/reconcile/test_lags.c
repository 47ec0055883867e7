/* Promise: each group of a pipeline is watched once, as what it is: whose members are ours, and
 * whether it sleeps, whatever is looked at in between. */
// link: tests/support/script_observer.c
#include "controller/reconcile/lags.h"

#include "tests/support/script_observer.h"
#include "tests/support/test.h"

#include <string.h>

static struct pipeline_topic topic = {.name = "t", .topic = "t"};
static const struct pipeline_topic *from[] = {&topic};
static struct pipeline_gateway gateways[] = {
    {.name = "one", .group_id = "g1", .from = from, .from_count = 1},
    {.name = "two", .group_id = "g2", .from = from, .from_count = 1},
};
static struct pipeline pipeline;
static const struct kafka_access access = {0};

static struct lags *begin(void)
{
    memset(script_groups, 0, sizeof script_groups);
    pipeline = (struct pipeline){.name = "shop",
                                 .namespace = "ns",
                                 .uid = "6f1c-1",
                                 .gateways = gateways,
                                 .gateway_count = 2};
    return lags_create(NULL);
}

static void want(struct lags *lags)
{
    assert_ok(lags_want(lags, "ns/shop", &pipeline, "kafka", &access, NULL));
}

static void test_who_sleeps_goes_on_sleeping_over_the_next_look_at_kafka(void **state)
{
    (void)state;
    AUTO(lags_destroy) struct lags *lags = begin();

    want(lags);
    lags_set_asleep(lags, "ns/shop", &pipeline, &gateways[0], true);
    assert_true(script_group("g1")->asleep);
    want(lags);
    want(lags);
    assert_true(script_group("g1")->asleep);
    assert_false(script_group("g2")->asleep);
    lags_set_asleep(lags, "ns/shop", &pipeline, &gateways[0], false);
    want(lags);
    assert_false(script_group("g1")->asleep);
}

/* The same manifests in a second cluster differ in nothing but the uid. */
static void test_knows_members_of_another_pipeline_of_that_name(void **state)
{
    (void)state;
    AUTO(lags_destroy) struct lags *lags = begin();
    AUTO(arena_fini) struct arena arena = {0};

    want(lags);
    const char *prefix = script_group("g1")->client_prefix;
    const char *ours = pipeline_member_id(&pipeline, &gateways[0], &arena);
    assert_memory_equal(ours, prefix, strlen(prefix));
    pipeline.uid = "6f1c-2";
    const char *theirs = pipeline_member_id(&pipeline, &gateways[0], &arena);
    assert_int_not_equal(strncmp(theirs, prefix, strlen(prefix)), 0);
    assert_int_not_equal(strncmp("rdkafka", prefix, strlen(prefix)), 0);
}

static void test_forgets_what_is_not_wanted_any_more(void **state)
{
    (void)state;
    AUTO(lags_destroy) struct lags *lags = begin();

    want(lags);
    pipeline.gateway_count = 1;
    want(lags);
    assert_non_null(script_group("g1"));
    assert_null(script_group("g2"));
    lags_forget(lags, "ns/shop");
    assert_null(script_group("g1"));
    assert_int_equal(script_observers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_sleeps_goes_on_sleeping_over_the_next_look_at_kafka),
        cmocka_unit_test(test_knows_members_of_another_pipeline_of_that_name),
        cmocka_unit_test(test_forgets_what_is_not_wanted_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
