/* kube_path: what the path of a container's log says about the container.
 *
 *   .../<namespace>_<pod>_<uid>/<container>/<restarts>.log[.<rotation>][.gz]     /var/log/pods
 *   .../<pod>_<namespace>_<container>-<id>.log                              /var/log/containers
 *
 * Only the end of the path is looked at, so the directory may be mounted anywhere. Pure.
 */
#ifndef SIDECAR_LINES_KUBE_PATH_H
#define SIDECAR_LINES_KUBE_PATH_H

#include "common/bytes.h"

struct kube_path { /* views of the path */
    struct bytes namespace_name, pod_name, container_name;
    struct bytes pod_uid;       /* empty: the path does not tell */
    struct bytes container_id;  /* likewise; 64 hexadecimal digits */
    struct bytes restart_count; /* likewise; decimal digits */
};

/* False: it is no such path. */
bool kube_path_parse(struct bytes path, struct kube_path *ret_path);

#endif
