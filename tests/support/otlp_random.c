#include "tests/support/otlp_random.h"

#include "common/assert.h"
#include "sidecar/otlp/schema.h"
#include "sidecar/otlp/wire.h"

enum { VALUE_DEPTH = 9 }; /* of attribute values within each other */

uint64_t otlp_random_next(struct otlp_random *random) /* splitmix64 */
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

unsigned otlp_random_below(struct otlp_random *random, unsigned limit)
{
    return (unsigned)(otlp_random_next(random) % limit);
}

static bool one_in(struct otlp_random *random, unsigned n)
{
    return otlp_random_below(random, n) == 0;
}

static void put(struct buf *out, const void *data, size_t len)
{
    enum err err = buf_append(out, (struct bytes){data, len});
    ASSERT(err == OK);
}

static void put_varint(struct otlp_random *random, uint64_t value, struct buf *out)
{
    uint8_t bytes[WIRE_VARINT_MAX + 1];
    size_t len = (size_t)(wire_put_varint(bytes, value) - bytes);

    if (random->odd && len < 4 && one_in(random, 50)) { /* longer than it must be */
        bytes[len - 1] |= 0x80;
        bytes[len++] = 0;
    }
    put(out, bytes, len);
}

static uint64_t number(struct otlp_random *random)
{
    static const uint64_t special[] = {0,     1,         127,       128,       16383,
                                       16384, INT32_MAX, INT64_MAX, UINT64_MAX};

    if (one_in(random, 3))
        return special[otlp_random_below(random, sizeof special / sizeof special[0])];
    return otlp_random_next(random) >> otlp_random_below(random, 64);
}

static void put_text(struct otlp_random *random, bool plain, struct buf *out)
{
    static const char *const words[] = {
        "service.name",
        "http.method",
        "GET",
        "checkout",
        "",
        "k",
        "größe",
        "日本語",
        "🦜",
        "a longer text, with blanks and more than sixteen bytes of it"};
    AUTO(buf_fini) struct buf text = {0};
    unsigned count = otlp_random_below(random, one_in(random, 20) ? 12 : 3);

    for (unsigned i = 0; i <= count; i++) {
        const char *word = words[otlp_random_below(random, plain ? 6 : 10)];
        put(&text, word, strlen(word));
    }
    put_varint(random, text.len, out);
    put(out, text.data, text.len);
}

static void put_bytes(struct otlp_random *random, size_t len, struct buf *out)
{
    put_varint(random, len, out);
    while (len-- > 0) {
        uint8_t byte = (uint8_t)otlp_random_next(random);
        put(out, &byte, 1);
    }
}

static void put_scalar(struct otlp_random *random, enum otlp_kind kind, struct buf *out)
{
    uint8_t bytes[8];

    switch (kind) {
    case OTLP_KIND_STRING:
        put_text(random, false, out);
        break;
    case OTLP_KIND_BYTES:
        put_bytes(random, otlp_random_below(random, 20), out);
        break;
    case OTLP_KIND_TRACE_ID:
        put_bytes(random, 16 * otlp_random_below(random, 2), out);
        break;
    case OTLP_KIND_SPAN_ID:
        put_bytes(random, 8 * otlp_random_below(random, 2), out);
        break;
    case OTLP_KIND_BOOL:
        put_varint(random, otlp_random_below(random, 2), out);
        break;
    case OTLP_KIND_ENUM:
        put_varint(random, otlp_random_below(random, 5), out);
        break;
    case OTLP_KIND_UINT32:
        put_varint(random, (uint32_t)number(random), out);
        break;
    case OTLP_KIND_INT32:
    case OTLP_KIND_SINT32:
        put_varint(random, (uint32_t)number(random) >> 1, out);
        break;
    case OTLP_KIND_INT64:
    case OTLP_KIND_UINT64:
        put_varint(random, number(random), out);
        break;
    case OTLP_KIND_FIXED32:
        wire_put_fixed32(bytes, (uint32_t)number(random));
        put(out, bytes, 4);
        break;
    case OTLP_KIND_FIXED64:
    case OTLP_KIND_SFIXED64:
    case OTLP_KIND_DOUBLE:
        wire_put_fixed64(bytes, number(random));
        put(out, bytes, 8);
        break;
    case OTLP_KIND_MESSAGE:
        ASSERT(kind != OTLP_KIND_MESSAGE);
    }
}

static void put_unknown(struct otlp_random *random, struct buf *out)
{
    static const enum wire_type types[] = {WIRE_VARINT, WIRE_FIXED64, WIRE_LEN, WIRE_FIXED32,
                                           WIRE_GROUP};
    enum wire_type type = types[otlp_random_below(random, 5)];
    uint32_t number_ = 100 + otlp_random_below(random, 3000);

    put_varint(random, WIRE_TAG(number_, type), out);
    switch (type) {
    case WIRE_VARINT:
        put_varint(random, number(random), out);
        break;
    case WIRE_FIXED64:
        put_scalar(random, OTLP_KIND_FIXED64, out);
        break;
    case WIRE_LEN:
        put_bytes(random, otlp_random_below(random, 10), out);
        break;
    case WIRE_FIXED32:
        put_scalar(random, OTLP_KIND_FIXED32, out);
        break;
    case WIRE_GROUP:
        put_varint(random, WIRE_TAG(3, WIRE_VARINT), out);
        put_varint(random, 7, out);
        put_varint(random, WIRE_TAG(number_, WIRE_GROUP_END), out);
        break;
    case WIRE_GROUP_END:
        break;
    }
}

static void put_message(struct otlp_random *random, enum otlp_message_id id, unsigned depth,
                        struct buf *out);

static void put_packed(struct otlp_random *random, const struct otlp_field *field, unsigned count,
                       struct buf *out)
{
    AUTO(buf_fini) struct buf list = {0};

    for (unsigned i = 0; i < count; i++)
        put_scalar(random, field->kind, &list);
    put_varint(random, WIRE_TAG(field->number, WIRE_LEN), out);
    put_varint(random, list.len, out);
    put(out, list.data, list.len);
}

static void put_field(struct otlp_random *random, const struct otlp_field *field, unsigned depth,
                      struct buf *out)
{
    if (field->kind == OTLP_KIND_MESSAGE) {
        AUTO(buf_fini) struct buf child = {0};
        put_message(random, field->child, depth + 1, &child);
        put_varint(random, WIRE_TAG(field->number, WIRE_LEN), out);
        put_varint(random, child.len, out);
        put(out, child.data, child.len);
        return;
    }
    put_varint(random, WIRE_TAG(field->number, otlp_kind_wire(field->kind)), out);
    put_scalar(random, field->kind, out);
}

/* How often a field is there, this time. */
static unsigned times(struct otlp_random *random, const struct otlp_field *field, unsigned chosen,
                      unsigned depth)
{
    unsigned list_max = random->list_max != 0 ? random->list_max : 3;

    switch (field->rule) {
    case OTLP_RULE_MANY:
        return depth > VALUE_DEPTH ? 0 : otlp_random_below(random, list_max + 1);
    case OTLP_RULE_PACKED:
        return otlp_random_below(random, 6);
    case OTLP_RULE_ALT:
        return field->number == chosen && depth <= VALUE_DEPTH + 1;
    case OTLP_RULE_ONE:
    case OTLP_RULE_OPT:
        break;
    }
    if (random->odd && field->kind == OTLP_KIND_MESSAGE && one_in(random, 6))
        return 2;
    return !one_in(random, 4);
}

static void put_fields(struct otlp_random *random, const struct otlp_message *message,
                       unsigned chosen, unsigned depth, struct buf *out)
{
    size_t turn = random->odd ? otlp_random_below(random, (unsigned)message->field_count) : 0;

    for (size_t i = 0; i < message->field_count; i++) {
        const struct otlp_field *field = &message->fields[(i + turn) % message->field_count];
        unsigned count = times(random, field, chosen, depth);
        if (random->odd && one_in(random, 25))
            put_unknown(random, out);
        if (field->rule == OTLP_RULE_PACKED && (!random->odd || one_in(random, 2))) {
            if (count > 0)
                put_packed(random, field, count, out);
            continue;
        }
        for (unsigned k = 0; k < count; k++)
            put_field(random, field, depth, out);
    }
}

static void put_message(struct otlp_random *random, enum otlp_message_id id, unsigned depth,
                        struct buf *out)
{
    const struct otlp_message *message = &otlp_messages[id];
    const struct otlp_field *alternatives[OTLP_FIELDS_MAX];
    unsigned count = 0, chosen = 0;

    for (size_t i = 0; i < message->field_count; i++) {
        if (message->fields[i].rule == OTLP_RULE_ALT)
            alternatives[count++] = &message->fields[i];
    }
    if (count > 0) {
        unsigned at = otlp_random_below(random, count + 1);
        if (id == OTLP_ANY_VALUE && !one_in(random, 4))
            at = 0; /* strings nearly always */
        chosen = at < count ? alternatives[at]->number : 0;
    }
    put_fields(random, message, chosen, depth, out);
    if (random->odd && chosen != 0 && one_in(random, 30))
        put_fields(random, message, chosen, depth, out);
}

void otlp_random_request(struct otlp_random *random, enum signal signal, struct buf *out)
{
    put_message(random, otlp_request_id(signal), 1, out);
}
