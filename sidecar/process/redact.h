/* redact: values that nobody should see, replaced wherever they are in a message.
 *
 *   keys       the value of every attribute of that key, whatever its type, and of every member of
 *              a map: of resources, scopes, items, span events, links, exemplars, and in bodies
 *   patterns   every match in a text: values of attributes and what is in them, bodies, names of
 *              spans and events, messages of statuses
 *
 * becomes REDACT_MARK. A text that a pattern gives up on (regex.h) is replaced whole: what must not
 * leave stays, at the price of the rest. Texts in a body that hold JSON are texts; parse them first
 * for keys to matter. Unknown fields stay as they are.
 *
 * Thread: one at a time.
 */
#ifndef SIDECAR_PROCESS_REDACT_H
#define SIDECAR_PROCESS_REDACT_H

#include "common/attr.h"
#include "common/buf.h"
#include "common/contract/pipeline.h"
#include "sidecar/otlp/schema.h"

#define REDACT_MARK "[redacted]"

struct redact;

/* Nothing of `wanted` is kept. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err redact_create(const struct pipeline_redact *wanted, struct redact **ret_redact,
                                 struct error *error);
void redact_destroy(struct redact **redact);

/* Appends the message to `out`, unless nothing in it is to be redacted. ERR_FULL, ERR_NOMEM. */
NODISCARD enum err redact_message(struct redact *redact, enum otlp_message_id id,
                                  struct bytes message, struct buf *out, bool *ret_changed);

#endif
