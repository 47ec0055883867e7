#include "common/cond.h"

#include "common/assert.h"

#include <stdbool.h>
#include <time.h>

void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;

    bool made = pthread_condattr_init(&attributes) == 0 &&
                pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(cond, &attributes) == 0;
    ASSERT(made); /* glibc's have nothing that could fail */
    pthread_condattr_destroy(&attributes);
}

struct timespec cond_deadline(uint64_t mono_ms)
{
    return (struct timespec){.tv_sec = (time_t)(mono_ms / 1000),
                             .tv_nsec = (long)(mono_ms % 1000) * 1000000};
}

struct timespec cond_deadline_in(uint64_t ms)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_nsec + ms % 1000 * 1000000;
    return (struct timespec){.tv_sec = now.tv_sec + (time_t)(ms / 1000 + ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}
