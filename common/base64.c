#include "common/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum err base64_encode(struct bytes data, struct buf *into)
{
    for (size_t i = 0; i < data.len; i += 3) {
        size_t n = data.len - i < 3 ? data.len - i : 3;
        uint32_t bits = (uint32_t)data.data[i] << 16;
        if (n > 1)
            bits |= (uint32_t)data.data[i + 1] << 8;
        if (n > 2)
            bits |= data.data[i + 2];

        uint8_t text[4];
        for (size_t k = 0; k < 4; k++)
            text[k] = k <= n ? (uint8_t)alphabet[(bits >> (18 - 6 * k)) & 63] : '=';
        enum err err = buf_append(into, (struct bytes){text, 4});
        if (err)
            return err;
    }
    return OK;
}

enum err base64_decode(const char *text, struct buf *into)
{
    uint32_t bits = 0;
    size_t have = 0;

    for (; *text != '\0' && *text != '='; text++) {
        if (strchr(" \t\r\n", *text) != NULL)
            continue;
        const char *at = strchr(alphabet, *text);
        if (at == NULL)
            return ERR_INVALID;
        bits = bits << 6 | (uint32_t)(at - alphabet);
        if (++have % 4 != 0)
            continue;
        uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
        enum err err = buf_append(into, (struct bytes){bytes, 3});
        if (err)
            return err;
        bits = 0;
    }
    if (text[strspn(text, "= \t\r\n")] != '\0' || have % 4 == 1)
        return ERR_INVALID;

    /* 2 characters left: 12 bits hold a byte; 3 left: 18 bits hold two. */
    size_t rest = have % 4;
    uint8_t bytes[2] = {(uint8_t)(rest == 2 ? bits >> 4 : bits >> 10), (uint8_t)(bits >> 2)};
    return rest == 0 ? OK : buf_append(into, (struct bytes){bytes, rest - 1});
}
