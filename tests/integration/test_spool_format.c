/* The page docs/formats/spool.md is enough to write a reader: one that was, in Python, finds the
 * same data and marks as the program, in spools that were filled, recycled, restarted and damaged
 * at random. The seed is printed. */
#include "tests/support/test.h"

#include "sidecar/spool/reader.h"
#include "sidecar/spool/spool_tool.h"

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { SEGMENT = 32 * 1024, STEPS = 60, ROUNDS = 4 };

static char dir[64];
static unsigned short random_state[3];

static unsigned draw(unsigned below)
{
    return (unsigned)(nrand48(random_state) % below);
}

struct answer {
    struct spool_waiter waiter; /* first */
    sem_t came;
    enum err err;
};

static void answered(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct answer *answer = (struct answer *)waiter;

    (void)error;
    answer->err = err;
    sem_post(&answer->came);
}

static void append(struct spool *spool, unsigned n)
{
    uint8_t data[6000];
    struct spool_mark mark = {.key = {(uint8_t)draw(4)}, .forget = draw(5) == 0};
    struct bytes part = {data, draw(4) == 0 ? 0 : 1 + draw(sizeof data)};
    struct spool_request request = {.lane = SIGNAL_LOGS, .parts = &part, .part_count = 1};
    struct answer answer = {.waiter = {.done = answered}};

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(n * 31 + i);
    mark.value = (struct bytes){data, draw(100)};
    request.items = part.len > 0;
    request.marks = &mark;
    request.mark_count = part.len == 0 || draw(2) == 0;
    sem_init(&answer.came, 0, 0);
    enum err err = spool_append(spool, &request, &answer.waiter, NULL);
    if (err) {
        assert_true(err == ERR_AGAIN || err == ERR_FULL);
        return;
    }
    while (sem_wait(&answer.came) != 0)
        ;
}

/* Reads some frames, so that segments are passed and written over. */
static void deliver(struct spool_reader *reader)
{
    struct spool_frame *frame = NULL;

    for (unsigned i = draw(4); i > 0 && spool_reader_next(reader, 0, &frame, NULL) == OK; i--) {
        spool_reader_ack(reader, frame->end);
        spool_frame_release(&frame);
    }
}

static void live(void)
{
    const struct spool_config config = {.dir = dir,
                                        .size_bytes = 16 * SEGMENT,
                                        .segment_bytes = SEGMENT,
                                        .when_full = SPOOL_DROP_OLDEST,
                                        .save_interval_ms = 1};
    struct spool *spool = NULL;
    struct spool_reader *reader = NULL;

    assert_ok(spool_open(&config, &spool, NULL));
    assert_ok(spool_reader_open(spool, SIGNAL_LOGS, "test", &reader, NULL));
    for (unsigned n = 0; n < STEPS; n++) {
        append(spool, n);
        deliver(reader);
    }
    spool_reader_close(&reader);
    spool_close(&spool);
}

static void damage(void)
{
    char path[96];
    uint8_t byte = 0;
    unsigned at = draw(SEGMENT);

    snprintf(path, sizeof path, "%s/%08u.segment", dir, draw(6));
    int fd = open(path, O_RDWR);
    if (fd < 0)
        return;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void run(const char *arguments, const char *into)
{
    char command[256];

    snprintf(command, sizeof command, "python3 tests/integration/spool_reader.py %s %s > %s", dir,
             arguments, into);
    if (system(command) != 0)
        fail_msg("%s failed", command);
}

static char *contents(const char *path, size_t *ret_len)
{
    char *text = calloc(1, 4 << 20);
    int fd = open(path, O_RDONLY);

    assert_non_null(text);
    assert_true(fd >= 0);
    ssize_t len = read(fd, text, (4 << 20) - 1);
    assert_true(len >= 0);
    close(fd);
    *ret_len = (size_t)len;
    return text;
}

static void print_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    FILE *out = context;

    for (int i = 0; i < SPOOL_MARK_KEY; i++)
        fprintf(out, "%02x", key[i]);
    fputc(' ', out);
    for (size_t i = 0; i < value.len; i++)
        fprintf(out, "%02x", value.data[i]);
    fputc('\n', out);
}

static void compare_data(void)
{
    char path[96], *want = NULL;
    size_t want_len = 0, len = 0;

    snprintf(path, sizeof path, "%s/python", dir);
    run("logs", path);
    char *have = contents(path, &len);
    FILE *out = open_memstream(&want, &want_len);
    assert_non_null(out);
    assert_ok(spool_tool_cat(dir, SIGNAL_LOGS, out, NULL));
    fclose(out);
    assert_int_equal(len, want_len);
    assert_memory_equal(have, want, len);
    free(have);
    free(want);
}

static void compare_marks(void)
{
    char path[96], *want = NULL;
    size_t want_len = 0, len = 0;
    const struct spool_config config = {
        .dir = dir, .size_bytes = 16 * SEGMENT, .segment_bytes = SEGMENT};
    struct spool *spool = NULL;

    snprintf(path, sizeof path, "%s/python", dir);
    run("logs -m", path);
    char *have = contents(path, &len);
    FILE *out = open_memstream(&want, &want_len);
    assert_non_null(out);
    assert_ok(spool_open(&config, &spool, NULL));
    spool_marks_each(spool, SIGNAL_LOGS, print_mark, out);
    spool_close(&spool);
    fclose(out);
    assert_int_equal(len, want_len);
    assert_memory_equal(have, want, len);
    free(have);
    free(want);
}

static void test_the_page_is_enough_to_write_a_reader(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        live();
        compare_data();
        compare_marks();
        for (unsigned i = draw(4); i > 0 && round > 1; i--)
            damage();
        compare_data();
        compare_marks();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_is_enough_to_write_a_reader),
    };
    const char *seed = getenv("SURGETANK_SEED");
    char command[96];

    if (seed != NULL)
        random_state[0] = (unsigned short)strtoul(seed, NULL, 10);
    else if (getrandom(random_state, sizeof random_state[0], 0) < 0)
        return 1;
    printf("seed %u\n", random_state[0]);
    snprintf(dir, sizeof dir, "/tmp/surgetank-format-%d", (int)getpid());
    int failed = cmocka_run_group_tests_name("spool_format", tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0 || failed;
}
