/* gateway: the wiring of one gateway: who hands what to whom, on one thread.
 *
 *   Kafka --intake--> parcels --delivery--> requests --export--> backend
 *     ^                 |          |
 *     |                 +--done----+--refused alone--> dead letters
 *     +-- commit: below the lowest that is outstanding
 *
 * All of it runs on one loop; the network is asynchronous and nothing waits for an export, so the
 * group's polling goes on whatever the backend does. What is in memory is bounded by the gateway's
 * memoryLimit: partitions are paused when their share is full, until half of it is free.
 *
 * Stop: no more messages, what is under way is delivered as far as time allows, offsets are
 * committed, the group is left.
 *
 * Thread: gateway_start() and gateway_stop() from the main thread.
 */
#ifndef SIDECAR_GATEWAY_GATEWAY_H
#define SIDECAR_GATEWAY_GATEWAY_H

#include "common/attr.h"
#include "common/contract/pipeline.h"
#include "common/error.h"

#include <stdbool.h>

struct gateway;
struct json;
struct spool;

/* Loans for the gateway's life. */
struct gateway_options {
    const struct pipeline *pipeline;
    const struct pipeline_gateway *gateway;
    const char *secrets_dir;      /* NULL: none */
    struct spool *spool;          /* single node: read this, not Kafka */
    const char *dead_letters_dir; /* single node: <gateway>.dead-letters.jsonl goes there */
    const char *health_listen;    /* "ADDR:PORT"; NULL: no server of its own */
    const char *metrics_listen;
    /* Adds to /debug/state, on the HTTP server's thread; NULL: nothing to add. */
    void (*more_state)(void *context, struct json *root);
    void *more_state_context;
};

NODISCARD enum err gateway_start(const struct gateway_options *options,
                                 struct gateway **ret_gateway, struct error *error);

/* Takes over what of a changed document a gateway can change while it runs: batch, retry, holdAbove
 * and the backend. Returns when it holds: for another backend, when what was under way to the old
 * one has been answered, at most 10 s later. `pipeline` has this gateway; it is copied. An error,
 * as of gateway_start(): nothing has changed. */
NODISCARD enum err gateway_change(struct gateway *gateway, const struct pipeline *pipeline,
                                  struct error *error);

/* Drains for at most `grace_ms` and frees. */
void gateway_stop(struct gateway **gateway, uint32_t grace_ms);

/* There is something new in the spool; any thread. Without it the spool is looked at now and then.
 */
void gateway_kick(struct gateway *gateway);

/* What /debug/state says; any thread. The caller frees it.
 *
 *   {"role":"gateway","pipeline":"shop","gateway":"tempo","generation":3,"ready":true,
 *    "backend":{"state":"up|failing|mend|holding","trouble":"","failures":N,"requests":N,
 *               "inFlight":N,"waiting":N},
 *    "intake":{"protocol":"consumer","partitions":N,"heldBytes":N,"trouble":""},
 *    "deadLetters":{"waiting":N,"trouble":""},
 *    "ledger":{"consumedItems":N,"deliveredItems":N,"filteredItems":N,"deadLetters":N,
 *              "rejectedItems":N,"repeats":N,"undecodable":N,"missedMessages":N}} */
struct json *gateway_state(struct gateway *gateway);

#endif
