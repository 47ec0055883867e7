#include "common/num.h"

#include <string.h>

bool num_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (max - digit) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

bool num_parse_address(const char *text, char *host, size_t host_size, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':'), *from = text, *to = colon;
    uint64_t port = 0;

    if (colon == NULL || !num_parse_u64(colon + 1, UINT16_MAX, &port))
        return false;
    if (*from == '[') {
        if (to == from || to[-1] != ']')
            return false;
        from++;
        to--;
    } else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
        return false; /* a bare IPv6 address: which colon parts the port can't be told */
    }
    size_t len = (size_t)(to - from);
    if (len >= host_size)
        return false;
    memcpy(host, from, len);
    host[len] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

char *num_put_u64(char *into, uint64_t value, unsigned width)
{
    unsigned digits = 1;

    for (uint64_t rest = value; rest >= 10; rest /= 10)
        digits++;
    char *end = into + (digits > width ? digits : width);
    for (char *at = end; at > into; value /= 10)
        *--at = (char)('0' + value % 10);
    return end;
}

char *num_put_i64(char *into, int64_t value)
{
    if (value >= 0)
        return num_put_u64(into, (uint64_t)value, 1);
    *into = '-';
    return num_put_u64(into + 1, -(uint64_t)value, 1);
}

char *num_put_hex(char *into, uint64_t value, unsigned digits)
{
    char *end = into + digits;

    for (char *at = end; at > into; value >>= 4)
        *--at = "0123456789abcdef"[value & 15];
    return end;
}
