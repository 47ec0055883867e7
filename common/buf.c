#include "common/buf.h"

#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SMALLEST = 64 };

void buf_fini(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
}

enum err buf_reserve(struct buf *buf, size_t more)
{
    if (more > SIZE_MAX / 2 - buf->len)
        return ERR_NOMEM;
    size_t need = buf->len + more;
    if (buf->max != 0 && need > buf->max)
        return ERR_FULL;
    if (need <= buf->cap)
        return OK;

    size_t cap = buf->cap < SMALLEST ? SMALLEST : buf->cap + buf->cap / 2;
    if (cap < need)
        cap = need;
    if (buf->max != 0 && cap > buf->max)
        cap = buf->max;
    uint8_t *data = realloc(buf->data, cap);
    if (data == NULL)
        return ERR_NOMEM;
    buf->data = data;
    buf->cap = cap;
    return OK;
}

enum err buf_append(struct buf *buf, struct bytes data)
{
    enum err err = buf_reserve(buf, data.len);
    if (err)
        return err;
    if (data.len > 0)
        memcpy(buf->data + buf->len, data.data, data.len);
    buf->len += data.len;
    return OK;
}

enum err buf_append_byte(struct buf *buf, uint8_t byte)
{
    return buf_append(buf, (struct bytes){&byte, 1});
}

enum err buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, bytes_from(text));
}

enum err buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);

    enum err err = buf_reserve(buf, (size_t)len + 1);
    if (!err) {
        vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    return err;
}

void buf_consume(struct buf *buf, size_t n)
{
    ASSERT(n <= buf->len);
    if (n == 0)
        return;
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
}

const char *buf_text(struct buf *buf)
{
    if (buf_reserve(buf, 1))
        return NULL;
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}
