#include "sidecar/live/document.h"

#include "common/contract/names.h"
#include "common/contract/pipeline_live.h"
#include "common/file.h"
#include "common/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CURRENT, CANDIDATE, PERCENT, FILES };

/* What a file looks like from outside; all zero: it isn't there. */
struct look {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written, changed;
};

struct document {
    struct arena arena;
    const char *pod;
    const char *paths[FILES]; /* the last two NULL where there is no pod */
    struct look seen[FILES];
    bool read;
};

static struct look look_at(const char *path)
{
    struct stat status;

    if (path == NULL || stat(path, &status) != 0)
        return (struct look){0};
    return (struct look){.device = status.st_dev,
                         .inode = status.st_ino,
                         .size = status.st_size,
                         .written = status.st_mtim,
                         .changed = status.st_ctim};
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct look *a, const struct look *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(a->written, b->written) && is_same_time(a->changed, b->changed);
}

static void document_free(struct document **document)
{
    arena_fini(&(*document)->arena);
    free(*document);
    *document = NULL;
}

void document_close(struct document **document)
{
    if (*document != NULL)
        document_free(document);
}

enum err document_open(const char *file, const char *pod, struct document **ret_document,
                       struct error *error)
{
    AUTO(document_close) struct document *document = calloc(1, sizeof *document);
    const char *slash = strrchr(file, '/');
    int dir = slash == NULL ? 0 : (int)(slash - file) + 1;

    if (document == NULL)
        return error_set(error, ERR_NOMEM, "follow '%s'", file);
    document->paths[CURRENT] = arena_printf(&document->arena, "%s", file);
    if (pod != NULL) {
        document->pod = arena_printf(&document->arena, "%s", pod);
        document->paths[CANDIDATE] =
            arena_printf(&document->arena, "%.*s" NAMES_CANDIDATE_KEY, dir, file);
        document->paths[PERCENT] =
            arena_printf(&document->arena, "%.*s" NAMES_PERCENT_KEY, dir, file);
    }
    if (document->paths[CURRENT] == NULL ||
        (pod != NULL && (document->pod == NULL || document->paths[CANDIDATE] == NULL ||
                         document->paths[PERCENT] == NULL)))
        return error_set(error, ERR_NOMEM, "follow '%s'", file);
    MOVE(*ret_document, document);
    return OK;
}

bool document_has_changed(const struct document *document)
{
    for (int i = 0; i < FILES; i++) {
        const struct look now = look_at(document->paths[i]);
        if (!is_same(&now, &document->seen[i]))
            return true;
    }
    return !document->read;
}

/* 0: there is no candidate, or nobody is to take it yet. */
static unsigned percent_of(const struct document *document)
{
    AUTO(buf_fini) struct buf text = {0};
    uint64_t percent = 0;

    if (document->paths[PERCENT] == NULL ||
        file_read(document->paths[PERCENT], 16, &text, NULL) != OK)
        return 0;
    const char *digits = buf_text(&text);
    return digits != NULL && num_parse_u64(digits, 100, &percent) ? (unsigned)percent : 0;
}

enum err document_read_current(struct document *document, struct pipeline **ret_pipeline,
                               struct faults *faults, struct error *error)
{
    return pipeline_load(document->paths[CURRENT], ret_pipeline, faults, error);
}

enum err document_read(struct document *document, struct pipeline **ret_pipeline,
                       bool *ret_candidate, struct faults *faults, struct error *error)
{
    /* Looked at before reading: what changes meanwhile looks different next time. */
    for (int i = 0; i < FILES; i++)
        document->seen[i] = look_at(document->paths[i]);
    document->read = true;
    *ret_candidate = document->pod != NULL && document->seen[CANDIDATE].inode != 0 &&
                     pipeline_takes_candidate(document->pod, percent_of(document));
    return pipeline_load(document->paths[*ret_candidate ? CANDIDATE : CURRENT], ret_pipeline,
                         faults, error);
}
