/* net_lookup: the addresses of a name, found without holding up the loop: getaddrinfo() runs in a
 * thread of its own, for as long as the resolver takes.
 *
 * Internal to sidecar/net. Thread: the loop's.
 */
#ifndef SIDECAR_NET_NET_LOOKUP_H
#define SIDECAR_NET_NET_LOOKUP_H

#include "common/attr.h"
#include "common/error.h"

#include <stdint.h>
#include <sys/socket.h>

enum { NET_ADDRESSES_MAX = 16 };

struct net_addresses {
    struct sockaddr_storage list[NET_ADDRESSES_MAX];
    socklen_t len[NET_ADDRESSES_MAX];
    unsigned count;
};

struct net_loop;
struct net_lookup;

/* Starts. `done` is called once from the loop, never from within this function, with addresses (at
 * least one; valid during the call) or, when there are none, NULL and an error. */
NODISCARD enum err net_lookup_start(struct net_loop *loop, const char *host, uint16_t port,
                                    void (*done)(void *ctx, const struct net_addresses *addresses,
                                                 const struct error *error),
                                    void *ctx, struct net_lookup **ret_lookup, struct error *error);

/* `done` will not be called. To be used before it has been, not after; NULL is fine. */
void net_lookup_cancel(struct net_lookup **lookup);

#endif
