#include "sidecar/process/sample.h"

#include "common/crc32c.h"
#include "sidecar/otlp/out.h"
#include "sidecar/process/trace_state.h"

#include <math.h>

enum { TRACE_ID_SIZE = 16, RANDOM_BYTES = 7, RANDOM_BITS = 56 };
enum { SPAN_TRACE_ID = 1, SPAN_TRACE_STATE = 3, LOG_TRACE_ID = 9 };

/* Four digits that tell, behind those that are all ones. */
static uint64_t rounded(uint64_t threshold, double ratio)
{
    int exponent = 0;

    frexp(ratio, &exponent); /* 0 or below */
    int digits = 4 + -exponent / 4, shift = digits < 14 ? 4 * (14 - digits) : 0;
    uint64_t half = shift > 0 ? UINT64_C(1) << (shift - 1) : 0;
    return (threshold + half) >> shift << shift;
}

uint64_t sample_threshold(double ratio)
{
    const uint64_t all = UINT64_C(1) << RANDOM_BITS;

    if (!(ratio > 0))
        return all;
    return ratio >= 1 ? 0 : rounded(all - (uint64_t)round(ratio * (double)all), ratio);
}

/* Spreads 32 bits over 64 (the end of splitmix64). */
static uint64_t mix(uint64_t value)
{
    value = (value + UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

static bool is_zero(struct bytes id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.data[i] != 0)
            return false;
    return true;
}

/* What its trace says of an item. */
struct origin {
    struct bytes trace_id;
    struct trace_state state;
    bool is_known; /* of the state */
};

static void find_origin(const struct item *item, struct origin *ret_origin)
{
    bool span = item->message == OTLP_SPAN;
    uint32_t id = span ? SPAN_TRACE_ID : LOG_TRACE_ID;
    struct bytes rest = item->bytes, text = {0};
    struct wire_field field;

    *ret_origin = (struct origin){0};
    while (rest.len > 0 && wire_next(&rest, &field)) {
        if (field.type != WIRE_LEN)
            continue;
        if (field.number == id)
            ret_origin->trace_id = field.payload;
        else if (span && field.number == SPAN_TRACE_STATE)
            text = field.payload;
    }
    ret_origin->is_known = trace_state_read(text, &ret_origin->state);
}

/* False: its trace has none. */
static bool find_randomness(const struct origin *origin, uint64_t *ret_random)
{
    struct bytes id = origin->trace_id;
    uint64_t random = 0;

    if (id.len != TRACE_ID_SIZE || is_zero(id))
        return false;
    for (size_t i = TRACE_ID_SIZE - RANDOM_BYTES; i < TRACE_ID_SIZE; i++)
        random = random << 8 | id.data[i];
    if (origin->is_known && origin->state.randomness != TRACE_STATE_ABSENT)
        random = origin->state.randomness;
    *ret_random = random;
    return true;
}

bool sample_keeps(uint64_t threshold, const struct item *item)
{
    struct origin origin;
    uint64_t random = 0;

    find_origin(item, &origin);
    if (!find_randomness(&origin, &random))
        random = mix(crc32c(0, item->bytes)) >> (64 - RANDOM_BITS);
    return random >= threshold;
}

/* The item with another tracestate behind the rest; an empty one is left out. */
static enum err write_span(struct bytes span, const struct trace_state *state, uint64_t threshold,
                           struct buf *out)
{
    struct out_mark mark;
    struct wire_field field;

    while (span.len > 0) {
        if (!wire_next(&span, &field))
            return ERR_INVALID;
        bool old = field.number == SPAN_TRACE_STATE && field.type == WIRE_LEN;
        enum err err = old ? OK : buf_append(out, field.whole);
        if (err)
            return err;
    }
    enum err err = out_open(out, SPAN_TRACE_STATE, state->text.len, &mark);
    if (!err)
        err = trace_state_write(state, threshold, out);
    if (err)
        return err;
    if (out->len > mark.body)
        return out_close(out, &mark);
    out_undo(out, &mark);
    return OK;
}

enum err sample_note(uint64_t threshold, const struct item *item, struct buf *out,
                     bool *ret_changed)
{
    size_t before = out->len;
    struct origin origin;
    uint64_t random = 0;

    *ret_changed = false;
    if (item->message != OTLP_SPAN || threshold == 0)
        return OK;
    find_origin(item, &origin);
    if (!origin.is_known || !find_randomness(&origin, &random))
        return OK;
    const struct trace_state *state = &origin.state;
    bool wrong = state->has_threshold &&
                 (state->threshold == TRACE_STATE_ABSENT || state->threshold > random);
    if (state->has_threshold && !wrong && state->threshold >= threshold)
        return OK;
    enum err err = write_span(item->bytes, state, wrong ? TRACE_STATE_ABSENT : threshold, out);
    *ret_changed = err == OK;
    if (err != ERR_INVALID)
        return err;
    out->len = before;
    return OK;
}
