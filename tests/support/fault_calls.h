/* fault_calls: system calls that fail, one in turn. A test that uses it says
 *
 *   // link: tests/support/fault_calls.c
 *   // wrap: accept4 epoll_create1 epoll_ctl epoll_wait eventfd fstat inotify_add_watch
 *   // wrap: inotify_init1 listen open opendir poll pread pthread_create read recv send
 *   // wrap: setsockopt socket stat statx
 *
 * and so all calls of these from our objects, and from librdkafka's, come here, from whatever
 * thread. They fail as the kernel lets them: for want of descriptors or memory, interrupted, not
 * ready after all. What is durable is fault_disk's.
 */
#ifndef TESTS_SUPPORT_FAULT_CALLS_H
#define TESTS_SUPPORT_FAULT_CALLS_H

#include <stdbool.h>

/* From now on the nth call fails, once; 0: none does. Which of its errors it is, changes with the
 * variant. */
void fault_calls_fail_at(unsigned nth, unsigned variant);

/* Which one it was, "recv: Connection reset by peer"; NULL: so many were not made. */
const char *fault_calls_failed(void);

/* Not what this thread calls from now on, or again. */
void fault_calls_spare(bool spared);

#endif
