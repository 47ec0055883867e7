#include "sidecar/otlp/any_json.h"

#include "common/num.h"
#include "common/utf8.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_UTF8 0xe000 /* and a byte: characters for private use, as Fluent Bit has them */
#define NEAR     64     /* pairs: so far on a second one with the same name is looked for */

enum { /* field numbers */
       KEY = 1,
       VALUE = 2,
       ANY_STRING = 1,
       ANY_BOOL,
       ANY_INT,
       ANY_DOUBLE,
       ANY_ARRAY,
       ANY_KVLIST,
       ANY_BYTES,
       ARRAY_VALUES = 1,
};

/* ---- pairs */

bool any_pairs_next(struct any_pairs *pairs, struct any_pair *ret_pair)
{
    struct wire_field field, inner;

    while (wire_next(&pairs->message, &field)) {
        if (field.number != pairs->number || field.type != WIRE_LEN)
            continue;
        *ret_pair = (struct any_pair){0};
        while (wire_next(&field.payload, &inner)) {
            if (inner.number == KEY && inner.type == WIRE_LEN)
                ret_pair->key = inner.payload;
            else if (inner.number == VALUE && inner.type == WIRE_LEN)
                ret_pair->value = inner.payload;
        }
        return true;
    }
    return false;
}

bool any_pairs_next_last(struct any_pairs *pairs, struct any_pair *ret_pair)
{
    while (any_pairs_next(pairs, ret_pair)) {
        struct any_pairs rest = *pairs;
        struct any_pair later;
        bool again = false;

        for (unsigned i = 0; i < NEAR && !again && any_pairs_next(&rest, &later); i++)
            again = bytes_equal(later.key, ret_pair->key);
        if (!again)
            return true;
    }
    return false;
}

bool any_pairs_have(struct any_pairs pairs, struct bytes name)
{
    struct any_pair pair;

    while (any_pairs_next(&pairs, &pair))
        if (bytes_equal(pair.key, name))
            return true;
    return false;
}

size_t any_pairs_count(struct any_pairs pairs)
{
    struct any_pair pair;
    size_t count = 0;

    while (any_pairs_next(&pairs, &pair))
        count++;
    return count;
}

struct any_pairs any_map(struct bytes any)
{
    struct wire_field field;
    struct any_pairs map = {0};

    while (wire_next(&any, &field))
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES)
            map = field.number == ANY_KVLIST ? (struct any_pairs){field.payload, ANY_KVLIST_VALUES}
                                             : (struct any_pairs){0};
    return map;
}

/* ---- values */

/* What has to be escaped; NULL for most. */
static const char *escape_of(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        return NULL;
    }
}

static enum err put_unusual(struct buf *out, uint8_t c)
{
    const char *escape = escape_of(c);
    uint8_t text[4];

    if (escape != NULL)
        return buf_append_text(out, escape);
    if (c < 0x20)
        return buf_printf(out, "\\u%04x", c);
    return buf_append(out, (struct bytes){text, (size_t)(utf8_put(text, NOT_UTF8 + c) - text)});
}

/* Whether none of eight bytes needs a look: no control, quote, backslash, and all ASCII. */
static bool plain(const uint8_t *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t word;

    memcpy(&word, at, sizeof word);
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    return ((word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & high) == 0;
}

enum err any_json_string(struct buf *out, struct bytes text)
{
    if (text.len == 0) /* of a field that is not there: no place to begin at */
        return buf_append_text(out, "\"\"");
    const uint8_t *from = text.data, *at = text.data, *end = text.data + text.len;

    enum err err = buf_append_byte(out, '"');
    while (at < end && !err) {
        if (end - at >= 8 && plain(at)) {
            at += 8;
            continue;
        }
        unsigned len = *at < 0x80 ? 1 : utf8_sequence(at, end);
        if (len > 1 || (len == 1 && *at >= 0x20 && *at != '"' && *at != '\\')) {
            at += len;
            continue;
        }
        err = buf_append(out, (struct bytes){from, (size_t)(at - from)});
        if (!err)
            err = put_unusual(out, *at);
        from = ++at;
    }
    if (!err)
        err = buf_append(out, (struct bytes){from, (size_t)(end - from)});
    return err ? err : buf_append_byte(out, '"');
}

enum err any_json_integer(struct buf *out, int64_t value)
{
    char text[NUM_MAX];
    return buf_append(out,
                      (struct bytes){(uint8_t *)text, (size_t)(num_put_i64(text, value) - text)});
}

static enum err put_double(struct buf *out, double value)
{
    char text[32];

    if (isnan(value))
        return buf_append_text(out, "\"NaN\"");
    if (isinf(value))
        return buf_append_text(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    if (fabs(value) < 0x1p63 && trunc(value) == value) {
        enum err err = signbit(value) && value == 0 ? buf_append_byte(out, '-') : OK;
        if (!err)
            err = any_json_integer(out, (int64_t)value);
        return err ? err : buf_append_text(out, ".0");
    }
    snprintf(text, sizeof text, "%.16g", value);
    return strtod(text, NULL) == value ? buf_append_text(out, text)
                                       : buf_printf(out, "%.17g", value);
}

static enum err put_any(struct buf *out, struct bytes any, unsigned depth);

static enum err put_array(struct buf *out, struct bytes array, unsigned depth)
{
    struct wire_field field;
    bool first = true;

    enum err err = buf_append_byte(out, '[');
    while (!err && wire_next(&array, &field)) {
        if (field.number != ARRAY_VALUES || field.type != WIRE_LEN)
            continue;
        if (!first)
            err = buf_append_byte(out, ',');
        first = false;
        if (!err)
            err = put_any(out, field.payload, depth);
    }
    return err ? err : buf_append_byte(out, ']');
}

static enum err put_map(struct buf *out, struct any_pairs pairs, unsigned depth)
{
    struct any_pair pair;
    bool first = true;

    enum err err = buf_append_byte(out, '{');
    while (!err && any_pairs_next_last(&pairs, &pair)) {
        if (!first)
            err = buf_append_byte(out, ',');
        first = false;
        if (!err)
            err = any_json_string(out, pair.key);
        if (!err)
            err = buf_append_byte(out, ':');
        if (!err)
            err = put_any(out, pair.value, depth);
    }
    return err ? err : buf_append_byte(out, '}');
}

/* The last field of the oneof counts; none is null. */
static enum err put_any(struct buf *out, struct bytes any, unsigned depth)
{
    struct wire_field field, last = {.number = 0};
    double number;

    if (depth > OTLP_DEPTH_MAX)
        return ERR_INVALID;
    while (wire_next(&any, &field))
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES)
            last = field;
    switch (last.number) {
    case ANY_STRING:
        return any_json_string(out, last.payload);
    case ANY_BOOL:
        return buf_append_text(out, last.value != 0 ? "true" : "false");
    case ANY_INT:
        return any_json_integer(out, (int64_t)last.value);
    case ANY_DOUBLE:
        memcpy(&number, &last.value, sizeof number);
        return put_double(out, number);
    case ANY_ARRAY:
        return put_array(out, last.payload, depth + 1);
    case ANY_KVLIST:
        return put_map(out, (struct any_pairs){last.payload, ANY_KVLIST_VALUES}, depth + 1);
    case ANY_BYTES:
        return any_json_string(out, last.payload);
    default:
        return buf_append_text(out, "null");
    }
}

enum err any_json_write(struct buf *out, struct bytes any)
{
    return put_any(out, any, 0);
}

enum err any_json_map(struct buf *out, struct any_pairs pairs)
{
    return put_map(out, pairs, 0);
}
