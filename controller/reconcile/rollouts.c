#include "controller/reconcile/rollouts.h"

#include "common/contract/names.h"
#include "common/contract/pipeline_live.h"
#include "common/num.h"
#include "common/xalloc.h"
#include "controller/desired/rollout.h"

#include <stdlib.h>

/* One edge or gateway. */
struct part {
    const struct gather *gather;
    const struct pipeline *pipeline;
    bool edge, paused;
    const char *name;
    const struct pods *pods;
};

/* The ConfigMap as cached; NULL: there is none. It is kept in `rollouts`. */
static const struct json *find_map(const struct part *part, struct rollouts *rollouts)
{
    char name[DESIRED_NAME_MAX + 1];
    struct object *object = NULL;

    if (!desired_name(part->pipeline, part->name, name) ||
        store_get(part->gather->store, &kube_configmaps, part->pipeline->namespace, name,
                  &object) != OK)
        return NULL;
    struct json *map = object_parse(object);
    object_unref(&object);
    rollouts->maps[rollouts->map_count++] = map;
    return map;
}

/* The document that pods have; NULL: this operator can't read it, so they are to get another. */
static struct pipeline *read_current(const char *text)
{
    AUTO(json_free) struct json *document = NULL;
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};

    if (json_parse(bytes_from(text), PIPELINE_TEXT_MAX, &document, NULL) != OK)
        return NULL;
    if (pipeline_read(document, &pipeline, &faults, NULL) != OK)
        pipeline = NULL;
    faults_fini(&faults);
    return pipeline;
}

/* What the new document is to pods that have `current`. */
static void compare(const struct part *part, struct rollout_input *input)
{
    AUTO(pipeline_free) struct pipeline *current = read_current(input->current);
    const bool there =
        current != NULL && (part->edge ? pipeline_edge(current, part->name) != NULL
                                       : pipeline_gateway(current, part->name) != NULL);

    input->must_start = true;
    if (!there)
        return;
    AUTO(json_free) struct json *have = pipeline_start_part(current, part->edge, part->name);
    AUTO(json_free) struct json *want = pipeline_start_part(part->pipeline, part->edge, part->name);
    input->must_start = !json_equal(have, want);
    input->same_program = pipeline_same_program(current, part->pipeline, part->edge, part->name);
}

static struct rollout_pod *describe(const struct pods *pods)
{
    static const enum rollout_backend backends[] = {
        [PROBE_BACKEND_UNKNOWN] = ROLLOUT_BACKEND_UNKNOWN,
        [PROBE_BACKEND_UP] = ROLLOUT_BACKEND_UP,
        [PROBE_BACKEND_DOWN] = ROLLOUT_BACKEND_DOWN,
    };
    struct rollout_pod *list = xcalloc(pods->count + 1, sizeof *list);

    for (size_t i = 0; i < pods->count; i++) {
        const struct pod_state *state = &pods->items[i].state;
        list[i] = (struct rollout_pod){.name = pods->items[i].name,
                                       .known = state->known,
                                       .generation = state->generation,
                                       .taken_seconds = state->taken_seconds,
                                       .refused = state->refused,
                                       .backend = backends[state->backend],
                                       .backend_error = state->backend_error};
    }
    return list;
}

static void decide(const struct part *part, struct rollouts *rollouts,
                   struct desired_rollout *ret_rollout, struct rollout_status *ret_status)
{
    AUTO(buf_fini) struct buf want = {0};
    const struct json *data = json_get(find_map(part, rollouts), "data");
    uint64_t percent = 0;
    struct rollout_input input = {
        .generation = part->pipeline->generation,
        .current = json_string(json_get(data, NAMES_CONFIG_KEY), NULL),
        .candidate = json_string(json_get(data, NAMES_CANDIDATE_KEY), NULL),
        .paused = part->paused,
        .pod_count = part->pods->count,
    };

    desired_document(part->pipeline, part->edge, part->name, &want);
    input.want = buf_text(&want);
    if (num_parse_u64(json_string(json_get(data, NAMES_PERCENT_KEY), ""), 100, &percent))
        input.percent = (unsigned)percent;
    if (input.current != NULL && strcmp(input.current, input.want) != 0)
        compare(part, &input);
    struct rollout_pod *pods = describe(part->pods);
    input.pods = pods;
    rollout_decide(&input, ret_rollout, ret_status);
    free(pods);
    if (ret_status->reason == NULL || ret_status->paused)
        return;
    rollouts->under_way = true;
    for (size_t i = 0; i < part->pods->count && part->gather->probe != NULL; i++)
        probe_hurry(part->gather->probe, part->pods->items[i].uid);
}

struct rollouts *rollouts_decide(const struct gather *gather, const struct subject *subject,
                                 struct gathered *gathered)
{
    const struct pipeline *pipeline = subject->pipeline;
    struct rollouts *rollouts = xcalloc(1, sizeof *rollouts);
    struct part part = {.gather = gather, .pipeline = pipeline};

    for (size_t i = 0; i < pipeline->edge_count; i++) {
        part.edge = true;
        part.name = pipeline->edges[i].name;
        part.paused = pipeline->edges[i].rollout.paused;
        part.pods = &gathered->edge_pods[i];
        decide(&part, rollouts, &rollouts->edges[i], &gathered->status.edges[i].rollout);
    }
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        part.edge = false;
        part.name = pipeline->gateways[i].name;
        part.paused = pipeline->gateways[i].rollout.paused;
        part.pods = &gathered->gateway_pods[i];
        decide(&part, rollouts, &rollouts->gateways[i], &gathered->status.gateways[i].rollout);
    }
    return rollouts;
}

void rollouts_free(struct rollouts **rollouts)
{
    if (*rollouts == NULL)
        return;
    for (size_t i = 0; i < (*rollouts)->map_count; i++)
        json_free(&(*rollouts)->maps[i]);
    free(*rollouts);
    *rollouts = NULL;
}
