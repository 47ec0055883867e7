#include "common/xalloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void xalloc_fail(size_t bytes)
{
    fprintf(stderr, "level=fatal msg=\"Out of memory\" wanted_bytes=%zu\n", bytes);
    abort();
}

void *xcalloc(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    if (memory == NULL)
        xalloc_fail(size);
    return memory;
}

void *xrealloc(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, count == 0 ? 1 : count, size == 0 ? 1 : size);
    if (memory == NULL)
        xalloc_fail(size);
    return memory;
}

char *xstrdup(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        xalloc_fail(strlen(text) + 1);
    return copy;
}
