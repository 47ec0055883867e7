#include "tests/support/numbered.h"

#include "common/endian.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/test.h"

#include <string.h>

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[2 * WIRE_LEN_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    assert_ok(buf_append(out, (struct bytes){head, len}));
    assert_ok(buf_append(out, payload));
}

static void put_record(struct buf *out, uint64_t number, size_t padding, bool traced)
{
    AUTO(buf_fini) struct buf record = {0}, body = {0}, text = {0};
    uint8_t time[9] = {WIRE_TAG(1, WIRE_FIXED64)};

    wire_put_fixed64(time + 1, number);
    assert_ok(buf_append(&record, (struct bytes){time, sizeof time}));
    for (size_t i = 0; i < padding; i++)
        assert_ok(buf_append_byte(&text, (uint8_t)('a' + (number + i) % 26)));
    if (padding > 0) {
        put_field(&body, 1, buf_bytes(&text));   /* AnyValue.string_value */
        put_field(&record, 5, buf_bytes(&body)); /* LogRecord.body */
    }
    if (traced) {
        uint8_t id[16] = {[15] = 1};
        put_le64(id, number);
        put_field(&record, 9, (struct bytes){id, sizeof id}); /* LogRecord.trace_id */
    }
    put_field(out, 2, buf_bytes(&record));
}

static void put_request(uint64_t first, unsigned count, size_t padding, bool traced,
                        struct buf *out)
{
    AUTO(buf_fini) struct buf scope = {0}, resource = {0};

    for (unsigned i = 0; i < count; i++)
        put_record(&scope, first + i, padding, traced);
    put_field(&resource, 2, buf_bytes(&scope));
    put_field(out, 1, buf_bytes(&resource));
}

void numbered_request(uint64_t first, unsigned count, size_t padding, struct buf *out)
{
    put_request(first, count, padding, false, out);
}

void numbered_traces(uint64_t first, unsigned count, struct buf *out)
{
    put_request(first, count, 0, true, out);
}

static void visit_level(struct bytes rest, int level, void (*visit)(void *context, uint64_t number),
                        void *context)
{
    static const uint32_t children[] = {1, 2, 2};
    struct wire_field field;

    while (rest.len > 0) {
        assert_true(wire_next(&rest, &field));
        if (level == 3 && field.tag == WIRE_TAG(1, WIRE_FIXED64))
            visit(context, field.value);
        else if (level < 3 && field.tag == WIRE_TAG(children[level], WIRE_LEN))
            visit_level(field.payload, level + 1, visit, context);
    }
}

void numbered_visit(struct bytes request, void (*visit)(void *context, uint64_t number),
                    void *context)
{
    visit_level(request, 0, visit, context);
}
