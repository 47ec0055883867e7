/* publish: writes the status of a pipeline, if it changed enough (api/status.h says when). */
#ifndef CONTROLLER_RECONCILE_PUBLISH_H
#define CONTROLLER_RECONCILE_PUBLISH_H

#include "controller/reconcile/apply.h"
#include "controller/reconcile/board.h"

/* `live`: the pipeline as cached. `status`: what it should say; the status's conditions keep their
 * times by `live`. *ret_later_ms: 0, or after how long it is due, because it is written at most
 * once a minute. */
NODISCARD enum err publish_status(const struct apply *apply, struct board *board, const char *key,
                                  const struct json *live, const struct json *status,
                                  uint64_t *ret_later_ms, struct error *error);

#endif
