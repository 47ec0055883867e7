/* Promise: the log of a pod that lives for a moment is read if it is there for one: new directories
 * are heard of, not come across when everything is looked through. What is there for less is
 * counted. Nothing is looked through again in these tests. */
// link: tests/support/tailing.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/spool/spool.h"
#include "tests/support/tailing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEVER_MS = 3600000, PATIENCE_MS = 60000 };

static struct tailing t;

static int begin(void **state)
{
    static const char *const all[] = {"*"};

    (void)state;
    tailing_begin(&t);
    t.source.root = t.logs;
    t.source.namespaces = t.source.pods = all;
    t.source.namespace_count = t.source.pod_count = 1;
    t.source.format = LINES_CRI;
    t.source.rescan_ms = NEVER_MS;
    return 0;
}

static int end(void **state)
{
    (void)state;
    tailing_end(&t);
    return 0;
}

/* ---- pods */

static const char *pod_path(unsigned pod, const char *below)
{
    char path[128];

    snprintf(path, sizeof path, "shop_job-%u_11111111-2222-3333-4444-%012u%s", pod, pod, below);
    return tailing_path(&t, path);
}

static void make_dirs(unsigned pod)
{
    assert_int_equal(mkdir(pod_path(pod, ""), 0700), 0);
    assert_int_equal(mkdir(pod_path(pod, "/app"), 0700), 0);
}

static void print(unsigned pod, unsigned first, unsigned count)
{
    char line[64];

    for (unsigned i = first; i < first + count; i++) {
        snprintf(line, sizeof line, "2026-02-05T10:00:00.123456789Z stdout F n=%u \n", i);
        tailing_append(pod_path(pod, "/app/0.log"), line);
    }
}

/* ---- seen */

static void test_a_pod_that_comes_later_is_heard_of(void **state)
{
    (void)state;
    tailing_open(&t);
    tailing_run_ms(&t, 50);
    make_dirs(1);
    print(1, 0, 10);
    tailing_run(&t, 10);
    tailing_check(&t, 10);
}

/* Each directory is watched by the time that the next one is made in it. */
static void test_a_pod_that_comes_bit_by_bit_is_heard_of(void **state)
{
    (void)state;
    tailing_open(&t);
    tailing_run_ms(&t, 50);
    assert_int_equal(mkdir(pod_path(1, ""), 0700), 0);
    tailing_run_ms(&t, 50);
    assert_int_equal(mkdir(pod_path(1, "/app"), 0700), 0);
    tailing_run_ms(&t, 50);
    print(1, 0, 10);
    tailing_run(&t, 10);
    tailing_check(&t, 10);
}

/* As kubelet does it: the log, then the directories. */
static void delete_pod(unsigned pod)
{
    assert_int_equal(unlink(pod_path(pod, "/app/0.log")), 0);
    assert_int_equal(rmdir(pod_path(pod, "/app")), 0);
    assert_int_equal(rmdir(pod_path(pod, "")), 0);
}

/* One look is enough, however late it comes: files are opened by it, and read after they are gone.
 */
static void test_a_pod_that_is_there_for_one_look_is_read_whole(void **state)
{
    enum { PODS = 100, LINES = 20 };

    (void)state;
    tailing_open(&t);
    for (unsigned pod = 0; pod < PODS; pod++) {
        make_dirs(pod);
        print(pod, pod * LINES, LINES);
        tail_turn(t.tail, 0);
        print(pod, PODS * LINES + pod, 1); /* its last words */
        delete_pod(pod);
    }
    tailing_run(&t, PODS * LINES + PODS);
    tailing_check(&t, PODS * LINES + PODS);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

/* As tailing_open(), without a descriptor left for watches. */
static void open_deaf(void)
{
    enum { FILES = 128 };
    char dir[80];
    int taken[FILES], count = 0;
    struct rlimit before;

    snprintf(dir, sizeof dir, "%s/spool", t.dir);
    const struct spool_config config = {.dir = dir, .size_bytes = t.spool_bytes};
    assert_ok(spool_open(&config, &t.spool, NULL));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {.rlim_cur = FILES, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < FILES && (taken[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    assert_true(count > 1);
    close(taken[--count]); /* for its eventfd */
    const struct tail_options options = {
        .sources = &t.source, .source_count = 1, .spool = t.spool, .open_max = 100};
    assert_ok(tail_open(&options, &t.tail, NULL));
    while (count > 0)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void test_without_watches_everything_is_looked_through_often(void **state)
{
    struct tail_state told;

    (void)state;
    open_deaf();
    tailing_run_ms(&t, 50);
    make_dirs(1);
    print(1, 0, 10);
    tailing_run(&t, 10);
    tailing_check(&t, 10);
    tail_state(t.tail, &told);
    assert_true(told.deaf);
}

/* ---- missed */

static void test_a_pod_that_nobody_had_a_look_at_is_counted(void **state)
{
    static const char *const others[] = {"elsewhere"};

    (void)state;
    tailing_open(&t);
    tailing_run_ms(&t, 50);
    make_dirs(1);
    print(1, 0, 10);
    delete_pod(1);
    assert_int_equal(tailing_state(&t).missed, 1);
    tailing_close(&t);

    t.source.namespaces = others; /* and one that is left out is not */
    tailing_open(&t);
    make_dirs(2);
    print(2, 0, 10);
    delete_pod(2);
    assert_int_equal(tailing_state(&t).missed, 0);
}

static void test_a_file_that_nobody_had_a_look_at_is_counted(void **state)
{
    (void)state;
    tailing_open(&t);
    make_dirs(1);
    tailing_run_ms(&t, 50);
    print(1, 0, 10);
    assert_int_equal(unlink(pod_path(1, "/app/0.log")), 0);
    tailing_append(pod_path(1, "/app/0.log.tmp"), "none of ours\n");
    assert_int_equal(unlink(pod_path(1, "/app/0.log.tmp")), 0);
    assert_int_equal(tailing_state(&t).missed, 1);
    print(1, 0, 10); /* one that stays is not */
    tailing_run(&t, 10);
    delete_pod(1);
    assert_int_equal(tailing_state(&t).missed, 1);
    tailing_check(&t, 10);
}

static void test_a_file_that_has_another_name_by_now_is_not_missed(void **state)
{
    (void)state;
    tailing_open(&t);
    make_dirs(1);
    tailing_run_ms(&t, 50);
    print(1, 0, 10);
    assert_int_equal(rename(pod_path(1, "/app/0.log"), pod_path(1, "/app/0.log.20260205-101500")),
                     0);
    tailing_run(&t, 10);
    assert_int_equal(unlink(pod_path(1, "/app/0.log.20260205-101500")), 0);
    assert_int_equal(tailing_state(&t).missed, 0);
    tailing_check(&t, 10);
}

/* It was closed to open another, so that nobody has read how long it became. */
static void test_a_known_file_that_grew_and_went_unread_is_lost(void **state)
{
    (void)state;
    t.source.rescan_ms = 100;
    t.open_max = 1;
    make_dirs(1);
    make_dirs(2);
    print(1, 0, 10);
    tailing_open(&t);
    tailing_run(&t, 10);
    print(2, 10, 10);
    tailing_run(&t, 20);
    print(1, 90000, 10);
    delete_pod(1);
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    while (tailing_state(&t).lost_files == 0 && clock_mono_ms() < end)
        continue;
    assert_int_equal(tailing_state(&t).lost_files, 1);
    tailing_check(&t, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_a_pod_that_comes_later_is_heard_of),
        TEST(test_a_pod_that_comes_bit_by_bit_is_heard_of),
        TEST(test_a_pod_that_is_there_for_one_look_is_read_whole),
        TEST(test_without_watches_everything_is_looked_through_often),
        TEST(test_a_pod_that_nobody_had_a_look_at_is_counted),
        TEST(test_a_file_that_nobody_had_a_look_at_is_counted),
        TEST(test_a_file_that_has_another_name_by_now_is_not_missed),
        TEST(test_a_known_file_that_grew_and_went_unread_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
