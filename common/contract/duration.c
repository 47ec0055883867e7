#include "common/contract/duration.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { DIGITS_MAX = 15 };

struct unit {
    const char *name;
    int64_t ms;
};

/* "ms" comes before "m", which it begins with. */
static const struct unit units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};

static const struct unit *unit_at(const char *text)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strncmp(text, units[i].name, strlen(units[i].name)) == 0)
            return &units[i];
    return NULL;
}

/* Digits with a point among them: value = *ret_digits / *ret_scale. */
static bool take_number(const char **text, int64_t *ret_digits, int64_t *ret_scale)
{
    int64_t digits = 0, scale = 1;
    bool point = false;
    int count = 0;

    for (; (**text >= '0' && **text <= '9') || (**text == '.' && !point); (*text)++) {
        if (**text == '.') {
            point = true;
            continue;
        }
        if (++count > DIGITS_MAX)
            return false;
        digits = digits * 10 + (**text - '0');
        scale *= point ? 10 : 1;
    }
    *ret_digits = digits;
    *ret_scale = scale;
    return count > 0;
}

enum err duration_parse(const char *text, int64_t *ret_ms, struct error *error)
{
    int64_t total = 0;

    if (strcmp(text, "0") == 0) {
        *ret_ms = 0;
        return OK;
    }
    if (*text == '\0')
        return error_set(error, ERR_INVALID, "is empty");
    while (*text != '\0') {
        int64_t digits = 0, scale = 1, part = 0;
        if (!take_number(&text, &digits, &scale))
            return error_set(error, ERR_INVALID, "is no duration");
        const struct unit *unit = unit_at(text);
        if (unit == NULL)
            return error_set(error, ERR_INVALID, "is a duration without a unit that we know");
        text += strlen(unit->name);
        if (__builtin_mul_overflow(digits, unit->ms, &part) ||
            __builtin_add_overflow(total, part / scale, &total))
            return error_set(error, ERR_INVALID, "is too long a duration");
        if (part % scale != 0)
            return error_set(error, ERR_INVALID, "is finer than a millisecond");
    }
    *ret_ms = total;
    return OK;
}

void duration_print(int64_t ms, char into[static DURATION_TEXT_MAX])
{
    static const struct unit order[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t used = 0;

    snprintf(into, DURATION_TEXT_MAX, "0s");
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (ms < order[i].ms)
            continue;
        used += (size_t)snprintf(into + used, DURATION_TEXT_MAX - used, "%lld%s",
                                 (long long)(ms / order[i].ms), order[i].name);
        ms %= order[i].ms;
    }
}
