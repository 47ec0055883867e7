/* array: room at the end of an array that grows by doubling.
 *
 *   struct thing *list = array_grow(self->list, self->count, &self->cap, sizeof *list);
 *   if (list == NULL)
 *       return ERR_NOMEM;
 *   self->list = list;
 *   self->list[self->count++] = thing;
 *
 * NULL, 0 and 0 are an empty array. What outsiders can make grow is held against its own limit
 * before. The memory is for free(); new elements are not cleared.
 */
#ifndef COMMON_ARRAY_H
#define COMMON_ARRAY_H

#include "common/attr.h"

#include <stddef.h>

/* With room for twice as many elements; array_grow() calls it. */
NODISCARD void *array_extend(void *list, size_t *cap, size_t size);

/* The array with room for an element more than `count`, wherever it is now, and *cap what it has
 * room for. NULL: out of memory, and nothing has changed. `size` is of an element. */
NODISCARD static inline void *array_grow(void *list, size_t count, size_t *cap, size_t size)
{
    return count < *cap ? list : array_extend(list, cap, size);
}

/* The same where running out ends the process, see xalloc.h. */
NODISCARD void *xarray_grow(void *list, size_t count, size_t *cap, size_t size);

#endif
