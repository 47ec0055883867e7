#include "common/url.h"

#include <string.h>

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

static enum err append_encoded(struct buf *url, const char *text)
{
    for (; *text != '\0'; text++) {
        enum err err = is_unreserved(*text) ? buf_append_byte(url, (uint8_t)*text)
                                            : buf_printf(url, "%%%02X", (unsigned)(uint8_t)*text);
        if (err)
            return err;
    }
    return OK;
}

enum err url_start(struct buf *url, const char *base)
{
    size_t len = strlen(base);
    while (len > 0 && base[len - 1] == '/')
        len--;
    buf_clear(url);
    return buf_append(url, (struct bytes){(const uint8_t *)base, len});
}

enum err url_segment(struct buf *url, const char *segment)
{
    enum err err = buf_append_byte(url, '/');
    if (err)
        return err;
    return append_encoded(url, segment);
}

enum err url_query(struct buf *url, const char *name, const char *value)
{
    bool first = url->len == 0 || memchr(url->data, '?', url->len) == NULL;
    enum err err = buf_append_byte(url, first ? '?' : '&');
    if (err)
        return err;
    err = append_encoded(url, name);
    if (err)
        return err;
    err = buf_append_byte(url, '=');
    if (err)
        return err;
    return append_encoded(url, value);
}
