/* Keys are those that the OpenTelemetry Collector gives, and a request is the sum of its groups. */
// link: tests/support/otlp_random.c tests/support/golden.c
#include "sidecar/otlp/partition.h"

#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/golden.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 200, GROUPS_MAX = 64 };

static size_t from_hex(const char *hex, uint8_t *to, size_t size)
{
    size_t len = 0;

    if (strcmp(hex, "-") == 0)
        return 0;
    for (; hex[0] != '\0'; hex += 2) {
        const char pair[] = {hex[0], hex[1], '\0'};
        assert_true(len < size);
        to[len++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return len;
}

static enum err keep_key(void *user, struct bytes key, const struct otlp_slices *request,
                         uint32_t items, struct error *error)
{
    (void)request;
    (void)items;
    (void)error;
    assert_int_equal(key.len, OTLP_RESOURCE_KEY_SIZE);
    memcpy(user, key.data, key.len);
    return OK;
}

/* That of a request which has this resource and nothing else. */
static enum err resource_key(struct bytes resource, uint8_t key[OTLP_RESOURCE_KEY_SIZE],
                             struct error *error)
{
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    AUTO(buf_fini) struct buf request = {0};
    uint8_t heads[2 * WIRE_HEAD_MAX];

    uint8_t *end = wire_put_len(heads, 1, wire_len_size(1, resource.len));
    end = wire_put_len(end, 1, resource.len);
    assert_ok(buf_append(&request, (struct bytes){heads, (size_t)(end - heads)}));
    assert_ok(buf_append(&request, resource));
    return otlp_group_by_resource(SIGNAL_LOGS, buf_bytes(&request), &work, keep_key, key, error);
}

static void test_gives_resources_the_keys_of_the_collector(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = {0};
    const char *line;
    unsigned checked = 0;
    int used = 0;

    assert_true(golden_read("tests/golden/otlp/keys.txt", &file));
    char hex[512], want_hex[64];
    for (line = buf_text(&file); sscanf(line, "%511s %63s\n%n", hex, want_hex, &used) == 2;
         line += used, checked++) {
        uint8_t resource[256], want[16], key[OTLP_RESOURCE_KEY_SIZE];
        size_t len = from_hex(hex, resource, sizeof resource);
        assert_int_equal(from_hex(want_hex, want, sizeof want), 16);
        assert_ok(resource_key((struct bytes){resource, len}, key, NULL));
        assert_memory_equal(key, want, 16);
    }
    assert_int_equal(checked, 7);
}

static void test_refuses_a_malformed_resource(void **state)
{
    (void)state;
    static const uint8_t cut[] = {0x0a, 4, 0x0a, 1, 'k', 0x12}, deep[] = {0x0a, 3, 0x12, 5, 0};
    uint8_t key[OTLP_RESOURCE_KEY_SIZE];
    struct error error = {0};

    assert_int_equal(resource_key((struct bytes){cut, sizeof cut}, key, &error), ERR_INVALID);
    assert_string_equal(error.text, "partition: the OTLP request is malformed");
    assert_int_equal(resource_key((struct bytes){deep, sizeof deep}, key, NULL), ERR_INVALID);
}

/* ---- groups */

struct groups {
    enum signal signal;
    size_t count, bytes;
    uint32_t items;
    uint8_t keys[GROUPS_MAX][OTLP_RESOURCE_KEY_SIZE];
    size_t stop_at;
};

static enum err take(void *user, struct bytes key, const struct otlp_slices *request,
                     uint32_t items, struct error *error)
{
    struct groups *groups = user;
    AUTO(buf_fini) struct buf bytes = {0};
    struct otlp_summary summary;
    struct wire_field x, in;

    if (groups->stop_at != 0 && groups->count + 1 == groups->stop_at)
        return error_set(error, ERR_AGAIN, "stopped on purpose");
    assert_int_equal(key.len, OTLP_RESOURCE_KEY_SIZE);
    for (size_t i = 0; i < groups->count; i++)
        assert_memory_not_equal(groups->keys[i], key.data, key.len);
    assert_true(groups->count < GROUPS_MAX);
    memcpy(groups->keys[groups->count++], key.data, key.len);

    assert_ok(otlp_slices_append_to(request, &bytes));
    assert_ok(otlp_walk(groups->signal, buf_bytes(&bytes), NULL, &summary, NULL));
    assert_int_equal(summary.items, items);
    groups->items += items;
    groups->bytes += bytes.len;

    struct bytes rest = buf_bytes(&bytes);
    while (rest.len > 0) {
        AUTO(buf_fini) struct buf resource = {0};
        uint8_t again[OTLP_RESOURCE_KEY_SIZE];
        assert_true(wire_next(&rest, &x));
        if (x.number != 1)
            continue;
        while (x.payload.len > 0) {
            assert_true(wire_next(&x.payload, &in));
            if (in.number == 1)
                assert_ok(buf_append(&resource, in.payload));
        }
        assert_ok(resource_key(buf_bytes(&resource), again, NULL));
        assert_memory_equal(again, key.data, key.len);
    }
    return OK;
}

static void test_groups_by_resource(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0};
        AUTO(otlp_slices_fini) struct otlp_slices work = {0};
        struct otlp_random random = {.state = round, .odd = round % 2, .list_max = 2};
        enum signal signal = round % SIGNAL_COUNT;
        struct groups groups = {.signal = signal};
        struct otlp_summary summary;

        otlp_random_request(&random, signal, &request);
        otlp_random_request(&random, signal, &request);
        size_t once = request.len;
        assert_ok(buf_reserve(&request, once));
        assert_ok(
            buf_append(&request, (struct bytes){request.data, once})); /* so that some repeat */
        assert_ok(otlp_group_by_resource(signal, buf_bytes(&request), &work, take, &groups, NULL));
        assert_ok(otlp_count(signal, buf_bytes(&request), &summary, NULL));
        assert_int_equal(groups.items, summary.items);
        assert_int_equal(groups.bytes, request.len);
        assert_true(groups.count <= summary.resources / 2 + 1);
    }
}

static void test_keeps_the_order_of_first_appearance(void **state)
{
    (void)state;
    /* resources without attributes, with k, without again */
    static const uint8_t request[] = {0x0a, 0, 0x0a, 7, 0x0a, 5, 0x0a, 3, 0x0a, 1, 'k', 0x0a, 0};
    static const uint8_t none[OTLP_RESOURCE_KEY_SIZE] = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct groups groups = {.signal = SIGNAL_LOGS}, stopped = {.stop_at = 2};
    struct error error = {0};
    struct bytes bytes = {request, sizeof request};

    assert_ok(otlp_group_by_resource(SIGNAL_LOGS, bytes, &work, take, &groups, NULL));
    assert_int_equal(groups.count, 2);
    assert_memory_equal(groups.keys[0], none, sizeof none);
    assert_int_equal(otlp_group_by_resource(SIGNAL_LOGS, bytes, &work, take, &stopped, &error),
                     ERR_AGAIN);
    assert_string_equal(error.text, "stopped on purpose");
    assert_int_equal(stopped.count, 1);
    assert_ok(otlp_group_by_resource(SIGNAL_LOGS, (struct bytes){0}, &work, take, &stopped, NULL));
    assert_int_equal(stopped.count, 1);
    bytes.len--;
    assert_int_equal(otlp_group_by_resource(SIGNAL_LOGS, bytes, &work, take, &groups, NULL),
                     ERR_INVALID);
}

/* ---- traces */

struct traces {
    enum signal signal;
    size_t count;
    uint32_t items;
    struct buf text; /* KEY: [resource scope] names of items */
};

/* Reads a request of the kind that put_span() makes, as text. */
static void describe(struct bytes request, struct buf *text)
{
    struct wire_field x, in, item, field;

    while (request.len > 0) {
        assert_true(wire_next(&request, &x));
        if (x.number != 1)
            continue;
        assert_ok(buf_append_text(text, "["));
        while (x.payload.len > 0) {
            assert_true(wire_next(&x.payload, &in));
            if (in.number == 3)
                assert_ok(buf_append(text, in.payload));
            if (in.number != 2)
                continue;
            assert_ok(buf_append_text(text, "("));
            while (in.payload.len > 0) {
                assert_true(wire_next(&in.payload, &item));
                if (item.number == 3)
                    assert_ok(buf_append(text, item.payload));
                while (item.number == 2 && item.payload.len > 0) {
                    assert_true(wire_next(&item.payload, &field));
                    if (field.number == 5)
                        assert_ok(buf_append(text, field.payload));
                }
            }
            assert_ok(buf_append_text(text, ")"));
        }
        assert_ok(buf_append_text(text, "]"));
    }
}

static enum err take_trace(void *user, struct bytes key, const struct otlp_slices *request,
                           uint32_t items, struct error *error)
{
    struct traces *traces = user;
    AUTO(buf_fini) struct buf bytes = {0};
    struct otlp_summary summary;

    (void)error;
    assert_ok(otlp_slices_append_to(request, &bytes));
    assert_ok(otlp_count(traces->signal, buf_bytes(&bytes), &summary, NULL));
    assert_int_equal(summary.items, items);
    traces->items += items;
    traces->count++;
    assert_true(key.len == 0 || key.len == 32);
    assert_ok(buf_printf(&traces->text, "%.*s:", key.len == 0 ? 0 : 2, (const char *)key.data));
    describe(buf_bytes(&bytes), &traces->text);
    assert_ok(buf_append_text(&traces->text, " "));
    return OK;
}

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    assert_ok(buf_append(out, (struct bytes){head, len}));
    assert_ok(buf_append(out, payload));
}

/* Adds scope `name` with spans: each two characters, its trace ('-': none, '0': zeros) and its
 * name.
 */
static void put_scope(struct buf *resource_x, const char *name, const char *spans)
{
    AUTO(buf_fini) struct buf scope = {0};

    put_field(&scope, 3, (struct bytes){(const uint8_t *)name, strlen(name)});
    for (; spans[0] != '\0'; spans += 2) {
        AUTO(buf_fini) struct buf span = {0};
        uint8_t id[16];
        memset(id, spans[0] == '0' ? 0 : spans[0], sizeof id);
        if (spans[0] != '-')
            put_field(&span, 1, (struct bytes){id, spans[0] == '8' ? 8 : 16});
        put_field(&span, 5, (struct bytes){(const uint8_t *)spans + 1, 1});
        put_field(&scope, 2, buf_bytes(&span));
    }
    put_field(resource_x, 2, buf_bytes(&scope));
}

static void test_groups_by_trace(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf a = {0}, b = {0}, c = {0}, request = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct traces traces = {.signal = SIGNAL_TRACES};

    put_field(&a, 3, BYTES_LITERAL("A"));
    put_scope(&a, "s", "1a2b1c-d");
    put_scope(&a, "t", "2e0f8g");
    put_field(&b, 3, BYTES_LITERAL("B"));
    put_scope(&b, "u", "");
    put_scope(&b, "v", "1h1i3j");
    put_field(&c, 3, BYTES_LITERAL("C"));
    put_field(&request, 1, buf_bytes(&a));
    put_field(&request, 1, buf_bytes(&b));
    put_field(&request, 1, buf_bytes(&c));
    assert_ok(
        otlp_group_by_trace(SIGNAL_TRACES, buf_bytes(&request), &work, take_trace, &traces, NULL));
    assert_string_equal(buf_text(&traces.text),
                        "31:[A(sac)][B(vhi)] 32:[A(sb)(te)] :[A(sd)(tfg)][B(u)] 33:[B(vj)][C] ");
    buf_fini(&traces.text);
}

static void test_gives_a_request_of_one_trace_as_it_is(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf a = {0}, request = {0};
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct traces traces = {.signal = SIGNAL_TRACES};

    put_scope(&a, "s", "1a1b1c");
    put_field(&request, 1, buf_bytes(&a));
    assert_ok(
        otlp_group_by_trace(SIGNAL_TRACES, buf_bytes(&request), &work, take_trace, &traces, NULL));
    assert_string_equal(buf_text(&traces.text), "31:[(sabc)] ");
    assert_int_equal(work.size_bytes, request.len);
    buf_fini(&traces.text);
}

static void test_loses_no_item_whatever_is_valid(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0};
        AUTO(otlp_slices_fini) struct otlp_slices work = {0};
        struct otlp_random random = {.state = round, .odd = round % 2, .list_max = 4};
        struct traces traces = {.signal = round % 2 == 0 ? SIGNAL_TRACES : SIGNAL_LOGS};
        struct otlp_summary summary;

        otlp_random_request(&random, traces.signal, &request);
        assert_ok(otlp_group_by_trace(traces.signal, buf_bytes(&request), &work, take_trace,
                                      &traces, NULL));
        assert_ok(otlp_count(traces.signal, buf_bytes(&request), &summary, NULL));
        assert_int_equal(traces.items, summary.items);
        buf_fini(&traces.text);
    }
}

static void test_has_no_traces_in_metrics(void **state)
{
    (void)state;
    AUTO(otlp_slices_fini) struct otlp_slices work = {0};
    struct error error = {0};

    assert_int_equal(
        otlp_group_by_trace(SIGNAL_METRICS, (struct bytes){0}, &work, take_trace, NULL, &error),
        ERR_INVALID);
    assert_string_equal(error.text, "partition: metrics have no trace ids");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_resources_the_keys_of_the_collector),
        cmocka_unit_test(test_refuses_a_malformed_resource),
        cmocka_unit_test(test_groups_by_resource),
        cmocka_unit_test(test_keeps_the_order_of_first_appearance),
        cmocka_unit_test(test_groups_by_trace),
        cmocka_unit_test(test_gives_a_request_of_one_trace_as_it_is),
        cmocka_unit_test(test_loses_no_item_whatever_is_valid),
        cmocka_unit_test(test_has_no_traces_in_metrics),
    };
    return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
