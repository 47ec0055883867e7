/* Whatever a frame is cut into: every item is in exactly one message that is not done, ids are the
 * same each time, and without memory the frame is still there. */
// link: tests/support/golden.c tests/support/numbered.c tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "sidecar/edge/outgoing.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/golden.h"
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

/* The entries of the frame at hand. */
static struct spool_entry entries[8];

struct spool_entry spool_frame_entry(struct spool_frame *frame, uint32_t index)
{
    assert_true(index < frame->entry_count);
    return entries[index];
}

struct fixture {
    struct buf value;
    struct spool_frame frame, *handed;
    struct produce_topic topics[3];
    size_t topic_count;
    struct outgoing_work work;
    struct outgoing *outgoing;
};

static void begin(struct fixture *fixture, unsigned records)
{
    *fixture = (struct fixture){.topics = {{.signal = SIGNAL_LOGS}}, .topic_count = 1};
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
    outgoing_work_fini(&fixture->work);
    buf_fini(&fixture->value);
}

static enum err try_cut(struct fixture *fixture, size_t limit)
{
    const struct outgoing_plan plan = {.topics = fixture->topics,
                                       .topic_count = fixture->topic_count,
                                       .plan =
                                           outgoing_plan_id(fixture->topics, fixture->topic_count),
                                       .cut_bytes = limit};
    return outgoing_cut(&fixture->handed, &plan, &fixture->work, &fixture->outgoing, NULL);
}

static void cut(struct fixture *fixture, size_t limit)
{
    assert_ok(try_cut(fixture, limit));
    assert_null(fixture->handed);
}

static void assert_id(const struct message *message, const char *want)
{
    char id[OUTGOING_ID_MAX];
    outgoing_id(message, id);
    assert_string_equal(id, want);
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
    assert_id(message, "0000000000abcdef-12-0/1");
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
            snprintf(id, sizeof id, "0000000000abcdef-12-%u/%u", at->part, fixture.outgoing->parts);
            assert_id(at, id);
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
        char id[OUTGOING_ID_MAX];
        outgoing_id(a, id);
        assert_id(b, id);
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
    fixture.outgoing->messages->key_len = 3;
    memcpy(fixture.outgoing->messages->key, "key", 3);
    for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
        while (!at->done && outgoing_halve(at, halves, NULL) == OK) {
            assert_true(at->done);
            assert_null(at->owned);
            for (int i = 0; i < 2; i++) {
                assert_true(halves[i]->retry);
                assert_int_equal(halves[i]->partition, 7);
                assert_int_equal(halves[i]->first_try_ms, 123);
                assert_int_equal(halves[i]->key_len, 3);
                assert_memory_equal(halves[i]->key, "key", 3);
                char id[OUTGOING_ID_MAX];
                outgoing_id(at, id);
                snprintf(id + strlen(id), sizeof id - strlen(id), ".%d", i);
                assert_id(halves[i], id);
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
    fixture.topics[0].signal = SIGNAL_METRICS;
    fixture.frame.items = 4;
    fixture.frame.data = (struct bytes){request, sizeof request};
    cut(&fixture, SIZE_MAX);
    assert_ok(outgoing_halve(fixture.outgoing->messages, halves, NULL));
    assert_int_equal(halves[0]->items, 3);
    assert_int_equal(halves[1]->items, 1);
    end(&fixture);
}

/* ---- by topic, by key, in other encodings */

/* A frame of four entries of 25 records, for three topics and one that is gone. */
static void begin_tagged(struct fixture *fixture)
{
    static const uint32_t tags[] = {0, 7, 9, 5};
    size_t from[5] = {0};

    begin(fixture, 0);
    for (unsigned i = 0; i < 4; i++) {
        numbered_request(25 * i, 25, 50, &fixture->value);
        from[i + 1] = fixture->value.len;
    }
    for (unsigned i = 0; i < 4; i++)
        entries[i] =
            (struct spool_entry){.data = {fixture->value.data + from[i], from[i + 1] - from[i]},
                                 .items = 25,
                                 .tag = tags[i]};
    fixture->frame.data = buf_bytes(&fixture->value);
    fixture->frame.items = RECORDS;
    fixture->frame.entry_count = 4;
    for (unsigned i = 0; i < 3; i++)
        fixture->topics[i] = (struct produce_topic){.signal = SIGNAL_LOGS, .tag = tags[i]};
    fixture->topic_count = 3;
}

static void test_gives_each_topic_its_entries_and_the_default_one_those_of_none(void **state)
{
    (void)state;
    struct fixture fixture;
    unsigned items[3] = {0};

    begin_tagged(&fixture);
    cut(&fixture, SIZE_MAX);
    check_items(&fixture, RECORDS);
    for (const struct message *at = fixture.outgoing->messages; at != NULL; at = at->next)
        items[at->topic - fixture.topics] += at->items;
    assert_int_equal(items[0], 50);
    assert_int_equal(items[1], 25);
    assert_int_equal(items[2], 25);
    end(&fixture);
}

static void test_tells_messages_cut_by_different_plans_apart(void **state)
{
    (void)state;
    struct fixture fixture;
    char first[OUTGOING_ID_MAX], second[OUTGOING_ID_MAX];

    begin_tagged(&fixture);
    cut(&fixture, SIZE_MAX);
    outgoing_id(fixture.outgoing->messages, first);
    end(&fixture);
    begin_tagged(&fixture);
    fixture.topics[2].tag = 11;
    cut(&fixture, SIZE_MAX);
    outgoing_id(fixture.outgoing->messages, second);
    end(&fixture);
    assert_non_null(strchr(first, '~'));
    assert_string_not_equal(first, second);
}

static enum err see_group(void *user, struct bytes key, const struct otlp_slices *request,
                          uint32_t items, struct error *error)
{
    const struct message *message = user;

    (void)error;
    assert_int_equal(key.len, message->key_len);
    assert_memory_equal(key.data, message->key, key.len);
    assert_int_equal(request->size_bytes, message->value.len);
    assert_int_equal(items, message->items);
    return OK;
}

/* Each message, grouped again, is one group with the key that it has. */
static void check_keys(enum signal signal, const char *path, enum pipeline_partition_by by,
                       size_t limit)
{
    struct fixture fixture;
    struct otlp_summary whole = {0};
    uint64_t items = 0;
    char id[OUTGOING_ID_MAX];

    begin(&fixture, 0);
    assert_true(golden_read(path, &fixture.value));
    fixture.frame.data = buf_bytes(&fixture.value);
    fixture.frame.lane = signal;
    fixture.topics[0] = (struct produce_topic){.signal = signal, .key = by};
    assert_ok(otlp_count(signal, fixture.frame.data, &whole, NULL));
    cut(&fixture, limit);
    for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
        AUTO(otlp_slices_fini) struct otlp_slices work = {0};
        items += at->items;
        assert_true(at->value.len <= limit || at->items <= 1);
        assert_ok(by == PIPELINE_PARTITION_BY_TRACE_ID
                      ? otlp_group_by_trace(signal, at->value, &work, see_group, at, NULL)
                      : otlp_group_by_resource(signal, at->value, &work, see_group, at, NULL));
    }
    assert_int_equal(items, whole.items);
    outgoing_id(fixture.outgoing->messages, id);
    assert_non_null(strchr(id, '~'));
    end(&fixture);
}

static void test_keeps_a_trace_and_a_resource_together_under_their_keys(void **state)
{
    (void)state;
    static const char traces[] = "tests/golden/otlp/traces_sdk.bin";
    static const char metrics[] = "tests/golden/otlp/metrics_sdk.bin";
    static const char logs[] = "tests/golden/otlp/logs_sdk.bin";

    for (size_t limit = 200; limit < 100000; limit *= 10) {
        check_keys(SIGNAL_TRACES, traces, PIPELINE_PARTITION_BY_TRACE_ID, limit);
        check_keys(SIGNAL_LOGS, logs, PIPELINE_PARTITION_BY_TRACE_ID, limit);
        check_keys(SIGNAL_TRACES, traces, PIPELINE_PARTITION_BY_RESOURCE, limit);
        check_keys(SIGNAL_METRICS, metrics, PIPELINE_PARTITION_BY_RESOURCE, limit);
    }
}

/* Two hundred traces under a resource of 100 KiB would be 20 MB. */
static void test_sends_without_keys_what_would_be_too_much_with_them(void **state)
{
    (void)state;
    struct fixture fixture;
    enum { TRACES = 200, ATTRIBUTE = 100 * 1024 };
    AUTO(buf_fini) struct buf scope = {0}, resource = {0}, all = {0};
    AUTO(buf_fini) struct buf blob = {0};
    uint8_t head[WIRE_HEAD_MAX];

#define PUT(into, number, payload)                                                              \
    do {                                                                                        \
        assert_ok(buf_append(                                                                   \
            into,                                                                               \
            (struct bytes){head, (size_t)(wire_put_len(head, number, (payload).len) - head)})); \
        assert_ok(buf_append(into, payload));                                                   \
    } while (0)
    for (unsigned i = 0; i < TRACES; i++) {
        uint8_t span[18] = {0x0a, 16, (uint8_t)i, 1};
        PUT(&scope, 2, ((struct bytes){span, sizeof span}));
    }
    assert_ok(buf_reserve(&blob, ATTRIBUTE));
    memset(blob.data, 0, ATTRIBUTE);
    blob.len = ATTRIBUTE;
    PUT(&resource, 99, buf_bytes(&blob)); /* an unknown field */
    PUT(&resource, 2, buf_bytes(&scope));
    PUT(&all, 1, buf_bytes(&resource));
#undef PUT
    begin(&fixture, 0);
    fixture.frame.lane = SIGNAL_TRACES;
    fixture.frame.items = TRACES;
    fixture.frame.data = buf_bytes(&all);
    fixture.topics[0] =
        (struct produce_topic){.signal = SIGNAL_TRACES, .key = PIPELINE_PARTITION_BY_TRACE_ID};
    cut(&fixture, 1 << 20);
    assert_int_equal(fixture.outgoing->parts, 1);
    assert_int_equal(fixture.outgoing->keyless_items, TRACES);
    assert_int_equal(fixture.outgoing->messages->key_len, 0);
    assert_int_equal(fixture.outgoing->messages->items, TRACES);
    end(&fixture);
}

/* JSON is cut by what it comes to, and halves are JSON too. */
static void test_cuts_json_to_size(void **state)
{
    (void)state;
    struct message *halves[2];

    for (size_t limit = 300; limit < 20000; limit *= 3) {
        struct fixture fixture;
        unsigned seen[RECORDS] = {0};

        begin(&fixture, RECORDS);
        fixture.topics[0].encoding = PIPELINE_ENCODING_OTLP_JSON;
        cut(&fixture, limit);
        for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
            AUTO(buf_fini) struct buf request = {0};
            if (!at->done && at->part == 0 && at->items > 1)
                assert_ok(outgoing_halve(at, halves, NULL));
            if (at->done)
                continue;
            assert_true(at->value.len <= limit || at->items == 1);
            assert_ok(otlp_json_read(SIGNAL_LOGS, at->value, NULL, &request, NULL));
            numbered_visit(buf_bytes(&request), see, seen);
        }
        for (unsigned i = 1; i < RECORDS; i++) /* a time of 0 is left out */
            assert_int_equal(seen[i], 1);
        end(&fixture);
    }
}

static void test_makes_a_document_of_each_record_when_its_turn_comes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct message *halves[2];

    begin_tagged(&fixture);
    fixture.topics[1].encoding = PIPELINE_ENCODING_FLUENTBIT_JSON;
    cut(&fixture, SIZE_MAX);
    assert_int_equal(fixture.outgoing->parts, 25 + 2);
    for (struct message *at = fixture.outgoing->messages; at != NULL; at = at->next) {
        size_t bytes = 0;
        bool record = at->topic == &fixture.topics[1];
        assert_int_equal(at->unencoded, record);
        assert_ok(outgoing_encode(at, &fixture.work, &bytes, NULL));
        assert_int_equal(bytes, record ? at->value.len : 0);
        if (!record)
            continue;
        assert_int_equal(at->items, 1);
        assert_memory_equal(at->value.data, "{\"@timestamp\":", 14);
        assert_int_equal(outgoing_halve(at, halves, NULL), ERR_NOTFOUND);
    }
    end(&fixture);
}

static void test_keeps_the_frame_whichever_allocation_of_a_cut_fails(void **state)
{
    (void)state;

    for (unsigned nth = 1;; nth++) {
        struct fixture fixture;

        begin(&fixture, RECORDS);
        fault_alloc_fail_at(nth);
        enum err err = try_cut(&fixture, 3000);
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
        cmocka_unit_test(test_gives_each_topic_its_entries_and_the_default_one_those_of_none),
        cmocka_unit_test(test_tells_messages_cut_by_different_plans_apart),
        cmocka_unit_test(test_keeps_a_trace_and_a_resource_together_under_their_keys),
        cmocka_unit_test(test_sends_without_keys_what_would_be_too_much_with_them),
        cmocka_unit_test(test_cuts_json_to_size),
        cmocka_unit_test(test_makes_a_document_of_each_record_when_its_turn_comes),
        cmocka_unit_test(test_keeps_the_frame_whichever_allocation_of_a_cut_fails),
        cmocka_unit_test(test_keeps_the_message_whichever_allocation_of_a_halving_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
