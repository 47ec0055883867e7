#include "sidecar/spool/segment.h"

#include "common/assert.h"
#include "common/os.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 256 * 1024, PATH_CAP = 4096 };

bool segment_path(const char *dir, uint32_t slot, const char *suffix, size_t cap, char *path)
{
    int len = snprintf(path, cap, "%s/%08" PRIu32 "%s", dir, slot, suffix);
    return len > 0 && (size_t)len < cap;
}

bool segment_slot(const char *name, const char *suffix, uint32_t *ret_slot)
{
    uint64_t slot = 0;
    size_t len = 0;

    for (; name[len] >= '0' && name[len] <= '9' && len < 10; len++)
        slot = slot * 10 + (uint64_t)(name[len] - '0');
    if (len < 8 || slot >= UINT32_MAX || strcmp(name + len, suffix) != 0)
        return false;
    *ret_slot = (uint32_t)slot;
    return true;
}

static struct segment *new_segment(uint32_t slot)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL)
        return NULL;
    segment->slot = slot;
    segment->fd = -1;
    return segment;
}

/* What was made by halves must not stay: it would count as a file, and be empty. */
static void undo_create(const char *path)
{
    /* If that fails too, recovery removes the empty file. */
    IGNORE_RESULT(os_remove(path, NULL));
}

enum err segment_create(const char *dir, uint32_t slot, uint64_t size, struct segment **ret_segment,
                        struct error *error)
{
    char path[PATH_CAP];
    AUTO(segment_close) struct segment *segment = new_segment(slot);

    if (segment == NULL)
        return error_set(error, ERR_NOMEM, "make segment %" PRIu32, slot);
    if (!segment_path(dir, slot, SEGMENT_SUFFIX, sizeof path, path))
        return error_set(error, ERR_INVALID, "the path of segment %" PRIu32 " is too long", slot);

    enum err err = os_open_as(path, OS_NEW, &segment->fd, error);
    if (err)
        return err;
    err = os_allocate(segment->fd, size, error);
    if (!err)
        err = os_sync(segment->fd, error);
    if (!err)
        err = os_sync_dir(dir, error);
    if (err) {
        undo_create(path);
        return error_prefix(error, err, "make segment '%s'", path);
    }
    segment->size = size;
    MOVE(*ret_segment, segment);
    return OK;
}

enum err segment_open(const char *dir, uint32_t slot, bool writable, struct segment **ret_segment,
                      struct error *error)
{
    char path[PATH_CAP];
    AUTO(segment_close) struct segment *segment = new_segment(slot);

    if (segment == NULL)
        return error_set(error, ERR_NOMEM, "open segment %" PRIu32, slot);
    if (!segment_path(dir, slot, SEGMENT_SUFFIX, sizeof path, path))
        return error_set(error, ERR_INVALID, "the path of segment %" PRIu32 " is too long", slot);

    enum err err = os_open_as(path, writable ? OS_EXISTING : OS_READ, &segment->fd, error);
    if (!err)
        err = os_size(segment->fd, &segment->size, error);
    if (err)
        return error_prefix(error, err, "segment '%s'", path);
    segment->prepared = segment->size;
    MOVE(*ret_segment, segment);
    return OK;
}

void segment_close(struct segment **segment)
{
    if (*segment == NULL)
        return;

    os_close(&(*segment)->fd);
    free(*segment);
    *segment = NULL;
}

void segment_begin(struct segment *segment, enum signal lane, uint64_t number, uint64_t generation,
                   uint64_t lane_end, uint64_t items)
{
    segment->lane = lane;
    segment->number = number;
    segment->generation = generation;
    segment->lane_end = lane_end;
    segment->base_seq = segment->end_seq = lane_end;
    segment->base_items = segment->end_items = items;
    segment->youngest_ns = 0;
    segment->used = 0;
    segment->damaged = segment->inherited = segment->whole = segment->unsure = false;
    segment->mark_count = 0;
}

static void mark(struct segment *segment, const struct frame_header *header)
{
    uint64_t stripe = segment->size / SEGMENT_MARKS;
    unsigned count = segment->mark_count;

    if (count == SEGMENT_MARKS ||
        (count > 0 && header->offset < segment->marks[count - 1].offset + stripe))
        return;
    segment->marks[segment->mark_count++] =
        (struct segment_mark){header->offset, header->seq, header->accepted_ns};
}

void segment_note(struct segment *segment, const struct frame_header *header)
{
    if (segment->used == 0) {
        segment->base_seq = header->seq;
        segment->base_items = header->items_before;
    }
    ASSERT(header->seq >= segment->base_seq);
    segment->end_seq = header->seq + 1;
    segment->end_items = header->items_before + header->items;
    segment->youngest_ns = header->accepted_ns;
    segment->used = header->offset + frame_len(header);
    mark(segment, header);
}

const struct segment_mark *segment_mark_before(const struct segment *segment, uint64_t seq)
{
    const struct segment_mark *best = NULL;

    for (unsigned i = 0; i < segment->mark_count && segment->marks[i].seq <= seq; i++)
        best = &segment->marks[i];
    return best;
}

/* A header counts where it says that it is, and if its frame ends within the file. */
static bool decode_at(const struct segment *segment, const uint8_t *bytes, uint64_t offset,
                      struct frame_header *ret_header)
{
    struct frame_header header;

    if (!frame_decode(bytes, &header) || header.offset != offset ||
        frame_len(&header) > segment->size - offset)
        return false;
    *ret_header = header;
    return true;
}

enum err segment_read(const struct segment *segment, void *into, size_t cap, uint64_t offset,
                      size_t *ret_len, struct error *error)
{
    enum err err = OK;

    for (int i = 0; i < SEGMENT_TRIES; i++) {
        err = os_read_at(segment->fd, into, cap, offset, ret_len, error);
        if (!err)
            break;
    }
    return err;
}

static enum err header_at(const struct segment *segment, uint64_t offset,
                          struct frame_header *ret_header, struct error *error)
{
    uint8_t bytes[FRAME_HEADER];
    size_t got = 0;

    if (offset + FRAME_ALIGN > segment->size)
        return ERR_NOTFOUND;
    enum err err = segment_read(segment, bytes, sizeof bytes, offset, &got, error);
    if (err)
        return err;
    if (got < sizeof bytes || !decode_at(segment, bytes, offset, ret_header))
        return ERR_NOTFOUND;
    return OK;
}

bool segment_owns(const struct segment *segment, const struct frame_header *header)
{
    return header->generation == segment->generation && header->number == segment->number &&
           header->lane == segment->lane;
}

enum err segment_header(const struct segment *segment, uint64_t offset,
                        struct frame_header *ret_header, struct error *error)
{
    struct frame_header header;
    enum err err = header_at(segment, offset, &header, error);
    if (err)
        return err;
    if (!segment_owns(segment, &header))
        return ERR_NOTFOUND;
    *ret_header = header;
    return OK;
}

/* Calls `visit` for every header in the file at or behind `from`, of whatever life, until it
 * returns true. A chunk that can't be read is tried place by place: one bad sector must not hide
 * the rest. */
typedef bool visit_header_fn(void *context, const struct frame_header *header);

static enum err visit_headers(const struct segment *segment, uint64_t from, visit_header_fn *visit,
                              void *context, bool *ret_unreadable, struct error *error)
{
    uint8_t *chunk = malloc(CHUNK);
    if (chunk == NULL)
        return error_set(error, ERR_NOMEM, "search segment %" PRIu32, segment->slot);

    bool done = false;
    for (uint64_t at = from; at < segment->size && !done; at += CHUNK) {
        size_t got = 0;
        bool whole = os_read_at(segment->fd, chunk, CHUNK, at, &got, NULL) == OK;
        size_t len = whole ? got : CHUNK;

        for (size_t i = 0; i + FRAME_ALIGN <= len && at + i < segment->size && !done;
             i += FRAME_ALIGN) {
            struct frame_header header;
            enum err err = ERR_NOTFOUND;
            if (!whole)
                err = header_at(segment, at + i, &header, NULL);
            else if (decode_at(segment, chunk + i, at + i, &header))
                err = OK;
            if (!err)
                done = visit(context, &header);
            else if (err == ERR_IO)
                *ret_unreadable = true;
        }
    }
    free(chunk);
    return OK;
}

struct search {
    const struct segment *segment;
    bool found;
    struct frame_header header;
};

static bool take_same_life(void *context, const struct frame_header *header)
{
    struct search *search = context;

    if (!segment_owns(search->segment, header))
        return false;
    search->header = *header;
    search->found = true;
    return true;
}

enum err segment_find(const struct segment *segment, uint64_t from, struct frame_header *ret_header,
                      bool *unreadable, struct error *error)
{
    struct search search = {.segment = segment};
    bool unused = false;

    if (unreadable == NULL)
        unreadable = &unused;
    enum err err = visit_headers(segment, from, take_same_life, &search, unreadable, error);
    if (err)
        return err;
    if (!search.found)
        return ERR_NOTFOUND;
    *ret_header = search.header;
    return OK;
}

/* The first frame of the youngest life. */
static bool take_youngest(void *context, const struct frame_header *header)
{
    struct search *search = context;

    if (!search->found || header->number > search->header.number) {
        search->header = *header;
        search->found = true;
    }
    return false;
}

enum err segment_identify(struct segment *segment, struct frame_header *ret_first,
                          struct error *error)
{
    struct frame_header first;
    bool damaged = false, unreadable = false;

    if (header_at(segment, 0, &first, NULL) != OK) {
        struct search search = {0};
        enum err err = visit_headers(segment, 0, take_youngest, &search, &unreadable, error);
        if (err)
            return err;
        if (!search.found && unreadable)
            return error_set(error, ERR_IO, "segment %" PRIu32 " can't be read", segment->slot);
        if (!search.found)
            return ERR_NOTFOUND;
        first = search.header;
        damaged = true;
    }
    segment_begin(segment, first.lane, first.number, first.generation, first.lane_end,
                  first.items_before);
    segment_note(segment, &first);
    segment->damaged = damaged;
    segment->unsure = unreadable;
    *ret_first = first;
    return OK;
}

enum err segment_cut(struct segment *segment, struct error *error)
{
    ASSERT(segment->used > 0 && segment->used <= segment->size);
    enum err err = os_truncate(segment->fd, segment->used, error);
    if (err)
        segment->retired = true;
    else
        segment->size = segment->prepared = segment->used;
    return err;
}

enum err segment_prepare(struct segment *segment, uint64_t step, struct error *error)
{
    static const uint8_t zeros[64 * 1024];

    while (step > 0 && segment->prepared < segment->size) {
        uint64_t left = segment->size - segment->prepared;
        size_t n = sizeof zeros;
        if (n > step)
            n = (size_t)step;
        if (n > left)
            n = (size_t)left;
        enum err err = os_write_at(segment->fd, (struct bytes){zeros, n}, segment->prepared, error);
        if (err)
            return err;
        segment->prepared += n;
        step -= n;
    }
    return os_sync(segment->fd, error);
}
