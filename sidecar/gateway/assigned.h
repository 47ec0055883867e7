/* assigned: the partitions that a gateway reads now, and what is under way of each.
 *
 *   assigned_add() --> ours --assigned_drop()--> gone, freed when its last message was released
 *
 * One struct partition is one assignment of it: when it is given back or starts anew, what is under
 * way keeps pointing to the old one.
 *
 * Thread: the gateway's loop.
 */
#ifndef SIDECAR_GATEWAY_ASSIGNED_H
#define SIDECAR_GATEWAY_ASSIGNED_H

#include "sidecar/gateway/offsets.h"
#include "sidecar/gateway/parcel.h"
#include "sidecar/gateway/seen.h"
#include "sidecar/kafka/consumer.h"

/* Whether what was read before the assignment is known too. */
enum partition_past { PAST_UNKNOWN, PAST_ASKED, PAST_KNOWN };

struct message;

struct partition {
    struct consumer_position at; /* topic and number; the offset is not used */
    struct offsets offsets;
    struct seen seen;
    int64_t began;      /* the first offset read, once started */
    int64_t committed;  /* what Kafka was told; -1: nothing yet */
    uint32_t under_way; /* messages not released */
    bool started;       /* offsets is valid */
    bool revoking;
    bool gone; /* not ours any more: nothing is committed */

    enum partition_past past;
    struct seen earlier;              /* found so far, while PAST_ASKED */
    struct message *held, **held_end; /* read meanwhile, oldest first */
};

/* A message under way. */
struct message {
    struct parcel parcel; /* first */
    struct consumer_message message;
    struct partition *partition;
    size_t bytes;
    struct message *next, **place; /* of all that are under way */
    struct message *next_held;
};

/* Zero-initialised is empty. */
struct assigned {
    struct partition **items;
    size_t len, cap;
};

/* NULL: not ours. */
struct partition *assigned_find(const struct assigned *assigned,
                                const struct consumer_position *at);

/* A new assignment; one that there was must have been dropped. Reading begins at at->offset; -1: at
 * the first message. */
struct partition *assigned_add(struct assigned *assigned, const struct consumer_position *at);

void assigned_drop(struct assigned *assigned, struct partition *partition);

/* A message of it was released. */
void partition_release(struct partition *partition);

/* The first offset to be read is known. */
void partition_start(struct partition *partition, int64_t offset);

/* Behind those held already; and the first of them, taken out, or NULL. */
void partition_hold(struct partition *partition, struct message *message);
struct message *partition_unhold(struct partition *partition);

#endif
