/* rounds: what an observer asks of Kafka in one round, step by step. Internal to the folder.
 *
 *   topics -> ends -> commits -> states -> peeks -> evaluate
 *
 * Each step gathers what is due and stores the answers under the owner's lock, and asks without it.
 * A step that finds Kafka away ends the round; what was known before goes stale by its own age.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_ROUNDS_H
#define CONTROLLER_KAFKA_ADMIN_ROUNDS_H

#include "controller/kafka_admin/watch.h"

#include <pthread.h>

struct round {
    pthread_mutex_t *mutex; /* guards watch and stats */
    struct watch *watch;
    struct observer_stats *stats;
    const bool *stop; /* guarded too; the round ends after the step in hand */
    struct admin *admin;
    const struct kafka_access *access;
};

/* Runs all steps but evaluate. */
NODISCARD enum err round_ask(const struct round *round, struct error *error);

/* Sums up all groups; `trouble` is why nothing could be asked, or "". */
void round_evaluate(const struct round *round, const char *trouble);

#endif
