#include "sidecar/edge/routes.h"

#include "common/crc32c.h"

uint32_t routes_tag(const struct pipeline *pipeline, const struct pipeline_topic *topic)
{
    if (topic == NULL || topic == pipeline_topic_of(pipeline, topic->signal))
        return 0;
    uint32_t tag = crc32c(0, bytes_from(topic->name));
    return tag != 0 ? tag : 1;
}

const struct pipeline_topic *routes_topic(const struct pipeline *pipeline, enum signal signal,
                                          uint32_t tag)
{
    for (size_t i = 0; tag != 0 && i < pipeline->topic_count; i++) {
        const struct pipeline_topic *topic = &pipeline->topics[i];
        if (topic->signal == signal && routes_tag(pipeline, topic) == tag)
            return topic;
    }
    return pipeline_topic_of(pipeline, signal);
}
