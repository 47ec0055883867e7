/* Whatever is found too large, every record comes once and in its order, or its body in pieces that
 * add up to it. */
// link: tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "sidecar/lines/batch.h"
#include "sidecar/lines/lines.h"
#include "sidecar/lines/portions.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/walk.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/seed.h"

#include <stdlib.h>

static struct buf request;
static uint32_t items;

/* What the portions said: bodies one behind the other, a newline behind each whole record. */
static struct buf said;
static unsigned last_piece; /* of the last record */

static int end(void **state)
{
    (void)state;
    buf_fini(&request);
    buf_fini(&said);
    return 0;
}

/* Records with such bodies, of two files. */
static void make(const struct bytes *bodies, uint32_t count)
{
    AUTO(batch_destroy) struct batch *batch = NULL;
    AUTO(buf_fini) struct buf first = {0}, second = {0};
    struct buf *resources[] = {&first, &second};
    const struct bytes *parts = NULL;

    assert_ok(batch_create(1 << 20, &batch, NULL));
    for (unsigned i = 0; i < 2; i++) {
        const struct batch_attribute name = {"log.file.path", i == 0 ? "/a" : "/b"};
        assert_ok(batch_resource(&name, 1, NULL, resources[i]));
    }
    assert_ok(batch_file(batch, buf_bytes(&first)));
    for (uint32_t i = 0; i < count; i++) {
        const struct line line = {.body = bodies[i], .time_ns = 1 + i, .severity = 9};
        if (i == count / 2)
            assert_ok(batch_file(batch, buf_bytes(&second)));
        assert_ok(batch_add(batch, &line, 5));
    }
    buf_clear(&request);
    size_t n = batch_parts(batch, &parts);
    for (size_t i = 0; i < n; i++)
        assert_ok(buf_append(&request, parts[i]));
    items = count;
}

static unsigned piece_of(struct bytes attribute)
{
    const uint8_t *at = memmem(attribute.data, attribute.len, "surgetank.line.piece", 20);
    const uint8_t *end = attribute.data + attribute.len;
    uint64_t number = 0;

    if (at == NULL)
        return 0;
    at += 20 + 3; /* behind the key: the value's tag and length, the integer's tag */
    assert_true(wire_varint(&at, end, &number));
    assert_ptr_equal(at, end);
    return (unsigned)number;
}

static void hear_record(struct bytes record)
{
    struct wire_field field;
    struct bytes text = {0};
    unsigned piece = 0;

    while (wire_next(&record, &field)) {
        if (field.number == 5) {
            struct bytes value = field.payload;
            assert_true(wire_next(&value, &field));
            text = field.payload;
        } else if (field.number == 6) {
            piece = piece_of(field.payload);
        }
    }
    assert_true(piece <= 1 || piece == last_piece + 1);
    if (piece <= 1 && said.len > 0)
        assert_ok(buf_append_byte(&said, '\n'));
    last_piece = piece;
    assert_ok(buf_append(&said, text));
}

static void hear(struct bytes container, unsigned level)
{
    struct wire_field field;

    if (level == 3) {
        hear_record(container);
        return;
    }
    while (container.len > 0) {
        assert_true(wire_next(&container, &field));
        if (otlp_is_child(&otlp_levels[SIGNAL_LOGS], level, &field))
            hear(field.payload, level + 1);
    }
}

/* Takes the portion at hand, which must be a request of as many records as it says. */
static void take(const struct portions *portions)
{
    struct otlp_summary summary = {0};
    struct error error = {0};

    if (otlp_walk(SIGNAL_LOGS, portions->now, NULL, &summary, &error))
        fail_msg("%s", error.text);
    assert_int_equal(summary.items, portions_items(portions));
    hear(portions->now, 0);
}

static void assert_said(const struct bytes *bodies, uint32_t count)
{
    AUTO(buf_fini) struct buf want = {0};

    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            assert_ok(buf_append_byte(&want, '\n'));
        assert_ok(buf_append(&want, bodies[i]));
    }
    assert_int_equal(said.len, want.len);
    assert_memory_equal(said.data, want.data, want.len);
}

/* Without memory, once more: what was at hand still is. */
static enum err again(enum err (*step)(struct portions *portions), struct portions *portions)
{
    const struct portions before = *portions;

    enum err err = step(portions);
    if (err != ERR_NOMEM)
        return err;
    assert_int_equal(portions->first, before.first);
    assert_int_equal(portions->count, before.count);
    assert_int_equal(portions->number, before.number);
    assert_int_equal(portions->now.len, before.now.len);
    return step(portions);
}

/* All that are larger than `max` are asked for again smaller. */
static void go_through(size_t max)
{
    AUTO(portions_fini) struct portions portions = {0};
    enum err err = OK;

    buf_clear(&said);
    last_piece = 0;
    portions_begin(&portions, buf_bytes(&request), items);
    while (err == OK) {
        while (portions.now.len > max)
            assert_ok(again(portions_smaller, &portions));
        bool last = portions_are_last(&portions);
        take(&portions);
        err = again(portions_next, &portions);
        assert_int_equal(err == ERR_NOTFOUND, last);
    }
    assert_int_equal(err, ERR_NOTFOUND);
}

static void test_what_fits_is_one_portion(void **state)
{
    (void)state;
    const struct bytes bodies[] = {BYTES_LITERAL("one"), BYTES_LITERAL("two")};
    AUTO(portions_fini) struct portions portions = {0};

    make(bodies, 2);
    portions_begin(&portions, buf_bytes(&request), items);
    assert_ptr_equal(portions.now.data, request.data);
    assert_true(portions_are_last(&portions));
    assert_int_equal(portions_next(&portions), ERR_NOTFOUND);
}

static void test_every_record_comes_once_whatever_fits(void **state)
{
    (void)state;
    enum { RECORDS = 60, LARGEST = 9000 };
    static uint8_t text[RECORDS][LARGEST];
    struct bytes bodies[RECORDS];

    seed_rand();
    for (unsigned i = 0; i < RECORDS; i++) {
        size_t len = (unsigned)rand() % (i % 7 == 0 ? LARGEST : 300);
        for (size_t j = 0; j < len; j++)
            text[i][j] = (uint8_t)('a' + (i + j) % 26);
        bodies[i] = (struct bytes){text[i], len};
    }
    for (size_t max = 1200; max < 40000; max = max * 5 / 4) {
        make(bodies, RECORDS);
        go_through(max);
        assert_said(bodies, RECORDS);
    }
}

static void test_a_character_is_not_cut(void **state)
{
    (void)state;
    enum { SIZE = 6000 };
    static const uint8_t face[] = {0xf0, 0x9f, 0x98, 0x80};
    static uint8_t text[SIZE];

    for (unsigned before = 0; before < 4; before++) {
        memset(text, '-', before);
        for (size_t i = before; i + 4 <= SIZE; i += 4)
            memcpy(text + i, face, sizeof face);
        const struct bytes body = {text, SIZE - 4 + before};
        make(&body, 1);
        go_through(1500); /* the walk would refuse half a character */
        assert_said(&body, 1);
    }
}

static void test_what_cannot_be_smaller_is_said_and_passed(void **state)
{
    (void)state;
    const struct bytes bodies[] = {BYTES_LITERAL("a"), BYTES_LITERAL("b"), BYTES_LITERAL("c")};
    AUTO(portions_fini) struct portions portions = {0};

    make(bodies, 3);
    buf_clear(&said);
    portions_begin(&portions, buf_bytes(&request), items);
    assert_ok(portions_smaller(&portions));
    assert_int_equal(portions_items(&portions), 1);
    assert_int_equal(portions_smaller(&portions), ERR_NOTFOUND); /* "a" is given up */
    assert_ok(portions_next(&portions));
    take(&portions);
    assert_int_equal(portions_next(&portions), ERR_NOTFOUND);
    assert_said(bodies + 1, 2);
}

static void test_without_memory_the_portion_at_hand_stays(void **state)
{
    (void)state;
    static char text[9000];
    const struct bytes bodies[] = {
        BYTES_LITERAL("a"), {(const uint8_t *)text, sizeof text}, BYTES_LITERAL("b")};
    bool failed = true;

    memset(text, 'x', sizeof text);
    make(bodies, 3);
    assert_ok(buf_reserve(&said, 64 << 10)); /* the test itself takes none */
    for (unsigned nth = 1; failed; nth++) {
        fault_alloc_fail_at(nth);
        go_through(2000);
        failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        assert_said(bodies, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_fits_is_one_portion, end),
        cmocka_unit_test_teardown(test_every_record_comes_once_whatever_fits, end),
        cmocka_unit_test_teardown(test_a_character_is_not_cut, end),
        cmocka_unit_test_teardown(test_what_cannot_be_smaller_is_said_and_passed, end),
        cmocka_unit_test_teardown(test_without_memory_the_portion_at_hand_stays, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
