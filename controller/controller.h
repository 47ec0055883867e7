/* controller: the operator, wired. The only file that names every stage:
 *
 *   watches -> store -> board, queue -> reconcile -> API server
 *                          ^  ^
 *        topics (Kafka) ----+  +---- scale <- lags (Kafka), probe (pods)
 *
 * Every instance watches and keeps its cache warm; only the one with the Lease works. It starts to
 * work when it leads and its caches are complete, and ends the process when it has lost the Lease:
 * a fresh start is the simplest state.
 *
 * Served on one port: /healthz, /readyz (caches are complete), /metrics, /debug/state.
 */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include "controller/desired/desired.h"
#include "controller/desired/rights.h"

struct controller_config {
    const char *kubeconfig, *context; /* NULL: in the cluster, or the usual places */
    const char *namespace;            /* watched; NULL: all */
    const char *listen;               /* ADDR:PORT */
    bool leader_elect;
    const char *lease_namespace; /* NULL: our own */
    const char *lease_name;
    unsigned threads; /* of reconcile */
    struct desired_settings desired;
    struct rights_settings rights; /* no node_access_namespaces: our own */
};

struct controller;

/* Connects, starts to watch and to compete for the Lease; never waits for the API server. The
 * strings of `config` outlive the controller. */
NODISCARD enum err controller_create(const struct controller_config *config,
                                     struct controller **ret_controller, struct error *error);

/* Finishes what is in hand, gives the Lease back, and frees. */
void controller_destroy(struct controller **controller);

/* We led, and don't any more: time to end. */
bool controller_is_over(const struct controller *controller);

#endif
