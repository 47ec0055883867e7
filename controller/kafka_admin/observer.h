/* observer: the lag of consumer groups, watched. One observer, and one thread, for each Kafka
 * cluster.
 *
 *   every 2 s     end offsets, in batched requests; states and members of a group that rebalances
 *   every 5 s     committed offsets, states and members of groups that lag
 *   every 30 s    those of groups that don't lag; log starts, partition counts, topic ids
 *   once          committed offsets of a group that is asleep, for nobody can commit
 *
 * Lag is exact about what it does not know: a group's numbers count (`known`) only when each of its
 * partitions has an end and a committed offset that are fresh. What is counted how:
 *
 *   committed below the log start    lag from the log start on; the gap is `lost_messages`
 *   no committed offset              from the log start (initial offset earliest), or nothing
 *                                    (latest)
 *   only transaction markers left    no lag: found by reading once at the committed offset
 *   topic deleted and re-created     history and rates begin anew; an offset past the end is none
 *   partition without a leader       unknown for as long; the others go on
 *
 * Time lag is the age of the oldest message that has not been committed: when the end stood where
 * the commit stands now, from a history of (time, end) whose resolution falls with age; where that
 * does not reach back, from the timestamp of the record itself, read once.
 *
 * Between rounds the client goes back to the pool, so that many clusters share few connections.
 *
 * Thread: any for all calls; answers are copies. No call waits for Kafka.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_OBSERVER_H
#define CONTROLLER_KAFKA_ADMIN_OBSERVER_H

#include "controller/kafka_admin/admin.h"
#include "controller/kafka_admin/groups.h"

#define OBSERVER_GROUP_MAX  255 /* bytes of a group's name */
#define OBSERVER_TOPICS_MAX 64  /* topics of one group */
#define OBSERVER_GROUPS_MAX 10000
#define OBSERVER_TEXT_MAX   256
#define OBSERVER_ENDS_MS    2000u
#define OBSERVER_BUSY_MS    5000u
#define OBSERVER_IDLE_MS    30000u
#define OBSERVER_STUCK_MS   120000u
#define OBSERVER_STALE_MS   15000u /* ends older than this are not known */

struct observer;

NODISCARD enum err observer_create(struct admin_pool *pool, const struct kafka_access *access,
                                   struct observer **ret_observer, struct error *error);

/* Stops the thread, waiting for the request in hand (at most fifteen seconds). */
void observer_destroy(struct observer **observer);

/* New credentials or addresses, from the next round on. */
NODISCARD enum err observer_set_access(struct observer *observer, const struct kafka_access *access,
                                       struct error *error);

struct observer_group {
    const char *group;
    const char *const *topics;
    size_t topic_count;
    bool latest; /* initial offset latest: what was there before the group is no lag */
    bool asleep; /* scaled to zero by us */
    const char *client_prefix; /* client ids that begin so are ours; NULL: nobody is foreign */
};

/* Registers a group, or changes its registration. ERR_FULL: OBSERVER_GROUPS_MAX. */
NODISCARD enum err observer_want(struct observer *observer, const struct observer_group *group,
                                 struct error *error);
void observer_forget(struct observer *observer, const char *group);

struct partition_lag {
    const char *topic; /* loan for the length of the callback */
    int32_t partition;
    bool known;
    int64_t start, end, committed; /* OFFSET_NONE: not known, or no committed offset */
    uint64_t lag;
    bool lag_ms_known;
    uint64_t lag_ms;
    double arrival_rate, consume_rate; /* messages per second */
    bool stuck;
    uint64_t lost; /* expired before they were committed, since the observer saw it */
};

struct group_lag {
    bool known;                  /* every partition is known and fresh */
    char why[OBSERVER_TEXT_MAX]; /* if not: the cause and what to do */
    enum group_state state;
    bool consumer_protocol;
    uint32_t members, members_foreign;
    char foreign[OBSERVER_TEXT_MAX]; /* one of them */

    uint32_t partitions, partitions_lagging, partitions_stuck, partitions_unknown;
    uint64_t lag_messages, lag_stuck;
    bool lag_ms_known;
    uint64_t lag_ms;
    bool rates_known;
    double arrival_rate, consume_rate;
    int64_t drain_ms; /* until the lag is gone at these rates; 0: none, -1: it is not shrinking */
    double skew;      /* the largest partition's share of the lag over the even share; 1 is even */
    bool committed_everywhere;
    uint64_t lost_messages;
    uint32_t topics_recreated;           /* since the observer began */
    char stuck_where[OBSERVER_TEXT_MAX]; /* "topic/3 at offset 712" */
    uint64_t observed_ms;                /* monotonic; when ends were last read, 0: never */
};

/* ERR_NOTFOUND: not registered. */
NODISCARD enum err observer_read(struct observer *observer, const char *group,
                                 struct group_lag *ret_lag);

/* Calls `visit` for each partition of the group, in order of topic and partition, under the
 * observer's lock: no calls back into the observer. ERR_NOTFOUND: not registered. */
typedef void observer_visit(void *context, const struct partition_lag *partition);
NODISCARD enum err observer_each(struct observer *observer, const char *group,
                                 observer_visit *visit, void *context);

/* What it costs and how it fares, for metrics. */
struct observer_stats {
    uint64_t rounds, rounds_failed, requests, peeks;
    uint32_t groups, topics, partitions;
    uint64_t round_ms; /* how long the last one took */
    enum err err;      /* of the last round */
    char text[OBSERVER_TEXT_MAX];
};
void observer_stats(struct observer *observer, struct observer_stats *ret_stats);

#endif
