/* kafka_access: how a pipeline's document says to reach Kafka, and in which files the secrets are.
 * Everything hangs on the arena.
 */
#ifndef SIDECAR_KAFKA_KAFKA_ACCESS_H
#define SIDECAR_KAFKA_KAFKA_ACCESS_H

#include "common/arena.h"
#include "common/contract/pipeline.h"
#include "sidecar/kafka/kafka_conf.h"

/* `pipeline->kafka` must be there. `consumer`: its properties, over those of kafka; NULL: the
 * client is a producer. Properties that do not concern such a client are left out. ERR_INVALID: a
 * secret is needed and there is no directory of secrets. */
NODISCARD enum err kafka_access_make(const struct pipeline *pipeline, const char *secrets_dir,
                                     const char *client_id, const struct pipeline_map *consumer,
                                     struct arena *arena, struct kafka_access *ret_access,
                                     struct error *error);

/* A number that is another one once any of the files has changed: then a new client is due. */
uint32_t kafka_access_stamp(const struct kafka_access *access);

/* The same for those of TLS only. */
uint32_t kafka_access_certificates_stamp(const struct kafka_access *access);

#endif
