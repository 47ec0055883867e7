/* What the store promises: an acknowledged record outlives anything, whatever fails and whenever
 * the power goes, also across files that are overwritten in place; and a single fault costs
 * nothing. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c
#include "tests/support/test.h"

#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

/* Every unsynced byte; under the sanitizers, which look for other faults, some of them. */
#if UNDER_TSAN
enum { STRIDE = 41 };
#elif UNDER_ASAN
enum { STRIDE = 7 };
#else
enum { STRIDE = 1 };
#endif

/* Enough to overwrite each file twice: groups of one to three records, a reader behind them, and a
 * restart in the middle. Stops where something fails for good. */
static void live(struct fixture *fixture)
{
    for (unsigned step = 0; step < 14; step++) {
        if (step == 0 || step == 9) {
            if (fixture->store != NULL)
                fixture_close(fixture);
            if (fixture_open(fixture, NULL) != OK)
                return;
        }
        if (!fixture_append(fixture, 1 + step % 3))
            return;
        if (step > 2)
            fixture_deliver(fixture, step % 4);
        store_housekeep(fixture->store);
    }
}

static void start_life(struct fixture *fixture, unsigned nth, bool lasting)
{
    fault_disk_reset();
    fixture_init(fixture);
    fault_disk_fail(nth, lasting, ERR_IO);
    live(fixture);
}

static void recover_and_check(struct fixture *fixture)
{
    struct error error = {0};

    if (fixture_open(fixture, &error) != OK)
        fail_msg("recovery refused to start: %s", error.text);
    fixture_check(fixture);
}

/* After the power failure: nothing acknowledged is missing, work goes on, and a second power
 * failure brings back nothing that the first recovery had given up. */
static void crash_twice(struct fixture *fixture, size_t keep, enum damage damage, bool names)
{
    fault_disk_crash(keep, damage, names);
    recover_and_check(fixture);
    assert_true(fixture_append(fixture, 2));
    fixture_check(fixture);
    fixture_kill(fixture);

    fault_disk_crash(keep % 3 == 0 ? SIZE_MAX : 0, DAMAGE_NONE, !names);
    recover_and_check(fixture);
    fixture_kill(fixture);
}

static void test_reads_back_what_was_appended(void **state)
{
    (void)state;
    struct fixture fixture;

    start_life(&fixture, 0, false);
    assert_int_equal(fixture.next, 27);
    assert_int_equal(fixture_check(&fixture), 27 - fixture.delivered);
    fixture_close(&fixture);
}

static void test_keeps_what_it_acknowledged_whatever_fails_and_when_the_power_goes(void **state)
{
    (void)state;
    fixture_break_everywhere(start_life, crash_twice, STRIDE);
}

/* The group is still in memory: it is written again elsewhere, and nobody hears of it. */
static void test_survives_any_single_fault_without_failing_an_append(void **state)
{
    (void)state;
    unsigned nth = 0, calls;

    do {
        struct fixture fixture;
        nth++;
        start_life(&fixture, nth, false);
        calls = fault_disk_calls();
        fault_disk_fail(0, false, OK);
        if (fixture.store == NULL) { /* the fault met the opening */
            assert_ok(fixture_open(&fixture, NULL));
            live(&fixture);
        } else {
            assert_int_equal(fixture.fate[fixture.next - 1], FATE_ACKED);
        }
        fixture_check(&fixture);
        fixture_kill(&fixture);
        fault_disk_crash(0, DAMAGE_NONE, false);
        recover_and_check(&fixture);
        fixture_kill(&fixture);
    } while (calls >= nth);
    assert_true(nth > 100);
}

/* Any write finds the disk full, also the one behind the marks that a segment begins with. */
static void test_what_a_full_disk_refuses_is_not_acknowledged(void **state)
{
    (void)state;
    for (unsigned nth = 1; nth < 24; nth++)
        for (int lasting = 0; lasting < 2; lasting++) {
            struct fixture fixture;
            fault_disk_reset();
            fixture_init(&fixture);
            fixture.marked = true;
            assert_ok(fixture_open(&fixture, NULL));
            assert_true(fixture_append(&fixture, 1));
            assert_true(fixture_append(&fixture, 1)); /* the segment has no more room */
            fault_disk_fail(nth, lasting, ERR_FULL);
            for (int i = 0; i < 4; i++)
                IGNORE_RESULT(fixture_append(&fixture, 1));
            fault_disk_fail(0, false, OK);
            fixture_check(&fixture);
            assert_true(fixture_append(&fixture, 1));
            fixture_kill(&fixture);
            fault_disk_crash(0, DAMAGE_NONE, false);
            assert_ok(fixture_open(&fixture, NULL));
            fixture_check(&fixture);
            fixture_kill(&fixture);
        }
}

/* A sync that failed may be followed by one that lies. */
static void test_never_trusts_a_file_whose_sync_failed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    fault_disk_reset();
    fixture_init(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 1));
    fault_disk_fail(2, false, ERR_IO); /* write, then the sync */
    assert_true(fixture_append(&fixture, 1));
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.sync_failures, 1);
    assert_int_equal(stats.retired_segments, 1);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].segments, 2);

    fixture_kill(&fixture);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_ok(fixture_open(&fixture, NULL));
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_kill(&fixture);
}

static void test_fails_the_group_when_a_fresh_segment_fails_too(void **state)
{
    (void)state;
    struct fixture fixture;

    fault_disk_reset();
    fixture_init(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 1));
    fault_disk_fail(1, true, ERR_IO);
    assert_false(fixture_append(&fixture, 2));
    assert_int_equal(fixture.error.code, ERR_IO);
    fault_disk_fail(0, false, OK);

    assert_int_equal(fixture_check(&fixture), 1); /* readers see none of it */
    assert_true(fixture_append(&fixture, 1));     /* and the lane goes on */
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_kill(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_kill(&fixture);
}

/* A number once given out never names other bytes, not even after the bytes have rotted away. */
static void test_never_gives_out_a_sequence_twice(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_frame *frame = NULL;
    uint64_t highest = 0;

    fault_disk_reset();
    fixture_init(&fixture);
    for (int round = 0; round < 3; round++) {
        assert_ok(fixture_open(&fixture, NULL));
        assert_true(fixture_append(&fixture, 1));
        for (bool seen = false; spool_reader_next(fixture.reader, 0, &frame, NULL) == OK;
             seen = true) {
            assert_true(seen || frame->seq > highest);
            highest = frame->seq;
            fixture.delivered = fixture_number(frame) + 1;
            spool_reader_ack(fixture.reader, frame->end);
            spool_frame_release(&frame);
        }
        fixture_close(&fixture);
        fault_disk_rot("spool/00000000.segment", 200); /* the data of the frame */
        fault_disk_rot("spool/00000001.segment", 200);
        fault_disk_rot("spool/00000002.segment", 200);
    }
    assert_true(highest >= UINT64_C(3) << 32);
}

static void test_draws_a_new_incarnation_when_the_cursors_are_lost(void **state)
{
    (void)state;
    struct fixture fixture;

    fault_disk_reset();
    fixture_init(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    uint64_t incarnation = fixture.store->incarnation;
    assert_true(fixture_append(&fixture, 3));
    fixture_deliver(&fixture, 1);
    fixture_close(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture.store->incarnation == incarnation);
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_close(&fixture);

    assert_true(fault_disk_rot("spool/cursors", 20));
    assert_true(fault_disk_rot("spool/cursors", 4096 + 20));
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture.store->incarnation != incarnation);
    assert_int_equal(fixture_check(&fixture), 3); /* a repeat is better than a loss */
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_what_was_appended),
        cmocka_unit_test(test_survives_any_single_fault_without_failing_an_append),
        cmocka_unit_test(test_what_a_full_disk_refuses_is_not_acknowledged),
        cmocka_unit_test(test_never_trusts_a_file_whose_sync_failed),
        cmocka_unit_test(test_fails_the_group_when_a_fresh_segment_fails_too),
        cmocka_unit_test(test_never_gives_out_a_sequence_twice),
        cmocka_unit_test(test_draws_a_new_incarnation_when_the_cursors_are_lost),
        cmocka_unit_test(test_keeps_what_it_acknowledged_whatever_fails_and_when_the_power_goes),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
