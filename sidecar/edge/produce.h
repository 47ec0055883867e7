/* produce: frames of the spool become Kafka messages, and delivery reports move the cursor.
 *
 *   spool_reader_next -> cut (<= the topic's limit) -> journal -> send -> report -> cursor
 *                                                        ^                  |
 *                                                        +--- wait, again --+
 *                                                             (anything but stored)
 *
 * The frame is the batch: one message holds one frame's requests, or a part of it where it has to
 * be cut. A message's identity (incarnation, sequence, part k of n) and partition are fixed when it
 * is first sent; until Kafka has it, it is sent again and again, identically. If nobody knows
 * whether an earlier try arrived (a crash, a dead client), it carries the time of its first try, so
 * that gateways look for its repeat. The cursor of a lane stands below the first frame that is not
 * stored whole. See docs/formats/message.md for the headers.
 *
 * While a backlog drains, frames that are accepted then may go ahead of it, one in four stays with
 * the backlog, and little is under way at a time, so that what is fresh waits behind little.
 *
 * What Kafka will never take (too large even alone, refused as invalid) goes to the dead-letter
 * topic with the reason; if that is refused too, a pointer without the value does.
 *
 * Thread: one of its own. produce_kick() and produce_state() from anywhere.
 */
#ifndef SIDECAR_EDGE_PRODUCE_H
#define SIDECAR_EDGE_PRODUCE_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/kafka/kafka_conf.h"
#include "sidecar/spool/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRODUCE_READER      "kafka"    /* the reader's name in the spool */
#define PRODUCE_MESSAGE_MAX (1u << 20) /* bytes of a value that we aim at */

struct produce;

/* A topic, and which entries of the spool are for it: 0 is the default of its signal, which takes
 * entries whose tag is not known too. */
struct produce_route {
    const struct pipeline_topic *topic;
    uint32_t tag;
};

/* All pointers are loans for its life. */
struct produce_options {
    struct spool *spool;
    const struct kafka_access *access;
    const struct produce_route *routes; /* a signal that has none is read by nobody */
    size_t route_count;
    const char *compression;
    int compression_level;
    size_t in_flight_bytes; /* frames held in memory until Kafka has them */
    bool fresh_first;       /* while a backlog drains, what is accepted now goes ahead of it */
    bool replicated; /* produce_kick() comes before a frame can be read: look for it at once */
    const char *journal_path;
    const char *source; /* who we are, in dead letters: <namespace>/<pipeline>/<edge> */
};

/* Opens readers and journal and starts, once for each time that the spool is opened. With Kafka
 * away it starts all the same, and waits. */
NODISCARD enum err produce_open(const struct produce_options *options, struct produce **ret_produce,
                                struct error *error);

/* Something new may be in the spool. Cheap; any thread. */
void produce_kick(struct produce *produce);

/* Another compression, by a new client once nothing is under way; until then nothing more is sent.
 * `compression` is a literal. Any thread. */
void produce_set_compression(struct produce *produce, const char *compression, int level);

/* From the next frame on; a jump that is under way is ended in order. Any thread. */
void produce_set_fresh_first(struct produce *produce, bool fresh_first);

/* Goes on until the spool is empty, at most `drain_ms`, then ends the thread and frees. What is
 * left is in the spool and will be sent after the next start. */
void produce_close(struct produce **produce, uint32_t drain_ms);

struct produce_lane_state {
    bool topic_known;      /* the default one */
    int32_t partitions;    /* of its default topic */
    size_t message_max;    /* bytes of a message that all of its topics take */
    uint64_t in_flight;    /* messages */
    uint64_t waiting;      /* of them, for another try */
    uint64_t delivered;    /* messages since start */
    uint64_t retries;      /* sends after the first */
    uint64_t dead_letters; /* messages */
    char trouble[256];     /* why nothing moves; "" if all is well */
};

struct produce_state {
    struct produce_lane_state lanes[SIGNAL_COUNT];
    char kafka[256]; /* what the client last complained about; "" if all is well */
    uint64_t kafka_since_ms;
    uint64_t clients; /* clients made since start: 1, and one more after each fatal error */
};

void produce_state(struct produce *produce, struct produce_state *ret_state);

#endif
