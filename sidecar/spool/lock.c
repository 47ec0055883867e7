#include "sidecar/spool/lock.h"

#include "common/os.h"

#include <stdio.h>
#include <unistd.h>

enum { LINE_CAP = 160, PATH_CAP = 4096 };

/* What the owner wrote: printable text up to the end of the line, whatever is in the file. */
static void read_owner(int fd, char line[static LINE_CAP])
{
    size_t len = 0, end = 0;

    if (os_read_at(fd, line, LINE_CAP - 1, 0, &len, NULL) != OK)
        len = 0;
    while (end < len && line[end] >= ' ' && line[end] <= '~')
        end++;
    line[end] = '\0';
}

static enum err write_owner(int fd, struct error *error)
{
    char host[65] = "", line[LINE_CAP];

    /* The name only helps to find the owner; without it the line says less. */
    IGNORE_RESULT(gethostname(host, sizeof host - 1));
    int len = snprintf(line, sizeof line, "process %ld on host %s\n", (long)getpid(), host);
    enum err err = os_truncate(fd, 0, error);
    if (err)
        return err;
    return os_write_at(fd, (struct bytes){(const uint8_t *)line, (size_t)len}, 0, error);
}

enum err lock_take(const char *dir, int *ret_fd, struct error *error)
{
    char path[PATH_CAP], owner[LINE_CAP];
    AUTO(os_close) int fd = -1;

    int len = snprintf(path, sizeof path, "%s/lock", dir);
    if (len < 0 || (size_t)len >= sizeof path)
        return error_set(error, ERR_INVALID, "the path '%s' is too long", dir);

    enum err err = os_lock(path, &fd, error);
    if (err == ERR_CONFLICT) {
        read_owner(fd, owner);
        return error_set(error, err,
                         "spool '%s' is in use by %s; stop it first, or give this one a directory "
                         "of its own",
                         dir, owner[0] != '\0' ? owner : "another process");
    }
    if (err)
        return err;
    /* On a full disk the lock holds all the same; only a later conflict can't name its owner. */
    IGNORE_RESULT(write_owner(fd, NULL));
    *ret_fd = fd;
    fd = -1;
    return OK;
}
