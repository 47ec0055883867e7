#include "sidecar/edge/receive_kafka.h"

#include "common/assert.h"
#include "common/attr.h"

static void leave(struct receive_kafka_call *call)
{
    *call->at = call->next;
    if (call->next != NULL)
        call->next->at = call->at;
    *call = (struct receive_kafka_call){0};
}

/* When those that wait are given up if nothing ends well until then. */
static uint64_t due_ms(const struct receive_kafka *kafka)
{
    uint64_t due = kafka->since_ms + 2 * (uint64_t)kafka->patience_ms + 1;
    uint64_t hurried = kafka->hurried_ms + kafka->patience_ms + 1;

    return kafka->hurried_ms != 0 && hurried < due ? hurried : due;
}

static void look_when_due(struct receive_kafka *kafka)
{
    if (kafka->calls != NULL && (!kafka->timer.armed || kafka->timer.at_ms > due_ms(kafka)))
        net_timer_set(kafka->loop, &kafka->timer, due_ms(kafka));
}

static void on_timer(struct net_timer *timer)
{
    struct receive_kafka *kafka = CONTAINER_OF(timer, struct receive_kafka, timer);

    while (kafka->calls != NULL && net_loop_now_ms(kafka->loop) >= due_ms(kafka)) {
        struct receive_kafka_call *call = kafka->calls;
        leave(call);
        kafka->give_up(call);
    }
    look_when_due(kafka);
}

void receive_kafka_init(struct receive_kafka *kafka, struct net_loop *loop, uint32_t patience_ms,
                        void (*give_up)(struct receive_kafka_call *call))
{
    *kafka = (struct receive_kafka){
        .loop = loop, .patience_ms = patience_ms, .give_up = give_up, .timer = {.fire = on_timer}};
}

void receive_kafka_fini(struct receive_kafka *kafka)
{
    ASSERT(kafka->waiting == 0);
    if (kafka->loop != NULL)
        net_timer_cancel(kafka->loop, &kafka->timer);
}

void receive_kafka_began(struct receive_kafka *kafka, struct receive_kafka_call *call)
{
    if (kafka->waiting++ == 0)
        kafka->since_ms = net_loop_now_ms(kafka->loop);
    call->next = kafka->calls;
    call->at = &kafka->calls;
    if (call->next != NULL)
        call->next->at = &call->next;
    kafka->calls = call;
    look_when_due(kafka);
}

void receive_kafka_ended(struct receive_kafka *kafka, struct receive_kafka_call *call, bool well)
{
    ASSERT(kafka->waiting > 0);
    kafka->waiting--;
    if (call->at != NULL)
        leave(call);
    if (well)
        kafka->since_ms = net_loop_now_ms(kafka->loop);
}

void receive_kafka_hurry(struct receive_kafka *kafka)
{
    kafka->hurried_ms = net_loop_now_ms(kafka->loop);
    look_when_due(kafka);
}

bool receive_kafka_is_away(const struct receive_kafka *kafka)
{
    return kafka->waiting > 0 &&
           net_loop_now_ms(kafka->loop) > kafka->since_ms + kafka->patience_ms;
}
