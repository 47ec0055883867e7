/* struct arena: memory of one request, batch or reconcile. Everything made from it is dropped whole
 * by arena_reset() or arena_fini(); nothing is freed alone. Zero-initialised is empty and valid.
 *
 * `max` bounds what outsiders can make it hold; 0 means no bound. Memory is aligned to 16 bytes and
 * not cleared, but for arena_zalloc(). All calls return NULL when the bound is met or memory is
 * out.
 */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include "common/attr.h"
#include "common/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used, max;
};

void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Forgets everything that was made, keeping one block for the next round. */
void arena_reset(struct arena *arena);

/* Frees all of it; the arena is empty and usable again. */
void arena_fini(struct arena *arena);

#endif
