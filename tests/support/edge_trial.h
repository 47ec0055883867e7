/* edge_trial: what tests have in common that send an edge numbered records, break it, and then count
 * what was acknowledged and what is in Kafka: the topic "t" of a broker, the edge, each in a process
 * of its own, who sends, and the ledger of it.
 */
#ifndef TESTS_SUPPORT_EDGE_TRIAL_H
#define TESTS_SUPPORT_EDGE_TRIAL_H

#include "tests/support/broker_process.h"
#include "tests/support/edge_process.h"
#include "tests/support/sender.h"

enum { TRIAL_PARTITIONS = 8, TRIAL_PER_REQUEST = 5 };

extern struct broker_process broker;
extern struct edge_process edge;
extern struct ledger ledger;
extern struct sender sender;

/* Seeds rand(), starts the broker and makes the rest; the edge has no document yet. */
void trial_begin(void);
int trial_end(void **state);

/* Starts the edge, until it is ready. */
void trial_start(void);

/* Whether all that was acknowledged is in Kafka, as the ledger says. */
void trial_check(void);

/* How much longer than usual: SURGETANK_LOSS, 1 to 100. */
unsigned trial_factor(void);

/* 1 to `most`, by chance. */
unsigned trial_up_to(unsigned most);

#endif
