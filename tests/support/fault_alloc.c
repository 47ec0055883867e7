#include "tests/support/fault_alloc.h"

#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);

static atomic_uint left; /* requests until one fails; 0: none will */
static atomic_bool has_failed;
static _Thread_local bool is_spared;

void fault_alloc_fail_at(unsigned nth)
{
    left = nth;
    has_failed = false;
}

bool fault_alloc_has_failed(void)
{
    return has_failed;
}

void fault_alloc_spare(bool spared)
{
    is_spared = spared;
}

static bool fails_now(void)
{
    unsigned was = left;

    if (is_spared)
        return false;
    while (was > 0 && !atomic_compare_exchange_weak(&left, &was, was - 1))
        ;
    if (was != 1)
        return false;
    has_failed = true;
    return true;
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t max)
{
    return fails_now() ? NULL : __real_strndup(text, max);
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
