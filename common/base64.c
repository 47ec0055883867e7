#include "common/base64.h"

enum err base64_encode(struct bytes data, struct buf *into)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (data.len == 0)
        return OK;
    enum err err = buf_reserve(into, (data.len + 2) / 3 * 4);
    if (err)
        return err;
    uint8_t *to = into->data + into->len;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t word = (uint32_t)data.data[i] << 16 |
                        (left > 1 ? (uint32_t)data.data[i + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)data.data[i + 2] : 0);
        *to++ = (uint8_t)digits[word >> 18];
        *to++ = (uint8_t)digits[word >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[word >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[word & 63] : '=';
    }
    into->len = (size_t)(to - into->data);
    return OK;
}

static bool is_line_end(uint8_t c)
{
    return c == '\r' || c == '\n';
}

enum err base64_decode(struct bytes text, struct buf *into)
{
    enum err err = OK;
    uint32_t word = 0;
    unsigned bits = 0;
    size_t digits = 0, i = 0;

    for (; !err && i < text.len && text.data[i] != '='; i++) {
        if (is_line_end(text.data[i]))
            continue;
        unsigned digit = base64_digit(text.data[i]);
        if (digit == BASE64_NONE)
            return ERR_INVALID;
        word = word << 6 | digit;
        bits += 6;
        digits++;
        if (bits >= 8) {
            bits -= 8;
            err = buf_append_byte(into, (uint8_t)(word >> bits));
        }
    }
    for (; i < text.len; i++) {
        if (text.data[i] != '=' && !is_line_end(text.data[i]))
            return ERR_INVALID;
    }
    return !err && digits % 4 == 1 ? ERR_INVALID : err;
}
