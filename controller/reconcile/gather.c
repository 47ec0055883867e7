#include "controller/reconcile/gather.h"

#include "common/array.h"
#include "common/contract/names.h"
#include "common/xalloc.h"
#include "controller/reconcile/rollouts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- topics */

static bool is_listed(const struct topic_use *uses, size_t count, const char *topic)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(uses[i].topic, topic) == 0)
            return true;
    }
    return false;
}

size_t gather_topics(const struct pipeline *pipeline, struct topic_use uses[STATUS_TOPICS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < pipeline->topic_count; i++)
        uses[count++] =
            (struct topic_use){.source = &pipeline->topics[i], .topic = pipeline->topics[i].topic};
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        const struct pipeline_gateway *gateway = &pipeline->gateways[i];
        for (size_t j = 0; j < gateway->from_count; j++) {
            const char *topic = pipeline_dead_letter(gateway, gateway->from[j]);
            if (topic == NULL || is_listed(uses, count, topic) || count == STATUS_TOPICS_MAX)
                continue;
            uses[count++] = (struct topic_use){.source = gateway->from[j],
                                               .topic = topic,
                                               .retention_ms = gateway->dead_letter_retention_ms,
                                               .dead_letter = true};
        }
    }
    return count;
}

static void gather_topic(const struct gather *gather, const char *key, const struct topic_use *use,
                         struct topic_status *topic)
{
    struct topic_result result;

    topic->name = use->dead_letter ? use->topic : use->source->name;
    topic->topic = use->topic;
    if (board_topic(gather->board, key, use->topic, &result) != OK)
        return;
    topic->state = result.state;
    topic->usable = result.usable;
    topic->settled = result.settled;
    topic->made = result.made == TOPIC_MADE       ? "Created"
                  : result.made == TOPIC_INTENDED ? "Intended"
                                                  : NULL;
    topic->partitions = result.partitions;
    topic->replication_factor = result.replication_factor;
    snprintf(topic->topic_id, sizeof topic->topic_id, "%s", result.topic_id);
    if (!result.settled || strcmp(result.state, "Ready") != 0)
        snprintf(topic->message, sizeof topic->message, "%s", result.message);
}

/* Until Kafka was asked again, what the status says about our having made a topic stays said. */
static void recall_topic(const struct json *old_status, struct topic_status *topic)
{
    JSON_EACH(old, json_get(old_status, "topics")) {
        if (strcmp(json_string(json_get(old, "topic"), ""), topic->topic) != 0)
            continue;
        const char *made = json_string(json_get(old, "made"), "");
        topic->made = strcmp(made, "Created") == 0    ? "Created"
                      : strcmp(made, "Intended") == 0 ? "Intended"
                                                      : NULL;
        topic->partitions = json_int(json_get(old, "partitions"), 0);
        topic->replication_factor = json_int(json_get(old, "replicationFactor"), 0);
        snprintf(topic->topic_id, sizeof topic->topic_id, "%s",
                 json_string(json_get(old, "topicID"), ""));
    }
}

static void gather_all_topics(const struct gather *gather, const struct subject *subject,
                              const struct json *old_status, struct pipeline_status *status)
{
    struct topic_use uses[STATUS_TOPICS_MAX];

    status->topic_count = gather_topics(subject->pipeline, uses);
    for (size_t i = 0; i < status->topic_count; i++) {
        gather_topic(gather, subject->key, &uses[i], &status->topics[i]);
        if (status->topics[i].state == NULL)
            recall_topic(old_status, &status->topics[i]);
    }
}

/* ---- pods */

/* "Pod shop-edge-0 can't be scheduled: ...", if anything is wrong with it. */
static bool pod_problem(const struct json *pod, char into[STATUS_WORD_MAX])
{
    JSON_EACH(condition, json_at(pod, "status.conditions")) {
        if (strcmp(json_string(json_get(condition, "type"), ""), "PodScheduled") == 0 &&
            strcmp(json_string(json_get(condition, "status"), ""), "False") == 0) {
            snprintf(into, STATUS_WORD_MAX, "Pod %s has no node: %s", object_name(pod),
                     json_string(json_get(condition, "message"), ""));
            return true;
        }
    }
    JSON_EACH(container, json_at(pod, "status.containerStatuses")) {
        const struct json *waiting = json_at(container, "state.waiting");
        const char *reason = json_string(json_get(waiting, "reason"), "");
        const struct json *ended = json_at(container, "lastState.terminated");
        if (waiting == NULL || strcmp(reason, "ContainerCreating") == 0 ||
            strcmp(reason, "PodInitializing") == 0)
            continue;
        if (ended != NULL)
            snprintf(into, STATUS_WORD_MAX,
                     "Pod %s ended with exit code %" PRId64 " (%s); see kubectl logs -n %s %s",
                     object_name(pod), json_int(json_get(ended, "exitCode"), -1),
                     json_string(json_get(ended, "reason"), reason), object_namespace(pod),
                     object_name(pod));
        else
            snprintf(into, STATUS_WORD_MAX, "Pod %s waits: %s: %s", object_name(pod), reason,
                     json_string(json_get(waiting, "message"), ""));
        return true;
    }
    return false;
}

static void add_edge_state(const struct pod_state *state, struct edge_status *edge)
{
    if (!state->known)
        return;
    if (edge->generation == 0 || state->generation < edge->generation)
        edge->generation = state->generation;
    if (!state->spool_known)
        return;
    edge->spool_known = true;
    edge->spooled_bytes += state->spooled_bytes;
    edge->full = edge->full || state->full;
    if (state->oldest_spooled_seconds > edge->oldest_spooled_seconds)
        edge->oldest_spooled_seconds = state->oldest_spooled_seconds;
}

/* One pod that gets through means that the backend is up. */
static void add_gateway_state(const struct pod_state *state, struct gateway_status *gateway)
{
    if (!state->known)
        return;
    if (gateway->generation == 0 || state->generation < gateway->generation)
        gateway->generation = state->generation;
    if (state->dead_letters >= 0)
        gateway->dead_letters =
            state->dead_letters + (gateway->dead_letters > 0 ? gateway->dead_letters : 0);
    if (state->backend == PROBE_BACKEND_UP) {
        gateway->backend = "Up";
    } else if (state->backend == PROBE_BACKEND_DOWN && strcmp(gateway->backend, "Up") != 0) {
        gateway->backend = "Down";
        snprintf(gateway->backend_error, sizeof gateway->backend_error, "%s", state->backend_error);
    }
}

/* Whether the pod is the one that a StatefulSet would remove next, and has nothing left to send. */
static bool is_drained_last(const struct json *pod, const struct pod_state *state,
                            const char *workload, int64_t replicas)
{
    char name[DESIRED_NAME_MAX + 24];

    snprintf(name, sizeof name, "%s-%" PRId64, workload, replicas - 1);
    return strcmp(object_name(pod), name) == 0 && state->known && state->spool_known &&
           state->spooled_bytes == 0;
}

static void add_pod(struct pods *pods, const struct json *pod, const struct pod_state *state)
{
    pods->items = xarray_grow(pods->items, pods->count, &pods->cap, sizeof *pods->items);
    pods->items[pods->count++] = (struct known_pod){
        .name = xstrdup(object_name(pod)), .uid = xstrdup(object_uid(pod)), .state = *state};
}

static void pods_fini(struct pods *pods)
{
    for (size_t i = 0; i < pods->count; i++) {
        free(pods->items[i].name);
        free(pods->items[i].uid);
    }
    free(pods->items);
}

/* Refused while nothing is rolled out: it can't follow what all are to have. */
static void note_refusal(const struct json *pod, const struct pod_state *state,
                         char into[STATUS_WORD_MAX])
{
    if (into[0] == '\0' && state->known && state->refused[0] != '\0')
        snprintf(into, STATUS_WORD_MAX, "Pod %s keeps its last good document: %.160s",
                 object_name(pod), state->refused);
}

static void gather_pod(const struct gather *gather, const struct subject *subject,
                       const struct json *pod, struct gathered *into)
{
    const char *edge = object_label(pod, NAMES_LABEL_EDGE);
    const char *gateway = object_label(pod, NAMES_LABEL_GATEWAY);
    struct pod_state state = {0};

    if (object_is_deleting(pod))
        return;
    if (gather->probe != NULL)
        probe_pod(gather->probe, object_uid(pod), &state);
    for (size_t i = 0; i < into->status.edge_count; i++) {
        struct edge_status *status = &into->status.edges[i];
        char name[DESIRED_NAME_MAX + 1];
        if (strcmp(status->name, edge) != 0)
            continue;
        if (status->problem[0] == '\0')
            pod_problem(pod, status->problem);
        note_refusal(pod, &state, status->problem);
        if (status->remark[0] == '\0' && state.known && state.metadata_trouble[0] != '\0')
            snprintf(status->remark, sizeof status->remark,
                     "Pod %s can't ask for kubernetesMetadata: %s", object_name(pod),
                     state.metadata_trouble);
        add_pod(&into->edge_pods[i], pod, &state);
        add_edge_state(&state, status);
        if (desired_name(subject->pipeline, edge, name) &&
            is_drained_last(pod, &state, name, into->edge_replicas[i]))
            into->edge_can_shrink[i] = true;
    }
    for (size_t i = 0; i < into->status.gateway_count; i++) {
        struct gateway_status *status = &into->status.gateways[i];
        if (strcmp(status->name, gateway) != 0)
            continue;
        if (status->problem[0] == '\0')
            pod_problem(pod, status->problem);
        note_refusal(pod, &state, status->problem);
        add_pod(&into->gateway_pods[i], pod, &state);
        add_gateway_state(&state, status);
    }
}

static void gather_pods(const struct gather *gather, const struct subject *subject,
                        struct gathered *into)
{
    const struct pipeline *pipeline = subject->pipeline;
    AUTO(object_list_fini)
    struct object_list pods =
        store_labelled(gather->store, &kube_pods, pipeline->namespace, pipeline->name);

    for (size_t i = 0; i < pods.count; i++) {
        AUTO(json_free) struct json *pod = object_parse(pods.items[i]);
        gather_pod(gather, subject, pod, into);
    }
}

/* ---- workloads */

/* NULL: there is none, or it is somebody else's. */
static struct json *find_workload(const struct gather *gather, const struct subject *subject,
                                  const struct kube_resource *resource, const char *part)
{
    char name[DESIRED_NAME_MAX + 1];
    struct object *object = NULL;

    if (!desired_name(subject->pipeline, part, name))
        return NULL;
    if (store_get(gather->store, resource, subject->pipeline->namespace, name, &object) != OK)
        return NULL;
    struct json *workload = object_parse(object);
    const char *owner = json_string(json_get(object_controller_of(workload), "uid"), "");
    object_unref(&object);
    if (strcmp(owner, subject->pipeline->uid) != 0)
        json_free(&workload);
    return workload;
}

/* Its status is about the template as it is now. */
static bool is_observed(const struct json *workload)
{
    return json_int(json_at(workload, "status.observedGeneration"), 0) >=
           object_generation(workload);
}

static int64_t status_int(const struct json *workload, const char *key)
{
    return json_int(json_get(json_get(workload, "status"), key), 0);
}

static void gather_edge(const struct gather *gather, const struct subject *subject, size_t index,
                        struct gathered *into)
{
    const struct pipeline_edge *edge = &subject->pipeline->edges[index];
    struct edge_status *status = &into->status.edges[index];
    bool on_nodes = edge->mode == PIPELINE_DAEMONSET;
    struct json *workload = find_workload(
        gather, subject, on_nodes ? &kube_daemonsets : &kube_statefulsets, edge->name);

    status->name = edge->name;
    into->edge_replicas[index] = -1;
    into->workloads[index] = workload;
    status->desired = edge->replicas;
    if (workload == NULL)
        return;
    status->exists = true;
    if (on_nodes) {
        status->desired = status_int(workload, "desiredNumberScheduled");
        status->ready = status_int(workload, "numberReady");
        status->updated = status_int(workload, "updatedNumberScheduled");
    } else {
        into->edge_replicas[index] = json_int(json_at(workload, "spec.replicas"), 1);
        into->volume_claims[index] = json_at(workload, "spec.volumeClaimTemplates");
        status->ready = status_int(workload, "readyReplicas");
        status->updated = status_int(workload, "updatedReplicas");
    }
    if (!is_observed(workload))
        status->updated = 0;
}

/* Replicas that scaling wants of a gateway: decided, else remembered, else as the spec begins. */
static int64_t wanted_of(const struct pipeline_gateway *gateway,
                         const struct gateway_runtime *runtime, const struct json *old_status)
{
    const struct pipeline_scaling *scaling = &gateway->scaling;
    double capacity = 0;
    int64_t wanted = -1;

    if (scaling->mode == PIPELINE_SCALING_FIXED)
        return scaling->min_replicas;
    if (runtime->decided)
        return (int64_t)runtime->decision.wanted;
    status_remember_gateway(old_status, gateway->name, &capacity, &wanted);
    if (wanted < 0)
        wanted = scaling->min_replicas > 0 ? scaling->min_replicas : 1;
    if (wanted < scaling->min_replicas)
        wanted = scaling->min_replicas;
    return wanted > scaling->max_replicas ? scaling->max_replicas : wanted;
}

static int64_t retention_of(const struct pipeline_gateway *gateway)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < gateway->from_count; i++) {
        if (gateway->from[i]->retention_ms >= 0 && gateway->from[i]->retention_ms < least)
            least = gateway->from[i]->retention_ms;
    }
    return least;
}

static void gather_lag(const struct pipeline_gateway *gateway, const struct group_lag *lag,
                       struct gateway_status *status)
{
    if (lag->state != GROUP_UNKNOWN)
        status->group_state = group_state_name(lag->state);
    if (!lag->known)
        return;
    status->lag_known = true;
    status->lag_messages = (int64_t)lag->lag_messages;
    if (lag->lag_messages == 0) {
        status->lag_seconds = 0;
        status->drain_seconds = 0;
        return;
    }
    if (lag->drain_ms >= 0)
        status->drain_seconds = (lag->drain_ms + 999) / 1000;
    if (!lag->lag_ms_known)
        return;
    status->lag_seconds = (int64_t)(lag->lag_ms / 1000);
    int64_t left_ms = retention_of(gateway) - (int64_t)lag->lag_ms;
    status->time_to_loss_seconds = left_ms > 0 ? left_ms / 1000 : 0;
}

static void gather_scaling(const struct pipeline_gateway *gateway,
                           const struct gateway_runtime *runtime, struct gateway_status *status)
{
    if (gateway->scaling.mode == PIPELINE_SCALING_FIXED) {
        status->scaling_known = true;
        status->reason = "Fixed";
        snprintf(status->sentence, sizeof status->sentence,
                 "its scaling.mode is Fixed, at minReplicas");
        return;
    }
    if (!runtime->decided)
        return;
    status->scaling_known = true;
    status->scaling_held = runtime->decision.held;
    status->reason = scaling_reason_name(runtime->decision.reason);
    status->capacity = runtime->memory.capacity;
    snprintf(status->sentence, sizeof status->sentence, "%s", runtime->decision.sentence);
}

static void gather_gateway(const struct gather *gather, const struct subject *subject,
                           const struct json *old_status, size_t index, struct gathered *into)
{
    const struct pipeline_gateway *gateway = &subject->pipeline->gateways[index];
    struct gateway_status *status = &into->status.gateways[index];
    struct gateway_runtime runtime;
    int64_t remembered = 0;
    AUTO(json_free)
    struct json *workload = find_workload(gather, subject, &kube_deployments, gateway->name);

    board_gateway(gather->board, subject->key, gateway->name, &runtime);
    *status = (struct gateway_status){.name = gateway->name,
                                      .group_id = gateway->group_id,
                                      .lag_seconds = -1,
                                      .drain_seconds = -1,
                                      .time_to_loss_seconds = -1,
                                      .dead_letters = -1,
                                      .backend = "Unknown"};
    status->wanted = wanted_of(gateway, &runtime, old_status);
    status_remember_gateway(old_status, gateway->name, &status->capacity, &remembered);
    if (runtime.lag_read)
        gather_lag(gateway, &runtime.lag, status);
    gather_scaling(gateway, &runtime, status);

    struct scaling_bounds bounds =
        scaling_hpa_bounds(gateway->scaling.cpu_utilization > 0, (uint32_t)status->wanted,
                           (uint32_t)gateway->scaling.max_replicas);
    into->bounds[index] = (struct desired_bounds){bounds.replicas_min, bounds.replicas_max};
    into->gateway_replicas[index] = -1;
    if (workload == NULL)
        return;
    status->exists = true;
    into->gateway_replicas[index] = json_int(json_at(workload, "spec.replicas"), 1);
    status->replicas = status_int(workload, "replicas");
    status->ready = status_int(workload, "readyReplicas");
    status->updated = is_observed(workload) ? status_int(workload, "updatedReplicas") : 0;
}

/* ---- all of it */

void gather_facts(const struct gather *gather, const struct subject *subject,
                  const struct json *old_status, struct gathered **ret_gathered)
{
    struct gathered *gathered = xcalloc(1, sizeof *gathered);
    const struct pipeline *pipeline = subject->pipeline;

    gathered->status.observed_generation = pipeline->generation;
    gather_all_topics(gather, subject, old_status, &gathered->status);
    gathered->status.edge_count = pipeline->edge_count;
    for (size_t i = 0; i < pipeline->edge_count; i++)
        gather_edge(gather, subject, i, gathered);
    gathered->status.gateway_count = pipeline->gateway_count;
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        gather_gateway(gather, subject, old_status, i, gathered);
    gather_pods(gather, subject, gathered);
    gathered->rollouts = rollouts_decide(gather, subject, gathered);
    *ret_gathered = gathered;
}

void gathered_free(struct gathered **gathered)
{
    if (*gathered == NULL)
        return;
    for (size_t i = 0; i < PIPELINE_EDGES_MAX; i++) {
        json_free(&(*gathered)->workloads[i]);
        json_free(&(*gathered)->stranded[i]);
        pods_fini(&(*gathered)->edge_pods[i]);
    }
    for (size_t i = 0; i < PIPELINE_GATEWAYS_MAX; i++)
        pods_fini(&(*gathered)->gateway_pods[i]);
    rollouts_free(&(*gathered)->rollouts);
    free(*gathered);
    *gathered = NULL;
}
