/* cursor: the file that remembers how far readers have got, and who the spool is.
 *
 *   DIR/cursors := slot slot            a slot is 4096 bytes; a save overwrites the older one
 *
 *   slot, little endian                       reader, 96 bytes
 *      0  magic "SRGCUR01"                      0  name, padded with zeros (32)
 *      8  u64 serial: the higher is newer      32  u64 cursor: frames below are acknowledged
 *     16  u64 incarnation of the spool         40  u64 items before the cursor, in the lane
 *     24  u32 readers                          48  u64 of those, items before the reader began
 *     28  zeros                                56  u64 of those, items that damage took
 *     32  lanes, 3 * 32 bytes                  64  u64 of those, items that were dropped
 *    128  readers, 96 bytes each               72  u8 lane, then zeros
 *   1280  readers ahead, 48 bytes each
 *   1856  u64: numbers of segments below this may have been given out
 *   1864  3 lanes, u64: sequences below this may have been given out
 *   4092  u32 crc32c of the 4092 bytes before
 *                                             lane, 32 bytes
 *                                               0  u64 begin: frames below are gone
 *                                               8  u64 synced: frames below had been synced
 *                                              16  u64 items of the lane up to there
 *                                              24  u64 items that were dropped unread
 *
 *   reader ahead: what it has acknowledged beyond a backlog
 *      0  u64 first sequence, u64 items before it; 0: nothing
 *     16  u64 end of the sequences, u64 items before that
 *     32  u64 of the items between, those that damage took
 *     40  zeros
 *
 * Overwriting one of two slots is atomic (a torn one fails its check, and the other one counts) and
 * costs a tenth of making a new file. After a failure the file is not trusted any more, nor is the
 * one of an earlier run, which may have met one: the next save makes a new one beside it, syncs it
 * and renames it into place.
 *
 * Thread: the committer.
 */
#ifndef SIDECAR_SPOOL_CURSOR_H
#define SIDECAR_SPOOL_CURSOR_H

#include "sidecar/spool/reader.h"

struct cursor_reader {
    char name[SPOOL_READER_NAME_MAX + 1]; /* "": no reader */
    uint64_t seq, items, start_items, damaged, dropped;
    struct spool_position ahead_from, ahead_to; /* acknowledged too; sequence 0: none */
};

struct cursor_lane {
    uint64_t begin, synced, items, dropped;
    uint64_t given; /* sequences below may have been given out; 0: not known */
    struct cursor_reader readers[SPOOL_READERS_MAX];
};

struct cursor_state {
    uint64_t incarnation;
    uint64_t numbers; /* of segments: those below may have been given out; 0: not known */
    struct cursor_lane lanes[SIGNAL_COUNT];
};

struct cursor_file;

/* Opens the file in `dir` and reads the newest sound slot. `*ret_found` tells whether there was
 * one; if not, the state is zero. ERR_INVALID: written by a newer version. ERR_NOMEM. What can't be
 * read is not found, and no error. */
NODISCARD enum err cursor_open(const char *dir, struct cursor_file **ret_file,
                               struct cursor_state *ret_state, bool *ret_found,
                               struct error *error);

/* Only reads; for looking at a spool that another process may own. */
NODISCARD enum err cursor_peek(const char *dir, struct cursor_state *ret_state, bool *ret_found,
                               struct error *error);

/* Makes `state` durable. On failure what was saved before still counts. */
NODISCARD enum err cursor_save(struct cursor_file *file, const struct cursor_state *state,
                               struct error *error);

/* Closes and frees. Accepts NULL. */
void cursor_close(struct cursor_file **file);

#endif
