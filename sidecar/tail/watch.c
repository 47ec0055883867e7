#include "sidecar/tail/watch.h"

#include "common/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS_BYTES = 64 << 10 };

#define EVENTS \
    (IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_EXCL_UNLINK)

struct dir {
    int wd;
    char *path;
};

/* The kernel gives out descriptors in rising order, so the list stays sorted by itself. */
struct watch {
    int fd;
    struct dir *dirs;
    size_t len, cap;
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
};

enum err watch_open(struct watch **ret_watch, struct error *error)
{
    AUTO(watch_close) struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return error_set(error, ERR_NOMEM, "watch directories");
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        return error_set_errno(error, errno == EMFILE ? ERR_FULL : ERR_IO, "watch directories");
    MOVE(*ret_watch, watch);
    return OK;
}

void watch_close(struct watch **watch)
{
    struct watch *gone = *watch;
    if (gone == NULL)
        return;
    if (gone->fd >= 0)
        close(gone->fd);
    for (size_t i = 0; i < gone->len; i++)
        free(gone->dirs[i].path);
    free(gone->dirs);
    free(gone);
    *watch = NULL;
}

int watch_fd(const struct watch *watch)
{
    return watch->fd;
}

/* The index of `wd`, or of the one that would follow it. */
static size_t find(const struct watch *watch, int wd)
{
    size_t low = 0, high = watch->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (watch->dirs[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool grow(struct watch *watch)
{
    struct dir *dirs = array_grow(watch->dirs, watch->len, &watch->cap, sizeof *dirs);
    if (dirs != NULL)
        watch->dirs = dirs;
    return dirs != NULL;
}

enum err watch_add(struct watch *watch, const char *dir, struct error *error)
{
    int wd = inotify_add_watch(watch->fd, dir, EVENTS);
    if (wd < 0) {
        enum err err = errno == ENOENT || errno == ENOTDIR  ? ERR_NOTFOUND
                       : errno == ENOSPC || errno == ENOMEM ? ERR_FULL
                                                            : ERR_IO;
        return error_set_errno(error, err, "watch '%s'", dir);
    }
    size_t at = find(watch, wd);
    if (at < watch->len && watch->dirs[at].wd == wd)
        return OK;
    char *path = strdup(dir);
    if (path == NULL || !grow(watch)) {
        free(path);
        inotify_rm_watch(watch->fd, wd);
        return error_set(error, ERR_NOMEM, "watch '%s'", dir);
    }
    memmove(watch->dirs + at + 1, watch->dirs + at, (watch->len - at) * sizeof *watch->dirs);
    watch->dirs[at] = (struct dir){.wd = wd, .path = path};
    watch->len++;
    return OK;
}

static void forget(struct watch *watch, size_t at)
{
    free(watch->dirs[at].path);
    watch->len--;
    memmove(watch->dirs + at, watch->dirs + at + 1, (watch->len - at) * sizeof *watch->dirs);
}

static enum watch_event meaning(uint32_t mask)
{
    if ((mask & IN_MODIFY) != 0)
        return WATCH_WRITTEN;
    if ((mask & IN_DELETE) != 0)
        return WATCH_WENT;
    if ((mask & IN_MOVED_FROM) != 0)
        return WATCH_MOVED;
    return (mask & IN_ISDIR) != 0 ? WATCH_DIR : WATCH_CAME;
}

static void take(struct watch *watch, const struct inotify_event *event, watch_event_fn *report,
                 void *context)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        report(context, WATCH_LOST, NULL, NULL);
        return;
    }
    size_t at = find(watch, event->wd);
    if (at == watch->len || watch->dirs[at].wd != event->wd)
        return;
    if ((event->mask & IN_IGNORED) != 0)
        forget(watch, at);
    else if (event->len > 0)
        report(context, meaning(event->mask), watch->dirs[at].path, event->name);
}

void watch_read(struct watch *watch, watch_event_fn *event, void *context)
{
    for (;;) {
        ssize_t got = read(watch->fd, watch->events, sizeof watch->events);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        for (const char *at = watch->events; at < watch->events + got;) {
            const struct inotify_event *next = (const void *)at;
            take(watch, next, event, context);
            at += sizeof *next + next->len;
        }
        if ((size_t)got < sizeof watch->events / 2)
            return;
    }
}
