/* stretch: a part of a lane that a reader goes through in order. A reader has one, or, while fresh
 * frames go first, two.
 *
 *   cursor     main      ahead_from      ahead_to      ahead        synced
 *     |  under  | backlog ...  |  delivered  |   under   | fresh ....  |
 *     |  way    |              |             |   way     |             |
 *
 * The main stretch ends where the one ahead began. When the cursor gets there it jumps to
 * `ahead_to`, and the stretch ahead becomes the main one.
 *
 * Thread: guarded by the store's lock, but for what is the reading thread's own.
 */
#ifndef SIDECAR_SPOOL_STRETCH_H
#define SIDECAR_SPOOL_STRETCH_H

#include "sidecar/spool/cursor.h"

struct frame_memory;
struct segment;
struct store;

struct stretch {
    struct spool_reader *reader;
    struct spool_position position; /* next to hand out; `damaged` counts from its start */
    uint64_t damaged_before;        /* what the cursor counts more than `position` */
    uint64_t max_seq;               /* end of what was handed out */
    struct spool_position hole_from, hole_to; /* the last run of frames that are not handed out */
    struct segment *segment;                  /* where `position` is; NULL: to be found */
    uint64_t offset;
    uint64_t lost; /* items, since the frame handed out before */

    /* The reading thread's own. */
    size_t guess;      /* bytes to read at once: as many as the frame before had */
    unsigned failures; /* reads that failed at this place in a row */
};

struct spool_reader {
    struct store *store;
    enum signal lane;

    /* Guarded by the lock. */
    bool open;
    bool woken;
    struct cursor_reader cursor; /* name "": this place is free */
    struct spool_saved saved;    /* as it was last saved */
    struct stretch stretches[2];
    unsigned main;       /* which of them; the other one is ahead, if at all */
    uint64_t fresh_from; /* bytes of backlog above which fresh frames go first; 0: never */
    unsigned turn;       /* frames handed out since there were two */
};

/* All of these with the lock held. */

/* A stretch from `at` on, for the reader. */
void stretch_begin(struct stretch *stretch, struct spool_reader *reader, struct spool_position at,
                   uint64_t damaged_before);

static inline bool reader_is_split(const struct spool_reader *reader)
{
    return reader->cursor.ahead_from.seq > 0;
}

static inline struct stretch *reader_main(struct spool_reader *reader)
{
    return &reader->stretches[reader->main];
}

static inline struct stretch *reader_ahead(struct spool_reader *reader)
{
    return &reader->stretches[1 - reader->main];
}

/* Where the stretch ends for now. */
struct spool_position stretch_limit(const struct stretch *stretch);

/* After a cursor moved: answers who waited for it, and has the committer free what it passed. */
void reader_cursors_moved(struct store *store, enum signal lane);

/* Moves the cursor to `seq` at least, with `items` before it, over what is dropped. Returns the
 * items of it that were not delivered. */
uint64_t reader_drop_below(struct spool_reader *reader, uint64_t seq, uint64_t items);

/* All of the stretch below `to` is delivered, or not to be had. */
void stretch_acknowledge(struct stretch *stretch, struct spool_position to);

/* One step: reads at the place, and fills `memory`, or moves the place. `*ret_done`: it was filled.
 * There must be something below the limit. The lock is released meanwhile. */
NODISCARD enum err stretch_step(struct stretch *stretch, struct frame_memory *memory,
                                bool *ret_done, struct error *error);

#endif
