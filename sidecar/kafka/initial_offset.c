#include "sidecar/kafka/initial_offset.h"

enum { ASK_MS = 5000 };

/* Whether the group has committed anything in this topic. */
static bool group_has_offsets(rd_kafka_t *client, const char *topic)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    bool any = true; /* in doubt: earliest, which loses nothing */

    if (handle == NULL)
        return true;
    if (rd_kafka_metadata(client, 0, handle, &metadata, ASK_MS) == 0) {
        rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(16);
        for (int i = 0; metadata->topic_cnt == 1 && i < metadata->topics[0].partition_cnt; i++)
            rd_kafka_topic_partition_list_add(all, topic, metadata->topics[0].partitions[i].id);
        if (rd_kafka_committed(client, all, ASK_MS) == 0) {
            any = false;
            for (int i = 0; i < all->cnt; i++)
                any |= all->elems[i].offset >= 0;
        }
        rd_kafka_topic_partition_list_destroy(all);
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(handle);
    return any;
}

int64_t initial_offset(rd_kafka_t *client, const rd_kafka_topic_partition_t *at, bool latest)
{
    int64_t low = 0, high = 0;

    if (!latest || group_has_offsets(client, at->topic) ||
        rd_kafka_query_watermark_offsets(client, at->topic, at->partition, &low, &high, ASK_MS) !=
            0)
        return RD_KAFKA_OFFSET_BEGINNING;
    return high;
}
