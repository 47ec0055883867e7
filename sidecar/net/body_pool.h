/* body_pool: memory of request bodies, kept for the next one. Sizes are powers of two, because
 * freeing and mapping a large block for every request costs a third of the whole reception.
 *
 * Blocks come from malloc(), so one that leaves the pool for good is freed by free().
 *
 * Internal to sidecar/net. Thread: its server's.
 */
#ifndef SIDECAR_NET_BODY_POOL_H
#define SIDECAR_NET_BODY_POOL_H

#include "common/buf.h"

enum { BODY_POOL_SMALLEST_LOG2 = 11, BODY_POOL_CLASSES = 17 }; /* 2 KiB to 128 MiB */

struct body_pool {
    size_t kept, kept_max; /* bytes in the free lists */
    void *free[BODY_POOL_CLASSES];
};

/* The size of the block that holds `size` bytes; `size` itself if it is above the largest. */
size_t body_pool_size(size_t size);

/* An empty buffer with room for body_pool_size(size) bytes. ERR_NOMEM. */
NODISCARD enum err body_pool_get(struct body_pool *pool, size_t size, struct buf *ret_buf);

/* Takes the memory back, or frees it. The buffer is empty then; an empty one is fine. */
void body_pool_put(struct body_pool *pool, struct buf *buf);

void body_pool_fini(struct body_pool *pool);

#endif
