/* walk: checks an OTLP export request on the wire, to its full depth, without decoding it.
 *
 * The bytes of ExportTraceServiceRequest, ExportMetricsServiceRequest and ExportLogsServiceRequest
 * are those of TracesData, MetricsData and LogsData, and several requests one behind the other are
 * one request again: all of that is accepted.
 *
 * Accepted is what protobuf's own decoders accept: fields in any order, singular messages more than
 * once (they merge), scalars packed or not, unknown fields of any kind. Refused, as ERR_INVALID,
 * with the path and the offset from the start of the request:
 *   - a length, number or tag that runs over the end of its message, or is longer than its type
 *   - a known field with the wire type of another
 *   - a string that is not UTF-8
 *   - messages nested deeper than `depth_max`; more items, resources or bytes of headers than the
 *     limits say
 *
 *   resource_spans[3].scope_spans[0].spans[7].name: invalid UTF-8 at byte 1234
 *
 * Items are spans, log records and metric data points. An empty request is valid and has none.
 *
 * Pure: no allocation, any thread.
 */
#ifndef SIDECAR_OTLP_WALK_H
#define SIDECAR_OTLP_WALK_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"

#include <stdbool.h>

/* 0 stands for the default. */
struct otlp_limits {
    uint32_t depth_max;     /* messages within each other, the request being 1. Default 100, as in
                               protobuf's own decoders; at most OTLP_DEPTH_MAX */
    uint32_t resources_max; /* ResourceSpans, ResourceMetrics or ResourceLogs. Default 1 Mi */
    uint32_t items_max;     /* Default 2^32 - 1 */
    uint32_t headers_max;   /* bytes of a resource, scope and metric without what they hold, which
                               are repeated wherever a request is cut. Default 512 KiB */
};

#define OTLP_DEPTH_DEFAULT     100
#define OTLP_DEPTH_MAX         200
#define OTLP_RESOURCES_DEFAULT (1u << 20)
#define OTLP_HEADERS_DEFAULT   (512u << 10)

struct otlp_summary {
    uint32_t items;
    uint32_t resources; /* ResourceSpans, ResourceMetrics or ResourceLogs */
    uint32_t scopes;    /* ScopeSpans ... */
    uint32_t depth;     /* of the deepest message */
};

/* Checks all of `request`. `limits` may be NULL. ERR_INVALID: see above. Requests of 4 GiB and more
 * are ERR_INVALID too. */
NODISCARD enum err otlp_walk(enum signal signal, struct bytes request,
                             const struct otlp_limits *limits, struct otlp_summary *ret_summary,
                             struct error *error);

/* Whether one item is sound: a span, a log record, or a data point of the metric's field `data` (5
 * gauge, 7 sum, 9 histogram, 10 exponential histogram, 11 summary; else not looked at). */
bool otlp_walk_item(enum signal signal, uint32_t data, struct bytes item);

/* Counts without checking what it does not need to: about 30 times faster. For bytes that
 * otlp_walk() has accepted before, it gives the same numbers but depth, which is 0. */
NODISCARD enum err otlp_count(enum signal signal, struct bytes request,
                              struct otlp_summary *ret_summary, struct error *error);

#endif
