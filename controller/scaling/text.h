/* text: numbers as people read them, for the sentences of scaling. Results are values; each holds
 * its own text. */
#ifndef CONTROLLER_SCALING_TEXT_H
#define CONTROLLER_SCALING_TEXT_H

#include <stdint.h>

struct text {
    char at[48];
};

struct text text_count(uint64_t n);       /* 1,234,567 */
struct text text_rate(double per_second); /* 0.25 msg/s, 1,240 msg/s */
struct text text_ms(uint64_t ms);         /* 400ms, 45s, 4m10s, 2h5m, 3d4h */

#endif
