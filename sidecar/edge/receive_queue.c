/* Room is made by the committer, which then posts answers to the loops: that is when it is looked
 * for. But the answers may be other loops' or those of files, so while anything waits a timer looks
 * too. */
#include "sidecar/edge/receive_queue.h"

#include "common/assert.h"

#include <stdlib.h>

enum { LOOK_MS = 2 };

struct receive_waiter {
    struct receive_waiter *next;
    struct net_request *request;
    void *context;
    uint64_t until_ms;
};

static void on_timer(struct net_timer *timer)
{
    receive_queue_look(CONTAINER_OF(timer, struct receive_queue, timer));
}

void receive_queue_init(struct receive_queue *queue, struct net_loop *loop, struct spool *spool,
                        uint32_t wait_ms, void (*serve)(void *context, struct net_request *request))
{
    *queue = (struct receive_queue){.loop = loop,
                                    .spool = spool,
                                    .wait_ms = wait_ms,
                                    .serve = serve,
                                    .timer = {.fire = on_timer}};
    queue->last = &queue->first;
}

void receive_queue_fini(struct receive_queue *queue)
{
    ASSERT(queue->first == NULL);
    if (queue->loop != NULL)
        net_timer_cancel(queue->loop, &queue->timer);
}

bool receive_queue_take(struct receive_queue *queue, void *context, struct net_request *request)
{
    uint64_t now_ms = net_loop_now_ms(queue->loop);

    if (queue->first == NULL && spool_has_room(queue->spool))
        return false;
    struct receive_waiter *waiter = malloc(sizeof *waiter);
    if (waiter == NULL)
        return false; /* the spool will say something to it */
    *waiter = (struct receive_waiter){
        .request = request, .context = context, .until_ms = now_ms + queue->wait_ms};
    *queue->last = waiter;
    queue->last = &waiter->next;
    atomic_fetch_add(&queue->count, 1);
    if (!queue->timer.armed)
        net_timer_set(queue->loop, &queue->timer, now_ms + LOOK_MS);
    return true;
}

void receive_queue_look(struct receive_queue *queue)
{
    uint64_t now_ms = net_loop_now_ms(queue->loop);

    while (queue->first != NULL &&
           (spool_has_room(queue->spool) || now_ms >= queue->first->until_ms)) {
        struct receive_waiter *waiter = queue->first;
        queue->first = waiter->next;
        if (queue->first == NULL)
            queue->last = &queue->first;
        queue->serve(waiter->context, waiter->request);
        free(waiter);
        atomic_fetch_sub(&queue->count, 1); /* now the spool counts it, or it has its answer */
    }
    if (queue->first != NULL && !queue->timer.armed)
        net_timer_set(queue->loop, &queue->timer, now_ms + LOOK_MS);
}

size_t receive_queue_count(const struct receive_queue *queue)
{
    return atomic_load(&queue->count);
}
