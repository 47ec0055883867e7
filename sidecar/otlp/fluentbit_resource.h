/* fluentbit_resource: a resource as the documents of its records tell it, made once for many
 * records.
 *
 *   kubernetes   {"pod_name":"...","labels":{...}}, from k8s.* and container.*
 *   rest         {"service.name":"..."}
 *
 * Zero-initialised is empty. Pure; thread: one at a time.
 */
#ifndef SIDECAR_OTLP_FLUENTBIT_RESOURCE_H
#define SIDECAR_OTLP_FLUENTBIT_RESOURCE_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

struct fluentbit_resource {
    struct buf of;               /* the Resource that it was made from */
    struct buf kubernetes, rest; /* objects; empty: there are no such attributes */
};
void fluentbit_resource_fini(struct fluentbit_resource *made);

/* Makes it from a Resource, unless it is made from an equal one. ERR_INVALID: nested deeper than
 * OTLP_DEPTH_MAX. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err fluentbit_resource_make(struct fluentbit_resource *made, struct bytes resource);

#endif
