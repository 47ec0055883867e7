/* offsets: which messages of one partition are still outstanding, and what may be committed.
 *
 *   added     5  6  7  9 10        (8 is no message of ours: a marker, or compacted away)
 *   done      x  x     x           done out of order, as exports end
 *   commit          7              the lowest outstanding: everything below it is done
 *
 * A done message counts only once it has been done for `settle_ms`: a backend that answers before
 * it stores may have lost it until then. Pure; one thread at a time.
 */
#ifndef SIDECAR_GATEWAY_OFFSETS_H
#define SIDECAR_GATEWAY_OFFSETS_H

#include "common/attr.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offsets_entry {
    int64_t offset;
    uint64_t done_ms; /* monotonic; 0: outstanding */
};

/* Zero-initialised by offsets_init() only. */
struct offsets {
    struct offsets_entry *ring;
    size_t first, len, cap;
    int64_t commit; /* what offsets_commit() said last, at first where reading began */
    int64_t next;   /* one past the highest added */
};

/* Reading begins at `start`, which is what a commit before any message would say. */
void offsets_init(struct offsets *offsets, int64_t start);
void offsets_fini(struct offsets *offsets);

/* A message was read. ERR_INVALID: its offset is not above all earlier ones (a message seen twice):
 * it is not outstanding a second time. ERR_NOMEM. */
NODISCARD enum err offsets_add(struct offsets *offsets, int64_t offset);

/* It is delivered, or in the dead letters. The offset must be outstanding (ASSERT). */
void offsets_done(struct offsets *offsets, int64_t offset, uint64_t now_ms);

/* The offset to commit: all below it have been done since `now_ms` - `settle_ms` or longer. Never
 * goes back. */
int64_t offsets_commit(struct offsets *offsets, uint64_t now_ms, uint64_t settle_ms);

/* Messages added and not behind the commit. */
static inline size_t offsets_held(const struct offsets *offsets)
{
    return offsets->len;
}

#endif
