#include "controller/scaling/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct text text_count(uint64_t n)
{
    char digits[24];
    struct text text;
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    size_t out = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            text.at[out++] = ',';
        text.at[out++] = digits[i];
    }
    text.at[out] = '\0';
    return text;
}

struct text text_rate(double per_second)
{
    struct text text;

    if (!(per_second > 0)) /* NaN too */
        per_second = 0;
    if (per_second > 1e15)
        per_second = 1e15;
    if (per_second > 0 && per_second < 10)
        snprintf(text.at, sizeof text.at, "%.2g msg/s", per_second);
    else
        snprintf(text.at, sizeof text.at, "%.32s msg/s",
                 text_count((uint64_t)(per_second + 0.5)).at);
    return text;
}

struct text text_ms(uint64_t ms)
{
    static const struct {
        uint64_t ms, fine_ms;
        const char *coarse, *fine;
    } units[] = {
        {86400000, 3600000, "d", "h"},
        {3600000, 60000, "h", "m"},
        {60000, 1000, "m", "s"},
    };
    struct text text;

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (ms < units[i].ms)
            continue;
        uint64_t rest = ms % units[i].ms / units[i].fine_ms;
        int len =
            snprintf(text.at, sizeof text.at, "%" PRIu64 "%s", ms / units[i].ms, units[i].coarse);
        if (rest > 0)
            snprintf(text.at + len, sizeof text.at - (size_t)len, "%" PRIu64 "%s", rest,
                     units[i].fine);
        return text;
    }
    if (ms >= 1000 || ms == 0)
        snprintf(text.at, sizeof text.at, "%" PRIu64 "s", ms / 1000);
    else
        snprintf(text.at, sizeof text.at, "%" PRIu64 "ms", ms);
    return text;
}
