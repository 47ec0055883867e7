/* schema: the messages of OTLP as tables, from one list. The walk makes its steps from it, JSON its
 * names.
 *
 *   F(number, name, kind, rule, child)
 *
 * `name` is that of JSON; in protobuf it is the same in snake_case. `child` is the message of a
 * MESSAGE, else NONE. Rules say how often, and what a missing field means:
 *
 *   ONE    at most once; missing is the same as zero or empty
 *   OPT    at most once; present with zero differs from missing
 *   ALT    one of the message's alternatives (oneof); present with zero differs from missing
 *   MANY   any number, in order
 *   PACKED any number, in order, of numbers: one field each, or many in one (decoders take both)
 */
#ifndef SIDECAR_OTLP_SCHEMA_H
#define SIDECAR_OTLP_SCHEMA_H

#include "common/bytes.h"
#include "common/contract/signal.h"
#include "sidecar/otlp/wire.h"

#define OTLP_MESSAGES(M)                                              \
    M(TRACES_REQUEST, "ExportTraceServiceRequest")                    \
    M(METRICS_REQUEST, "ExportMetricsServiceRequest")                 \
    M(LOGS_REQUEST, "ExportLogsServiceRequest")                       \
    M(RESOURCE_SPANS, "ResourceSpans")                                \
    M(RESOURCE_METRICS, "ResourceMetrics")                            \
    M(RESOURCE_LOGS, "ResourceLogs")                                  \
    M(SCOPE_SPANS, "ScopeSpans")                                      \
    M(SCOPE_METRICS, "ScopeMetrics")                                  \
    M(SCOPE_LOGS, "ScopeLogs")                                        \
    M(RESOURCE, "Resource")                                           \
    M(ENTITY_REF, "EntityRef")                                        \
    M(SCOPE, "InstrumentationScope")                                  \
    M(KEY_VALUE, "KeyValue")                                          \
    M(ANY_VALUE, "AnyValue")                                          \
    M(ARRAY_VALUE, "ArrayValue")                                      \
    M(KEY_VALUE_LIST, "KeyValueList")                                 \
    M(SPAN, "Span")                                                   \
    M(SPAN_EVENT, "Span.Event")                                       \
    M(SPAN_LINK, "Span.Link")                                         \
    M(SPAN_STATUS, "Status")                                          \
    M(LOG_RECORD, "LogRecord")                                        \
    M(METRIC, "Metric")                                               \
    M(GAUGE, "Gauge")                                                 \
    M(SUM, "Sum")                                                     \
    M(HISTOGRAM, "Histogram")                                         \
    M(EXP_HISTOGRAM, "ExponentialHistogram")                          \
    M(SUMMARY, "Summary")                                             \
    M(NUMBER_POINT, "NumberDataPoint")                                \
    M(HISTOGRAM_POINT, "HistogramDataPoint")                          \
    M(EXP_HISTOGRAM_POINT, "ExponentialHistogramDataPoint")           \
    M(EXP_HISTOGRAM_BUCKETS, "ExponentialHistogramDataPoint.Buckets") \
    M(SUMMARY_POINT, "SummaryDataPoint")                              \
    M(SUMMARY_QUANTILE, "SummaryDataPoint.ValueAtQuantile")           \
    M(EXEMPLAR, "Exemplar")

#define OTLP_FIELDS_TRACES_REQUEST(F)  F(1, resourceSpans, MESSAGE, MANY, RESOURCE_SPANS)
#define OTLP_FIELDS_METRICS_REQUEST(F) F(1, resourceMetrics, MESSAGE, MANY, RESOURCE_METRICS)
#define OTLP_FIELDS_LOGS_REQUEST(F)    F(1, resourceLogs, MESSAGE, MANY, RESOURCE_LOGS)

#define OTLP_FIELDS_RESOURCE_SPANS(F)            \
    F(1, resource, MESSAGE, ONE, RESOURCE)       \
    F(2, scopeSpans, MESSAGE, MANY, SCOPE_SPANS) \
    F(3, schemaUrl, STRING, ONE, NONE)
#define OTLP_FIELDS_RESOURCE_METRICS(F)              \
    F(1, resource, MESSAGE, ONE, RESOURCE)           \
    F(2, scopeMetrics, MESSAGE, MANY, SCOPE_METRICS) \
    F(3, schemaUrl, STRING, ONE, NONE)
#define OTLP_FIELDS_RESOURCE_LOGS(F)           \
    F(1, resource, MESSAGE, ONE, RESOURCE)     \
    F(2, scopeLogs, MESSAGE, MANY, SCOPE_LOGS) \
    F(3, schemaUrl, STRING, ONE, NONE)

#define OTLP_FIELDS_SCOPE_SPANS(F)   \
    F(1, scope, MESSAGE, ONE, SCOPE) \
    F(2, spans, MESSAGE, MANY, SPAN) \
    F(3, schemaUrl, STRING, ONE, NONE)
#define OTLP_FIELDS_SCOPE_METRICS(F)     \
    F(1, scope, MESSAGE, ONE, SCOPE)     \
    F(2, metrics, MESSAGE, MANY, METRIC) \
    F(3, schemaUrl, STRING, ONE, NONE)
#define OTLP_FIELDS_SCOPE_LOGS(F)               \
    F(1, scope, MESSAGE, ONE, SCOPE)            \
    F(2, logRecords, MESSAGE, MANY, LOG_RECORD) \
    F(3, schemaUrl, STRING, ONE, NONE)

#define OTLP_FIELDS_RESOURCE(F)                     \
    F(1, attributes, MESSAGE, MANY, KEY_VALUE)      \
    F(2, droppedAttributesCount, UINT32, ONE, NONE) \
    F(3, entityRefs, MESSAGE, MANY, ENTITY_REF)
#define OTLP_FIELDS_ENTITY_REF(F)      \
    F(1, schemaUrl, STRING, ONE, NONE) \
    F(2, type, STRING, ONE, NONE)      \
    F(3, idKeys, STRING, MANY, NONE)   \
    F(4, descriptionKeys, STRING, MANY, NONE)
#define OTLP_FIELDS_SCOPE(F)                   \
    F(1, name, STRING, ONE, NONE)              \
    F(2, version, STRING, ONE, NONE)           \
    F(3, attributes, MESSAGE, MANY, KEY_VALUE) \
    F(4, droppedAttributesCount, UINT32, ONE, NONE)

#define OTLP_FIELDS_KEY_VALUE(F)         \
    F(1, key, STRING, ONE, NONE)         \
    F(2, value, MESSAGE, ONE, ANY_VALUE) \
    F(3, keyStrindex, INT32, ONE, NONE)
#define OTLP_FIELDS_ANY_VALUE(F)                    \
    F(1, stringValue, STRING, ALT, NONE)            \
    F(2, boolValue, BOOL, ALT, NONE)                \
    F(3, intValue, INT64, ALT, NONE)                \
    F(4, doubleValue, DOUBLE, ALT, NONE)            \
    F(5, arrayValue, MESSAGE, ALT, ARRAY_VALUE)     \
    F(6, kvlistValue, MESSAGE, ALT, KEY_VALUE_LIST) \
    F(7, bytesValue, BYTES, ALT, NONE)              \
    F(8, stringValueStrindex, INT32, ALT, NONE)
#define OTLP_FIELDS_ARRAY_VALUE(F)    F(1, values, MESSAGE, MANY, ANY_VALUE)
#define OTLP_FIELDS_KEY_VALUE_LIST(F) F(1, values, MESSAGE, MANY, KEY_VALUE)

#define OTLP_FIELDS_SPAN(F)                          \
    F(1, traceId, TRACE_ID, ONE, NONE)               \
    F(2, spanId, SPAN_ID, ONE, NONE)                 \
    F(3, traceState, STRING, ONE, NONE)              \
    F(4, parentSpanId, SPAN_ID, ONE, NONE)           \
    F(5, name, STRING, ONE, NONE)                    \
    F(6, kind, ENUM, ONE, NONE)                      \
    F(7, startTimeUnixNano, FIXED64, ONE, NONE)      \
    F(8, endTimeUnixNano, FIXED64, ONE, NONE)        \
    F(9, attributes, MESSAGE, MANY, KEY_VALUE)       \
    F(10, droppedAttributesCount, UINT32, ONE, NONE) \
    F(11, events, MESSAGE, MANY, SPAN_EVENT)         \
    F(12, droppedEventsCount, UINT32, ONE, NONE)     \
    F(13, links, MESSAGE, MANY, SPAN_LINK)           \
    F(14, droppedLinksCount, UINT32, ONE, NONE)      \
    F(15, status, MESSAGE, ONE, SPAN_STATUS)         \
    F(16, flags, FIXED32, ONE, NONE)
#define OTLP_FIELDS_SPAN_EVENT(F)              \
    F(1, timeUnixNano, FIXED64, ONE, NONE)     \
    F(2, name, STRING, ONE, NONE)              \
    F(3, attributes, MESSAGE, MANY, KEY_VALUE) \
    F(4, droppedAttributesCount, UINT32, ONE, NONE)
#define OTLP_FIELDS_SPAN_LINK(F)                    \
    F(1, traceId, TRACE_ID, ONE, NONE)              \
    F(2, spanId, SPAN_ID, ONE, NONE)                \
    F(3, traceState, STRING, ONE, NONE)             \
    F(4, attributes, MESSAGE, MANY, KEY_VALUE)      \
    F(5, droppedAttributesCount, UINT32, ONE, NONE) \
    F(6, flags, FIXED32, ONE, NONE)
#define OTLP_FIELDS_SPAN_STATUS(F)   \
    F(2, message, STRING, ONE, NONE) \
    F(3, code, ENUM, ONE, NONE)

#define OTLP_FIELDS_LOG_RECORD(F)                   \
    F(1, timeUnixNano, FIXED64, ONE, NONE)          \
    F(2, severityNumber, ENUM, ONE, NONE)           \
    F(3, severityText, STRING, ONE, NONE)           \
    F(5, body, MESSAGE, ONE, ANY_VALUE)             \
    F(6, attributes, MESSAGE, MANY, KEY_VALUE)      \
    F(7, droppedAttributesCount, UINT32, ONE, NONE) \
    F(8, flags, FIXED32, ONE, NONE)                 \
    F(9, traceId, TRACE_ID, ONE, NONE)              \
    F(10, spanId, SPAN_ID, ONE, NONE)               \
    F(11, observedTimeUnixNano, FIXED64, ONE, NONE) \
    F(12, eventName, STRING, ONE, NONE)

#define OTLP_FIELDS_METRIC(F)                                \
    F(1, name, STRING, ONE, NONE)                            \
    F(2, description, STRING, ONE, NONE)                     \
    F(3, unit, STRING, ONE, NONE)                            \
    F(5, gauge, MESSAGE, ALT, GAUGE)                         \
    F(7, sum, MESSAGE, ALT, SUM)                             \
    F(9, histogram, MESSAGE, ALT, HISTOGRAM)                 \
    F(10, exponentialHistogram, MESSAGE, ALT, EXP_HISTOGRAM) \
    F(11, summary, MESSAGE, ALT, SUMMARY)                    \
    F(12, metadata, MESSAGE, MANY, KEY_VALUE)
#define OTLP_FIELDS_GAUGE(F) F(1, dataPoints, MESSAGE, MANY, NUMBER_POINT)
#define OTLP_FIELDS_SUM(F)                        \
    F(1, dataPoints, MESSAGE, MANY, NUMBER_POINT) \
    F(2, aggregationTemporality, ENUM, ONE, NONE) \
    F(3, isMonotonic, BOOL, ONE, NONE)
#define OTLP_FIELDS_HISTOGRAM(F)                     \
    F(1, dataPoints, MESSAGE, MANY, HISTOGRAM_POINT) \
    F(2, aggregationTemporality, ENUM, ONE, NONE)
#define OTLP_FIELDS_EXP_HISTOGRAM(F)                     \
    F(1, dataPoints, MESSAGE, MANY, EXP_HISTOGRAM_POINT) \
    F(2, aggregationTemporality, ENUM, ONE, NONE)
#define OTLP_FIELDS_SUMMARY(F) F(1, dataPoints, MESSAGE, MANY, SUMMARY_POINT)

#define OTLP_FIELDS_NUMBER_POINT(F)             \
    F(2, startTimeUnixNano, FIXED64, ONE, NONE) \
    F(3, timeUnixNano, FIXED64, ONE, NONE)      \
    F(4, asDouble, DOUBLE, ALT, NONE)           \
    F(5, exemplars, MESSAGE, MANY, EXEMPLAR)    \
    F(6, asInt, SFIXED64, ALT, NONE)            \
    F(7, attributes, MESSAGE, MANY, KEY_VALUE)  \
    F(8, flags, UINT32, ONE, NONE)
#define OTLP_FIELDS_HISTOGRAM_POINT(F)          \
    F(2, startTimeUnixNano, FIXED64, ONE, NONE) \
    F(3, timeUnixNano, FIXED64, ONE, NONE)      \
    F(4, count, FIXED64, ONE, NONE)             \
    F(5, sum, DOUBLE, OPT, NONE)                \
    F(6, bucketCounts, FIXED64, PACKED, NONE)   \
    F(7, explicitBounds, DOUBLE, PACKED, NONE)  \
    F(8, exemplars, MESSAGE, MANY, EXEMPLAR)    \
    F(9, attributes, MESSAGE, MANY, KEY_VALUE)  \
    F(10, flags, UINT32, ONE, NONE)             \
    F(11, min, DOUBLE, OPT, NONE)               \
    F(12, max, DOUBLE, OPT, NONE)
#define OTLP_FIELDS_EXP_HISTOGRAM_POINT(F)              \
    F(1, attributes, MESSAGE, MANY, KEY_VALUE)          \
    F(2, startTimeUnixNano, FIXED64, ONE, NONE)         \
    F(3, timeUnixNano, FIXED64, ONE, NONE)              \
    F(4, count, FIXED64, ONE, NONE)                     \
    F(5, sum, DOUBLE, OPT, NONE)                        \
    F(6, scale, SINT32, ONE, NONE)                      \
    F(7, zeroCount, FIXED64, ONE, NONE)                 \
    F(8, positive, MESSAGE, ONE, EXP_HISTOGRAM_BUCKETS) \
    F(9, negative, MESSAGE, ONE, EXP_HISTOGRAM_BUCKETS) \
    F(10, flags, UINT32, ONE, NONE)                     \
    F(11, exemplars, MESSAGE, MANY, EXEMPLAR)           \
    F(12, min, DOUBLE, OPT, NONE)                       \
    F(13, max, DOUBLE, OPT, NONE)                       \
    F(14, zeroThreshold, DOUBLE, ONE, NONE)
#define OTLP_FIELDS_EXP_HISTOGRAM_BUCKETS(F) \
    F(1, offset, SINT32, ONE, NONE)          \
    F(2, bucketCounts, UINT64, PACKED, NONE)
#define OTLP_FIELDS_SUMMARY_POINT(F)                      \
    F(2, startTimeUnixNano, FIXED64, ONE, NONE)           \
    F(3, timeUnixNano, FIXED64, ONE, NONE)                \
    F(4, count, FIXED64, ONE, NONE)                       \
    F(5, sum, DOUBLE, ONE, NONE)                          \
    F(6, quantileValues, MESSAGE, MANY, SUMMARY_QUANTILE) \
    F(7, attributes, MESSAGE, MANY, KEY_VALUE)            \
    F(8, flags, UINT32, ONE, NONE)
#define OTLP_FIELDS_SUMMARY_QUANTILE(F) \
    F(1, quantile, DOUBLE, ONE, NONE)   \
    F(2, value, DOUBLE, ONE, NONE)
#define OTLP_FIELDS_EXEMPLAR(F)            \
    F(2, timeUnixNano, FIXED64, ONE, NONE) \
    F(3, asDouble, DOUBLE, ALT, NONE)      \
    F(4, spanId, SPAN_ID, ONE, NONE)       \
    F(5, traceId, TRACE_ID, ONE, NONE)     \
    F(6, asInt, SFIXED64, ALT, NONE)       \
    F(7, filteredAttributes, MESSAGE, MANY, KEY_VALUE)

enum otlp_message_id {
#define M(id, name) OTLP_##id,
    OTLP_MESSAGES(M)
#undef M
        OTLP_MESSAGE_COUNT,
    OTLP_NONE = OTLP_MESSAGE_COUNT
};

/* K(kind, wire type, name in protobuf). Ids are bytes that JSON writes in hex, and either empty or
 * of their exact length: backends refuse a whole request for one of another. */
#define OTLP_KINDS(K)                     \
    K(MESSAGE, WIRE_LEN, "message")       \
    K(STRING, WIRE_LEN, "string")         \
    K(BYTES, WIRE_LEN, "bytes")           \
    K(TRACE_ID, WIRE_LEN, "bytes")        \
    K(SPAN_ID, WIRE_LEN, "bytes")         \
    K(BOOL, WIRE_VARINT, "bool")          \
    K(ENUM, WIRE_VARINT, "enum")          \
    K(INT32, WIRE_VARINT, "int32")        \
    K(UINT32, WIRE_VARINT, "uint32")      \
    K(SINT32, WIRE_VARINT, "sint32")      \
    K(INT64, WIRE_VARINT, "int64")        \
    K(UINT64, WIRE_VARINT, "uint64")      \
    K(FIXED32, WIRE_FIXED32, "fixed32")   \
    K(FIXED64, WIRE_FIXED64, "fixed64")   \
    K(SFIXED64, WIRE_FIXED64, "sfixed64") \
    K(DOUBLE, WIRE_FIXED64, "double")

enum otlp_kind {
#define K(kind, wire, name) OTLP_KIND_##kind,
    OTLP_KINDS(K)
#undef K
};

enum otlp_rule { OTLP_RULE_ONE, OTLP_RULE_OPT, OTLP_RULE_ALT, OTLP_RULE_MANY, OTLP_RULE_PACKED };

struct otlp_field {
    const char *name; /* lowerCamelCase */
    uint8_t name_len;
    uint8_t number;
    enum otlp_kind kind;
    enum otlp_rule rule;
    enum otlp_message_id child;
};

struct otlp_message {
    const char *name; /* as in the .proto files */
    const struct otlp_field *fields;
    size_t field_count; /* at most OTLP_FIELDS_MAX */
};

#define OTLP_FIELDS_MAX 16

extern const struct otlp_message otlp_messages[OTLP_MESSAGE_COUNT];

enum wire_type otlp_kind_wire(enum otlp_kind kind);

/* The message that a request of this signal is. */
enum otlp_message_id otlp_request_id(enum signal signal);

/* NULL: the message has no such field. A name may be in lowerCamelCase or in snake_case. */
const struct otlp_field *otlp_field_by_number(enum otlp_message_id message, uint32_t number);
const struct otlp_field *otlp_field_by_name(enum otlp_message_id message, struct bytes name);

/* The number behind "SPAN_KIND_SERVER" for a field of kind ENUM. False: it has no such value. */
bool otlp_enum_by_name(enum otlp_message_id message, const struct otlp_field *field,
                       struct bytes name, int32_t *ret_value);

/* Writes a field's name in snake_case, cut to `size`, and returns `to`. */
char *otlp_field_snake(const struct otlp_field *field, char *to, size_t size);

#define OTLP_SNAKE_MAX 40

#endif
