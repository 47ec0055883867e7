#include "sidecar/otlp/schema.h"

#include "common/assert.h"

#include <ctype.h>

#define FIELD(number, name, kind, rule, child) \
    {#name, sizeof #name - 1, number, OTLP_KIND_##kind, OTLP_RULE_##rule, OTLP_##child},
#define M(id, name)                                                           \
    static const struct otlp_field fields_##id[] = {OTLP_FIELDS_##id(FIELD)}; \
    _Static_assert(sizeof fields_##id / sizeof fields_##id[0] <= OTLP_FIELDS_MAX, #id);
OTLP_MESSAGES(M)
#undef M
#undef FIELD

const struct otlp_message otlp_messages[OTLP_MESSAGE_COUNT] = {
#define M(id, name) [OTLP_##id] = {name, fields_##id, sizeof fields_##id / sizeof fields_##id[0]},
    OTLP_MESSAGES(M)
#undef M
};

enum wire_type otlp_kind_wire(enum otlp_kind kind)
{
    static const enum wire_type wires[] = {
#define K(kind, wire, name) [OTLP_KIND_##kind] = (wire),
        OTLP_KINDS(K)
#undef K
    };
    return wires[kind];
}

enum otlp_message_id otlp_request_id(enum signal signal)
{
    ASSERT(signal < SIGNAL_COUNT);
    return signal == SIGNAL_TRACES    ? OTLP_TRACES_REQUEST
           : signal == SIGNAL_METRICS ? OTLP_METRICS_REQUEST
                                      : OTLP_LOGS_REQUEST;
}

const struct otlp_field *otlp_field_by_number(enum otlp_message_id message, uint32_t number)
{
    const struct otlp_message *in = &otlp_messages[message];

    for (size_t i = 0; i < in->field_count; i++) {
        if (in->fields[i].number == number)
            return &in->fields[i];
    }
    return NULL;
}

/* "trace_id" for "traceId". */
static bool is_snake_of(const char *camel, struct bytes name)
{
    size_t at = 0;

    for (; *camel != '\0'; camel++) {
        if (isupper((unsigned char)*camel) && (at == name.len || name.data[at++] != '_'))
            return false;
        if (at == name.len || name.data[at++] != tolower((unsigned char)*camel))
            return false;
    }
    return at == name.len;
}

const struct otlp_field *otlp_field_by_name(enum otlp_message_id message, struct bytes name)
{
    const struct otlp_message *in = &otlp_messages[message];

    for (size_t i = 0; i < in->field_count; i++) {
        const struct otlp_field *field = &in->fields[i];
        if (field->name_len == name.len && memcmp(field->name, name.data, name.len) == 0)
            return field;
    }
    if (name.len == 0 || memchr(name.data, '_', name.len) == NULL)
        return NULL;
    for (size_t i = 0; i < in->field_count; i++)
        if (is_snake_of(in->fields[i].name, name))
            return &in->fields[i];
    return NULL;
}

/* Their places are their numbers. */
static const char *const span_kinds[] = {"UNSPECIFIED", "INTERNAL", "SERVER",
                                         "CLIENT",      "PRODUCER", "CONSUMER"};
static const char *const status_codes[] = {"UNSET", "OK", "ERROR"};
static const char *const temporalities[] = {"UNSPECIFIED", "DELTA", "CUMULATIVE"};
static const char *const severities[] = {
    "UNSPECIFIED", "TRACE",  "TRACE2", "TRACE3", "TRACE4", "DEBUG",  "DEBUG2", "DEBUG3", "DEBUG4",
    "INFO",        "INFO2",  "INFO3",  "INFO4",  "WARN",   "WARN2",  "WARN3",  "WARN4",  "ERROR",
    "ERROR2",      "ERROR3", "ERROR4", "FATAL",  "FATAL2", "FATAL3", "FATAL4"};

#define ENUM(message, number, prefix, names)                       \
    {                                                              \
        OTLP_##message, number, prefix, sizeof(prefix) - 1, names, \
            sizeof(names) / sizeof(names)[0]                       \
    }

static const struct {
    enum otlp_message_id message;
    uint32_t number;
    const char *prefix;
    size_t prefix_len;
    const char *const *names;
    size_t name_count;
} enums[] = {
    ENUM(SPAN, 6, "SPAN_KIND_", span_kinds),
    ENUM(SPAN_STATUS, 3, "STATUS_CODE_", status_codes),
    ENUM(LOG_RECORD, 2, "SEVERITY_NUMBER_", severities),
    ENUM(SUM, 2, "AGGREGATION_TEMPORALITY_", temporalities),
    ENUM(HISTOGRAM, 2, "AGGREGATION_TEMPORALITY_", temporalities),
    ENUM(EXP_HISTOGRAM, 2, "AGGREGATION_TEMPORALITY_", temporalities),
};

bool otlp_enum_by_name(enum otlp_message_id message, const struct otlp_field *field,
                       struct bytes name, int32_t *ret_value)
{
    size_t of = 0;

    while (enums[of].message != message || enums[of].number != field->number) {
        of++;
        ASSERT(of < sizeof enums / sizeof enums[0]); /* each field of kind ENUM has its row */
    }
    size_t skip = enums[of].prefix_len;
    if (name.len <= skip || memcmp(name.data, enums[of].prefix, skip) != 0)
        return false;
    name = (struct bytes){name.data + skip, name.len - skip};
    for (size_t i = 0; i < enums[of].name_count; i++) {
        if (bytes_equal(name, bytes_from(enums[of].names[i]))) {
            *ret_value = (int32_t)i;
            return true;
        }
    }
    return false;
}

char *otlp_field_snake(const struct otlp_field *field, char *to, size_t size)
{
    size_t at = 0;

    for (const char *from = field->name; *from != '\0' && at + 2 < size; from++) {
        if (isupper((unsigned char)*from))
            to[at++] = '_';
        to[at++] = (char)tolower((unsigned char)*from);
    }
    to[at] = '\0';
    return to;
}
