/* kube_auth: which API server, and who we are to it.
 *
 *   in a pod      KUBERNETES_SERVICE_HOST and _PORT, and the token, ca.crt and namespace files of
 *                 the service account; the token rotates: its file is read again each minute, and
 *                 after a 401
 *   kubeconfig    files of $KUBECONFIG (in order, the first to name something wins), else
 *                 ~/.kube/config; client certificates and keys, tokens, tokenFile, basic exec
 *                 plugins (client.authentication.k8s.io/v1 and v1beta1) whose answer is kept until
 *                 it expires or a 401. Other auth-provider entries and `impersonate` are refused.
 *
 * An exec plugin runs on the thread that asks, for at most 30 s, with the environment and
 * KUBERNETES_EXEC_INFO; its standard error is ours, its standard input is closed. In a pod there
 * is none.
 *
 * Thread: any; one mutex guards the credentials at hand.
 */
#ifndef COMMON_KUBE_AUTH_H
#define COMMON_KUBE_AUTH_H

#include "common/error.h"
#include "common/http_client.h"

#define KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct kube_auth;

/* `dir`: of the service account's files; NULL for KUBE_SERVICE_ACCOUNT_DIR. */
NODISCARD enum err kube_auth_in_cluster(const char *dir, struct kube_auth **ret_auth,
                                        struct error *error);

/* `paths`: files parted by ':', NULL for $KUBECONFIG or ~/.kube/config. `context`: NULL for the
 * current one. */
NODISCARD enum err kube_auth_kubeconfig(const char *paths, const char *context,
                                        struct kube_auth **ret_auth, struct error *error);

/* In the cluster if KUBERNETES_SERVICE_HOST is set and neither argument is, else kubeconfig. */
NODISCARD enum err kube_auth_default(const char *paths, const char *context,
                                     struct kube_auth **ret_auth, struct error *error);
void kube_auth_destroy(struct kube_auth **slot);

/* "https://10.96.0.1:443", with no slash at the end; lives as long as `auth`. */
const char *kube_auth_server(const struct kube_auth *auth);

/* The pod's or the context's namespace, "default" if none. */
const char *kube_auth_namespace(const struct kube_auth *auth);

/* The context's proxy, or NULL. */
const char *kube_auth_proxy(const struct kube_auth *auth);

/* Credentials at one instant: immutable and counted. */
struct kube_credentials {
    const char *token; /* NULL: none */
    struct http_tls tls;
};
NODISCARD enum err kube_auth_get(struct kube_auth *auth, struct kube_credentials **ret_credentials,
                                 struct error *error);
void kube_credentials_unref(struct kube_credentials **credentials);

/* The server answered 401 to these: kube_auth_get() makes new ones, unless that was done since. */
void kube_auth_expire(struct kube_auth *auth, const struct kube_credentials *refused);

#endif
