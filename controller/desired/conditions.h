/* conditions: what was seen of a pipeline -> its conditions, with sentences that say what to do.
 * Pure.
 *
 *   TopicsReady    True: every topic can be written and read and nothing more is to be done to it
 *   EdgesReady     True: all pods run the present template and are ready, no spool is full
 *   GatewaysReady  True: pods are ready, as many as wanted or on the way there; backends take data
 *   ScalingActive  True: replicas follow the lag; False: held, with the reason
 *   Ready          True: the first three are
 *   Reconciling    present while Ready is not True and time may mend it
 *   Stalled        present while only a person can mend it
 *
 * A reason is a word of the first part that isn't well, in the order of the document.
 */
#ifndef CONTROLLER_DESIRED_CONDITIONS_H
#define CONTROLLER_DESIRED_CONDITIONS_H

#include "controller/api/status.h"

/* Fills status->conditions from the facts in it. */
void conditions_judge(const struct pipeline *pipeline, struct pipeline_status *status);

/* The pipeline can't be reconciled as it is: Ready is False, Stalled True, and nothing is said
 * about its parts. */
void conditions_refuse(struct condition_set *set, const char *reason, const char *message);

#endif
