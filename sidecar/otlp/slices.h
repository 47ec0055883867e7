/* slices: bytes in several places that read as one, so that changing a request copies nothing.
 *
 *   input   [........|..............|.........]
 *   slices   ^view    ^made  ^view      ^view     each a struct bytes; together: the new request
 *
 * A view points into somebody else's bytes and lives as long as they do; a made slice points into
 * memory of the slices themselves and lives until clear, join or fini. Neighbours that touch become
 * one slice, and short views behind made bytes are copied, so that the list stays short.
 *
 * Zero-initialised is empty and valid. Kept and cleared between requests, it needs no allocation in
 * the steady state. Thread: one at a time.
 */
#ifndef SIDECAR_OTLP_SLICES_H
#define SIDECAR_OTLP_SLICES_H

#include "common/arena.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

struct otlp_slices {
    struct bytes *list; /* count of them, in order, none empty */
    size_t count;
    size_t size_bytes; /* their sum */

    size_t cap;           /* the rest is private */
    struct arena scratch; /* made bytes */
    uint8_t *room;
    size_t room_bytes;
};

/* Frees everything; the slices are empty and usable again. */
void otlp_slices_fini(struct otlp_slices *slices);

/* Empties the list and forgets the made bytes, keeping memory for the next request. */
void otlp_slices_clear(struct otlp_slices *slices);

/* Adds a view of `bytes`. ERR_NOMEM. */
NODISCARD enum err otlp_slices_add(struct otlp_slices *slices, struct bytes bytes);

/* Two ways to make bytes in place. Either: room for `size` bytes, to be followed at once by
 * otlp_slices_made() with how many were written. */
NODISCARD enum err otlp_slices_make(struct otlp_slices *slices, size_t size, uint8_t **ret_at);
NODISCARD enum err otlp_slices_made(struct otlp_slices *slices, size_t size);

/* Or: a slot for up to OTLP_SLOT_SIZE bytes that are known later, such as a length. Until it is
 * filled, with one byte at least, the list is not to be read. */
#define OTLP_SLOT_SIZE 16
NODISCARD enum err otlp_slices_slot(struct otlp_slices *slices, size_t *ret_slot);
void otlp_slices_fill(struct otlp_slices *slices, size_t slot, struct bytes bytes);

/* Copies everything into one made slice. ERR_NOMEM, and then nothing has changed. */
NODISCARD enum err otlp_slices_join(struct otlp_slices *slices);

/* Copies everything to `to`, which has room for size_bytes. */
void otlp_slices_copy(const struct otlp_slices *slices, uint8_t *to);

/* Appends everything to `into`. ERR_FULL, ERR_NOMEM as buf_reserve(). */
NODISCARD enum err otlp_slices_append_to(const struct otlp_slices *slices, struct buf *into);

#endif
