/* prepare: parcels through the gateway's processors, on their way from intake to delivery.
 *
 *   intake --parcel--> process --+-- something left --> delivery
 *                                +-- nothing left ----> done, in the next round
 *                                +-- above its bounds -> dead letters, as it came
 *
 * A gateway without processors hands parcels on as they are.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_PREPARE_H
#define SIDECAR_GATEWAY_PREPARE_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/gateway/parcel.h"

#define PREPARE_ROOM (16u << 20) /* bytes of what becomes of a message, beyond twice its own */

struct delivery;
struct prepare;

/* Keeps nothing of the document. ERR_INVALID, ERR_NOMEM. */
NODISCARD enum err prepare_open(const struct pipeline_gateway *gateway,
                                struct prepare **ret_prepare, struct error *error);
void prepare_close(struct prepare **prepare);

/* From now on it does as `*next`, which is gone. */
void prepare_change(struct prepare *prepare, struct prepare **next);

/* True: nothing was left of it, and prepare_next_empty() will hand it out. It is not done at once,
 * because whoever delivers it is in the midst of something. */
NODISCARD bool prepare_parcel(struct prepare *prepare, struct delivery *delivery,
                              struct parcel *parcel, uint64_t now_ms);

/* A parcel of which nothing was left; NULL: there is none. */
struct parcel *prepare_next_empty(struct prepare *prepare);
bool prepare_has_empty(const struct prepare *prepare);

/* Items that were dropped, since start. */
uint64_t prepare_filtered(const struct prepare *prepare);

#endif
