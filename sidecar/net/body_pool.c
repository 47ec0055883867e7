#include "sidecar/net/body_pool.h"

#include <stdlib.h>

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
    return class < BODY_POOL_CLASSES ? (size_t)1 << (class + BODY_POOL_SMALLEST_LOG2) : size;
}

enum err body_pool_get(struct body_pool *pool, size_t size, struct buf *ret_buf)
{
    unsigned class = class_of(size);
    size_t cap = body_pool_size(size);

    if (class < BODY_POOL_CLASSES && pool->free[class] != NULL) {
        struct block *block = pool->free[class];
        pool->free[class] = block->next;
        pool->kept -= cap;
        *ret_buf = (struct buf){.data = (uint8_t *)block, .cap = cap, .max = cap};
        return OK;
    }

    uint8_t *data = malloc(cap);
    if (data == NULL)
        return ERR_NOMEM;
    *ret_buf = (struct buf){.data = data, .cap = cap, .max = cap};
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

void body_pool_fini(struct body_pool *pool)
{
    for (unsigned class = 0; class < BODY_POOL_CLASSES; class ++)
        while (pool->free[class] != NULL) {
            struct block *block = pool->free[class];
            pool->free[class] = block->next;
            free(block);
        }
    pool->kept = 0;
}
