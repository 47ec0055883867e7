/* The walk accepts what protobuf's own decoders accept, counts it, and says of everything else what
 * is wrong and where. */
// link: tests/support/otlp_random.c
#include "sidecar/otlp/walk.h"

#include "common/utf8.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 300 };

static enum err walk(enum signal signal, struct bytes request, struct otlp_summary *summary,
                     struct error *error)
{
    return otlp_walk(signal, request, NULL, summary, error);
}

/* ---- numbers on the wire */

static void test_reads_back_every_varint_it_writes(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int off = -1; off <= 1; off++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)off, got = 0;
            uint8_t bytes[WIRE_VARINT_MAX];
            const uint8_t *end = wire_put_varint(bytes, value), *at = bytes;

            assert_int_equal(end - bytes, wire_varint_size(value));
            assert_true(wire_varint(&at, end, &got));
            assert_ptr_equal(at, end);
            assert_true(got == value);
            at = bytes;
            assert_false(wire_varint(&at, end - 1, &got));
            assert_ptr_equal(at, bytes);
        }
    }
}

static void test_refuses_varints_above_64_bits(void **state)
{
    (void)state;
    static const uint8_t fits[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    static const uint8_t above[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    const uint8_t *at = fits;
    uint64_t value = 0;

    assert_true(wire_varint(&at, fits + sizeof fits, &value));
    assert_true(value == UINT64_MAX);
    at = above;
    assert_false(wire_varint(&at, above + sizeof above, &value));
}

/* ---- UTF-8, against the table in the Unicode standard (3-7), written another way */

static bool is_utf8_by_the_book(const uint8_t *text, size_t len)
{
    static const struct {
        size_t len;
        uint8_t from[4], to[4];
    } rows[] = {
        {1, {0x00}, {0x7f}},
        {2, {0xc2, 0x80}, {0xdf, 0xbf}},
        {3, {0xe0, 0xa0, 0x80}, {0xe0, 0xbf, 0xbf}},
        {3, {0xe1, 0x80, 0x80}, {0xec, 0xbf, 0xbf}},
        {3, {0xed, 0x80, 0x80}, {0xed, 0x9f, 0xbf}},
        {3, {0xee, 0x80, 0x80}, {0xef, 0xbf, 0xbf}},
        {4, {0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}},
        {4, {0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}},
        {4, {0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}},
    };

    if (len == 0)
        return true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t fits = 0;
        while (fits < rows[i].len && fits < len && text[fits] >= rows[i].from[fits] &&
               text[fits] <= rows[i].to[fits])
            fits++;
        if (fits == rows[i].len)
            return is_utf8_by_the_book(text + fits, len - fits);
    }
    return false;
}

static void test_knows_utf8(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x20, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    enum { EDGES = sizeof edges };
    uint8_t text[4];

    for (unsigned i = 0; i < EDGES * EDGES * EDGES * EDGES; i++) {
        text[0] = edges[i % EDGES];
        text[1] = edges[i / EDGES % EDGES];
        text[2] = edges[i / EDGES / EDGES % EDGES];
        text[3] = edges[i / EDGES / EDGES / EDGES];
        if (utf8_is_valid((struct bytes){text, 4}) != is_utf8_by_the_book(text, 4))
            fail_msg("%02x %02x %02x %02x", text[0], text[1], text[2], text[3]);
    }
}

static void test_finds_the_bad_byte_wherever_it_is(void **state)
{
    (void)state;
    uint8_t text[70];

    for (size_t len = 1; len <= sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(text, 'x', sizeof text);
            assert_true(utf8_is_valid((struct bytes){text, len}));
            text[at] = 0xff;
            assert_false(utf8_is_ascii(text, len));
            assert_ptr_equal(utf8_find_bad((struct bytes){text, len}), text + at);
        }
    }
}

static void test_writes_code_points_as_utf8(void **state)
{
    (void)state;
    static const uint32_t points[] = {0,      0x7f,   0x80,    0x7ff,   0x800,
                                      0xfffd, 0xffff, 0x10000, 0x10ffff};
    static const unsigned sizes[] = {1, 1, 2, 2, 3, 3, 3, 4, 4};
    uint8_t text[4];

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        const uint8_t *end = utf8_put(text, points[i]);
        assert_int_equal(end - text, sizes[i]);
        assert_int_equal(utf8_sequence(text, end), sizes[i]);
    }
}

/* ---- what is accepted */

static void test_accepts_an_empty_request(void **state)
{
    (void)state;
    for (unsigned signal = 0; signal < SIGNAL_COUNT; signal++) {
        struct otlp_summary summary = {.items = 9};
        assert_ok(walk(signal, (struct bytes){0}, &summary, NULL));
        assert_int_equal(summary.items, 0);
        assert_int_equal(summary.depth, 1);
    }
}

static void test_accepts_whatever_is_valid_and_counts_it(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf one = {0};
        struct otlp_random random = {.state = round, .odd = round % 2};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary first = {0}, both = {0}, counted = {0};
        struct error error = {0};

        otlp_random_request(&random, signal, &one);
        if (walk(signal, buf_bytes(&one), &first, &error) != OK)
            fail_msg("seed %u: %s", round, error.text);

        /* one behind the other is one request again */
        otlp_random_request(&random, signal, &one);
        assert_ok(walk(signal, buf_bytes(&one), &both, &error));
        assert_true(both.items >= first.items);
        assert_ok(otlp_count(signal, buf_bytes(&one), &counted, &error));
        assert_int_equal(counted.items, both.items);
        assert_int_equal(counted.resources, both.resources);
        assert_int_equal(counted.scopes, both.scopes);
    }
}

static void test_refuses_a_request_that_is_cut_off(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        AUTO(buf_fini) struct buf whole = {0};
        struct otlp_random random = {.state = round, .odd = round % 2};
        enum signal signal = round % SIGNAL_COUNT;
        size_t accepted = 0;

        otlp_random_request(&random, signal, &whole);
        for (size_t len = 0; len < whole.len; len++) {
            struct otlp_summary summary;
            struct error error = {0};
            uint8_t *exact = malloc(len + 1); /* so that a byte too far is seen by ASan */
            memcpy(exact + 1, whole.data, len);
            if (walk(signal, (struct bytes){exact + 1, len}, &summary, &error) == OK)
                accepted++;
            else
                assert_non_null(strstr(error.text, " at byte "));
            free(exact);
        }
        assert_true(accepted <= 40); /* only between fields of the request itself */
    }
}

/* ---- what is refused, and how it is said */

#define SPAN(...)                                                                               \
    0x0a, 2 + 2 + sizeof((uint8_t[]){__VA_ARGS__}), 0x12, 2 + sizeof((uint8_t[]){__VA_ARGS__}), \
        0x12, sizeof((uint8_t[]){__VA_ARGS__}), __VA_ARGS__
#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})

static void test_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    const struct {
        const uint8_t *data;
        size_t len;
        const char *says;
    } cases[] = {
        {BYTES(0x00), "OTLP request: broken field tag at byte 0"},
        {BYTES(0x07), "OTLP request: broken field tag at byte 0"},
        {BYTES(0x0c), "resource_spans[0]: wrong wire type at byte 1"},
        {BYTES(0x14), "2: value is malformed or cut off at byte 1"},
        {BYTES(0x08, 0x01), "resource_spans[0]: wrong wire type at byte 1"},
        {BYTES(0x0a, 0x05, 0x00),
         "resource_spans[0]: length is malformed or runs over the end of its message at byte 1"},
        {BYTES(0x0a, 0x00, 0x0a, 0x80), "resource_spans[1]: length is malformed or runs over the "
                                        "end of its message at byte 3"},
        {BYTES(0x0a, 0x02, 0x1a, 0x00, 0x0a, 0x03, 0x1a, 0x01, 0xff),
         "resource_spans[1].schema_url: invalid UTF-8 at byte 8"},
        {BYTES(SPAN(0x0a, 3, 1, 2, 3)),
         "resource_spans[0].scope_spans[0].spans[0].trace_id: an id of "
         "a wrong length (a trace id has 16 bytes, a span id 8) at byte 7"},
        {BYTES(SPAN(0x2a, 3, 'a', 0xc3, 0x28)),
         "resource_spans[0].scope_spans[0].spans[0].name: invalid UTF-8 at byte 9"},
        {BYTES(SPAN(0x4a, 2, 0x0a, 0)), NULL},
        {BYTES(SPAN(0x4a, 0, 0x4a, 7, 0x0a, 1, 'k', 0x12, 2, 0x0a, 1)),
         "resource_spans[0].scope_spans[0].spans[0].attributes[1].value.string_value: length is "
         "malformed or runs over the end of its message at byte 16"},
        {BYTES(SPAN(0x39, 1, 2, 3, 4, 5, 6, 7)),
         "resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano: value is malformed or "
         "cut off at byte 6"},
        {BYTES(SPAN(0x85, 0x01, 1, 2, 3)),
         "resource_spans[0].scope_spans[0].spans[0].flags: value is malformed or cut off at byte "
         "6"},
        {BYTES(SPAN(0x30, 0x80)), "resource_spans[0].scope_spans[0].spans[0].kind: value is "
                                  "malformed or cut off at byte 7"},
        {BYTES(SPAN(0x9b, 0x06, 0x08, 0x01, 0x94, 0x06)), /* a group ends as another */
         "resource_spans[0].scope_spans[0].spans[0].99: value is malformed or cut off at byte 8"},
        {BYTES(SPAN(0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06)), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct otlp_summary summary;
        struct error error = {0};
        struct bytes request = {cases[i].data, cases[i].len};
        enum err err = walk(SIGNAL_TRACES, request, &summary, &error);

        if (cases[i].says == NULL) {
            assert_ok(err);
            continue;
        }
        assert_int_equal(err, ERR_INVALID);
        assert_string_equal(error.text, cases[i].says);
        assert_int_equal(walk(SIGNAL_TRACES, request, &summary, NULL), ERR_INVALID);
    }
}

static void test_refuses_packed_numbers_that_do_not_come_out_even(void **state)
{
    (void)state;
    /* resource_metrics, scope_metrics, metrics, histogram, data_points, explicit_bounds */
    static const uint8_t bounds[] = {0x0a, 18, 0x12, 16, 0x12, 14, 0x4a, 12, 0x0a, 10,
                                     0x3a, 8,  1,    2,  3,    4,  5,    6,  7,    8};
    uint8_t bytes[sizeof bounds];
    struct otlp_summary summary;
    struct error error = {0};

    assert_ok(walk(SIGNAL_METRICS, (struct bytes){bounds, sizeof bounds}, &summary, &error));
    assert_int_equal(summary.items, 1);
    assert_int_equal(summary.depth, 6);

    memcpy(bytes, bounds, sizeof bytes);
    for (size_t i = 1; i <= 11; i += 2)
        bytes[i]--;
    assert_int_equal(
        walk(SIGNAL_METRICS, (struct bytes){bytes, sizeof bytes - 1}, &summary, &error),
        ERR_INVALID);
    assert_string_equal(error.text,
                        "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0]."
                        "explicit_bounds: packed numbers are malformed or cut off at byte 11");
}

/* A log record with a body of values within each other, `depth` messages in all. */
static void put_deep(struct buf *out, unsigned depth)
{
    AUTO(buf_fini) struct buf body = {0};
    static const uint8_t tags[] = {0x0a, 0x12, 0x12, 0x2a}; /* down to the record, and its body */

    for (unsigned at = depth; at > 1; at--) {
        AUTO(buf_fini) struct buf inner = {0};
        uint8_t head[WIRE_HEAD_MAX];
        uint32_t number = at <= 5 ? tags[at - 2] >> 3u : at % 2 == 0 ? 5 : 1;
        assert_ok(buf_append(&inner, buf_bytes(&body)));
        buf_clear(&body);
        size_t len = (size_t)(wire_put_len(head, number, inner.len) - head);
        assert_ok(buf_append(&body, (struct bytes){head, len}));
        assert_ok(buf_append(&body, buf_bytes(&inner)));
    }
    assert_ok(buf_append(out, buf_bytes(&body)));
}

static void test_goes_down_to_its_limit_and_no_further(void **state)
{
    (void)state;
    for (unsigned depth = 5; depth <= 103; depth++) {
        AUTO(buf_fini) struct buf deep = {0};
        struct otlp_summary summary = {0};
        struct error error = {0};
        struct otlp_limits exact = {.depth_max = depth}, less = {.depth_max = depth - 1};

        put_deep(&deep, depth);
        assert_ok(otlp_walk(SIGNAL_LOGS, buf_bytes(&deep), &exact, &summary, &error));
        assert_int_equal(summary.depth, depth);
        assert_int_equal(otlp_walk(SIGNAL_LOGS, buf_bytes(&deep), &less, &summary, &error),
                         ERR_INVALID);
        assert_non_null(strstr(error.text, "nested too deep at byte"));
        assert_int_equal(otlp_walk(SIGNAL_LOGS, buf_bytes(&deep), NULL, &summary, &error),
                         depth <= 100 ? OK : ERR_INVALID);
    }
}

static void test_the_shortcut_for_attributes_counts_depth_too(void **state)
{
    (void)state;
    static const uint8_t request[] = {
        SPAN(0x4a, 8, 0x0a, 1, 'k', 0x12, 3, 0x0a, 1, 'v')}; /* depth 6 */

    for (unsigned depth = 3; depth < 10; depth++) {
        struct otlp_limits limits = {.depth_max = depth};
        struct otlp_summary summary = {0};
        enum err err = otlp_walk(SIGNAL_TRACES, (struct bytes){request, sizeof request}, &limits,
                                 &summary, NULL);
        assert_int_equal(err, depth < 6 ? ERR_INVALID : OK);
        assert_int_equal(summary.depth, depth < 6 ? 0 : 6);
    }
}

static void test_limits_items_and_resources(void **state)
{
    (void)state;
    static const uint8_t request[] = {SPAN(0x30, 1), SPAN(0x30, 1), SPAN(0x30, 1)};
    struct bytes bytes = {request, sizeof request};
    struct otlp_limits limits = {.items_max = 3, .resources_max = 3};
    struct otlp_summary summary = {0};
    struct error error = {0};

    assert_ok(otlp_walk(SIGNAL_TRACES, bytes, &limits, &summary, &error));
    limits.items_max = 2;
    assert_int_equal(otlp_walk(SIGNAL_TRACES, bytes, &limits, &summary, &error), ERR_INVALID);
    assert_string_equal(error.text, "OTLP request has 3 items, above the limit of 2");
    limits = (struct otlp_limits){.resources_max = 2};
    assert_int_equal(otlp_walk(SIGNAL_TRACES, bytes, &limits, &summary, &error), ERR_INVALID);
    assert_string_equal(error.text, "OTLP request has 3 resources, above the limit of 2");
}

static void test_limits_what_would_be_repeated(void **state)
{
    (void)state;
    /* a resource with 6 bytes of headers, in it a scope with 5, in it a span of 4 */
    static const uint8_t request[] = {0x0a, 17, 0x1a, 4,   'u', 'u',  'u', 'u',  0x12, 9,
                                      0x1a, 3,  's',  's', 's', 0x12, 2,   0x30, 1};
    struct otlp_limits limits = {.headers_max = 11};
    struct otlp_summary summary = {0};
    struct error error = {0};

    struct bytes whole = {request, sizeof request};
    assert_ok(otlp_walk(SIGNAL_TRACES, whole, &limits, &summary, &error));
    limits.headers_max = 10;
    assert_int_equal(otlp_walk(SIGNAL_TRACES, whole, &limits, &summary, &error), ERR_INVALID);
    assert_string_equal(error.text,
                        "resource_spans[0].scope_spans[0]: more bytes of attributes and other "
                        "headers than may be repeated at byte 8");
    limits.headers_max = 5;
    assert_int_equal(otlp_walk(SIGNAL_TRACES, whole, &limits, &summary, &error), ERR_INVALID);
    assert_string_equal(error.text, "resource_spans[0]: more bytes of attributes and other headers "
                                    "than may be repeated at byte 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_back_every_varint_it_writes),
        cmocka_unit_test(test_refuses_varints_above_64_bits),
        cmocka_unit_test(test_knows_utf8),
        cmocka_unit_test(test_finds_the_bad_byte_wherever_it_is),
        cmocka_unit_test(test_writes_code_points_as_utf8),
        cmocka_unit_test(test_accepts_an_empty_request),
        cmocka_unit_test(test_accepts_whatever_is_valid_and_counts_it),
        cmocka_unit_test(test_refuses_a_request_that_is_cut_off),
        cmocka_unit_test(test_says_what_is_wrong_and_where),
        cmocka_unit_test(test_refuses_packed_numbers_that_do_not_come_out_even),
        cmocka_unit_test(test_goes_down_to_its_limit_and_no_further),
        cmocka_unit_test(test_the_shortcut_for_attributes_counts_depth_too),
        cmocka_unit_test(test_limits_items_and_resources),
        cmocka_unit_test(test_limits_what_would_be_repeated),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
