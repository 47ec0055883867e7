/* memory: keeps what the process holds near what it uses.
 *
 * malloc() keeps freed memory, of each thread's arena apart, in case it is wanted again; after a
 * burst that is most of what the process holds. And of the libraries most pages were looked at only
 * once, while they were linked. Both go back to the kernel by memory_keep().
 */
#ifndef COMMON_MEMORY_H
#define COMMON_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Before there are threads. */
void memory_setup(void);

/* What memory_keep() remembers; zero at first. */
struct memory_keeper {
    uint64_t next_ms;
    bool unlinked;
};

/* To be called about every second, from one thread; mostly does nothing. `now_ms` is monotonic. */
void memory_keep(struct memory_keeper *keeper, uint64_t now_ms);

#endif
