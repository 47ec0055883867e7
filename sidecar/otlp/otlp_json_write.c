/* Fields come in any order and lists may be scattered over their message, so a message is looked
 * over once to see what is there, from where to where, and then each field is written from its own
 * stretch: with the orders that are usual, every byte is looked at twice. A singular message that
 * comes more than once is put together first, for one behind the other is one, merged.
 */
#include "sidecar/otlp/otlp_json.h"

#include "common/assert.h"
#include "common/base64.h"
#include "sidecar/otlp/schema.h"
#include "sidecar/otlp/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_TEXT = 40 };

struct writer {
    struct buf *out;
    struct error *error;
};

static enum err put(struct writer *writer, const char *text)
{
    return buf_append_text(writer->out, text);
}

static enum err put_quoted(struct writer *writer, struct bytes text)
{
    struct buf *out = writer->out;

    enum err err = buf_reserve(out, text.len + 2);
    if (err)
        return err;
    out->data[out->len++] = '"';
    if (text.len > 0)
        memcpy(out->data + out->len, text.data, text.len);
    out->len += text.len;
    out->data[out->len++] = '"';
    return OK;
}

/* A number in decimal, in quotes or not. */
static enum err put_decimal(struct writer *writer, bool negative, uint64_t value, bool quoted)
{
    uint8_t text[NUMBER_TEXT], *end = text + sizeof text, *at = end;

    do {
        *--at = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (negative)
        *--at = '-';
    struct bytes digits = {at, (size_t)(end - at)};
    return quoted ? put_quoted(writer, digits) : buf_append(writer->out, digits);
}

/* Characters of a string that can stand as they are, from `at` on. */
static size_t plain_run(struct bytes text, size_t at)
{
    size_t from = at;

    while (at < text.len && text.data[at] >= 0x20 && text.data[at] != '"' && text.data[at] != '\\')
        at++;
    return at - from;
}

static enum err put_escape(struct writer *writer, uint8_t c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *at = c != 0 ? strchr(plain, c) : NULL;

    return at != NULL ? buf_printf(writer->out, "\\%c", letters[at - plain])
                      : buf_printf(writer->out, "\\u%04x", c);
}

static enum err put_string(struct writer *writer, struct bytes text)
{
    size_t at = plain_run(text, 0);

    enum err err = put_quoted(writer, (struct bytes){text.data, at});
    if (err || at == text.len)
        return err;
    writer->out->len--; /* not yet */
    while (err == OK && at < text.len) {
        err = put_escape(writer, text.data[at++]);
        size_t run = plain_run(text, at);
        if (err == OK)
            err = buf_append(writer->out, (struct bytes){text.data + at, run});
        at += run;
    }
    return err ? err : buf_append_byte(writer->out, '"');
}

static enum err put_hex(struct writer *writer, struct bytes data)
{
    static const char digits[] = "0123456789abcdef";

    enum err err = buf_reserve(writer->out, 2 * data.len + 2);
    if (err)
        return err;
    uint8_t *to = writer->out->data + writer->out->len;
    *to++ = '"';
    for (size_t i = 0; i < data.len; i++) {
        *to++ = (uint8_t)digits[data.data[i] >> 4];
        *to++ = (uint8_t)digits[data.data[i] & 15];
    }
    *to++ = '"';
    writer->out->len = (size_t)(to - writer->out->data);
    return OK;
}

static enum err put_base64(struct writer *writer, struct bytes data)
{
    enum err err = buf_append_byte(writer->out, '"');
    if (!err)
        err = base64_encode(data, writer->out);
    return err ? err : buf_append_byte(writer->out, '"');
}

/* As few digits as read back to the same number. */
static enum err put_double(struct writer *writer, uint64_t bits)
{
    char text[NUMBER_TEXT];
    double value;

    memcpy(&value, &bits, sizeof value);
    if (isnan(value))
        return put(writer, "\"NaN\"");
    if (isinf(value))
        return put(writer, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    if (bits == UINT64_C(1) << 63)
        return put(writer, "-0.0"); /* "-0" is the whole number 0 to some */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return put(writer, text);
}

/* The value of a number as its type has it: what is beyond it is cut off, as protobuf does. */
static uint64_t narrow(enum otlp_kind kind, uint64_t bits)
{
    switch (kind) {
    case OTLP_KIND_BOOL:
        return bits != 0;
    case OTLP_KIND_ENUM:
    case OTLP_KIND_INT32:
        return (uint64_t)(int64_t)(int32_t)bits;
    case OTLP_KIND_UINT32:
        return (uint32_t)bits;
    case OTLP_KIND_SINT32:
        return (uint64_t)(int64_t)(int32_t)(((uint32_t)bits >> 1) ^ (0 - ((uint32_t)bits & 1)));
    case OTLP_KIND_MESSAGE:
    case OTLP_KIND_STRING:
    case OTLP_KIND_BYTES:
    case OTLP_KIND_TRACE_ID:
    case OTLP_KIND_SPAN_ID:
    case OTLP_KIND_INT64:
    case OTLP_KIND_UINT64:
    case OTLP_KIND_FIXED32:
    case OTLP_KIND_FIXED64:
    case OTLP_KIND_SFIXED64:
    case OTLP_KIND_DOUBLE:
        break;
    }
    return bits;
}

static enum err put_number(struct writer *writer, enum otlp_kind kind, uint64_t bits)
{
    uint64_t absolute = (int64_t)bits < 0 ? 0 - bits : bits;

    switch (kind) {
    case OTLP_KIND_BOOL:
        return put(writer, bits != 0 ? "true" : "false");
    case OTLP_KIND_DOUBLE:
        return put_double(writer, bits);
    case OTLP_KIND_INT64:
    case OTLP_KIND_SFIXED64:
        return put_decimal(writer, (int64_t)bits < 0, absolute, true);
    case OTLP_KIND_UINT64:
    case OTLP_KIND_FIXED64:
        return put_decimal(writer, false, bits, true);
    case OTLP_KIND_ENUM:
    case OTLP_KIND_INT32:
    case OTLP_KIND_SINT32:
        return put_decimal(writer, (int64_t)bits < 0, absolute, false);
    case OTLP_KIND_UINT32:
    case OTLP_KIND_FIXED32:
        return put_decimal(writer, false, bits, false);
    case OTLP_KIND_MESSAGE:
    case OTLP_KIND_STRING:
    case OTLP_KIND_BYTES:
    case OTLP_KIND_TRACE_ID:
    case OTLP_KIND_SPAN_ID:
        ASSERT(kind == OTLP_KIND_INT64);
    }
    return OK;
}

/* ---- messages */

static enum err write_message(struct writer *writer, enum otlp_message_id id, struct bytes message,
                              uint32_t depth);

static enum err malformed(struct writer *writer)
{
    return error_set(writer->error, ERR_INVALID, "the OTLP request is malformed");
}

static enum err put_value(struct writer *writer, const struct otlp_field *known,
                          const struct wire_field *field, uint32_t depth)
{
    switch (known->kind) {
    case OTLP_KIND_MESSAGE:
        return write_message(writer, known->child, field->payload, depth + 1);
    case OTLP_KIND_STRING:
        return put_string(writer, field->payload);
    case OTLP_KIND_BYTES:
        return put_base64(writer, field->payload);
    case OTLP_KIND_TRACE_ID:
    case OTLP_KIND_SPAN_ID:
        return put_hex(writer, field->payload);
    case OTLP_KIND_BOOL:
    case OTLP_KIND_ENUM:
    case OTLP_KIND_INT32:
    case OTLP_KIND_UINT32:
    case OTLP_KIND_SINT32:
    case OTLP_KIND_INT64:
    case OTLP_KIND_UINT64:
    case OTLP_KIND_FIXED32:
    case OTLP_KIND_FIXED64:
    case OTLP_KIND_SFIXED64:
    case OTLP_KIND_DOUBLE:
        break;
    }
    return put_number(writer, known->kind, narrow(known->kind, field->value));
}

/* Where the occurrences of a field are, from the first that counts to the end of the last. */
struct stretch {
    struct bytes bytes;
    uint32_t count;
};

static bool is_packed(const struct otlp_field *known, const struct wire_field *field)
{
    return known->rule == OTLP_RULE_PACKED && field->type == WIRE_LEN;
}

static bool survey(enum otlp_message_id id, struct bytes message,
                   struct stretch stretches[OTLP_FIELDS_MAX])
{
    const struct otlp_message *table = &otlp_messages[id];
    struct stretch *alternative = NULL;
    struct wire_field field;

    while (message.len > 0) {
        if (!wire_next(&message, &field))
            return false;
        const struct otlp_field *known = otlp_field_by_number(id, field.number);
        if (known == NULL)
            continue;
        if (field.type != otlp_kind_wire(known->kind) && !is_packed(known, &field))
            return false;
        struct stretch *stretch = &stretches[known - table->fields];
        if (known->rule == OTLP_RULE_ALT) { /* the last one holds */
            if (alternative != NULL && alternative != stretch)
                *alternative = (struct stretch){0};
            alternative = stretch;
        }
        if (stretch->count == 0)
            stretch->bytes.data = field.whole.data;
        stretch->count++;
        stretch->bytes.len = (size_t)(field.whole.data + field.whole.len - stretch->bytes.data);
    }
    return true;
}

/* The next occurrence of a field in its stretch, which holds one. */
static void next_of(struct bytes *rest, uint32_t number, struct wire_field *ret_field)
{
    do {
        bool whole = wire_next(rest, ret_field);
        ASSERT(whole);
    } while (ret_field->number != number);
}

static enum err put_packed(struct writer *writer, const struct otlp_field *known, struct bytes list,
                           bool *more)
{
    const uint8_t *at = list.data, *end = at + list.len;
    bool fixed = otlp_kind_wire(known->kind) == WIRE_FIXED64;

    while (at < end) {
        uint64_t bits = 0;
        if (fixed ? end - at < 8 : !wire_varint(&at, end, &bits))
            return malformed(writer);
        if (fixed) {
            bits = wire_get_fixed64(at);
            at += 8;
        }
        enum err err = *more ? put(writer, ",") : OK;
        if (err == OK)
            err = put_number(writer, known->kind, bits);
        if (err)
            return err;
        *more = true;
    }
    return OK;
}

static enum err put_list(struct writer *writer, const struct otlp_field *known,
                         const struct stretch *stretch, uint32_t depth)
{
    struct bytes rest = stretch->bytes;
    struct wire_field field;
    bool more = false;

    enum err err = put(writer, "[");
    for (uint32_t i = 0; err == OK && i < stretch->count; i++) {
        next_of(&rest, known->number, &field);
        if (is_packed(known, &field)) {
            err = put_packed(writer, known, field.payload, &more);
            continue;
        }
        if (more)
            err = put(writer, ",");
        more = true;
        if (err == OK)
            err = put_value(writer, known, &field, depth);
    }
    return err ? err : put(writer, "]");
}

/* The one value that all occurrences of a singular field amount to; `merged` owns what it has to
 * put together. */
static enum err last_of(const struct otlp_field *known, const struct stretch *stretch,
                        struct buf *merged, struct wire_field *ret_field)
{
    struct bytes rest = stretch->bytes;

    for (uint32_t i = 0; i < stretch->count; i++) {
        next_of(&rest, known->number, ret_field);
        if (known->kind != OTLP_KIND_MESSAGE || stretch->count == 1)
            continue;
        enum err err = buf_append(merged, ret_field->payload);
        if (err)
            return err;
    }
    if (merged->len > 0)
        ret_field->payload = buf_bytes(merged);
    return OK;
}

static bool is_absent(const struct otlp_field *known, const struct wire_field *field)
{
    if (known->rule != OTLP_RULE_ONE || known->kind == OTLP_KIND_MESSAGE)
        return false;
    return field->type == WIRE_LEN ? field->payload.len == 0
                                   : narrow(known->kind, field->value) == 0;
}

static enum err write_field(struct writer *writer, const struct otlp_field *known,
                            const struct stretch *stretch, uint32_t depth, bool *more)
{
    bool list = known->rule == OTLP_RULE_MANY || known->rule == OTLP_RULE_PACKED;
    AUTO(buf_fini) struct buf merged = {0};
    struct wire_field field = {0};

    if (!list) {
        enum err err = last_of(known, stretch, &merged, &field);
        if (err || is_absent(known, &field))
            return err;
    }
    enum err err = *more ? buf_append_byte(writer->out, ',') : OK;
    if (err == OK)
        err = put_quoted(writer, (struct bytes){(const uint8_t *)known->name, known->name_len});
    if (err == OK)
        err = buf_append_byte(writer->out, ':');
    *more = true;
    if (err)
        return err;
    return list ? put_list(writer, known, stretch, depth) : put_value(writer, known, &field, depth);
}

static enum err write_message(struct writer *writer, enum otlp_message_id id, struct bytes message,
                              uint32_t depth)
{
    const struct otlp_message *table = &otlp_messages[id];
    struct stretch stretches[OTLP_FIELDS_MAX] = {{{0}, 0}};
    bool more = false;

    if (depth > OTLP_DEPTH_MAX || !survey(id, message, stretches))
        return malformed(writer);
    enum err err = put(writer, "{");
    for (size_t i = 0; err == OK && i < table->field_count; i++) {
        if (stretches[i].count > 0)
            err = write_field(writer, &table->fields[i], &stretches[i], depth, &more);
    }
    return err ? err : put(writer, "}");
}

enum err otlp_json_write(enum signal signal, struct bytes request, struct buf *out,
                         struct error *error)
{
    struct writer writer = {.out = out, .error = error};
    size_t before = out->len;

    enum err err = write_message(&writer, otlp_request_id(signal), request, 1);
    if (err)
        out->len = before;
    if (err && err != ERR_INVALID)
        return error_set(error, err, "OTLP/JSON becomes too big: %s", err_name(err));
    return err;
}
