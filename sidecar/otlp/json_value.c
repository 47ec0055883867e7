#include "sidecar/otlp/json_value.h"

#include "common/base64.h"

#include <math.h>
#include <stdlib.h>

/* ---- numbers: sign, digits without leading zeros, and the power of ten that follows them */

enum { DIGITS_MAX = 40, EXPONENT_MAX = 100000 };

struct decimal {
    bool negative, exact; /* not exact: more digits than are kept, none of which is zero */
    unsigned count;
    uint8_t digits[DIGITS_MAX];
    int exponent;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Reads -?digits[.digits][e[+-]digits], all of it. */
static bool read_decimal(struct bytes text, struct decimal *ret)
{
    const uint8_t *at = text.data, *end = at + text.len;
    struct decimal number = {.exact = true};
    bool point = false, any = false;

    if (at < end && *at == '-') {
        number.negative = true;
        at++;
    }
    for (; at < end && (is_digit(*at) || (*at == '.' && !point && any)); at++) {
        if (*at == '.') {
            point = true;
            any = false;
            continue;
        }
        any = true;
        number.exponent -= point;
        if (*at == '0' && number.count == 0)
            continue;
        if (number.count < DIGITS_MAX) {
            number.digits[number.count++] = (uint8_t)(*at - '0');
        } else {
            number.exact = number.exact && *at == '0';
            number.exponent++;
        }
    }
    if (!any)
        return false;
    if (at < end && (*at | 0x20) == 'e') {
        bool minus = ++at < end && *at == '-';
        int exponent = 0;
        at += at < end && (*at == '-' || *at == '+');
        if (at == end)
            return false;
        for (; at < end && is_digit(*at); at++)
            exponent = exponent > EXPONENT_MAX ? exponent : exponent * 10 + (*at - '0');
        number.exponent += minus ? -exponent : exponent;
    }
    while (number.count > 0 && number.digits[number.count - 1] == 0) {
        number.count--;
        number.exponent++;
    }
    *ret = number;
    return at == end;
}

static const char not_whole[] = "not a whole number", too_big[] = "a number out of its range";

/* The absolute value. */
static const char *whole(const struct decimal *number, uint64_t *ret_value)
{
    uint64_t value = 0;
    int zeros = number->exponent;

    if (number->count == 0) {
        *ret_value = 0;
        return NULL;
    }
    if (zeros < 0)
        return not_whole;
    if (!number->exact || number->count + (unsigned)zeros > 20)
        return too_big;
    for (unsigned i = 0; i < number->count + (unsigned)zeros; i++) {
        uint64_t digit = i < number->count ? number->digits[i] : 0;
        if (value > (UINT64_MAX - digit) / 10)
            return too_big;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return NULL;
}

/* Nearly all integers are up to 18 plain digits. */
static bool read_plain(struct bytes text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i]))
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_value = value;
    return true;
}

static const char *read_whole(struct bytes text, bool *ret_negative, uint64_t *ret_value)
{
    struct decimal number;

    *ret_negative = false;
    if (read_plain(text, ret_value))
        return NULL;
    if (!read_decimal(text, &number))
        return "not a number";
    *ret_negative = number.negative;
    return whole(&number, ret_value);
}

const char *json_value_uint(struct bytes text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool negative;

    const char *fault = read_whole(text, &negative, &value);
    if (fault != NULL)
        return fault;
    if (value > max || (negative && value != 0))
        return too_big;
    *ret_value = value;
    return NULL;
}

const char *json_value_int(struct bytes text, int64_t min, int64_t max, int64_t *ret_value)
{
    uint64_t value = 0;
    bool negative;

    const char *fault = read_whole(text, &negative, &value);
    if (fault != NULL)
        return fault;
    if (value > (negative ? (uint64_t)0 - (uint64_t)min : (uint64_t)max))
        return too_big;
    *ret_value = (int64_t)(negative ? (uint64_t)0 - value : value);
    return NULL;
}

/* Up to 15 digits and powers up to 22 are exact in a double, and so is one operation on them: most
 * numbers that people and SDKs write. */
static bool small_double(const struct decimal *number, double *ret_value)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t digits = 0;

    if (number->count > 15 || abs(number->exponent) > 22)
        return false;
    for (unsigned i = 0; i < number->count; i++)
        digits = digits * 10 + number->digits[i];
    double value = (double)digits;
    value =
        number->exponent < 0 ? value / powers[-number->exponent] : value * powers[number->exponent];
    *ret_value = number->negative ? -value : value;
    return true;
}

const char *json_value_double(struct bytes text, double *ret_value)
{
    char copy[JSON_VALUE_DOUBLE_MAX + 1];
    struct decimal number;
    double value;

    if (bytes_equal(text, BYTES_LITERAL("NaN"))) {
        *ret_value = (double)NAN;
        return NULL;
    }
    if (bytes_equal(text, BYTES_LITERAL("Infinity"))) {
        *ret_value = (double)INFINITY;
        return NULL;
    }
    if (bytes_equal(text, BYTES_LITERAL("-Infinity"))) {
        *ret_value = (double)-INFINITY;
        return NULL;
    }
    if (!read_decimal(text, &number))
        return "not a number";
    if (small_double(&number, ret_value))
        return NULL;
    if (text.len > JSON_VALUE_DOUBLE_MAX)
        return "a number of too many digits";
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    value = strtod(copy, NULL);
    if (isinf(value))
        return too_big;
    *ret_value = value;
    return NULL;
}

/* ---- bytes */

enum { NOT_HEX = 16 };

static unsigned hex_digit(uint8_t c)
{
    if (is_digit(c))
        return c - (unsigned)'0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10 : NOT_HEX;
}

const char *json_value_hex(struct bytes text, uint8_t *to, uint8_t **ret_end)
{
    if (text.len % 2 != 0)
        return "an odd number of hex digits";
    for (size_t i = 0; i < text.len; i += 2) {
        unsigned high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high == NOT_HEX || low == NOT_HEX)
            return "not hex digits";
        *to++ = (uint8_t)(high << 4 | low);
    }
    *ret_end = to;
    return NULL;
}

const char *json_value_base64(struct bytes text, uint8_t *to, uint8_t **ret_end)
{
    size_t len = text.len;
    uint32_t word = 0;
    unsigned bits = 0;

    if (len % 4 == 0) { /* padding makes whole groups, or isn't there */
        for (int i = 0; i < 2 && len > 0 && text.data[len - 1] == '='; i++)
            len--;
    }
    if (len % 4 == 1)
        return "base64 is cut off";
    for (size_t i = 0; i < len; i++) {
        unsigned digit = base64_digit(text.data[i]);
        if (digit == BASE64_NONE)
            return "not base64";
        word = word << 6 | digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *to++ = (uint8_t)(word >> bits);
        }
    }
    *ret_end = to;
    return NULL;
}
