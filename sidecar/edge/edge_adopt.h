/* edge_adopt: which directory the spool is in, and what other ones hold.
 *
 *   HOME            the edge's directory; a spool is in it, and is locked by its owner
 *   HOME/2 .. /4    for a new pod that starts while the earlier one still has HOME
 *
 * A new pod takes the first of them that nobody has. Whatever another one holds, once nobody has it
 * any more, is adopted: opened, sent to Kafka with its own identities and journal, and, but for
 * HOME, emptied. One at a time, so the memory is that of one more producer.
 *
 * An edge that follows files waits for HOME instead, because its positions are there; so does one
 * without Kafka, whose gateways read one spool only.
 *
 * Thread: the wiring; adoption has a thread of its own.
 */
#ifndef SIDECAR_EDGE_EDGE_ADOPT_H
#define SIDECAR_EDGE_EDGE_ADOPT_H

#include "common/arena.h"
#include "sidecar/edge/produce.h"
#include "sidecar/spool/spool.h"

#define EDGE_DIRS_MAX 4

/* Opens the spool in `config->dir`, or, with `may_move`, beside it, and tells where. Waits up to
 * `wait_ms` for an owner to leave. ERR_CONFLICT: none did; the error names the last one. */
NODISCARD enum err edge_claim_spool(const struct spool_config *config, bool may_move,
                                    uint32_t wait_ms, struct arena *arena, const char **ret_dir,
                                    struct spool **ret_spool, struct error *error);

struct edge_adopt;

/* Loans for its life, but for `produce`, whose spool and journal are not looked at. */
struct edge_adopt_options {
    const char *home;                 /* where all may be */
    const char *own;                  /* the one that this edge has */
    const struct spool_config *spool; /* the edge's own; copied */
    const struct produce_options *produce;
    uint32_t look_every_ms; /* 0: ten seconds */
};

NODISCARD enum err edge_adopt_start(const struct edge_adopt_options *options,
                                    struct edge_adopt **ret_adopt, struct error *error);

/* Ends what it does; what is left stays for the next one. Accepts NULL. */
void edge_adopt_stop(struct edge_adopt **adopt);

#endif
