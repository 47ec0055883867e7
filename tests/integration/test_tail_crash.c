/* Promise: lines and positions are stored together, whatever the disk under the spool does: power
 * lost at random instants with any part of what was not synced, and each call failing in turn. The
 * files are real, the spool's disk is not. */
// link: tests/support/tailing.c tests/support/fault_disk.c
#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "tests/support/fault_disk.h"
#include "tests/support/tailing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CUTS = 20, LINES = 50, CALLS_MAX = 400 };

static struct tailing t;
static uint64_t written;

static int begin(void **state)
{
    (void)state;
    fault_disk_reset();
    tailing_begin(&t);
    t.spool_dir = "spool";
    t.spool_bytes = 32 << 20;
    t.segment_bytes = 1 << 20;
    written = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    tailing_end(&t);
    return 0;
}

/* Complete lines, half ones, and now and then a rotation. */
static void write_some(void)
{
    char half[64], name[32];

    if (rand() % 4 == 0) {
        snprintf(name, sizeof name, "a.log.%d", rand());
        rename(tailing_path(&t, "a.log"), tailing_path(&t, name));
    }
    tailing_write(tailing_path(&t, "a.log"), written, LINES, 20);
    written += LINES;
    snprintf(half, sizeof half, "n=%llu ", (unsigned long long)written++);
    tailing_append(tailing_path(&t, "a.log"), half);
    if (rand() % 2 == 0)
        tail_turn(t.tail, 0);
    tailing_append(tailing_path(&t, "a.log"), "end\n");
}

/* Now and then until a load is on its way, or has arrived. */
static void turn_some(void)
{
    if (rand() % 3 == 0)
        tailing_run_ms(&t, TAIL_FLUSH_MS + (unsigned)rand() % 10);
    for (int turns = rand() % 8; turns > 0; turns--)
        tail_turn(t.tail, (uint32_t)(rand() % 3));
}

/* Nothing reaches the disk any more, and then the process is gone. */
static void cut_power(void)
{
    fault_disk_fail(1, true, ERR_IO);
    tail_stop(t.tail, 0);
    spool_close(&t.spool);
    tail_close(&t.tail);
    size_t unsynced = fault_disk_unsynced();
    size_t keep = unsynced == 0 ? 0 : (size_t)rand() % (unsynced + 1);
    fault_disk_crash(keep, (enum damage)(rand() % DAMAGE_COUNT), rand() % 2 == 0);
    fault_disk_fail(0, false, ERR_IO);
}

static void read_the_rest(void)
{
    uint64_t before;
    do {
        before = tail_records(t.tail);
        tailing_run_ms(&t, 150);
    } while (tail_records(t.tail) != before);
}

static void test_power_cuts_lose_and_double_nothing(void **state)
{
    (void)state;
    seed_rand();
    for (int i = 0; i < CUTS; i++) {
        tailing_open(&t);
        for (int writes = rand() % 4; writes > 0; writes--) {
            write_some();
            turn_some();
        }
        cut_power();
    }
    tailing_open(&t);
    read_the_rest();
    tailing_check(&t, written);
}

static void test_a_call_that_fails_loses_and_doubles_nothing(void **state)
{
    (void)state;
    tailing_open(&t);
    for (unsigned nth = 1; nth < CALLS_MAX; nth += 1 + nth / 8) {
        fault_disk_fail(nth, false, nth % 3 == 0 ? ERR_FULL : ERR_IO);
        write_some();
        turn_some();
    }
    fault_disk_fail(0, false, ERR_IO);
    read_the_rest();
    tailing_check(&t, written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_power_cuts_lose_and_double_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_a_call_that_fails_loses_and_doubles_nothing, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
