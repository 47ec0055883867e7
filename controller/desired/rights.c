#include "controller/desired/rights.h"

#include "controller/desired/desired.h"

#include <fnmatch.h>

static bool matches_any(const struct pipeline_strings *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (fnmatch(patterns->items[i], text, 0) == 0)
            return true;
    }
    return false;
}

static enum err check_node_access(const struct pipeline *pipeline,
                                  const struct rights_settings *settings, struct error *error)
{
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        const struct pipeline_edge *edge = &pipeline->edges[i];
        bool host_port = edge->otlp.expose == PIPELINE_EXPOSE_HOST_PORT;
        if (edge->mode != PIPELINE_DAEMONSET && !host_port)
            continue;
        if (matches_any(&settings->node_access_namespaces, pipeline->namespace))
            continue;
        return error_set(
            error, ERR_INVALID,
            "Edge \"%s\" wants %s, and namespace %s may not have access to nodes. Use "
            "mode: StatefulSet with expose: Cluster, or have the operator started with "
            "--node-access-namespaces %s",
            edge->name, edge->mode == PIPELINE_DAEMONSET ? "mode: DaemonSet" : "expose: HostPort",
            pipeline->namespace, pipeline->namespace);
    }
    return OK;
}

static enum err check_bootstrap(const struct pipeline *pipeline,
                                const struct rights_settings *settings, struct error *error)
{
    if (settings->bootstrap_allowed.count == 0)
        return OK;
    for (size_t i = 0; i < pipeline->kafka->bootstrap_servers.count; i++) {
        const char *server = pipeline->kafka->bootstrap_servers.items[i];
        if (!matches_any(&settings->bootstrap_allowed, server))
            return error_set(
                error, ERR_INVALID,
                "The operator may not connect to %s. Use a Kafka that it was given with "
                "--allowed-bootstrap, or have this address added",
                server);
    }
    return OK;
}

/* Two edges, one of which is called as the other's Service of pods would be. */
static enum err check_names(const struct pipeline *pipeline, struct error *error)
{
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        size_t len = strlen(pipeline->edges[i].name);
        for (size_t j = 0; j < pipeline->edge_count; j++) {
            const char *other = pipeline->edges[j].name;
            if (strncmp(other, pipeline->edges[i].name, len) == 0 &&
                strcmp(other + len, DESIRED_PODS_SUFFIX) == 0)
                return error_set(error, ERR_INVALID,
                                 "Edge \"%s\" would have a Service called as one of edge \"%s\". "
                                 "Rename one of them",
                                 other, pipeline->edges[i].name);
        }
    }
    return OK;
}

/* ---- all of it */

enum err rights_check(const struct pipeline *pipeline, const struct rights_settings *settings,
                      const char **ret_reason, struct error *error)
{
    enum err err = check_names(pipeline, error);
    if (err) {
        *ret_reason = "NameRefused";
        return err;
    }
    if (pipeline->kafka == NULL) {
        *ret_reason = "KafkaMissing";
        return error_set(error, ERR_INVALID,
                         "spec.kafka is left out, which makes a single node outside Kubernetes. "
                         "Set spec.kafka.bootstrapServers");
    }
    AUTO(faults_fini) struct faults faults = {0};
    err = pipeline_check_in_cluster(pipeline, &faults, error);
    if (err) {
        *ret_reason = "ClusterRefused";
        return err;
    }
    err = check_bootstrap(pipeline, settings, error);
    if (err) {
        *ret_reason = "BootstrapRefused";
        return err;
    }
    err = check_node_access(pipeline, settings, error);
    if (err)
        *ret_reason = "NodeAccessRefused";
    return err;
}
