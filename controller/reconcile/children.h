/* children: brings all objects of a pipeline in line with desired(), then the replicas, then
 * removes what is no longer wanted.
 */
#ifndef CONTROLLER_RECONCILE_CHILDREN_H
#define CONTROLLER_RECONCILE_CHILDREN_H

#include "controller/reconcile/reconcile.h"

/* `gathered` gains what is to be said about volumes and replicas that can't be changed now.
 * *ret_again: something is under way that no watch will tell of; come again soon. ERR_INVALID: an
 * object was refused, with the reason. */
NODISCARD enum err children_apply(const struct reconcile *reconcile, const struct subject *subject,
                                  const struct json *owner, struct gathered *gathered,
                                  bool *ret_again, struct error *error);

#endif
