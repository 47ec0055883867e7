#include "common/kube/resource.h"

#include "common/url.h"

#include <stdio.h>

#define CORE(plural_, kind_, scoped_) GROUP("", "v1", plural_, kind_, scoped_)
#define GROUP(group_, version_, plural_, kind_, scoped_)                                \
    {                                                                                   \
        .group = (group_), .version = (version_), .plural = (plural_), .kind = (kind_), \
        .namespaced = (scoped_)                                                         \
    }

const struct kube_resource kube_pods = CORE("pods", "Pod", true);
const struct kube_resource kube_services = CORE("services", "Service", true);
const struct kube_resource kube_configmaps = CORE("configmaps", "ConfigMap", true);
const struct kube_resource kube_secrets = CORE("secrets", "Secret", true);
const struct kube_resource kube_serviceaccounts = CORE("serviceaccounts", "ServiceAccount", true);
const struct kube_resource kube_namespaces = CORE("namespaces", "Namespace", false);
const struct kube_resource kube_nodes = CORE("nodes", "Node", false);
const struct kube_resource kube_persistentvolumeclaims =
    CORE("persistentvolumeclaims", "PersistentVolumeClaim", true);
const struct kube_resource kube_deployments =
    GROUP("apps", "v1", "deployments", "Deployment", true);
const struct kube_resource kube_statefulsets =
    GROUP("apps", "v1", "statefulsets", "StatefulSet", true);
const struct kube_resource kube_daemonsets = GROUP("apps", "v1", "daemonsets", "DaemonSet", true);
const struct kube_resource kube_jobs = GROUP("batch", "v1", "jobs", "Job", true);
const struct kube_resource kube_roles =
    GROUP("rbac.authorization.k8s.io", "v1", "roles", "Role", true);
const struct kube_resource kube_rolebindings =
    GROUP("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true);
const struct kube_resource kube_horizontalpodautoscalers =
    GROUP("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true);
const struct kube_resource kube_poddisruptionbudgets =
    GROUP("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true);
const struct kube_resource kube_leases =
    GROUP("coordination.k8s.io", "v1", "leases", "Lease", true);
const struct kube_resource kube_events = GROUP("events.k8s.io", "v1", "events", "Event", true);
const struct kube_resource kube_crds = GROUP(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false);

static const struct kube_resource *const known[] = {&kube_pods,
                                                    &kube_services,
                                                    &kube_configmaps,
                                                    &kube_secrets,
                                                    &kube_serviceaccounts,
                                                    &kube_namespaces,
                                                    &kube_nodes,
                                                    &kube_persistentvolumeclaims,
                                                    &kube_deployments,
                                                    &kube_statefulsets,
                                                    &kube_daemonsets,
                                                    &kube_jobs,
                                                    &kube_roles,
                                                    &kube_rolebindings,
                                                    &kube_horizontalpodautoscalers,
                                                    &kube_poddisruptionbudgets,
                                                    &kube_leases,
                                                    &kube_events,
                                                    &kube_crds,
                                                    NULL};

const char *kube_resource_api_version(const struct kube_resource *resource,
                                      char into[KUBE_API_VERSION_SIZE])
{
    snprintf(into, KUBE_API_VERSION_SIZE, "%s%s%s", resource->group,
             resource->group[0] == '\0' ? "" : "/", resource->version);
    return into;
}

const struct kube_resource *kube_resource_find(const struct kube_resource *const *resources,
                                               const char *api_version, const char *kind)
{
    char own[KUBE_API_VERSION_SIZE];

    for (const struct kube_resource *const *at = resources == NULL ? known : resources; *at != NULL;
         at++) {
        if (strcmp((*at)->kind, kind) == 0 &&
            strcmp(kube_resource_api_version(*at, own), api_version) == 0)
            return *at;
    }
    return NULL;
}

/* The server would take "a/b" or ".." after decoding for another place in the path. */
static enum err append_checked(struct buf *url, const char *segment, struct error *error)
{
    if (segment[0] == '\0' || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0 ||
        strpbrk(segment, "/%") != NULL)
        return error_set(error, ERR_INVALID, "'%.100s' is no name of an object", segment);
    return url_segment(url, segment);
}

enum err kube_resource_url(const struct kube_resource *resource, const char *base,
                           const char *namespace, const char *name, const char *subresource,
                           struct buf *url, struct error *error)
{
    bool core = resource->group[0] == '\0', scoped = resource->namespaced && namespace != NULL;
    const char *const segments[] = {core ? "api" : "apis",
                                    core ? NULL : resource->group,
                                    resource->version,
                                    scoped ? "namespaces" : NULL,
                                    scoped ? namespace : NULL,
                                    resource->plural,
                                    name,
                                    subresource};

    enum err err = url_start(url, base);
    for (size_t i = 0; !err && i < sizeof segments / sizeof *segments; i++) {
        if (segments[i] != NULL)
            err = append_checked(url, segments[i], error);
    }
    return err;
}
