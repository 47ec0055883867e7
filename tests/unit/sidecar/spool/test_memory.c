/* What the spool promises when memory runs out: whoever asked gets ERR_NOMEM or an answer, nothing
 * acknowledged is lost, and it goes on. Every allocation fails in turn, on a real disk. */
// link: tests/support/fault_alloc.c
// wrap: malloc calloc realloc strdup strndup
#include "tests/support/test.h"

#include "sidecar/spool/reader.h"
#include "tests/support/fault_alloc.h"

#include <dirent.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEGMENT = 64 * 1024, REQUESTS = 12 };

static char dir[] = "/tmp/surgetank-spool-XXXXXX";

struct call {
    struct spool_waiter waiter; /* first */
    sem_t answered;
    enum err err;
};

static void done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct call *call = (struct call *)waiter;

    (void)error;
    call->err = err;
    sem_post(&call->answered);
}

static enum err append(struct spool *spool, unsigned n)
{
    static const uint8_t filler[40000];
    struct bytes parts[2] = {{(const uint8_t *)&n, sizeof n},
                             {filler, n % 4 == 3 ? sizeof filler : 100}};
    struct spool_mark mark = {.key = {1}, .value = parts[0]};
    struct spool_request request = {
        .parts = parts, .part_count = 2, .items = 1, .marks = &mark, .mark_count = 1};
    struct call call = {.waiter = {.done = done}};

    sem_init(&call.answered, 0, 0);
    enum err err = spool_append(spool, &request, &call.waiter, NULL);
    if (err)
        return err;
    while (sem_wait(&call.answered) != 0)
        ;
    return call.err;
}

static enum err open_all(struct spool **spool, struct spool_reader **reader)
{
    struct spool_config config = {.dir = dir,
                                  .size_bytes = 16 * SEGMENT,
                                  .segment_bytes = SEGMENT,
                                  .save_interval_ms = 100000};
    enum err err = spool_open(&config, spool, NULL);
    return err ? err : spool_reader_open(*spool, SIGNAL_TRACES, "test", reader, NULL);
}

/* Reads to the end; `acked` says which requests must be among what is read. */
static void read_all(struct spool_reader *reader, const bool *acked)
{
    struct spool_frame *frame = NULL;
    unsigned want = 0, failed = 0;

    for (enum err err; (err = spool_reader_next(reader, 0, &frame, NULL)) != ERR_AGAIN;) {
        if (err) {
            assert_int_equal(err, ERR_NOMEM);
            assert_int_equal(failed++, 0);
            continue;
        }
        for (uint32_t i = 0; i < frame->entry_count; i++) {
            unsigned n;
            memcpy(&n, spool_frame_entry(frame, i).data.data, sizeof n);
            assert_in_range(n, want, REQUESTS - 1);
            for (; want < n; want++)
                assert_false(acked[want]);
            want = n + 1;
        }
        spool_frame_release(&frame);
    }
    for (; want < REQUESTS; want++)
        assert_false(acked[want]);
}

static void see_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    unsigned *marked = context;

    assert_int_equal(key[0], 1);
    assert_int_equal(value.len, sizeof *marked);
    memcpy(marked, value.data, sizeof *marked);
}

/* The mark is that of the last request that was taken. */
static void check_mark(struct spool *spool, const bool *acked)
{
    unsigned marked = REQUESTS, last = REQUESTS;

    while (last > 0 && !acked[last - 1])
        last--;
    spool_marks_each(spool, SIGNAL_TRACES, see_mark, &marked);
    assert_int_equal(marked, last - 1);
}

static void clear_dir(void)
{
    DIR *list = opendir(dir);
    char path[512];

    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        assert_int_equal(unlink(path), 0);
    }
    closedir(list);
}

/* The nth allocation fails somewhere in here; false: there were fewer. */
static bool live(unsigned nth)
{
    struct spool *spool = NULL;
    struct spool_reader *reader = NULL;
    bool acked[REQUESTS] = {false};
    unsigned refused = 0;

    clear_dir();
    fault_alloc_fail_at(nth);
    enum err err = open_all(&spool, &reader);
    assert_true(err == OK || err == ERR_NOMEM);
    if (err)
        assert_ok(open_all(&spool, &reader)); /* memory is back */
    for (unsigned n = 0; n < REQUESTS; n++) {
        err = append(spool, n);
        assert_true(err == OK || err == ERR_NOMEM);
        acked[n] = err == OK;
        refused += err != OK;
    }
    assert_in_range(refused, 0, 1);
    read_all(reader, acked);
    spool_reader_close(&reader);
    spool_close(&spool);

    err = open_all(&spool, &reader);
    assert_true(err == OK || err == ERR_NOMEM);
    if (err)
        assert_ok(open_all(&spool, &reader));
    bool failed = fault_alloc_has_failed();
    fault_alloc_fail_at(0);
    read_all(reader, acked);
    check_mark(spool, acked);
    spool_reader_close(&reader);
    spool_close(&spool);
    return failed;
}

static void test_goes_on_when_any_allocation_fails(void **state)
{
    (void)state;
    unsigned nth = 1;

    assert_non_null(mkdtemp(dir));
    while (live(nth))
        nth++;
    clear_dir();
    rmdir(dir);
    assert_true(nth > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on_when_any_allocation_fails),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
