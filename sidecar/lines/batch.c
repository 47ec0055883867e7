#include "sidecar/lines/batch.h"

#include "common/assert.h"
#include "common/buf.h"
#include "common/utf8.h"
#include "sidecar/lines/lines.h"
#include "sidecar/otlp/out.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/wire.h"

#include <stdlib.h>

/* Numbers of fields, of opentelemetry.proto.logs.v1 and common.v1. */
enum {
    REQUEST_RESOURCE_LOGS = 1,
    RESOURCE_LOGS_RESOURCE = 1,
    RESOURCE_LOGS_SCOPE_LOGS = 2,
    RESOURCE_ATTRIBUTES = 1,
    SCOPE_LOGS_RECORDS = 2,
    RECORD_TIME = 1,
    RECORD_SEVERITY = 2,
    RECORD_BODY = 5,
    RECORD_ATTRIBUTES = 6,
    RECORD_OBSERVED = 11,
    KEY_VALUE_KEY = 1,
    KEY_VALUE_VALUE = 2,
    ANY_STRING = 1,
    ANY_INT = 3,
};

enum { HEADS_MAX = 2 * WIRE_HEAD_MAX, FIXED64_SIZE = 1 + 8 };

#define VIEW(literal)                                   \
    {                                                   \
        (const uint8_t *)(literal), sizeof(literal) - 1 \
    }

/* KeyValue {"log.iostream", "stdout"} as a field of LogRecord, and so on. */
#define IOSTREAM(name) "\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06" name
static const struct bytes iostreams[LINES_STREAMS] = {
    [LINES_STDOUT] = VIEW(IOSTREAM("stdout")),
    [LINES_STDERR] = VIEW(IOSTREAM("stderr")),
};

/* The records of one file, `from` and `to` in the batch's buffer. */
struct section {
    struct bytes resource;
    size_t from, to;
    uint8_t head[WIRE_HEAD_MAX], scope_head[WIRE_HEAD_MAX];
};

struct batch {
    size_t size_max, size; /* size: records and heads */
    struct buf records;
    uint32_t items;
    unsigned section_count;
    struct section sections[BATCH_FILES_MAX];
    struct bytes parts[BATCH_PARTS_MAX];
};

/* ---- what is not UTF-8 */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, one for each byte that is wrong */

static size_t replaced_size(struct bytes text)
{
    const uint8_t *at = text.data, *end = text.data + text.len;
    size_t size = 0;

    while (at < end) {
        unsigned len = utf8_sequence(at, end);
        size += len > 0 ? len : sizeof REPLACEMENT - 1;
        at += len > 0 ? len : 1;
    }
    return size;
}

static uint8_t *put_replaced(uint8_t *to, struct bytes text)
{
    const uint8_t *at = text.data, *end = text.data + text.len;

    while (at < end) {
        unsigned len = utf8_sequence(at, end);
        if (len == 0) {
            memcpy(to, REPLACEMENT, sizeof REPLACEMENT - 1);
            to += sizeof REPLACEMENT - 1;
            at++;
            continue;
        }
        memcpy(to, at, len);
        to += len;
        at += len;
    }
    return to;
}

/* ---- what is made once for a file */

static size_t string_value_size(size_t len)
{
    return wire_len_size(ANY_STRING, len);
}

static size_t key_value_size(struct bytes key, size_t value_size)
{
    return wire_len_size(KEY_VALUE_KEY, key.len) + wire_len_size(KEY_VALUE_VALUE, value_size);
}

static uint8_t *put_bytes(uint8_t *to, uint32_t number, struct bytes bytes)
{
    to = wire_put_len(to, number, bytes.len);
    if (bytes.len > 0)
        memcpy(to, bytes.data, bytes.len);
    return to + bytes.len;
}

/* Appends the attributes as fields `number`, of Resource or LogRecord. Values may be names of
 * files, which are any bytes. */
static enum err append_attributes(const struct batch_attribute *attributes, size_t count,
                                  uint32_t number, struct buf *into)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes key = bytes_from(attributes[i].key), value = bytes_from(attributes[i].value);
        size_t text_size = replaced_size(value), value_size = string_value_size(text_size);
        size_t size = key_value_size(key, value_size);
        enum err err = buf_reserve(into, wire_len_size(number, size));
        if (err)
            return err;
        uint8_t *to = wire_put_len(into->data + into->len, number, size);
        to = put_bytes(to, KEY_VALUE_KEY, key);
        to = wire_put_len(to, KEY_VALUE_VALUE, value_size);
        to = put_replaced(wire_put_len(to, ANY_STRING, text_size), value);
        into->len = (size_t)(to - into->data);
    }
    return OK;
}

/* Stamping is for requests, so it gets one that has a Resource and nothing else. */
static enum err stamp_request(const struct stamp *stamp, struct bytes resource, struct buf *request)
{
    AUTO(buf_fini) struct buf resource_logs = {0}, plain = {0};
    AUTO(otlp_slices_fini) struct otlp_slices slices = {0};

    enum err err = out_field(&resource_logs, RESOURCE_LOGS_RESOURCE, resource);
    if (err)
        return err;
    err = out_field(&plain, REQUEST_RESOURCE_LOGS, buf_bytes(&resource_logs));
    if (err)
        return err;
    err = stamp_apply(stamp, buf_bytes(&plain), SIZE_MAX, &slices, NULL);
    if (err)
        return err;
    return otlp_slices_append_to(&slices, request);
}

enum err batch_resource(const struct batch_attribute *attributes, size_t count,
                        const struct stamp *stamp, struct buf *into)
{
    AUTO(buf_fini) struct buf resource = {0}, request = {0};

    enum err err = append_attributes(attributes, count, RESOURCE_ATTRIBUTES, &resource);
    if (err)
        return err;
    if (stamp == NULL)
        return out_field(into, RESOURCE_LOGS_RESOURCE, buf_bytes(&resource));

    err = stamp_request(stamp, buf_bytes(&resource), &request);
    if (err)
        return err;
    struct bytes rest = buf_bytes(&request);
    struct wire_field field;
    bool found = wire_next(&rest, &field);
    ASSERT(found && rest.len == 0);
    return buf_append(into, field.payload); /* of ResourceLogs: the Resource is all it has */
}

/* ---- the batch */

enum err batch_create(size_t size_max, struct batch **ret_batch, struct error *error)
{
    AUTO(batch_destroy) struct batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL || buf_reserve(&batch->records, size_max))
        return error_set(error, ERR_NOMEM, "a batch of %zu bytes of log records", size_max);
    batch->size_max = size_max;
    MOVE(*ret_batch, batch);
    return OK;
}

void batch_destroy(struct batch **batch)
{
    if (*batch == NULL)
        return;
    buf_fini(&(*batch)->records);
    free(*batch);
    *batch = NULL;
}

void batch_clear(struct batch *batch)
{
    if (batch->records.cap > 2 * batch->size_max) {
        buf_fini(&batch->records);
        /* Without memory now, batch_add() asks again. */
        IGNORE_RESULT(buf_reserve(&batch->records, batch->size_max));
    }
    buf_clear(&batch->records);
    batch->size = 0;
    batch->items = 0;
    batch->section_count = 0;
}

static bool is_same(const struct section *section, struct bytes resource)
{
    return section->resource.data == resource.data && section->resource.len == resource.len;
}

enum err batch_file(struct batch *batch, struct bytes resource)
{
    struct section *last =
        batch->section_count > 0 ? &batch->sections[batch->section_count - 1] : NULL;

    if (last != NULL && is_same(last, resource))
        return OK;
    if (last != NULL && last->to == last->from) { /* the one before had no record */
        batch->size -= last->resource.len + HEADS_MAX;
        batch->section_count--;
    }
    size_t size = batch->size + resource.len + HEADS_MAX;
    if (batch->items > 0 && (size > batch->size_max || batch->section_count == BATCH_FILES_MAX))
        return ERR_FULL;
    batch->size = size;
    batch->sections[batch->section_count++] = (struct section){
        .resource = resource, .from = batch->records.len, .to = batch->records.len};
    return OK;
}

/* ---- a record */

static const struct bytes part_key = VIEW("surgetank.line.part");

struct sizes {
    size_t body, body_value, part_value, part, record;
    bool valid;
};

static struct sizes measure(const struct line *line)
{
    struct sizes sizes = {.valid = line->body.len == 0 || utf8_is_valid(line->body)};

    sizes.body = sizes.valid ? line->body.len : replaced_size(line->body);
    sizes.body_value = string_value_size(sizes.body);
    sizes.record =
        FIXED64_SIZE + wire_len_size(RECORD_BODY, sizes.body_value) + iostreams[line->stream].len;
    sizes.record += line->time_ns != 0 ? FIXED64_SIZE : 0;
    sizes.record += line->severity != 0 ? 2 : 0;
    if (line->part != 0) {
        sizes.part_value = 1 + wire_varint_size(line->part);
        sizes.part = key_value_size(part_key, sizes.part_value);
        sizes.record += wire_len_size(RECORD_ATTRIBUTES, sizes.part);
    }
    return sizes;
}

static uint8_t *put_fixed64_field(uint8_t *to, uint32_t number, uint64_t value)
{
    *to++ = (uint8_t)WIRE_TAG(number, WIRE_FIXED64);
    return wire_put_fixed64(to, value);
}

static uint8_t *put_part(uint8_t *to, const struct line *line, const struct sizes *sizes)
{
    to = wire_put_len(to, RECORD_ATTRIBUTES, sizes->part);
    to = put_bytes(to, KEY_VALUE_KEY, part_key);
    to = wire_put_len(to, KEY_VALUE_VALUE, sizes->part_value);
    *to++ = WIRE_TAG(ANY_INT, WIRE_VARINT);
    return wire_put_varint(to, line->part);
}

static uint8_t *put_views(uint8_t *to, struct bytes view)
{
    if (view.len > 0)
        memcpy(to, view.data, view.len);
    return to + view.len;
}

static uint8_t *put_record(uint8_t *to, const struct line *line, const struct sizes *sizes,
                           uint64_t observed_ns)
{
    to = wire_put_len(to, SCOPE_LOGS_RECORDS, sizes->record);
    if (line->time_ns != 0)
        to = put_fixed64_field(to, RECORD_TIME, line->time_ns);
    if (line->severity != 0) {
        *to++ = WIRE_TAG(RECORD_SEVERITY, WIRE_VARINT);
        *to++ = (uint8_t)line->severity; /* 1 to 24 */
    }
    to = wire_put_len(to, RECORD_BODY, sizes->body_value);
    to = wire_put_len(to, ANY_STRING, sizes->body);
    to = sizes->valid ? put_views(to, line->body) : put_replaced(to, line->body);
    to = put_views(to, iostreams[line->stream]);
    if (line->part != 0)
        to = put_part(to, line, sizes);
    return put_fixed64_field(to, RECORD_OBSERVED, observed_ns);
}

enum err batch_add(struct batch *batch, const struct line *line, uint64_t observed_ns)
{
    ASSERT(batch->section_count > 0);
    struct section *section = &batch->sections[batch->section_count - 1];
    struct sizes sizes = measure(line);
    size_t need = wire_len_size(SCOPE_LOGS_RECORDS, sizes.record);

    if (batch->items > 0 && batch->size + need > batch->size_max)
        return ERR_FULL;
    if (buf_reserve(&batch->records, need))
        return ERR_NOMEM;
    uint8_t *from = batch->records.data + batch->records.len;
    uint8_t *to = put_record(from, line, &sizes, observed_ns);
    ASSERT((size_t)(to - from) == need);
    batch->records.len += need;
    section->to = batch->records.len;
    batch->size += need;
    batch->items++;
    return OK;
}

/* ---- the request */

uint32_t batch_items(const struct batch *batch)
{
    return batch->items;
}

size_t batch_size(const struct batch *batch)
{
    return batch->size;
}

static struct bytes put_head(uint8_t *head, uint32_t number, size_t size)
{
    return (struct bytes){head, (size_t)(wire_put_len(head, number, size) - head)};
}

size_t batch_parts(struct batch *batch, const struct bytes **ret_parts)
{
    size_t count = 0;

    for (unsigned i = 0; i < batch->section_count; i++) {
        struct section *section = &batch->sections[i];
        size_t size = section->to - section->from;
        if (size == 0)
            continue;
        size_t scope_size = wire_len_size(RESOURCE_LOGS_SCOPE_LOGS, size);
        batch->parts[count++] =
            put_head(section->head, REQUEST_RESOURCE_LOGS, section->resource.len + scope_size);
        if (section->resource.len > 0)
            batch->parts[count++] = section->resource;
        batch->parts[count++] = put_head(section->scope_head, RESOURCE_LOGS_SCOPE_LOGS, size);
        batch->parts[count++] = (struct bytes){batch->records.data + section->from, size};
    }
    *ret_parts = batch->parts;
    return count;
}
