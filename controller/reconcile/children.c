#include "controller/reconcile/children.h"

#include "common/contract/names.h"
#include "common/contract/quantity.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/rollouts.h"
#include "controller/reconcile/volumes.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- what is refused */

struct refusals {
    size_t count;
    struct error first;
};

/* Whether the others are to go on: a refusal is noted for the end. */
static bool goes_on(struct refusals *refusals, enum err err, const struct error *error)
{
    if (err != ERR_INVALID)
        return err == OK;
    if (refusals->count++ == 0)
        refusals->first = *error;
    return true;
}

static enum err tell_refusals(const struct refusals *refusals, struct error *error)
{
    if (refusals->count == 0)
        return OK;
    if (refusals->count == 1)
        return error_set(error, ERR_INVALID, "%s", refusals->first.text);
    return error_set(error, ERR_INVALID, "%.420s. Beside it, %zu more were refused",
                     refusals->first.text, refusals->count - 1);
}

/* ---- objects */

static bool is_workload(const struct json *object)
{
    const struct kube_resource *kind = kind_of(object);
    return kind == &kube_statefulsets || kind == &kube_daemonsets || kind == &kube_deployments;
}

static bool is_of_pods(const struct json *object)
{
    return kind_of(object) == &kube_serviceaccounts || kind_of(object) == &kube_configmaps;
}

/* Pods stand on the account and the document of their edge or gateway, an autoscaler on its
 * Deployment: they must not be those of somebody else, nor missing. */
static bool stands_on(const struct json *object, const struct json *refused)
{
    static const char *const labels[] = {NAMES_LABEL_EDGE, NAMES_LABEL_GATEWAY};

    for (size_t i = 0; i < 2; i++) {
        if (strcmp(object_label(object, labels[i]), object_label(refused, labels[i])) != 0)
            return false;
    }
    return is_workload(object) ? is_of_pods(refused)
                               : kind_of(object) == &kube_horizontalpodautoscalers;
}

/* A workload begins with one replica, as `replicas` was left out. */
static void note_created(const struct pipeline *pipeline, const struct json *object,
                         struct gathered *gathered)
{
    for (size_t i = 0; i < pipeline->edge_count; i++) {
        if (strcmp(object_label(object, NAMES_LABEL_EDGE), pipeline->edges[i].name) == 0 &&
            kind_of(object) == &kube_statefulsets)
            gathered->edge_replicas[i] = 1;
    }
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        if (strcmp(object_label(object, NAMES_LABEL_GATEWAY), pipeline->gateways[i].name) == 0 &&
            kind_of(object) == &kube_deployments) {
            gathered->gateway_replicas[i] = 1;
            gathered->gateway_is_new[i] = true;
        }
    }
}

static enum err apply_objects(const struct reconcile *reconcile, const struct subject *subject,
                              struct gathered *gathered, struct json *objects,
                              struct refusals *refusals, struct error *error)
{
    const struct json *refused = NULL; /* the last one that others stand on */

    JSON_EACH(object, objects) {
        enum apply_outcome outcome = APPLY_SAME;
        char path[DIFF_PATH_MAX];
        if (refused != NULL && stands_on(object, refused))
            continue;
        enum err err =
            apply_object(&reconcile->apply, subject->pipeline->uid, object, &outcome, path, error);
        if (!goes_on(refusals, err, error))
            return err;
        if (err && (is_workload(object) || is_of_pods(object)))
            refused = object;
        if (outcome == APPLY_CREATED)
            note_created(subject->pipeline, object, gathered);
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

/* What can't be changed any more. The schema refuses a smaller size where the edge is there to be
 * compared with; an edge that was left out, and so was made with the default, is not. */
static void note_volumes(const struct subject *subject, struct gathered *gathered)
{
    for (size_t i = 0; i < subject->pipeline->edge_count; i++) {
        const struct pipeline_edge *edge = &subject->pipeline->edges[i];
        struct edge_status *status = &gathered->status.edges[i];
        int64_t made_bytes = desired_volumes_bytes(gathered->volume_claims[i]);
        char made[QUANTITY_TEXT_MAX], wanted[QUANTITY_TEXT_MAX];

        if (status->problem[0] != '\0')
            continue;
        if (desired_volumes_differ(edge, gathered->volume_claims[i])) {
            snprintf(status->problem, sizeof status->problem,
                     "Its volumes stay as they were made, for a StatefulSet's can't be changed: "
                     "put spool.storage back, or add an edge of another name");
        } else if (edge->mode == PIPELINE_STATEFULSET && made_bytes > edge->spool.size_bytes) {
            quantity_print(made_bytes, made);
            quantity_print(edge->spool.size_bytes, wanted);
            snprintf(status->problem, sizeof status->problem,
                     "Its volumes were made with %s and can't shrink; its spools take %s of that. "
                     "Put spool.size back to %s, or add an edge of another name and take this one "
                     "out when its spools are empty",
                     made, wanted, made);
        }
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
    struct refusals refusals = {0};
    struct error why = {0};
    size_t deleted = 0;

    note_volumes(subject, gathered);
    enum err marks = volumes_apply(reconcile, subject, gathered, &why);
    enum err err = marks;
    if (goes_on(&refusals, err, &why))
        err = apply_objects(reconcile, subject, gathered, objects, &refusals, &why);
    /* A pod must not come back to a volume that is still marked as empty. */
    for (size_t i = 0; i < subject->pipeline->edge_count && err == OK && marks == OK; i++) {
        err = scale_edge(reconcile, subject, i, gathered, ret_again, &why);
        if (goes_on(&refusals, err, &why))
            err = OK;
    }
    for (size_t i = 0; i < subject->pipeline->gateway_count && err == OK; i++) {
        err = scale_gateway(reconcile, subject, owner, i, gathered, &why);
        if (goes_on(&refusals, err, &why))
            err = OK;
    }
    if (err)
        return error_set(error, err, "%s", why.text);
    err = tell_refusals(&refusals, error);
    if (err)
        return err;
    return apply_prune(&reconcile->apply, subject->pipeline->uid, objects, &deleted, error);
}
