/* scaling: how many replicas a gateway should have, and the sentence that says why.
 *
 * Pure: no clock, no kernel, no log. The caller feeds an observation every few seconds with the
 * time and the memory of the call before, and gets the wanted replicas.
 *
 *   need   = (arrival rate + backlog / drain_within) / capacity of one replica
 *   wanted = the next step at or above need, between replicas_min and replicas_max, never above the
 *            partitions
 *
 * A step is a number r at which ceil(partitions / r) changes: between two of them one more replica
 * leaves the busiest one with as many partitions as before (12 partitions: 1 2 3 4 6 12).
 * Partitions are summed over all topics that the gateway reads: cooperative-sticky and KIP-848's
 * uniform assignor both spread the sum.
 *
 * The "present replicas" are the last decision, whatever the Deployment says at the moment: nobody
 * else decides in these modes, so another number there has not followed yet or was set by hand, and
 * is put back (scaling_must_patch()). Where CPU has a say too, what is decided is the floor, which
 * the HPA may rightly stand above, and which doesn't follow it up. Only where nothing was decided
 * yet, by a new operator, Fixed or paused, is the Deployment's number the one to go on from.
 *
 *   up      at once, when need is above the present replicas by SCALING_UP_BAND
 *   down    when the fewer replicas would still be less busy than SCALING_DOWN_BAND, to the largest
 *           number that was wanted within the window
 *   hold    paused, lag unknown, foreign group members, group rebalancing, no replica ready,
 *           backend down: neither up nor down, only the bounds apply
 *   hold up a stuck partition, a saturated backend: down is still possible
 *   asleep  0 -> N in one step by backlog; to 0 when every message has been committed, every
 *           partition has a committed offset and nothing has arrived for the whole window
 *
 * Capacity is what one replica was seen to commit while it had a backlog (its true rate), so it is
 * learned only then (though never less than what each is seen to do), and kept: it is the one part
 * of the memory that outlives the process, through status. As long as it is unknown, wanted =
 * ceil(lag / messages_per_replica_max), the way down goes one step for each window, and a step that
 * had to be taken back is not repeated at that rate.
 *
 * A step up that brings less than a tenth of what it should have is the sign of a backend that has
 * no more to give: no further step until SCALING_SATURATED_RETRY_MS has passed or the lag is gone.
 */
#ifndef CONTROLLER_SCALING_SCALING_H
#define CONTROLLER_SCALING_SCALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCALING_UP_BAND            1.05
#define SCALING_DOWN_BAND          0.80
#define SCALING_DOWN_WINDOW_MS     300000u /* where settings say 0 */
#define SCALING_SETTLE_MS          60000u  /* from a change of replicas until rates are believed */
#define SCALING_IN_FLIGHT_MS       5000u   /* arrivals younger than a commit are no backlog */
#define SCALING_LEARN_LAG_MS       15000u  /* a younger backlog may be only what is in flight */
#define SCALING_SATURATED_RETRY_MS 600000u

#define SCALING_WINDOW_BUCKETS 10
#define SCALING_SENTENCE_MAX   320

enum scaling_mode { SCALING_HPA, SCALING_DIRECT, SCALING_FIXED };

/* What the spec says. */
struct scaling_settings {
    enum scaling_mode mode;
    bool paused;
    uint32_t replicas_min, replicas_max;
    uint32_t partitions; /* sum over the topics; 0: not known yet, so no cap and no steps */
    uint64_t drain_within_ms;
    uint64_t messages_per_replica_max;
    uint64_t wake_above;
    uint64_t down_window_ms; /* 0: SCALING_DOWN_WINDOW_MS */
    uint64_t settle_ms;      /* commits are held back so long: what is that young is no backlog */
};

enum scaling_group {
    SCALING_GROUP_UNKNOWN,
    SCALING_GROUP_EMPTY,
    SCALING_GROUP_STABLE,
    SCALING_GROUP_REBALANCING
};
enum scaling_backend {
    SCALING_BACKEND_UNKNOWN,
    SCALING_BACKEND_UP,
    SCALING_BACKEND_SATURATED,
    SCALING_BACKEND_DOWN
};

/* What was seen. Strings are loans for the length of the call and may be NULL. */
struct scaling_observation {
    uint32_t replicas_current; /* the Deployment's spec.replicas, whoever set them */
    uint32_t replicas_ready;

    bool lag_known; /* fresh and of all partitions */
    const char *lag_unknown_why;
    uint64_t lag_messages; /* with what stuck partitions hold */
    uint64_t lag_ms;       /* age of the oldest message not committed */
    bool lag_ms_known;
    double arrival_rate, consume_rate; /* messages per second */
    bool rates_known;
    uint32_t partitions_lagging;
    bool committed_everywhere; /* each partition has a committed offset, or is empty */

    uint32_t partitions_stuck; /* commit unmoved for minutes in spite of lag */
    uint64_t lag_stuck;
    const char *stuck_where; /* "shop.traces/3 at offset 712" */

    enum scaling_group group;
    uint32_t members_foreign;
    const char *foreign_who;

    enum scaling_backend backend;
    const char *backend_error;
};

/* Reasons are the words of the ScalingActive condition. */
#define SCALING_REASONS(X)                        \
    X(SCALING_STEADY, "Steady")                   \
    X(SCALING_UP, "LagAboveTarget")               \
    X(SCALING_UP_COLD, "ColdStart")               \
    X(SCALING_WOKEN, "WokenByLag")                \
    X(SCALING_ASLEEP, "ScaledToZero")             \
    X(SCALING_DOWN, "LagBelowTarget")             \
    X(SCALING_DOWN_WAITS, "ScaleDownStabilized")  \
    X(SCALING_AT_MAX, "AtMaxReplicas")            \
    X(SCALING_AT_PARTITIONS, "AtPartitions")      \
    X(SCALING_BOUNDS, "OutOfBounds")              \
    X(SCALING_HELD_FIXED, "Fixed")                \
    X(SCALING_HELD_PAUSED, "Paused")              \
    X(SCALING_HELD_LAG_UNKNOWN, "LagUnknown")     \
    X(SCALING_HELD_SHARED, "GroupShared")         \
    X(SCALING_HELD_REBALANCING, "Rebalancing")    \
    X(SCALING_HELD_NOT_READY, "NoReplicaReady")   \
    X(SCALING_HELD_BACKEND_DOWN, "BackendDown")   \
    X(SCALING_HELD_SATURATED, "BackendSaturated") \
    X(SCALING_HELD_STUCK, "PartitionStuck")

enum scaling_reason {
#define X(code, text) code,
    SCALING_REASONS(X)
#undef X
};

/* Zero-initialised is the memory of a new gateway. Only `capacity` is kept over restarts. */
struct scaling_memory {
    double capacity; /* messages per second of one replica; 0: not known */
    uint64_t capacity_at_ms;

    bool begun;
    uint32_t decided;                   /* the last decision: the present replicas */
    uint32_t replicas_seen, ready_seen; /* to notice changes */
    uint64_t changed_at_ms;
    uint64_t backlog_at_ms; /* since when there has been a backlog; 0: there is none */

    /* What was wanted lately: the largest number in each tenth of the window. */
    uint32_t window[SCALING_WINDOW_BUCKETS];
    uint64_t window_tick, window_tick_ms;

    /* The last step up, until it has been judged. step_rate 0: nothing to judge. */
    uint32_t step_from, step_to;
    double step_rate;
    uint64_t step_at_ms;

    bool saturated;
    uint64_t saturated_at_ms;
    double saturated_rate;

    uint64_t busy_at_ms; /* when there last was anything to do */

    /* While the capacity is not known, a step down is an experiment. One that had to be taken back
     * is not repeated until less arrives: cold_floor replicas are needed for cold_rate. */
    uint64_t down_at_ms;
    uint32_t down_from, cold_floor;
    double cold_rate, down_rate;
};

struct scaling_decision {
    uint32_t wanted;
    enum scaling_reason reason;
    bool held;    /* nothing is decided: ScalingActive is False */
    bool limited; /* more is needed than bounds or partitions allow: ScalingLimited */
    double need;  /* replicas before steps and bounds; 0 where not computed */
    double capacity;
    char sentence[SCALING_SENTENCE_MAX];
};

/* The wanted replicas. `now_ms` is monotonic; `memory` is updated in place. */
struct scaling_decision scaling_decide(uint64_t now_ms, const struct scaling_settings *settings,
                                       const struct scaling_observation *observation,
                                       struct scaling_memory *memory);

const char *scaling_reason_name(enum scaling_reason reason);

/* The smallest step >= `replicas`, or `partitions` if that is less; 0 stays 0. With partitions 0
 * every number is a step. */
uint32_t scaling_step_up(uint32_t partitions, uint32_t replicas);

/* The largest step <= `replicas`. */
uint32_t scaling_step_down(uint32_t partitions, uint32_t replicas);

struct scaling_bounds {
    uint32_t replicas_min, replicas_max;
};

/* The HPA's bounds for `wanted`: its floor follows the lag; its ceiling too, unless CPU may ask for
 * more. An HPA can't say 0, and is inert while the Deployment stands at 0. */
struct scaling_bounds scaling_hpa_bounds(bool cpu, uint32_t wanted, uint32_t replicas_max);

/* Whether /scale must be written now. With CPU as a second metric the HPA may rightly stand above
 * `wanted`, and only it may go down from there, but for the way to 0. */
bool scaling_must_patch(enum scaling_mode mode, bool cpu, uint32_t current, uint32_t wanted);

#endif
