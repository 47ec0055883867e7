#include "common/rfc3339.h"

#include "common/num.h"

#include <ctype.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_NS 1000000000u

/* The date by counting in eras of 400 years that begin on the first of March, so that the day a
 * leap year adds is the last one. */
static char *put_date(char *into, uint64_t days_since_1970)
{
    uint64_t days = days_since_1970 + 719468, era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t of_year = day - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * of_year + 2) / 153; /* 0: March */

    into = num_put_u64(into, era * 400 + year + (month >= 10), 4);
    *into++ = '-';
    into = num_put_u64(into, month < 10 ? month + 3 : month - 9, 2);
    *into++ = '-';
    return num_put_u64(into, of_year - (153 * month + 2) / 5 + 1, 2);
}

static char *put_date_and_time(char *into, uint64_t wall_ns)
{
    uint64_t seconds = wall_ns / SECOND_NS;

    into = put_date(into, seconds / 86400);
    *into++ = 'T';
    into = num_put_u64(into, seconds / 3600 % 24, 2);
    *into++ = ':';
    into = num_put_u64(into, seconds / 60 % 60, 2);
    *into++ = ':';
    return num_put_u64(into, seconds % 60, 2);
}

static void put_zone(char *into)
{
    into[0] = 'Z';
    into[1] = '\0';
}

static char *put_fraction(char *into, uint64_t value, unsigned digits)
{
    *into = '.';
    return num_put_u64(into + 1, value, digits);
}

const char *rfc3339_seconds(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    put_zone(put_date_and_time(into, wall_ns));
    return into;
}

const char *rfc3339_micros(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    put_zone(put_fraction(put_date_and_time(into, wall_ns), wall_ns % SECOND_NS / 1000, 6));
    return into;
}

const char *rfc3339_nanos(uint64_t wall_ns, char into[RFC3339_SIZE])
{
    put_zone(put_fraction(put_date_and_time(into, wall_ns), wall_ns % SECOND_NS, 9));
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
