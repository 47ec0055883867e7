/* What the spool promises to its threads: every request answered exactly once and truthfully,
 * nothing acknowledged missing, bounded memory, and readers that wake when there is something to
 * read. */
// link: tests/support/fault_disk.c
#include "tests/support/test.h"

#include "sidecar/spool/reader.h"
#include "sidecar/spool/store.h"
#include "tests/support/fault_disk.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SEGMENT = 64 * 1024, THREADS = 4, EACH = 300 };

struct call {
    struct spool_waiter waiter; /* first: `done` gets it */
    sem_t answered;
    enum err err;
    unsigned times;
};

static void done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct call *call = (struct call *)waiter;

    assert_true(err == OK || (error != NULL && error->text[0] != '\0'));
    call->err = err;
    call->times++;
    sem_post(&call->answered);
}

static void call_init(struct call *call, enum spool_ack ack)
{
    *call = (struct call){.waiter = {.done = done, .ack = ack}};
    sem_init(&call->answered, 0, 0);
}

static enum err call_wait(struct call *call)
{
    while (sem_wait(&call->answered) != 0)
        ;
    assert_int_equal(call->times, 1);
    return call->err;
}

static struct spool *open_spool(uint64_t segments)
{
    struct spool_config config = {.dir = "spool",
                                  .size_bytes = segments * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .save_interval_ms = 5};
    struct spool *spool = NULL;
    struct error error = {0};

    if (spool_open(&config, &spool, &error) != OK)
        fail_msg("%s", error.text);
    return spool;
}

static struct spool *start(uint64_t segments)
{
    fault_disk_reset();
    return open_spool(segments);
}

static struct spool_reader *open_reader(struct spool *spool, enum signal lane)
{
    struct spool_reader *reader = NULL;
    assert_ok(spool_reader_open(spool, lane, "test", &reader, NULL));
    return reader;
}

static enum err append(struct spool *spool, enum signal lane, struct bytes data, struct call *call,
                       struct error *error)
{
    struct spool_request request = {.lane = lane, .parts = &data, .part_count = 1, .items = 1};
    return spool_append(spool, &request, call != NULL ? &call->waiter : NULL, error);
}

static enum err append_and_wait(struct spool *spool, enum signal lane, struct bytes data)
{
    struct call call;

    call_init(&call, SPOOL_ACK_SYNCED);
    enum err err = append(spool, lane, data, &call, NULL);
    return err ? err : call_wait(&call);
}

/* ---- many threads */

struct crowd {
    struct spool *spool;
    unsigned thread;
    atomic_uint acked;
};

static void *append_many(void *context)
{
    struct crowd *crowd = context;

    for (unsigned i = 0; i < EACH; i++) {
        uint32_t data[20] = {crowd->thread, i};
        struct bytes view = {(const uint8_t *)data, 8 + (i * 7) % 64};
        enum err err;
        while ((err = append_and_wait(crowd->spool, crowd->thread % SIGNAL_COUNT, view)) != OK)
            assert_true(err == ERR_FULL || err == ERR_AGAIN);
        atomic_fetch_add(&crowd->acked, 1);
    }
    return NULL;
}

struct follower {
    struct spool_reader *reader;
    unsigned wanted;        /* requests */
    unsigned next[THREADS]; /* of each thread */
};

static void *follow(void *context)
{
    struct follower *follower = context;

    for (unsigned seen = 0; seen < follower->wanted;) {
        struct spool_frame *frame = NULL;
        enum err err = spool_reader_next(follower->reader, 1000, &frame, NULL);
        if (err == ERR_AGAIN)
            continue;
        assert_ok(err);
        for (uint32_t i = 0; i < frame->entry_count; i++, seen++) {
            uint32_t id[2];
            memcpy(id, spool_frame_entry(frame, i).data.data, sizeof id);
            assert_true(id[0] < THREADS);
            assert_int_equal(id[1], follower->next[id[0]]); /* in order, once, none missing */
            follower->next[id[0]]++;
        }
        spool_reader_ack(follower->reader, frame->end);
        spool_frame_release(&frame);
    }
    return NULL;
}

static void test_hands_every_request_of_many_threads_to_the_readers_once(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct crowd crowds[THREADS];
    struct follower followers[SIGNAL_COUNT] = {{0}};
    pthread_t writers[THREADS], readers[SIGNAL_COUNT];
    struct spool_stats stats;

    for (unsigned i = 0; i < THREADS; i++)
        followers[i % SIGNAL_COUNT].wanted += EACH;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        followers[i].reader = open_reader(spool, i);
        assert_int_equal(pthread_create(&readers[i], NULL, follow, &followers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        crowds[i] = (struct crowd){.spool = spool, .thread = i};
        assert_int_equal(pthread_create(&writers[i], NULL, append_many, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(writers[i], NULL);
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        pthread_join(readers[i], NULL);
        spool_reader_close(&followers[i].reader);
    }
    do /* the committer gives the buffer back after it has answered */
        spool_stats(spool, &stats);
    while (stats.pending_bytes > 0);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].items, 2 * EACH);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].readers[0].delivered, 2 * EACH);
    assert_in_range(stats.disk_bytes, SEGMENT, 8 * SEGMENT);
    spool_close(&spool);
}

/* ---- requests */

static void test_keeps_requests_meta_and_tags_apart(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_LOGS);
    struct spool_frame *frame = NULL;
    struct bytes parts[3] = {BYTES_LITERAL("one "), {0}, BYTES_LITERAL("request")};
    struct spool_request request = {.lane = SIGNAL_LOGS,
                                    .parts = parts,
                                    .part_count = 3,
                                    .items = 7,
                                    .tag = 42,
                                    .meta = BYTES_LITERAL("position")};
    struct call calls[2];

    for (int i = 0; i < 2; i++) {
        call_init(&calls[i], SPOOL_ACK_SYNCED);
        assert_ok(spool_append(spool, &request, &calls[i].waiter, NULL));
        request.tag++;
    }
    assert_ok(call_wait(&calls[0]));
    assert_ok(call_wait(&calls[1]));
    for (uint32_t seen = 0; seen < 2;) {
        assert_ok(spool_reader_next(reader, 1000, &frame, NULL));
        assert_int_equal(frame->data.len, 11 * frame->entry_count);
        assert_int_equal(frame->items, 7 * frame->entry_count);
        for (uint32_t i = frame->entry_count; i-- > 0;) { /* backwards works too */
            struct spool_entry entry = spool_frame_entry(frame, i);
            assert_true(bytes_equal(entry.data, BYTES_LITERAL("one request")));
            assert_true(bytes_equal(entry.meta, BYTES_LITERAL("position")));
            assert_int_equal(entry.items, 7);
            assert_int_equal(entry.tag, 42 + seen + i);
        }
        assert_int_equal(frame->seq, calls[seen].waiter.seq);
        seen += frame->entry_count;
        spool_frame_release(&frame);
    }
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* One request of three entries, each of `len` bytes. */
static enum err append_cut(struct spool *spool, size_t len)
{
    static const uint8_t bytes[30000];
    const struct spool_cut cuts[] = {{len, 1, 10}, {len, 2, 11}, {len, 3, 12}};
    const struct bytes data = {bytes, 3 * len};
    const struct spool_request request = {.lane = SIGNAL_LOGS,
                                          .parts = &data,
                                          .part_count = 1,
                                          .items = 6,
                                          .cuts = cuts,
                                          .cut_count = 3};
    struct call call;

    call_init(&call, SPOOL_ACK_SYNCED);
    enum err err = spool_append(spool, &request, &call.waiter, NULL);
    return err ? err : call_wait(&call);
}

/* How many such requests a reader gets, each whole and in one frame. */
static unsigned whole_requests(struct spool *spool, size_t len)
{
    struct spool_reader *reader = open_reader(spool, SIGNAL_LOGS);
    struct spool_frame *frame = NULL;
    unsigned count = 0;

    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        assert_int_equal(frame->entry_count % 3, 0);
        for (uint32_t i = 0; i < frame->entry_count; i++) {
            struct spool_entry entry = spool_frame_entry(frame, i);
            assert_int_equal(entry.data.len, len);
            assert_int_equal(entry.items, 1 + i % 3);
            assert_int_equal(entry.tag, 10 + i % 3);
        }
        count += frame->entry_count / 3;
        spool_frame_release(&frame);
    }
    spool_reader_close(&reader);
    return count;
}

/* In a buffer that others share, and in one of its own; whichever disk call fails, with the power
 * lost then and everything queued or half of it on the platter. */
static void test_keeps_the_entries_of_a_request_together(void **state)
{
    (void)state;
    static const size_t lens[] = {100, 10000};

    for (unsigned i = 0; i < 4; i++) {
        size_t len = lens[i % 2];
        enum err err = ERR_IO;
        for (unsigned nth = 1; err; nth++) {
            struct spool *spool = start(8);
            fault_disk_fail(nth, true, ERR_IO);
            err = append_cut(spool, len);
            fault_disk_fail(0, false, OK);
            unsigned found = whole_requests(spool, len);
            assert_int_equal(found, err == OK);
            spool_close(&spool);
            fault_disk_crash(i < 2 ? SIZE_MAX : fault_disk_unsynced() / 2, DAMAGE_NONE, true);
            spool = open_spool(8);
            assert_in_range(whole_requests(spool, len), found, 1);
            spool_close(&spool);
        }
    }
}

static void test_refuses_cuts_that_do_not_add_up(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_cut cuts[SPOOL_CUTS_MAX + 1] = {{3, 1, 0}, {4, 1, 1}};
    const struct bytes data = BYTES_LITERAL("1234567");
    struct spool_request request = {
        .lane = SIGNAL_LOGS, .parts = &data, .part_count = 1, .items = 2, .cuts = cuts};

    request.cut_count = 1;
    assert_int_equal(spool_append(spool, &request, NULL, NULL), ERR_INVALID);
    request.cut_count = SPOOL_CUTS_MAX + 1;
    assert_int_equal(spool_append(spool, &request, NULL, NULL), ERR_INVALID);
    request.cut_count = 2;
    request.items = 3;
    assert_int_equal(spool_append(spool, &request, NULL, NULL), ERR_INVALID);
    request.items = 2;
    assert_ok(spool_append(spool, &request, NULL, NULL));
    spool_close(&spool);
}

static void test_takes_requests_up_to_a_segment_and_refuses_larger_ones(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;
    struct error error = {0};
    size_t max = spool_request_max(spool);
    uint8_t *data = calloc(1, max + 1);

    assert_non_null(data);
    data[max - 1] = 9;
    assert_int_equal(append(spool, SIGNAL_TRACES, (struct bytes){data, max + 1}, NULL, &error),
                     ERR_INVALID);
    assert_non_null(strstr(error.text, "too large for the spool"));
    assert_int_equal(append(spool, SIGNAL_TRACES, (struct bytes){0}, NULL, &error), ERR_INVALID);
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, (struct bytes){data, max}));
    assert_ok(spool_reader_next(reader, 1000, &frame, NULL));
    assert_true(bytes_equal(frame->data, (struct bytes){data, max}));
    spool_frame_release(&frame);
    free(data);
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* Marks, meta and entries count too. */
static void test_takes_a_request_that_comes_to_the_most_and_no_byte_more(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_mark marks[] = {{.key = {1}, .value = BYTES_LITERAL("12345")},
                                 {.key = {2}, .forget = true}};
    size_t others = 7 + 34 + 5 + 34 + 2 * 16;
    size_t len = spool_request_max(spool) - others;
    uint8_t *data = calloc(1, len + 1);
    struct bytes parts[] = {{data, 100}, {data, len - 100}};
    struct spool_cut cuts[] = {{100, 1, 0}, {100, 1, 0}, {len - 200, 1, 0}};
    struct spool_request request = {.lane = SIGNAL_LOGS,
                                    .parts = parts,
                                    .part_count = 2,
                                    .items = 3,
                                    .meta = {data, 7},
                                    .cuts = cuts,
                                    .cut_count = 3,
                                    .marks = marks,
                                    .mark_count = 2};

    assert_non_null(data);
    assert_int_equal(spool_request_size(&request), spool_request_max(spool));
    assert_ok(spool_append(spool, &request, NULL, NULL));
    parts[1].len++;
    cuts[2].len++;
    assert_int_equal(spool_request_size(&request), spool_request_max(spool) + 1);
    assert_int_equal(spool_append(spool, &request, NULL, NULL), ERR_INVALID);
    free(data);
    spool_close(&spool);
}

static void test_refuses_appends_once_it_is_told_to_stop(void **state)
{
    (void)state;
    struct spool *spool = start(8);

    spool_stop_appends(spool);
    assert_int_equal(append(spool, SIGNAL_LOGS, BYTES_LITERAL("late"), NULL, NULL), ERR_CLOSED);
    spool_close(&spool);
}

/* ---- answers */

struct gate {
    struct spool_waiter waiter;
    sem_t entered, leave;
};

/* Holds the committer up. */
static void hold(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct gate *gate = (struct gate *)waiter;

    (void)err;
    (void)error;
    sem_post(&gate->entered);
    while (sem_wait(&gate->leave) != 0)
        ;
}

static void close_gate(struct gate *gate, struct spool *spool)
{
    struct bytes data = BYTES_LITERAL("gate");
    struct spool_request request = {
        .lane = SIGNAL_METRICS, .parts = &data, .part_count = 1, .items = 1};

    *gate = (struct gate){.waiter = {.done = hold}};
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->leave, 0, 0);
    assert_ok(spool_append(spool, &request, &gate->waiter, NULL));
    while (sem_wait(&gate->entered) != 0)
        ;
}

static void test_says_again_when_too_much_waits_for_the_disk(void **state)
{
    (void)state;
    static uint8_t data[8000];
    struct spool_config config = {.dir = "spool",
                                  .size_bytes = 8 * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .pending_max_bytes = 40000};
    struct spool *spool = NULL;
    struct error error = {0};
    struct gate gate;
    struct spool_stats stats;
    unsigned taken = 0;

    fault_disk_reset();
    assert_ok(spool_open(&config, &spool, NULL));
    close_gate(&gate, spool);
    while (taken < 100 &&
           append(spool, SIGNAL_TRACES, (struct bytes){data, sizeof data}, NULL, &error) == OK)
        taken++;
    assert_int_equal(taken, 4); /* the gate's own four bytes wait, too */
    assert_int_equal(error.code, ERR_AGAIN);
    spool_stats(spool, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].refused_again, 1);
    assert_in_range(stats.pending_bytes, 32000, 40000);
    sem_post(&gate.leave);
    assert_ok(append_and_wait(spool, SIGNAL_LOGS, BYTES_LITERAL("x")));
    spool_close(&spool);
}

static void test_answers_replicated_when_the_reader_has_acknowledged(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;
    struct call written, replicated, late;

    call_init(&written, SPOOL_ACK_WRITTEN);
    call_init(&replicated, SPOOL_ACK_REPLICATED);
    assert_ok(append(spool, SIGNAL_TRACES, BYTES_LITERAL("a"), &replicated, NULL));
    assert_ok(append(spool, SIGNAL_TRACES, BYTES_LITERAL("b"), &written, NULL));
    assert_ok(call_wait(&written));
    assert_ok(spool_reader_next(reader, 1000, &frame, NULL));
    assert_int_equal(replicated.times, 0);
    spool_reader_ack(reader, frame->end);
    assert_ok(call_wait(&replicated));
    assert_int_equal(replicated.waiter.seq, frame->seq);
    spool_frame_release(&frame);

    call_init(&late, SPOOL_ACK_REPLICATED);
    assert_ok(append(spool, SIGNAL_TRACES, BYTES_LITERAL("c"), &late, NULL));
    spool_reader_close(&reader);
    spool_close(&spool);
    assert_int_equal(call_wait(&late), ERR_CLOSED);
}

static void test_tells_the_waiters_when_the_disk_refuses_twice(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_stats stats;

    assert_ok(append_and_wait(spool, SIGNAL_TRACES, BYTES_LITERAL("good")));
    fault_disk_fail(1, true, ERR_IO);
    assert_int_equal(append_and_wait(spool, SIGNAL_TRACES, BYTES_LITERAL("bad")), ERR_IO);
    fault_disk_fail(0, false, OK);
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, BYTES_LITERAL("good again")));
    spool_stats(spool, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].refused_failed, 1);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].items, 2);
    spool_close(&spool);
}

static void test_counts_what_was_promised_once_written_and_never_synced(void **state)
{
    (void)state;
    struct spool_config config = {.dir = "spool",
                                  .size_bytes = 8 * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .save_interval_ms = 3600000};
    struct spool *spool = NULL;
    struct spool_stats stats;
    struct call written;
    struct gate gate;

    fault_disk_reset();
    assert_ok(spool_open(&config, &spool, NULL));
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, BYTES_LITERAL("good")));
    close_gate(&gate, spool);         /* nothing else comes to the disk before the write */
    fault_disk_fail(2, true, ERR_IO); /* it goes well, its sync and all else does not */
    call_init(&written, SPOOL_ACK_WRITTEN);
    assert_ok(append(spool, SIGNAL_TRACES, BYTES_LITERAL("lost"), &written, NULL));
    sem_post(&gate.leave);
    assert_ok(call_wait(&written));
    assert_int_equal(append_and_wait(spool, SIGNAL_TRACES, BYTES_LITERAL("bad")), ERR_IO);
    spool_stats(spool, &stats);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].written_lost, 1);
    fault_disk_fail(0, false, OK);
    spool_close(&spool);
}

static void test_is_full_and_opens_again_by_itself_when_it_drains(void **state)
{
    (void)state;
    static uint8_t data[12000];
    struct spool *spool = start(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;
    struct error error = {0};
    struct bytes view = {data, sizeof data};
    struct spool_stats stats;
    enum err err;

    while ((err = append_and_wait(spool, SIGNAL_TRACES, view)) == OK)
        ;
    assert_int_equal(err, ERR_FULL);
    assert_int_equal(append(spool, SIGNAL_TRACES, view, NULL, &error), ERR_FULL);
    assert_non_null(strstr(error.text, "the spool is full for traces"));
    assert_ok(append_and_wait(spool, SIGNAL_LOGS, BYTES_LITERAL("has its share")));
    spool_stats(spool, &stats);
    assert_true(stats.lanes[SIGNAL_TRACES].full);
    assert_int_equal(stats.lanes[SIGNAL_TRACES].refused_full, 2);

    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
    for (int tries = 0; tries < 2000 && err != OK; tries++) {
        err = append_and_wait(spool, SIGNAL_TRACES, view);
        IGNORE_RESULT(spool_reader_next(reader, 1, &frame, NULL)); /* only passes the time */
        spool_frame_release(&frame);
    }
    assert_ok(err);
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void test_keeps_what_waits_when_it_is_closed(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_frame *frame = NULL;
    unsigned seen = 0;

    for (unsigned i = 0; i < 50; i++)
        assert_ok(append(spool, SIGNAL_LOGS, BYTES_LITERAL("payload"), NULL, NULL));
    spool_close(&spool);
    fault_disk_crash(0, DAMAGE_NONE, false);
    spool = open_spool(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_LOGS);
    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        seen += frame->entry_count;
        spool_frame_release(&frame);
    }
    assert_int_equal(seen, 50);
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void *wake(void *context)
{
    spool_reader_wake(context);
    return NULL;
}

static void test_wakes_a_reader_that_waits(void **state)
{
    (void)state;
    struct spool *spool = start(8);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;
    pthread_t thread;

    assert_int_equal(spool_reader_next(reader, 2, &frame, NULL), ERR_AGAIN);
    assert_int_equal(pthread_create(&thread, NULL, wake, reader), 0);
    assert_int_equal(spool_reader_next(reader, 60000, &frame, NULL), ERR_AGAIN);
    pthread_join(thread, NULL);
    assert_ok(append(spool, SIGNAL_TRACES, BYTES_LITERAL("hello"), NULL, NULL));
    assert_ok(spool_reader_next(reader, 60000, &frame, NULL));
    spool_frame_release(&frame);
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* ---- frames that are still in memory */

static void test_hands_out_what_is_still_in_memory_without_reading(void **state)
{
    (void)state;
    struct spool *spool = start(16);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;

    /* The first one is behind a jump of the sequence, so the reader does not look near. */
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, bytes_from("on disk")));
    assert_ok(spool_reader_next(reader, 0, &frame, NULL));
    spool_reader_ack(reader, frame->end);
    spool_frame_release(&frame);
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, bytes_from("on disk and in memory")));
    fault_disk_fail(1, true, ERR_IO);
    assert_ok(spool_reader_next(reader, 0, &frame, NULL));
    fault_disk_fail(0, false, OK);
    assert_true(bytes_equal(frame->data, bytes_from("on disk and in memory")));
    assert_true(bytes_equal(spool_frame_entry(frame, 0).data, frame->data));
    spool_reader_ack(reader, frame->end);
    spool_frame_release(&frame);
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* A reader may hold as many frames as it likes: beyond some, they are read from the disk. */
static void test_lends_no_more_buffers_than_it_can_spare(void **state)
{
    (void)state;
    enum { HELD = 3 * RECENT_LENT };
    struct spool *spool = start(64);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *held[HELD] = {NULL};

    for (uint64_t n = 0; n < HELD; n++) {
        assert_ok(append_and_wait(spool, SIGNAL_TRACES, (struct bytes){(uint8_t *)&n, sizeof n}));
        assert_ok(spool_reader_next(reader, 0, &held[n], NULL));
    }
    struct store *store = spool_store(spool);
    pthread_mutex_lock(&store->lock);
    assert_int_equal(store->lent_count, RECENT_LENT);
    pthread_mutex_unlock(&store->lock);
    for (uint64_t n = 0; n < HELD; n++) {
        assert_true(bytes_equal(held[n]->data, (struct bytes){(uint8_t *)&n, sizeof n}));
        spool_reader_ack(reader, held[n]->end);
        spool_frame_release(&held[n]);
    }
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* A large request is not kept for readers that may not come for hours. */
static void test_lends_no_frame_of_a_large_request(void **state)
{
    (void)state;
    static uint8_t large[SEGMENT / 4];
    struct bytes data = {large, sizeof large};
    struct spool *spool = start(64);
    struct spool_reader *reader = open_reader(spool, SIGNAL_TRACES);
    struct spool_frame *frame = NULL;

    assert_ok(append_and_wait(spool, SIGNAL_TRACES, bytes_from("small")));
    assert_ok(spool_reader_next(reader, 0, &frame, NULL)); /* so that it looks near */
    spool_reader_ack(reader, frame->end);
    spool_frame_release(&frame);
    assert_ok(append_and_wait(spool, SIGNAL_TRACES, data));
    struct store *store = spool_store(spool);
    pthread_mutex_lock(&store->lock);
    assert_int_equal(store->lent_count, 0);
    pthread_mutex_unlock(&store->lock);
    assert_ok(spool_reader_next(reader, 0, &frame, NULL));
    assert_true(bytes_equal(frame->data, data));
    spool_reader_ack(reader, frame->end);
    spool_frame_release(&frame);
    spool_reader_close(&reader);
    spool_close(&spool);
}

/* ---- marks */

struct marks_seen {
    unsigned count;
    uint8_t keys[8];
    char values[8][16];
};

static void see_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    struct marks_seen *seen = context;

    assert_true(seen->count < 8 && value.len < 16);
    seen->keys[seen->count] = key[0];
    memcpy(seen->values[seen->count++], value.data, value.len);
}

static enum err append_marks(struct spool *spool, struct bytes data, const struct spool_mark *marks,
                             size_t count, struct error *error)
{
    struct spool_request request = {.lane = SIGNAL_LOGS,
                                    .parts = &data,
                                    .part_count = 1,
                                    .items = data.len > 0,
                                    .marks = marks,
                                    .mark_count = count};
    struct call call;

    call_init(&call, SPOOL_ACK_SYNCED);
    enum err err;
    do /* what is answered just now still counts as waiting for a moment */
        err = spool_append(spool, &request, &call.waiter, error);
    while (err == ERR_AGAIN);
    return err ? err : call_wait(&call);
}

static void test_keeps_marks_with_and_without_data(void **state)
{
    (void)state;
    struct spool *spool = start(16);
    struct spool_reader *reader = open_reader(spool, SIGNAL_LOGS);
    struct spool_frame *frame = NULL;
    struct spool_mark marks[2] = {{.key = {1}, .value = bytes_from("first")},
                                  {.key = {2}, .value = bytes_from("second")}};
    struct bytes nothing = {0}, line = bytes_from("a line");
    struct spool_stats stats;

    assert_ok(append_marks(spool, line, marks, 2, NULL));
    marks[0].value = bytes_from("third");
    marks[1].forget = true;
    assert_ok(append_marks(spool, nothing, marks, 2, NULL));

    /* Whoever reads data sees the line, and waits for the next one. */
    assert_ok(spool_reader_next(reader, 0, &frame, NULL));
    assert_int_equal(frame->entry_count, 1);
    assert_true(bytes_equal(frame->data, line));
    spool_reader_ack(reader, frame->end);
    spool_frame_release(&frame);
    assert_int_equal(spool_reader_next(reader, 0, &frame, NULL), ERR_AGAIN);
    spool_stats(spool, &stats);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].items, 1);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].marks, 1);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].readers[0].frames, 0);
    assert_int_equal(stats.lanes[SIGNAL_LOGS].readers[0].delivered, 1);
    spool_reader_close(&reader);
    spool_close(&spool);

    spool = open_spool(16);
    struct marks_seen seen = {0};
    spool_marks_each(spool, SIGNAL_LOGS, see_mark, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.keys[0], 1);
    assert_string_equal(seen.values[0], "third");
    spool_marks_each(spool, SIGNAL_TRACES, see_mark, &seen);
    assert_int_equal(seen.count, 1);
    spool_close(&spool);
}

static void
test_refuses_marks_that_might_not_fit_and_takes_them_again_when_some_are_forgotten(void **state)
{
    (void)state;
    struct spool *spool = start(16);
    size_t max = spool_marks_max(spool);
    struct error error = {0};
    struct spool_mark mark = {.value = bytes_from("value")};

    assert_int_equal(max, SEGMENT / 8 / 512);
    for (size_t i = 0; i < max; i++) {
        mark.key[0] = (uint8_t)i;
        assert_ok(append_marks(spool, (struct bytes){0}, &mark, 1, NULL));
    }
    mark.key[0] = (uint8_t)max;
    assert_int_equal(append_marks(spool, (struct bytes){0}, &mark, 1, &error), ERR_FULL);
    assert_non_null(strstr(error.text, "a larger spool.size"));
    mark.key[0] = 0;
    mark.forget = true;
    assert_ok(append_marks(spool, (struct bytes){0}, &mark, 1, NULL));
    mark.forget = false;
    assert_ok(append_marks(spool, (struct bytes){0}, &mark, 1, NULL));

    static const uint8_t large[SPOOL_MARK_VALUE + 1];
    mark.value = (struct bytes){large, sizeof large};
    assert_int_equal(append_marks(spool, (struct bytes){0}, &mark, 1, NULL), ERR_INVALID);
    spool_close(&spool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hands_out_what_is_still_in_memory_without_reading),
        cmocka_unit_test(test_lends_no_more_buffers_than_it_can_spare),
        cmocka_unit_test(test_lends_no_frame_of_a_large_request),
        cmocka_unit_test(test_keeps_marks_with_and_without_data),
        cmocka_unit_test(
            test_refuses_marks_that_might_not_fit_and_takes_them_again_when_some_are_forgotten),
        cmocka_unit_test(test_hands_every_request_of_many_threads_to_the_readers_once),
        cmocka_unit_test(test_keeps_requests_meta_and_tags_apart),
        cmocka_unit_test(test_keeps_the_entries_of_a_request_together),
        cmocka_unit_test(test_refuses_cuts_that_do_not_add_up),
        cmocka_unit_test(test_takes_requests_up_to_a_segment_and_refuses_larger_ones),
        cmocka_unit_test(test_takes_a_request_that_comes_to_the_most_and_no_byte_more),
        cmocka_unit_test(test_refuses_appends_once_it_is_told_to_stop),
        cmocka_unit_test(test_says_again_when_too_much_waits_for_the_disk),
        cmocka_unit_test(test_answers_replicated_when_the_reader_has_acknowledged),
        cmocka_unit_test(test_tells_the_waiters_when_the_disk_refuses_twice),
        cmocka_unit_test(test_counts_what_was_promised_once_written_and_never_synced),
        cmocka_unit_test(test_is_full_and_opens_again_by_itself_when_it_drains),
        cmocka_unit_test(test_keeps_what_waits_when_it_is_closed),
        cmocka_unit_test(test_wakes_a_reader_that_waits),
    };
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
