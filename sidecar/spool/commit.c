/* Frames into segments.
 *
 * The happy path: every frame of the group is written behind the one before, then what was written
 * to is synced, then `synced` moves and readers see them.
 *
 * When a write or sync fails nobody knows what the disk holds of the group, and a second sync of
 * the same file may lie. But the frames are still in memory. So the file is retired for ever, the
 * lane goes back to where it was last synced, and the group is written once more to a fresh
 * segment, whose lane_end declares the first attempt void. If that fails too, the waiters get the
 * error.
 *
 * Where there is no room, what was written before is synced and answered first.
 */
#include "common/assert.h"
#include "common/clock.h"
#include "common/os.h"
#include "sidecar/spool/store.h"

#include <stdio.h>

static void stamp(struct store *store, struct lane *lane, struct frame_buf *frame)
{
    struct frame_header *header = &frame->header;

    header->seq = lane->next_seq++;
    header->incarnation = store->incarnation;
    header->generation = lane->active->generation;
    header->number = lane->active->number;
    header->offset = lane->active->used;
    header->lane_end = lane->active->lane_end;
    header->synced = lane->synced;
    header->items_before = lane->items;
    header->flags = lane->active->used == 0 ? FRAME_ALL_MARKS : 0;
    frame_encode(header, frame->bytes);
}

/* Writes the frame into the active segment, which has room for it. */
static enum err write_frame(struct store *store, enum signal lane_id, struct frame_buf *frame,
                            struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    struct segment *segment = lane->active;

    ASSERT(frame->len <= segment->size - segment->used);
    stamp(store, lane, frame);
    segment->dirty = true;
    enum err err =
        os_write_at(segment->fd, (struct bytes){frame->bytes, frame->len}, segment->used, error);

    pthread_mutex_lock(&store->lock);
    if (!err) {
        segment_note(segment, &frame->header);
        lane->end = segment->end_seq;
        lane->items = segment->end_items;
        lane->stats.frames_cut++;
    } else {
        store->stats.write_failures++;
    }
    pthread_mutex_unlock(&store->lock);
    if (!err)
        return OK;

    /* Part of it may be there. After ENOSPC the file is sound, but its end is not known. */
    segment->retired = err != ERR_FULL;
    store_seal(store, lane_id);
    return error_prefix(error, err, "segment %u of '%s'", (unsigned)segment->slot, store->dir);
}

/* Puts a frame with all marks of the lane into its new segment, so that it does not take the older
 * ones to know them. Everything before is synced, and so are the marks. */
static enum err write_checkpoint(struct store *store, enum signal lane_id, uint64_t now_ns,
                                 struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    struct frame_buf *frame = lane->checkpoint;

    ASSERT(lane->end == lane->synced);
    pending_reset(frame);
    frame->header.lane = lane_id;
    frame->header.accepted_ns = now_ns;
    frame->header.marks_len = (uint32_t)marks_len(lane->marks);
    marks_encode(lane->marks, frame->marks);
    pending_seal(frame);
    return write_frame(store, lane_id, frame, error);
}

/* What an earlier run left in the kernel's memory only. The marks that this run goes on from, and
 * is about to repeat, came out of it. Where the sync fails, nothing more can be done for it. */
static void sync_inherited(struct store *store, enum signal lane_id)
{
    for (struct segment *s = store->lanes[lane_id].segments; s != NULL; s = s->next) {
        if (!s->inherited)
            continue;
        s->inherited = false;
        if (os_sync(s->fd, NULL) == OK)
            continue;
        pthread_mutex_lock(&store->lock);
        s->retired = true;
        store->stats.sync_failures++;
        store->stats.retired_segments++;
        pthread_mutex_unlock(&store->lock);
    }
}

static enum err begin_segment(struct store *store, enum signal lane_id, uint64_t now_ns,
                              struct error *error)
{
    if (store->lanes[lane_id].active != NULL)
        store_seal(store, lane_id);
    sync_inherited(store, lane_id);
    enum err err = store_take_segment(store, lane_id, error);
    if (err || atomic_load(&store->lanes[lane_id].mark_count) == 0)
        return err;
    return write_checkpoint(store, lane_id, now_ns, error);
}

static bool fits_active(const struct lane *lane, const struct frame_buf *frame)
{
    return lane->active != NULL && frame->len <= lane->active->size - lane->active->used;
}

/* Writes from *at on, and leaves *at at the first frame that was not written. A segment is begun
 * only when all before it is synced: what was written is to be synced first then. */
static enum err write_frames(struct store *store, enum signal lane_id, struct frame_buf **at,
                             struct error *error)
{
    const struct lane *lane = &store->lanes[lane_id];
    enum err err = OK;

    for (; *at != NULL && !err; *at = err ? *at : (*at)->next) {
        struct frame_buf *frame = *at;
        if (!frame->sealed)
            pending_seal(frame);
        if (!fits_active(lane, frame)) {
            if (lane->end != lane->synced)
                return OK;
            err = begin_segment(store, lane_id, frame->header.accepted_ns, error);
        }
        if (!err)
            err = write_frame(store, lane_id, frame, error);
    }
    return err;
}

static void count_sync(struct store *store, uint64_t took_ns, enum err err)
{
    unsigned bucket = 0;

    while (bucket < SPOOL_SYNC_BUCKETS - 1 && took_ns > UINT64_C(125000) << bucket)
        bucket++;
    pthread_mutex_lock(&store->lock);
    store->stats.syncs++;
    store->stats.sync_ns += took_ns;
    store->stats.sync_buckets[bucket]++;
    if (err)
        store->stats.sync_failures++;
    pthread_mutex_unlock(&store->lock);
}

/* Syncs what was written in the lane, the frames up to `end`, and lets the readers have them. */
static enum err sync_lane(struct store *store, enum signal lane_id, struct frame_buf *at,
                          const struct frame_buf *end, struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    uint64_t marks_from = lane->marks_from;

    for (struct segment *s = lane->segments; s != NULL; s = s->next) {
        if (!s->dirty || s->retired)
            continue;
        marks_from = s->base_seq;
        uint64_t start_ns = clock_mono_ns();
        enum err err = os_sync(s->fd, error);
        count_sync(store, clock_mono_ns() - start_ns, err);
        s->dirty = false;
        if (err) {
            s->retired = true;
            return error_prefix(error, err, "segment %u of '%s'", (unsigned)s->slot, store->dir);
        }
    }
    pthread_mutex_lock(&store->lock);
    lane->synced = lane->end;
    lane->synced_items = lane->items;
    if (marks_from != lane->marks_from)
        store->freeable = true; /* a segment may have been kept for its marks only */
    lane->marks_from = marks_from;
    for (; at != end; at = at->next)
        recent_keep(store, lane, at);
    pthread_cond_broadcast(&store->readable);
    pthread_mutex_unlock(&store->lock);
    return OK;
}

/* Back to where the lane was last synced. */
static void rewind_lane(struct store *store, enum signal lane_id)
{
    struct lane *lane = &store->lanes[lane_id];

    pthread_mutex_lock(&store->lock);
    lane->end = lane->synced;
    lane->items = lane->synced_items;
    lane->active = NULL;
    for (struct segment *s = lane->segments; s != NULL; s = s->next) {
        s->dirty = false;
        if (s->retired)
            store->stats.retired_segments++;
        if (s->end_seq > lane->end && s->base_seq < lane->end) {
            s->end_seq = lane->end;
            s->end_items = lane->items;
        }
    }
    pthread_mutex_unlock(&store->lock);
    store_discard_empty(store, lane_id);
}

/* What the frames say of marks is durable. */
static void apply_marks(struct store *store, enum signal lane_id, const struct frame_buf *at,
                        const struct frame_buf *end)
{
    struct lane *lane = &store->lanes[lane_id];

    for (; at != end; at = at->next) {
        if (at->header.marks_len == 0)
            continue;
        pthread_mutex_lock(&store->lock);
        bool applied = marks_apply(lane->marks, (struct bytes){at->marks, at->header.marks_len});
        ASSERT(applied); /* spool_append() has seen to it that they fit */
        atomic_store(&lane->mark_count, marks_count(lane->marks));
        pthread_mutex_unlock(&store->lock);
    }
}

static void settle(struct frame_buf *at, const struct frame_buf *end, enum err verdict)
{
    for (; at != end; at = at->next)
        at->err = verdict;
}

void store_commit(struct store *store, enum signal lane, struct frame_buf *frames,
                  store_written_fn *written, void *context, struct error *error)
{
    struct frame_buf *at = frames;
    struct error unused;

    if (error == NULL)
        error = &unused;
    for (unsigned failures = 0; at != NULL;) {
        struct frame_buf *rest = at;
        enum err err = write_frames(store, lane, &rest, error);
        if (err == ERR_FULL && rest == at) {
            if (store->lanes[lane].end != store->lanes[lane].synced)
                rewind_lane(store, lane); /* there was room for the checkpoint only */
            settle(at, NULL, err);
            return;
        }
        ASSERT(err || rest != at);
        if (!err || err == ERR_FULL) {
            if (written != NULL)
                written(context, at, rest);
            err = sync_lane(store, lane, at, rest, error);
        }
        if (!err) {
            apply_marks(store, lane, at, rest);
            settle(at, rest, OK);
            at = rest;
            continue;
        }
        rewind_lane(store, lane);
        if (++failures == 2) {
            settle(at, NULL, err);
            return;
        }
    }
}
