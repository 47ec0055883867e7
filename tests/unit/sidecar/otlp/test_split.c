/* However a request is cut, each part is whole and valid, small enough if that can be, and no item,
 * header or unknown field is lost, doubled or out of order. */
// link: tests/support/otlp_random.c
#include "sidecar/otlp/split.h"

#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

#include <stdio.h>

enum { ROUNDS = 300 };

/* ---- a request as a list of its items, each with all headers above it: what cutting must keep */

static void put_framed(struct buf *out, struct bytes bytes)
{
    uint8_t head[WIRE_VARINT_MAX];
    size_t len = (size_t)(wire_put_varint(head, bytes.len) - head);

    assert_ok(buf_append(out, (struct bytes){head, len}));
    assert_ok(buf_append(out, bytes));
}

static void flatten(enum signal signal, unsigned level, struct bytes container,
                    const struct buf *above, struct buf *out)
{
    const struct otlp_levels *levels = &otlp_levels[signal];
    AUTO(buf_fini) struct buf headers = {0};
    struct bytes rest = container;
    struct wire_field field;

    if (above != NULL)
        assert_ok(buf_append(&headers, buf_bytes(above)));
    while (level > 0 && rest.len > 0) {
        assert_true(wire_next(&rest, &field));
        if (!otlp_is_child(levels, level, &field))
            put_framed(&headers, field.whole);
    }
    rest = container;
    while (rest.len > 0) {
        assert_true(wire_next(&rest, &field));
        if (!otlp_is_child(levels, level, &field))
            continue;
        if (level + 1 < levels->count) {
            flatten(signal, level + 1, field.payload, &headers, out);
            continue;
        }
        put_framed(out, buf_bytes(&headers));
        put_framed(out, field.whole);
    }
}

/* ---- collecting parts */

struct parts {
    enum signal signal;
    size_t part_max;
    struct buf flat, all; /* all items of all parts; all parts, one behind the other */
    uint32_t items, count, oversized;
    size_t before; /* size of the part before, 0 after an oversized one */
    uint32_t stop_at;
};

static void parts_fini(struct parts *parts)
{
    buf_fini(&parts->flat);
    buf_fini(&parts->all);
}

static enum err take(void *user, const struct otlp_part *part, struct error *error)
{
    struct parts *parts = user;
    AUTO(buf_fini) struct buf bytes = {0};
    struct otlp_summary summary;

    if (parts->stop_at != 0 && parts->count + 1 == parts->stop_at)
        return error_set(error, ERR_NOTFOUND, "stopped on purpose");
    parts->count++;
    assert_ok(otlp_slices_append_to(part->slices, &bytes));
    assert_int_equal(bytes.len, part->slices->size_bytes);
    for (size_t i = 0; i < part->slices->count; i++)
        assert_true(part->slices->list[i].len > 0);
    assert_ok(otlp_walk(parts->signal, buf_bytes(&bytes), NULL, &summary, error));
    assert_int_equal(summary.items, part->items);
    assert_true(part->oversized == (bytes.len > parts->part_max));
    if (!part->oversized && parts->before != 0)
        assert_true(parts->before + bytes.len > parts->part_max);
    parts->before = part->oversized ? 0 : bytes.len;
    parts->oversized += part->oversized;
    parts->items += part->items;
    flatten(parts->signal, 0, buf_bytes(&bytes), NULL, &parts->flat);
    assert_ok(buf_append(&parts->all, buf_bytes(&bytes)));
    return OK;
}

static void test_keeps_every_item_with_its_headers(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 40, 100, 300, 1000, 3000, 10000};

    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0}, flat = {0};
        AUTO(otlp_slices_fini) struct otlp_slices work = {0};
        struct otlp_random random = {.state = round, .odd = round % 2, .list_max = 5};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary summary;
        struct error error = {0};

        otlp_random_request(&random, signal, &request);
        otlp_random_request(&random, signal, &request);
        flatten(signal, 0, buf_bytes(&request), NULL, &flat);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &summary, NULL));
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            AUTO(parts_fini) struct parts parts = {.signal = signal, .part_max = sizes[i]};
            if (otlp_split(signal, buf_bytes(&request), sizes[i], &work, take, &parts, &error))
                fail_msg("seed %u, %zu bytes: %s", round, sizes[i], error.text);
            assert_int_equal(parts.items, summary.items);
            if (!bytes_equal(buf_bytes(&parts.flat), buf_bytes(&flat)))
                fail_msg("seed %u, %zu bytes: other items", round, sizes[i]);
        }
    }
}

static void test_gives_a_request_that_fits_as_it_is(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct otlp_random random = {.state = 5, .odd = true, .list_max = 6};

    while (request.len < 1000)
        otlp_random_request(&random, SIGNAL_METRICS, &request);
    AUTO(parts_fini) struct parts parts = {.signal = SIGNAL_METRICS, .part_max = request.len};
    assert_ok(
        otlp_split(SIGNAL_METRICS, buf_bytes(&request), request.len, &work, take, &parts, NULL));
    assert_int_equal(parts.count, 1);
    assert_true(bytes_equal(buf_bytes(&parts.all), buf_bytes(&request)));

    parts.count = 0;
    assert_ok(otlp_split(SIGNAL_METRICS, (struct bytes){0}, 100, &work, take, &parts, NULL));
    assert_int_equal(parts.count, 0);
}

/* A resource with a schema URL and a scope of spans of 4 bytes each. Headers come first, as they do
 * where a container was cut. */
static void put_spans(struct buf *out, uint8_t resource, unsigned from, unsigned count)
{
    AUTO(buf_fini) struct buf scope = {0}, x = {0};
    const uint8_t head[] = {0x0a, 3, 0x0a, 1, 's'}, url[] = {0x1a, 1, 'u'};
    const uint8_t resource_field[] = {0x0a, 2, 0x10, resource};
    uint8_t bytes[16];

    assert_ok(buf_append(&scope, (struct bytes){head, sizeof head}));
    for (unsigned i = from; i < from + count; i++)
        assert_ok(buf_append(&scope, (struct bytes){(uint8_t[]){0x12, 2, 0x30, (uint8_t)i}, 4}));
    assert_ok(buf_append(&x, (struct bytes){resource_field, 4}));
    assert_ok(buf_append(&x, (struct bytes){url, 3}));
    size_t len = (size_t)(wire_put_len(bytes, 2, scope.len) - bytes);
    assert_ok(buf_append(&x, (struct bytes){bytes, len}));
    assert_ok(buf_append(&x, buf_bytes(&scope)));
    len = (size_t)(wire_put_len(bytes, 1, x.len) - bytes);
    assert_ok(buf_append(out, (struct bytes){bytes, len}));
    assert_ok(buf_append(out, buf_bytes(&x)));
}

static void test_cuts_at_the_outermost_place_that_will_do(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0}, want = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};

    put_spans(&request, 1, 1, 2); /* 24 bytes */
    put_spans(&request, 2, 3, 2);
    put_spans(&request, 3, 5, 9); /* 52 bytes */
    AUTO(parts_fini) struct parts parts = {.signal = SIGNAL_TRACES, .part_max = 40};
    assert_ok(otlp_split(SIGNAL_TRACES, buf_bytes(&request), 40, &work, take, &parts, NULL));
    put_spans(&want, 1, 1, 2);
    put_spans(&want, 2, 3, 2);
    assert_int_equal(want.len, 48); /* each fits, both do not: cut between resources */
    put_spans(&want, 3, 5, 6);
    put_spans(&want, 3, 11, 3);
    assert_true(bytes_equal(buf_bytes(&parts.all), buf_bytes(&want)));
    assert_int_equal(parts.count, 4);
}

static void test_reports_an_item_that_is_too_big_alone(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0}, want = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};

    put_spans(&request, 1, 1, 3);
    put_spans(&want, 1, 1, 1);
    put_spans(&want, 1, 2, 1);
    put_spans(&want, 1, 3, 1);
    AUTO(parts_fini) struct parts parts = {.signal = SIGNAL_TRACES, .part_max = 19};
    assert_ok(otlp_split(SIGNAL_TRACES, buf_bytes(&request), 19, &work, take, &parts, NULL));
    assert_int_equal(parts.oversized, 3);
    assert_true(bytes_equal(buf_bytes(&parts.all), buf_bytes(&want)));
}

static void test_stops_when_it_is_told_to(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct error error = {0};

    put_spans(&request, 1, 1, 9);
    for (uint32_t at = 1; at <= 9; at++) {
        AUTO(parts_fini)
        struct parts parts = {.signal = SIGNAL_TRACES, .part_max = 20, .stop_at = at};
        assert_int_equal(
            otlp_split(SIGNAL_TRACES, buf_bytes(&request), 20, &work, take, &parts, &error),
            ERR_NOTFOUND);
        assert_string_equal(error.text, "stopped on purpose");
        assert_int_equal(parts.count, at - 1);
    }
}

/* Headers of 3 MB altogether, and half a million items, must not meet as a product. */
static void test_takes_time_in_proportion_to_what_it_gives(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};

    for (int i = 0; i < 2000; i++)
        put_spans(&request, 1, 1, 20);
    AUTO(parts_fini) struct parts parts = {.signal = SIGNAL_TRACES, .part_max = 20};
    assert_ok(otlp_split(SIGNAL_TRACES, buf_bytes(&request), 20, &work, take, &parts, NULL));
    assert_int_equal(parts.items, 40000);
    assert_int_equal(parts.count, 40000);
}

/* ---- picking and halving */

static void test_picks_a_range_of_items(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0}, got = {0}, want = {0};
    AUTO(otlp_slices_fini) struct otlp_slices out = {0};
    struct error error = {0};

    put_spans(&request, 1, 1, 3);
    put_spans(&request, 2, 4, 3);
    put_spans(&request, 3, 7, 3);
    assert_ok(otlp_pick(SIGNAL_TRACES, buf_bytes(&request), 2, 5, &out, NULL));
    assert_ok(otlp_slices_append_to(&out, &got));
    put_spans(&want, 1, 3, 1);
    put_spans(&want, 2, 4, 3);
    put_spans(&want, 3, 7, 1);
    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));

    assert_ok(otlp_pick(SIGNAL_TRACES, buf_bytes(&request), 0, 9, &out, NULL));
    assert_int_equal(out.count, 1);
    assert_ptr_equal(out.list[0].data, request.data);
    assert_int_equal(otlp_pick(SIGNAL_TRACES, buf_bytes(&request), 0, 10, &out, &error),
                     ERR_INVALID);
    assert_string_equal(error.text, "cut: the request has only 9 items");
    assert_int_equal(otlp_pick(SIGNAL_TRACES, buf_bytes(&request), 0, 0, &out, &error),
                     ERR_INVALID);
    assert_int_equal(otlp_pick(SIGNAL_TRACES, buf_bytes(&request), 2, UINT32_MAX, &out, &error),
                     ERR_INVALID);
}

/* Halves until nothing can be halved; everything must come out once and in order. */
static void halve_all(enum signal signal, struct bytes request, struct buf *flat, uint32_t *items)
{
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    AUTO(buf_fini) struct buf a = {0}, b = {0};
    struct otlp_summary summary;

    assert_ok(otlp_walk(signal, request, NULL, &summary, NULL));
    enum err err = otlp_halve(signal, request, &first, &second, NULL);
    if (err == ERR_NOTFOUND) {
        flatten(signal, 0, request, NULL, flat);
        *items += summary.items;
        return;
    }
    assert_ok(err);
    assert_ok(otlp_slices_append_to(&first, &a));
    assert_ok(otlp_slices_append_to(&second, &b));
    assert_true(a.len > 0 && b.len > 0);
    halve_all(signal, buf_bytes(&a), flat, items);
    halve_all(signal, buf_bytes(&b), flat, items);
}

static void test_halves_down_to_single_items(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0}, flat = {0}, got = {0};
        struct otlp_random random = {.state = round, .odd = round % 2, .list_max = 3};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary summary;
        uint32_t items = 0;

        otlp_random_request(&random, signal, &request);
        flatten(signal, 0, buf_bytes(&request), NULL, &flat);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &summary, NULL));
        halve_all(signal, buf_bytes(&request), &got, &items);
        assert_int_equal(items, summary.items);
        if (!bytes_equal(buf_bytes(&got), buf_bytes(&flat)))
            fail_msg("seed %u", round);
    }
}

static void test_halves_evenly(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf request = {0}, got = {0};
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    struct otlp_summary summary;

    put_spans(&request, 1, 1, 7);
    assert_ok(otlp_halve(SIGNAL_TRACES, buf_bytes(&request), &first, &second, NULL));
    assert_ok(otlp_slices_append_to(&first, &got));
    assert_ok(otlp_count(SIGNAL_TRACES, buf_bytes(&got), &summary, NULL));
    assert_int_equal(summary.items, 4);
}

/* A metric with a gauge of two points and a sum of one: which of them counts is not for us to say.
 */
static void test_never_cuts_a_metric_with_two_kinds_of_data(void **state)
{
    (void)state;
    static const uint8_t metric[] = {0x12, 16,   0x2a, 8,    0x0a, 2,    0x40, 1,    0x0a,
                                     2,    0x40, 2,    0x3a, 4,    0x0a, 2,    0x40, 3};
    uint8_t bytes[sizeof metric + 4] = {0x0a, sizeof metric + 2, 0x12, sizeof metric};
    AUTO(otlp_slices_fini) struct otlp_slices first = {0}, second = {0};
    struct error error = {0};

    memcpy(bytes + 4, metric, sizeof metric);
    AUTO(parts_fini) struct parts parts = {.signal = SIGNAL_METRICS, .part_max = 15};
    struct bytes whole = {bytes, sizeof bytes};
    assert_ok(otlp_split(SIGNAL_METRICS, whole, 15, &first, take, &parts, &error));
    assert_int_equal(parts.count, 1);
    assert_int_equal(parts.items, 3);
    assert_int_equal(parts.oversized, 1);
    assert_int_equal(otlp_halve(SIGNAL_METRICS, whole, &first, &second, &error), ERR_NOTFOUND);

    /* but from its neighbours it can be told */
    AUTO(buf_fini) struct buf two = {0};
    assert_ok(buf_append(&two, whole));
    assert_ok(buf_append(&two, whole));
    assert_ok(otlp_halve(SIGNAL_METRICS, buf_bytes(&two), &first, &second, &error));
    assert_int_equal(first.size_bytes, whole.len);
    assert_int_equal(second.size_bytes, whole.len);
}

/* Items are spoilt at random: what is left is accepted, and holds all others in their order. */
static void test_sifts_sound_items_from_others(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0}, left = {0}, whole = {0}, kept_flat = {0};
        AUTO(otlp_slices_fini) struct otlp_slices out = {0};
        struct otlp_random random = {.state = round};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary before, after;
        uint32_t kept = 0, rejected = 0;

        otlp_random_request(&random, signal, &request);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &before, NULL));
        assert_ok(otlp_sift(signal, buf_bytes(&request), &out, &kept, &rejected, NULL));
        assert_int_equal(kept, before.items);
        assert_int_equal(rejected, 0);
        assert_ok(otlp_slices_append_to(&out, &left));
        flatten(signal, 0, buf_bytes(&request), NULL, &whole);
        flatten(signal, 0, buf_bytes(&left), NULL, &kept_flat);
        assert_true(bytes_equal(buf_bytes(&whole), buf_bytes(&kept_flat)));

        for (size_t at = 0; at < request.len; at += 1 + request.len / 40) {
            uint8_t was = request.data[at];
            request.data[at] ^= 0xff;
            if (otlp_sift(signal, buf_bytes(&request), &out, &kept, &rejected, NULL) == OK) {
                buf_clear(&left);
                assert_ok(otlp_slices_append_to(&out, &left));
                if (otlp_walk(signal, buf_bytes(&left), NULL, &after, NULL) == OK)
                    assert_int_equal(after.items, kept); /* else a header is at fault */
                assert_true(left.len <= request.len);
            }
            request.data[at] = was;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sifts_sound_items_from_others),
        cmocka_unit_test(test_keeps_every_item_with_its_headers),
        cmocka_unit_test(test_gives_a_request_that_fits_as_it_is),
        cmocka_unit_test(test_cuts_at_the_outermost_place_that_will_do),
        cmocka_unit_test(test_reports_an_item_that_is_too_big_alone),
        cmocka_unit_test(test_stops_when_it_is_told_to),
        cmocka_unit_test(test_takes_time_in_proportion_to_what_it_gives),
        cmocka_unit_test(test_picks_a_range_of_items),
        cmocka_unit_test(test_halves_down_to_single_items),
        cmocka_unit_test(test_halves_evenly),
        cmocka_unit_test(test_never_cuts_a_metric_with_two_kinds_of_data),
    };
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
