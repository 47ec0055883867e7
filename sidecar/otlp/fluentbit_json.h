/* fluentbit_json: a log record as the JSON document that Fluent Bit's Kafka output would write for
 * it, for readers that were made for those.
 *
 *   {"@timestamp":1790164512.345679,"log":"...","stream":"stdout",
 *    "time":"2026-09-23T11:55:12.345678901Z",
 *    "kubernetes":{"pod_name":"...","namespace_name":"...","labels":{...}}}
 *
 *   the body         a map's members; anything else under "log", null too
 *   the attributes   under their names; log.iostream is "stream"
 *   @timestamp       seconds since 1970: the record's time, else the observed one, else when it
 *                    was accepted
 *   time             of records with log.iostream: RFC 3339 with nanoseconds
 *   severity_text, severity_number, event_name, trace_id, span_id   where set
 *   kubernetes       from k8s.* and container.* of the resource, as Fluent Bit's filter says
 *   resource         what else the resource says
 *
 * Of two members with one name the first in this order counts, and of two of one list the last.
 * Bytes are text, those that are no UTF-8 characters from U+E000 on; whole numbers that were
 * doubles end in ".0"; ids are hexadecimal. Fluent Bit writes NaN and infinities as no JSON reader
 * takes them; here they are strings. It leaves out what is not in the body, of scopes too, and adds
 * "_p":"F" to lines of CRI.
 *
 * Where names of attributes and of a body are so many that comparing them took too long, the
 * attributes are an object "attributes". Pure; any thread.
 */
#ifndef SIDECAR_OTLP_FLUENTBIT_JSON_H
#define SIDECAR_OTLP_FLUENTBIT_JSON_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/otlp/fluentbit_resource.h"

/* Takes a LogRecord and the Resource that it is of, as views of the request. Anything but OK ends
 * the listing and is returned. */
typedef enum err fluentbit_record_fn(void *user, struct bytes resource, struct bytes record,
                                     struct error *error);

/* Lists the records of a request of logs, in their order. ERR_INVALID: malformed. */
NODISCARD enum err fluentbit_records(struct bytes request, fluentbit_record_fn *visit, void *user,
                                     struct error *error);

/* Appends the document to `out`. `made` keeps what records of one resource share. ERR_INVALID:
 * malformed, or nested deeper than OTLP_DEPTH_MAX. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err fluentbit_json_write(struct bytes resource, struct bytes record,
                                        uint64_t accepted_ns, struct fluentbit_resource *made,
                                        struct buf *out, struct error *error);

#endif
