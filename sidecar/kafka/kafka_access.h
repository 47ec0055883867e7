/* kafka_access: how a pipeline's document says to reach Kafka, with the secrets read from their
 * files. Everything hangs on the arena; secrets are in it too, so it is not for logs.
 */
#ifndef SIDECAR_KAFKA_KAFKA_ACCESS_H
#define SIDECAR_KAFKA_KAFKA_ACCESS_H

#include "common/arena.h"
#include "common/contract/pipeline.h"
#include "sidecar/kafka/kafka_conf.h"

/* `pipeline->kafka` must be there. `properties`: of the consumer, over those of kafka; NULL: none.
 * ERR_NOTFOUND and the like name the secret's file; ERR_INVALID: a secret is needed and there is no
 * directory of secrets. */
NODISCARD enum err kafka_access_make(const struct pipeline *pipeline, const char *secrets_dir,
                                     const char *client_id, const struct pipeline_map *properties,
                                     struct arena *arena, struct kafka_access *ret_access,
                                     struct error *error);

#endif
