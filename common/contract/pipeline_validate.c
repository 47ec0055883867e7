#include "common/contract/pipeline_shape.h"

#include "common/contract/endpoint.h"
#include "common/contract/kafka_property.h"
#include "common/contract/names.h"

enum { OBJECT_NAME_MAX = 52, SPOOL_READERS_MAX = 4 };

void pipeline_validate_pair(const struct pipeline_secret *certificate,
                            const struct pipeline_secret *key, const char *path,
                            struct faults *faults)
{
    if ((certificate->name == NULL) == (key->name == NULL))
        return;
    bool lacks_key = key->name == NULL;
    fault_add_below(faults, path, lacks_key ? "keySecret" : "certificateSecret",
                    "Give both, or neither", "is missing beside the other of the pair");
}

void pipeline_validate_properties(const struct pipeline_map *properties, bool consumer_only,
                                  const char *path, struct faults *faults)
{
    enum kafka_property_scope scope =
        consumer_only ? KAFKA_PROPERTY_CONSUMER : KAFKA_PROPERTY_CLIENT;

    for (size_t i = 0; i < properties->count; i++) {
        const struct pipeline_pair *property = &properties->items[i];
        char at[FAULT_PATH_MAX];
        const char *advice = NULL;
        struct error error = {0};
        enum err err =
            kafka_property_check(scope, property->name, property->value, &advice, &error);
        if (err)
            fault_add(faults, fault_path_key(path, property->name, at), advice, "%s", error.text);
    }
}

static void need(const struct pipeline_secret *secret, bool wanted, const char *name,
                 const char *mechanism, struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    if (faults_at(faults, fault_path("spec.kafka.sasl", name, at)))
        return; /* could not be read */
    if (wanted && secret->name == NULL)
        fault_add_below(faults, "spec.kafka.sasl", name, "Write {name: SECRET, key: KEY}",
                        "is missing, and %s needs it", mechanism);
    if (!wanted && secret->name != NULL)
        fault_add_below(faults, "spec.kafka.sasl", name, "Leave it out", "is nothing for %s",
                        mechanism);
}

static void validate_sasl(const struct pipeline_sasl *sasl, struct faults *faults)
{
    bool oauth = sasl->mechanism == PIPELINE_SASL_OAUTHBEARER;
    const char *mechanism = oauth ? "OAUTHBEARER" : "PLAIN or SCRAM";
    struct endpoint endpoint;
    struct error error = {0};

    need(&sasl->username_secret, !oauth, "usernameSecret", mechanism, faults);
    need(&sasl->password_secret, !oauth, "passwordSecret", mechanism, faults);
    need(&sasl->client_id_secret, oauth, "clientIDSecret", mechanism, faults);
    need(&sasl->client_secret_secret, oauth, "clientSecretSecret", mechanism, faults);
    enum err err = sasl->token_endpoint == NULL
                       ? error_set(&error, ERR_INVALID, "is missing, and OAUTHBEARER needs it")
                       : endpoint_parse_url(sasl->token_endpoint, &endpoint, &error);
    if (oauth && err)
        fault_add(faults, "spec.kafka.sasl.tokenEndpoint",
                  "Write a URL, as in https://login.example.com/oauth/token", "%s", error.text);
    if (!oauth && (sasl->token_endpoint != NULL || sasl->scope != NULL))
        fault_add_below(faults, "spec.kafka.sasl", sasl->scope != NULL ? "scope" : "tokenEndpoint",
                        "Leave it out", "is nothing for %s", mechanism);
}

static void validate_kafka(const struct pipeline_kafka *kafka, struct faults *faults)
{
    const struct pipeline_strings *servers = &kafka->bootstrap_servers;
    const struct pipeline_tls_client *tls = &kafka->tls;

    if (servers->count == 0 && !faults_at(faults, "spec.kafka.bootstrapServers"))
        fault_add(faults, "spec.kafka.bootstrapServers",
                  "Write at least one address, as in [kafka-0.kafka.svc:9092]", "is empty");
    bool has_files = tls->ca_secret.name != NULL || tls->certificate_secret.name != NULL ||
                     tls->key_secret.name != NULL || tls->insecure_skip_verify;
    if (has_files && !tls->enabled)
        fault_add(faults, "spec.kafka.tls.enabled", "Write true, or leave the other fields out",
                  "is false while other fields of tls are set");
    pipeline_validate_pair(&tls->certificate_secret, &tls->key_secret, "spec.kafka.tls", faults);
    if (kafka->sasl != NULL)
        validate_sasl(kafka->sasl, faults);
    pipeline_validate_properties(&kafka->properties, false, "spec.kafka.properties", faults);
}

/* ---- pods */

/* What the profile `restricted` leaves to a user, and doesn't contradict what we set. */
static void validate_security_context(const struct json *context, const char *path,
                                      struct faults *faults)
{
    static const char *const allowed[] = {"fsGroup", "fsGroupChangePolicy", "runAsGroup",
                                          "runAsUser", "supplementalGroups"};
    char at[FAULT_PATH_MAX], below[FAULT_PATH_MAX], quoted[FAULT_QUOTE_MAX];

    JSON_EACH(member, context) {
        bool known = false;
        for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
            known = known || strcmp(json_key(member), allowed[i]) == 0;
        fault_path(fault_path(path, "securityContext", below),
                   fault_quote(json_key(member), quoted), at);
        if (!known)
            fault_add(faults, at,
                      "Leave it out; fsGroup, fsGroupChangePolicy, runAsGroup, runAsUser and "
                      "supplementalGroups may be set",
                      "isn't yours to set: all pods keep to the profile restricted");
        else if (strcmp(json_key(member), "runAsUser") == 0 && json_int(member, 0) <= 0)
            fault_add(faults, at, "Write a user above 0", "is root, or no number");
    }
}

/* Labels by which the operator finds its pods. */
static bool is_ours(const char *label)
{
    static const char *const ours[] = {NAMES_LABEL_NAME, NAMES_LABEL_INSTANCE,
                                       NAMES_LABEL_COMPONENT, NAMES_LABEL_MANAGED_BY};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(label, ours[i]) == 0)
            return true;
    return strncmp(label, NAMES_GROUP "/", strlen(NAMES_GROUP "/")) == 0;
}

static void validate_keys(const struct pipeline_map *map, const char *path, const char *field,
                          struct faults *faults)
{
    char at[FAULT_PATH_MAX], below[FAULT_PATH_MAX];

    for (size_t i = 0; i < map->count; i++)
        if (is_ours(map->items[i].name))
            fault_add(faults,
                      fault_path_key(fault_path(path, field, below), map->items[i].name, at),
                      "Choose another key", "belongs to the operator");
}

void pipeline_validate_pod(const struct pipeline_pod *pod, const char *path, struct faults *faults)
{
    validate_keys(&pod->labels, path, "labels", faults);
    validate_keys(&pod->annotations, path, "annotations", faults);
    validate_security_context(pod->security_context, path, faults);
}

/* ---- names of what the controller makes: <pipeline>-<edge or gateway> */

static void validate_object_name(const struct pipeline *pipeline, const char *name,
                                 const char *path, struct faults *faults)
{
    size_t len = strlen(pipeline->name) + 1 + strlen(name);

    if (len > OBJECT_NAME_MAX)
        fault_add_below(faults, path, "name", "Choose a shorter name, here or for the pipeline",
                        "makes \"%s-%s\", which is %zu long and may be %d", pipeline->name, name,
                        len, OBJECT_NAME_MAX);
}

/* An earlier edge or gateway of that name: they share the names of Services and ConfigMaps. */
static bool is_taken(const struct pipeline *pipeline, const char *name, size_t edges_before,
                     size_t gateways_before)
{
    for (size_t i = 0; i < edges_before; i++)
        if (strcmp(pipeline->edges[i].name, name) == 0)
            return true;
    for (size_t i = 0; i < gateways_before; i++)
        if (strcmp(pipeline->gateways[i].name, name) == 0)
            return true;
    return false;
}

static void validate_name(const struct pipeline *pipeline, const char *name, size_t edges_before,
                          size_t gateways_before, const char *path, struct faults *faults)
{
    char at[FAULT_PATH_MAX];

    fault_path(path, "name", at);
    if (faults_at(faults, at))
        return;
    validate_object_name(pipeline, name, path, faults);
    if (is_taken(pipeline, name, edges_before, gateways_before))
        fault_add(faults, at, "Choose another name",
                  "\"%s\" is the name of another edge or gateway", name);
}

/* ---- single node */

static void validate_single_node(const struct pipeline *pipeline, struct faults *faults)
{
    if (pipeline->edge_count > 1)
        fault_add(faults, "spec.edges", "Keep one edge, or set spec.kafka",
                  "has %zu entries; without Kafka the gateways read the spool of one",
                  pipeline->edge_count);
    for (size_t t = 0; t < pipeline->topic_count; t++) {
        size_t readers = 0;
        for (size_t g = 0; g < pipeline->gateway_count; g++)
            for (size_t i = 0; i < pipeline->gateways[g].from_count; i++)
                readers += pipeline->gateways[g].from[i] == &pipeline->topics[t];
        if (readers > SPOOL_READERS_MAX)
            fault_add(faults, "spec.gateways", "Remove some, or set spec.kafka",
                      "has %zu entries that read %s; without Kafka %d can", readers,
                      pipeline->topics[t].name, SPOOL_READERS_MAX);
    }
}

void pipeline_validate(const struct pipeline *pipeline, struct faults *faults)
{
    char path[FAULT_PATH_MAX];

    if (pipeline->kafka == NULL)
        validate_single_node(pipeline, faults);
    else
        validate_kafka(pipeline->kafka, faults);
    pipeline_validate_topics(pipeline, faults);
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        fault_path_at("spec.edges", i, path);
        validate_name(pipeline, pipeline->edges[i].name, i, 0, path, faults);
        pipeline_validate_edge(pipeline, &pipeline->edges[i], path, faults);
    }
    if (pipeline->gateway_count == 0 && !faults_at(faults, "spec.gateways"))
        fault_add(faults, "spec.gateways", "Write at least one, with name, from and export",
                  "is empty");
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        fault_path_at("spec.gateways", i, path);
        validate_name(pipeline, pipeline->gateways[i].name, pipeline->edge_count, i, path, faults);
        pipeline_validate_gateway(pipeline, &pipeline->gateways[i], path, faults);
    }
}

static void note_root(void *context, const char *dir)
{
    bool *root = context;
    *root |= strcmp(dir, "/") == 0;
}

/* What a pod of a DaemonSet gets to see is mounted; of the node nothing else is there. */
static void check_files(const struct pipeline_edge *edge, const char *path, struct faults *faults)
{
    bool root = false;

    if (edge->files_count == 0)
        return;
    if (edge->mode != PIPELINE_DAEMONSET)
        fault_add_below(faults, path, "receivers.files", "Set mode: DaemonSet",
                        "are the node's, which only an edge on every node can read");
    pipeline_log_dirs(edge, note_root, &root);
    if (root)
        fault_add_below(faults, path, "receivers.files",
                        "Write paths that name a directory before the first wildcard",
                        "would need all of the node's directories");
}

enum err pipeline_check_in_cluster(const struct pipeline *pipeline, struct faults *faults,
                                   struct error *error)
{
    char path[FAULT_PATH_MAX];

    faults_fini(faults);
    if (pipeline->kafka == NULL)
        fault_add(faults, "spec.kafka", "Write kafka: {bootstrapServers: [HOST:PORT]}",
                  "is missing; without Kafka a pipeline runs only outside a cluster");
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        const struct pipeline_edge *edge = &pipeline->edges[i];
        if (edge->mode == PIPELINE_STATEFULSET && edge->spool.host_path != NULL)
            fault_add_below(faults, fault_path_at("spec.edges", i, path), "spool.storage.hostPath",
                            "Set mode: DaemonSet, or storageClassName",
                            "is a directory of the node, and a StatefulSet has volumes");
        check_files(edge, fault_path_at("spec.edges", i, path), faults);
    }
    return faults_error(faults, error);
}
