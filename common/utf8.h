/* utf8: is it UTF-8? As protobuf asks for it: no surrogates, no overlong forms, up to U+10FFFF. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include "common/bytes.h"

/* The first byte of the first bad sequence, or NULL. */
const uint8_t *utf8_find_bad(struct bytes text);

/* The length of the valid sequence at `at` (1 to 4), or 0. */
unsigned utf8_sequence(const uint8_t *at, const uint8_t *end);

/* Writes a code point of at most 0x10ffff and returns the end; at most 4 bytes. */
uint8_t *utf8_put(uint8_t *to, uint32_t code_point);

/* Telemetry is short ASCII strings nearly always, so that case is worth having inline. Blocks at
 * both ends overlap instead of leaving a tail. */
static inline bool utf8_is_ascii(const uint8_t *data, size_t len)
{
    const uint64_t high = UINT64_C(0x8080808080808080);
    uint64_t all, word;

    if (len >= 8) {
        memcpy(&all, data + len - 8, 8);
        for (size_t i = 0; i + 8 < len; i += 8) {
            memcpy(&word, data + i, 8);
            all |= word;
        }
        return (all & high) == 0;
    }
    if (len >= 4) {
        uint32_t first, last;
        memcpy(&first, data, 4);
        memcpy(&last, data + len - 4, 4);
        return ((first | last) & (uint32_t)high) == 0;
    }
    all = 0;
    for (size_t i = 0; i < len; i++)
        all |= data[i];
    return (all & 0x80) == 0;
}

static inline bool utf8_is_valid(struct bytes text)
{
    return utf8_is_ascii(text.data, text.len) || utf8_find_bad(text) == NULL;
}

#endif
