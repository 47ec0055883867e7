#include "sidecar/edge/produce_topic.h"

#include "common/clock.h"
#include "common/log.h"
#include "sidecar/edge/produce.h"

enum {
    MESSAGE_OVERHEAD = 4096, /* headers and the batch around a value */
    UNKNOWN_MAX = 1000000, /* librdkafka's and the Collector's default, where a topic won't tell */
    DESCRIBE_WAIT_MS = 1000,
    DESCRIBE_AGAIN_MS = 1000, /* while a topic is unknown */
    DESCRIBE_EVERY_MS = 60000,
};

void produce_topic_init(struct produce_topic *topic, const struct pipeline_topic *wanted,
                        uint32_t tag)
{
    *topic = (struct produce_topic){.name = wanted->topic,
                                    .dead_letter = wanted->dead_letter,
                                    .signal = wanted->signal,
                                    .tag = tag,
                                    .key = wanted->partition_by,
                                    .encoding = wanted->encoding,
                                    .message_max = UNKNOWN_MAX};
}

/* Where it can't be asked, what was known before counts, else the default. */
static void learn_message_max(struct produce_topic *topic, struct producer *producer)
{
    struct error error = {0};

    enum err err =
        producer_message_max(producer, topic->name, DESCRIBE_WAIT_MS, &topic->message_max, &error);
    if (err == ERR_NOTFOUND)
        LOG_DEBUG("The broker does not tell max.message.bytes", LOG_STR("topic", topic->name),
                  LOG_U64("assumed", topic->message_max));
    else if (err)
        LOG_WARN("Could not learn a topic's max.message.bytes", LOG_STR("topic", topic->name),
                 LOG_U64("assumed", topic->message_max), LOG_STR("error", error.text));
}

enum err produce_topic_refresh(struct produce_topic *topic, struct producer *producer,
                               struct error *error)
{
    if (clock_mono_ms() < topic->describe_at_ms)
        return OK;
    enum err err =
        producer_describe(producer, topic->name, DESCRIBE_WAIT_MS, &topic->described, error);
    topic->described_ms = clock_mono_ms();
    topic->describe_at_ms = topic->described_ms + (err ? DESCRIBE_AGAIN_MS : DESCRIBE_EVERY_MS);
    if (err == ERR_NOTFOUND)
        topic->known = false;
    if (err)
        return err;
    topic->known = true;
    learn_message_max(topic, producer);
    return OK;
}

void produce_topic_doubt(struct produce_topic *topic)
{
    uint64_t soon_ms = topic->described_ms + DESCRIBE_AGAIN_MS;

    if (topic->describe_at_ms > soon_ms)
        topic->describe_at_ms = soon_ms;
}

size_t produce_topic_cut_limit(const struct produce_topic *topic)
{
    size_t limit = topic->message_max > 2 * (size_t)MESSAGE_OVERHEAD
                       ? topic->message_max - MESSAGE_OVERHEAD
                       : topic->message_max / 2 + 1;
    return limit < PRODUCE_MESSAGE_MAX ? limit : PRODUCE_MESSAGE_MAX;
}

bool produce_topic_has(const struct produce_topic *topic, int32_t partition)
{
    return partition >= 0 && partition < topic->described.partitions;
}

/* As sarama hashes keys, whose way the Collector's exporter keeps: FNV-1a of 32 bits, taken for a
 * signed number. */
int32_t produce_topic_by_key(struct bytes key, int32_t partitions)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ key.data[i]) * 16777619u;
    int32_t partition = (int32_t)hash % partitions;
    return partition < 0 ? -partition : partition;
}

int32_t produce_topic_choose(struct produce_topic *topic, struct bytes key)
{
    int32_t partitions = topic->described.partitions;

    if (key.len > 0)
        return produce_topic_by_key(key, partitions);
    for (int32_t i = 0; i < partitions; i++) {
        int32_t at = (topic->next_partition + i) % partitions;
        if (topic->described.leaders[at]) {
            topic->next_partition = (at + 1) % partitions;
            return at;
        }
    }
    return topic->next_partition % partitions;
}
