/* What a directory holds after a crash.
 *
 * 1. Every file is identified by the first frame in it, and filed under its lane by number. Where a
 *    segment's lane_end says that the lane had ended, frames of earlier segments end to count.
 * 2. `synced` is the highest position that any valid header, or the cursor file, tells.
 * 3. Segments that end below it are taken as their successor describes them, unread: damage in them
 *    is found by who reads them. So recovery reads one header for each segment, and the tail.
 * 4. In the tail, the first frame at or above `synced` that is missing or fails its check is where
 *    a write was torn: it and all behind it was never acknowledged, and counts no more. Missing
 *    frames below `synced` are damage.
 *
 * 5. The marks are those of the newest segment whose first frame tells them all, with what the
 * frames behind it say.
 *
 * What can't be read behind the last frame of a lane may be frames too: the lane then ends at the
 * next run's first sequence, so that nothing declares them void.
 *
 * Nothing is written here. New frames go to a new segment, whose lane_end repeats the verdict.
 */
#include "common/array.h"
#include "common/assert.h"
#include "common/clock.h"
#include "common/os.h"
#include "sidecar/spool/store.h"

#include <inttypes.h>
#include <stdlib.h>

struct found {
    struct segment *segment;
    struct frame_header first;
    uint64_t limit;     /* frames from here on do not count */
    uint64_t last_byte; /* end of its last valid frame, once scanned */
    bool scanned;
    bool counts;     /* some of its frames do; they may be below `begin` */
    bool whole;      /* nothing is missing before the end of the lane, which is in it */
    bool unreadable; /* some place in it: what is missing may be there, so it is not a torn write */
    bool hides;      /* the same, and nothing else tells where the lane ends */
    const struct frame_header *heir; /* first frame written after its last one; NULL: not known */
};

struct finds {
    struct store *store;
    struct found *all;
    size_t count, cap;
    bool unsure; /* some file may hold another life, where it could not be read */
};

static enum err add(struct finds *finds, struct segment **segment, const struct frame_header *first,
                    struct error *error)
{
    struct found *all = array_grow(finds->all, finds->count, &finds->cap, sizeof *all);
    if (all == NULL)
        return error_set(error, ERR_NOMEM, "%zu segments", finds->count + 1);
    finds->all = all;
    struct found *found = &finds->all[finds->count++];
    *found = (struct found){.first = *first};
    MOVE(found->segment, *segment);
    return OK;
}

static void note_damaged(struct store *store, uint32_t slot)
{
    if (store->damaged_count < STORE_DAMAGED_MAX)
        store->damaged[store->damaged_count++] = slot;
}

/* What can't be read may hold frames: the file stays as it is, out of use. */
static void leave_alone(struct store *store, struct segment **segment)
{
    store->stats.unreadable_segments++;
    segment_close(segment);
}

static enum err visit_name(void *context, const char *name, struct error *error)
{
    struct finds *finds = context;
    struct store *store = finds->store;
    AUTO(segment_close) struct segment *segment = NULL;
    struct frame_header first;
    uint32_t slot = 0;
    bool damaged = segment_slot(name, DAMAGED_SUFFIX, &slot);

    if (!damaged && !segment_slot(name, SEGMENT_SUFFIX, &slot))
        return OK;
    if (slot >= store->next_slot)
        store->next_slot = slot + 1;
    if (damaged) {
        note_damaged(store, slot);
        return OK;
    }
    enum err err = ERR_IO;
    for (int i = 0; i < SEGMENT_TRIES && err == ERR_IO; i++)
        err = segment_open(store->dir, slot, true, &segment, error);
    if (!err)
        err = segment_identify(segment, &first, error);
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_NOTFOUND && segment != NULL) {
        store_dispose(store, &segment);
        return OK;
    }
    if (err) {
        leave_alone(store, &segment);
        return OK;
    }
    finds->unsure = finds->unsure || segment->unsure;
    if (first.number >= store->next_number)
        store->next_number = first.number + 1;
    return add(finds, &segment, &first, error);
}

static int by_lane_and_number(const void *left, const void *right)
{
    const struct found *a = left, *b = right;

    if (a->first.lane != b->first.lane)
        return a->first.lane < b->first.lane ? -1 : 1;
    if (a->first.number != b->first.number)
        return a->first.number < b->first.number ? -1 : 1;
    return 0;
}

/* ---- one lane: `finds` is its part of the array, in order of number */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A segment's limit is the lowest lane_end of those behind it. The first frame of the one that
 * tells it also tells the items up to there, unless that frame is not the first any more. */
static void set_limits(struct found *finds, size_t count)
{
    const struct frame_header *heir = NULL;
    uint64_t limit = UINT64_MAX;

    for (size_t i = count; i-- > 0;) {
        finds[i].limit = limit;
        finds[i].heir = heir;
        if (finds[i].first.lane_end > limit)
            continue;
        limit = finds[i].first.lane_end;
        heir = finds[i].segment->damaged ? NULL : &finds[i].first;
    }
}

/* Frame at `offset`, or else the next one behind, below the segment's limit. */
static enum err next_header(struct found *found, uint64_t offset, struct frame_header *ret_header,
                            struct error *error)
{
    enum err err = segment_header(found->segment, offset, ret_header, NULL);
    if (err)
        err = segment_find(found->segment, offset, ret_header, &found->unreadable, error);
    if (!err && ret_header->seq >= found->limit)
        return ERR_NOTFOUND;
    return err;
}

/* Raises *synced to what the headers in the segment tell, and finds the last of them. */
static enum err scan_headers(struct found *found, uint64_t *synced, struct error *error)
{
    struct frame_header header;
    uint64_t offset = found->first.offset;

    found->scanned = true;
    for (;;) {
        enum err err = next_header(found, offset, &header, error);
        if (err)
            return err == ERR_NOTFOUND ? OK : err;
        *synced = larger(*synced, header.synced);
        offset = header.offset + frame_len(&header);
        found->last_byte = offset;
    }
}

/* Unless it can be read and is not sound, nothing is held against a body. */
static bool body_is_torn(struct found *found, const struct frame_header *header, uint8_t *scratch)
{
    uint64_t len = frame_body_len(header);
    size_t got = 0;

    if (segment_read(found->segment, scratch, (size_t)len, header->offset + FRAME_HEADER, &got,
                     NULL) != OK) {
        found->unreadable = true;
        return false;
    }
    return got < len || !frame_body_fits(header, scratch);
}

/* Walks the tail; `*ret_end` is where the lane ends in this segment. `*ret_torn`: it does not go on
 * behind it. */
static enum err check_frames(struct found *found, uint64_t synced, uint64_t *ret_end,
                             bool *ret_torn, struct error *error)
{
    struct segment *segment = found->segment;
    uint64_t expected = segment->damaged ? found->first.lane_end : found->first.seq;
    bool gap = segment->damaged;
    uint8_t *scratch = malloc(segment->size);
    enum err err = OK;

    if (scratch == NULL)
        return error_set(error, ERR_NOMEM, "check segment %" PRIu32, segment->slot);
    *ret_torn = false;
    segment->used = 0;
    segment->mark_count = 0;
    for (uint64_t offset = found->first.offset; offset < found->last_byte;) {
        struct frame_header header;
        err = next_header(found, offset, &header, error);
        if (err)
            break;
        if (header.seq <
            expected) { /* sound, but it can't be: its bits were set by something else */
            offset = header.offset + FRAME_ALIGN;
            gap = true;
            continue;
        }
        if (header.seq > expected && header.seq > synced && !found->unreadable) {
            *ret_torn = true;
            break;
        }
        gap = gap || header.seq > expected || header.offset != offset;
        expected = header.seq;
        if (header.seq >= synced && body_is_torn(found, &header, scratch)) {
            *ret_torn = true;
            break;
        }
        segment_note(segment, &header);
        expected = header.seq + 1;
        offset = header.offset + frame_len(&header);
    }
    free(scratch);
    *ret_end = larger(expected, synced < found->limit ? synced : found->limit);
    if (*ret_torn)
        *ret_end = larger(expected, synced);
    else if (found->limit != UINT64_MAX && *ret_end < found->limit && !found->unreadable)
        *ret_torn = true;
    found->whole = !gap && !found->unreadable && found->limit == UINT64_MAX && segment->used > 0 &&
                   segment->end_seq == *ret_end;
    return err == ERR_NOTFOUND ? OK : err;
}

/* A segment below `synced`, as the one behind it tells. */
static void take_unread(struct found *found)
{
    struct segment *segment = found->segment;

    segment->end_seq = found->limit;
    segment->end_items = larger(segment->base_items, found->heir->items_before);
    segment->youngest_ns = found->heir->accepted_ns;
    segment->used = segment->size;
}

static void append(struct lane *lane, struct found *found)
{
    struct segment **tail = &lane->segments;

    while (*tail != NULL)
        tail = &(*tail)->next;
    MOVE(*tail, found->segment);
    lane->count++;
}

/* Where nothing tells the items at the end of the lane, what the cursor file says is the least. New
 * frames get sequences above all that were ever given out; `run_min` is for who can't know them. */
static void finish_lane(struct lane *lane, const struct cursor_lane *saved, uint64_t synced,
                        uint64_t run_min)
{
    lane->end = larger(lane->end, synced);
    uint64_t next = lane->end;

    lane->items = larger(lane->items, saved->items);
    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        struct spool_reader *reader = &lane->readers[i];
        reader->cursor = saved->readers[i];
        next = larger(next, larger(reader->cursor.seq, reader->cursor.ahead_to.seq));
        if (reader->cursor.name[0] != '\0')
            lane->items =
                larger(lane->items, larger(reader->cursor.items, reader->cursor.ahead_to.items));
    }
    for (struct segment *s = lane->segments; s != NULL; s = s->next)
        if (s->end_seq == lane->end)
            s->end_items = lane->items; /* with those of a last frame that is damaged */
    next = larger(next, saved->given > 0 ? saved->given - 1 : 0);
    lane->run_begin = larger(next / STORE_RUN + 1, run_min) * STORE_RUN;
    lane->next_seq = lane->run_begin;
    lane->begin = lane->end;
    if (lane->segments != NULL)
        lane->begin = larger(saved->begin, lane->segments->base_seq);
    lane->synced = lane->end;
    lane->synced_items = lane->items;
    lane->dropped = saved->dropped;
}

/* ---- marks */

/* Takes over the marks of one frame. What fails its check, or can't be read, is left out
 * and counted. */
static enum err take_marks(struct store *store, const struct segment *segment,
                           const struct frame_header *header, struct error *error)
{
    struct lane *lane = &store->lanes[header->lane];
    size_t len = (size_t)frame_body_len(header), got = 0;

    if (header->marks_len == 0 && (header->flags & FRAME_ALL_MARKS) == 0)
        return OK;
    if (header->marks_len == 0) {
        if (lane->marks != NULL)
            marks_clear(lane->marks);
        return OK;
    }
    uint8_t *body = malloc(len);
    if (body == NULL)
        return error_set(error, ERR_NOMEM, "read marks in a frame of %zu bytes", len);
    enum err err = OK;
    if (segment_read(segment, body, len, header->offset + FRAME_HEADER, &got, NULL) == OK &&
        got == len && frame_body_fits(header, body)) {
        err = store_need_marks(lane, error);
        if (!err && (header->flags & FRAME_ALL_MARKS) != 0)
            marks_clear(lane->marks);
        if (!err && !marks_apply(lane->marks,
                                 (struct bytes){body + len - header->marks_len, header->marks_len}))
            err = error_set(error, ERR_INVALID, "segment %" PRIu32 " has more marks than %d",
                            segment->slot, SPOOL_MARKS_MAX);
    } else {
        lane->stats.unread_marks++;
    }
    free(body);
    return err;
}

/* Whether the marks need nothing from before this segment. */
static bool tells_all_marks(const struct found *found)
{
    const struct frame_header *first = &found->first;
    size_t len = (size_t)frame_body_len(first), got = 0;

    if (!found->counts || found->segment->damaged)
        return false;
    if (first->marks_len == 0)
        return true;
    uint8_t *body = malloc(len);
    bool sound =
        body != NULL &&
        segment_read(found->segment, body, len, first->offset + FRAME_HEADER, &got, NULL) == OK &&
        got == len && frame_body_fits(first, body);
    free(body);
    return sound;
}

/* Takes over the marks of all frames of the segment that count. */
static enum err replay_marks(struct store *store, const struct found *found, struct error *error)
{
    const struct segment *segment = found->segment;
    struct frame_header header;
    uint64_t offset = found->first.offset;

    for (;;) {
        enum err err = segment_header(segment, offset, &header, NULL);
        if (err)
            err = segment_find(segment, offset, &header, NULL, error);
        if (err || header.seq >= segment->end_seq)
            return err == ERR_NOMEM ? err : OK;
        err = take_marks(store, segment, &header, error);
        if (err)
            return err;
        offset = header.offset + frame_len(&header);
    }
}

/* Fills the table of marks; `*ret_from` is the first segment that it takes to do so. */
static enum err recover_marks(struct store *store, enum signal lane_id, struct found *finds,
                              size_t count, size_t *ret_from, struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    size_t from = count;

    while (from > 0 && !tells_all_marks(&finds[from - 1]))
        from--;
    from -= from > 0;
    for (size_t i = from; i < count; i++) {
        enum err err = finds[i].counts ? replay_marks(store, &finds[i], error) : OK;
        if (err)
            return err;
    }
    *ret_from = count;
    if (count == 0 || lane->marks == NULL || marks_count(lane->marks) == 0)
        return OK;
    if (marks_count(lane->marks) > store->marks_max)
        return error_set(error, ERR_INVALID,
                         "%s have %" PRIu32 " marks, and segments of %" PRIu64 " KiB allow %" PRIu32
                         "; start it with the spool.size that it had",
                         signal_name(lane_id), marks_count(lane->marks),
                         store->config.segment_bytes >> 10, store->marks_max);
    atomic_store(&lane->mark_count, marks_count(lane->marks));
    lane->marks_from = finds[from].segment->base_seq;
    *ret_from = from;
    return OK;
}

/* ---- the lane as a whole */

/* Finds out which frames of which segments count. */
static enum err judge(struct lane *lane, struct found *finds, size_t count,
                      const struct cursor_lane *saved, uint64_t *synced, struct error *error)
{
    bool torn = false;

    set_limits(finds, count);
    for (size_t i = 0; i < count; i++)
        *synced = larger(*synced, finds[i].first.synced);
    for (size_t i = 0; i < count; i++) {
        bool known = finds[i].limit <= *synced && finds[i].heir != NULL;
        enum err err = known ? OK : scan_headers(&finds[i], synced, error);
        if (err)
            return err;
    }
    for (size_t i = 0; i < count; i++) {
        struct found *found = &finds[i];
        uint64_t end = found->limit;
        bool void_ = torn || found->first.seq >= found->limit;
        enum err err = OK;

        if (!void_ && (!found->scanned || (found->heir != NULL && end <= saved->begin)))
            take_unread(found);
        else if (!void_)
            err = check_frames(found, *synced, &end, &torn, error);
        if (err)
            return err;
        if (torn)
            lane->stats.torn = 1;
        bool empty = found->segment->used == 0 || end <= found->segment->base_seq;
        found->segment->end_seq = end;
        found->counts = !void_ && !empty;
        found->hides = found->unreadable && found->counts && found->limit == UINT64_MAX;
        found->unreadable = found->unreadable && !void_ && empty;
    }
    return OK;
}

static enum err recover_lane(struct store *store, enum signal lane_id, struct found *finds,
                             size_t count, const struct cursor_lane *saved, uint64_t run_min,
                             struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    uint64_t synced = saved->synced;
    size_t marks_at = count;
    struct segment *hides = NULL;

    enum err err = judge(lane, finds, count, saved, &synced, error);
    if (!err)
        err = recover_marks(store, lane_id, finds, count, &marks_at, error);
    if (err)
        return err;
    lane->end = saved->begin;
    for (size_t i = 0; i < count; i++) {
        struct found *found = &finds[i];
        uint64_t end = found->segment->end_seq;

        bool needed = found->counts && (end > saved->begin || i >= marks_at);
        if (found->unreadable || (found->segment->unsure && !needed)) {
            leave_alone(store, &found->segment);
        } else if (needed) {
            lane->end = larger(lane->end, end);
            lane->items = larger(lane->items, found->segment->end_items);
            found->segment->inherited = found->scanned;
            found->segment->whole = found->whole;
            hides = found->hides ? found->segment : hides;
            append(lane, found);
        } else {
            found->segment->damaged = false;
            store_dispose(store, &found->segment);
        }
    }
    finish_lane(lane, saved, synced, run_min);
    if (hides == NULL)
        return OK;
    /* What can't be read today is not declared void: readers try again. */
    hides->damaged = true;
    hides->end_seq = lane->end = lane->synced = lane->next_seq;
    lane->stats.damage_events++;
    return OK;
}

/* What can't be read today must not be declared void or gone, nor cut away. */
static void spare_the_unread(struct store *store, const struct cursor_state *state)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        struct lane *lane = &store->lanes[i];
        lane->begin = state->lanes[i].begin;
        lane->end = lane->synced = lane->next_seq;
        for (struct segment *s = lane->segments; s != NULL; s = s->next)
            s->whole = false;
    }
}

static int by_slot(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void finds_fini(struct finds *finds)
{
    for (size_t i = 0; i < finds->count; i++)
        segment_close(&finds->all[i].segment);
    free(finds->all);
}

enum err recovery_run(struct store *store, const struct cursor_state *state, struct error *error)
{
    AUTO(finds_fini) struct finds finds = {.store = store};
    uint64_t now_ms = clock_wall_ms();

    enum err err = os_list(store->dir, visit_name, &finds, error);
    if (err)
        return err;
    /* Files that can't be read today may have numbers too. */
    store->next_number = larger(larger(store->next_number, now_ms), state->numbers);
    qsort(store->damaged, store->damaged_count, sizeof store->damaged[0], by_slot);
    if (finds.count > 0)
        qsort(finds.all, finds.count, sizeof *finds.all, by_lane_and_number);

    /* Who has lost the cursors takes minutes since 1970 for the number of starts. */
    bool lost =
        state->incarnation == 0 && (finds.count > 0 || store->stats.unreadable_segments > 0);
    uint64_t run_min = lost ? now_ms / 60000 : 0;
    size_t at = 0;
    for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++) {
        size_t from = at;
        while (at < finds.count && finds.all[at].first.lane == lane)
            at++;
        struct found *part = finds.all != NULL ? finds.all + from : NULL;
        err = recover_lane(store, lane, part, at - from, &state->lanes[lane], run_min, error);
        if (err)
            return err;
    }
    if (store->stats.unreadable_segments > 0 || finds.unsure)
        spare_the_unread(store, state);
    return OK;
}
