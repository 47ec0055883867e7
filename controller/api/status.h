/* status: the status of a TelemetryPipeline, typed, and its conditions after the kstatus
 * conventions. Pure.
 *
 *   facts (what was seen)  --desired/conditions.h-->  conditions
 *   facts + conditions     --status_to_json-->        .status
 *   old and new .status    --status_judge-->          write now, later, or not at all
 *
 * Ready is True when all below it is. Reconciling and Stalled are there only while they are true.
 * lastTransitionTime moves only with a condition's status.
 *
 * A status is calm: 3,000 pipelines must not write 300 times a second. It is written at once when a
 * condition's status or reason, a topic's state or the wanted replicas change or are reached, and
 * else at most once in STATUS_INTERVAL_MS. Numbers that move all the time have two significant
 * digits there; the exact ones are in the metrics.
 */
#ifndef CONTROLLER_API_STATUS_H
#define CONTROLLER_API_STATUS_H

#include "common/contract/pipeline.h"
#include "common/json.h"

#define STATUS_INTERVAL_MS 60000u
#define STATUS_TEXT_MAX    1100
#define STATUS_WORD_MAX    480
#define STATUS_TOPICS_MAX  (2 * PIPELINE_TOPICS_MAX + PIPELINE_GATEWAYS_MAX) /* dead letters too */
#define CONDITIONS_MAX     8

/* ---- conditions */

enum condition_status { CONDITION_UNKNOWN, CONDITION_FALSE, CONDITION_TRUE };

struct condition {
    const char *type, *reason; /* literals, or as long as the set */
    enum condition_status status;
    char message[STATUS_TEXT_MAX];
};

struct condition_set {
    struct condition items[CONDITIONS_MAX];
    size_t count;
};

#define CONDITION_READY          "Ready"
#define CONDITION_RECONCILING    "Reconciling"
#define CONDITION_STALLED        "Stalled"
#define CONDITION_TOPICS_READY   "TopicsReady"
#define CONDITION_EDGES_READY    "EdgesReady"
#define CONDITION_GATEWAYS_READY "GatewaysReady"
#define CONDITION_SCALING_ACTIVE "ScalingActive"

/* Adds a condition, or replaces the one of that type. */
void condition_put(struct condition_set *set, const char *type, enum condition_status status,
                   const char *reason, const char *format, ...) PRINTF_LIKE(5, 6);
const struct condition *condition_find(const struct condition_set *set, const char *type);

/* ---- facts */

struct topic_status {
    const char *name;  /* in the document; a dead-letter topic's is its Kafka name */
    const char *topic; /* Kafka's */
    const char *state; /* a word of kafka_admin's, NULL: not known yet */
    bool usable;       /* messages can be written and read */
    bool settled;      /* nothing more is to be done */
    char topic_id[24];
    const char *made; /* "Intended" or "Created" by us, else NULL: kept, so that a restart knows */
    int64_t partitions, replication_factor; /* 0: not known */
    char message[STATUS_TEXT_MAX];
};

/* How a changed document is on its way to the pods; see desired/rollout.h. */
struct rollout_status {
    const char *reason; /* a literal; NULL: they have it, or Kubernetes replaces them */
    bool held, paused;
    char sentence[STATUS_TEXT_MAX / 2];
};

struct edge_status {
    const char *name;
    bool exists;
    int64_t desired, ready, updated;
    int64_t generation; /* that its pods run; 0: not known */
    bool spool_known;
    int64_t spooled_bytes, oldest_spooled_seconds;
    bool full;
    const struct json *stranded;   /* claims that hold data and have no pod: names; NULL: none */
    int64_t stranded_replicas;     /* so many would take them all up again */
    char problem[STATUS_WORD_MAX]; /* of one of its pods: "Pod shop-edge-0 ..." */
    char remark[STATUS_WORD_MAX];  /* likewise, of what it does without */
    struct rollout_status rollout;
};

struct gateway_status {
    const char *name, *group_id;
    const char *group_state; /* NULL: not known */
    bool exists;
    int64_t replicas, ready, updated;
    int64_t wanted;
    int64_t generation;
    bool lag_known;
    int64_t lag_messages;
    int64_t lag_seconds, drain_seconds, time_to_loss_seconds; /* -1: not known */
    double capacity;                                          /* messages/s; 0: not known */
    int64_t dead_letters;                                     /* -1: not known */
    bool scaling_known, scaling_held;
    const char *reason;             /* of scaling; NULL: none yet */
    char sentence[STATUS_TEXT_MAX]; /* of scaling */
    const char *backend;            /* "Up", "Down", "Saturated", "Unknown" */
    char backend_error[STATUS_WORD_MAX];
    char problem[STATUS_WORD_MAX];
    struct rollout_status rollout;
};

struct pipeline_status {
    int64_t observed_generation;
    struct condition_set conditions;
    struct topic_status topics[STATUS_TOPICS_MAX];
    size_t topic_count;
    struct edge_status edges[PIPELINE_EDGES_MAX];
    size_t edge_count;
    struct gateway_status gateways[PIPELINE_GATEWAYS_MAX];
    size_t gateway_count;
};

/* The .status to write. `old`: the present one, or NULL, whose transition times go on. */
struct json *status_to_json(const struct pipeline_status *status, const struct json *old,
                            const char *now);

/* As status_to_json(), for a document that can't be read: only the conditions are new, the lists
 * stay as they were. */
struct json *status_of_conditions(const struct condition_set *conditions, int64_t generation,
                                  const struct json *old, const char *now);

enum status_verdict { STATUS_KEEP, STATUS_LATER, STATUS_NOW };
enum status_verdict status_judge(const struct json *old, const struct json *now);

/* Two significant digits: 12345 is 12000. */
int64_t status_round(int64_t value);

/* What a restarted operator must not forget: the capacity of a gateway, its wanted replicas (-1:
 * never decided). */
void status_remember_gateway(const struct json *old, const char *gateway, double *ret_capacity,
                             int64_t *ret_wanted);

#endif
