#include "sidecar/edge/edge.h"

#include "common/os.h"

#include <string.h>

static enum err make_dirs(const char *path, struct error *error)
{
    char partial[4096];
    size_t len = strlen(path);

    if (len >= sizeof partial)
        return error_set(error, ERR_INVALID, "path '%.64s...' is too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        enum err err = os_make_dir(partial, error);
        if (err)
            return err;
    }
    return OK;
}

enum err edge_make_dir(const struct edge_options *options, struct arena *arena,
                       const char **ret_dir, struct error *error)
{
    const char *dir = options->spool_dir != NULL
                          ? options->spool_dir
                          : pipeline_spool_dir(options->pipeline, options->edge, arena);

    if (dir == NULL)
        return error_set(error, ERR_INVALID,
                         "edge '%s' has no directory for its spool: set spool.storage.hostPath, or "
                         "say --spool DIR",
                         options->edge->name);
    enum err err = make_dirs(dir, error);
    if (!err)
        *ret_dir = dir;
    return err;
}
