/* One table for each object of the document, leaves first. Defaults that depend on something are
 * absent here and made in pipeline_default.c. */
#include "common/contract/pipeline_shape.h"

#include "common/contract/names.h"
#include "common/contract/syntax.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

#define KI  INT64_C(1024)
#define MI  (KI * 1024)
#define GI  (MI * 1024)
#define TI  (GI * 1024)
#define SEC INT64_C(1000)
#define MIN (60 * SEC)
#define HR  (60 * MIN)

/* clang-format off */

/* NOLINTBEGIN(bugprone-macro-parentheses): arguments are members and initialisers, not expressions */

/* One line for each field: name, struct and member, then what the kind needs. */
#define BOOL(n, s, m, f) {.name = n, .kind = FIELD_BOOL, .offset = offsetof(struct s, m), .fallback = f}
#define NUMBER(k, n, s, m, f, lo, hi) {.name = n, .kind = k, .offset = offsetof(struct s, m), .fallback = f, \
                                       .min = lo, .max = hi, .none = FIELD_UNSET}
#define INT(...)      NUMBER(FIELD_INT, __VA_ARGS__)
#define DURATION(...) NUMBER(FIELD_DURATION, __VA_ARGS__)
#define SIZE(...)     NUMBER(FIELD_SIZE, __VA_ARGS__)
#define PERCENT(...)  NUMBER(FIELD_PERCENT, __VA_ARGS__)
#define AMOUNT(n, s, m, f)        {.name = n, .kind = FIELD_AMOUNT, .offset = offsetof(struct s, m), .fallback = f}
#define WORD(n, s, m, f, w)       {.name = n, .kind = FIELD_WORD, .offset = offsetof(struct s, m), .fallback = f, .words = w}
#define STRING(n, s, m, ...)      {.name = n, .kind = FIELD_STRING, .offset = offsetof(struct s, m), __VA_ARGS__}
#define STRINGS(n, s, m, hi, ...) {.name = n, .kind = FIELD_STRINGS, .offset = offsetof(struct s, m), .max = hi, __VA_ARGS__}
#define MAP(n, s, m, hi, ...)     {.name = n, .kind = FIELD_MAP, .offset = offsetof(struct s, m), .max = hi, __VA_ARGS__}
#define RAW(n, s, m, k)           {.name = n, .kind = FIELD_RAW, .offset = offsetof(struct s, m), .raw = k}
#define SECRET(n, s, m, key, must) {.name = n, .kind = FIELD_SECRET, .offset = offsetof(struct s, m), .fallback = key, \
                                    .required = must}
#define GROUP(n, sh)              {.name = n, .kind = FIELD_OBJECT, .shape = sh}
#define OPTIONAL_GROUP(n, sh)     {.name = n, .kind = FIELD_OBJECT, .shape = sh, .optional = true}
#define REQUIRED_GROUP(n, sh, do) {.name = n, .kind = FIELD_OBJECT, .shape = sh, .required = true, .advice = do}
#define OBJECT(n, s, m, sh)       {.name = n, .kind = FIELD_OBJECT, .offset = offsetof(struct s, m), .shape = sh}
#define POINTER(n, s, m, sh)      {.name = n, .kind = FIELD_POINTER, .offset = offsetof(struct s, m), .shape = sh}
#define LIST(n, s, m, c, hi, sh, must, do) {.name = n, .kind = FIELD_LIST, .offset = offsetof(struct s, m), .max = hi, \
                                            .shape = sh, .count_offset = offsetof(struct s, c), .required = must, .advice = do}

/* A group's fields lie in the struct around it, so it has no size of its own. */
#define SHAPE(id, type) const struct shape shape_##id = {#id, sizeof(struct type), id##_fields, COUNT(id##_fields), false}
#define GROUP_SHAPE(id) static const struct shape shape_##id = {#id, 0, id##_fields, COUNT(id##_fields), false}

/* NOLINTEND(bugprone-macro-parentheses) */

#define LABEL_ADVICE   "Use lower-case letters, digits and '-', as in shop-eu"
#define DNS_ADVICE     "Use lower-case letters, digits, '-' and '.', as in shop.eu"
#define GLOB_ADVICE    "Write a glob, as in shop-*"
#define TOPIC_ADVICE   "Use letters, digits, '.', '_' and '-', at most 249"
#define EXPR_ADVICE    "Write a condition, as in 'severity < \"INFO\"'"
#define ADDRESS_ADVICE "Write host:port, as in kafka-0.kafka.svc:9092"

/* ---- words, in the order of their enums */

static const char *const signal_words[] = {"traces", "metrics", "logs", NULL};
static const char *const sasl_words[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", NULL};
static const char *const ownership_words[] = {"Create", "Adopt", "Observe", NULL};
static const char *const encoding_words[] = {"otlp_proto", "otlp_json", "fluentbit_json", NULL};
static const char *const partition_by_words[] = {"none", "traceID", "resource", NULL};
static const char *const deletion_words[] = {"Retain", "Delete", NULL};
static const char *const mode_words[] = {"StatefulSet", "DaemonSet", NULL};
static const char *const expose_words[] = {"Cluster", "NodeLocal", "HostPort", "LoadBalancer", NULL};
static const char *const language_words[] = {"java", "python", "go", "none", NULL};
static const char *const parser_words[] = {"raw", "json", "cri", "docker", NULL};
static const char *const action_words[] = {"insert", "update", "upsert", "delete", NULL};
static const char *const on_words[] = {"resource", "scope", "item", NULL};
static const char *const change_words[] = {"insert", "update", "upsert", "delete", "rename", NULL};
static const char *const parse_to_words[] = {"attributes", "body", NULL};
static const char *const when_full_words[] = {"Block", "DropOldest", NULL};
static const char *const acknowledge_words[] = {"Synced", "Written", "Replicated", NULL};
static const char *const compression_words[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};
static const char *const offset_words[] = {"earliest", "latest", NULL};
static const char *const protocol_words[] = {"grpc", "http", NULL};
static const char *const scaling_words[] = {"HPA", "Direct", "Fixed", NULL};

/* ---- kafka */

static const struct field kafka_tls_fields[] = {
    BOOL("enabled", pipeline_tls_client, enabled, "false"),
    SECRET("caSecret", pipeline_tls_client, ca_secret, "ca.crt", false),
    SECRET("certificateSecret", pipeline_tls_client, certificate_secret, "tls.crt", false),
    SECRET("keySecret", pipeline_tls_client, key_secret, "tls.key", false),
    BOOL("insecureSkipVerify", pipeline_tls_client, insecure_skip_verify, "false"),
};
static SHAPE(kafka_tls, pipeline_tls_client);

static const struct field sasl_fields[] = {
    WORD("mechanism", pipeline_sasl, mechanism, "SCRAM-SHA-512", sasl_words),
    SECRET("usernameSecret", pipeline_sasl, username_secret, NULL, false),
    SECRET("passwordSecret", pipeline_sasl, password_secret, NULL, false),
    STRING("tokenEndpoint", pipeline_sasl, token_endpoint, .max = 1024),
    SECRET("clientIDSecret", pipeline_sasl, client_id_secret, NULL, false),
    SECRET("clientSecretSecret", pipeline_sasl, client_secret_secret, NULL, false),
    STRING("scope", pipeline_sasl, scope, .max = 253),
};
static SHAPE(sasl, pipeline_sasl);

static const struct field kafka_fields[] = {
    STRINGS("bootstrapServers", pipeline_kafka, bootstrap_servers, 32, .required = true,
            .syntax = syntax_address, .advice = ADDRESS_ADVICE),
    OBJECT("tls", pipeline_kafka, tls, &shape_kafka_tls),
    POINTER("sasl", pipeline_kafka, sasl, &shape_sasl),
    MAP("properties", pipeline_kafka, properties, 64, .value_max = 1024),
};
SHAPE(kafka, pipeline_kafka);

/* ---- topics */

static enum err topic_compression(const char *text, struct error *error)
{
    static const char *const words[] = {"zstd", "lz4", "snappy", "gzip", "uncompressed", "producer"};
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(text, words[i]) == 0)
            return OK;
    return error_set(error, ERR_INVALID, "isn't known to Kafka");
}

static const struct field topic_fields[] = {
    STRING("name", pipeline_topic, name, .required = true, .max = 63,
           .syntax = syntax_dns_label, .advice = LABEL_ADVICE),
    WORD("signal", pipeline_topic, signal, NULL, signal_words),
    STRING("topic", pipeline_topic, topic, .syntax = syntax_topic, .advice = TOPIC_ADVICE),
    WORD("ownership", pipeline_topic, ownership, "Create", ownership_words),
    INT("partitions", pipeline_topic, partitions, "12", 1, 10000),
    INT("replicationFactor", pipeline_topic, replication_factor, "3", 1, 32),
    DURATION("retention", pipeline_topic, retention_ms, NULL, MIN, 87600 * HR),
    {.name = "retentionSize", .kind = FIELD_SIZE, .min = MI, .max = 1024 * TI, .none = -1,
     .offset = offsetof(struct pipeline_topic, retention_bytes)},
    INT("minInsyncReplicas", pipeline_topic, min_insync_replicas, NULL, 1, 32),
    SIZE("maxMessageBytes", pipeline_topic, max_message_bytes, "10Mi", 64 * KI, 512 * MI),
    STRING("compression", pipeline_topic, compression, .fallback = "zstd", .syntax = topic_compression,
           .advice = "Write zstd, lz4, snappy, gzip, uncompressed or producer"),
    WORD("encoding", pipeline_topic, encoding, "otlp_proto", encoding_words),
    WORD("partitionBy", pipeline_topic, partition_by, "none", partition_by_words),
    WORD("deletionPolicy", pipeline_topic, deletion_policy, "Retain", deletion_words),
    MAP("config", pipeline_topic, config, 32, .value_max = 1024,
        .syntax = syntax_group, .advice = "Write the name of one of Kafka's topic configs"),
};
SHAPE(topic, pipeline_topic);

/* ---- pods, of both tiers */

static const struct field pod_fields[] = {
    MAP("labels", pipeline_pod, labels, 32, .value_max = 63, .syntax = syntax_label,
        .advice = "Write a label's key, as in example.com/team"),
    MAP("annotations", pipeline_pod, annotations, 32, .value_max = 4096, .syntax = syntax_label,
        .advice = "Write an annotation's key, as in example.com/team"),
    STRING("image", pipeline_pod, image, .max = 512, .syntax = syntax_attribute,
           .advice = "Write an image, as in registry.example.com/surgetank-sidecar:1.0"),
    RAW("imagePullSecrets", pipeline_pod, image_pull_secrets, JSON_ARRAY),
    STRING("serviceAccount", pipeline_pod, service_account, .syntax = syntax_dns_subdomain,
           .advice = DNS_ADVICE),
    RAW("resources", pipeline_pod, resources, JSON_OBJECT),
    MAP("nodeSelector", pipeline_pod, node_selector, 32, .value_max = 63, .syntax = syntax_label,
        .advice = "Write a label's key, as in kubernetes.io/os"),
    RAW("tolerations", pipeline_pod, tolerations, JSON_ARRAY),
    RAW("affinity", pipeline_pod, affinity, JSON_OBJECT),
    RAW("topologySpreadConstraints", pipeline_pod, topology_spread_constraints, JSON_ARRAY),
    STRING("priorityClassName", pipeline_pod, priority_class_name, .syntax = syntax_dns_subdomain,
           .advice = DNS_ADVICE),
    RAW("securityContext", pipeline_pod, security_context, JSON_OBJECT),
};
SHAPE(pod, pipeline_pod);

/* ---- processors and routes */

static const struct field attribute_change_fields[] = {
    STRING("key", pipeline_attribute_change, key, .required = true, .syntax = syntax_attribute,
           .advice = "Write an attribute's key, as in deployment.environment.name"),
    STRING("value", pipeline_attribute_change, value, .max = 1024),
    STRING("fromAttribute", pipeline_attribute_change, from_attribute, .syntax = syntax_attribute,
           .advice = "Write an attribute's key, as in service_name"),
    WORD("action", pipeline_attribute_change, action, "upsert", change_words),
};
static SHAPE(attribute_change, pipeline_attribute_change);

static const struct field attributes_fields[] = {
    WORD("on", pipeline_attributes, on, "resource", on_words),
    LIST("actions", pipeline_attributes, actions, action_count, 32, &shape_attribute_change, true,
         "Write at least one, as in {key: team, value: red}"),
};
static SHAPE(attributes, pipeline_attributes);

static const struct field parse_fields[] = {
    STRING("json", pipeline_parse, json, .max = 253),
    STRING("regex", pipeline_parse, regex, .max = 1024),
    STRING("from", pipeline_parse, from, .max = 253),
    WORD("to", pipeline_parse, to, "attributes", parse_to_words),
};
static SHAPE(parse, pipeline_parse);

static const struct field redact_fields[] = {
    STRINGS("keys", pipeline_redact, keys, 64, .value_max = 253),
    STRINGS("patterns", pipeline_redact, patterns, 32, .value_max = 1024),
};
static SHAPE(redact, pipeline_redact);

static const struct field filter_fields[] = {
    STRING("drop", pipeline_filter, drop, .required = true, .max = 1024, .advice = EXPR_ADVICE),
};
static SHAPE(filter, pipeline_filter);

static const struct field sample_fields[] = {
    {.name = "ratio", .kind = FIELD_RATIO, .offset = offsetof(struct pipeline_sample, ratio), .required = true},
    STRING("keep", pipeline_sample, keep, .max = 1024),
};
static SHAPE(sample, pipeline_sample);

static const struct field processor_fields[] = {
    POINTER("attributes", pipeline_processor, attributes, &shape_attributes),
    POINTER("parse", pipeline_processor, parse, &shape_parse),
    POINTER("redact", pipeline_processor, redact, &shape_redact),
    POINTER("filter", pipeline_processor, filter, &shape_filter),
    POINTER("sample", pipeline_processor, sample, &shape_sample),
};
static SHAPE(processor, pipeline_processor);

static const struct field route_fields[] = {
    STRING("when", pipeline_route, when, .max = 1024),
    STRING("to", pipeline_route, to, .required = true, .max = 63, .syntax = syntax_dns_label,
           .advice = "Write the name of one of spec.topics"),
};
static SHAPE(route, pipeline_route);

/* ---- edges */

static const struct field otlp_grpc_fields[] = {
    INT("port", pipeline_otlp_receiver, grpc_port, "4317", 1, 65535),
    SIZE("maxRequestBytes", pipeline_otlp_receiver, grpc_max_request_bytes, "16Mi", 64 * KI, 32 * MI),
};
GROUP_SHAPE(otlp_grpc);

static const struct field otlp_http_fields[] = {
    INT("port", pipeline_otlp_receiver, http_port, "4318", 1, 65535),
    SIZE("maxRequestBytes", pipeline_otlp_receiver, http_max_request_bytes, "16Mi", 64 * KI, 32 * MI),
    STRINGS("corsAllowedOrigins", pipeline_otlp_receiver, cors_allowed_origins, 32,
            .syntax = syntax_origin, .advice = "Write https://host[:port], or \"*\" for every origin"),
};
GROUP_SHAPE(otlp_http);

static const struct field otlp_tls_fields[] = {
    SECRET("certificateSecret", pipeline_otlp_receiver, certificate_secret, "tls.crt", false),
    SECRET("keySecret", pipeline_otlp_receiver, key_secret, "tls.key", false),
    SECRET("clientCASecret", pipeline_otlp_receiver, client_ca_secret, "ca.crt", false),
};
GROUP_SHAPE(otlp_tls);

static const struct field otlp_receiver_fields[] = {
    GROUP("grpc", &shape_otlp_grpc),
    GROUP("http", &shape_otlp_http),
    WORD("expose", pipeline_otlp_receiver, expose, NULL, expose_words),
    MAP("serviceAnnotations", pipeline_otlp_receiver, service_annotations, 32, .value_max = 4096,
        .syntax = syntax_label, .advice = "Write an annotation's key, as in example.com/team"),
    GROUP("tls", &shape_otlp_tls),
    SECRET("bearerTokenSecret", pipeline_otlp_receiver, bearer_token_secret, NULL, false),
};
static SHAPE(otlp_receiver, pipeline_otlp_receiver);

static const struct field multiline_fields[] = {
    WORD("language", pipeline_multiline, language, NULL, language_words),
    STRING("start", pipeline_multiline, start, .max = 1024),
};
static SHAPE(multiline, pipeline_multiline);

/* Of container logs and of files. */
#define FOLLOWING(s) \
    LIST("multiline", s, following.multiline, following.multiline_count, 8, &shape_multiline, false, \
         "Write {language: java} (or python, go, none) or {start: PATTERN}"), \
    STRING("startAt", s, following.start_at, .max = 64, .fallback = "end", .syntax = syntax_start_at, \
           .advice = "Write end, beginning, or a time, as in 2026-02-05T10:00:00Z"), \
    DURATION("ignoreOlder", s, following.ignore_older_ms, "24h", 0, 87600 * HR), \
    SIZE("maxLineBytes", s, following.max_line_bytes, "256Ki", KI, 2 * MI), \
    DURATION("rescan", s, following.rescan_ms, "30s", SEC, HR)

static const struct field container_logs_fields[] = {
    BOOL("enabled", pipeline_container_logs, enabled, "false"),
    STRINGS("namespaces", pipeline_container_logs, namespaces, 64, .syntax = syntax_attribute, .advice = GLOB_ADVICE),
    STRINGS("pods", pipeline_container_logs, pods, 64, .syntax = syntax_attribute, .advice = GLOB_ADVICE),
    STRINGS("excludePods", pipeline_container_logs, exclude_pods, 64, .syntax = syntax_attribute, .advice = GLOB_ADVICE),
    FOLLOWING(pipeline_container_logs),
};
static SHAPE(container_logs, pipeline_container_logs);

static const struct field files_fields[] = {
    STRING("name", pipeline_files, name, .required = true, .max = 63,
           .syntax = syntax_dns_label, .advice = LABEL_ADVICE),
    STRINGS("paths", pipeline_files, paths, PIPELINE_PATHS_MAX, .required = true, .syntax = syntax_glob,
            .advice = "Write a glob of absolute paths, as in /var/log/app/*.log"),
    STRINGS("exclude", pipeline_files, exclude, 32, .syntax = syntax_glob,
            .advice = "Write a glob of absolute paths, as in /var/log/app/debug-*.log"),
    WORD("parser", pipeline_files, parser, "raw", parser_words),
    MAP("attributes", pipeline_files, attributes, 32, .value_max = 1024, .syntax = syntax_attribute,
        .advice = "Write an attribute's key, as in service.name"),
    FOLLOWING(pipeline_files),
};
static SHAPE(files, pipeline_files);

static const struct field receivers_fields[] = {
    OBJECT("otlp", pipeline_edge, otlp, &shape_otlp_receiver),
    POINTER("containerLogs", pipeline_edge, container_logs, &shape_container_logs),
    LIST("files", pipeline_edge, files, files_count, PIPELINE_FILES_MAX, &shape_files, false, NULL),
};
GROUP_SHAPE(receivers);

static enum err metadata_from(const char *text, struct error *error)
{
    if (strcmp(text, PIPELINE_METADATA_PATH) != 0 &&
        strcmp(text, PIPELINE_METADATA_CONNECTION) != 0)
        return error_set(error, ERR_INVALID, "is no way to find a pod");
    return OK;
}

static const struct field kubernetes_metadata_fields[] = {
    STRINGS("from", pipeline_kubernetes_metadata, from, 2, .syntax = metadata_from,
            .advice = "Write path or connection"),
    STRINGS("labels", pipeline_kubernetes_metadata, labels, 32, .syntax = syntax_label,
            .advice = "Write a label's key, as in app.kubernetes.io/name"),
    STRINGS("annotations", pipeline_kubernetes_metadata, annotations, 32, .syntax = syntax_label,
            .advice = "Write an annotation's key, as in example.com/team"),
};
static SHAPE(kubernetes_metadata, pipeline_kubernetes_metadata);

static const struct field attribute_fields[] = {
    STRING("key", pipeline_attribute, key, .required = true, .syntax = syntax_attribute,
           .advice = "Write an attribute's key, as in deployment.environment.name"),
    STRING("value", pipeline_attribute, value, .max = 1024),
    BOOL("fromNode", pipeline_attribute, from_node, "false"),
    WORD("action", pipeline_attribute, action, "insert", action_words),
};
static SHAPE(attribute, pipeline_attribute);

static enum err access_mode(const char *text, struct error *error)
{
    if (strcmp(text, "ReadWriteOnce") != 0 && strcmp(text, "ReadWriteOncePod") != 0)
        return error_set(error, ERR_INVALID, "is no mode for a volume of one pod");
    return OK;
}

static const struct field storage_fields[] = {
    STRING("hostPath", pipeline_spool, host_path, .max = 512, .syntax = syntax_directory,
           .advice = "Write a directory, as in /var/lib/surgetank"),
    STRING("storageClassName", pipeline_spool, storage_class_name, .syntax = syntax_dns_subdomain,
           .advice = DNS_ADVICE),
    STRINGS("accessModes", pipeline_spool, access_modes, 4, .syntax = access_mode,
            .advice = "Write ReadWriteOnce or ReadWriteOncePod"),
};
GROUP_SHAPE(storage);

static const struct field spool_fields[] = {
    SIZE("size", pipeline_spool, size_bytes, "10Gi", 64 * MI, 64 * TI),
    PERCENT("minFree", pipeline_spool, min_free_percent, "15%", 0, 90),
    WORD("whenFull", pipeline_spool, when_full, "Block", when_full_words),
    DURATION("maxAge", pipeline_spool, max_age_ms, "0s", 0, 87600 * HR),
    WORD("acknowledge", pipeline_spool, acknowledge, "Synced", acknowledge_words),
    GROUP("storage", &shape_storage),
};
static SHAPE(spool, pipeline_spool);

static const struct field producer_fields[] = {
    WORD("compression", pipeline_edge, producer.compression, "zstd", compression_words),
    INT("compressionLevel", pipeline_edge, producer.compression_level, "1", 0, 12),
    BOOL("freshFirst", pipeline_edge, producer.fresh_first, "true"),
};
GROUP_SHAPE(producer);

static const struct field ports_fields[] = {
    INT("health", pipeline_edge, health_port, "13133", 1, 65535),
    INT("metrics", pipeline_edge, metrics_port, "8888", 1, 65535),
};
GROUP_SHAPE(ports);

static const struct field edge_pdb_fields[] = {
    AMOUNT("maxUnavailable", pipeline_edge, pdb_max_unavailable, "1"),
};
GROUP_SHAPE(edge_pdb);

static const struct field edge_rollout_fields[] = {
    AMOUNT("maxUnavailable", pipeline_edge, rollout.max_unavailable, "10%"),
    BOOL("paused", pipeline_edge, rollout.paused, "false"),
};
GROUP_SHAPE(edge_rollout);

static const struct field edge_fields[] = {
    STRING("name", pipeline_edge, name, .required = true, .max = 40,
           .syntax = syntax_dns_label, .advice = LABEL_ADVICE),
    WORD("mode", pipeline_edge, mode, "StatefulSet", mode_words),
    INT("replicas", pipeline_edge, replicas, "2", 0, 500),
    GROUP("receivers", &shape_receivers),
    POINTER("kubernetesMetadata", pipeline_edge, kubernetes_metadata, &shape_kubernetes_metadata),
    LIST("resourceAttributes", pipeline_edge, resource_attributes, resource_attribute_count, 32,
         &shape_attribute, false, NULL),
    LIST("processors", pipeline_edge, processors, processor_count, PIPELINE_PROCESSORS_MAX,
         &shape_processor, false, NULL),
    LIST("routes", pipeline_edge, routes, route_count, PIPELINE_ROUTES_MAX, &shape_route, false, NULL),
    SIZE("memoryLimit", pipeline_edge, memory_limit_bytes, "128Mi", 32 * MI, 64 * GI),
    OBJECT("spool", pipeline_edge, spool, &shape_spool),
    GROUP("producer", &shape_producer),
    GROUP("ports", &shape_ports),
    GROUP("podDisruptionBudget", &shape_edge_pdb),
    GROUP("rollout", &shape_edge_rollout),
    OBJECT("podTemplate", pipeline_edge, pod, &shape_pod),
};
SHAPE(edge, pipeline_edge);

/* ---- gateways */

static const struct field consumer_fields[] = {
    STRING("groupID", pipeline_gateway, group_id, .syntax = syntax_group, .max = 249,
           .advice = "Use letters, digits, '.', '_' and '-', at most 249"),
    WORD("initialOffset", pipeline_gateway, initial_offset, "earliest", offset_words),
    MAP("properties", pipeline_gateway, consumer_properties, 64, .value_max = 1024),
};
GROUP_SHAPE(consumer);

static const struct field batch_fields[] = {
    INT("maxItems", pipeline_gateway, batch_max_items, "1024", 1, 1000000),
    SIZE("maxBytes", pipeline_gateway, batch_max_bytes, "4Mi", 64 * KI, 32 * MI),
    DURATION("timeout", pipeline_gateway, batch_timeout_ms, "1s", 0, MIN),
};
GROUP_SHAPE(batch);

static const struct field export_tls_fields[] = {
    BOOL("insecure", pipeline_tls_client, insecure, "false"),
    SECRET("caSecret", pipeline_tls_client, ca_secret, "ca.crt", false),
    SECRET("certificateSecret", pipeline_tls_client, certificate_secret, "tls.crt", false),
    SECRET("keySecret", pipeline_tls_client, key_secret, "tls.key", false),
    BOOL("insecureSkipVerify", pipeline_tls_client, insecure_skip_verify, "false"),
};
static SHAPE(export_tls, pipeline_tls_client);

static const struct field basic_fields[] = {
    SECRET("usernameSecret", pipeline_export, basic_username_secret, NULL, true),
    SECRET("passwordSecret", pipeline_export, basic_password_secret, NULL, true),
};
GROUP_SHAPE(basic);

static const struct field bearer_fields[] = {
    SECRET("tokenSecret", pipeline_export, bearer_token_secret, NULL, true),
};
GROUP_SHAPE(bearer);

static const struct field auth_fields[] = {
    OPTIONAL_GROUP("basic", &shape_basic),
    OPTIONAL_GROUP("bearer", &shape_bearer),
};
GROUP_SHAPE(auth);

static const struct field tenant_fields[] = {
    STRING("value", pipeline_export, tenant, .required = true, .syntax = syntax_attribute,
           .advice = "Write the tenant's name"),
    STRING("header", pipeline_export, tenant_header, .fallback = NAMES_TENANT_HEADER,
           .syntax = syntax_header, .advice = "Write the name of a header"),
};
GROUP_SHAPE(tenant);

static const struct field otlp_export_fields[] = {
    STRING("endpoint", pipeline_export, endpoint, .required = true, .max = 1024,
           .advice = "Write host:port for grpc, or http(s)://host:port for http"),
    WORD("protocol", pipeline_export, protocol, "grpc", protocol_words),
    WORD("compression", pipeline_export, compression, "zstd", compression_words),
    DURATION("timeout", pipeline_export, timeout_ms, "30s", 100, 10 * MIN),
    MAP("headers", pipeline_export, headers, 32, .value_max = 4096, .syntax = syntax_header,
        .advice = "Write the name of a header"),
    SECRET("headersSecret", pipeline_export, headers_secret, NULL, false),
    OBJECT("tls", pipeline_export, tls, &shape_export_tls),
    GROUP("auth", &shape_auth),
    OPTIONAL_GROUP("tenant", &shape_tenant),
};
static SHAPE(otlp_export, pipeline_export);

static const struct field export_fields[] = {
    {.name = "otlp", .kind = FIELD_OBJECT, .offset = offsetof(struct pipeline_gateway, export),
     .shape = &shape_otlp_export, .optional = true},
};
GROUP_SHAPE(export);

static const struct field retry_fields[] = {
    DURATION("initialInterval", pipeline_gateway, retry_initial_ms, "1s", 10, 10 * MIN),
    DURATION("maxInterval", pipeline_gateway, retry_max_ms, "30s", 10, HR),
    DURATION("maxElapsed", pipeline_gateway, retry_max_elapsed_ms, "0s", 0, 8760 * HR),
};
GROUP_SHAPE(retry);

static const struct field dead_letter_fields[] = {
    STRING("topic", pipeline_gateway, dead_letter_topic, .syntax = syntax_topic, .advice = TOPIC_ADVICE),
    DURATION("retention", pipeline_gateway, dead_letter_retention_ms, "168h", MIN, 87600 * HR),
    PERCENT("holdAbove", pipeline_gateway, hold_above_percent, "10%", 1, 100),
};
GROUP_SHAPE(dead_letter);

static const struct field lag_fields[] = {
    DURATION("drainWithin", pipeline_gateway, scaling.drain_within_ms, "5m", 10 * SEC, 24 * HR),
    INT("maxMessagesPerReplica", pipeline_gateway, scaling.max_messages_per_replica, "10000", 1,
        INT64_C(1000000000000)),
    INT("wakeAbove", pipeline_gateway, scaling.wake_above, "0", 0, INT64_C(1000000000000)),
};
GROUP_SHAPE(lag);

static const struct field cpu_fields[] = {
    {.name = "averageUtilization", .kind = FIELD_INT, .fallback = "70", .min = 1, .max = 1000,
     .offset = offsetof(struct pipeline_gateway, scaling.cpu_utilization)},
};
GROUP_SHAPE(cpu);

static const struct field scaling_fields[] = {
    WORD("mode", pipeline_gateway, scaling.mode, "HPA", scaling_words),
    INT("minReplicas", pipeline_gateway, scaling.min_replicas, "1", 0, 1000),
    INT("maxReplicas", pipeline_gateway, scaling.max_replicas, "12", 1, 1000),
    GROUP("lag", &shape_lag),
    OPTIONAL_GROUP("cpu", &shape_cpu),
    RAW("behavior", pipeline_gateway, scaling.behavior, JSON_OBJECT),
};
GROUP_SHAPE(scaling);

static const struct field gateway_pdb_fields[] = {
    AMOUNT("maxUnavailable", pipeline_gateway, pdb_max_unavailable, "50%"),
};
GROUP_SHAPE(gateway_pdb);

static const struct field gateway_rollout_fields[] = {
    AMOUNT("maxUnavailable", pipeline_gateway, rollout.max_unavailable, "25%"),
    BOOL("paused", pipeline_gateway, rollout.paused, "false"),
};
GROUP_SHAPE(gateway_rollout);

static const struct field gateway_fields[] = {
    STRING("name", pipeline_gateway, name, .required = true, .max = 40,
           .syntax = syntax_dns_label, .advice = LABEL_ADVICE),
    STRINGS("from", pipeline_gateway, from_names, PIPELINE_TOPICS_MAX, .required = true,
            .syntax = syntax_dns_label, .advice = "Write the names of topics, as in [traces]"),
    GROUP("consumer", &shape_consumer),
    LIST("processors", pipeline_gateway, processors, processor_count, PIPELINE_PROCESSORS_MAX,
         &shape_processor, false, NULL),
    GROUP("batch", &shape_batch),
    REQUIRED_GROUP("export", &shape_export, "Write the one backend, as in otlp"),
    GROUP("retry", &shape_retry),
    DURATION("settle", pipeline_gateway, settle_ms, "0s", 0, 10 * MIN),
    GROUP("deadLetter", &shape_dead_letter),
    SIZE("memoryLimit", pipeline_gateway, memory_limit_bytes, "128Mi", 32 * MI, 64 * GI),
    GROUP("scaling", &shape_scaling),
    GROUP("podDisruptionBudget", &shape_gateway_pdb),
    GROUP("rollout", &shape_gateway_rollout),
    OBJECT("podTemplate", pipeline_gateway, pod, &shape_pod),
};
SHAPE(gateway, pipeline_gateway);

/* ---- the whole */

static const struct field spec_fields[] = {
    BOOL("paused", pipeline, paused, "false"),
    STRING("clusterName", pipeline, cluster_name, .syntax = syntax_attribute,
           .advice = "Write a name without blanks"),
    POINTER("kafka", pipeline, kafka, &shape_kafka),
    LIST("topics", pipeline, topics, topic_count, PIPELINE_TOPICS_MAX, &shape_topic, false, NULL),
    LIST("edges", pipeline, edges, edge_count, PIPELINE_EDGES_MAX, &shape_edge, false, NULL),
    LIST("gateways", pipeline, gateways, gateway_count, PIPELINE_GATEWAYS_MAX, &shape_gateway,
         true, "Write at least one, with name, from and export"),
};
SHAPE(spec, pipeline);

/* The metadata is the API server's business: what else is in it doesn't concern us. */
static const struct field metadata_fields[] = {
    STRING("name", pipeline, name, .required = true, .max = 40, .syntax = syntax_dns_label,
           .advice = LABEL_ADVICE),
    STRING("namespace", pipeline, namespace, .fallback = "default", .max = 63,
           .syntax = syntax_dns_label, .advice = LABEL_ADVICE),
    STRING("uid", pipeline, uid, .max = 128),
    {.name = "generation", .kind = FIELD_INT, .max = INT64_MAX,
     .offset = offsetof(struct pipeline, generation)},
    MAP("labels", pipeline, labels, 1000, .value_max = 0),
    MAP("annotations", pipeline, annotations, 1000, .value_max = 0),
};
static const struct shape shape_metadata = {"metadata", 0, metadata_fields, COUNT(metadata_fields), true};

static const struct field document_fields[] = {
    REQUIRED_GROUP("metadata", &shape_metadata, "Write at least {name: NAME}"),
    REQUIRED_GROUP("spec", &shape_spec, "Write at least gateways"),
};
const struct shape shape_document = {"document", sizeof(struct pipeline), document_fields,
                                     COUNT(document_fields), false};
