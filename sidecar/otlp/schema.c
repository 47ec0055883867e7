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

const char *otlp_kind_name(enum otlp_kind kind)
{
    static const char *const names[] = {
#define K(kind, wire, name) [OTLP_KIND_##kind] = (name),
        OTLP_KINDS(K)
#undef K
    };
    return names[kind];
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

const struct otlp_field *otlp_field_by_name(enum otlp_message_id message, struct bytes name)
{
    const struct otlp_message *in = &otlp_messages[message];

    for (size_t i = 0; i < in->field_count; i++) {
        const struct otlp_field *field = &in->fields[i];
        if (field->name_len == name.len && memcmp(field->name, name.data, name.len) == 0)
            return field;
    }
    return NULL;
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
