/* produce_internal: what the files of the producer share. See produce.h for what it does.
 *
 *   produce.c           the thread, the client, opening and closing
 *   produce_lane.c      frames from the spool become messages; done frames move the cursor
 *   produce_message.c   one message: sent, reported, tried again, put aside
 *   produce_topic.h     what is known of the topics
 *
 * Thread: the producing thread, but for what the lock guards.
 */
#ifndef SIDECAR_EDGE_PRODUCE_INTERNAL_H
#define SIDECAR_EDGE_PRODUCE_INTERNAL_H

#include "common/metrics.h"
#include "sidecar/edge/journal.h"
#include "sidecar/edge/outgoing.h"
#include "sidecar/edge/produce.h"
#include "sidecar/edge/produce_topic.h"

#include <pthread.h>

/* Frames not stored whole yet, in the order in which they are acknowledged. */
struct frames {
    struct outgoing *oldest, **end;
};

struct lane {
    enum signal signal;
    struct produce_topic *topics; /* the default one first; none: nobody reads this signal */
    size_t topic_count;
    uint32_t plan;
    struct spool_reader *reader;
    struct frames in_turn, ahead; /* of a backlog, see spool/reader.h */
    struct spool_frame *uncut;    /* read, but there was no memory for its messages */
    uint64_t run_begin;           /* frames below that sequence were left by an earlier run */
    bool old_read;                /* all of them, as far as they could be */
    bool draining;                /* what is read in turn was accepted a while ago */
    struct spool_saved forgotten; /* what the journal has nothing of any more */
    struct produce_lane_state state;
    bool told;           /* of its trouble, in the log */
    uint64_t tell_at_ms; /* not before that */
    struct metric *items, *messages, *bytes, *retries, *dead_letters, *dropped, *keyless;
};

struct produce {
    struct produce_options options;
    struct producer *producer;
    struct journal *journal;
    struct lane lanes[SIGNAL_COUNT];
    struct outgoing_work work;
    uint64_t ask_again_ms;   /* nobody answers: no questions before that */
    struct message *waiting; /* for another try */
    size_t held_bytes;       /* of frames in memory */
    size_t encoded_bytes;    /* of records that were encoded to be sent */
    bool vouched;            /* the journal tells all that an earlier run may have sent */
    uint64_t clients;
    uint64_t reopen_at_ms;
    uint64_t files_at_ms; /* when to look at the files of credentials */
    uint32_t files_stamp;
    size_t batch_bytes, batch_wanted; /* the client's, and what the smallest topic takes */
    bool is_stale;                    /* the client compresses as it was told before */
    uint64_t moved_ms;                /* when something was last sent or reported */
    uint64_t kicked_ms;
    uint32_t random;
    uint64_t deadline_ms; /* for draining; 0: not stopping */
    bool running;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool kicked, sleeping, stopping;
    uint32_t drain_ms;
    const char *compression; /* what options are to be; NULL: what they are */
    int compression_level;
    bool fresh_first;
    struct produce_state published;
};

/* False: the client's batches are too large for some topic, or it is dead. Nothing is sent until it
 * has been replaced. */
bool produce_is_fit(const struct produce *produce);

/* ---- produce_lane.c */

NODISCARD enum err lane_open(struct produce *produce, enum signal signal, struct error *error);
void lane_close(struct lane *lane);

/* Reads in the order that the options say. */
void lane_order(const struct produce *produce, struct lane *lane);

/* Reads and sends as much as may be in flight. True: there was something. */
bool lane_feed(struct produce *produce, struct lane *lane);

/* Nothing is under way. */
bool lane_is_empty(const struct lane *lane);

/* Frames that are stored whole, from the oldest on, move the cursor. */
void lane_advance(struct produce *produce, struct lane *lane);

/* Brings what `state` says of the topics up to date. */
void lane_describe(struct lane *lane);

/* Says why nothing moves; "": it does. */
void lane_trouble(struct lane *lane, const char *text);

/* ---- produce_message.c */

struct lane *message_lane(struct produce *produce, const struct message *message);

/* Chooses partitions for a frame's messages and notes them, all with one write. What is for a topic
 * that isn't known yet is left to message_send(). */
void message_settle_all(struct produce *produce, struct outgoing *outgoing);

void message_send(struct produce *produce, struct message *message);

/* Sends again what has waited long enough. */
void message_resend_due(struct produce *produce);

/* The producer's report(); `opaque` is the message. */
void message_report(void *context, void *opaque, bool stored, int32_t partition, int64_t offset,
                    enum kafka_verdict verdict, const char *why);

#endif
