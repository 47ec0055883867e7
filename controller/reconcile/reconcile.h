/* reconcile: one pipeline, made true. The flow, for one name from the queue:
 *
 *   gather -> desired -> diff -> apply -> scale -> prune -> conditions -> publish
 *
 *   gone                     what the board knew of it is dropped
 *   being deleted            finalize.h
 *   faults, rights, claims   Ready=False, Stalled=True with the sentence; children stay as they are
 *   paused                   only the status goes on
 *   else                     children are brought in line, then the status
 *
 * Kafka is never waited for: kafka/topics work is another queue's (topics.h), and what it found is
 * on the board. With Kafka away edges start and spool all the same.
 *
 * Thread: the workers'; one name is with one worker at a time.
 */
#ifndef CONTROLLER_RECONCILE_RECONCILE_H
#define CONTROLLER_RECONCILE_RECONCILE_H

#include "controller/desired/rights.h"
#include "controller/kube/event.h"
#include "controller/queue/workers.h"
#include "controller/reconcile/apply.h"
#include "controller/reconcile/gather.h"

struct topics;
struct volumes;

struct reconcile {
    struct apply apply;
    struct gather gather;
    struct board *board;
    struct topics *topics;
    struct volumes *volumes;
    struct event_recorder *events;
    struct desired_settings desired;
    struct rights_settings rights;
};

/* A work_fn; `context` is the struct reconcile. */
struct work_result reconcile_name(void *context, const char *key);

#endif
