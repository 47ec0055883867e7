#include "tests/support/fake_random.h"

#include <string.h>
#include <sys/types.h>

ssize_t __wrap_getrandom(void *into, size_t len, unsigned flags);

static uint64_t its_state;

void fake_random_seed(uint64_t seed)
{
    its_state = seed;
}

/* splitmix64 */
uint64_t fake_random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

ssize_t __wrap_getrandom(void *into, size_t len, unsigned flags)
{
    uint8_t *at = into;

    (void)flags;
    for (size_t left = len; left > 0;) {
        uint64_t value = fake_random_next(&its_state);
        size_t n = left < sizeof value ? left : sizeof value;
        memcpy(at, &value, n);
        at += n;
        left -= n;
    }
    return (ssize_t)len;
}
