#include "sidecar/lines/mark.h"

#include "sidecar/otlp/wire.h"

enum kind { NOTHING, ONLY_TO, ALL };

static enum kind kind_of(const struct lines_emitted *emitted)
{
    if (emitted->within != 0 || emitted->part != 0 || emitted->time_ns != 0)
        return ALL;
    return emitted->to != 0 ? ONLY_TO : NOTHING;
}

/* Small numbers for what lies near, on either side. */
static uint64_t zigzag(uint64_t to, uint64_t from)
{
    uint64_t distance = to - from;
    return distance << 1 ^ (distance >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t number, uint64_t from)
{
    return from + (number >> 1 ^ (number & 1 ? UINT64_MAX : 0));
}

uint8_t *lines_mark_put(uint8_t *to, const struct lines_mark *mark)
{
    uint64_t kinds = 0;

    for (unsigned i = 0; i < LINES_STREAMS; i++)
        kinds |= (uint64_t)kind_of(&mark->streams[i]) << 2 * i;
    to = wire_put_varint(to, mark->resume);
    to = wire_put_varint(to, kinds);
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        const struct lines_emitted *emitted = &mark->streams[i];
        enum kind kind = kind_of(emitted);
        if (kind != NOTHING)
            to = wire_put_varint(to, zigzag(emitted->to, mark->resume));
        if (kind == ALL) {
            to = wire_put_varint(to, emitted->within);
            to = wire_put_varint(to, emitted->part);
            to = wire_put_varint(to, emitted->time_ns);
        }
    }
    return to;
}

bool lines_mark_get(struct bytes *rest, struct lines_mark *ret_mark)
{
    const uint8_t *at = rest->data, *end = rest->data + rest->len;
    struct lines_mark mark = {0};
    uint64_t kinds = 0;

    if (!wire_varint(&at, end, &mark.resume) || !wire_varint(&at, end, &kinds) ||
        kinds >> 2 * LINES_STREAMS != 0)
        return false;
    for (unsigned i = 0; i < LINES_STREAMS; i++) {
        struct lines_emitted *emitted = &mark.streams[i];
        unsigned kind = kinds >> 2 * i & 3;
        uint64_t distance = 0;
        if (kind > ALL || (kind != NOTHING && !wire_varint(&at, end, &distance)))
            return false;
        emitted->to = kind == NOTHING ? 0 : unzigzag(distance, mark.resume);
        if (kind == ALL &&
            (!wire_varint(&at, end, &emitted->within) || !wire_varint(&at, end, &emitted->part) ||
             !wire_varint(&at, end, &emitted->time_ns)))
            return false;
    }
    *rest = (struct bytes){at, (size_t)(end - at)};
    *ret_mark = mark;
    return true;
}
