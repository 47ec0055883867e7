#include "sidecar/spool/store.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "common/os.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t store_slowest(const struct lane *lane)
{
    uint64_t slowest = UINT64_MAX;

    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        const struct cursor_reader *cursor = &lane->readers[i].cursor;
        if (cursor->name[0] != '\0' && cursor->seq < slowest)
            slowest = cursor->seq;
    }
    return slowest == UINT64_MAX ? lane->begin : slowest;
}

static struct spool_saved saved_of(const struct cursor_reader *cursor)
{
    return (struct spool_saved){cursor->seq, cursor->ahead_from.seq, cursor->ahead_to.seq};
}

enum err store_save_cursors(struct store *store, struct error *error)
{
    struct cursor_state state = {.incarnation = store->incarnation,
                                 .numbers = store->next_number + STORE_RUN};

    pthread_mutex_lock(&store->lock);
    for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
        const struct lane *lane = &store->lanes[i];
        struct cursor_lane *into = &state.lanes[i];
        into->begin = lane->begin;
        into->synced = lane->synced;
        into->items = lane->synced_items;
        into->dropped = lane->dropped;
        into->given = lane->next_seq + STORE_RUN;
        for (int r = 0; r < SPOOL_READERS_MAX; r++)
            into->readers[r] = lane->readers[r].cursor;
    }
    store->cursors_moved = false;
    pthread_mutex_unlock(&store->lock);

    enum err err = cursor_save(store->cursors, &state, error);
    store->saved_at_ms = clock_mono_ms();
    pthread_mutex_lock(&store->lock);
    if (err) {
        store->cursors_moved = true;
        store->stats.save_failures++;
    } else {
        store->reserved = state.numbers;
        for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
            store->lanes[i].reserved = state.lanes[i].given;
            for (int r = 0; r < SPOOL_READERS_MAX; r++)
                store->lanes[i].readers[r].saved = saved_of(&state.lanes[i].readers[r]);
        }
    }
    pthread_mutex_unlock(&store->lock);
    return err;
}

/* ---- marks */

uint64_t store_segment_room(const struct store *store)
{
    uint64_t checkpoint = frame_align(FRAME_HEADER + (uint64_t)store->marks_max * MARK_BYTES_MAX);
    return store->config.segment_bytes - checkpoint;
}

enum err store_need_marks(struct lane *lane, struct error *error)
{
    struct pending_limits limits = {.marks = SPOOL_MARKS_MAX * MARK_BYTES_MAX};

    if (lane->marks != NULL)
        return OK;
    AUTO(pending_destroy) struct frame_buf *checkpoint = pending_create(limits);
    struct marks *marks = checkpoint != NULL ? marks_create(SPOOL_MARKS_MAX) : NULL;
    if (marks == NULL)
        return error_set(error, ERR_NOMEM, "make a table of marks");
    MOVE(lane->checkpoint, checkpoint);
    lane->marks = marks;
    return OK;
}

bool store_holds_marks(const struct lane *lane, const struct segment *segment)
{
    return atomic_load(&lane->mark_count) > 0 && segment->end_seq > lane->marks_from;
}

/* ---- housekeeping */

static void reopen_full_lanes(struct store *store)
{
    for (enum signal i = 0; i < SIGNAL_COUNT; i++) {
        struct lane *lane = &store->lanes[i];
        if (lane->full.code == OK || !store_may_grow(store, i) ||
            (store->spares == NULL && store_add_spare(store, NULL) != OK))
            continue;
        pthread_mutex_lock(&store->lock);
        lane->full.code = OK;
        atomic_store(&lane->is_full, false);
        pthread_mutex_unlock(&store->lock);
    }
}

/* Overwriting is several times cheaper than growing, so a spare gets its zeros while nothing else
 * waits. True: there are more to write. */
static bool prepare_spare(struct store *store)
{
    uint64_t now_ms = clock_mono_ms();

    if (store->spares == NULL) {
        if (!store_may_add(store) || now_ms < store->prepare_after_ms)
            return false;
        if (store_add_spare(store, NULL) != OK) {
            store->prepare_after_ms = now_ms + store->config.save_interval_ms;
            return false;
        }
    }
    struct segment *spare = store->spares;
    if (spare->prepared >= spare->size)
        return false;
    if (segment_prepare(spare, STORE_PREPARE_STEP, NULL) == OK)
        return spare->prepared < spare->size;

    store_retire_spare(store);
    store->prepare_after_ms = now_ms + store->config.save_interval_ms;
    return false;
}

bool store_housekeep(struct store *store)
{
    policy_take(store);
    bool expired = store_expire(store);

    pthread_mutex_lock(&store->lock);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        recent_tidy(store, &store->lanes[i]);
    bool freeable = store->freeable || expired;
    bool moved = store->cursors_moved;
    pthread_mutex_unlock(&store->lock);
    /* A failed save is counted; it is tried again when the next one is due. */
    if (freeable)
        IGNORE_RESULT(store_free_passed(store, false, NULL));
    else if (moved && clock_mono_ms() - store->saved_at_ms >= store->config.save_interval_ms)
        IGNORE_RESULT(store_save_cursors(store, NULL));
    reopen_full_lanes(store);
    return prepare_spare(store);
}

static bool any_is_split(const struct lane *lane)
{
    for (int i = 0; i < SPOOL_READERS_MAX; i++)
        if (reader_is_split(&lane->readers[i]))
            return true;
    return false;
}

/* By all readers, be it ahead of their cursors. */
static bool is_acknowledged(const struct lane *lane, uint64_t seq)
{
    for (int i = 0; i < SPOOL_READERS_MAX; i++) {
        const struct cursor_reader *cursor = &lane->readers[i].cursor;
        bool ahead = seq >= cursor->ahead_from.seq && seq < cursor->ahead_to.seq;
        if (cursor->name[0] != '\0' && seq >= cursor->seq && !ahead)
            return false;
    }
    return true;
}

void store_answer_replicated(struct store *store, enum signal lane_id, uint64_t seq,
                             enum err verdict, const struct error *error)
{
    struct lane *lane = &store->lanes[lane_id];
    struct spool_waiter *done = NULL, **done_tail = &done, **at = &lane->replicated;
    bool ahead = verdict == OK && any_is_split(lane);

    while (*at != NULL && ((*at)->seq < seq || ahead)) {
        struct spool_waiter *waiter = *at;
        if (waiter->seq >= seq && !is_acknowledged(lane, waiter->seq)) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        *done_tail = waiter;
        done_tail = &waiter->next;
    }
    if (*at == NULL)
        lane->replicated_tail = at;
    *done_tail = NULL;
    if (done == NULL)
        return;
    pthread_mutex_unlock(&store->lock);
    while (done != NULL) {
        struct spool_waiter *next = done->next;
        done->done(done, verdict, error);
        done = next;
    }
    pthread_mutex_lock(&store->lock);
}

uint64_t store_random(void)
{
    uint64_t value = 0;
    /* The pool is ready long before any pod runs, and 8 bytes are never cut short. */
    ssize_t got = getrandom(&value, sizeof value, 0);
    ASSERT(got == (ssize_t)sizeof value);
    return value;
}

/* ---- opening and closing */

enum err store_resolve(const struct spool_config *config, struct store *store, struct error *error)
{
    struct spool_config *into = &store->config;

    *into = *config;
    into->dir = store->dir;
    if (into->segment_bytes == 0) {
        into->segment_bytes = into->size_bytes / 16 / FRAME_ALIGN * FRAME_ALIGN;
        if (into->segment_bytes > SPOOL_SEGMENT_BYTES_MAX)
            into->segment_bytes = SPOOL_SEGMENT_BYTES_MAX;
    }
    if (into->segment_bytes < SEGMENT_BYTES_MIN || into->segment_bytes % FRAME_ALIGN != 0 ||
        into->segment_bytes > SPOOL_SEGMENT_BYTES_MAX)
        return error_set(error, ERR_INVALID,
                         "spool of %" PRIu64 " bytes with segments of %" PRIu64
                         ": segments must be multiples of 4 KiB from 16 KiB to 64 MiB, which a "
                         "spool.size of 256 KiB or more gives",
                         into->size_bytes, into->segment_bytes);
    uint64_t segments = into->size_bytes / into->segment_bytes;
    if (segments < SPOOL_SEGMENTS_MIN || segments > UINT32_MAX)
        return error_set(error, ERR_INVALID,
                         "spool.size of %" PRIu64 " bytes holds %" PRIu64 " segments of %" PRIu64
                         "; it must hold at least %d",
                         into->size_bytes, segments, into->segment_bytes, SPOOL_SEGMENTS_MIN);
    store->segments_max = (uint32_t)segments;
    if (into->min_free_percent > 99)
        return error_set(error, ERR_INVALID, "minFree of %u%%: must be below 100%%",
                         into->min_free_percent);

    store->marks_max = (uint32_t)(into->segment_bytes / 8 / MARK_BYTES_MAX);
    if (store->marks_max > SPOOL_MARKS_MAX)
        store->marks_max = SPOOL_MARKS_MAX;

    /* One segment can be needed for its marks until the next one repeats them. */
    uint64_t sum = 0;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        uint64_t share = into->share_bytes[i] / into->segment_bytes;
        if (into->share_bytes[i] == 0)
            share = segments / 6;
        store->share[i] = share > UINT32_MAX ? UINT32_MAX : share < 2 ? 2 : (uint32_t)share;
        sum += store->share[i];
    }
    if (sum > segments)
        return error_set(error, ERR_INVALID,
                         "the shares of the signals add up to %" PRIu64 " segments of %" PRIu64
                         " bytes, more than the %" PRIu64 " that spool.size holds",
                         sum, into->segment_bytes, segments);
    if (into->pending_max_bytes == 0)
        into->pending_max_bytes = 64u << 20;
    if (into->save_interval_ms == 0)
        into->save_interval_ms = 1000;
    return OK;
}

static void init_locks(struct store *store)
{
    bool made = pthread_mutex_init(&store->lock, NULL) == 0 &&
                pthread_mutex_init(&store->cache_lock, NULL) == 0;
    ASSERT(made); /* glibc's have nothing that could fail */
    cond_init(&store->readable);
    cond_init(&store->unpinned);
}

enum err store_open(const struct spool_config *config, struct store **ret_store,
                    struct error *error)
{
    struct cursor_state state;
    bool found = false;

    AUTO(store_free) struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(error, ERR_NOMEM, "open spool '%s'", config->dir);
    init_locks(store);
    store->lock_fd = -1;
    store->next_number = 1;
    store->wall_ahead_ms = (int64_t)clock_wall_ms() - (int64_t)clock_mono_ms();
    for (int i = 0; i < SIGNAL_COUNT; i++)
        store->lanes[i].replicated_tail = &store->lanes[i].replicated;
    store->dir = strdup(config->dir);
    if (store->dir == NULL)
        return error_set(error, ERR_NOMEM, "open spool '%s'", config->dir);

    enum err err = store_resolve(config, store, error);
    if (!err)
        err = os_make_dir(store->dir, error);
    if (!err)
        err = lock_take(store->dir, &store->lock_fd, error);
    if (!err)
        err = cursor_open(store->dir, &store->cursors, &state, &found, error);
    if (err)
        return err;
    /* Whoever lost the cursors can't know which sequences were given out: it is another spool now.
     */
    store->incarnation = found ? state.incarnation : store_random();
    err = recovery_run(store, &state, error);
    if (err)
        return error_prefix(error, err, "recover spool '%s'", store->dir);
    store_cut_last(store);
    /* Counted if it fails. The old file counts until it succeeds, which costs repeats at most, and
     * no segment is begun: numbers are reserved with it, and names that an earlier run removed are
     * gone for good. */
    IGNORE_RESULT(store_save_cursors(store, NULL));
    MOVE(*ret_store, store);
    return OK;
}

static void close_list(struct segment *segment)
{
    while (segment != NULL) {
        struct segment *next = segment->next;
        segment_close(&segment);
        segment = next;
    }
}

void store_free(struct store **store_at)
{
    struct store *store = *store_at;

    if (store == NULL)
        return;
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        close_list(store->lanes[i].segments);
        marks_destroy(&store->lanes[i].marks);
        pending_destroy(&store->lanes[i].checkpoint);
    }
    close_list(store->spares);
    frame_cache_drop(store);
    cursor_close(&store->cursors);
    os_close(&store->lock_fd);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->cache_lock);
    pthread_cond_destroy(&store->readable);
    pthread_cond_destroy(&store->unpinned);
    free(store->policy);
    free(store->dir);
    free(store);
    *store_at = NULL;
}

void store_close(struct store **store)
{
    if (*store == NULL)
        return;
    /* Counted; what the file says already costs repeats at most. */
    IGNORE_RESULT(store_save_cursors(*store, NULL));
    store_free(store);
}
