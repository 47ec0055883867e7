/* Promise: each line is in the spool once, also of a thousand files, of files that are renamed and
 * compressed twenty times a second, when the process is killed at random instants, and when the
 * spool is full. SURGETANK_SEED in the environment repeats a run; SURGETANK_STORM=N makes it N
 * times as long, up to 18. */
// link: tests/support/tailing.c
#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "sidecar/spool/reader.h"
#include "tests/support/tailing.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct tailing t;

static int begin(void **state)
{
    (void)state;
    tailing_begin(&t);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tailing_end(&t);
    return 0;
}

static void test_follows_a_thousand_files_with_few_of_them_open(void **state)
{
    char name[32];
    uint64_t n = 0;

    (void)state;
    t.open_max = 64;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++, n += 5) {
            snprintf(name, sizeof name, "%d.log", i);
            tailing_write(tailing_path(&t, name), n, 5, 10);
        }
        if (round == 0)
            tailing_open(&t);
        tailing_run(&t, n);
    }
    tailing_check(&t, n);
    assert_true(tailing_state(&t).files == 1000);
    tailing_close(&t);
    tailing_open(&t);
    tailing_run_ms(&t, 300);
    tailing_check(&t, n);
}

/* ---- storms */

enum { STORM_LINES = 100000, STORM_PADDING = 200, PER_FILE = 4000, PER_WRITE = 200 };

static unsigned storm(void)
{
    const char *factor = getenv("SURGETANK_STORM");
    unsigned long given = factor == NULL ? 1 : strtoul(factor, NULL, 10);
    return given < 1 ? 1 : given > 18 ? 18 : (unsigned)given;
}

/* About 20 MB; a rotation every 800 KB, some 20 of them a second. */
static void write_storm(bool compress)
{
    char name[64], command[600];
    uint64_t lines = (uint64_t)STORM_LINES * storm();
    unsigned files = 0;

    for (uint64_t n = 0; n < lines; n += PER_WRITE) {
        if (n > 0 && n % PER_FILE == 0) {
            snprintf(name, sizeof name, "a.log.%u", ++files);
            rename(tailing_path(&t, "a.log"), tailing_path(&t, name));
            if (compress && files > 2) {
                snprintf(name, sizeof name, "a.log.%u", files - 2);
                snprintf(command, sizeof command, "gzip -1 %s", tailing_path(&t, name));
                assert_int_equal(system(command), 0);
            }
        }
        tailing_write(tailing_path(&t, "a.log"), n, PER_WRITE, STORM_PADDING);
        const struct timespec pause = {.tv_nsec = 2000000};
        nanosleep(&pause, NULL);
    }
}

static pid_t fork_storm(bool compress)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        write_storm(compress);
        _exit(0);
    }
    return pid;
}

static void test_keeps_up_with_a_storm_of_rotations(void **state)
{
    uint64_t lines = (uint64_t)STORM_LINES * storm();

    (void)state;
    t.spool_bytes = UINT64_C(256) * storm() << 20;
    tailing_open(&t);
    pid_t writer = fork_storm(false);
    tailing_run(&t, lines);
    waitpid(writer, NULL, 0);
    tailing_check(&t, lines);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

/* The process dies at random instants while files are written, renamed and compressed. */
static void test_loses_and_doubles_nothing_when_it_is_killed(void **state)
{
    (void)state;
    seed_rand();
    t.segment_bytes = 4 << 20; /* each start takes a new one */
    t.spool_bytes = UINT64_C(256) * storm() << 20;
    pid_t writer = fork_storm(true);
    for (int kills = 0; kills < 12 * (int)storm(); kills++) {
        pid_t reader = fork();
        assert_true(reader >= 0);
        if (reader == 0) {
            tailing_open(&t);
            for (;;)
                tail_turn(t.tail, 20);
        }
        const struct timespec pause = {.tv_nsec = rand() % 250000000};
        nanosleep(&pause, NULL);
        kill(reader, SIGKILL);
        waitpid(reader, NULL, 0);
    }
    waitpid(writer, NULL, 0);
    tailing_open(&t);
    tailing_run_until_stored(&t, (uint64_t)STORM_LINES * storm());
    tailing_run_ms(&t, 300); /* whatever should not come */
    tailing_check(&t, (uint64_t)STORM_LINES * storm());
}

/* ---- a full spool */

enum { IDLE_ROUNDS = 3000 }; /* of 20 ms, until it is given up */

/* Until it waits for the spool with something unread, or until neither is so. */
static void await_pause(bool wanted, struct tail_state *ret_told)
{
    int rounds = 0;

    do {
        tailing_run_ms(&t, 20);
        tail_state(t.tail, ret_told);
        assert_true(rounds++ < IDLE_ROUNDS);
    } while (ret_told->paused != wanted || (ret_told->sources[0].unread_bytes > 0) != wanted);
}

static void test_waits_while_the_spool_is_full_and_goes_on(void **state)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;
    struct tail_state told;
    uint64_t n = 0, records = 0;

    (void)state;
    t.spool_bytes = 32 << 20;
    tailing_open(&t);
    assert_ok(spool_reader_open(t.spool, SIGNAL_LOGS, "slow", &reader, NULL));
    for (; n < 250000; n += 1000) /* some 50 MB */
        tailing_write(tailing_path(&t, "a.log"), n, 1000, STORM_PADDING);
    await_pause(true, &told);
    assert_true(strlen(told.trouble) > 0);
    /* Meanwhile the file is renamed and goes on. */
    assert_int_equal(rename(tailing_path(&t, "a.log"), tailing_path(&t, "a.log.1")), 0);
    tailing_write(tailing_path(&t, "a.log"), n, 1000, STORM_PADDING);
    n += 1000;
    for (int idle = 0; idle < IDLE_ROUNDS && records < n; idle++) {
        while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
            records += frame->items;
            idle = 0;
            tailing_take(&t, frame->data);
            spool_reader_ack(reader, frame->end);
            spool_frame_release(&frame);
        }
        tailing_run_ms(&t, 20);
    }
    spool_reader_close(&reader);
    assert_int_equal(records, n);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(t.seen[i], 1);
    await_pause(false, &told);
    assert_int_equal(told.sources[0].lost_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_follows_a_thousand_files_with_few_of_them_open),
        TEST(test_keeps_up_with_a_storm_of_rotations),
        TEST(test_loses_and_doubles_nothing_when_it_is_killed),
        TEST(test_waits_while_the_spool_is_full_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
