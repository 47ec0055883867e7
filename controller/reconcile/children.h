/* children: brings all objects of a pipeline in line with desired(), then the replicas, then
 * removes what is no longer wanted.
 */
#ifndef CONTROLLER_RECONCILE_CHILDREN_H
#define CONTROLLER_RECONCILE_CHILDREN_H

#include "controller/reconcile/reconcile.h"

/* `gathered` gains what is to be said about volumes and replicas that can't be changed now.
 * *ret_again: something is under way that no watch will tell of; come again soon. ERR_INVALID: an
 * object was refused, with the reason; everything was done that doesn't stand on it, but nothing
 * was removed: what a refused object is to replace stays until it is there. */
NODISCARD enum err children_apply(const struct reconcile *reconcile, const struct subject *subject,
                                  const struct json *owner, struct gathered *gathered,
                                  bool *ret_again, struct error *error);

#endif
