/* body_pool: memory of request bodies. Blocks of ordinary sizes are powers of two and are kept for
 * the next request, because freeing and mapping one for every request costs a third of the whole
 * reception. Larger ones are made to measure, grow in place where the kernel can do that (it moves
 * pages, not bytes), and go back at once.
 *
 * Memory comes from malloc(), so a block that leaves the pool for good is freed by free().
 *
 * Internal to sidecar/net. Thread: its server's.
 */
#ifndef SIDECAR_NET_BODY_POOL_H
#define SIDECAR_NET_BODY_POOL_H

#include "common/buf.h"

enum { BODY_POOL_SMALLEST_LOG2 = 11, BODY_POOL_CLASSES = 10 }; /* 2 KiB to 1 MiB */

#define BODY_POOL_LARGEST ((size_t)1 << (BODY_POOL_SMALLEST_LOG2 + BODY_POOL_CLASSES - 1))

struct body_pool {
    size_t kept, kept_max; /* bytes in the free lists */
    void *free[BODY_POOL_CLASSES];
};

/* The size of the block that holds `size` bytes: a power of two, or above BODY_POOL_LARGEST whole
 * pages. */
size_t body_pool_size(size_t size);

/* Moves what `buf` holds into a block of body_pool_size(size) bytes, more than it has. An empty
 * `buf` gets its first block. ERR_NOMEM: nothing has changed. */
NODISCARD enum err body_pool_grow(struct body_pool *pool, size_t size, struct buf *buf);

/* Takes the memory back, or frees it. The buffer is empty then; an empty one is fine. */
void body_pool_put(struct body_pool *pool, struct buf *buf);

/* Frees what is kept; it may be used again. */
void body_pool_clear(struct body_pool *pool);

#endif
