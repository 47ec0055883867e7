/* backoff: how long to wait before the next try. Pure: attempt count and randomness in, delay out.
 */
#ifndef COMMON_BACKOFF_H
#define COMMON_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint64_t initial_ms, max_ms;
    uint32_t multiplier_percent; /* 200: each delay is twice the one before */
    uint32_t jitter_percent;     /* 50: anything from half to one and a half of it */
};

/* Delay before try `attempt` (1 = the first repeat). `random` is any 32 random bits. */
uint64_t backoff_delay_ms(const struct backoff *backoff, uint32_t attempt, uint32_t random);

#endif
