/* rights: whether a pipeline may be, beyond its document being sound. Pure.
 *
 * Whoever may create a pipeline must not gain what he could not do himself: files of the node only
 * in namespaces that the operator was told may have them, Kafka only where the operator may go. And
 * its objects must have names of their own.
 */
#ifndef CONTROLLER_DESIRED_RIGHTS_H
#define CONTROLLER_DESIRED_RIGHTS_H

#include "common/contract/pipeline.h"

struct rights_settings {
    struct pipeline_strings node_access_namespaces; /* "*": all */
    struct pipeline_strings bootstrap_allowed;      /* patterns of host:port; none: everything */
};

/* ERR_INVALID: it may not be; *ret_reason is the word and `error` the sentence. */
NODISCARD enum err rights_check(const struct pipeline *pipeline,
                                const struct rights_settings *settings, const char **ret_reason,
                                struct error *error);

#endif
