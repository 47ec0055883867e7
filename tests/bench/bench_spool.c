/* What the spool costs, beside the disk's own cost: N threads append requests of 47 kB, each
 * waiting for its answer or with several under way, and one reader follows; before that, a bare
 * loop of write and fdatasync over a file of the same size, on the same disk.
 *
 *   bench_spool DIR [threads] [in flight of each thread] [seconds] [bytes of a request] [readers]
 *
 * Not part of any suite: it prints figures and judges nothing.
 */
#include "common/clock.h"
#include "common/os.h"
#include "sidecar/spool/reader.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { THREADS_MAX = 64, SAMPLES_MAX = 1 << 20, SPAN_BYTES = 469, LOOP_BYTES = 1 << 20 };

struct bench {
    struct spool *spool;
    unsigned in_flight, request_bytes;
    uint64_t until_ns;
    uint8_t *payload;
};

struct slot {
    struct spool_waiter waiter;
    uint64_t start_ns;
    struct worker *worker;
};

struct worker {
    struct bench *bench;
    pthread_t thread;
    sem_t free_slots;
    struct slot *slots;
    uint64_t requests, refused, failed;
    uint64_t *samples; /* written by the committer only */
    uint64_t sample_count;
};

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static void print_latency(const char *what, uint64_t *samples, size_t count)
{
    if (count == 0)
        return;
    qsort(samples, count, sizeof *samples, by_value);
    printf("%s p50 %.3f ms, p99 %.3f ms, max %.3f ms\n", what, (double)samples[count / 2] / 1e6,
           (double)samples[count - 1 - count / 100] / 1e6, (double)samples[count - 1] / 1e6);
}

static void done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct slot *slot = (struct slot *)waiter;
    struct worker *worker = slot->worker;

    (void)error;
    if (err)
        worker->failed++;
    else if (worker->sample_count < SAMPLES_MAX)
        worker->samples[worker->sample_count++] = clock_mono_ns() - slot->start_ns;
    slot->start_ns = 0;
    sem_post(&worker->free_slots);
}

static void *work(void *context)
{
    struct worker *worker = context;
    struct bench *bench = worker->bench;
    struct bytes part = {bench->payload, bench->request_bytes};
    struct spool_request request = {
        .lane = SIGNAL_TRACES, .parts = &part, .part_count = 1, .items = 100};
    unsigned at = 0;

    while (clock_mono_ns() < bench->until_ns) {
        sem_wait(&worker->free_slots);
        struct slot *slot = &worker->slots[at++ % bench->in_flight];
        slot->worker = worker;
        slot->waiter.done = done;
        slot->start_ns = clock_mono_ns();
        if (spool_append(bench->spool, &request, &slot->waiter, NULL) == OK) {
            worker->requests++;
        } else {
            worker->refused++;
            sem_post(&worker->free_slots);
            usleep(100);
        }
    }
    for (unsigned i = 0; i < bench->in_flight; i++)
        sem_wait(&worker->free_slots);
    return NULL;
}

static void *follow(void *context)
{
    struct spool_reader *reader = context;

    for (;;) {
        struct spool_frame *frame = NULL;
        enum err err = spool_reader_next(reader, 60000, &frame, NULL);
        if (err)
            return NULL;
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
}

/* Overwrites a file that has been written before, as the spool does in steady state. */
static void bare_loop(const char *dir, unsigned seconds)
{
    char path[4096];
    static uint8_t block[LOOP_BYTES];
    uint64_t *samples = calloc(SAMPLES_MAX, sizeof *samples);
    size_t count = 0;
    int fd = -1;

    snprintf(path, sizeof path, "%s/bare", dir);
    if (samples == NULL || os_open(path, &fd, NULL) != OK)
        exit(1);
    for (uint64_t at = 0; at < 64; at++)
        if (os_write_at(fd, (struct bytes){block, sizeof block}, at << 20, NULL) != OK)
            exit(1);
    if (os_sync(fd, NULL) != OK)
        exit(1);

    double cpu = cpu_seconds();
    uint64_t start = clock_mono_ns(), end = start + seconds * UINT64_C(1000000000);
    for (uint64_t now = start; now < end && count < SAMPLES_MAX;) {
        if (os_write_at(fd, (struct bytes){block, sizeof block}, (count % 64) << 20, NULL) != OK ||
            os_sync(fd, NULL) != OK)
            exit(1);
        uint64_t then = clock_mono_ns();
        samples[count++] = then - now;
        now = then;
    }
    double took = (double)(clock_mono_ns() - start) / 1e9, bytes = (double)count * LOOP_BYTES;
    printf("bare: %.0f MB/s of 1 MiB write+fdatasync, %.3f CPU-s per million spans of %d B\n",
           bytes / took / 1e6, (cpu_seconds() - cpu) / bytes * SPAN_BYTES * 1e6, SPAN_BYTES);
    print_latency("bare: write+fdatasync", samples, count);
    os_close(&fd);
    unlink(path);
    free(samples);
}

static void start(struct bench *bench, struct worker *workers, unsigned threads)
{
    for (unsigned i = 0; i < threads; i++) {
        workers[i].bench = bench;
        workers[i].slots = calloc(bench->in_flight, sizeof *workers[i].slots);
        workers[i].samples = malloc(SAMPLES_MAX * sizeof *workers[i].samples);
        if (workers[i].slots == NULL || workers[i].samples == NULL)
            exit(1);
        sem_init(&workers[i].free_slots, 0, bench->in_flight);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            exit(1);
    }
}

static void report(struct bench *bench, struct worker *workers, unsigned threads, double took,
                   double cpu)
{
    uint64_t requests = 0, refused = 0, failed = 0;
    size_t count = 0;
    uint64_t *all = malloc(threads * (size_t)SAMPLES_MAX * sizeof *all);
    struct spool_stats stats;

    if (all == NULL)
        exit(1);
    for (unsigned i = 0; i < threads; i++) {
        requests += workers[i].requests;
        refused += workers[i].refused;
        failed += workers[i].failed;
        memcpy(all + count, workers[i].samples, workers[i].sample_count * sizeof *all);
        count += workers[i].sample_count;
    }
    double bytes = (double)requests * bench->request_bytes;
    printf("spool: %.0f requests/s, %.0f MB/s, %.3f CPU-s per million spans of %d B; "
           "%llu refused, %llu failed\n",
           (double)requests / took, bytes / took / 1e6, cpu / bytes * SPAN_BYTES * 1e6, SPAN_BYTES,
           (unsigned long long)refused, (unsigned long long)failed);
    print_latency("spool: acknowledgement", all, count);
    spool_stats(bench->spool, &stats);
    printf("spool: %llu frames, %llu syncs of %.3f ms on average, %llu MiB on disk\n",
           (unsigned long long)stats.lanes[SIGNAL_TRACES].frames_cut,
           (unsigned long long)stats.syncs,
           stats.syncs > 0 ? (double)stats.sync_ns / (double)stats.syncs / 1e6 : 0.0,
           (unsigned long long)(stats.disk_bytes >> 20));
    free(all);
}

static unsigned argument(char **argv, int argc, int at, unsigned otherwise)
{
    return argc > at ? (unsigned)strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    struct spool_reader *reader = NULL;
    struct error error = {0};
    pthread_t follower;

    if (argc < 2) {
        fprintf(stderr,
                "usage: bench_spool DIR [threads] [in flight] [seconds] [bytes] [readers]\n");
        return 2;
    }
    unsigned threads = argument(argv, argc, 2, 4), seconds = argument(argv, argc, 4, 5);
    struct bench bench = {.in_flight = argument(argv, argc, 3, 16),
                          .request_bytes = argument(argv, argc, 5, 46900)};
    if (threads == 0 || threads > THREADS_MAX || bench.in_flight == 0 || bench.request_bytes == 0)
        return 2;
    bench.payload = malloc(bench.request_bytes);
    if (bench.payload == NULL)
        return 1;
    for (unsigned i = 0; i < bench.request_bytes; i++)
        bench.payload[i] = (uint8_t)(i * 2654435761u >> 13);

    bool follows = argument(argv, argc, 6, 1) != 0;
    struct spool_config config = {.dir = argv[1],
                                  .size_bytes = follows ? UINT64_C(4) << 30 : 512u << 20,
                                  .when_full = SPOOL_DROP_OLDEST};
    if (spool_open(&config, &bench.spool, &error) != OK ||
        (follows &&
         spool_reader_open(bench.spool, SIGNAL_TRACES, "bench", &reader, &error) != OK)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    bare_loop(argv[1], seconds < 3 ? seconds : 3);
    if (follows && pthread_create(&follower, NULL, follow, reader) != 0)
        return 1;

    double cpu = cpu_seconds();
    uint64_t begin = clock_mono_ns();
    bench.until_ns = begin + seconds * UINT64_C(1000000000);
    start(&bench, workers, threads);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    report(&bench, workers, threads, (double)(clock_mono_ns() - begin) / 1e9, cpu_seconds() - cpu);

    if (follows) {
        spool_reader_wake(reader);
        pthread_join(follower, NULL);
    }
    spool_reader_close(&reader);
    spool_close(&bench.spool);
    for (unsigned i = 0; i < threads; i++) {
        free(workers[i].slots);
        free(workers[i].samples);
    }
    free(bench.payload);
    return 0;
}
