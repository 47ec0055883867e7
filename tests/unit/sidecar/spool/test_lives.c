/* Promise: over many lives on one disk, each of them ended by a power cut at a random moment with
 * any part of what was not synced, with calls that fail on the way and a clock that is put forward
 * and back, nothing acknowledged is lost, also when segments are overwritten again and again. What
 * test_store.c does exhaustively with one life, here is random with twelve. SURGETANK_SEED repeats
 * one history, SURGETANK_LIVES=N makes it N of them. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c tests/support/fake_clock.c
#include "tests/support/test.h"

#include "tests/support/fake_clock.h"
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
    JUMP_MS = 1000000000
};

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *given = getenv(name);
    return given == NULL ? otherwise : (unsigned)strtoul(given, NULL, 10);
}

static unsigned below(unsigned short random[static 3], unsigned end)
{
    return (unsigned)(nrand48(random) % end);
}

/* Half of the lives have a call that fails, alone or with all after it, but not in opening, where
 * what can't be read is given up: test_store.c sees to that. */
static void choose_a_fault(unsigned short random[static 3])
{
    bool some = below(random, 2) == 0;
    bool lasting = below(random, 2) == 0;

    fault_disk_fail(some ? 1 + below(random, CALLS) : 0, lasting, ERR_IO);
}

static void take_a_step(struct fixture *fixture, unsigned short random[static 3])
{
    unsigned what = below(random, 10);

    if (what < 5 && fixture->next + 2 * RECORDS_OF_A_STEP < FIXTURE_RECORDS)
        IGNORE_RESULT(fixture_append(fixture, 1 + below(random, RECORDS_OF_A_STEP)));
    else if (what < 8)
        fixture_deliver(fixture, below(random, 6));
    else if (what < 9)
        store_housekeep(fixture->store);
    else
        IGNORE_RESULT(store_save_cursors(fixture->store, NULL));
}

static void cut_power(struct fixture *fixture, unsigned short random[static 3])
{
    size_t keep = below(random, (unsigned)fault_disk_unsynced() + 1);
    enum damage damage = (enum damage)below(random, DAMAGE_COUNT);

    fixture_kill(fixture);
    fault_disk_fail(0, false, OK);
    fault_disk_crash(keep, damage, below(random, 2) == 0);
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
    unsigned short random[3] = {(unsigned short)seed, (unsigned short)(seed >> 16), 5};
    unsigned acknowledged = 0;

    fault_disk_reset();
    fake_clock_set_ms(START_MS);
    jump_to(0);
    fixture_init(&fixture);
    fixture.marked = seed % 2 == 0;
    for (int life = 0; life < LIVES; life++) {
        if (below(random, 3) == 0)
            jump_to(below(random, JUMP_MS));
        assert_ok(fixture_open(&fixture, NULL));
        choose_a_fault(random);
        for (unsigned steps = below(random, STEPS); steps > 0; steps--)
            take_a_step(&fixture, random);
        cut_power(&fixture, random);
        assert_ok(fixture_open(&fixture, NULL));
        fixture_check(&fixture);
        fixture_kill(&fixture);
    }
    for (uint64_t n = 0; n < fixture.next; n++)
        acknowledged += fixture.fate[n] == FATE_ACKED;
    return acknowledged;
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
    for (unsigned seed = first; seed < first + histories; seed++) {
        unsigned more = live_often(seed);
        acknowledged += more;
    }
    print_message("%u records acknowledged in %u lives\n", acknowledged, histories * LIVES);
    assert_true(acknowledged > histories);
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
        cmocka_unit_test(test_lose_nothing_however_they_end),
        cmocka_unit_test(test_what_an_earlier_run_removed_stays_removed),
    };
    return cmocka_run_group_tests_name("lives", tests, NULL, NULL);
}
