#include "common/backoff.h"

uint64_t backoff_delay_ms(const struct backoff *backoff, uint32_t attempt, uint32_t random)
{
    uint64_t delay = backoff->initial_ms;

    for (uint32_t i = 1; i < attempt && delay < backoff->max_ms; i++)
        delay = delay * backoff->multiplier_percent / 100;
    if (delay > backoff->max_ms)
        delay = backoff->max_ms;

    uint64_t spread = delay * backoff->jitter_percent / 100;
    if (spread == 0)
        return delay;
    return delay - spread + (uint64_t)random * (2 * spread + 1) / ((uint64_t)UINT32_MAX + 1);
}
