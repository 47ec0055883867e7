/* attributes: the attributes of one message as a list that can be changed and written back.
 *
 *   attributes_load -> attributes_set, _rename, _remove ... -> attributes_write, if changed
 *
 * What is written has the message's other fields as they were, unknown ones included, then
 * attributes: untouched ones byte for byte, and behind them those that were set. A key is there
 * once after it was set, however often it was there before.
 *
 * Views are those of the message and of what is set; they must live until the writing. Kept and
 * loaded again it needs no allocation in the steady state. Zero-initialised is empty and valid.
 * Thread: one at a time.
 */
#ifndef SIDECAR_PROCESS_ATTRIBUTES_H
#define SIDECAR_PROCESS_ATTRIBUTES_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/contract/pipeline.h"

struct attribute {
    struct bytes key, any; /* of an AnyValue message */
    bool gone, made;       /* removed or replaced; not of the message */
};

struct attributes {
    struct bytes message;
    uint32_t number; /* of the message's attributes */
    struct attribute *list;
    size_t count, cap;
    bool changed;
};

void attributes_fini(struct attributes *attributes);

/* ERR_NOMEM. */
NODISCARD enum err attributes_load(struct attributes *attributes, struct bytes message,
                                   uint32_t number);

/* NULL: there is none. Valid until the next change. */
const struct attribute *attributes_find(const struct attributes *attributes, struct bytes key);

NODISCARD enum err attributes_set(struct attributes *attributes, struct bytes key,
                                  struct bytes any);
void attributes_remove(struct attributes *attributes, struct bytes key);

/* Appends the message to `out`. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err attributes_write(const struct attributes *attributes, struct buf *out);

/* ---- rules, compiled from the document */

struct attribute_rule {
    enum pipeline_change action;
    struct bytes key, from; /* from: empty if the rule has a value */
    struct bytes any;       /* the value, as an AnyValue */
};

/* One after the other; what an earlier one set, a later one sees. A rule whose `from` isn't there,
 * or is nested too deep to be copied (value.h), changes nothing. */
NODISCARD enum err attributes_apply(struct attributes *attributes,
                                    const struct attribute_rule *rules, size_t count);

#endif
