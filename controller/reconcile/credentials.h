/* credentials: how to reach the Kafka of a pipeline, with what its Secrets say right now.
 *
 * Secrets are got by name, from the pipeline's own namespace, only those that the operator's own
 * connection needs; they are never listed, watched or kept: a struct credentials is made for one
 * use and wiped.
 *
 * Thread: any; blocks for the API server.
 */
#ifndef CONTROLLER_RECONCILE_CREDENTIALS_H
#define CONTROLLER_RECONCILE_CREDENTIALS_H

#include "common/contract/pipeline.h"
#include "common/kube/client.h"
#include "controller/kafka_admin/admin.h"

struct credentials {
    struct kafka_access access;
    struct arena arena;
};

/* ERR_INVALID: a Secret or a key is missing, or we may not read it; the sentence says which. */
NODISCARD enum err credentials_get(struct kube_client *client, const struct pipeline *pipeline,
                                   struct credentials **ret_credentials, struct error *error);
void credentials_free(struct credentials **credentials);

/* A name for the access that holds no secret: who shares it may share an observer. From `arena`;
 * NULL: out of memory. */
const char *credentials_key(const struct pipeline *pipeline, struct arena *arena);

#endif
