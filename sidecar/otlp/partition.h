/* partition: the Kafka keys of OTLP data, as the OpenTelemetry Collector makes them, and the
 * cutting of a request by them. Input and limits are those of split.h.
 *
 *   resource   16 bytes, the Collector's hash of the resource's attributes (all zero: none)
 *   trace id   32 lower-case hex digits; no key where the id is empty
 */
#ifndef SIDECAR_OTLP_PARTITION_H
#define SIDECAR_OTLP_PARTITION_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/otlp/slices.h"

#define OTLP_RESOURCE_KEY_SIZE 16

/* Takes one group; `key` and `request` are valid until it returns. Anything but OK ends the cutting
 * and is returned. */
typedef enum err otlp_group_fn(void *user, struct bytes key, const struct otlp_slices *request,
                               uint32_t items, struct error *error);

/* One group for each different resource of `request`, in the order of their first appearance. */
NODISCARD enum err otlp_group_by_resource(enum signal signal, struct bytes request,
                                          struct otlp_slices *work, otlp_group_fn *emit, void *user,
                                          struct error *error);

/* One group for each trace, in the order of their first appearance, with its spans or log records
 * in their old order, under their resources and scopes. The key is the trace id as 32 hex digits,
 * or empty for items whose id is missing, all zero or not of 16 bytes. What holds no items (an
 * empty resource) goes with the item before it. Headers are repeated in each group: large ones over
 * many traces can come to many times the request, and `emit` may say stop. ERR_INVALID also for
 * metrics, which have no trace ids. */
NODISCARD enum err otlp_group_by_trace(enum signal signal, struct bytes request,
                                       struct otlp_slices *work, otlp_group_fn *emit, void *user,
                                       struct error *error);

#endif
