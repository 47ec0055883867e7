/* dead_letters: where pieces go that no backend will take: the dead-letter topic with the reason in
 * headers, or on a single node a local file of one JSON object a line. A piece counts as done only
 * once that has been acknowledged or synced; until then it is tried again.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_DEAD_LETTERS_H
#define SIDECAR_GATEWAY_DEAD_LETTERS_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/signal.h"
#include "common/error.h"
#include "sidecar/kafka/consumer.h"
#include "sidecar/kafka/kafka_conf.h"

#include <stdint.h>

struct dead_letters;

struct dead_letters_options {
    const struct kafka_access *access; /* NULL: a local file */
    const char *file;                  /* used without access */
    const char *source;                /* <namespace>/<pipeline>/<gateway> */
};

/* No connection is made before the first letter. */
NODISCARD enum err dead_letters_open(const struct dead_letters_options *options,
                                     struct dead_letters **ret_letters, struct error *error);

/* Letters that are not acknowledged are given up; what they stand for was not committed. */
void dead_letters_close(struct dead_letters **letters);

/* Where a letter comes from; all may be empty or NULL on a single node. */
struct dead_letter {
    enum signal signal;
    const char *topic;      /* of the dead letters */
    const char *from_topic; /* of the original */
    int32_t partition;
    int64_t offset;
    const struct consumer_message *original; /* its headers are copied; NULL: none */
    struct bytes value;                      /* lent until done() */
    const char *reason;
    void (*done)(void *context);
    void *context;
};

/* Takes the letter on; done() comes later, exactly once unless it is closed first, never from
 * within this call. */
void dead_letters_put(struct dead_letters *letters, const struct dead_letter *letter);

/* Serves acknowledgements; called often. */
void dead_letters_poll(struct dead_letters *letters, uint64_t now_ms);

/* Why letters wait; "" if none does, or only just. */
void dead_letters_trouble(const struct dead_letters *letters, char *text, size_t size);

/* Letters that wait, and those that were acknowledged since start. */
size_t dead_letters_waiting(const struct dead_letters *letters);
uint64_t dead_letters_count(const struct dead_letters *letters);

#endif
