/* lag: what is known of a partition and of a group's place in it, and what follows from both.
 *
 * Pure: the observer feeds what it read with the time it was read at. Times are monotonic ms.
 * Ends are shared by all groups that read a topic; commits belong to one group.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_LAG_H
#define CONTROLLER_KAFKA_ADMIN_LAG_H

#include "controller/kafka_admin/history.h"
#include "controller/kafka_admin/observer.h"

#define LAG_ARRIVAL_TAU_MS 15000.0
#define LAG_CONSUME_TAU_MS 20000.0

/* A partition. Zero-initialised is one of which nothing is known; `generation` counts how often it
 * was found to be another one than before. */
struct lag_end {
    bool known, start_known;
    uint32_t generation;
    int64_t start, end;
    int64_t read_ms;  /* when `end` was */
    int64_t moved_ms; /* when it last changed */
    struct history history;
    struct rate arrival;
};

void lag_feed_start(struct lag_end *end, int64_t start);
void lag_feed_end(struct lag_end *end, int64_t now_ms, int64_t offset);

/* The partition is another one now (its topic was made again): all begins anew. */
void lag_reset_end(struct lag_end *end);

/* What reading once at a group's place has found. */
enum lag_peek { LAG_NOT_PEEKED, LAG_RECORD, LAG_NOTHING };

/* A group's place in a partition. */
struct lag_commit {
    bool read;           /* an answer has been had */
    uint32_t generation; /* of the partition */
    int64_t committed;   /* OFFSET_NONE: none */
    int64_t read_ms, changed_ms;
    int64_t stalled_ms; /* since when it has not moved in spite of lag and members */
    struct rate consume;
    int64_t lost_below; /* up to where losses have been counted */
    uint64_t lost;

    enum lag_peek peek;
    int64_t peek_at, peek_end; /* the place, and the end it was read at */
    int64_t peek_ms;           /* LAG_RECORD: when the record was made */
    int64_t peek_retry_ms;     /* not before */
};

void lag_feed_commit(struct lag_commit *commit, const struct lag_end *end, int64_t now_ms,
                     int64_t committed);

/* What the group's registration and state add. */
struct lag_context {
    int64_t now_ms;
    bool latest, asleep;
    bool working; /* stable, with members: a commit that stands still is stuck */
};

/* The lag of one partition; topic and partition are left to the caller. Moves `stalled_ms`. */
struct partition_lag lag_of(const struct lag_context *context, const struct lag_end *end,
                            struct lag_commit *commit);

/* The first offset that is unread. */
int64_t lag_base(const struct lag_context *context, const struct lag_end *end,
                 const struct lag_commit *commit);

/* Whether reading once at lag_base() would tell something new: what age the backlog has, or that
 * there is nothing but transaction markers. */
bool lag_wants_peek(const struct lag_context *context, const struct lag_end *end,
                    const struct lag_commit *commit);

/* `made_ms` is the record's time, monotonic; it counts for LAG_RECORD only. */
void lag_feed_peek(struct lag_commit *commit, int64_t at, int64_t end, enum lag_peek found,
                   int64_t made_ms);

/* Adds a partition to the group's numbers, and finishes them once all are in. */
void lag_sum(struct group_lag *group, const struct partition_lag *partition, bool committed);
void lag_finish(struct group_lag *group);

#endif
