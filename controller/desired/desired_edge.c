/* Edges: a Service that applications send to, and a StatefulSet or DaemonSet with a spool.
 *
 * A StatefulSet's volumes outlive both its pods and itself: what they hold was acknowledged. Its
 * pods don't depend on each other, so they start and stop in parallel.
 */
#include "controller/desired/desired_object.h"

#include "common/assert.h"
#include "common/contract/names.h"
#include "common/contract/quantity.h"

#include <stdio.h>

enum { REVISIONS = 3 };

/* ---- Services */

static void add_port(struct json *spec, const char *name, const char *protocol, int64_t number)
{
    struct json *ports = json_get(spec, "ports");
    if (ports == NULL)
        ports = json_set_array(spec, "ports");

    struct json *port = json_add_object(ports);
    json_set_string(port, "name", name);
    json_set_number(port, "port", (double)number);
    json_set_string(port, "targetPort", name);
    json_set_string(port, "protocol", "TCP");
    json_set_string(port, "appProtocol", protocol);
}

static void put_service(struct json *objects, const struct tier *tier)
{
    const struct pipeline_otlp_receiver *otlp = &tier->edge->otlp;
    struct json *service = object_add(objects, tier, "v1", "Service", tier->name);
    struct json *spec = json_set_object(service, "spec");

    if (otlp->service_annotations.count > 0) {
        struct json *metadata = json_get(service, "metadata");
        object_put_map(json_set_object(metadata, "annotations"), &otlp->service_annotations);
    }
    json_set_string(spec, "type",
                    otlp->expose == PIPELINE_EXPOSE_LOAD_BALANCER ? "LoadBalancer" : "ClusterIP");
    json_set_string(spec, "internalTrafficPolicy",
                    otlp->expose == PIPELINE_EXPOSE_NODE_LOCAL ? "Local" : "Cluster");
    object_put_selector(spec, "selector", tier);
    add_port(spec, NAMES_PORT_GRPC, "grpc", otlp->grpc_port);
    add_port(spec, NAMES_PORT_HTTP, "http", otlp->http_port);
}

static void put_pods_service(struct json *objects, const struct tier *tier, const char *name)
{
    struct json *service = object_add(objects, tier, "v1", "Service", name);
    struct json *spec = json_set_object(service, "spec");

    json_set_string(spec, "clusterIP", "None");
    json_set_bool(spec, "publishNotReadyAddresses", true);
    object_put_selector(spec, "selector", tier);
    add_port(spec, NAMES_PORT_METRICS, "http", tier->edge->metrics_port);
}

/* ---- the spool's volume */

static void put_volume_claims(struct json *spec, const struct pipeline_edge *edge)
{
    struct json *claim = json_add_object(json_set_array(spec, "volumeClaimTemplates"));
    char size[QUANTITY_TEXT_MAX];

    json_set_string(claim, "apiVersion", "v1");
    json_set_string(claim, "kind", "PersistentVolumeClaim");
    json_set_string(json_set_object(claim, "metadata"), "name", DESIRED_SPOOL_VOLUME);
    struct json *claim_spec = json_set_object(claim, "spec");
    struct json *modes = json_set_array(claim_spec, "accessModes");
    for (size_t i = 0; i < edge->spool.access_modes.count; i++)
        json_add_string(modes, edge->spool.access_modes.items[i]);
    if (edge->spool.storage_class_name != NULL)
        json_set_string(claim_spec, "storageClassName", edge->spool.storage_class_name);
    json_set_string(claim_spec, "volumeMode", "Filesystem");
    struct json *requests = json_set_object(json_set_object(claim_spec, "resources"), "requests");
    quantity_print(edge->spool.size_bytes, size);
    json_set_string(requests, "storage", size);
}

/* What a claim is asked for; the server adds more to it. */
static void describe_claim(const struct json *claims, bool with_size, struct json *into)
{
    static const char *const paths[] = {"spec.accessModes", "spec.storageClassName",
                                        "spec.resources.requests.storage"};
    const struct json *claim = json_first(claims);

    for (size_t i = 0; i < (with_size ? 3 : 2); i++) {
        const struct json *value = json_at(claim, paths[i]);
        if (value != NULL) {
            struct json *copy = json_clone(value);
            json_set(into, paths[i], &copy);
        }
    }
}

static bool claims_differ(const struct pipeline_edge *edge, const struct json *volume_claims,
                          bool in_size)
{
    AUTO(json_free) struct json *spec = json_new_object();
    AUTO(json_free) struct json *want = json_new_object();
    AUTO(json_free) struct json *have = json_new_object();

    if (edge->mode != PIPELINE_STATEFULSET || volume_claims == NULL)
        return false;
    put_volume_claims(spec, edge);
    describe_claim(json_get(spec, "volumeClaimTemplates"), in_size, want);
    describe_claim(volume_claims, in_size, have);
    return !json_equal(want, have);
}

bool desired_volumes_differ(const struct pipeline_edge *edge, const struct json *volume_claims)
{
    return claims_differ(edge, volume_claims, false);
}

int64_t desired_volumes_bytes(const struct json *volume_claims)
{
    const struct json *size = json_at(json_first(volume_claims), "spec.resources.requests.storage");
    int64_t bytes = 0;

    return quantity_parse(json_string(size, ""), &bytes, NULL) == OK ? bytes : 0;
}

static const struct json *present_claims(const struct tier *tier)
{
    const struct desired_input *input = tier->input;
    size_t index = (size_t)(tier->edge - tier->pipeline->edges);

    return input->volume_claims != NULL ? input->volume_claims[index] : NULL;
}

/* ---- workloads */

static void put_statefulset(struct json *objects, const struct tier *tier, const char *pods_name)
{
    struct json *set = object_add(objects, tier, "apps/v1", "StatefulSet", tier->name);
    struct json *spec = json_set_object(set, "spec");

    json_set_string(spec, "serviceName", pods_name);
    json_set_string(spec, "podManagementPolicy", "Parallel");
    json_set_number(spec, "revisionHistoryLimit", REVISIONS);
    struct json *strategy = json_set_object(spec, "updateStrategy");
    json_set_string(strategy, "type", "RollingUpdate");
    if (tier->edge->rollout.paused) /* pods from that one on are replaced */
        json_set_number(json_set_object(strategy, "rollingUpdate"), "partition", INT32_MAX);
    struct json *retention = json_set_object(spec, "persistentVolumeClaimRetentionPolicy");
    json_set_string(retention, "whenDeleted", "Retain");
    json_set_string(retention, "whenScaled", "Retain");
    object_put_selector(json_set_object(spec, "selector"), "matchLabels", tier);
    struct json *pod = desired_pod(spec, tier);
    const char *dir = tier->edge->spool.host_path;
    desired_mount(pod, DESIRED_SPOOL_VOLUME, dir != NULL ? dir : NAMES_SPOOL_DIR, false);

    /* Nobody can change them, and one change would make the server refuse all others. */
    const struct json *present = present_claims(tier);
    if (claims_differ(tier->edge, present, true)) {
        struct json *claims = json_clone(present);
        json_set(spec, "volumeClaimTemplates", &claims);
    } else {
        put_volume_claims(spec, tier->edge);
    }
}

struct log_volumes {
    struct json *pod;
    unsigned count;
};

/* The directory of the node under its own name, to be read only. A program that will write there
 * may come later than the edge. */
static void put_log_volume(void *context, const char *dir)
{
    struct log_volumes *volumes = context;
    char name[24];

    snprintf(name, sizeof name, "logs-%u", volumes->count++);
    struct json *volume = desired_volume(volumes->pod, name, "hostPath");
    json_set_string(volume, "path", dir);
    json_set_string(volume, "type", "DirectoryOrCreate");
    desired_mount(volumes->pod, name, dir, true);
}

/* Only the edge's own directory is mounted, and where log files are that it is told to follow: the
 * node's others are none of its business. */
static void put_daemonset(struct json *objects, const struct tier *tier)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct json *set = object_add(objects, tier, "apps/v1", "DaemonSet", tier->name);
    struct json *spec = json_set_object(set, "spec");
    const char *dir = pipeline_spool_dir(tier->pipeline, tier->edge, &arena);
    ASSERT(dir != NULL);

    json_set_number(spec, "revisionHistoryLimit", REVISIONS);
    struct json *strategy = json_set_object(spec, "updateStrategy");
    json_set_string(strategy, "type", tier->edge->rollout.paused ? "OnDelete" : "RollingUpdate");
    if (!tier->edge->rollout.paused)
        object_put_amount(json_set_object(strategy, "rollingUpdate"), "maxUnavailable",
                          tier->edge->rollout.max_unavailable);
    object_put_selector(json_set_object(spec, "selector"), "matchLabels", tier);
    struct json *pod = desired_pod(spec, tier);
    struct json *volume = desired_volume(pod, DESIRED_SPOOL_VOLUME, "hostPath");
    json_set_string(volume, "path", dir);
    json_set_string(volume, "type", "DirectoryOrCreate");
    desired_mount(pod, DESIRED_SPOOL_VOLUME, dir, false);
    struct log_volumes volumes = {.pod = pod};
    pipeline_log_dirs(tier->edge, put_log_volume, &volumes);
}

void desired_edge(struct json *objects, const struct tier *tier)
{
    char pods_name[DESIRED_NAME_MAX + 8];

    put_service(objects, tier);
    if (tier->edge->mode == PIPELINE_DAEMONSET) {
        put_daemonset(objects, tier);
        return;
    }
    snprintf(pods_name, sizeof pods_name, "%s" DESIRED_PODS_SUFFIX, tier->name);
    put_pods_service(objects, tier, pods_name);
    put_statefulset(objects, tier, pods_name);
}
