/* Promise: over many lives on one disk, each of them ended by a power cut at a random moment with
 * any part of what was not synced, with calls that fail on the way and a clock that is put forward
 * and back, nothing acknowledged is lost, also when segments are overwritten again and again, by
 * another lane too, and when starts in between go on in them; and no sequence that a reader has
 * seen ever names another record. What test_store.c does exhaustively with one life, here is
 * random with twelve. A history comes out of its seed and nothing else: SURGETANK_SEED repeats one,
 * SURGETANK_LIVES=N makes it N of them, with the seeds behind that. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c tests/support/fake_clock.c
// link: tests/support/fake_random.c
// wrap: getrandom
#include "tests/support/test.h"

#include "tests/support/fake_clock.h"
#include "tests/support/fake_random.h"
#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

#include <stdlib.h>
#include <time.h>

enum {
    LIVES = 12,
    STEPS = 12,
    RECORDS_OF_A_STEP = 4,
    CALLS = 80,
    START_MS = 2000000000,
    JUMP_MS = 1000000000,
    NAMES = 4096
};

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *given = getenv(name);
    return given == NULL ? otherwise : (unsigned)strtoul(given, NULL, 10);
}

static uint64_t dice; /* not those of the spool: what it asks for changes no history */

static unsigned below(unsigned end)
{
    return (unsigned)(fake_random_next(&dice) % end);
}

/* Half of the lives have a call that fails, alone or with all after it, but not in opening, where
 * what can't be read is given up: test_store.c sees to that. */
static void choose_a_fault(void)
{
    bool some = below(2) == 0;
    bool lasting = below(2) == 0;

    fault_disk_fail(some ? 1 + below(CALLS) : 0, lasting, ERR_IO);
}

/* A kill, or an orderly end, and a start that meets no fault. After a write or sync that failed the
 * kernel shows what the disk never got: the next run takes it for what was kept, with its marks,
 * until the power goes. Nobody was promised any of it. */
static void restart(struct fixture *fixture)
{
    struct spool_stats stats;

    store_stats(fixture->store, &stats);
    if (stats.write_failures + stats.sync_failures + stats.retired_segments > 0)
        fixture->unsure = true;
    if (fixture->unsure && fixture->marked)
        return;
    if (below(2) == 0)
        fixture_kill(fixture);
    else
        fixture_close(fixture);
    fault_disk_fail(0, false, OK);
    assert_ok(fixture_open(fixture, NULL));
}

/* Which record a sequence names, for all lives of a history. */
static struct {
    uint64_t seq, record;
} named[NAMES];

static void check_name(uint64_t seq, uint64_t record)
{
    size_t at = (size_t)((seq ^ seq >> 32) * 2654435761u) % NAMES;

    while (named[at].seq != 0 && named[at].seq != seq)
        at = (at + 1) % NAMES;
    if (named[at].seq == 0)
        named[at].record = record;
    named[at].seq = seq;
    assert_int_equal(named[at].record, record);
}

static void check_names(struct fixture *fixture)
{
    struct spool_frame *frame = NULL;

    spool_reader_rewind(fixture->reader);
    while (spool_reader_next(fixture->reader, 0, &frame, NULL) == OK) {
        check_name(frame->seq, fixture_number(frame));
        spool_frame_release(&frame);
    }
    spool_reader_rewind(fixture->reader);
}

/* Another lane takes and frees files, and may fail. */
static void use_another_lane(struct fixture *fixture)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;
    struct frame_buf *record = fixture_record(SIGNAL_LOGS, below(7));

    store_commit(fixture->store, SIGNAL_LOGS, record, NULL, NULL, NULL);
    pending_destroy(&record);
    assert_ok(spool_reader_open(fixture_spool(fixture), SIGNAL_LOGS, "other", &reader, NULL));
    while (below(8) != 0 && spool_reader_next(reader, 0, &frame, NULL) == OK) {
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
    spool_reader_close(&reader);
}

static void take_a_step(struct fixture *fixture)
{
    unsigned what = below(13);

    if (what < 5 && fixture->next + 2 * RECORDS_OF_A_STEP < FIXTURE_RECORDS)
        IGNORE_RESULT(fixture_append(fixture, 1 + below(RECORDS_OF_A_STEP)));
    else if (what < 7)
        use_another_lane(fixture);
    else if (what < 10) {
        check_names(fixture);
        fixture_deliver(fixture, below(6));
    } else if (what < 11)
        store_housekeep(fixture->store);
    else if (what < 12)
        IGNORE_RESULT(store_save_cursors(fixture->store, NULL));
    else
        restart(fixture);
}

static void cut_power(struct fixture *fixture)
{
    size_t keep = below((unsigned)fault_disk_unsynced() + 1);
    enum damage damage = (enum damage)below(DAMAGE_COUNT);

    fixture_kill(fixture);
    fault_disk_fail(0, false, OK);
    fault_disk_crash(keep, damage, below(2) == 0);
}

/* The wall clock, to somewhere within a month. */
static void jump_to(int64_t at_ms)
{
    static int64_t jumped_ms;

    fake_clock_jump_ms(at_ms - jumped_ms);
    jumped_ms = at_ms;
}

/* Returns how many records were acknowledged. */
static unsigned live_often(unsigned seed)
{
    static struct fixture fixture;
    unsigned acknowledged = 0;

    dice = seed;
    fake_random_seed(~(uint64_t)seed);
    fault_disk_reset();
    memset(named, 0, sizeof named);
    fake_clock_set_ms(START_MS);
    jump_to(0);
    fixture_init(&fixture);
    fixture.marked = seed % 2 == 0;
    for (int life = 0; life < LIVES; life++) {
        if (below(3) == 0)
            jump_to(below(JUMP_MS));
        assert_ok(fixture_open(&fixture, NULL));
        choose_a_fault();
        for (unsigned steps = below(STEPS); steps > 0; steps--)
            take_a_step(&fixture);
        cut_power(&fixture);
        assert_ok(fixture_open(&fixture, NULL));
        fixture_check(&fixture);
        check_names(&fixture);
        fixture_kill(&fixture);
    }
    for (uint64_t n = 0; n < fixture.next; n++)
        acknowledged += fixture.fate[n] == FATE_ACKED;
    return acknowledged;
}

static struct history {
    unsigned number; /* from 1 on; 0: none is under way */
    unsigned seed;
} under_way;

static int name_what_failed(void **state)
{
    (void)state;
    if (under_way.number > 0)
        print_error("history %u fails; alone with SURGETANK_SEED=%u\n", under_way.number,
                    under_way.seed);
    return 0;
}

static void test_lose_nothing_however_they_end(void **state)
{
    unsigned histories = number_from("SURGETANK_LIVES", UNDER_TSAN || UNDER_ASAN ? 40 : 200);
    unsigned first = number_from("SURGETANK_SEED", (unsigned)time(NULL));
    unsigned acknowledged = 0;

    (void)state;
    if (getenv("SURGETANK_SEED") != NULL && getenv("SURGETANK_LIVES") == NULL)
        histories = 1;
    print_message("seeds from %u, %u of them\n", first, histories);
    for (unsigned i = 0; i < histories; i++) {
        under_way = (struct history){.number = i + 1, .seed = first + i};
        acknowledged += live_often(under_way.seed);
    }
    under_way.number = 0;
    print_message("%u records acknowledged in %u lives\n", acknowledged, histories * LIVES);
    assert_true(acknowledged > histories);
}

/* As a version that reserved nothing left them. */
static void forget_what_is_reserved(void)
{
    AUTO(cursor_close) struct cursor_file *file = NULL;
    struct cursor_state state;
    bool found = false;

    assert_ok(cursor_open(FIXTURE_DIR, &file, &state, &found, NULL));
    assert_true(found && state.numbers > 0);
    state.numbers = 0;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        state.lanes[i].given = 0;
    assert_ok(cursor_save(file, &state, NULL));
}

/* The clock was put back, and the names of files that an earlier run removed had not reached the
 * disk: they are back after the power cut, with numbers above those of the segments in use. */
static void test_what_an_earlier_run_removed_stays_removed(void **state)
{
    static struct fixture fixture;

    (void)state;
    fault_disk_reset();
    fixture_init(&fixture);
    fake_clock_set_ms(START_MS);
    jump_to(JUMP_MS);
    assert_ok(fixture_open(&fixture, NULL));
    while (fixture_append(&fixture, 1))
        ;
    fixture_close(&fixture);

    assert_ok(fixture_open(&fixture, NULL));
    unsigned files = fault_disk_files();
    fixture_deliver(&fixture, (unsigned)fixture.next);
    assert_ok(store_save_cursors(fixture.store, NULL));
    while (store_housekeep(fixture.store))
        ;
    assert_true(fault_disk_files() + 2 < files);
    fixture_kill(&fixture);
    forget_what_is_reserved();

    jump_to(0);
    assert_ok(fixture_open(&fixture, NULL));
    assert_true(fixture_append(&fixture, 2));
    fixture_kill(&fixture);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_ok(fixture_open(&fixture, NULL));
    assert_int_equal(fixture_check(&fixture), 2);
    fixture_kill(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_lose_nothing_however_they_end, name_what_failed),
        cmocka_unit_test(test_what_an_earlier_run_removed_stays_removed),
    };
    return cmocka_run_group_tests_name("lives", tests, NULL, NULL);
}
