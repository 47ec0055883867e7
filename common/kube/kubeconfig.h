/* kubeconfig: the files that kubectl reads, merged and with one context picked. Reads files once;
 * what they point to (certificates, token files) is left to those who use it.
 *
 * Of several files the first to name a context, cluster, user or the current context wins. Relative
 * paths are relative to the file they stand in.
 */
#ifndef COMMON_KUBE_KUBECONFIG_H
#define COMMON_KUBE_KUBECONFIG_H

#include "common/arena.h"
#include "common/http_client.h"
#include "common/json.h"

enum { KUBECONFIG_BYTES_MAX = 4 << 20, KUBECONFIG_FILES_MAX = 32 };

struct kubeconfig {
    struct arena arena;    /* of all below but exec */
    const char *server;    /* never NULL */
    const char *namespace; /* never NULL */
    struct http_tls tls;   /* *-data is decoded, and wins over files */
    const char *token, *token_file;
    const char *proxy;    /* NULL: none */
    struct json *exec;    /* user.exec, or NULL */
    const char *exec_dir; /* where a relative command with a slash starts */
};

/* ERR_NOTFOUND: no file is there. ERR_INVALID, naming file and entry. */
NODISCARD enum err kubeconfig_load(const char *paths, const char *context,
                                   struct kubeconfig *ret_config, struct error *error);
void kubeconfig_fini(struct kubeconfig *config);

#endif
