#include "sidecar/tail/glob.h"

#include "common/error.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
    const struct glob_visitor *visitor;
    const char *pattern;
    size_t dirs;
    bool cut;
};

/* The next segment of a pattern or path: [start, end), behind slashes. False: there is none. */
static bool segment(const char **at, const char **ret_end)
{
    while (**at == '/')
        (*at)++;
    *ret_end = *at + strcspn(*at, "/");
    return **at != '\0';
}

static bool is_any_depth(const char *start, const char *end)
{
    return end - start == 2 && start[0] == '*' && start[1] == '*';
}

static bool segment_matches(const char *pattern, const char *pattern_end, const char *name,
                            const char *name_end)
{
    char p[256], n[256];
    size_t p_len = (size_t)(pattern_end - pattern), n_len = (size_t)(name_end - name);

    if (p_len >= sizeof p || n_len >= sizeof n)
        return false;
    memcpy(p, pattern, p_len);
    p[p_len] = '\0';
    memcpy(n, name, n_len);
    n[n_len] = '\0';
    return fnmatch(p, n, FNM_PERIOD | FNM_NOESCAPE) == 0;
}

/* `partly`: the path may end before the pattern does. Recursion is as deep as there are "**". */
static bool match_from(const char *pattern, const char *path, bool partly, unsigned depth)
{
    const char *p_end, *n_end;

    while (segment(&pattern, &p_end)) {
        if (is_any_depth(pattern, p_end)) {
            if (partly || depth > GLOB_DEPTH_MAX)
                return partly;
            for (;;) {
                if (match_from(p_end, path, partly, depth + 1))
                    return true;
                if (!segment(&path, &n_end) || path[0] == '.')
                    return false;
                path = n_end;
            }
        }
        if (!segment(&path, &n_end))
            return partly;
        if (!segment_matches(pattern, p_end, path, n_end))
            return false;
        pattern = p_end;
        path = n_end;
    }
    return !partly && !segment(&path, &n_end);
}

bool glob_match(const char *pattern, const char *path)
{
    return match_from(pattern, path, false, 0);
}

bool glob_match_dir(const char *pattern, const char *path)
{
    return match_from(pattern, path, true, 0);
}

bool glob_match_name(const char *pattern, const char *name)
{
    return fnmatch(pattern, name, FNM_NOESCAPE) == 0;
}

/* ---- walking */

/* A call has failed, as errno tells. */
static void failed(const struct walk *walk, const char *path)
{
    if (error_is_shortage(errno) && walk->visitor->failed != NULL)
        walk->visitor->failed(walk->visitor->context, path);
}

/* `ret_status` is set where it had to be asked: of links, and where the file system
 * tells no types. */
static bool is_dir(const struct walk *walk, const char *path, const struct dirent *entry,
                   struct stat *ret_status)
{
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    if (stat(path, ret_status) == 0)
        return S_ISDIR(ret_status->st_mode);
    failed(walk, path);
    return false;
}

/* Whether what was found in `dir` is one of the directories that lead there. For a pattern with **,
 * what is below it has been found without it. */
static bool leads_back(const struct walk *walk, const char *dir, const struct stat *found)
{
    char path[GLOB_PATH_MAX];
    struct stat above;

    if (found->st_ino == 0 || strstr(walk->pattern, "/**/") == NULL)
        return false;
    for (size_t len = strlen(dir); len > 0; len--) {
        if (dir[len] != '/' && dir[len] != '\0')
            continue;
        memcpy(path, dir, len);
        path[len] = '\0';
        if (stat(path, &above) == 0 && above.st_dev == found->st_dev &&
            above.st_ino == found->st_ino)
            return true;
    }
    return stat("/", &above) == 0 && above.st_dev == found->st_dev && above.st_ino == found->st_ino;
}

static bool join(const char *dir, const char *name, char into[static GLOB_PATH_MAX])
{
    int len = snprintf(into, GLOB_PATH_MAX, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
    return len > 0 && len < GLOB_PATH_MAX;
}

static void list(struct walk *walk, const char *dir, unsigned depth);

static void take(struct walk *walk, const char *dir, const struct dirent *entry, unsigned depth)
{
    const struct glob_visitor *visitor = walk->visitor;
    char path[GLOB_PATH_MAX];
    struct stat status = {.st_ino = 0};

    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
        !join(dir, entry->d_name, path))
        return;
    if (is_dir(walk, path, entry, &status)) {
        if (depth > 0 && glob_match_dir(walk->pattern, path) && !leads_back(walk, dir, &status))
            list(walk, path, depth - 1);
    } else {
        visitor->file(visitor->context, path);
    }
}

static void list(struct walk *walk, const char *dir, unsigned depth)
{
    if (++walk->dirs > GLOB_DIRS_MAX) {
        walk->cut = true;
        return;
    }
    /* Watched before it is listed: what is made in between is seen at least once. */
    if (walk->visitor->dir != NULL)
        walk->visitor->dir(walk->visitor->context, dir);
    DIR *stream = opendir(dir);
    if (stream == NULL) {
        failed(walk, dir);
        return;
    }
    for (struct dirent *entry = readdir(stream); entry != NULL; entry = readdir(stream))
        take(walk, dir, entry, depth);
    closedir(stream);
}

/* The directory above the first segment with a wildcard in it, or above the last segment. */
static bool literal_dir(const char *pattern, char into[static GLOB_PATH_MAX])
{
    size_t plain = strcspn(pattern, "*?[");
    const char *slash = pattern[0] == '/' ? pattern : NULL;

    for (const char *at = pattern; at < pattern + plain && *at != '\0'; at++)
        if (*at == '/')
            slash = at;
    if (slash == NULL || (size_t)(slash - pattern) >= GLOB_PATH_MAX)
        return false;
    size_t len = (size_t)(slash - pattern);
    memcpy(into, pattern, len);
    into[len] = '\0';
    if (len == 0)
        memcpy(into, "/", 2);
    return true;
}

bool glob_walk(const char *pattern, const char *top, const struct glob_visitor *visitor)
{
    struct walk walk = {.visitor = visitor, .pattern = pattern};
    char dir[GLOB_PATH_MAX];

    if (top == NULL && !literal_dir(pattern, dir))
        return false;
    list(&walk, top == NULL ? dir : top, GLOB_DEPTH_MAX);
    return !walk.cut;
}

void glob_list(const char *dir, const struct glob_visitor *visitor)
{
    struct walk walk = {.visitor = visitor};
    list(&walk, dir, 0);
}
