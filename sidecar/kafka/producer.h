/* producer: an idempotent, acks=all Kafka producer that never gives a message up by itself.
 *
 *   send --> librdkafka's queue --> broker --> report(OK)
 *                    |                    `--> report(KAFKA_RETRY | TOO_LARGE | REFUSED):
 *                    |                          not stored
 *                    `-- the client died ----> report(KAFKA_FATAL): stored or not, nobody knows
 *
 * Delivery time is unlimited (message.timeout.ms=0): an hour without a broker is an hour in the
 * queue. The queue is bounded; a full one is ERR_FULL, and the caller keeps its place in the spool.
 *
 * Thread: all calls from one thread; reports come from within producer_poll() and producer_close().
 */
#ifndef SIDECAR_KAFKA_PRODUCER_H
#define SIDECAR_KAFKA_PRODUCER_H

#include "common/attr.h"
#include "common/bytes.h"
#include "common/error.h"
#include "sidecar/kafka/kafka_conf.h"

#include <stdbool.h>
#include <stdint.h>

#define PRODUCER_HEADERS_MAX    24
#define PRODUCER_BATCH_MAX      1000000 /* bytes of one record batch, before compression */
#define PRODUCER_PARTITIONS_MAX 4096

struct producer;

struct producer_options {
    const struct kafka_access *access;
    const char *compression; /* none, gzip, snappy, lz4, zstd */
    int compression_level;
    size_t queue_bytes; /* of what waits for an acknowledgement, but for one larger message alone */

    /* A broker takes or refuses whole batches: one that is above the topic's limit takes messages
     * down that would fit. So no more than this goes into one; 0: PRODUCER_BATCH_MAX. */
    size_t batch_bytes;
    bool alone; /* each message is a batch */

    /* One for each message that was sent, in no particular order. `stored`: the broker has it, at
     * `offset` of `partition`. If not, `verdict` and `why` (valid during the call) say what next.
     */
    void (*report)(void *context, void *message, bool stored, int32_t partition, int64_t offset,
                   enum kafka_verdict verdict, const char *why);
    void *context;
};

NODISCARD enum err producer_open(const struct producer_options *options,
                                 struct producer **ret_producer, struct error *error);

/* Waits up to `flush_ms` for what is under way, then drops the client. Everything that was not
 * acknowledged is reported as KAFKA_FATAL. Sets *producer to NULL. */
void producer_close(struct producer **producer, uint32_t flush_ms);

struct producer_header {
    const char *name;
    struct bytes value;
};

struct producer_message {
    const char *topic;
    int32_t partition;
    struct bytes key;                      /* empty: none */
    struct bytes value;                    /* a loan until the report */
    const struct producer_header *headers; /* copied */
    size_t headers_len;
    int64_t timestamp_ms; /* since 1970 */
    void *message;        /* handed to report() */
};

/* ERR_FULL: the queue is full; poll and try again. ERR_CLOSED: the client is dead, see
 * producer_is_dead(). Other errors: never queued, no report. */
NODISCARD enum err producer_send(struct producer *producer, const struct producer_message *message,
                                 struct error *error);

/* Serves reports; waits up to `wait_ms` for the first. Returns how many there were. */
int producer_poll(struct producer *producer, uint32_t wait_ms);

/* A fatal error: close it and open another. */
bool producer_is_dead(const struct producer *producer);

/* The topic as the cluster describes it now; waits up to `wait_ms`. `leaders[i]` says whether
 * partition i can take messages. ERR_NOTFOUND: no such topic (or no right to see it). ERR_AGAIN: no
 * answer. At most PRODUCER_PARTITIONS_MAX are told. */
struct producer_topic {
    int32_t partitions;
    uint8_t leaders[PRODUCER_PARTITIONS_MAX];
};
NODISCARD enum err producer_describe(struct producer *producer, const char *topic, uint32_t wait_ms,
                                     struct producer_topic *ret_topic, struct error *error);

/* The topic's own max.message.bytes. ERR_NOTFOUND: the broker has no such request. ERR_AGAIN,
 * ERR_INVALID: it could not be asked. */
NODISCARD enum err producer_message_max(struct producer *producer, const char *topic,
                                        uint32_t wait_ms, size_t *ret_bytes, struct error *error);

struct kafka_health *producer_health(struct producer *producer);

/* Messages and bytes sent but not reported yet. */
size_t producer_in_flight(const struct producer *producer);

#endif
