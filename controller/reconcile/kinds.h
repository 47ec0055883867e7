/* kinds: our own kind, and those of its children in the order in which they are applied. */
#ifndef CONTROLLER_RECONCILE_KINDS_H
#define CONTROLLER_RECONCILE_KINDS_H

#include "common/json.h"
#include "common/kube/resource.h"

extern const struct kube_resource kind_pipelines;

/* What an object refers to comes before it; they are deleted in the opposite order. Ended by NULL.
 */
extern const struct kube_resource *const kind_children[];

/* The resource of an object that desired() made; never NULL for those. */
const struct kube_resource *kind_of(const struct json *object);

#endif
