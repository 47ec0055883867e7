#include "sidecar/tail/tail_file.h"

#include "common/compress.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { STEP = 64 << 10 };

static void forget_gzip(struct tail_file *file)
{
    decompressor_destroy(&file->gzip.decompressor);
    buf_fini(&file->gzip.made);
    file->gzip = (struct tail_bytes){0};
}

void tail_file_close(struct tail_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    forget_gzip(file);
}

static enum err fail(const char *what, struct error *error)
{
    enum err err = errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? ERR_NOTFOUND
                   : error_is_shortage(errno)                            ? ERR_AGAIN
                                                                         : ERR_IO;
    return error_set_errno(error, err, "%s", what);
}

/* ---- reading */

static enum err read_at(const struct tail_file *file, uint64_t offset, uint8_t *into, size_t cap,
                        size_t *ret_len, struct error *error)
{
    ssize_t got;

    do
        got = pread(file->fd, into, cap, (off_t)offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail("read", error);
    *ret_len = (size_t)got;
    return OK;
}

/* Decompresses some more behind what is made already. */
static enum err make_more(struct tail_file *file, struct error *error)
{
    struct tail_bytes *gzip = &file->gzip;
    uint8_t packed[STEP / 4];
    size_t len = 0;
    bool done = false;

    enum err err = read_at(file, gzip->file_at, packed, sizeof packed, &len, error);
    if (err)
        return err;
    struct bytes in = {packed, len};
    /* Until some come out, or the piece is used up. */
    do
        err = decompressor_step(gzip->decompressor, &in, STEP, &gzip->made, &done, error);
    while (!err && !done && in.len > 0 && gzip->made.len == 0);
    gzip->file_at += len - in.len;
    if (err)
        return err == ERR_INVALID ? ERR_CORRUPT : err;
    gzip->ended = done && gzip->file_at >= file->size;
    return OK;
}

static enum err start_gzip(struct tail_file *file, struct error *error)
{
    forget_gzip(file);
    return decompressor_create(COMPRESSION_GZIP, &file->gzip.decompressor, error);
}

static enum err read_gzip(struct tail_file *file, uint64_t offset, uint8_t *into, size_t cap,
                          size_t *ret_len, struct error *error)
{
    struct tail_bytes *gzip = &file->gzip;
    enum err err = OK;

    if (gzip->decompressor == NULL || offset < gzip->made_at)
        err = start_gzip(file, error);
    while (!err) {
        size_t skip = offset - gzip->made_at < gzip->made.len ? (size_t)(offset - gzip->made_at)
                                                              : gzip->made.len;
        buf_consume(&gzip->made, skip);
        gzip->made_at += skip;
        if (gzip->made.len > 0 || gzip->ended)
            break;
        err = make_more(file, error);
    }
    if (err)
        return err;
    *ret_len = gzip->made.len < cap ? gzip->made.len : cap;
    if (*ret_len > 0)
        memcpy(into, gzip->made.data, *ret_len);
    return OK;
}

enum err tail_file_read(struct tail_file *file, uint64_t offset, uint8_t *into, size_t cap,
                        size_t *ret_len, struct error *error)
{
    return file->compressed ? read_gzip(file, offset, into, cap, ret_len, error)
                            : read_at(file, offset, into, cap, ret_len, error);
}

/* ---- what it is */

enum err tail_file_start(struct tail_file *file, uint8_t into[static FINGERPRINT_MAX],
                         size_t *ret_len, struct error *error)
{
    size_t len = 0, got = 1;

    while (len < FINGERPRINT_MAX && got > 0) {
        enum err err = tail_file_read(file, len, into + len, FINGERPRINT_MAX - len, &got, error);
        if (err)
            return err;
        len += got;
    }
    *ret_len = len;
    return OK;
}

enum err tail_file_last_line(struct tail_file *file, uint64_t *ret_offset, struct error *error)
{
    uint8_t end[STEP / 4];
    size_t len = 0;
    uint64_t from = file->size > sizeof end ? file->size - sizeof end : 0;

    enum err err = read_at(file, from, end, sizeof end, &len, error);
    if (err)
        return err;
    const uint8_t *newline = len == 0 ? NULL : memrchr(end, '\n', len);
    if (newline != NULL)
        from += (uint64_t)(newline + 1 - end);
    else if (from > 0)
        from = file->size; /* a very long line: its end will be taken for a line */
    *ret_offset = from;
    return OK;
}

uint64_t tail_file_hole(const struct tail_file *file)
{
    off_t data = lseek(file->fd, 0, SEEK_DATA);
    return data > 0 ? (uint64_t)data : 0;
}

enum err tail_file_verify(struct tail_file *file, struct error *error)
{
    uint8_t start[FINGERPRINT_MAX];
    size_t len = 0;

    enum err err = tail_file_start(file, start, &len, error);
    if (err)
        return err;
    if (!fingerprint_matches(file->print, (struct bytes){start, len}))
        return error_set(error, ERR_CORRUPT, "other bytes are in front now");
    file->print = fingerprint_of((struct bytes){start, len});
    return OK;
}

static void note(struct tail_file *file, const struct stat *status)
{
    file->size = (uint64_t)status->st_size;
    file->unlinked = status->st_nlink == 0;
}

static enum err check(struct tail_file *file, struct error *error)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return fail("fstat", error);
    if (!S_ISREG(status.st_mode))
        return error_set(error, ERR_NOTFOUND, "not a regular file");
    bool any = file->dev == 0 && file->ino == 0;
    if (!any && (file->dev != (uint64_t)status.st_dev || file->ino != (uint64_t)status.st_ino))
        return error_set(error, ERR_CONFLICT, "another file has the name");
    file->dev = (uint64_t)status.st_dev;
    file->ino = (uint64_t)status.st_ino;
    if (file->compressed) /* how far to read */
        note(file, &status);
    enum err err = tail_file_verify(file, error);
    if (!err)
        note(file, &status); /* other contents have a size of their own */
    return err;
}

enum err tail_file_open(struct tail_file *file, const char *path, struct error *error)
{
    tail_file_close(file);
    /* Not to hang on a pipe that somebody put there. */
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum err err = file->fd < 0 ? fail("open", error) : check(file, error);
    if (err)
        tail_file_close(file);
    return err ? error_prefix(error, err, "'%s'", path) : OK;
}

enum err tail_file_ask(struct tail_file *file, uint64_t offset, struct error *error)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return fail("fstat", error);
    if (!file->compressed && (uint64_t)status.st_size < offset)
        return error_set(error, ERR_CORRUPT, "became shorter than what had been read");
    note(file, &status);
    return OK;
}
