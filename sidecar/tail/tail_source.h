/* tail_source: which files belong to an input, and how they are to be read.
 *
 *   container logs:  ROOT/<namespace>_<pod>_<uid>/<container>/<restarts>.log, less what the globs
 *                    leave out, less Surgetank's own (they would feed on themselves)
 *   files:           any of `paths`, none of `exclude`
 *
 * What a rotation made of such a file belongs to it as well, though no glob says so: lines that
 * were not read before it was renamed or compressed must be found again after a restart.
 *
 * Pure but for tail_source_scan().
 */
#ifndef SIDECAR_TAIL_TAIL_SOURCE_H
#define SIDECAR_TAIL_TAIL_SOURCE_H

#include "common/attr.h"

#include "sidecar/lines/batch.h"
#include "sidecar/lines/lines.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tail_start { TAIL_START_END, TAIL_START_BEGINNING, TAIL_START_TIME };

struct tail_source {
    const char *name; /* in metrics and positions: another name is another input */

    const char *root; /* of container logs; NULL: files */
    const char *const *namespaces, *const *pods, *const *exclude_pods;
    size_t namespace_count, pod_count, exclude_pod_count;

    const char *const *paths, *const *exclude;
    size_t path_count, exclude_count;

    enum tail_start start;    /* where in files that were there before this input was */
    uint64_t start_ns;        /* TAIL_START_TIME: wall time */
    uint64_t ignore_older_ms; /* files not written to for longer; 0: none */
    uint32_t rescan_ms;

    enum lines_format format; /* of container logs LINES_CRI; LINES_DOCKER is recognised */
    size_t line_max;
    unsigned rules;              /* of enum multiline_rule */
    const char *const *patterns; /* of the users' own that begin a record */
    size_t pattern_count;

    const struct batch_attribute *attributes; /* of the resource */
    size_t attribute_count;
};

/* A file that a scan came across. */
struct tail_found {
    const char *path; /* lives as long as the call */
    size_t base_len;  /* of the path of what it was before a rotation; else all of the path */
    bool rotated;     /* the name is one that a rotation gave it */
    bool compressed;
    bool linked; /* a symbolic link */
    uint64_t dev, ino, size;
    uint64_t modified_ns, born_ns; /* wall; born: 0 where the file system can't tell */
};

struct tail_visitor {
    void (*dir)(void *context, const char *path); /* each directory that matters */
    void (*file)(void *context, const struct tail_found *found);
    void (*failed)(void *context, const char *path); /* see glob.h */
    void *context;
};

/* Whether the file belongs to the source. Everything in `found` that a path can tell is set. */
bool tail_source_takes(const struct tail_source *source, const char *path,
                       struct tail_found *ret_found);

/* Goes through all directories, or with `dir` through that one, and if it is new through those in
 * it. False: a limit cut it short. */
bool tail_source_scan(const struct tail_source *source, const char *dir, bool is_new,
                      const struct tail_visitor *visitor);

/* Whether the directory, or one below it, could hold files of the source. Not those of a pod that
 * the globs leave out. */
bool tail_source_wants_dir(const struct tail_source *source, const char *dir);

#endif
