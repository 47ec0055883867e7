/* segment: one file of the spool, of fixed size, overwritten in place again and again.
 *
 *   file := frame* leftovers        frames lie back to back from offset 0, each a multiple of 4 KiB
 *
 *                 segment_begin()            last frame written                 every reader is
 * past it spare (blank or old frames) ---> active -------------------> sealed
 * ---------------------> spare \ a write or sync failed    \ bytes could not be read
 *                                        '----> retired -------------'---> set aside as *.damaged
 *
 * A file is named by its slot, "00000012.segment"; what it holds at present (the segment proper) is
 * told by its frames: a life of the file has a number, higher than that of any segment before, and
 * a random generation, by which its frames are known from leftovers of earlier lives behind them.
 *
 * Thread: the committer, but for segment_find() and the fields under "shared".
 */
#ifndef SIDECAR_SPOOL_SEGMENT_H
#define SIDECAR_SPOOL_SEGMENT_H

#include "common/error.h"
#include "sidecar/spool/frame.h"

#define SEGMENT_BYTES_MIN (16u << 10)
#define SEGMENT_SUFFIX    ".segment"
#define DAMAGED_SUFFIX    ".damaged"

enum {
    SEGMENT_MARKS = 16,
    SEGMENT_TRIES = 3, /* what can't be read or opened so often counts as damaged */
};

/* Where a frame begins: some are remembered, to find a sequence or a time without reading all. */
struct segment_mark {
    uint64_t offset, seq, accepted_ns;
};

struct segment {
    uint32_t slot;
    int fd;
    uint64_t size;     /* of the file; an earlier run's last one is cut to what it holds */
    uint64_t prepared; /* bytes written at least once, so that overwriting needs no new blocks */
    bool dirty;        /* written since the last sync */
    bool retired;      /* a write or sync failed: nothing is written here any more */
    bool inherited;    /* an earlier run's, which may have left frames in it that nobody synced */
    bool whole;        /* an earlier run's last one, of which nothing is missing or unreadable */
    bool unsure; /* known by some frame, and where it can't be read there may be younger ones */

    /* Shared with readers, guarded by the store's lock. */
    struct segment *next; /* in its lane, or among the spares */
    uint64_t generation, number;
    uint64_t lane_end;
    uint64_t base_seq, base_items; /* of the first frame */
    uint64_t end_seq, end_items;   /* behind the last frame */
    uint64_t youngest_ns;          /* acceptance of the last frame, or a later time; 0: unknown */
    uint64_t used;                 /* bytes of frames */
    enum signal lane;
    bool damaged;  /* holds bytes that could not be read */
    unsigned pins; /* readers that are reading it now: it must stay as it is */
    unsigned mark_count;
    struct segment_mark marks[SEGMENT_MARKS];
};

/* "DIR/00000012.segment", or with another suffix, into `path`. False: it does not fit. */
bool segment_path(const char *dir, uint32_t slot, const char *suffix, size_t cap, char *path);

/* The other way round, without the directory. False: some other file. */
bool segment_slot(const char *name, const char *suffix, uint32_t *ret_slot);

/* Makes the file for `slot`, with all its blocks, durably. ERR_FULL: the disk is. On failure the
 * file is gone again, or empty. */
NODISCARD enum err segment_create(const char *dir, uint32_t slot, uint64_t size,
                                  struct segment **ret_segment, struct error *error);

/* Opens a file that is there, as a spare; `writable` or only to look. */
NODISCARD enum err segment_open(const char *dir, uint32_t slot, bool writable,
                                struct segment **ret_segment, struct error *error);

/* Closes and frees. Accepts NULL. */
void segment_close(struct segment **segment);

/* Reads as os_read_at() does, trying again. */
NODISCARD enum err segment_read(const struct segment *segment, void *into, size_t cap,
                                uint64_t offset, size_t *ret_len, struct error *error);

/* Cuts the file to its frames, before readers have it. On failure it is retired. */
NODISCARD enum err segment_cut(struct segment *segment, struct error *error);

/* Finds out what the file holds: from its first frame, or from any if that one is damaged (then
 * `damaged` is set). On OK `*ret_first` is the frame found. ERR_NOTFOUND: there is none. ERR_IO:
 * there is none where it can be read, so it may hold some. ERR_NOMEM. */
NODISCARD enum err segment_identify(struct segment *segment, struct frame_header *ret_first,
                                    struct error *error);

/* Starts a life: no frames, a new number and generation. */
void segment_begin(struct segment *segment, enum signal lane, uint64_t number, uint64_t generation,
                   uint64_t lane_end, uint64_t items);

/* Accounts for a frame at its offset: written just now, or found by recovery. */
void segment_note(struct segment *segment, const struct frame_header *header);

/* Whether the frame belongs to this life of the file. */
bool segment_owns(const struct segment *segment, const struct frame_header *header);

/* Header of this life at `offset`. ERR_NOTFOUND: none there; ERR_IO. */
NODISCARD enum err segment_header(const struct segment *segment, uint64_t offset,
                                  struct frame_header *ret_header, struct error *error);

/* First header of this life at or behind `from`, looking at every 4 KiB. Unreadable places are
 * passed over; `*unreadable`, unless NULL, is set if there was one. ERR_NOTFOUND, ERR_NOMEM. */
NODISCARD enum err segment_find(const struct segment *segment, uint64_t from,
                                struct frame_header *ret_header, bool *unreadable,
                                struct error *error);

/* Writes zeros over the next `step` bytes that were never written, and syncs them. */
NODISCARD enum err segment_prepare(struct segment *segment, uint64_t step, struct error *error);

/* The best remembered place at or before `seq`. */
const struct segment_mark *segment_mark_before(const struct segment *segment, uint64_t seq);

#endif
