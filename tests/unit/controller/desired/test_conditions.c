/* The conditions tell what is not well, what that means, and what to do about it; and they follow
 * kstatus: Reconciling and Stalled are there only while they are true.
 */
#include "controller/desired/conditions.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static struct pipeline_status *well(void)
{
    struct pipeline_status *status = calloc(1, sizeof *status);

    assert_non_null(status);
    status->topic_count = 1;
    status->topics[0] = (struct topic_status){
        .name = "traces", .topic = "t", .state = "Ready", .usable = true, .settled = true};
    status->edge_count = 1;
    status->edges[0] = (struct edge_status){
        .name = "edge", .exists = true, .desired = 2, .ready = 2, .updated = 2};
    status->gateway_count = 1;
    status->gateways[0] = (struct gateway_status){.name = "tempo",
                                                  .exists = true,
                                                  .replicas = 1,
                                                  .ready = 1,
                                                  .updated = 1,
                                                  .wanted = 1,
                                                  .backend = "Up",
                                                  .scaling_known = true,
                                                  .reason = "Steady"};
    return status;
}

static void free_status(struct pipeline_status **status)
{
    free(*status);
}

static const struct condition *judge(struct pipeline_status *status, const char *type)
{
    const struct pipeline pipeline = {.name = "shop"};

    conditions_judge(&pipeline, status);
    return condition_find(&status->conditions, type);
}

static void test_is_ready_when_all_parts_are(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
    assert_null(condition_find(&status->conditions, CONDITION_RECONCILING));
    assert_null(condition_find(&status->conditions, CONDITION_STALLED));
    assert_int_equal(judge(status, CONDITION_SCALING_ACTIVE)->status, CONDITION_TRUE);
}

static void test_says_why_a_pod_is_not_ready(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->edges[0].ready = 1;
    snprintf(status->edges[0].problem, sizeof status->edges[0].problem,
             "Pod shop-edge-0 has no node: no disk");
    const struct condition *ready = judge(status, CONDITION_READY);
    assert_int_equal(ready->status, CONDITION_FALSE);
    assert_string_equal(ready->reason, "PodsFailing");
    assert_non_null(strstr(ready->message, "1 of 2 pods are ready. Pod shop-edge-0 has no node"));
    assert_non_null(condition_find(&status->conditions, CONDITION_RECONCILING));
}

static void test_says_what_a_pod_that_is_ready_does_without(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    snprintf(status->edges[0].remark, sizeof status->edges[0].remark,
             "Pod shop-edge-0 can't ask for kubernetesMetadata: forbidden");
    const struct condition *edges = judge(status, CONDITION_EDGES_READY);
    assert_int_equal(edges->status, CONDITION_TRUE);
    assert_string_equal(edges->reason, "MetadataMissing");
    assert_non_null(strstr(edges->message, "takes everything"));
    assert_non_null(strstr(edges->message, "forbidden"));
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
}

static void test_calls_a_topic_of_others_ready_and_says_so(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->topics[0].state = "TopicExists";
    const struct condition *topics = judge(status, CONDITION_TOPICS_READY);
    assert_int_equal(topics->status, CONDITION_TRUE);
    assert_string_equal(topics->reason, "TopicExists");
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
}

static void test_tells_the_gravest_of_several_topics(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->topic_count = 3;
    status->topics[1] =
        (struct topic_status){.state = "TopicExists", .usable = true, .settled = true};
    status->topics[2] = (struct topic_status){.state = "Unreachable"};
    assert_string_equal(judge(status, CONDITION_TOPICS_READY)->reason, "Unreachable");
    assert_int_equal(judge(status, CONDITION_TOPICS_READY)->status, CONDITION_FALSE);
    status->topics[2] = (struct topic_status){0};
    assert_int_equal(judge(status, CONDITION_TOPICS_READY)->status, CONDITION_UNKNOWN);
}

static void test_is_stalled_where_only_a_person_can_help(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->topics[0].state = "ShrinkRefused";
    status->topics[0].settled = false;
    assert_non_null(judge(status, CONDITION_STALLED));
    assert_null(condition_find(&status->conditions, CONDITION_RECONCILING));
}

static void test_names_a_backend_that_takes_nothing(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->gateways[0].backend = "Down";
    snprintf(status->gateways[0].backend_error, sizeof status->gateways[0].backend_error,
             "connection refused");
    const struct condition *ready = judge(status, CONDITION_READY);
    assert_string_equal(ready->reason, "BackendDown");
    assert_non_null(strstr(ready->message, "connection refused"));
}

static void test_stays_ready_while_it_scales_up(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->gateways[0].wanted = 6;
    status->gateways[0].replicas = 6;
    status->gateways[0].updated = 6;
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
    status->gateways[0].ready = 0;
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_FALSE);
}

static void test_is_ready_at_zero_replicas(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->gateways[0].wanted = 0;
    status->gateways[0].replicas = 0;
    status->gateways[0].updated = 0;
    status->gateways[0].ready = 0;
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
}

static void test_holds_scaling_with_the_reason(void **state)
{
    (void)state;
    AUTO(free_status) struct pipeline_status *status = well();

    status->gateways[0].scaling_held = true;
    status->gateways[0].reason = "Rebalancing";
    const struct condition *scaling = judge(status, CONDITION_SCALING_ACTIVE);
    assert_int_equal(scaling->status, CONDITION_FALSE);
    assert_string_equal(scaling->reason, "Rebalancing");
    assert_int_equal(judge(status, CONDITION_READY)->status, CONDITION_TRUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_ready_when_all_parts_are),
        cmocka_unit_test(test_says_why_a_pod_is_not_ready),
        cmocka_unit_test(test_says_what_a_pod_that_is_ready_does_without),
        cmocka_unit_test(test_calls_a_topic_of_others_ready_and_says_so),
        cmocka_unit_test(test_tells_the_gravest_of_several_topics),
        cmocka_unit_test(test_is_stalled_where_only_a_person_can_help),
        cmocka_unit_test(test_names_a_backend_that_takes_nothing),
        cmocka_unit_test(test_stays_ready_while_it_scales_up),
        cmocka_unit_test(test_is_ready_at_zero_replicas),
        cmocka_unit_test(test_holds_scaling_with_the_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
