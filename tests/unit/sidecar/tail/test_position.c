/* A position is read as it was written, and anything else is refused; names that a rotation made
 * are told from others. */
#include "tests/support/test.h"

#include "sidecar/tail/describe.h"
#include "sidecar/tail/log_path.h"
#include "sidecar/tail/position.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct position whole = {
    .dev = 0xfd01,
    .ino = UINT64_MAX,
    .print = {.hash = 0x1234567890abcdef, .len = FINGERPRINT_MAX},
    .compressed = true,
    .done = true,
    .source = 1,
    .group = UINT64_MAX - 1,
    .size = 1 << 30,
    .seen_ms = 1770000000000,
    .mark = {.resume = 4096, .streams[LINES_STDERR] = {.to = 5000, .within = 17, .part = 3}},
};

static void test_a_position_is_read_as_it_was_written(void **state)
{
    AUTO(buf_fini) struct buf data = {0};
    struct position read;
    struct bytes path;

    (void)state;
    assert_ok(position_encode(&whole, "/var/log/a.log", &data));
    assert_ok(position_decode(buf_bytes(&data), &read, &path));
    assert_true(bytes_equal(path, BYTES_LITERAL("/var/log/a.log")));
    assert_true(read.dev == whole.dev && read.ino == whole.ino);
    assert_true(read.print.hash == whole.print.hash && read.print.len == whole.print.len);
    assert_true(read.compressed == whole.compressed && read.done == whole.done);
    assert_true(read.source == whole.source && read.group == whole.group);
    assert_true(read.size == whole.size && read.seen_ms == whole.seen_ms);
    assert_int_equal(read.mark.resume, whole.mark.resume);
    for (int i = 0; i < LINES_STREAMS; i++) {
        const struct lines_emitted *have = &read.mark.streams[i], *want = &whole.mark.streams[i];
        assert_true(have->to == want->to && have->within == want->within &&
                    have->part == want->part && have->time_ns == want->time_ns);
    }
}

static void test_a_long_path_keeps_its_end_and_the_limit(void **state)
{
    AUTO(buf_fini) struct buf data = {0};
    char long_path[2000];
    struct position read;
    struct bytes path;

    (void)state;
    memset(long_path, 'x', sizeof long_path - 5);
    memcpy(long_path + sizeof long_path - 5, ".log", 5);
    assert_ok(position_encode(&whole, long_path, &data));
    assert_true(data.len <= POSITION_MAX);
    assert_ok(position_decode(buf_bytes(&data), &read, &path));
    assert_memory_equal(path.data + path.len - 4, ".log", 4);
}

static void test_what_is_no_position_is_refused(void **state)
{
    AUTO(buf_fini) struct buf data = {0};
    struct position read;
    struct bytes path;

    (void)state;
    assert_ok(position_encode(&whole, "", &data));
    for (size_t len = 0; len < data.len; len++)
        assert_int_equal(position_decode((struct bytes){data.data, len}, &read, &path),
                         ERR_CORRUPT);
    data.data[0]++;
    assert_int_equal(position_decode(buf_bytes(&data), &read, &path), ERR_CORRUPT);
}

static void test_a_fingerprint_covers_the_first_bytes_and_no_more(void **state)
{
    uint8_t start[FINGERPRINT_MAX + 100] = {0};
    struct fingerprint print = fingerprint_of((struct bytes){start, sizeof start});

    (void)state;
    assert_int_equal(print.len, FINGERPRINT_MAX);
    start[FINGERPRINT_MAX] = 1;
    assert_true(fingerprint_matches(print, (struct bytes){start, sizeof start}));
    assert_false(fingerprint_matches(print, (struct bytes){start, FINGERPRINT_MAX - 1}));
    start[FINGERPRINT_MAX - 1] = 1;
    assert_false(fingerprint_matches(print, (struct bytes){start, sizeof start}));
    print = fingerprint_of((struct bytes){start, 10}); /* of a file that grew since */
    assert_true(fingerprint_matches(print, (struct bytes){start, sizeof start}));
}

static void test_names_of_rotations_are_told_from_others(void **state)
{
    static const struct {
        const char *name;
        size_t base;
    } cases[] = {
        {"0.log.20260205-101500", 5},
        {"0.log.20260205-101500.gz", 5},
        {"0.log.20260205-101500.tmp", 0},
        {"app.log.1", 7},
        {"app.log.12.gz", 7},
        {"app.log-20260205", 7},
        {"app.log.2026-02-05T10:15:00Z", 7},
        {"app.log.old", 7},
        {"app.log.gz", 7},
        {"app.log", 0},
        {"app-1.log", 0},
        {"app.log.idx", 0},
        {"app.log.1a", 0},
        {".1", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (log_path_base(cases[i].name) != cases[i].base)
            fail_msg("%s: %zu", cases[i].name, log_path_base(cases[i].name));
}

/* `want` NULL: it is none of the tail's. */
static void check_text(const char *key_begin, struct bytes value, const char *want)
{
    uint8_t key[SPOOL_MARK_KEY] = {[15] = 12};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    memcpy(key, key_begin, strlen(key_begin));
    assert_int_equal(tail_describe_mark(key, value, out), want != NULL);
    fclose(out);
    assert_string_equal(text, want != NULL ? want : "");
    free(text);
}

static void test_positions_are_told_to_people(void **state)
{
    AUTO(buf_fini) struct buf data = {0};
    struct position plain = whole;

    (void)state;
    assert_ok(position_encode(&whole, "/var/log/a.log.gz", &data));
    check_text("tailf", buf_bytes(&data),
               "file 12 read to 4096, its end (compressed), device 64769, inode "
               "18446744073709551615, at 2026-02-02T02:40:00Z: /var/log/a.log.gz");
    plain.compressed = plain.done = false;
    buf_clear(&data);
    assert_ok(position_encode(&plain, "/a\n\x1b[2J\xc3\xa9", &data));
    check_text("tailf", buf_bytes(&data),
               "file 12 read to 4096 of 1073741824 bytes, device 64769, inode "
               "18446744073709551615, at 2026-02-02T02:40:00Z: /a\\x0a\\x1b[2J\xc3\xa9");
    check_text("tails", BYTES_LITERAL("\0\0\x64\xa7\xb3\xb6\xe0\x0d"),
               "input 000000000000000c scanned first at 2001-09-09T01:46:40Z");
    check_text("tails", BYTES_LITERAL("short"), NULL);
    check_text("tailf", BYTES_LITERAL("no position"), NULL);
    check_text("other", buf_bytes(&data), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_position_is_read_as_it_was_written),
        cmocka_unit_test(test_a_long_path_keeps_its_end_and_the_limit),
        cmocka_unit_test(test_what_is_no_position_is_refused),
        cmocka_unit_test(test_positions_are_told_to_people),
        cmocka_unit_test(test_a_fingerprint_covers_the_first_bytes_and_no_more),
        cmocka_unit_test(test_names_of_rotations_are_told_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
