#include "controller/desired/rollout.h"

#include "common/contract/pipeline_live.h"

#include <stdio.h>
#include <string.h>

static const unsigned steps[] = {5, 25, 100};

enum { STEPS = sizeof steps / sizeof steps[0] };

static size_t takers(const struct rollout_input *input, unsigned percent)
{
    size_t count = 0;

    for (size_t i = 0; i < input->pod_count; i++)
        count += pipeline_takes_candidate(input->pods[i].name, percent);
    return count;
}

/* The first step above `percent` at which more pods take it. */
static unsigned next_step(const struct rollout_input *input, unsigned percent)
{
    size_t now = takers(input, percent);

    for (size_t i = 0; i < STEPS; i++)
        if (steps[i] > percent && takers(input, steps[i]) > now)
            return steps[i];
    return 100;
}

/* ---- what the pods that have it say */

static bool has_it(const struct rollout_input *input, const struct rollout_pod *pod)
{
    return pod->known && pod->generation == input->generation;
}

static const struct rollout_pod *find_refusing(const struct rollout_input *input)
{
    for (size_t i = 0; i < input->pod_count; i++) {
        const struct rollout_pod *pod = &input->pods[i];
        if (pod->known && pod->refused[0] != '\0' && !has_it(input, pod) &&
            pipeline_takes_candidate(pod->name, input->percent))
            return pod;
    }
    return NULL;
}

/* One whose backend takes nothing, though it takes what others send, who don't have it. With
 * nobody's up the document is not to blame, and may be what mends it. */
static const struct rollout_pod *find_failing(const struct rollout_input *input)
{
    const struct rollout_pod *failing = NULL;
    bool others_are_up = false;

    for (size_t i = 0; i < input->pod_count; i++) {
        const struct rollout_pod *pod = &input->pods[i];
        if (has_it(input, pod) && pod->backend == ROLLOUT_BACKEND_DOWN)
            failing = pod;
        else if (pod->known && !has_it(input, pod) && pod->backend == ROLLOUT_BACKEND_UP)
            others_are_up = true;
    }
    return others_are_up ? failing : NULL;
}

/* One that is to have it and has not been well with it for long enough; NULL: all have. */
static const struct rollout_pod *find_waited_for(const struct rollout_input *input)
{
    for (size_t i = 0; i < input->pod_count; i++) {
        const struct rollout_pod *pod = &input->pods[i];
        if (pipeline_takes_candidate(pod->name, input->percent) &&
            (!has_it(input, pod) || pod->taken_seconds < ROLLOUT_WELL_S))
            return pod;
    }
    return NULL;
}

/* ---- deciding */

static void offer(const struct rollout_input *input, unsigned percent,
                  struct desired_rollout *rollout, struct rollout_status *status)
{
    *rollout =
        (struct desired_rollout){.current = input->current, .candidate = true, .percent = percent};
    status->reason = "RollingOut";
    snprintf(status->sentence, sizeof status->sentence,
             "%zu of %zu pods are to take the changed document over; ConfigMaps need a minute",
             takers(input, percent), input->pod_count);
}

static void hold(const struct rollout_input *input, const char *reason,
                 const struct rollout_pod *pod, const char *why, struct desired_rollout *rollout,
                 struct rollout_status *status)
{
    offer(input, input->percent, rollout, status);
    status->reason = reason;
    status->held = true;
    snprintf(status->sentence, sizeof status->sentence,
             "Pod %s %s: %s. The other pods keep what they have. Change the document, or change it "
             "back",
             pod->name,
             strcmp(reason, "ConfigRefused") == 0 ? "refused the changed document"
                                                  : "can't deliver with the changed document",
             why);
}

static void advance(const struct rollout_input *input, struct desired_rollout *rollout,
                    struct rollout_status *status)
{
    const struct rollout_pod *pod = find_refusing(input);

    if (pod != NULL) {
        hold(input, "ConfigRefused", pod, pod->refused, rollout, status);
        return;
    }
    pod = find_failing(input);
    if (pod != NULL) {
        hold(input, "ConfigUnhealthy", pod, pod->backend_error, rollout, status);
        return;
    }
    if (find_waited_for(input) != NULL) {
        offer(input, input->percent, rollout, status);
        return;
    }
    if (input->percent >= 100 || takers(input, input->percent) == input->pod_count)
        return; /* all have it */
    offer(input, next_step(input, input->percent), rollout, status);
}

static void pause(const struct rollout_input *input, struct desired_rollout *rollout,
                  struct rollout_status *status)
{
    bool candidate = input->candidate != NULL && strcmp(input->candidate, input->want) == 0;

    *rollout = (struct desired_rollout){
        .current = input->current, .candidate = true, .percent = candidate ? input->percent : 0};
    status->reason = "RolloutPaused";
    status->paused = true;
    snprintf(status->sentence, sizeof status->sentence,
             "A changed document waits, for rollout.paused is true");
}

void rollout_decide(const struct rollout_input *input, struct desired_rollout *ret_rollout,
                    struct rollout_status *ret_status)
{
    *ret_rollout = (struct desired_rollout){.current = NULL};
    *ret_status = (struct rollout_status){.reason = NULL};
    if (input->current == NULL || strcmp(input->current, input->want) == 0 || input->same_program)
        return;
    if (input->paused)
        pause(input, ret_rollout, ret_status);
    else if (input->must_start || input->pod_count == 0)
        return;
    else if (input->candidate == NULL || strcmp(input->candidate, input->want) != 0 ||
             input->percent == 0)
        offer(input, next_step(input, 0), ret_rollout, ret_status);
    else
        advance(input, ret_rollout, ret_status);
}
