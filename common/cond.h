/* cond: condition variables that wait by the monotonic clock, which nobody sets back. */
#ifndef COMMON_COND_H
#define COMMON_COND_H

#include <pthread.h>
#include <stdint.h>

void cond_init(pthread_cond_t *cond);

/* For pthread_cond_timedwait(): an instant of clock_mono_ms(), and one `ms` from now. It is the
 * kernel that waits, so the second reads its clock even where a test fakes ours. */
struct timespec cond_deadline(uint64_t mono_ms);
struct timespec cond_deadline_in(uint64_t ms);

#endif
