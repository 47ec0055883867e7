#include "sidecar/spool/marks.h"

#include "common/assert.h"
#include "common/endian.h"

#include <stdlib.h>

enum { FORGOTTEN = 0xffff };

struct slot {
    uint8_t mark[MARK_BYTES_MAX]; /* as in a frame */
};

struct marks {
    uint32_t count, max;
    size_t len; /* of all marks, encoded */

    /* A permutation of the slots: first those in use, by key, then the free ones. */
    uint16_t order[SPOOL_MARKS_MAX];
    struct slot slots[];
};

struct marks *marks_create(uint32_t keys_max)
{
    ASSERT(keys_max <= SPOOL_MARKS_MAX);
    struct marks *marks = malloc(sizeof *marks + keys_max * sizeof marks->slots[0]);
    if (marks == NULL)
        return NULL;
    marks->max = keys_max;
    for (uint32_t i = 0; i < keys_max; i++)
        marks->order[i] = (uint16_t)i;
    marks_clear(marks);
    return marks;
}

void marks_destroy(struct marks **marks)
{
    free(*marks);
    *marks = NULL;
}

void marks_clear(struct marks *marks)
{
    marks->count = 0;
    marks->len = 0;
}

uint32_t marks_count(const struct marks *marks)
{
    return marks->count;
}

size_t marks_len(const struct marks *marks)
{
    return marks->len;
}

static size_t encoded_len(const uint8_t *mark)
{
    uint16_t value_len = get_le16(mark);
    return MARK_HEAD + (value_len == FORGOTTEN ? 0u : value_len);
}

/* Where the key is, or would be. */
static uint32_t find(const struct marks *marks, const uint8_t *key, bool *ret_found)
{
    uint32_t low = 0, high = marks->count;

    *ret_found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int side = memcmp(marks->slots[marks->order[middle]].mark + 2, key, SPOOL_MARK_KEY);
        if (side == 0) {
            *ret_found = true;
            return middle;
        }
        if (side < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget(struct marks *marks, uint32_t at)
{
    uint16_t slot = marks->order[at];

    marks->len -= encoded_len(marks->slots[slot].mark);
    marks->count--;
    memmove(marks->order + at, marks->order + at + 1, (marks->count - at) * sizeof marks->order[0]);
    marks->order[marks->count] = slot;
}

static void make_place(struct marks *marks, uint32_t at)
{
    uint16_t slot = marks->order[marks->count];

    memmove(marks->order + at + 1, marks->order + at, (marks->count - at) * sizeof marks->order[0]);
    marks->order[at] = slot;
    marks->count++;
}

bool marks_apply(struct marks *marks, struct bytes encoded)
{
    const uint8_t *mark = encoded.data;

    for (size_t left = encoded.len; left > 0;) {
        if (left < MARK_HEAD)
            return false;
        bool forgotten = get_le16(mark) == FORGOTTEN, known = false;
        size_t len = encoded_len(mark);
        if (len > left || len > MARK_BYTES_MAX)
            return false;
        uint32_t at = find(marks, mark + 2, &known);
        if (forgotten && known)
            forget(marks, at);
        if (!forgotten && !known && marks->count == marks->max)
            return false;
        if (!forgotten && !known)
            make_place(marks, at);
        if (!forgotten) {
            uint8_t *into = marks->slots[marks->order[at]].mark;
            marks->len += len - (known ? encoded_len(into) : 0);
            memcpy(into, mark, len);
        }
        mark += len;
        left -= len;
    }
    return true;
}

void marks_encode(const struct marks *marks, uint8_t *into)
{
    for (uint32_t i = 0; i < marks->count; i++) {
        const uint8_t *mark = marks->slots[marks->order[i]].mark;
        size_t len = encoded_len(mark);
        memcpy(into, mark, len);
        into += len;
    }
}

void marks_each(const struct marks *marks, spool_visit_mark_fn *visit, void *context)
{
    for (uint32_t i = 0; i < marks->count; i++) {
        const uint8_t *mark = marks->slots[marks->order[i]].mark;
        visit(context, mark + 2, (struct bytes){mark + MARK_HEAD, get_le16(mark)});
    }
}

size_t mark_len(const struct spool_mark *mark)
{
    return MARK_HEAD + (mark->forget ? 0 : mark->value.len);
}

void mark_encode(const struct spool_mark *mark, uint8_t *into)
{
    ASSERT(mark->forget || mark->value.len <= SPOOL_MARK_VALUE);
    put_le16(into, mark->forget ? FORGOTTEN : (uint16_t)mark->value.len);
    memcpy(into + 2, mark->key, SPOOL_MARK_KEY);
    if (!mark->forget && mark->value.len > 0)
        memcpy(into + MARK_HEAD, mark->value.data, mark->value.len);
}
