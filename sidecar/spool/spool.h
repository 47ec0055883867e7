/* spool: a write-ahead log on local disk, with one lane for each signal.
 *
 *   workers --spool_append--> pending buffer --committer--> segments --spool_reader_next--> readers
 *      ^                                           |                                           |
 *      '--------------- waiter->done --------------'         cursor <----spool_reader_ack------'
 *
 * What is appended is copied into the lane's pending buffer under a short lock. One committer
 * thread cuts what waits into frames (about SPOOL_FRAME_BYTES, on request boundaries), writes all
 * lanes, syncs once for everything that waited, and then calls each waiter's `done`. There is no
 * timer: it starts as soon as something waits, and what comes meanwhile is the next group. A frame
 * never holds part of a request. Readers (reader.h) see a frame once it is synced, never before.
 *
 * Promises
 *   - `done` with OK in mode SYNCED: the request outlives kill -9 and power loss at any instant.
 *   - Damage on disk costs the damaged frames, is counted by items, and never refuses a start.
 *   - Bytes on disk stay within `size_bytes`; memory within `pending_max_bytes`, one read buffer
 *     for each frame that a reader holds, a few MiB of frames for readers that are close behind,
 *     and a few hundred bytes for each segment.
 *   - A lane always gets its share of the disk, whatever the others do.
 *   - Numbers that add up, for each lane and reader, across restarts:
 *       accepted items = delivered + waiting + dropped + damaged
 *
 * Marks are small records that must not disagree with the data, such as how far a file has been
 * read. They travel in the frame of the request that brings them, so after a crash both are there,
 * or neither. The spool keeps the latest one for each key of a lane, whatever becomes of the
 * segments: each new segment begins with a copy of all of them.
 *
 * A frame is identified by (incarnation, lane, sequence). The incarnation is drawn at random when
 * the directory is made. Sequences of a lane grow by one from frame to frame and jump ahead at each
 * start (to the next multiple of 2^32), so that a number once given out never names other bytes.
 *
 * Threads: spool_append(), spool_stats() and everything in reader.h from any thread. spool_open()
 * and spool_close() from the wiring; nothing else may be running in the spool when it is closed.
 */
#ifndef SIDECAR_SPOOL_SPOOL_H
#define SIDECAR_SPOOL_SPOOL_H

#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"

#define SPOOL_READERS_MAX       4  /* named readers of a lane */
#define SPOOL_READER_NAME_MAX   31 /* bytes of a reader's name */
#define SPOOL_SEGMENT_BYTES_MAX (64u << 20)
#define SPOOL_SEGMENTS_MIN      8 /* fewer can't give each lane its share: `size_bytes` is refused */
#define SPOOL_PARTS_MAX         65536      /* parts of one request */
#define SPOOL_CUTS_MAX          64         /* entries of one request */
#define SPOOL_META_MAX          (1u << 20) /* bytes of meta of one request */

#define SPOOL_MARK_KEY   32   /* bytes of a mark's key */
#define SPOOL_MARK_VALUE 478  /* bytes of its value at most */
#define SPOOL_MARKS_MAX  8192 /* keys of a lane; fewer if segments are smaller than 32 MiB */

/* Data of a frame with several requests. With its headers it fits Kafka's default message size. */
#define SPOOL_FRAME_BYTES ((1u << 20) - (16u << 10))

#define SPOOL_SYNC_BUCKETS 13 /* upper bounds 125 us << i; the last has none */

struct spool;

/* When a waiter is told. */
enum spool_ack {
    SPOOL_ACK_SYNCED,     /* after fdatasync: outlives the node's power */
    SPOOL_ACK_WRITTEN,    /* after write: outlives the process only; the sync follows at once */
    SPOOL_ACK_REPLICATED, /* after every reader of the lane has acknowledged the frame */
};

enum spool_when_full {
    SPOOL_BLOCK,       /* appends fail with ERR_FULL until a reader has freed a segment */
    SPOOL_DROP_OLDEST, /* the lane's oldest segment goes, and its unread items are counted */
};

struct spool_config {
    const char *dir;     /* made if absent; its parent must exist. Copied */
    uint64_t size_bytes; /* everything on disk, spare segments included */

    /* What each lane is sure of; 0: a sixth of size_bytes. The rest is for who comes first. */
    uint64_t share_bytes[SIGNAL_COUNT];

    unsigned min_free_percent; /* of the file system: below it no segment is added. 0..99 */
    enum spool_when_full when_full;
    uint64_t max_age_ms; /* segments whose youngest frame is older are dropped; 0: never. By the
                            wall clock; when that is put forward, nothing is dropped for as long */

    size_t pending_max_bytes;  /* waiting for the committer; 0: 64 MiB. A request that comes when
                                  no more than half of it waits is taken whatever its size */
    uint64_t segment_bytes;    /* 0: 64 MiB, or size_bytes/16 if less; a multiple of 4 KiB */
    unsigned save_interval_ms; /* how often moved cursors are saved; 0: 1000 */
};

/* The latest mark of a key counts. Keys are the caller's own, as are the values. */
struct spool_mark {
    uint8_t key[SPOOL_MARK_KEY];
    struct bytes value; /* may be empty */
    bool forget;        /* the key has no mark any more; `value` is not looked at */
};

/* One entry of a request that is several. */
struct spool_cut {
    size_t len; /* bytes of the data */
    uint32_t items, tag;
};

/* A request, as the caller has it. Everything is copied by spool_append(). */
struct spool_request {
    enum signal lane;
    const struct bytes *parts; /* concatenated */
    size_t part_count;
    uint32_t items;    /* spans, data points or log records in it */
    uint32_t tag;      /* the caller's own; comes back in the entry */
    struct bytes meta; /* the caller's own, may be empty; comes back apart from the data */

    /* The data in several entries, in this order, which are stored together or not at all. Lengths
     * add up to that of the parts, items to `items`; `tag` is not looked at, `meta` goes with the
     * first one. None: one entry. */
    const struct spool_cut *cuts;
    size_t cut_count;

    /* Made together with the data, or without any: then readers see nothing of the request. */
    const struct spool_mark *marks;
    size_t mark_count;
};

/* Who waits for an append: embedded in the caller's own object and lent to the spool from an OK of
 * spool_append() until `done` begins, which happens exactly once, perhaps before spool_append() has
 * returned. `done` runs on the committer's thread (SPOOL_ACK_REPLICATED: on the acknowledging
 * reader's), must be quick, and must not call the spool.
 *
 *   OK          the promise of `ack` holds
 *   ERR_FULL    no room on the disk (SPOOL_BLOCK), or dropped before it was replicated
 *   ERR_IO      neither the segment nor a fresh one took it
 *   ERR_CLOSED  the spool was closed first (SPOOL_ACK_REPLICATED only: it is on disk all the same)
 */
struct spool_waiter {
    void (*done)(struct spool_waiter *waiter, enum err err, const struct error *error);
    enum spool_ack ack;

    uint64_t seq;              /* set before done(OK): the frame that holds it. A frame that was
                                  only written may get another one, if its sync fails */
    struct spool_waiter *next; /* the spool's own */
};

/* Opens or makes the spool in `config->dir`, recovers it and starts the committer.
 *
 * ERR_CONFLICT: another process has it (the error names it). ERR_INVALID: a setting that can't be,
 * or a directory written by a newer version. ERR_IO, ERR_FULL, ERR_NOMEM. Damage is no error. */
NODISCARD enum err spool_open(const struct spool_config *config, struct spool **ret_spool,
                              struct error *error);

/* What of the configuration may change while the spool is open; see struct spool_config. */
struct spool_policy {
    uint64_t size_bytes;
    unsigned min_free_percent;
    enum spool_when_full when_full;
    uint64_t max_age_ms;
};

/* Holds from the committer's next round on. A smaller size takes nothing away: the spool is full
 * until it has drained. ERR_INVALID as from spool_open(): nothing changes. Any thread. */
NODISCARD enum err spool_set_policy(struct spool *spool, const struct spool_policy *policy,
                                    struct error *error);

/* Commits what waits, answers it, saves the cursors, stops the committer, frees. Readers and frames
 * must have been closed and released before. Accepts NULL. */
void spool_close(struct spool **spool);

/* Appends a request; `waiter` may be NULL. After anything but OK, `done` is never called.
 *
 *   ERR_INVALID  bigger than spool_request_max(), empty (no data, meta or marks), above a limit, or
 *                cut so that it does not add up
 *   ERR_AGAIN    pending_max_bytes, or spool_marks_max() marks, wait already: the disk is slower
 *                than the senders
 *   ERR_FULL     the lane has no room; the sentence says how much is used, and how to get more.
 *                Or it has so many marks that these might be too many; a request that only
 *                forgets some is always taken
 *   ERR_NOMEM    only for requests above SPOOL_FRAME_BYTES, or before the buffers have been made
 *   ERR_CLOSED   spool_stop_appends() was called
 */
NODISCARD enum err spool_append(struct spool *spool, const struct spool_request *request,
                                struct spool_waiter *waiter, struct error *error);

/* No more than half of pending_max_bytes waits, or nothing is taken any more: what spool_append()
 * would say to a request will not be ERR_AGAIN. Whoever can wait looks before it goes to the
 * expense of making one. Any thread, without a lock. */
bool spool_has_room(const struct spool *spool);

/* From now on appends fail with ERR_CLOSED; readers go on. The first step of a drain. */
void spool_stop_appends(struct spool *spool);

/* What the largest request may come to, given the segment size: bytes of data, meta and marks; a
 * mark counts as its value and 34 bytes, each entry but the first as 16 bytes. */
size_t spool_request_max(const struct spool *spool);

/* What a request comes to. */
size_t spool_request_size(const struct spool_request *request);

/* Keys that a lane can hold marks of, given the segment size: SPOOL_MARKS_MAX at most. */
size_t spool_marks_max(const struct spool *spool);

/* Calls `visit` with each durable mark of the lane, in the order of keys; after spool_open() these
 * are those that outlived the last run. `visit` must be quick and must not call the spool. */
typedef void spool_visit_mark_fn(void *context, const uint8_t key[static SPOOL_MARK_KEY],
                                 struct bytes value);
void spool_marks_each(struct spool *spool, enum signal lane, spool_visit_mark_fn *visit,
                      void *context);

uint64_t spool_incarnation(const struct spool *spool);

/* Frames of the lane below that sequence were accepted before spool_open(), the others since. */
uint64_t spool_run_begin(const struct spool *spool, enum signal lane);

struct spool_reader_stats {
    char name[SPOOL_READER_NAME_MAX + 1];
    bool open;          /* false: known from the cursor file only; it holds its frames back */
    uint64_t cursor;    /* every frame below has been acknowledged */
    uint64_t frames;    /* waiting: synced, not acknowledged */
    uint64_t items;     /* in them */
    uint64_t delivered; /* items acknowledged, since the directory was made */
    uint64_t dropped;   /* items that SPOOL_DROP_OLDEST or max_age_ms took */
    uint64_t damaged;   /* items that could not be read any more */
    bool ahead;         /* fresh frames go first just now */
    uint64_t oldest_ns; /* wall time of acceptance of the oldest waiting frame, or a little
                           earlier; 0: nothing waits */
};

struct spool_lane_stats {
    uint64_t items;    /* accepted and synced since the directory was made: the ledger */
    uint64_t dropped;  /* of those, dropped before the slowest reader had acknowledged them */
    uint64_t frames;   /* on disk */
    uint64_t segments; /* on disk */
    uint64_t bytes;    /* of those segments */
    uint64_t marks;    /* keys */
    uint64_t requests; /* appended since start; so are the counters below */
    uint64_t frames_cut;
    uint64_t refused_full; /* requests */
    uint64_t refused_again;
    uint64_t refused_failed; /* requests answered with ERR_IO */
    uint64_t written_lost;   /* items that SPOOL_ACK_WRITTEN promised and no sync kept */
    uint64_t damage_events;  /* runs of unreadable bytes */
    uint64_t torn;           /* unfinished tails discarded by recovery */
    uint64_t unread_marks;   /* frames whose marks recovery could not read */
    bool full;
    size_t reader_count;
    struct spool_reader_stats readers[SPOOL_READERS_MAX];
};

struct spool_stats {
    uint64_t size_bytes;
    uint64_t disk_bytes; /* segments in use, spare and set aside */
    uint64_t pending_bytes;
    uint64_t spare_segments;
    uint64_t damaged_segments;    /* set aside as *.damaged */
    uint64_t unreadable_segments; /* left alone by recovery, since start */
    uint64_t syncs;
    uint64_t sync_ns; /* time in them */
    uint64_t sync_buckets[SPOOL_SYNC_BUCKETS];
    uint64_t write_failures;
    uint64_t sync_failures;
    uint64_t retired_segments;
    uint64_t save_failures; /* of the cursor file */
    struct spool_lane_stats lanes[SIGNAL_COUNT];
};

/* A consistent copy for each lane. Takes microseconds; meant for metrics and /debug/state. */
void spool_stats(struct spool *spool, struct spool_stats *ret_stats);

#endif
