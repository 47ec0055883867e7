/* The records of a file are the same however it is cut into chunks, and wherever following it is
 * broken off and begun again: nothing is left out, nothing comes twice. */
#include "tests/support/test.h"

#include "common/buf.h"
#include "sidecar/lines/lines.h"
#include "sidecar/lines/multiline.h"

#include <stdio.h>
#include <stdlib.h>

#define T0 UINT64_C(1765000000000000000)

static struct lines_counts counts;

/* Records as text, one a line: stream, part, time behind T0 in ms, body. */
struct sheet {
    struct buf text;
    unsigned records;
};

static void write_down(struct sheet *sheet, const struct line *line)
{
    const char *stream = line->stream == LINES_STDOUT   ? "out"
                         : line->stream == LINES_STDERR ? "err"
                                                        : "-";
    char time[32] = "-";

    if (line->time_ns != 0)
        snprintf(time, sizeof time, "%lld", (long long)(line->time_ns - T0) / 1000000);
    assert_ok(buf_printf(&sheet->text, "%s %u %s %s[", stream, (unsigned)line->part, time,
                         line->invalid ? "invalid " : ""));
    assert_ok(buf_append(&sheet->text, line->body));
    assert_ok(buf_append_text(&sheet->text, "]\n"));
    assert_in_range(++sheet->records, 1, 20000);
}

static struct lines *begun(enum lines_format format, struct multiline *multiline,
                           const struct lines_mark *mark)
{
    struct lines_options options = {
        .format = format, .line_max = 1024, .multiline = multiline, .counts = &counts};
    struct lines *lines = NULL;

    assert_ok(lines_create(&options, mark, &lines, NULL));
    return lines;
}

/* Takes what there is, at most `most` records; false: there was less. */
static bool take(struct lines *lines, struct sheet *sheet, unsigned most)
{
    struct line line;

    for (; most > 0; most--) {
        enum err err = lines_next(lines, &line);
        if (err == ERR_AGAIN)
            return false;
        assert_ok(err);
        write_down(sheet, &line);
        lines_take(lines);
    }
    return true;
}

/* Follows the file from the mark on in chunks of `step` bytes; stops after `most` records and gives
 * the mark. */
static bool follow(enum lines_format format, struct multiline *multiline, struct bytes file,
                   size_t step, unsigned most, struct lines_mark *mark, struct sheet *sheet)
{
    AUTO(lines_destroy) struct lines *lines = begun(format, multiline, mark);
    unsigned before = sheet->records;
    bool enough = false;

    while (!enough && lines_wants(lines) < file.len) {
        size_t left = file.len - lines_wants(lines);
        /* A chunk of its own, so that reading outside it is seen */
        size_t len = left < step ? left : step;
        uint8_t *chunk = malloc(len);
        memcpy(chunk, file.data + lines_wants(lines), len);
        lines_feed(lines, (struct bytes){chunk, len}, 1);
        enough = take(lines, sheet, most - (sheet->records - before));
        if (enough)
            lines_mark(lines, mark);
        free(chunk);
    }
    if (!enough) {
        lines_finish(lines);
        enough = take(lines, sheet, most - (sheet->records - before));
        lines_mark(lines, mark);
        if (!enough)
            assert_true(lines_is_idle(lines) && mark->resume == file.len);
    }
    return enough;
}

static void all_ways(enum lines_format format, struct multiline *multiline, struct bytes file,
                     const char *want)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 1000, 1 << 20};
    struct lines_mark mark = {0};
    AUTO(buf_fini) struct buf expected = {0};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct sheet sheet = {0};
        mark = (struct lines_mark){0};
        assert_false(follow(format, multiline, file, steps[i], UINT32_MAX, &mark, &sheet));
        if (want != NULL)
            assert_string_equal(buf_text(&sheet.text), want);
        else if (i == 0)
            assert_ok(buf_append(&expected, buf_bytes(&sheet.text)));
        else
            assert_true(bytes_equal(buf_bytes(&sheet.text), buf_bytes(&expected)));
        buf_fini(&sheet.text);
    }
    /* Broken off after every record, or every other, with the mark stored in between. */
    for (unsigned most = 1; most < 4; most++) {
        struct sheet sheet = {0};
        mark = (struct lines_mark){0};
        while (follow(format, multiline, file, 50, most, &mark, &sheet)) {
            uint8_t stored[LINES_MARK_MAX];
            struct bytes rest = {stored, (size_t)(lines_mark_put(stored, &mark) - stored)};
            struct lines_mark read = {0};
            assert_true(lines_mark_get(&rest, &read));
            assert_memory_equal(&read, &mark, sizeof mark);
        }
        if (want != NULL)
            assert_string_equal(buf_text(&sheet.text), want);
        else
            assert_true(bytes_equal(buf_bytes(&sheet.text), buf_bytes(&expected)));
        buf_fini(&sheet.text);
    }
}

#define AT(ms) "2025-12-06T05:46:40." ms "000000Z "

static void test_reads_raw_lines(void **state)
{
    (void)state;
    all_ways(LINES_RAW, NULL, BYTES_LITERAL("one\n\ntwo\r\n \xff\nthree"),
             "- 0 - [one]\n- 0 - []\n- 0 - [two]\n- 0 - [ \xff]\n- 0 - [three]\n");
}

static void test_joins_the_parts_of_each_stream(void **state)
{
    (void)state;
    counts = (struct lines_counts){0};
    all_ways(
        LINES_CRI, NULL,
        BYTES_LITERAL(AT("001") "stdout P a\n" AT("002") "stderr P x\n" AT("003") "stdout P b\n" AT("004") "stderr F y\r\n" AT(
            "005") "stdout F c\n" AT("006") "stdout F \n" AT("007") "stderr F\n" AT("008") "stdout "
                                                                                           "P "
                                                                                           "\n" AT("009") "stderr F z\n" AT(
                                                                                               "01"
                                                                                               "0") "stdout F:x:y  d\n"),
        "err 0 2 [xy]\nout 0 1 [abc]\nout 0 6 []\nerr 0 7 []\nerr 0 9 [z]\nout 0 8 [ d]\n");
    assert_int_equal(counts.invalid, 0);
    assert_in_range(counts.passed, 1, 1000);
}

static void test_keeps_lines_that_are_not_in_the_format(void **state)
{
    (void)state;
    counts = (struct lines_counts){0};
    all_ways(LINES_CRI, NULL,
             BYTES_LITERAL("\nhello\n" AT(
                 "001") "stdout P a\n2025-12-06T05:46:40Z stdin F x\n"
                        "2025-12-06T05:46:40Z stdout X x\n2025-13-06T05:46:40Z stdout F x\n" AT(
                            "002") "stdout F b\n"),
             "- 0 - invalid []\n- 0 - invalid [hello]\n"
             "- 0 - invalid [2025-12-06T05:46:40Z stdin F x]\n"
             "- 0 - invalid [2025-12-06T05:46:40Z stdout X x]\n"
             "- 0 - invalid [2025-13-06T05:46:40Z stdout F x]\nout 0 1 [ab]\n");
    assert_int_not_equal(counts.invalid, 0);
}

static void test_reads_docker_lines(void **state)
{
    (void)state;
    all_ways(
        LINES_DOCKER, NULL,
        BYTES_LITERAL(
            "{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.001Z\"}\n"
            "{\"log\":\"par\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.002Z\"}\n"
            "{\"log\":\"e\\t\\u00e9\\r\\n\",\"stream\":\"stderr\",\"time\":\"2025-12-06T05:46:40."
            "003Z\"}\n"
            "{\"log\":\"t\\\\n\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.004Z\"}\n"
            "{ \"stream\" : \"stdout\", "
            "\"attrs\":{\"x\":[1]},\"time\":\"2025-12-06T05:46:40.005Z\",\"log\":\"\\n\"}\n"
            "{\"log\":\"cut off\n"
            "{\"log\":\"\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.006Z\"}\n"
            "{\"log\":\"\\n\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.007Z\"}\n"),
        "out 0 1 [a]\nerr 0 3 [e\t\xc3\xa9]\nout 0 2 [part\\n]\n- 0 - invalid [{\"log\":\"cut "
        "off]\n"
        "out 0 6 []\n");
}

static void test_reads_time_and_severity_of_json_lines(void **state)
{
    (void)state;
    AUTO(lines_destroy) struct lines *lines = begun(LINES_JSON, NULL, NULL);
    static const struct {
        const char *line;
        int64_t ms;
        unsigned severity;
    } cases[] = {
        {"{\"time\":\"2025-12-06T06:46:40.5+01:00\",\"level\":\"WARN\",\"msg\":\"x\"}", 500, 13},
        {"{\"ts\":1765000000.25,\"severity\":\"critical\"}", 250, 21},
        {"{\"a\":{\"ts\":1},\"timestamp\":1765000000007,\"level\":30}", 7, 9},
        {"{\"@timestamp\":1765000000008000,\"lvl\":\"what\"}", 8, 0},
        {"{\"time\":1765000000009000000}", 9, 0},
        {"{\"time\":\"noon\",\"ts\":\"2025-12-06T05:46:40Z\",\"level\":null}", 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct line line;
        lines_feed(lines, bytes_from(cases[i].line), 1);
        assert_int_equal(lines_next(lines, &line), ERR_AGAIN);
        lines_feed(lines, BYTES_LITERAL("\n"), 1);
        assert_ok(lines_next(lines, &line));
        assert_true(bytes_equal(line.body, bytes_from(cases[i].line)));
        assert_int_equal((int64_t)(line.time_ns - T0), cases[i].ms * 1000000);
        assert_int_equal(line.severity, cases[i].severity);
        assert_false(line.invalid);
        lines_take(lines);
        assert_int_equal(lines_next(lines, &line), ERR_AGAIN);
    }
}

/* A long line of `len` characters of two bytes, with a head if there is one. */
static void append_long(struct buf *file, const char *head, size_t len)
{
    assert_ok(buf_append_text(file, head));
    for (size_t i = 0; i < len; i++)
        assert_ok(buf_append_text(file, i % 10 == 9 ? "xy" : "\xc3\xa9"));
}

static void check_parts(struct bytes sheet, size_t bytes)
{
    const char *at = (const char *)sheet.data, *end = at + sheet.len;
    size_t found = 0;

    for (unsigned part = 1; at < end; part++) {
        const char *body = (const char *)memchr(at, '[', (size_t)(end - at)) + 1;
        const char *close = memchr(body, ']', (size_t)(end - body));
        char number[16];
        snprintf(number, sizeof number, " %u ", part);
        assert_non_null(strstr(at, number));
        assert_in_range(close - body, 1, 1024);
        assert_true(body[0] == 'x' || body[0] == '\xc3' || body[0] == 'y' || body[0] == '{' ||
                    body[0] == 'X');
        found += (size_t)(close - body);
        at = close + 2;
    }
    assert_int_equal(found, bytes);
}

static void test_cuts_long_lines_between_characters_and_keeps_every_byte(void **state)
{
    (void)state;
    static const struct {
        enum lines_format format;
        const char *head, *tail;
        size_t extra; /* bytes of head and tail that are content */
    } cases[] = {
        {LINES_RAW, "", "\n", 0},
        {LINES_CRI, AT("001") "stderr F ", "\n", 0},
        {LINES_CRI, "X", "\n", 1},
        {LINES_JSON, "{", "\n", 1},
        {LINES_DOCKER, "{\"log\":\"",
         "\\n\",\"stream\":\"stdout\",\"time\":\"2025-12-06T05:46:40.002Z\"}\n", 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t len = 2040; len < 2060; len += 3) {
            AUTO(buf_fini) struct buf file = {0};
            struct sheet sheet = {0};
            struct lines_mark mark = {0};
            append_long(&file, cases[i].head, len);
            assert_ok(buf_append_text(&file, cases[i].tail));
            all_ways(cases[i].format, NULL, buf_bytes(&file), NULL);
            follow(cases[i].format, NULL, buf_bytes(&file), 100, UINT32_MAX, &mark, &sheet);
            check_parts(buf_bytes(&sheet.text), 2 * len + cases[i].extra);
            buf_fini(&sheet.text);
        }
    }
}

static void test_cuts_lines_made_of_many_parts(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = {0};
    char line[200];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(line, sizeof line, AT("%03u") "%s %s part %u of this line, padded %*s\n", i,
                 i % 3 ? "stdout" : "stderr", i % 60 < 57 ? "P" : "F", i, (int)(i % 50), "");
        assert_ok(buf_append_text(&file, line));
    }
    all_ways(LINES_CRI, NULL, buf_bytes(&file), NULL);
}

static void test_a_docker_line_beyond_all_bounds_is_kept_as_it_stands(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = {0};
    struct sheet sheet = {0};
    struct lines_mark mark = {0};

    append_long(&file, "{\"log\":\"", 100000);
    assert_ok(buf_append_text(&file, "\\n\"}\nx\n"));
    follow(LINES_DOCKER, NULL, buf_bytes(&file), 4096, UINT32_MAX, &mark, &sheet);
    assert_int_equal(sheet.text.data[0], '-');
    assert_int_equal(sheet.records, (file.len - 3) / 1024 + 2);
    buf_fini(&sheet.text);
}

/* A line longer than 1024 bytes, one that waits too long, an empty one, one in two parts, and what
 * is read again after half of it was stored. */
static void test_counts_what_becomes_of_lines(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = {0};
    struct sheet sheet = {0};
    struct lines_mark mark = {0};

    assert_ok(buf_append_text(&file, AT("001") "stdout P a\n" AT("002") "stderr F b\n"));
    assert_ok(buf_append_text(&file, AT("003") "stdout F c\n" AT("004") "stdout F \nrubbish\n"));
    append_long(&file, AT("005") "stdout F ", 1100);
    assert_ok(buf_append_text(&file, "\n" AT("006") "stderr P never ended\n"));

    counts = (struct lines_counts){0};
    assert_true(follow(LINES_CRI, NULL, buf_bytes(&file), 50, 1, &mark, &sheet));
    assert_false(follow(LINES_CRI, NULL, buf_bytes(&file), 50, UINT32_MAX, &mark, &sheet));
    assert_int_equal(sheet.records, 8);
    assert_int_equal(counts.lines, 5); /* b, ac, the empty one, rubbish, the long one */
    assert_int_equal(counts.empty, 1);
    assert_int_equal(counts.invalid, 1);
    assert_int_equal(counts.joined, 1);
    assert_int_equal(counts.passed, 1); /* b is behind the first part of ac */
    assert_int_equal(counts.too_long, 1);
    assert_int_equal(counts.cut, 2); /* and the one that never ended */
    buf_fini(&sheet.text);
}

static void test_groups_lines_of_each_stream(void **state)
{
    (void)state;
    static const char *const written[] = {
        "001 stderr F java.lang.Error: x",
        "002 stdout F plain",
        "003 stderr P \tat a.b(C.ja",
        "004 stdout F Traceback (most recent call last):",
        "005 stderr F va:1)\r",
        "006 stdout F   File x",
        "rubbish",
        "007 stdout F ValueError: y",
        "008 stderr F \tat d",
        "009 stdout F Traceback (most recent call last):",
        "010 stderr F new.Error: z",
        "011 stdout F   File x",
    };
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    AUTO(buf_fini) struct buf file = {0};

    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        bool cri = written[i][0] == '0';
        assert_ok(buf_printf(&file, "%s%.*s%s%s\n", cri ? "2025-12-06T05:46:40." : "", cri ? 3 : 0,
                             written[i], cri ? "Z" : "", written[i] + (cri ? 3 : 0)));
    }
    assert_ok(multiline_create(MULTILINE_JAVA | MULTILINE_PYTHON, NULL, 0, &multiline, NULL));
    counts = (struct lines_counts){0};
    all_ways(LINES_CRI, multiline, buf_bytes(&file),
             "out 0 2 [plain]\n- 0 - invalid [rubbish]\n"
             "out 0 4 [Traceback (most recent call last):\n  File x\nValueError: y]\n"
             "err 0 1 [java.lang.Error: x\n\tat a.b(C.java:1)\n\tat d]\n"
             "out 0 9 [Traceback (most recent call last):\n  File x]\nerr 0 10 [new.Error: z]\n");
    assert_int_not_equal(counts.grouped, 0);
}

static void test_a_long_line_comes_after_the_group_before_it(void **state)
{
    (void)state;
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    AUTO(buf_fini) struct buf file = {0};
    struct sheet sheet = {0};
    struct lines_mark mark = {0};

    assert_ok(multiline_create(MULTILINE_JAVA, NULL, 0, &multiline, NULL));
    append_long(&file, "a.Error: b\n\tat c\n", 1000);
    all_ways(LINES_RAW, multiline, buf_bytes(&file), NULL);
    follow(LINES_RAW, multiline, buf_bytes(&file), 77, UINT32_MAX, &mark, &sheet);
    assert_int_equal(sheet.records, 3);
    assert_memory_equal(sheet.text.data, "- 0 - [a.Error: b\n\tat c]\n- 1 - [", 32);
    buf_fini(&sheet.text);
}

static void test_bounds_groups(void **state)
{
    (void)state;
    static const char *const starts[] = {"^start"};
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    AUTO(buf_fini) struct buf file = {0};
    struct sheet sheet = {0};
    struct lines_mark mark = {0};

    assert_ok(multiline_create(0, starts, 1, &multiline, NULL));
    for (unsigned i = 0; i < LINES_GROUP_LINES_MAX + 10; i++)
        assert_ok(buf_append_text(&file, i == 0    ? "start\n"
                                         : i < 100 ? "0123456789012345678\n"
                                                   : "\n"));
    append_long(&file, "start ", 1000);
    follow(LINES_RAW, multiline, buf_bytes(&file), 77, UINT32_MAX, &mark, &sheet);
    assert_int_equal(sheet.records, 8);
    /* What a record has around it is 9 bytes; it has lost its \n, but for a part and the last one
     */
    assert_int_equal(sheet.text.len, file.len + 9 * 8 - (8 - 2));
    buf_fini(&sheet.text);
}

static void test_a_group_waits_for_a_while_only(void **state)
{
    (void)state;
    static const char *const starts[] = {"^start"};
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    struct sheet sheet = {0};

    assert_ok(multiline_create(MULTILINE_JAVA, starts, 1, &multiline, NULL));
    AUTO(lines_destroy) struct lines *lines = begun(LINES_RAW, multiline, NULL);
    lines_feed(lines, BYTES_LITERAL("a.Error: b\n"), 1000);
    assert_false(take(lines, &sheet, 9));
    assert_int_equal(lines_deadline_ms(lines), 1000 + LINES_GROUP_WAIT_MS);
    lines_feed(lines, BYTES_LITERAL("\tat c\n"), 1500);
    assert_false(take(lines, &sheet, 9));
    lines_expire(lines, 1499 + LINES_GROUP_WAIT_MS);
    assert_false(take(lines, &sheet, 9));
    lines_expire(lines, 1500 + LINES_GROUP_WAIT_MS);
    assert_false(take(lines, &sheet, 9));
    assert_true(lines_is_idle(lines));
    assert_int_equal(lines_deadline_ms(lines), UINT64_MAX);
    lines_feed(lines, BYTES_LITERAL("\tat d\n\tat e\n"), 9000);
    lines_finish(lines);
    assert_false(take(lines, &sheet, 9));
    assert_string_equal(buf_text(&sheet.text),
                        "- 0 - [a.Error: b\n\tat c]\n- 0 - [\tat d\n\tat e]\n");
    buf_fini(&sheet.text);
}

static void test_shows_a_record_until_it_is_taken(void **state)
{
    (void)state;
    AUTO(lines_destroy) struct lines *lines = begun(LINES_RAW, NULL, NULL);
    struct lines_mark mark;
    struct line line;

    lines_feed(lines, BYTES_LITERAL("a\nb\nc"), 1);
    for (int i = 0; i < 3; i++) {
        assert_ok(lines_next(lines, &line));
        assert_true(bytes_equal(line.body, BYTES_LITERAL("a")));
        lines_mark(lines, &mark);
        assert_int_equal(mark.resume, 0);
    }
    lines_take(lines);
    lines_mark(lines, &mark);
    assert_int_equal(mark.resume, 2);
    assert_ok(lines_next(lines, &line));
    assert_int_equal(line.start, 2);
    assert_int_equal(line.end, 4);
    lines_take(lines);
    assert_int_equal(lines_next(lines, &line), ERR_AGAIN);
    assert_int_equal(lines_wants(lines), 5);
    lines_mark(lines, &mark);
    assert_int_equal(mark.resume, 4);
    assert_false(lines_is_idle(lines));
}

static void test_lets_go_of_what_waited_too_long(void **state)
{
    (void)state;
    struct sheet sheet = {0};
    struct lines_mark mark;
    AUTO(lines_destroy) struct lines *lines = begun(LINES_RAW, NULL, NULL);

    assert_int_equal(lines_deadline_ms(lines), UINT64_MAX);
    lines_feed(lines, BYTES_LITERAL("50%"), 1000);
    assert_false(take(lines, &sheet, 9));
    assert_int_equal(lines_deadline_ms(lines), 1000 + LINES_PART_WAIT_MS);
    lines_expire(lines, 999 + LINES_PART_WAIT_MS);
    assert_false(take(lines, &sheet, 9));
    lines_expire(lines, 1000 + LINES_PART_WAIT_MS);
    assert_false(take(lines, &sheet, 9));
    lines_mark(lines, &mark);
    assert_int_equal(mark.resume, 3);
    assert_int_equal(mark.streams[LINES_PLAIN].part, 1);

    lines_feed(lines, BYTES_LITERAL(" 100%\nnext\n"), 20000);
    assert_false(take(lines, &sheet, 9));
    assert_string_equal(buf_text(&sheet.text), "- 1 - [50%]\n- 2 - [ 100%]\n- 0 - [next]\n");
    buf_fini(&sheet.text);
}

static void test_nothing_is_emitted_for_a_line_that_ended_where_it_was_cut(void **state)
{
    (void)state;
    struct sheet sheet = {0};
    AUTO(lines_destroy) struct lines *lines = begun(LINES_RAW, NULL, NULL);

    lines_feed(lines, BYTES_LITERAL("a"), 1);
    assert_false(take(lines, &sheet, 9));
    lines_expire(lines, 1 + LINES_PART_WAIT_MS);
    assert_false(take(lines, &sheet, 9));
    lines_feed(lines, BYTES_LITERAL("\r\nb\n"), 20000);
    assert_false(take(lines, &sheet, 9));
    assert_string_equal(buf_text(&sheet.text), "- 1 - [a]\n- 0 - [b]\n");
    assert_true(lines_is_idle(lines));
    buf_fini(&sheet.text);
}

static void test_marks_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "\x80", "\x01\x40", "\x01\x03\x02", "\x01\x02\x02\x01"};
    struct lines_mark mark;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct bytes rest = bytes_from(bad[i]);
        assert_false(lines_mark_get(&rest, &mark));
        assert_int_equal(rest.len, strlen(bad[i]));
    }
    /* All extremes survive */
    memset(&mark, 0xff, sizeof mark);
    uint8_t stored[LINES_MARK_MAX];
    size_t len = (size_t)(lines_mark_put(stored, &mark) - stored);
    assert_in_range(len, 1, LINES_MARK_MAX);
    struct bytes rest = {stored, len};
    struct lines_mark read;
    assert_true(lines_mark_get(&rest, &read));
    assert_memory_equal(&read, &mark, sizeof mark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_raw_lines),
        cmocka_unit_test(test_joins_the_parts_of_each_stream),
        cmocka_unit_test(test_keeps_lines_that_are_not_in_the_format),
        cmocka_unit_test(test_reads_docker_lines),
        cmocka_unit_test(test_reads_time_and_severity_of_json_lines),
        cmocka_unit_test(test_cuts_long_lines_between_characters_and_keeps_every_byte),
        cmocka_unit_test(test_cuts_lines_made_of_many_parts),
        cmocka_unit_test(test_a_docker_line_beyond_all_bounds_is_kept_as_it_stands),
        cmocka_unit_test(test_counts_what_becomes_of_lines),
        cmocka_unit_test(test_groups_lines_of_each_stream),
        cmocka_unit_test(test_a_long_line_comes_after_the_group_before_it),
        cmocka_unit_test(test_bounds_groups),
        cmocka_unit_test(test_a_group_waits_for_a_while_only),
        cmocka_unit_test(test_shows_a_record_until_it_is_taken),
        cmocka_unit_test(test_lets_go_of_what_waited_too_long),
        cmocka_unit_test(test_nothing_is_emitted_for_a_line_that_ended_where_it_was_cut),
        cmocka_unit_test(test_marks_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
