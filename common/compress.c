#include "common/compress.h"

#include "common/assert.h"

#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { GZIP_BITS = 15 + 16, ZLIB_BITS = 15, DECOMPRESS_STEP = 256 * 1024, STEP_MIN = 4096 };

static const char *const names[] = {
    [COMPRESSION_NONE] = "identity",
    [COMPRESSION_GZIP] = "gzip",
    [COMPRESSION_ZSTD] = "zstd",
    [COMPRESSION_DEFLATE] = "deflate",
};

enum { COMPRESSIONS = sizeof names / sizeof names[0] };

const char *compression_name(enum compression compression)
{
    ASSERT((unsigned)compression < COMPRESSIONS);
    return names[compression];
}

enum err compression_parse(struct bytes name, enum compression *ret_compression)
{
    if (name.len == 0) {
        *ret_compression = COMPRESSION_NONE;
        return OK;
    }
    if (name.len == 6 && strncasecmp("x-gzip", (const char *)name.data, 6) == 0) {
        *ret_compression = COMPRESSION_GZIP; /* RFC 9110, 8.4.1.3: the same */
        return OK;
    }
    for (unsigned i = 0; i < COMPRESSIONS; i++)
        if (strlen(names[i]) == name.len &&
            strncasecmp(names[i], (const char *)name.data, name.len) == 0) {
            *ret_compression = (enum compression)i;
            return OK;
        }
    return ERR_NOTFOUND;
}

/* ---- decompression */

struct decompressor {
    enum compression compression;
    z_stream zlib;
    bool zlib_ready;
    ZSTD_DCtx *zstd;
    bool between; /* a member or frame is whole, and the next one has not begun */
};

void decompressor_destroy(struct decompressor **decompressor)
{
    struct decompressor *old = *decompressor;
    if (old == NULL)
        return;
    if (old->zlib_ready)
        inflateEnd(&old->zlib);
    ZSTD_freeDCtx(old->zstd);
    free(old);
    *decompressor = NULL;
}

enum err decompressor_create(enum compression compression, struct decompressor **ret_decompressor,
                             struct error *error)
{
    ASSERT(compression != COMPRESSION_NONE);
    AUTO(decompressor_destroy) struct decompressor *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, ERR_NOMEM, "make a decompressor");
    made->compression = compression;

    if (compression == COMPRESSION_ZSTD) {
        made->zstd = ZSTD_createDCtx();
        if (made->zstd == NULL)
            return error_set(error, ERR_NOMEM, "make a zstd decompressor");
        size_t bad = ZSTD_DCtx_setParameter(made->zstd, ZSTD_d_windowLogMax,
                                            __builtin_ctz(COMPRESS_WINDOW_MAX));
        ASSERT(!ZSTD_isError(bad));
    } else {
        int bits = compression == COMPRESSION_GZIP ? GZIP_BITS : ZLIB_BITS;
        if (inflateInit2(&made->zlib, bits) != Z_OK)
            return error_set(error, ERR_NOMEM, "make a %s decompressor", names[compression]);
        made->zlib_ready = true;
    }
    MOVE(*ret_decompressor, made);
    return OK;
}

void decompressor_reset(struct decompressor *decompressor)
{
    if (decompressor->zstd != NULL)
        ZSTD_DCtx_reset(decompressor->zstd, ZSTD_reset_session_only);
    else
        inflateReset(&decompressor->zlib);
    decompressor->between = false;
}

static void skip(struct bytes *in, size_t n)
{
    if (n == 0)
        return; /* there may be no data to point to */
    in->data += n;
    in->len -= n;
}

static enum err step_zstd(struct decompressor *decompressor, struct bytes *in, size_t room,
                          struct buf *out, struct error *error)
{
    ZSTD_inBuffer from = {.src = in->data, .size = in->len};
    ZSTD_outBuffer into = {.dst = out->data + out->len, .size = room};

    size_t left = ZSTD_decompressStream(decompressor->zstd, &into, &from);
    if (ZSTD_isError(left))
        return error_set(error, ERR_INVALID, "zstd data is malformed: %s", ZSTD_getErrorName(left));
    skip(in, from.pos);
    out->len += into.pos;
    decompressor->between = left == 0;
    return OK;
}

static enum err step_zlib(struct decompressor *decompressor, struct bytes *in, size_t room,
                          struct buf *out, struct error *error)
{
    z_stream *stream = &decompressor->zlib;
    uInt avail_in = in->len < UINT_MAX ? (uInt)in->len : UINT_MAX;
    uInt avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;

    if (decompressor->between && in->len > 0)
        inflateReset(stream);
    stream->next_in = (z_const Bytef *)(uintptr_t)in->data; /* zlib's z_const is empty by default */
    stream->avail_in = avail_in;
    stream->next_out = out->data + out->len;
    stream->avail_out = avail_out;
    int result = inflate(stream, Z_NO_FLUSH);
    skip(in, avail_in - stream->avail_in);
    out->len += avail_out - stream->avail_out;

    if (result == Z_MEM_ERROR)
        return error_set(error, ERR_NOMEM, "%s decompression", names[decompressor->compression]);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return error_set(error, ERR_INVALID, "%s data is malformed: %s",
                         names[decompressor->compression],
                         stream->msg != NULL ? stream->msg : "preset dictionary");
    decompressor->between = result == Z_STREAM_END;
    return OK;
}

enum err decompressor_step(struct decompressor *decompressor, struct bytes *in, size_t step,
                           struct buf *out, bool *ret_done, struct error *error)
{
    if (in->len == 0 && decompressor->between) {
        *ret_done = true;
        return OK;
    }

    size_t room = step;
    if (out->max != 0 && room > out->max - out->len)
        room = out->max - out->len;
    bool full = room == 0;
    uint8_t beyond; /* one byte past the cap tells "just fits" from "goes on" */
    struct buf probe = {.data = &beyond, .cap = 1};
    struct buf *into = full ? &probe : out;
    if (full) {
        room = 1;
    } else {
        enum err err = buf_reserve(out, room);
        if (err)
            return error_set(error, err, "decompressed data");
    }

    size_t before_in = in->len, before_out = into->len;
    enum err err = decompressor->zstd != NULL ? step_zstd(decompressor, in, room, into, error)
                                              : step_zlib(decompressor, in, room, into, error);
    if (err)
        return err;
    if (full && probe.len > 0)
        return error_set(error, ERR_FULL, "data is larger than %zu bytes when decompressed",
                         out->max);
    *ret_done = in->len == 0 && decompressor->between;
    if (!*ret_done && in->len == before_in && into->len == before_out)
        return error_set(error, ERR_INVALID, "%s data is cut short",
                         names[decompressor->compression]);
    return OK;
}

enum err decompressor_run(struct decompressor *decompressor, struct bytes in, struct buf *out,
                          struct error *error)
{
    size_t step = in.len < DECOMPRESS_STEP / 4 ? in.len * 4 + STEP_MIN : DECOMPRESS_STEP;

    ASSERT(out->max != 0);
    decompressor_reset(decompressor);
    for (bool done = false; !done;) {
        enum err err = decompressor_step(decompressor, &in, step, out, &done, error);
        if (err)
            return err;
    }
    return OK;
}

/* ---- compression */

struct compressor {
    enum compression compression;
    int level;
    z_stream zlib;
    bool zlib_ready;
    ZSTD_CCtx *zstd;
};

void compressor_destroy(struct compressor **compressor)
{
    struct compressor *old = *compressor;
    if (old == NULL)
        return;
    if (old->zlib_ready)
        deflateEnd(&old->zlib);
    ZSTD_freeCCtx(old->zstd);
    free(old);
    *compressor = NULL;
}

enum err compressor_create(enum compression compression, int level,
                           struct compressor **ret_compressor, struct error *error)
{
    AUTO(compressor_destroy) struct compressor *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(error, ERR_NOMEM, "make a compressor");
    made->compression = compression;
    made->level = level;

    if (compression == COMPRESSION_ZSTD) {
        made->zstd = ZSTD_createCCtx();
        if (made->zstd == NULL)
            return error_set(error, ERR_NOMEM, "make a zstd compressor");
        if (ZSTD_isError(ZSTD_CCtx_setParameter(made->zstd, ZSTD_c_compressionLevel, level)))
            return error_set(error, ERR_INVALID, "zstd has no level %d", level);
    } else if (compression != COMPRESSION_NONE) {
        int bits = compression == COMPRESSION_GZIP ? GZIP_BITS : ZLIB_BITS;
        int bad =
            deflateInit2(&made->zlib, level, Z_DEFLATED, bits, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
        if (bad == Z_STREAM_ERROR)
            return error_set(error, ERR_INVALID, "%s has no level %d", names[compression], level);
        if (bad != Z_OK)
            return error_set(error, ERR_NOMEM, "make a %s compressor", names[compression]);
        made->zlib_ready = true;
    }
    MOVE(*ret_compressor, made);
    return OK;
}

/* Room for more output: what is there, else half as much again, within the cap. */
static enum err make_room(struct buf *out)
{
    if (out->len < out->cap)
        return OK;
    size_t more = out->cap / 2 + STEP_MIN;
    if (out->max != 0 && more > out->max - out->len)
        more = out->max - out->len;
    return more == 0 ? ERR_FULL : buf_reserve(out, more);
}

static enum err add_zstd(struct compressor *compressor, struct bytes part, bool last,
                         struct buf *out)
{
    ZSTD_inBuffer from = {.src = part.data, .size = part.len};
    ZSTD_EndDirective mode = last ? ZSTD_e_end : ZSTD_e_continue;

    for (size_t left = 1; last ? left != 0 : from.pos < from.size;) {
        enum err err = make_room(out);
        if (err)
            return err;
        ZSTD_outBuffer into = {.dst = out->data + out->len, .size = out->cap - out->len};
        left = ZSTD_compressStream2(compressor->zstd, &into, &from, mode);
        if (ZSTD_isError(left)) /* its only cause here: memory for its window */
            return ERR_NOMEM;
        out->len += into.pos;
    }
    return OK;
}

static enum err add_zlib(struct compressor *compressor, struct bytes part, bool last,
                         struct buf *out)
{
    z_stream *stream = &compressor->zlib;
    int result = Z_OK;

    do {
        uInt chunk = part.len < UINT_MAX ? (uInt)part.len : UINT_MAX;
        enum err err = make_room(out);
        if (err)
            return err;
        size_t room = out->cap - out->len;
        uInt avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
        stream->next_in = (z_const Bytef *)(uintptr_t)part.data;
        stream->avail_in = chunk;
        stream->next_out = out->data + out->len;
        stream->avail_out = avail_out;
        result = deflate(stream, last && chunk == part.len ? Z_FINISH : Z_NO_FLUSH);
        ASSERT(result != Z_STREAM_ERROR);
        skip(&part, chunk - stream->avail_in);
        out->len += avail_out - stream->avail_out;
    } while (last ? result != Z_STREAM_END : part.len > 0);
    return OK;
}

static enum err add_parts(struct compressor *compressor, const struct bytes *parts, size_t count,
                          struct buf *out)
{
    enum err err = OK;
    for (size_t i = 0; !err && i < count; i++) {
        if (compressor->zstd != NULL)
            err = add_zstd(compressor, parts[i], false, out);
        else if (compressor->zlib_ready)
            err = add_zlib(compressor, parts[i], false, out);
        else
            err = buf_append(out, parts[i]);
    }
    if (!err && compressor->zstd != NULL)
        err = add_zstd(compressor, (struct bytes){0}, true, out);
    else if (!err && compressor->zlib_ready)
        err = add_zlib(compressor, (struct bytes){0}, true, out);
    return err;
}

enum err compressor_run(struct compressor *compressor, const struct bytes *parts, size_t count,
                        struct buf *out, struct error *error)
{
    size_t before = out->len;

    if (compressor->zstd != NULL)
        ZSTD_CCtx_reset(compressor->zstd, ZSTD_reset_session_only);
    else if (compressor->zlib_ready)
        deflateReset(&compressor->zlib);
    enum err err = add_parts(compressor, parts, count, out);
    if (err) {
        out->len = before;
        return error_set(error, err, "compress with %s", names[compressor->compression]);
    }
    return OK;
}
