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

/* A segment with room for `len` bytes, active. */
static enum err make_active(struct store *store, enum signal lane_id, size_t len,
                            struct error *error)
{
    const struct lane *lane = &store->lanes[lane_id];

    if (lane->active != NULL && len <= lane->active->size - lane->active->used)
        return OK;
    if (lane->active != NULL)
        store_seal(store, lane_id);
    return store_take_segment(store, lane_id, error);
}

static void stamp(struct store *store, struct lane *lane, struct frame_buf *frame)
{
    struct frame_header *header = &frame->header;

    if (!frame->sealed)
        pending_seal(frame);
    if (!frame->numbered)
        header->seq = lane->next_seq++;
    frame->numbered = true;
    header->incarnation = store->incarnation;
    header->generation = lane->active->generation;
    header->number = lane->active->number;
    header->offset = lane->active->used;
    header->lane_end = lane->active->lane_end;
    header->synced = lane->synced;
    header->items_before = lane->items;
    frame_encode(header, frame->bytes);
}

static enum err write_frame(struct store *store, enum signal lane_id, struct frame_buf *frame,
                            struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];

    if (!frame->sealed)
        pending_seal(frame);
    enum err err = make_active(store, lane_id, frame->len, error);
    if (err)
        return err;
    stamp(store, lane, frame);

    struct segment *segment = lane->active;
    segment->dirty = true;
    err = os_write_at(segment->fd, (struct bytes){frame->bytes, frame->len}, segment->used, error);

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

/* Writes from *at on, and leaves *at at the first frame that was not written. */
static enum err write_frames(struct store *store, enum signal lane, struct frame_buf **at,
                             struct error *error)
{
    for (; *at != NULL; *at = (*at)->next) {
        enum err err = write_frame(store, lane, *at, error);
        if (err)
            return err;
    }
    return OK;
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

/* Syncs what was written in the lane, and lets the readers have it. */
static enum err sync_lane(struct store *store, enum signal lane_id, struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];

    for (struct segment *s = lane->segments; s != NULL; s = s->next) {
        if (!s->dirty || s->retired)
            continue;
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
        if ((!err || err == ERR_FULL) && rest == at) {
            settle(at, NULL, err);
            return;
        }
        if (!err || err == ERR_FULL) {
            if (written != NULL)
                written(context, at, rest);
            err = sync_lane(store, lane, error);
        }
        if (!err) {
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
