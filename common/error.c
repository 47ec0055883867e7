#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_name(enum err code)
{
    switch (code) {
#define X(name, text) \
    case name:        \
        return text;
        ERROR_CODES(X)
#undef X
    }
    return "unknown error";
}

enum err(error_set)(struct error *error, enum err code, const char *format, ...)
{
    if (error == NULL)
        return code;

    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    error->code = code;
    return code;
}

enum err(error_set_errno)(struct error *error, enum err code, const char *format, ...)
{
    int cause = errno;

    if (error == NULL)
        return code;

    va_list args;
    va_start(args, format);
    int used = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);

    if (used >= 0 && (size_t)used < sizeof error->text) {
        char scratch[96] = "";
        const char *reason = strerror_r(cause, scratch, sizeof scratch); /* the GNU form */
        snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s", reason);
    }
    error->code = code;
    return code;
}

bool error_is_shortage(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM;
}

enum err(error_prefix)(struct error *error, enum err code, const char *format, ...)
{
    if (error == NULL)
        return code;

    char inner[sizeof error->text];
    memcpy(inner, error->text, sizeof inner);

    va_list args;
    va_start(args, format);
    int used = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);

    if (used >= 0 && (size_t)used < sizeof error->text) {
        size_t room = sizeof error->text - (size_t)used;
        snprintf(error->text + used, room, ": %.*s", (int)room, inner);
    }
    return code;
}
