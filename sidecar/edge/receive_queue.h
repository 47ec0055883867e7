/* receive_queue: whole requests that wait, in the order of their coming, until the spool has room.
 *
 *   take --room, and nobody before it--> false: serve it now
 *    `--> waiting --room, wait_ms over, or the spool closes--> serve()
 *
 * They wait as they came, compressed perhaps, and go on holding their share of the budget: so those
 * behind them are not read, and the senders wait. After `wait_ms` a request is served whatever the
 * spool says to it, and gets that for an answer.
 *
 * Thread: that of its loop.
 */
#ifndef SIDECAR_EDGE_RECEIVE_QUEUE_H
#define SIDECAR_EDGE_RECEIVE_QUEUE_H

#include "sidecar/net/net_loop.h"
#include "sidecar/net/net_request.h"
#include "sidecar/spool/spool.h"

#include <stdatomic.h>

struct receive_waiter;

struct receive_queue {
    struct net_loop *loop;
    struct spool *spool;
    uint32_t wait_ms;
    void (*serve)(void *context, struct net_request *request);
    struct receive_waiter *first, **last;
    struct net_timer timer;
    atomic_size_t count;
};

void receive_queue_init(struct receive_queue *queue, struct net_loop *loop, struct spool *spool,
                        uint32_t wait_ms,
                        void (*serve)(void *context, struct net_request *request));

/* Nothing must be waiting. */
void receive_queue_fini(struct receive_queue *queue);

/* True: the request waits, and serve(context, request) will be called from the loop. */
bool receive_queue_take(struct receive_queue *queue, void *context, struct net_request *request);

/* There may be room now: serves those that it is enough for. */
void receive_queue_look(struct receive_queue *queue);

/* How many wait. Any thread. */
size_t receive_queue_count(const struct receive_queue *queue);

#endif
