/* What marks promise: after any crash they say what the frames that are there say, and the segments
 * that brought them may go. */
// link: tests/support/fault_disk.c tests/support/store_fixture.c
#include "tests/support/test.h"

#include "sidecar/spool/spool_tool.h"
#include "tests/support/fault_disk.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* Every unsynced byte; under the sanitizers, which look for other faults, some of them. */
#if UNDER_TSAN
enum { STRIDE = 41 };
#elif UNDER_ASAN
enum { STRIDE = 13 };
#else
enum { STRIDE = 1 };
#endif

/* ---- the table */

static struct spool_mark mark_of(uint32_t key, const char *value)
{
    struct spool_mark mark = {.value = bytes_from(value)};
    memcpy(mark.key, &key, sizeof key);
    return mark;
}

static void apply(struct marks *marks, struct spool_mark mark)
{
    uint8_t encoded[MARK_BYTES_MAX];

    mark_encode(&mark, encoded);
    assert_true(marks_apply(marks, (struct bytes){encoded, mark_len(&mark)}));
}

static void forget(struct marks *marks, uint32_t key)
{
    struct spool_mark mark = mark_of(key, "");
    mark.forget = true;
    apply(marks, mark);
}

struct expected {
    const char *values[8]; /* by key; NULL: none */
    unsigned count;
};

static void compare(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    struct expected *expected = context;
    uint32_t n;

    memcpy(&n, key, sizeof n);
    assert_in_range(n, 0, 7);
    assert_non_null(expected->values[n]);
    assert_true(bytes_equal(value, bytes_from(expected->values[n])));
    expected->count++;
}

static void test_keeps_the_last_mark_of_each_key(void **state)
{
    (void)state;
    AUTO(marks_destroy) struct marks *marks = marks_create(4);
    struct expected expected = {.values = {[1] = "one", [3] = "", [5] = "fifth"}};

    apply(marks, mark_of(5, "five"));
    apply(marks, mark_of(1, "one"));
    apply(marks, mark_of(7, "seven"));
    apply(marks, mark_of(3, ""));
    apply(marks, mark_of(5, "fifth"));
    forget(marks, 7);
    forget(marks, 7);
    marks_each(marks, compare, &expected);
    assert_int_equal(expected.count, 3);
    assert_int_equal(marks_count(marks), 3);

    /* And a copy made of what it writes is the same. */
    uint8_t encoded[256];
    AUTO(marks_destroy) struct marks *copy = marks_create(4);
    assert_int_equal(marks_len(marks), 3 * MARK_HEAD + 3 + 5);
    marks_encode(marks, encoded);
    assert_true(marks_apply(copy, (struct bytes){encoded, marks_len(marks)}));
    expected.count = 0;
    marks_each(copy, compare, &expected);
    assert_int_equal(expected.count, 3);
}

static void test_refuses_what_is_no_mark_or_one_too_many(void **state)
{
    (void)state;
    uint8_t bytes[2 * MARK_BYTES_MAX];
    struct spool_mark mark = mark_of(1, "value");
    AUTO(marks_destroy) struct marks *marks = marks_create(2);

    mark_encode(&mark, bytes);
    for (size_t len = 1; len < mark_len(&mark); len++)
        assert_false(marks_apply(marks, (struct bytes){bytes, len}));
    memset(bytes, 0xfe, sizeof bytes); /* a value longer than any may be */
    assert_false(marks_apply(marks, (struct bytes){bytes, sizeof bytes}));
    assert_int_equal(marks_count(marks), 0);

    apply(marks, mark_of(1, "a"));
    apply(marks, mark_of(2, "b"));
    apply(marks, mark_of(2, "c"));
    mark = mark_of(3, "d");
    mark_encode(&mark, bytes);
    assert_false(marks_apply(marks, (struct bytes){bytes, mark_len(&mark)}));
    assert_int_equal(marks_count(marks), 2);
}

/* ---- the store */

static void deliver_all(struct fixture *fixture)
{
    spool_reader_rewind(fixture->reader);
    fixture_deliver(fixture, FIXTURE_RECORDS);
    store_housekeep(fixture->store);
}

static void start(struct fixture *fixture)
{
    fault_disk_reset();
    fixture_init(fixture);
    fixture->marked = true;
    fixture->config.size_bytes *= 2;
}

/* As in test_store.c: each file is overwritten twice, with a restart in the middle, after which all
 * that was there before has been delivered. */
static void live(struct fixture *fixture)
{
    for (unsigned step = 0; step < 14; step++) {
        if (step == 0 || step == 9) {
            if (fixture->store != NULL)
                fixture_close(fixture);
            if (fixture_open(fixture, NULL) != OK)
                return;
            deliver_all(fixture);
        }
        if (!fixture_append(fixture, 1 + step % 3))
            return;
        if (step > 2)
            fixture_deliver(fixture, step % 4);
        store_housekeep(fixture->store);
    }
}

static void start_life(struct fixture *fixture, unsigned nth, bool lasting)
{
    start(fixture);
    fault_disk_fail(nth, lasting, ERR_IO);
    live(fixture);
}

static void reopen_and_check(struct fixture *fixture)
{
    struct error error = {0};

    if (fixture_open(fixture, &error) != OK)
        fail_msg("recovery refused to start: %s", error.text);
    fixture_check(fixture);
}

/* With work between the crashes, or with none: then all depends on what is there already. */
static void crash_twice(struct fixture *fixture, size_t keep, enum damage damage, bool names)
{
    fault_disk_crash(keep, damage, names);
    reopen_and_check(fixture);
    deliver_all(fixture);
    if (keep % 2 == 0 && !fixture_append(fixture, 2))
        fail_msg("append: %s", fixture->error.text);
    fixture_check(fixture);
    fixture_kill(fixture);

    fault_disk_crash(keep % 3 == 0 ? SIZE_MAX : 0, DAMAGE_NONE, !names);
    reopen_and_check(fixture);
    fixture_kill(fixture);
}

static void test_agree_with_the_frames_whatever_fails_and_when_the_power_goes(void **state)
{
    (void)state;
    fixture_break_everywhere(start_life, crash_twice, STRIDE);
}

static void test_survive_any_single_fault(void **state)
{
    (void)state;
    unsigned nth = 0, calls;

    do {
        struct fixture fixture;
        nth++;
        start_life(&fixture, nth, false);
        calls = fault_disk_calls();
        fault_disk_fail(0, false, OK);
        if (fixture.store != NULL)
            fixture_check(&fixture);
        fixture_kill(&fixture);
        fault_disk_crash(0, DAMAGE_NONE, false);
        reopen_and_check(&fixture);
        fixture_kill(&fixture);
    } while (calls >= nth);
    assert_true(nth > 100);
}

static void print_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    FILE *out = context;

    fputs("mark traces   ", out);
    for (size_t i = 0; i < SPOOL_MARK_KEY; i++)
        fprintf(out, "%02x", key[i]);
    fprintf(out, "  %zu bytes\n", value.len);
}

/* Lines of `ls`; the caller frees. */
static char *marks_of_ls(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    assert_ok(spool_tool_ls(FIXTURE_DIR, NULL, out, NULL));
    fclose(out);
    char *marks = strstr(text, "mark ");
    memmove(text, marks != NULL ? marks : text + len, strlen(marks != NULL ? marks : "") + 1);
    return text;
}

static char *marks_of_start(struct fixture *fixture)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    reopen_and_check(fixture);
    const struct lane *lane = &fixture->store->lanes[SIGNAL_TRACES];
    if (lane->marks != NULL)
        marks_each(lane->marks, print_mark, out);
    fclose(out);
    return text;
}

/* After any single fault, with all or nothing of what was not synced on the platter. */
static void test_are_shown_offline_as_a_start_finds_them(void **state)
{
    (void)state;
    unsigned nth = 0, calls, shown = 0;

    do {
        struct fixture fixture;
        nth++;
        start_life(&fixture, nth, false);
        calls = fault_disk_calls();
        fault_disk_fail(0, false, OK);
        fixture_kill(&fixture);
        fault_disk_crash(nth % 2 == 0 ? SIZE_MAX : 0, DAMAGE_NONE, true);
        if (!fault_disk_exists(FIXTURE_DIR "/00000000.segment"))
            continue; /* it was not made */
        char *ls = marks_of_ls(), *start = marks_of_start(&fixture);
        assert_string_equal(ls, start);
        shown += ls[0] != '\0';
        free(ls);
        free(start);
        fixture_kill(&fixture);
    } while (calls >= nth);
    assert_true(shown > 50);
}

static void test_outlive_the_segments_that_brought_them(void **state)
{
    (void)state;
    struct fixture fixture;

    start_life(&fixture, 0, false);
    /* Everything is delivered, and whatever can be freed is: again and again, with no new frame. */
    for (int i = 0; i < 4; i++) {
        deliver_all(&fixture);
        assert_int_equal(fixture_check(&fixture), 0);
        assert_int_equal(fixture.store->lanes[SIGNAL_TRACES].count, 1);
        fixture_kill(&fixture);
        fault_disk_crash(0, DAMAGE_NONE, false);
        assert_ok(fixture_open(&fixture, NULL));
    }
    /* The one that is kept goes when the next one has repeated its marks. */
    assert_true(fixture_append(&fixture, 1));
    deliver_all(&fixture);
    assert_int_equal(fixture.store->lanes[SIGNAL_TRACES].count, 1);
    fixture_check(&fixture);
    fixture_close(&fixture);
}

static void test_outlive_frames_that_are_dropped(void **state)
{
    (void)state;
    struct fixture fixture;
    struct spool_stats stats;

    start(&fixture);
    fixture.config.when_full = SPOOL_DROP_OLDEST;
    assert_ok(fixture_open(&fixture, NULL));
    for (int i = 0; i < 60; i++)
        assert_true(fixture_append(&fixture, 2));
    store_stats(fixture.store, &stats);
    assert_true(stats.lanes[SIGNAL_TRACES].dropped > 20);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].marks, 3); /* the last record forgets one */
    for (uint64_t n = 0; n < fixture.next; n++)
        fixture.had[n] = true;
    fixture_kill(&fixture);
    fault_disk_crash(0, DAMAGE_NONE, false);

    /* A reader that begins with what is left must not miss what was dropped. */
    assert_ok(fixture_open(&fixture, NULL));
    deliver_all(&fixture);
    assert_int_equal(fixture_check(&fixture), 0);
    fixture_close(&fixture);
}

static void test_fall_back_to_older_segments_where_the_copy_is_damaged(void **state)
{
    (void)state;
    struct fixture fixture;
    char path[64];

    start(&fixture);
    assert_ok(fixture_open(&fixture, NULL));
    for (int i = 0; i < 6; i++)
        assert_true(fixture_append(&fixture, 2));
    const struct segment *active = NULL;
    while (active != fixture.store->lanes[SIGNAL_TRACES].active) {
        active = fixture.store->lanes[SIGNAL_TRACES].active;
        assert_true(fixture_append(&fixture, 1)); /* tells that the one before was synced */
    }
    uint32_t slot = fixture.store->lanes[SIGNAL_TRACES].active->slot;
    fixture_kill(&fixture);
    assert_true(segment_path(FIXTURE_DIR, slot, SEGMENT_SUFFIX, sizeof path, path));
    assert_true(fault_disk_rot(path, FRAME_HEADER + 3));
    reopen_and_check(&fixture);
    struct spool_stats stats;
    store_stats(fixture.store, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].unread_marks, 1);
    /* It still takes the older ones. */
    deliver_all(&fixture);
    assert_true(fixture.store->lanes[SIGNAL_TRACES].count > 1);
    fixture_kill(&fixture);
    reopen_and_check(&fixture);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_the_last_mark_of_each_key),
        cmocka_unit_test(test_refuses_what_is_no_mark_or_one_too_many),
        cmocka_unit_test(test_agree_with_the_frames_whatever_fails_and_when_the_power_goes),
        cmocka_unit_test(test_survive_any_single_fault),
        cmocka_unit_test(test_are_shown_offline_as_a_start_finds_them),
        cmocka_unit_test(test_outlive_the_segments_that_brought_them),
        cmocka_unit_test(test_outlive_frames_that_are_dropped),
        cmocka_unit_test(test_fall_back_to_older_segments_where_the_copy_is_damaged),
    };
    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
