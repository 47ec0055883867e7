#include "sidecar/lines/portions.h"

#include "common/contract/signal.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/out.h"
#include "sidecar/otlp/split.h"

enum { RECORD_LEVEL = 3, RECORD_BODY = 5, RECORD_ATTRIBUTES = 6, ANY_STRING = 1 };

/* KeyValue {"surgetank.line.piece", int} but for the number, as a field of LogRecord. */
static const uint8_t piece_head[] = "\x0a\x14surgetank.line.piece\x12";
enum { PIECE_HEAD = sizeof piece_head - 1, ANY_INT_TAG = 0x18 };

void portions_fini(struct portions *portions)
{
    otlp_slices_fini(&portions->slices);
    buf_fini(&portions->picked);
    buf_fini(&portions->made);
    *portions = (struct portions){0};
}

void portions_begin(struct portions *portions, struct bytes request, uint32_t items)
{
    portions->request = portions->now = request;
    portions->items = portions->count = items;
    portions->first = 0;
    portions->number = 0;
}

uint32_t portions_items(const struct portions *portions)
{
    return portions->count;
}

bool portions_are_last(const struct portions *portions)
{
    return portions->first + portions->count == portions->items &&
           (portions->number == 0 || portions->body_at + portions->body_len == portions->body.len);
}

/* What was at hand stays until there is something else. */
static void replace(struct buf *old, struct buf *fresh)
{
    struct buf gone = *old;

    *old = *fresh;
    *fresh = gone;
}

/* ---- records */

static enum err pick(struct portions *portions, uint32_t first, uint32_t count)
{
    AUTO(buf_fini) struct buf fresh = {0};

    enum err err = otlp_pick(SIGNAL_LOGS, portions->request, first, count, &portions->slices, NULL);
    if (err)
        return err;
    err = otlp_slices_append_to(&portions->slices, &fresh);
    if (err)
        return err;
    replace(&portions->picked, &fresh);
    portions->first = first;
    portions->count = count;
    portions->number = 0;
    portions->now = buf_bytes(&portions->picked);
    return OK;
}

/* ---- a part of a record's body */

static enum err append_body(struct buf *into, struct bytes text)
{
    AUTO(buf_fini) struct buf value = {0};

    enum err err = out_field(&value, ANY_STRING, text);
    return err ? err : out_field(into, RECORD_BODY, buf_bytes(&value));
}

static enum err append_number(struct buf *into, unsigned number)
{
    uint8_t pair[PIECE_HEAD + 2 + WIRE_VARINT_MAX];
    uint8_t *end = pair + PIECE_HEAD;

    memcpy(pair, piece_head, PIECE_HEAD);
    *end++ = (uint8_t)(1 + wire_varint_size(number));
    *end++ = ANY_INT_TAG;
    end = wire_put_varint(end, number);
    return out_field(into, RECORD_ATTRIBUTES, (struct bytes){pair, (size_t)(end - pair)});
}

/* Copies a container of the only record, with `text` for its body. Three levels deep. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static enum err copy_with(unsigned level, struct bytes container, struct bytes text,
                          unsigned number, struct buf *into)
{
    struct wire_field field;
    enum err err = OK;

    while (container.len > 0 && !err) {
        AUTO(buf_fini) struct buf inner = {0};
        if (!wire_next(&container, &field))
            return ERR_INVALID;
        if (level == RECORD_LEVEL && field.number == RECORD_BODY) {
            err = append_body(into, text);
        } else if (level < RECORD_LEVEL &&
                   otlp_is_child(&otlp_levels[SIGNAL_LOGS], level, &field)) {
            err = copy_with(level + 1, field.payload, text, number, &inner);
            if (!err)
                err = out_field(into, field.number, buf_bytes(&inner));
        } else {
            err = buf_append(into, field.whole);
        }
    }
    return err || level < RECORD_LEVEL ? err : append_number(into, number);
}

/* The text of the only record's body; empty: it has none, or no text. */
static struct bytes find_body(struct bytes container)
{
    struct bytes found = {0};
    struct wire_field field;
    unsigned level = 0;

    while (container.len > 0 && wire_next(&container, &field)) {
        if (level < RECORD_LEVEL && otlp_is_child(&otlp_levels[SIGNAL_LOGS], level, &field)) {
            container = field.payload;
            level++;
        } else if (level == RECORD_LEVEL && field.number == RECORD_BODY) {
            struct bytes value = field.payload;
            if (field.type == WIRE_LEN && wire_next(&value, &field) && field.type == WIRE_LEN &&
                field.number == ANY_STRING)
                found = field.payload;
        }
    }
    return found;
}

/* Up to `len` bytes, or a few less so that no character is cut. */
static size_t fitting(struct bytes body, size_t at, size_t len)
{
    if (len >= body.len - at)
        return body.len - at;
    size_t whole = len;
    while (whole > 0 && (body.data[at + whole] & 0xc0) == 0x80)
        whole--;
    return whole > 0 ? whole : len;
}

static enum err cut(struct portions *portions, size_t at, size_t len, unsigned number)
{
    AUTO(buf_fini) struct buf fresh = {0};
    const struct bytes text = {portions->body.data + at, fitting(portions->body, at, len)};

    enum err err = copy_with(0, buf_bytes(&portions->picked), text, number, &fresh);
    if (err)
        return err;
    replace(&portions->made, &fresh);
    portions->body_at = at;
    portions->body_len = text.len;
    portions->number = number;
    portions->now = buf_bytes(&portions->made);
    return OK;
}

/* ---- the way through */

enum err portions_smaller(struct portions *portions)
{
    if (portions->count > 1)
        return pick(portions, portions->first, portions->count / 2);
    if (portions->number > 0)
        return portions->body_len <= PORTION_BODY_MIN
                   ? ERR_NOTFOUND
                   : cut(portions, portions->body_at, portions->body_len / 2, portions->number);
    enum err err = pick(portions, portions->first, 1);
    if (err)
        return err;
    portions->body = find_body(buf_bytes(&portions->picked));
    return portions->body.len <= PORTION_BODY_MIN ? ERR_NOTFOUND
                                                  : cut(portions, 0, portions->body.len / 2, 1);
}

enum err portions_next(struct portions *portions)
{
    if (portions_are_last(portions))
        return ERR_NOTFOUND;
    if (portions->number > 0 && portions->body_at + portions->body_len < portions->body.len)
        return cut(portions, portions->body_at + portions->body_len, portions->body_len,
                   portions->number + 1);
    uint32_t next = portions->first + portions->count, left = portions->items - next;
    uint32_t more = 2 * portions->count;
    return pick(portions, next, more < left ? more : left);
}
