/* Promise: each line of a followed file is in the spool once, whatever becomes of the file, the
 * process and the spool in the meantime. Every line is numbered, and the numbers are counted. */
// link: tests/support/tailing.c
#include "tests/support/test.h"

#include "tests/support/tailing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

/* ---- beginning */

static void test_reads_files_that_are_there_and_what_is_added(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 500, 10);
    tailing_write(tailing_path(&t, "b.log"), 500, 500, 10);
    tailing_open(&t);
    tailing_run(&t, 1000, 5000);
    tailing_write(tailing_path(&t, "a.log"), 1000, 10, 10);
    tailing_write(tailing_path(&t, "c.log"), 1010, 10, 10);
    tailing_write(tailing_path(&t, "c.txt"), 5000, 10, 10); /* none of ours */
    tailing_run(&t, 1020, 5000);
    tailing_check(&t, 1020);
}

static void test_starts_at_the_end_of_what_was_there_before_it(void **state)
{
    (void)state;
    t.source.start = TAIL_START_END;
    tailing_write(tailing_path(&t, "a.log"), 9000, 500, 10);
    tailing_append(tailing_path(&t, "b.log"), "n=9999 00\nn=0"); /* half a line */
    tailing_open(&t);
    tailing_run_ms(&t, 100);
    tailing_append(tailing_path(&t, "b.log"), " 00\n");
    tailing_write(tailing_path(&t, "a.log"), 1, 9, 10);
    tailing_write(tailing_path(&t, "new.log"), 10, 10, 10);
    tailing_run(&t, 20, 5000);
    tailing_check(&t, 20);
}

static void test_an_unfinished_line_waits_for_its_end(void **state)
{
    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 0\nn=1 ");
    tailing_open(&t);
    tailing_run(&t, 1, 5000);
    tailing_check(&t, 1);
    tailing_close(&t);
    tailing_open(&t);
    tailing_append(tailing_path(&t, "a.log"), "0\n");
    tailing_run(&t, 1, 5000);
    tailing_check(&t, 2);
}

/* ---- restarts */

static void test_goes_on_where_it_was(void **state)
{
    (void)state;
    t.source.start = TAIL_START_END;
    tailing_write(tailing_path(&t, "old.log"), 90000, 100, 10);
    tailing_open(&t);
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_run(&t, 1000, 5000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "a.log"), 1000, 1000, 10);
    tailing_write(tailing_path(&t, "b.log"), 2000, 1000, 10); /* came while nobody looked */
    tailing_write(tailing_path(&t, "old.log"), 3000, 100, 10);
    tailing_open(&t);
    tailing_run(&t, 2100, 5000);
    tailing_check(&t, 3100);
}

static void test_finds_what_was_renamed_while_it_was_away(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 1000, 5000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "a.log"), 1000, 1000, 10);
    assert_int_equal(rename(tailing_path(&t, "a.log"), tailing_path(&t, "a.log.1")), 0);
    tailing_write(tailing_path(&t, "a.log"), 2000, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 2000, 5000);
    tailing_check(&t, 3000);
}

static void test_reads_on_in_what_was_compressed_while_it_was_away(void **state)
{
    char command[256];

    (void)state;
    tailing_write(tailing_path(&t, "0.log"), 0, 5000, 10);
    tailing_open(&t);
    tailing_run(&t, 5000, 5000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "0.log"), 5000, 5000, 10);
    assert_int_equal(rename(tailing_path(&t, "0.log"), tailing_path(&t, "0.log.20260205-101500")),
                     0);
    tailing_write(tailing_path(&t, "0.log"), 10000, 5000, 10);
    assert_int_equal(rename(tailing_path(&t, "0.log"), tailing_path(&t, "0.log.20260205-102500")),
                     0);
    snprintf(command, sizeof command, "gzip %s", tailing_path(&t, "0.log.20260205-101500"));
    assert_int_equal(system(command), 0);
    tailing_write(tailing_path(&t, "0.log"), 15000, 5000, 10);
    tailing_open(&t);
    tailing_run(&t, 15000, 5000);
    tailing_check(&t, 20000);
    for (int i = 0; i < 2; i++) { /* and it stays so */
        tailing_close(&t);
        tailing_open(&t);
        tailing_run_ms(&t, 300);
        tailing_check(&t, 20000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_reads_files_that_are_there_and_what_is_added),
        TEST(test_starts_at_the_end_of_what_was_there_before_it),
        TEST(test_an_unfinished_line_waits_for_its_end),
        TEST(test_goes_on_where_it_was),
        TEST(test_finds_what_was_renamed_while_it_was_away),
        TEST(test_reads_on_in_what_was_compressed_while_it_was_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
