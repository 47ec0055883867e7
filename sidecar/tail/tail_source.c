#include "sidecar/tail/tail_source.h"

#include "common/contract/names.h"
#include "sidecar/lines/kube_path.h"
#include "sidecar/tail/glob.h"
#include "sidecar/tail/log_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define POD_PATTERN "/*/*/*.log"

/* ---- which */

static bool any_name(const char *const *patterns, size_t count, struct bytes name)
{
    char text[256];

    if (name.len >= sizeof text)
        return false;
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    for (size_t i = 0; i < count; i++)
        if (glob_match_name(patterns[i], text))
            return true;
    return false;
}

static bool any_path(const char *const *patterns, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (glob_match(patterns[i], path))
            return true;
    return false;
}

/* Edges and gateways, of any pipeline, and the controller as the chart installs it. */
static bool is_ours(const struct kube_path *pod)
{
    return bytes_equal(pod->container_name, bytes_from(NAMES_CONTAINER)) ||
           (bytes_equal(pod->container_name, BYTES_LITERAL("controller")) &&
            pod->pod_name.len > strlen(NAMES_APP) &&
            memcmp(pod->pod_name.data, NAMES_APP, strlen(NAMES_APP)) == 0);
}

static bool takes_pod(const struct tail_source *source, const char *path)
{
    struct kube_path pod;
    size_t root = strlen(source->root);

    return strncmp(path, source->root, root) == 0 && glob_match(POD_PATTERN, path + root) &&
           kube_path_parse(bytes_from(path), &pod) && pod.pod_uid.len > 0 && !is_ours(&pod) &&
           any_name(source->namespaces, source->namespace_count, pod.namespace_name) &&
           any_name(source->pods, source->pod_count, pod.pod_name) &&
           !any_name(source->exclude_pods, source->exclude_pod_count, pod.pod_name);
}

static bool takes_base(const struct tail_source *source, const char *path)
{
    if (source->root != NULL)
        return takes_pod(source, path);
    return any_path(source->paths, source->path_count, path) &&
           !any_path(source->exclude, source->exclude_count, path);
}

bool tail_source_takes(const struct tail_source *source, const char *path,
                       struct tail_found *ret_found)
{
    const char *name = strrchr(path, '/');
    size_t len = strlen(path);
    char base[GLOB_PATH_MAX];

    if (name == NULL || len >= sizeof base)
        return false;
    name++;
    bool compressed = len > 3 && strcmp(path + len - 3, ".gz") == 0;
    size_t base_len = log_path_base(name);
    if (base_len > 0) {
        base_len += (size_t)(name - path);
        memcpy(base, path, base_len);
        base[base_len] = '\0';
        if (takes_base(source, base)) {
            *ret_found = (struct tail_found){
                .path = path, .base_len = base_len, .rotated = true, .compressed = compressed};
            return source->exclude_count == 0 ||
                   !any_path(source->exclude, source->exclude_count, path);
        }
    }
    if (!takes_base(source, path))
        return false;
    *ret_found = (struct tail_found){.path = path, .base_len = len, .compressed = compressed};
    return true;
}

/* ---- where */

struct scan {
    const struct tail_source *source;
    const struct tail_visitor *visitor;
};

static uint64_t wall_ns(const struct statx_timestamp *time)
{
    return time->tv_sec < 0 ? 0 : (uint64_t)time->tv_sec * 1000000000u + time->tv_nsec;
}

static void on_failed(void *context, const char *path)
{
    struct scan *scan = context;
    scan->visitor->failed(scan->visitor->context, path);
}

static void on_file(void *context, const char *path)
{
    struct scan *scan = context;
    struct tail_found found;
    struct statx status, link;

    if (!tail_source_takes(scan->source, path, &found))
        return;
    if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_BTIME, &status) != 0) {
        if (error_is_shortage(errno))
            on_failed(scan, path);
        return;
    }
    if (!S_ISREG(status.stx_mode))
        return;
    found.linked = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &link) == 0 &&
                   S_ISLNK(link.stx_mode);
    found.dev = makedev(status.stx_dev_major, status.stx_dev_minor);
    found.ino = status.stx_ino;
    found.size = status.stx_size;
    found.modified_ns = wall_ns(&status.stx_mtime);
    found.born_ns = (status.stx_mask & STATX_BTIME) != 0 ? wall_ns(&status.stx_btime) : 0;
    scan->visitor->file(scan->visitor->context, &found);
}

static void on_dir(void *context, const char *path)
{
    struct scan *scan = context;
    if (scan->visitor->dir != NULL)
        scan->visitor->dir(scan->visitor->context, path);
}

static bool pod_pattern(const struct tail_source *source, char into[static GLOB_PATH_MAX])
{
    int len = snprintf(into, GLOB_PATH_MAX, "%s" POD_PATTERN, source->root);
    return len > 0 && len < GLOB_PATH_MAX;
}

static bool scan_pattern(struct scan *scan, const char *pattern, const char *dir, bool is_new)
{
    const struct glob_visitor visitor = {
        .dir = on_dir, .file = on_file, .failed = on_failed, .context = scan};

    if (dir != NULL && !glob_match_dir(pattern, dir))
        return true;
    if (dir == NULL || is_new)
        return glob_walk(pattern, dir, &visitor);
    glob_list(dir, &visitor);
    return true;
}

bool tail_source_scan(const struct tail_source *source, const char *dir, bool is_new,
                      const struct tail_visitor *visitor)
{
    struct scan scan = {.source = source, .visitor = visitor};
    char pattern[GLOB_PATH_MAX];
    bool whole = true;

    if (source->root != NULL)
        return pod_pattern(source, pattern) && scan_pattern(&scan, pattern, dir, is_new);
    for (size_t i = 0; i < source->path_count; i++)
        whole = scan_pattern(&scan, source->paths[i], dir, is_new) && whole;
    return whole;
}

/* Of a pod or a container whether its logs would be taken. */
static bool wants_pod_dir(const struct tail_source *source, const char *dir)
{
    char pattern[GLOB_PATH_MAX], log[GLOB_PATH_MAX];
    size_t root = strlen(source->root);

    if (!pod_pattern(source, pattern) || !glob_match_dir(pattern, dir))
        return false;
    const char *below = strlen(dir) > root ? dir + root : "";
    bool is_pod = glob_match("/*", below);
    int len = snprintf(log, sizeof log, "%s%s", dir, is_pod ? "/any/0.log" : "/0.log");
    return below[0] == '\0' || (len > 0 && (size_t)len < sizeof log && takes_pod(source, log));
}

bool tail_source_wants_dir(const struct tail_source *source, const char *dir)
{
    if (source->root != NULL)
        return wants_pod_dir(source, dir);
    for (size_t i = 0; i < source->path_count; i++)
        if (glob_match_dir(source->paths[i], dir))
            return true;
    return false;
}
