/* What the journal promises: after the process died, every message that was noted is found again
 * with the partition it was headed for; and where that can't be promised, the journal says so. */
// link: tests/support/fault_disk.c
#include "tests/support/test.h"

#include "common/crc32c.h"
#include "common/os.h"
#include "sidecar/edge/journal.h"
#include "tests/support/fault_disk.h"

#include <string.h>

static const char path[] = "journal";
enum { INCARNATION = 77, RECORD = 48 };

static struct journal_entry entry_of(uint64_t n)
{
    return (struct journal_entry){.seq = n,
                                  .first_try_ms = 1000 + n,
                                  .cut_bytes = 4096 + n,
                                  .partition = (int32_t)(n % 12),
                                  .part = (uint32_t)(n % 3),
                                  .parts = 3,
                                  .plan = (uint32_t)(n * 7),
                                  .lane = (enum signal)(n % SIGNAL_COUNT)};
}

static struct journal *open_journal(uint64_t incarnation)
{
    struct journal *journal = NULL;
    assert_ok(journal_open(path, incarnation, &journal, NULL));
    return journal;
}

/* A journal which was vouched for, as that of a running edge is. */
static struct journal *start(void)
{
    fault_disk_reset();
    struct journal *journal = open_journal(INCARNATION);
    assert_ok(journal_vouch(journal, NULL));
    return journal;
}

static void note(struct journal *journal, uint64_t n)
{
    struct journal_entry entry = entry_of(n);
    assert_ok(journal_note(journal, &entry, NULL));
    assert_ok(journal_write(journal, NULL));
}

static bool knows(const struct journal *journal, uint64_t n)
{
    struct journal_entry want = entry_of(n), found = {0};

    if (!journal_find(journal, want.lane, want.seq, want.part, &found))
        return false;
    assert_int_equal(found.first_try_ms, want.first_try_ms);
    assert_int_equal(found.cut_bytes, want.cut_bytes);
    assert_int_equal(found.partition, want.partition);
    assert_int_equal(found.parts, want.parts);
    assert_int_equal(found.plan, want.plan);
    return true;
}

static uint64_t size_of_file(void)
{
    uint64_t size = 0;
    int fd = -1;
    assert_ok(os_open_as(path, OS_READ, &fd, NULL));
    assert_ok(os_size(fd, &size, NULL));
    os_close(&fd);
    return size;
}

/* The process dies, the node does not: nothing that was written is lost. */
static struct journal *after_kill(struct journal *journal)
{
    journal_close(&journal);
    return open_journal(INCARNATION);
}

static void test_tells_after_a_kill_what_was_noted(void **state)
{
    (void)state;
    struct journal *journal = start();

    for (uint64_t n = 0; n < 100; n++)
        note(journal, n);
    journal = after_kill(journal);
    assert_true(journal_is_whole(journal));
    for (uint64_t n = 0; n < 100; n++)
        assert_true(knows(journal, n));
    assert_false(knows(journal, 100));
    assert_int_equal(size_of_file(), 101 * RECORD);
    journal_close(&journal);
}

static void test_forgets_what_is_delivered_of_its_lane_only(void **state)
{
    (void)state;
    struct journal *journal = start();

    for (uint64_t n = 0; n < 30; n++)
        note(journal, n);
    journal_forget(journal, entry_of(12).lane, 0, 12);
    for (int again = 0; again < 2; again++) {
        for (uint64_t n = 0; n < 30; n++)
            if (entry_of(n).lane != entry_of(12).lane || n >= 12)
                assert_true(knows(journal, n));
        if (again == 0) {
            assert_false(knows(journal, 9));
            note(journal, 30); /* the file still has the old ones: they may come back, harmless */
            journal = after_kill(journal);
        }
    }
    journal_close(&journal);
}

static void test_of_another_spool_is_emptied_and_not_whole(void **state)
{
    (void)state;
    struct journal *journal = start();

    note(journal, 1);
    journal_close(&journal);
    journal = open_journal(INCARNATION + 1);
    assert_false(journal_is_whole(journal));
    assert_false(knows(journal, 1));
    assert_int_equal(size_of_file(), RECORD);
    journal_close(&journal);
}

static void test_of_another_boot_is_emptied_and_not_whole(void **state)
{
    (void)state;
    struct journal *journal = start();
    uint8_t bytes[2 * RECORD];
    size_t len = 0;
    int fd = -1;

    note(journal, 1);
    journal_close(&journal);
    assert_ok(os_open(path, &fd, NULL));
    assert_ok(os_read_at(fd, bytes, sizeof bytes, 0, &len, NULL));
    os_close(&fd);
    assert_int_equal(len, sizeof bytes);
    bytes[8] ^= 1; /* the boot id, sealed properly */
    uint32_t crc = crc32c(0, (struct bytes){bytes, RECORD - 4});
    for (int i = 0; i < 4; i++)
        bytes[RECORD - 4 + i] = (uint8_t)(crc >> (8 * i));
    fault_disk_reset();
    fault_disk_put(path, bytes, sizeof bytes);
    journal = open_journal(INCARNATION);
    assert_false(journal_is_whole(journal));
    assert_false(knows(journal, 1));
    journal_close(&journal);
}

/* Cut anywhere or with any bit flipped: what is before it is found, and whole is never said. */
static void test_says_so_when_its_tail_is_torn(void **state)
{
    (void)state;
    enum { ENTRIES = 4, SIZE = (ENTRIES + 1) * RECORD };
    uint8_t bytes[SIZE];
    size_t len = 0;
    int fd = -1;

    struct journal *journal = start();
    for (uint64_t n = 0; n < ENTRIES; n++)
        note(journal, n);
    journal_close(&journal);
    assert_ok(os_open(path, &fd, NULL));
    assert_ok(os_read_at(fd, bytes, sizeof bytes, 0, &len, NULL));
    os_close(&fd);
    for (size_t at = 0; at < SIZE; at++)
        for (int cut = 0; cut < 2; cut++) {
            if (cut && at % RECORD == 0 && at > 0)
                continue; /* nobody can tell: see the note about power cuts in journal.h */
            fault_disk_reset();
            fault_disk_put(path, bytes, cut ? at : SIZE);
            if (!cut)
                assert_true(fault_disk_rot(path, at));
            journal = open_journal(INCARNATION);
            assert_false(journal_is_whole(journal));
            for (uint64_t n = 0; n < ENTRIES; n++)
                assert_int_equal(knows(journal, n), n + 2 <= at / RECORD);
            journal_close(&journal);
        }
}

/* What an earlier run sent is unknown until it was all sent anew, however often we die meanwhile.
 */
static void test_is_in_doubt_until_somebody_vouches_for_it(void **state)
{
    (void)state;
    fault_disk_reset();
    struct journal *journal = open_journal(INCARNATION);

    for (uint64_t n = 0; n < 5; n++) {
        assert_false(journal_is_whole(journal));
        note(journal, n);
        journal = after_kill(journal);
        assert_true(knows(journal, n));
    }
    assert_ok(journal_vouch(journal, NULL));
    assert_true(journal_is_whole(journal));
    journal = after_kill(journal);
    assert_true(journal_is_whole(journal));
    for (uint64_t n = 0; n < 5; n++)
        assert_true(knows(journal, n));
    journal_close(&journal);
}

/* Whatever fails: if the next run is told that the journal is whole, then every message is in it
 * that was sent, and they are sent whether noting them failed or not. */
static void test_is_whole_only_with_all_that_was_sent_whichever_disk_call_fails(void **state)
{
    (void)state;
    unsigned whole = 0, nth = 1;

    for (bool failed = true; failed; nth++) {
        struct journal *journal = start();
        fault_disk_fail(nth, false, nth % 2 == 0 ? ERR_IO : ERR_FULL);
        for (uint64_t n = 0; n < 12; n++) {
            struct journal_entry entry = entry_of(n);
            assert_ok(journal_note(journal, &entry, NULL));
            assert_true(knows(journal, n)); /* in this run, always */
            IGNORE_RESULT(journal_write(journal, NULL));
            if (n == 6)
                IGNORE_RESULT(journal_vouch(journal, NULL));
        }
        failed = fault_disk_calls() >= nth;
        fault_disk_fail(0, false, OK);
        journal = after_kill(journal);
        for (uint64_t n = 0; n < 12 && journal_is_whole(journal); n++)
            assert_true(knows(journal, n));
        whole += journal_is_whole(journal);
        journal_close(&journal);
    }
    assert_true(nth > 15);
    assert_true(whole >= nth - 4); /* one failure is mended by the next note */
}

static void test_opens_with_an_error_whichever_disk_call_fails(void **state)
{
    (void)state;

    for (unsigned nth = 1;; nth++) {
        struct journal *journal = start();
        note(journal, 3);
        journal_close(&journal);
        fault_disk_fail(nth, false, ERR_IO);
        enum err err = journal_open(path, INCARNATION, &journal, NULL);
        fault_disk_fail(0, false, OK);
        if (err == OK) {
            assert_true(nth > 5);
            journal_close(&journal);
            return;
        }
        assert_null(journal);
        journal = open_journal(INCARNATION); /* and the one that was there is none the worse */
        assert_true(journal_is_whole(journal));
        assert_true(knows(journal, 3));
        journal_close(&journal);
    }
}

static void test_stays_small_however_much_goes_through_it(void **state)
{
    (void)state;
    struct journal *journal = start();

    for (uint64_t n = 0; n < 5 * JOURNAL_SLACK; n++) {
        note(journal, n);
        for (int lane = 0; lane < SIGNAL_COUNT; lane++)
            journal_forget(journal, (enum signal)lane, 0, n > 20 ? n - 20 : 0);
    }
    assert_true(size_of_file() <= (JOURNAL_SLACK + 64) * RECORD);
    journal = after_kill(journal);
    assert_true(journal_is_whole(journal));
    for (uint64_t n = 5 * JOURNAL_SLACK - 20; n < 5 * JOURNAL_SLACK; n++)
        assert_true(knows(journal, n));
    journal_close(&journal);
}

/* A part of a frame, as journal_note() gets them. */
static struct journal_entry part_of(uint64_t seq, uint32_t part, uint32_t parts, int32_t partition)
{
    return (struct journal_entry){.seq = seq,
                                  .first_try_ms = 5,
                                  .cut_bytes = 6,
                                  .partition = partition,
                                  .part = part,
                                  .parts = parts,
                                  .lane = SIGNAL_LOGS};
}

static void note_part(struct journal *journal, struct journal_entry entry)
{
    assert_ok(journal_note(journal, &entry, NULL));
}

static int32_t partition_of(const struct journal *journal, uint64_t seq, uint32_t part)
{
    struct journal_entry found;
    return journal_find(journal, SIGNAL_LOGS, seq, part, &found) ? found.partition : -1;
}

static void test_tells_of_parts_that_stay_together_in_one_entry(void **state)
{
    (void)state;
    enum { PARTS = 5000 };
    struct journal *journal = start();
    unsigned calls = fault_disk_calls();

    for (uint32_t part = 0; part < PARTS; part++)
        note_part(journal, part_of(1, part, PARTS, 3));
    assert_int_equal(fault_disk_calls(), calls);
    assert_ok(journal_write(journal, NULL));
    assert_int_equal(fault_disk_calls(), calls + 1);
    for (int again = 0; again < 2; again++) {
        for (uint32_t part = 0; part < PARTS; part++)
            assert_int_equal(partition_of(journal, 1, part), 3);
        assert_int_equal(partition_of(journal, 1, PARTS), -1);
        assert_int_equal(partition_of(journal, 2, 0), -1);
        assert_int_equal(size_of_file(), 2 * RECORD);
        journal = after_kill(journal);
    }
    journal_close(&journal);
}

/* Whatever differs from the part before, or was written already, is an entry of its own. */
static void test_keeps_apart_what_differs(void **state)
{
    (void)state;
    const struct journal_entry first = part_of(1, 0, 9, 3), next = part_of(1, 1, 9, 3);
    struct journal_entry other[] = {next, next, next, next, next, next, next, next};

    other[0].seq++;
    other[1].first_try_ms++;
    other[2].cut_bytes++;
    other[3].partition++;
    other[4].part++;
    other[5].parts++;
    other[6].plan++;
    other[7].lane = SIGNAL_TRACES;
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct journal *journal = start();
        struct journal_entry found;
        note_part(journal, first);
        note_part(journal, other[i]);
        assert_ok(journal_write(journal, NULL));
        journal = after_kill(journal);
        assert_int_equal(size_of_file(), 3 * RECORD);
        assert_int_equal(partition_of(journal, 1, 0), 3);
        assert_true(journal_find(journal, other[i].lane, other[i].seq, other[i].part, &found));
        assert_memory_equal(&found, &other[i], sizeof found);
        journal_close(&journal);
    }
    struct journal *journal = start();
    for (uint32_t part = 0; part < 3; part++) {
        note_part(journal, part_of(1, part, 3, 0));
        assert_ok(journal_write(journal, NULL));
    }
    journal = after_kill(journal);
    for (uint32_t part = 0; part < 3; part++)
        assert_int_equal(partition_of(journal, 1, part), 0);
    journal_close(&journal);
}

/* Of parts into different partitions there are many entries, written in few calls. */
static void test_writes_the_entries_of_a_frame_together(void **state)
{
    (void)state;
    enum { PARTS = 600 };
    struct journal *journal = start();
    unsigned calls = fault_disk_calls();

    for (uint32_t part = 0; part < PARTS; part++)
        note_part(journal, part_of(1, part, PARTS, (int32_t)(part % 7)));
    journal_forget(journal, SIGNAL_LOGS, 0, 1); /* of others, meanwhile */
    assert_ok(journal_write(journal, NULL));
    assert_true(fault_disk_calls() <= calls + 4);
    journal = after_kill(journal);
    assert_true(journal_is_whole(journal));
    for (uint32_t part = 0; part < PARTS; part++)
        assert_int_equal(partition_of(journal, 1, part), (int32_t)(part % 7));
    journal_close(&journal);
}

/* Minus the number of partitions, where keys choose among them; the least number has no opposite. */
static void test_tells_among_how_many_partitions_keys_chose(void **state)
{
    (void)state;
    static const int32_t among[] = {-1, -12, -INT32_MAX, INT32_MIN};

    for (size_t i = 0; i < sizeof among / sizeof among[0]; i++) {
        bool possible = among[i] > INT32_MIN;
        struct journal *journal = start();
        struct journal_entry found = {0};
        for (uint32_t part = 0; part < 9; part++)
            note_part(journal, part_of(1, part, 9, among[i]));
        assert_ok(journal_write(journal, NULL));
        assert_int_equal(size_of_file(), 2 * RECORD);
        journal = after_kill(journal);
        assert_int_equal(journal_is_whole(journal), possible);
        assert_int_equal(journal_find(journal, SIGNAL_LOGS, 1, 8, &found), possible);
        assert_int_equal(found.partition, possible ? among[i] : 0);
        journal_close(&journal);
    }
}

/* As many as there may be, in a file that has some more which are done. */
static struct journal *fill(struct journal *journal, uint64_t done)
{
    for (uint64_t n = 0; n < JOURNAL_LIVE_MAX + done; n++) {
        if (n == JOURNAL_LIVE_MAX) {
            assert_ok(journal_write(journal, NULL));
            journal_forget(journal, SIGNAL_LOGS, 0, done);
        }
        note_part(journal, part_of(n, 0, 1, 1));
    }
    assert_ok(journal_write(journal, NULL));
    return journal;
}

/* The file is read however long it is. Of what there was no memory for nothing can be told, whoever
 * vouches for the rest. */
static void test_is_never_whole_again_once_it_was_full(void **state)
{
    (void)state;
    enum { DONE = 10 };
    const struct journal_entry more = part_of(JOURNAL_LIVE_MAX + DONE, 0, 1, 1);
    struct journal *journal = after_kill(fill(start(), DONE));

    assert_true(journal_is_whole(journal));
    assert_int_equal(partition_of(journal, 0, 0), 1);
    assert_int_equal(partition_of(journal, JOURNAL_LIVE_MAX + DONE - 1, 0), 1);
    journal_forget(journal, SIGNAL_LOGS, 0, DONE);
    assert_int_equal(journal_note(journal, &more, NULL), ERR_FULL);
    assert_false(journal_is_whole(journal));
    assert_ok(journal_write(journal, NULL));
    unsigned calls = fault_disk_calls();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_note(journal, &more, NULL), ERR_FULL);
        assert_ok(journal_write(journal, NULL));
    }
    assert_int_equal(fault_disk_calls(), calls); /* and that is not said over and over */
    assert_ok(journal_vouch(journal, NULL));
    journal = after_kill(journal);
    assert_false(journal_is_whole(journal));
    assert_int_equal(partition_of(journal, JOURNAL_LIVE_MAX + DONE - 1, 0), 1);
    journal_close(&journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells_after_a_kill_what_was_noted),
        cmocka_unit_test(test_forgets_what_is_delivered_of_its_lane_only),
        cmocka_unit_test(test_of_another_spool_is_emptied_and_not_whole),
        cmocka_unit_test(test_of_another_boot_is_emptied_and_not_whole),
        cmocka_unit_test(test_says_so_when_its_tail_is_torn),
        cmocka_unit_test(test_is_in_doubt_until_somebody_vouches_for_it),
        cmocka_unit_test(test_is_whole_only_with_all_that_was_sent_whichever_disk_call_fails),
        cmocka_unit_test(test_opens_with_an_error_whichever_disk_call_fails),
        cmocka_unit_test(test_stays_small_however_much_goes_through_it),
        cmocka_unit_test(test_tells_of_parts_that_stay_together_in_one_entry),
        cmocka_unit_test(test_keeps_apart_what_differs),
        cmocka_unit_test(test_writes_the_entries_of_a_frame_together),
        cmocka_unit_test(test_tells_among_how_many_partitions_keys_chose),
        cmocka_unit_test(test_is_never_whole_again_once_it_was_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
