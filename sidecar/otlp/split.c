/* One way down through the containers serves both the split and the pick. On the way, each
 * container's header is kept as a list of views, so that opening it again in the next part costs
 * its header and not a scan of what is in it.
 */
#include "sidecar/otlp/split.h"

#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/part.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#include <inttypes.h>

struct cut {
    enum signal signal;
    const struct otlp_levels *levels;
    struct error *error;

    struct part part;
    uint32_t items; /* in it */

    /* split: where parts go */
    size_t part_max;
    otlp_part_fn *emit;
    void *user;

    /* pick: which items are wanted */
    uint32_t first, count, seen;

    uint32_t rejected; /* sift: how many items were not sound */

    /* The way down: containers 1 .. depth, the first few of which are open in the part. */
    unsigned depth;
    uint32_t numbers[OTLP_LEVELS_MAX];
    struct otlp_slices headers[OTLP_LEVELS_MAX]; /* views only */
};

static void cut_fini(struct cut *cut)
{
    for (size_t i = 0; i < OTLP_LEVELS_MAX; i++)
        otlp_slices_fini(&cut->headers[i]);
}

/* ---- the part */

/* Size of a part if `bytes` are added where the way down stands, to a part with `open` containers
 * open and `before` bytes in front of them. */
static size_t size_of(const struct cut *cut, size_t bytes, unsigned open, size_t before)
{
    for (unsigned level = cut->depth; level > 0; level--) {
        size_t body = level <= open ? cut->part.bodies[level] : cut->headers[level].size_bytes;
        bytes = wire_len_size(cut->numbers[level], body + bytes);
    }
    return before + bytes;
}

static enum err add(struct cut *cut, struct bytes field, uint32_t items)
{
    enum err err = OK;

    while (err == OK && cut->part.open < cut->depth) {
        unsigned level = cut->part.open + 1;
        const struct otlp_slices *header = &cut->headers[level];
        err = part_open(&cut->part, cut->numbers[level],
                        (struct part_header){header->list, header->count, header->size_bytes});
    }
    if (err == OK)
        err = part_add(&cut->part, field);
    if (err)
        return error_set(cut->error, err, "cut an OTLP request");
    cut->items += items;
    return OK;
}

static enum err flush(struct cut *cut, bool oversized)
{
    part_close_to(&cut->part, 0);
    if (cut->part.out->size_bytes == 0)
        return OK;
    struct otlp_part part = {.slices = cut->part.out, .items = cut->items, .oversized = oversized};
    enum err err = cut->emit(cut->user, &part, cut->error);
    part_clear(&cut->part);
    cut->items = 0;
    return err;
}

/* ---- the way down */

static enum err malformed(struct cut *cut)
{
    return error_set(cut->error, ERR_INVALID, "cut: the OTLP request is malformed");
}

/* Collects the header of a container, and tells whether what is in it can be taken apart. */
static enum err read_header(struct cut *cut, unsigned level, struct bytes container,
                            bool *ret_divisible)
{
    struct otlp_slices *header = &cut->headers[level];
    struct wire_field field;
    size_t children = 0;

    otlp_slices_clear(header);
    while (container.len > 0) {
        if (!wire_next(&container, &field))
            return malformed(cut);
        if (otlp_is_child(cut->levels, level, &field)) {
            children++;
            continue;
        }
        enum err err = otlp_slices_add(header, field.whole);
        if (err)
            return error_set(cut->error, err, "cut an OTLP request");
    }
    /* several fields of data in one metric are one that has to be merged, or one that counts */
    bool single = cut->signal == SIGNAL_METRICS && level == OTLP_LEVEL_METRIC;
    *ret_divisible = children == 1 || (children > 1 && !single);
    return OK;
}

typedef enum err visit_fn(struct cut *cut, const struct wire_field *field, uint32_t items);

/* Visits each child of the container in which the way down stands. Its header has been read; that
 * of the request is not repeated, and its fields are visited as having no items. */
static enum err each(struct cut *cut, struct bytes container, visit_fn *visit)
{
    struct wire_field field;

    while (container.len > 0) {
        struct otlp_level_counts counts = {0};
        if (!wire_next(&container, &field))
            return malformed(cut);
        bool child = otlp_is_child(cut->levels, cut->depth, &field);
        if (!child && cut->depth > 0)
            continue;
        if (child && !otlp_count_level(cut->signal, cut->depth + 1, field.payload, &counts))
            return malformed(cut);
        enum err err = visit(cut, &field, counts.at[cut->levels->count]);
        if (err)
            return err;
    }
    return OK;
}

/* Goes into a container and visits what is in it, if it can be taken apart. */
static enum err descend(struct cut *cut, const struct wire_field *field, visit_fn *visit,
                        bool *ret_divisible)
{
    unsigned level = cut->depth + 1;
    bool divisible = false;

    *ret_divisible = false;
    if (!otlp_is_child(cut->levels, cut->depth, field) || level >= cut->levels->count)
        return OK;
    enum err err = read_header(cut, level, field->payload, &divisible);
    if (err || !divisible)
        return err;

    cut->numbers[level] = field->number;
    cut->depth = level;
    err = each(cut, field->payload, visit);
    if (cut->part.open >= level)
        part_close_to(&cut->part, level - 1);
    cut->depth = level - 1;
    *ret_divisible = true;
    return err;
}

/* ---- split */

static enum err visit_split(struct cut *cut, const struct wire_field *field, uint32_t items)
{
    size_t len = field->whole.len;
    bool divisible = false;

    if (size_of(cut, len, cut->part.open, cut->part.bodies[0]) <= cut->part_max)
        return add(cut, field->whole, items);

    bool fits_alone = size_of(cut, len, 0, 0) <= cut->part_max;
    if (!fits_alone) {
        enum err err = descend(cut, field, visit_split, &divisible);
        if (err || divisible)
            return err;
    }
    enum err err = flush(cut, false);
    if (err)
        return err;
    err = add(cut, field->whole, items);
    if (err || fits_alone)
        return err;
    return flush(cut, true);
}

enum err otlp_split(enum signal signal, struct bytes request, size_t part_max,
                    struct otlp_slices *work, otlp_part_fn *emit, void *user, struct error *error)
{
    AUTO(cut_fini)
    struct cut cut = {.signal = signal,
                      .levels = &otlp_levels[signal],
                      .part = {.out = work},
                      .part_max = part_max,
                      .emit = emit,
                      .user = user,
                      .error = error};

    part_clear(&cut.part);
    enum err err = each(&cut, request, visit_split);
    if (err)
        return err;
    return flush(&cut, false);
}

/* ---- pick */

static enum err visit_pick(struct cut *cut, const struct wire_field *field, uint32_t items)
{
    uint32_t from = cut->seen, last = cut->first + (cut->count - 1);
    bool divisible = false;

    if (items > 1 && from <= last && from + (items - 1) >= cut->first &&
        (from < cut->first || from + (items - 1) > last)) { /* partly */
        enum err err = descend(cut, field, visit_pick, &divisible);
        if (err || divisible)
            return err;
    }
    cut->seen += items;
    if (items == 0 && from > 0)
        from--;
    if (from < cut->first || from > last)
        return OK;
    return add(cut, field->whole, items);
}

enum err otlp_pick(enum signal signal, struct bytes request, uint32_t first, uint32_t count,
                   struct otlp_slices *out, struct error *error)
{
    AUTO(cut_fini)
    struct cut cut = {.signal = signal,
                      .levels = &otlp_levels[signal],
                      .part = {.out = out},
                      .first = first,
                      .count = count,
                      .error = error};

    if (count == 0 || count - 1 > UINT32_MAX - first)
        return error_set(error, ERR_INVALID, "cut: an empty or impossible range of items");
    part_clear(&cut.part);
    enum err err = each(&cut, request, visit_pick);
    if (err)
        return err;
    part_close_to(&cut.part, 0);
    if (cut.seen <= first + (count - 1))
        return error_set(error, ERR_INVALID, "cut: the request has only %" PRIu32 " items",
                         cut.seen);
    return OK;
}

/* ---- sift */

static enum err visit_sift(struct cut *cut, const struct wire_field *field, uint32_t items)
{
    bool child = otlp_is_child(cut->levels, cut->depth, field), divisible = false;

    if (child && cut->depth + 1 == cut->levels->count) {
        if (otlp_walk_item(cut->signal, cut->numbers[cut->depth], field->payload))
            return add(cut, field->whole, 1);
        cut->rejected++;
        return OK;
    }
    if (!child)
        return add(cut, field->whole, 0);
    enum err err = descend(cut, field, visit_sift, &divisible);
    if (!err && !divisible)
        cut->rejected += items;
    return err;
}

enum err otlp_sift(enum signal signal, struct bytes request, struct otlp_slices *out,
                   uint32_t *ret_kept, uint32_t *ret_rejected, struct error *error)
{
    AUTO(cut_fini)
    struct cut cut = {
        .signal = signal, .levels = &otlp_levels[signal], .part = {.out = out}, .error = error};

    part_clear(&cut.part);
    enum err err = each(&cut, request, visit_sift);
    if (err)
        return err;
    part_close_to(&cut.part, 0);
    *ret_kept = cut.items;
    *ret_rejected = cut.rejected;
    return OK;
}

static enum err cut_at(enum signal signal, struct bytes request, uint32_t at, uint32_t items,
                       struct otlp_slices *first, struct otlp_slices *second, struct error *error)
{
    enum err err = otlp_pick(signal, request, 0, at, first, error);
    if (err)
        return err;
    return otlp_pick(signal, request, at, items - at, second, error);
}

enum err otlp_halve(enum signal signal, struct bytes request, struct otlp_slices *ret_first,
                    struct otlp_slices *ret_second, struct error *error)
{
    struct otlp_level_counts counts = {0};

    if (!otlp_count_level(signal, 0, request, &counts))
        return error_set(error, ERR_INVALID, "cut: the OTLP request is malformed");
    uint32_t items = counts.at[otlp_levels[signal].count];
    if (items < 2)
        return error_set(error, ERR_NOTFOUND, "cut: the request has only %" PRIu32 " items", items);

    enum err err = cut_at(signal, request, items - items / 2, items, ret_first, ret_second, error);
    if (err)
        return err;
    if (ret_second->size_bytes == 0) { /* it ends with a metric that can't be cut: all before it */
        err = cut_at(signal, request, 1, items, ret_first, ret_second, error);
        if (err)
            return err;
    }
    if (ret_second->size_bytes == 0)
        return error_set(error, ERR_NOTFOUND, "cut: the request is one metric that can't be cut");
    return OK;
}
