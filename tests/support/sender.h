/* sender: a client of an edge: requests of numbered log records over OTLP/HTTP, several at once,
 * each sent once. What is acknowledged goes into a ledger.
 */
#ifndef TESTS_SUPPORT_SENDER_H
#define TESTS_SUPPORT_SENDER_H

#include "tests/support/ledger.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SENDER_CONNECTIONS = 8 };

struct sender {
    uint16_t port;
    struct ledger *ledger;
    unsigned per_request;                   /* records */
    size_t padding;                         /* bytes of a record's body */
    uint64_t next;                          /* number */
    unsigned acknowledged, refused, broken; /* requests; broken: without an answer */
    struct {
        int fd; /* 0: none */
        uint64_t first;
        bool busy;
    } connections[SENDER_CONNECTIONS];
};

/* Sends until that many more requests are decided, one way or another; some are under way then. */
void sender_run(struct sender *sender, unsigned requests);

/* Sends on each connection on which nothing is under way, and waits for nothing. */
void sender_begin(struct sender *sender);

/* Waits for what is under way. It may be that the edge is gone. */
void sender_finish(struct sender *sender);

/* Closes its connections, whatever is under way. */
void sender_close(struct sender *sender);

#endif
