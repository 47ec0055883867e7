/* exec_credential: runs a kubeconfig's exec plugin and reads the ExecCredential that it prints.
 *
 * The plugin gets our environment, its own `env` and KUBERNETES_EXEC_INFO, no standard input, and
 * our standard error, where it may tell its user what to do. It has EXEC_TIMEOUT_MS.
 */
#ifndef COMMON_KUBE_EXEC_CREDENTIAL_H
#define COMMON_KUBE_EXEC_CREDENTIAL_H

#include "common/json.h"

enum { EXEC_TIMEOUT_MS = 30000, EXEC_OUTPUT_MAX = 1 << 20 };

/* `exec`: {apiVersion, command, args, env: [{name, value}], installHint}. *ret_status is the
 * credential's status: {token, clientCertificateData, clientKeyData, expirationTimestamp}. */
NODISCARD enum err exec_credential_run(const struct json *exec, const char *dir,
                                       struct json **ret_status, struct error *error);

#endif
