#include "sidecar/spool/spool.h"
#include "sidecar/spool/store.h"

static uint64_t gap(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* Synced frames in the lane at or behind `seq`. Within a segment sequences have no gaps. */
static uint64_t frames_behind(const struct lane *lane, uint64_t seq)
{
    uint64_t frames = 0;

    for (const struct segment *s = lane->segments; s != NULL; s = s->next) {
        uint64_t from = seq > s->base_seq ? seq : s->base_seq;
        uint64_t end = s->end_seq < lane->synced ? s->end_seq : lane->synced;
        frames += gap(from, end);
    }
    return frames;
}

/* Acceptance of the frame `seq`, or of one a little before it. */
static uint64_t accepted_ns(const struct lane *lane, uint64_t seq)
{
    for (const struct segment *s = lane->segments; s != NULL; s = s->next) {
        if (seq >= s->end_seq || s->mark_count == 0)
            continue;
        const struct segment_mark *mark = segment_mark_before(s, seq);
        return mark != NULL ? mark->accepted_ns : s->marks[0].accepted_ns;
    }
    return 0;
}

static void reader_stats(const struct lane *lane, const struct spool_reader *reader,
                         struct spool_reader_stats *into)
{
    const struct cursor_reader *cursor = &reader->cursor;

    memcpy(into->name, cursor->name, sizeof into->name);
    into->open = reader->open;
    into->cursor = cursor->seq;
    uint64_t ahead = gap(cursor->ahead_from.items, cursor->ahead_to.items);
    uint64_t ahead_frames =
        gap(frames_behind(lane, cursor->ahead_to.seq), frames_behind(lane, cursor->ahead_from.seq));

    into->frames = frames_behind(lane, cursor->seq) - ahead_frames;
    into->items = gap(cursor->items + ahead, lane->synced_items);
    into->dropped = cursor->dropped;
    into->damaged = cursor->damaged + cursor->ahead_to.damaged;
    into->delivered =
        gap(cursor->start_items + cursor->dropped + into->damaged, cursor->items + ahead);
    into->ahead = reader_is_split(reader);
    into->oldest_ns = into->frames > 0 ? accepted_ns(lane, cursor->seq) : 0;
}

static void lane_stats(const struct store *store, const struct lane *lane,
                       struct spool_lane_stats *into)
{
    *into = lane->stats;
    into->items = lane->synced_items;
    into->frames = frames_behind(lane, lane->begin);
    into->segments = lane->count;
    into->bytes = store_lane_bytes(store, lane);
    into->dropped = lane->dropped;
    into->marks = atomic_load(&lane->mark_count);
    into->full = lane->full.code != OK;
    for (int i = 0; i < SPOOL_READERS_MAX; i++)
        if (lane->readers[i].cursor.name[0] != '\0')
            reader_stats(lane, &lane->readers[i], &into->readers[into->reader_count++]);
}

void store_stats(struct store *store, struct spool_stats *ret_stats)
{
    uint64_t others = (uint64_t)store->spare_count + store->damaged_count, bytes = 0;

    pthread_mutex_lock(&store->lock);
    *ret_stats = store->stats;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        lane_stats(store, &store->lanes[i], &ret_stats->lanes[i]);
        bytes += ret_stats->lanes[i].bytes;
    }
    pthread_mutex_unlock(&store->lock);
    ret_stats->size_bytes = store->config.size_bytes;
    ret_stats->disk_bytes = bytes + others * store->config.segment_bytes;
    ret_stats->spare_segments = store->spare_count;
    ret_stats->damaged_segments = store->damaged_count;
}
