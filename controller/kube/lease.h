/* lease: one of several operators leads, by a coordination.k8s.io/v1 Lease.
 *
 *   STANDBY --lease absent, released, or unchanged for its duration--> write it --> LEADING
 *   LEADING --renewed every 2 s (with jitter)--> LEADING
 *   LEADING --not renewed for 10 s, or somebody else's name in it--> LOST (on_lost at once)
 *   LEADING --lease_destroy()--> on_lost, holderIdentity "" and duration 1, so that the next one
 *                                needn't wait
 *
 * Validity is judged by our own monotonic clock since we last saw the record change, never by
 * comparing clocks of two machines. Every write carries the resourceVersion that was read. As a
 * leader counts from before its last successful renewal, it has stopped before another may start,
 * as long as 10 s and 15 s pass at the same speed on both.
 *
 * Thread: its own, with a kube_client of its own, so that nothing else delays a renewal. Callbacks
 * run on it and must be quick.
 */
#ifndef CONTROLLER_KUBE_LEASE_H
#define CONTROLLER_KUBE_LEASE_H

#include "common/kube/client.h"

enum { LEASE_DURATION_MS = 15000, LEASE_RENEW_DEADLINE_MS = 10000, LEASE_RETRY_MS = 2000 };

/* ---- the decision. Pure. */

struct lease_view {
    const char *identity; /* ours */
    bool exists;          /* the Lease does */
    const char *holder;   /* holderIdentity, "" if released */
    uint64_t duration_ms; /* as the record says */
    uint64_t seen_ms;     /* when we first saw the record as it is now */
    bool leading;         /* we do, as far as we know */
    uint64_t renewed_ms;  /* when our last successful write began */
};

enum lease_action {
    LEASE_WAIT,   /* somebody else's, and valid */
    LEASE_CREATE, /* there is none */
    LEASE_TAKE,   /* released or run out: write our name */
    LEASE_RENEW,  /* ours */
    LEASE_LOSE,   /* we led, and must stop now */
};
enum lease_action lease_decide(const struct lease_view *view, uint64_t now_ms);

/* The Lease object to write: from `old` (NULL: there is none) with our name and `wall_ns`. */
struct json *lease_record(const struct json *old, const char *namespace, const char *name,
                          const char *identity, bool release, uint64_t wall_ns);

/* ---- the actor */

struct lease;

struct lease_config {
    const char *namespace, *name;
    const char *identity; /* unique: pod name and a random part */
    void (*on_leading)(void *context);
    void (*on_lost)(void *context); /* writes must have stopped when it returns */
    /* Reading or writing the record failed, and is tried again; for the log. May be NULL. */
    void (*on_trouble)(void *context, const struct error *error);
    void *context;
};

/* Takes `client`. Starts trying at once. */
NODISCARD enum err lease_create(struct kube_client **client, const struct lease_config *config,
                                struct lease **ret_lease, struct error *error);

/* Gives the lease back if we have it (on_lost comes before), and joins. */
void lease_destroy(struct lease **slot);

/* Who leads, as last seen ("" if unknown), and whether its record is still fresh. */
bool lease_leader(struct lease *lease, char *into, size_t size);

#endif
