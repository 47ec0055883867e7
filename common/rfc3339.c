#include "common/rfc3339.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_NS 1000000000u

static int date_and_time(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    time_t seconds = (time_t)(wall_ns / SECOND_NS);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return (int)strftime(into, RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
}

const char *rfc3339_seconds(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    int used = date_and_time(wall_ns, into);
    snprintf(into + used, (size_t)(RFC3339_SIZE - used), "Z");
    return into;
}

const char *rfc3339_micros(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    int used = date_and_time(wall_ns, into);
    snprintf(into + used, (size_t)(RFC3339_SIZE - used), ".%06uZ",
             (unsigned)(wall_ns % SECOND_NS / 1000));
    return into;
}

const char *rfc3339_nanos(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    int used = date_and_time(wall_ns, into);
    snprintf(into + used, (size_t)(RFC3339_SIZE - used), ".%09uZ", (unsigned)(wall_ns % SECOND_NS));
    return into;
}

static bool two_digits(const char *at, int max, int *ret_value)
{
    if (!isdigit((unsigned char)at[0]) || !isdigit((unsigned char)at[1]))
        return false;
    *ret_value = (at[0] - '0') * 10 + (at[1] - '0');
    return *ret_value <= max;
}

/* "Z" or "+hh:mm" at the end of the text. */
static bool parse_offset(const char *at, int64_t *ret_seconds)
{
    int hours = 0, minutes = 0;

    if ((at[0] == 'Z' || at[0] == 'z') && at[1] == '\0') {
        *ret_seconds = 0;
        return true;
    }
    if ((at[0] != '+' && at[0] != '-') || !two_digits(at + 1, 23, &hours) || at[3] != ':' ||
        !two_digits(at + 4, 59, &minutes) || at[6] != '\0')
        return false;
    int64_t seconds = hours * 3600 + minutes * 60;
    *ret_seconds = at[0] == '+' ? seconds : -seconds;
    return true;
}

bool rfc3339_parse(const char *text, uint64_t *ret_wall_ns)
{
    struct tm tm = {0};
    uint64_t fraction_ns = 0, unit = SECOND_NS / 10;
    int64_t offset = 0;

    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (at == NULL)
        return false;
    if (*at == '.') {
        for (at++; isdigit((unsigned char)*at); at++, unit /= 10)
            fraction_ns += (uint64_t)(*at - '0') * unit;
    }
    if (!parse_offset(at, &offset))
        return false;
    int64_t seconds = (int64_t)timegm(&tm) - offset;
    if (seconds < 0 || seconds > INT64_MAX / (int64_t)SECOND_NS)
        return false;
    *ret_wall_ns = (uint64_t)seconds * SECOND_NS + fraction_ns;
    return true;
}
