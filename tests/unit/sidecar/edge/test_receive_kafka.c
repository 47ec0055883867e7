/* Promise: requests that wait for Kafka are told that it is away when nothing was acknowledged for
 * twice the patience, not before, and new ones after once. */
// link: tests/support/fake_clock.c
#include "tests/support/test.h"

#include "sidecar/edge/receive_kafka.h"
#include "tests/support/fake_clock.h"

enum { PATIENCE_MS = 4000, CALLS = 3 };

static struct scene {
    struct net_loop *loop;
    struct receive_kafka kafka;
    struct receive_kafka_call calls[CALLS];
    unsigned given_up[CALLS];
} scene;

static void on_give_up(struct receive_kafka_call *call)
{
    scene.given_up[call - scene.calls]++;
}

static void pass_to(uint64_t now_ms)
{
    fake_clock_set_ms(now_ms);
    net_loop_run_once(scene.loop, 0);
}

static int enter(void **state)
{
    (void)state;
    scene = (struct scene){.loop = NULL};
    fake_clock_set_ms(1000);
    assert_ok(net_loop_create(&scene.loop, NULL));
    receive_kafka_init(&scene.kafka, scene.loop, PATIENCE_MS, on_give_up);
    return 0;
}

static int leave(void **state)
{
    (void)state;
    receive_kafka_fini(&scene.kafka);
    net_loop_destroy(&scene.loop);
    return 0;
}

static void test_gives_up_who_waits_after_twice_the_patience(void **state)
{
    (void)state;
    receive_kafka_began(&scene.kafka, &scene.calls[0]);
    receive_kafka_began(&scene.kafka, &scene.calls[1]);
    pass_to(1000 + PATIENCE_MS);
    assert_false(receive_kafka_is_away(&scene.kafka));
    pass_to(1001 + PATIENCE_MS);
    assert_true(receive_kafka_is_away(&scene.kafka));
    pass_to(1000 + 2 * PATIENCE_MS);
    assert_int_equal(scene.given_up[0], 0);
    pass_to(1001 + 2 * PATIENCE_MS);
    assert_int_equal(scene.given_up[0], 1);
    assert_int_equal(scene.given_up[1], 1);

    /* The spool has them still: what comes would be stored in vain. */
    assert_true(receive_kafka_is_away(&scene.kafka));
    receive_kafka_ended(&scene.kafka, &scene.calls[0], true);
    assert_false(receive_kafka_is_away(&scene.kafka));
    receive_kafka_ended(&scene.kafka, &scene.calls[1], true);
    pass_to(100 * PATIENCE_MS);
    assert_false(receive_kafka_is_away(&scene.kafka));
    assert_int_equal(scene.given_up[0], 1);
}

static void test_gives_nobody_up_while_any_are_acknowledged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS; i++)
        receive_kafka_began(&scene.kafka, &scene.calls[i]);
    pass_to(1000 + 2 * PATIENCE_MS);
    receive_kafka_ended(&scene.kafka, &scene.calls[1], true); /* from the middle */
    pass_to(1001 + 2 * PATIENCE_MS);
    pass_to(1000 + 4 * PATIENCE_MS);
    assert_int_equal(scene.given_up[0] + scene.given_up[1] + scene.given_up[2], 0);
    receive_kafka_ended(&scene.kafka, &scene.calls[0], false);
    pass_to(1001 + 4 * PATIENCE_MS);
    assert_int_equal(scene.given_up[0] + scene.given_up[1], 0);
    assert_int_equal(scene.given_up[2], 1);
    receive_kafka_ended(&scene.kafka, &scene.calls[2], false);
}

static void test_gives_up_sooner_when_the_edge_is_about_to_stop(void **state)
{
    (void)state;
    receive_kafka_began(&scene.kafka, &scene.calls[0]);
    pass_to(2000);
    receive_kafka_hurry(&scene.kafka);
    receive_kafka_began(&scene.kafka, &scene.calls[1]); /* it was on its way */
    pass_to(2000 + PATIENCE_MS);
    assert_int_equal(scene.given_up[0] + scene.given_up[1], 0);
    pass_to(2001 + PATIENCE_MS);
    assert_int_equal(scene.given_up[0], 1);
    assert_int_equal(scene.given_up[1], 1);
    receive_kafka_ended(&scene.kafka, &scene.calls[0], false);
    receive_kafka_ended(&scene.kafka, &scene.calls[1], false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gives_up_who_waits_after_twice_the_patience, enter,
                                        leave),
        cmocka_unit_test_setup_teardown(test_gives_nobody_up_while_any_are_acknowledged, enter,
                                        leave),
        cmocka_unit_test_setup_teardown(test_gives_up_sooner_when_the_edge_is_about_to_stop, enter,
                                        leave),
    };
    return cmocka_run_group_tests_name("receive_kafka", tests, NULL, NULL);
}
