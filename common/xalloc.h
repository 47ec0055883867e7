/* Memory for small things of our own making, where running out ends the process: a program
 * re-reads everything when it is started again. What outsiders can size goes through struct buf or
 * struct arena, which have limits and errors. All returned memory is for free(). */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

#include <stddef.h>

void *xcalloc(size_t count, size_t size);             /* zeroed */
void *xrealloc(void *old, size_t count, size_t size); /* the new part is not zeroed */
char *xstrdup(const char *text);

/* The end, with a line that says so: for others' functions that tell of no memory. 0 bytes: nobody
 * knows how many. */
_Noreturn void xalloc_fail(size_t bytes);

#endif
