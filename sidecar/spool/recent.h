/* recent: frames that were committed just now, still in memory, for readers close behind: they are
 * handed out as they are, which saves a read, a copy and a check.
 *
 *   committer --keep--> lane's ring --take--> frame handed out --release--> buffers for new frames
 *                            '---- replaced, or nobody wants it any more ---'
 *
 * A buffer goes back when the committer, the ring and the readers have all let go of it. No more
 * than RECENT_LENT are out at a time; a reader that holds more of them, or is further behind, reads
 * from the file, into memory of the right size. So does one that comes to a large request: its frame
 * would be kept for as long as Kafka is away, and four of them are more than all else.
 *
 * Thread: any.
 */
#ifndef SIDECAR_SPOOL_RECENT_H
#define SIDECAR_SPOOL_RECENT_H

#include "common/contract/signal.h"
#include "sidecar/spool/pending.h"

enum { RECENT_RING = 4, RECENT_LENT = 4 };

struct lane;
struct store;

struct recent {
    struct frame_buf *ring[RECENT_RING];
    unsigned next; /* to be replaced */
};

/* A frame that was synced just now. The lock is held. */
void recent_keep(struct store *store, struct lane *lane, struct frame_buf *frame);

/* The frame with that sequence, to be released; NULL: it is not there. The lock is held. */
struct frame_buf *recent_take(struct lane *lane, uint64_t seq);

/* Lets go of what no open reader is about to want. The lock is held. */
void recent_tidy(struct store *store, struct lane *lane);

/* Nobody who called it uses the frame any more. The lock is not held. */
void recent_release(struct store *store, struct frame_buf *frame);

#endif
