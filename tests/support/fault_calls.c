#include "tests/support/fault_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_uint left; /* calls until one fails; 0: none will */
static atomic_uint which;
static atomic_bool has_failed;
static char failed[80];
static _Thread_local bool is_spared;

void fault_calls_fail_at(unsigned nth, unsigned variant)
{
    has_failed = false;
    which = variant;
    left = nth;
}

const char *fault_calls_failed(void)
{
    return has_failed ? failed : NULL;
}

void fault_calls_spare(bool spared)
{
    is_spared = spared;
}

/* The error to fail with; 0: this one does not fail. */
static int fails_now(const char *call, const int *errors, unsigned count)
{
    unsigned was = left;
    char text[48];

    if (is_spared)
        return 0;
    while (was > 0 && !atomic_compare_exchange_weak(&left, &was, was - 1))
        ;
    if (was != 1)
        return 0;
    int error = errors[which % count];
    snprintf(failed, sizeof failed, "%s: %s", call, strerror_r(error, text, sizeof text));
    has_failed = true;
    return error;
}

#define FAILS(name, ...) \
    fails_now(#name, (const int[]){__VA_ARGS__}, sizeof(int[]){__VA_ARGS__} / sizeof(int))

#define WRAP(type, failure, name, params, args, ...) \
    type __real_##name params;                       \
    type __wrap_##name params;                       \
    type __wrap_##name params                        \
    {                                                \
        int error = FAILS(name, __VA_ARGS__);        \
        if (error == 0)                              \
            return __real_##name args;               \
        errno = error;                               \
        return failure;                              \
    }

WRAP(int, -1, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
     (fd, addr, len, flags), EMFILE, ECONNABORTED, ENOMEM, EINTR)
WRAP(int, -1, epoll_create1, (int flags), (flags), EMFILE, ENOMEM)
WRAP(int, -1, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event),
     (epoll, op, fd, event), ENOMEM, ENOSPC)
WRAP(int, -1, epoll_wait, (int epoll, struct epoll_event *events, int max, int wait_ms),
     (epoll, events, max, wait_ms), EINTR)
WRAP(int, -1, eventfd, (unsigned first, int flags), (first, flags), EMFILE, ENOMEM)
WRAP(int, -1, fstat, (int fd, struct stat *status), (fd, status), ENOMEM)
WRAP(int, -1, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask),
     ENOSPC, ENOMEM)
WRAP(int, -1, inotify_init1, (int flags), (flags), EMFILE, ENOMEM)
WRAP(int, -1, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE)
WRAP(DIR *, NULL, opendir, (const char *path), (path), EMFILE, ENOMEM)
WRAP(int, -1, poll, (struct pollfd * fds, nfds_t count, int wait_ms), (fds, count, wait_ms), EINTR,
     ENOMEM)
WRAP(ssize_t, -1, pread, (int fd, void *into, size_t size, off_t at), (fd, into, size, at), EINTR,
     ENOMEM)
WRAP(ssize_t, -1, read, (int fd, void *into, size_t size), (fd, into, size), EINTR, EAGAIN)
WRAP(ssize_t, -1, recv, (int fd, void *into, size_t size, int flags), (fd, into, size, flags),
     EAGAIN, EINTR, ECONNRESET, ENOMEM)
WRAP(ssize_t, -1, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags),
     EAGAIN, EINTR, EPIPE, ENOBUFS)
WRAP(int, -1, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
     (fd, level, name, value, len), ENOMEM, EINVAL)
WRAP(int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol), EMFILE,
     ENOBUFS)
WRAP(int, -1, stat, (const char *path, struct stat *status), (path, status), ENOMEM)
WRAP(int, -1, statx, (int at, const char *path, int flags, unsigned mask, struct statx *status),
     (at, path, flags, mask, status), ENOMEM)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list list;

    int error = FAILS(open, EMFILE, ENFILE, ENOMEM);
    if (error != 0) {
        errno = error;
        return -1;
    }
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    return __real_open(path, flags, mode);
}

typedef void *thread_fn(void *context);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *run,
                          void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *run,
                          void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, thread_fn *run,
                          void *context)
{
    int error = FAILS(pthread_create, EAGAIN);
    return error != 0 ? error : __real_pthread_create(thread, attr, run, context);
}
