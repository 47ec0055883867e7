#include "tests/support/store_fixture.h"

#include "tests/support/test.h"

#include <stdlib.h>

/* Stands in for spool.c, of which only this is wanted. */
struct store *spool_store(struct spool *spool)
{
    struct fixture *fixture = (struct fixture *)spool;
    return fixture->store;
}

struct spool *fixture_spool(struct fixture *fixture)
{
    return (struct spool *)fixture;
}

void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){
        .config = {.dir = FIXTURE_DIR,
                   .size_bytes = FIXTURE_SEGMENTS * FIXTURE_SEGMENT,
                   .segment_bytes = FIXTURE_SEGMENT,
                   .save_interval_ms = 1000000},
    };
}

enum err fixture_open(struct fixture *fixture, struct error *error)
{
    enum err err = store_open(&fixture->config, &fixture->store, error);
    if (err)
        return err;
    err = spool_reader_open(fixture_spool(fixture), SIGNAL_TRACES, "test", &fixture->reader, error);
    if (err)
        fixture_kill(fixture);
    return err;
}

void fixture_close(struct fixture *fixture)
{
    spool_reader_close(&fixture->reader);
    store_close(&fixture->store);
}

void fixture_kill(struct fixture *fixture)
{
    spool_reader_close(&fixture->reader);
    store_free(&fixture->store);
}

/* From 1 to 3 blocks of 4 KiB. */
static size_t record_len(uint64_t n)
{
    static const size_t lens[] = {24, 24, 900, 24, 5000, 24, 11000};
    return lens[n % (sizeof lens / sizeof lens[0])];
}

static void fill_record(uint64_t n, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i += sizeof n)
        memcpy(data + i, &n, len - i < sizeof n ? len - i : sizeof n);
}

struct frame_buf *fixture_record(enum signal lane, uint64_t n)
{
    static uint8_t data[16 * 1024];
    struct bytes parts[2] = {{data, 8}, {data + 8, record_len(n) - 8}};
    struct spool_request request = {
        .lane = lane, .parts = parts, .part_count = 2, .items = 1, .tag = (uint32_t)n};
    struct pending_limits limits = {.data = sizeof data, .entries = 2, .marks = 256};

    fill_record(n, data, record_len(n));
    struct frame_buf *frame = pending_create(limits);
    assert_non_null(frame);
    pending_add(frame, &request, record_len(n), 1000 + n, NULL);
    return frame;
}

enum { KEYS = 3, KEY_ALONE = KEYS };

static void add_mark(struct frame_buf *frame, uint8_t key, uint64_t n, bool forget)
{
    struct spool_mark mark = {.key = {key}, .forget = forget};
    struct spool_request request = {.lane = SIGNAL_TRACES, .marks = &mark, .mark_count = 1};

    mark.value = (struct bytes){(const uint8_t *)&n, sizeof n};
    pending_add(frame, &request, 0, 1000 + n, NULL);
}

static bool forgets(uint64_t n)
{
    return n % 5 == 4;
}

static struct frame_buf *record_alone(uint64_t n)
{
    struct frame_buf *frame = pending_create((struct pending_limits){.entries = 1, .marks = 256});

    assert_non_null(frame);
    add_mark(frame, KEY_ALONE, n, false);
    return frame;
}

bool fixture_append(struct fixture *fixture, unsigned count)
{
    struct frame_buf *frames = NULL, **tail = &frames;
    bool all = true;

    for (uint64_t n = fixture->next; n < fixture->next + count; n++) {
        *tail = fixture_record(SIGNAL_TRACES, n);
        if (fixture->marked)
            add_mark(*tail, (uint8_t)(n % KEYS), n, forgets(n));
        tail = &(*tail)->next;
    }
    if (fixture->marked) {
        *tail = record_alone(fixture->next + count - 1);
        assert_ok(store_need_marks(&fixture->store->lanes[SIGNAL_TRACES], NULL));
    }
    store_commit(fixture->store, SIGNAL_TRACES, frames, NULL, NULL, &fixture->error);
    while (frames != NULL) {
        struct frame_buf *frame = frames;
        frames = frame->next;
        if (frame->header.entries == 0) {
            if (!frame->err)
                fixture->marked_alone = fixture->next - 1;
            pending_destroy(&frame);
            break;
        }
        assert_true(fixture->next < FIXTURE_RECORDS);
        fixture->fate[fixture->next++] = frame->err ? FATE_FAILED : FATE_ACKED;
        all = all && !frame->err;
        pending_destroy(&frame);
    }
    return all;
}

uint64_t fixture_number(const struct spool_frame *frame)
{
    uint64_t n = 0;

    assert_true(frame->data.len >= 8);
    memcpy(&n, frame->data.data, sizeof n);
    return n;
}

void fixture_deliver(struct fixture *fixture, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct spool_frame *frame = NULL;
        if (spool_reader_next(fixture->reader, 0, &frame, NULL) != OK)
            return;
        fixture->delivered = fixture_number(frame) + 1;
        fixture->had[fixture_number(frame)] = true;
        spool_reader_ack(fixture->reader, frame->end);
        spool_frame_release(&frame);
    }
}

static void check_frame(struct spool_frame *frame, uint64_t n)
{
    static uint8_t want[16 * 1024];
    size_t len = record_len(n);

    fill_record(n, want, len);
    assert_true(bytes_equal(frame->data, (struct bytes){want, len}));
    assert_int_equal(frame->items, 1);
    assert_int_equal(frame->accepted_ns, 1000 + n);
    assert_int_equal(frame->entry_count, 1);
    assert_int_equal(spool_frame_entry(frame, 0).tag, n);
}

struct seen_marks {
    bool there[KEYS + 1];
    uint64_t value[KEYS + 1];
};

static void see_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    struct seen_marks *seen = context;
    static const uint8_t zeros[SPOOL_MARK_KEY];

    assert_in_range(key[0], 0, KEYS);
    assert_memory_equal(key + 1, zeros, sizeof zeros - 1);
    assert_false(seen->there[key[0]]);
    assert_int_equal(value.len, 8);
    seen->there[key[0]] = true;
    memcpy(&seen->value[key[0]], value.data, 8);
}

/* The marks are what the records that are there say. */
static void check_marks(const struct fixture *fixture, const bool *there)
{
    const struct lane *lane = &fixture->store->lanes[SIGNAL_TRACES];
    struct seen_marks want = {0}, have = {0};
    uint64_t last = 0;

    for (uint64_t n = 0; n < fixture->next; n++) {
        if (!there[n])
            continue;
        want.there[n % KEYS] = !forgets(n);
        want.value[n % KEYS] = n;
        last = n;
    }
    if (lane->marks != NULL)
        marks_each(lane->marks, see_mark, &have);
    for (int key = 0; key < KEYS; key++) {
        assert_int_equal(have.there[key], want.there[key]);
        if (want.there[key])
            assert_int_equal(have.value[key], want.value[key]);
    }
    /* It came behind the record that it tells. */
    assert_in_range(have.value[KEY_ALONE], fixture->marked_alone, last);
}

unsigned fixture_check(struct fixture *fixture)
{
    struct spool_frame *frame = NULL;
    uint64_t want = fixture->delivered;
    bool first = true;
    unsigned count = 0;
    struct error error = {0};
    enum err err;
    bool there[FIXTURE_RECORDS];

    memcpy(there, fixture->had, sizeof there);
    spool_reader_rewind(fixture->reader);
    while ((err = spool_reader_next(fixture->reader, 0, &frame, &error)) == OK) {
        uint64_t n = fixture_number(frame);
        assert_in_range(n, 0, FIXTURE_RECORDS - 1);
        check_frame(frame, n);
        assert_true(frame->lost_items == 0 || fixture->unsure);
        if (first && n < want)
            want = n; /* what was delivered may come again */
        first = false;
        assert_true(n >= want);
        for (; want < n; want++)
            assert_int_not_equal(fixture->fate[want], FATE_ACKED);
        want = n + 1;
        there[n] = true;
        count++;
        spool_frame_release(&frame);
    }
    if (err != ERR_AGAIN)
        fail_msg("next: %s", error.text);
    for (; want < fixture->next; want++)
        assert_int_not_equal(fixture->fate[want], FATE_ACKED);
    if (fixture->marked)
        check_marks(fixture, there);
    return count;
}

/* Lets the power go at every unsynced byte, or at every `stride`th. */
static void crash_everywhere(const struct fixture *fixture, fixture_crash_fn *crash, size_t stride,
                             unsigned *crashes)
{
    size_t all = fault_disk_unsynced();

    fault_disk_save();
    for (size_t keep = *crashes % stride; keep <= all;
         keep = fault_disk_next_keep(keep + stride - 1)) {
        struct fixture copy = *fixture;
        crash(&copy, keep, *crashes % DAMAGE_COUNT, *crashes / DAMAGE_COUNT % 2 == 0);
        (*crashes)++;
        fault_disk_restore();
    }
}

static void break_everywhere(fixture_life_fn *life, fixture_crash_fn *crash, size_t stride,
                             bool lasting)
{
    unsigned nth = 0, calls = 0, crashes = 0, seen = 0;

    do { /* the 1st disk call fails, then the 2nd, ... until none is reached */
        struct fixture fixture;
        nth++;
        life(&fixture, nth, lasting);
        calls = fault_disk_calls();
        fault_disk_fail(0, false, OK);
        fixture_kill(&fixture);
        /* Where it is the end of the life, a call that only reads leaves the disk as it was. */
        if (lasting && fault_disk_changes() == seen)
            continue;
        seen = fault_disk_changes();
        crash_everywhere(&fixture, crash, stride, &crashes);
    } while (calls >= nth);

    assert_true(nth > 100); /* the loops did loop */
    assert_true(crashes > (lasting ? 4000 / stride : 100));
}

void fixture_break_everywhere(fixture_life_fn *life, fixture_crash_fn *crash, size_t stride)
{
    break_everywhere(life, crash, stride, true);
    break_everywhere(life, crash, stride, false);
}
