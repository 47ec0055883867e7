#include "controller/desired/conditions.h"

#include <inttypes.h>

/* ---- topics */

/* How much a topic's state matters: the highest is the one to tell. */
static int topic_weight(const struct topic_status *topic)
{
    if (topic->state == NULL)
        return 4;
    if (!topic->usable)
        return 3;
    if (!topic->settled)
        return 2;
    return strcmp(topic->state, "Ready") == 0 ? 0 : 1;
}

static void judge_topics(struct pipeline_status *status)
{
    const struct topic_status *worst = NULL;

    for (size_t i = 0; i < status->topic_count; i++) {
        const struct topic_status *topic = &status->topics[i];
        if (worst == NULL || topic_weight(topic) > topic_weight(worst))
            worst = topic;
    }
    int weight = worst != NULL ? topic_weight(worst) : 0;

    if (weight == 4)
        condition_put(&status->conditions, CONDITION_TOPICS_READY, CONDITION_UNKNOWN, "Checking",
                      "Waiting for Kafka's answer about %zu topics", status->topic_count);
    else if (weight == 0)
        condition_put(&status->conditions, CONDITION_TOPICS_READY, CONDITION_TRUE, "Ready",
                      "All %zu topics are as they should be", status->topic_count);
    else
        condition_put(&status->conditions, CONDITION_TOPICS_READY,
                      weight == 1 ? CONDITION_TRUE : CONDITION_FALSE, worst->state, "%s",
                      worst->message);
}

/* ---- edges */

/* `what`: Edge or Gateway. A pause is the user's own, and nothing is wrong with it. */
static bool judge_rollout(struct condition_set *set, const char *type, const char *what,
                          const char *name, const struct rollout_status *rollout)
{
    if (rollout->reason == NULL || rollout->paused)
        return true;
    condition_put(set, type, CONDITION_FALSE, rollout->reason, "%s \"%s\": %s", what, name,
                  rollout->sentence);
    return false;
}

static bool judge_edge(struct condition_set *set, const struct edge_status *edge)
{
    const char *sep = edge->problem[0] != '\0' ? ". " : "";

    if (!edge->exists) {
        condition_put(set, CONDITION_EDGES_READY, CONDITION_FALSE, "Creating",
                      "Edge \"%s\" is being made", edge->name);
        return false;
    }
    if (edge->full) {
        condition_put(set, CONDITION_EDGES_READY, CONDITION_FALSE, "SpoolFull",
                      "Edge \"%s\" has a full spool and tells its clients to wait. See whether "
                      "TopicsReady is True and Kafka takes data, or raise spool.size",
                      edge->name);
        return false;
    }
    if (edge->ready < edge->desired) {
        condition_put(set, CONDITION_EDGES_READY, CONDITION_FALSE,
                      edge->problem[0] != '\0' ? "PodsFailing" : "PodsNotReady",
                      "Edge \"%s\": %" PRId64 " of %" PRId64 " pods are ready%s%s", edge->name,
                      edge->ready, edge->desired, sep, edge->problem);
        return false;
    }
    if (edge->updated < edge->desired && !edge->rollout.paused) {
        condition_put(set, CONDITION_EDGES_READY, CONDITION_FALSE, "RollingOut",
                      "Edge \"%s\": %" PRId64 " of %" PRId64 " pods have the new configuration%s%s",
                      edge->name, edge->updated, edge->desired, sep, edge->problem);
        return false;
    }
    return judge_rollout(set, CONDITION_EDGES_READY, "Edge", edge->name, &edge->rollout);
}

static void judge_edges(struct pipeline_status *status)
{
    int64_t pods = 0;

    for (size_t i = 0; i < status->edge_count; i++) {
        const struct edge_status *edge = &status->edges[i];
        if (!judge_edge(&status->conditions, edge))
            return;
        pods += edge->ready;
        if (edge->rollout.paused) {
            condition_put(&status->conditions, CONDITION_EDGES_READY, CONDITION_TRUE,
                          edge->rollout.reason, "Edge \"%s\" is ready. %s", edge->name,
                          edge->rollout.sentence);
            return;
        }
        if (edge->problem[0] != '\0') {
            condition_put(&status->conditions, CONDITION_EDGES_READY, CONDITION_TRUE, "Held",
                          "Edge \"%s\" is ready. %s", edge->name, edge->problem);
            return;
        }
        if (edge->stranded != NULL) {
            condition_put(&status->conditions, CONDITION_EDGES_READY, CONDITION_TRUE, "Stranded",
                          "Edge \"%s\" is ready, but %zu volumes without a pod hold what was "
                          "acknowledged (%s ...). Set replicas to %" PRId64
                          " until their spools are empty, or delete the claims to give it up",
                          edge->name, json_size(edge->stranded),
                          json_string(json_first(edge->stranded), ""), edge->stranded_replicas);
            return;
        }
        if (edge->remark[0] != '\0') {
            condition_put(&status->conditions, CONDITION_EDGES_READY, CONDITION_TRUE,
                          "MetadataMissing",
                          "Edge \"%s\" is ready and takes everything, with less about its pods. %s",
                          edge->name, edge->remark);
            return;
        }
    }
    condition_put(&status->conditions, CONDITION_EDGES_READY, CONDITION_TRUE, "Ready",
                  "All %" PRId64 " pods of %zu edges are ready", pods, status->edge_count);
}

/* ---- gateways */

static bool judge_gateway(struct condition_set *set, const struct gateway_status *gateway)
{
    bool failing = gateway->problem[0] != '\0';
    bool enough = gateway->ready >= gateway->wanted || (gateway->ready > 0 && !failing);

    if (!gateway->exists) {
        condition_put(set, CONDITION_GATEWAYS_READY, CONDITION_FALSE, "Creating",
                      "Gateway \"%s\" is being made", gateway->name);
        return false;
    }
    if (gateway->backend != NULL && strcmp(gateway->backend, "Down") == 0) {
        condition_put(set, CONDITION_GATEWAYS_READY, CONDITION_FALSE, "BackendDown",
                      "The backend of gateway \"%s\" takes nothing: %s. What comes meanwhile stays "
                      "in Kafka",
                      gateway->name, gateway->backend_error);
        return false;
    }
    if (!enough) {
        condition_put(set, CONDITION_GATEWAYS_READY, CONDITION_FALSE,
                      failing ? "PodsFailing" : "PodsNotReady",
                      "Gateway \"%s\": %" PRId64 " of %" PRId64 " pods are ready%s%s",
                      gateway->name, gateway->ready, gateway->wanted, failing ? ". " : "",
                      gateway->problem);
        return false;
    }
    if (gateway->updated < gateway->replicas && !gateway->rollout.paused) {
        condition_put(set, CONDITION_GATEWAYS_READY, CONDITION_FALSE, "RollingOut",
                      "Gateway \"%s\": %" PRId64 " of %" PRId64
                      " pods have the new configuration%s%s",
                      gateway->name, gateway->updated, gateway->replicas, failing ? ". " : "",
                      gateway->problem);
        return false;
    }
    return judge_rollout(set, CONDITION_GATEWAYS_READY, "Gateway", gateway->name,
                         &gateway->rollout);
}

static void judge_gateways(struct pipeline_status *status)
{
    int64_t pods = 0;

    for (size_t i = 0; i < status->gateway_count; i++) {
        if (!judge_gateway(&status->conditions, &status->gateways[i]))
            return;
        pods += status->gateways[i].ready;
        if (status->gateways[i].rollout.paused) {
            condition_put(&status->conditions, CONDITION_GATEWAYS_READY, CONDITION_TRUE,
                          status->gateways[i].rollout.reason, "Gateway \"%s\" is ready. %s",
                          status->gateways[i].name, status->gateways[i].rollout.sentence);
            return;
        }
    }
    condition_put(&status->conditions, CONDITION_GATEWAYS_READY, CONDITION_TRUE, "Ready",
                  "%" PRId64 " pods of %zu gateways are ready", pods, status->gateway_count);
}

/* ---- scaling */

static int scaling_weight(const struct gateway_status *gateway)
{
    if (!gateway->scaling_known)
        return 3;
    if (gateway->scaling_held)
        return 2;
    return strcmp(gateway->reason, "Steady") == 0 ? 0 : 1;
}

static void judge_scaling(const struct pipeline *pipeline, struct pipeline_status *status)
{
    const struct gateway_status *chosen = NULL;

    if (pipeline->paused) {
        condition_put(
            &status->conditions, CONDITION_SCALING_ACTIVE, CONDITION_FALSE, "Paused",
            "The pipeline is paused: everything stays as it is. Set spec.paused: false to "
            "go on");
        return;
    }
    for (size_t i = 0; i < status->gateway_count; i++) {
        const struct gateway_status *gateway = &status->gateways[i];
        if (chosen == NULL || scaling_weight(gateway) > scaling_weight(chosen))
            chosen = gateway;
    }
    if (chosen == NULL)
        return;
    if (!chosen->scaling_known) {
        condition_put(&status->conditions, CONDITION_SCALING_ACTIVE, CONDITION_UNKNOWN, "Starting",
                      "Gateway \"%s\": its lag has not been looked at yet", chosen->name);
        return;
    }
    condition_put(&status->conditions, CONDITION_SCALING_ACTIVE,
                  chosen->scaling_held ? CONDITION_FALSE : CONDITION_TRUE, chosen->reason,
                  "Gateway \"%s\": %s", chosen->name, chosen->sentence);
}

/* ---- the whole */

/* States of a topic that no waiting mends. */
static bool only_a_person_can(const char *reason)
{
    static const char *const words[] = {"ShrinkRefused", "Refused", "ClaimLost", "ConfigRefused",
                                        "ConfigUnhealthy"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(reason, words[i]) == 0)
            return true;
    }
    return false;
}

static void judge_ready(struct condition_set *set)
{
    static const char *const parts[] = {CONDITION_TOPICS_READY, CONDITION_EDGES_READY,
                                        CONDITION_GATEWAYS_READY};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const struct condition *part = condition_find(set, parts[i]);
        if (part->status == CONDITION_TRUE)
            continue;
        struct condition cause = *part;
        condition_put(set, CONDITION_READY, CONDITION_FALSE, cause.reason, "%s", cause.message);
        if (only_a_person_can(cause.reason))
            condition_put(set, CONDITION_STALLED, CONDITION_TRUE, cause.reason, "%s",
                          cause.message);
        else
            condition_put(set, CONDITION_RECONCILING, CONDITION_TRUE, cause.reason, "%s",
                          cause.message);
        return;
    }
    condition_put(set, CONDITION_READY, CONDITION_TRUE, "Ready",
                  "Topics, edges and gateways are ready");
}

void conditions_judge(const struct pipeline *pipeline, struct pipeline_status *status)
{
    status->conditions.count = 0;
    /* The summary is to be read first; what it says follows from the rest. */
    condition_put(&status->conditions, CONDITION_READY, CONDITION_UNKNOWN, "Checking", "Looking");
    judge_topics(status);
    judge_edges(status);
    judge_gateways(status);
    judge_scaling(pipeline, status);
    judge_ready(&status->conditions);
}

void conditions_refuse(struct condition_set *set, const char *reason, const char *message)
{
    condition_put(set, CONDITION_READY, CONDITION_FALSE, reason, "%s", message);
    condition_put(set, CONDITION_STALLED, CONDITION_TRUE, reason, "%s", message);
}
