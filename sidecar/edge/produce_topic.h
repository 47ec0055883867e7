/* produce_topic: what the producing thread knows about one topic: how many partitions, which of
 * them have a leader, and how large a message may be. Asked for once a minute, once a second while
 * it is unknown, and soon after something failed.
 *
 * Thread: the producing thread only.
 */
#ifndef SIDECAR_EDGE_PRODUCE_TOPIC_H
#define SIDECAR_EDGE_PRODUCE_TOPIC_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/contract/pipeline.h"
#include "common/error.h"
#include "sidecar/kafka/producer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct produce_topic {
    const char *name, *dead_letter; /* loans */
    enum signal signal;
    uint32_t tag; /* of the spool's entries that are for it; 0: the default of its signal */
    enum pipeline_partition_by key;
    enum pipeline_encoding encoding;
    bool wanted; /* a message is for it: it has to be known */
    bool known;
    size_t message_max; /* bytes of a message that it takes */

    struct producer_topic described; /* the rest is private */
    uint64_t describe_at_ms, described_ms;
    int32_t next_partition;
};

void produce_topic_init(struct produce_topic *topic, const struct pipeline_topic *wanted,
                        uint32_t tag);

/* Asks the cluster if it is time to; `topic->known` says whether it was ever told. ERR_NOTFOUND:
 * there is no such topic now. ERR_AGAIN: no answer; what was known before still counts. */
NODISCARD enum err produce_topic_refresh(struct produce_topic *topic, struct producer *producer,
                                         struct error *error);

/* Something about it may have changed: ask, but not at every failure. */
void produce_topic_doubt(struct produce_topic *topic);

/* Bytes by which values are cut so that they fit with all that is around them. */
size_t produce_topic_cut_limit(const struct produce_topic *topic);

bool produce_topic_has(const struct produce_topic *topic, int32_t partition);

/* Where the Collector's Kafka exporter would put the key, among so many: 1 and more. */
int32_t produce_topic_by_key(struct bytes key, int32_t partitions);

/* Without a key: the next partition that has a leader, in turn; the one whose turn it is if none
 * has. With one: by the key, leader or not. */
int32_t produce_topic_choose(struct produce_topic *topic, struct bytes key);

#endif
