#include "sidecar/net/body_pool.h"

#include "common/assert.h"

#include <stdlib.h>

enum { PAGE = 4096 };

/* A free block holds the link to the next one. */
struct block {
    struct block *next;
};

static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while (class < BODY_POOL_CLASSES && size > (size_t)1 << (class + BODY_POOL_SMALLEST_LOG2))
        class ++;
    return class;
}

size_t body_pool_size(size_t size)
{
    unsigned class = class_of(size);
    return class < BODY_POOL_CLASSES ? (size_t)1 << (class + BODY_POOL_SMALLEST_LOG2)
                                     : (size + PAGE - 1) / PAGE * PAGE;
}

static uint8_t *take_block(struct body_pool *pool, unsigned class, size_t cap)
{
    struct block *block = class < BODY_POOL_CLASSES ? pool->free[class] : NULL;
    if (block == NULL)
        return malloc(cap);
    pool->free[class] = block->next;
    pool->kept -= cap;
    return (uint8_t *)block;
}

enum err body_pool_grow(struct body_pool *pool, size_t size, struct buf *buf)
{
    size_t cap = body_pool_size(size);
    uint8_t *data;

    ASSERT(cap > buf->cap);
    if (buf->cap > BODY_POOL_LARGEST) {
        data = realloc(buf->data, cap);
        if (data == NULL)
            return ERR_NOMEM;
        buf->data = data;
        buf->cap = buf->max = cap;
        return OK;
    }
    data = take_block(pool, class_of(size), cap);
    if (data == NULL)
        return ERR_NOMEM;
    struct buf grown = {.data = data, .len = buf->len, .cap = cap, .max = cap};
    if (buf->len > 0)
        memcpy(grown.data, buf->data, buf->len);
    body_pool_put(pool, buf);
    *buf = grown;
    return OK;
}

void body_pool_put(struct body_pool *pool, struct buf *buf)
{
    unsigned class = class_of(buf->cap);

    if (buf->data == NULL)
        return;
    if (class < BODY_POOL_CLASSES && buf->cap <= pool->kept_max - pool->kept) {
        struct block *block = (struct block *)(void *)buf->data;
        block->next = pool->free[class];
        pool->free[class] = block;
        pool->kept += buf->cap;
        buf->data = NULL;
    }
    buf_fini(buf);
}

void body_pool_clear(struct body_pool *pool)
{
    for (unsigned class = 0; class < BODY_POOL_CLASSES; class ++)
        while (pool->free[class] != NULL) {
            struct block *block = pool->free[class];
            pool->free[class] = block->next;
            free(block);
        }
    pool->kept = 0;
}
