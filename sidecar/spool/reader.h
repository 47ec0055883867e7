/* reader: one named consumer of a lane of the spool, with a durable cursor.
 *
 *      segments   |  gone  |   acknowledged   |  handed out  |   to come   |  not yet synced
 *                 oldest frame              cursor        position      synced end
 *
 * spool_reader_next() hands out frames in order, ahead of the cursor, as many as the caller cares
 * to hold. spool_reader_ack() moves the cursor. Cursors are saved at an interval, when a segment is
 * to be freed and at spool_close(): after a crash a reader gets what lies behind the saved cursor
 * again, under the same (incarnation, sequence), and never less.
 *
 * While a backlog drains, fresh frames can go first (spool_reader_fresh_first()):
 *
 *     acknowledged | backlog, handed out | to come | acknowledged | handed out | fresh | not synced
 *                cursor                            '---- ahead ---'
 *
 * Everything is as before but the order: a frame that goes ahead says so, and is acknowledged in
 * its turn among those that went ahead. What is acknowledged ahead is saved together with the
 * cursor, so a crash brings back as little as ever. When the cursor gets there it jumps.
 *
 * A reader close behind the committer gets frames from memory, the others from the files.
 *
 * A frame that can't be read any more (bit rot) is skipped and counted, exactly, by its items. So
 * is what SPOOL_DROP_OLDEST takes from under a reader: `lost_items` of the next frame says it too.
 *
 * Threads: next and seek belong to one thread at a time; ack, release and wake may come from any.
 */
#ifndef SIDECAR_SPOOL_READER_H
#define SIDECAR_SPOOL_READER_H

#include "sidecar/spool/spool.h"

struct spool_reader;

/* A place between two frames. */
struct spool_position {
    uint64_t seq;     /* of the next frame, or below it */
    uint64_t items;   /* of all frames before, since the directory was made */
    uint64_t damaged; /* the reader's own: items that it could not be given */
};

/* One request in a frame. */
struct spool_entry {
    struct bytes data;
    struct bytes meta;
    uint32_t items;
    uint32_t tag;
};

/* A frame in memory, owned by whoever called next until spool_frame_release(). `data` is the
 * requests' bytes back to back and may be handed on whole, without a copy. */
struct spool_frame {
    enum signal lane;
    uint64_t incarnation;
    uint64_t seq;
    uint64_t accepted_ns; /* wall time at which its first request was accepted */
    uint64_t items;
    uint64_t lost_items; /* damaged or dropped between the frame handed out before and this one */
    bool ahead;          /* of a backlog */
    struct bytes data;
    struct bytes meta;
    uint32_t entry_count;
    struct spool_position end; /* acknowledge this to say that the frame is done */
};

/* Opens the reader `name` of `lane`: at its saved cursor, or at the oldest frame if it is new.
 * ERR_INVALID: empty or long name, or SPOOL_READERS_MAX reached. ERR_CONFLICT: open already. */
NODISCARD enum err spool_reader_open(struct spool *spool, enum signal lane, const char *name,
                                     struct spool_reader **ret_reader, struct error *error);

/* Closes; the cursor is kept and goes on holding frames back until the reader is opened again or
 * forgotten. Frames handed out stay valid until released. Accepts NULL. */
void spool_reader_close(struct spool_reader **reader);

/* Drops the cursor of a reader that is not open and won't come back. ERR_NOTFOUND, ERR_CONFLICT. */
NODISCARD enum err spool_reader_forget(struct spool *spool, enum signal lane, const char *name,
                                       struct error *error);

/* When more than `backlog_bytes` wait, frames that are accepted from then on go first, until the
 * backlog is gone; 0: they wait for their turn, as at first. At least one frame in four is one of
 * the backlog meanwhile, and all are while the lane is full, since only that frees room. There is
 * one such jump at a time: what piles up behind it is handed out in order. May be called at any
 * time. */
void spool_reader_fresh_first(struct spool_reader *reader, uint64_t backlog_bytes);

/* Hands out the next synced frame, waiting up to `timeout_ms` for one (0: not at all).
 * ERR_AGAIN: none came, or spool_reader_wake(). ERR_IO: a read failed; asking again tries again,
 * and the third failure at one place counts as damage. ERR_NOMEM. */
NODISCARD enum err spool_reader_next(struct spool_reader *reader, unsigned timeout_ms,
                                     struct spool_frame **ret_frame, struct error *error);

/* Makes a waiting spool_reader_next(), or the next one, return ERR_AGAIN. */
void spool_reader_wake(struct spool_reader *reader);

/* All frames below `end` are delivered; if it is the end of a frame that went ahead, then all below
 * it that went ahead, and the cursor stays. Going back is ignored; going past what was handed out
 * is the caller's mistake (ASSERT). */
void spool_reader_ack(struct spool_reader *reader, struct spool_position end);

struct spool_position spool_reader_cursor(struct spool_reader *reader);

/* What is on disk: after a crash frames are handed out again from the sequence `cursor` on, but for
 * those ahead of it, from `ahead_from` on and below `ahead_to`; both 0: none. */
struct spool_saved {
    uint64_t cursor, ahead_from, ahead_to;
};
struct spool_saved spool_reader_saved(struct spool_reader *reader);

/* Goes back to the cursor: after the peer lost what was in flight, to hand it out once more. */
void spool_reader_rewind(struct spool_reader *reader);

/* Entry `index` of the frame; views live as long as the frame. In rising order each call is cheap;
 * one thread at a time for one frame. */
struct spool_entry spool_frame_entry(struct spool_frame *frame, uint32_t index);

/* Gives the memory back and sets *frame to NULL. Accepts NULL. */
void spool_frame_release(struct spool_frame **frame);

#endif
