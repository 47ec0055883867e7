/* Promise: lag, its age, losses and stalls are computed right from what was read when, whatever
 * retention, transactions, re-created topics and slow readers do. */
#include "tests/support/test.h"

#include "controller/kafka_admin/lag.h"

#include <stdlib.h>
#include <string.h>

#define S 1000

static struct lag_end end_at(int64_t now_ms, int64_t start, int64_t offset)
{
    struct lag_end end = {.known = false};
    lag_feed_start(&end, start);
    lag_feed_end(&end, now_ms, offset);
    return end;
}

static struct lag_commit commit_at(const struct lag_end *end, int64_t now_ms, int64_t committed)
{
    struct lag_commit commit = {.read = false};
    lag_feed_commit(&commit, end, now_ms, committed);
    return commit;
}

static struct lag_context at(int64_t now_ms)
{
    return (struct lag_context){.now_ms = now_ms, .working = true};
}

static void test_lag_is_what_lies_between_commit_and_end(void **state)
{
    (void)state;
    static const struct {
        int64_t start, end, committed;
        bool latest;
        uint64_t lag, lost;
    } table[] = {
        {0, 100, 40, false, 60, 0},         {0, 100, 100, false, 0, 0},
        {0, 0, OFFSET_NONE, false, 0, 0},   {20, 100, OFFSET_NONE, false, 80, 0},
        {20, 100, OFFSET_NONE, true, 0, 0}, {50, 100, 10, false, 50, 40},
        {50, 100, 10, true, 50, 40},        {0, INT64_MAX, 0, false, INT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct lag_end end = end_at(10 * S, table[i].start, table[i].end);
        struct lag_commit commit = commit_at(&end, 11 * S, table[i].committed);
        struct lag_context context = at(12 * S);
        context.latest = table[i].latest;
        struct partition_lag lag = lag_of(&context, &end, &commit);
        assert_true(lag.known);
        assert_int_equal(lag.lag, table[i].lag);
        assert_int_equal(lag.lost, table[i].lost);
    }
}

static void test_what_is_not_fresh_is_not_known(void **state)
{
    (void)state;
    struct lag_end end = end_at(10 * S, 0, 100);
    struct lag_commit commit = commit_at(&end, 11 * S, 40);
    struct lag_commit never = {.read = false};
    struct lag_context context = at(12 * S);
    assert_false(lag_of(&context, &end, &never).known);

    struct lag_end no_start = {.known = false};
    lag_feed_end(&no_start, 10 * S, 100);
    assert_false(lag_of(&context, &no_start, &commit).known);

    context.now_ms = 26 * S; /* ends are sixteen seconds old */
    assert_false(lag_of(&context, &end, &commit).known);
    lag_feed_end(&end, 26 * S, 100);
    assert_true(lag_of(&context, &end, &commit).known); /* and nothing moved since the commit */
    lag_feed_end(&end, 27 * S, 101);
    context.now_ms = 27 * S;
    assert_false(lag_of(&context, &end, &commit).known); /* who knows how far it got by now */
    context.asleep = true;
    context.now_ms = 27 * S;
    commit.peek_retry_ms = 100 * S;
    assert_true(lag_of(&context, &end, &commit).known); /* nobody commits */
}

static void test_a_commit_read_after_the_end_may_be_ahead_of_it(void **state)
{
    (void)state;
    struct lag_end end = end_at(10 * S, 0, 100);
    struct lag_commit commit = commit_at(&end, 11 * S, 105);
    struct lag_context context = at(11 * S);
    assert_int_equal(lag_of(&context, &end, &commit).lag, 0);
    lag_feed_end(&end, 12 * S, 110);
    context.now_ms = 12 * S;
    assert_int_equal(lag_of(&context, &end, &commit).lag, 5);
}

static void test_a_commit_past_an_end_that_was_read_later_is_of_another_topic(void **state)
{
    (void)state;
    struct lag_end end = end_at(10 * S, 0, 100);
    struct lag_commit commit = commit_at(&end, 10 * S, 5000);
    lag_feed_end(&end, 12 * S, 101);
    struct lag_context context = at(12 * S);
    assert_int_equal(lag_of(&context, &end, &commit).lag, 101);
    context.latest = true;
    assert_int_equal(lag_of(&context, &end, &commit).lag, 0);
}

static void test_a_topic_made_again_begins_anew(void **state)
{
    (void)state;
    struct lag_end end = end_at(10 * S, 0, 1000);
    struct lag_commit commit = commit_at(&end, 10 * S, 900);
    lag_feed_end(&end, 12 * S, 1100);
    lag_feed_commit(&commit, &end, 12 * S, 1000);
    assert_true(end.arrival.known && commit.consume.known);

    lag_feed_end(&end, 14 * S, 5); /* the end went back */
    struct lag_context context = at(14 * S);
    assert_false(end.arrival.known);
    assert_false(lag_of(&context, &end, &commit).known);
    lag_feed_start(&end, 0);
    lag_feed_commit(&commit, &end, 14 * S, OFFSET_NONE);
    assert_int_equal(lag_of(&context, &end, &commit).lag, 5);
    assert_false(commit.consume.known);
}

static void test_losses_are_counted_once_and_as_they_happen(void **state)
{
    (void)state;
    struct lag_end end = end_at(10 * S, 0, 1000);
    struct lag_commit commit = commit_at(&end, 10 * S, 100);
    assert_int_equal(commit.lost, 0);
    lag_feed_start(&end, 150);
    lag_feed_commit(&commit, &end, 12 * S, 100);
    lag_feed_commit(&commit, &end, 14 * S, 100);
    assert_int_equal(commit.lost, 50);
    lag_feed_start(&end, 180);
    lag_feed_commit(&commit, &end, 16 * S, 100);
    assert_int_equal(commit.lost, 80);
    lag_feed_commit(&commit, &end, 18 * S, 500);
    assert_int_equal(commit.lost, 80);
    lag_feed_start(&end, 600);
    lag_feed_commit(&commit, &end, 20 * S, 500);
    assert_int_equal(commit.lost, 180);
}

static void test_age_is_when_the_end_stood_where_the_commit_stands(void **state)
{
    (void)state;
    struct lag_end end = end_at(0, 0, 0);
    for (int64_t t = 2; t <= 100; t += 2)
        lag_feed_end(&end, t * S, t * 10); /* ten a second */
    struct lag_commit commit = commit_at(&end, 100 * S, 400);
    struct lag_context context = at(100 * S);
    struct partition_lag lag = lag_of(&context, &end, &commit);
    assert_true(lag.lag_ms_known);
    assert_in_range(lag.lag_ms, 59 * S, 61 * S);
    lag_feed_commit(&commit, &end, 100 * S, 1000);
    assert_int_equal(lag_of(&context, &end, &commit).lag_ms, 0);
}

static void test_age_of_a_burst_counts_from_the_burst_and_not_from_the_quiet_before(void **state)
{
    (void)state;
    struct lag_end end = end_at(0, 0, 50);
    for (int64_t t = 2; t <= 1000; t += 2)
        lag_feed_end(&end, t * S, t < 990 ? 50 : 80);
    struct lag_commit commit = commit_at(&end, 1000 * S, 50);
    struct lag_context context = at(1000 * S);
    assert_in_range(lag_of(&context, &end, &commit).lag_ms, 10 * S, 12 * S);
}

static void test_after_a_restart_one_record_tells_the_age(void **state)
{
    (void)state;
    struct lag_end end = end_at(100 * S, 0, 1000);
    struct lag_commit commit = commit_at(&end, 100 * S, 200);
    struct lag_context context = at(100 * S);
    assert_false(lag_of(&context, &end, &commit).lag_ms_known);
    assert_true(lag_wants_peek(&context, &end, &commit));

    lag_feed_peek(&commit, 200, 0, LAG_RECORD, -3500 * S); /* before the machine started */
    assert_false(lag_wants_peek(&context, &end, &commit));
    assert_int_equal(lag_of(&context, &end, &commit).lag_ms, 3600 * S);

    lag_feed_commit(&commit, &end, 102 * S, 600); /* half way, on a line to the first end */
    assert_false(lag_wants_peek(&context, &end, &commit));
    assert_in_range(lag_of(&context, &end, &commit).lag_ms, 1790 * S, 1810 * S);
}

static void test_a_record_from_the_future_has_no_age(void **state)
{
    (void)state;
    struct lag_end end = end_at(100 * S, 0, 1000);
    struct lag_commit commit = commit_at(&end, 100 * S, 200);
    struct lag_context context = at(100 * S);
    lag_feed_peek(&commit, 200, 0, LAG_RECORD, 900 * S);
    assert_int_equal(lag_of(&context, &end, &commit).lag_ms, 0);

    context.now_ms = 110 * S; /* it was there when we first looked, whatever its clock says */
    assert_int_equal(lag_of(&context, &end, &commit).lag_ms, 10 * S);
}

static void test_markers_alone_are_no_lag(void **state)
{
    (void)state;
    struct lag_end end = end_at(0, 0, 0);
    lag_feed_end(&end, 2 * S, 11);
    struct lag_commit commit = commit_at(&end, 2 * S, 10);
    struct lag_context context = at(4 * S);
    assert_false(lag_wants_peek(&context, &end, &commit)); /* it may well be on its way */
    context.now_ms = 20 * S;
    lag_feed_end(&end, 20 * S, 11);
    lag_feed_commit(&commit, &end, 20 * S, 10);
    assert_int_equal(lag_of(&context, &end, &commit).lag, 1);
    assert_true(lag_wants_peek(&context, &end, &commit));

    lag_feed_peek(&commit, 10, 11, LAG_NOTHING, 0);
    assert_int_equal(lag_of(&context, &end, &commit).lag, 0);
    assert_false(lag_wants_peek(&context, &end, &commit)); /* asked once */
    lag_feed_end(&end, 22 * S, 13);
    context.now_ms = 22 * S;
    assert_int_equal(lag_of(&context, &end, &commit).lag, 3);
}

static void test_a_sleeper_is_not_woken_before_it_is_seen_what_for(void **state)
{
    (void)state;
    struct lag_end end = end_at(0, 0, 10);
    struct lag_commit commit = commit_at(&end, 0, 10);
    struct lag_context context = {.now_ms = 2 * S, .asleep = true};
    lag_feed_end(&end, 2 * S, 12);
    assert_true(lag_wants_peek(&context, &end, &commit));
    assert_false(lag_of(&context, &end, &commit).known);

    struct lag_commit marker = commit, record = commit, denied = commit;
    lag_feed_peek(&marker, 10, 12, LAG_NOTHING, 0);
    assert_true(lag_of(&context, &end, &marker).known);
    assert_int_equal(lag_of(&context, &end, &marker).lag, 0);
    lag_feed_peek(&record, 10, 0, LAG_RECORD, 1 * S);
    assert_int_equal(lag_of(&context, &end, &record).lag, 2);
    denied.peek_retry_ms = 62 * S; /* could not be read: better awake for nothing */
    assert_true(lag_of(&context, &end, &denied).known);
    assert_int_equal(lag_of(&context, &end, &denied).lag, 2);
}

static void test_a_commit_that_stands_still_for_minutes_is_stuck(void **state)
{
    (void)state;
    struct lag_end end = end_at(0, 0, 100);
    struct lag_commit commit = commit_at(&end, 0, 40);
    int64_t t = 0;
    for (; t < 118; t += 2) {
        lag_feed_end(&end, t * S, 100 + t);
        lag_feed_commit(&commit, &end, t * S, 40);
        struct lag_context context = at(t * S);
        assert_false(lag_of(&context, &end, &commit).stuck);
    }
    lag_feed_end(&end, 120 * S, 300);
    lag_feed_commit(&commit, &end, 120 * S, 40);
    struct lag_context context = at(120 * S);
    assert_true(lag_of(&context, &end, &commit).stuck);
    lag_feed_commit(&commit, &end, 121 * S, 41);
    context.now_ms = 121 * S;
    assert_false(lag_of(&context, &end, &commit).stuck);
}

static void test_without_lag_or_members_nothing_is_stuck(void **state)
{
    (void)state;
    for (int row = 0; row < 2; row++) {
        struct lag_end end = end_at(0, 0, 100);
        struct lag_commit commit = commit_at(&end, 0, row == 0 ? 100 : 40);
        for (int64_t t = 0; t < 300; t += 2) {
            struct lag_context context = at(t * S);
            context.working = row == 0;
            lag_feed_end(&end, t * S, 100);
            lag_feed_commit(&commit, &end, t * S, row == 0 ? 100 : 40);
            assert_false(lag_of(&context, &end, &commit).stuck);
        }
    }
}

static void test_a_history_keeps_a_resolution_that_is_a_share_of_the_age(void **state)
{
    (void)state;
    struct history history = {.count = 0};
    int64_t t = 0;
    for (; t <= 48 * 3600; t += 2)
        history_add(&history, t * S, t * 5 + (t / 600 % 2) * 500 + (t / 600) * 1000);
    assert_true(history.count <= HISTORY_POINTS);
    t -= 2;
    int64_t previous = INT64_MAX;
    for (int64_t age = 4; age < 47 * 3600; age = age * 5 / 4 + 2) {
        int64_t then = t - age, found_ms = 0;
        int64_t offset = then * 5 + (then / 600 % 2) * 500 + (then / 600) * 1000;
        assert_true(history_time_of(&history, offset, &found_ms));
        int64_t wrong = llabs(found_ms / S - then);
        if (wrong > age / 4 + 4)
            fail_msg("of %lld s, %lld s wrong", (long long)age, (long long)wrong);
        assert_true(found_ms <= previous);
        previous = found_ms;
    }
}

static void test_a_history_knows_what_it_cannot_know(void **state)
{
    (void)state;
    struct history history = {.count = 0};
    int64_t ms = 0;
    assert_false(history_time_of(&history, 5, &ms));
    history_add(&history, 10 * S, 100);
    assert_false(history_time_of(&history, 99, &ms));  /* was there before */
    assert_false(history_time_of(&history, 100, &ms)); /* is not there yet */
    history_add(&history, 20 * S, 110);
    assert_true(history_time_of(&history, 109, &ms));
    assert_int_equal(ms, 20 * S);
    assert_true(history_time_of(&history, 104, &ms));
    assert_int_equal(ms, 15 * S);
    history_add(&history, 30 * S, 3);
    assert_int_equal(history.count, 1);
}

static void test_rates_are_averages_that_forget(void **state)
{
    (void)state;
    struct rate rate = {.begun = false};
    int64_t counter = 0;
    rate_feed(&rate, 0, counter, 15 * S);
    assert_false(rate.known);
    for (int64_t t = 2; t <= 60; t += 2)
        rate_feed(&rate, t * S, counter += 200, 15 * S);
    assert_true(rate.per_second > 99.9 && rate.per_second < 100.1);
    for (int64_t t = 62; t <= 140; t += 2)
        rate_feed(&rate, t * S, counter, 15 * S);
    assert_true(rate.per_second < 1);
    rate_feed(&rate, 142 * S, 7, 15 * S); /* a counter of something else */
    assert_false(rate.known);
    rate_feed(&rate, 142 * S, 9, 15 * S); /* no time has passed */
    assert_false(rate.known);
}

static void test_a_group_is_the_sum_of_its_partitions(void **state)
{
    (void)state;
    struct group_lag group = {
        .lag_ms_known = true, .rates_known = true, .committed_everywhere = true};
    struct partition_lag a = {.topic = "t",
                              .partition = 0,
                              .known = true,
                              .lag = 90,
                              .lag_ms = 700,
                              .lag_ms_known = true,
                              .arrival_rate = 10,
                              .consume_rate = 30,
                              .end = 100,
                              .stuck = true,
                              .committed = 10,
                              .lost = 2};
    struct partition_lag b = {.topic = "t",
                              .partition = 1,
                              .known = true,
                              .lag = 10,
                              .lag_ms = 900,
                              .lag_ms_known = true,
                              .arrival_rate = 5,
                              .consume_rate = 5,
                              .end = 10};
    struct partition_lag empty = {
        .topic = "t", .partition = 2, .known = true, .lag_ms_known = true};
    lag_sum(&group, &a, true);
    lag_sum(&group, &b, true);
    lag_sum(&group, &empty, false);
    lag_finish(&group);
    assert_true(group.known && group.committed_everywhere);
    assert_int_equal(group.lag_messages, 100);
    assert_int_equal(group.lag_ms, 900);
    assert_int_equal(group.drain_ms, 5000);
    assert_int_equal(group.partitions_lagging, 2);
    assert_int_equal(group.lag_stuck, 90);
    assert_int_equal(group.lost_messages, 2);
    assert_string_equal(group.stuck_where, "t/0 at offset 10");
    assert_true(group.skew > 2.69 && group.skew < 2.71);

    struct partition_lag unknown = {.topic = "t", .partition = 3};
    lag_sum(&group, &unknown, true);
    lag_finish(&group);
    assert_false(group.known);
    assert_false(group.lag_ms_known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lag_is_what_lies_between_commit_and_end),
        cmocka_unit_test(test_what_is_not_fresh_is_not_known),
        cmocka_unit_test(test_a_commit_read_after_the_end_may_be_ahead_of_it),
        cmocka_unit_test(test_a_commit_past_an_end_that_was_read_later_is_of_another_topic),
        cmocka_unit_test(test_a_topic_made_again_begins_anew),
        cmocka_unit_test(test_losses_are_counted_once_and_as_they_happen),
        cmocka_unit_test(test_age_is_when_the_end_stood_where_the_commit_stands),
        cmocka_unit_test(test_age_of_a_burst_counts_from_the_burst_and_not_from_the_quiet_before),
        cmocka_unit_test(test_after_a_restart_one_record_tells_the_age),
        cmocka_unit_test(test_a_record_from_the_future_has_no_age),
        cmocka_unit_test(test_markers_alone_are_no_lag),
        cmocka_unit_test(test_a_sleeper_is_not_woken_before_it_is_seen_what_for),
        cmocka_unit_test(test_a_commit_that_stands_still_for_minutes_is_stuck),
        cmocka_unit_test(test_without_lag_or_members_nothing_is_stuck),
        cmocka_unit_test(test_a_history_keeps_a_resolution_that_is_a_share_of_the_age),
        cmocka_unit_test(test_a_history_knows_what_it_cannot_know),
        cmocka_unit_test(test_rates_are_averages_that_forget),
        cmocka_unit_test(test_a_group_is_the_sum_of_its_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
