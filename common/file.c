#include "common/file.h"

#include "common/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

enum err file_read(const char *path, size_t size_max, struct buf *into, struct error *error)
{
    enum { PIECE = 16 << 10 };
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t before = into->len;

    if (fd < 0)
        return error_set_errno(error, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "open '%s'", path);
    for (;;) {
        enum err err = buf_reserve(into, PIECE);
        if (err)
            return error_set(error, err, "read '%s'", path);
        ssize_t got = read(fd, into->data + into->len, PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            into->len = before;
            return error_set_errno(error, errno == EISDIR ? ERR_INVALID : ERR_IO, "read '%s'",
                                   path);
        }
        if (got == 0)
            return OK;
        into->len += (size_t)got;
        if (into->len - before > size_max) {
            into->len = before;
            return error_set(error, ERR_FULL, "'%s' is longer than %zu bytes", path, size_max);
        }
    }
}

/* What changes with the file: Kubernetes swaps a link, others write in place or rename. */
uint32_t file_stamp(uint32_t stamp, const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0)
        return crc32c(stamp, bytes_from("-"));
    const int64_t facts[] = {(int64_t)status.st_ino, (int64_t)status.st_size,
                             (int64_t)status.st_mtim.tv_sec, (int64_t)status.st_mtim.tv_nsec};
    return crc32c(stamp, (struct bytes){(const uint8_t *)facts, sizeof facts});
}
