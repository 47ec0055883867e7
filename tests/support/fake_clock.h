/* fake_clock: both clocks stand still until a test moves them. Linked in place of common/clock.c.
 */
#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include <stdint.h>

void fake_clock_set_ms(uint64_t now_ms);

/* Puts the wall clock forward, or back, by so much; the monotonic one goes on. */
void fake_clock_jump_ms(int64_t by_ms);

#endif
