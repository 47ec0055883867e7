#include "sidecar/gateway/offsets.h"

#include "common/assert.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 64 };

void offsets_init(struct offsets *offsets, int64_t start)
{
    *offsets = (struct offsets){.commit = start, .next = start};
}

void offsets_fini(struct offsets *offsets)
{
    free(offsets->ring);
    *offsets = (struct offsets){0};
}

static struct offsets_entry *entry_at(const struct offsets *offsets, size_t index)
{
    return &offsets->ring[(offsets->first + index) % offsets->cap];
}

static enum err grow(struct offsets *offsets)
{
    size_t cap = offsets->cap == 0 ? SMALLEST : 2 * offsets->cap;
    struct offsets_entry *ring = calloc(cap, sizeof *ring);
    if (ring == NULL)
        return ERR_NOMEM;

    for (size_t i = 0; i < offsets->len; i++)
        ring[i] = *entry_at(offsets, i);
    free(offsets->ring);
    offsets->ring = ring;
    offsets->first = 0;
    offsets->cap = cap;
    return OK;
}

enum err offsets_add(struct offsets *offsets, int64_t offset)
{
    if (offset < offsets->next)
        return ERR_INVALID;
    if (offsets->len == offsets->cap) {
        enum err err = grow(offsets);
        if (err)
            return err;
    }
    offsets->len++;
    *entry_at(offsets, offsets->len - 1) = (struct offsets_entry){.offset = offset};
    offsets->next = offset + 1;
    return OK;
}

/* Offsets rise along the ring. */
static struct offsets_entry *find(const struct offsets *offsets, int64_t offset)
{
    size_t low = 0, high = offsets->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct offsets_entry *entry = entry_at(offsets, middle);
        if (entry->offset == offset)
            return entry;
        if (entry->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void offsets_done(struct offsets *offsets, int64_t offset, uint64_t now_ms)
{
    struct offsets_entry *entry = find(offsets, offset);

    ASSERT(entry != NULL);
    ASSERT(entry->done_ms == 0);
    entry->done_ms = now_ms == 0 ? 1 : now_ms;
}

int64_t offsets_commit(struct offsets *offsets, uint64_t now_ms, uint64_t settle_ms)
{
    while (offsets->len > 0) {
        const struct offsets_entry *oldest = entry_at(offsets, 0);
        if (oldest->done_ms == 0 || oldest->done_ms + settle_ms > now_ms)
            break;
        offsets->commit = oldest->offset + 1;
        offsets->first = (offsets->first + 1) % offsets->cap;
        offsets->len--;
    }
    return offsets->commit;
}
