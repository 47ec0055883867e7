#include "common/arena.h"

#include "common/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 16 * 1024, ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    _Alignas(ALIGN) uint8_t data[];
};

static struct arena_block *block_for(struct arena *arena, size_t size)
{
    struct arena_block *block = arena->blocks;

    if (block != NULL && block->cap - block->used >= size)
        return block;
    size_t cap = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    block = malloc(sizeof *block + cap);
    if (block == NULL)
        return NULL;
    *block = (struct arena_block){.next = arena->blocks, .cap = cap};
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
    if (arena->max != 0 && size > arena->max - arena->used)
        return NULL;

    struct arena_block *block = block_for(arena, size);
    if (block == NULL)
        return NULL;
    void *at = block->data + block->used;
    block->used += size;
    arena->used += size;
    return at;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *at = arena_alloc(arena, size);
    if (at != NULL)
        memset(at, 0, size);
    return at;
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (copy == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(len >= 0);

    char *text = arena_alloc(arena, (size_t)len + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)len + 1, format, again);
    va_end(again);
    return text;
}

static void free_blocks(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_reset(struct arena *arena)
{
    if (arena->blocks != NULL) {
        free_blocks(arena->blocks->next);
        arena->blocks->next = NULL;
        arena->blocks->used = 0;
    }
    arena->used = 0;
}

void arena_fini(struct arena *arena)
{
    free_blocks(arena->blocks);
    arena->blocks = NULL;
    arena->used = 0;
}
