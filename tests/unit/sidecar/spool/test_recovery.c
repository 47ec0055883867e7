/* What recovery promises: the tail is cut at the first torn frame with all behind it, leftovers of
 * earlier lives never count, damage below the synced position is skipped, a start never refuses. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c
#include "tests/support/test.h"

#include "common/os.h"
#include "sidecar/spool/spool_tool.h"
#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static void start(struct fixture *fixture)
{
    fault_disk_reset();
    fixture_init(fixture);
    assert_ok(fixture_open(fixture, NULL));
}

static void crash(struct fixture *fixture)
{
    fixture_kill(fixture);
    fault_disk_crash(0, DAMAGE_NONE, true);
    assert_ok(fixture_open(fixture, NULL));
}

/* Flips a bit in the data of the nth 4 KiB of a file. */
static void rot_block(const char *path, unsigned block)
{
    assert_true(fault_disk_rot(path, block * 4096u + 130));
}

/* Four records of 4 KiB in one group: nothing on the disk tells that they were synced. */
static void append_group_of_small(struct fixture *fixture, unsigned count)
{
    fixture->next = 0; /* records 0 to 3 are small */
    assert_true(fixture_append(fixture, count));
}

static void test_cuts_the_tail_at_the_first_torn_frame_with_all_behind_it(void **state)
{
    (void)state;
    for (unsigned torn = 0; torn < 4; torn++) {
        struct fixture fixture;
        struct spool_frame *frame = NULL;
        unsigned seen = 0;

        start(&fixture);
        append_group_of_small(&fixture, 4);
        fixture_kill(&fixture);
        rot_block("spool/00000000.segment", torn);
        assert_ok(fixture_open(&fixture, NULL));
        while (spool_reader_next(fixture.reader, 0, &frame, NULL) == OK) {
            assert_int_equal(fixture_number(frame), seen++);
            spool_frame_release(&frame);
        }
        assert_int_equal(seen, torn);
        struct spool_stats stats;
        store_stats(fixture.store, &stats);
        assert_int_equal(stats.lanes[SIGNAL_TRACES].torn, 1);

        /* For good: not after the next start either. */
        fixture.next = 10;
        assert_true(fixture_append(&fixture, 1));
        crash(&fixture);
        for (seen = 0; spool_reader_next(fixture.reader, 0, &frame, NULL) == OK; seen++) {
            assert_int_equal(fixture_number(frame), seen < torn ? seen : 10);
            assert_int_equal(frame->lost_items, 0);
            spool_frame_release(&frame);
        }
        assert_int_equal(seen, torn + 1);
        fixture_kill(&fixture);
    }
}

static void test_tears_at_a_lost_header_as_well(void **state)
{
    (void)state;
    for (unsigned torn = 0; torn < 3; torn++) {
        struct fixture fixture;
        struct spool_frame *frame = NULL;
        unsigned seen = 0;

        start(&fixture);
        append_group_of_small(&fixture, 4);
        fixture_kill(&fixture);
        assert_true(fault_disk_rot("spool/00000000.segment", torn * 4096u + 40));
        assert_ok(fixture_open(&fixture, NULL));
        for (; spool_reader_next(fixture.reader, 0, &frame, NULL) == OK; seen++)
            spool_frame_release(&frame);
        assert_int_equal(seen, torn);
        fixture_kill(&fixture);
    }
}

/* A later frame tells that the damaged one had been synced. */
static void test_takes_a_bad_frame_below_the_synced_position_for_damage(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_frame *frame = NULL;
    unsigned seen = 0;

    start(&fixture);
    append_group_of_small(&fixture, 2);
    assert_true(fixture_append(&fixture, 1));
    fixture_kill(&fixture);
    rot_block("spool/00000000.segment", 0);
    assert_ok(fixture_open(&fixture, NULL));
    for (; spool_reader_next(fixture.reader, 0, &frame, NULL) == OK; seen++) {
        assert_int_equal(fixture_number(frame), seen + 1);
        spool_frame_release(&frame);
    }
    assert_int_equal(seen, 2);
    fixture_kill(&fixture);
}

/* Four blocks of the first segment, as they are on the disk. */
static void copy_first_segment(bool back, unsigned from, uint8_t blocks[static 4 * 4096])
{
    int fd = -1;
    size_t got = 0, at = (size_t)from * 4096, len = (size_t)4 * 4096 - at;

    assert_ok(os_open_as("spool/00000000.segment", OS_EXISTING, &fd, NULL));
    if (back) {
        assert_ok(os_write_at(fd, (struct bytes){blocks + at, len}, at, NULL));
        assert_ok(os_sync(fd, NULL));
    } else {
        assert_ok(os_read_at(fd, blocks + at, len, at, &got, NULL));
        assert_int_equal(got, len);
    }
    os_close(&fd);
}

/* Behind the one frame of this life lie three of another, in the right places and with the
 * sequences that would come next: by nothing but the generation are they not of this life. */
static void test_stops_where_the_leftovers_of_an_earlier_life_begin(void **state)
{
    (void)state;
    static uint8_t blocks[4 * 4096];
    struct fixture fixture;

    start(&fixture);
    append_group_of_small(&fixture, 4);
    copy_first_segment(false, 0, blocks);
    fixture_kill(&fixture);

    start(&fixture);
    assert_true(fixture_append(&fixture, 1));
    copy_first_segment(true, 1, blocks);
    crash(&fixture);
    assert_int_equal(fixture_check(&fixture), 1);
    assert_true(fixture_append(&fixture, 1));
    crash(&fixture);
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_kill(&fixture);
}

static void test_starts_whatever_the_files_hold(void **state)
{
    (void)state;
    uint8_t junk[3000];
    struct fixture fixture;

    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)(i * 131 + i / 256);
    fault_disk_reset();
    fixture_init(&fixture);
    fault_disk_put("spool/00000003.segment", junk, sizeof junk);
    fault_disk_put("spool/00000004.segment", junk, 0);
    fault_disk_put("spool/cursors", junk, sizeof junk);
    fault_disk_put("spool/cursors.new", junk, 10);
    fault_disk_put("spool/readme.txt", junk, 10);
    fault_disk_put("spool/12.segment", junk, 10);
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 3));
    assert_int_equal(fixture_check(&fixture), 3);
    assert_true(fault_disk_exists("spool/readme.txt")); /* what is not ours stays */
    assert_true(fault_disk_exists("spool/12.segment"));
    fixture_close(&fixture);
}

/* ---- the tool, on what recovery reads */

static char *output_of(int argc, char **argv, int want)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    assert_int_equal(spool_tool_main(argc, argv, NULL, out, out), want);
    fclose(out);
    return text;
}

static void test_shows_the_spool_offline(void **state)
{
    (void)state;
    struct fixture fixture;
    char ls[] = "ls", cat[] = "cat", verify[] = "verify", dir[] = "spool", lane[] = "traces";
    char other[] = "other";

    start(&fixture);
    append_group_of_small(&fixture, 4);
    assert_true(fixture_append(&fixture, 3));
    fixture_deliver(&fixture, 1);
    fixture_close(&fixture);

    char *text = output_of(2, (char *[]){ls, dir}, 0);
    assert_non_null(strstr(text, "00000000 traces"));
    assert_non_null(strstr(text, " 4 frames  4 items"));
    assert_non_null(strstr(text, "reader traces   test"));
    free(text);
    text = output_of(2, (char *[]){verify, dir}, 0);
    assert_string_equal(text, "7 frames with 7 items are sound, 0 damages\n");
    free(text);
    text = output_of(3, (char *[]){cat, dir, lane}, 0);
    free(text);
    free(output_of(3, (char *[]){cat, dir, other}, 2));
    free(output_of(1, (char *[]){ls}, 2));

    rot_block("spool/00000000.segment", 1);
    assert_true(fault_disk_rot("spool/00000000.segment", 2 * 4096 + 7));
    text = output_of(2, (char *[]){verify, dir}, 1);
    assert_non_null(strstr(text, "its data fails its check"));
    assert_non_null(strstr(text, "1 items are missing"));
    assert_non_null(strstr(text, "5 frames with 5 items are sound, 2 damages"));
    free(text);
}

/* Frames 0 to 6 of one item each, of which the first is delivered; closed in order, so that the
 * cursor file tells where the lane begins and ends. */
static void make_seven(void)
{
    struct fixture fixture;

    start(&fixture);
    append_group_of_small(&fixture, 4);
    assert_true(fixture_append(&fixture, 3));
    fixture_deliver(&fixture, 1);
    fixture_close(&fixture);
}

static void expect_verified(int want, const char *say)
{
    char verify[] = "verify", dir[] = "spool";
    char *text = output_of(2, (char *[]){verify, dir}, want);

    if (strstr(text, say) == NULL)
        fail_msg("'%s' is not in: %s", say, text);
    free(text);
}

static void test_verify_tells_what_is_gone_without_a_trace(void **state)
{
    static const uint8_t zeros[4096];
    (void)state;
    make_seven(); /* all of it, of which one was delivered */
    assert_ok(os_remove("spool/00000000.segment", NULL));
    assert_ok(os_remove("spool/00000001.segment", NULL));
    assert_ok(os_remove("spool/00000002.segment", NULL));
    expect_verified(1, "traces: at the end, 6 items are missing");

    make_seven(); /* the last one that was acknowledged */
    assert_true(fault_disk_rot("spool/00000002.segment", 40));
    expect_verified(1, "traces: at the end, 1 items are missing");

    make_seven(); /* the first one, which was delivered, and the second, which was not */
    assert_true(fault_disk_rot("spool/00000000.segment", 40));
    expect_verified(0, "6 frames with 6 items are sound, 0 damages");
    assert_true(fault_disk_rot("spool/00000000.segment", 4096 + 40));
    expect_verified(1, "1 items are missing");

    make_seven(); /* what can't be read may be anything */
    fault_disk_put("spool/00000007.segment", zeros, sizeof zeros);
    fault_disk_bad_sector("spool/00000007.segment", 0);
    expect_verified(1, "00000007 can't be read");
}

static void test_verify_takes_a_torn_tail_for_no_damage(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture);
    append_group_of_small(&fixture, 4);
    fixture_kill(&fixture);
    rot_block("spool/00000000.segment", 2);
    expect_verified(0, "00000000 traces: torn at 8192 or before");
    expect_verified(0, "2 frames with 2 items are sound, 0 damages");
    assert_true(fault_disk_rot("spool/00000000.segment", 4096 + 40));
    expect_verified(0, "1 frames with 1 items are sound, 0 damages");
}

static void save_disk(void *context, struct frame_buf *frames, const struct frame_buf *end)
{
    (void)context;
    (void)frames;
    (void)end;
    fault_disk_save();
}

/* A kill between the write of a frame and its sync. The next run takes over its mark, and repeats
 * it in a segment of its own, which is synced: the frame has to be on the disk as well. */
static void test_marks_never_outlive_the_frames_that_they_came_with(void **state)
{
    (void)state;
    static const uint64_t n = 1;
    struct spool_mark mark = {.key = {1}, .value = {(const uint8_t *)&n, sizeof n}};
    struct spool_request request = {.lane = SIGNAL_TRACES, .marks = &mark, .mark_count = 1};
    struct fixture fixture;

    fault_disk_reset();
    fixture_init(&fixture);
    fixture.marked = true;
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 1));
    struct frame_buf *frame = fixture_record(SIGNAL_TRACES, n);
    pending_add(frame, &request, 0, 1000 + n, NULL);
    store_commit(fixture.store, SIGNAL_TRACES, frame, save_disk, NULL, NULL);
    assert_ok(frame->err);
    pending_destroy(&frame);
    fixture.next = n + 1;
    fixture_kill(&fixture);
    fault_disk_restore();
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 1));
    crash(&fixture);
    assert_int_equal(fixture_check(&fixture), 3);
    fixture_kill(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts_the_tail_at_the_first_torn_frame_with_all_behind_it),
        cmocka_unit_test(test_tears_at_a_lost_header_as_well),
        cmocka_unit_test(test_takes_a_bad_frame_below_the_synced_position_for_damage),
        cmocka_unit_test(test_stops_where_the_leftovers_of_an_earlier_life_begin),
        cmocka_unit_test(test_marks_never_outlive_the_frames_that_they_came_with),
        cmocka_unit_test(test_starts_whatever_the_files_hold),
        cmocka_unit_test(test_shows_the_spool_offline),
        cmocka_unit_test(test_verify_tells_what_is_gone_without_a_trace),
        cmocka_unit_test(test_verify_takes_a_torn_tail_for_no_damage),
    };
    return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
