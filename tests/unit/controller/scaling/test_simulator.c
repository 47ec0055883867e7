/* Promise: against a group of consumers that behaves like one (replicas start slowly, rebalance,
 * and share a backend), scaling drains what builds up, comes to rest, and does not flap with noise.
 */
#include "tests/support/test.h"

#include "controller/scaling/scaling.h"

#include <math.h>
#include <stdio.h>

#define TICK_MS      2000u
#define START_MS     12000u /* from /scale to ready */
#define REBALANCE_MS 4000u

/* One gateway and its group. The backlog lies evenly on the partitions; a replica's share follows
 * from the partitions it has, and the group is as fast as its busiest members let it be. */
struct world {
    struct scaling_settings settings;
    struct scaling_memory memory;
    double per_replica, backend_limit; /* messages per second */
    double arrival, noise;             /* noise: of the arrival, 0.1 is +-10 % */
    double lag, arrival_seen, consume_seen;
    uint32_t replicas, ready;
    uint64_t now_ms, changed_ms;
    uint32_t random;
    struct scaling_decision last;
    unsigned ups, downs;
    uint32_t replicas_most;
};

static double noise(struct world *world)
{
    world->random = world->random * 1664525u + 1013904223u;
    return 1 + world->noise * ((double)(world->random >> 8) / (1 << 23) - 1);
}

/* What the group can do when the busiest replica has ceil(P/r) of P partitions. */
static double throughput(const struct world *world)
{
    uint32_t p = world->settings.partitions, r = world->ready;
    if (r == 0 || world->now_ms - world->changed_ms < START_MS + REBALANCE_MS)
        return r == 0 ? 0 : world->per_replica * r / 2;
    double rate = world->per_replica * p / (double)((p + r - 1) / r);
    return fmin(rate, world->backend_limit);
}

static void tick(struct world *world)
{
    double seconds = TICK_MS / 1000.0;
    double in = world->arrival * noise(world) * seconds;
    double out = fmin(world->lag + in, throughput(world) * seconds);

    world->now_ms += TICK_MS;
    world->lag += in - out;
    world->arrival_seen += (1 - exp(-seconds / 15)) * (in / seconds - world->arrival_seen);
    world->consume_seen += (1 - exp(-seconds / 20)) * (out / seconds - world->consume_seen);
    if (world->now_ms - world->changed_ms >= START_MS)
        world->ready = world->replicas;
    bool rebalancing = world->ready == world->replicas &&
                       world->now_ms - world->changed_ms < START_MS + REBALANCE_MS;

    double trailing = 3 + (double)world->settings.settle_ms / 1000; /* seconds until committed */
    double in_flight = fmin(out / seconds, world->arrival) * trailing;
    struct scaling_observation seen = {
        .replicas_current = world->replicas,
        .replicas_ready = world->ready,
        .lag_known = true,
        .lag_messages = (uint64_t)(world->lag + in_flight),
        .lag_ms = (uint64_t)((world->lag / fmax(world->consume_seen, 1) + trailing) * 1000),
        .lag_ms_known = true,
        .arrival_rate = world->arrival_seen,
        .consume_rate = world->consume_seen,
        .rates_known = true,
        .partitions_lagging = world->settings.partitions,
        .committed_everywhere = true,
        .group = rebalancing ? SCALING_GROUP_REBALANCING : SCALING_GROUP_STABLE,
        .backend = SCALING_BACKEND_UP,
    };
    world->last = scaling_decide(world->now_ms, &world->settings, &seen, &world->memory);
    assert_true(world->last.wanted <= world->settings.partitions);
    assert_true(world->last.wanted <= world->settings.replicas_max);
    assert_true(world->last.wanted >= world->settings.replicas_min);

    if (world->last.wanted == world->replicas)
        return;
    world->ups += world->last.wanted > world->replicas;
    world->downs += world->last.wanted < world->replicas;
    if (world->last.wanted < world->ready)
        world->ready = world->last.wanted;
    world->replicas = world->last.wanted;
    world->changed_ms = world->now_ms;
    if (world->replicas_most < world->replicas)
        world->replicas_most = world->replicas;
}

static void run(struct world *world, unsigned seconds)
{
    for (unsigned t = 0; t < seconds * 1000; t += TICK_MS)
        tick(world);
}

static struct world new_world(void)
{
    return (struct world){
        .settings = {.mode = SCALING_DIRECT,
                     .replicas_min = 1,
                     .replicas_max = 12,
                     .partitions = 12,
                     .drain_within_ms = 300000,
                     .messages_per_replica_max = 10000},
        .per_replica = 1000,
        .backend_limit = 1e9,
        .replicas = 1,
        .ready = 1,
        .now_ms = 1000000,
        .random = 42,
    };
}

static void test_a_surge_is_drained_in_time_and_the_replicas_go_home(void **state)
{
    (void)state;
    struct world world = new_world();
    world.arrival = 500;
    world.noise = 0.1;
    run(&world, 1800);
    assert_int_equal(world.replicas, 1);

    world.arrival = 5000;
    run(&world, 600);
    assert_true(world.lag < 5000 * 30);
    assert_true(world.replicas >= 6);
    world.arrival = 500;
    run(&world, 2000);
    assert_int_equal(world.replicas, 1);
    assert_true(world.lag < 2000);
}

static void test_a_backlog_of_hours_is_drained_within_about_what_was_asked(void **state)
{
    (void)state;
    struct world world = new_world();
    world.arrival = 1000;
    world.memory.capacity = 1000; /* from status */
    world.lag = 2e6;
    unsigned seconds = 0;
    while (world.lag > 0 && seconds < 3000) {
        run(&world, 10);
        seconds += 10;
    }
    assert_in_range(seconds, 180, 390); /* 12 replicas at most: 11,000/s of headroom */
}

static void test_steady_noise_moves_nothing(void **state)
{
    (void)state;
    static const double arrivals[] = {300,  950,  1000, 1900, 2850, 3000,
                                      3999, 5700, 6000, 8000, 11000};
    for (size_t i = 0; i < sizeof arrivals / sizeof arrivals[0]; i++) {
        struct world world = new_world();
        world.arrival = arrivals[i];
        world.noise = 0.2;
        run(&world, 3600); /* finds its place, whatever that takes */
        world.ups = world.downs = 0;
        run(&world, 4 * 3600);
        if (world.ups > 1 || world.downs > 1)
            fail_msg("%g/s: %u up, %u down, now %u, capacity %g", arrivals[i], world.ups,
                     world.downs, world.replicas, world.memory.capacity);
        assert_true(world.lag < arrivals[i] * 60);
    }
}

static void test_commits_that_are_held_back_are_no_backlog(void **state)
{
    (void)state;
    struct world world = new_world();
    world.settings.settle_ms = 15000;
    world.settings.messages_per_replica_max = 1000;
    world.arrival = 200;
    world.noise = 0.2;
    run(&world, 1800); /* begins in the midst of the stream, with rates not known */
    assert_int_equal(world.replicas, 1);
    world.ups = 0;
    run(&world, 3600);
    assert_int_equal(world.ups, 0);
    assert_true(world.memory.capacity == 0); /* never seen at its limit */
    world.arrival = 3500;
    run(&world, 900);
    assert_true(world.replicas >= 4 && world.lag < 3500 * 30);
}

static void test_a_slow_wave_costs_few_rebalances(void **state)
{
    (void)state;
    struct world world = new_world();
    world.noise = 0.1;
    for (unsigned t = 0; t < 24 * 3600; t += 10) { /* a day: 500 to 6,500 and back */
        world.arrival = 3500 - 3000 * cos(2 * 3.14159265 * t / 86400);
        run(&world, 10);
        assert_true(world.lag < world.arrival * 300);
    }
    if (world.ups + world.downs > 16)
        fail_msg("%u up, %u down", world.ups, world.downs);
    assert_int_equal(world.replicas, 1);
}

static void test_a_backend_at_its_limit_is_found_out(void **state)
{
    (void)state;
    struct world world = new_world();
    world.backend_limit = 2000;
    world.arrival = 2600;
    world.noise = 0.05;
    world.memory.capacity = 1000;
    run(&world, 600);
    assert_true(world.memory.saturated);
    assert_true(world.replicas_most <= 6); /* by lag alone it would be 12 by now */
    assert_int_equal(world.last.reason, SCALING_HELD_SATURATED);

    world.backend_limit = 1e9;
    run(&world, 1500);
    assert_false(world.memory.saturated);
    assert_true(world.lag < 2600 * 10);
}

static void test_capacity_is_learned_near_the_truth(void **state)
{
    (void)state;
    static const double truths[] = {50, 900, 20000};
    for (size_t i = 0; i < sizeof truths / sizeof truths[0]; i++) {
        struct world world = new_world();
        world.per_replica = truths[i];
        world.arrival = truths[i] * 4.5;
        world.settings.messages_per_replica_max = (uint64_t)(truths[i] * 60);
        world.noise = 0.1;
        run(&world, 1800);
        assert_true(world.memory.capacity > truths[i] * 0.8);
        assert_true(world.memory.capacity < truths[i] * 1.2);
        assert_true(world.lag < world.arrival * 30);
    }
}

static void test_more_work_never_asks_for_fewer_replicas(void **state)
{
    (void)state;
    static const uint32_t partitions[] = {0, 1, 7, 12, 64, 126};
    for (size_t p = 0; p < sizeof partitions / sizeof partitions[0]; p++) {
        for (int dimension = 0; dimension < 3; dimension++) {
            uint32_t before = 0;
            for (double work = 0; work < 400000; work = work * 1.1 + 1) {
                struct world world = new_world();
                struct scaling_observation seen = {
                    .replicas_current = dimension == 2 ? 0 : 1,
                    .replicas_ready = dimension == 2 ? 0 : 1,
                    .lag_known = true,
                    .rates_known = true,
                    .committed_everywhere = true,
                    .group = SCALING_GROUP_STABLE,
                    .arrival_rate = dimension == 0 ? work : 100,
                    .lag_messages = dimension == 0 ? 5000 : (uint64_t)(work * 100),
                };
                world.settings.replicas_max = 1000;
                world.settings.partitions = partitions[p];
                world.memory.capacity = dimension == 1 ? 0 : 1000;
                uint32_t wanted =
                    scaling_decide(1000, &world.settings, &seen, &world.memory).wanted;
                assert_true(wanted >= before);
                assert_true(partitions[p] == 0 || wanted <= partitions[p]);
                before = wanted;
            }
            assert_true(before > 1 || partitions[p] == 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_surge_is_drained_in_time_and_the_replicas_go_home),
        cmocka_unit_test(test_a_backlog_of_hours_is_drained_within_about_what_was_asked),
        cmocka_unit_test(test_steady_noise_moves_nothing),
        cmocka_unit_test(test_commits_that_are_held_back_are_no_backlog),
        cmocka_unit_test(test_a_slow_wave_costs_few_rebalances),
        cmocka_unit_test(test_a_backend_at_its_limit_is_found_out),
        cmocka_unit_test(test_capacity_is_learned_near_the_truth),
        cmocka_unit_test(test_more_work_never_asks_for_fewer_replicas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
