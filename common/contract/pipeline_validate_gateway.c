#include "common/contract/pipeline_shape.h"

#include "common/contract/endpoint.h"

#include <stdio.h>
#include <strings.h>

/* ---- where from */

static void validate_from(const struct pipeline *pipeline, const struct pipeline_gateway *gateway,
                          const char *path, struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    fault_path(path, "from", at);
    if (gateway->from_count == 0 && !faults_at(faults, at))
        fault_add(faults, at, "Write the names of topics, as in [traces]", "is empty");
    for (size_t i = 0; i < gateway->from_count; i++)
        if (gateway->from[i]->encoding != PIPELINE_ENCODING_OTLP_PROTO)
            fault_add(faults, at, "Give that topic encoding: otlp_proto, or leave it out here",
                      "names %s, whose encoding gateways don't read yet", gateway->from[i]->name);
    for (size_t i = 1; i < gateway->from_count; i++)
        for (size_t j = 0; j < i; j++)
            if (gateway->from[i] == gateway->from[j])
                fault_add(faults, at, "Leave one of them out", "names %s twice",
                          gateway->from[i]->name);
    for (const struct pipeline_gateway *other = pipeline->gateways; other < gateway; other++)
        if (strcmp(other->group_id, gateway->group_id) == 0 &&
            strcmp(other->name, gateway->name) != 0)
            fault_add_below(faults, path, "consumer.groupID", "Choose another, or leave it out",
                            "is that of the gateway %s: each would get a part only", other->name);
    pipeline_validate_properties(&gateway->consumer_properties, true,
                                 fault_path(path, "consumer.properties", at), faults);
}

static void validate_dead_letter(const struct pipeline *pipeline,
                                 const struct pipeline_gateway *gateway, const char *path,
                                 struct faults *faults)
{
    const char *topic = gateway->dead_letter_topic;

    if (topic == NULL)
        return;
    if (pipeline->kafka == NULL)
        fault_add_below(faults, path, "deadLetter.topic", "Leave it out, or set spec.kafka",
                        "needs Kafka; without it dead letters stay on local disk");
    for (size_t i = 0; i < pipeline->topic_count; i++)
        if (strcmp(pipeline->topics[i].topic, topic) == 0)
            fault_add_below(faults, path, "deadLetter.topic", "Choose another topic",
                            "is the topic that %s is read from", pipeline->topics[i].name);
}

/* ---- where to */

static void validate_endpoint(const struct pipeline_export *export, const char *path,
                              struct faults *faults)
{
    bool http = export->protocol == PIPELINE_OTLP_HTTP;
    struct endpoint endpoint = {0};
    struct error error = {0};

    enum err err = http ? endpoint_parse_url(export->endpoint, &endpoint, &error)
                        : endpoint_parse_address(export->endpoint, &endpoint, &error);
    if (err)
        fault_add_below(faults, path, "endpoint",
                        http ? "Write http(s)://host:port, as in http://jaeger:4318"
                             : "Write host:port, as in tempo:4317, or set protocol: http",
                        "%s", error.text);
    else if (http && export->tls.insecure && endpoint.tls)
        fault_add_below(faults, path, "tls.insecure", "Leave it out, or write http://",
                        "contradicts the https:// of the endpoint");
    else if (http && !endpoint.tls && export->tls.ca_secret.name != NULL)
        fault_add_below(faults, path, "tls.caSecret", "Leave it out, or write https://",
                        "has no use with the http:// of the endpoint");
}

static void validate_tls(const struct pipeline_tls_client *tls, const char *path,
                         struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    pipeline_validate_pair(&tls->certificate_secret, &tls->key_secret, fault_path(path, "tls", at),
                           faults);
    bool has_files = tls->ca_secret.name != NULL || tls->certificate_secret.name != NULL ||
                     tls->insecure_skip_verify;
    if (tls->insecure && has_files)
        fault_add(faults, at, "Leave insecure out, or the rest",
                  "is insecure, that is without TLS, and says how TLS should be");
}

/* Headers that the protocol itself sets. */
static bool is_reserved(const char *header)
{
    static const char *const reserved[] = {
        "connection", "content-encoding",  "content-length", "content-type", "host",
        "te",         "transfer-encoding", "upgrade",        "user-agent"};

    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcasecmp(header, reserved[i]) == 0)
            return true;
    return strncasecmp(header, "grpc-", 5) == 0;
}

static bool is_printable(const char *value)
{
    for (; *value != '\0'; value++)
        if ((unsigned char)*value < ' ' || (unsigned char)*value > '~')
            return false;
    return true;
}

static void validate_headers(const struct pipeline_export *export, const char *path,
                             struct faults *faults)
{
    char headers[FAULT_PATH_MAX];

    for (size_t i = 0; i < export->headers.count; i++) {
        const struct pipeline_pair *header = &export->headers.items[i];
        char at[FAULT_PATH_MAX];

        fault_path_key(fault_path(path, "headers", headers), header->name, at);
        if (is_reserved(header->name))
            fault_add(faults, at, "Leave it out", "is set by the protocol");
        else if (!is_printable(header->value))
            fault_add(faults, at, "Write printable ASCII", "has a value that no header can have");
        else if (strcasecmp(header->name, "authorization") == 0)
            fault_add(faults, at, "Use auth, or headersSecret",
                      "would show a credential to everyone who can read the pipeline");
        if (export->tenant_header != NULL && strcasecmp(header->name, export->tenant_header) == 0)
            fault_add(faults, at, "Leave one of them out", "is the header of tenant");
    }
}

static void validate_export(const struct pipeline_export *export, const char *path,
                            struct faults *faults)
{
    bool kafka_only = export->compression == PIPELINE_COMPRESSION_SNAPPY ||
                      export->compression == PIPELINE_COMPRESSION_LZ4;

    if (export->endpoint != NULL)
        validate_endpoint(export, path, faults);
    if (kafka_only)
        fault_add_below(faults, path, "compression", "Write none, gzip or zstd",
                        "is none that OTLP knows");
    if (export->basic_username_secret.name != NULL && export->bearer_token_secret.name != NULL)
        fault_add_below(faults, path, "auth", "Keep basic or bearer", "has both");
    if (export->tenant != NULL && !is_printable(export->tenant))
        fault_add_below(faults, path, "tenant.value", "Write printable ASCII",
                        "can't be sent in a header");
    validate_tls(&export->tls, path, faults);
    validate_headers(export, path, faults);
}

/* ---- how much */

static void validate_numbers(const struct pipeline_gateway *gateway, const char *path,
                             struct faults *faults)
{
    const struct pipeline_scaling *scaling = &gateway->scaling;

    if (gateway->batch_max_bytes > gateway->memory_limit_bytes / 2)
        fault_add_below(faults, path, "batch.maxBytes",
                        "Lower it, or raise memoryLimit to twice as much",
                        "is more than half of memoryLimit");
    if (gateway->retry_initial_ms > gateway->retry_max_ms)
        fault_add_below(faults, path, "retry.initialInterval", "Write at most maxInterval",
                        "is longer than maxInterval");
    if (scaling->min_replicas > scaling->max_replicas)
        fault_add_below(faults, path, "scaling.minReplicas", "Write at most maxReplicas",
                        "is %lld, more than maxReplicas, which is %lld",
                        (long long)scaling->min_replicas, (long long)scaling->max_replicas);
    if (scaling->mode != PIPELINE_SCALING_HPA && scaling->cpu_utilization > 0)
        fault_add_below(faults, path, "scaling.cpu", "Leave it out, or set mode: HPA",
                        "counts in mode HPA only");
    if (scaling->mode != PIPELINE_SCALING_HPA && scaling->behavior != NULL)
        fault_add_below(faults, path, "scaling.behavior", "Leave it out, or set mode: HPA",
                        "counts in mode HPA only");
}

void pipeline_validate_gateway(const struct pipeline *pipeline,
                               const struct pipeline_gateway *gateway, const char *path,
                               struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    validate_from(pipeline, gateway, path, faults);
    validate_dead_letter(pipeline, gateway, path, faults);
    pipeline_validate_processors(gateway->processors, gateway->processor_count, path, faults);
    fault_path(path, "export", at);
    if (gateway->export.endpoint == NULL && !faults_at(faults, at))
        fault_add(faults, at, "Write otlp: {endpoint: HOST:PORT}", "names no backend");
    validate_export(&gateway->export, fault_path(path, "export.otlp", at), faults);
    validate_numbers(gateway, path, faults);
    pipeline_validate_pod(&gateway->pod, fault_path(path, "podTemplate", at), faults);
}
