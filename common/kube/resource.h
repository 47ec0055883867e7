/* kube_resource: what the API server must be told about a kind, and the URLs that follow from it.
 *
 *   /api/VERSION/...                                  the core group, whose name is ""
 *   /apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE
 */
#ifndef COMMON_KUBE_RESOURCE_H
#define COMMON_KUBE_RESOURCE_H

#include "common/buf.h"
#include "common/error.h"

struct kube_resource {
    const char *group;   /* "" for the core group */
    const char *version; /* "v1" */
    const char *plural;  /* "deployments" */
    const char *kind;    /* "Deployment" */
    bool namespaced;
};

/* Those that we touch. Our own kinds are described next to their API. */
extern const struct kube_resource kube_pods, kube_services, kube_configmaps, kube_secrets,
    kube_serviceaccounts, kube_namespaces, kube_nodes, kube_persistentvolumeclaims,
    kube_deployments, kube_statefulsets, kube_daemonsets, kube_jobs, kube_roles, kube_rolebindings,
    kube_horizontalpodautoscalers, kube_poddisruptionbudgets, kube_leases, kube_events, kube_crds;

#define KUBE_API_VERSION_SIZE 128

/* "v1" or "apps/v1"; returns `into`. */
const char *kube_resource_api_version(const struct kube_resource *resource,
                                      char into[KUBE_API_VERSION_SIZE]);

/* The resource of that apiVersion and kind among `resources` (ended by NULL) or, where that is
 * NULL, among those above. NULL if unknown. */
const struct kube_resource *kube_resource_find(const struct kube_resource *const *resources,
                                               const char *api_version, const char *kind);

/* Puts base, path and nothing else in `url`; `namespace`, `name` and `subresource` may be NULL. A
 * name that could leave its place in the path ("", ".", "..", or with a '/') is ERR_INVALID. */
NODISCARD enum err kube_resource_url(const struct kube_resource *resource, const char *base,
                                     const char *namespace, const char *name,
                                     const char *subresource, struct buf *url, struct error *error);

#endif
