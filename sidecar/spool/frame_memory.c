/* Memory for frames that were read: a few buffers are kept for the next ones. */
#include "common/assert.h"
#include "sidecar/spool/store.h"

#include <stdlib.h>

enum {
    CACHED_MAX = 8,           /* buffers kept for the next frames, */
    CACHED_CAP_MAX = 2 << 20, /* of that size at most */
};

struct frame_memory *frame_memory_take(struct store *store)
{
    pthread_mutex_lock(&store->cache_lock);
    struct frame_memory *memory = store->cache;
    if (memory != NULL) {
        store->cache = memory->next;
        store->cache_count--;
    }
    pthread_mutex_unlock(&store->cache_lock);
    if (memory == NULL)
        memory = calloc(1, sizeof *memory);
    if (memory != NULL)
        memory->store = store;
    return memory;
}

static void free_memory(struct frame_memory **memory)
{
    if (*memory == NULL)
        return;
    free((*memory)->bytes);
    free(*memory);
    *memory = NULL;
}

void frame_memory_give(struct frame_memory **memory_at)
{
    struct frame_memory *memory = *memory_at;

    if (memory == NULL)
        return;
    struct store *store = memory->store;
    *memory_at = NULL;
    if (memory->lent != NULL)
        recent_release(store, memory->lent);
    memory->lent = NULL;
    pthread_mutex_lock(&store->cache_lock);
    bool keep = store->cache_count < CACHED_MAX && memory->cap <= CACHED_CAP_MAX;
    if (keep) {
        memory->next = store->cache;
        store->cache = memory;
        store->cache_count++;
    }
    pthread_mutex_unlock(&store->cache_lock);
    if (!keep)
        free_memory(&memory);
}

void frame_cache_drop(struct store *store)
{
    while (store->cache != NULL) {
        struct frame_memory *memory = store->cache;
        store->cache = memory->next;
        free_memory(&memory);
    }
    store->cache_count = 0;
}

enum err frame_memory_reserve(struct frame_memory *memory, size_t cap, struct error *error)
{
    if (cap <= memory->cap)
        return OK;
    uint8_t *bytes = realloc(memory->bytes, cap);
    if (bytes == NULL)
        return error_set(error, ERR_NOMEM, "read a frame of %zu bytes", cap);
    memory->bytes = bytes;
    memory->cap = cap;
    return OK;
}

void spool_frame_release(struct spool_frame **frame)
{
    struct frame_memory *memory = (struct frame_memory *)*frame;

    *frame = NULL;
    frame_memory_give(&memory);
}

struct spool_entry spool_frame_entry(struct spool_frame *frame, uint32_t index)
{
    struct frame_memory *memory = (struct frame_memory *)frame;
    const uint8_t *table = frame->data.data + frame->data.len;

    ASSERT(index < frame->entry_count);
    if (index < memory->entry) {
        memory->entry = 0;
        memory->entry_data = memory->entry_meta = 0;
    }
    struct frame_entry entry = frame_entry_decode(table + (size_t)memory->entry * FRAME_ENTRY);
    for (; memory->entry < index; memory->entry++) {
        memory->entry_data += entry.data_len;
        memory->entry_meta += entry.meta_len;
        entry = frame_entry_decode(table + (size_t)(memory->entry + 1) * FRAME_ENTRY);
    }
    return (struct spool_entry){
        .data = {frame->data.data + memory->entry_data, entry.data_len},
        .meta = {frame->meta.data + memory->entry_meta, entry.meta_len},
        .items = entry.items,
        .tag = entry.tag,
    };
}
