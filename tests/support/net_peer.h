/* net_peer: the other end of a connection, played by a test byte by byte, in the same thread as the
 * loop under test: whatever waits runs the loop meanwhile. Everything fails the test rather than
 * returning an error, and after some seconds rather than never.
 */
#ifndef TESTS_SUPPORT_NET_PEER_H
#define TESTS_SUPPORT_NET_PEER_H

#include "common/buf.h"
#include "sidecar/net/net_loop.h"

#include <stdbool.h>

struct net_peer {
    struct net_loop *loop;
    int fd;
    struct buf in; /* received and not consumed */
    bool ended;    /* the other side has closed, or reset */
};

/* Connects to 127.0.0.1. */
void net_peer_connect(struct net_peer *peer, struct net_loop *loop, uint16_t port);

/* Listens on 127.0.0.1, any port. */
int net_peer_listen(uint16_t *ret_port);
void net_peer_accept(struct net_peer *peer, struct net_loop *loop, int listener);

/* Closes what is open; reset() without a goodbye. */
void net_peer_close(struct net_peer *peer);
void net_peer_reset(struct net_peer *peer);

/* Sends all of it, running the loop where the kernel takes no more. */
void net_peer_send(struct net_peer *peer, const void *data, size_t len);
void net_peer_send_text(struct net_peer *peer, const char *text);

/* Takes in what has come, without waiting; false: nothing new. */
bool net_peer_take(struct net_peer *peer);

/* Runs the loop until this much is there, or text, or the end. */
void net_peer_await(struct net_peer *peer, size_t len);
void net_peer_await_text(struct net_peer *peer, const char *text);
void net_peer_await_end(struct net_peer *peer);

/* The text received so far; to be forgotten with buf_clear(&peer->in). */
const char *net_peer_text(struct net_peer *peer);

/* Runs the loop until *flag, or for a time. */
void net_peer_run_until(struct net_loop *loop, const bool *flag);
void net_peer_run_for(struct net_loop *loop, uint32_t ms);

#endif
