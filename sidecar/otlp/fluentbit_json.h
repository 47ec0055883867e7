/* fluentbit_json: a log record as the JSON document that Fluent Bit's Kafka output would write for
 * it, for readers that were made for those.
 *
 *   {"@timestamp":1790164512.345678,"log":"...","stream":"stdout",
 *    "kubernetes":{"pod_name":"...","namespace_name":"...","labels":{...}}}
 *
 *   @timestamp            seconds since 1970 as a number: the record's time, else the observed one
 *   the body              a map's members; anything else under "log"
 *   the attributes        under their names; log.iostream is "stream"
 *   severity_text, severity_number, event_name, trace_id, span_id    where set
 *   kubernetes            from k8s.* and container.* of the resource, as Fluent Bit's filter says
 *   resource              what else the resource says
 *
 * Of two members with one name the first in this order counts. Bytes are base64, NaN and infinities
 * strings; scopes are left out, as Fluent Bit does. Pure; any thread.
 */
#ifndef SIDECAR_OTLP_FLUENTBIT_JSON_H
#define SIDECAR_OTLP_FLUENTBIT_JSON_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"

/* Takes a LogRecord and the ResourceLogs that it is in, as views of the request. Anything but OK
 * ends the listing and is returned. */
typedef enum err fluentbit_record_fn(void *user, struct bytes resource_logs, struct bytes record,
                                     struct error *error);

/* Lists the records of a request of logs, in their order. ERR_INVALID: malformed. */
NODISCARD enum err fluentbit_records(struct bytes request, fluentbit_record_fn *visit, void *user,
                                     struct error *error);

/* Appends the document to `out`. ERR_INVALID: malformed, or nested deeper than OTLP_DEPTH_MAX.
 * ERR_FULL, ERR_NOMEM. */
NODISCARD enum err fluentbit_json_write(struct bytes resource_logs, struct bytes record,
                                        struct buf *out, struct error *error);

#endif
