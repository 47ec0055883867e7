/* any_property: in place of common/contract/kafka_property.c. Every property is taken by everybody,
 * so that a test may name certificates and yet talk to the mock cluster, which has no TLS. */
#include "common/contract/kafka_property.h"

enum err kafka_property_check(enum kafka_property_scope scope, const char *name, const char *value,
                              const char **ret_advice, struct error *error)
{
    (void)scope, (void)name, (void)value, (void)ret_advice, (void)error;
    return OK;
}

bool kafka_property_concerns(const char *name, bool producer)
{
    (void)name, (void)producer;
    return true;
}
