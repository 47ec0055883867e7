/* Contents: bytes of files, through lines, into the load. Files take turns, QUANTUM bytes each, but
 * an older file of a group goes before a younger one.
 *
 * lines.h lends the read buffer until a chunk is used up. If the load is full before, that entry is
 * `held`: nothing else is read until there is room for the rest of its chunk. */
#include "sidecar/tail/tail_internal.h"

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"

#include <string.h>
#include <unistd.h>

enum {
    QUANTUM = 256 << 10,
    POLL_MS = 250,   /* how often a file is asked that no event will tell of */
    RETRY_MS = 5000, /* how long a file is left alone that could not be read */
    PARK_ABOVE = 64, /* files with something pending, before unfinished lines are given up */
};

/* ---- lines */

static enum lines_format format_of(struct tail_entry *entry)
{
    uint8_t first = 0;
    size_t len = 0;

    if (entry->source->format != LINES_CRI)
        return entry->source->format;
    /* Below kubelet's directories, Docker's files are symbolic links. */
    if (tail_file_read(&entry->file, 0, &first, 1, &len, NULL) || len == 0)
        return LINES_CRI;
    return first == '{' ? LINES_DOCKER : LINES_CRI;
}

/* Moves records into the load. ERR_AGAIN: there is none left. ERR_FULL: the load has to go. */
static enum err drain(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    struct tail_input *input = tail_input_of(tail, entry);
    const struct tail_source *source = entry->source;
    uint64_t since_ns = source->start == TAIL_START_TIME ? source->start_ns : 0;
    uint64_t wall_ns = clock_wall_ns();
    struct line line;
    bool took = false;

    enum err err = lines_next(entry->lines, &line);
    while (!err) {
        if (since_ns == 0 || line.time_ns == 0 || line.time_ns >= since_ns) {
            err = tail_load_add(tail, entry, &line, now_ms, wall_ns);
            if (err)
                break;
            input->state.records++;
        }
        lines_take(entry->lines);
        took = true;
        err = lines_next(entry->lines, &line);
    }
    if (took) {
        lines_mark(entry->lines, &entry->mark);
        entry->changed = true;
    }
    tail->held = err == ERR_AGAIN ? NULL : entry;
    return err;
}

/* At the end of the file: what is not pending needs no memory. */
static void rest(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    entry->wrote = false;
    entry->caught_up_ms = now_ms;
    lines_mark(entry->lines, &entry->mark);
    if (lines_is_idle(entry->lines)) {
        lines_destroy(&entry->lines);
        return;
    }
    size_t pending = 0;
    for (size_t i = 0; i < tail->table.len; i++)
        pending += tail->table.entries[i]->lines != NULL;
    if (pending > PARK_ABOVE && lines_deadline_ms(entry->lines) == UINT64_MAX) {
        lines_destroy(&entry->lines);
        entry->parked = entry->file.size;
    }
}

/* Nothing will follow: what is pending goes as it is. OK: it is gone. */
static enum err finish(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    if (entry->lines == NULL)
        return OK;
    if (!entry->finishing)
        lines_finish(entry->lines);
    entry->finishing = true;
    enum err err = drain(tail, entry, now_ms);
    if (err != ERR_AGAIN)
        return err;
    lines_mark(entry->lines, &entry->mark);
    lines_destroy(&entry->lines);
    entry->finishing = false;
    return OK;
}

static enum err need_lines(struct tail *tail, struct tail_entry *entry, uint64_t now_ms,
                           struct error *error)
{
    struct tail_input *input = tail_input_of(tail, entry);

    if (entry->finishing && finish(tail, entry, now_ms))
        return ERR_FULL;
    if (entry->lines != NULL)
        return OK;
    const struct lines_options options = {.format = format_of(entry),
                                          .line_max = entry->source->line_max,
                                          .multiline = input->multiline,
                                          .counts = &input->state.lines};
    return lines_create(&options, &entry->mark, &entry->lines, error);
}

/* ---- bytes */

static void lost(struct tail_input *input, struct tail_entry *entry, uint64_t bytes)
{
    entry->counted = true;
    input->state.lost_bytes += bytes;
    input->state.lost_files++;
    LOG_WARN("Lost what had not been read of a file", LOG_STR("path", entry->path),
             LOG_U64("bytes", bytes),
             LOG_STR("reason", entry->truncated ? "truncated" : "deleted"));
}

/* The inode has other contents: they are begun, and the former ones looked for. */
static void truncated(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    struct tail_input *input = tail_input_of(tail, entry);
    struct tail_entry *other = tail_table_split(&tail->table, entry, now_ms);

    if (tail->held == entry)
        tail->held = NULL;
    lines_destroy(&entry->lines);
    entry->finishing = false;
    if (other == NULL)
        return;
    input->state.truncations++;
    LOG_INFO("A file was truncated and is begun again", LOG_STR("path", other->path));
    other->mark.resume = tail_file_hole(&other->file);
    other->source = entry->source;
    tail_list_again(tail, other->path, now_ms);
}

static enum err look_at(struct tail *tail, struct tail_entry *entry, uint64_t now_ms,
                        struct error *error)
{
    uint64_t size = entry->file.size;
    uint64_t at = entry->lines != NULL ? lines_wants(entry->lines) : entry->mark.resume;

    enum err err = tail_table_open(&tail->table, entry, now_ms, error);
    if (!err)
        err = tail_file_ask(&entry->file, at, error);
    /* Truncated and grown again, or written anew in place: only the first bytes tell. */
    uint32_t covered = entry->file.print.len;
    if (!err && !entry->file.compressed)
        err = tail_file_verify(&entry->file, error);
    if (err == ERR_CORRUPT && !entry->file.compressed)
        entry->file.size = size; /* of the contents that it had */
    if (entry->file.size > size)
        entry->grown_ms = now_ms;
    entry->changed |= entry->file.print.len != covered;
    return err;
}

static void failed(struct tail *tail, struct tail_entry *entry, enum err err,
                   const struct error *error, uint64_t now_ms)
{
    struct tail_input *input = tail_input_of(tail, entry);

    if (err == ERR_NOTFOUND || err == ERR_CONFLICT) {
        entry->owing = entry->owing || entry->wrote;
        entry->wrote = false; /* the name tells of another file now */
        tail_list_again(tail, entry->path, now_ms);
    } else if (err == ERR_CORRUPT && !entry->file.compressed) {
        truncated(tail, entry, now_ms);
    } else if (err == ERR_CORRUPT) {
        entry->done = entry->changed = true;
        lost(input, entry, entry->file.size);
        tail_table_close(&tail->table, entry);
    } else if (err != ERR_AGAIN && err != ERR_NOMEM) {
        input->state.read_errors++;
        entry->wrote = false;
        entry->retry_ms = now_ms + RETRY_MS;
        LOG_WARN("Could not read a file", LOG_STR("path", entry->path),
                 LOG_STR("error", error->text));
    }
}

/* The compressed file has been read to its end, and there won't be more. */
static void complete(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    if (finish(tail, entry, now_ms))
        return;
    entry->done = entry->changed = true;
    tail_table_close(&tail->table, entry);
}

/* Reads the entry's share. ERR_FULL: the load has to go. ERR_AGAIN: its end was reached. OK: its
 * share is used up. */
static enum err read_entry(struct tail *tail, struct tail_entry *entry, uint64_t now_ms,
                           struct error *error)
{
    struct tail_input *input = tail_input_of(tail, entry);

    enum err err = look_at(tail, entry, now_ms, error);
    if (!err)
        err = need_lines(tail, entry, now_ms, error);
    if (err)
        return err;
    entry->parked = 0;
    for (size_t share = QUANTUM; share > 0;) {
        size_t len = 0;
        size_t cap = share < TAIL_CHUNK ? share : TAIL_CHUNK;
        err =
            tail_file_read(&entry->file, lines_wants(entry->lines), tail->chunk, cap, &len, error);
        if (err)
            return err;
        if (len == 0)
            break;
        input->state.bytes += len;
        tail->read_bytes += len;
        share -= len;
        lines_feed(entry->lines, (struct bytes){tail->chunk, len}, now_ms);
        err = drain(tail, entry, now_ms);
        if (err != ERR_AGAIN)
            return err;
        if (share == 0)
            return OK;
    }
    if (entry->file.compressed)
        complete(tail, entry, now_ms);
    else
        rest(tail, entry, now_ms);
    return ERR_AGAIN;
}

/* ---- taking turns */

static bool is_due(const struct tail *tail, const struct tail_entry *entry, uint64_t now_ms)
{
    if (entry->orphan || entry->done || entry->source == NULL || now_ms < entry->retry_ms)
        return false;
    if (entry->wrote || tail_entry_unread(entry) > 0)
        return true;
    bool told = tail->watch != NULL && !tail->watch_full && entry->named && !entry->linked;
    return !told && now_ms - entry->caught_up_ms >= POLL_MS;
}

static bool read_turn(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    struct error error = {0};
    enum err err = read_entry(tail, entry, now_ms, &error);

    if (err == OK || err == ERR_FULL || (err == ERR_AGAIN && error.code == OK))
        entry->retry_ms = 0;
    if (err == OK || err == ERR_FULL)
        return true;
    if (err != ERR_AGAIN)
        failed(tail, entry, err, &error, now_ms);
    else if (error.code != OK) /* no descriptor is free: the next round */
        entry->wrote = true;
    return false;
}

bool tail_read_some(struct tail *tail, uint64_t now_ms)
{
    bool more = false;

    if (tail->held != NULL && drain(tail, tail->held, now_ms) != ERR_AGAIN)
        return true;
    for (size_t i = 0; i < tail->table.len; i++) {
        if (tail->turn >= tail->table.len)
            tail->turn = 0;
        struct tail_entry *entry = tail->table.entries[tail->turn++];
        if (!is_due(tail, entry, now_ms) || tail_table_must_wait(&tail->table, entry))
            continue;
        more |= read_turn(tail, entry, now_ms);
        if (tail->held != NULL || batch_size(tail->filling->batch) >= SPOOL_FRAME_BYTES / 2)
            return true;
    }
    return more;
}

/* ---- what is over */

static bool forget(struct tail *tail, struct tail_entry *entry)
{
    uint64_t *forgotten =
        array_grow(tail->forgotten, tail->forgotten_count, &tail->forgotten_cap, sizeof *forgotten);
    if (forgotten == NULL)
        return false;
    tail->forgotten = forgotten;
    tail->forgotten[tail->forgotten_count++] = entry->id;
    for (size_t i = 0; i < 2; i++)
        if (tail->loads[i].file == entry)
            tail->loads[i].file = NULL;
    tail_table_remove(&tail->table, entry);
    return true;
}

/* Its directory is gone as well: the pod was deleted, and nothing of it will turn up. */
static bool dir_is_gone(const struct tail_entry *entry)
{
    char dir[512];
    const char *slash = entry->path == NULL ? NULL : strrchr(entry->path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - entry->path);

    if (len == 0 || len >= sizeof dir || entry->path[0] != '/')
        return false;
    memcpy(dir, entry->path, len);
    dir[len] = '\0';
    return access(dir, F_OK) != 0;
}

/* True: the entry is gone. */
static bool settle_orphan(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    struct tail_input *input = tail_input_of(tail, entry);
    bool searched = input != NULL && input->scanned_ms > entry->orphaned_ms;

    bool whole = tail_entry_unread(entry) == 0 && !entry->owing;
    if (searched && !entry->counted && !whole)
        lost(input, entry, tail_entry_unread(entry));
    if (now_ms < entry->expires_ms && !(searched && whole && dir_is_gone(entry)))
        return false;
    return forget(tail, entry);
}

static void settle(struct tail *tail, struct tail_entry *entry, uint64_t now_ms)
{
    uint64_t since = entry->grown_ms > entry->gone_ms ? entry->grown_ms : entry->gone_ms;
    bool at_end = !entry->wrote && tail_entry_unread(entry) == 0;
    bool over = (!entry->named || entry->rotated) && now_ms - since >= TAIL_GRACE_MS;

    if (!at_end || entry->done)
        return;
    if (over && finish(tail, entry, now_ms))
        return;
    if (!entry->named && over)
        tail_table_orphan(&tail->table, entry, now_ms);
    else if (entry->lines != NULL && lines_deadline_ms(entry->lines) <= now_ms) {
        lines_expire(entry->lines, now_ms);
        if (drain(tail, entry, now_ms) == ERR_AGAIN)
            rest(tail, entry, now_ms);
    }
}

void tail_settle(struct tail *tail, uint64_t now_ms)
{
    for (size_t i = 0; i < tail->table.len && tail->held == NULL; i++) {
        struct tail_entry *entry = tail->table.entries[i];
        if (!entry->orphan)
            settle(tail, entry, now_ms);
        else if (settle_orphan(tail, entry, now_ms))
            i--;
    }
}
