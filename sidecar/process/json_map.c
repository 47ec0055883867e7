#include "sidecar/process/json_map.h"

#include "sidecar/otlp/json_text.h"
#include "sidecar/otlp/json_value.h"
#include "sidecar/otlp/out.h"
#include "sidecar/process/value.h"

enum { LIST_ELEMENT = 1, LIKELY = 64 };

static enum err read_value(struct json_text *text, unsigned depth, struct buf *out);

static enum err read_string(struct json_text *text, uint32_t number, struct buf *out)
{
    struct json_string string;
    struct out_mark mark;

    if (json_text_string(text, &string) != NULL)
        return ERR_INVALID;
    if (!string.escaped)
        return out_field(out, number, string.raw);
    enum err err = out_open(out, number, string.raw.len, &mark);
    if (!err)
        err = buf_reserve(out, string.raw.len);
    if (err)
        return err;
    out->len = (size_t)(json_text_unescape(string.raw, out->data + out->len) - out->data);
    return out_close(out, &mark);
}

static enum err read_number(struct json_text *text, struct buf *out)
{
    struct json_number number;
    int64_t whole = 0;
    double value = 0;

    if (json_text_number(text, &number) != NULL)
        return ERR_INVALID;
    if (number.whole && json_value_int(number.raw, INT64_MIN, INT64_MAX, &whole) == NULL)
        return out_varint(out, ANY_INT, (uint64_t)whole);
    if (json_value_double(number.raw, &value) != NULL)
        return ERR_INVALID;
    return out_double(out, ANY_DOUBLE, value);
}

/* The list's brackets and what is in them. */
static enum err read_list(struct json_text *text, unsigned depth, struct buf *out)
{
    struct out_mark mark;

    if (depth == JSON_MAP_DEPTH_MAX)
        return ERR_INVALID;
    text->at++;
    if (json_text_take(text, ']'))
        return OK;
    do {
        enum err err = out_open(out, LIST_ELEMENT, LIKELY, &mark);
        if (!err)
            err = read_value(text, depth + 1, out);
        if (!err)
            err = out_close(out, &mark);
        if (err)
            return err;
    } while (json_text_take(text, ','));
    return json_text_take(text, ']') ? OK : ERR_INVALID;
}

static enum err read_member(struct json_text *text, unsigned depth, struct buf *out)
{
    struct out_mark member, value;

    enum err err = out_open(out, LIST_ELEMENT, LIKELY, &member);
    if (!err)
        err = read_string(text, KEY_VALUE_KEY, out);
    if (!err && !json_text_take(text, ':'))
        err = ERR_INVALID;
    if (!err)
        err = out_open(out, KEY_VALUE_VALUE, LIKELY, &value);
    if (!err)
        err = read_value(text, depth + 1, out);
    if (!err)
        err = out_close(out, &value);
    return err ? err : out_close(out, &member);
}

static enum err read_object(struct json_text *text, unsigned depth, struct buf *out)
{
    enum err err = OK;

    if (depth == JSON_MAP_DEPTH_MAX)
        return ERR_INVALID;
    text->at++;
    if (json_text_take(text, '}'))
        return OK;
    do {
        err = read_member(text, depth, out);
        if (err)
            return err;
    } while (json_text_take(text, ','));
    return json_text_take(text, '}') ? OK : ERR_INVALID;
}

static enum err read_nested(struct json_text *text, unsigned depth, bool object, struct buf *out)
{
    struct out_mark mark;

    enum err err = out_open(out, object ? ANY_MAP : ANY_ARRAY, LIKELY, &mark);
    if (!err)
        err = object ? read_object(text, depth, out) : read_list(text, depth, out);
    return err ? err : out_close(out, &mark);
}

/* The fields of an AnyValue. */
static enum err read_value(struct json_text *text, unsigned depth, struct buf *out)
{
    switch (json_text_peek(text)) {
    case '"':
        return read_string(text, ANY_STRING, out);
    case '{':
        return read_nested(text, depth, true, out);
    case '[':
        return read_nested(text, depth, false, out);
    case 't':
        return json_text_literal(text, "true") ? out_varint(out, ANY_BOOL, 1) : ERR_INVALID;
    case 'f':
        return json_text_literal(text, "false") ? out_varint(out, ANY_BOOL, 0) : ERR_INVALID;
    case 'n':
        return json_text_literal(text, "null") ? OK : ERR_INVALID;
    default:
        return read_number(text, out);
    }
}

enum err json_map_read(struct bytes text, struct buf *out)
{
    struct json_text rest = {text.data, text.data + text.len};
    size_t start = out->len;

    enum err err =
        text.len > 0 && json_text_peek(&rest) == '{' ? read_object(&rest, 0, out) : ERR_INVALID;
    if (!err && (json_text_peek(&rest) != 0 || rest.at != rest.end))
        err = ERR_INVALID;
    if (err)
        out->len = start;
    return err;
}
