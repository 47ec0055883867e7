#include "controller/reconcile/children.h"

#include "common/contract/names.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/rollouts.h"
#include "controller/reconcile/volumes.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- objects */

static enum err apply_objects(const struct reconcile *reconcile, const struct subject *subject,
                              struct gathered *gathered, struct json *objects, struct error *error)
{
    const char *uid = subject->pipeline->uid;

    JSON_EACH(object, objects)
    {
        enum apply_outcome outcome = APPLY_SAME;
        char path[DIFF_PATH_MAX];
        enum err err = apply_object(&reconcile->apply, uid, object, &outcome, path, error);
        if (err)
            return err;
        if (outcome != APPLY_CREATED)
            continue;
        /* It begins with one replica, as `replicas` was left out. */
        for (size_t i = 0; i < subject->pipeline->edge_count; i++) {
            if (strcmp(object_label(object, NAMES_LABEL_EDGE), subject->pipeline->edges[i].name) ==
                    0 &&
                kind_of(object) == &kube_statefulsets)
                gathered->edge_replicas[i] = 1;
        }
        for (size_t i = 0; i < subject->pipeline->gateway_count; i++) {
            if (strcmp(object_label(object, NAMES_LABEL_GATEWAY),
                       subject->pipeline->gateways[i].name) == 0 &&
                kind_of(object) == &kube_deployments) {
                gathered->gateway_replicas[i] = 1;
                gathered->gateway_is_new[i] = true;
            }
        }
    }
    return OK;
}

/* ---- replicas */

/* An edge shrinks only from a pod whose spool is empty, one at a time; what it still takes in until
 * it ends is drained when it ends. */
static enum err shrink_edge(const struct reconcile *reconcile, const struct subject *subject,
                            size_t index, const char *name, struct gathered *gathered,
                            struct error *error)
{
    struct edge_status *status = &gathered->status.edges[index];
    int64_t current = gathered->edge_replicas[index];

    if (gathered->edge_can_shrink[index]) {
        enum err err =
            apply_replicas(&reconcile->apply, &kube_statefulsets, subject->pipeline->namespace,
                           name, current, current - 1, error);
        return err ? err
                   : volumes_mark_drained(reconcile, subject->pipeline->namespace, name,
                                          current - 1, error);
    }
    snprintf(status->problem, sizeof status->problem,
             "It has %" PRId64 " pods and shrinks to %" PRId64 " when the spool of pod %s-%" PRId64
             " is empty",
             current, status->desired, name, current - 1);
    return OK;
}

static enum err scale_edge(const struct reconcile *reconcile, const struct subject *subject,
                           size_t index, struct gathered *gathered, bool *ret_again,
                           struct error *error)
{
    const struct pipeline_edge *edge = &subject->pipeline->edges[index];
    int64_t current = gathered->edge_replicas[index];
    char name[DESIRED_NAME_MAX + 1];

    if (edge->mode != PIPELINE_STATEFULSET || current < 0 || current == edge->replicas ||
        !desired_name(subject->pipeline, edge->name, name))
        return OK;
    if (current < edge->replicas)
        return apply_replicas(&reconcile->apply, &kube_statefulsets, subject->pipeline->namespace,
                              name, current, edge->replicas, error);
    *ret_again = true;
    return shrink_edge(reconcile, subject, index, name, gathered, error);
}

static bool must_scale(const struct pipeline_scaling *scaling, int64_t current, int64_t wanted)
{
    enum scaling_mode mode = scaling->mode == PIPELINE_SCALING_HPA ? SCALING_HPA : SCALING_DIRECT;

    /* In Fixed mode nobody else is asked either, so it is held like a decision of our own. */
    return scaling_must_patch(mode, scaling->cpu_utilization > 0, (uint32_t)current,
                              (uint32_t)wanted);
}

static enum err scale_gateway(const struct reconcile *reconcile, const struct subject *subject,
                              const struct json *owner, size_t index, struct gathered *gathered,
                              struct error *error)
{
    const struct pipeline_gateway *gateway = &subject->pipeline->gateways[index];
    const struct gateway_status *status = &gathered->status.gateways[index];
    int64_t current = gathered->gateway_replicas[index];
    char name[DESIRED_NAME_MAX + 1];

    /* After a restart nothing is touched until the lag has been looked at. */
    if (current < 0 || (!status->scaling_known && !gathered->gateway_is_new[index]) ||
        !must_scale(&gateway->scaling, current, status->wanted) ||
        !desired_name(subject->pipeline, gateway->name, name))
        return OK;
    enum err err =
        apply_replicas(&reconcile->apply, &kube_deployments, subject->pipeline->namespace, name,
                       current, status->wanted, error);
    if (err)
        return err;
    gathered->gateway_replicas[index] = status->wanted;
    if (!gathered->gateway_is_new[index])
        event_record(reconcile->events, owner, EVENT_NORMAL, "Scaled", "Scale",
                     "Gateway \"%s\" from %" PRId64 " to %" PRId64 " replicas: %s", gateway->name,
                     current, status->wanted, status->sentence);
    return OK;
}

/* ---- all of it */

static void note_volumes(const struct subject *subject, struct gathered *gathered)
{
    for (size_t i = 0; i < subject->pipeline->edge_count; i++) {
        struct edge_status *status = &gathered->status.edges[i];
        if (status->problem[0] == '\0' &&
            desired_volumes_differ(&subject->pipeline->edges[i], gathered->volume_claims[i]))
            snprintf(status->problem, sizeof status->problem,
                     "Its volumes stay as they were made, for a StatefulSet's can't be changed: "
                     "put spool.storage back, or add an edge of another name");
    }
}

enum err children_apply(const struct reconcile *reconcile, const struct subject *subject,
                        const struct json *owner, struct gathered *gathered, bool *ret_again,
                        struct error *error)
{
    const struct desired_input input = {.pipeline = subject->pipeline,
                                        .settings = &reconcile->desired,
                                        .bounds = gathered->bounds,
                                        .edge_rollouts = gathered->rollouts->edges,
                                        .gateway_rollouts = gathered->rollouts->gateways,
                                        .volume_claims = gathered->volume_claims};
    AUTO(json_free) struct json *objects = desired_objects(&input);
    size_t deleted = 0;

    note_volumes(subject, gathered);
    enum err err = volumes_apply(reconcile, subject, gathered, error);
    if (err)
        return err;
    err = apply_objects(reconcile, subject, gathered, objects, error);
    for (size_t i = 0; i < subject->pipeline->edge_count && err == OK; i++)
        err = scale_edge(reconcile, subject, i, gathered, ret_again, error);
    for (size_t i = 0; i < subject->pipeline->gateway_count && err == OK; i++)
        err = scale_gateway(reconcile, subject, owner, i, gathered, error);
    if (err)
        return err;
    return apply_prune(&reconcile->apply, subject->pipeline->uid, objects, &deleted, error);
}
