/* The pod of either tier: one container, the restricted profile, the document and the secrets.
 *
 * A DaemonSet's edge reads logs that only root may read and writes where kubelet made root the
 * owner: it runs as uid 0, with no capability and a root file system that can't be written.
 */
#include "controller/desired/desired_object.h"

#include "common/assert.h"
#include "common/contract/names.h"
#include "common/contract/quantity.h"
#include "controller/api/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    POD_USER = 65532, /* "nonroot" of distroless images, so that people know it */
    POD_GRACE_SECONDS = 60,
    SECRETS_MAX = 32,
};

/* What a sidecar needs beside what it has in flight: code, threads, librdkafka. */
#define POD_BASE_BYTES     ((int64_t)128 << 20)
#define POD_IDLE_BYTES     ((int64_t)48 << 20) /* what it asks for at rest */
#define POD_CPU_REQUEST    "100m"
#define POD_MEMORY_ROUNDED ((int64_t)1 << 20)

static bool reads_node(const struct tier *tier)
{
    return tier->edge != NULL && tier->edge->mode == PIPELINE_DAEMONSET;
}

/* ---- metadata */

static void put_metadata(struct json *template, const struct tier *tier)
{
    struct json *metadata = json_set_object(template, "metadata");
    struct json *labels = json_set_object(metadata, "labels");
    struct json *annotations = json_set_object(metadata, "annotations");
    char hash[FINGERPRINT_SIZE];

    /* The user's first, so that ours win. */
    object_put_map(labels, &tier->pod->labels);
    object_put_labels(metadata, tier);
    object_put_map(annotations, &tier->pod->annotations);
    desired_config_hash(tier, hash, sizeof hash);
    json_set_string(annotations, NAMES_ANNOTATION_CONFIG, hash);
    json_set_string(annotations, "kubectl.kubernetes.io/default-container", NAMES_CONTAINER);
}

/* ---- security */

static void put_pod_security(struct json *spec, const struct tier *tier)
{
    struct json *security = json_set_object(spec, "securityContext");
    bool root = reads_node(tier);

    json_set_bool(security, "runAsNonRoot", !root);
    json_set_number(security, "runAsUser", root ? 0 : POD_USER);
    json_set_number(security, "runAsGroup", root ? 0 : POD_USER);
    if (!root) {
        json_set_number(security, "fsGroup", POD_USER);
        json_set_string(security, "fsGroupChangePolicy", "OnRootMismatch");
    }
    json_set_string(json_set_object(security, "seccompProfile"), "type", "RuntimeDefault");

    JSON_EACH(member, tier->pod->security_context) {
        struct json *copy = json_clone(member);
        json_set(security, json_key(member), &copy);
    }
}

static void put_container_security(struct json *container)
{
    struct json *security = json_set_object(container, "securityContext");

    json_set_bool(security, "allowPrivilegeEscalation", false);
    json_set_bool(security, "readOnlyRootFilesystem", true);
    struct json *capabilities = json_set_object(security, "capabilities");
    json_add_string(json_set_array(capabilities, "drop"), "ALL");
}

/* ---- the container */

static void put_args(struct json *container, const struct tier *tier, int64_t health_port,
                     int64_t metrics_port)
{
    struct json *args = json_set_array(container, "args");
    char port[16];

    json_add_string(args, tier->edge != NULL ? "edge" : "gateway");
    json_add_string(args, "--pipeline");
    json_add_string(args, NAMES_CONFIG_DIR "/" NAMES_CONFIG_KEY);
    json_add_string(args, tier->edge != NULL ? "--edge" : "--gateway");
    json_add_string(args, tier->part);
    json_add_string(args, "--secrets");
    json_add_string(args, NAMES_SECRETS_DIR);
    snprintf(port, sizeof port, ":%" PRId64, health_port);
    json_add_string(args, "--health-listen");
    json_add_string(args, port);
    snprintf(port, sizeof port, ":%" PRId64, metrics_port);
    json_add_string(args, "--metrics-listen");
    json_add_string(args, port);
}

static void add_env(struct json *env, const char *name, const char *field)
{
    struct json *variable = json_add_object(env);

    json_set_string(variable, "name", name);
    struct json *from = json_set_object(variable, "valueFrom");
    json_set_string(json_set_object(from, "fieldRef"), "fieldPath", field);
}

static void add_port(struct json *ports, const char *name, int64_t number, bool on_host)
{
    struct json *port = json_add_object(ports);

    json_set_string(port, "name", name);
    json_set_number(port, "containerPort", (double)number);
    json_set_string(port, "protocol", "TCP");
    if (on_host)
        json_set_number(port, "hostPort", (double)number);
}

static void put_ports(struct json *container, const struct tier *tier, int64_t health_port,
                      int64_t metrics_port)
{
    struct json *ports = json_set_array(container, "ports");

    if (tier->edge != NULL) {
        const struct pipeline_otlp_receiver *otlp = &tier->edge->otlp;
        bool on_host = otlp->expose == PIPELINE_EXPOSE_HOST_PORT;
        add_port(ports, NAMES_PORT_GRPC, otlp->grpc_port, on_host);
        add_port(ports, NAMES_PORT_HTTP, otlp->http_port, on_host);
    }
    add_port(ports, NAMES_PORT_HEALTH, health_port, false);
    add_port(ports, NAMES_PORT_METRICS, metrics_port, false);
}

static void put_probe(struct json *container, const char *probe, const char *path, int period,
                      int failures)
{
    struct json *object = json_set_object(container, probe);
    struct json *get = json_set_object(object, "httpGet");

    json_set_string(get, "path", path);
    json_set_string(get, "port", NAMES_PORT_HEALTH);
    json_set_string(get, "scheme", "HTTP");
    json_set_number(object, "periodSeconds", period);
    json_set_number(object, "timeoutSeconds", period < 5 ? period : 5);
    json_set_number(object, "failureThreshold", failures);
}

/* Recovery of a large spool may take its time, so that only a start that takes five minutes is
 * called failed; a busy disk is no reason to kill an edge either. */
static void put_probes(struct json *container)
{
    put_probe(container, "startupProbe", NAMES_PATH_HEALTH, 1, 300);
    put_probe(container, "livenessProbe", NAMES_PATH_HEALTH, 10, 6);
    put_probe(container, "readinessProbe", NAMES_PATH_READY, 5, 2);
}

static void put_resources(struct json *container, const struct tier *tier)
{
    if (tier->pod->resources != NULL) {
        struct json *copy = json_clone(tier->pod->resources);
        json_set(container, "resources", &copy);
        return;
    }
    int64_t in_flight =
        tier->edge != NULL ? tier->edge->memory_limit_bytes : tier->gateway->memory_limit_bytes;
    char text[QUANTITY_TEXT_MAX];
    struct json *resources = json_set_object(container, "resources");
    struct json *requests = json_set_object(resources, "requests");

    json_set_string(requests, "cpu", POD_CPU_REQUEST);
    int64_t request = POD_IDLE_BYTES + in_flight / 4;
    quantity_print(request / POD_MEMORY_ROUNDED * POD_MEMORY_ROUNDED, text);
    json_set_string(requests, "memory", text);
    quantity_print(in_flight + POD_BASE_BYTES, text);
    json_set_string(json_set_object(resources, "limits"), "memory", text);
}

static void put_container(struct json *spec, const struct tier *tier)
{
    const struct desired_settings *settings = tier->input->settings;
    struct json *container = json_add_object(json_set_array(spec, "containers"));
    int64_t health_port = tier->edge != NULL ? tier->edge->health_port : NAMES_HEALTH_PORT;
    int64_t metrics_port = tier->edge != NULL ? tier->edge->metrics_port : NAMES_METRICS_PORT;

    json_set_string(container, "name", NAMES_CONTAINER);
    json_set_string(container, "image",
                    tier->pod->image != NULL ? tier->pod->image : settings->sidecar_image);
    if (settings->image_pull_policy != NULL)
        json_set_string(container, "imagePullPolicy", settings->image_pull_policy);
    put_args(container, tier, health_port, metrics_port);

    struct json *env = json_set_array(container, "env");
    add_env(env, NAMES_NODE_ENV, "spec.nodeName");
    add_env(env, NAMES_POD_ENV, "metadata.name");
    put_ports(container, tier, health_port, metrics_port);
    put_probes(container);
    put_resources(container, tier);
    put_container_security(container);
}

/* ---- volumes */

struct json *desired_volume(struct json *pod_spec, const char *name, const char *kind)
{
    struct json *volumes = json_get(pod_spec, "volumes");
    if (volumes == NULL)
        volumes = json_set_array(pod_spec, "volumes");

    struct json *volume = json_add_object(volumes);
    json_set_string(volume, "name", name);
    return json_set_object(volume, kind);
}

void desired_mount(struct json *pod_spec, const char *name, const char *path, bool read_only)
{
    struct json *container = json_first(json_get(pod_spec, "containers"));
    struct json *mounts = json_get(container, "volumeMounts");
    if (mounts == NULL)
        mounts = json_set_array(container, "volumeMounts");

    struct json *mount = json_add_object(mounts);
    json_set_string(mount, "name", name);
    json_set_string(mount, "mountPath", path);
    if (read_only)
        json_set_bool(mount, "readOnly", true);
}

struct secret_list {
    struct pipeline_secret items[SECRETS_MAX];
    size_t count;
};

static void note_secret(void *context, const struct pipeline_secret *secret)
{
    struct secret_list *list = context;

    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, secret->name) == 0 &&
            strcmp(list->items[i].key, secret->key) == 0)
            return;
    }
    ASSERT(list->count < SECRETS_MAX); /* the schema has fewer places for them */
    list->items[list->count++] = *secret;
}

/* Each key of a Secret as the file <name>/<key>; nothing else of it is mounted. */
static void put_secrets(struct json *spec, const struct tier *tier)
{
    struct secret_list list = {0};

    if (tier->edge != NULL)
        pipeline_edge_secrets(tier->pipeline, tier->edge, note_secret, &list);
    else
        pipeline_gateway_secrets(tier->pipeline, tier->gateway, note_secret, &list);
    if (list.count == 0)
        return;

    struct json *projected = desired_volume(spec, "secrets", "projected");
    json_set_number(projected, "defaultMode", 0440);
    struct json *sources = json_set_array(projected, "sources");
    for (size_t i = 0; i < list.count; i++) {
        AUTO(buf_fini) struct buf path = {0};
        struct json *secret = json_set_object(json_add_object(sources), "secret");
        json_set_string(secret, "name", list.items[i].name);
        struct json *item = json_add_object(json_set_array(secret, "items"));
        json_set_string(item, "key", list.items[i].key);
        /* Short and bounded by the schema; a failure here could only be memory. */
        IGNORE_RESULT(buf_printf(&path, "%s/%s", list.items[i].name, list.items[i].key));
        json_set_string(item, "path", buf_text(&path));
    }
    desired_mount(spec, "secrets", NAMES_SECRETS_DIR, true);
}

/* ---- placement */

static void put_copy(struct json *spec, const char *key, const struct json *value)
{
    if (value == NULL)
        return;
    struct json *copy = json_clone(value);
    json_set(spec, key, &copy);
}

/* Unless told otherwise, replicas prefer different nodes. */
static void put_spread(struct json *spec, const struct tier *tier)
{
    if (tier->pod->topology_spread_constraints != NULL || reads_node(tier)) {
        put_copy(spec, "topologySpreadConstraints", tier->pod->topology_spread_constraints);
        return;
    }
    struct json *rule = json_add_object(json_set_array(spec, "topologySpreadConstraints"));
    json_set_number(rule, "maxSkew", 1);
    json_set_string(rule, "topologyKey", "kubernetes.io/hostname");
    json_set_string(rule, "whenUnsatisfiable", "ScheduleAnyway");
    object_put_selector(json_set_object(rule, "labelSelector"), "matchLabels", tier);
}

static void put_placement(struct json *spec, const struct tier *tier)
{
    const struct pipeline_pod *pod = tier->pod;

    if (pod->node_selector.count > 0)
        object_put_map(json_set_object(spec, "nodeSelector"), &pod->node_selector);
    if (pod->priority_class_name != NULL)
        json_set_string(spec, "priorityClassName", pod->priority_class_name);
    put_copy(spec, "tolerations", pod->tolerations);
    put_copy(spec, "affinity", pod->affinity);
    put_copy(spec, "imagePullSecrets", pod->image_pull_secrets);
    put_spread(spec, tier);
}

struct json *desired_pod(struct json *workload_spec, const struct tier *tier)
{
    struct json *template = json_set_object(workload_spec, "template");

    put_metadata(template, tier);
    struct json *spec = json_set_object(template, "spec");
    json_set_string(spec, "serviceAccountName",
                    tier->pod->service_account != NULL ? tier->pod->service_account : tier->name);
    bool asks = tier->edge != NULL && pipeline_watches_pods(tier->edge);
    json_set_bool(spec, "automountServiceAccountToken", asks);
    json_set_bool(spec, "enableServiceLinks", false);
    json_set_number(spec, "terminationGracePeriodSeconds", POD_GRACE_SECONDS);
    put_pod_security(spec, tier);
    put_container(spec, tier);

    struct json *config = desired_volume(spec, "config", "configMap");
    json_set_string(config, "name", tier->name);
    desired_mount(spec, "config", NAMES_CONFIG_DIR, true);
    put_secrets(spec, tier);
    put_placement(spec, tier);
    return spec;
}
