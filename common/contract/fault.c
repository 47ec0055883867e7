#include "common/contract/fault.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 400 };

void faults_fini(struct faults *faults)
{
    arena_fini(&faults->arena);
    *faults = (struct faults){0};
}

/* A fault is one line of text wherever it goes: no control characters, no half UTF-8 sequence. */
static void make_printable(char *text)
{
    size_t len = strlen(text), tail = len;

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    while (tail > 0 && len - tail < 4 && ((unsigned char)text[tail - 1] & 0xc0) == 0x80)
        tail--;
    if (tail == 0 || (unsigned char)text[tail - 1] < 0xc0)
        return;
    unsigned char first = (unsigned char)text[tail - 1];
    size_t want = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (len - (tail - 1) < want)
        text[tail - 1] = '\0';
}

const char *fault_quote(const char *text, char into[static FAULT_QUOTE_MAX])
{
    snprintf(into, FAULT_QUOTE_MAX - 4, "%s", text);
    make_printable(into);
    if (strlen(text) >= FAULT_QUOTE_MAX - 4)
        snprintf(into + strlen(into), 4, "...");
    return into;
}

static void add(struct faults *faults, const char *path, const char *advice,
                char text[static TEXT_MAX])
{
    if (faults->count == FAULTS_MAX) {
        faults->left_out++;
        return;
    }
    make_printable(text);

    struct fault fault = {arena_strdup(&faults->arena, path), arena_strdup(&faults->arena, text),
                          arena_strdup(&faults->arena, advice)};
    if (fault.path == NULL || fault.what == NULL || fault.advice == NULL)
        fault = (struct fault){"", "has a fault that there is no memory to describe", "Try again"};
    faults->items[faults->count++] = fault;
}

void fault_add(struct faults *faults, const char *path, const char *advice, const char *what, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    add(faults, path, advice, text);
}

void fault_add_below(struct faults *faults, const char *path, const char *field, const char *advice,
                     const char *what, ...)
{
    char at[FAULT_PATH_MAX], text[TEXT_MAX];
    va_list args;

    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    add(faults, fault_path(path, field, at), advice, text);
}

/* `path` is `above` or below it. */
static bool is_below(const char *path, const char *above)
{
    size_t len = strlen(above);
    return strncmp(path, above, len) == 0 && strchr(".[", path[len]) != NULL; /* or its end */
}

bool faults_at(const struct faults *faults, const char *path)
{
    for (size_t i = 0; i < faults->count; i++)
        if (is_below(faults->items[i].path, path) || is_below(path, faults->items[i].path))
            return true;
    return false;
}

enum err faults_print(const struct faults *faults, struct buf *into)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->items[i];
        enum err err = buf_printf(into, "%s: %s. %s\n", fault->path, fault->what, fault->advice);
        if (err)
            return err;
    }
    if (faults->left_out > 0)
        return buf_printf(into, "and %zu more\n", faults->left_out);
    return OK;
}

enum err faults_error(const struct faults *faults, struct error *error)
{
    if (faults->count == 0)
        return OK;

    const struct fault *first = &faults->items[0];
    size_t more = faults->count - 1 + faults->left_out;
    if (more > 0)
        return error_set(error, ERR_INVALID, "%s: %s. %s (and %zu more)", first->path, first->what,
                         first->advice, more);
    return error_set(error, ERR_INVALID, "%s: %s. %s", first->path, first->what, first->advice);
}

const char *fault_path(const char *path, const char *field, char into[static FAULT_PATH_MAX])
{
    snprintf(into, FAULT_PATH_MAX, "%s%s%s", path, *path == '\0' ? "" : ".", field);
    return into;
}

const char *fault_path_at(const char *path, size_t index, char into[static FAULT_PATH_MAX])
{
    snprintf(into, FAULT_PATH_MAX, "%s[%zu]", path, index);
    return into;
}

const char *fault_path_key(const char *path, const char *key, char into[static FAULT_PATH_MAX])
{
    char quoted[FAULT_QUOTE_MAX];

    snprintf(into, FAULT_PATH_MAX, "%s[%s]", path, fault_quote(key, quoted));
    return into;
}
