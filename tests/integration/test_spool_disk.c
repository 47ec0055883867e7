/* The spool on a real file system that fills up and is emptied again, or can't be written: who
 * appends is told, what was acknowledged stays, and it goes on when it can. In a mount namespace
 * of its own; needs the right to make one. */
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/spool/reader.h"

#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 1 << 20, DATA = 200000, DEADLINE_MS = 60000 };

static char dir[64], spool_dir[80], ballast[80];

struct answer {
    struct spool_waiter waiter; /* first */
    sem_t came;
    enum err err;
    struct error error;
};

static void answered(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct answer *answer = (struct answer *)waiter;

    answer->err = err;
    if (err)
        answer->error = *error;
    sem_post(&answer->came);
}

static enum err append(struct spool *spool, uint32_t n, struct error *error)
{
    static uint8_t data[DATA];
    struct answer answer = {.waiter = {.done = answered}};
    struct bytes part = {data, sizeof data};
    struct spool_request request = {
        .lane = SIGNAL_TRACES, .parts = &part, .part_count = 1, .items = 1, .tag = n};

    sem_init(&answer.came, 0, 0);
    enum err err = spool_append(spool, &request, &answer.waiter, error);
    if (err)
        return err;
    while (sem_wait(&answer.came) != 0)
        ;
    if (answer.err && error != NULL)
        *error = answer.error;
    return answer.err;
}

static struct spool *open_spool(struct error *error)
{
    const struct spool_config config = {
        .dir = spool_dir, .size_bytes = 64 << 20, .segment_bytes = SEGMENT, .save_interval_ms = 10};
    struct spool *spool = NULL;

    return spool_open(&config, &spool, error) == OK ? spool : NULL;
}

static void mount_disk(unsigned long flags, const char *options)
{
    if (mount("none", dir, "tmpfs", flags, options) != 0)
        fail_msg("no tmpfs could be mounted");
}

/* Somebody else's file, as large as it gets. */
static void fill_disk(void)
{
    static const uint8_t block[1 << 16];
    int fd = open(ballast, O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
}

/* Appends until it is refused. Returns how many were taken. */
static uint32_t fill_spool(struct spool *spool, uint32_t from, struct error *error)
{
    uint32_t n = from;
    enum err err;

    while ((err = append(spool, n, error)) == OK)
        n++;
    assert_int_equal(err, ERR_FULL);
    return n;
}

static void wait_for_room(struct spool *spool, uint32_t n)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    enum err err;

    while ((err = append(spool, n, NULL)) == ERR_FULL) {
        assert_true(clock_mono_ms() < until_ms);
        usleep(10000);
    }
    assert_ok(err);
}

/* All from `from` to `end`, in order, acknowledged. */
static void read_back(struct spool *spool, uint32_t from, uint32_t end)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;

    assert_ok(spool_reader_open(spool, SIGNAL_TRACES, "test", &reader, NULL));
    while (from < end) {
        assert_ok(spool_reader_next(reader, 0, &frame, NULL));
        assert_int_equal(frame->lost_items, 0);
        for (uint32_t i = 0; i < frame->entry_count; i++)
            assert_int_equal(spool_frame_entry(frame, i).tag, from++);
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
    assert_int_equal(spool_reader_next(reader, 0, &frame, NULL), ERR_AGAIN);
    spool_reader_close(&reader);
}

static void test_goes_on_when_a_full_disk_has_room_again(void **state)
{
    (void)state;
    struct error error = {0};

    mount_disk(0, "size=24m");
    struct spool *spool = open_spool(&error);
    assert_non_null(spool);
    assert_ok(append(spool, 0, NULL));
    fill_disk();
    uint32_t taken = fill_spool(spool, 1, &error);
    assert_non_null(strstr(error.text, "full"));

    /* Over a restart on the full disk, too. */
    spool_close(&spool);
    spool = open_spool(&error);
    assert_non_null(spool);
    read_back(spool, 0, taken);

    /* What was read makes room; so does whoever took it. */
    wait_for_room(spool, taken++);
    taken = fill_spool(spool, taken, &error);
    assert_int_equal(unlink(ballast), 0);
    wait_for_room(spool, taken++);
    uint32_t more = fill_spool(spool, taken, &error);
    assert_true(more > taken + 20);
    spool_close(&spool);
    spool = open_spool(&error);
    assert_non_null(spool);
    struct spool_stats stats;
    spool_stats(spool, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].items, more);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].damaged, 0);
    spool_close(&spool);
    umount(dir);
}

static void test_says_that_a_disk_can_not_be_written_and_takes_it_when_it_can(void **state)
{
    (void)state;
    struct error error = {0};

    mount_disk(0, "size=24m");
    struct spool *spool = open_spool(&error);
    assert_non_null(spool);
    assert_ok(append(spool, 0, NULL));
    spool_close(&spool);
    mount_disk(MS_REMOUNT | MS_RDONLY, "size=24m");
    assert_null(open_spool(&error));
    assert_non_null(strstr(error.text, "Read-only file system"));
    mount_disk(MS_REMOUNT, "size=24m");
    spool = open_spool(&error);
    assert_non_null(spool);
    read_back(spool, 0, 1);
    spool_close(&spool);
    umount(dir);
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* Who isn't root needs a user namespace to mount in, and to be somebody there: a file system of
 * that namespace has no owner for the files of who isn't. */
static bool enter_mount_namespace(void)
{
    char uid_map[32], gid_map[32];
    bool root = geteuid() == 0;

    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
    return unshare(root ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
           (root || (write_file("/proc/self/setgroups", "deny") &&
                     write_file("/proc/self/uid_map", uid_map) &&
                     write_file("/proc/self/gid_map", gid_map))) &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_when_a_full_disk_has_room_again),
        cmocka_unit_test(test_says_that_a_disk_can_not_be_written_and_takes_it_when_it_can),
    };

    if (!enter_mount_namespace()) {
        printf("a mount namespace can't be made here\n");
        return 1;
    }
    snprintf(dir, sizeof dir, "/tmp/surgetank-disk-%d", (int)getpid());
    snprintf(spool_dir, sizeof spool_dir, "%s/spool", dir);
    snprintf(ballast, sizeof ballast, "%s/ballast", dir);
    if (mkdir(dir, 0700) != 0)
        return 1;
    int failed = cmocka_run_group_tests_name("spool_disk", tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
