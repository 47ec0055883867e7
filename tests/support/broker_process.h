/* broker_process: librdkafka's mock cluster of one broker in a process of its own, so that it can
 * be frozen as a broker can: its port stays open, and nobody answers. It ends with the test's
 * process. Start it before that process has threads.
 */
#ifndef TESTS_SUPPORT_BROKER_PROCESS_H
#define TESTS_SUPPORT_BROKER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct broker_process {
    pid_t pid;
    int to, from; /* pipes */
    char bootstrap[128];
};

void broker_process_start(struct broker_process *broker);
void broker_process_stop(struct broker_process *broker); /* what it had is gone */

/* SIGSTOP and SIGCONT. */
void broker_process_freeze(struct broker_process *broker);
void broker_process_thaw(struct broker_process *broker);

/* Not while it is frozen: a topic; the port closed, with what it has kept, and open again; answers
 * that come so much later. */
void broker_process_topic(struct broker_process *broker, const char *name, unsigned partitions);
void broker_process_close_port(struct broker_process *broker);
void broker_process_open_port(struct broker_process *broker);
void broker_process_delay(struct broker_process *broker, unsigned ms);

#endif
