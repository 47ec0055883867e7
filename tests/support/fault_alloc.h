/* fault_alloc: memory that runs out at the nth request. A test that uses it says
 *
 *   // link: tests/support/fault_alloc.c
 *   // wrap: malloc calloc realloc strdup strndup
 *
 * and so all of its calls come here (through the linker's --wrap, which sanitizers do not mind),
 * from whatever thread.
 */
#ifndef TESTS_SUPPORT_FAULT_ALLOC_H
#define TESTS_SUPPORT_FAULT_ALLOC_H

#include <stdbool.h>

/* From now on the nth request for memory fails, once; 0: none does. */
void fault_alloc_fail_at(unsigned nth);

/* Whether it has been met. False: the code under test needs no more than it got. */
bool fault_alloc_has_failed(void);

/* Not what this thread requests from now on, or again. */
void fault_alloc_spare(bool spared);

#endif
