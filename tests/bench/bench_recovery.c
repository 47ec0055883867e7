/* How long the spool takes to open with a long backlog, and what memory that takes.
 *
 *   bench_recovery DIR [GiB]
 *
 * The backlog is made of sound frames of 1 MiB, of which only the headers are written: what
 * recovery does not read may be a hole. The last segment, which it reads, is whole.
 *
 * Not part of any suite: it prints figures and judges nothing.
 */
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/os.h"
#include "sidecar/spool/reader.h"
#include "sidecar/spool/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAME = 1 << 20, DATA = FRAME - 8192, ITEMS = 2000 };

static uint8_t frame[FRAME];

static void make_frame(uint64_t number, uint64_t n, bool whole, int fd, uint64_t offset)
{
    const uint64_t per_segment = SPOOL_SEGMENT_BYTES_MAX / FRAME;
    struct frame_entry entry = {.data_len = DATA, .items = ITEMS};
    uint8_t *body = frame + FRAME_HEADER;

    frame_entry_encode(&entry, body + DATA);
    struct frame_header header = {
        .incarnation = 1,
        .generation = number,
        .number = number,
        .offset = offset,
        .seq = (UINT64_C(1) << 32) + n,
        .lane_end = (UINT64_C(1) << 32) + n / per_segment * per_segment,
        .synced = (UINT64_C(1) << 32) + n,
        .items_before = n * ITEMS,
        .items = ITEMS,
        .accepted_ns = clock_wall_ns(),
        .data_len = DATA,
        .entries = 1,
        .flags = offset == 0 ? FRAME_ALL_MARKS : 0,
        .lane = SIGNAL_TRACES,
    };
    header.body_crc = crc32c(0, (struct bytes){body, (size_t)frame_body_len(&header)});
    frame_encode(&header, frame);
    if (os_write_at(fd, (struct bytes){frame, whole ? FRAME : FRAME_ALIGN}, offset, NULL) != OK ||
        frame_len(&header) > FRAME)
        exit(1);
}

static void make_spool(const char *dir, uint32_t segments)
{
    char path[4096];

    if (os_make_dir(dir, NULL) != OK)
        exit(1);
    for (uint32_t slot = 0; slot < segments; slot++) {
        int fd = -1;
        if (!segment_path(dir, slot, SEGMENT_SUFFIX, sizeof path, path) ||
            os_open(path, &fd, NULL) != OK || os_truncate(fd, SPOOL_SEGMENT_BYTES_MAX, NULL) != OK)
            exit(1);
        for (uint64_t i = 0; i < SPOOL_SEGMENT_BYTES_MAX / FRAME; i++)
            make_frame(slot + 1, slot * (uint64_t)(SPOOL_SEGMENT_BYTES_MAX / FRAME) + i,
                       slot + 1 == segments, fd, i * FRAME);
        os_close(&fd);
    }
}

static long resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        exit(1);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
    unsigned gib = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10;
    struct spool *spool = NULL;
    struct spool_reader *reader = NULL;
    struct spool_stats stats;
    struct error error = {0};

    if (argc < 2 || gib == 0 || gib > 1000) {
        fprintf(stderr, "usage: bench_recovery DIR [GiB]\n");
        return 2;
    }
    uint32_t segments = gib * (uint32_t)((UINT64_C(1) << 30) / SPOOL_SEGMENT_BYTES_MAX);
    make_spool(argv[1], segments);
    struct spool_config config = {.dir = argv[1],
                                  .size_bytes = (uint64_t)(gib + 2) << 30,
                                  .segment_bytes = SPOOL_SEGMENT_BYTES_MAX};
    long before_kib = resident_kib();
    uint64_t start_ns = clock_mono_ns();
    if (spool_open(&config, &spool, &error) != OK ||
        spool_reader_open(spool, SIGNAL_TRACES, "bench", &reader, &error) != OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    double took_ms = (double)(clock_mono_ns() - start_ns) / 1e6;
    spool_stats(spool, &stats);
    printf("recovery: %u GiB, %" PRIu64 " frames with %" PRIu64 " items waiting, in %.0f ms; "
           "%ld KiB more resident\n",
           gib, stats.lanes[SIGNAL_TRACES].frames, stats.lanes[SIGNAL_TRACES].readers[0].items,
           took_ms, resident_kib() - before_kib);
    spool_reader_close(&reader);
    spool_close(&spool);
    return 0;
}
