/* probe: what the sidecars say of themselves, asked by the leader: gateways every 5 s, edges every
 * minute (every 5 s while something is rolled out), on /debug/state of their health port.
 *
 *   due pods --http_submit--> answer --probe_read--> pod_state --> board of pods
 *
 * Bounded: PROBE_IN_FLIGHT questions at a time, PROBE_TIMEOUT_MS for each, PROBE_BODY_MAX of
 * answer. A pod that doesn't answer is Unknown, and what it said last is forgotten after
 * PROBE_STALE_MS.
 *
 * Metrics: surgetank_probe_requests_total{outcome}.
 * Thread: its own asks; probe_pod() from any.
 */
#ifndef CONTROLLER_RECONCILE_PROBE_H
#define CONTROLLER_RECONCILE_PROBE_H

#include "common/json.h"
#include "controller/cache/store.h"

enum {
    PROBE_GATEWAY_MS = 5000,
    PROBE_EDGE_MS = 60000,
    PROBE_STARTING_MS = 5000, /* an edge that has not answered yet */
    PROBE_TIMEOUT_MS = 3000,
    PROBE_STALE_MS = 30000, /* beyond a pod's own interval */
    PROBE_IN_FLIGHT = 64,
    PROBE_BODY_MAX = 256 << 10,
    PROBE_TEXT_MAX = 240,
};

enum probe_backend { PROBE_BACKEND_UNKNOWN, PROBE_BACKEND_UP, PROBE_BACKEND_DOWN };

struct pod_state {
    bool known;
    int64_t generation;           /* of the document it runs; 0: not said */
    int64_t taken_seconds;        /* for how long */
    char refused[PROBE_TEXT_MAX]; /* why it did not take another; "" if there is none */

    char metadata_trouble[PROBE_TEXT_MAX]; /* an edge can't watch its node's pods; "" */

    bool spool_known;      /* an edge */
    int64_t spooled_bytes; /* 0: nothing waits */
    int64_t oldest_spooled_seconds;
    bool full;

    enum probe_backend backend; /* a gateway */
    char backend_error[PROBE_TEXT_MAX];
    int64_t dead_letters; /* since it started; -1: not said */
};

/* For kube_watch_config.project: object_project_pod(), and the number of the health port kept
 * beside. */
void probe_project_pod(struct json *pod);
#define PROBE_PORT_PATH "spec.healthPort"

/* Reads an answer. Pure; what it doesn't find stays unknown. */
void probe_read(const struct json *answer, uint64_t wall_ms, struct pod_state *ret_state);

struct probe;

/* Starts asking. `store` outlives it. */
NODISCARD enum err probe_create(struct store *store, struct probe **ret_probe, struct error *error);
void probe_destroy(struct probe **probe);

/* Asks only while `active`: the leader's business. */
void probe_set_active(struct probe *probe, bool active);

/* For a while the pod is asked as often as a gateway: something is about to change there. */
void probe_hurry(struct probe *probe, const char *uid);

/* What the pod with this uid said last; `known` is false if nothing, or too long ago. */
void probe_pod(struct probe *probe, const char *uid, struct pod_state *ret_state);

#endif
