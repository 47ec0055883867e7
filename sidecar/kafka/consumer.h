/* consumer: a member of a consumer group, which commits only what it is told to.
 *
 *   joining --assigned()--> reading --revoking()--> draining --consumer_let_go()--> gone
 *                              |                                                     ^
 *                              +-- lost(): another member has it already ------------+
 *
 * Dynamic members that leave when told to stop; the broker-side protocol (KIP-848) where the broker
 * has it, else cooperative-sticky with a session of 10 s. Nothing is committed by itself, and no
 * offset is ever reset in silence: a partition without a commit starts where `latest` says, but
 * only if the whole group has none; an offset that retention has overtaken goes to the earliest
 * message and reset() tells how many were lost.
 *
 * Thread: all calls from one thread; callbacks come from within consumer_poll() and
 * consumer_close().
 */
#ifndef SIDECAR_KAFKA_CONSUMER_H
#define SIDECAR_KAFKA_CONSUMER_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/kafka/kafka_conf.h"

#include <stdint.h>

#define CONSUMER_TOPICS_MAX 32

struct consumer;
struct member;

/* A partition, with an offset where one is meant. Topics are numbered as in the options. */
struct consumer_position {
    size_t topic;
    int32_t partition;
    int64_t offset;
};

struct consumer_options {
    const struct kafka_access *access; /* a loan for the consumer's life */
    const char *group_id;
    const char *const *topics; /* likewise */
    size_t topic_count;
    bool latest;           /* where a group without any offset begins */
    size_t prefetch_bytes; /* bound of what waits inside the client */

    void *context;
    /* Reading begins at at->offset; -1: at the first message that comes. `resumed`: the group is
     * done with all before it; else it may have been left out (`latest`). */
    void (*assigned)(void *context, const struct consumer_position *at, bool resumed);
    /* To be given back: finish what is under way, commit, then consumer_let_go() once for all that
     * were named since. No more messages of it come. */
    void (*revoking)(void *context, const struct consumer_position *at);
    /* Gone already: nothing of it may be committed. */
    void (*lost)(void *context, const struct consumer_position *at);
    /* Reading goes on at at->offset; `missed` messages before it are gone from the topic. */
    void (*reset)(void *context, const struct consumer_position *at, int64_t missed);
    /* Kafka did not take a commit that nobody waited for. */
    void (*commit_failed)(void *context);
};

NODISCARD enum err consumer_open(const struct consumer_options *options,
                                 struct consumer **ret_consumer, struct error *error);

/* Leaves the group and frees. Messages must have been released. */
void consumer_close(struct consumer **consumer);

/* Becomes readable when something comes where there was nothing. consumer_clear() makes it
 * unreadable: call it first, and then consumer_poll() until there is nothing left or, if you stop
 * before, again without being told. */
int consumer_fd(const struct consumer *consumer);
void consumer_clear(struct consumer *consumer);

/* A message, valid until consumer_release(). */
struct consumer_message {
    struct consumer_position at;
    struct bytes key, value;
    int64_t timestamp_ms; /* -1: none */
    void *handle;
    struct member *member; /* of whom it came */
};

/* The next message, if there is one; false: not now. Never waits. Must be called at least every
 * minute, whatever else is going on. */
bool consumer_poll(struct consumer *consumer, struct consumer_message *ret_message);

void consumer_release(struct consumer_message *message);

/* The last header of that name; empty if there is none. */
struct bytes consumer_header(const struct consumer_message *message, const char *name);

/* Header `index`; false behind the last. */
bool consumer_header_at(const struct consumer_message *message, size_t index, const char **ret_name,
                        struct bytes *ret_value);

/* Commits. Not waiting, its failure is counted and the next commit makes up for it; waiting, at
 * most `wait_ms`. ERR_AGAIN: no answer or not now. ERR_CLOSED: no member any more. */
NODISCARD enum err consumer_commit(struct consumer *consumer,
                                   const struct consumer_position *positions, size_t count,
                                   uint32_t wait_ms, struct error *error);

/* Stops and goes on with fetching; what the client holds already may still come. */
void consumer_pause(struct consumer *consumer, bool paused);

/* Reads on from at->offset. */
NODISCARD enum err consumer_seek(struct consumer *consumer, const struct consumer_position *at,
                                 struct error *error);

/* Ends the revocation that revoking() began. */
void consumer_let_go(struct consumer *consumer);

/* Files of credentials have changed which are read when a client is made. Another one is there; it
 * takes the old one's place, with lost() for all partitions, when consumer_renew() says so: finish
 * what is under way and commit before. What is held then stays valid until it is released. */
bool consumer_is_stale(const struct consumer *consumer);
void consumer_renew(struct consumer *consumer);

/* The client can't go on: release its messages, close it and open another. */
bool consumer_is_dead(const struct consumer *consumer);

/* "consumer" (KIP-848) or "classic". */
const char *consumer_protocol(const struct consumer *consumer);

struct kafka_health *consumer_health(struct consumer *consumer);

#endif
