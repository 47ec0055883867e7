/* What the controller promises of a changed document: few pods first, more only while those that
 * have it are well, stopped with the reason when one is not, and everybody in the end. Fifty pods
 * are played here; they take a candidate when the ConfigMap and their names say so. */
#include "tests/support/test.h"

#include "common/contract/pipeline_live.h"
#include "controller/desired/rollout.h"

#include <stdio.h>
#include <string.h>

enum { PODS = 200, ROUNDS_MAX = 40 };

static char names[PODS][32];

struct fleet {
    struct rollout_pod pods[PODS];
    struct rollout_input input;
    struct desired_rollout rollout;
    struct rollout_status status;
};

static void init(struct fleet *fleet)
{
    *fleet = (struct fleet){.input = {.want = "new",
                                      .generation = 2,
                                      .current = "old",
                                      .pods = fleet->pods,
                                      .pod_count = PODS}};
    for (int i = 0; i < PODS; i++) {
        snprintf(names[i], sizeof names[i], "shop-edge-%d", i);
        fleet->pods[i] = (struct rollout_pod){.name = names[i],
                                              .known = true,
                                              .generation = 1,
                                              .taken_seconds = 1000,
                                              .refused = "",
                                              .backend = ROLLOUT_BACKEND_UP,
                                              .backend_error = ""};
    }
}

static void decide(struct fleet *fleet)
{
    rollout_decide(&fleet->input, &fleet->rollout, &fleet->status);
    /* What is decided is what the ConfigMap says in the next round. */
    fleet->input.current = fleet->rollout.current != NULL ? "old" : "new";
    fleet->input.candidate = fleet->rollout.candidate ? "new" : NULL;
    fleet->input.percent = fleet->rollout.percent;
}

static unsigned have(const struct fleet *fleet)
{
    unsigned count = 0;
    for (int i = 0; i < PODS; i++)
        count += fleet->pods[i].generation == fleet->input.generation;
    return count;
}

/* Kubelet brings it, and pods follow. */
static void follow(struct fleet *fleet, int64_t seconds)
{
    for (int i = 0; i < PODS; i++) {
        struct rollout_pod *pod = &fleet->pods[i];
        bool takes = strcmp(fleet->input.current, "new") == 0 ||
                     (fleet->input.candidate != NULL &&
                      pipeline_takes_candidate(pod->name, fleet->input.percent));
        if (takes && pod->generation != 2 && pod->refused[0] == '\0') {
            pod->generation = 2;
            pod->taken_seconds = 0;
        } else {
            pod->taken_seconds += seconds;
        }
    }
}

static void test_goes_to_few_then_more_then_all(void **state)
{
    (void)state;
    struct fleet fleet;
    unsigned seen[8] = {0}, steps = 0, before = 0;

    init(&fleet);
    for (int i = 0; i < ROUNDS_MAX && strcmp(fleet.input.current, "new") != 0; i++) {
        decide(&fleet);
        if (fleet.rollout.candidate && fleet.rollout.percent != before) {
            before = fleet.rollout.percent;
            seen[steps++] = before;
            assert_string_equal(fleet.status.reason, "RollingOut");
        }
        assert_in_range(have(&fleet), 0, PODS * (before == 0 ? 100 : before + 15) / 100);
        follow(&fleet, 6);
    }
    assert_string_equal(fleet.input.current, "new");
    assert_null(fleet.status.reason);
    assert_int_equal(have(&fleet), PODS);
    assert_int_equal(steps, 3);
    assert_int_equal(seen[0], 5);
    assert_int_equal(seen[1], 25);
    assert_int_equal(seen[2], 100);
}

static void test_waits_for_pods_that_do_not_answer_or_have_it_for_too_short(void **state)
{
    (void)state;
    struct fleet fleet;

    init(&fleet);
    decide(&fleet);
    for (int i = 0; i < 5; i++) {
        decide(&fleet); /* nobody has it yet */
        assert_int_equal(fleet.rollout.percent, 5);
    }
    follow(&fleet, 0);
    decide(&fleet);
    assert_int_equal(fleet.rollout.percent, 5); /* just now */
    follow(&fleet, ROLLOUT_WELL_S);
    decide(&fleet);
    assert_int_equal(fleet.rollout.percent, 25);
}

static void test_stops_at_a_pod_that_refuses_and_says_why(void **state)
{
    (void)state;
    struct fleet fleet;

    init(&fleet);
    for (int i = 0; i < PODS; i++)
        fleet.pods[i].refused = "Secret 'x' is not there";
    for (int i = 0; i < 5; i++) {
        decide(&fleet);
        follow(&fleet, 60);
    }
    assert_int_equal(fleet.rollout.percent, 5);
    assert_string_equal(fleet.rollout.current, "old");
    assert_true(fleet.status.held);
    assert_string_equal(fleet.status.reason, "ConfigRefused");
    assert_non_null(strstr(fleet.status.sentence, "Secret 'x' is not there"));
    assert_int_equal(have(&fleet), 0);

    fleet.input.want = "newer"; /* mended: from the beginning */
    rollout_decide(&fleet.input, &fleet.rollout, &fleet.status);
    assert_int_equal(fleet.rollout.percent, 5);
    assert_string_equal(fleet.status.reason, "RollingOut");
    fleet.input.want = "old"; /* called off */
    rollout_decide(&fleet.input, &fleet.rollout, &fleet.status);
    assert_false(fleet.rollout.candidate);
    assert_null(fleet.status.reason);
}

static void test_stops_at_a_backend_that_takes_nothing_any_more(void **state)
{
    (void)state;
    struct fleet fleet;

    init(&fleet);
    decide(&fleet);
    follow(&fleet, 60);
    follow(&fleet, 60);
    for (int i = 0; i < PODS; i++)
        if (fleet.pods[i].generation == 2) {
            fleet.pods[i].backend = ROLLOUT_BACKEND_DOWN;
            fleet.pods[i].backend_error = "404 Not Found";
        }
    decide(&fleet);
    assert_string_equal(fleet.status.reason, "ConfigUnhealthy");
    assert_non_null(strstr(fleet.status.sentence, "404 Not Found"));
    assert_int_equal(fleet.rollout.percent, 5);

    /* With nobody's backend up it may be what mends it. */
    for (int i = 0; i < PODS; i++)
        fleet.pods[i].backend = ROLLOUT_BACKEND_DOWN;
    decide(&fleet);
    assert_int_equal(fleet.rollout.percent, 25);
}

static void test_is_at_once_where_steps_have_no_meaning(void **state)
{
    (void)state;
    struct fleet fleet;

    init(&fleet);
    fleet.input.must_start = true; /* Kubernetes replaces the pods */
    decide(&fleet);
    assert_false(fleet.rollout.candidate);
    assert_null(fleet.rollout.current);

    init(&fleet);
    fleet.input.same_program = true; /* replicas, another gateway, ... */
    decide(&fleet);
    assert_false(fleet.rollout.candidate);

    init(&fleet);
    fleet.input.pod_count = 0;
    decide(&fleet);
    assert_false(fleet.rollout.candidate);

    init(&fleet);
    fleet.input.pod_count = 1; /* one pod: one step, but judged */
    decide(&fleet);
    assert_true(fleet.rollout.candidate);
    assert_true(pipeline_takes_candidate(names[0], fleet.rollout.percent));
    follow(&fleet, 0);
    follow(&fleet, ROLLOUT_WELL_S);
    decide(&fleet);
    assert_false(fleet.rollout.candidate);
}

static void test_stays_where_it_is_while_paused(void **state)
{
    (void)state;
    struct fleet fleet;

    init(&fleet);
    decide(&fleet);
    fleet.input.paused = true;
    for (int i = 0; i < 3; i++) {
        follow(&fleet, 60);
        decide(&fleet);
        assert_int_equal(fleet.rollout.percent, 5);
        assert_string_equal(fleet.status.reason, "RolloutPaused");
    }
    fleet.input.must_start = true; /* nor is anything put in place of `current` */
    decide(&fleet);
    assert_string_equal(fleet.rollout.current, "old");
    fleet.input.want = "newer";
    decide(&fleet);
    assert_int_equal(fleet.rollout.percent, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_to_few_then_more_then_all),
        cmocka_unit_test(test_waits_for_pods_that_do_not_answer_or_have_it_for_too_short),
        cmocka_unit_test(test_stops_at_a_pod_that_refuses_and_says_why),
        cmocka_unit_test(test_stops_at_a_backend_that_takes_nothing_any_more),
        cmocka_unit_test(test_is_at_once_where_steps_have_no_meaning),
        cmocka_unit_test(test_stays_where_it_is_while_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
