#include "tests/support/fault_alloc.h"

#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static atomic_uint left; /* requests until one fails; 0: none will */
static atomic_bool has_failed;

void fault_alloc_fail_at(unsigned nth)
{
    left = nth;
    has_failed = false;
}

bool fault_alloc_has_failed(void)
{
    return has_failed;
}

static bool fails_now(void)
{
    unsigned was = left;

    while (was > 0 && !atomic_compare_exchange_weak(&left, &was, was - 1))
        ;
    if (was != 1)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}
