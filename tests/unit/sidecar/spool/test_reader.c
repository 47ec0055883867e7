/* What a reader promises: everything synced, in order, again after a restart unless acknowledged;
 * and that damage costs the damaged frames only, counted by their items, once. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c
#include "tests/support/test.h"

#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>

static void start(struct fixture *fixture, unsigned records)
{
    fault_disk_reset();
    fixture_init(fixture);
    assert_ok(fixture_open(fixture, NULL));
    for (unsigned i = 0; i < records; i++)
        assert_true(fixture_append(fixture, 1));
}

static void reopen(struct fixture *fixture)
{
    fixture_close(fixture);
    assert_ok(fixture_open(fixture, NULL));
}

/* Reads up to the end, acknowledging; `skip` is the record that must be missing. */
static void read_without(struct fixture *fixture, uint64_t from, uint64_t skip)
{
    struct spool_frame *frame = NULL;
    uint64_t want = from;

    while (spool_reader_next(fixture->reader, 0, &frame, NULL) == OK) {
        uint64_t lost = want == skip ? 1 : 0;
        want += lost;
        assert_int_equal(fixture_number(frame), want);
        assert_int_equal(frame->lost_items, lost);
        want++;
        spool_reader_ack(fixture->reader, frame->end);
        spool_frame_release(&frame);
    }
    assert_int_equal(want + (want == skip), fixture->next);
}

static struct spool_reader_stats reader_stats(struct fixture *fixture)
{
    struct spool_stats stats;
    store_stats(fixture->store, &stats);
    return stats.lanes[SIGNAL_TRACES].readers[0];
}

static void check_sum(struct fixture *fixture, uint64_t damaged)
{
    struct spool_reader_stats stats = reader_stats(fixture);

    assert_int_equal(stats.damaged, damaged);
    assert_int_equal(stats.delivered + stats.items + stats.dropped + stats.damaged, fixture->next);
}

/* Where each record begins: the layout of four segments full of records. */
struct place {
    char path[64];
    uint64_t offset;
};

static unsigned find_places(struct fixture *fixture, struct place *places)
{
    unsigned n = 0;

    for (const struct segment *s = fixture->store->lanes[SIGNAL_TRACES].segments; s != NULL;
         s = s->next)
        for (uint64_t at = 0; at < s->size; at += FRAME_ALIGN) {
            struct frame_header header;
            if (segment_header(s, at, &header, NULL) != OK)
                continue;
            snprintf(places[n].path, sizeof places[n].path, "spool/%08u.segment", s->slot);
            places[n++].offset = at;
        }
    return n;
}

static void test_skips_and_counts_one_damaged_frame_wherever_it_is(void **state)
{
    (void)state;
    enum { RECORDS = 12 };

    for (unsigned hurt = 0; hurt < RECORDS; hurt++)
        for (unsigned where = 0; where < 3; where++)
            for (int restart = 0; restart < 2; restart++) {
                struct fixture fixture;
                struct place places[64];
                start(&fixture, RECORDS);
                assert_int_equal(find_places(&fixture, places), RECORDS);
                uint64_t at = places[hurt].offset + (where == 0 ? 3 : where == 1 ? 60 : 140);
                assert_true(fault_disk_rot(places[hurt].path, at));
                if (restart)
                    reopen(&fixture);
                read_without(&fixture, 0, hurt);
                check_sum(&fixture, 1);
                /* Counts are functions of the position: a restart doubles nothing. */
                reopen(&fixture);
                check_sum(&fixture, 1);
                assert_true(fixture_append(&fixture, 1));
                read_without(&fixture, RECORDS, UINT64_MAX);
                check_sum(&fixture, 1);
                fixture_close(&fixture);
            }
}

/* What lies behind the last frame that can be read must not hold its segment for ever. */
static void
test_moves_the_cursor_over_damage_at_the_end_once_all_before_is_acknowledged(void **state)
{
    (void)state;
    struct fixture fixture;
    struct place places[64];
    struct spool_frame *frames[4] = {NULL}, *none = NULL;

    start(&fixture, 4);
    find_places(&fixture, places);
    assert_true(fault_disk_rot(places[3].path, places[3].offset + 140));
    for (int i = 0; i < 3; i++)
        assert_ok(spool_reader_next(fixture.reader, 0, &frames[i], NULL));
    assert_int_equal(spool_reader_next(fixture.reader, 0, &none, NULL), ERR_AGAIN);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, 0);
    spool_reader_ack(fixture.reader, frames[1]->end);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, 2);
    spool_reader_ack(fixture.reader, frames[2]->end);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, 4);
    check_sum(&fixture, 1);
    for (int i = 0; i < 3; i++)
        spool_frame_release(&frames[i]);
    fixture_close(&fixture);
}

static void test_sets_a_damaged_segment_aside_when_it_is_freed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct place places[64];
    struct spool_stats stats;

    start(&fixture, 12);
    find_places(&fixture, places);
    assert_true(fault_disk_rot(places[1].path, places[1].offset + 140));
    read_without(&fixture, 0, 1);
    while (store_housekeep(fixture.store))
        ;
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.damaged_segments, 1);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].damage_events, 1);
    assert_true(fault_disk_exists("spool/00000000.damaged"));
    assert_false(fault_disk_exists("spool/00000000.segment"));
    fixture_close(&fixture);
}

static void test_tries_a_bad_sector_three_times_and_goes_on(void **state)
{
    (void)state;
    struct fixture fixture;
    struct place places[64];
    struct spool_frame *frame = NULL;

    start(&fixture, 8);
    find_places(&fixture, places);
    fault_disk_bad_sector(places[0].path, places[0].offset);
    assert_int_equal(spool_reader_next(fixture.reader, 0, &frame, NULL), ERR_IO);
    assert_int_equal(spool_reader_next(fixture.reader, 0, &frame, NULL), ERR_IO);
    read_without(&fixture, 0, 0);
    check_sum(&fixture, 1);
    fixture_close(&fixture);
}

static void test_loses_no_more_than_the_file_that_is_gone(void **state)
{
    (void)state;
    struct fixture fixture;
    struct place places[64];
    struct spool_frame *frame = NULL;

    start(&fixture, 16);
    unsigned count = find_places(&fixture, places), first = 0, last = 0;
    while (strcmp(places[first].path, places[0].path) == 0)
        first++;
    for (last = first; last < count && strcmp(places[last].path, places[first].path) == 0; last++)
        for (uint64_t at = 0; at < 128; at++) /* every header of the second segment */
            fault_disk_rot(places[last].path, places[last].offset + at);
    reopen(&fixture);
    for (uint64_t n = 0; n < count; n++) {
        if (n == first)
            n = last;
        assert_ok(spool_reader_next(fixture.reader, 0, &frame, NULL));
        assert_int_equal(fixture_number(frame), n);
        assert_int_equal(frame->lost_items, n == last ? last - first : 0);
        spool_reader_ack(fixture.reader, frame->end);
        spool_frame_release(&frame);
    }
    check_sum(&fixture, last - first);
    fixture_close(&fixture);
}

static void test_repeats_only_what_was_not_acknowledged(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, 10);
    fixture_deliver(&fixture, 6);
    reopen(&fixture);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, 6);
    assert_int_equal(fixture_check(&fixture), 4);

    /* Killed before the cursor was saved: repeats, but no more than since the last save. */
    fixture_deliver(&fixture, 0);
    spool_reader_rewind(fixture.reader);
    fixture_deliver(&fixture, 2);
    fixture_kill(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    assert_int_equal(fixture_check(&fixture), 4);
    fixture_close(&fixture);
}

static void test_acknowledges_many_frames_at_once_and_ignores_going_back(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_frame *frames[3] = {NULL};

    start(&fixture, 5);
    for (int i = 0; i < 3; i++)
        assert_ok(spool_reader_next(fixture.reader, 0, &frames[i], NULL));
    spool_reader_ack(fixture.reader, frames[2]->end);
    spool_reader_ack(fixture.reader, frames[0]->end);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, 3);
    assert_int_equal(fixture_number(frames[0]), 0); /* frames live on until released */
    for (int i = 0; i < 3; i++)
        spool_frame_release(&frames[i]);
    assert_int_equal(reader_stats(&fixture).frames, 2);
    fixture_close(&fixture);
}

static void test_lets_several_readers_go_their_own_way(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_reader *other = NULL;
    struct spool_frame *frame = NULL;
    struct error error = {0};
    struct spool *spool = fixture_spool(&fixture);

    start(&fixture, 8);
    assert_ok(spool_reader_open(spool, SIGNAL_TRACES, "other", &other, NULL));
    assert_int_equal(spool_reader_open(spool, SIGNAL_TRACES, "test", &other, &error), ERR_CONFLICT);
    fixture_deliver(&fixture, 8);
    while (store_housekeep(fixture.store))
        ;
    assert_ok(spool_reader_next(other, 0, &frame, NULL)); /* held back for it */
    assert_int_equal(fixture_number(frame), 0);
    spool_frame_release(&frame);
    assert_int_equal(spool_reader_forget(spool, SIGNAL_TRACES, "other", NULL), ERR_CONFLICT);
    spool_reader_close(&other);
    assert_ok(spool_reader_forget(spool, SIGNAL_TRACES, "other", NULL));
    assert_int_equal(spool_reader_forget(spool, SIGNAL_TRACES, "other", NULL), ERR_NOTFOUND);
    while (store_housekeep(fixture.store))
        ;
    struct spool_stats stats;
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].segments, 1); /* the active one */
    fixture_close(&fixture);
}

static void test_refuses_names_and_numbers_of_readers_that_do_not_fit(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_reader *readers[SPOOL_READERS_MAX] = {NULL};
    struct spool *spool = fixture_spool(&fixture);
    char name[8];

    start(&fixture, 0);
    assert_int_equal(spool_reader_open(spool, SIGNAL_LOGS, "", &readers[0], NULL), ERR_INVALID);
    assert_int_equal(spool_reader_open(spool, SIGNAL_LOGS, "a-name-of-more-than-31-characters",
                                       &readers[0], NULL),
                     ERR_INVALID);
    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        snprintf(name, sizeof name, "r%d", i);
        assert_ok(spool_reader_open(spool, SIGNAL_LOGS, name, &readers[i], NULL));
    }
    struct spool_reader *more = NULL;
    assert_int_equal(spool_reader_open(spool, SIGNAL_LOGS, "more", &more, NULL), ERR_INVALID);
    for (int i = 0; i < SPOOL_READERS_MAX; i++)
        spool_reader_close(&readers[i]);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skips_and_counts_one_damaged_frame_wherever_it_is),
        cmocka_unit_test(
            test_moves_the_cursor_over_damage_at_the_end_once_all_before_is_acknowledged),
        cmocka_unit_test(test_sets_a_damaged_segment_aside_when_it_is_freed),
        cmocka_unit_test(test_tries_a_bad_sector_three_times_and_goes_on),
        cmocka_unit_test(test_loses_no_more_than_the_file_that_is_gone),
        cmocka_unit_test(test_repeats_only_what_was_not_acknowledged),
        cmocka_unit_test(test_acknowledges_many_frames_at_once_and_ignores_going_back),
        cmocka_unit_test(test_lets_several_readers_go_their_own_way),
        cmocka_unit_test(test_refuses_names_and_numbers_of_readers_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
