/* Records become a request that the walk accepts, of the size that was promised, whatever bytes the
 * lines had. */
#include "tests/support/test.h"

#include "common/buf.h"
#include "sidecar/lines/batch.h"
#include "sidecar/lines/lines.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#include <stdlib.h>

static void join(struct batch *batch, struct buf *into)
{
    const struct bytes *parts;
    size_t count = batch_parts(batch, &parts);

    assert_in_range(count, 0, BATCH_PARTS_MAX);
    buf_clear(into);
    for (size_t i = 0; i < count; i++)
        assert_ok(buf_append(into, parts[i]));
    assert_in_range(into->len, 0, batch_size(batch));
}

static struct otlp_summary walked(const struct buf *request)
{
    struct otlp_summary summary = {0};
    struct error error = {0};

    if (otlp_walk(SIGNAL_LOGS, buf_bytes(request), NULL, &summary, &error))
        fail_msg("%s", error.text);
    return summary;
}

static void test_writes_every_field_of_a_record(void **state)
{
    (void)state;
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(buf_fini) struct buf resource = {0}, request = {0};
    struct line line = {.body = BYTES_LITERAL("hi"),
                        .time_ns = 0x0102030405060708,
                        .stream = LINES_STDERR,
                        .severity = 17,
                        .part = 3};
    /* ResourceLogs, Resource {a: b}, ScopeLogs, and a LogRecord: time, severity, body, attributes,
     * observed */
    static const uint8_t want[] =
        "\x0a\x5f\x0a\x0a\x0a\x08\x0a\x01"
        "a\x12\x03\x0a\x01"
        "b\x12\x51\x12\x4f\x09\x08\x07\x06\x05\x04\x03\x02\x01\x10\x11\x2a\x04\x0a\x02hi"
        "\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06stderr"
        "\x32\x19\x0a\x13surgetank.line.part\x12\x02\x18\x03\x59\x09\0\0\0\0\0\0";

    assert_ok(batch_create(1000, &batch, NULL));
    assert_ok(batch_resource(&(struct batch_attribute){"a", "b"}, 1, NULL, &resource));
    assert_ok(batch_file(batch, buf_bytes(&resource)));
    assert_ok(batch_add(batch, &line, 9));
    join(batch, &request);
    assert_int_equal(request.len, sizeof want);
    assert_memory_equal(request.data, want, sizeof want);
    assert_int_equal(walked(&request).items, 1);
}

static void test_stamps_the_resource_as_any_other(void **state)
{
    (void)state;
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(buf_fini) struct buf stamped = {0}, plain = {0};
    const struct stamp_rule rules[] = {{"tier", "edge", STAMP_INSERT}, {"a", NULL, STAMP_DELETE}};
    const struct batch_attribute before[] = {{"a", "b"}, {"c", "d"}};
    const struct batch_attribute after[] = {{"c", "d"}, {"tier", "edge"}};

    assert_ok(stamp_create(rules, 2, &stamp, NULL));
    assert_ok(batch_resource(before, 2, stamp, &stamped));
    assert_ok(batch_resource(after, 2, NULL, &plain));
    assert_true(bytes_equal(buf_bytes(&stamped), buf_bytes(&plain)));

    buf_clear(&stamped);
    buf_clear(&plain);
    assert_ok(batch_resource(NULL, 0, stamp, &stamped));
    assert_ok(batch_resource(&after[1], 1, NULL, &plain));
    assert_true(bytes_equal(buf_bytes(&stamped), buf_bytes(&plain)));
}

static void test_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(buf_fini) struct buf request = {0}, bad = {0}, mended = {0};
    struct line line = {.body = BYTES_LITERAL("a\xff\xc3(\xe2\x82\xac\xe2\x82")};
    const char want[] = "\x2a\x13\x0a\x11"
                        "a\xef\xbf\xbd\xef\xbf\xbd(\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd";

    assert_ok(batch_create(1000, &batch, NULL));
    assert_ok(batch_file(batch, (struct bytes){0}));
    assert_ok(batch_add(batch, &line, 9));
    join(batch, &request);
    assert_int_equal(walked(&request).items, 1);
    assert_non_null(memmem(request.data, request.len, want, sizeof want - 1));

    assert_ok(batch_resource(&(struct batch_attribute){"p", "/\xff\xe2\x82\xac"}, 1, NULL, &bad));
    assert_ok(batch_resource(&(struct batch_attribute){"p", "/\xef\xbf\xbd\xe2\x82\xac"}, 1, NULL,
                             &mended));
    assert_true(bytes_equal(buf_bytes(&bad), buf_bytes(&mended)));
}

static void test_holds_many_files_within_its_size(void **state)
{
    (void)state;
    enum { SIZE = 4000 };
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(buf_fini) struct buf request = {0};
    uint8_t body[300];
    static const char resources[8][8] = {"\x0a\0", "\x0a\0", "\x0a\0", "\x0a\0",
                                         "\x0a\0", "\x0a\0", "\x0a\0", "\x0a\0"};
    size_t full = 0;

    memset(body, 'x', sizeof body);
    assert_ok(batch_create(SIZE, &batch, NULL));
    for (size_t i = 0; i < 2000; i++) {
        struct line line = {.body = {body, i % sizeof body}, .stream = i % 3, .time_ns = i};
        struct bytes resource = {(const uint8_t *)resources[i / 3 % 8], 2};
        enum err err = batch_file(batch, resource);
        if (!err)
            err = batch_add(batch, &line, i);
        if (err) {
            assert_int_equal(err, ERR_FULL);
            join(batch, &request);
            assert_in_range(request.len, SIZE - 500, SIZE);
            assert_int_equal(walked(&request).items, batch_items(batch));
            batch_clear(batch);
            full++;
            assert_ok(batch_file(batch, resource));
            assert_ok(batch_add(batch, &line, i));
        }
    }
    assert_in_range(full, 50, 200);
    batch_clear(batch);
    join(batch, &request);
    assert_int_equal(request.len, 0);
}

static void test_an_empty_batch_takes_any_record(void **state)
{
    (void)state;
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(buf_fini) struct buf request = {0};
    static uint8_t body[100000];
    struct line line = {.body = {body, sizeof body}};

    memset(body, 0xff, sizeof body);
    assert_ok(batch_create(1000, &batch, NULL));
    for (int i = 0; i < 3; i++) {
        assert_ok(batch_file(batch, (struct bytes){0}));
        assert_ok(batch_add(batch, &line, 1));
        assert_int_equal(batch_add(batch, &line, 1), ERR_FULL);
        join(batch, &request);
        assert_int_equal(walked(&request).items, 1);
        assert_in_range(request.len, 300000, 301000);
        batch_clear(batch);
    }
}

static void test_leaves_out_files_without_a_record(void **state)
{
    (void)state;
    AUTO(batch_destroy) struct batch *batch = NULL;
    const struct bytes *parts;

    assert_ok(batch_create(100000, &batch, NULL));
    for (int i = 0; i < 2000; i++)
        assert_ok(
            batch_file(batch, (struct bytes){(const uint8_t *)"\x0a\0\x0a\0" + i % 2 * 2, 2}));
    assert_int_equal(batch_parts(batch, &parts), 0);
    struct line line = {.body = BYTES_LITERAL("x")};
    assert_ok(batch_add(batch, &line, 1));
    assert_int_equal(batch_parts(batch, &parts), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_every_field_of_a_record),
        cmocka_unit_test(test_stamps_the_resource_as_any_other),
        cmocka_unit_test(test_replaces_what_is_not_utf8),
        cmocka_unit_test(test_holds_many_files_within_its_size),
        cmocka_unit_test(test_an_empty_batch_takes_any_record),
        cmocka_unit_test(test_leaves_out_files_without_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
