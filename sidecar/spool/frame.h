/* frame: what one group commit writes for a lane; the unit of reading, checking and losing.
 *
 *   frame := header (128)  data  index (entries * 16)  meta  marks  zeros up to a multiple of 4096
 *
 *   header, little endian                      index, one entry for each request
 *     0  magic "SRGSPL01"                        0  u32 bytes of data
 *     8  u64 incarnation of the spool            4  u32 items
 *    16  u64 generation of the segment           8  u32 tag, the writer's own
 *    24  u64 number of the segment              12  u32 bytes of meta
 *    32  u64 offset of the frame in its file
 *    40  u64 sequence                          Data and meta of the requests lie back to back, in
 *    48  u64 lane_end: see below               the order of the index.
 *    56  u64 synced: see below
 *    64  u64 items of the lane before it
 *    72  u64 items in it
 *    80  u64 wall time of acceptance, ns
 *    88  u32 bytes of data
 *    92  u32 entries
 *    96  u32 bytes of meta
 *   100  u32 crc32c of data, index,         a mark
 *            meta and marks                     0  u16 bytes of value; 65535: the key is forgotten
 *   104  u8  lane (0 traces, 1 metrics,         2  key (32)
 *            2 logs)                           34  value
 *   105  u8  1: the lane had no other marks
 *   106  zeros                              Marks lie back to back; of one key the last counts.
 *   108  u32 bytes of marks
 *   112  zeros
 *   124  u32 crc32c of the 124 bytes before
 *
 * lane_end is the same in all frames of a segment: where the lane ended when the segment was begun.
 * Frames of earlier segments with that sequence or a higher one do not count: they are leftovers of
 * a torn tail, or were written again because their sync failed.
 * synced tells that all frames of the lane below it had been synced when this one was written.
 * A frame without entries holds nothing but marks; it is of no interest to readers of data.
 * The first frame of each segment tells the lane's marks: whatever marks there are, are in it.
 *
 * Pure: no I/O, no clock.
 */
#ifndef SIDECAR_SPOOL_FRAME_H
#define SIDECAR_SPOOL_FRAME_H

#include "common/bytes.h"
#include "common/contract/signal.h"

enum { FRAME_ALIGN = 4096, FRAME_HEADER = 128, FRAME_ENTRY = 16 };

enum frame_flags {
    FRAME_ALL_MARKS = 1, /* the marks in it are all that the lane has */
};

#define FRAME_NUMBER_END (UINT64_C(1) << 62) /* no sequence and no count gets there */

struct frame_header {
    uint64_t incarnation, generation, number, offset;
    uint64_t seq, lane_end, synced;
    uint64_t items_before, items, accepted_ns;
    uint32_t data_len, entries, meta_len, marks_len, body_crc;
    enum signal lane;
    uint8_t flags; /* enum frame_flags */
};

struct frame_entry {
    uint32_t data_len, items, tag, meta_len;
};

void frame_encode(const struct frame_header *header, uint8_t into[static FRAME_HEADER]);

/* False: not a header, whatever it may be instead. */
bool frame_decode(const uint8_t from[static FRAME_HEADER], struct frame_header *ret_header);

void frame_entry_encode(const struct frame_entry *entry, uint8_t into[static FRAME_ENTRY]);
struct frame_entry frame_entry_decode(const uint8_t from[static FRAME_ENTRY]);

/* Data, index, meta and marks; and the whole frame with header and padding. */
uint64_t frame_body_len(const struct frame_header *header);
uint64_t frame_len(const struct frame_header *header);

/* Whether `body` is what the header was made for: the check sum, and an index that adds up. */
bool frame_body_fits(const struct frame_header *header, const uint8_t *body);

static inline uint64_t frame_align(uint64_t len)
{
    return (len + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

#endif
