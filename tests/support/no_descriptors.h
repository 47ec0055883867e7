/* no_descriptors: a process that can open nothing more, by its limit. What is open stays. */
#ifndef TESTS_SUPPORT_NO_DESCRIPTORS_H
#define TESTS_SUPPORT_NO_DESCRIPTORS_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

/* But for so many; the former limit for no_descriptors_end(). */
static inline bool no_descriptors_begin(unsigned spare, struct rlimit *ret_before)
{
    int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (lowest < 0 || close(lowest) != 0 || getrlimit(RLIMIT_NOFILE, ret_before) != 0)
        return false;
    const struct rlimit none = {.rlim_cur = (rlim_t)lowest + spare,
                                .rlim_max = ret_before->rlim_max};
    return setrlimit(RLIMIT_NOFILE, &none) == 0;
}

static inline bool no_descriptors_end(const struct rlimit *before)
{
    return setrlimit(RLIMIT_NOFILE, before) == 0;
}

#endif
