/* run: what the verbs edge, gateway and run have in common, and where they differ.
 *
 *   document --> directory of the spool --> confinement --> edge and gateways --> signal --> drain
 *
 *   edge     one edge, into Kafka
 *   gateway  one gateway, out of Kafka
 *   run      one edge and all gateways, which read its spool: the whole pipeline in one process
 *
 * Thread: the main one. Signals are taken by it alone: every other thread has them blocked.
 */
#ifndef SIDECAR_RUN_H
#define SIDECAR_RUN_H

#include <stdbool.h>

enum { RUN_EXIT_USAGE = 2 };

/* What the command line says; NULL: nothing. */
struct run_options {
    const char *verb, *pipeline, *edge, *gateway, *secrets, *spool, *listen;
    const char *health_listen, *metrics_listen;
    bool unconfined;
};

/* Whether it is one of the three verbs. */
bool run_knows(const char *verb);

/* Signals wait from here on until run_pipeline() is ready for them: the first thing that a process
 * does. The first of a container would never see one that came before, and would be killed at the
 * end of its grace. */
void run_block_signals(void);

/* After run_block_signals(), with a verb that is known. Runs until SIGTERM or SIGINT, or until a
 * start fails; returns the exit code. What can't be is said on standard error. */
int run_pipeline(const struct run_options *options);

#endif
