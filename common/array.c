#include "common/array.h"

#include "common/xalloc.h"

#include <stdint.h>
#include <stdlib.h>

enum { FIRST_CAP = 32 };

static size_t next_cap(size_t cap)
{
    if (cap == 0)
        return FIRST_CAP;
    return cap > SIZE_MAX / 2 ? SIZE_MAX : 2 * cap;
}

void *array_extend(void *list, size_t *cap, size_t size)
{
    size_t more = next_cap(*cap);

    if (more > SIZE_MAX / size)
        return NULL;
    void *extended = realloc(list, more * size);
    if (extended != NULL)
        *cap = more;
    return extended;
}

void *xarray_grow(void *list, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return list;
    size_t more = next_cap(*cap);
    void *extended = xrealloc(list, more, size);
    *cap = more;
    return extended;
}
