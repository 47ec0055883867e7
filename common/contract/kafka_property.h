/* kafka_property: which of librdkafka's properties a pipeline may set. Those that void a promise
 * (acknowledgements, offsets, identity), that name files, code or credentials, or that are fields
 * of their own are not among them. The operator's own clients ignore all of them.
 */
#ifndef COMMON_CONTRACT_KAFKA_PROPERTY_H
#define COMMON_CONTRACT_KAFKA_PROPERTY_H

#include "common/error.h"

#include <stdbool.h>

/* Whose clients it is for: a property of spec.kafka goes to producers and consumers as far as it
 * concerns them, one of a gateway's consumer to that alone. */
enum kafka_property_scope { KAFKA_PROPERTY_CLIENT, KAFKA_PROPERTY_CONSUMER };

/* OK, or ERR_INVALID with what is wrong in `error` and what to do in *ret_advice. */
NODISCARD enum err kafka_property_check(enum kafka_property_scope scope, const char *name,
                                        const char *value, const char **ret_advice,
                                        struct error *error);

/* Whether a producer (else a consumer) is to be given the property. */
bool kafka_property_concerns(const char *name, bool producer);

#endif
