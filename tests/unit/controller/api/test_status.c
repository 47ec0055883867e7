/* A status is calm: it asks to be written at once only when something happened that a person or a
 * machine waits for, and a condition's time moves only with its status.
 */
#include "controller/api/status.h"

#include "tests/support/test.h"

#include <stdlib.h>

#define NOON  "2026-11-21T12:00:00Z"
#define LATER "2026-11-21T12:05:00Z"

static struct pipeline_status *sample(void)
{
    struct pipeline_status *status = calloc(1, sizeof *status);

    assert_non_null(status);
    status->observed_generation = 3;
    condition_put(&status->conditions, CONDITION_READY, CONDITION_TRUE, "Ready", "all is well");
    status->topic_count = 1;
    status->topics[0] = (struct topic_status){.name = "traces",
                                              .topic = "obs.shop.traces",
                                              .state = "Ready",
                                              .made = "Created",
                                              .topic_id = "abc",
                                              .partitions = 12};
    status->edge_count = 1;
    status->edges[0] = (struct edge_status){.name = "edge", .desired = 2, .ready = 2, .updated = 2};
    status->gateway_count = 1;
    status->gateways[0] = (struct gateway_status){.name = "tempo",
                                                  .group_id = "obs.shop.tempo",
                                                  .replicas = 3,
                                                  .ready = 3,
                                                  .wanted = 3,
                                                  .lag_known = true,
                                                  .lag_messages = 12345,
                                                  .lag_seconds = -1,
                                                  .drain_seconds = 0,
                                                  .time_to_loss_seconds = -1,
                                                  .capacity = 1234.5,
                                                  .dead_letters = -1,
                                                  .reason = "Steady"};
    return status;
}

static void free_status(struct pipeline_status **status)
{
    free(*status);
}

static const struct json *gateway_of(const struct json *json)
{
    return json_first(json_get(json, "gateways"));
}

static void test_rounds_what_moves_and_leaves_out_what_is_not_known(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *json = status_to_json(status, NULL, NOON);

    assert_int_equal(json_int(json_get(gateway_of(json), "lagMessages"), 0), 12000);
    assert_int_equal(json_int(json_get(gateway_of(json), "capacityPerReplica"), 0), 1200);
    assert_int_equal(json_int(json_get(gateway_of(json), "drainSeconds"), -1), 0);
    assert_null(json_get(gateway_of(json), "lagSeconds"));
    assert_null(json_get(gateway_of(json), "deadLetters"));
    assert_int_equal(status_round(99), 99);
    assert_int_equal(status_round(0), 0);
    assert_int_equal(status_round(1999), 1900);
}

static void test_says_nothing_when_nothing_changed(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);

    status->gateways[0].lag_messages = 12399;
    AUTO(json_free) struct json *now = status_to_json(status, old, LATER);
    assert_int_equal(status_judge(old, now), STATUS_KEEP);
}

static void test_writes_moving_numbers_later(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);

    status->gateways[0].lag_messages = 55555;
    status->edges[0].generation = 1;
    condition_put(&status->conditions, CONDITION_READY, CONDITION_TRUE, "Ready", "1 of 2");
    AUTO(json_free) struct json *now = status_to_json(status, old, LATER);
    assert_int_equal(status_judge(old, now), STATUS_LATER);
}

/* Each change of a condition, of the wanted replicas or of a topic is told at once. */
static void test_writes_what_people_wait_for_at_once(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);

    assert_int_equal(status_judge(NULL, old), STATUS_NOW);
    status->gateways[0].wanted = 4;
    AUTO(json_free) struct json *wanted = status_to_json(status, old, LATER);
    assert_int_equal(status_judge(old, wanted), STATUS_NOW);

    status->gateways[0].wanted = 3;
    status->topics[0].made = "Intended";
    AUTO(json_free) struct json *made = status_to_json(status, old, LATER);
    assert_int_equal(status_judge(old, made), STATUS_NOW);

    status->topics[0].made = "Created";
    condition_put(&status->conditions, CONDITION_READY, CONDITION_FALSE, "PodsNotReady", "1 of 2");
    AUTO(json_free) struct json *condition = status_to_json(status, old, LATER);
    assert_int_equal(status_judge(old, condition), STATUS_NOW);

    AUTO(free_status) struct pipeline_status *next = sample();
    next->observed_generation = 4;
    AUTO(json_free) struct json *generation = status_to_json(next, old, LATER);
    assert_int_equal(status_judge(old, generation), STATUS_NOW);
}

static const char *transition_of(const struct json *json)
{
    return json_string(json_get(json_first(json_get(json, "conditions")), "lastTransitionTime"),
                       "");
}

static void test_moves_a_conditions_time_only_with_its_status(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);

    condition_put(&status->conditions, CONDITION_READY, CONDITION_TRUE, "Other", "still well");
    AUTO(json_free) struct json *same = status_to_json(status, old, LATER);
    assert_string_equal(transition_of(same), NOON);
    condition_put(&status->conditions, CONDITION_READY, CONDITION_FALSE, "Other", "not well");
    AUTO(json_free) struct json *moved = status_to_json(status, same, LATER);
    assert_string_equal(transition_of(moved), LATER);
}

static void test_remembers_capacity_and_wanted_replicas_over_a_restart(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);
    double capacity = 0;
    int64_t wanted = 0;

    status_remember_gateway(old, "tempo", &capacity, &wanted);
    assert_int_equal((int64_t)capacity, 1200);
    assert_int_equal(wanted, 3);
    status_remember_gateway(old, "unknown", &capacity, &wanted);
    assert_int_equal((int64_t)capacity, 0);
    assert_int_equal(wanted, -1);
}

static void test_keeps_the_lists_when_a_document_can_not_be_read(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = sample();
    AUTO(json_free) struct json *old = status_to_json(status, NULL, NOON);
    struct condition_set conditions = {0};

    condition_put(&conditions, CONDITION_READY, CONDITION_FALSE, "InvalidSpec", "is wrong");
    AUTO(json_free) struct json *now = status_of_conditions(&conditions, 4, old, LATER);
    assert_int_equal(json_int(json_get(now, "observedGeneration"), 0), 4);
    assert_true(json_equal(json_get(now, "topics"), json_get(old, "topics")));
    assert_int_equal(status_judge(old, now), STATUS_NOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds_what_moves_and_leaves_out_what_is_not_known),
        cmocka_unit_test(test_says_nothing_when_nothing_changed),
        cmocka_unit_test(test_writes_moving_numbers_later),
        cmocka_unit_test(test_writes_what_people_wait_for_at_once),
        cmocka_unit_test(test_moves_a_conditions_time_only_with_its_status),
        cmocka_unit_test(test_remembers_capacity_and_wanted_replicas_over_a_restart),
        cmocka_unit_test(test_keeps_the_lists_when_a_document_can_not_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
