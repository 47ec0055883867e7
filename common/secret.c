#include "common/secret.h"

#include "common/buf.h"
#include "common/file.h"

enum err secret_read(const char *path, struct arena *arena, const char **ret_text,
                     struct error *error)
{
    AUTO(buf_fini) struct buf text = {0};

    enum err err = file_read(path, SECRET_MAX, &text, error);
    if (err)
        return error_prefix(error, err, "secret");
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return error_set(error, ERR_INVALID, "secret '%s' holds a NUL byte", path);
    *ret_text = arena_strndup(arena, (const char *)text.data, text.len);
    return *ret_text == NULL ? error_set(error, ERR_NOMEM, "secret '%s'", path) : OK;
}
