/* Frames out of segments.
 *
 * A reader's place is (segment, offset); what it expects there is its position. The lock is
 * released while it reads, with the segment pinned. Whatever moved the position meanwhile (a drop,
 * a rewind) wins, and what was read is thrown away.
 *
 * Where the expected frame is not, the next header of the same life is looked for, at every 4 KiB.
 * How many items were lost is known exactly once another frame is found: it tells how many there
 * were before it.
 */
#include "sidecar/spool/reader.h"

#include "common/assert.h"
#include "common/cond.h"
#include "common/os.h"
#include "sidecar/spool/store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    READ_FIRST = 16 * 1024,   /* at least so much at once: most small frames in one call */
    CACHED_MAX = 8,           /* buffers kept for the next frames, */
    CACHED_CAP_MAX = 2 << 20, /* of that size at most */
};

static struct lane *lane_of(const struct spool_reader *reader)
{
    return &reader->store->lanes[reader->lane];
}

/* ---- memory of frames */

static struct frame_memory *take_memory(struct store *store)
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

static void give_memory(struct frame_memory **memory_at)
{
    struct frame_memory *memory = *memory_at;

    if (memory == NULL)
        return;
    struct store *store = memory->store;
    *memory_at = NULL;
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

/* What is in it is kept only if it fits. */
static enum err reserve(struct frame_memory *memory, size_t cap, struct error *error)
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
    give_memory(&memory);
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

/* ---- opening and closing */

enum err spool_reader_open(struct spool *spool, enum signal lane_id, const char *name,
                           struct spool_reader **ret_reader, struct error *error)
{
    struct store *store = spool_store(spool);
    struct lane *lane = &store->lanes[lane_id];
    struct spool_reader *reader = NULL;
    size_t len = strlen(name);
    enum err err = OK;

    if (len == 0 || len > SPOOL_READER_NAME_MAX)
        return error_set(error, ERR_INVALID, "reader name of %zu bytes; 1 to %d are allowed", len,
                         SPOOL_READER_NAME_MAX);
    pthread_mutex_lock(&store->lock);
    for (int i = SPOOL_READERS_MAX - 1; i >= 0; i--)
        if (lane->readers[i].cursor.name[0] == '\0')
            reader = &lane->readers[i];
    for (int i = 0; i < SPOOL_READERS_MAX; i++)
        if (strcmp(lane->readers[i].cursor.name, name) == 0)
            reader = &lane->readers[i];
    if (reader == NULL)
        err = error_set(error, ERR_INVALID,
                        "reader '%s': the lane of %s has %d readers already; forget one that is "
                        "not used any more",
                        name, signal_name(lane_id), SPOOL_READERS_MAX);
    else if (reader->open)
        err = error_set(error, ERR_CONFLICT, "reader '%s' of %s is open already", name,
                        signal_name(lane_id));
    if (!err) {
        struct cursor_reader cursor = reader->cursor;
        if (cursor.name[0] == '\0') {
            const struct segment *first = lane->segments;
            while (first != NULL && first->end_seq <= lane->begin)
                first = first->next;
            memcpy(cursor.name, name, len);
            cursor.seq =
                first != NULL && first->base_seq > lane->begin ? first->base_seq : lane->begin;
            cursor.items = first != NULL ? first->base_items : lane->synced_items;
            cursor.start_items = cursor.items;
            store->cursors_moved = true;
            reader->saved_seq = 0;
        }
        *reader = (struct spool_reader){.store = store,
                                        .lane = lane_id,
                                        .open = true,
                                        .cursor = cursor,
                                        .saved_seq = reader->saved_seq,
                                        .guess = READ_FIRST};
        reader->position = (struct spool_position){cursor.seq, cursor.items, cursor.damaged};
        reader->max_seq = cursor.seq;
        *ret_reader = reader;
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

void spool_reader_close(struct spool_reader **reader)
{
    if (*reader == NULL)
        return;

    struct store *store = (*reader)->store;
    pthread_mutex_lock(&store->lock);
    (*reader)->open = false;
    (*reader)->segment = NULL;
    pthread_mutex_unlock(&store->lock);
    *reader = NULL;
}

/* After a cursor moved: answers who waited for it, and has the committer free what it passed. The
 * lock is held. */
static void cursors_moved(struct store *store, enum signal lane_id)
{
    struct lane *lane = &store->lanes[lane_id];
    uint64_t slowest = store_slowest(lane);
    const struct segment *first = lane->segments;

    store->cursors_moved = true;
    if (first != NULL && first != lane->active && first->end_seq <= slowest &&
        !store_holds_marks(lane, first) && !store->freeable) {
        store->freeable = true;
        if (store->nudge != NULL)
            store->nudge(store->nudge_context);
    }
    store_answer_replicated(store, lane_id, slowest, OK, NULL);
}

enum err spool_reader_forget(struct spool *spool, enum signal lane_id, const char *name,
                             struct error *error)
{
    struct store *store = spool_store(spool);
    struct lane *lane = &store->lanes[lane_id];
    enum err err = ERR_NOTFOUND;

    pthread_mutex_lock(&store->lock);
    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        struct spool_reader *reader = &lane->readers[i];
        if (name[0] == '\0' || strcmp(reader->cursor.name, name) != 0)
            continue;
        err = reader->open ? ERR_CONFLICT : OK;
        if (!err) {
            reader->cursor = (struct cursor_reader){0};
            cursors_moved(store, lane_id);
        }
        break;
    }
    pthread_mutex_unlock(&store->lock);
    if (err)
        return error_set(error, err, "reader '%s' of %s %s", name, signal_name(lane_id),
                         err == ERR_CONFLICT ? "is open" : "is not known");
    return OK;
}

/* ---- the position; the lock is held by all callers */

static uint64_t first_offset(const struct segment *segment)
{
    return segment->mark_count > 0 ? segment->marks[0].offset : 0;
}

/* Makes `segment` the one that holds the position. False: none does. */
static bool find_place(struct spool_reader *reader)
{
    struct segment *segment = reader->segment;
    uint64_t seq = reader->position.seq;

    if (segment != NULL && seq < segment->end_seq)
        return true;
    for (segment = lane_of(reader)->segments; segment != NULL; segment = segment->next)
        if (seq < segment->end_seq && segment->used > 0)
            break;
    reader->segment = segment;
    if (segment == NULL)
        return false;
    const struct segment_mark *mark = segment_mark_before(segment, seq);
    reader->offset = mark != NULL ? mark->offset : first_offset(segment);
    return true;
}

/* Goes on to `to` without handing anything out; the cursor follows if all before it is acknowledged
 * already, or else when it is. */
static void pass(struct spool_reader *reader, struct spool_position to)
{
    struct spool_position *position = &reader->position;
    struct cursor_reader *cursor = &reader->cursor;

    if (reader->hole_to.seq != position->seq)
        reader->hole_from = *position;
    *position = to;
    reader->max_seq = to.seq;
    reader->hole_to = to;
    if (cursor->seq >= reader->hole_from.seq) {
        cursor->seq = position->seq;
        cursor->items = position->items;
        cursor->damaged = position->damaged;
        cursors_moved(reader->store, reader->lane);
    }
}

/* Goes past frames that can't be had: up to `seq`, with `items` before it (less: not known). */
static void skip_hole(struct spool_reader *reader, uint64_t seq, uint64_t items)
{
    struct lane *lane = lane_of(reader);
    struct spool_position to = reader->position;

    if (seq <= to.seq)
        return;
    if (to.seq >= lane->damage_counted) {
        lane->damage_counted = seq;
        lane->stats.damage_events++;
    }
    if (reader->segment != NULL)
        reader->segment->damaged = true;
    if (items > to.items) {
        to.damaged += items - to.items;
        reader->lost += items - to.items;
        to.items = items;
    }
    to.seq = seq;
    pass(reader, to);
}

/* Frames of the segment that may be read. */
static uint64_t readable_end(const struct spool_reader *reader)
{
    uint64_t synced = lane_of(reader)->synced, end = reader->segment->end_seq;
    return end < synced ? end : synced;
}

/* There is nothing behind the offset in this segment. */
static void leave_segment(struct spool_reader *reader)
{
    const struct segment *segment = reader->segment;
    uint64_t end = readable_end(reader);

    skip_hole(reader, end, end == segment->end_seq ? segment->end_items : 0);
}

/* ---- reading */

/* Reads the frame at the place. `*ret_header` is set whenever the header is sound; a frame below
 * `wanted`, or with nothing but marks, is not read any further. ERR_NOTFOUND: no header of this
 * life; ERR_CORRUPT: the body. */
static enum err read_frame(struct spool_reader *reader, const struct segment *segment,
                           uint64_t offset, uint64_t wanted, struct frame_memory *memory,
                           struct frame_header *ret_header, struct error *error)
{
    uint64_t left = segment->size > offset ? segment->size - offset : 0;
    size_t first = reader->guess < left ? reader->guess : (size_t)left;
    size_t got = 0;

    if (left < FRAME_ALIGN)
        return ERR_NOTFOUND;
    enum err err = reserve(memory, first, error);
    if (!err)
        err = os_read_at(segment->fd, memory->bytes, first, offset, &got, error);
    if (err)
        return err;
    struct frame_header header;
    if (got < FRAME_HEADER || !frame_decode(memory->bytes, &header) || header.offset != offset ||
        !segment_owns(segment, &header) || frame_len(&header) > left)
        return ERR_NOTFOUND;
    *ret_header = header;
    if (header.seq < wanted || header.entries == 0)
        return OK;

    size_t len = FRAME_HEADER + (size_t)frame_body_len(&header);
    if (len > got) {
        size_t more = 0;
        err = reserve(memory, len, error);
        if (!err)
            err =
                os_read_at(segment->fd, memory->bytes + got, len - got, offset + got, &more, error);
        if (err)
            return err;
        if (more < len - got)
            return ERR_CORRUPT;
    }
    reader->guess = len < READ_FIRST ? READ_FIRST : (size_t)frame_len(&header);
    return frame_body_fits(&header, memory->bytes + FRAME_HEADER) ? OK : ERR_CORRUPT;
}

static void deliver(struct spool_reader *reader, struct frame_memory *memory,
                    const struct frame_header *header)
{
    const uint8_t *data = memory->bytes + FRAME_HEADER;
    struct spool_position *position = &reader->position;

    *position = (struct spool_position){header->seq + 1, header->items_before + header->items,
                                        position->damaged};
    reader->max_seq = position->seq;
    reader->offset = header->offset + frame_len(header);
    memory->entry = 0;
    memory->entry_data = memory->entry_meta = 0;
    memory->frame = (struct spool_frame){
        .lane = header->lane,
        .incarnation = header->incarnation,
        .seq = header->seq,
        .accepted_ns = header->accepted_ns,
        .items = header->items,
        .lost_items = reader->lost,
        .data = {data, header->data_len},
        .meta = {data + header->data_len + (size_t)header->entries * FRAME_ENTRY, header->meta_len},
        .entry_count = header->entries,
        .end = *position,
    };
    reader->lost = 0;
}

/* Looks for a frame behind the place, where there was none. The lock is held, and released for the
 * time of the search. */
static enum err resync(struct spool_reader *reader, struct error *error)
{
    struct store *store = reader->store;
    struct segment *segment = reader->segment;
    uint64_t seq = reader->position.seq, from = reader->offset + FRAME_ALIGN;
    struct frame_header header;

    segment->pins++;
    pthread_mutex_unlock(&store->lock);
    enum err err = segment_find(segment, from, &header, error);
    pthread_mutex_lock(&store->lock);
    if (--segment->pins == 0)
        pthread_cond_broadcast(&store->unpinned);

    if (err == ERR_NOMEM)
        return err;
    if (reader->segment != segment || reader->position.seq != seq)
        return OK;
    if (err || header.seq >= readable_end(reader)) {
        leave_segment(reader);
        return OK;
    }
    reader->offset = header.offset;
    if (header.seq > seq)
        skip_hole(reader, header.seq, header.items_before);
    return OK;
}

/* One step: reads at the place, and delivers, or moves the place. `*ret_done`: it was delivered. */
static enum err step(struct spool_reader *reader, struct frame_memory *memory, bool *ret_done,
                     struct error *error)
{
    struct store *store = reader->store;
    struct segment *segment = reader->segment;
    uint64_t seq = reader->position.seq, offset = reader->offset;
    struct frame_header header = {0};

    segment->pins++;
    pthread_mutex_unlock(&store->lock);
    enum err err = read_frame(reader, segment, offset, seq, memory, &header, error);
    pthread_mutex_lock(&store->lock);
    if (--segment->pins == 0)
        pthread_cond_broadcast(&store->unpinned);

    if (err == ERR_NOMEM)
        return err;
    if (reader->segment != segment || reader->position.seq != seq || reader->offset != offset)
        return OK;
    if (err == ERR_IO && ++reader->failures < SEGMENT_TRIES)
        return err;
    reader->failures = 0;
    if ((!err || err == ERR_CORRUPT) && header.seq >= readable_end(reader)) {
        leave_segment(reader);
        return OK;
    }
    if (!err && header.seq < seq) {
        reader->offset = offset + frame_len(&header);
        return OK;
    }
    if (err == ERR_CORRUPT) {
        reader->offset = offset + frame_len(&header);
        skip_hole(reader, header.seq + 1, header.items_before + header.items);
        return OK;
    }
    if (err)
        return resync(reader, error);
    /* Frames that went missing without a trace, such as with a whole file, show up here. */
    if (header.items_before > reader->position.items)
        skip_hole(reader, header.seq, header.items_before);
    if (header.entries == 0) {
        reader->offset = offset + frame_len(&header);
        pass(reader, (struct spool_position){header.seq + 1, reader->position.items,
                                             reader->position.damaged});
        return OK;
    }
    deliver(reader, memory, &header);
    *ret_done = true;
    return OK;
}

/* Waits until there is something behind the position. The lock is held. */
static enum err await(struct spool_reader *reader, unsigned timeout_ms)
{
    struct store *store = reader->store;
    struct timespec deadline = {0};
    bool timed = false;

    while (!reader->woken && reader->position.seq >= lane_of(reader)->synced) {
        if (timeout_ms == 0)
            return ERR_AGAIN;
        if (!timed)
            deadline = cond_deadline_in(timeout_ms);
        timed = true;
        if (pthread_cond_timedwait(&store->readable, &store->lock, &deadline) == ETIMEDOUT)
            timeout_ms = 0;
    }
    if (!reader->woken)
        return OK;
    reader->woken = false;
    return ERR_AGAIN;
}

enum err spool_reader_next(struct spool_reader *reader, unsigned timeout_ms,
                           struct spool_frame **ret_frame, struct error *error)
{
    struct store *store = reader->store;
    AUTO(give_memory) struct frame_memory *memory = NULL;
    bool done = false;

    pthread_mutex_lock(&store->lock);
    enum err err = await(reader, timeout_ms);
    if (!err) {
        memory = take_memory(store);
        if (memory == NULL)
            err = error_set(error, ERR_NOMEM, "read a frame");
    }
    while (!err && !done) {
        const struct lane *lane = lane_of(reader);
        if (reader->position.seq >= lane->synced)
            err = await(reader, timeout_ms);
        else if (!find_place(reader))
            skip_hole(reader, lane->synced, lane->synced_items);
        else
            err = step(reader, memory, &done, error);
    }
    pthread_mutex_unlock(&store->lock);
    if (err)
        return err;
    *ret_frame = &memory->frame;
    memory = NULL;
    return OK;
}

void spool_reader_wake(struct spool_reader *reader)
{
    pthread_mutex_lock(&reader->store->lock);
    reader->woken = true;
    pthread_cond_broadcast(&reader->store->readable);
    pthread_mutex_unlock(&reader->store->lock);
}

void spool_reader_ack(struct spool_reader *reader, struct spool_position end)
{
    struct store *store = reader->store;
    struct cursor_reader *cursor = &reader->cursor;

    pthread_mutex_lock(&store->lock);
    ASSERT(end.seq <= reader->max_seq);
    if (end.seq >= reader->hole_from.seq && end.seq < reader->hole_to.seq)
        end = reader->hole_to;
    if (end.seq > cursor->seq) {
        cursor->seq = end.seq;
        cursor->items = end.items;
        cursor->damaged = end.damaged;
        cursors_moved(store, reader->lane);
    }
    pthread_mutex_unlock(&store->lock);
}

struct spool_position spool_reader_cursor(struct spool_reader *reader)
{
    const struct cursor_reader *cursor = &reader->cursor;

    pthread_mutex_lock(&reader->store->lock);
    struct spool_position at = {cursor->seq, cursor->items, cursor->damaged};
    pthread_mutex_unlock(&reader->store->lock);
    return at;
}

uint64_t spool_reader_saved(struct spool_reader *reader)
{
    pthread_mutex_lock(&reader->store->lock);
    uint64_t saved = reader->saved_seq;
    pthread_mutex_unlock(&reader->store->lock);
    return saved;
}

struct spool_position spool_reader_position(struct spool_reader *reader)
{
    pthread_mutex_lock(&reader->store->lock);
    struct spool_position at = reader->position;
    pthread_mutex_unlock(&reader->store->lock);
    return at;
}

void spool_reader_rewind(struct spool_reader *reader)
{
    const struct cursor_reader *cursor = &reader->cursor;

    pthread_mutex_lock(&reader->store->lock);
    reader->position = (struct spool_position){cursor->seq, cursor->items, cursor->damaged};
    reader->segment = NULL;
    reader->lost = 0;
    pthread_mutex_unlock(&reader->store->lock);
}
