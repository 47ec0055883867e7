#include "sidecar/tail/log_path.h"

#include <stdbool.h>
#include <string.h>

/* What is put behind a name: a number or a date. Letters could be anything, "idx" or "lock". */
static bool is_stamp(const char *text, size_t len)
{
    bool digit = false;

    if (len == 4 && memcmp(text, ".old", 4) == 0)
        return true;
    if (len < 2 || strchr("._-", text[0]) == NULL)
        return false;
    for (size_t i = 1; i < len; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        if (!is_digit && strchr("TZ:+_.-", text[i]) == NULL)
            return false;
        digit = digit || is_digit;
    }
    return digit;
}

size_t log_path_base(const char *name)
{
    size_t len = strlen(name), end = len;

    if (len > 3 && memcmp(name + len - 3, ".gz", 3) == 0)
        end -= 3;
    /* The longest stamp: "app.log.2026-02-05.1" is of "app.log". */
    size_t found = end < len ? end : 0;
    for (size_t i = end; i > 1; i--)
        if (is_stamp(name + i - 1, end - (i - 1)))
            found = i - 1;
    return found;
}
