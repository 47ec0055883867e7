/* seed: randomness that can be had again. Prints the seed; SURGETANK_SEED in the environment
 * repeats a run. */
#ifndef TESTS_SUPPORT_SEED_H
#define TESTS_SUPPORT_SEED_H

#include "tests/support/test.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Calls srand(). */
static inline void seed_rand(void)
{
    const char *given = getenv("SURGETANK_SEED");
    unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10)
                                  : (unsigned)time(NULL) ^ (unsigned)getpid();

    print_message("seed %u\n", seed);
    srand(seed);
}

#endif
