/* Our tables of OTLP are those of its .proto files. */
// link: tests/support/golden.c
#include "sidecar/otlp/schema.h"

#include "tests/support/golden.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINES_MAX = 256, LINE_MAX_BYTES = 160 };

static const char *const kinds[] = {
#define K(kind, wire, name) [OTLP_KIND_##kind] = (name),
    OTLP_KINDS(K)
#undef K
};

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_is_what_protobuf_says(void **state)
{
    (void)state;
    static const char *const rules[] = {"one", "opt", "alt", "many", "packed"};
    static char lines[LINES_MAX][LINE_MAX_BYTES];
    AUTO(buf_fini) struct buf want = {0}, got = {0};
    size_t count = 0;

    for (size_t m = 0; m < OTLP_MESSAGE_COUNT; m++) {
        const struct otlp_message *message = &otlp_messages[m];
        for (size_t i = 0; i < message->field_count; i++) {
            const struct otlp_field *field = &message->fields[i];
            assert_true(count < LINES_MAX);
            snprintf(lines[count++], LINE_MAX_BYTES, "%s %u %s %s %s %s\n", message->name,
                     field->number, field->name, kinds[field->kind], rules[field->rule],
                     field->child == OTLP_NONE ? "-" : otlp_messages[field->child].name);
        }
    }
    qsort(lines, count, sizeof lines[0], by_text);
    for (size_t i = 0; i < count; i++)
        assert_ok(buf_append_text(&got, lines[i]));
    assert_true(golden_read("tests/golden/otlp/schema.txt", &want));
    assert_string_equal(buf_text(&got), buf_text(&want));
}

static void test_finds_fields_by_number_and_by_name(void **state)
{
    (void)state;
    for (unsigned m = 0; m < OTLP_MESSAGE_COUNT; m++) {
        const struct otlp_message *message = &otlp_messages[m];
        for (size_t i = 0; i < message->field_count; i++) {
            const struct otlp_field *field = &message->fields[i];
            struct bytes name = {(const uint8_t *)field->name, strlen(field->name)};
            assert_ptr_equal(otlp_field_by_number(m, field->number), field);
            assert_ptr_equal(otlp_field_by_name(m, name), field);
            name.len--;
            assert_ptr_not_equal(otlp_field_by_name(m, name), field);
        }
        assert_null(otlp_field_by_number(m, 0));
        assert_null(otlp_field_by_number(m, 1000));
    }
}

static void test_writes_names_as_the_proto_files_do(void **state)
{
    (void)state;
    char snake[OTLP_SNAKE_MAX], cut[5];
    const struct otlp_field *field = otlp_field_by_number(OTLP_LOG_RECORD, 11);

    assert_string_equal(otlp_field_snake(field, snake, sizeof snake), "observed_time_unix_nano");
    assert_true(strlen(otlp_field_snake(field, cut, sizeof cut)) < sizeof cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_what_protobuf_says),
        cmocka_unit_test(test_finds_fields_by_number_and_by_name),
        cmocka_unit_test(test_writes_names_as_the_proto_files_do),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
