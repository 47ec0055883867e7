/* edge_process: an edge in a process of its own, which does what `surgetank-sidecar edge` does,
 * signals and confinement included, and can be killed and started again on the same spool. It ends
 * with the test's process. Start it before that process has threads.
 */
#ifndef TESTS_SUPPORT_EDGE_PROCESS_H
#define TESTS_SUPPORT_EDGE_PROCESS_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { EDGE_PROCESS_MS = 120000 }; /* whatever is waited for, at most */

struct edge_process {
    char dir[64]; /* of all of it */
    char file[96], spool[96];
    uint16_t grpc_port, http_port, health_port, metrics_port;
    pid_t pid;             /* 0: it does not run */
    void (*prepare)(void); /* called first in the new process; NULL: nothing is */
};

/* What its document says. Texts are YAML; those that end in a newline are indented. */
struct edge_document {
    const char *bootstrap, *topic;
    const char *properties; /* of `kafka`, inline; NULL: {} */
    const char *spool;      /* inline; NULL: {size: 64Mi, minFree: 0%} */
    const char *receivers;  /* beside OTLP, by eight, with the newline; NULL: none */
    const char *body_max;   /* maxRequestBytes; NULL: 2Mi */
    const char *more;       /* of the edge, by six, with the newline; NULL: none */
};

/* A directory and ports; the document. */
void edge_process_make(struct edge_process *edge);
void edge_process_write(struct edge_process *edge, const struct edge_document *document);

/* Kills what runs, removes what was written. */
void edge_process_remove(struct edge_process *edge);

/* Starts it; and waits until it is ready. */
void edge_process_start(struct edge_process *edge);
void edge_process_await_ready(struct edge_process *edge);

/* kill -9, and until it is gone. */
void edge_process_kill(struct edge_process *edge);

/* SIGTERM; and the status that waitpid() gives when it has ended. */
void edge_process_terminate(struct edge_process *edge);
int edge_process_wait(struct edge_process *edge);

/* What it answers on one of its ports; false: nothing. */
bool edge_process_get(uint16_t port, const char *path, struct buf *ret_body);

/* Sends it a body over OTLP/HTTP; the status of the answer, 0 if there is none. */
int edge_process_post(const struct edge_process *edge, const char *content_type,
                      const struct buf *logs);

/* Log records that are not in Kafka yet, as /debug/state tells; -1: it does not answer. */
int64_t edge_process_waiting(const struct edge_process *edge);
void edge_process_await_empty(const struct edge_process *edge);

/* The value of a series, written as it is exposed, labels and all; -1: there is none. */
double edge_process_metric(const struct edge_process *edge, const char *series);

#endif
