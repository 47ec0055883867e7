#include "tests/support/script_topics.h"

#include "controller/kafka_admin/topics.h"

unsigned script_topics_changes;

enum err topics_describe(struct admin *admin, const char *const *names, size_t count,
                         uint32_t timeout_ms, struct arena *arena, struct topic_observed *observed,
                         struct error *error)
{
    return topics_describe_shape(admin, names, count, timeout_ms, arena, observed, error);
}

enum err topics_describe_shape(struct admin *admin, const char *const *names, size_t count,
                               uint32_t timeout_ms, struct arena *arena,
                               struct topic_observed *observed, struct error *error)
{
    (void)admin;
    (void)timeout_ms;
    (void)arena;
    (void)error;
    for (size_t i = 0; i < count; i++)
        observed[i] = (struct topic_observed){.topic = names[i], .err = ERR_NOTFOUND};
    return OK;
}

enum err topics_apply(struct admin *admin, const struct topic_plan *plans, size_t count,
                      uint32_t timeout_ms, struct topic_outcome *outcomes, struct error *error)
{
    (void)admin;
    (void)timeout_ms;
    (void)error;
    for (size_t i = 0; i < count; i++) {
        script_topics_changes += plans[i].create || plans[i].grow_to > 0 || plans[i].set_count > 0;
        outcomes[i] = (struct topic_outcome){0};
    }
    return OK;
}

enum err topics_delete(struct admin *admin, const char *topic, const char *topic_id,
                       uint32_t timeout_ms, struct error *error)
{
    (void)admin;
    (void)topic;
    (void)topic_id;
    (void)timeout_ms;
    (void)error;
    script_topics_changes++;
    return OK;
}
