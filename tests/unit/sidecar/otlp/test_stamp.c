/* Stamping does to each Resource what the rules say, in order, and nothing to any other byte. */
// link: tests/support/otlp_random.c
#include "sidecar/otlp/stamp.h"

#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/otlp_random.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 400, ATTRIBUTES_MAX = 256 };

/* ---- reading attributes the plain way */

struct attribute {
    struct bytes key, value; /* value: the AnyValue message */
};

static size_t read_attributes(struct bytes resource_x, struct attribute list[ATTRIBUTES_MAX])
{
    struct wire_field x, in, kv;
    size_t count = 0;

    while (resource_x.len > 0) {
        assert_true(wire_next(&resource_x, &x));
        if (x.number != 1)
            continue;
        while (x.payload.len > 0) {
            assert_true(wire_next(&x.payload, &in));
            if (in.number != 1)
                continue;
            struct attribute attribute = {0};
            while (in.payload.len > 0) {
                assert_true(wire_next(&in.payload, &kv));
                if (kv.number == 1)
                    attribute.key = kv.payload;
                if (kv.number == 2)
                    attribute.value = kv.payload;
            }
            assert_true(count < ATTRIBUTES_MAX);
            list[count++] = attribute;
        }
    }
    return count;
}

static bool is_key(const struct attribute *attribute, const char *key)
{
    return attribute->key.len == strlen(key) && memcmp(attribute->key.data, key, strlen(key)) == 0;
}

static size_t count_key(const struct attribute *list, size_t count, const char *key)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += is_key(&list[i], key);
    return found;
}

static bool has(const struct attribute *list, size_t count, const char *key, const char *value)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes any = list[i].value;
        if (is_key(&list[i], key) && any.len == strlen(value) + 2 && any.data[0] == 0x0a &&
            memcmp(any.data + 2, value, strlen(value)) == 0)
            return true;
    }
    return false;
}

/* ---- a request with one resource */

static void put_attribute(struct buf *resource, const char *key, const char *value)
{
    uint8_t bytes[64], *to = bytes;
    size_t klen = strlen(key), vlen = strlen(value);

    to = wire_put_len(to, 1, klen + vlen + 6);
    to = wire_put_len(to, 1, klen);
    memcpy(to, key, klen);
    to = wire_put_len(to + klen, 2, vlen + 2);
    to = wire_put_len(to, 1, vlen);
    memcpy(to, value, vlen);
    assert_ok(buf_append(resource, (struct bytes){bytes, (size_t)(to - bytes) + vlen}));
}

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    assert_ok(buf_append(out, (struct bytes){head, len}));
    assert_ok(buf_append(out, payload));
}

/* "a=1 b=2": a resource with these attributes; NULL: no resource at all. A schema URL behind it. */
static void put_request(struct buf *out, const char *attributes)
{
    AUTO(buf_fini) struct buf resource = {0}, x = {0};

    while (attributes != NULL && *attributes != '\0') {
        char key[16], value[16];
        int used = 0;
        assert_int_equal(sscanf(attributes, "%15[^=]=%15s%n", key, value, &used), 2);
        put_attribute(&resource, key, value);
        attributes += used;
        attributes += *attributes == ' ';
    }
    if (attributes != NULL)
        put_field(&x, 1, buf_bytes(&resource));
    put_field(&x, 3, BYTES_LITERAL("url"));
    put_field(out, 1, buf_bytes(&x));
}

static void stamp_bytes(const struct stamp_rule *rules, size_t count, struct bytes request,
                        struct buf *out)
{
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    struct error error = {0};

    assert_ok(stamp_create(rules, count, &stamp, &error));
    if (stamp_apply(stamp, request, SIZE_MAX, &slices, &error) != OK)
        fail_msg("%s", error.text);
    assert_ok(otlp_slices_append_to(&slices, out));
    assert_int_equal(out->len, slices.size_bytes);
}

/* ---- what rules do */

static void test_follows_its_rules_in_their_order(void **state)
{
    (void)state;
    static const struct stamp_rule insert = {"k", "v", STAMP_INSERT},
                                   update = {"k", "v", STAMP_UPDATE},
                                   upsert = {"k", "v", STAMP_UPSERT},
                                   erase = {"k", NULL, STAMP_DELETE},
                                   insert2 = {"k", "w", STAMP_INSERT},
                                   update2 = {"k", "w", STAMP_UPDATE},
                                   upsert2 = {"k", "w", STAMP_UPSERT},
                                   other = {"o", "x", STAMP_UPSERT};
    const struct {
        const char *before;
        struct stamp_rule rules[3];
        size_t count;
        const char *after;
    } cases[] = {
        {"a=1", {insert}, 1, "a=1 k=v"},
        {"k=1 a=2", {insert}, 1, "k=1 a=2"},
        {"k=1 k=2", {insert}, 1, "k=1 k=2"},
        {"", {insert}, 1, "k=v"},
        {NULL, {insert}, 1, "k=v"},
        {"a=1", {update}, 1, "a=1"},
        {"k=1 a=2", {update}, 1, "a=2 k=v"},
        {"k=1 a=2 k=3", {update}, 1, "a=2 k=v"},
        {NULL, {update}, 1, NULL},
        {"", {update}, 1, ""},
        {"a=1", {upsert}, 1, "a=1 k=v"},
        {"a=1 k=2 b=3 k=4", {upsert}, 1, "a=1 b=3 k=v"},
        {NULL, {upsert}, 1, "k=v"},
        {"a=1", {erase}, 1, "a=1"},
        {"k=1", {erase}, 1, ""},
        {"k=1 a=2 k=3", {erase}, 1, "a=2"},
        {NULL, {erase}, 1, NULL},
        {"k=1", {erase, insert}, 2, "k=v"},
        {"k=1", {insert, erase}, 2, ""},
        {NULL, {insert, erase}, 2, NULL},
        {"a=1", {insert, update2}, 2, "a=1 k=w"},
        {"k=1", {insert, update2}, 2, "k=w"},
        {"a=1", {update, insert2}, 2, "a=1 k=w"},
        {"k=1", {update, insert2}, 2, "k=v"},
        {"a=1", {upsert, insert2}, 2, "a=1 k=v"},
        {"k=1", {upsert, insert2}, 2, "k=v"},
        {"k=1", {insert, upsert2}, 2, "k=w"},
        {"k=1", {erase, update}, 2, ""},
        {"k=1", {erase, insert, update2}, 3, "k=w"},
        {"o=1 k=2", {insert, other}, 2, "k=2 o=x"},
        {"a=1", {other, insert}, 2, "a=1 o=x k=v"},
        {"k=1", {{0}}, 0, "k=1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(buf_fini) struct buf before = {0}, after = {0}, got = {0};
        put_request(&before, cases[i].before);
        put_request(&after, cases[i].after);
        stamp_bytes(cases[i].rules, cases[i].count, buf_bytes(&before), &got);
        if (!bytes_equal(buf_bytes(&got), buf_bytes(&after)))
            fail_msg("case %zu", i);
    }
}

static void test_makes_one_resource_of_several(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"k", "v", STAMP_UPSERT}};
    AUTO(buf_fini) struct buf first = {0}, second = {0}, x = {0}, request = {0}, want = {0};
    AUTO(buf_fini) struct buf got = {0};

    put_attribute(&first, "k", "1");
    put_attribute(&first, "a", "2");
    put_attribute(&second, "b", "3");
    put_attribute(&second, "k", "4");
    put_field(&x, 3, BYTES_LITERAL("url"));
    put_field(&x, 1, buf_bytes(&first));
    put_field(&x, 2, BYTES_LITERAL(""));
    put_field(&x, 1, buf_bytes(&second));
    put_field(&x, 99, BYTES_LITERAL("?"));
    put_field(&request, 1, buf_bytes(&x));
    stamp_bytes(rules, 1, buf_bytes(&request), &got);

    AUTO(buf_fini) struct buf merged = {0}, want_x = {0};
    put_attribute(&merged, "a", "2");
    put_attribute(&merged, "b", "3");
    put_attribute(&merged, "k", "v");
    put_field(&want_x, 3, BYTES_LITERAL("url"));
    put_field(&want_x, 1, buf_bytes(&merged));
    put_field(&want_x, 2, BYTES_LITERAL(""));
    put_field(&want_x, 99, BYTES_LITERAL("?"));
    put_field(&want, 1, buf_bytes(&want_x));
    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
}

static void test_takes_the_last_key_of_an_attribute_that_has_several(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"k", NULL, STAMP_DELETE}};
    static const uint8_t odd[] = {0x0a, 10, 0x0a, 8, 0x0a, 6, 0x0a, 1, 'x', 0x0a, 1, 'k'};
    static const uint8_t want[] = {0x0a, 2, 0x0a, 0};
    AUTO(buf_fini) struct buf got = {0};

    stamp_bytes(rules, 1, (struct bytes){odd, sizeof odd}, &got);
    assert_true(bytes_equal(buf_bytes(&got), (struct bytes){want, sizeof want}));
}

static void test_gives_back_the_input_itself_when_nothing_changes(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"zz", NULL, STAMP_DELETE}, {"a", "9", STAMP_INSERT}};
    AUTO(stamp_destroy) struct stamp *none = NULL, *idle = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf request = {0};

    put_request(&request, "a=1");
    put_request(&request, "a=2 b=3");
    assert_ok(stamp_create(NULL, 0, &none, NULL));
    assert_ok(stamp_create(rules, 2, &idle, NULL));
    assert_ok(stamp_apply(none, buf_bytes(&request), SIZE_MAX, &slices, NULL));
    assert_int_equal(slices.count, 1);
    assert_ptr_equal(slices.list[0].data, request.data);
    assert_ok(stamp_apply(idle, buf_bytes(&request), SIZE_MAX, &slices, NULL));
    assert_int_equal(slices.count, 1);
    assert_ptr_equal(slices.list[0].data, request.data);
    assert_int_equal(slices.list[0].len, request.len);
}

static void test_keeps_to_the_size_it_is_given(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"key", "a longer value", STAMP_INSERT}};
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf request = {0};
    struct error error = {0};

    for (int i = 0; i < 1000; i++)
        put_field(&request, 1, (struct bytes){0});
    assert_ok(stamp_create(rules, 1, &stamp, NULL));
    assert_ok(stamp_apply(stamp, buf_bytes(&request), SIZE_MAX, &slices, &error));
    size_t size = slices.size_bytes;
    assert_true(size > request.len);
    assert_ok(stamp_apply(stamp, buf_bytes(&request), size, &slices, &error));
    assert_int_equal(stamp_apply(stamp, buf_bytes(&request), size - 1, &slices, &error), ERR_FULL);
    assert_non_null(strstr(error.text, "above"));
}

static void test_keeps_the_list_of_slices_short(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"key", "value", STAMP_INSERT}};
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf resource = {0}, x = {0}, request = {0}, stamped = {0};
    struct otlp_summary summary;
    char value[33] = "a value that is too long to copy";

    put_attribute(&resource, "k1", value);
    put_attribute(&resource, "k2", value);
    put_field(&x, 1, buf_bytes(&resource));
    for (int i = 0; i < STAMP_SLICES_MAX; i++)
        put_field(&request, 1, buf_bytes(&x));
    assert_ok(stamp_create(rules, 1, &stamp, NULL));
    assert_ok(stamp_apply(stamp, buf_bytes(&request), SIZE_MAX, &slices, NULL));
    assert_in_range(slices.count, 1, STAMP_SLICES_MAX);
    assert_ok(otlp_slices_append_to(&slices, &stamped));
    assert_ok(otlp_walk(SIGNAL_LOGS, buf_bytes(&stamped), NULL, &summary, NULL));
    assert_int_equal(summary.resources, STAMP_SLICES_MAX);
}

/* ---- whatever comes */

static void check_resource(struct bytes before, struct bytes after)
{
    static struct attribute old[ATTRIBUTES_MAX], new[ATTRIBUTES_MAX];
    size_t old_count = read_attributes(before, old), new_count = read_attributes(after, new);

    bool had = count_key(old, old_count, "checkout") > 0;
    assert_int_equal(count_key(new, new_count, "checkout"), had ? 1 : 0);
    assert_int_equal(has(new, new_count, "checkout", "up"), had);
    had = count_key(old, old_count, "k") > 0;
    assert_int_equal(count_key(new, new_count, "k"), had ? count_key(old, old_count, "k") : 1);
    assert_true(had || has(new, new_count, "k", "ins"));
    assert_int_equal(count_key(new, new_count, "service.name"), 1);
    assert_true(has(new, new_count, "service.name", "ups"));
    assert_int_equal(count_key(new, new_count, "GET"), 0);

    /* all others are still there, in their order */
    static const char *const keys[] = {"checkout", "k", "service.name", "GET"};
    size_t at = 0;
    for (size_t i = 0; i < old_count; i++) {
        bool named = false;
        for (size_t k = 0; k < 4; k++)
            named |= is_key(&old[i], keys[k]);
        if (named)
            continue;
        while (at < new_count &&
               !(bytes_equal(new[at].key, old[i].key) && bytes_equal(new[at].value, old[i].value)))
            at++;
        assert_true(at < new_count);
        at++;
    }
}

/* Everything but the Resource fields. */
static void put_rest(struct bytes resource_x, struct buf *out)
{
    struct wire_field field;

    while (resource_x.len > 0) {
        assert_true(wire_next(&resource_x, &field));
        if (field.number != 1)
            assert_ok(buf_append(out, field.whole));
    }
}

static void test_stamps_whatever_is_valid(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"checkout", "up", STAMP_UPDATE},
                                              {"k", "ins", STAMP_INSERT},
                                              {"service.name", "ups", STAMP_UPSERT},
                                              {"GET", NULL, STAMP_DELETE}};
    for (unsigned round = 0; round < ROUNDS; round++) {
        AUTO(buf_fini) struct buf request = {0}, stamped = {0};
        struct otlp_random random = {.state = round, .odd = round % 2, .list_max = 8};
        enum signal signal = round % SIGNAL_COUNT;
        struct otlp_summary before, after;
        struct wire_field old, new;

        otlp_random_request(&random, signal, &request);
        stamp_bytes(rules, 4, buf_bytes(&request), &stamped);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &before, NULL));
        assert_ok(otlp_walk(signal, buf_bytes(&stamped), NULL, &after, NULL));
        assert_int_equal(before.items, after.items);
        assert_int_equal(before.resources, after.resources);
        assert_int_equal(before.scopes, after.scopes);

        struct bytes old_rest = buf_bytes(&request), new_rest = buf_bytes(&stamped);
        while (old_rest.len > 0) {
            assert_true(wire_next(&old_rest, &old));
            assert_true(wire_next(&new_rest, &new));
            assert_int_equal(old.number, new.number);
            if (old.number != 1) {
                assert_true(bytes_equal(old.whole, new.whole));
                continue;
            }
            AUTO(buf_fini) struct buf old_other = {0}, new_other = {0};
            check_resource(old.payload, new.payload);
            put_rest(old.payload, &old_other);
            put_rest(new.payload, &new_other);
            assert_true(bytes_equal(buf_bytes(&old_other), buf_bytes(&new_other)));
        }
        assert_int_equal(new_rest.len, 0);
    }
}

static void test_never_reads_outside_a_request_that_was_not_walked(void **state)
{
    (void)state;
    static const struct stamp_rule rules[] = {{"k", "v", STAMP_UPSERT}};
    AUTO(stamp_destroy) struct stamp *stamp = NULL;
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};
    AUTO(buf_fini) struct buf request = {0};
    struct error error = {0};

    put_request(&request, "a=1 k=2");
    assert_ok(stamp_create(rules, 1, &stamp, NULL));
    for (size_t len = 1; len < request.len; len++) {
        uint8_t *exact = malloc(len);
        memcpy(exact, request.data, len);
        assert_int_equal(stamp_apply(stamp, (struct bytes){exact, len}, SIZE_MAX, &slices, &error),
                         ERR_INVALID);
        free(exact);
    }
    assert_string_equal(error.text, "stamp: the OTLP request is malformed");
}

/* ---- plans */

static void test_refuses_rules_that_make_no_sense(void **state)
{
    (void)state;
    static const struct {
        struct stamp_rule rule;
        const char *says;
    } cases[] = {
        {{NULL, "v", STAMP_INSERT}, "resource attribute 0: the key is empty"},
        {{"", "v", STAMP_DELETE}, "resource attribute 0: the key is empty"},
        {{"\xff", "v", STAMP_INSERT}, "resource attribute 0: the key is not UTF-8"},
        {{"k", NULL, STAMP_UPSERT}, "resource attribute 'k': has no value"},
        {{"k", "\xc3", STAMP_UPSERT}, "resource attribute 'k': value is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stamp *stamp = NULL;
        struct error error = {0};
        assert_int_equal(stamp_create(&cases[i].rule, 1, &stamp, &error), ERR_INVALID);
        assert_string_equal(error.text, cases[i].says);
        assert_null(stamp);
    }
}

static void test_bounds_its_plans(void **state)
{
    (void)state;
    static char names[STAMP_KEYS_MAX + 1][8], big[STAMP_BYTES_MAX + 1];
    struct stamp_rule rules[STAMP_KEYS_MAX + 1];
    struct stamp *stamp = NULL;
    struct error error = {0};

    for (size_t i = 0; i <= STAMP_KEYS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "k%zu", i);
        rules[i] = (struct stamp_rule){names[i], "v", STAMP_INSERT};
    }
    assert_int_equal(stamp_create(rules, STAMP_KEYS_MAX + 1, &stamp, &error), ERR_INVALID);
    assert_string_equal(error.text, "resource attributes: more than 64 keys, at 'k64'");
    assert_ok(stamp_create(rules, STAMP_KEYS_MAX, &stamp, &error));
    stamp_destroy(&stamp);
    assert_null(stamp);

    memset(big, 'x', STAMP_BYTES_MAX);
    rules[0] = (struct stamp_rule){"k", big, STAMP_INSERT};
    assert_int_equal(stamp_create(rules, 1, &stamp, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "65537 bytes, at most 65536"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows_its_rules_in_their_order),
        cmocka_unit_test(test_makes_one_resource_of_several),
        cmocka_unit_test(test_takes_the_last_key_of_an_attribute_that_has_several),
        cmocka_unit_test(test_gives_back_the_input_itself_when_nothing_changes),
        cmocka_unit_test(test_keeps_to_the_size_it_is_given),
        cmocka_unit_test(test_keeps_the_list_of_slices_short),
        cmocka_unit_test(test_stamps_whatever_is_valid),
        cmocka_unit_test(test_never_reads_outside_a_request_that_was_not_walked),
        cmocka_unit_test(test_refuses_rules_that_make_no_sense),
        cmocka_unit_test(test_bounds_its_plans),
    };
    return cmocka_run_group_tests_name("stamp", tests, NULL, NULL);
}
