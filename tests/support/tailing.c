#include "tests/support/tailing.h"

#include "common/buf.h"
#include "common/clock.h"
#include "sidecar/otlp/wire.h"
#include "sidecar/spool/reader.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 64 << 10, PATHS = 8, PATH_BYTES = 512, TOLD_MS = 150, TURN_MS = 20 };

/* Nobody waits longer than that for the next sign of progress; far more than a busy machine takes.
 */
enum { PATIENCE_MS = 60000 };

void tailing_begin(struct tailing *tailing)
{
    *tailing = (struct tailing){.spool_bytes = 256 << 20};
    snprintf(tailing->dir, sizeof tailing->dir, "/tmp/surgetank-tail-XXXXXX");
    assert_non_null(mkdtemp(tailing->dir));
    snprintf(tailing->logs, sizeof tailing->logs, "%s/logs", tailing->dir);
    assert_int_equal(mkdir(tailing->logs, 0700), 0);
    snprintf(tailing->glob, sizeof tailing->glob, "%s/*.log", tailing->logs);
    tailing->paths[0] = tailing->glob;
    tailing->source = (struct tail_source){.name = "test",
                                           .paths = tailing->paths,
                                           .path_count = 1,
                                           .start = TAIL_START_BEGINNING,
                                           .rescan_ms = 1000,
                                           .line_max = LINE_MAX_BYTES};
    tailing->seen = calloc(TAILING_NUMBERS, 1);
    assert_non_null(tailing->seen);
}

void tailing_end(struct tailing *tailing)
{
    char command[128];

    tailing_close(tailing);
    free(tailing->seen);
    snprintf(command, sizeof command, "rm -rf %s", tailing->dir);
    assert_int_equal(system(command), 0);
}

void tailing_open(struct tailing *tailing)
{
    char dir[80];
    struct error error = {0};

    snprintf(dir, sizeof dir, "%s/spool", tailing->dir);
    const struct spool_config config = {.dir =
                                            tailing->spool_dir != NULL ? tailing->spool_dir : dir,
                                        .size_bytes = tailing->spool_bytes,
                                        .segment_bytes = tailing->segment_bytes};
    if (spool_open(&config, &tailing->spool, &error))
        fail_msg("%s", error.text);
    const struct tail_options options = {.sources = &tailing->source,
                                         .source_count = 1,
                                         .spool = tailing->spool,
                                         .open_max = tailing->open_max};
    if (tail_open(&options, &tailing->tail, &error))
        fail_msg("%s", error.text);
}

void tailing_close(struct tailing *tailing)
{
    if (tailing->tail != NULL)
        tail_stop(tailing->tail, PATIENCE_MS);
    spool_close(&tailing->spool);
    tail_close(&tailing->tail);
}

struct tail_source_state tailing_state(struct tailing *tailing)
{
    struct tail_state state;

    tailing_run_ms(tailing, TOLD_MS);
    tail_turn(tailing->tail, 0); /* the only one that late, on a slow machine */
    tail_state(tailing->tail, &state);
    return state.sources[0];
}

void tailing_run(struct tailing *tailing, uint64_t records)
{
    uint64_t read = tail_records(tailing->tail), since_ms = clock_mono_ms();

    while (read < records) {
        tail_turn(tailing->tail, TURN_MS);
        if (tail_records(tailing->tail) != read) {
            read = tail_records(tailing->tail);
            since_ms = clock_mono_ms();
        } else if (clock_mono_ms() - since_ms > PATIENCE_MS)
            fail_msg("%llu of %llu records were read, and no more came", (unsigned long long)read,
                     (unsigned long long)records);
    }
    tailing_run_ms(tailing, 100); /* whatever should not come */
}

static bool is_stored(struct tailing *tailing, uint64_t count)
{
    tailing_collect(tailing);
    for (uint64_t i = 0; i < count; i++)
        if (tailing->seen[i] == 0)
            return false;
    return true;
}

void tailing_run_until_stored(struct tailing *tailing, uint64_t count)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;

    while (!is_stored(tailing, count) && clock_mono_ms() < end) /* tailing_check() says what not */
        tailing_run_ms(tailing, 300);
}

void tailing_run_ms(struct tailing *tailing, unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;

    for (unsigned turns = 0; turns < ms / TURN_MS || clock_mono_ms() < end; turns++)
        tail_turn(tailing->tail, TURN_MS);
}

/* ---- files */

const char *tailing_path(const struct tailing *tailing, const char *name)
{
    static char paths[PATHS][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    snprintf(path, PATH_BYTES, "%s/%s", tailing->logs, name);
    return path;
}

static void put(const char *path, struct bytes data)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data.data, data.len), (ssize_t)data.len);
    close(fd);
}

void tailing_append(const char *path, const char *text)
{
    put(path, bytes_from(text));
}

void tailing_write(const char *path, uint64_t first, uint64_t count, size_t padding)
{
    AUTO(buf_fini) struct buf lines = {0};

    for (uint64_t i = first; i < first + count; i++)
        assert_ok(buf_printf(&lines, "n=%llu %0*d\n", (unsigned long long)i, (int)padding, 0));
    put(path, buf_bytes(&lines));
}

/* ---- what arrived */

static void take_body(struct tailing *tailing, struct bytes body)
{
    char text[64];
    unsigned long long number = 0;
    size_t len = body.len < sizeof text - 1 ? body.len : sizeof text - 1;

    tailing->records++;
    memcpy(text, body.data, len);
    text[len] = '\0';
    const char *at = strstr(text, "n=");
    if (at != NULL && sscanf(at, "n=%llu ", &number) == 1 && number < TAILING_NUMBERS) {
        if (tailing->seen[number] < UINT8_MAX)
            tailing->seen[number]++;
        return;
    }
    tailing->others++;
    snprintf(tailing->last_other, sizeof tailing->last_other, "%.*s",
             (int)(body.len < 250 ? body.len : 250), (const char *)body.data);
}

static void take_attribute(struct tailing *tailing, struct bytes attribute)
{
    struct wire_field field, inner;
    struct bytes key = {0}, value = {0};

    while (wire_next(&attribute, &field)) {
        if (field.number == 1)
            key = field.payload;
        else if (field.number == 2 && wire_next(&field.payload, &inner) && inner.number == 1)
            value = inner.payload;
    }
    size_t used = strlen(tailing->last_resource);
    snprintf(tailing->last_resource + used, sizeof tailing->last_resource - used, "%.*s=%.*s\n",
             (int)key.len, (const char *)key.data, (int)value.len, (const char *)value.data);
}

/* Walks one level; what each field is, depends on the depth. */
enum level { REQUEST, RESOURCE_LOGS, RESOURCE, SCOPE_LOGS, RECORD, BODY };

static void walk(struct tailing *tailing, enum level level, struct bytes message)
{
    struct wire_field field;

    while (wire_next(&message, &field)) {
        if (level == REQUEST && field.number == 1)
            walk(tailing, RESOURCE_LOGS, field.payload);
        else if (level == RESOURCE_LOGS && field.number == 1) {
            tailing->last_resource[0] = '\0';
            walk(tailing, RESOURCE, field.payload);
        } else if (level == RESOURCE_LOGS && field.number == 2)
            walk(tailing, SCOPE_LOGS, field.payload);
        else if (level == RESOURCE && field.number == 1)
            take_attribute(tailing, field.payload);
        else if (level == SCOPE_LOGS && field.number == 2)
            walk(tailing, RECORD, field.payload);
        else if (level == RECORD && field.number == 5)
            walk(tailing, BODY, field.payload);
        else if (level == BODY && field.number == 1)
            take_body(tailing, field.payload);
    }
    assert_int_equal(message.len, 0);
}

void tailing_take(struct tailing *tailing, struct bytes request)
{
    walk(tailing, REQUEST, request);
}

void tailing_collect(struct tailing *tailing)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;

    memset(tailing->seen, 0, TAILING_NUMBERS);
    tailing->records = tailing->others = 0;
    assert_ok(spool_reader_open(tailing->spool, SIGNAL_LOGS, "check", &reader, NULL));
    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        walk(tailing, REQUEST, frame->data);
        assert_int_equal(frame->lost_items, 0);
        spool_frame_release(&frame);
    }
    spool_reader_close(&reader);
}

static void store(struct tailing *tailing)
{
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    while (!tail_is_stored(tailing->tail) && clock_mono_ms() < end)
        tail_turn(tailing->tail, TURN_MS);
    assert_true(tail_is_stored(tailing->tail));
}

void tailing_check(struct tailing *tailing, uint64_t count)
{
    store(tailing);
    uint64_t lost = 0, doubled = 0, first_lost = 0, first_doubled = 0;

    tailing_collect(tailing);
    for (uint64_t i = 0; i < count; i++) {
        if (tailing->seen[i] == 0 && lost++ == 0)
            first_lost = i;
        if (tailing->seen[i] > 1 && doubled++ == 0)
            first_doubled = i;
    }
    if (lost > 0 || doubled > 0)
        fail_msg("of %llu lines %llu are lost (first %llu), %llu are there more than once (first "
                 "%llu)",
                 (unsigned long long)count, (unsigned long long)lost,
                 (unsigned long long)first_lost, (unsigned long long)doubled,
                 (unsigned long long)first_doubled);
    if (tailing->others > 0)
        fail_msg("%llu records are no numbered lines, the last of them '%s'",
                 (unsigned long long)tailing->others, tailing->last_other);
    assert_int_equal(tailing->records, count);
}
