/* cutter: chunks of a file into physical lines, which end in \n.
 *
 * A line that is longer than `piece_max` comes in pieces: of that size, but for the last. Lines and
 * pieces are the same however the file is cut into chunks. Text is a view of the chunk where the
 * line is whole in it, else of `held`; it is valid until the next call.
 *
 * Zero-initialised but for piece_max, and `at` for a start inside the file. Thread: one at a time.
 */
#ifndef SIDECAR_LINES_CUTTER_H
#define SIDECAR_LINES_CUTTER_H

#include "common/attr.h"
#include "common/buf.h"

struct cutter {
    size_t piece_max;
    uint64_t at;        /* offset in the file of the next byte of the chunk, or of the next chunk */
    struct bytes chunk; /* what is left of it */

    struct buf held; /* the start of a piece whose end is still to come */
    bool held_used;  /* it has been given, and goes with the next call */
};

struct piece {
    struct bytes text; /* without \n; never NULL */
    uint64_t at;       /* offset in the file */
    bool ended;        /* false: the line goes on in the next piece */
};

void cutter_fini(struct cutter *cutter);

/* The next line or piece. ERR_AGAIN: the chunk is used up. ERR_NOMEM: nothing has changed. */
NODISCARD enum err cutter_next(struct cutter *cutter, struct piece *ret_piece);

/* Bytes that wait for the end of their piece. */
size_t cutter_waiting(const struct cutter *cutter);

/* Gives these bytes (there may be none) as a piece, without waiting for more. */
void cutter_give(struct cutter *cutter, bool ended, struct piece *ret_piece);

#endif
