/* suspect: whether it is a request that a backend fails on, and not the backend that is down.
 *
 * Some answers mean "later" and are given for an item that will never be taken: a plain 500, gRPC's
  * INTERNAL. One that fails so SUSPECT_TRIES times, with others stored before each of those, is to
  * be halved: its good items get through, and in the end what is at fault is tried again alone. It
  * is never taken for refused: no backend has said so. In an outage nothing is stored, so nothing
  * is halved. */
#ifndef SIDECAR_GATEWAY_SUSPECT_H
#define SIDECAR_GATEWAY_SUSPECT_H

#include <stdbool.h>
#include <stdint.h>

#define SUSPECT_TRIES 5

struct suspect {
    uint64_t stored; /* requests, when this one was made or failed last */
    unsigned times;
};

/* A failure; `stored`: requests that the backend has taken so far. True: halve it. */
static inline bool suspect_failed(struct suspect *suspect, bool may_be_data, uint64_t stored)
{
    bool others_are_stored = stored != suspect->stored;

    suspect->stored = stored;
    suspect->times += may_be_data && others_are_stored;
    return suspect->times >= SUSPECT_TRIES;
}

#endif
