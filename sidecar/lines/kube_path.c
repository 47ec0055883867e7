#include "sidecar/lines/kube_path.h"

enum { CONTAINER_ID_LEN = 64 };

/* The part of `text` behind the last `c`, which is cut off with it. False: no `c`. */
static bool cut_last(struct bytes *text, uint8_t c, struct bytes *ret_tail)
{
    const uint8_t *at = text->len > 0 ? memrchr(text->data, c, text->len) : NULL;

    if (at == NULL)
        return false;
    *ret_tail = (struct bytes){at + 1, (size_t)(text->data + text->len - at - 1)};
    text->len = (size_t)(at - text->data);
    return true;
}

/* The part of `text` before the first `c`, which is cut off with it. */
static bool cut_first(struct bytes *text, uint8_t c, struct bytes *ret_front)
{
    const uint8_t *at = text->len > 0 ? memchr(text->data, c, text->len) : NULL;

    if (at == NULL)
        return false;
    size_t len = (size_t)(at - text->data);
    *ret_front = (struct bytes){text->data, len};
    text->data += len + 1;
    text->len -= len + 1;
    return true;
}

/* Kubernetes' names: lower case, digits, '-' and '.'. */
static bool is_name(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.')
            return false;
    }
    return text.len > 0;
}

static bool is_made_of(struct bytes text, const char *digits)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\0' || strchr(digits, text.data[i]) == NULL)
            return false;
    return text.len > 0;
}

/* <pod>_<namespace>_<container>-<id>.log */
static bool parse_link(struct bytes file, struct kube_path *ret_path)
{
    struct kube_path path = {0};
    struct bytes ending;

    if (!cut_last(&file, '.', &ending) || !bytes_equal(ending, BYTES_LITERAL("log")) ||
        !cut_first(&file, '_', &path.pod_name) || !cut_first(&file, '_', &path.namespace_name) ||
        !cut_last(&file, '-', &path.container_id))
        return false;
    path.container_name = file;
    if (!is_name(path.pod_name) || !is_name(path.namespace_name) || !is_name(file) ||
        path.container_id.len != CONTAINER_ID_LEN ||
        !is_made_of(path.container_id, "0123456789abcdef"))
        return false;
    *ret_path = path;
    return true;
}

/* <namespace>_<pod>_<uid>/<container>/<restarts>.log... */
static bool parse_file(struct bytes directories, struct bytes file, struct kube_path *ret_path)
{
    struct kube_path path = {0};
    struct bytes pod;

    if (!cut_first(&file, '.', &path.restart_count) || file.len < 3 ||
        memcmp(file.data, "log", 3) != 0 || (file.len > 3 && file.data[3] != '.') ||
        !is_made_of(path.restart_count, "0123456789"))
        return false;
    if (!cut_last(&directories, '/', &path.container_name))
        return false;
    if (!cut_last(&directories, '/', &pod))
        pod = directories;
    if (!cut_first(&pod, '_', &path.namespace_name) || !cut_first(&pod, '_', &path.pod_name))
        return false;
    path.pod_uid = pod;
    if (!is_name(path.namespace_name) || !is_name(path.pod_name) || !is_name(path.pod_uid) ||
        !is_name(path.container_name))
        return false;
    *ret_path = path;
    return true;
}

bool kube_path_parse(struct bytes path, struct kube_path *ret_path)
{
    struct bytes file = path;

    if (!cut_last(&path, '/', &file))
        return parse_link(file, ret_path);
    return parse_file(path, file, ret_path) || parse_link(file, ret_path);
}
