#include "sidecar/tail/tail_internal.h"

#include "common/clock.h"
#include "common/endian.h"
#include "common/log.h"
#include "sidecar/tail/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    MARKS_SPARE = 64,  /* of the spool's, for sources and what is about to be forgotten */
    OTHERS_OPEN = 256, /* descriptors for everything else */
    OPEN_MIN = 32,
    OPEN_MAX_FILES = 4096,
    IDLE_MS = 500, /* the longest wait: graces, deadlines and files without events */
    BUSY_MS = 20,  /* between two looks at files that are being written */
    SHOW_MS = 100, /* how old what tail_state() tells may be */
};

/* ---- what is known from before */

struct recovery {
    struct tail *tail;
    uint64_t now_ms, wall_ms;
    enum err err;
    struct error *error;
};

static void take_mark(void *context, const uint8_t key[static SPOOL_MARK_KEY], struct bytes value)
{
    struct recovery *recovery = context;
    struct tail *tail = recovery->tail;
    uint64_t number;

    if (recovery->err)
        return;
    if (tail_key_read(key, 'f', &number)) {
        recovery->err = tail_table_recover(&tail->table, number, value, recovery->now_ms,
                                           recovery->wall_ms, recovery->error);
        return;
    }
    if (!tail_key_read(key, 's', &number) || value.len < 8)
        return;
    for (size_t i = 0; i < tail->input_count; i++) {
        if (tail->inputs[i].key != number)
            continue;
        tail->inputs[i].first_ns = get_le64(value.data);
        tail->inputs[i].first_saved = true;
    }
}

/* Without memory for a position its file would be taken for a new one: then rather not at all. */
static enum err recover(struct tail *tail, struct error *error)
{
    struct recovery recovery = {tail, clock_mono_ms(), clock_wall_ms(), OK, error};
    struct spool_stats stats;

    spool_marks_each(tail->options.spool, SIGNAL_LOGS, take_mark, &recovery);
    if (recovery.err)
        return recovery.err;
    for (size_t i = 0; i < tail->table.len; i++) {
        struct tail_entry *entry = tail->table.entries[i];
        for (size_t j = 0; j < tail->input_count; j++)
            if (tail->inputs[j].key == entry->source_key)
                entry->source = tail->inputs[j].source;
    }
    spool_stats(tail->options.spool, &stats);
    uint64_t frames = stats.lanes[SIGNAL_LOGS].unread_marks;
    if (frames > 0 || tail->table.unread > 0)
        LOG_WARN("Could not read how far some log files were read; they may be read again, or from "
                 "another place",
                 LOG_U64("frames", frames), LOG_U64("positions", tail->table.unread));
    return OK;
}

/* ---- making */

static enum err open_inputs(struct tail *tail, struct error *error)
{
    const struct tail_options *options = &tail->options;

    for (size_t i = 0; i < options->source_count; i++) {
        const struct tail_source *source = &options->sources[i];
        struct tail_input *input = &tail->inputs[tail->input_count++];
        input->source = source;
        input->key = tail_source_key(source);
        input->state.name = source->name;
        if (source->rules == 0 && source->pattern_count == 0)
            continue;
        enum err err = multiline_create(source->rules, source->patterns, source->pattern_count,
                                        &input->multiline, error);
        if (err)
            return error_prefix(error, err, "multiline of '%s'", source->name);
    }
    return OK;
}

static size_t descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < OTHERS_OPEN + OPEN_MIN)
        return OPEN_MIN;
    rlim_t left = limit.rlim_cur - OTHERS_OPEN;
    return left < OPEN_MAX_FILES ? (size_t)left : OPEN_MAX_FILES;
}

static enum err open_parts(struct tail *tail, struct error *error)
{
    size_t marks = spool_marks_max(tail->options.spool);
    size_t open_max = tail->options.open_max != 0 ? tail->options.open_max : descriptors();
    struct error watching = {0};

    /* The spool takes each mark of a request for a new one. */
    tail->marks_max = marks / 4 < LOAD_MARKS_MAX ? marks / 4 : LOAD_MARKS_MAX;
    tail_table_init(&tail->table, marks - tail->marks_max - MARKS_SPARE, open_max);
    tail->chunk = malloc(TAIL_CHUNK);
    tail->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (tail->chunk == NULL || tail->wake < 0)
        return error_set(error, ERR_NOMEM, "follow files");
    for (size_t i = 0; i < 2; i++) {
        enum err err = tail_load_init(tail, &tail->loads[i], error);
        if (err)
            return err;
    }
    tail->filling = &tail->loads[0];
    tail->given = &tail->loads[1];
    if (watch_open(&tail->watch, &watching))
        LOG_WARN("Could not watch directories; files are looked at now and then instead",
                 LOG_STR("error", watching.text));
    return open_inputs(tail, error);
}

enum err tail_open(const struct tail_options *options, struct tail **ret_tail, struct error *error)
{
    AUTO(tail_close) struct tail *tail = calloc(1, sizeof *tail);
    if (tail == NULL)
        return error_set(error, ERR_NOMEM, "follow files");
    tail->wake = -1;
    pthread_mutex_init(&tail->lock, NULL);
    pthread_mutex_init(&tail->stamp_lock, NULL);
    tail->options = *options;
    if (options->source_count > TAIL_SOURCES_MAX)
        return error_set(error, ERR_INVALID, "%zu inputs of files; %d can be",
                         options->source_count, TAIL_SOURCES_MAX);
    enum err err = open_parts(tail, error);
    if (!err)
        err = recover(tail, error);
    if (err)
        return err;
    tail_scan(tail, clock_mono_ms());
    MOVE(*ret_tail, tail);
    return OK;
}

void tail_close(struct tail **tail)
{
    struct tail *gone = *tail;
    if (gone == NULL)
        return;
    tail_stop(gone, 0);
    tail_table_fini(&gone->table);
    watch_close(&gone->watch);
    for (size_t i = 0; i < 2; i++)
        tail_load_fini(&gone->loads[i]);
    for (size_t i = 0; i < gone->input_count; i++)
        multiline_destroy(&gone->inputs[i].multiline);
    if (gone->wake >= 0)
        close(gone->wake);
    buf_fini(&gone->dirs);
    buf_fini(&gone->new_dirs);
    buf_fini(&gone->came);
    free(gone->forgotten);
    free(gone->chunk);
    pthread_mutex_destroy(&gone->lock);
    pthread_mutex_destroy(&gone->stamp_lock);
    free(gone);
    *tail = NULL;
}

/* ---- what it tells */

static void show_entry(struct tail_source_state *state, struct tail_entry *entry, uint64_t now_ms)
{
    state->files += !entry->orphan;
    if (entry->orphan)
        return;
    /* While reading is paused, nobody else asks. A shrunk file is left to the reader. */
    if (entry->file.fd >= 0 && entry->wrote)
        IGNORE_RESULT(tail_file_ask(&entry->file, entry->file.size, NULL));
    uint64_t unread = tail_entry_unread(entry);
    uint64_t age = now_ms - entry->caught_up_ms;
    state->unread_bytes += unread;
    if (unread > 0 && age > state->oldest_unread_ms)
        state->oldest_unread_ms = age;
}

static void show(struct tail *tail, uint64_t now_ms)
{
    for (size_t i = 0; i < tail->input_count; i++) {
        struct tail_source_state *state = &tail->inputs[i].state;
        state->files = state->unread_bytes = state->oldest_unread_ms = 0;
        if (tail->inputs[i].multiline != NULL)
            state->multiline_gave_up = multiline_gave_up(tail->inputs[i].multiline);
        for (size_t j = 0; j < tail->table.len; j++)
            if (tail->table.entries[j]->source == tail->inputs[i].source)
                show_entry(state, tail->table.entries[j], now_ms);
    }
    pthread_mutex_lock(&tail->lock);
    struct tail_state *shown = &tail->shown;
    shown->paused = tail->trouble[0] != '\0';
    memcpy(shown->trouble, tail->trouble, sizeof shown->trouble);
    shown->deaf = tail->watch == NULL || tail->watch_full;
    shown->files_open = tail->table.open;
    shown->loads = tail->load_count;
    shown->refused_loads = tail->refused_count;
    shown->left_out = tail->left_out_count;
    shown->unread_positions = tail->table.unread;
    shown->source_count = tail->input_count;
    for (size_t i = 0; i < tail->input_count; i++)
        shown->sources[i] = tail->inputs[i].state;
    pthread_mutex_unlock(&tail->lock);
    tail->show_ms = now_ms + SHOW_MS;
}

void tail_state(struct tail *tail, struct tail_state *ret_state)
{
    pthread_mutex_lock(&tail->lock);
    *ret_state = tail->shown;
    pthread_mutex_unlock(&tail->lock);
}

uint64_t tail_records(const struct tail *tail)
{
    uint64_t records = 0;
    for (size_t i = 0; i < tail->input_count; i++)
        records += tail->inputs[i].state.records;
    return records;
}

/* ---- the thread */

static void wait_for_something(struct tail *tail, uint64_t now_ms, uint32_t wait_ms)
{
    uint64_t counted, deadline = tail_load_deadline(tail);
    uint64_t left = deadline > now_ms ? deadline - now_ms : 0;

    if (tail->dirs.len > 0 && wait_ms > BUSY_MS)
        wait_ms = BUSY_MS;
    if (left < wait_ms)
        wait_ms = (uint32_t)left;
    /* Something was read a moment ago: more will come, and events need not be taken one by one. */
    bool busy = now_ms - tail->read_ms < TAIL_FLUSH_MS;
    struct pollfd fds[] = {
        {.fd = tail->wake, .events = POLLIN},
        {.fd = busy || tail->watch == NULL ? -1 : watch_fd(tail->watch), .events = POLLIN},
    };
    if (busy && wait_ms > BUSY_MS)
        wait_ms = BUSY_MS;
    if (poll(fds, 2, (int)wait_ms) > 0)
        IGNORE_RESULT(read(tail->wake, &counted, sizeof counted) < 0); /* empty is fine */
}

bool tail_turn(struct tail *tail, uint32_t wait_ms)
{
    uint64_t now_ms = clock_mono_ms();
    bool more = false;

    bool room = tail_load_move(tail, now_ms);
    tail_take_events(tail, now_ms);
    tail_scan(tail, now_ms);
    if (room) {
        uint64_t before = tail->read_bytes;
        more = tail_read_some(tail, now_ms);
        if (tail->read_bytes != before)
            tail->read_ms = now_ms;
        tail_settle(tail, now_ms);
        room = tail_load_move(tail, now_ms);
    }
    if (now_ms >= tail->show_ms)
        show(tail, now_ms);
    more = more && room && tail->held == NULL;
    if (!more && wait_ms > 0)
        wait_for_something(tail, now_ms, wait_ms);
    return more;
}

static void *run(void *context)
{
    struct tail *tail = context;

    while (!atomic_load(&tail->stopping))
        tail_turn(tail, IDLE_MS);
    return NULL;
}

void tail_set_stamp(struct tail *tail, const struct stamp *stamp)
{
    pthread_mutex_lock(&tail->stamp_lock);
    tail->options.stamp = stamp;
    pthread_mutex_unlock(&tail->stamp_lock);
}

enum err tail_start(struct tail *tail, struct error *error)
{
    if (pthread_create(&tail->thread, NULL, run, tail) != 0)
        return error_set_errno(error, ERR_NOMEM, "start following files");
    tail->running = true;
    pthread_setname_np(tail->thread, "tail");
    return OK;
}

bool tail_is_stored(const struct tail *tail)
{
    return batch_items(tail->filling->batch) == 0 && tail->filling->state == LOAD_FILLING &&
           tail->given->state == LOAD_FILLING;
}

bool tail_in_spool(const struct tail *tail)
{
    return atomic_load(&tail->in_spool) > 0;
}

void tail_stop(struct tail *tail, uint32_t grace_ms)
{
    const uint64_t one = 1;

    atomic_store(&tail->stopping, true);
    if (tail->running) {
        IGNORE_RESULT(write(tail->wake, &one, sizeof one) < 0); /* it looks twice a second anyhow */
        pthread_join(tail->thread, NULL);
        tail->running = false;
    }
    uint64_t now_ms = clock_mono_ms(), end = now_ms + grace_ms;
    while (grace_ms > 0 && now_ms < end) {
        tail_load_move(tail, now_ms);
        if (tail_is_stored(tail))
            break;
        wait_for_something(tail, now_ms, BUSY_MS);
        now_ms = clock_mono_ms();
    }
    show(tail, now_ms);
}
