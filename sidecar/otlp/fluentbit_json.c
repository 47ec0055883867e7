/* Names of the members written so far are not kept: whether one was there before follows from the
 * body and the attributes, which are looked through again, as far as that is cheap. */
#include "sidecar/otlp/fluentbit_json.h"

#include "common/num.h"
#include "common/rfc3339.h"
#include "sidecar/otlp/any_json.h"
#include "sidecar/otlp/wire.h"

#include <math.h>
#include <string.h>

#define SECOND_NS 1000000000u
#define NAMES_MAX 100000 /* comparisons of names of attributes with names in the body */

enum { /* field numbers */
       RESOURCE_LOGS = 1,
       RESOURCE = 1,
       SCOPE_LOGS = 2,
       LOG_RECORDS = 2,
       LOG_TIME = 1,
       LOG_SEVERITY_NUMBER = 2,
       LOG_SEVERITY_TEXT = 3,
       LOG_BODY = 5,
       LOG_ATTRIBUTES = 6,
       LOG_TRACE_ID = 9,
       LOG_SPAN_ID = 10,
       LOG_OBSERVED = 11,
       LOG_EVENT_NAME = 12,
};

struct document {
    struct buf *out;
    struct any_pairs body, attributes; /* the body's are empty unless it is a map */
    uint64_t time_ns;
    bool first; /* no member in the present object yet */
};

static bool is(struct bytes text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

/* ---- members */

static enum err put_name(struct document *document, struct bytes name)
{
    enum err err = document->first ? OK : buf_append_byte(document->out, ',');

    document->first = false;
    if (!err)
        err = any_json_string(document->out, name);
    return err ? err : buf_append_byte(document->out, ':');
}

static enum err put_member(struct document *document, struct bytes name, struct bytes any)
{
    enum err err = put_name(document, name);
    return err ? err : any_json_write(document->out, any);
}

static enum err put_body(struct document *document, struct bytes body)
{
    struct any_pairs pairs = document->body;
    struct any_pair pair;
    enum err err = OK;

    if (pairs.number == 0)
        return put_member(document, bytes_from("log"), body);
    while (!err && any_pairs_next_last(&pairs, &pair))
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
    return is_map(document) ? any_pairs_have(document->body, name) : is(name, "log");
}

static bool in_attributes(const struct document *document, struct bytes name)
{
    struct any_pairs pairs = document->attributes;
    struct any_pair pair;

    while (any_pairs_next(&pairs, &pair)) {
        if (bytes_equal(attribute_name(pair.key), name))
            return true;
    }
    return false;
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
    struct any_pairs pairs = document->attributes;
    struct any_pair pair;
    enum err err = OK;

    size_t attributes = any_pairs_count(document->attributes);
    if (attributes > 0 && any_pairs_count(document->body) > NAMES_MAX / attributes)
        return put_own(document, "attributes", &err) ? any_json_map(document->out, pairs) : err;
    while (!err && any_pairs_next_last(&pairs, &pair)) {
        struct bytes name = attribute_name(pair.key);
        if (!in_body(document, name))
            err = put_member(document, name, pair.value);
    }
    return err;
}

static enum err put_hex(struct buf *out, struct bytes id)
{
    enum err err = buf_append_byte(out, '"');
    for (size_t i = 0; i < id.len && !err; i++) {
        char text[2];
        num_put_hex(text, id.data[i], sizeof text);
        err = buf_append(out, (struct bytes){(uint8_t *)text, sizeof text});
    }
    return err ? err : buf_append_byte(out, '"');
}

/* What else the record has; of a field that is there twice the last counts. */
static enum err put_fields(struct document *document, struct bytes record)
{
    struct wire_field field, last[LOG_EVENT_NAME + 1] = {0};
    enum err err = OK;

    while (wire_next(&record, &field))
        if (field.number <= LOG_EVENT_NAME)
            last[field.number] = field;
    if (last[LOG_SEVERITY_NUMBER].value != 0 && put_own(document, "severity_number", &err))
        err = any_json_integer(document->out, (int32_t)last[LOG_SEVERITY_NUMBER].value);
    if (last[LOG_SEVERITY_TEXT].payload.len > 0 && put_own(document, "severity_text", &err))
        err = any_json_string(document->out, last[LOG_SEVERITY_TEXT].payload);
    if (last[LOG_EVENT_NAME].payload.len > 0 && put_own(document, "event_name", &err))
        err = any_json_string(document->out, last[LOG_EVENT_NAME].payload);
    if (last[LOG_TRACE_ID].payload.len > 0 && put_own(document, "trace_id", &err))
        err = put_hex(document->out, last[LOG_TRACE_ID].payload);
    if (last[LOG_SPAN_ID].payload.len > 0 && put_own(document, "span_id", &err))
        err = put_hex(document->out, last[LOG_SPAN_ID].payload);
    return err;
}

/* ---- the document */

/* As printf writes "%.16g" of seconds that have ten digits: six behind the point, or fewer that say
 * the same. The fraction of such a double is a whole number of 1/2^32, so that it is exact. */
static char *put_ten_digits(char *into, double seconds)
{
    uint64_t whole = (uint64_t)seconds;
    uint64_t scaled = (uint64_t)((seconds - (double)whole) * 0x1p32) * 1000000;
    uint64_t micros = scaled >> 32, rest = scaled & UINT32_MAX;

    if (rest > 1u << 31 || (rest == 1u << 31 && micros % 2 == 1))
        micros++;
    char *end = num_put_u64(into, whole + micros / 1000000, 1);
    micros %= 1000000;
    if (micros == 0)
        return end;
    *end = '.';
    end = num_put_u64(end + 1, micros, 6);
    while (end[-1] == '0')
        end--;
    return end;
}

/* "1790164512.345679", to the microsecond that a double tells from the next one. */
static enum err put_timestamp(struct document *document)
{
    uint64_t whole = document->time_ns / SECOND_NS, rest = document->time_ns % SECOND_NS;
    double seconds = (double)whole + (double)rest / SECOND_NS;
    char text[2 * NUM_MAX];
    enum err err = OK;

    if (!put_own(document, "@timestamp", &err))
        return err;
    if (trunc(seconds) == seconds || seconds < 1e9 || seconds >= 9999999999.0)
        return buf_printf(document->out, trunc(seconds) == seconds ? "%.1f" : "%.16g", seconds);
    size_t len = (size_t)(put_ten_digits(text, seconds) - text);
    return buf_append(document->out, (struct bytes){(uint8_t *)text, len});
}

/* A container's line tells its time as the log file does, to the nanosecond. */
static enum err put_line_time(struct document *document)
{
    char text[RFC3339_SIZE];
    enum err err = OK;

    if (!any_pairs_have(document->attributes, bytes_from("log.iostream")) ||
        !put_own(document, "time", &err))
        return err;
    return any_json_string(document->out, bytes_from(rfc3339_nanos(document->time_ns, text)));
}

/* What of the resource nobody has said before. */
static enum err put_resource(struct document *document, const struct fluentbit_resource *resource)
{
    enum err err = OK;

    if (resource->kubernetes.len > 0 && put_own(document, "kubernetes", &err))
        err = buf_append(document->out, buf_bytes(&resource->kubernetes));
    if (!err && resource->rest.len > 0 && put_own(document, "resource", &err))
        err = buf_append(document->out, buf_bytes(&resource->rest));
    return err;
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

enum err fluentbit_json_write(struct bytes resource, struct bytes record, uint64_t accepted_ns,
                              struct fluentbit_resource *made, struct buf *out, struct error *error)
{
    struct document document = {.out = out, .attributes = {record, LOG_ATTRIBUTES}};
    struct bytes body = {0};

    bool sound = look_at(record, &document.time_ns, &body);
    if (document.time_ns == 0)
        document.time_ns = accepted_ns;
    document.body = any_map(body);
    document.first = true;
    enum err err = sound ? fluentbit_resource_make(made, resource) : ERR_INVALID;
    if (!err)
        err = buf_append_byte(out, '{');
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
        err = put_resource(&document, made);
    if (!err)
        err = buf_append_byte(out, '}');
    return err ? error_set(error, err, "write a log record as JSON") : OK;
}

static enum err visit_scope(struct bytes resource, struct bytes scope_logs,
                            fluentbit_record_fn *visit, void *user, struct error *error)
{
    struct wire_field field;

    while (wire_next(&scope_logs, &field)) {
        if (field.number != LOG_RECORDS || field.type != WIRE_LEN)
            continue;
        enum err err = visit(user, resource, field.payload, error);
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
        struct bytes resource = find_resource(field.payload);
        for (struct bytes rest = field.payload; wire_next(&rest, &inner);) {
            if (inner.number != SCOPE_LOGS || inner.type != WIRE_LEN)
                continue;
            enum err err = visit_scope(resource, inner.payload, visit, user, error);
            if (err)
                return err;
        }
    }
    return request.len > 0 ? error_set(error, ERR_INVALID, "records: the OTLP request is malformed")
                           : OK;
}
