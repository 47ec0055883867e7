#include "controller/desired/desired.h"

#include "common/assert.h"
#include "common/contract/names.h"
#include "controller/desired/desired_object.h"

#include <inttypes.h>
#include <stdio.h>

bool desired_name(const struct pipeline *pipeline, const char *part,
                  char into[DESIRED_NAME_MAX + 1])
{
    int len = snprintf(into, DESIRED_NAME_MAX + 1, "%s-%s", pipeline->name, part);
    return len > 0 && len <= DESIRED_NAME_MAX;
}

static struct tier tier_of(const struct desired_input *input, const char *part,
                           const struct pipeline_pod *pod)
{
    struct tier tier = {.input = input, .pipeline = input->pipeline, .part = part, .pod = pod};
    bool fits = desired_name(tier.pipeline, tier.part, tier.name);
    ASSERT(fits);
    return tier;
}

/* ---- small objects */

static void add_service_account(struct json *objects, const struct tier *tier)
{
    if (tier->pod->service_account != NULL)
        return;
    struct json *account = object_add(objects, tier, "v1", "ServiceAccount", tier->name);
    json_set_bool(account, "automountServiceAccountToken", false);
}

/* A DaemonSet's pods are not evicted when a node is drained, so a budget would be for nothing. */
static void add_budget(struct json *objects, const struct tier *tier)
{
    if (tier->edge != NULL && tier->edge->mode == PIPELINE_DAEMONSET)
        return;

    struct json *budget = object_add(objects, tier, "policy/v1", "PodDisruptionBudget", tier->name);
    struct json *spec = json_set_object(budget, "spec");
    object_put_amount(spec, "maxUnavailable",
                      tier->edge != NULL ? tier->edge->pdb_max_unavailable
                                         : tier->gateway->pdb_max_unavailable);
    json_set_string(spec, "unhealthyPodEvictionPolicy", "AlwaysAllow");
    object_put_selector(json_set_object(spec, "selector"), "matchLabels", tier);
}

struct json *desired_objects(const struct desired_input *input)
{
    const struct pipeline *pipeline = input->pipeline;
    struct json *objects = json_new_array();

    for (size_t i = 0; i < pipeline->edge_count; i++) {
        const struct pipeline_edge *edge = &pipeline->edges[i];
        struct tier tier = tier_of(input, edge->name, &edge->pod);
        tier.edge = edge;
        tier.rollout = input->edge_rollouts == NULL ? NULL : &input->edge_rollouts[i];
        add_service_account(objects, &tier);
        desired_config_map(objects, &tier);
        add_budget(objects, &tier);
        desired_edge(objects, &tier);
    }
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        const struct pipeline_gateway *gateway = &pipeline->gateways[i];
        const struct pipeline_scaling *scaling = &gateway->scaling;
        struct desired_bounds bounds = {scaling->min_replicas, scaling->max_replicas};
        if (input->bounds != NULL)
            bounds = input->bounds[i];

        struct tier tier = tier_of(input, gateway->name, &gateway->pod);
        tier.gateway = gateway;
        tier.rollout = input->gateway_rollouts == NULL ? NULL : &input->gateway_rollouts[i];
        add_service_account(objects, &tier);
        desired_config_map(objects, &tier);
        add_budget(objects, &tier);
        desired_gateway(objects, &tier, &bounds);
    }
    return objects;
}

/* ---- what all objects have in common */

void object_put_labels(struct json *metadata, const struct tier *tier)
{
    bool edge = tier->edge != NULL;
    struct json *labels = json_need_object(metadata, "labels");

    json_set_string(labels, NAMES_LABEL_NAME, NAMES_APP);
    json_set_string(labels, NAMES_LABEL_INSTANCE, tier->pipeline->name);
    json_set_string(labels, NAMES_LABEL_COMPONENT, edge ? NAMES_EDGE : NAMES_GATEWAY);
    json_set_string(labels, NAMES_LABEL_MANAGED_BY, NAMES_FIELD_MANAGER);
    json_set_string(labels, NAMES_LABEL_PIPELINE, tier->pipeline->name);
    json_set_string(labels, edge ? NAMES_LABEL_EDGE : NAMES_LABEL_GATEWAY, tier->part);
}

void object_put_selector(struct json *object, const char *key, const struct tier *tier)
{
    struct json *selector = json_set_object(object, key);

    json_set_string(selector, NAMES_LABEL_PIPELINE, tier->pipeline->name);
    json_set_string(selector, tier->edge != NULL ? NAMES_LABEL_EDGE : NAMES_LABEL_GATEWAY,
                    tier->part);
}

static void put_owner(struct json *metadata, const struct pipeline *pipeline)
{
    if (pipeline->uid == NULL)
        return; /* rendered from a file: there is nothing yet to be owned by */

    struct json *owner = json_add_object(json_set_array(metadata, "ownerReferences"));
    json_set_string(owner, "apiVersion", NAMES_API_VERSION);
    json_set_string(owner, "kind", NAMES_KIND_PIPELINE);
    json_set_string(owner, "name", pipeline->name);
    json_set_string(owner, "uid", pipeline->uid);
    json_set_bool(owner, "controller", true);
    json_set_bool(owner, "blockOwnerDeletion", true);
}

struct json *object_add(struct json *objects, const struct tier *tier, const char *api_version,
                        const char *kind, const char *name)
{
    struct json *object = json_add_object(objects);

    json_set_string(object, "apiVersion", api_version);
    json_set_string(object, "kind", kind);
    struct json *metadata = json_set_object(object, "metadata");
    json_set_string(metadata, "name", name);
    json_set_string(metadata, "namespace", tier->pipeline->namespace);
    object_put_labels(metadata, tier);
    put_owner(metadata, tier->pipeline);
    return object;
}

void object_put_map(struct json *object, const struct pipeline_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        json_set_string(object, map->items[i].name, map->items[i].value);
}

void object_put_amount(struct json *object, const char *key, struct pipeline_amount amount)
{
    char text[32];

    if (!amount.percent) {
        json_set_number(object, key, (double)amount.value);
        return;
    }
    snprintf(text, sizeof text, "%" PRId64 "%%", amount.value);
    json_set_string(object, key, text);
}
