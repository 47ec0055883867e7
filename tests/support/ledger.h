/* ledger: what was promised and what is in Kafka, by number: nothing that was acknowledged may be
 * missing, and whatever is there more than once must say that it may be a repeat.
 */
#ifndef TESTS_SUPPORT_LEDGER_H
#define TESTS_SUPPORT_LEDGER_H

#include "common/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger {
    size_t size; /* numbers are below */
    bool *promised;
    uint16_t *seen, *marked; /* times in Kafka; of them, in messages that may be repeats */
    unsigned messages;
    size_t largest; /* bytes of a message's value */
    /* How to take a message's value apart: calls `see` with each number. numbered_visit() unless
     * set. */
    void (*visit)(struct bytes value, void (*see)(void *context, uint64_t number), void *context);
    /* The mock cluster stores what a client sends again after a timeout, which Kafka knows by its
     * producer's sequence: repeats are not judged. */
    bool may_repeat;
    bool is_marked; /* the message at hand */
};

void ledger_open(struct ledger *ledger, size_t size);
void ledger_close(struct ledger *ledger);

void ledger_promise(struct ledger *ledger, uint64_t first, unsigned count);
size_t ledger_promised(const struct ledger *ledger);

/* Reads the topic from its beginning. What was read before is forgotten. */
void ledger_read(struct ledger *ledger, const char *bootstrap, const char *topic, int partitions);

/* Fails unless all that was promised is there, and repeats say so. */
void ledger_check(const struct ledger *ledger);

#endif
