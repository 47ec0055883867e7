/* Arbitrary damage to a spool's files: recovery starts, readers come to an end, positions only
 * rise, the counts add up, and the spool goes on working.
 *
 * The input is a list of edits of a sound directory, so that small inputs reach deep:
 *   file (1)  block (1)  offset in the block (2)  length, "make the header's CRC right" (1)  bytes
 */
#include "sidecar/spool/store.h"

#include "common/crc32c.h"
#include "common/os.h"
/* The disk in memory, in place of common/os.c. */
#include "tests/support/fault_disk.c"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 16 * 1024, SEGMENTS = 8, BLOCKS = SEGMENT / FRAME_ALIGN };

static struct store *current;

struct store *spool_store(struct spool *spool)
{
    (void)spool;
    return current;
}

static void check_at(bool condition, int line)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_segment.c:%d\n", line);
    abort();
}

#define check(condition) check_at(condition, __LINE__)

static void open_store(void)
{
    struct spool_config config = {.dir = "spool",
                                  .size_bytes = SEGMENTS * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .save_interval_ms = 1000000};
    enum err err = store_open(&config, &current, NULL);
    /* A version that is not ours is the one thing that is refused. */
    if (err == ERR_INVALID)
        return;
    check(err == OK);
}

static void append_one(enum signal lane, size_t len)
{
    static const uint8_t bytes[9000] = {1, 2, 3};
    struct bytes part = {bytes, len};
    struct spool_mark mark = {.key = {(uint8_t)(len % 3)}, .value = {bytes, len % 50}};
    struct spool_request request = {
        .lane = lane, .parts = &part, .part_count = 1, .items = 3, .marks = &mark, .mark_count = 1};
    struct pending_limits limits = {.data = sizeof bytes, .entries = 1, .marks = MARK_BYTES_MAX};
    struct frame_buf *frame = pending_create(limits);

    check(frame != NULL);
    check(store_need_marks(&current->lanes[lane], NULL) == OK);
    pending_add(frame, &request, len, 1000, NULL);
    store_commit(current, lane, frame, NULL, NULL, NULL);
    check(frame->err == OK || frame->err == ERR_FULL);
    pending_destroy(&frame);
}

static void read_lane(enum signal lane)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;
    uint64_t seq = 0;
    unsigned frames = 0;
    enum err err = spool_reader_open(NULL, lane, "fuzz", &reader, NULL);

    if (err == ERR_INVALID) /* the cursor file may name four others */
        return;
    check(err == OK);
    while ((err = spool_reader_next(reader, 0, &frame, NULL)) == OK) {
        check(frame->end.seq > seq);
        check(frame->seq + 1 == frame->end.seq && frame->lane == lane);
        seq = frame->end.seq;
        for (uint32_t i = 0; i < frame->entry_count; i++)
            check(spool_frame_entry(frame, i).data.len <= frame->data.len);
        if (frames % 2 == 0)
            spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
        check(++frames <= SEGMENTS * BLOCKS);
    }
    check(err == ERR_AGAIN);
    spool_reader_close(&reader);
}

static void make_base(void)
{
    fault_disk_reset();
    open_store();
    for (unsigned i = 0; i < 11; i++)
        append_one(i % 3 == 2 ? SIGNAL_LOGS : SIGNAL_TRACES, 24 + i * 700);
    store_close(&current);
    fault_disk_crash(SIZE_MAX, DAMAGE_NONE, true);
    fault_disk_save();
}

static void edit(const uint8_t *at, size_t len, unsigned file, unsigned block, unsigned offset,
                 bool mend)
{
    char path[32];
    uint8_t header[FRAME_HEADER];
    size_t got = 0;
    int fd = -1;

    if (file % 5 == 4)
        snprintf(path, sizeof path, "spool/cursors");
    else
        snprintf(path, sizeof path, "spool/%08u.segment", file % 5);
    uint64_t base = (uint64_t)(block % BLOCKS) * FRAME_ALIGN;
    if (os_open_as(path, OS_EXISTING, &fd, NULL) != OK)
        return;
    check(os_write_at(fd, (struct bytes){at, len}, base + offset % FRAME_ALIGN, NULL) == OK);
    if (mend && os_read_at(fd, header, sizeof header, base, &got, NULL) == OK &&
        got == sizeof header) {
        uint32_t crc = crc32c(0, (struct bytes){header, FRAME_HEADER - 4});
        uint8_t bytes[4] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16),
                            (uint8_t)(crc >> 24)};
        check(os_write_at(fd, (struct bytes){bytes, 4}, base + FRAME_HEADER - 4, NULL) == OK);
    }
    check(os_sync(fd, NULL) == OK);
    os_close(&fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;

    if (!made)
        make_base();
    made = true;
    fault_disk_restore();
    while (size >= 5) {
        size_t len = data[4] & 0x7f;
        if (len > size - 5)
            len = size - 5;
        edit(data + 5, len, data[0], data[1], (unsigned)(data[2] | data[3] << 8),
             (data[4] & 0x80) != 0);
        data += 5 + len;
        size -= 5 + len;
    }
    for (int round = 0; round < 2; round++) {
        open_store();
        if (current == NULL)
            return 0;
        for (enum signal lane = 0; lane < SIGNAL_COUNT; lane++)
            read_lane(lane);
        append_one(SIGNAL_TRACES, 100);
        append_one(SIGNAL_LOGS, 5000);
        while (store_housekeep(current))
            ;
        struct spool_stats stats;
        store_stats(current, &stats);
        check(stats.disk_bytes <= stats.size_bytes);
        store_close(&current);
    }
    return 0;
}
