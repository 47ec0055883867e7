/* Names of the members written so far are not kept: whether one was there before follows from the
 * body and the attributes, which are looked through again, as far as that is cheap. */
#include "sidecar/otlp/fluentbit_json.h"

#include "common/rfc3339.h"
#include "sidecar/otlp/utf8.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000u
#define NOT_UTF8  0xe000 /* and a byte: characters for private use */
#define NAMES_MAX 100000 /* comparisons of names of attributes with names in the body */
#define NEAR      64     /* members: so far on a second one with the same name is looked for */

enum { /* field numbers */
       RESOURCE_LOGS = 1,
       RESOURCE = 1,
       SCOPE_LOGS = 2,
       LOG_RECORDS = 2,
       RESOURCE_ATTRIBUTES = 1,
       LOG_TIME = 1,
       LOG_SEVERITY_NUMBER = 2,
       LOG_SEVERITY_TEXT = 3,
       LOG_BODY = 5,
       LOG_ATTRIBUTES = 6,
       LOG_TRACE_ID = 9,
       LOG_SPAN_ID = 10,
       LOG_OBSERVED = 11,
       LOG_EVENT_NAME = 12,
       KEY = 1,
       VALUE = 2,
       LIST_VALUES = 1,
       ANY_STRING = 1,
       ANY_BOOL,
       ANY_INT,
       ANY_DOUBLE,
       ANY_ARRAY,
       ANY_KVLIST,
       ANY_BYTES,
};

/* Where a list of KeyValue is: the field of a message, repeated. */
struct pairs {
    struct bytes message;
    uint32_t number;
};

struct pair {
    struct bytes key, value; /* an AnyValue */
};

struct document {
    struct buf *out;
    struct pairs body, attributes; /* the body's are empty unless it is a map */
    struct pairs resource;
    uint64_t time_ns;
    bool first; /* no member in the present object yet */
};

static bool is(struct bytes text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

static bool begins(struct bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len > len && memcmp(text.data, prefix, len) == 0;
}

static bool next_pair(struct pairs *pairs, struct pair *ret_pair)
{
    struct wire_field field, inner;

    while (wire_next(&pairs->message, &field)) {
        if (field.number != pairs->number || field.type != WIRE_LEN)
            continue;
        *ret_pair = (struct pair){0};
        while (wire_next(&field.payload, &inner)) {
            if (inner.number == KEY && inner.type == WIRE_LEN)
                ret_pair->key = inner.payload;
            else if (inner.number == VALUE && inner.type == WIRE_LEN)
                ret_pair->value = inner.payload;
        }
        return true;
    }
    return false;
}

/* The same without those that come again soon: the last one counts, as in Fluent Bit, and there are
 * readers that refuse what has two. */
static bool next_member(struct pairs *pairs, struct pair *ret_pair)
{
    while (next_pair(pairs, ret_pair)) {
        struct pairs rest = *pairs;
        struct pair later;
        bool again = false;

        for (unsigned i = 0; i < NEAR && !again && next_pair(&rest, &later); i++)
            again = bytes_equal(later.key, ret_pair->key);
        if (!again)
            return true;
    }
    return false;
}

/* ---- values */

/* What has to be escaped; NULL for most. */
static const char *escape_of(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    default:
        return NULL;
    }
}

static enum err put_unusual(struct buf *out, uint8_t c)
{
    const char *escape = escape_of(c);
    uint8_t text[4];

    if (escape != NULL)
        return buf_append_text(out, escape);
    if (c < 0x20)
        return buf_printf(out, "\\u%04x", c);
    return buf_append(out, (struct bytes){text, (size_t)(utf8_put(text, NOT_UTF8 + c) - text)});
}

/* Bytes that are no UTF-8 become characters for private use, U+E000 to U+E0FF, as they do in Fluent
 * Bit: nothing is lost. */
static enum err put_string(struct buf *out, struct bytes text)
{
    const uint8_t *from = text.data, *at = text.data, *end = text.data + text.len;

    enum err err = buf_append_byte(out, '"');
    while (at < end && !err) {
        unsigned len = *at < 0x80 ? 1 : utf8_sequence(at, end);
        if (len > 1 || (len == 1 && *at >= 0x20 && *at != '"' && *at != '\\')) {
            at += len;
            continue;
        }
        err = buf_append(out, (struct bytes){from, (size_t)(at - from)});
        if (!err)
            err = put_unusual(out, *at);
        from = ++at;
    }
    if (!err)
        err = buf_append(out, (struct bytes){from, (size_t)(end - from)});
    return err ? err : buf_append_byte(out, '"');
}

/* 5 is "5.0", so that a reader that takes types from values takes both for fractions. */
static enum err put_double(struct buf *out, double value)
{
    char text[32];

    if (isnan(value))
        return buf_append_text(out, "\"NaN\"");
    if (isinf(value))
        return buf_append_text(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    if (fabs(value) < 0x1p63 && trunc(value) == value)
        return buf_printf(out, "%.1f", value);
    snprintf(text, sizeof text, "%.16g", value);
    return strtod(text, NULL) == value ? buf_append_text(out, text)
                                       : buf_printf(out, "%.17g", value);
}

static enum err put_any(struct buf *out, struct bytes any, unsigned depth);

static enum err put_array(struct buf *out, struct bytes array, unsigned depth)
{
    struct wire_field field;
    bool first = true;

    enum err err = buf_append_byte(out, '[');
    while (!err && wire_next(&array, &field)) {
        if (field.number != LIST_VALUES || field.type != WIRE_LEN)
            continue;
        if (!first)
            err = buf_append_byte(out, ',');
        first = false;
        if (!err)
            err = put_any(out, field.payload, depth);
    }
    return err ? err : buf_append_byte(out, ']');
}

static enum err put_map(struct buf *out, struct pairs pairs, unsigned depth)
{
    struct pair pair;
    bool first = true;

    enum err err = buf_append_byte(out, '{');
    while (!err && next_member(&pairs, &pair)) {
        if (!first)
            err = buf_append_byte(out, ',');
        first = false;
        if (!err)
            err = put_string(out, pair.key);
        if (!err)
            err = buf_append_byte(out, ':');
        if (!err)
            err = put_any(out, pair.value, depth);
    }
    return err ? err : buf_append_byte(out, '}');
}

/* The last field of the oneof counts; none is null. */
static enum err put_any(struct buf *out, struct bytes any, unsigned depth)
{
    struct wire_field field, last = {.number = 0};
    double number;

    if (depth > OTLP_DEPTH_MAX)
        return ERR_INVALID;
    while (wire_next(&any, &field))
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES)
            last = field;
    switch (last.number) {
    case ANY_STRING:
        return put_string(out, last.payload);
    case ANY_BOOL:
        return buf_append_text(out, last.value != 0 ? "true" : "false");
    case ANY_INT:
        return buf_printf(out, "%" PRId64, (int64_t)last.value);
    case ANY_DOUBLE:
        memcpy(&number, &last.value, sizeof number);
        return put_double(out, number);
    case ANY_ARRAY:
        return put_array(out, last.payload, depth + 1);
    case ANY_KVLIST:
        return put_map(out, (struct pairs){last.payload, LIST_VALUES}, depth + 1);
    case ANY_BYTES:
        return put_string(out, last.payload);
    default:
        return buf_append_text(out, "null");
    }
}

/* ---- members */

static bool has(struct pairs pairs, struct bytes name)
{
    struct pair pair;

    while (next_pair(&pairs, &pair))
        if (bytes_equal(pair.key, name))
            return true;
    return false;
}

static enum err put_name(struct document *document, struct bytes name)
{
    enum err err = document->first ? OK : buf_append_byte(document->out, ',');

    document->first = false;
    if (!err)
        err = put_string(document->out, name);
    return err ? err : buf_append_byte(document->out, ':');
}

static enum err put_member(struct document *document, struct bytes name, struct bytes any)
{
    enum err err = put_name(document, name);
    return err ? err : put_any(document->out, any, 0);
}

static enum err put_body(struct document *document, struct bytes body)
{
    struct pairs pairs = document->body;
    struct pair pair;
    enum err err = OK;

    if (pairs.number == 0)
        return put_member(document, bytes_from("log"), body);
    while (!err && next_member(&pairs, &pair))
        err = put_member(document, pair.key, pair.value);
    return err;
}

static struct bytes attribute_name(struct bytes key)
{
    return is(key, "log.iostream") ? bytes_from("stream") : key;
}

static bool is_map(const struct document *document)
{
    return document->body.number != 0;
}

/* Whether the body says it. */
static bool in_body(const struct document *document, struct bytes name)
{
    return is_map(document) ? has(document->body, name) : is(name, "log");
}

static bool in_attributes(const struct document *document, struct bytes name)
{
    struct pairs pairs = document->attributes;
    struct pair pair;

    while (next_pair(&pairs, &pair)) {
        if (bytes_equal(attribute_name(pair.key), name))
            return true;
    }
    return false;
}

static size_t count(struct pairs pairs)
{
    struct pair pair;
    size_t number = 0;

    while (next_pair(&pairs, &pair))
        number++;
    return number;
}

/* True: `name` is written, and its value has to follow. */
static bool put_own(struct document *document, const char *name, enum err *err)
{
    if (*err || in_body(document, bytes_from(name)) || in_attributes(document, bytes_from(name)))
        return false;
    *err = put_name(document, bytes_from(name));
    return *err == OK;
}

static enum err put_attributes(struct document *document)
{
    struct pairs pairs = document->attributes;
    struct pair pair;
    enum err err = OK;

    size_t attributes = count(document->attributes);
    if (attributes > 0 && count(document->body) > NAMES_MAX / attributes)
        return put_own(document, "attributes", &err) ? put_map(document->out, pairs, 0) : err;
    while (!err && next_member(&pairs, &pair)) {
        struct bytes name = attribute_name(pair.key);
        if (!in_body(document, name))
            err = put_member(document, name, pair.value);
    }
    return err;
}

static enum err put_hex(struct buf *out, struct bytes id)
{
    enum err err = buf_append_byte(out, '"');
    for (size_t i = 0; i < id.len && !err; i++)
        err = buf_printf(out, "%02x", id.data[i]);
    return err ? err : buf_append_byte(out, '"');
}

/* What else the record has. */
static enum err put_fields(struct document *document, struct bytes record)
{
    struct wire_field field;
    enum err err = OK;

    while (!err && wire_next(&record, &field)) {
        bool some = field.type == WIRE_LEN ? field.payload.len > 0 : field.value != 0;
        if (!some)
            continue;
        if (field.number == LOG_SEVERITY_TEXT && put_own(document, "severity_text", &err))
            err = put_string(document->out, field.payload);
        else if (field.number == LOG_SEVERITY_NUMBER && put_own(document, "severity_number", &err))
            err = buf_printf(document->out, "%d", (int)field.value);
        else if (field.number == LOG_EVENT_NAME && put_own(document, "event_name", &err))
            err = put_string(document->out, field.payload);
        else if (field.number == LOG_TRACE_ID && put_own(document, "trace_id", &err))
            err = put_hex(document->out, field.payload);
        else if (field.number == LOG_SPAN_ID && put_own(document, "span_id", &err))
            err = put_hex(document->out, field.payload);
    }
    return err;
}

/* ---- the resource */

enum group { OF_RESOURCE, OF_KUBERNETES, OF_LABELS, OF_ANNOTATIONS, GROUPS };

/* To which object an attribute of the resource belongs, and under which name. */
static enum group group_of(struct bytes key, struct bytes *ret_name)
{
    static const struct {
        const char *attribute, *name;
        enum group group;
    } names[] = {
        {"k8s.pod.name", "pod_name", OF_KUBERNETES},
        {"k8s.namespace.name", "namespace_name", OF_KUBERNETES},
        {"k8s.pod.uid", "pod_id", OF_KUBERNETES},
        {"k8s.node.name", "host", OF_KUBERNETES},
        {"k8s.pod.ip", "pod_ip", OF_KUBERNETES},
        {"k8s.container.name", "container_name", OF_KUBERNETES},
        {"container.id", "docker_id", OF_KUBERNETES},
        {"container.image.id", "container_hash", OF_KUBERNETES},
        {"container.image.name", "container_image", OF_KUBERNETES},
        {"k8s.pod.label.", NULL, OF_LABELS},
        {"k8s.pod.labels.", NULL, OF_LABELS},
        {"k8s.pod.annotation.", NULL, OF_ANNOTATIONS},
        {"k8s.pod.annotations.", NULL, OF_ANNOTATIONS},
    };

    *ret_name = key;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].name != NULL && is(key, names[i].attribute)) {
            *ret_name = bytes_from(names[i].name);
            return names[i].group;
        }
        if (names[i].name == NULL && begins(key, names[i].attribute)) {
            size_t len = strlen(names[i].attribute);
            *ret_name = (struct bytes){key.data + len, key.len - len};
            return names[i].group;
        }
    }
    return OF_RESOURCE;
}

static bool any_of(struct pairs pairs, enum group from, enum group to)
{
    struct pair pair;
    struct bytes name;

    while (next_pair(&pairs, &pair)) {
        enum group group = group_of(pair.key, &name);
        if (group >= from && group <= to)
            return true;
    }
    return false;
}

static enum err put_group(struct document *document, enum group group)
{
    struct pairs pairs = document->resource;
    struct pair pair;
    struct bytes name;
    enum err err = OK;

    while (!err && next_member(&pairs, &pair))
        if (group_of(pair.key, &name) == group)
            err = put_member(document, name, pair.value);
    return err;
}

static enum err open_object(struct document *document)
{
    document->first = true;
    return buf_append_byte(document->out, '{');
}

static enum err close_object(struct document *document)
{
    document->first = false;
    return buf_append_byte(document->out, '}');
}

/* An object within "kubernetes". */
static enum err put_subgroup(struct document *document, const char *name, enum group group)
{
    if (!any_of(document->resource, group, group))
        return OK;
    enum err err = put_name(document, bytes_from(name));
    if (!err)
        err = open_object(document);
    if (!err)
        err = put_group(document, group);
    return err ? err : close_object(document);
}

static enum err put_resource(struct document *document)
{
    enum err err = OK;

    if (any_of(document->resource, OF_KUBERNETES, OF_ANNOTATIONS) &&
        put_own(document, "kubernetes", &err)) {
        err = open_object(document);
        if (!err)
            err = put_group(document, OF_KUBERNETES);
        if (!err)
            err = put_subgroup(document, "labels", OF_LABELS);
        if (!err)
            err = put_subgroup(document, "annotations", OF_ANNOTATIONS);
        if (!err)
            err = close_object(document);
    }
    if (any_of(document->resource, OF_RESOURCE, OF_RESOURCE) &&
        put_own(document, "resource", &err)) {
        err = open_object(document);
        if (!err)
            err = put_group(document, OF_RESOURCE);
        if (!err)
            err = close_object(document);
    }
    return err;
}

/* ---- the document */

/* "1790164512.345679", to the microsecond that a double tells from the next one. */
static enum err put_timestamp(struct document *document)
{
    double seconds = (double)(document->time_ns / SECOND_NS) +
                     (double)(document->time_ns % SECOND_NS) / SECOND_NS;

    enum err err = OK;
    if (!put_own(document, "@timestamp", &err))
        return err;
    return buf_printf(document->out, trunc(seconds) == seconds ? "%.1f" : "%.16g", seconds);
}

/* A container's line tells its time as the log file does, to the nanosecond. */
static enum err put_line_time(struct document *document)
{
    char text[RFC3339_SIZE];
    enum err err = OK;

    if (!has(document->attributes, bytes_from("log.iostream")) || !put_own(document, "time", &err))
        return err;
    return put_string(document->out, bytes_from(rfc3339_nanos(document->time_ns, text)));
}

static struct bytes find_resource(struct bytes resource_logs)
{
    struct wire_field field;
    struct bytes found = {0};

    while (wire_next(&resource_logs, &field))
        if (field.number == RESOURCE && field.type == WIRE_LEN)
            found = field.payload;
    return found;
}

static struct pairs map_of(struct bytes body)
{
    struct wire_field field;
    struct pairs map = {0};

    while (wire_next(&body, &field))
        if (field.number >= ANY_STRING && field.number <= ANY_BYTES)
            map = field.number == ANY_KVLIST ? (struct pairs){field.payload, LIST_VALUES}
                                             : (struct pairs){0};
    return map;
}

/* Its time, else the observed one, and its body. False: malformed. */
static bool look_at(struct bytes record, uint64_t *ret_time_ns, struct bytes *ret_body)
{
    struct wire_field field;
    uint64_t time_ns = 0, observed_ns = 0;

    while (wire_next(&record, &field)) {
        if (field.number == LOG_TIME && field.type == WIRE_FIXED64)
            time_ns = field.value;
        else if (field.number == LOG_OBSERVED && field.type == WIRE_FIXED64)
            observed_ns = field.value;
        else if (field.number == LOG_BODY && field.type == WIRE_LEN)
            *ret_body = field.payload;
    }
    *ret_time_ns = time_ns != 0 ? time_ns : observed_ns;
    return record.len == 0;
}

enum err fluentbit_json_write(struct bytes resource_logs, struct bytes record, uint64_t accepted_ns,
                              struct buf *out, struct error *error)
{
    struct document document = {.out = out,
                                .attributes = {record, LOG_ATTRIBUTES},
                                .resource = {find_resource(resource_logs), RESOURCE_ATTRIBUTES}};
    struct bytes body = {0};

    bool sound = look_at(record, &document.time_ns, &body);
    if (document.time_ns == 0)
        document.time_ns = accepted_ns;
    document.body = map_of(body);
    enum err err = sound ? open_object(&document) : ERR_INVALID;
    if (!err)
        err = put_timestamp(&document);
    if (!err)
        err = put_body(&document, body);
    if (!err)
        err = put_attributes(&document);
    if (!err)
        err = put_line_time(&document);
    if (!err)
        err = put_fields(&document, record);
    if (!err)
        err = put_resource(&document);
    if (!err)
        err = close_object(&document);
    return err ? error_set(error, err, "write a log record as JSON") : OK;
}

static enum err visit_scope(struct bytes resource_logs, struct bytes scope_logs,
                            fluentbit_record_fn *visit, void *user, struct error *error)
{
    struct wire_field field;

    while (wire_next(&scope_logs, &field)) {
        if (field.number != LOG_RECORDS || field.type != WIRE_LEN)
            continue;
        enum err err = visit(user, resource_logs, field.payload, error);
        if (err)
            return err;
    }
    return OK;
}

enum err fluentbit_records(struct bytes request, fluentbit_record_fn *visit, void *user,
                           struct error *error)
{
    struct wire_field field, inner;

    while (wire_next(&request, &field)) {
        if (field.number != RESOURCE_LOGS || field.type != WIRE_LEN)
            continue;
        for (struct bytes rest = field.payload; wire_next(&rest, &inner);) {
            if (inner.number != SCOPE_LOGS || inner.type != WIRE_LEN)
                continue;
            enum err err = visit_scope(field.payload, inner.payload, visit, user, error);
            if (err)
                return err;
        }
    }
    return request.len > 0 ? error_set(error, ERR_INVALID, "records: the OTLP request is malformed")
                           : OK;
}
