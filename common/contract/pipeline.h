/* pipeline: a TelemetryPipeline, typed, complete and checked. The controller, the sidecar and the
 * plugin read the same document with this code and give the same messages.
 *
 *   text --yaml_parse--> json --pipeline_expand_env--> json --pipeline_read--> struct pipeline
 *                              (outside Kubernetes)                                |
 *                    ConfigMap, `render` <-- json <-----------pipeline_to_json-----+
 *
 * pipeline_read() fills in every default, also those that depend on a mode, a signal or a name (a
 * topic for each signal that is read, an edge if there is none, group and topic names), so its
 * users know no defaults. What pipeline_to_json() writes is that resolved document: read again, it
 * gives the same pipeline. Fields whose part isn't built yet are faults (pipeline_unbuilt.c).
 *
 * Conventions: durations are milliseconds, sizes are bytes, percents are whole numbers. Optional
 * strings, objects and secrets are NULL (name == NULL) when left out. Lists keep their order and
 * have no two entries of one name. `struct json` fields are passed through as they are.
 *
 * Everything hangs on the pipeline and lives until pipeline_free(). Nothing changes after reading,
 * so any number of threads may read it.
 */
#ifndef COMMON_CONTRACT_PIPELINE_H
#define COMMON_CONTRACT_PIPELINE_H

#include "common/contract/fault.h"
#include "common/contract/signal.h"
#include "common/json.h"

/* ---- small parts */

struct pipeline_strings {
    const char **items;
    size_t count;
};

struct pipeline_pair {
    const char *name, *value;
};

struct pipeline_map { /* in the document's order */
    struct pipeline_pair *items;
    size_t count;
};

/* One key of a Secret in the pipeline's namespace; outside Kubernetes the file DIR/name/key. */
struct pipeline_secret {
    const char *name, *key; /* both NULL: none */
};

/* A number of pods, or a percentage of them. */
struct pipeline_amount {
    int64_t value;
    bool percent;
};

struct pipeline_tls_client {
    bool insecure; /* no TLS at all: gRPC in plain text. Not in kafka.tls */
    bool enabled;  /* kafka.tls only */
    bool insecure_skip_verify;
    struct pipeline_secret ca_secret;                      /* none: the system's */
    struct pipeline_secret certificate_secret, key_secret; /* both or none */
};

/* ---- Kafka */

enum pipeline_sasl_mechanism {
    PIPELINE_SASL_PLAIN,
    PIPELINE_SASL_SCRAM_SHA_256,
    PIPELINE_SASL_SCRAM_SHA_512,
    PIPELINE_SASL_OAUTHBEARER,
};

struct pipeline_sasl {
    enum pipeline_sasl_mechanism mechanism;
    struct pipeline_secret username_secret, password_secret; /* not for OAUTHBEARER */
    const char *token_endpoint;                              /* OAUTHBEARER, as the rest */
    struct pipeline_secret client_id_secret, client_secret_secret;
    const char *scope; /* NULL: none */
};

struct pipeline_kafka {
    struct pipeline_strings bootstrap_servers; /* host:port */
    struct pipeline_tls_client tls;
    struct pipeline_sasl *sasl;     /* NULL: none */
    struct pipeline_map properties; /* librdkafka's, from the allow-list of kafka_property.h */
};

enum pipeline_ownership {
    PIPELINE_OWNERSHIP_CREATE, /* made if missing, and managed because we made it */
    PIPELINE_OWNERSHIP_ADOPT,  /* an existing one is managed too */
    PIPELINE_OWNERSHIP_OBSERVE /* never touched */
};

enum pipeline_encoding {
    PIPELINE_ENCODING_OTLP_PROTO, /* what a gateway reads */
    PIPELINE_ENCODING_OTLP_JSON,
    PIPELINE_ENCODING_FLUENTBIT_JSON, /* logs: a message for each record */
};

/* What keeps messages together in one partition. */
enum pipeline_partition_by {
    PIPELINE_PARTITION_BY_NONE,
    PIPELINE_PARTITION_BY_TRACE_ID, /* not for metrics */
    PIPELINE_PARTITION_BY_RESOURCE,
};

enum pipeline_deletion { PIPELINE_DELETION_RETAIN, PIPELINE_DELETION_DELETE };

struct pipeline_topic {
    const char *name;
    enum signal signal;
    const char *topic;       /* Kafka's name */
    const char *dead_letter; /* "<topic>.dlq", where a gateway's deadLetter names no other */
    enum pipeline_ownership ownership;
    int64_t partitions;
    int64_t replication_factor;
    int64_t retention_ms;
    int64_t retention_bytes; /* for each partition; -1: no cap */
    int64_t min_insync_replicas;
    int64_t max_message_bytes;
    const char *compression; /* Kafka's word: compression.type */
    enum pipeline_encoding encoding;
    enum pipeline_partition_by partition_by;
    enum pipeline_deletion deletion_policy;
    struct pipeline_map config; /* further topic configs */
};

/* ---- processing: steps on what passes through, in order */

enum pipeline_on { PIPELINE_ON_RESOURCE, PIPELINE_ON_SCOPE, PIPELINE_ON_ITEM };

enum pipeline_change {
    PIPELINE_CHANGE_INSERT, /* only where the key is absent */
    PIPELINE_CHANGE_UPDATE, /* only where it is present */
    PIPELINE_CHANGE_UPSERT,
    PIPELINE_CHANGE_DELETE,
    PIPELINE_CHANGE_RENAME, /* the value of from_attribute, which goes */
};

struct pipeline_attribute_change {
    const char *key;
    const char *value, *from_attribute; /* one of them, but for DELETE */
    enum pipeline_change action;
};

struct pipeline_attributes {
    enum pipeline_on on;
    struct pipeline_attribute_change *actions;
    size_t action_count;
};

enum pipeline_parse_to { PIPELINE_TO_ATTRIBUTES, PIPELINE_TO_BODY };

struct pipeline_parse {
    const char *json;  /* the path (expr.h) that holds JSON; or */
    const char *regex; /* a pattern with named groups, and */
    const char *from;  /* the path that it reads; NULL: body */
    enum pipeline_parse_to to;
};

struct pipeline_redact {
    struct pipeline_strings keys, patterns;
};

struct pipeline_filter {
    const char *drop; /* an expression */
};

struct pipeline_sample {
    double ratio;     /* 0 to 1 */
    const char *keep; /* an expression; NULL: nothing is kept for itself */
};

/* Exactly one is not NULL. */
struct pipeline_processor {
    struct pipeline_attributes *attributes;
    struct pipeline_parse *parse;
    struct pipeline_redact *redact;
    struct pipeline_filter *filter;
    struct pipeline_sample *sample;
};

struct pipeline_route {
    const char *when; /* an expression; NULL: always */
    const char *to;   /* name of a topic */
};

#define PIPELINE_PROCESSORS_MAX 32
#define PIPELINE_ROUTES_MAX     32

/* ---- edges */

enum pipeline_edge_mode { PIPELINE_STATEFULSET, PIPELINE_DAEMONSET };

enum pipeline_expose {
    PIPELINE_EXPOSE_CLUSTER,
    PIPELINE_EXPOSE_NODE_LOCAL, /* internalTrafficPolicy: Local */
    PIPELINE_EXPOSE_HOST_PORT,
    PIPELINE_EXPOSE_LOAD_BALANCER,
};

struct pipeline_otlp_receiver {
    int64_t grpc_port;
    int64_t grpc_max_request_bytes; /* decompressed */
    int64_t http_port;
    int64_t http_max_request_bytes;
    struct pipeline_strings cors_allowed_origins;
    enum pipeline_expose expose;
    struct pipeline_map service_annotations;
    struct pipeline_secret certificate_secret, key_secret; /* none: plain text */
    struct pipeline_secret client_ca_secret;               /* set: mTLS */
    struct pipeline_secret bearer_token_secret;            /* set: required of every request */
};

/* ---- log files */

enum pipeline_language {
    PIPELINE_LANGUAGE_JAVA,
    PIPELINE_LANGUAGE_PYTHON,
    PIPELINE_LANGUAGE_GO,
    PIPELINE_LANGUAGE_NONE, /* lines stay apart */
};

/* What joins lines to records: one of both. */
struct pipeline_multiline {
    enum pipeline_language language; /* PIPELINE_NO_LANGUAGE: `start` is set */
    const char *start;               /* a pattern that a record begins with */
};

#define PIPELINE_NO_LANGUAGE (-1)

/* How files are followed. */
struct pipeline_following {
    struct pipeline_multiline *multiline;
    size_t multiline_count;
    const char *start_at;    /* "end", "beginning", or a time: of files that were there before */
    int64_t ignore_older_ms; /* 0: none */
    int64_t max_line_bytes;
    int64_t rescan_ms;
};

struct pipeline_container_logs {
    bool enabled;
    struct pipeline_strings namespaces, pods, exclude_pods; /* globs */
    struct pipeline_following following;
};

/* What is said about the pod that telemetry came from. */
#define PIPELINE_METADATA_PATH       "path"       /* of its log */
#define PIPELINE_METADATA_CONNECTION "connection" /* the address that it sends from */
struct pipeline_kubernetes_metadata {
    struct pipeline_strings from; /* "path", "connection" */
    struct pipeline_strings labels, annotations;
};

enum pipeline_parser {
    PIPELINE_PARSER_RAW,
    PIPELINE_PARSER_JSON,
    PIPELINE_PARSER_CRI,
    PIPELINE_PARSER_DOCKER,
};

struct pipeline_files {
    const char *name;
    struct pipeline_strings paths, exclude; /* globs of absolute paths */
    enum pipeline_parser parser;
    struct pipeline_map attributes; /* of the resource */
    struct pipeline_following following;
};

#define PIPELINE_FILES_MAX 32
#define PIPELINE_PATHS_MAX 32 /* of each */

/* ---- what is stamped, and the spool */

enum pipeline_action {
    PIPELINE_ACTION_INSERT, /* only where the key is absent */
    PIPELINE_ACTION_UPDATE, /* only where it is present */
    PIPELINE_ACTION_UPSERT,
    PIPELINE_ACTION_DELETE,
};

struct pipeline_attribute {
    const char *key;
    const char *value; /* NULL: delete, or from_node */
    bool from_node;    /* the node's name; only on what came from this node */
    enum pipeline_action action;
};

enum pipeline_when_full { PIPELINE_FULL_BLOCK, PIPELINE_FULL_DROP_OLDEST };

enum pipeline_acknowledge {
    PIPELINE_ACK_SYNCED,     /* after fdatasync */
    PIPELINE_ACK_WRITTEN,    /* in the page cache */
    PIPELINE_ACK_REPLICATED, /* after Kafka's acknowledgement */
};

struct pipeline_spool {
    int64_t size_bytes;
    int64_t min_free_percent; /* of the file system */
    enum pipeline_when_full when_full;
    int64_t max_age_ms; /* 0: none */
    enum pipeline_acknowledge acknowledge;
    const char *host_path;                /* DaemonSet and outside Kubernetes; below it
                                             <namespace>/<pipeline>/<edge>, see pipeline_spool_dir() */
    const char *storage_class_name;       /* StatefulSet; NULL: the cluster's default */
    struct pipeline_strings access_modes; /* StatefulSet */
};

enum pipeline_compression {
    PIPELINE_COMPRESSION_NONE,
    PIPELINE_COMPRESSION_GZIP,
    PIPELINE_COMPRESSION_SNAPPY, /* Kafka only */
    PIPELINE_COMPRESSION_LZ4,    /* Kafka only */
    PIPELINE_COMPRESSION_ZSTD,
};

/* How a change reaches the pods. */
struct pipeline_rollout {
    struct pipeline_amount max_unavailable; /* of those that must be replaced */
    bool paused;                            /* it stays where it is */
};

/* What a user may say about the pods. */
struct pipeline_pod {
    struct pipeline_map labels, annotations;
    const char *image;           /* NULL: the operator's */
    const char *service_account; /* NULL: one of our own without any right */
    struct pipeline_map node_selector;
    const char *priority_class_name;
    const struct json *image_pull_secrets, *resources, *tolerations, *affinity,
        *topology_spread_constraints;
    const struct json *security_context; /* of the pod; within the profile */
};

struct pipeline_edge {
    const char *name;
    enum pipeline_edge_mode mode;
    int64_t replicas; /* StatefulSet */
    struct pipeline_otlp_receiver otlp;
    struct pipeline_container_logs *container_logs; /* NULL: none */
    struct pipeline_files *files;
    size_t files_count;
    struct pipeline_kubernetes_metadata *kubernetes_metadata; /* NULL: what paths tell */
    struct pipeline_attribute *resource_attributes;
    size_t resource_attribute_count;
    struct pipeline_processor *processors;
    size_t processor_count;
    struct pipeline_route *routes; /* the first that is true, else pipeline_topic_of() */
    size_t route_count;
    int64_t memory_limit_bytes; /* of what is in flight */
    struct pipeline_spool spool;
    struct {
        enum pipeline_compression compression;
        int64_t compression_level;
        bool fresh_first;
    } producer;
    int64_t health_port, metrics_port;
    struct pipeline_amount pdb_max_unavailable;
    struct pipeline_rollout rollout;
    struct pipeline_pod pod;
};

/* ---- gateways */

enum pipeline_offset { PIPELINE_OFFSET_EARLIEST, PIPELINE_OFFSET_LATEST };

enum pipeline_otlp_protocol { PIPELINE_OTLP_GRPC, PIPELINE_OTLP_HTTP };

enum pipeline_export_kind { PIPELINE_EXPORT_OTLP };

/* The backend, with what every kind of export takes. */
struct pipeline_export {
    enum pipeline_export_kind kind;
    const char *endpoint; /* gRPC: host:port; HTTP: http(s)://host:port[/base], to which /v1/traces,
                             /v1/metrics or /v1/logs is appended; see endpoint.h */
    enum pipeline_otlp_protocol protocol;
    enum pipeline_compression compression; /* NONE, GZIP or ZSTD */
    int64_t timeout_ms;
    struct pipeline_map headers;
    struct pipeline_secret headers_secret; /* lines of "Name: value" */
    struct pipeline_tls_client tls;
    struct pipeline_secret basic_username_secret, basic_password_secret; /* both or none */
    struct pipeline_secret bearer_token_secret;                          /* not with basic */
    const char *tenant, *tenant_header; /* both NULL: none; else one more header */
};

enum pipeline_scaling_mode {
    PIPELINE_SCALING_HPA,    /* the operator moves the HPA's floor */
    PIPELINE_SCALING_DIRECT, /* the operator patches /scale */
    PIPELINE_SCALING_FIXED,  /* min_replicas, always */
};

struct pipeline_scaling {
    enum pipeline_scaling_mode mode;
    int64_t min_replicas, max_replicas;
    int64_t drain_within_ms, max_messages_per_replica, wake_above;
    int64_t cpu_utilization;     /* percent; 0: the CPU has no say */
    const struct json *behavior; /* autoscaling/v2; NULL: Kubernetes' own */
};

struct pipeline_gateway {
    const char *name;
    struct pipeline_strings from_names; /* as written; `from` is what they mean */
    const struct pipeline_topic **from; /* at least one */
    size_t from_count;
    const char *group_id;
    enum pipeline_offset initial_offset;
    struct pipeline_map consumer_properties; /* librdkafka's, over those of kafka */
    struct pipeline_processor *processors;
    size_t processor_count;
    int64_t batch_max_items, batch_max_bytes, batch_timeout_ms;
    struct pipeline_export export;
    int64_t retry_initial_ms, retry_max_ms;
    int64_t retry_max_elapsed_ms;  /* 0: for ever */
    int64_t settle_ms;             /* commits are held back that long */
    const char *dead_letter_topic; /* NULL: each topic's own; pipeline_dead_letter() */
    int64_t dead_letter_retention_ms;
    int64_t hold_above_percent;
    int64_t memory_limit_bytes;
    struct pipeline_scaling scaling;
    struct pipeline_amount pdb_max_unavailable;
    struct pipeline_rollout rollout;
    struct pipeline_pod pod;
};

/* ---- the whole */

struct pipeline {
    const char *name, *namespace; /* outside Kubernetes the namespace defaults to "default" */
    const char *uid;              /* NULL outside Kubernetes */
    int64_t generation;           /* 0 outside Kubernetes */
    struct pipeline_map labels, annotations;

    bool paused;
    const char *cluster_name;      /* NULL: none */
    struct pipeline_kafka *kafka;  /* NULL: single node, gateways read the spool */
    struct pipeline_topic *topics; /* at most PIPELINE_TOPICS_MAX */
    size_t topic_count;
    struct pipeline_edge *edges; /* at least one */
    size_t edge_count;
    struct pipeline_gateway *gateways; /* at least one */
    size_t gateway_count;

    struct arena arena;    /* holds all of the above */
    struct json *document; /* a copy of what was read: the pass-through parts point into it */
};

#define PIPELINE_TOPICS_MAX   32
#define PIPELINE_EDGES_MAX    8
#define PIPELINE_GATEWAYS_MAX 16
#define PIPELINE_TEXT_MAX     (1u << 20) /* of the document in bytes */

/* Reads, completes and checks. The document stays the caller's. ERR_INVALID: `faults` (emptied
 * first) says all that is wrong, `error` the first of it. ERR_NOMEM. */
NODISCARD enum err pipeline_read(const struct json *document, struct pipeline **ret_pipeline,
                                 struct faults *faults, struct error *error);
void pipeline_free(struct pipeline **pipeline);

/* What holds only inside a cluster: there must be Kafka, and only a DaemonSet spools on its node.
 * OK, or ERR_INVALID as in pipeline_read(). */
NODISCARD enum err pipeline_check_in_cluster(const struct pipeline *pipeline, struct faults *faults,
                                             struct error *error);

/* The resolved document; the caller frees it. */
struct json *pipeline_to_json(const struct pipeline *pipeline);

/* Replaces ${env:NAME} in every string value with what `get` returns for NAME; an unset variable
 * (NULL) is a fault. For documents outside Kubernetes. */
typedef const char *pipeline_getenv(const char *name);
void pipeline_expand_env(struct json *document, pipeline_getenv *get, struct faults *faults);

/* A file of YAML or JSON, for use outside Kubernetes and for the resolved document in a pod: finds
 * the one TelemetryPipeline in it, expands with getenv() and reads. ERR_INVALID as in
 * pipeline_read(), or with no fault: the file isn't readable text. ERR_NOTFOUND, ERR_IO. */
NODISCARD enum err pipeline_load(const char *path, struct pipeline **ret_pipeline,
                                 struct faults *faults, struct error *error);

/* `surgetank-sidecar check`: prints one line for each fault of the file to stdout. Returns the exit
 * code: 0 sound, 2 not. */
int pipeline_check(const char *path);

/* ---- finding one's way; NULL where there is none of that name */

const struct pipeline_topic *pipeline_topic(const struct pipeline *pipeline, const char *name);
const struct pipeline_edge *pipeline_edge(const struct pipeline *pipeline, const char *name);
const struct pipeline_gateway *pipeline_gateway(const struct pipeline *pipeline, const char *name);

/* Where an edge sends what it gets of a signal: the topic named as the signal, else the only one of
 * that signal. NULL: nobody reads it, and the edge refuses it. */
const struct pipeline_topic *pipeline_topic_of(const struct pipeline *pipeline, enum signal signal);

/* Whether an edge finds pods in that way, one of PIPELINE_METADATA_*, and whether it asks the API
 * server for them: what paths tell needs no watch. */
bool pipeline_metadata_from(const struct pipeline_edge *edge, const char *way);
bool pipeline_watches_pods(const struct pipeline_edge *edge);

/* Where messages of `topic` go that `gateway` can't deliver. */
const char *pipeline_dead_letter(const struct pipeline_gateway *gateway,
                                 const struct pipeline_topic *topic);

/* The Kafka client id of the members of a gateway's group, made from the arena: it tells them from
 * those of the same manifests in another cluster. NULL: out of memory. */
const char *pipeline_member_id(const struct pipeline *pipeline,
                               const struct pipeline_gateway *gateway, struct arena *arena);

/* The edge's own directory below its hostPath, made from the arena; NULL: out of memory. */
const char *pipeline_spool_dir(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                               struct arena *arena);

/* Calls `visit` with each directory below which the edge follows files: of a glob the part before
 * its first wildcard. One that lies in another is left out. */
typedef void pipeline_visit_dir(void *context, const char *dir);
void pipeline_log_dirs(const struct pipeline_edge *edge, pipeline_visit_dir *visit, void *context);

/* The file "<dir>/<name>/<key>" in which a pod finds the secret, and the text in it (see
 * secret_read()), from the arena; NULL where the document names none. ERR_INVALID: `dir` is NULL,
 * though it names one. */
NODISCARD enum err pipeline_secret_path(const struct pipeline_secret *secret, const char *dir,
                                        struct arena *arena, const char **ret_path,
                                        struct error *error);
NODISCARD enum err pipeline_secret_read(const struct pipeline_secret *secret, const char *dir,
                                        struct arena *arena, const char **ret_text,
                                        struct error *error);

/* Calls `visit` for each secret that pods of that tier mount (Kafka's included), possibly twice for
 * the same one. */
typedef void pipeline_visit_secret(void *context, const struct pipeline_secret *secret);
void pipeline_edge_secrets(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                           pipeline_visit_secret *visit, void *context);
void pipeline_gateway_secrets(const struct pipeline *pipeline,
                              const struct pipeline_gateway *gateway, pipeline_visit_secret *visit,
                              void *context);

#endif
