/* Frames out of segments.
 *
 * A stretch's place is (segment, offset); what it expects there is its position. The lock is
 * released while it reads, with the segment pinned. Whatever moved the position meanwhile (a drop,
 * a rewind, the end of the stretch) wins, and what was read is thrown away.
 *
 * Where the expected frame is not, the next header of the same life is looked for, at every 4 KiB.
 * How many items were lost is known exactly once another frame is found: it tells how many there
 * were before it.
 */
#include "common/os.h"
#include "sidecar/spool/store.h"

enum { READ_FIRST = 16 * 1024 }; /* at least so much at once: most small frames in one call */

static struct lane *lane_of(const struct stretch *stretch)
{
    return &stretch->reader->store->lanes[stretch->reader->lane];
}

/* ---- how far it is */

void stretch_begin(struct stretch *stretch, struct spool_reader *reader, struct spool_position at,
                   uint64_t damaged_before)
{
    *stretch = (struct stretch){.reader = reader,
                                .position = at,
                                .damaged_before = damaged_before,
                                .max_seq = at.seq,
                                .guess = READ_FIRST};
}

static bool is_ahead(const struct stretch *stretch)
{
    const struct spool_reader *reader = stretch->reader;
    return reader_is_split(reader) && stretch != &reader->stretches[reader->main];
}

struct spool_position stretch_limit(const struct stretch *stretch)
{
    const struct lane *lane = lane_of(stretch);

    if (reader_is_split(stretch->reader) && !is_ahead(stretch))
        return stretch->reader->cursor.ahead_from;
    return (struct spool_position){lane->synced, lane->synced_items, 0};
}

static uint64_t acknowledged(const struct stretch *stretch)
{
    const struct cursor_reader *cursor = &stretch->reader->cursor;
    return is_ahead(stretch) ? cursor->ahead_to.seq : cursor->seq;
}

/* The cursor has come to where the stretch ahead began. */
static void join(struct spool_reader *reader)
{
    struct cursor_reader *cursor = &reader->cursor;
    struct stretch *main = reader_main(reader), *ahead = reader_ahead(reader);

    ahead->damaged_before = cursor->damaged;
    ahead->lost += main->lost;
    main->segment = NULL; /* whoever reads there now throws it away */
    main->position.seq = UINT64_MAX;
    reader->main = 1 - reader->main;
    cursor->seq = cursor->ahead_to.seq;
    cursor->items = cursor->ahead_to.items;
    cursor->damaged += cursor->ahead_to.damaged;
    cursor->ahead_from = cursor->ahead_to = (struct spool_position){0};
}

static void move_cursor(struct spool_reader *reader, uint64_t seq, uint64_t items, uint64_t damaged)
{
    struct cursor_reader *cursor = &reader->cursor;

    cursor->seq = seq;
    cursor->items = items;
    cursor->damaged = damaged;
    if (reader_is_split(reader) && seq >= cursor->ahead_from.seq)
        join(reader);
}

void stretch_acknowledge(struct stretch *stretch, struct spool_position to)
{
    struct spool_reader *reader = stretch->reader;

    if (is_ahead(stretch))
        reader->cursor.ahead_to = to;
    else
        move_cursor(reader, to.seq, to.items, to.damaged + stretch->damaged_before);
    reader_cursors_moved(reader->store, reader->lane);
}

static uint64_t gap(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* The cursor and the main stretch, up to a place that is not behind the stretch ahead's beginning.
 */
static uint64_t drop_main(struct spool_reader *reader, uint64_t seq, uint64_t items)
{
    struct stretch *main = reader_main(reader);
    struct cursor_reader *cursor = &reader->cursor;
    uint64_t lost = 0;

    if (main->position.seq < seq) {
        main->lost += gap(main->position.items, items);
        main->position.seq = seq;
        main->position.items = items;
        main->segment = NULL;
    }
    if (cursor->seq < seq) {
        lost = gap(cursor->items, items);
        cursor->dropped += lost;
        move_cursor(reader, seq, items, cursor->damaged);
    }
    return lost;
}

uint64_t reader_drop_below(struct spool_reader *reader, uint64_t seq, uint64_t items)
{
    struct spool_position from = reader->cursor.ahead_from;
    uint64_t lost = 0;

    if (reader_is_split(reader) && seq > from.seq)
        lost = drop_main(reader, from.seq, from.items);
    return lost + drop_main(reader, seq, items);
}

/* ---- the place */

static uint64_t first_offset(const struct segment *segment)
{
    return segment->mark_count > 0 ? segment->marks[0].offset : 0;
}

/* Makes `segment` the one that holds the position. False: none does. */
static bool find_place(struct stretch *stretch)
{
    struct segment *segment = stretch->segment;
    uint64_t seq = stretch->position.seq;

    if (segment != NULL && seq < segment->end_seq)
        return true;
    for (segment = lane_of(stretch)->segments; segment != NULL; segment = segment->next)
        if (seq < segment->end_seq && segment->used > 0)
            break;
    stretch->segment = segment;
    if (segment == NULL)
        return false;
    const struct segment_mark *mark = segment_mark_before(segment, seq);
    stretch->offset = mark != NULL ? mark->offset : first_offset(segment);
    return true;
}

/* Goes on to `to` without handing anything out, which is acknowledged at once if all before it is,
 * or else together with that. */
static void pass(struct stretch *stretch, struct spool_position to)
{
    if (stretch->hole_to.seq != stretch->position.seq)
        stretch->hole_from = stretch->position;
    stretch->position = to;
    stretch->max_seq = to.seq;
    stretch->hole_to = to;
    if (acknowledged(stretch) >= stretch->hole_from.seq)
        stretch_acknowledge(stretch, to);
}

/* Goes past frames that can't be had: up to `seq`, with `items` before it (less: not known). */
static void skip_hole(struct stretch *stretch, uint64_t seq, uint64_t items)
{
    struct lane *lane = lane_of(stretch);
    struct spool_position to = stretch->position;

    if (seq <= to.seq)
        return;
    if (to.seq >= lane->damage_counted) {
        lane->damage_counted = seq;
        lane->stats.damage_events++;
    }
    if (stretch->segment != NULL)
        stretch->segment->damaged = true;
    if (items > to.items) {
        to.damaged += items - to.items;
        stretch->lost += items - to.items;
        to.items = items;
    }
    to.seq = seq;
    pass(stretch, to);
}

/* Frames of the segment that may be read. */
static uint64_t readable_end(const struct stretch *stretch)
{
    uint64_t limit = stretch_limit(stretch).seq, end = stretch->segment->end_seq;
    return end < limit ? end : limit;
}

/* There is nothing behind the offset in this segment. */
static void leave_segment(struct stretch *stretch)
{
    const struct segment *segment = stretch->segment;
    struct spool_position limit = stretch_limit(stretch);

    if (segment->end_seq <= limit.seq)
        skip_hole(stretch, segment->end_seq, segment->end_items);
    else
        skip_hole(stretch, limit.seq, limit.items);
}

/* ---- reading */

/* Reads the frame at the place. `*ret_header` is set whenever the header is sound; a frame below
 * `wanted`, or with nothing but marks, is not read any further. ERR_NOTFOUND: no header of this
 * life; ERR_CORRUPT: the body. */
static enum err read_frame(struct stretch *stretch, const struct segment *segment, uint64_t offset,
                           uint64_t wanted, struct frame_memory *memory,
                           struct frame_header *ret_header, struct error *error)
{
    uint64_t left = segment->size > offset ? segment->size - offset : 0;
    size_t first = stretch->guess < left ? stretch->guess : (size_t)left;
    size_t got = 0;

    if (left < FRAME_ALIGN)
        return ERR_NOTFOUND;
    enum err err = frame_memory_reserve(memory, first, error);
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
        err = frame_memory_reserve(memory, len, error);
        if (!err)
            err =
                os_read_at(segment->fd, memory->bytes + got, len - got, offset + got, &more, error);
        if (err)
            return err;
        if (more < len - got)
            return ERR_CORRUPT;
    }
    stretch->guess = len < READ_FIRST ? READ_FIRST : (size_t)frame_len(&header);
    return frame_body_fits(&header, memory->bytes + FRAME_HEADER) ? OK : ERR_CORRUPT;
}

static void deliver(struct stretch *stretch, struct frame_memory *memory,
                    const struct frame_header *header)
{
    const uint8_t *bytes = memory->lent != NULL ? memory->lent->bytes : memory->bytes;
    const uint8_t *data = bytes + FRAME_HEADER;
    struct spool_position *position = &stretch->position;

    *position = (struct spool_position){header->seq + 1, header->items_before + header->items,
                                        position->damaged};
    stretch->max_seq = position->seq;
    stretch->offset = header->offset + frame_len(header);
    memory->entry = 0;
    memory->entry_data = memory->entry_meta = 0;
    memory->frame = (struct spool_frame){
        .lane = header->lane,
        .incarnation = header->incarnation,
        .seq = header->seq,
        .accepted_ns = header->accepted_ns,
        .items = header->items,
        .lost_items = stretch->lost,
        .ahead = is_ahead(stretch),
        .data = {data, header->data_len},
        .meta = {data + header->data_len + (size_t)header->entries * FRAME_ENTRY, header->meta_len},
        .entry_count = header->entries,
        .end = *position,
    };
    stretch->lost = 0;
}

/* Hands out the frame if it is still in memory. */
static bool deliver_recent(struct stretch *stretch, struct frame_memory *memory)
{
    struct lane *lane = lane_of(stretch);
    struct frame_buf *frame = recent_take(lane, stretch->position.seq);

    if (frame == NULL)
        return false;
    const struct frame_header *header = &frame->header;
    if (stretch->segment != NULL && stretch->segment->number != header->number)
        stretch->segment = NULL;
    if (header->items_before > stretch->position.items)
        skip_hole(stretch, header->seq, header->items_before);
    memory->lent = frame;
    deliver(stretch, memory, header);
    recent_tidy(stretch->reader->store, lane);
    return true;
}

/* Looks for a frame behind the place, where there was none. The lock is held, and released for the
 * time of the search. */
static enum err resync(struct stretch *stretch, struct error *error)
{
    struct store *store = stretch->reader->store;
    struct segment *segment = stretch->segment;
    uint64_t seq = stretch->position.seq, from = stretch->offset + FRAME_ALIGN;
    struct frame_header header;

    segment->pins++;
    pthread_mutex_unlock(&store->lock);
    enum err err = segment_find(segment, from, &header, NULL, error);
    pthread_mutex_lock(&store->lock);
    if (--segment->pins == 0)
        pthread_cond_broadcast(&store->unpinned);

    if (err == ERR_NOMEM)
        return err;
    if (stretch->segment != segment || stretch->position.seq != seq)
        return OK;
    if (err || header.seq >= readable_end(stretch)) {
        leave_segment(stretch);
        return OK;
    }
    stretch->offset = header.offset;
    if (header.seq > seq)
        skip_hole(stretch, header.seq, header.items_before);
    return OK;
}

static enum err read_place(struct stretch *stretch, struct frame_memory *memory, bool *ret_done,
                           struct error *error)
{
    struct store *store = stretch->reader->store;
    struct segment *segment = stretch->segment;
    uint64_t seq = stretch->position.seq, offset = stretch->offset;
    struct frame_header header = {0};

    segment->pins++;
    pthread_mutex_unlock(&store->lock);
    enum err err = read_frame(stretch, segment, offset, seq, memory, &header, error);
    pthread_mutex_lock(&store->lock);
    if (--segment->pins == 0)
        pthread_cond_broadcast(&store->unpinned);

    if (err == ERR_NOMEM)
        return err;
    if (stretch->segment != segment || stretch->position.seq != seq || stretch->offset != offset)
        return OK;
    if (err == ERR_IO && ++stretch->failures < SEGMENT_TRIES)
        return err;
    stretch->failures = 0;
    if ((!err || err == ERR_CORRUPT) && header.seq >= readable_end(stretch)) {
        leave_segment(stretch);
        return OK;
    }
    if (!err && header.seq < seq) {
        stretch->offset = offset + frame_len(&header);
        return OK;
    }
    if (err == ERR_CORRUPT) {
        stretch->offset = offset + frame_len(&header);
        skip_hole(stretch, header.seq + 1, header.items_before + header.items);
        return OK;
    }
    if (err)
        return resync(stretch, error);
    /* Frames that went missing without a trace, such as with a whole file, show up here. */
    if (header.items_before > stretch->position.items)
        skip_hole(stretch, header.seq, header.items_before);
    if (header.entries == 0) {
        stretch->offset = offset + frame_len(&header);
        pass(stretch, (struct spool_position){header.seq + 1, stretch->position.items,
                                              stretch->position.damaged});
        return OK;
    }
    deliver(stretch, memory, &header);
    *ret_done = true;
    return OK;
}

enum err stretch_step(struct stretch *stretch, struct frame_memory *memory, bool *ret_done,
                      struct error *error)
{
    if (deliver_recent(stretch, memory)) {
        *ret_done = true;
        return OK;
    }
    if (find_place(stretch))
        return read_place(stretch, memory, ret_done, error);
    struct spool_position limit = stretch_limit(stretch);
    skip_hole(stretch, limit.seq, limit.items);
    return OK;
}
