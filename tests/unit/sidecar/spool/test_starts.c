/* What a start must withstand and may not cost: a disk that can't be read just now, numbers that
 * only a lost header knew, the room that the last run had not used. Nothing acknowledged is lost by
 * any of it. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c tests/support/fake_clock.c
#include "tests/support/test.h"

#include "common/os.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

enum { BLOCK = 4096, START_MS = 2000000000 };

static const char first_file[] = FIXTURE_DIR "/00000000.segment";

static void start_with(struct fixture *fixture, unsigned blocks)
{
    fault_disk_reset();
    fake_clock_set_ms(START_MS);
    fixture_init(fixture);
    fixture->config.segment_bytes = blocks * BLOCK;
    fixture->config.size_bytes = FIXTURE_SEGMENTS * fixture->config.segment_bytes;
    assert_ok(fixture_open(fixture, NULL));
}

static void start(struct fixture *fixture)
{
    start_with(fixture, FIXTURE_SEGMENT / BLOCK);
}

/* The power goes with nothing that was not synced. */
static void cut_power(struct fixture *fixture)
{
    fixture_kill(fixture);
    fault_disk_fail(0, false, OK);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_ok(fixture_open(fixture, NULL));
}

static void restart(struct fixture *fixture)
{
    fixture_kill(fixture);
    assert_ok(fixture_open(fixture, NULL));
}

/* Records from `n` on; 0 to 3, 5 and 7 are of one block, 4 is of two, 6 of three. */
static void append_from(struct fixture *fixture, uint64_t n, unsigned count)
{
    fixture->next = n;
    assert_true(fixture_append(fixture, count));
}

static bool commit_to(struct fixture *fixture, enum signal lane, uint64_t n,
                      store_written_fn *written)
{
    struct frame_buf *frame = fixture_record(lane, n);

    store_commit(fixture->store, lane, frame, written, NULL, NULL);
    enum err err = frame->err;
    pending_destroy(&frame);
    return err == OK;
}

static void save_disk(void *context, struct frame_buf *frames, const struct frame_buf *end)
{
    (void)context;
    (void)frames;
    (void)end;
    fault_disk_save();
}

/* Reads all from the cursor on; the numbers of the records as bits. */
static uint64_t read_all(struct spool_reader *reader)
{
    struct spool_frame *frame = NULL;
    uint64_t seen = 0;

    spool_reader_rewind(reader);
    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        uint64_t bit = UINT64_C(1) << fixture_number(frame);
        assert_int_equal(seen & bit, 0);
        seen |= bit;
        spool_frame_release(&frame);
    }
    spool_reader_rewind(reader);
    return seen;
}

/* ---- what can't be read just now */

/* Any call of a start fails, alone or with all behind it: what could not be read is there once it
 * can be. */
static void test_what_can_not_be_read_at_a_start_is_not_declared_void(void **state)
{
    (void)state;
    for (int lasting = 0; lasting < 2; lasting++) {
        unsigned nth = 0, calls;
        do {
            struct fixture fixture;
            nth++;
            start(&fixture);
            append_from(&fixture, 0, 1);
            append_from(&fixture, 1, 1);
            append_from(&fixture, 2, 1);
            fixture_kill(&fixture);
            fault_disk_fail(nth, lasting, ERR_IO);
            enum err err = fixture_open(&fixture, NULL);
            calls = fault_disk_calls();
            fault_disk_fail(0, false, OK);
            if (err)
                assert_ok(fixture_open(&fixture, NULL));
            append_from(&fixture, 7, 1);
            assert_true((read_all(fixture.reader) & 1u << 7) != 0);
            cut_power(&fixture);
            assert_int_equal(read_all(fixture.reader), 7u | 1u << 7);
            fixture_kill(&fixture);
        } while (nth <= calls);
        assert_true(nth > 15);
    }
}

/* The same with each place of the lane's only segment, which keeps its size too. */
static void test_a_bad_place_at_a_start_costs_nothing_that_it_hid(void **state)
{
    (void)state;
    for (unsigned block = 0; block < 3; block++) {
        struct fixture fixture;
        start(&fixture);
        for (uint64_t n = 0; n < 3; n++)
            append_from(&fixture, n, 1);
        fault_disk_bad_sector(first_file, block * BLOCK);
        restart(&fixture);
        append_from(&fixture, 7, 1);
        fault_disk_mend();
        cut_power(&fixture);
        assert_int_equal(read_all(fixture.reader), 7u | 1u << 7);
        fixture_kill(&fixture);
    }
}

/* Of a file in its second life only the leftovers of the first can be read, and none of those count:
 * it is not blank for that. */
static void test_a_life_that_can_not_be_read_is_not_written_over(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture);
    append_from(&fixture, 0, 4); /* the first file */
    append_from(&fixture, 0, 1); /* the second */
    fixture_deliver(&fixture, 5);
    assert_ok(store_free_passed(fixture.store, false, NULL));
    append_from(&fixture, 1, 3);
    append_from(&fixture, 5, 1); /* the first file again, one block of it */
    assert_int_equal(fixture.store->lanes[SIGNAL_TRACES].active->slot, 0);
    assert_ok(store_save_cursors(fixture.store, NULL));
    fault_disk_bad_sector(first_file, 0);
    restart(&fixture);
    for (unsigned i = 0; i < 3; i++) {
        append_from(&fixture, 7 + 7 * i, 1);
        assert_true(commit_to(&fixture, SIGNAL_LOGS, 6, NULL));
    }
    fault_disk_mend();
    cut_power(&fixture);
    assert_int_equal(read_all(fixture.reader) & 1u << 5, 1u << 5);
    fixture_kill(&fixture);
}

/* ---- numbers */

static void remove_segment(uint32_t slot)
{
    char path[64];

    assert_true(segment_path(FIXTURE_DIR, slot, SEGMENT_SUFFIX, sizeof path, path));
    if (fault_disk_exists(path))
        assert_ok(os_remove(path, NULL));
}

/* Which spare is taken next: that file, or any other. */
static void put_first(struct store *store, uint32_t slot, bool wanted)
{
    struct segment *head = store->spares;

    assert_non_null(head);
    if ((head->slot == slot) == wanted)
        return;
    struct segment **at = &head->next;
    while (*at != NULL && ((*at)->slot == slot) != wanted)
        at = &(*at)->next;
    struct segment *first = *at;
    assert_non_null(first);
    *at = first->next;
    first->next = head;
    store->spares = first;
}

/* Commits records of one block each, and the power goes before their sync: the disk gets some. */
static void lose_power_in(struct fixture *fixture, enum signal lane, unsigned count, size_t keep,
                          enum damage damage)
{
    struct frame_buf *frames = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct frame_buf *frame = fixture_record(lane, i);
        frame->next = frames;
        frames = frame;
    }
    store_commit(fixture->store, lane, frames, save_disk, NULL, NULL);
    while (frames != NULL) {
        struct frame_buf *frame = frames;
        frames = frame->next;
        pending_destroy(&frame);
    }
    fixture_kill(fixture);
    fault_disk_restore();
    fault_disk_crash(keep, damage, true);
    assert_ok(fixture_open(fixture, NULL));
}

/* Of the first group of a segment only the last block comes to the disk, so that the file is known
 * for what it held before. The next power cut tears what is there in front of it, and it is known
 * for what nobody had seen. Without a clock that goes on, the runs between had no reason not to give
 * out its number. */
static void test_a_number_that_only_a_lost_header_knew_does_not_come_again(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture);
    append_from(&fixture, 0, 4);
    append_from(&fixture, 0, 1);
    fixture_deliver(&fixture, 5);
    assert_ok(store_free_passed(fixture.store, false, NULL));
    restart(&fixture); /* the first file is a spare */
    assert_ok(store_add_spare(fixture.store, NULL));
    assert_ok(store_add_spare(fixture.store, NULL));
    append_from(&fixture, 1, 1);
    fault_disk_fail(1, true, ERR_IO); /* two segments come to nothing, the second is begun for it */
    fixture.next = 2;
    assert_false(fixture_append(&fixture, 1));
    fault_disk_fail(0, false, OK);
    put_first(fixture.store, 0, true);
    lose_power_in(&fixture, SIGNAL_TRACES, 3, BLOCK, DAMAGE_BACKWARDS);

    put_first(fixture.store, 0, false);
    append_from(&fixture, 7, 1);
    put_first(fixture.store, 0, true);
    lose_power_in(&fixture, SIGNAL_LOGS, 1, 100, DAMAGE_NONE);
    assert_int_equal(read_all(fixture.reader) & ~1u, 1u << 1 | 1u << 7);
    fixture_kill(&fixture);
}

/* A start could not save the cursors; then none is given out before it is done. A run that comes to
 * the end of what it has reserved takes more. */
static void test_none_is_given_out_that_is_not_reserved(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture);
    struct lane *lane = &fixture.store->lanes[SIGNAL_TRACES];
    fixture.store->reserved = 0;
    fault_disk_fail(1, true, ERR_IO);
    assert_false(fixture_append(&fixture, 1));
    assert_null(lane->segments);
    fault_disk_fail(0, false, OK);
    append_from(&fixture, 0, 1);

    fixture.store->next_number = fixture.store->reserved;
    append_from(&fixture, 4, 4); /* goes to a second segment */
    assert_true(lane->active->number < fixture.store->reserved);
    lane->next_seq = lane->reserved;
    append_from(&fixture, 4, 4);
    assert_true(lane->next_seq < lane->reserved);

    uint64_t number = lane->active->number, seq = lane->next_seq;
    fixture_kill(&fixture);
    for (uint32_t slot = 0; slot < 4; slot++)
        remove_segment(slot);
    assert_ok(fixture_open(&fixture, NULL));
    lane = &fixture.store->lanes[SIGNAL_TRACES];
    assert_true(fixture.store->next_number > number);
    assert_true(lane->next_seq >= seq);
    assert_int_equal(lane->next_seq % STORE_RUN, 0);
    fixture_kill(&fixture);
}

/* ---- room */

/* Nothing is delivered, and each run writes one frame. */
static void test_a_start_costs_no_more_room_than_what_the_last_run_wrote(void **state)
{
    enum { STARTS = 40, BLOCKS = 256 };
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    start_with(&fixture, BLOCKS);
    for (unsigned i = 0; i < STARTS; i++) {
        append_from(&fixture, i, 1);
        if (i % 2 == 0)
            restart(&fixture);
        else
            cut_power(&fixture);
    }
    assert_int_equal(read_all(fixture.reader), (UINT64_C(1) << STARTS) - 1);
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].segments, STARTS);
    /* A file counts for the 32nd part of a segment at least. */
    assert_int_equal(stats.lanes[SIGNAL_TRACES].bytes, STARTS * BLOCKS * BLOCK / 32);
    assert_in_range(stats.disk_bytes, 0, stats.size_bytes);

    fixture_deliver(&fixture, STARTS);
    assert_ok(store_free_passed(fixture.store, false, NULL));
    store_stats(fixture.store, &stats);
    assert_in_range(stats.lanes[SIGNAL_TRACES].segments, 0, 1);
    append_from(&fixture, 6, 1); /* does not fit a file that was cut */
    cut_power(&fixture);
    assert_int_equal(read_all(fixture.reader), 1u << 6);
    fixture_kill(&fixture);
}

/* Of what is larger than that, each block counts. */
static void test_a_file_that_was_cut_counts_for_what_it_holds(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    start_with(&fixture, 256);
    append_from(&fixture, 0, 12);
    restart(&fixture);
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].bytes, 16 * BLOCK);
    assert_int_equal(read_all(fixture.reader), (1u << 12) - 1);
    fixture_kill(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_can_not_be_read_at_a_start_is_not_declared_void),
        cmocka_unit_test(test_a_bad_place_at_a_start_costs_nothing_that_it_hid),
        cmocka_unit_test(test_a_life_that_can_not_be_read_is_not_written_over),
        cmocka_unit_test(test_a_number_that_only_a_lost_header_knew_does_not_come_again),
        cmocka_unit_test(test_none_is_given_out_that_is_not_reserved),
        cmocka_unit_test(test_a_start_costs_no_more_room_than_what_the_last_run_wrote),
        cmocka_unit_test(test_a_file_that_was_cut_counts_for_what_it_holds),
    };
    return cmocka_run_group_tests_name("starts", tests, NULL, NULL);
}
