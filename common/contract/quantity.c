/* number := digits [. digits];  quantity := number [Ki..Ei | m | k | M..E | e[+-]digits |
 * E[+-]digits] Everything is kept as an integer times a power of ten, so that 0.1Gi is refused and
 * 0.5Gi is not. */
#include "common/contract/quantity.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { DIGITS_MAX = 19, EXPONENT_MAX = 18 };

__extension__ typedef unsigned __int128 wide;

static const char binary[] = "KMGTPE";
static const char decimal[] = "kMGTPE";

/* Reads "e3", "E-2" behind the number. */
static bool take_exponent(const char **text, int *ret_exponent)
{
    const char *at = *text + 1;
    int value = 0, sign = 1;

    if (*at == '+' || *at == '-')
        sign = *at++ == '-' ? -1 : 1;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (*at - '0');
        if (value > EXPONENT_MAX)
            return false;
    }
    *ret_exponent = sign * value;
    *text = at;
    return true;
}

/* What the suffix multiplies with: 2^*ret_shift * 10^*ret_exponent. */
static bool take_suffix(const char **text, int *ret_shift, int *ret_exponent)
{
    const char *at = *text, *found = NULL;

    if (*at == '\0')
        return true;
    if ((*at == 'e' || *at == 'E') && at[1] != '\0' && at[1] != 'i')
        return take_exponent(text, ret_exponent);
    if (*at == 'm') {
        *ret_exponent = -3;
        *text = at + 1;
        return true;
    }
    if (at[1] == 'i' && (found = strchr(binary, *at)) != NULL) {
        *ret_shift = 10 * ((int)(found - binary) + 1);
        *text = at + 2;
        return true;
    }
    if ((found = strchr(decimal, *at)) != NULL) {
        *ret_exponent = 3 * ((int)(found - decimal) + 1);
        *text = at + 1;
        return true;
    }
    return false;
}

/* digits * 2^shift * 10^exponent if that is a whole number below 2^63. */
static bool scale(uint64_t digits, int shift, int exponent, int64_t *ret_bytes)
{
    wide value = (wide)digits << shift;

    for (; exponent > 0 && value <= INT64_MAX; exponent--)
        value *= 10;
    for (; exponent < 0 && value % 10 == 0 && value != 0; exponent++)
        value /= 10;
    if (value > INT64_MAX || (exponent != 0 && value != 0))
        return false;
    *ret_bytes = (int64_t)value;
    return true;
}

enum err quantity_parse(const char *text, int64_t *ret_bytes, struct error *error)
{
    uint64_t digits = 0;
    int shift = 0, exponent = 0, count = 0, fraction = 0;
    bool point = false;

    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (++count > DIGITS_MAX)
            return error_set(error, ERR_INVALID, "has more than %d digits", DIGITS_MAX);
        digits = digits * 10 + (uint64_t)(*text - '0');
        fraction += point;
    }
    if (count == 0 || !take_suffix(&text, &shift, &exponent) || *text != '\0')
        return error_set(error, ERR_INVALID, "is no size");
    if (!scale(digits, shift, exponent - fraction, ret_bytes))
        return error_set(error, ERR_INVALID, "is too large or no whole number of bytes");
    return OK;
}

void quantity_print(int64_t bytes, char into[static QUANTITY_TEXT_MAX])
{
    size_t steps = 0;

    for (; bytes != 0 && bytes % 1024 == 0 && steps < strlen(binary); steps++)
        bytes /= 1024;
    if (steps == 0)
        snprintf(into, QUANTITY_TEXT_MAX, "%lld", (long long)bytes);
    else
        snprintf(into, QUANTITY_TEXT_MAX, "%lld%ci", (long long)bytes, binary[steps - 1]);
}
