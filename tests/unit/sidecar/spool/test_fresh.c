/* What "fresh first" promises: fresh frames overtake a backlog, which drains all the same; every
 * frame is handed out and acknowledged once; a crash repeats what was not saved, and nothing more;
 * the numbers add up. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c
#include "tests/support/test.h"

#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { BACKLOG = 24, LIMIT = 3 * FIXTURE_SEGMENT };

static void open_again(struct fixture *fixture)
{
    assert_ok(fixture_open(fixture, NULL));
    spool_reader_fresh_first(fixture->reader, LIMIT);
}

static void start(struct fixture *fixture, unsigned records)
{
    fault_disk_reset();
    fixture_init(fixture);
    fixture->config.size_bytes = 64 * FIXTURE_SEGMENT;
    open_again(fixture);
    for (unsigned i = 0; i < records; i++)
        assert_true(fixture_append(fixture, 1));
}

static struct spool_frame *next(struct fixture *fixture)
{
    struct spool_frame *frame = NULL;
    enum err err = spool_reader_next(fixture->reader, 0, &frame, NULL);

    assert_true(err == OK || err == ERR_AGAIN);
    return frame;
}

/* Takes the next frame, which must be that record, and acknowledges it. */
static void deliver(struct fixture *fixture, uint64_t number, bool ahead)
{
    struct spool_frame *frame = next(fixture);

    assert_non_null(frame);
    assert_int_equal(fixture_number(frame), number);
    assert_int_equal(frame->ahead, ahead);
    assert_int_equal(frame->lost_items, 0);
    spool_reader_ack(fixture->reader, frame->end);
    spool_frame_release(&frame);
}

static void check_sum(const struct fixture *fixture, uint64_t delivered)
{
    struct spool_stats stats;

    store_stats(fixture->store, &stats);
    const struct spool_reader_stats *reader = &stats.lanes[SIGNAL_TRACES].readers[0];
    assert_int_equal(reader->delivered + reader->items + reader->dropped + reader->damaged,
                     fixture->next);
    assert_int_equal(reader->delivered, delivered);
    assert_int_equal(reader->frames, reader->items);
}

static void test_lets_fresh_frames_overtake_a_backlog(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, BACKLOG);
    deliver(&fixture, 0, false);
    deliver(&fixture, 1, false); /* nothing is fresh yet */
    assert_true(fixture_append(&fixture, 5));
    deliver(&fixture, BACKLOG, true);
    deliver(&fixture, BACKLOG + 1, true);
    deliver(&fixture, 2, false);
    deliver(&fixture, BACKLOG + 2, true);
    check_sum(&fixture, 6);
    deliver(&fixture, BACKLOG + 3, true);
    deliver(&fixture, BACKLOG + 4, true);
    for (uint64_t n = 3; n < BACKLOG; n++)
        deliver(&fixture, n, false);
    check_sum(&fixture, BACKLOG + 5);
    assert_null(next(&fixture));

    /* Together again: what comes now is no longer ahead of anything. */
    assert_true(fixture_append(&fixture, 1));
    deliver(&fixture, BACKLOG + 5, false);
    assert_int_equal(spool_reader_cursor(fixture.reader).items, fixture.next);
    store_housekeep(fixture.store);
    assert_int_equal(fixture.store->lanes[SIGNAL_TRACES].count, 1);
    fixture_close(&fixture);
}

static void test_leaves_the_order_alone_without_a_backlog_or_unless_told(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, 3); /* 12 KiB */
    deliver(&fixture, 0, false);
    assert_true(fixture_append(&fixture, 1));
    for (uint64_t n = 1; n < fixture.next; n++)
        deliver(&fixture, n, false);
    spool_reader_fresh_first(fixture.reader, 0);
    for (unsigned i = 0; i < BACKLOG; i++)
        assert_true(fixture_append(&fixture, 1));
    deliver(&fixture, 4, false);
    assert_true(fixture_append(&fixture, 1));
    for (uint64_t n = 5; n < fixture.next; n++)
        deliver(&fixture, n, false);
    fixture_close(&fixture);
}

static void test_remembers_what_went_ahead_over_a_restart(void **state)
{
    (void)state;
    struct fixture fixture;

    start(&fixture, BACKLOG);
    deliver(&fixture, 0, false);
    assert_true(fixture_append(&fixture, 5));
    deliver(&fixture, BACKLOG, true);
    deliver(&fixture, BACKLOG + 1, true);
    fixture_close(&fixture);
    open_again(&fixture);
    check_sum(&fixture, 3);
    struct spool_saved saved = spool_reader_saved(fixture.reader);
    assert_true(saved.cursor < saved.ahead_from && saved.ahead_from + 2 == saved.ahead_to);

    /* A power cut right after takes nothing of it. */
    fixture_kill(&fixture);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_ok(fixture_open(&fixture, NULL)); /* nor does it take the wish for fresh ones first */
    deliver(&fixture, 1, false);
    deliver(&fixture, BACKLOG + 2, true);
    deliver(&fixture, BACKLOG + 3, true);
    deliver(&fixture, BACKLOG + 4, true);
    for (uint64_t n = 2; n < BACKLOG; n++)
        deliver(&fixture, n, false);
    check_sum(&fixture, fixture.next);
    assert_null(next(&fixture));
    fixture_close(&fixture);
}

static void test_goes_back_in_both_directions(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_frame *frame = NULL;

    start(&fixture, BACKLOG);
    deliver(&fixture, 0, false);
    assert_true(fixture_append(&fixture, 2));
    deliver(&fixture, BACKLOG, true);
    for (int i = 0; i < 4; i++) {
        frame = next(&fixture);
        spool_frame_release(&frame);
    }
    spool_reader_rewind(fixture.reader);
    unsigned seen = 0;
    bool had[BACKLOG + 2] = {false};
    while ((frame = next(&fixture)) != NULL) {
        uint64_t n = fixture_number(frame);
        assert_true(n < fixture.next && !had[n]);
        had[n] = true;
        seen++;
        spool_frame_release(&frame);
    }
    assert_int_equal(seen, BACKLOG); /* all but the two that were acknowledged */
    assert_false(had[0] || had[BACKLOG]);
    fixture_close(&fixture);
}

static void test_counts_what_is_dropped_under_it_once(void **state)
{
    (void)state;
    for (unsigned ahead = 0; ahead < 12; ahead++) {
        struct fixture fixture;
        struct spool_frame *frame = NULL;
        uint64_t delivered = 1, lost = 0;

        fault_disk_reset();
        fixture_init(&fixture);
        fixture.config.when_full = SPOOL_DROP_OLDEST;
        open_again(&fixture);
        for (unsigned i = 0; i < 12; i++)
            assert_true(fixture_append(&fixture, 1));
        deliver(&fixture, 0, false);
        assert_true(fixture_append(&fixture, 2));
        for (unsigned i = 0; i < ahead; i++) {
            assert_true(fixture_append(&fixture, 2));
            if ((frame = next(&fixture)) == NULL)
                continue;
            lost += frame->lost_items;
            delivered++;
            spool_reader_ack(fixture.reader, frame->end);
            spool_frame_release(&frame);
            check_sum(&fixture, delivered);
        }
        while ((frame = next(&fixture)) != NULL) {
            lost += frame->lost_items;
            delivered++;
            spool_reader_ack(fixture.reader, frame->end);
            spool_frame_release(&frame);
        }
        check_sum(&fixture, delivered);
        assert_int_equal(delivered + lost, fixture.next);
        fixture_close(&fixture);
    }
}

/* Whatever is asked of it, in whatever order, with crashes and damage between: in the end each
 * record was delivered or counted as damaged, and only those come twice that were not saved. */
struct model {
    struct fixture fixture;
    unsigned short random[3];
    struct spool_frame *held[8];
    unsigned held_count;
    bool delivered[FIXTURE_RECORDS];
    bool acked[FIXTURE_RECORDS]; /* delivered, and not forgotten in a crash */
    uint64_t seqs[FIXTURE_RECORDS];
    unsigned ahead; /* frames that went ahead */
};

static unsigned draw(struct model *model, unsigned below)
{
    return (unsigned)(nrand48(model->random) % below);
}

static void acknowledge_first(struct model *model)
{
    struct spool_frame *frame = model->held[0];

    model->delivered[fixture_number(frame)] = model->acked[fixture_number(frame)] = true;
    spool_reader_ack(model->fixture.reader, frame->end);
    spool_frame_release(&frame);
    model->held_count--;
    memmove(model->held, model->held + 1, model->held_count * sizeof frame);
}

static void take_one(struct model *model)
{
    struct spool_frame *frame = next(&model->fixture);

    if (frame == NULL)
        return;
    assert_false(model->acked[fixture_number(frame)]);
    model->seqs[fixture_number(frame)] = frame->seq;
    model->ahead += frame->ahead;
    model->held[model->held_count++] = frame;
}

static void crash(struct model *model)
{
    while (model->held_count > 0)
        spool_frame_release(&model->held[--model->held_count]);
    struct spool_saved saved = spool_reader_saved(model->fixture.reader);
    for (uint64_t n = 0; n < model->fixture.next; n++) {
        uint64_t seq = model->seqs[n];
        model->acked[n] = model->acked[n] &&
                          (seq < saved.cursor || (seq >= saved.ahead_from && seq < saved.ahead_to));
    }
    fixture_kill(&model->fixture);
    fault_disk_crash(0, DAMAGE_NONE, draw(model, 2) == 0);
    open_again(&model->fixture);
}

static unsigned run_model(unsigned seed)
{
    static struct model model;

    model = (struct model){.random = {(unsigned short)seed, 7, 11}};
    start(&model.fixture, draw(&model, 2) * BACKLOG);
    for (unsigned i = 0; i < 300; i++) {
        unsigned what = draw(&model, 100);
        if (what < 25 && model.fixture.next < FIXTURE_RECORDS - 4)
            (void)fixture_append(&model.fixture, 1 + draw(&model, 3)); /* it may be full */
        else if (what < 60 && model.held_count < 8)
            take_one(&model);
        else if (what < 90 && model.held_count > 0)
            acknowledge_first(&model);
        else if (what < 94)
            store_housekeep(model.fixture.store);
        else if (what < 97)
            assert_ok(store_save_cursors(model.fixture.store, NULL));
        else if (what < 98)
            crash(&model);
    }
    do {
        while (model.held_count > 0)
            acknowledge_first(&model);
        take_one(&model);
    } while (model.held_count > 0);
    for (uint64_t n = 0; n < model.fixture.next; n++)
        if (!model.delivered[n])
            assert_int_not_equal(model.fixture.fate[n], FATE_ACKED);
    struct spool_stats stats;
    store_stats(model.fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].items, 0);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].damaged, 0);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].delivered,
                     stats.lanes[SIGNAL_TRACES].items);
    fixture_close(&model.fixture);
    return model.ahead;
}

static void test_delivers_everything_and_repeats_nothing_that_was_saved(void **state)
{
    (void)state;
    unsigned ahead = 0;

    for (unsigned seed = 0; seed < 300; seed++)
        ahead += run_model(seed);
    assert_true(ahead > 1000);
}

static void test_counts_damage_on_both_sides(void **state)
{
    (void)state;
    for (unsigned block = 0; block < 40; block++) {
        struct fixture fixture;
        struct spool_frame *frame = NULL;
        uint64_t delivered = 1, lost = 0;
        char path[64];

        start(&fixture, BACKLOG);
        deliver(&fixture, 0, false);
        for (int i = 0; i < 10; i++)
            assert_true(fixture_append(&fixture, 1));
        assert_true(segment_path(FIXTURE_DIR, 3 + block / 4, SEGMENT_SUFFIX, sizeof path, path));
        assert_true(fault_disk_rot(path, block % 4 * 4096 + 60));
        while ((frame = next(&fixture)) != NULL) {
            lost += frame->lost_items;
            delivered++;
            spool_reader_ack(fixture.reader, frame->end);
            spool_frame_release(&frame);
            check_sum(&fixture, delivered);
        }
        assert_true(delivered + 1 >= fixture.next);
        assert_true(delivered + lost <= fixture.next);
        check_sum(&fixture, delivered);
        fixture_close(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lets_fresh_frames_overtake_a_backlog),
        cmocka_unit_test(test_leaves_the_order_alone_without_a_backlog_or_unless_told),
        cmocka_unit_test(test_remembers_what_went_ahead_over_a_restart),
        cmocka_unit_test(test_goes_back_in_both_directions),
        cmocka_unit_test(test_counts_what_is_dropped_under_it_once),
        cmocka_unit_test(test_counts_damage_on_both_sides),
        cmocka_unit_test(test_delivers_everything_and_repeats_nothing_that_was_saved),
    };
    return cmocka_run_group_tests_name("fresh", tests, NULL, NULL);
}
