/* marks: the latest mark of each key of a lane, and how marks lie in frames (frame.h).
 *
 * All memory is taken when the table is made, so that nothing that is durable can fail to get in;
 * pages that hold no mark are never touched. Keys are kept in order, for a search by halving.
 *
 * Thread: whoever holds the object.
 */
#ifndef SIDECAR_SPOOL_MARKS_H
#define SIDECAR_SPOOL_MARKS_H

#include "common/error.h"
#include "sidecar/spool/spool.h"

enum { MARK_HEAD = 2 + SPOOL_MARK_KEY, MARK_BYTES_MAX = MARK_HEAD + SPOOL_MARK_VALUE };

struct marks;

/* A table for `keys_max` keys, SPOOL_MARKS_MAX at most. NULL: out of memory. */
struct marks *marks_create(uint32_t keys_max);

/* Frees. Accepts NULL. */
void marks_destroy(struct marks **marks);

void marks_clear(struct marks *marks);
uint32_t marks_count(const struct marks *marks);

/* Bytes that marks_encode() writes: keys_max * MARK_BYTES_MAX at most. */
size_t marks_len(const struct marks *marks);
void marks_encode(const struct marks *marks, uint8_t *into);

/* Takes over the marks of a frame, in their order. False: the bytes are not marks, or there are too
 * many keys; what came before them was taken. */
bool marks_apply(struct marks *marks, struct bytes encoded);

void marks_each(const struct marks *marks, spool_visit_mark_fn *visit, void *context);

/* One mark as it lies in a frame. */
size_t mark_len(const struct spool_mark *mark);
void mark_encode(const struct spool_mark *mark, uint8_t *into);

#endif
