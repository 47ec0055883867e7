/* The disk's own acknowledgement, to hold an edge's against: requests arrive at a fixed pace, one
 * thread writes whatever waits and syncs once for all of it, and each request's time is taken from
 * its arrival to the end of that sync. Over a file that has been written before, as the spool's
 * segments are.
 *
 *   bench_commit DIR [requests a second] [bytes of a request] [seconds] [arriving together]
 *
 * Prints a line of JSON. Not part of any suite: it judges nothing.
 */
#include "common/clock.h"
#include "common/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 20, ALIGN = 4096, GROUP_MAX = 1 << 20 };

struct arrivals {
    pthread_mutex_t lock;
    pthread_cond_t some;
    uint64_t *at_ns; /* of each request */
    size_t arrived, count;
    unsigned together;
    uint64_t period_ns;
};

static void sleep_until(uint64_t mono_ns)
{
    const struct timespec when = {.tv_sec = (time_t)(mono_ns / 1000000000),
                                  .tv_nsec = (long)(mono_ns % 1000000000)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
        continue;
}

static void *arrive(void *context)
{
    struct arrivals *arrivals = context;
    uint64_t next = clock_mono_ns();

    while (arrivals->arrived < arrivals->count) {
        next += arrivals->together * arrivals->period_ns;
        sleep_until(next);
        pthread_mutex_lock(&arrivals->lock);
        for (unsigned i = 0; i < arrivals->together && arrivals->arrived < arrivals->count; i++)
            arrivals->at_ns[arrivals->arrived++] = clock_mono_ns();
        pthread_cond_signal(&arrivals->some);
        pthread_mutex_unlock(&arrivals->lock);
    }
    return NULL;
}

static int open_written(const char *dir, char *path, size_t path_cap)
{
    static uint8_t block[GROUP_MAX];
    int fd = -1;

    snprintf(path, path_cap, "%s/bare", dir);
    if (os_open(path, &fd, NULL) != OK)
        return -1;
    for (uint64_t at = 0; at < FILE_BYTES; at += sizeof block)
        if (os_write_at(fd, (struct bytes){block, sizeof block}, at, NULL) != OK)
            return -1;
    return os_sync(fd, NULL) == OK ? fd : -1;
}

/* Writes and syncs what has arrived, until all is through; each request's time goes over its
 * arrival's place. */
static bool commit(struct arrivals *arrivals, int fd, size_t request_bytes)
{
    static uint8_t group[GROUP_MAX];
    uint64_t at = 0;

    memset(group, 0x5a, sizeof group);
    for (size_t done = 0; done < arrivals->count;) {
        pthread_mutex_lock(&arrivals->lock);
        while (arrivals->arrived == done)
            pthread_cond_wait(&arrivals->some, &arrivals->lock);
        size_t end = arrivals->arrived;
        pthread_mutex_unlock(&arrivals->lock);
        for (size_t left = (end - done) * request_bytes; left > 0;) {
            size_t len = left < sizeof group ? left : sizeof group;
            if (at + sizeof group > FILE_BYTES)
                at = 0;
            if (os_write_at(fd, (struct bytes){group, len}, at, NULL) != OK)
                return false;
            at += (len + ALIGN - 1) / ALIGN * ALIGN;
            left -= len;
        }
        if (os_sync(fd, NULL) != OK)
            return false;
        uint64_t now = clock_mono_ns();
        for (; done < end; done++)
            arrivals->at_ns[done] = now - arrivals->at_ns[done];
    }
    return true;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static unsigned argument(char **argv, int argc, int at, unsigned otherwise)
{
    return argc > at ? (unsigned)strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    unsigned rate = argument(argv, argc, 2, 500), bytes = argument(argv, argc, 3, 46900),
             seconds = argument(argv, argc, 4, 10);
    struct arrivals arrivals = {.together = argument(argv, argc, 5, 1),
                                .lock = PTHREAD_MUTEX_INITIALIZER,
                                .some = PTHREAD_COND_INITIALIZER};
    char path[4096];
    pthread_t thread;

    if (argc < 2 || rate == 0 || bytes == 0 || seconds == 0 || arrivals.together == 0) {
        fprintf(stderr,
                "usage: bench_commit DIR [requests a second] [bytes] [seconds] [together]\n");
        return 2;
    }
    arrivals.count = (size_t)rate * seconds;
    arrivals.period_ns = 1000000000 / rate;
    arrivals.at_ns = calloc(arrivals.count, sizeof *arrivals.at_ns);
    int fd = open_written(argv[1], path, sizeof path);
    if (arrivals.at_ns == NULL || fd < 0 || pthread_create(&thread, NULL, arrive, &arrivals) != 0)
        return 1;
    bool ok = commit(&arrivals, fd, bytes);
    pthread_join(thread, NULL);
    os_close(&fd);
    unlink(path);
    if (!ok) {
        fprintf(stderr, "bench_commit: the disk failed\n");
        return 1;
    }
    qsort(arrivals.at_ns, arrivals.count, sizeof *arrivals.at_ns, by_value);
    printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           (double)arrivals.at_ns[arrivals.count / 2] / 1e6,
           (double)arrivals.at_ns[arrivals.count - 1 - arrivals.count / 100] / 1e6,
           (double)arrivals.at_ns[arrivals.count - 1] / 1e6);
    free(arrivals.at_ns);
    return 0;
}
