/* rewrite: a request written anew, container by container, as its hooks want it.
 *
 *   enter(resource)                        another Resource message, or the same
 *     enter(scope)                         another InstrumentationScope
 *       enter(metric)                      to be looked at
 *         item(span, record or point) ...  other bytes, the same, or nothing
 *
 * What the hooks don't change is copied byte for byte, unknown fields included, in its old order.
 * A container that loses all of its items goes too; one that had none stays. Several Resource
 * fields of one ResourceSpans are handed over as the one that they are to protobuf.
 *
 * Input is what otlp_walk() has accepted; on other bytes nothing outside them is read, and the
 * result may be ERR_INVALID. Thread: one at a time.
 */
#ifndef SIDECAR_PROCESS_REWRITE_H
#define SIDECAR_PROCESS_REWRITE_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/contract/signal.h"
#include "sidecar/otlp/schema.h"

enum rewrite_level { REWRITE_RESOURCE = 1, REWRITE_SCOPE = 2, REWRITE_METRIC = 3 };

/* Bytes that a hook gives must live until its next call for the same level, or for any item. */
struct rewrite_hooks {
    /* `*bytes`: the Resource, the InstrumentationScope, the whole Metric. May be given other bytes,
     * but for a metric. */
    enum err (*enter)(void *context, enum rewrite_level level, struct bytes *bytes);
    enum err (*item)(void *context, enum otlp_message_id message, struct bytes *bytes,
                     bool *ret_keep);
    /* A KeyValue of a metric's metadata. NULL: they stay. */
    enum err (*metadata)(void *context, struct bytes *bytes);
    void *context;
};

/* Appends to `out`, whose max bounds it. ERR_FULL, ERR_NOMEM, and what hooks return. */
NODISCARD enum err rewrite(enum signal signal, struct bytes request,
                           const struct rewrite_hooks *hooks, struct buf *out, uint32_t *ret_items);

#endif
