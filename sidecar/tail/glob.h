/* glob: patterns of absolute paths, matched and walked.
 *
 *   *      any bytes but '/'; not a leading '.'        /var/log/app/[a-c]*.log
 *   ?      one such byte                               /srv/app-?/log/current
 *   [a-z]  one of a set, [!a-z] one outside of it
 *   **     any number of whole directories, also none  /srv/ ** /log/x.log (without the blanks)
 *
 * Symbolic links are followed, to files and to directories; below a ** not to a directory that the
 * walk came through, which would be a loop.
 */
#ifndef SIDECAR_TAIL_GLOB_H
#define SIDECAR_TAIL_GLOB_H

#include "common/attr.h"

#include <stdbool.h>
#include <stddef.h>

#define GLOB_DEPTH_MAX 24    /* directories deep */
#define GLOB_DIRS_MAX  16384 /* directories that one walk lists */
#define GLOB_PATH_MAX  4096

/* Whether the whole of `path` matches. Pure. */
bool glob_match(const char *pattern, const char *path);

/* Whether something below the directory `path` could match. Pure. */
bool glob_match_dir(const char *pattern, const char *path);

/* Whether the whole of `name`, which has no '/', matches: for names of namespaces and pods, where a
 * leading '.' is nothing special. Pure. */
bool glob_match_name(const char *pattern, const char *name);

struct glob_visitor {
    /* Each directory that could hold a match, before it is listed. */
    void (*dir)(void *context, const char *path);
    /* Each name in them that is no directory, whether it matches or not. */
    void (*file)(void *context, const char *path);
    /* One that could not be looked at for want of memory or descriptors: what is there may be
     * missing. NULL: nobody asks. */
    void (*failed)(void *context, const char *path);
    void *context;
};

/* Walks the file system from the directory `top`, which could hold a match; NULL: all of it. What
 * can't be read is passed over. Returns false if a limit cut it short. */
bool glob_walk(const char *pattern, const char *top, const struct glob_visitor *visitor);

/* Lists that one directory in the same manner. */
void glob_list(const char *dir, const struct glob_visitor *visitor);

#endif
