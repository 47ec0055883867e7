/* Which file holds what, and how much there may be of it.
 *
 * Freeing goes in three steps, so that a crash between any two of them repeats frames at most:
 *   1. in memory, `begin` moves up: nobody will look at the segment again;
 *   2. the cursor file, with that `begin`, is saved;
 *   3. the segment leaves its lane and may be overwritten.
 */
#include "common/assert.h"
#include "common/clock.h"
#include "common/os.h"
#include "sidecar/spool/store.h"

#include <inttypes.h>

enum { CLOCK_JUMP_MS = 60000 };

/* ---- files that are in no lane */

static void remove_damaged(struct store *store)
{
    char path[STORE_PATH_CAP];

    if (segment_path(store->dir, store->damaged[0], DAMAGED_SUFFIX, sizeof path, path))
        /* If it stays it is found again at the next start. */
        IGNORE_RESULT(os_remove(path, NULL));
    store->damaged_count--;
    memmove(store->damaged, store->damaged + 1, store->damaged_count * sizeof store->damaged[0]);
}

/* Keeps the file out of use, for somebody to look at, and a bad sector out of the file system. */
static void set_aside(struct store *store, struct segment **segment)
{
    char from[STORE_PATH_CAP], to[STORE_PATH_CAP];
    uint32_t slot = (*segment)->slot;

    segment_close(segment);
    if (store->damaged_count == STORE_DAMAGED_MAX)
        remove_damaged(store);
    store->damaged[store->damaged_count++] = slot;
    if (segment_path(store->dir, slot, SEGMENT_SUFFIX, sizeof from, from) &&
        segment_path(store->dir, slot, DAMAGED_SUFFIX, sizeof to, to))
        /* Under its old name recovery looks at it again, and frees what is below the cursors. */
        IGNORE_RESULT(os_rename(from, to, NULL));
}

static void push_spare(struct store *store, struct segment **segment)
{
    struct segment *spare = NULL;

    MOVE(spare, *segment);
    spare->next = store->spares;
    store->spares = spare;
    store->spare_count++;
}

void store_dispose(struct store *store, struct segment **segment)
{
    char path[STORE_PATH_CAP];
    bool reusable = (*segment)->size == store->config.segment_bytes;

    if ((*segment)->damaged || (*segment)->retired) {
        set_aside(store, segment);
        return;
    }
    if (reusable && store->spare_count < STORE_SPARES_MAX) {
        (*segment)->prepared = (*segment)->size;
        push_spare(store, segment);
        return;
    }
    if (segment_path(store->dir, (*segment)->slot, SEGMENT_SUFFIX, sizeof path, path))
        /* If it stays it is found again at the next start. */
        IGNORE_RESULT(os_remove(path, NULL));
    segment_close(segment);
}

/* Nothing behind the last frame counts, and nothing that counts can be there: recovery has found
 * all frames in their places up to the end of the lane, and no place that it could not read. */
void store_cut_last(struct store *store)
{
    for (int i = 0; i < SIGNAL_COUNT; i++)
        for (struct segment *s = store->lanes[i].segments; s != NULL; s = s->next)
            if (s->whole && s->used < s->size && segment_cut(s, NULL) != OK)
                store->stats.retired_segments++;
}

uint64_t store_lane_bytes(const struct store *store, const struct lane *lane)
{
    uint64_t least = store->config.segment_bytes / STORE_FILE_SHARE, bytes = 0;

    for (const struct segment *s = lane->segments; s != NULL; s = s->next)
        bytes += s->size > least ? s->size : least;
    return bytes;
}

static uint64_t in_lanes(const struct store *store)
{
    uint64_t bytes = 0;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        bytes += store_lane_bytes(store, &store->lanes[i]);
    return bytes;
}

/* Whether so many segments fit beside `bytes`. */
static bool fits(const struct store *store, uint64_t bytes, uint64_t segments)
{
    uint64_t each = store->config.segment_bytes;
    return bytes + segments * each <= store->segments_max * each;
}

bool store_may_grow(const struct store *store, enum signal lane)
{
    uint64_t reserved = 0;

    for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
        uint64_t share = store->share[i] * store->config.segment_bytes;
        uint64_t has = store_lane_bytes(store, &store->lanes[i]);
        if (i != lane && has < share)
            reserved += share - has;
    }
    return fits(store, in_lanes(store) + reserved, 1 + (uint64_t)store->damaged_count);
}

bool store_may_add(const struct store *store)
{
    return fits(store, in_lanes(store), 1 + (uint64_t)store->spare_count + store->damaged_count);
}

/* A new file, if the file system has the room that the user wants to keep free. */
enum err store_add_spare(struct store *store, struct error *error)
{
    struct segment *segment = NULL;
    unsigned percent = store->config.min_free_percent;

    if (percent > 0) {
        uint64_t left = 0, total = 0;
        enum err err = os_space(store->dir, &left, &total, error);
        if (err)
            return err;
        if (left < total / 100 * percent + store->config.segment_bytes)
            return error_set(error, ERR_FULL,
                             "the file system of '%s' has %" PRIu64 " MiB left of %" PRIu64
                             ", and minFree keeps %u%% free",
                             store->dir, left >> 20, total >> 20, percent);
    }
    enum err err =
        segment_create(store->dir, store->next_slot, store->config.segment_bytes, &segment, error);
    store->next_slot++;
    if (err)
        return err;
    push_spare(store, &segment);
    return OK;
}

/* ---- freeing */

/* Moves `begin` over what all readers have passed. True: some segment can go. */
static bool pass_begin(struct lane *lane)
{
    uint64_t slowest = store_slowest(lane);

    for (const struct segment *s = lane->segments; s != NULL && s != lane->active; s = s->next) {
        if (s->end_seq > slowest)
            break;
        if (s->end_seq > lane->begin)
            lane->begin = s->end_seq;
    }
    const struct segment *first = lane->segments;
    return first != NULL && first != lane->active && first->end_seq <= lane->begin &&
           !store_holds_marks(lane, first);
}

/* No reader is in the segment any more. */
static void forget_place(struct lane *lane, const struct segment *segment)
{
    for (int i = 0; i < SPOOL_READERS_MAX; i++)
        for (int k = 0; k < 2; k++)
            if (lane->readers[i].stretches[k].segment == segment)
                lane->readers[i].stretches[k].segment = NULL;
}

static void unlink_first(struct lane *lane)
{
    struct segment *first = lane->segments;

    forget_place(lane, first);
    if (lane->active == first)
        lane->active = NULL;
    lane->segments = first->next;
    first->next = NULL;
    lane->count--;
}

/* Frees the segments below `begin`. With `wait`, a reader in the middle of one is waited for. */
static void release_below(struct store *store, struct lane *lane, uint64_t begin, bool wait)
{
    pthread_mutex_lock(&store->lock);
    for (;;) {
        struct segment *first = lane->segments;
        if (first == NULL || first == lane->active || first->end_seq > begin ||
            store_holds_marks(lane, first))
            break;
        if (first->pins > 0 && !wait)
            break;
        if (first->pins > 0) {
            pthread_cond_wait(&store->unpinned, &store->lock);
            continue;
        }
        unlink_first(lane);
        pthread_mutex_unlock(&store->lock);
        store_dispose(store, &first);
        pthread_mutex_lock(&store->lock);
    }
    pthread_mutex_unlock(&store->lock);
}

enum err store_free_passed(struct store *store, bool wait, struct error *error)
{
    uint64_t begin[SIGNAL_COUNT];
    bool any = false;

    pthread_mutex_lock(&store->lock);
    store->freeable = false;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        any = pass_begin(&store->lanes[i]) || any;
        begin[i] = store->lanes[i].begin;
    }
    pthread_mutex_unlock(&store->lock);
    if (!any)
        return OK;

    enum err err = store_save_cursors(store, error);
    if (err)
        return err;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        release_below(store, &store->lanes[i], begin[i], wait);
    return OK;
}

static uint64_t gap(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* Takes the frames of `segment` from under the readers, with the items they have not had. */
static void drop_from_readers(struct lane *lane, const struct segment *segment)
{
    uint64_t unread = 0, base = gap(segment->base_items, segment->end_items);
    bool readers = false;

    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        struct spool_reader *reader = &lane->readers[i];
        if (reader->cursor.name[0] == '\0')
            continue;
        readers = true;
        uint64_t lost = reader_drop_below(reader, segment->end_seq, segment->end_items);
        if (lost > unread)
            unread = lost;
    }
    lane->dropped += readers ? unread : base;
}

/* Gives up the oldest sealed segment that still counts. False: there is none, or, `for_room`, none
 * whose file could be had by that. */
static bool drop_oldest(struct store *store, enum signal lane_id, bool for_room)
{
    struct lane *lane = &store->lanes[lane_id];
    static const struct error dropped = {
        ERR_FULL, "dropped before it was replicated: the spool is full (whenFull: DropOldest)"};

    pthread_mutex_lock(&store->lock);
    struct segment *oldest = lane->segments;
    while (oldest != NULL && oldest->end_seq <= lane->begin)
        oldest = oldest->next;
    if (oldest == NULL || oldest == lane->active || oldest->end_seq > lane->synced ||
        (for_room && store_holds_marks(lane, oldest))) {
        pthread_mutex_unlock(&store->lock);
        return false;
    }
    drop_from_readers(lane, oldest);
    lane->begin = oldest->end_seq;
    store_answer_replicated(store, lane_id, lane->begin, ERR_FULL, &dropped);
    pthread_mutex_unlock(&store->lock);
    return true;
}

/* A clock that was put forward makes everything look older than it is. What was there before is as
 * old as it looks, or dropped already, when as much time as it may stay has passed since. */
static bool clock_was_put_forward(struct store *store, uint64_t now_ns)
{
    uint64_t mono_ms = clock_mono_ms();
    int64_t ahead_ms = (int64_t)(now_ns / 1000000u) - (int64_t)mono_ms;

    if (ahead_ms > store->wall_ahead_ms + CLOCK_JUMP_MS)
        store->expire_after_ms = mono_ms + store->config.max_age_ms;
    store->wall_ahead_ms = ahead_ms;
    return mono_ms < store->expire_after_ms;
}

bool store_expire(struct store *store)
{
    uint64_t age_ns = store->config.max_age_ms * 1000000u, now_ns = clock_wall_ns();
    bool any = false;

    if (clock_was_put_forward(store, now_ns) || age_ns == 0 || now_ns < age_ns)
        return false;
    for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
        const struct lane *lane = &store->lanes[i];
        for (;;) {
            pthread_mutex_lock(&store->lock);
            const struct segment *oldest = lane->segments;
            while (oldest != NULL && oldest->end_seq <= lane->begin)
                oldest = oldest->next;
            bool old = oldest != NULL && oldest->used > 0 && oldest->youngest_ns != 0 &&
                       oldest->youngest_ns < now_ns - age_ns &&
                       store_slowest(lane) < oldest->end_seq;
            bool active = oldest != NULL && oldest == lane->active;
            pthread_mutex_unlock(&store->lock);
            if (!old)
                break;
            if (active)
                store_seal(store, i);
            if (!drop_oldest(store, i, false))
                break;
            any = true;
        }
    }
    return any;
}

/* ---- taking */

static enum err full(struct store *store, enum signal lane, enum err err, struct error *error)
{
    struct error sentence;
    const struct lane *mine = &store->lanes[lane];

    if (err == ERR_FULL && error != NULL && error->code == ERR_FULL)
        error_set(&sentence, ERR_FULL, "the spool is full for %s: %s", signal_name(lane),
                  error->text);
    else
        error_set(&sentence, ERR_FULL,
                  "the spool is full for %s: %" PRIu64 " KiB of its %" PRIu64
                  " are in use, %" PRIu64 " of them by %s, and it takes segments of %" PRIu64
                  "; it drains when its reader goes on, and a larger spool.size or whenFull: "
                  "DropOldest helps",
                  signal_name(lane), in_lanes(store) >> 10,
                  store->segments_max * store->config.segment_bytes >> 10,
                  store_lane_bytes(store, mine) >> 10, signal_name(lane),
                  store->config.segment_bytes >> 10);
    pthread_mutex_lock(&store->lock);
    store->lanes[lane].full = sentence;
    atomic_store(&store->lanes[lane].is_full, true);
    pthread_mutex_unlock(&store->lock);
    return error_set(error, ERR_FULL, "%s", sentence.text);
}

/* Makes room in the count of segments. ERR_FULL without a sentence: there is none to be had. */
static enum err make_room(struct store *store, enum signal lane, struct error *error)
{
    while (!store_may_grow(store, lane)) {
        if (store->damaged_count > 0) {
            remove_damaged(store);
            continue;
        }
        if (store->config.when_full != SPOOL_DROP_OLDEST || !drop_oldest(store, lane, true))
            return ERR_FULL;
        enum err err = store_free_passed(store, true, error);
        if (err)
            return err;
    }
    return OK;
}

void store_retire_spare(struct store *store)
{
    struct segment *spare = store->spares;

    store->spares = spare->next;
    store->spare_count--;
    spare->next = NULL;
    spare->retired = true;
    set_aside(store, &spare);
}

static void begin_spare(struct store *store, enum signal lane_id)
{
    struct lane *lane = &store->lanes[lane_id];
    struct segment *segment = store->spares;

    store->spares = segment->next;
    store->spare_count--;
    pthread_mutex_lock(&store->lock);
    segment->next = NULL;
    segment_begin(segment, lane_id, store->next_number++, store_random(), lane->end, lane->items);
    struct segment **tail = &lane->segments;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = segment;
    lane->active = segment;
    lane->count++;
    pthread_mutex_unlock(&store->lock);
}

/* Whether the number of the next segment, and the sequences of all that it can hold, are reserved. */
static bool is_reserved(const struct store *store, const struct lane *lane)
{
    _Static_assert(SPOOL_SEGMENT_BYTES_MAX / FRAME_ALIGN < STORE_RUN / 2, "half a run is plenty");
    return store->next_number < store->reserved && lane->next_seq + STORE_RUN / 2 <= lane->reserved;
}

enum err store_take_segment(struct store *store, enum signal lane, struct error *error)
{
    ASSERT(store->lanes[lane].active == NULL);
    if (error != NULL)
        error->code = OK;

    enum err err = is_reserved(store, &store->lanes[lane]) ? OK : store_save_cursors(store, error);
    if (!err)
        err = store_free_passed(store, false, error);
    if (err)
        return err;
    err = make_room(store, lane, error);
    if (err)
        return err == ERR_FULL ? full(store, lane, err, error) : err;

    if (store->spares == NULL) {
        err = store_add_spare(store, error);
        if (err == ERR_FULL && store->config.when_full == SPOOL_DROP_OLDEST &&
            drop_oldest(store, lane, true)) {
            err = store_free_passed(store, true, error);
            if (!err && store->spares == NULL)
                err = store_add_spare(store, error);
        }
        if (err)
            return err == ERR_FULL ? full(store, lane, err, error) : err;
    }
    begin_spare(store, lane);
    return OK;
}

void store_seal(struct store *store, enum signal lane)
{
    pthread_mutex_lock(&store->lock);
    store->lanes[lane].active = NULL;
    pthread_mutex_unlock(&store->lock);
}

void store_discard_empty(struct store *store, enum signal lane_id)
{
    struct lane *lane = &store->lanes[lane_id];
    struct segment *dropped = NULL;

    pthread_mutex_lock(&store->lock);
    for (struct segment **at = &lane->segments; *at != NULL;) {
        struct segment *segment = *at;
        if (segment == lane->active || segment->base_seq < lane->end) {
            at = &segment->next;
            continue;
        }
        ASSERT(segment->pins == 0); /* readers stay below `synced` */
        forget_place(lane, segment);
        *at = segment->next;
        segment->next = dropped;
        dropped = segment;
        lane->count--;
    }
    pthread_mutex_unlock(&store->lock);
    while (dropped != NULL) {
        struct segment *segment = dropped;
        dropped = segment->next;
        segment->next = NULL;
        store_dispose(store, &segment);
    }
}
