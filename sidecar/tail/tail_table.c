#include "sidecar/tail/tail_table.h"

#include "common/array.h"
#include "sidecar/lines/lines.h"

#include <stdlib.h>
#include <sys/stat.h>

#define CLOCK_NS UINT64_C(1000000000)

/* ---- entries */

static uint64_t hash(uint64_t seed, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return seed;
}

uint64_t tail_source_key(const struct tail_source *source)
{
    return hash(UINT64_C(0xcbf29ce484222325), source->name, strlen(source->name) + 1);
}

uint64_t tail_path_hash(const char *dir, const char *name)
{
    uint64_t made = hash(UINT64_C(0xcbf29ce484222325), dir, strlen(dir));
    return name == NULL ? made : hash(hash(made, "/", 1), name, strlen(name));
}

void tail_table_init(struct tail_table *table, size_t entries_max, size_t open_max)
{
    *table = (struct tail_table){.max = entries_max < TAIL_FILES_MAX ? entries_max : TAIL_FILES_MAX,
                                 .open_max = open_max};
}

static void entry_free(struct tail_entry *entry)
{
    tail_file_close(&entry->file);
    lines_destroy(&entry->lines);
    free(entry->path);
    free(entry);
}

void tail_table_fini(struct tail_table *table)
{
    for (size_t i = 0; i < table->len; i++)
        entry_free(table->entries[i]);
    free(table->entries);
    *table = (struct tail_table){0};
}

/* A new entry at the end of its group; NULL: no room. */
static struct tail_entry *add(struct tail_table *table, uint64_t id, struct error *error)
{
    if (table->len >= table->max) {
        table->refused++;
        error_set(error, ERR_FULL, "%zu files are followed already", table->len);
        return NULL;
    }
    struct tail_entry **entries =
        array_grow(table->entries, table->len, &table->cap, sizeof(struct tail_entry *));
    struct tail_entry *entry = entries == NULL ? NULL : calloc(1, sizeof *entry);
    if (entries != NULL)
        table->entries = entries;
    if (entry == NULL) {
        error_set(error, ERR_NOMEM, "follow another file");
        return NULL;
    }
    if (id > table->last_id)
        table->last_id = id;
    entry->id = id;
    entry->order = ++table->last_order;
    entry->file.fd = -1;
    table->entries[table->len++] = entry;
    return entry;
}

void tail_table_remove(struct tail_table *table, struct tail_entry *entry)
{
    tail_table_close(table, entry);
    for (size_t i = 0; i < table->len; i++) {
        if (table->entries[i] != entry)
            continue;
        memmove(table->entries + i, table->entries + i + 1,
                (--table->len - i) * sizeof(struct tail_entry *));
        break;
    }
    entry_free(entry);
}

/* ---- positions */

enum err tail_table_recover(struct tail_table *table, uint64_t id, struct bytes value,
                            uint64_t now_ms, uint64_t wall_ms, struct error *error)
{
    struct position position;
    struct bytes path;

    if (position_decode(value, &position, &path) || table->len >= table->max) {
        table->unread++;
        return OK;
    }
    struct tail_entry *entry = add(table, id, error);
    if (entry == NULL)
        return ERR_NOMEM;
    entry->path = strndup((const char *)path.data, path.len);
    if (entry->path == NULL)
        return error_set(error, ERR_NOMEM, "follow another file");
    entry->source_key = position.source;
    entry->group = position.group;
    entry->file.dev = position.dev;
    entry->file.ino = position.ino;
    entry->file.print = position.print;
    entry->file.compressed = position.compressed;
    entry->file.size = position.size;
    entry->done = position.done;
    entry->mark = position.mark;
    entry->orphan = true;
    entry->orphaned_ms = now_ms;
    uint64_t age = wall_ms > position.seen_ms ? wall_ms - position.seen_ms : 0;
    uint64_t left = age < TAIL_RECOVERED_MS ? TAIL_RECOVERED_MS - age : 0;
    entry->expires_ms = now_ms + (left > TAIL_ORPHAN_MS ? left : TAIL_ORPHAN_MS);
    return OK;
}

enum err tail_entry_encode(const struct tail_entry *entry, uint64_t wall_ms, struct buf *into)
{
    const struct position position = {.dev = entry->file.dev,
                                      .ino = entry->file.ino,
                                      .print = entry->file.print,
                                      .compressed = entry->file.compressed,
                                      .done = entry->done,
                                      .source = entry->source_key,
                                      .group = entry->group,
                                      .size = entry->file.size,
                                      .seen_ms = wall_ms,
                                      .mark = entry->mark};
    return position_encode(&position, entry->path != NULL ? entry->path : "", into);
}

/* ---- descriptors */

static uint64_t fed(const struct tail_entry *entry)
{
    uint64_t at = entry->lines != NULL ? lines_wants(entry->lines) : entry->mark.resume;
    return at > entry->parked ? at : entry->parked;
}

uint64_t tail_entry_unread(const struct tail_entry *entry)
{
    if (entry->file.compressed)
        return entry->done ? 0 : entry->file.size;
    uint64_t at = fed(entry);
    return entry->file.size > at ? entry->file.size - at : 0;
}

void tail_table_close(struct tail_table *table, struct tail_entry *entry)
{
    if (entry->file.fd < 0)
        return;
    tail_file_close(&entry->file);
    table->open--;
}

/* The one used least of those that can be opened again; better one with nothing left to read. */
static struct tail_entry *least_used(const struct tail_table *table)
{
    struct tail_entry *found = NULL;
    bool found_idle = false;

    for (size_t i = 0; i < table->len; i++) {
        struct tail_entry *entry = table->entries[i];
        if (entry->file.fd < 0 || !entry->named)
            continue;
        bool idle = tail_entry_unread(entry) == 0;
        if (found == NULL || (idle && !found_idle) ||
            (idle == found_idle && entry->used_ms < found->used_ms)) {
            found = entry;
            found_idle = idle;
        }
    }
    return found;
}

static enum err open_file(struct tail_table *table, struct tail_file *file, const char *path,
                          struct error *error)
{
    if (table->open >= table->open_max) {
        struct tail_entry *other = least_used(table);
        if (other == NULL)
            return error_set(error, ERR_AGAIN, "%zu files are open", table->open);
        tail_table_close(table, other);
    }
    enum err err = tail_file_open(file, path, error);
    if (!err)
        table->open++;
    return err;
}

enum err tail_table_open(struct tail_table *table, struct tail_entry *entry, uint64_t now_ms,
                         struct error *error)
{
    entry->used_ms = now_ms;
    return entry->file.fd >= 0 ? OK : open_file(table, &entry->file, entry->path, error);
}

void tail_table_orphan(struct tail_table *table, struct tail_entry *entry, uint64_t now_ms)
{
    tail_table_close(table, entry);
    entry->named = false;
    entry->orphan = true;
    entry->orphaned_ms = now_ms;
    entry->expires_ms = now_ms + TAIL_ORPHAN_MS;
    entry->changed = true;
}

/* The inode has other contents: where those that the entry knew are, nobody can tell. */
static void lose_inode(struct tail_entry *entry)
{
    entry->file.dev = 0;
    entry->file.ino = 0;
}

struct tail_entry *tail_table_split(struct tail_table *table, struct tail_entry *entry,
                                    uint64_t now_ms)
{
    struct tail_entry *other = add(table, table->last_id + 1, NULL);
    char *path = other == NULL ? NULL : strdup(entry->path);

    if (path == NULL) {
        if (other != NULL)
            tail_table_remove(table, other);
        return NULL;
    }
    other->path = path;
    other->path_hash = entry->path_hash;
    other->source = entry->source;
    other->source_key = entry->source_key;
    other->group = entry->group;
    other->named = entry->named;
    other->rotated = entry->rotated;
    other->scan = entry->scan;
    other->wrote = true;
    other->changed = true;
    other->grown_ms = other->caught_up_ms = now_ms;
    other->file = entry->file;
    other->file.print = (struct fingerprint){0};
    other->file.gzip = (struct tail_bytes){0};
    entry->file.fd = -1;
    tail_file_close(&entry->file); /* what was decompressed */
    tail_table_orphan(table, entry, now_ms);
    lose_inode(entry);
    entry->truncated = true;
    return other;
}

/* ---- what a name leads to */

static struct tail_entry *by_inode(const struct tail_table *table, uint64_t source, uint64_t dev,
                                   uint64_t ino)
{
    for (size_t i = 0; i < table->len; i++) {
        struct tail_entry *entry = table->entries[i];
        if (entry->file.ino == ino && entry->file.dev == dev && entry->source_key == source)
            return entry;
    }
    return NULL;
}

/* Another member of the group whose contents begin as those of `file`. An orphan is preferred. */
static struct tail_entry *by_print(const struct tail_table *table, uint64_t group,
                                   const struct tail_file *file, struct bytes start)
{
    struct tail_entry *found = NULL;

    for (size_t i = 0; i < table->len; i++) {
        struct tail_entry *entry = table->entries[i];
        if (entry->group == group && &entry->file != file && !entry->done &&
            entry->file.print.len >= TAIL_FINGERPRINT_SURE &&
            fingerprint_matches(entry->file.print, start) && (found == NULL || entry->orphan))
            found = entry;
    }
    return found;
}

/* Whether `start` is what an open file of the group begins with: a copy that is being made. */
static bool is_young_copy(const struct tail_table *table, uint64_t group,
                          const struct tail_file *file, struct bytes start)
{
    uint8_t theirs[FINGERPRINT_MAX];
    size_t len = 0;

    for (size_t i = 0; i < table->len && start.len < FINGERPRINT_MAX; i++) {
        struct tail_entry *entry = table->entries[i];
        if (entry->group == group && &entry->file != file && entry->file.fd >= 0 &&
            !entry->file.compressed && !tail_file_start(&entry->file, theirs, &len, NULL) &&
            len >= start.len && (start.len == 0 || memcmp(theirs, start.data, start.len) == 0))
            return true;
    }
    return false;
}

/* The entry has this name now. */
static enum err adopt(struct tail_table *table, struct tail_entry *entry,
                      const struct tail_source *source, const struct tail_found *found,
                      uint64_t now_ms, struct error *error)
{
    if (entry->path == NULL || strcmp(entry->path, found->path) != 0) {
        char *path = strdup(found->path);
        if (path == NULL)
            return error_set(error, ERR_NOMEM, "its name");
        free(entry->path);
        entry->path = path;
        entry->changed = true;
    }
    entry->path_hash = tail_path_hash(entry->path, NULL); /* one from the spool has none yet */
    if (found->size > entry->file.size || entry->orphan)
        entry->grown_ms = now_ms;
    if (found->size != entry->file.size || found->modified_ns != entry->modified_ns)
        entry->wrote = true;
    if (!entry->file.compressed && found->size > entry->file.size)
        entry->file.size = found->size;
    entry->modified_ns = found->modified_ns;
    entry->source = source;
    entry->source_key = tail_source_key(source);
    entry->group = hash(entry->source_key, found->path, found->base_len);
    entry->rotated = found->rotated;
    entry->linked = found->linked;
    entry->named = true;
    entry->orphan = false;
    entry->counted = false;
    entry->owing = false;
    entry->scan = table->scan;
    return OK;
}

/* Where a file that nobody knows is begun. */
static bool starts_at_end(const struct tail_source *source, const struct tail_found *found,
                          const struct tail_first *first)
{
    /* File systems take their time from a clock that trails a little. */
    bool came_since = first->since_ns != 0 &&
                      (found->born_ns == 0 || found->born_ns + CLOCK_NS >= first->since_ns);

    if (!first->scan || came_since || source->start == TAIL_START_BEGINNING)
        return false;
    return source->start == TAIL_START_END || found->modified_ns < source->start_ns;
}

static enum err begin(struct tail_entry *entry, const struct tail_source *source,
                      const struct tail_found *found, const struct tail_first *first,
                      struct error *error)
{
    enum err err = OK;

    if (starts_at_end(source, found, first)) {
        entry->done = entry->file.compressed;
        if (!entry->file.compressed)
            err = tail_file_last_line(&entry->file, &entry->mark.resume, error);
    }
    return err;
}

/* The contents of an orphan have turned up in the file of `entry`, which is one too many now. */
static enum tail_seen take_over(struct tail_table *table, struct tail_entry *orphan,
                                struct tail_entry *entry, const struct tail_source *source,
                                const struct tail_found *found, uint64_t now_ms,
                                struct error *error)
{
    orphan->file = entry->file;
    orphan->parked = 0;
    orphan->truncated = false;
    orphan->wrote = true;
    orphan->changed = true;
    entry->file = (struct tail_file){.fd = -1};
    tail_table_remove(table, entry);
    return adopt(table, orphan, source, found, now_ms, error) ? TAIL_SEEN_REFUSED : TAIL_SEEN_MOVED;
}

static enum tail_seen not_seen(enum err err)
{
    return err == ERR_NOTFOUND || err == ERR_CONFLICT ? TAIL_SEEN_GONE
           : err == ERR_CORRUPT                       ? TAIL_SEEN_OLD /* still being compressed */
                                                      : TAIL_SEEN_REFUSED;
}

static enum tail_seen see_new(struct tail_table *table, const struct tail_source *source,
                              const struct tail_found *found, const struct tail_first *first,
                              uint64_t now_ms, struct error *error)
{
    uint8_t start[FINGERPRINT_MAX];
    size_t len = 0;
    struct tail_entry *entry = add(table, table->last_id + 1, error);
    if (entry == NULL)
        return TAIL_SEEN_REFUSED;

    entry->file.dev = found->dev;
    entry->file.ino = found->ino;
    entry->file.compressed = found->compressed;
    entry->grown_ms = entry->caught_up_ms = now_ms;
    entry->group = hash(tail_source_key(source), found->path, found->base_len);
    entry->changed = true;
    enum err err = open_file(table, &entry->file, found->path, error);
    if (!err)
        err = tail_file_start(&entry->file, start, &len, error);
    struct tail_entry *same =
        err ? NULL : by_print(table, entry->group, &entry->file, (struct bytes){start, len});
    if (same != NULL && same->orphan)
        return take_over(table, same, entry, source, found, now_ms, error);
    bool copy = !err && found->rotated &&
                (same != NULL ||
                 is_young_copy(table, entry->group, &entry->file, (struct bytes){start, len}));
    if (!err && !copy)
        err = begin(entry, source, found, first, error);
    if (!err && !copy)
        err = adopt(table, entry, source, found, now_ms, error);
    if (err || copy)
        tail_table_remove(table, entry);
    if (err)
        return not_seen(err);
    return copy ? TAIL_SEEN_COPY : TAIL_SEEN_NEW;
}

static bool is_old(const struct tail_source *source, const struct tail_found *found,
                   uint64_t wall_ms)
{
    uint64_t limit = source->ignore_older_ms, then = found->modified_ns / 1000000;
    return limit != 0 && then < wall_ms && wall_ms - then > limit;
}

enum tail_seen tail_table_see(struct tail_table *table, const struct tail_source *source,
                              const struct tail_found *found, const struct tail_first *first,
                              uint64_t now_ms, struct error *error)
{
    struct tail_entry *entry = by_inode(table, tail_source_key(source), found->dev, found->ino);

    if (entry != NULL && (entry->file.fd >= 0 || (entry->named && found->size == entry->file.size &&
                                                  found->modified_ns == entry->modified_ns)))
        return adopt(table, entry, source, found, now_ms, error) ? TAIL_SEEN_REFUSED
                                                                 : TAIL_SEEN_KNOWN;
    if (entry != NULL) {
        bool was_orphan = entry->orphan;
        enum err err = open_file(table, &entry->file, found->path, error);
        if (err == ERR_NOTFOUND || err == ERR_CONFLICT) {
            if (!entry->file.compressed && found->size > entry->file.size)
                entry->file.size = found->size; /* so much was there */
            return TAIL_SEEN_OLD;               /* gone since; the next scan will tell */
        }
        if (err == OK && !entry->file.compressed && entry->file.size < entry->mark.resume) {
            tail_table_close(table, entry);
            err = ERR_CORRUPT;
        }
        if (err == OK)
            return adopt(table, entry, source, found, now_ms, error) ? TAIL_SEEN_REFUSED
                   : was_orphan                                      ? TAIL_SEEN_MOVED
                                                                     : TAIL_SEEN_KNOWN;
        if (err != ERR_CORRUPT) {
            entry->scan = table->scan; /* it is there, whatever is in it */
            return TAIL_SEEN_REFUSED;
        }
        if (!was_orphan)
            tail_table_orphan(table, entry, now_ms);
        lose_inode(entry);
    }
    /* Contents that took the place of known ones are new, however old the inode is. */
    struct tail_first as_new = *first;
    as_new.scan = first->scan && entry == NULL;
    if (!starts_at_end(source, found, &as_new) && is_old(source, found, first->wall_ms))
        return TAIL_SEEN_OLD;
    return see_new(table, source, found, &as_new, now_ms, error);
}

/* ---- what no name leads to */

static bool lies_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && strchr(path + len + 1, '/') == NULL;
}

void tail_table_sweep(struct tail_table *table, const struct tail_source *source, const char *dir,
                      uint64_t now_ms)
{
    for (size_t i = 0; i < table->len; i++) {
        struct tail_entry *entry = table->entries[i];
        if (entry->source != source || !entry->named || entry->scan == table->scan ||
            (dir != NULL && !lies_in(entry->path, dir)))
            continue;
        entry->named = false;
        entry->gone_ms = now_ms;
        entry->owing = entry->owing || (entry->file.fd < 0 && entry->wrote && !entry->done);
        if (entry->file.fd < 0)
            tail_table_orphan(table, entry, now_ms);
    }
}

bool tail_table_must_wait(const struct tail_table *table, const struct tail_entry *entry)
{
    for (size_t i = 0; i < table->len; i++) {
        const struct tail_entry *other = table->entries[i];
        if (other->group == entry->group && other->order < entry->order && !other->orphan &&
            other->retry_ms == 0 && tail_entry_unread(other) > 0)
            return true;
    }
    return false;
}
