#include "sidecar/edge/receive_kafka.h"

#include "common/assert.h"

void receive_kafka_began(struct receive_kafka *kafka, uint64_t now_ms)
{
    if (kafka->waiting++ == 0)
        kafka->since_ms = now_ms;
}

void receive_kafka_ended(struct receive_kafka *kafka, bool well, uint64_t now_ms)
{
    ASSERT(kafka->waiting > 0);
    kafka->waiting--;
    if (well)
        kafka->since_ms = now_ms;
}

bool receive_kafka_is_away(const struct receive_kafka *kafka, uint64_t now_ms, uint32_t patience_ms)
{
    return kafka->waiting > 0 && now_ms > kafka->since_ms + patience_ms;
}
