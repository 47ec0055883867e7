/* What the spool promises about room: never more on disk than its size, a share for every lane,
 * ERR_FULL with a sentence and back again, and DropOldest that counts each item it takes. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c tests/support/fake_clock.c
#include "tests/support/test.h"

#include "tests/support/fake_clock.h"
#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

static void start(struct fixture *fixture)
{
    fault_disk_reset();
    fake_clock_set_ms(1000);
    assert_ok(fixture_open(fixture, NULL));
}

/* One frame of one record; the fixture's own lane is traces. */
static enum err append_to(struct fixture *fixture, enum signal lane)
{
    struct error error = {0};
    struct frame_buf *frame = fixture_record(lane, 0);

    store_commit(fixture->store, lane, frame, NULL, NULL, &error);
    enum err err = frame->err;
    pending_destroy(&frame);
    return err;
}

static unsigned fill(struct fixture *fixture, enum signal lane)
{
    unsigned count = 0;
    while (count < 1000 && append_to(fixture, lane) == OK)
        count++;
    return count;
}

static uint64_t disk_bytes(struct fixture *fixture)
{
    struct spool_stats stats;

    store_stats(fixture->store, &stats);
    assert_in_range(stats.disk_bytes, 0, stats.size_bytes);
    return stats.disk_bytes;
}

static void test_is_full_at_its_size_and_takes_more_once_a_reader_has_passed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;
    unsigned appended = 0;

    fixture_init(&fixture);
    start(&fixture);
    while (fixture_append(&fixture, 1))
        appended++;
    assert_in_range(appended, 20, 60);
    assert_int_equal(fixture.error.code, ERR_FULL);
    assert_non_null(strstr(fixture.error.text, "the spool is full for traces: "));
    assert_non_null(strstr(fixture.error.text, "whenFull: DropOldest"));
    store_stats(fixture.store, &stats);
    assert_true(stats.lanes[SIGNAL_TRACES].full);
    disk_bytes(&fixture);

    fixture_deliver(&fixture, 12);
    while (store_housekeep(fixture.store))
        ;
    store_stats(fixture.store, &stats);
    assert_false(stats.lanes[SIGNAL_TRACES].full);
    assert_true(fixture_append(&fixture, 1));
    fixture_check(&fixture);
    disk_bytes(&fixture);
    fixture_close(&fixture);
}

static void test_follows_a_changed_policy(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;
    struct error error = {0};

    fixture_init(&fixture);
    start(&fixture);
    unsigned first = fill(&fixture, SIGNAL_TRACES);
    struct spool_policy policy = {.size_bytes = 2 * fixture.config.size_bytes};
    assert_ok(spool_set_policy(fixture_spool(&fixture), &policy, NULL));
    assert_int_equal(append_to(&fixture, SIGNAL_TRACES), ERR_FULL); /* not yet taken over */
    while (store_housekeep(fixture.store))
        ;
    assert_in_range(fill(&fixture, SIGNAL_TRACES), first / 2, 2 * first);
    assert_in_range(disk_bytes(&fixture), fixture.config.size_bytes, policy.size_bytes);

    policy.size_bytes = FIXTURE_SEGMENT;
    assert_int_equal(spool_set_policy(fixture_spool(&fixture), &policy, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "it must hold at least"));
    policy = (struct spool_policy){.size_bytes = fixture.config.size_bytes,
                                   .when_full = SPOOL_DROP_OLDEST};
    assert_ok(spool_set_policy(fixture_spool(&fixture), &policy, NULL));
    while (store_housekeep(fixture.store))
        ;
    assert_ok(append_to(&fixture, SIGNAL_TRACES));
    store_stats(fixture.store, &stats);
    assert_true(stats.lanes[SIGNAL_TRACES].dropped > 0);
    disk_bytes(&fixture); /* within the smaller size again */
    fixture_close(&fixture);
}

static void test_keeps_a_share_for_every_lane(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.config.share_bytes[SIGNAL_LOGS] = 3 * FIXTURE_SEGMENT;
    start(&fixture);
    unsigned most = fill(&fixture, SIGNAL_TRACES);
    unsigned metrics = fill(&fixture, SIGNAL_METRICS);
    unsigned logs = fill(&fixture, SIGNAL_LOGS);
    /* Four such frames to a segment; 12 segments, of which 2 are for metrics and 3 for logs. */
    assert_int_equal(most, 4 * 7);
    assert_int_equal(metrics, 4 * 2);
    assert_int_equal(logs, 4 * 3);
    disk_bytes(&fixture);
    fixture_close(&fixture);
}

static void test_drops_the_oldest_segment_and_counts_its_items(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;
    struct spool_frame *frame = NULL;

    fixture_init(&fixture);
    fixture.config.when_full = SPOOL_DROP_OLDEST;
    start(&fixture);
    for (unsigned i = 0; i < 120; i++)
        assert_true(fixture_append(&fixture, 1));
    store_stats(fixture.store, &stats);
    const struct spool_lane_stats *lane = &stats.lanes[SIGNAL_TRACES];
    assert_true(lane->dropped > 0);
    assert_false(lane->full);
    assert_int_equal(lane->items, 120);
    assert_int_equal(lane->readers[0].dropped, lane->dropped);
    assert_int_equal(lane->readers[0].items + lane->readers[0].dropped, 120);
    assert_int_equal(lane->readers[0].delivered, 0);
    disk_bytes(&fixture);

    assert_ok(spool_reader_next(fixture.reader, 0, &frame, NULL));
    assert_int_equal(fixture_number(frame), lane->dropped); /* record n is the nth item */
    assert_int_equal(frame->lost_items, lane->dropped);
    spool_frame_release(&frame);
    fixture.delivered = lane->dropped;

    /* The count is saved with the cursor that moved over them. */
    fixture_close(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    fixture_check(&fixture);
    struct spool_stats again;
    store_stats(fixture.store, &again);
    assert_int_equal(again.lanes[SIGNAL_TRACES].dropped, lane->dropped);
    assert_int_equal(again.lanes[SIGNAL_TRACES].readers[0].dropped, lane->dropped);
    fixture_close(&fixture);
}

/* What was dropped stays dropped, although its frames are still on the disk. */
static void test_does_not_bring_back_what_was_dropped(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    fixture_init(&fixture);
    fixture.config.when_full = SPOOL_DROP_OLDEST;
    start(&fixture);
    fixture_close(&fixture); /* the reader is in the cursor file now, at the beginning */
    assert_ok(fixture_open(&fixture, NULL));
    for (unsigned i = 0; i < 60; i++)
        assert_true(fixture_append(&fixture, 1));
    store_stats(fixture.store, &stats);
    uint64_t dropped = stats.lanes[SIGNAL_TRACES].dropped;
    assert_true(dropped > 0);
    fixture_kill(&fixture);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_ok(fixture_open(&fixture, NULL));
    fixture.delivered = dropped;
    assert_int_equal(fixture_check(&fixture), 60 - dropped);
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].dropped, dropped);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].damaged, 0);
    fixture_close(&fixture);
}

static void test_takes_a_full_disk_for_a_full_spool_and_recovers(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    start(&fixture);
    fault_disk_set_capacity(5 * FIXTURE_SEGMENT);
    while (fixture_append(&fixture, 1))
        ;
    assert_int_equal(fixture.error.code, ERR_FULL);
    assert_int_equal(fixture_check(&fixture), fixture.next - 1);

    fault_disk_set_capacity(64u << 20);
    while (store_housekeep(fixture.store))
        ;
    assert_true(fixture_append(&fixture, 1));
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void test_adds_no_file_below_min_free(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    fixture.config.min_free_percent = 50;
    start(&fixture);
    fault_disk_set_capacity(10 * FIXTURE_SEGMENT);
    while (fixture_append(&fixture, 1))
        ;
    assert_int_equal(fixture.error.code, ERR_FULL);
    assert_non_null(strstr(fixture.error.text, "minFree keeps 50% free"));
    assert_in_range(disk_bytes(&fixture), 3 * FIXTURE_SEGMENT, 5 * FIXTURE_SEGMENT);
    fixture_close(&fixture);
}

static void test_drops_what_is_too_old(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    fixture_init(&fixture);
    fixture.config.max_age_ms = 60000;
    start(&fixture);
    assert_true(fixture_append(&fixture, 3));
    fake_clock_set_ms(50000);
    while (store_housekeep(fixture.store))
        ;
    fixture_check(&fixture);
    fake_clock_set_ms(70000);
    while (store_housekeep(fixture.store))
        ;
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].dropped, 3);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].dropped, 3);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].segments, 0);
    fixture_close(&fixture);
}

static uint64_t dropped_at(struct fixture *fixture, uint64_t now_ms)
{
    struct spool_stats stats;

    fake_clock_set_ms(now_ms);
    while (store_housekeep(fixture->store))
        ;
    store_stats(fixture->store, &stats);
    return stats.lanes[SIGNAL_TRACES].dropped;
}

static void test_drops_nothing_because_the_clock_was_put_forward_or_back(void **state)
{
    (void)state;
    const int64_t ten_years_ms = INT64_C(315000000000);
    struct fixture fixture;

    fake_clock_set_ms(10000);
    fixture_init(&fixture);
    fixture.config.max_age_ms = 60000;
    start(&fixture);
    assert_true(fixture_append(&fixture, 3));
    fake_clock_jump_ms(ten_years_ms);
    assert_int_equal(dropped_at(&fixture, 11000), 0);
    assert_int_equal(dropped_at(&fixture, 70000), 0);
    fake_clock_jump_ms(-ten_years_ms);
    assert_int_equal(dropped_at(&fixture, 70500), 0);
    fake_clock_jump_ms(ten_years_ms);
    assert_int_equal(dropped_at(&fixture, 130000), 0);
    assert_int_equal(dropped_at(&fixture, 189000), 0);
    assert_int_equal(dropped_at(&fixture, 190000), 3); /* they are that old now */
    fake_clock_jump_ms(-ten_years_ms);
    fixture_close(&fixture);
}

static void test_gives_surplus_files_back(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    start(&fixture);
    while (fixture_append(&fixture, 1))
        ;
    fixture_deliver(&fixture, 100);
    while (store_housekeep(fixture.store))
        ;
    assert_in_range(disk_bytes(&fixture), 0, (STORE_SPARES_MAX + 1) * FIXTURE_SEGMENT);
    assert_in_range(fault_disk_files(), 0, STORE_SPARES_MAX + 1 + 2); /* and lock and cursors */
    fixture_close(&fixture);
}

static void test_refuses_settings_that_can_not_be(void **state)
{
    (void)state;
    struct fixture fixture;
    struct error error = {0};

    fault_disk_reset();
    fixture_init(&fixture);
    fixture.config.size_bytes = 4 * FIXTURE_SEGMENT;
    assert_int_equal(fixture_open(&fixture, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "it must hold at least 8"));

    fixture_init(&fixture);
    fixture.config.segment_bytes = 20000;
    assert_int_equal(fixture_open(&fixture, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "multiples of 4 KiB"));

    fixture_init(&fixture);
    fixture.config.share_bytes[SIGNAL_LOGS] = fixture.config.size_bytes;
    assert_int_equal(fixture_open(&fixture, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "the shares of the signals add up"));

    fixture_init(&fixture);
    fixture.config.min_free_percent = 100;
    assert_int_equal(fixture_open(&fixture, &error), ERR_INVALID);
}

static void test_is_owned_by_one_at_a_time(void **state)
{
    (void)state;
    struct fixture fixture, other;
    struct error error = {0};

    fixture_init(&fixture);
    fixture_init(&other);
    start(&fixture);
    assert_int_equal(fixture_open(&other, &error), ERR_CONFLICT);
    assert_non_null(strstr(error.text, "is in use by process "));
    fixture_close(&fixture);
    assert_ok(fixture_open(&other, &error));
    fixture_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_full_at_its_size_and_takes_more_once_a_reader_has_passed),
        cmocka_unit_test(test_follows_a_changed_policy),
        cmocka_unit_test(test_keeps_a_share_for_every_lane),
        cmocka_unit_test(test_drops_the_oldest_segment_and_counts_its_items),
        cmocka_unit_test(test_does_not_bring_back_what_was_dropped),
        cmocka_unit_test(test_takes_a_full_disk_for_a_full_spool_and_recovers),
        cmocka_unit_test(test_adds_no_file_below_min_free),
        cmocka_unit_test(test_drops_nothing_because_the_clock_was_put_forward_or_back),
        cmocka_unit_test(test_drops_what_is_too_old),
        cmocka_unit_test(test_gives_surplus_files_back),
        cmocka_unit_test(test_refuses_settings_that_can_not_be),
        cmocka_unit_test(test_is_owned_by_one_at_a_time),
    };
    return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
