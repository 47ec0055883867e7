/* position: how far a file has been read, as it is stored in the spool beside the lines.
 *
 * A file is known by device, inode and fingerprint, for inodes are used again: the fingerprint is a
 * hash of its first bytes, at most FINGERPRINT_MAX, and grows with the file until it covers that
 * many. Contents that were copied or compressed into another inode are known by it too.
 *
 *   position := version (1)  flags (1)  0 (2)  fingerprint length (4)  fingerprint (8)
 *               device (8)  inode (8)  source (8)  group (8)  size (8)  seen (8)
 *               mark (lines/mark.h)  path (the rest, for people)             little endian
 *
 * The mark's offsets count decompressed bytes where the file is compressed.
 *
 * Pure.
 */
#ifndef SIDECAR_TAIL_POSITION_H
#define SIDECAR_TAIL_POSITION_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/lines/mark.h"

#define FINGERPRINT_MAX 1024 /* bytes */
#define POSITION_MAX    478  /* bytes of an encoded position */

struct fingerprint {
    uint64_t hash;
    uint32_t len; /* bytes it covers */
};

struct position {
    uint64_t dev, ino;
    struct fingerprint print;
    bool compressed;
    bool done;        /* a compressed file: read to its end, and it can't grow */
    uint64_t source;  /* hash of the source's name */
    uint64_t group;   /* and of the path before rotations */
    uint64_t size;    /* last seen; of a compressed file: of its compressed bytes */
    uint64_t seen_ms; /* wall time of this position */
    struct lines_mark mark;
};

/* Of the first bytes of a file, all of `start` up to FINGERPRINT_MAX. */
struct fingerprint fingerprint_of(struct bytes start);

/* Whether `start`, the first bytes of a file, begin with what was fingerprinted. An empty
 * fingerprint matches everything: ask for more than that. */
bool fingerprint_matches(struct fingerprint print, struct bytes start);

/* Appends at most POSITION_MAX bytes; of a long path the end. */
NODISCARD enum err position_encode(const struct position *position, const char *path,
                                   struct buf *into);

/* ERR_CORRUPT: not one. `ret_path` is a view. */
NODISCARD enum err position_decode(struct bytes data, struct position *ret_position,
                                   struct bytes *ret_path);

#endif
