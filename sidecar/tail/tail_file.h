/* tail_file: the bytes of one file, by what it is and not by its name.
 *
 *   opened by a name --(device, inode, fingerprint agree)--> read until the end, then asked again
 *         |                                                          |
 *         '-- another file has the name: ERR_CONFLICT                '-- shorter, or other bytes in
 *             nobody has it:             ERR_NOTFOUND                     front: ERR_CORRUPT
 *
 * An open file goes on whatever becomes of its name. Compressed files (gzip) are read as what was
 * compressed; their offsets count decompressed bytes, and getting to one takes reading all before.
 *
 * Thread: its owner's.
 */
#ifndef SIDECAR_TAIL_TAIL_FILE_H
#define SIDECAR_TAIL_TAIL_FILE_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/tail/position.h"

#include <sys/stat.h>

struct decompressor;

struct tail_bytes { /* how a compressed file is read */
    struct decompressor *decompressor;
    struct buf made;  /* decompressed and not handed out */
    uint64_t made_at; /* the offset at which `made` starts */
    uint64_t file_at; /* compressed bytes taken */
    bool ended;
};

struct tail_file {
    int fd; /* -1: not open */
    uint64_t dev, ino;
    struct fingerprint print; /* grows with the file */
    bool compressed;
    uint64_t size; /* when last asked; of a compressed file: of its compressed bytes */
    bool unlinked; /* no name is left */
    struct tail_bytes gzip;
};

/* Opens the name and takes what is there for what `file` describes: with `dev` and `ino` 0, for
 * whatever it is. ERR_NOTFOUND, ERR_CONFLICT: another inode. ERR_CORRUPT: the inode is the same,
 * its first bytes are not. ERR_AGAIN: too many files are open. ERR_IO: anything else. */
NODISCARD enum err tail_file_open(struct tail_file *file, const char *path, struct error *error);

/* Forgets the descriptor; what describes the file stays. */
void tail_file_close(struct tail_file *file);

/* Asks for the size again and whether the file still has a name. `offset`: how far it has been
 * read. ERR_CORRUPT: shorter than that, and the last size is kept. ERR_IO. */
NODISCARD enum err tail_file_ask(struct tail_file *file, uint64_t offset, struct error *error);

/* Reads the first bytes again: grows the fingerprint. ERR_CORRUPT: they are others. */
NODISCARD enum err tail_file_verify(struct tail_file *file, struct error *error);

/* Reads up to `cap` bytes at `offset`; 0 at the end. ERR_CORRUPT: not gzip. ERR_NOMEM, ERR_IO. */
NODISCARD enum err tail_file_read(struct tail_file *file, uint64_t offset, uint8_t *into,
                                  size_t cap, size_t *ret_len, struct error *error);

/* Reads the first bytes, at most FINGERPRINT_MAX. As above. */
NODISCARD enum err tail_file_start(struct tail_file *file, uint8_t into[static FINGERPRINT_MAX],
                                   size_t *ret_len, struct error *error);

/* Where the last line begins that is not complete; the size, if all are. */
NODISCARD enum err tail_file_last_line(struct tail_file *file, uint64_t *ret_offset,
                                       struct error *error);

/* Of a file that was cut to nothing while its writer went on at the old offset, the first bytes are
 * a hole: where it ends. 0: there is none. */
uint64_t tail_file_hole(const struct tail_file *file);

#endif
