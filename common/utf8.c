#include "common/utf8.h"

unsigned utf8_sequence(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    uint8_t first = left > 0 ? at[0] : 0xff;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;

    unsigned need = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (left < need)
        return 0;
    for (unsigned i = 1; i < need; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((first == 0xe0 && at[1] < 0xa0) ||
        (first == 0xed && at[1] > 0x9f) || /* overlong, surrogate */
        (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f))
        return 0;
    return need;
}

const uint8_t *utf8_find_bad(struct bytes text)
{
    if (text.len == 0)
        return NULL;
    const uint8_t *at = text.data, *end = text.data + text.len;

    while (at < end) {
        if (end - at >= 8 && utf8_is_ascii(at, 8)) {
            at += 8;
            continue;
        }
        unsigned len = utf8_sequence(at, end);
        if (len == 0)
            return at;
        at += len;
    }
    return NULL;
}

uint8_t *utf8_put(uint8_t *to, uint32_t code_point)
{
    if (code_point < 0x80) {
        *to++ = (uint8_t)code_point;
        return to;
    }
    if (code_point < 0x800) {
        *to++ = (uint8_t)(0xc0 | code_point >> 6);
    } else {
        if (code_point < 0x10000) {
            *to++ = (uint8_t)(0xe0 | code_point >> 12);
        } else {
            *to++ = (uint8_t)(0xf0 | code_point >> 18);
            *to++ = (uint8_t)(0x80 | (code_point >> 12 & 0x3f));
        }
        *to++ = (uint8_t)(0x80 | (code_point >> 6 & 0x3f));
    }
    *to++ = (uint8_t)(0x80 | (code_point & 0x3f));
    return to;
}
