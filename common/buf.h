/* struct buf: bytes that are owned and grow. Zero-initialised is empty and valid.
 *
 * `max` caps what outsiders can make it hold: growth past it is ERR_FULL and leaves the contents as
 * they were. 0 means no cap, for sizes we choose ourselves. Views from buf_bytes() are valid until
 * the next call that changes the buffer.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"

struct buf {
    uint8_t *data;
    size_t len, cap, max;
};

/* Frees the memory; the buffer is empty and usable again, `max` kept. Accepts an empty one. */
void buf_fini(struct buf *buf);

/* Makes room for `more` bytes behind len. ERR_FULL: above max. ERR_NOMEM. */
NODISCARD enum err buf_reserve(struct buf *buf, size_t more);

NODISCARD enum err buf_append(struct buf *buf, struct bytes data);
NODISCARD enum err buf_append_byte(struct buf *buf, uint8_t byte);
NODISCARD enum err buf_append_text(struct buf *buf, const char *text);
NODISCARD enum err buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Drops the first `n` bytes (at most len) and moves the rest to the front. */
void buf_consume(struct buf *buf, size_t n);

/* The contents with a NUL behind them (not counted in len), or NULL on ERR_NOMEM or ERR_FULL. */
const char *buf_text(struct buf *buf);

static inline void buf_clear(struct buf *buf)
{
    buf->len = 0;
}

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->len};
}

#endif
