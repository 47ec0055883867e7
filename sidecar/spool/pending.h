/* pending: a frame in the making, in memory, laid out as it will be on disk.
 *
 *   bytes := room for the header | data ...        entries, meta and marks are kept beside it, and
 *                                                  put behind the data by pending_seal()
 *
 * One size of buffer serves all requests up to the frame limit and is used again and again; a
 * bigger request gets a buffer of its own, which holds nothing else.
 *
 * Thread: whoever holds the object.
 */
#ifndef SIDECAR_SPOOL_PENDING_H
#define SIDECAR_SPOOL_PENDING_H

#include "sidecar/spool/frame.h"
#include "sidecar/spool/spool.h"

enum {
    PENDING_ENTRIES_MAX = 4096,
    PENDING_META_MAX = 64 * 1024,
    PENDING_MARKS_MAX = 64 * 1024,
};

/* What the buffers of a spool hold at most, so that every frame fits a segment. */
struct pending_limits {
    uint32_t data, entries, meta, marks; /* bytes, but for entries */
};

struct frame_buf {
    struct frame_buf *next;
    struct pending_limits limits;

    uint8_t *bytes; /* FRAME_HEADER + data + index + meta + padding */
    size_t len;     /* of the frame, after pending_seal() */
    struct frame_entry *entries;
    uint8_t *meta;
    uint8_t *marks;

    struct frame_header header; /* counts and times; the rest when it is written */
    bool sealed;
    bool single;   /* made for one large request, and not used again */
    bool lent;     /* to readers, see recent.h; set and looked at by the committer */
    unsigned refs; /* then: who has it */
    enum err err;
    struct spool_waiter *waiters, **waiters_tail;
    uint32_t requests;
    uint64_t written_items; /* of requests that wait for the write only */
    bool written;           /* and were told so: if the sync fails for good, they are lost */
    uint32_t marks_set;     /* that are not forgotten */
};

/* Limits of the buffers that are used again, for segments with `room` bytes. */
struct pending_limits pending_limits(uint64_t room);

/* Makes a buffer. NULL: out of memory. */
struct frame_buf *pending_create(struct pending_limits limits);

/* Frees. Accepts NULL. */
void pending_destroy(struct frame_buf **frame);

/* Whether the request would still go in. */
bool pending_fits(const struct frame_buf *frame, size_t entries, size_t data_len, size_t meta_len,
                  size_t marks_len);

/* Copies a request that fits, `data_len` bytes in all parts, and goes on with the check sum. */
void pending_add(struct frame_buf *frame, const struct spool_request *request, size_t data_len,
                 uint64_t now_ns, struct spool_waiter *waiter);

/* Puts index, meta, marks and padding behind the data, and ends the check sum of the body. */
void pending_seal(struct frame_buf *frame);

/* Empty again, for the next frame. */
void pending_reset(struct frame_buf *frame);

#endif
