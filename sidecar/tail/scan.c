/* Names: which files there are. inotify says where something happened, and that directory is listed
 * again; a new one is gone through at once with all below it, for what was made in it before it was
 * watched; now and then everything is looked through, for what inotify missed.
 *
 * What a scan found is sorted before the table sees it: of one base name the oldest first, so that
 * lines keep their order over rotations. */
#include "sidecar/tail/tail_internal.h"

#include "common/array.h"
#include "common/clock.h"
#include "common/log.h"
#include "sidecar/tail/glob.h"
#include "sidecar/tail/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LISTING_SHARE = 10,        /* a tenth of the time at most */
    LIST_AGAIN_MS = 20,        /* events of one rotation come together */
    LIST_WAIT_MAX_MS = 250,    /* a file may not be there for much longer */
    DIRS_BYTES_MAX = 64 << 10, /* more directories than that: scan everything */
    FOUND_MAX = TAIL_FILES_MAX * 2,
};

struct finding {
    struct tail *tail;
    struct tail_found *list;
    size_t len, cap;
    struct arena arena;
};

struct tail_input *tail_input_of(struct tail *tail, const struct tail_entry *entry)
{
    for (size_t i = 0; i < tail->input_count; i++)
        if (tail->inputs[i].source == entry->source)
            return &tail->inputs[i];
    return NULL;
}

/* ---- collecting */

static void on_dir(void *context, const char *path)
{
    struct finding *finding = context;
    struct tail *tail = finding->tail;
    struct error error = {0};

    if (tail->watch == NULL)
        return;
    enum err err = watch_add(tail->watch, path, &error);
    if (err && err != ERR_NOTFOUND && !tail->watch_full) {
        tail->watch_full = true;
        LOG_WARN("Could not watch a directory; it is looked through now and then instead",
                 LOG_STR("error", error.text));
    }
}

static void on_file(void *context, const struct tail_found *found)
{
    struct finding *finding = context;

    if (finding->len == FOUND_MAX)
        return;
    struct tail_found *list = array_grow(finding->list, finding->len, &finding->cap, sizeof *list);
    if (list == NULL)
        return; /* the next scan finds it */
    finding->list = list;
    char *path = arena_strdup(&finding->arena, found->path);
    if (path == NULL)
        return;
    finding->list[finding->len] = *found;
    finding->list[finding->len++].path = path;
}

static int by_age(const void *left, const void *right)
{
    const struct tail_found *a = left, *b = right;
    size_t shorter = a->base_len < b->base_len ? a->base_len : b->base_len;
    int order = memcmp(a->path, b->path, shorter);

    if (order != 0)
        return order;
    if (a->base_len != b->base_len)
        return a->base_len < b->base_len ? -1 : 1;
    if (a->rotated != b->rotated)
        return a->rotated ? -1 : 1;
    return a->modified_ns < b->modified_ns ? -1 : a->modified_ns > b->modified_ns;
}

/* ---- seeing */

static void see(struct tail *tail, struct tail_input *input, const struct tail_found *found,
                const struct tail_first *first, uint64_t now_ms)
{
    struct error error = {0};

    switch (tail_table_see(&tail->table, input->source, found, first, now_ms, &error)) {
    case TAIL_SEEN_NEW:
        LOG_DEBUG("Follows a file", LOG_STR("path", found->path));
        break;
    case TAIL_SEEN_MOVED:
        LOG_DEBUG("Found a file again", LOG_STR("path", found->path));
        break;
    case TAIL_SEEN_REFUSED:
        input->state.refused_files++;
        LOG_WARN("Could not follow a file", LOG_STR("path", found->path),
                 LOG_STR("error", error.text));
        break;
    case TAIL_SEEN_COPY:
        LOG_DEBUG("Left a copy alone", LOG_STR("path", found->path));
        break;
    case TAIL_SEEN_KNOWN:
    case TAIL_SEEN_OLD:
        break;
    }
}

static void scan_input(struct tail *tail, struct tail_input *input, const char *dir, bool is_new,
                       uint64_t now_ms)
{
    struct finding finding = {.tail = tail};
    const struct tail_visitor visitor = {.dir = on_dir, .file = on_file, .context = &finding};
    uint64_t wall_ns = clock_wall_ns();
    const struct tail_first first = {
        .scan = !input->scanned, .since_ns = input->first_ns, .wall_ms = wall_ns / 1000000};

    if (!tail_source_scan(input->source, dir, is_new, &visitor))
        LOG_WARN("Too many directories; some were not looked through",
                 LOG_STR("source", input->source->name));
    tail->table.scan++;
    if (finding.len > 0)
        qsort(finding.list, finding.len, sizeof *finding.list, by_age);
    for (size_t i = 0; i < finding.len; i++)
        see(tail, input, &finding.list[i], &first, now_ms);
    tail_table_sweep(&tail->table, input->source, dir, now_ms);
    free(finding.list);
    arena_fini(&finding.arena);
    if (dir != NULL)
        return;
    if (input->first_ns == 0)
        input->first_ns = wall_ns;
    input->scanned = true;
    input->scanned_ms = now_ms;
    input->scan_ms = now_ms + input->source->rescan_ms;
}

static void list_dirs(struct tail *tail, struct buf *noted, bool are_new, uint64_t now_ms)
{
    struct buf dirs = *noted;

    *noted = (struct buf){0};
    for (size_t at = 0; at < dirs.len; at += strlen((const char *)dirs.data + at) + 1)
        for (size_t i = 0; i < tail->input_count; i++)
            if (tail_source_wants_dir(tail->inputs[i].source, (const char *)dirs.data + at))
                scan_input(tail, &tail->inputs[i], (const char *)dirs.data + at, are_new, now_ms);
    buf_fini(&dirs);
}

void tail_scan(struct tail *tail, uint64_t now_ms)
{
    for (size_t i = 0; i < tail->input_count; i++)
        if (now_ms >= tail->inputs[i].scan_ms)
            scan_input(tail, &tail->inputs[i], NULL, false, now_ms);
    list_dirs(tail, &tail->new_dirs, true, now_ms);
    if (tail->dirs.len > 0 && now_ms >= tail->dirs_ms) {
        uint64_t began_ms = clock_mono_ms();
        list_dirs(tail, &tail->dirs, false, now_ms);
        tail->listing_ms = clock_mono_ms() - began_ms;
    }
}

/* ---- events */

static void scan_all(struct tail *tail, uint64_t now_ms)
{
    for (size_t i = 0; i < tail->input_count; i++)
        tail->inputs[i].scan_ms = now_ms;
}

static bool is_noted(const struct buf *list, const char *path, size_t len)
{
    for (size_t at = 0; at < list->len;) {
        const char *known = (const char *)list->data + at;
        size_t known_len = strlen(known);
        if (known_len == len && memcmp(known, path, len) == 0)
            return true;
        at += known_len + 1;
    }
    return false;
}

static void note_dir(struct tail *tail, struct buf *list, const char *path, size_t len,
                     uint64_t now_ms)
{
    if (is_noted(list, path, len))
        return;
    if (list->len > DIRS_BYTES_MAX ||
        buf_append(list, (struct bytes){(const uint8_t *)path, len}) || buf_append_byte(list, 0)) {
        buf_clear(list);
        scan_all(tail, now_ms);
    }
}

static void note_changed(struct tail *tail, const char *dir, size_t len, uint64_t now_ms)
{
    uint64_t wait = LIST_AGAIN_MS + LISTING_SHARE * tail->listing_ms;

    if (tail->dirs.len == 0)
        tail->dirs_ms = now_ms + (wait < LIST_WAIT_MAX_MS ? wait : LIST_WAIT_MAX_MS);
    note_dir(tail, &tail->dirs, dir, len, now_ms);
}

static void note_new(struct tail *tail, const char *dir, const char *name, uint64_t now_ms)
{
    char path[GLOB_PATH_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);

    if (len > 0 && (size_t)len < sizeof path)
        note_dir(tail, &tail->new_dirs, path, (size_t)len, now_ms);
}

void tail_list_again(struct tail *tail, const char *path, uint64_t now_ms)
{
    const char *slash = strrchr(path, '/');
    if (slash != NULL && slash > path)
        note_changed(tail, path, (size_t)(slash - path), now_ms);
}

struct event {
    struct tail *tail;
    uint64_t now_ms;
};

static void wrote(struct tail *tail, const char *dir, const char *name)
{
    uint64_t hash = tail_path_hash(dir, name);

    for (size_t i = 0; i < tail->table.len; i++) {
        struct tail_entry *entry = tail->table.entries[i];
        if (entry->path_hash == hash &&
            entry->named) /* another one of that hash is asked in vain */
            entry->wrote = true;
    }
}

static void on_event(void *context, enum watch_event what, const char *dir, const char *name)
{
    const struct event *event = context;
    struct tail *tail = event->tail;

    if (what == WATCH_WRITTEN) {
        wrote(tail, dir, name);
    } else if (what == WATCH_NAMES) {
        note_changed(tail, dir, strlen(dir), event->now_ms);
    } else if (what == WATCH_DIR) {
        note_new(tail, dir, name, event->now_ms);
    } else {
        scan_all(tail, event->now_ms);
        for (size_t i = 0; i < tail->table.len; i++)
            tail->table.entries[i]->wrote = true;
    }
}

void tail_take_events(struct tail *tail, uint64_t now_ms)
{
    struct event event = {tail, now_ms};
    if (tail->watch != NULL)
        watch_read(tail->watch, on_event, &event);
}
