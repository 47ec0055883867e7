#include "controller/reconcile/kinds.h"

#include "common/contract/names.h"

const struct kube_resource kind_pipelines = {.group = NAMES_GROUP,
                                             .version = NAMES_VERSION,
                                             .plural = NAMES_PIPELINES,
                                             .kind = NAMES_KIND_PIPELINE,
                                             .namespaced = true};

const struct kube_resource *const kind_children[] = {
    &kube_serviceaccounts,
    &kube_configmaps,
    &kube_services,
    &kube_poddisruptionbudgets,
    &kube_statefulsets,
    &kube_daemonsets,
    &kube_deployments,
    &kube_horizontalpodautoscalers,
    NULL,
};

const struct kube_resource *kind_of(const struct json *object)
{
    return kube_resource_find(kind_children, json_string(json_get(object, "apiVersion"), ""),
                              json_string(json_get(object, "kind"), ""));
}
