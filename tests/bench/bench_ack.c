/* How long an acknowledgement takes at a steady rate, beside a bare group-commit loop that gets the
 * same arrivals on the same disk: one thread that writes and syncs whatever has come meanwhile,
 * over a file that was written before. They take turns of a second, so that a noisy machine is
 * noisy for both.
 *
 *   bench_ack DIR [requests per second] [rounds] [bytes of a request]
 *
 * Not part of any suite: it prints figures and judges nothing.
 */
#include "common/clock.h"
#include "common/os.h"
#include "sidecar/spool/reader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { REQUESTS_MAX = 1 << 20, BARE_BYTES = 64 << 20 };

struct call {
    struct spool_waiter waiter; /* first */
    uint64_t start_ns, end_ns;
};

struct bare {
    int fd;
    uint64_t at;
    uint8_t *buffer;
    size_t request_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct call **waiting, **group; /* of REQUESTS_MAX */
    unsigned count;
    bool stop;
};

struct bench {
    struct spool *spool;
    struct bare bare;
    struct spool_request request;
    struct call *calls[2];
    unsigned counts[2];
    double cpu[2];
};

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void *commit_bare(void *context)
{
    struct bare *bare = context;

    pthread_mutex_lock(&bare->lock);
    while (!bare->stop || bare->count > 0) {
        unsigned count = bare->count;
        if (count == 0) {
            pthread_cond_wait(&bare->wake, &bare->lock);
            continue;
        }
        struct call **group = bare->waiting;
        bare->waiting = bare->group;
        bare->group = group;
        bare->count = 0;
        pthread_mutex_unlock(&bare->lock);
        for (unsigned i = 0; i < count; i++) {
            if (bare->at + bare->request_bytes > BARE_BYTES)
                bare->at = 0;
            if (os_write_at(bare->fd, (struct bytes){bare->buffer, bare->request_bytes}, bare->at,
                            NULL) != OK)
                exit(1);
            bare->at += (bare->request_bytes + 4095) / 4096 * 4096;
        }
        if (os_sync(bare->fd, NULL) != OK)
            exit(1);
        uint64_t now_ns = clock_mono_ns();
        for (unsigned i = 0; i < count; i++)
            group[i]->end_ns = now_ns;
        pthread_mutex_lock(&bare->lock);
    }
    pthread_mutex_unlock(&bare->lock);
    return NULL;
}

static void append_bare(struct bare *bare, struct call *call)
{
    pthread_mutex_lock(&bare->lock);
    bare->waiting[bare->count++] = call;
    pthread_cond_signal(&bare->wake);
    pthread_mutex_unlock(&bare->lock);
}

static void done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct call *call = (struct call *)waiter;

    (void)error;
    call->end_ns = err ? UINT64_MAX : clock_mono_ns();
}

static void *follow(void *context)
{
    struct spool_reader *reader = context;
    struct spool_frame *frame = NULL;

    while (spool_reader_next(reader, 60000, &frame, NULL) == OK) {
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
    return NULL;
}

static void open_bare(struct bare *bare, const char *dir, size_t request_bytes)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/bare", dir);
    bare->request_bytes = request_bytes;
    bare->buffer = calloc(1, request_bytes > 1 << 20 ? request_bytes : 1 << 20);
    bare->waiting = malloc(REQUESTS_MAX * sizeof(struct call *));
    bare->group = malloc(REQUESTS_MAX * sizeof(struct call *));
    if (bare->buffer == NULL || bare->waiting == NULL || bare->group == NULL ||
        os_open(path, &bare->fd, NULL) != OK)
        exit(1);
    for (uint64_t at = 0; at < BARE_BYTES; at += 1 << 20)
        if (os_write_at(bare->fd, (struct bytes){bare->buffer, 1 << 20}, at, NULL) != OK)
            exit(1);
    if (os_sync(bare->fd, NULL) != OK)
        exit(1);
    unlink(path);
    pthread_mutex_init(&bare->lock, NULL);
    pthread_cond_init(&bare->wake, NULL);
    if (pthread_create(&bare->thread, NULL, commit_bare, bare) != 0)
        exit(1);
}

/* A second of arrivals, for the bare loop (0) or the spool (1). */
static void run_second(struct bench *bench, int which, unsigned rate)
{
    uint64_t begin_ns = clock_mono_ns();
    double cpu = cpu_seconds();

    for (unsigned i = 0; i < rate && bench->counts[which] < REQUESTS_MAX; i++) {
        uint64_t at_ns = begin_ns + (uint64_t)i * 1000000000u / rate;
        struct timespec at = {(time_t)(at_ns / 1000000000u), (long)(at_ns % 1000000000u)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
            ;
        struct call *call = &bench->calls[which][bench->counts[which]];
        call->start_ns = clock_mono_ns();
        call->waiter.done = done;
        if (which == 0)
            append_bare(&bench->bare, call);
        else if (spool_append(bench->spool, &bench->request, &call->waiter, NULL) != OK)
            continue;
        bench->counts[which]++;
    }
    usleep(50000); /* for what is under way */
    bench->cpu[which] += cpu_seconds() - cpu;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static double report(const char *what, const struct call *calls, unsigned count, double cpu)
{
    uint64_t *took = malloc((count + 1) * sizeof *took);

    if (took == NULL || count == 0)
        exit(1);
    for (unsigned i = 0; i < count; i++)
        took[i] = calls[i].end_ns - calls[i].start_ns;
    qsort(took, count, sizeof *took, by_value);
    double p99 = (double)took[count - 1 - count / 100] / 1e6;
    printf("%s: %u requests, p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, max %.3f ms, "
           "%.1f CPU-us a request\n",
           what, count, (double)took[count / 2] / 1e6, (double)took[count * 9 / 10] / 1e6, p99,
           (double)took[count - 1] / 1e6, cpu / count * 1e6);
    free(took);
    return p99;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct spool_reader *reader = NULL;
    struct error error = {0};
    pthread_t follower;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_ack DIR [requests per second] [rounds] [bytes]\n");
        return 2;
    }
    unsigned rate = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 500;
    unsigned rounds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 5;
    size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 46900;
    struct spool_config config = {.dir = argv[1], .size_bytes = UINT64_C(1) << 30};
    if (rate == 0 || rounds == 0 || bytes == 0 || bytes > BARE_BYTES)
        return 2;
    if (spool_open(&config, &bench.spool, &error) != OK ||
        spool_reader_open(bench.spool, SIGNAL_TRACES, "bench", &reader, &error) != OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    open_bare(&bench.bare, argv[1], bytes);
    struct bytes part = {bench.bare.buffer, bytes};
    bench.request = (struct spool_request){
        .lane = SIGNAL_TRACES, .parts = &part, .part_count = 1, .items = 100};
    for (int i = 0; i < 2; i++)
        if ((bench.calls[i] = calloc(REQUESTS_MAX, sizeof *bench.calls[i])) == NULL)
            return 1;
    if (pthread_create(&follower, NULL, follow, reader) != 0)
        return 1;

    usleep(500000); /* spares get their zeros */
    for (unsigned i = 0; i < rounds; i++) {
        run_second(&bench, 0, rate);
        run_second(&bench, 1, rate);
    }
    usleep(1000000); /* the last answers */
    double bare = report("bare ", bench.calls[0], bench.counts[0], bench.cpu[0]);
    double spool = report("spool", bench.calls[1], bench.counts[1], bench.cpu[1]);
    printf("spool / bare: %.2f at p99\n", spool / bare);

    spool_reader_wake(reader);
    pthread_join(follower, NULL);
    spool_reader_close(&reader);
    spool_close(&bench.spool);
    pthread_mutex_lock(&bench.bare.lock);
    bench.bare.stop = true;
    pthread_cond_signal(&bench.bare.wake);
    pthread_mutex_unlock(&bench.bare.lock);
    pthread_join(bench.bare.thread, NULL);
    os_close(&bench.bare.fd);
    for (int i = 0; i < 2; i++)
        free(bench.calls[i]);
    free(bench.bare.buffer);
    free(bench.bare.waiting);
    free(bench.bare.group);
    return 0;
}
