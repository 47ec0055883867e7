/* fake_random: getrandom() that a seed repeats. A test that uses it says
 *
 *   // link: tests/support/fake_random.c
 *   // wrap: getrandom
 *
 * and so all of its calls come here. Not thread-safe.
 */
#ifndef TESTS_SUPPORT_FAKE_RANDOM_H
#define TESTS_SUPPORT_FAKE_RANDOM_H

#include <stdint.h>

/* What getrandom() gives from here on is the same for the same seed. */
void fake_random_seed(uint64_t seed);

/* The same numbers to whoever keeps a state of his own; states side by side have nothing in common.
 */
uint64_t fake_random_next(uint64_t *state);

#endif
