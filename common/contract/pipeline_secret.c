#include "common/contract/pipeline.h"

#include "common/secret.h"

enum err pipeline_secret_path(const struct pipeline_secret *secret, const char *dir,
                              struct arena *arena, const char **ret_path, struct error *error)
{
    if (secret->name == NULL) {
        *ret_path = NULL;
        return OK;
    }
    if (dir == NULL)
        return error_set(error, ERR_INVALID,
                         "secret '%s' is needed: say --secrets DIR, with the file DIR/%s/%s",
                         secret->name, secret->name, secret->key);
    const char *path = arena_printf(arena, "%s/%s/%s", dir, secret->name, secret->key);
    if (path == NULL)
        return error_set(error, ERR_NOMEM, "secret '%s'", secret->name);
    *ret_path = path;
    return OK;
}

enum err pipeline_secret_read(const struct pipeline_secret *secret, const char *dir,
                              struct arena *arena, const char **ret_text, struct error *error)
{
    const char *path = NULL;

    enum err err = pipeline_secret_path(secret, dir, arena, &path, error);
    if (err)
        return err;
    if (path == NULL) {
        *ret_text = NULL;
        return OK;
    }
    return secret_read(path, arena, ret_text, error);
}
