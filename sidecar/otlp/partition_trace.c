/* Items are listed with their trace and the container that they are in, sorted by trace, and
 * written out group by group. Containers are listed once, with the views of their headers, so that
 * a trace that is scattered over many costs their headers and not a scan of what is in them.
 */
#include "sidecar/otlp/partition.h"

#include "common/array.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/part.h"
#include "sidecar/otlp/wire.h"

#include <stdlib.h>

enum { TRACE_ID_SIZE = 16, KEY_SIZE = 32, SPAN_TRACE_ID = 1, LOG_TRACE_ID = 9 };

static const uint8_t no_id[TRACE_ID_SIZE];

/* What moves as a whole: an item, or something that holds none. */
struct unit {
    uint8_t id[TRACE_ID_SIZE]; /* no_id: none */
    uint32_t at, len;          /* in the request */
    uint32_t container;        /* in containers */
    uint32_t index, first;     /* its place; that of the first unit with the same id */
    bool is_item;
};

struct container {
    uint32_t parent; /* in containers; the first one is the request, and its own parent */
    uint32_t number;
    unsigned level;
    size_t first_view, view_count, header_bytes;
};

struct traces {
    enum signal signal;
    const struct otlp_levels *levels;
    const uint8_t *start;
    struct unit *units;
    struct container *containers;
    struct bytes *views;
    size_t unit_count, container_count, view_count;
    size_t unit_cap, container_cap, view_cap;
};

static void traces_fini(struct traces *traces)
{
    free(traces->units);
    free(traces->containers);
    free(traces->views);
}

/* Adds a view to a header whose views begin at `first`, or to its last view if they touch. */
static enum err add_view(struct traces *traces, size_t first, struct bytes view)
{
    if (traces->view_count > first) {
        struct bytes *last = &traces->views[traces->view_count - 1];
        if (last->data + last->len == view.data) {
            last->len += view.len;
            return OK;
        }
    }
    struct bytes *views =
        array_grow(traces->views, traces->view_count, &traces->view_cap, sizeof view);
    if (views == NULL)
        return ERR_NOMEM;
    traces->views = views;
    traces->views[traces->view_count++] = view;
    return OK;
}

static enum err add_container(struct traces *traces, uint32_t parent, uint32_t number,
                              struct bytes body, uint32_t *ret_at)
{
    struct container container = {
        .parent = parent, .number = number, .first_view = traces->view_count};
    struct wire_field field;

    struct container *containers = array_grow(traces->containers, traces->container_count,
                                              &traces->container_cap, sizeof container);
    if (containers == NULL)
        return ERR_NOMEM;
    traces->containers = containers;
    if (traces->container_count > 0)
        container.level = traces->containers[parent].level + 1;
    while (container.level > 0 && body.len > 0) {
        if (!wire_next(&body, &field))
            return ERR_INVALID;
        if (otlp_is_child(traces->levels, container.level, &field))
            continue;
        container.header_bytes += field.whole.len;
        enum err err = add_view(traces, container.first_view, field.whole);
        if (err)
            return err;
    }
    container.view_count = traces->view_count - container.first_view;
    *ret_at = (uint32_t)traces->container_count;
    traces->containers[traces->container_count++] = container;
    return OK;
}

static bool read_id(enum signal signal, struct bytes item, uint8_t id[TRACE_ID_SIZE])
{
    uint32_t number = signal == SIGNAL_TRACES ? SPAN_TRACE_ID : LOG_TRACE_ID;
    struct wire_field field;

    memcpy(id, no_id, TRACE_ID_SIZE);
    while (item.len > 0) {
        if (!wire_next(&item, &field))
            return false;
        if (field.number == number && field.type == WIRE_LEN)
            memcpy(id, field.payload.len == TRACE_ID_SIZE ? field.payload.data : no_id,
                   TRACE_ID_SIZE);
    }
    return true;
}

static enum err add_unit(struct traces *traces, uint32_t container, const struct wire_field *field,
                         bool is_item)
{
    struct unit unit = {.container = container,
                        .at = (uint32_t)(field->whole.data - traces->start),
                        .len = (uint32_t)field->whole.len,
                        .index = (uint32_t)traces->unit_count,
                        .is_item = is_item};

    struct unit *units =
        array_grow(traces->units, traces->unit_count, &traces->unit_cap, sizeof unit);
    if (units == NULL)
        return ERR_NOMEM;
    traces->units = units;
    if (is_item) {
        if (!read_id(traces->signal, field->payload, unit.id))
            return ERR_INVALID;
    } else if (traces->unit_count > 0) {
        memcpy(unit.id, traces->units[traces->unit_count - 1].id, sizeof unit.id);
    }
    traces->units[traces->unit_count++] = unit;
    return OK;
}

/* Lists what is in a container of the given level. */
static enum err list_units(struct traces *traces, uint32_t container, unsigned level,
                           struct bytes body)
{
    struct wire_field field;

    while (body.len > 0) {
        struct otlp_level_counts counts = {0};
        if (!wire_next(&body, &field))
            return ERR_INVALID;
        bool child = otlp_is_child(traces->levels, level, &field);
        if (!child && level > 0)
            continue; /* in the header */
        if (child && !otlp_count_level(traces->signal, level + 1, field.payload, &counts))
            return ERR_INVALID;
        bool is_item = child && level + 1 == traces->levels->count;
        enum err err = OK;
        if (is_item || counts.at[traces->levels->count] == 0) {
            err = add_unit(traces, container, &field, is_item);
        } else {
            uint32_t inner = 0;
            err = add_container(traces, container, field.number, field.payload, &inner);
            if (err == OK)
                err = list_units(traces, inner, level + 1, field.payload);
        }
        if (err)
            return err;
    }
    return OK;
}

/* ---- groups */

static int by_id(const void *a, const void *b)
{
    const struct unit *one = a, *two = b;
    int order = memcmp(one->id, two->id, sizeof one->id);

    return order != 0 ? order : (one->index > two->index) - (one->index < two->index);
}

static int by_first(const void *a, const void *b)
{
    const struct unit *one = a, *two = b;

    if (one->first != two->first)
        return one->first < two->first ? -1 : 1;
    return (one->index > two->index) - (one->index < two->index);
}

static void sort_into_groups(struct traces *traces)
{
    if (traces->unit_count == 0)
        return;
    qsort(traces->units, traces->unit_count, sizeof traces->units[0], by_id);
    for (size_t i = 0; i < traces->unit_count; i++) {
        struct unit *unit = &traces->units[i];
        bool same = i > 0 && memcmp(unit->id, unit[-1].id, sizeof unit->id) == 0;
        unit->first = same ? unit[-1].first : unit->index;
    }
    qsort(traces->units, traces->unit_count, sizeof traces->units[0], by_first);
}

/* Opens the containers down to `wanted`, where `open` is open now. */
static enum err go_to(const struct traces *traces, struct part *part, uint32_t open,
                      uint32_t wanted)
{
    uint32_t way[OTLP_LEVELS_MAX];
    uint32_t common = wanted;
    unsigned count = 0;

    while (traces->containers[open].level > traces->containers[common].level)
        open = traces->containers[open].parent;
    while (common != open) {
        way[count++] = common;
        if (traces->containers[common].level == traces->containers[open].level)
            open = traces->containers[open].parent;
        common = traces->containers[common].parent;
    }
    part_close_to(part, traces->containers[common].level);
    while (count > 0) {
        const struct container *container = &traces->containers[way[--count]];
        struct part_header header = {.count = container->view_count,
                                     .size_bytes = container->header_bytes};
        if (header.count > 0)
            header.views = &traces->views[container->first_view];
        enum err err = part_open(part, container->number, header);
        if (err)
            return err;
    }
    return OK;
}

/* Writes the group that starts at unit `from`, and says where the next one starts. */
static enum err put_group(const struct traces *traces, size_t from, struct part *part,
                          uint32_t *ret_items, size_t *ret_next)
{
    uint32_t open = 0, items = 0;
    size_t i = from;

    part_clear(part);
    for (; i < traces->unit_count && traces->units[i].first == traces->units[from].first; i++) {
        const struct unit *unit = &traces->units[i];
        enum err err = go_to(traces, part, open, unit->container);
        if (err == OK)
            err = part_add(part, (struct bytes){traces->start + unit->at, unit->len});
        if (err)
            return err;
        open = unit->container;
        items += unit->is_item;
    }
    part_close_to(part, 0);
    *ret_items = items;
    *ret_next = i;
    return OK;
}

static struct bytes key_of(const uint8_t id[TRACE_ID_SIZE], uint8_t key[KEY_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    if (memcmp(id, no_id, TRACE_ID_SIZE) == 0)
        return (struct bytes){key, 0};
    for (size_t i = 0; i < TRACE_ID_SIZE; i++) {
        key[2 * i] = (uint8_t)digits[id[i] >> 4];
        key[2 * i + 1] = (uint8_t)digits[id[i] & 15];
    }
    return (struct bytes){key, KEY_SIZE};
}

static enum err list_request(struct traces *traces, struct bytes request)
{
    uint32_t top = 0;

    if (request.len > UINT32_MAX)
        return ERR_INVALID;
    enum err err = add_container(traces, 0, 0, request, &top);
    if (err == OK)
        err = list_units(traces, top, 0, request);
    if (err == OK)
        sort_into_groups(traces);
    return err;
}

enum err otlp_group_by_trace(enum signal signal, struct bytes request, struct otlp_slices *work,
                             otlp_group_fn *emit, void *user, struct error *error)
{
    AUTO(traces_fini)
    struct traces traces = {
        .signal = signal, .levels = &otlp_levels[signal], .start = request.data};
    struct part part = {.out = work};
    uint8_t key[KEY_SIZE];
    uint32_t items = 0;

    if (signal == SIGNAL_METRICS)
        return error_set(error, ERR_INVALID, "partition: metrics have no trace ids");
    enum err err = list_request(&traces, request);
    if (err == ERR_INVALID)
        return error_set(error, err, "partition: the OTLP request is malformed");

    for (size_t i = 0, next = 0; err == OK && i < traces.unit_count; i = next) {
        err = put_group(&traces, i, &part, &items, &next);
        if (err)
            break;
        err = emit(user, key_of(traces.units[i].id, key), work, items, error);
        if (err)
            return err;
    }
    return err ? error_set(error, err, "partition an OTLP request") : OK;
}
