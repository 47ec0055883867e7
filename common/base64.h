/* base64 (RFC 4648). */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include "common/buf.h"

#define BASE64_NONE 64 /* what no digit stands for */

/* Appends `data` in the standard alphabet, with padding. */
NODISCARD enum err base64_encode(struct bytes data, struct buf *into);

/* Appends what `text` stands for, in the standard or the URL alphabet; padding may be missing, line
 * ends are skipped. ERR_INVALID: anything else is in it; `into` may then hold a part. */
NODISCARD enum err base64_decode(struct bytes text, struct buf *into);

/* What a digit of either alphabet stands for, or BASE64_NONE. */
static inline unsigned base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - (unsigned)'A';
    if (c >= 'a' && c <= 'z')
        return c - (unsigned)'a' + 26;
    if (c >= '0' && c <= '9')
        return c - (unsigned)'0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : BASE64_NONE;
}

#endif
