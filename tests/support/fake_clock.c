#include "tests/support/fake_clock.h"

#include "common/clock.h"

#include <stdatomic.h>

static _Atomic uint64_t now_ns;
static _Atomic int64_t jumped_ns;

void fake_clock_set_ms(uint64_t now_ms)
{
    now_ns = now_ms * 1000000u;
}

void fake_clock_jump_ms(int64_t by_ms)
{
    jumped_ns += by_ms * 1000000;
}

uint64_t clock_mono_ns(void)
{
    return now_ns;
}

uint64_t clock_wall_ns(void)
{
    return now_ns + (uint64_t)jumped_ns;
}
