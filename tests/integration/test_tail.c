/* Promise: each line of a followed file is in the spool once, whatever becomes of the file, the
 * process and the spool in the meantime. Every line is numbered, and the numbers are counted. */
// link: tests/support/tailing.c
#include "tests/support/test.h"

#include "tests/support/tailing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* ---- beginning */

static void test_reads_files_that_are_there_and_what_is_added(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 500, 10);
    tailing_write(tailing_path(&t, "b.log"), 500, 500, 10);
    tailing_open(&t);
    tailing_run(&t, 1000);
    tailing_write(tailing_path(&t, "a.log"), 1000, 10, 10);
    tailing_write(tailing_path(&t, "c.log"), 1010, 10, 10);
    tailing_write(tailing_path(&t, "c.txt"), 5000, 10, 10); /* none of ours */
    tailing_run(&t, 1020);
    tailing_check(&t, 1020);
}

/* Names are any bytes, and what is no file must not be waited for. */
static void test_no_name_and_no_kind_of_file_holds_up_the_others(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(tailing_path(&t, "a-fifo.log"), 0600), 0);
    assert_int_equal(mkdir(tailing_path(&t, "a-directory.log"), 0700), 0);
    assert_int_equal(symlink("/dev/zero", tailing_path(&t, "a-device.log")), 0);
    assert_int_equal(symlink("/nowhere", tailing_path(&t, "a-link.log")), 0);
    tailing_write(tailing_path(&t, "bad\xff\xfe.log"), 0, 10, 10);
    tailing_write(tailing_path(&t, "new\nline.log"), 10, 10, 10);
    tailing_write(tailing_path(&t, "good.log"), 20, 10, 10);
    tailing_open(&t);
    tailing_run(&t, 30);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "bad\xff\xfe.log"), 30, 10, 10);
    tailing_open(&t);
    tailing_run(&t, 10);
    tailing_check(&t, 40);
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
    tailing_run(&t, 20);
    tailing_check(&t, 20);
}

static void test_leaves_what_was_compressed_before_it_alone_for_good(void **state)
{
    char command[200];

    (void)state;
    t.source.start = TAIL_START_END;
    tailing_write(tailing_path(&t, "a.log.1"), 90000, 1000, 10);
    snprintf(command, sizeof command, "gzip %s", tailing_path(&t, "a.log.1"));
    assert_int_equal(system(command), 0);
    tailing_open(&t);
    for (int i = 0; i < 2; i++) {
        tailing_write(tailing_path(&t, "a.log"), (uint64_t)i * 10, 10, 10);
        tailing_run(&t, 10);
        tailing_check(&t, (uint64_t)i * 10 + 10);
        tailing_close(&t);
        tailing_open(&t);
    }
}

static void test_an_unfinished_line_waits_for_its_end(void **state)
{
    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 0\nn=1 ");
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_check(&t, 1);
    tailing_close(&t);
    tailing_open(&t);
    tailing_append(tailing_path(&t, "a.log"), "0\n");
    tailing_run(&t, 1);
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
    tailing_run(&t, 1000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "a.log"), 1000, 1000, 10);
    tailing_write(tailing_path(&t, "b.log"), 2000, 1000, 10); /* came while nobody looked */
    tailing_write(tailing_path(&t, "old.log"), 3000, 100, 10);
    tailing_open(&t);
    tailing_run(&t, 2100);
    tailing_check(&t, 3100);
}

static void test_finds_what_was_renamed_while_it_was_away(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 1000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "a.log"), 1000, 1000, 10);
    assert_int_equal(rename(tailing_path(&t, "a.log"), tailing_path(&t, "a.log.1")), 0);
    tailing_write(tailing_path(&t, "a.log"), 2000, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 2000);
    tailing_check(&t, 3000);
}

static void test_reads_on_in_what_was_compressed_while_it_was_away(void **state)
{
    char command[256];

    (void)state;
    tailing_write(tailing_path(&t, "0.log"), 0, 5000, 10);
    tailing_open(&t);
    tailing_run(&t, 5000);
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
    tailing_run(&t, 15000);
    tailing_check(&t, 20000);
    for (int i = 0; i < 2; i++) { /* and it stays so */
        tailing_close(&t);
        tailing_open(&t);
        tailing_run_ms(&t, 300);
        tailing_check(&t, 20000);
    }
}

/* The inode is old, what is in it is not. */
static void test_reads_what_replaced_the_contents_while_it_was_away(void **state)
{
    (void)state;
    t.source.start = TAIL_START_END;
    tailing_write(tailing_path(&t, "a.log"), 90000, 1000, 10);
    tailing_open(&t);
    tailing_write(tailing_path(&t, "a.log"), 0, 100, 10);
    tailing_run(&t, 100);
    tailing_close(&t);
    assert_int_equal(truncate(tailing_path(&t, "a.log"), 0), 0);
    tailing_write(tailing_path(&t, "a.log"), 100, 100, 10);
    tailing_open(&t);
    tailing_run(&t, 100);
    tailing_check(&t, 200);
}

/* ---- what happens to files */

static void test_reads_a_deleted_file_to_its_end(void **state)
{
    (void)state;
    t.source.start = TAIL_START_END;
    tailing_write(tailing_path(&t, "a.log"), 90000, 1, 10);
    tailing_open(&t);
    tailing_run_ms(&t, 50);
    FILE *writer = fopen(tailing_path(&t, "a.log"), "ae");
    assert_non_null(writer);
    for (int i = 0; i < 3000; i++)
        fprintf(writer, "n=%d 0\n", i);
    fflush(writer);
    assert_int_equal(unlink(tailing_path(&t, "a.log")), 0);
    tailing_run(&t, 3000);
    for (int i = 3000; i < 3100; i++) /* it is still open elsewhere */
        fprintf(writer, "n=%d 0\n", i);
    fclose(writer);
    tailing_run(&t, 3100);
    tailing_check(&t, 3100);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

static void test_begins_a_truncated_file_again(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 1000);
    assert_int_equal(truncate(tailing_path(&t, "a.log"), 0), 0);
    tailing_write(tailing_path(&t, "a.log"), 1000, 100, 10);
    tailing_run(&t, 1100);
    tailing_check(&t, 1100);
    assert_int_equal(tailing_state(&t).truncations, 1);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

static void copy(const char *from, const char *to)
{
    char command[256];

    snprintf(command, sizeof command, "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* logrotate's copytruncate; what was written before it and not read is in the copy. */
static void test_finds_what_a_copytruncate_took_away_in_the_copy(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 1000);
    for (uint64_t round = 1; round <= 3; round++) {
        tailing_write(tailing_path(&t, "a.log"), round * 1000, 900, 10);
        if (round > 1)
            assert_int_equal(rename(tailing_path(&t, "a.log.1"), tailing_path(&t, "a.log.2")), 0);
        copy(tailing_path(&t, "a.log"), tailing_path(&t, "a.log.1"));
        if (round == 2)
            tailing_run_ms(&t, 200); /* seen before it is truncated, too */
        assert_int_equal(truncate(tailing_path(&t, "a.log"), 0), 0);
        tailing_write(tailing_path(&t, "a.log"), round * 1000 + 900, 100, 10);
        tailing_run(&t, (round + 1) * 1000);
    }
    tailing_check(&t, 4000);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

static void test_counts_what_was_truncated_unread(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    tailing_open(&t);
    tailing_run(&t, 1000);
    tailing_close(&t);
    tailing_write(tailing_path(&t, "a.log"), 5000, 1000, 10);
    tailing_open(&t); /* has asked for the size, has read nothing */
    assert_int_equal(truncate(tailing_path(&t, "a.log"), 0), 0);
    tailing_write(tailing_path(&t, "a.log"), 1000, 10, 10);
    tailing_run(&t, 10);
    for (int i = 0; i < 400 && tailing_state(&t).lost_bytes == 0; i++)
        continue; /* a whole scan, and half a second until it is told */
    tailing_check(&t, 1010);
    assert_int_equal(tailing_state(&t).lost_bytes, 18 * 1000); /* "n=5000 0000000000\n" */
    assert_int_equal(tailing_state(&t).lost_files, 1);
}

/* An inode with other contents, whether it was given to another file or written anew. */
static void test_takes_a_used_inode_for_a_new_file(void **state)
{
    struct stat before, after;

    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    assert_int_equal(stat(tailing_path(&t, "a.log"), &before), 0);
    tailing_open(&t);
    tailing_run(&t, 1000);
    tailing_close(&t);
    assert_int_equal(unlink(tailing_path(&t, "a.log")), 0);
    tailing_write(tailing_path(&t, "a.log"), 1000, 2000, 10);
    assert_int_equal(stat(tailing_path(&t, "a.log"), &after), 0);
    if (after.st_ino != before.st_ino) { /* a file system that takes its time */
        copy(tailing_path(&t, "a.log"), tailing_path(&t, "other"));
        assert_int_equal(truncate(tailing_path(&t, "a.log"), 0), 0);
        copy(tailing_path(&t, "other"), tailing_path(&t, "a.log"));
    }
    tailing_open(&t);
    tailing_run(&t, 2000);
    tailing_check(&t, 3000);
}

/* ---- old files */

static void set_age(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
                                      {.tv_sec = time(NULL) - seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_leaves_old_files_alone_until_they_are_written_to(void **state)
{
    (void)state;
    t.source.ignore_older_ms = 60000;
    tailing_write(tailing_path(&t, "old.log"), 0, 100, 10);
    set_age(tailing_path(&t, "old.log"), 3600);
    tailing_write(tailing_path(&t, "young.log"), 100, 100, 10);
    tailing_open(&t);
    tailing_run(&t, 100);
    assert_int_equal(tailing_state(&t).files, 1);
    tailing_write(tailing_path(&t, "old.log"), 200, 100, 10);
    tailing_run(&t, 300);
    tailing_check(&t, 300);
}

/* ---- kubelet's directories */

static void make_dirs(const char *path)
{
    char command[512];

    snprintf(command, sizeof command, "mkdir -p %s", path);
    assert_int_equal(system(command), 0);
}

static const char *pod_log(const char *pod, const char *container, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", pod, container);
    make_dirs(tailing_path(&t, path));
    snprintf(path, sizeof path, "%s/%s/%s", pod, container, name);
    return tailing_path(&t, path);
}

static void cri(const char *path, const char *stream, const char *tag, const char *content)
{
    char line[512];

    snprintf(line, sizeof line, "2026-02-05T10:00:00.123456789Z %s %s %s\n", stream, tag, content);
    tailing_append(path, line);
}

static void container_logs(void)
{
    static const char *const all[] = {"*"}, *const without[] = {"noisy-*"},
                             *const namespaces[] = {"shop*"};

    t.source.root = t.logs;
    t.source.namespaces = namespaces;
    t.source.namespace_count = 1;
    t.source.pods = all;
    t.source.pod_count = 1;
    t.source.exclude_pods = without;
    t.source.exclude_pod_count = 1;
    t.source.format = LINES_CRI;
}

#define UID_A "11111111-2222-3333-4444-555555555555"

static void test_reads_the_logs_of_the_containers_that_are_asked_for(void **state)
{
    (void)state;
    container_logs();
    cri(pod_log("shop_web-1_" UID_A, "app", "0.log"), "stdout", "F", "n=0 ");
    cri(pod_log("shop_noisy-1_" UID_A, "app", "0.log"), "stdout", "F", "left out");
    cri(pod_log("kube-system_web_" UID_A, "app", "0.log"), "stdout", "F", "left out");
    cri(pod_log("shop_edge-x_" UID_A, "surgetank", "0.log"), "stdout", "F", "our own");
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_check(&t, 1);
    assert_non_null(strstr(t.last_resource, "k8s.namespace.name=shop\n"));
    assert_non_null(strstr(t.last_resource, "k8s.pod.name=web-1\n"));
    assert_non_null(strstr(t.last_resource, "k8s.pod.uid=" UID_A "\n"));
    assert_non_null(strstr(t.last_resource, "k8s.container.name=app\n"));
    assert_non_null(strstr(t.last_resource, "k8s.container.restart_count=0\n"));
    /* A pod that comes later; a container that starts again. */
    cri(pod_log("shop-eu_web-2_" UID_A, "app", "0.log"), "stderr", "F", "n=1 ");
    cri(pod_log("shop_web-1_" UID_A, "app", "1.log"), "stdout", "F", "n=2 ");
    tailing_run(&t, 3);
    tailing_check(&t, 3);
}

static void test_starts_at_a_time(void **state)
{
    (void)state;
    container_logs();
    t.source.start = TAIL_START_TIME;
    t.source.start_ns = UINT64_C(1770285601) * 1000000000; /* 2026-02-05T10:00:01Z */
    const char *log = pod_log("shop_web-1_" UID_A, "app", "0.log");
    tailing_append(log, "2026-02-05T10:00:00.999999999Z stdout F too old\n"
                        "2026-02-05T10:00:01.000000000Z stdout F n=0 \n"
                        "2026-02-05T10:00:00.500000000Z stderr F too old\n");
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_close(&t);
    tailing_append(log, "2026-02-05T10:00:00.600000000Z stderr F too old\n"
                        "2026-02-05T10:00:02.000000000Z stdout F n=1 \n");
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_check(&t, 2);
}

/* Below kubelet's directories, Docker's files are symbolic links to elsewhere. */
static void test_follows_dockers_files_through_kubelets_links(void **state)
{
    char target[128];

    (void)state;
    container_logs();
    snprintf(target, sizeof target, "%s/docker-json.log", t.dir);
    tailing_append(
        target, "{\"log\":\"n=0 be\",\"stream\":\"stdout\",\"time\":\"2026-02-05T10:00:00Z\"}\n"
                "{\"log\":\"gin\\n\",\"stream\":\"stdout\",\"time\":\"2026-02-05T10:00:00Z\"}\n");
    const char *log = pod_log("shop_web-1_" UID_A, "app", "0.log");
    assert_int_equal(symlink(target, log), 0);
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_append(
        target, "{\"log\":\"n=1 \\n\",\"stream\":\"stderr\",\"time\":\"2026-02-05T10:00:00Z\"}\n");
    tailing_run(&t, 2);
    tailing_check(&t, 2);
    assert_non_null(strstr(t.last_resource, "k8s.pod.name=web-1\n"));
}

static void test_parts_of_interleaved_streams_are_joined_over_a_restart(void **state)
{
    (void)state;
    container_logs();
    const char *log = pod_log("shop_web-1_" UID_A, "app", "0.log");
    cri(log, "stdout", "P", "n=0 be");
    cri(log, "stderr", "F", "n=1 ");
    cri(log, "stdout", "P", "gin");
    cri(log, "stderr", "P", "n=2 ");
    tailing_open(&t);
    tailing_run(&t, 1);
    tailing_close(&t);
    cri(log, "stderr", "F", "end");
    cri(log, "stdout", "F", "ning");
    cri(log, "stderr", "F", "n=3 ");
    tailing_open(&t);
    tailing_run(&t, 3);
    tailing_check(&t, 4);
}

/* kubelet's rotation to the letter: rename, the runtime goes on in the renamed file for a moment,
 * the one before is compressed at the next rotation, by way of a .tmp, and the oldest go. */
static void test_follows_kubelets_rotation(void **state)
{
    char command[1600];
    uint64_t n = 0;

    (void)state;
    container_logs();
    tailing_open(&t);
    for (int round = 0; round < 6; round++) {
        char name[64], before[64];
        const char *log = pod_log("shop_web-1_" UID_A, "app", "0.log");
        char line[32];
        for (int i = 0; i < 300; i++) {
            snprintf(line, sizeof line, "n=%llu ", (unsigned long long)n++);
            cri(log, "stdout", "F", line);
        }
        tailing_run_ms(&t, round % 2 == 0 ? 30 : 0);
        snprintf(name, sizeof name, "0.log.20260205-1015%02d", round);
        snprintf(before, sizeof before, "0.log.20260205-1015%02d", round - 1);
        const char *rotated = pod_log("shop_web-1_" UID_A, "app", name);
        const char *previous = pod_log("shop_web-1_" UID_A, "app", before);
        if (round > 0) {
            snprintf(command, sizeof command, "gzip -c %s > %s.tmp && mv %s.tmp %s.gz && rm %s",
                     previous, previous, previous, previous, previous);
            assert_int_equal(system(command), 0);
        }
        assert_int_equal(rename(log, rotated), 0);
        for (int i = 0; i < 20; i++) { /* not reopened yet */
            snprintf(line, sizeof line, "n=%llu ", (unsigned long long)n++);
            cri(rotated, "stdout", "F", line);
        }
        tailing_run_ms(&t, round % 3 == 0 ? 50 : 0);
    }
    tailing_run(&t, n);
    tailing_run_ms(&t, 1200);
    tailing_check(&t, n);
    tailing_close(&t);
    tailing_open(&t);
    tailing_run_ms(&t, 300);
    tailing_check(&t, n);
    assert_int_equal(tailing_state(&t).lost_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_reads_files_that_are_there_and_what_is_added),
        TEST(test_no_name_and_no_kind_of_file_holds_up_the_others),
        TEST(test_starts_at_the_end_of_what_was_there_before_it),
        TEST(test_leaves_what_was_compressed_before_it_alone_for_good),
        TEST(test_an_unfinished_line_waits_for_its_end),
        TEST(test_goes_on_where_it_was),
        TEST(test_finds_what_was_renamed_while_it_was_away),
        TEST(test_reads_on_in_what_was_compressed_while_it_was_away),
        TEST(test_reads_what_replaced_the_contents_while_it_was_away),
        TEST(test_reads_a_deleted_file_to_its_end),
        TEST(test_begins_a_truncated_file_again),
        TEST(test_finds_what_a_copytruncate_took_away_in_the_copy),
        TEST(test_counts_what_was_truncated_unread),
        TEST(test_takes_a_used_inode_for_a_new_file),
        TEST(test_leaves_old_files_alone_until_they_are_written_to),
        TEST(test_reads_the_logs_of_the_containers_that_are_asked_for),
        TEST(test_starts_at_a_time),
        TEST(test_follows_dockers_files_through_kubelets_links),
        TEST(test_parts_of_interleaved_streams_are_joined_over_a_restart),
        TEST(test_follows_kubelets_rotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
