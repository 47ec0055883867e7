#include "sidecar/otlp/slices.h"

#include "common/array.h"
#include "common/assert.h"

#include <stdlib.h>

enum { ROOM_SIZE = 4096, SHORT_VIEW = 64 };

void otlp_slices_fini(struct otlp_slices *slices)
{
    free(slices->list);
    arena_fini(&slices->scratch);
    *slices = (struct otlp_slices){0};
}

void otlp_slices_clear(struct otlp_slices *slices)
{
    arena_reset(&slices->scratch);
    slices->count = 0;
    slices->size_bytes = 0;
    slices->room = NULL;
    slices->room_bytes = 0;
}

static enum err push(struct otlp_slices *slices, struct bytes bytes)
{
    struct bytes *list = array_grow(slices->list, slices->count, &slices->cap, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    slices->list = list;
    slices->list[slices->count++] = bytes;
    slices->size_bytes += bytes.len;
    return OK;
}

static enum err append(struct otlp_slices *slices, struct bytes bytes)
{
    if (slices->count > 0) {
        struct bytes *last = &slices->list[slices->count - 1];
        if (last->data + last->len == bytes.data) {
            last->len += bytes.len;
            slices->size_bytes += bytes.len;
            return OK;
        }
    }
    return push(slices, bytes);
}

/* Made bytes are ours to write; the list shows them as views. */
static uint8_t *writable(const uint8_t *made)
{
    union {
        const uint8_t *view;
        uint8_t *own;
    } pun = {.view = made};
    return pun.own;
}

/* A slot is a slice that nothing touches, so that no neighbour joins it. */
enum err otlp_slices_slot(struct otlp_slices *slices, size_t *ret_slot)
{
    uint8_t *at = NULL;

    enum err err = otlp_slices_make(slices, OTLP_SLOT_SIZE + 1, &at);
    if (err)
        return err;
    slices->room += OTLP_SLOT_SIZE + 1;
    slices->room_bytes -= OTLP_SLOT_SIZE + 1;
    err = push(slices, (struct bytes){at, 0});
    if (err)
        return err;
    *ret_slot = slices->count - 1;
    return OK;
}

void otlp_slices_fill(struct otlp_slices *slices, size_t slot, struct bytes bytes)
{
    struct bytes *slice = &slices->list[slot];
    uint8_t *at = writable(slice->data);

    ASSERT(slot < slices->count);
    ASSERT(slice->len == 0);
    ASSERT(bytes.len > 0 && bytes.len <= OTLP_SLOT_SIZE);
    memcpy(at, bytes.data, bytes.len);
    slice->len = bytes.len;
    slices->size_bytes += bytes.len;
}

enum err otlp_slices_make(struct otlp_slices *slices, size_t size, uint8_t **ret_at)
{
    if (slices->room_bytes < size) {
        size_t room = size > ROOM_SIZE ? size : ROOM_SIZE;
        uint8_t *made = arena_alloc(&slices->scratch, room);
        if (made == NULL)
            return ERR_NOMEM;
        slices->room = made;
        slices->room_bytes = room;
    }
    *ret_at = slices->room;
    return OK;
}

enum err otlp_slices_made(struct otlp_slices *slices, size_t size)
{
    struct bytes made = {slices->room, size};

    slices->room += size;
    slices->room_bytes -= size;
    return append(slices, made);
}

static enum err add_copy(struct otlp_slices *slices, struct bytes bytes)
{
    uint8_t *at = NULL;

    if (bytes.len == 0)
        return OK;
    enum err err = otlp_slices_make(slices, bytes.len, &at);
    if (err)
        return err;
    memcpy(at, bytes.data, bytes.len);
    return otlp_slices_made(slices, bytes.len);
}

enum err otlp_slices_add(struct otlp_slices *slices, struct bytes bytes)
{
    if (bytes.len == 0)
        return OK;
    if (bytes.len <= SHORT_VIEW && bytes.len <= slices->room_bytes && slices->count > 0) {
        const struct bytes *last = &slices->list[slices->count - 1];
        if (last->data + last->len == slices->room)
            return add_copy(slices, bytes);
    }
    return append(slices, bytes);
}

enum err otlp_slices_join(struct otlp_slices *slices)
{
    if (slices->count < 2)
        return OK;
    uint8_t *made = arena_alloc(&slices->scratch, slices->size_bytes);
    if (made == NULL)
        return ERR_NOMEM;
    otlp_slices_copy(slices, made);
    slices->list[0] = (struct bytes){made, slices->size_bytes};
    slices->count = 1;
    return OK;
}

void otlp_slices_copy(const struct otlp_slices *slices, uint8_t *to)
{
    for (size_t i = 0; i < slices->count; i++) {
        memcpy(to, slices->list[i].data, slices->list[i].len);
        to += slices->list[i].len;
    }
}

enum err otlp_slices_append_to(const struct otlp_slices *slices, struct buf *into)
{
    enum err err = buf_reserve(into, slices->size_bytes);
    if (err || slices->size_bytes == 0) /* an empty buffer may have no memory to point into */
        return err;
    otlp_slices_copy(slices, into->data + into->len);
    into->len += slices->size_bytes;
    return OK;
}
