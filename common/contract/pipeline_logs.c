#include "common/contract/pipeline.h"

#include "common/contract/names.h"
#include "common/xalloc.h"

#include <stdlib.h>

enum { DIRS_MAX = 2 + PIPELINE_FILES_MAX * PIPELINE_PATHS_MAX, DIR_SIZE = 256 };

struct dirs {
    char list[DIRS_MAX][DIR_SIZE];
    size_t len;
};

static bool lies_in(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0' || len == 1);
}

static void add(struct dirs *dirs, const char *dir, size_t len)
{
    if (dirs->len < DIRS_MAX && len < DIR_SIZE) {
        memcpy(dirs->list[dirs->len], dir, len);
        dirs->list[dirs->len++][len] = '\0';
    }
}

static void add_glob(struct dirs *dirs, const char *glob)
{
    size_t plain = strcspn(glob, "*?["), len = 0;

    for (size_t i = 1; i < plain; i++)
        if (glob[i] == '/')
            len = i;
    add(dirs, glob, len == 0 ? 1 : len); /* "/" is in front */
}

void pipeline_log_dirs(const struct pipeline_edge *edge, pipeline_visit_dir *visit, void *context)
{
    struct dirs *dirs = xcalloc(1, sizeof *dirs);

    if (edge->container_logs != NULL && edge->container_logs->enabled) {
        add(dirs, NAMES_LOG_DIR, strlen(NAMES_LOG_DIR));
        add(dirs, NAMES_DOCKER_LOGS_DIR, strlen(NAMES_DOCKER_LOGS_DIR));
    }
    for (size_t i = 0; i < edge->files_count; i++)
        for (size_t j = 0; j < edge->files[i].paths.count; j++)
            add_glob(dirs, edge->files[i].paths.items[j]);
    for (size_t i = 0; i < dirs->len; i++) {
        bool covered = false;
        for (size_t j = 0; j < dirs->len; j++)
            covered |= j != i && lies_in(dirs->list[i], dirs->list[j]) &&
                       (j < i || strcmp(dirs->list[i], dirs->list[j]) != 0);
        if (!covered)
            visit(context, dirs->list[i]);
    }
    free(dirs);
}
