/* names: what the two programs, people's manifests and the data on the wire agree on. A name that
 * is here is never given another meaning.
 */
#ifndef COMMON_CONTRACT_NAMES_H
#define COMMON_CONTRACT_NAMES_H

/* ---- the API */

#define NAMES_GROUP         "surgetank.dev"
#define NAMES_VERSION       "v1alpha1"
#define NAMES_API_VERSION   NAMES_GROUP "/" NAMES_VERSION
#define NAMES_KIND_PIPELINE "TelemetryPipeline"
#define NAMES_PIPELINES     "telemetrypipelines" /* the plural, as in URLs and RBAC */
#define NAMES_FIELD_MANAGER "surgetank-controller"
#define NAMES_FINALIZER     NAMES_GROUP "/topics"

/* ---- labels of what the controller makes */

#define NAMES_LABEL_NAME       "app.kubernetes.io/name"       /* NAMES_APP */
#define NAMES_LABEL_INSTANCE   "app.kubernetes.io/instance"   /* the pipeline */
#define NAMES_LABEL_COMPONENT  "app.kubernetes.io/component"  /* NAMES_EDGE or NAMES_GATEWAY */
#define NAMES_LABEL_MANAGED_BY "app.kubernetes.io/managed-by" /* NAMES_FIELD_MANAGER */
#define NAMES_LABEL_PIPELINE   NAMES_GROUP "/pipeline"
#define NAMES_LABEL_EDGE       NAMES_GROUP "/edge"
#define NAMES_LABEL_GATEWAY    NAMES_GROUP "/gateway"

#define NAMES_APP     "surgetank"
#define NAMES_EDGE    "edge"
#define NAMES_GATEWAY "gateway"

/* ---- annotations */

#define NAMES_ANNOTATION_HASH NAMES_GROUP "/hash" /* of the object as we applied it */
#define NAMES_ANNOTATION_CONFIG \
    NAMES_GROUP "/config" /* of the configuration a pod needs a restart for */
#define NAMES_ANNOTATION_DRAINED \
    NAMES_GROUP "/drained" /* of a claim whose pod was taken away with an empty spool */

/* ---- inside a pod */

#define NAMES_CONTAINER       "surgetank"
#define NAMES_CONFIG_DIR      "/etc/surgetank/config"
#define NAMES_CONFIG_KEY      "pipeline.json"          /* the resolved document */
#define NAMES_CANDIDATE_KEY   "candidate.json"         /* the one to come, while it is rolled out */
#define NAMES_PERCENT_KEY     "percent"                /* of the pods take the candidate */
#define NAMES_SECRETS_DIR     "/etc/surgetank/secrets" /* <name>/<key> */
#define NAMES_SPOOL_DIR       "/var/lib/surgetank"
#define NAMES_LOG_DIR         "/var/log"
#define NAMES_POD_LOGS_DIR    "/var/log/pods" /* <namespace>_<pod>_<uid>/<container>/N.log */
#define NAMES_DOCKER_LOGS_DIR "/var/lib/docker/containers" /* where Docker's links there lead */
#define NAMES_NODE_ENV        "SURGETANK_NODE" /* the node's name, by the downward API */
#define NAMES_POD_ENV         "SURGETANK_POD"

#define NAMES_PORT_GRPC    "otlp-grpc"
#define NAMES_PORT_HTTP    "otlp-http"
#define NAMES_PORT_HEALTH  "health"
#define NAMES_PORT_METRICS "metrics"

/* A gateway's ports; an edge's are in its spec, with these defaults. */
#define NAMES_HEALTH_PORT  13133
#define NAMES_METRICS_PORT 8888

#define NAMES_PATH_HEALTH  "/health"
#define NAMES_PATH_READY   "/ready"
#define NAMES_PATH_METRICS "/metrics"
#define NAMES_PATH_STATE   "/debug/state"

/* ---- headers of Kafka messages. Short, for each message carries them. */

#define NAMES_HEADER_ID       "st.id"       /* <incarnation>-<sequence>-<part>/<parts> */
#define NAMES_HEADER_ACCEPTED "st.accepted" /* Unix milliseconds: when the edge took it in */
#define NAMES_HEADER_RETRY    "st.retry" /* Unix milliseconds of the first try; only on a retry */
#define NAMES_HEADER_SIGNAL   "otelcol.signal" /* the Collector's own name for it */

/* ---- and of those in a dead-letter topic, beside the original's own */

#define NAMES_HEADER_DLQ_REASON    "st.dlq.reason"  /* a sentence */
#define NAMES_HEADER_DLQ_GATEWAY   "st.dlq.gateway" /* <namespace>/<pipeline>/<gateway> */
#define NAMES_HEADER_DLQ_TOPIC     "st.dlq.topic"
#define NAMES_HEADER_DLQ_PARTITION "st.dlq.partition"
#define NAMES_HEADER_DLQ_OFFSET    "st.dlq.offset"
#define NAMES_HEADER_DLQ_POINTER   "st.dlq.pointer" /* "1": too large to copy; look at the offset */
#define NAMES_DEAD_LETTER_SUFFIX   ".dlq"

/* ---- HTTP */

#define NAMES_TENANT_HEADER "X-Scope-OrgID"

#endif
