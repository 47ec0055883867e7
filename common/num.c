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
