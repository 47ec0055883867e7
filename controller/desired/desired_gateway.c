/* Gateways: a Deployment, and in HPA mode the autoscaler whose floor follows the lag.
 *
 * The HPA always names a metric, for it must have one: the CPU, on which the floor has the last
 * word unless the user asked for the CPU to have a say. A rollout keeps the old pods until new ones
 * are ready, so that a bad configuration never leaves a group without members.
 */
#include "controller/desired/desired_object.h"

enum { CPU_UTILIZATION = 80, PROGRESS_DEADLINE_SECONDS = 600, REVISIONS = 3 };

static void put_deployment(struct json *objects, const struct tier *tier)
{
    struct json *deployment = object_add(objects, tier, "apps/v1", "Deployment", tier->name);
    struct json *spec = json_set_object(deployment, "spec");

    json_set_number(spec, "revisionHistoryLimit", REVISIONS);
    json_set_number(spec, "progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS);
    object_put_selector(json_set_object(spec, "selector"), "matchLabels", tier);
    if (tier->gateway->rollout.paused)
        json_set_bool(spec, "paused", true);
    struct json *strategy = json_set_object(spec, "strategy");
    json_set_string(strategy, "type", "RollingUpdate");
    struct json *rolling = json_set_object(strategy, "rollingUpdate");
    object_put_amount(rolling, "maxUnavailable", tier->gateway->rollout.max_unavailable);
    json_set_string(rolling, "maxSurge", "25%");
    desired_pod(spec, tier);
}

static void put_autoscaler(struct json *objects, const struct tier *tier,
                           const struct desired_bounds *bounds)
{
    const struct pipeline_scaling *scaling = &tier->gateway->scaling;
    struct json *autoscaler =
        object_add(objects, tier, "autoscaling/v2", "HorizontalPodAutoscaler", tier->name);
    struct json *spec = json_set_object(autoscaler, "spec");

    struct json *target = json_set_object(spec, "scaleTargetRef");
    json_set_string(target, "apiVersion", "apps/v1");
    json_set_string(target, "kind", "Deployment");
    json_set_string(target, "name", tier->name);
    json_set_number(spec, "minReplicas", (double)bounds->replicas_min);
    json_set_number(spec, "maxReplicas", (double)bounds->replicas_max);

    struct json *metric = json_add_object(json_set_array(spec, "metrics"));
    json_set_string(metric, "type", "Resource");
    struct json *resource = json_set_object(metric, "resource");
    json_set_string(resource, "name", "cpu");
    struct json *utilization = json_set_object(resource, "target");
    json_set_string(utilization, "type", "Utilization");
    json_set_number(utilization, "averageUtilization",
                    scaling->cpu_utilization > 0 ? (double)scaling->cpu_utilization
                                                 : CPU_UTILIZATION);
    if (scaling->behavior != NULL) {
        struct json *behavior = json_clone(scaling->behavior);
        json_set(spec, "behavior", &behavior);
    }
}

void desired_gateway(struct json *objects, const struct tier *tier,
                     const struct desired_bounds *bounds)
{
    put_deployment(objects, tier);
    if (tier->gateway->scaling.mode == PIPELINE_SCALING_HPA)
        put_autoscaler(objects, tier, bounds);
}
