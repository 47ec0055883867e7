/* The walk is one loop over tags, driven by a table of steps for each message: the tag is the
 * index, for OTLP's highest field number is 16. Attributes are most of what telemetry is made of,
 * so a KeyValue with a short ASCII key and a short ASCII value is checked in one go.
 *
 * The fast path keeps no trace of where it is. When it meets a fault, it knows the byte and the
 * reason; the path for the error's sentence is found by going down once more from the top to that
 * byte (locate()), which only faulty requests pay for.
 */
#include "sidecar/otlp/walk.h"

#include "common/assert.h"
#include "common/utf8.h"
#include "sidecar/otlp/levels.h"
#include "sidecar/otlp/schema.h"
#include "sidecar/otlp/wire.h"

#include <inttypes.h>
#include <stdio.h>

/* OP_OTHER: an unknown field, or a known one with a type that it does not have. */
enum op {
    OP_OTHER,
    OP_VARINT,
    OP_FIXED32,
    OP_FIXED64,
    OP_BYTES,
    OP_ID, /* `child` is its length, unless it is empty */
    OP_STRING,
    OP_VARINTS,  /* packed */
    OP_FIXED64S, /* packed */
    OP_MESSAGE,
};

struct step {
    uint8_t op, child;
};

enum { STEP_COUNT = (OTLP_FIELDS_MAX + 1) << 3 };

#define ON(number, wire, op, child) [(number) << 3 | (wire)] = {op, child},

#define STEP_MESSAGE(number, child)  ON(number, WIRE_LEN, OP_MESSAGE, child)
#define STEP_STRING(number, child)   ON(number, WIRE_LEN, OP_STRING, 0)
#define STEP_BYTES(number, child)    ON(number, WIRE_LEN, OP_BYTES, 0)
#define STEP_TRACE_ID(number, child) ON(number, WIRE_LEN, OP_ID, 16)
#define STEP_SPAN_ID(number, child)  ON(number, WIRE_LEN, OP_ID, 8)
#define STEP_BOOL(number, child)     ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_ENUM(number, child)     ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_INT32(number, child)    ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_UINT32(number, child)   ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_SINT32(number, child)   ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_INT64(number, child)    ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_UINT64(number, child)   ON(number, WIRE_VARINT, OP_VARINT, 0)
#define STEP_FIXED32(number, child)  ON(number, WIRE_FIXED32, OP_FIXED32, 0)
#define STEP_FIXED64(number, child)  ON(number, WIRE_FIXED64, OP_FIXED64, 0)
#define STEP_SFIXED64(number, child) ON(number, WIRE_FIXED64, OP_FIXED64, 0)
#define STEP_DOUBLE(number, child)   ON(number, WIRE_FIXED64, OP_FIXED64, 0)

#define PACKED_UINT64(number)  ON(number, WIRE_LEN, OP_VARINTS, 0)
#define PACKED_FIXED64(number) ON(number, WIRE_LEN, OP_FIXED64S, 0)
#define PACKED_DOUBLE(number)  ON(number, WIRE_LEN, OP_FIXED64S, 0)

#define ALSO_ONE(number, kind)
#define ALSO_OPT(number, kind)
#define ALSO_ALT(number, kind)
#define ALSO_MANY(number, kind)
#define ALSO_PACKED(number, kind) PACKED_##kind(number)

#define STEP(number, name, kind, rule, child) \
    STEP_##kind(number, OTLP_##child) ALSO_##rule(number, kind)

static const struct step steps[OTLP_MESSAGE_COUNT][STEP_COUNT] = {
#define M(id, name) [OTLP_##id] = {OTLP_FIELDS_##id(STEP)},
    OTLP_MESSAGES(M)
#undef M
};

enum fault {
    FAULT_TAG,
    FAULT_VALUE,
    FAULT_LEN,
    FAULT_TYPE,
    FAULT_UTF8,
    FAULT_ID,
    FAULT_DEPTH,
    FAULT_PACKED,
    FAULT_HEADERS,
};

struct walk {
    uint32_t depth, depth_max; /* deepest so far; the limit */
    enum fault fault;
    const uint8_t *fault_at;           /* inside the field that is at fault */
    uint32_t seen[OTLP_MESSAGE_COUNT]; /* messages, but for short attributes */
};

static bool fail(struct walk *walk, enum fault fault, const uint8_t *at)
{
    walk->fault = fault;
    walk->fault_at = at;
    return false;
}

static bool check_message(struct walk *walk, enum otlp_message_id message, struct bytes bytes,
                          uint32_t depth);

/* Attributes as SDKs write them: 0a len key 12 len { 0a len string }, all lengths below 128. False
 * means no more than that this is something else. */
static inline bool is_short_attribute(const uint8_t *at, size_t len)
{
    if (len < 4 || at[0] != 0x0a)
        return false;
    size_t key = at[1];
    if (key > 127 || len < key + 4)
        return false;
    const uint8_t *value = at + 2 + key;
    size_t value_len = len - key - 4;
    if (value[0] != 0x12 || value[1] != value_len || value_len > 127 || value_len < 2)
        return false;
    if (value[2] == 0x0a ? value[3] != value_len - 2
                         : value_len != 2 || (value[2] != 0x10 && value[2] != 0x18))
        return false;              /* neither a string, nor a bool or a small int */
    return utf8_is_ascii(at, len); /* tags and lengths are below 128 as well */
}

static bool check_varints(struct bytes bytes)
{
    const uint8_t *at = bytes.data, *end = at + bytes.len;
    uint64_t value;

    while (at < end) {
        if (!wire_varint(&at, end, &value))
            return false;
    }
    return true;
}

/* A field that is not what the table expects: skipped if it is unknown, else at fault. */
static bool check_other(struct walk *walk, enum otlp_message_id message, uint32_t tag,
                        const uint8_t **at, const uint8_t *end)
{
    if (otlp_field_by_number(message, tag >> 3) != NULL)
        return fail(walk, FAULT_TYPE, *at);
    if (!wire_skip(at, end, tag))
        return fail(walk, FAULT_VALUE, *at);
    return true;
}

static inline bool check_child(struct walk *walk, enum otlp_message_id child, struct bytes bytes,
                               uint32_t depth, const uint8_t *value)
{
    if (depth + 1 >= walk->depth_max) { /* the shortcut goes down by two */
        if (depth >= walk->depth_max)
            return fail(walk, FAULT_DEPTH, value);
    } else if (child == OTLP_KEY_VALUE && is_short_attribute(bytes.data, bytes.len)) {
        if (walk->depth < depth + 2)
            walk->depth = depth + 2;
        return true;
    }
    return check_message(walk, child, bytes, depth + 1);
}

/* What is behind a length. */
static inline bool check_payload(struct walk *walk, struct step step, struct bytes bytes,
                                 uint32_t depth, const uint8_t *value)
{
    switch ((enum op)step.op) {
    case OP_MESSAGE:
        return check_child(walk, (enum otlp_message_id)step.child, bytes, depth, value);
    case OP_STRING:
        if (utf8_is_ascii(bytes.data, bytes.len))
            return true;
        const uint8_t *bad = utf8_find_bad(bytes);
        return bad == NULL || fail(walk, FAULT_UTF8, bad);
    case OP_ID:
        return bytes.len == 0 || bytes.len == step.child || fail(walk, FAULT_ID, value);
    case OP_VARINTS:
        return check_varints(bytes) || fail(walk, FAULT_PACKED, value);
    case OP_FIXED64S:
        return bytes.len % 8 == 0 || fail(walk, FAULT_PACKED, value);
    case OP_BYTES:
    case OP_OTHER:
    case OP_VARINT:
    case OP_FIXED32:
    case OP_FIXED64:
        break;
    }
    return true;
}

static bool check_message(struct walk *walk, enum otlp_message_id message, struct bytes bytes,
                          uint32_t depth)
{
    const struct step *table = steps[message];
    const uint8_t *at = bytes.data, *end = at + bytes.len;

    walk->seen[message]++;
    if (walk->depth < depth)
        walk->depth = depth;

    while (at < end) {
        const uint8_t *field = at;
        uint32_t tag = *at;
        if (tag >= 8 && tag < 0x80 && (tag & 7) <= WIRE_FIXED32)
            at++;
        else if (!wire_tag(&at, end, &tag))
            return fail(walk, FAULT_TAG, field);

        const uint8_t *value = at;
        struct step step = tag < STEP_COUNT ? table[tag] : (struct step){OP_OTHER, 0};
        uint64_t number;
        struct bytes payload;
        switch ((enum op)step.op) {
        case OP_VARINT:
            if (!wire_varint(&at, end, &number))
                return fail(walk, FAULT_VALUE, value);
            break;
        case OP_FIXED64:
            if (end - at < 8)
                return fail(walk, FAULT_VALUE, field);
            at += 8;
            break;
        case OP_FIXED32:
            if (end - at < 4)
                return fail(walk, FAULT_VALUE, field);
            at += 4;
            break;
        case OP_OTHER:
            if (!check_other(walk, message, tag, &at, end))
                return false;
            break;
        case OP_BYTES:
        case OP_ID:
        case OP_STRING:
        case OP_VARINTS:
        case OP_FIXED64S:
        case OP_MESSAGE:
            if (!wire_len(&at, end, &payload))
                return fail(walk, FAULT_LEN, value);
            if (!check_payload(walk, step, payload, depth, value))
                return false;
            break;
        }
    }
    return true;
}

/* Looks for headers that are above `left` bytes together with those above them. Only for what has
 * been checked. */
static bool check_headers(struct walk *walk, enum signal signal, unsigned level,
                          const struct wire_field *container, size_t left)
{
    const struct otlp_levels *levels = &otlp_levels[signal];
    struct bytes rest = container->payload;
    size_t header = rest.len;
    struct wire_field field;

    while (level > 0 && rest.len > 0 && wire_next(&rest, &field)) {
        if (otlp_is_child(levels, level, &field))
            header -= field.whole.len;
    }
    if (level > 0 && header > left)
        return fail(walk, FAULT_HEADERS, container->whole.data);
    left -= level > 0 ? header : 0;
    rest = container->payload;
    while (level + 1 < levels->count && rest.len > 0 && wire_next(&rest, &field)) {
        if (field.whole.len > left && otlp_is_child(levels, level, &field) &&
            !check_headers(walk, signal, level + 1, &field, left))
            return false;
    }
    return true;
}

/* ---- saying what is wrong */

static void path_add(char *path, size_t size, const char *name, bool indexed, size_t index)
{
    size_t used = strlen(path);
    const char *dot = used > 0 ? "." : "";

    if (used + OTLP_SNAKE_MAX + 16 > size) { /* as far as it goes is still of use */
        if (used + 4 < size && (used < 3 || strcmp(path + used - 3, "...") != 0))
            snprintf(path + used, size - used, "...");
        return;
    }
    if (indexed)
        snprintf(path + used, size - used, "%s%s[%zu]", dot, name, index);
    else
        snprintf(path + used, size - used, "%s%s", dot, name);
}

/* Writes the path of the field that `fault_at` is in. */
static void locate(enum otlp_message_id message, struct bytes rest, const uint8_t *fault_at,
                   char *path, size_t size)
{
    size_t index[OTLP_FIELDS_MAX + 1] = {0};

    while (rest.len > 0) {
        const uint8_t *at = rest.data, *end = at + rest.len;
        uint32_t tag = 0;
        if (!wire_tag(&at, end, &tag))
            return; /* the message itself is at fault */

        const struct otlp_field *known = otlp_field_by_number(message, tag >> 3);
        struct wire_field field = {0};
        bool whole = wire_next(&rest, &field);
        if (whole && fault_at >= rest.data) {
            if (known != NULL)
                index[known->number]++;
            continue;
        }

        char name[OTLP_SNAKE_MAX] = "";
        if (known == NULL) {
            snprintf(name, sizeof name, "%" PRIu32, tag >> 3);
            path_add(path, size, name, false, 0);
            return;
        }
        path_add(path, size, otlp_field_snake(known, name, sizeof name),
                 known->rule == OTLP_RULE_MANY, index[known->number]);
        if (!whole || known->kind != OTLP_KIND_MESSAGE || field.type != WIRE_LEN ||
            fault_at < field.payload.data)
            return;
        message = known->child;
        rest = field.payload;
        memset(index, 0, sizeof index);
    }
}

static enum err describe(const struct walk *walk, enum signal signal, struct bytes request,
                         struct error *error)
{
    static const char *const reasons[] = {
        [FAULT_TAG] = "broken field tag",
        [FAULT_VALUE] = "value is malformed or cut off",
        [FAULT_LEN] = "length is malformed or runs over the end of its message",
        [FAULT_TYPE] = "wrong wire type",
        [FAULT_UTF8] = "invalid UTF-8",
        [FAULT_ID] = "an id of a wrong length (a trace id has 16 bytes, a span id 8)",
        [FAULT_DEPTH] = "nested too deep",
        [FAULT_PACKED] = "packed numbers are malformed or cut off",
        [FAULT_HEADERS] = "more bytes of attributes and other headers than may be repeated",
    };
    char path[320] = "";

    if (error == NULL)
        return ERR_INVALID;
    locate(otlp_request_id(signal), request, walk->fault_at, path, sizeof path);
    return error_set(error, ERR_INVALID, "%s: %s at byte %zu",
                     path[0] != '\0' ? path : "OTLP request", reasons[walk->fault],
                     (size_t)(walk->fault_at - request.data));
}

static uint32_t limit_or(uint32_t limit, uint32_t fallback)
{
    return limit != 0 ? limit : fallback;
}

static enum err check_size(struct bytes request, struct error *error)
{
    if (request.len > UINT32_MAX)
        return error_set(error, ERR_INVALID, "OTLP request of %zu bytes is above 4 GiB",
                         request.len);
    return OK;
}

enum err otlp_walk(enum signal signal, struct bytes request, const struct otlp_limits *limits,
                   struct otlp_summary *ret_summary, struct error *error)
{
    static const struct otlp_limits defaults = {0};
    struct walk walk = {0};

    if (limits == NULL)
        limits = &defaults;
    walk.depth_max = limit_or(limits->depth_max, OTLP_DEPTH_DEFAULT);
    ASSERT(walk.depth_max <= OTLP_DEPTH_MAX);

    enum err err = check_size(request, error);
    if (err)
        return err;
    if (request.len == 0)
        request = BYTES_LITERAL(""); /* NULL is no place to look at */
    if (!check_message(&walk, otlp_request_id(signal), request, 1))
        return describe(&walk, signal, request, error);

    uint32_t headers_max = limit_or(limits->headers_max, OTLP_HEADERS_DEFAULT);
    struct wire_field whole = {.payload = request};
    if (request.len > headers_max && !check_headers(&walk, signal, 0, &whole, headers_max))
        return describe(&walk, signal, request, error);

    const uint32_t *seen = walk.seen;
    struct otlp_summary summary = {
        .resources =
            seen[OTLP_RESOURCE_SPANS] + seen[OTLP_RESOURCE_METRICS] + seen[OTLP_RESOURCE_LOGS],
        .scopes = seen[OTLP_SCOPE_SPANS] + seen[OTLP_SCOPE_METRICS] + seen[OTLP_SCOPE_LOGS],
        .items = seen[OTLP_SPAN] + seen[OTLP_LOG_RECORD] + seen[OTLP_NUMBER_POINT] +
                 seen[OTLP_HISTOGRAM_POINT] + seen[OTLP_EXP_HISTOGRAM_POINT] +
                 seen[OTLP_SUMMARY_POINT],
        .depth = walk.depth,
    };
    uint32_t resources_max = limit_or(limits->resources_max, OTLP_RESOURCES_DEFAULT);
    if (summary.resources > resources_max)
        return error_set(error, ERR_INVALID,
                         "OTLP request has %" PRIu32 " resources, above the limit of %" PRIu32,
                         summary.resources, resources_max);
    uint32_t items_max = limit_or(limits->items_max, UINT32_MAX);
    if (summary.items > items_max)
        return error_set(error, ERR_INVALID,
                         "OTLP request has %" PRIu32 " items, above the limit of %" PRIu32,
                         summary.items, items_max);
    *ret_summary = summary;
    return OK;
}

bool otlp_walk_item(enum signal signal, uint32_t data, struct bytes item)
{
    static const uint32_t depths[SIGNAL_COUNT] = {4, 6, 4}; /* of an item, the request being 1 */
    struct walk walk = {.depth_max = OTLP_DEPTH_DEFAULT};
    enum otlp_message_id message = signal == SIGNAL_TRACES ? OTLP_SPAN : OTLP_LOG_RECORD;

    if (signal == SIGNAL_METRICS) {
        const struct otlp_field *field = otlp_field_by_number(OTLP_METRIC, data);
        if (field == NULL || field->child == OTLP_NONE)
            return false;
        message = otlp_field_by_number(field->child, 1)->child; /* dataPoints */
    }
    if (item.len == 0)
        item = BYTES_LITERAL("");
    return check_message(&walk, message, item, depths[signal]);
}

/* ---- counting only */

enum err otlp_count(enum signal signal, struct bytes request, struct otlp_summary *ret_summary,
                    struct error *error)
{
    struct otlp_level_counts counts = {0};

    enum err err = check_size(request, error);
    if (err)
        return err;
    if (!otlp_count_level(signal, 0, request, &counts))
        return error_set(error, ERR_INVALID, "OTLP request is malformed");
    *ret_summary = (struct otlp_summary){.resources = counts.at[1],
                                         .scopes = counts.at[2],
                                         .items = counts.at[otlp_levels[signal].count]};
    return OK;
}
