/* A name that leads nowhere by the time that its file is opened is told from one that is left
 * alone, and what is known to have been behind it is not forgotten. */
#include "tests/support/test.h"

#include "sidecar/tail/tail_table.h"
#include "tests/support/no_descriptors.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct tail_source source = {.name = "test"};
static const struct tail_first first = {.since_ns = 1, .wall_ms = 1};

static void fill(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static struct tail_found found_at(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return (struct tail_found){.path = path,
                               .base_len = strlen(path),
                               .dev = status.st_dev,
                               .ino = status.st_ino,
                               .size = (uint64_t)status.st_size,
                               .modified_ns = 1};
}

struct scene {
    char dir[64], path[80];
    struct tail_table table;
};

static void enter(struct scene *scene)
{
    *scene = (struct scene){.dir = "/tmp/surgetank-table-XXXXXX"};
    assert_non_null(mkdtemp(scene->dir));
    snprintf(scene->path, sizeof scene->path, "%s/0.log", scene->dir);
    tail_table_init(&scene->table, 100, 10);
}

static void leave(struct scene *scene)
{
    tail_table_fini(&scene->table);
    assert_int_equal(rmdir(scene->dir), 0);
}

static enum tail_seen see(struct scene *scene, const struct tail_found *found)
{
    return tail_table_see(&scene->table, &source, found, &first, 1, NULL);
}

static void test_a_new_file_that_went_before_it_was_opened_is_gone(void **state)
{
    struct scene scene;

    (void)state;
    enter(&scene);
    fill(scene.path, "one\n");
    struct tail_found found = found_at(scene.path);
    assert_int_equal(unlink(scene.path), 0);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_GONE);
    assert_int_equal(scene.table.len, 0);
    leave(&scene);
}

static void test_what_a_known_file_had_when_it_went_is_unread(void **state)
{
    struct scene scene;

    (void)state;
    enter(&scene);
    fill(scene.path, "one\n");
    struct tail_found found = found_at(scene.path);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_NEW);
    struct tail_entry *entry = scene.table.entries[0];
    entry->mark.resume = 4;
    tail_table_close(&scene.table, entry);
    fill(scene.path, "two and more\n");
    found = found_at(scene.path);
    assert_int_equal(unlink(scene.path), 0);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_OLD);
    assert_int_equal(tail_entry_unread(entry), strlen("two and more\n"));
    leave(&scene);
}

/* The kernel gives the inode of a deleted file to the next one. */
static void test_other_contents_in_a_known_inode_are_not_missing_from_it(void **state)
{
    struct scene scene;

    (void)state;
    enter(&scene);
    fill(scene.path, "one\n");
    struct tail_found found = found_at(scene.path);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_NEW);
    struct tail_entry *entry = scene.table.entries[0];
    entry->mark.resume = 4;
    tail_table_close(&scene.table, entry);
    assert_int_equal(unlink(scene.path), 0);
    fill(scene.path, "something else, and more of it\n");
    found = found_at(scene.path);
    entry->file.dev = found.dev; /* as it may be, or not */
    entry->file.ino = found.ino;
    assert_int_equal(see(&scene, &found), TAIL_SEEN_NEW);
    assert_int_equal(scene.table.len, 2);
    assert_true(entry->orphan);
    assert_int_equal(tail_entry_unread(entry), 0);
    assert_int_equal(unlink(scene.path), 0);
    leave(&scene);
}

static void test_a_known_file_that_cannot_be_opened_is_still_there(void **state)
{
    struct scene scene;
    struct rlimit before;

    (void)state;
    enter(&scene);
    fill(scene.path, "one\n");
    struct tail_found found = found_at(scene.path);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_NEW);
    struct tail_entry *entry = scene.table.entries[0];
    tail_table_close(&scene.table, entry);
    fill(scene.path, "two\n");
    found = found_at(scene.path);
    scene.table.scan++;
    assert_true(no_descriptors_begin(0, &before));
    assert_int_equal(see(&scene, &found), TAIL_SEEN_REFUSED);
    assert_true(no_descriptors_end(&before));
    tail_table_sweep(&scene.table, &source, NULL, 2);
    assert_true(entry->named && !entry->orphan);
    assert_int_equal(see(&scene, &found), TAIL_SEEN_KNOWN);
    assert_int_equal(tail_entry_unread(entry), strlen("one\ntwo\n"));
    assert_int_equal(unlink(scene.path), 0);
    leave(&scene);
}

static void test_a_position_that_cannot_be_read_is_counted(void **state)
{
    (void)state;
    struct scene scene;

    enter(&scene);
    assert_ok(tail_table_recover(&scene.table, 7, BYTES_LITERAL("no position"), 1, 1, NULL));
    assert_int_equal(scene.table.len, 0);
    assert_int_equal(scene.table.unread, 1);
    leave(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_file_that_went_before_it_was_opened_is_gone),
        cmocka_unit_test(test_other_contents_in_a_known_inode_are_not_missing_from_it),
        cmocka_unit_test(test_a_known_file_that_cannot_be_opened_is_still_there),
        cmocka_unit_test(test_a_position_that_cannot_be_read_is_counted),
        cmocka_unit_test(test_what_a_known_file_had_when_it_went_is_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
