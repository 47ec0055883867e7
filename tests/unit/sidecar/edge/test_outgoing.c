/* Whatever a frame is cut into: every item is in exactly one message that is not done, ids are the
 * same each time, and without memory the frame is still there. */
// link: tests/support/numbered.c tests/support/fault_alloc.c
// wrap: malloc calloc realloc
#include "tests/support/test.h"

#include "sidecar/edge/outgoing.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/numbered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 100 };

static unsigned released;

/* In place of the spool's reader. */
void spool_frame_release(struct spool_frame **frame)
{
    released += *frame != NULL;
    *frame = NULL;
}

struct fixture {
    struct buf value;
    struct spool_frame frame, *handed;
    struct otlp_slices work;
    struct outgoing *outgoing;
};

static void begin(struct fixture *fixture, unsigned records)
{
    *fixture = (struct fixture){0};
    released = 0;
    if (records > 0)
        numbered_request(0, records, 50, &fixture->value);
    fixture->frame = (struct spool_frame){.lane = SIGNAL_LOGS,
                                          .incarnation = 0xabcdef,
                                          .seq = 12,
                                          .items = records,
                                          .data = buf_bytes(&fixture->value)};
    fixture->handed = &fixture->frame;
}

static void end(struct fixture *fixture)
{
    outgoing_free(&fixture->outgoing);
    assert_int_equal(released, 1);
    otlp_slices_fini(&fixture->work);
    buf_fini(&fixture->value);
}

static void cut(struct fixture *fixture, size_t limit)
{
    assert_ok(outgoing_cut(&fixture->handed, limit, &fixture->work, &fixture->outgoing, NULL));
    assert_null(fixture->handed);
}

static void see(void *context, uint64_t number)
{
    unsigned *seen = context;
    assert_true(number < RECORDS);
    seen[number]++;
}

/* Each record is in one of the messages that are not done; `items` say how many. */
static void check_items(const struct fixture *fixture, unsigned records)
{
    unsigned seen[RECORDS] = {0}, left = 0;
    uint64_t items = 0;

    for (const struct message *at = fixture->outgoing->messages; at != NULL; at = at->next) {
        if (at->done)
            continue;
        numbered_visit(at->value, see, seen);
        items += at->items;
        left++;
    }
    for (unsigned i = 0; i < records; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(items, records);
    assert_int_equal(fixture->outgoing->left, left);
}

static void test_hands_on_a_frame_that_fits_as_it_is(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture, RECORDS);
    cut(&fixture, fixture.frame.data.len);
    const struct message *message = fixture.outgoing->messages;
    assert_ptr_equal(message->value.data, fixture.frame.data.data);
    assert_string_equal(message->id, "0000000000abcdef-12-0/1");
    assert_null(message->next);
    check_items(&fixture, RECORDS);
    end(&fixture);
}

static void test_is_done_at_once_without_data(void **state)
{
    (void)state;
    struct fixture fixture;

    begin(&fixture, 0);
    cut(&fixture, 1000);
    assert_null(fixture.outgoing->messages);
    assert_int_equal(fixture.outgoing->left, 0);
    end(&fixture);
}

static void test_cuts_into_parts_that_fit_each_with_its_number(void **state)
{
    (void)state;

    for (size_t limit = 1; limit < 7000; limit = limit * 3 / 2 + 1) {
        struct fixture fixture;
        uint32_t part = 0;
        char id[OUTGOING_ID_MAX];

        begin(&fixture, RECORDS);
        cut(&fixture, limit);
        check_items(&fixture, RECORDS);
        for (const struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
            assert_true(at->value.len <= limit || at->items == 1);
            assert_int_equal(at->part, part++);
            assert_int_equal(at->partition, -1);
            snprintf(id, sizeof id, "0000000000abcdef-12-%u/%u", at->part, at->parts);
            assert_string_equal(at->id, id);
        }
        assert_int_equal(part, fixture.outgoing->left);
        end(&fixture);
    }
}

static void test_gives_the_same_ids_to_the_same_bytes_each_time(void **state)
{
    (void)state;
    struct fixture first, second;

    begin(&first, RECORDS);
    begin(&second, RECORDS);
    cut(&first, 700);
    cut(&second, 700);
    const struct message *a = first.outgoing->messages, *b = second.outgoing->messages;
    for (; a != NULL && b != NULL; a = a->next, b = b->next) {
        assert_string_equal(a->id, b->id);
        assert_int_equal(a->value.len, b->value.len);
        assert_memory_equal(a->value.data, b->value.data, a->value.len);
    }
    assert_null(a);
    assert_null(b);
    end(&first);
    released = 0;
    end(&second);
}

/* Down to single items, in any order; a half inherits what is known of its whole. */
static void test_halves_down_to_one_item(void **state)
{
    (void)state;
    struct fixture fixture;
    struct message *halves[2];
    unsigned rounds = 0;

    begin(&fixture, RECORDS);
    cut(&fixture, SIZE_MAX);
    fixture.outgoing->messages->partition = 7;
    fixture.outgoing->messages->retry = true;
    fixture.outgoing->messages->first_try_ms = 123;
    for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
        while (!at->done && outgoing_halve(at, halves, NULL) == OK) {
            assert_true(at->done);
            assert_null(at->owned);
            for (int i = 0; i < 2; i++) {
                assert_true(halves[i]->halved);
                assert_true(halves[i]->retry);
                assert_int_equal(halves[i]->partition, 7);
                assert_int_equal(halves[i]->first_try_ms, 123);
                assert_memory_equal(halves[i]->id, at->id, strlen(at->id));
                assert_string_equal(halves[i]->id + strlen(at->id), i == 0 ? ".0" : ".1");
            }
            check_items(&fixture, RECORDS);
            rounds++;
        }
    }
    assert_int_equal(rounds, RECORDS - 1);
    assert_int_equal(fixture.outgoing->left, RECORDS);
    for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next)
        if (!at->done) {
            assert_int_equal(at->items, 1);
            assert_int_equal(outgoing_halve(at, halves, NULL), ERR_NOTFOUND);
            outgoing_message_done(at);
        }
    assert_int_equal(fixture.outgoing->left, 0);
    end(&fixture);
}

/* A metric with two kinds of data is never cut: of its four points three stay together. */
static void test_counts_what_is_in_each_half_where_they_are_uneven(void **state)
{
    (void)state;
    static const uint8_t request[] = {0x0a, 0x14, 0x12, 0x12,                         /* to scope */
                                      0x12, 0x0a, 0x2a, 0x04, 0x0a, 0x00, 0x0a, 0x00, /* gauge */
                                      0x3a, 0x02, 0x0a, 0x00,                         /* and sum */
                                      0x12, 0x04, 0x2a, 0x02, 0x0a, 0x00}; /* another metric */
    struct fixture fixture;
    struct message *halves[2];

    begin(&fixture, 0);
    fixture.frame.lane = SIGNAL_METRICS;
    fixture.frame.items = 4;
    fixture.frame.data = (struct bytes){request, sizeof request};
    cut(&fixture, SIZE_MAX);
    assert_ok(outgoing_halve(fixture.outgoing->messages, halves, NULL));
    assert_int_equal(halves[0]->items, 3);
    assert_int_equal(halves[1]->items, 1);
    end(&fixture);
}

static void test_keeps_the_frame_whichever_allocation_of_a_cut_fails(void **state)
{
    (void)state;

    for (unsigned nth = 1;; nth++) {
        struct fixture fixture;

        begin(&fixture, RECORDS);
        fault_alloc_fail_at(nth);
        enum err err = outgoing_cut(&fixture.handed, 3000, &fixture.work, &fixture.outgoing, NULL);
        bool failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        if (failed) {
            assert_int_equal(err, ERR_NOMEM);
            assert_ptr_equal(fixture.handed, &fixture.frame);
            cut(&fixture, 3000); /* later, then */
        }
        assert_ok(failed ? OK : err);
        check_items(&fixture, RECORDS);
        end(&fixture);
        if (!failed)
            return;
    }
}

static void test_keeps_the_message_whichever_allocation_of_a_halving_fails(void **state)
{
    (void)state;

    for (unsigned nth = 1;; nth++) {
        struct fixture fixture;
        struct message *halves[2] = {NULL, NULL};

        begin(&fixture, RECORDS);
        cut(&fixture, SIZE_MAX);
        fault_alloc_fail_at(nth);
        enum err err = outgoing_halve(fixture.outgoing->messages, halves, NULL);
        bool failed = fault_alloc_has_failed();
        fault_alloc_fail_at(0);
        assert_int_equal(err, failed ? ERR_NOMEM : OK);
        assert_int_equal(fixture.outgoing->left, failed ? 1 : 2);
        check_items(&fixture, RECORDS);
        end(&fixture);
        if (!failed)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_on_a_frame_that_fits_as_it_is),
        cmocka_unit_test(test_is_done_at_once_without_data),
        cmocka_unit_test(test_cuts_into_parts_that_fit_each_with_its_number),
        cmocka_unit_test(test_gives_the_same_ids_to_the_same_bytes_each_time),
        cmocka_unit_test(test_halves_down_to_one_item),
        cmocka_unit_test(test_counts_what_is_in_each_half_where_they_are_uneven),
        cmocka_unit_test(test_keeps_the_frame_whichever_allocation_of_a_cut_fails),
        cmocka_unit_test(test_keeps_the_message_whichever_allocation_of_a_halving_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
