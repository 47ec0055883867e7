/* The two clocks. Deadlines and durations use the monotonic one; only what outlives the process or
 * is shown to people uses the wall clock. Tests link tests/support/fake_clock.c instead. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void); /* since 1970, UTC */

static inline uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

static inline uint64_t clock_wall_ms(void)
{
    return clock_wall_ns() / 1000000u;
}

#endif
