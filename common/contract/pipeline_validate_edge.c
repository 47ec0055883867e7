#include "common/contract/pipeline_shape.h"

#include "common/contract/quantity.h"
#include "common/regex.h"

#include <stdio.h>

enum { PORTS = 4, SEGMENTS = 16, STAMPED_MAX = 48 };

#define SEGMENT_MAX INT64_C(67108864)
#define MARGIN      INT64_C(1048576) /* headers, and what a request carries beside its data */

static void validate_ports(const struct pipeline_edge *edge, const char *path,
                           struct faults *faults)
{
    const struct {
        int64_t port;
        const char *field;
    } ports[PORTS] = {{edge->otlp.grpc_port, "receivers.otlp.grpc.port"},
                      {edge->otlp.http_port, "receivers.otlp.http.port"},
                      {edge->health_port, "ports.health"},
                      {edge->metrics_port, "ports.metrics"}};

    for (size_t i = 1; i < PORTS; i++)
        for (size_t j = 0; j < i; j++)
            if (ports[i].port == ports[j].port)
                fault_add_below(faults, path, ports[i].field, "Choose another port",
                                "is %lld, as is %s", (long long)ports[i].port, ports[j].field);
}

static void validate_otlp(const struct pipeline_edge *edge, const char *path, struct faults *faults)
{
    const struct pipeline_otlp_receiver *otlp = &edge->otlp;
    bool on_nodes =
        otlp->expose == PIPELINE_EXPOSE_HOST_PORT || otlp->expose == PIPELINE_EXPOSE_NODE_LOCAL;
    char tls[FAULT_PATH_MAX];

    if (on_nodes && edge->mode != PIPELINE_DAEMONSET)
        fault_add_below(faults, path, "receivers.otlp.expose",
                        "Write Cluster or LoadBalancer, or set mode: DaemonSet",
                        "needs an edge on every node");
    fault_path(path, "receivers.otlp.tls", tls);
    pipeline_validate_pair(&otlp->certificate_secret, &otlp->key_secret, tls, faults);
    if (otlp->client_ca_secret.name != NULL && otlp->certificate_secret.name == NULL)
        fault_add_below(faults, tls, "clientCASecret", "Set certificateSecret and keySecret too",
                        "can't be asked for without TLS");
}

/* A request must fit into memory and, whole, into one segment of the spool. */
static void validate_request(const struct pipeline_edge *edge, int64_t bytes, const char *field,
                             const char *path, struct faults *faults)
{
    int64_t segment = edge->spool.size_bytes / SEGMENTS;
    char advice[128], size[QUANTITY_TEXT_MAX];

    if (segment > SEGMENT_MAX)
        segment = SEGMENT_MAX;
    if (bytes + MARGIN > segment) {
        quantity_print((bytes + MARGIN) * SEGMENTS, size);
        snprintf(advice, sizeof advice, "Lower it, or set spool.size to %s or more", size);
        fault_add_below(faults, path, field, advice,
                        "is more than a segment of the spool holds, a sixteenth of its size");
    }
    if (bytes > edge->memory_limit_bytes / 2)
        fault_add_below(faults, path, field, "Lower it, or raise memoryLimit to twice as much",
                        "is more than half of memoryLimit");
}

static void validate_attributes(const struct pipeline_edge *edge, const char *path,
                                struct faults *faults)
{
    char attributes[FAULT_PATH_MAX];

    for (size_t i = 0; i < edge->resource_attribute_count; i++) {
        const struct pipeline_attribute *attribute = &edge->resource_attributes[i];
        bool wants_value = attribute->action != PIPELINE_ACTION_DELETE && !attribute->from_node;
        char at[FAULT_PATH_MAX];

        fault_path_at(fault_path(path, "resourceAttributes", attributes), i, at);
        if (faults_at(faults, at))
            continue;
        if (wants_value && attribute->value == NULL)
            fault_add_below(faults, at, "value", "Write a value, or fromNode: true", "is missing");
        if (!wants_value && attribute->value != NULL)
            fault_add_below(faults, at, "value", "Leave it out", "has no meaning beside %s",
                            attribute->from_node ? "fromNode" : "action: delete");
        if (attribute->from_node && attribute->action == PIPELINE_ACTION_DELETE)
            fault_add_below(faults, at, "fromNode", "Leave it out",
                            "has no meaning beside action: delete");
        for (size_t j = 0; j < i; j++)
            if (edge->resource_attributes[j].key != NULL &&
                strcmp(edge->resource_attributes[j].key, attribute->key) == 0)
                fault_add_below(faults, at, "key", "Leave one of them out",
                                "is there for the second time");
    }
}

static void validate_storage(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                             const char *path, struct faults *faults)
{
    const struct pipeline_spool *spool = &edge->spool;

    if (spool->host_path != NULL && spool->storage_class_name != NULL)
        fault_add_below(faults, path, "spool.storage",
                        "Keep hostPath for a DaemonSet, storageClassName for a StatefulSet",
                        "has both a directory of the node and a volume");
    else if (edge->mode == PIPELINE_DAEMONSET && spool->storage_class_name != NULL)
        fault_add_below(faults, path, "spool.storage.storageClassName", "Set hostPath",
                        "is for a StatefulSet; a DaemonSet spools on its node");
    if (spool->acknowledge == PIPELINE_ACK_REPLICATED && pipeline->kafka == NULL)
        fault_add_below(faults, path, "spool.acknowledge", "Write Synced, or set spec.kafka",
                        "waits for Kafka, which there is none of");
}

static void validate_producer(const struct pipeline_edge *edge, const char *path,
                              struct faults *faults)
{
    enum pipeline_compression compression = edge->producer.compression;
    int64_t level = edge->producer.compression_level;
    bool has_levels =
        compression != PIPELINE_COMPRESSION_NONE && compression != PIPELINE_COMPRESSION_SNAPPY;

    if (compression == PIPELINE_COMPRESSION_GZIP && level > 9)
        fault_add_below(faults, path, "producer.compressionLevel", "Write at most 9",
                        "is more than gzip knows");
    if (!has_levels && level != 1)
        fault_add_below(faults, path, "producer.compressionLevel", "Leave it out",
                        "has no meaning for none and snappy, which have no levels");
}

/* Kubernetes replaces the pods of a StatefulSet one by one. */
static void validate_rollout(const struct pipeline_edge *edge, const char *path,
                             struct faults *faults)
{
    const struct pipeline_amount *away = &edge->rollout.max_unavailable;

    if (edge->mode == PIPELINE_STATEFULSET && (!away->percent || away->value != 10))
        fault_add_below(faults, path, "rollout.maxUnavailable",
                        "Leave it out; it is for a DaemonSet",
                        "has no meaning for a StatefulSet, whose pods are replaced one by one");
    if (away->value == 0)
        fault_add_below(faults, path, "rollout.maxUnavailable",
                        "Write at least 1, or rollout.paused: true", "would replace no pod ever");
}

/* ---- log files */

static void validate_multiline(const struct pipeline_following *following, const char *path,
                               struct faults *faults)
{
    char list[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "multiline", list);
    for (size_t i = 0; i < following->multiline_count; i++) {
        const struct pipeline_multiline *rule = &following->multiline[i];
        AUTO(regex_free) struct regex *regex = NULL;
        struct error error = {0};
        bool language = (int)rule->language != PIPELINE_NO_LANGUAGE;

        if (faults_at(faults, fault_path_at(list, i, at)))
            continue;
        if (language == (rule->start != NULL))
            fault_add(faults, at, "Write one of both", "has %s",
                      language ? "both language and start" : "neither language nor start");
        else if (language && rule->language == PIPELINE_LANGUAGE_NONE &&
                 following->multiline_count > 1)
            fault_add(faults, at, "Leave it out, or the others", "stands beside other languages");
        else if (!language && regex_compile(rule->start, &regex, &error))
            fault_add_below(faults, at, "start", "Correct the pattern", "%s", error.text);
    }
}

static void validate_readers_of_logs(const struct pipeline *pipeline, const char *path,
                                     struct faults *faults)
{
    if (pipeline_topic_of(pipeline, SIGNAL_LOGS) == NULL)
        fault_add(faults, path, "Add a gateway with from: [logs], or leave it out",
                  "would read logs that no gateway takes");
}

static void validate_container_logs(const struct pipeline *pipeline,
                                    const struct pipeline_edge *edge, const char *path,
                                    struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    if (edge->container_logs == NULL)
        return;
    fault_path(path, "receivers.containerLogs", at);
    validate_multiline(&edge->container_logs->following, at, faults);
    if (!edge->container_logs->enabled)
        return;
    validate_readers_of_logs(pipeline, at, faults);
    if (edge->mode != PIPELINE_DAEMONSET)
        fault_add(faults, at, "Set mode: DaemonSet", "needs an edge on every node");
}

static void validate_files(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                           const char *path, struct faults *faults)
{
    char list[FAULT_PATH_MAX], at[FAULT_PATH_MAX];

    fault_path(path, "receivers.files", list);
    for (size_t i = 0; i < edge->files_count; i++) {
        const struct pipeline_files *files = &edge->files[i];
        validate_multiline(&files->following, fault_path_at(list, i, at), faults);
        if (files->paths.count == 0 && !faults_at(faults, at))
            fault_add_below(faults, at, "paths", "Write at least one", "is empty");
        for (size_t j = 0; j < i; j++)
            if (files->name != NULL && edge->files[j].name != NULL &&
                strcmp(files->name, edge->files[j].name) == 0)
                fault_add_below(faults, at, "name", "Choose another name",
                                "is there for the second time");
    }
    if (edge->files_count > 0)
        validate_readers_of_logs(pipeline, list, faults);
}

/* All of it goes into one stamp. */
static void validate_metadata(const struct pipeline_edge *edge, const char *path,
                              struct faults *faults)
{
    const struct pipeline_kubernetes_metadata *metadata = edge->kubernetes_metadata;
    char at[FAULT_PATH_MAX];

    if (metadata == NULL)
        return;
    fault_path(path, "kubernetesMetadata", at);
    size_t count =
        metadata->labels.count + metadata->annotations.count + edge->resource_attribute_count;
    if (count > STAMPED_MAX)
        fault_add(faults, at, "Leave some out",
                  "has %zu labels and annotations with resourceAttributes; %d are the most", count,
                  STAMPED_MAX);
    if (edge->mode != PIPELINE_DAEMONSET)
        fault_add(faults, at, "Set mode: DaemonSet, or leave it out",
                  "needs an edge on every node, which watches its node's pods");
}

void pipeline_validate_edge(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                            const char *path, struct faults *faults)
{
    char pod[FAULT_PATH_MAX];

    validate_ports(edge, path, faults);
    validate_otlp(edge, path, faults);
    validate_request(edge, edge->otlp.grpc_max_request_bytes, "receivers.otlp.grpc.maxRequestBytes",
                     path, faults);
    validate_request(edge, edge->otlp.http_max_request_bytes, "receivers.otlp.http.maxRequestBytes",
                     path, faults);
    validate_container_logs(pipeline, edge, path, faults);
    validate_files(pipeline, edge, path, faults);
    validate_attributes(edge, path, faults);
    validate_metadata(edge, path, faults);
    pipeline_validate_processors(edge->processors, edge->processor_count, path, faults);
    pipeline_validate_routes(pipeline, edge, path, faults);
    validate_storage(pipeline, edge, path, faults);
    validate_producer(edge, path, faults);
    validate_rollout(edge, path, faults);
    pipeline_validate_pod(&edge->pod, fault_path(path, "podTemplate", pod), faults);
}
