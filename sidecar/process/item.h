/* item: a span, log record or data point with what is above it, as an expression sees it. All are
 * views of messages on the wire; an empty one stands for a missing one too.
 */
#ifndef SIDECAR_PROCESS_ITEM_H
#define SIDECAR_PROCESS_ITEM_H

#include "common/expr/expr.h"
#include "sidecar/otlp/schema.h"

struct item {
    enum otlp_message_id message; /* OTLP_SPAN, OTLP_LOG_RECORD, OTLP_NUMBER_POINT ... */
    struct bytes resource, scope; /* the messages Resource and InstrumentationScope */
    struct bytes metric;          /* the whole Metric of a data point */
    struct bytes bytes;           /* the item itself */
};

/* An expr_lookup_fn; `context` is a struct item. */
struct expr_value item_lookup(void *context, const struct expr_path *path);

#endif
