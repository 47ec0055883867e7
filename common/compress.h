/* compress: the door to zlib and zstd, for request bodies and exports.
 *
 * Decompression works in steps and never makes more than the caller has room for, so that a bomb
 * costs a refusal and not memory. Concatenated gzip members and zstd frames are one stream. A zstd
 * frame whose window is above COMPRESS_WINDOW_MAX is refused.
 *
 * Both objects are meant to be kept and used again: making one costs more than a small body does.
 *
 * Thread: an object belongs to whoever made it.
 */
#ifndef COMMON_COMPRESS_H
#define COMMON_COMPRESS_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

#define COMPRESS_WINDOW_MAX (8u << 20) /* bytes; what RFC 8878 asks every decoder to take */

enum compression {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_ZSTD,
    COMPRESSION_DEFLATE, /* the zlib format, as HTTP's "deflate" means it */
};

/* The name used in Content-Encoding and grpc-encoding: "identity", "gzip", "zstd", "deflate". */
const char *compression_name(enum compression compression);

/* Reads such a name, or x-gzip, whatever its case; empty is identity. ERR_NOTFOUND: one we don't
 * have. */
NODISCARD enum err compression_parse(struct bytes name, enum compression *ret_compression);

struct decompressor;

NODISCARD enum err decompressor_create(enum compression compression,
                                       struct decompressor **ret_decompressor, struct error *error);
void decompressor_destroy(struct decompressor **decompressor);

/* Forgets the stream at hand, whatever became of it. */
void decompressor_reset(struct decompressor *decompressor);

/* Takes bytes from the front of *in and appends at most `step` bytes to `out`. Returns OK until
 * *ret_done is true: then the input is used up and the stream was whole. With `in` empty and not
 * done, ERR_INVALID says that it was cut short, as it says of anything malformed. ERR_FULL: more
 * would not fit under out->max. ERR_NOMEM. After an error only reset and destroy are allowed. */
NODISCARD enum err decompressor_step(struct decompressor *decompressor, struct bytes *in,
                                     size_t step, struct buf *out, bool *ret_done,
                                     struct error *error);

/* All of `in` in one call, behind what `out` holds. Errors as above; out->max must be set. */
NODISCARD enum err decompressor_run(struct decompressor *decompressor, struct bytes in,
                                    struct buf *out, struct error *error);

struct compressor;

/* `level` as the format counts it: 1 is the quick one of each. COMPRESSION_NONE copies. */
NODISCARD enum err compressor_create(enum compression compression, int level,
                                     struct compressor **ret_compressor, struct error *error);
void compressor_destroy(struct compressor **compressor);

/* Appends the whole compressed stream of the parts, in order, to `out`. ERR_FULL (out->max),
 * ERR_NOMEM: what `out` held before is intact, and the compressor can be used again. */
NODISCARD enum err compressor_run(struct compressor *compressor, const struct bytes *parts,
                                  size_t count, struct buf *out, struct error *error);

#endif
