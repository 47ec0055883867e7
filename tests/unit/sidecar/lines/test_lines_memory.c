/* Memory that runs out costs nothing but the time to ask again: no line is lost, doubled or cut. */
// link: tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "common/buf.h"
#include "sidecar/lines/batch.h"
#include "sidecar/lines/lines.h"
#include "sidecar/lines/multiline.h"
#include "tests/support/fault_alloc.h"

enum { OUT_MAX = 200000 };

static struct lines_counts counts;

static void append_line(struct buf *file, enum lines_format format, unsigned i)
{
    const char *stream = i % 3 ? "stdout" : "stderr";
    const char *text = i % 5 == 0 ? "java.lang.Error: x" : i % 5 == 1 ? "\tat a.b" : "text";

    if (format == LINES_CRI)
        assert_ok(buf_printf(file, "2026-11-21T13:40:12.5Z %s %s %s%*s\n", stream,
                             i % 4 ? "F" : "P", text, i % 7 == 0 ? 2000 : 1, ""));
    else
        assert_ok(buf_printf(file,
                             "{\"log\":\"%s\\t%*s%s\",\"stream\":\"%s\","
                             "\"time\":\"2026-11-21T13:40:12.5Z\"}\n",
                             text, i % 7 == 0 ? 2000 : 1, "", i % 4 ? "\\n" : "", stream));
}

/* What came out; memory fails at the nth request for it. False: so many were not needed. */
static bool run(enum lines_format format, struct bytes file, unsigned nth, struct buf *out)
{
    AUTO(multiline_destroy) struct multiline *multiline = NULL;
    AUTO(lines_destroy) struct lines *lines = NULL;
    AUTO(batch_destroy) struct batch *batch = NULL;
    struct lines_options options = {format, 1024, NULL, &counts};
    const struct bytes *parts;
    struct line line;

    assert_ok(multiline_create(MULTILINE_JAVA, NULL, 0, &multiline, NULL));
    options.multiline = multiline;
    assert_ok(lines_create(&options, NULL, &lines, NULL));
    assert_ok(batch_create(1 << 10, &batch, NULL));
    assert_ok(buf_reserve(out, OUT_MAX));
    fault_alloc_fail_at(nth);
    while (lines_wants(lines) < file.len) {
        size_t at = lines_wants(lines), left = file.len - at, len = left < 100 ? left : 100;
        lines_feed(lines, (struct bytes){file.data + at, len}, 1);
        if (at + len == file.len)
            lines_finish(lines);
        enum err err;
        while ((err = lines_next(lines, &line)) != ERR_AGAIN) {
            if (err == OK)
                err = batch_file(batch, BYTES_LITERAL("\x0a\x00"));
            if (err == OK)
                err = batch_add(batch, &line, 1);
            if (err == OK) {
                lines_take(lines);
            } else if (err == ERR_FULL) {
                size_t count = batch_parts(batch, &parts);
                for (size_t i = 0; i < count; i++)
                    assert_ok(buf_append(out, parts[i]));
                batch_clear(batch);
            } else {
                assert_int_equal(err, ERR_NOMEM);
            }
        }
    }
    bool failed = fault_alloc_has_failed();
    fault_alloc_fail_at(0);
    size_t count = batch_parts(batch, &parts);
    for (size_t i = 0; i < count; i++)
        assert_ok(buf_append(out, parts[i]));
    return failed;
}

static void all_failures(enum lines_format format)
{
    AUTO(buf_fini) struct buf file = {0}, want = {0};
    bool failed = true;

    for (unsigned i = 0; i < 60; i++)
        append_line(&file, format, i);
    run(format, buf_bytes(&file), 0, &want);
    assert_in_range(want.len, 1000, OUT_MAX);
    for (unsigned nth = 1; failed; nth++) {
        AUTO(buf_fini) struct buf got = {0};
        failed = run(format, buf_bytes(&file), nth, &got);
        assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
        assert_true(failed || nth > 10);
    }
}

static void test_cri_lines_survive_every_failure(void **state)
{
    (void)state;
    all_failures(LINES_CRI);
}

static void test_docker_lines_survive_every_failure(void **state)
{
    (void)state;
    all_failures(LINES_DOCKER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cri_lines_survive_every_failure),
        cmocka_unit_test(test_docker_lines_survive_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
