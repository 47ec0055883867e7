/* What the cursor file promises: a save that returned OK is what the next start finds; one that
 * failed or was torn leaves the save before it. */
// link: tests/support/fault_disk.c
#include "tests/support/test.h"

#include "common/crc32c.h"
#include "sidecar/spool/cursor.h"
#include "tests/support/fault_disk.h"

#include <stdio.h>

static struct cursor_state make_state(uint64_t n)
{
    struct cursor_state state = {.incarnation = 77, .numbers = n + 9};

    for (int lane = 0; lane < SIGNAL_COUNT; lane++) {
        struct cursor_lane *into = &state.lanes[lane];
        *into = (struct cursor_lane){
            .begin = n, .synced = n + 1, .items = n + 2, .dropped = n + 3, .given = n + 10};
        for (int i = 0; i <= lane; i++) {
            struct cursor_reader *reader = &into->readers[i];
            snprintf(reader->name, sizeof reader->name, "reader-%d", i);
            reader->seq = n + 4;
            reader->items = n + 5;
            reader->start_items = n + 6;
            reader->damaged = n + 7;
            reader->dropped = n + 8;
        }
    }
    return state;
}

static void save(struct cursor_file *file, uint64_t n)
{
    struct cursor_state state = make_state(n);
    assert_ok(cursor_save(file, &state, NULL));
}

/* The n of what the next start finds; 0: nothing. */
static uint64_t found(void)
{
    AUTO(cursor_close) struct cursor_file *file = NULL;
    struct cursor_state state;
    bool there = false;

    assert_ok(cursor_open("spool", &file, &state, &there, NULL));
    if (!there)
        return 0;
    struct cursor_state want = make_state(state.lanes[0].begin);
    assert_memory_equal(&state, &want, sizeof state);
    return state.lanes[0].begin;
}

static struct cursor_file *open_file(void)
{
    struct cursor_file *file = NULL;
    struct cursor_state state;
    bool there = false;

    assert_ok(cursor_open("spool", &file, &state, &there, NULL));
    return file;
}

static void test_finds_what_was_saved_last(void **state)
{
    (void)state;
    fault_disk_reset();
    assert_int_equal(found(), 0);
    struct cursor_file *file = open_file();
    for (uint64_t n = 1; n < 6; n++) {
        save(file, n);
        assert_int_equal(found(), n);
    }
    cursor_close(&file);
    file = open_file();
    save(file, 6);
    cursor_close(&file);
    assert_int_equal(found(), 6);
}

/* Whatever fails, and wherever the power goes while it is saved: the old state or the new one. */
static void test_is_never_between_two_saves(void **state)
{
    (void)state;
    for (unsigned before = 1; before < 4; before++)
        for (unsigned fault = 0; fault < 24; fault++) {
            fault_disk_reset();
            struct cursor_file *file = open_file();
            for (uint64_t n = 1; n <= before; n++)
                save(file, n);
            struct cursor_state next = make_state(9);
            fault_disk_fail(fault / 2, fault % 2 == 0, ERR_IO);
            enum err err = cursor_save(file, &next, NULL);
            fault_disk_fail(0, false, OK);
            cursor_close(&file);
            fault_disk_save();
            for (size_t keep = 0, all = fault_disk_unsynced(); keep <= all;
                 keep = fault_disk_next_keep(keep))
                for (int names = 0; names < 2; names++) {
                    fault_disk_crash(keep, keep % DAMAGE_COUNT, names == 0);
                    uint64_t n = found();
                    assert_true(n == 9 || (err != OK && n == before));
                    fault_disk_restore();
                }
        }
}

/* The power goes after the write and before the sync. */
static void test_survives_a_torn_save(void **state)
{
    (void)state;
    for (unsigned before = 1; before < 4; before++) {
        fault_disk_reset();
        struct cursor_file *file = open_file();
        for (uint64_t n = 1; n <= before; n++)
            save(file, n);
        struct cursor_state next = make_state(9);
        fault_disk_fail(2, true, ERR_IO); /* the write is done, the sync is not */
        assert_int_equal(cursor_save(file, &next, NULL), ERR_IO);
        fault_disk_fail(0, false, OK);
        cursor_close(&file);
        uint64_t n = found();
        assert_true(n == 9 || n == before);
    }
}

/* Whatever fails, and wherever the power goes: one of two states. */
static void save_badly(unsigned fault, bool lasting, uint64_t n, uint64_t before)
{
    struct cursor_file *file = open_file();
    struct cursor_state next = make_state(n);

    fault_disk_fail(fault, lasting, ERR_IO);
    enum err err = cursor_save(file, &next, NULL);
    fault_disk_fail(0, false, OK);
    cursor_close(&file);
    fault_disk_save();
    for (size_t keep = 0, all = fault_disk_unsynced(); keep <= all;
         keep = fault_disk_next_keep(keep))
        for (int names = 0; names < 2; names++) {
            fault_disk_crash(keep, keep % DAMAGE_COUNT, names == 0);
            uint64_t there = found();
            assert_true(there == n || (err != OK && there == before));
            fault_disk_restore();
        }
}

/* A save was not synced, and a run that was killed for it never got it to the disk: the next one
 * reads it back all the same, and must not overwrite what the disk has. */
static void test_keeps_the_save_behind_one_that_never_got_to_the_disk(void **state)
{
    (void)state;
    for (unsigned before = 2; before < 5; before++)
        for (unsigned fault = 0; fault < 24; fault++) {
            fault_disk_reset();
            struct cursor_file *file = open_file();
            for (uint64_t n = 1; n <= before; n++)
                save(file, n);
            struct cursor_state next = make_state(9);
            fault_disk_fail(2, true, ERR_IO); /* the write is done, the sync is not */
            assert_int_equal(cursor_save(file, &next, NULL), ERR_IO);
            fault_disk_fail(0, false, OK);
            cursor_close(&file);
            assert_int_equal(found(), 9);
            save_badly(fault / 2, fault % 2 == 0, 10, before);
        }
}

/* No room for a new file: the one of an earlier run takes the first save too. */
static void test_saves_on_a_full_disk(void **state)
{
    (void)state;
    fault_disk_reset();
    struct cursor_file *file = open_file();
    save(file, 1);
    cursor_close(&file);
    fault_disk_set_capacity(8192);
    for (uint64_t n = 2; n < 5; n++) {
        file = open_file();
        save(file, n);
        cursor_close(&file);
        fault_disk_crash(0, DAMAGE_NONE, false);
        assert_int_equal(found(), n);
    }
}

/* First save of all: the name must not come before the bytes. */
static void test_makes_the_file_whole_or_not_at_all(void **state)
{
    (void)state;
    fault_disk_reset();
    struct cursor_file *file = open_file();
    save(file, 1);
    cursor_close(&file);
    fault_disk_crash(0, DAMAGE_NONE, false);
    assert_int_equal(found(), 1);
}

static void test_falls_back_to_the_other_slot_when_one_rots(void **state)
{
    (void)state;
    for (uint64_t at = 0; at < 4096; at += 5) {
        fault_disk_reset();
        struct cursor_file *file = open_file();
        save(file, 1);
        save(file, 2);
        cursor_close(&file);
        assert_true(fault_disk_rot("spool/cursors", at)); /* slot 0 holds the second save */
        assert_int_equal(found(), 1);
    }
}

static void test_refuses_a_newer_version(void **state)
{
    (void)state;
    AUTO(cursor_close) struct cursor_file *file = NULL;
    struct cursor_state into;
    struct error error = {0};
    bool there = false;
    static const uint8_t slot[4096] = {'S', 'R', 'G', 'C', 'U', 'R', '0', '2'};
    uint8_t copy[4096];

    fault_disk_reset();
    memcpy(copy, slot, sizeof copy);
    uint32_t crc = crc32c(0, (struct bytes){copy, 4092});
    for (int i = 0; i < 4; i++)
        copy[4092 + i] = (uint8_t)(crc >> (8 * i));
    fault_disk_put("spool/cursors", copy, sizeof copy);
    assert_int_equal(cursor_open("spool", &file, &into, &there, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "written by a newer version"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_what_was_saved_last),
        cmocka_unit_test(test_is_never_between_two_saves),
        cmocka_unit_test(test_survives_a_torn_save),
        cmocka_unit_test(test_keeps_the_save_behind_one_that_never_got_to_the_disk),
        cmocka_unit_test(test_saves_on_a_full_disk),
        cmocka_unit_test(test_makes_the_file_whole_or_not_at_all),
        cmocka_unit_test(test_falls_back_to_the_other_slot_when_one_rots),
        cmocka_unit_test(test_refuses_a_newer_version),
    };
    return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
