/* A recursion over the messages of schema.h. Protobuf wants a message's length in front of it, and
 * it is known behind it: room for a length of the usual size is left, and what follows is moved in
 * the rare case that another size was needed. Nested that deep, a byte moves at most as often as
 * messages are nested around it, which the depth limit bounds; most bytes never move.
 */
#include "sidecar/otlp/otlp_json.h"

#include "common/assert.h"
#include "common/utf8.h"
#include "sidecar/otlp/json_text.h"
#include "sidecar/otlp/json_value.h"
#include "sidecar/otlp/schema.h"
#include "sidecar/otlp/wire.h"

#include <stdio.h>

struct reader {
    struct json_text text;
    const uint8_t *start;
    uint32_t depth_max;
    struct buf *out;
    struct buf scratch;                    /* a string whose escapes are undone */
    uint8_t len_sizes[OTLP_MESSAGE_COUNT]; /* what the last one's length took */
    struct error *error;
};

/* Where the reader is: a list on the stack, for the path in an error. */
struct place {
    const struct place *up;
    const struct otlp_field *field;
    uint32_t index; /* of a list's element */
};

static void reader_fini(struct reader *reader)
{
    buf_fini(&reader->scratch);
}

/* ---- errors */

static size_t put_path(const struct place *place, char *path, size_t size)
{
    size_t used = place->up != NULL ? put_path(place->up, path, size) : 0;

    if (place->field == NULL || used + place->field->name_len + 16 > size)
        return used;
    used +=
        (size_t)snprintf(path + used, size - used, "%s%s", used > 0 ? "." : "", place->field->name);
    if (place->field->rule == OTLP_RULE_MANY || place->field->rule == OTLP_RULE_PACKED)
        used += (size_t)snprintf(path + used, size - used, "[%u]", place->index);
    return used;
}

static enum err fault_at(struct reader *reader, const struct place *place, const char *what,
                         const uint8_t *at)
{
    char path[320] = "";

    if (reader->error == NULL)
        return ERR_INVALID;
    put_path(place, path, sizeof path);
    return error_set(reader->error, ERR_INVALID, "%s: %s at byte %zu",
                     path[0] != '\0' ? path : "OTLP/JSON request", what,
                     (size_t)(at - reader->start));
}

/* Whole JSON ends behind its last bracket: where nothing is left, it has ended too early. */
static enum err fault(struct reader *reader, const struct place *place, const char *what)
{
    json_text_peek(&reader->text);
    if (reader->text.at == reader->text.end)
        what = "the text ends too early";
    return fault_at(reader, place, what, reader->text.at);
}

static enum err no_room(struct reader *reader, enum err err)
{
    return error_set(reader->error, err, "OTLP/JSON request becomes too big: %s", err_name(err));
}

/* ---- writing */

static enum err reserve(struct reader *reader, size_t more)
{
    struct buf *out = reader->out;

    if (out->cap - out->len >= more)
        return OK;
    enum err err = buf_reserve(out, more);
    return err ? no_room(reader, err) : OK;
}

/* The functions below have room for it. */
static void put_varint(struct reader *reader, uint64_t value)
{
    struct buf *out = reader->out;
    out->len = (size_t)(wire_put_varint(out->data + out->len, value) - out->data);
}

static void put_tag(struct reader *reader, const struct otlp_field *field, enum wire_type type)
{
    put_varint(reader, WIRE_TAG(field->number, type));
}

/* Writes tag and a length to be filled in; *ret_body is where the payload starts. */
static enum err begin_len(struct reader *reader, const struct otlp_field *field, unsigned len_size,
                          size_t *ret_body)
{
    enum err err = reserve(reader, WIRE_HEAD_MAX);
    if (err)
        return err;
    put_tag(reader, field, WIRE_LEN);
    reader->out->len += len_size;
    *ret_body = reader->out->len;
    return OK;
}

static enum err end_len(struct reader *reader, size_t body, unsigned len_size, unsigned *ret_size)
{
    struct buf *out = reader->out;
    size_t len = out->len - body;
    unsigned need = (unsigned)wire_varint_size(len);

    if (need > len_size) {
        enum err err = reserve(reader, need - len_size);
        if (err)
            return err;
    }
    if (need != len_size) {
        memmove(out->data + body - len_size + need, out->data + body, len);
        out->len = out->len - len_size + need;
    }
    wire_put_varint(out->data + body - len_size, len);
    *ret_size = need;
    return OK;
}

/* ---- strings */

/* The characters of the string that is next; a view of the text or of the scratch. */
static enum err read_text(struct reader *reader, const struct place *place, struct bytes *ret_text)
{
    struct json_string string;

    const char *what = json_text_string(&reader->text, &string);
    if (what != NULL)
        return fault(reader, place, what);
    *ret_text = string.raw;
    if (!string.escaped)
        return OK;
    buf_clear(&reader->scratch);
    enum err err = buf_reserve(&reader->scratch, string.raw.len);
    if (err)
        return no_room(reader, err);
    uint8_t *end = json_text_unescape(string.raw, reader->scratch.data);
    *ret_text = (struct bytes){reader->scratch.data, (size_t)(end - reader->scratch.data)};
    return OK;
}

static bool is_implicit(const struct otlp_field *field)
{
    return field->rule == OTLP_RULE_ONE;
}

typedef const char *decode_fn(struct bytes text, uint8_t *to, uint8_t **ret_end);

static const char *decode_string(struct bytes text, uint8_t *to, uint8_t **ret_end)
{
    memcpy(to, text.data, text.len);
    *ret_end = to + text.len;
    return NULL;
}

static const char *decode_trace_id(struct bytes text, uint8_t *to, uint8_t **ret_end)
{
    const char *what = json_value_hex(text, to, ret_end);
    return what != NULL || *ret_end - to == 16 ? what : "a trace id has 32 hex digits";
}

static const char *decode_span_id(struct bytes text, uint8_t *to, uint8_t **ret_end)
{
    const char *what = json_value_hex(text, to, ret_end);
    return what != NULL || *ret_end - to == 8 ? what : "a span id has 16 hex digits";
}

static enum err read_bytes(struct reader *reader, const struct otlp_field *field,
                           const struct place *place, decode_fn *decode)
{
    struct bytes text = {0};
    size_t body = 0;
    uint8_t *end = NULL;

    json_text_peek(&reader->text);
    const uint8_t *start = reader->text.at;
    enum err err = read_text(reader, place, &text);
    if (err)
        return err;
    if (text.len == 0 && is_implicit(field))
        return OK;
    unsigned len_size = (unsigned)wire_varint_size(text.len);
    err = reserve(reader, WIRE_HEAD_MAX + text.len);
    if (err == OK)
        err = begin_len(reader, field, len_size, &body);
    if (err)
        return err;
    if (text.len == 0) {
        end = reader->out->data + body;
    } else {
        const char *what = decode(text, reader->out->data + body, &end);
        if (what != NULL)
            return fault_at(reader, place, what, start);
    }
    reader->out->len = (size_t)(end - reader->out->data);
    return end_len(reader, body, len_size, &len_size);
}

/* ---- numbers */

/* The characters of a number, which may be in quotes. */
static enum err read_number(struct reader *reader, const struct place *place,
                            struct bytes *ret_text)
{
    struct json_number number;

    if (json_text_peek(&reader->text) == '"')
        return read_text(reader, place, ret_text);
    const char *what = json_text_number(&reader->text, &number);
    if (what != NULL)
        return fault(reader, place, what);
    *ret_text = number.raw;
    return OK;
}

static const char *parse_number(enum otlp_kind kind, struct bytes text, uint64_t *ret_bits)
{
    int64_t value = 0;
    double real = 0;
    const char *what = NULL;

    switch (kind) {
    case OTLP_KIND_ENUM:
    case OTLP_KIND_INT32:
    case OTLP_KIND_SINT32:
        what = json_value_int(text, INT32_MIN, INT32_MAX, &value);
        break;
    case OTLP_KIND_INT64:
    case OTLP_KIND_SFIXED64:
        what = json_value_int(text, INT64_MIN, INT64_MAX, &value);
        break;
    case OTLP_KIND_UINT32:
    case OTLP_KIND_FIXED32:
        return json_value_uint(text, UINT32_MAX, ret_bits);
    case OTLP_KIND_UINT64:
    case OTLP_KIND_FIXED64:
        return json_value_uint(text, UINT64_MAX, ret_bits);
    case OTLP_KIND_DOUBLE:
        what = json_value_double(text, &real);
        memcpy(&value, &real, sizeof value);
        break;
    case OTLP_KIND_MESSAGE:
    case OTLP_KIND_STRING:
    case OTLP_KIND_BYTES:
    case OTLP_KIND_TRACE_ID:
    case OTLP_KIND_SPAN_ID:
    case OTLP_KIND_BOOL:
        ASSERT(kind == OTLP_KIND_INT64);
    }
    *ret_bits = (uint64_t)value;
    if (kind == OTLP_KIND_SINT32) /* zigzag */
        *ret_bits = (uint32_t)((uint32_t)value << 1) ^ (uint32_t)(value >> 63);
    return what;
}

/* A number in quotes, a name, or a name that a newer OTLP has, which counts as 0. */
static enum err read_enum_text(struct reader *reader, enum otlp_message_id id,
                               const struct otlp_field *field, const struct place *place,
                               uint64_t *ret_bits)
{
    struct bytes text = {0};
    int64_t value = 0;
    int32_t named = 0;

    const uint8_t *start = reader->text.at;
    enum err err = read_text(reader, place, &text);
    if (err)
        return err;
    if (text.len == 0)
        return fault_at(reader, place, "neither a number nor a name", start);
    if (json_value_int(text, INT32_MIN, INT32_MAX, &value) != NULL)
        value = otlp_enum_by_name(id, field, text, &named) ? named : 0;
    *ret_bits = (uint64_t)value;
    return OK;
}

static enum err read_bits(struct reader *reader, enum otlp_message_id id,
                          const struct otlp_field *field, const struct place *place,
                          uint64_t *ret_bits)
{
    struct bytes text = {0};

    uint8_t first = json_text_peek(&reader->text);
    const uint8_t *start = reader->text.at;
    if (field->kind == OTLP_KIND_BOOL) {
        *ret_bits = json_text_literal(&reader->text, "true");
        if (*ret_bits == 1 || json_text_literal(&reader->text, "false"))
            return OK;
        return fault(reader, place, "not true or false");
    }
    if (field->kind == OTLP_KIND_ENUM && first == '"')
        return read_enum_text(reader, id, field, place, ret_bits);
    enum err err = read_number(reader, place, &text);
    if (err)
        return err;
    const char *what = parse_number(field->kind, text, ret_bits);
    return what != NULL ? fault_at(reader, place, what, start) : OK;
}

/* Without a tag. */
static enum err put_bits(struct reader *reader, const struct otlp_field *field, uint64_t bits)
{
    struct buf *out = reader->out;

    enum err err = reserve(reader, WIRE_VARINT_MAX);
    if (err)
        return err;
    switch (otlp_kind_wire(field->kind)) {
    case WIRE_VARINT:
        put_varint(reader, bits);
        break;
    case WIRE_FIXED32:
        wire_put_fixed32(out->data + out->len, (uint32_t)bits);
        out->len += 4;
        break;
    case WIRE_FIXED64:
        wire_put_fixed64(out->data + out->len, bits);
        out->len += 8;
        break;
    case WIRE_LEN:
    case WIRE_GROUP:
    case WIRE_GROUP_END:
        ASSERT(otlp_kind_wire(field->kind) == WIRE_VARINT);
    }
    return OK;
}

static enum err read_scalar(struct reader *reader, enum otlp_message_id id,
                            const struct otlp_field *field, const struct place *place)
{
    uint64_t bits = 0;

    enum err err = read_bits(reader, id, field, place, &bits);
    if (err || (bits == 0 && is_implicit(field)))
        return err;
    err = reserve(reader, WIRE_VARINT_MAX);
    if (err)
        return err;
    put_tag(reader, field, otlp_kind_wire(field->kind));
    return put_bits(reader, field, bits);
}

/* ---- messages */

static enum err read_message(struct reader *reader, enum otlp_message_id id,
                             const struct place *place, uint32_t depth);

static enum err read_child(struct reader *reader, const struct otlp_field *field,
                           const struct place *place, uint32_t depth)
{
    unsigned len_size = reader->len_sizes[field->child];
    size_t body = 0;

    if (depth >= reader->depth_max)
        return fault(reader, place, "nested too deep");
    enum err err = begin_len(reader, field, len_size, &body);
    if (err == OK)
        err = read_message(reader, field->child, place, depth + 1);
    if (err == OK)
        err = end_len(reader, body, len_size, &len_size);
    reader->len_sizes[field->child] = (uint8_t)len_size;
    return err;
}

static enum err read_one(struct reader *reader, enum otlp_message_id id,
                         const struct otlp_field *field, const struct place *place, uint32_t depth)
{
    switch (field->kind) {
    case OTLP_KIND_MESSAGE:
        return read_child(reader, field, place, depth);
    case OTLP_KIND_STRING:
        return read_bytes(reader, field, place, decode_string);
    case OTLP_KIND_BYTES:
        return read_bytes(reader, field, place, json_value_base64);
    case OTLP_KIND_TRACE_ID:
        return read_bytes(reader, field, place, decode_trace_id);
    case OTLP_KIND_SPAN_ID:
        return read_bytes(reader, field, place, decode_span_id);
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
    return read_scalar(reader, id, field, place);
}

/* An element of a list of numbers, packed. */
static enum err read_packed(struct reader *reader, enum otlp_message_id id,
                            const struct otlp_field *field, const struct place *place)
{
    uint64_t bits = 0;

    enum err err = read_bits(reader, id, field, place, &bits);
    return err ? err : put_bits(reader, field, bits);
}

static enum err read_elements(struct reader *reader, enum otlp_message_id id,
                              const struct otlp_field *field, struct place *place, uint32_t depth)
{
    if (!json_text_take(&reader->text, '['))
        return fault(reader, place, "not a list");
    if (json_text_take(&reader->text, ']'))
        return OK;
    for (;; place->index++) {
        if (json_text_peek(&reader->text) == 'n')
            return fault(reader, place, "null in a list");
        enum err err = field->rule == OTLP_RULE_PACKED ? read_packed(reader, id, field, place)
                                                       : read_one(reader, id, field, place, depth);
        if (err)
            return err;
        if (json_text_take(&reader->text, ']'))
            return OK;
        if (!json_text_take(&reader->text, ','))
            return fault(reader, place, "a comma or a bracket is missing");
    }
}

static enum err read_list(struct reader *reader, enum otlp_message_id id,
                          const struct otlp_field *field, struct place *place, uint32_t depth)
{
    size_t before = reader->out->len, body = 0;
    unsigned len_size = 1;

    if (field->rule != OTLP_RULE_PACKED)
        return read_elements(reader, id, field, place, depth);
    enum err err = begin_len(reader, field, len_size, &body);
    if (err == OK)
        err = read_elements(reader, id, field, place, depth);
    if (err)
        return err;
    if (reader->out->len == body) { /* an empty list is none */
        reader->out->len = before;
        return OK;
    }
    return end_len(reader, body, len_size, &len_size);
}

/* Which fields of a message have been there. */
struct seen {
    uint32_t fields; /* bit i: field i of the table */
    bool alternative;
};

static enum err read_member(struct reader *reader, enum otlp_message_id id, struct seen *seen,
                            const struct place *up, uint32_t depth)
{
    struct bytes name = {0};

    json_text_peek(&reader->text);
    const uint8_t *start = reader->text.at;
    enum err err = read_text(reader, up, &name);
    if (err)
        return err;
    const struct otlp_field *field = otlp_field_by_name(id, name);
    struct place place = {.up = up, .field = field};
    if (!json_text_take(&reader->text, ':'))
        return fault(reader, &place, "a colon is missing");

    if (field == NULL) {
        const char *what = json_text_skip(&reader->text);
        return what != NULL ? fault(reader, &place, what) : OK;
    }
    if (json_text_literal(&reader->text, "null"))
        return OK;

    uint32_t bit = UINT32_C(1) << (field - otlp_messages[id].fields);
    if ((seen->fields & bit) != 0)
        return fault_at(reader, &place, "comes twice", start);
    if (field->rule == OTLP_RULE_ALT && seen->alternative)
        return fault_at(reader, &place, "is one of several that exclude each other", start);
    seen->fields |= bit;
    seen->alternative |= field->rule == OTLP_RULE_ALT;
    if (field->rule == OTLP_RULE_MANY || field->rule == OTLP_RULE_PACKED)
        return read_list(reader, id, field, &place, depth);
    return read_one(reader, id, field, &place, depth);
}

static enum err read_message(struct reader *reader, enum otlp_message_id id,
                             const struct place *place, uint32_t depth)
{
    struct seen seen = {0};

    if (!json_text_take(&reader->text, '{'))
        return fault(reader, place, "not an object");
    if (json_text_take(&reader->text, '}'))
        return OK;
    for (;;) {
        enum err err = read_member(reader, id, &seen, place, depth);
        if (err)
            return err;
        if (json_text_take(&reader->text, '}'))
            return OK;
        if (!json_text_take(&reader->text, ','))
            return fault(reader, place, "a comma or a bracket is missing");
    }
}

enum err otlp_json_read(enum signal signal, struct bytes text, const struct otlp_limits *limits,
                        struct buf *out, struct error *error)
{
    static const struct place top = {0};
    size_t before = out->len;

    if (text.len == 0)
        text = BYTES_LITERAL(""); /* NULL is no place to look at */
    AUTO(reader_fini)
    struct reader reader = {
        .text = {text.data, text.data + text.len},
        .start = text.data,
        .depth_max =
            limits != NULL && limits->depth_max != 0 ? limits->depth_max : OTLP_DEPTH_DEFAULT,
        .out = out,
        .error = error,
    };

    ASSERT(reader.depth_max <= OTLP_DEPTH_MAX);
    memset(reader.len_sizes, 1, sizeof reader.len_sizes);
    const uint8_t *bad = utf8_find_bad(text);
    if (bad != NULL)
        return fault_at(&reader, &top, "invalid UTF-8", bad);

    enum err err = read_message(&reader, otlp_request_id(signal), &top, 1);
    if (err == OK && json_text_peek(&reader.text) != 0)
        err = fault(&reader, &top, "something follows the request");
    if (err == OK && reader.text.at != reader.text.end) /* a NUL */
        err = fault(&reader, &top, "something follows the request");
    if (err)
        out->len = before;
    return err;
}
