/* Memory for small things of our own making, where running out ends the process: the controller
 * re-reads everything when it is started again. What outsiders can size goes through struct buf or
 * struct arena, which have limits and errors. All returned memory is for free(). */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

#include <stddef.h>

void *xcalloc(size_t count, size_t size);             /* zeroed */
void *xrealloc(void *old, size_t count, size_t size); /* the new part is not zeroed */
char *xstrdup(const char *text);

#endif
