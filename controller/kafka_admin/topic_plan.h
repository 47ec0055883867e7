/* topic_plan: a wanted topic against the one that Kafka has -> what to do, and what to say.
 *
 * Pure. The rules, in the order in which they win, and the state that each leads to:
 *
 *   another pipeline's claim     nothing is touched                          ClaimLost
 *   Kafka did not answer         nothing is touched                          Unreachable
 *   missing                      Observe: waited for                         Missing
 *                                else made                                   Creating
 *                                     unless brokers are too few for it      ReplicationUnavailable
 *   another topic id than ours   Create: only compared from now on           Recreated
 *                                Adopt, Observe: said once, id taken over    Recreated
 *   exists and is not ours       Create: only compared                       TopicExists
 *                                Observe: nothing is said of it              Ready
 *   too few replicas in sync     said                                        ReplicationUnavailable
 *   another replication factor   said; only a reassignment changes it        Differs
 *   fewer partitions             never                                       ShrinkRefused
 *   more partitions              keyed: held until all is read               HeldGrowth
 *                                else grown                                  Growing
 *   shorter retention            held while unread data would expire         HeldRetention
 *   another config               the drifted keys are set, no others         Ready
 *
 * Nothing ever shrinks and nothing is ever deleted here. A second finding never hides the first:
 * the message has a sentence for each, and operations that one finding holds do not hold the
 * others.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_TOPIC_PLAN_H
#define CONTROLLER_KAFKA_ADMIN_TOPIC_PLAN_H

#include "common/arena.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOPIC_NAME_MAX    249
#define TOPIC_ID_SIZE     24 /* 22 characters of base64, as Kafka's own tools print it */
#define TOPIC_MESSAGE_MAX 768
#define TOPIC_CONFIGS_MAX 64

enum topic_ownership { TOPIC_CREATE, TOPIC_ADOPT, TOPIC_OBSERVE };

/* Whether we made it, as status remembers. TOPIC_INTENDED is written before the request to make it
 * and TOPIC_MADE after, so that a crash in between loses no topic to "made by others": a topic that
 * was intended, and has exactly the wanted partitions and replicas, is ours. */
enum topic_made { TOPIC_NOT_MADE, TOPIC_INTENDED, TOPIC_MADE };

struct topic_config {
    const char *name, *value;
};

/* What readers still have to read of it. Retention is lowered only when this is known. */
struct topic_unread {
    bool known;
    uint64_t messages;
    bool age_known;
    uint64_t age_ms; /* of the oldest unread message */
};

struct topic_wanted {
    const char *topic;
    enum topic_ownership ownership;
    uint32_t partitions;
    uint32_t replication_factor;
    const struct topic_config *configs; /* at most TOPIC_CONFIGS_MAX */
    size_t config_count;
    bool keyed; /* messages have keys: growth reorders what is under way */
    enum topic_made made;
    const char *topic_id; /* from status; NULL or "": none */
    const char *claimant; /* "namespace/name" of the pipeline that claimed it before; NULL: ours */
    struct topic_unread unread;
};

struct topic_observed {
    const char *topic;
    enum err err; /* OK; ERR_NOTFOUND: no such topic; else why it is not known, in `error_text` */
    const char *error_text;
    char topic_id[TOPIC_ID_SIZE];
    uint32_t partitions;
    uint32_t replication_factor; /* of the partition with the fewest */
    uint32_t isr_min;            /* in-sync replicas of the partition with the fewest */
    uint32_t leaderless;         /* partitions without a leader */
    const struct topic_config *configs;
    size_t config_count;
};

/* Reasons are the words of the TopicsReady condition and of status.topics[].state. */
#define TOPIC_STATES(X)                                        \
    X(TOPIC_READY, "Ready")                                    \
    X(TOPIC_CREATING, "Creating")                              \
    X(TOPIC_GROWING, "Growing")                                \
    X(TOPIC_SHRINK_REFUSED, "ShrinkRefused")                   \
    X(TOPIC_HELD_GROWTH, "HeldGrowth")                         \
    X(TOPIC_HELD_RETENTION, "HeldRetention")                   \
    X(TOPIC_REPLICATION_UNAVAILABLE, "ReplicationUnavailable") \
    X(TOPIC_DIFFERS, "Differs")                                \
    X(TOPIC_EXISTS, "TopicExists")                             \
    X(TOPIC_RECREATED, "Recreated")                            \
    X(TOPIC_MISSING, "Missing")                                \
    X(TOPIC_REFUSED, "Refused")                                \
    X(TOPIC_UNREACHABLE, "Unreachable")                        \
    X(TOPIC_CLAIM_LOST, "ClaimLost")

enum topic_state {
#define X(code, text) code,
    TOPIC_STATES(X)
#undef X
};

struct topic_plan {
    const struct topic_wanted *wanted; /* the caller's */
    enum topic_state state;            /* the gravest finding */
    bool usable;                       /* messages can be written and read now */
    bool create;
    uint32_t grow_to; /* 0: no growth */
    const struct topic_config *set;
    size_t set_count;
    const char *record_id; /* the id to keep in status, NULL: none; the caller's, in `observed` */
    char message[TOPIC_MESSAGE_MAX];
};

/* `brokers` are those alive, 0 where unknown. The plan borrows from `wanted` and `observed`; `set`
 * is in `arena`. ERR_NOMEM only. */
NODISCARD enum err topic_plan(const struct topic_wanted *wanted,
                              const struct topic_observed *observed, uint32_t brokers,
                              struct arena *arena, struct topic_plan *ret_plan,
                              struct error *error);

const char *topic_state_name(enum topic_state state);

#endif
