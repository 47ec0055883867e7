/* store: the spool without its threads: lanes of segments, the frames in them, the room they take.
 *
 *   store.c     opening, closing, saving cursors, housekeeping
 *   room.c      which file holds what: taking, freeing, dropping, setting aside
 *   commit.c    frames into segments, and what happens when the disk refuses
 *   recovery.c  what a directory holds after a crash
 *   reader.c    frames out of segments
 *
 * Sequences of a lane, and what they mean:
 *
 *     begin           cursor of the slowest reader        synced              next
 *   gone |  acknowledged by all  |   waiting, readable   | written, not synced | not given out
 *
 * Thread: one thread, the committer, changes files and lists. It and the readers meet under `lock`,
 * which guards what is marked so here and in segment.h, and is never held across I/O.
 */
#ifndef SIDECAR_SPOOL_STORE_H
#define SIDECAR_SPOOL_STORE_H

#include "sidecar/spool/cursor.h"
#include "sidecar/spool/lock.h"
#include "sidecar/spool/marks.h"
#include "sidecar/spool/pending.h"
#include "sidecar/spool/recent.h"
#include "sidecar/spool/segment.h"
#include "sidecar/spool/stretch.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    STORE_SPARES_MAX = 3,  /* more than that go back to the file system */
    STORE_DAMAGED_MAX = 4, /* set aside; the oldest goes for a fifth */
    STORE_PREPARE_STEP = 1 << 20,
    STORE_FILE_SHARE = 32, /* a file counts for this part of a segment at least: it is open, too */
    STORE_PATH_CAP = 4096,
};

/* Sequences of a lane, and numbers of segments, that a save of the cursors reserves. A run begins at
 * a multiple of it. */
#define STORE_RUN (UINT64_C(1) << 32)

struct lane {
    /* Guarded by the lock. */
    struct segment *segments; /* oldest first */
    uint32_t count;           /* of them */
    struct segment *active;   /* the last one, if frames may still be written to it */
    uint64_t begin;           /* frames below are gone */
    uint64_t end, items;      /* behind the last frame written */
    uint64_t synced, synced_items;
    uint64_t dropped;
    uint64_t damage_counted; /* damage below this sequence is in damage_events */
    struct spool_reader readers[SPOOL_READERS_MAX];
    struct spool_waiter *replicated, **replicated_tail; /* waiting for the readers, by sequence */
    struct marks *marks; /* as of `synced`; NULL: there never were any */
    struct recent recent;
    uint64_t marks_from; /* they can be rebuilt from the segments from here on */
    atomic_uint mark_count;
    struct spool_lane_stats stats;
    struct error full;   /* code OK: there is room */
    atomic_bool is_full; /* the same, to be looked at without the lock */

    uint64_t run_begin; /* the first sequence of this run; never changes */

    /* The committer's own. */
    uint64_t next_seq, reserved;  /* as of the store */
    struct frame_buf *checkpoint; /* for a frame with all marks; made with `marks` */
};

struct store {
    char *dir;
    struct spool_config config;
    uint32_t segments_max;
    uint32_t share[SIGNAL_COUNT]; /* segments */
    uint32_t marks_max;           /* keys of a lane */
    uint64_t incarnation;

    pthread_mutex_t lock;
    pthread_cond_t readable; /* synced moved, a reader was woken, or the store is closing */
    pthread_cond_t unpinned;

    /* Guarded by the lock. */
    struct lane lanes[SIGNAL_COUNT];
    struct spool_stats stats;
    bool freeable;                /* a reader has passed the end of a segment */
    bool cursors_moved;           /* since they were saved */
    struct policy *policy;        /* for the committer to take; NULL: nothing changed */
    void (*nudge)(void *context); /* tells the committer that `freeable` is set; may be NULL */
    void *nudge_context;
    unsigned lent_count; /* frames in memory that are in a ring or with a reader */

    /* Takes a frame that nobody uses any more, with the lock held; NULL: none is lent. */
    void (*give_back)(void *context, struct frame_buf *frame);
    void *give_back_context;

    /* The committer's own. */
    int lock_fd;
    struct cursor_file *cursors;
    struct segment *spares;
    _Atomic uint32_t spare_count;
    uint32_t damaged[STORE_DAMAGED_MAX]; /* slots, oldest first */
    _Atomic uint32_t damaged_count;
    uint32_t next_slot;
    uint64_t next_number;
    uint64_t reserved; /* numbers below: in the cursor file, so that no later run gives them out,
                          though what it finds may not tell of them */
    uint64_t saved_at_ms;
    int64_t wall_ahead_ms;     /* of the monotonic clock, when it was last looked at */
    uint64_t expire_after_ms;  /* nothing is too old before: the clock was put forward */
    uint64_t prepare_after_ms; /* making or preparing a spare failed: not before */

    /* Buffers of released frames, for the next ones; guarded by cache_lock. */
    pthread_mutex_t cache_lock;
    struct frame_memory *cache;
    unsigned cache_count;
};

/* The store behind a spool, for the readers. */
struct store *spool_store(struct spool *spool);

/* Locks and recovers the directory. Errors as of spool_open(). */
NODISCARD enum err store_open(const struct spool_config *config, struct store **ret_store,
                              struct error *error);

/* Saves the cursors, closes, frees. Accepts NULL. */
void store_close(struct store **store);

/* The same without saving: for an object that was not opened to the end. */
void store_free(struct store **store);

/* Writes and syncs `frames` (a list) of one lane. Each gets its verdict in `err`: OK once durable.
 * `written`, which may be NULL, is called between write and sync, for those that were written.
 * `error` explains the verdicts that are not OK. */
typedef void store_written_fn(void *context, struct frame_buf *frames, const struct frame_buf *end);
void store_commit(struct store *store, enum signal lane, struct frame_buf *frames,
                  store_written_fn *written, void *context, struct error *error);

/* Frees what readers have passed and what is too old, saves cursors when it is time, opens a lane
 * that was full, and prepares a spare. True: there is more to do at once. */
bool store_housekeep(struct store *store);

NODISCARD enum err store_save_cursors(struct store *store, struct error *error);

uint64_t store_random(void);

/* What is known of the disk; the queues are the spool's. */
void store_stats(struct store *store, struct spool_stats *ret_stats);

/* A segment for the lane to write to, in its list and active. ERR_FULL with a sentence. */
NODISCARD enum err store_take_segment(struct store *store, enum signal lane, struct error *error);

/* Gives back what the last run had not used of its last segments: part of store_open(). Each start
 * takes fresh ones, and many starts would fill the spool with files that are nearly empty. */
void store_cut_last(struct store *store);

/* What the lane's segments take up. The lock is held, or the committer asks. */
uint64_t store_lane_bytes(const struct store *store, const struct lane *lane);

/* A segment that is in no lane any more: becomes a spare, is set aside or removed. */
void store_dispose(struct store *store, struct segment **segment);

/* The active segment takes no more frames. */
void store_seal(struct store *store, enum signal lane);

/* Bytes that a segment has for frames, apart from a copy of the marks. */
uint64_t store_segment_room(const struct store *store);

/* Makes the table of marks, if the lane has none. The lock is held. */
NODISCARD enum err store_need_marks(struct lane *lane, struct error *error);

/* Whether the segment is still needed to know the marks. The lock is held. */
bool store_holds_marks(const struct lane *lane, const struct segment *segment);

/* Takes the segments without frames that count (base at or behind the lane's end) out of the lane.
 */
void store_discard_empty(struct store *store, enum signal lane);

/* Adds a file to the spares, if there is room for it. */
NODISCARD enum err store_add_spare(struct store *store, struct error *error);

/* Whether the lane may have one more segment: what the others are sure of is kept for them. */
bool store_may_grow(const struct store *store, enum signal lane);

/* Whether the spool may have one more file. */
bool store_may_add(const struct store *store);

/* Takes a spare that can't be used out of service. */
void store_retire_spare(struct store *store);

/* Frees what every reader has passed; with `wait`, also what one of them is looking at just now. */
NODISCARD enum err store_free_passed(struct store *store, bool wait, struct error *error);

/* Drops what is older than the configuration wants it. True: something was. */
bool store_expire(struct store *store);

/* The slowest reader's cursor; the lane's begin if it has no reader. The lock is held. */
uint64_t store_slowest(const struct lane *lane);

/* Answers who waited for the readers, below `seq` and, if the verdict is OK, for frames that all of
 * them have acknowledged ahead. The lock is held, and released for a moment. */
void store_answer_replicated(struct store *store, enum signal lane, uint64_t seq, enum err verdict,
                             const struct error *error);

/* A frame's memory, kept for the next frame when it is released. */
struct frame_memory {
    struct spool_frame frame; /* first: a frame handed out is its memory */
    struct store *store;
    struct frame_memory *next;
    struct frame_buf *lent; /* the frame is in there; NULL: in `bytes` */
    uint8_t *bytes;
    size_t cap;
    uint32_t entry; /* where spool_frame_entry() was last, and how far into data and meta */
    size_t entry_data, entry_meta;
};

/* NULL: out of memory. */
struct frame_memory *frame_memory_take(struct store *store);
void frame_memory_give(struct frame_memory **memory);

/* Room for `cap` bytes. What was in it stays. */
NODISCARD enum err frame_memory_reserve(struct frame_memory *memory, size_t cap,
                                        struct error *error);
void frame_cache_drop(struct store *store);

/* Fills in what `config` leaves open, checks it, and sets what follows from it. */
NODISCARD enum err store_resolve(const struct spool_config *config, struct store *store,
                                 struct error *error);

/* From here on the store is held to the policy that was set last, if that is new. */
void policy_take(struct store *store);

/* Fills the lanes from the directory. Part of store_open(), the lock is not needed. */
NODISCARD enum err recovery_run(struct store *store, const struct cursor_state *state,
                                struct error *error);

#endif
