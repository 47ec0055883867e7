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
    LISTING_SHARE = 10,         /* a tenth of the time at most */
    LIST_AGAIN_MS = 20,         /* events of one rotation come together */
    DEAF_RESCAN_MS = 1000,      /* where not everything can be watched */
    AGAIN_MS = 500,             /* after a scan that was not whole */
    LIST_WAIT_MAX_MS = 250,     /* a file may not be there for much longer */
    NAMES_BYTES_MAX = 64 << 10, /* more directories than that: scan everything */
    FOUND_MAX = TAIL_FILES_MAX * 2,
};

struct finding {
    struct tail *tail;
    unsigned gone; /* directories that went before they were watched */
    bool failed;   /* there may be more than was found */
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

/* ---- lists of names, each with a NUL behind */

/* NULL: it is not among them. */
static char *find_name(const struct buf *list, const char *path, size_t len)
{
    for (size_t at = 0; at < list->len;) {
        char *known = (char *)list->data + at;
        size_t known_len = strlen(known);
        if (known_len == len && memcmp(known, path, len) == 0)
            return known;
        at += known_len + 1;
    }
    return NULL;
}

/* False: there is no room, and none is left. */
static bool add_name(struct buf *list, const char *path, size_t len)
{
    if (find_name(list, path, len) != NULL)
        return true;
    if (list->len <= NAMES_BYTES_MAX &&
        !buf_append(list, (struct bytes){(const uint8_t *)path, len}) && !buf_append_byte(list, 0))
        return true;
    buf_clear(list);
    return false;
}

/* False: it was not among them. */
static bool take_name(struct buf *list, const char *path)
{
    size_t len = strlen(path);
    char *found = find_name(list, path, len);

    if (found == NULL)
        return false;
    size_t at = (size_t)(found - (char *)list->data);
    memmove(found, found + len + 1, list->len - at - len - 1);
    list->len -= len + 1;
    return true;
}

static bool join(const char *dir, const char *name, char into[static GLOB_PATH_MAX])
{
    int len = snprintf(into, GLOB_PATH_MAX, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
    return len > 0 && len < GLOB_PATH_MAX;
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
    finding->gone += err == ERR_NOTFOUND;
    if (err && err != ERR_NOTFOUND && !tail->watch_full) {
        tail->watch_full = true;
        LOG_WARN("Could not watch a directory; files are looked for every second instead",
                 LOG_STR("error", error.text));
    }
}

static void on_failed(void *context, const char *path)
{
    struct finding *finding = context;

    if (!finding->failed)
        LOG_WARN("Could not look at something for want of memory or descriptors; looks again soon",
                 LOG_STR("path", path));
    finding->failed = true;
}

static void on_file(void *context, const struct tail_found *found)
{
    struct finding *finding = context;

    if (finding->len == FOUND_MAX)
        return;
    struct tail_found *list = array_grow(finding->list, finding->len, &finding->cap, sizeof *list);
    if (list != NULL)
        finding->list = list;
    char *path = list == NULL ? NULL : arena_strdup(&finding->arena, found->path);
    if (path == NULL) {
        on_failed(finding, found->path);
        return;
    }
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

static void missed(struct tail_input *input, unsigned count, const char *path)
{
    input->state.missed += count;
    LOG_WARN("Something came and went before it could be looked at", LOG_STR("path", path),
             LOG_STR("source", input->source->name));
}

/* False: there was no memory to know it again. */
static bool see(struct tail *tail, struct tail_input *input, const struct tail_found *found,
                const struct tail_first *first, uint64_t now_ms)
{
    struct error error = {0};
    enum tail_seen seen = tail_table_see(&tail->table, input->source, found, first, now_ms, &error);

    if (seen != TAIL_SEEN_GONE)
        take_name(&tail->came, found->path);
    switch (seen) {
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
    case TAIL_SEEN_GONE: /* when that is heard of, or not under another name */
        if (!found->rotated && !found->compressed)
            IGNORE_RESULT(!add_name(&tail->came, found->path, strlen(found->path)));
        break;
    case TAIL_SEEN_KNOWN:
    case TAIL_SEEN_OLD:
        break;
    }
    return seen != TAIL_SEEN_REFUSED || error.code != ERR_NOMEM;
}

/* Nothing is heard where the kernel allows no watch: all is looked through as often as is cheap. So
 * it is after a scan that was not whole. */
static uint64_t rescan_ms(const struct tail *tail, const struct tail_input *input, uint64_t took_ms,
                          bool whole)
{
    uint64_t often = LISTING_SHARE * took_ms;

    if (!whole)
        return often < AGAIN_MS ? AGAIN_MS : often;
    if (often < DEAF_RESCAN_MS)
        often = DEAF_RESCAN_MS;
    bool deaf = tail->watch == NULL || tail->watch_full;
    return deaf && often < input->source->rescan_ms ? often : input->source->rescan_ms;
}

static void scan_input(struct tail *tail, struct tail_input *input, const char *dir, bool is_new,
                       uint64_t now_ms)
{
    struct finding finding = {.tail = tail};
    const struct tail_visitor visitor = {
        .dir = on_dir, .file = on_file, .failed = on_failed, .context = &finding};
    uint64_t wall_ns = clock_wall_ns(), began_ms = clock_mono_ms();
    const struct tail_first first = {
        .scan = !input->scanned, .since_ns = input->first_ns, .wall_ms = wall_ns / 1000000};

    if (!tail_source_scan(input->source, dir, is_new, &visitor))
        LOG_WARN("Too many directories; some were not looked through",
                 LOG_STR("source", input->source->name));
    /* Outside of pods, directories come and go that never hold a log. */
    if (is_new && finding.gone > 0 && input->source->root != NULL)
        missed(input, finding.gone, dir);
    tail->table.scan++;
    if (finding.len > 0)
        qsort(finding.list, finding.len, sizeof *finding.list, by_age);
    for (size_t i = 0; i < finding.len; i++)
        finding.failed |= !see(tail, input, &finding.list[i], &first, now_ms);
    if (!finding.failed) /* else what was not found is not gone */
        tail_table_sweep(&tail->table, input->source, dir, now_ms);
    free(finding.list);
    arena_fini(&finding.arena);
    if (dir == NULL && input->first_ns == 0)
        input->first_ns = wall_ns;
    if (dir == NULL || finding.failed)
        input->scan_ms =
            now_ms + rescan_ms(tail, input, clock_mono_ms() - began_ms, !finding.failed);
    if (dir != NULL || finding.failed)
        return;
    input->scanned = true;
    input->scanned_ms = now_ms;
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

static void note_changed(struct tail *tail, const char *dir, size_t len, uint64_t now_ms)
{
    uint64_t wait = LIST_AGAIN_MS + LISTING_SHARE * tail->listing_ms;

    if (tail->dirs.len == 0)
        tail->dirs_ms = now_ms + (wait < LIST_WAIT_MAX_MS ? wait : LIST_WAIT_MAX_MS);
    if (!add_name(&tail->dirs, dir, len))
        scan_all(tail, now_ms);
}

static void note_new(struct tail *tail, const char *dir, const char *name, uint64_t now_ms)
{
    char path[GLOB_PATH_MAX];

    if (join(dir, name, path) && !add_name(&tail->new_dirs, path, strlen(path)))
        scan_all(tail, now_ms);
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

/* A file by the name that it is written under: what a rotation makes is known or a copy. */
static bool takes(const struct tail_input *input, const char *path)
{
    struct tail_found found;
    return tail_source_takes(input->source, path, &found) && !found.rotated && !found.compressed;
}

static void came(struct tail *tail, const char *dir, const char *name)
{
    char path[GLOB_PATH_MAX];
    bool wanted = false;

    if (!join(dir, name, path))
        return;
    for (size_t i = 0; i < tail->input_count && !wanted; i++)
        wanted = takes(&tail->inputs[i], path);
    if (wanted)
        IGNORE_RESULT(!add_name(&tail->came, path, strlen(path))); /* too many: uncounted */
}

static void went(struct tail *tail, const char *dir, const char *name, bool deleted)
{
    char path[GLOB_PATH_MAX];

    if (!join(dir, name, path) || !take_name(&tail->came, path) || !deleted)
        return;
    for (size_t i = 0; i < tail->input_count; i++)
        if (takes(&tail->inputs[i], path))
            missed(&tail->inputs[i], 1, path);
}

static void on_event(void *context, enum watch_event what, const char *dir, const char *name)
{
    const struct event *event = context;
    struct tail *tail = event->tail;

    switch (what) {
    case WATCH_WRITTEN:
        wrote(tail, dir, name);
        return;
    case WATCH_DIR:
        note_new(tail, dir, name, event->now_ms);
        return;
    case WATCH_LOST:
        buf_clear(&tail->came);
        scan_all(tail, event->now_ms);
        for (size_t i = 0; i < tail->table.len; i++)
            tail->table.entries[i]->wrote = true;
        return;
    case WATCH_CAME:
        came(tail, dir, name);
        break;
    case WATCH_WENT:
    case WATCH_MOVED:
        went(tail, dir, name, what == WATCH_WENT);
        break;
    }
    note_changed(tail, dir, strlen(dir), event->now_ms);
}

void tail_take_events(struct tail *tail, uint64_t now_ms)
{
    struct event event = {tail, now_ms};
    if (tail->watch != NULL)
        watch_read(tail->watch, on_event, &event);
}
