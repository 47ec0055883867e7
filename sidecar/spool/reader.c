/* Who reads how far, and what comes next. How frames are read: stretch.c.
 *
 * Fresh frames go first by a second stretch, which begins at the synced end when the backlog is
 * long enough. What is acknowledged of it is one range, kept in the cursor file, so a restart
 * repeats no more than it would without. While both have something to give, every TURNSth frame is
 * one of the backlog, which therefore drains whatever comes in; and where there is no room left, it
 * alone is read, because only that frees any.
 */
#include "sidecar/spool/reader.h"

#include "common/assert.h"
#include "common/cond.h"
#include "common/os.h"
#include "sidecar/spool/store.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { TURNS = 4 };

static struct lane *lane_of(const struct spool_reader *reader)
{
    return &reader->store->lanes[reader->lane];
}

/* ---- opening and closing */

/* From where the cursor is, and from where fresh frames were acknowledged last. A range that can't
 * be costs repeats, not frames. */
static void begin_stretches(struct spool_reader *reader)
{
    struct cursor_reader *cursor = &reader->cursor;

    if (cursor->seq >= cursor->ahead_from.seq || cursor->ahead_from.seq > cursor->ahead_to.seq ||
        cursor->ahead_to.seq > lane_of(reader)->synced)
        cursor->ahead_from = cursor->ahead_to = (struct spool_position){0};
    struct spool_position at = {.seq = cursor->seq, .items = cursor->items};

    stretch_begin(reader_main(reader), reader, at, cursor->damaged);
    stretch_begin(reader_ahead(reader), reader, cursor->ahead_to, 0);
}

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
            reader->saved = (struct spool_saved){0};
        }
        *reader = (struct spool_reader){.store = store,
                                        .lane = lane_id,
                                        .open = true,
                                        .cursor = cursor,
                                        .saved = reader->saved};
        begin_stretches(reader);
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
    (*reader)->stretches[0].segment = (*reader)->stretches[1].segment = NULL;
    pthread_mutex_unlock(&store->lock);
    *reader = NULL;
}

void reader_cursors_moved(struct store *store, enum signal lane_id)
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
            reader_cursors_moved(store, lane_id);
        }
        break;
    }
    pthread_mutex_unlock(&store->lock);
    if (err)
        return error_set(error, err, "reader '%s' of %s %s", name, signal_name(lane_id),
                         err == ERR_CONFLICT ? "is open" : "is not known");
    return OK;
}

/* ---- what comes next; the lock is held by all of these */

static bool has_more(const struct stretch *stretch)
{
    return stretch->position.seq < stretch_limit(stretch).seq;
}

/* Whether more than `bytes` of frames wait behind the position. */
static bool is_behind(struct spool_reader *reader, uint64_t bytes)
{
    const struct stretch *main = reader_main(reader);
    uint64_t sum = 0;

    for (const struct segment *s = lane_of(reader)->segments; s != NULL && sum <= bytes;
         s = s->next) {
        if (s->end_seq > main->position.seq)
            sum += s == main->segment && s->used > main->offset ? s->used - main->offset : s->used;
    }
    return sum > bytes;
}

static void split(struct spool_reader *reader)
{
    const struct lane *lane = lane_of(reader);
    struct spool_position from = {.seq = lane->synced, .items = lane->synced_items};

    stretch_begin(reader_ahead(reader), reader, from, 0);
    reader->cursor.ahead_from = reader->cursor.ahead_to = from;
    reader->turn = 0;
}

/* NULL: nothing is there. */
static struct stretch *choose(struct spool_reader *reader)
{
    struct stretch *main = reader_main(reader), *ahead = reader_ahead(reader);

    if (!reader_is_split(reader)) {
        if (!has_more(main))
            return NULL;
        if (reader->fresh_from > 0 && is_behind(reader, reader->fresh_from))
            split(reader);
        return main;
    }
    if (!has_more(ahead))
        return has_more(main) ? main : NULL;
    if (!has_more(main))
        return ahead;
    return reader->turn % TURNS == 0 || lane_of(reader)->full.code != OK ? main : ahead;
}

/* Waits until there is something, or for `timeout_ms`. */
static enum err await(struct spool_reader *reader, unsigned timeout_ms,
                      struct stretch **ret_stretch)
{
    struct store *store = reader->store;
    struct timespec deadline = {0};
    bool timed = false;

    while (!reader->woken && (*ret_stretch = choose(reader)) == NULL) {
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
    AUTO(frame_memory_give) struct frame_memory *memory = NULL;
    struct stretch *stretch = NULL;
    bool done = false;

    pthread_mutex_lock(&store->lock);
    enum err err = await(reader, timeout_ms, &stretch);
    if (!err) {
        memory = frame_memory_take(store);
        if (memory == NULL)
            err = error_set(error, ERR_NOMEM, "read a frame");
    }
    while (!err && !done) {
        err = stretch_step(stretch, memory, &done, error);
        if (!err && !done)
            err = await(reader, timeout_ms, &stretch);
    }
    reader->turn += done;
    pthread_mutex_unlock(&store->lock);
    if (err)
        return err;
    *ret_frame = &memory->frame;
    memory = NULL;
    return OK;
}

void spool_reader_fresh_first(struct spool_reader *reader, uint64_t backlog_bytes)
{
    pthread_mutex_lock(&reader->store->lock);
    reader->fresh_from = backlog_bytes;
    pthread_mutex_unlock(&reader->store->lock);
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
    const struct cursor_reader *cursor = &reader->cursor;

    pthread_mutex_lock(&store->lock);
    bool ahead = reader_is_split(reader) && end.seq > cursor->ahead_from.seq;
    struct stretch *stretch = ahead ? reader_ahead(reader) : reader_main(reader);
    ASSERT(end.seq <= stretch->max_seq);
    if (end.seq >= stretch->hole_from.seq && end.seq < stretch->hole_to.seq)
        end = stretch->hole_to;
    if (end.seq > (ahead ? cursor->ahead_to.seq : cursor->seq))
        stretch_acknowledge(stretch, end);
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

struct spool_saved spool_reader_saved(struct spool_reader *reader)
{
    pthread_mutex_lock(&reader->store->lock);
    struct spool_saved saved = reader->saved;
    pthread_mutex_unlock(&reader->store->lock);
    return saved;
}

void spool_reader_rewind(struct spool_reader *reader)
{
    pthread_mutex_lock(&reader->store->lock);
    begin_stretches(reader);
    pthread_mutex_unlock(&reader->store->lock);
}
