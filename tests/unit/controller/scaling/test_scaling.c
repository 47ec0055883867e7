/* Promise: the wanted replicas follow rates and backlog, go up at once and down after a window, and
 * never go up where more replicas could not help; the sentence says why. */
#include "tests/support/test.h"

#include "controller/scaling/scaling.h"

#include <string.h>

#define S 1000u

static const struct scaling_settings usual = {
    .mode = SCALING_HPA,
    .replicas_min = 1,
    .replicas_max = 12,
    .partitions = 12,
    .drain_within_ms = 300 * S,
    .messages_per_replica_max = 10000,
};

static struct scaling_observation quiet(uint32_t replicas)
{
    return (struct scaling_observation){
        .replicas_current = replicas,
        .replicas_ready = replicas,
        .lag_known = true,
        .lag_ms_known = true,
        .rates_known = true,
        .committed_everywhere = true,
        .group = replicas > 0 ? SCALING_GROUP_STABLE : SCALING_GROUP_EMPTY,
        .backend = SCALING_BACKEND_UP,
    };
}

/* As quiet(), with work: `arrival` per second, all of it consumed, and a backlog. */
static struct scaling_observation busy(uint32_t replicas, double arrival, uint64_t lag)
{
    struct scaling_observation seen = quiet(replicas);
    seen.arrival_rate = seen.consume_rate = arrival;
    seen.lag_messages = lag;
    seen.lag_ms = lag > 0 ? 60 * S : 0;
    seen.partitions_lagging = lag > 0 ? 12 : 0;
    return seen;
}

static struct scaling_memory capable(double capacity)
{
    return (struct scaling_memory){.capacity = capacity};
}

static struct scaling_decision at(uint64_t seconds, const struct scaling_settings *settings,
                                  const struct scaling_observation *seen,
                                  struct scaling_memory *memory)
{
    return scaling_decide((1000 + seconds) * S, settings, seen, memory);
}

/* What a new operator, which remembers only the capacity, decides at once. */
static struct scaling_decision at_once(const struct scaling_settings *settings,
                                       struct scaling_observation seen, double capacity)
{
    struct scaling_memory memory = capable(capacity);
    return at(0, settings, &seen, &memory);
}

static void test_needs_follow_rates_and_backlog(void **state)
{
    (void)state;
    static const struct {
        double arrival, capacity;
        uint64_t lag;
        uint32_t current, wanted;
        enum scaling_reason reason;
    } table[] = {
        /* arrival alone */
        {1000, 1000, 0, 1, 1, SCALING_STEADY},
        {1040, 1000, 0, 1, 1, SCALING_STEADY}, /* inside the band */
        {1060, 1000, 0, 1, 2, SCALING_UP},
        {2900, 1000, 0, 3, 3, SCALING_STEADY},
        {4500, 1000, 0, 3, 6, SCALING_UP}, /* 5 is no step of 12 partitions */
        {7000, 1000, 0, 3, 12, SCALING_UP},
        /* backlog alone: 600,000 within 300 s are 2,000/s */
        {0, 1000, 600000, 1, 2, SCALING_UP},
        {0, 1000, 300000, 1, 1, SCALING_STEADY},
        /* both */
        {1000, 1000, 605000, 1, 3, SCALING_UP},
        {1000, 1000, 905000, 1, 4, SCALING_UP},
        /* what is in flight is no backlog */
        {1000, 1000, 5000, 1, 1, SCALING_STEADY},
        /* more than there is */
        {99000, 1000, 9999999, 4, 12, SCALING_UP},
        {99000, 1000, 9999999, 12, 12, SCALING_AT_MAX},
        /* a few messages from a huge capacity */
        {0.5, 100000, 3, 1, 1, SCALING_STEADY},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scaling_observation seen = busy(table[i].current, table[i].arrival, table[i].lag);
        struct scaling_decision decision = at_once(&usual, seen, table[i].capacity);
        if (decision.wanted != table[i].wanted || decision.reason != table[i].reason)
            fail_msg("row %zu: %u, %s", i, decision.wanted, decision.sentence);
    }
}

static void test_from_cold_the_lag_alone_decides(void **state)
{
    (void)state;
    struct scaling_decision decision = at_once(&usual, busy(1, 500, 24000), 0);
    assert_int_equal(decision.wanted, 3); /* 21,500 beside what is in flight */
    assert_int_equal(decision.reason, SCALING_UP_COLD);
    decision = at_once(&usual, busy(1, 0, 10000), 0);
    assert_int_equal(decision.wanted, 1);
    decision = at_once(&usual, busy(1, 0, 10001), 0);
    assert_int_equal(decision.wanted, 2);
    decision = at_once(&usual, busy(1, 0, UINT64_MAX), 0);
    assert_int_equal(decision.wanted, 12);
}

static void test_bounds_and_partitions_cap_what_is_wanted(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    settings.replicas_max = 5;
    struct scaling_decision decision = at_once(&settings, busy(1, 9000, 0), 1000);
    assert_int_equal(decision.wanted, 4); /* 5 would leave the busiest with 3, as 4 do */
    assert_true(decision.limited);

    settings.replicas_min = 5;
    decision = at_once(&settings, busy(5, 9000, 0), 1000);
    assert_int_equal(decision.wanted, 5); /* an order is an order */

    settings.replicas_min = 1;
    settings.replicas_max = 40;
    decision = at_once(&settings, busy(12, 90000, 0), 1000);
    assert_int_equal(decision.wanted, 12);
    assert_int_equal(decision.reason, SCALING_AT_PARTITIONS);
    assert_true(decision.limited);

    settings.replicas_min = 20; /* of 12 partitions */
    decision = at_once(&settings, busy(2, 10, 0), 1000);
    assert_int_equal(decision.wanted, 12);

    settings = usual;
    decision = at_once(&settings, busy(15, 10, 0), 1000);
    assert_int_equal(decision.wanted, 12);
    assert_int_equal(decision.reason, SCALING_BOUNDS);

    settings.partitions = 0; /* not known yet: no steps and no cap of theirs */
    decision = at_once(&settings, busy(1, 4500, 0), 1000);
    assert_int_equal(decision.wanted, 5);
}

static void test_goes_down_only_after_the_window_and_to_its_largest(void **state)
{
    (void)state;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = busy(6, 2000, 0);
    struct scaling_decision decision;
    uint64_t t = 0;

    for (; t < 260; t += 2) {
        decision = at(t, &usual, &seen, &memory);
        assert_int_equal(decision.wanted, 6);
        assert_int_equal(decision.reason, SCALING_DOWN_WAITS);
        if (t == 100)
            seen = busy(6, 3000, 0);
        if (t == 104)
            seen = busy(6, 2000, 0);
    }
    while (decision.wanted == 6 && t < 400)
        decision = at(t += 2, &usual, &seen, &memory);
    assert_int_equal(decision.reason, SCALING_DOWN);
    assert_int_equal(decision.wanted, 4); /* what second 102 asked for still counts */
    assert_in_range(t, 270, 304);

    seen = busy(4, 2000, 0);
    while (decision.wanted >= 4 && t < 600)
        decision = at(t += 2, &usual, &seen, &memory);
    assert_int_equal(decision.wanted, 3);
    assert_in_range(t, 374, 410);
}

static void test_a_new_operator_waits_a_whole_window_before_it_goes_down(void **state)
{
    (void)state;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = quiet(12);
    for (uint64_t t = 0; t < 270; t += 5)
        assert_int_equal(at(t, &usual, &seen, &memory).wanted, 12);
    assert_int_equal(at(310, &usual, &seen, &memory).wanted, 1);
}

static void test_a_hold_in_between_does_not_shorten_the_window(void **state)
{
    (void)state;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = quiet(6), unknown = quiet(6);
    unknown.lag_known = false;
    assert_int_equal(at(0, &usual, &seen, &memory).wanted, 6);
    for (uint64_t t = 2; t < 1000; t += 2)
        assert_int_equal(at(t, &usual, &unknown, &memory).wanted, 6);
    assert_int_equal(at(1000, &usual, &seen, &memory).wanted, 6);
    assert_int_equal(at(1350, &usual, &seen, &memory).wanted, 1);
}

static void test_a_changed_window_keeps_what_was_wanted(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = quiet(6);
    assert_int_equal(at(0, &settings, &seen, &memory).wanted, 6);
    settings.down_window_ms = 3600 * S;
    assert_int_equal(at(2, &settings, &seen, &memory).wanted, 6);
    settings.down_window_ms = 10 * S;
    assert_int_equal(at(4, &settings, &seen, &memory).wanted, 6);
    assert_int_equal(at(20, &settings, &seen, &memory).wanted, 1);
}

static void test_goes_down_step_by_step_while_the_capacity_is_not_known(void **state)
{
    (void)state;
    struct scaling_memory memory = {0};
    struct scaling_observation seen = busy(12, 100, 0);
    uint32_t seen_numbers[8] = {0};
    uint64_t when[8] = {0};
    size_t steps = 0;

    for (uint64_t t = 0; t < 3000; t += 5) {
        uint32_t wanted = at(t, &usual, &seen, &memory).wanted;
        if (wanted != seen.replicas_current) {
            assert_true(steps < 8);
            when[steps] = t;
            seen_numbers[steps++] = wanted;
            seen = busy(wanted, 100, 0);
        }
    }
    static const uint32_t expected[] = {6, 4, 3, 2, 1};
    assert_int_equal(steps, 5);
    for (size_t i = 0; i < steps; i++) {
        assert_int_equal(seen_numbers[i], expected[i]);
        assert_true(i == 0 || when[i] - when[i - 1] >= 300);
    }
}

static void test_does_nothing_where_nothing_can_be_known_or_done(void **state)
{
    (void)state;
    static const struct {
        enum scaling_reason reason;
        bool high; /* with much lag, or with none */
    } rows[] = {
        {SCALING_HELD_LAG_UNKNOWN, true},  {SCALING_HELD_LAG_UNKNOWN, false},
        {SCALING_HELD_SHARED, true},       {SCALING_HELD_SHARED, false},
        {SCALING_HELD_REBALANCING, true},  {SCALING_HELD_REBALANCING, false},
        {SCALING_HELD_NOT_READY, true},    {SCALING_HELD_NOT_READY, false},
        {SCALING_HELD_BACKEND_DOWN, true}, {SCALING_HELD_BACKEND_DOWN, false},
        {SCALING_HELD_PAUSED, true},       {SCALING_HELD_PAUSED, false},
        {SCALING_HELD_FIXED, true},        {SCALING_HELD_FIXED, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scaling_memory memory = capable(1000);
        struct scaling_settings settings = usual;
        struct scaling_observation seen = rows[i].high ? busy(4, 3900, 99999999) : quiet(4);
        seen.lag_known = rows[i].reason != SCALING_HELD_LAG_UNKNOWN;
        seen.members_foreign = rows[i].reason == SCALING_HELD_SHARED ? 2 : 0;
        if (rows[i].reason == SCALING_HELD_REBALANCING)
            seen.group = SCALING_GROUP_REBALANCING;
        if (rows[i].reason == SCALING_HELD_NOT_READY)
            seen.replicas_ready = 0;
        if (rows[i].reason == SCALING_HELD_BACKEND_DOWN)
            seen.backend = SCALING_BACKEND_DOWN;
        settings.paused = rows[i].reason == SCALING_HELD_PAUSED;
        if (rows[i].reason == SCALING_HELD_FIXED)
            settings.mode = SCALING_FIXED;
        for (uint64_t t = 0; t < 2000; t += 10) {
            struct scaling_decision decision = at(t, &settings, &seen, &memory);
            assert_int_equal(decision.wanted, 4);
            assert_int_equal(decision.reason, rows[i].reason);
            assert_true(decision.held);
        }
        if (!settings.paused && settings.mode != SCALING_FIXED) /* there all works as ever */
            assert_true(memory.capacity == 1000);
    }
}

static void test_bounds_are_an_order_even_while_all_is_held(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    struct scaling_observation seen = busy(2, 9000, 99999999);
    settings.replicas_min = 3;
    seen.lag_known = false;
    struct scaling_decision decision = at_once(&settings, seen, 1000);
    assert_int_equal(decision.wanted, 3);
    assert_int_equal(decision.reason, SCALING_HELD_LAG_UNKNOWN);

    settings.paused = true;
    assert_int_equal(at_once(&settings, seen, 1000).wanted, 2);
}

static void test_replicas_set_by_hand_are_no_decision(void **state)
{
    (void)state;
    static const uint32_t by_hand[] = {3, 0, 12, 40};
    for (size_t i = 0; i < 2 * sizeof by_hand / sizeof by_hand[0]; i++) {
        struct scaling_settings settings = usual;
        struct scaling_memory memory = capable(i % 2 == 0 ? 1000 : 0);
        struct scaling_observation one = busy(1, 500, 0);
        settings.mode = i % 2 == 0 ? SCALING_HPA : SCALING_DIRECT;
        assert_int_equal(at(0, &settings, &one, &memory).wanted, 1);

        struct scaling_observation seen = one;
        seen.replicas_current = by_hand[i / 2];
        for (int ready = 1; ready >= 0; ready--) {
            seen.replicas_ready = ready ? 1 : seen.replicas_current;
            struct scaling_decision decision = at(2, &settings, &seen, &memory);
            assert_int_equal(decision.wanted, 1);
            assert_true(scaling_must_patch(settings.mode, false, by_hand[i / 2], decision.wanted));
        }
        seen.lag_known = false;
        assert_int_equal(at(4, &settings, &seen, &memory).wanted, 1);
        seen.lag_known = true;
        seen.group = SCALING_GROUP_REBALANCING;
        assert_int_equal(at(6, &settings, &seen, &memory).wanted, 1);
        assert_int_equal(at(8, &settings, &one, &memory).wanted, 1);
    }
}

static void test_nobody_wakes_or_lowers_it_by_hand(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = quiet(0);
    settings.replicas_min = 0;
    assert_int_equal(at(0, &settings, &seen, &memory).reason, SCALING_ASLEEP);
    seen = quiet(2);
    assert_int_equal(at(2, &settings, &seen, &memory).reason, SCALING_ASLEEP);

    memory = capable(1000);
    seen = busy(6, 5500, 0);
    assert_int_equal(at(0, &usual, &seen, &memory).wanted, 6);
    seen.replicas_current = seen.replicas_ready = 1; /* deleted, and made anew with one */
    seen.consume_rate = 1000;
    assert_int_equal(at(2, &usual, &seen, &memory).wanted, 6);
}

static void test_the_floor_does_not_follow_what_cpu_asks_for(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct scaling_memory memory = capable(known ? 1000 : 0);
        struct scaling_observation seen = busy(1, 500, 0);
        assert_int_equal(at(0, &usual, &seen, &memory).wanted, 1);
        for (uint64_t t = 2; t < 900; t += 2) {
            seen = busy(5, 500, 0);
            seen.lag_known = t % 100 != 0;
            struct scaling_decision decision = at(t, &usual, &seen, &memory);
            assert_int_equal(decision.wanted, 1);
            assert_false(scaling_must_patch(SCALING_HPA, true, 5, decision.wanted));
        }
        seen = busy(5, 1900, 25000); /* a floor below what there is */
        seen.lag_ms = 60 * S;
        assert_int_equal(at(902, &usual, &seen, &memory).wanted, 2);
        assert_true(memory.step_rate == 0); /* no step that could be judged */
    }
}

static void test_goes_on_from_what_it_finds_where_it_had_no_say(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        struct scaling_settings settings = usual;
        struct scaling_memory memory = capable(1000);
        struct scaling_observation seen = quiet(1);
        assert_int_equal(at(0, &settings, &seen, &memory).wanted, 1);
        settings.paused = !fixed;
        settings.mode = fixed ? SCALING_FIXED : SCALING_HPA;
        seen = quiet(4);
        assert_int_equal(at(2, &settings, &seen, &memory).wanted, 4);
        assert_int_equal(at(4, &usual, &seen, &memory).wanted, 4);
        assert_int_equal(at(100, &usual, &seen, &memory).reason, SCALING_DOWN_WAITS);
    }
}

static void test_never_goes_up_for_a_stuck_partition(void **state)
{
    (void)state;
    struct scaling_observation seen = busy(3, 1000, 5000000);
    seen.partitions_lagging = seen.partitions_stuck = 1;
    seen.lag_stuck = 5000000;
    seen.stuck_where = "shop.traces/3 at offset 712";
    struct scaling_decision decision = at_once(&usual, seen, 1000);
    assert_int_equal(decision.wanted, 3);
    assert_int_equal(decision.reason, SCALING_DOWN_WAITS); /* the rest needs only two */

    seen.arrival_rate = seen.consume_rate = 2600;
    decision = at_once(&usual, seen, 1000);
    assert_int_equal(decision.wanted, 3);
    assert_int_equal(decision.reason, SCALING_HELD_STUCK);

    seen.lag_messages += 1200000; /* of other partitions */
    decision = at_once(&usual, seen, 1000);
    assert_int_equal(decision.wanted, 12);
    assert_int_equal(decision.reason, SCALING_UP);
}

static void test_a_saturated_backend_is_not_pressed_harder_but_may_be_relieved(void **state)
{
    (void)state;
    struct scaling_observation seen = busy(4, 8000, 900000);
    seen.backend = SCALING_BACKEND_SATURATED;
    struct scaling_decision decision = at_once(&usual, seen, 1000);
    assert_int_equal(decision.wanted, 4);
    assert_int_equal(decision.reason, SCALING_HELD_SATURATED);

    struct scaling_memory memory = capable(1000);
    seen = quiet(4);
    seen.backend = SCALING_BACKEND_SATURATED;
    at(0, &usual, &seen, &memory);
    assert_int_equal(at(310, &usual, &seen, &memory).wanted, 1);
}

/* One replica manages 1,000/s; from the second on the backend is the limit. */
static struct scaling_memory after_a_useless_step(uint64_t *ret_t)
{
    struct scaling_memory memory = {0};
    struct scaling_observation seen = busy(1, 1000, 18000);
    uint32_t wanted = 1;
    uint64_t t = 0;

    seen.arrival_rate = 1800;
    for (; t < 70 && wanted == 1; t += 2) /* as one is enough until it is known what one manages */
        wanted = at(t, &usual, &seen, &memory).wanted;
    assert_true(wanted > 1);
    seen.replicas_current = seen.replicas_ready = wanted;
    seen.consume_rate = 1020;
    seen.lag_messages = 200000;
    for (uint64_t end = t + 90; t < end && !memory.saturated; t += 2) {
        seen.replicas_current = seen.replicas_ready = at(t, &usual, &seen, &memory).wanted;
        seen.lag_messages += 1500;
    }
    *ret_t = t;
    return memory;
}

static void test_a_step_that_brings_nothing_is_the_last(void **state)
{
    (void)state;
    uint64_t t = 0;
    struct scaling_memory memory = after_a_useless_step(&t);
    assert_true(memory.saturated);
    assert_true(memory.capacity > 900); /* what the backend limits is not what a replica can */

    struct scaling_observation seen = busy(memory.replicas_seen, 1020, 400000);
    seen.arrival_rate = 1800;
    seen.lag_messages = 40000000;
    for (uint64_t end = t + 500; t < end; t += 2) {
        struct scaling_decision decision = at(t, &usual, &seen, &memory);
        assert_int_equal(decision.wanted, seen.replicas_current);
        if (seen.replicas_current < 12)
            assert_int_equal(decision.reason, SCALING_HELD_SATURATED);
    }
    uint32_t wanted = 0;
    for (uint64_t end = t + 120; t < end && wanted <= seen.replicas_current; t += 2)
        wanted = at(t, &usual, &seen, &memory).wanted;
    assert_true(wanted > seen.replicas_current); /* tried again after ten minutes */
}

static void test_a_backend_that_recovers_is_used_again_at_once(void **state)
{
    (void)state;
    uint64_t t = 0;
    struct scaling_memory memory = after_a_useless_step(&t);
    uint32_t current = memory.replicas_seen;
    assert_true(current < 12);
    struct scaling_observation seen = busy(current, 1500, 4000000);
    struct scaling_decision decision = at(t, &usual, &seen, &memory);
    assert_false(memory.saturated);
    assert_true(decision.wanted > current);
}

static void test_a_step_that_helps_is_followed_by_others(void **state)
{
    (void)state;
    struct scaling_memory memory = {0};
    uint32_t replicas = 1;

    for (uint64_t t = 0; t < 400; t += 2) {
        struct scaling_observation seen = busy(replicas, 1000.0 * replicas, 100000 + 4000 * t);
        seen.arrival_rate = 6000;
        replicas = at(t, &usual, &seen, &memory).wanted;
        assert_false(memory.saturated);
    }
    assert_int_equal(replicas, 12);
    assert_true(memory.capacity > 900 && memory.capacity < 1100);
}

static void test_capacity_is_learned_only_from_settled_replicas_with_a_backlog(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint64_t lag_ms;
        uint32_t ready, lagging;
        enum scaling_group group;
        enum scaling_backend backend;
        bool learns;
    } table[] = {
        {"all as it should be", 60000, 2, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_UP, true},
        {"backend not known", 60000, 2, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_UNKNOWN, true},
        {"young backlog", 4000, 2, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_UP, false},
        {"one not ready", 60000, 1, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_UP, false},
        {"few partitions", 60000, 2, 5, SCALING_GROUP_STABLE, SCALING_BACKEND_UP, false},
        {"rebalancing", 60000, 2, 12, SCALING_GROUP_REBALANCING, SCALING_BACKEND_UP, false},
        {"backend down", 60000, 2, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_DOWN, false},
        {"saturated", 60000, 2, 12, SCALING_GROUP_STABLE, SCALING_BACKEND_SATURATED, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scaling_memory memory = {0};
        struct scaling_observation seen = busy(2, 700, 19000);
        seen.lag_ms = table[i].lag_ms;
        seen.replicas_ready = table[i].ready;
        seen.partitions_lagging = table[i].lagging;
        seen.group = table[i].group;
        seen.backend = table[i].backend;
        for (uint64_t t = 0; t < 58; t += 2)
            at(t, &usual, &seen, &memory);
        assert_true(memory.capacity == 0); /* not settled yet */
        for (uint64_t t = 58; t < 80; t += 2)
            at(t, &usual, &seen, &memory);
        if ((memory.capacity > 0) != table[i].learns)
            fail_msg("%s: %g", table[i].why, memory.capacity);
        if (table[i].learns)
            assert_true(memory.capacity == 350);
    }
}

static void test_wakes_in_one_step_to_what_the_backlog_asks_for(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    settings.replicas_min = 0;
    struct scaling_decision decision = at_once(&settings, quiet(0), 0);
    assert_int_equal(decision.wanted, 0);
    assert_int_equal(decision.reason, SCALING_ASLEEP);

    decision = at_once(&settings, busy(0, 0, 1), 0);
    assert_int_equal(decision.wanted, 1);
    assert_int_equal(decision.reason, SCALING_WOKEN);
    assert_int_equal(at_once(&settings, busy(0, 0, 55000), 0).wanted, 6);
    assert_int_equal(at_once(&settings, busy(0, 0, 900000), 1000).wanted, 3);
    assert_int_equal(at_once(&settings, busy(0, 0, 900000000), 0).wanted, 12);

    settings.wake_above = 500;
    assert_int_equal(at_once(&settings, busy(0, 0, 500), 0).wanted, 0);
    assert_int_equal(at_once(&settings, busy(0, 0, 501), 0).wanted, 1);

    struct scaling_observation unknown = busy(0, 0, 900000);
    unknown.lag_known = false;
    assert_int_equal(at_once(&settings, unknown, 0).wanted, 0);

    settings.replicas_min = 2; /* asleep no longer allowed */
    assert_int_equal(at_once(&settings, quiet(0), 0).wanted, 2);
    assert_int_equal(at_once(&settings, unknown, 0).wanted, 2);
}

static void test_sleeps_only_when_all_is_committed_and_stays_so(void **state)
{
    (void)state;
    static const struct {
        uint64_t lag;
        double arrival;
        bool committed, known, sleeps;
    } table[] = {
        {0, 0, true, true, true},   {1, 0, true, true, false},  {0, 0.05, true, true, false},
        {0, 0, false, true, false}, {0, 0, true, false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct scaling_settings settings = usual;
        struct scaling_memory memory = capable(1000);
        settings.replicas_min = 0;
        struct scaling_observation seen = busy(1, table[i].arrival, table[i].lag);
        seen.committed_everywhere = table[i].committed;
        seen.lag_known = table[i].known;
        for (uint64_t t = 0; t < 300; t += 2)
            assert_int_equal(at(t, &settings, &seen, &memory).wanted, 1);
        struct scaling_decision decision = at(300, &settings, &seen, &memory);
        assert_int_equal(decision.wanted, table[i].sleeps ? 0 : 1);
    }
}

static void test_one_late_message_starts_the_wait_for_sleep_anew(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    struct scaling_memory memory = capable(1000);
    settings.replicas_min = 0;
    struct scaling_observation none = quiet(1), one = busy(1, 0, 1);
    at(0, &settings, &none, &memory);
    assert_int_equal(at(290, &settings, &one, &memory).wanted, 1);
    assert_int_equal(at(300, &settings, &none, &memory).wanted, 1);
    assert_int_equal(at(588, &settings, &none, &memory).wanted, 1);
    assert_int_equal(at(592, &settings, &none, &memory).wanted, 0);
}

static void test_with_a_floor_of_one_or_more_it_never_sleeps(void **state)
{
    (void)state;
    struct scaling_memory memory = capable(1000);
    struct scaling_observation seen = quiet(1);
    for (uint64_t t = 0; t < 4000; t += 50)
        assert_int_equal(at(t, &usual, &seen, &memory).wanted, 1);
}

static void test_says_why_in_a_sentence(void **state)
{
    (void)state;
    struct scaling_settings settings = usual;
    assert_string_equal(at_once(&settings, busy(3, 4200, 1281000), 1500).sentence,
                        "3 -> 6: 4,200 msg/s arrive, 1,260,000 wait to be drained within 5m; a "
                        "replica manages 1,500 msg/s: 5.6 needed");
    assert_string_equal(at_once(&settings, busy(1, 0, 55000), 0).sentence,
                        "1 -> 6: 55,000 wait, at 10,000 for each replica, for what one manages has "
                        "not been seen yet: 5.5 needed");
    assert_string_equal(at_once(&settings, busy(12, 90000, 0), 1000).sentence,
                        "12 it is: 90,000 msg/s arrive, 0 wait to be drained within 5m; a replica "
                        "manages 1,000 msg/s: 90.0 needed; maxReplicas 12 allows no more");
    assert_string_equal(at_once(&settings, quiet(6), 1000).sentence,
                        "6 it is, until 1 has been enough for 5m: 0 msg/s arrive, 0 wait to be "
                        "drained within 5m; a replica manages 1,000 msg/s: 0.0 needed");

    struct scaling_observation seen = busy(4, 9000, 100);
    seen.backend = SCALING_BACKEND_DOWN;
    seen.backend_error = "connection refused";
    assert_string_equal(at_once(&settings, seen, 1000).sentence,
                        "held at 4: the backend is down (connection refused), and more replicas "
                        "would not bring it back");
    seen = busy(4, 9000, 100);
    seen.members_foreign = 2;
    seen.foreign_who = "consumer-7 on 10.0.0.9";
    assert_string_equal(at_once(&settings, seen, 1000).sentence,
                        "held at 4: 2 members of the consumer group are not ours (consumer-7 on "
                        "10.0.0.9): stop them, or give this gateway a groupID of its own");
    seen = busy(3, 2600, 5000000);
    seen.partitions_stuck = 1;
    seen.lag_stuck = 5000000;
    seen.stuck_where = "shop.traces/3 at offset 712";
    assert_string_equal(at_once(&settings, seen, 1000).sentence,
                        "3 it is: 5,000,000 wait on 1 partitions that do not move (shop.traces/3 "
                        "at offset 712), and more replicas would not move them");
    settings.replicas_max = 5;
    assert_string_equal(at_once(&settings, busy(1, 9000, 0), 1000).sentence,
                        "1 -> 4: 9,000 msg/s arrive, 0 wait to be drained within 5m; a replica "
                        "manages 1,000 msg/s: 9.0 needed; maxReplicas 5 shares 12 partitions no "
                        "better than 4");
    settings.replicas_max = 40;
    assert_string_equal(at_once(&settings, busy(1, 90000, 0), 1000).sentence,
                        "1 -> 12: 90,000 msg/s arrive, 0 wait to be drained within 5m; a replica "
                        "manages 1,000 msg/s: 90.0 needed; 12 partitions allow no more: raise "
                        "topics[].partitions");
    settings.replicas_min = 0;
    assert_string_equal(at_once(&settings, quiet(0), 1000).sentence,
                        "asleep: lag 0 is not above wakeAbove 0");
}

static void test_a_sentence_never_outgrows_its_place(void **state)
{
    (void)state;
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    struct scaling_observation seen = busy(4, 1e300, UINT64_MAX);
    seen.backend_error = seen.foreign_who = seen.lag_unknown_why = seen.stuck_where = long_text;
    for (int i = 0; i < 4; i++) {
        seen.backend = i == 0 ? SCALING_BACKEND_DOWN : SCALING_BACKEND_SATURATED;
        seen.members_foreign = i == 1;
        seen.lag_known = i != 2;
        struct scaling_decision decision = at_once(&usual, seen, 1e-300);
        assert_true(strlen(decision.sentence) < SCALING_SENTENCE_MAX);
        assert_int_equal(decision.wanted, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs_follow_rates_and_backlog),
        cmocka_unit_test(test_from_cold_the_lag_alone_decides),
        cmocka_unit_test(test_bounds_and_partitions_cap_what_is_wanted),
        cmocka_unit_test(test_goes_down_only_after_the_window_and_to_its_largest),
        cmocka_unit_test(test_a_new_operator_waits_a_whole_window_before_it_goes_down),
        cmocka_unit_test(test_a_hold_in_between_does_not_shorten_the_window),
        cmocka_unit_test(test_a_changed_window_keeps_what_was_wanted),
        cmocka_unit_test(test_goes_down_step_by_step_while_the_capacity_is_not_known),
        cmocka_unit_test(test_does_nothing_where_nothing_can_be_known_or_done),
        cmocka_unit_test(test_bounds_are_an_order_even_while_all_is_held),
        cmocka_unit_test(test_replicas_set_by_hand_are_no_decision),
        cmocka_unit_test(test_nobody_wakes_or_lowers_it_by_hand),
        cmocka_unit_test(test_the_floor_does_not_follow_what_cpu_asks_for),
        cmocka_unit_test(test_goes_on_from_what_it_finds_where_it_had_no_say),
        cmocka_unit_test(test_never_goes_up_for_a_stuck_partition),
        cmocka_unit_test(test_a_saturated_backend_is_not_pressed_harder_but_may_be_relieved),
        cmocka_unit_test(test_a_step_that_brings_nothing_is_the_last),
        cmocka_unit_test(test_a_backend_that_recovers_is_used_again_at_once),
        cmocka_unit_test(test_a_step_that_helps_is_followed_by_others),
        cmocka_unit_test(test_capacity_is_learned_only_from_settled_replicas_with_a_backlog),
        cmocka_unit_test(test_wakes_in_one_step_to_what_the_backlog_asks_for),
        cmocka_unit_test(test_sleeps_only_when_all_is_committed_and_stays_so),
        cmocka_unit_test(test_one_late_message_starts_the_wait_for_sleep_anew),
        cmocka_unit_test(test_with_a_floor_of_one_or_more_it_never_sleeps),
        cmocka_unit_test(test_says_why_in_a_sentence),
        cmocka_unit_test(test_a_sentence_never_outgrows_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
