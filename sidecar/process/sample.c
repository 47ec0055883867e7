#include "sidecar/process/sample.h"

#include "common/crc32c.h"

#include <math.h>

enum { TRACE_ID_SIZE = 16, RANDOM_BYTES = 7, RANDOM_BITS = 56 };

uint64_t sample_threshold(double ratio)
{
    const double all = (double)(UINT64_C(1) << RANDOM_BITS);

    if (!(ratio > 0))
        return UINT64_C(1) << RANDOM_BITS;
    return ratio >= 1 ? 0 : (uint64_t)round((1 - ratio) * all);
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

bool sample_keeps(uint64_t threshold, const struct item *item)
{
    struct bytes id = item_trace_id(item);
    uint64_t random = 0;

    if (id.len != TRACE_ID_SIZE || is_zero(id))
        return mix(crc32c(0, item->bytes)) >> (64 - RANDOM_BITS) >= threshold;
    for (size_t i = TRACE_ID_SIZE - RANDOM_BYTES; i < TRACE_ID_SIZE; i++)
        random = random << 8 | id.data[i];
    return random >= threshold;
}
