/* rollout: how a changed document reaches the pods of one edge or gateway. Pure.
 *
 *   live ConfigMap + new document + what its pods say  ->  the next ConfigMap, and a sentence
 *
 *   nothing changed for the program, or its pods must be replaced: `current` at once. Kubernetes
 *       replaces pods step by step by itself, and the rest is no news to them
 *   it can be taken over: `candidate`, to 5, 25 and 100 of a hundred pods
 *       all that have it are well for ROLLOUT_WELL_S --> the next step, and after 100 `current`
 *       one refuses it, or its backend takes nothing
 *       while others' backends do                    --> held, with the reason, until the document
 *                                                        is another one
 *   paused: as it is
 *
 * All that must be remembered is in the ConfigMap, so a restart of the operator forgets nothing.
 * Which pods take the candidate follows from their names (pipeline_takes_candidate()); steps that
 * would add none are skipped.
 */
#ifndef CONTROLLER_DESIRED_ROLLOUT_H
#define CONTROLLER_DESIRED_ROLLOUT_H

#include "controller/api/status.h"
#include "controller/desired/desired.h"

#define ROLLOUT_WELL_S 15 /* how long pods have had it before more get it */

enum rollout_backend { ROLLOUT_BACKEND_UNKNOWN, ROLLOUT_BACKEND_UP, ROLLOUT_BACKEND_DOWN };

/* What a pod says; `known` false: nothing lately. */
struct rollout_pod {
    const char *name;
    bool known;
    int64_t generation, taken_seconds;
    const char *refused; /* why it did not take what it was to; "" if it did */
    enum rollout_backend backend;
    const char *backend_error;
};

struct rollout_input {
    const char *want;                /* the document as it is now */
    int64_t generation;              /* of it */
    const char *current, *candidate; /* in the ConfigMap; NULL: not there */
    unsigned percent;
    bool same_program; /* as with `current` */
    bool must_start;   /* pods that have `current` must be replaced for it */
    bool paused;
    const struct rollout_pod *pods;
    size_t pod_count;
};

void rollout_decide(const struct rollout_input *input, struct desired_rollout *ret_rollout,
                    struct rollout_status *ret_status);

#endif
