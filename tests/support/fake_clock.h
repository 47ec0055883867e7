/* fake_clock: both clocks stand still until a test moves them. Linked in place of common/clock.c.
 */
#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include <stdint.h>

void fake_clock_set_ms(uint64_t now_ms);

#endif
