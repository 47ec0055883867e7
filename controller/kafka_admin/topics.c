#include "controller/kafka_admin/topics.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/xalloc.h"
#include "controller/kafka_admin/call.h"
#include "controller/kafka_admin/kafka_error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NIL_ID "AAAAAAAAAAAAAAAAAAAAAA" /* brokers before 2.8 have no topic ids */

static uint32_t left_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_mono_ms();
    return deadline_ms > now_ms ? (uint32_t)(deadline_ms - now_ms) : 0;
}

/* ---- describe */

static void set_topic_error(struct topic_observed *topic, struct arena *arena,
                            rd_kafka_resp_err_t code, const char *what, const char *text)
{
    struct error why;

    topic->err = kafka_error_set(&why, code, what, text);
    topic->error_text = arena_strdup(arena, why.text);
}

static void read_partitions(const rd_kafka_TopicDescription_t *description,
                            struct topic_observed *topic)
{
    size_t count = 0;
    const rd_kafka_TopicPartitionInfo_t **partitions =
        rd_kafka_TopicDescription_partitions(description, &count);

    topic->partitions = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        size_t replicas = 0, in_sync = 0;
        rd_kafka_TopicPartitionInfo_replicas(partitions[i], &replicas);
        rd_kafka_TopicPartitionInfo_isr(partitions[i], &in_sync);
        const rd_kafka_Node_t *leader = rd_kafka_TopicPartitionInfo_leader(partitions[i]);
        if (leader == NULL || rd_kafka_Node_id(leader) < 0)
            topic->leaderless++;
        if (i == 0 || replicas < topic->replication_factor)
            topic->replication_factor = (uint32_t)replicas;
        if (i == 0 || in_sync < topic->isr_min)
            topic->isr_min = (uint32_t)in_sync;
    }
}

static void read_description(const rd_kafka_TopicDescription_t *description, struct arena *arena,
                             struct topic_observed *topic)
{
    const rd_kafka_error_t *refused = rd_kafka_TopicDescription_error(description);

    if (refused != NULL && rd_kafka_error_code(refused) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        set_topic_error(topic, arena, rd_kafka_error_code(refused), "describe the topic",
                        rd_kafka_error_string(refused));
        return;
    }
    topic->err = OK;
    topic->error_text = NULL;
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(description);
    const char *text = id != NULL ? rd_kafka_Uuid_base64str(id) : NIL_ID;
    if (strcmp(text, NIL_ID) != 0)
        snprintf(topic->topic_id, sizeof topic->topic_id, "%s", text);
    read_partitions(description, topic);
}

static struct topic_observed *find_topic(struct topic_observed *topics, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(topics[i].topic, name) == 0)
            return &topics[i];
    return NULL;
}

static enum err describe_batch(struct admin *admin, const char *const *names, size_t count,
                               uint32_t timeout_ms, struct arena *arena,
                               struct topic_observed *observed, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    const char *batch[TOPICS_BATCH];
    size_t answered = 0;

    ASSERT(count <= TOPICS_BATCH);
    memcpy(batch, names, count * sizeof *names);
    call_init(&call, admin, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms, "describe topics");
    rd_kafka_TopicCollection_t *collection = rd_kafka_TopicCollection_of_topic_names(batch, count);
    rd_kafka_DescribeTopics(call.handle, collection, call.options, call.queue);
    rd_kafka_TopicCollection_destroy(collection);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;

    const rd_kafka_TopicDescription_t **topics = rd_kafka_DescribeTopics_result_topics(
        rd_kafka_event_DescribeTopics_result(event), &answered);
    for (size_t i = 0; i < answered; i++) {
        struct topic_observed *topic =
            find_topic(observed, count, rd_kafka_TopicDescription_name(topics[i]));
        if (topic != NULL)
            read_description(topics[i], arena, topic);
    }
    return OK;
}

static enum err read_configs(const rd_kafka_ConfigResource_t *resource, struct arena *arena,
                             struct topic_observed *topic, struct error *error)
{
    rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(resource);
    size_t count = 0;

    if (code) {
        set_topic_error(topic, arena, code, "describe the topic's configs",
                        rd_kafka_ConfigResource_error_string(resource));
        return OK;
    }
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    struct topic_config *configs = arena_alloc(arena, (count > 0 ? count : 1) * sizeof *configs);
    if (configs == NULL)
        return error_set(error, ERR_NOMEM, "describe the configs of topic '%s'", topic->topic);
    topic->configs = configs;
    for (size_t i = 0; i < count; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        struct topic_config *config = &configs[topic->config_count];
        config->name = arena_strdup(arena, rd_kafka_ConfigEntry_name(entries[i]));
        config->value = arena_strdup(arena, value != NULL ? value : "");
        if (config->name == NULL || config->value == NULL)
            return error_set(error, ERR_NOMEM, "describe the configs of topic '%s'", topic->topic);
        topic->config_count++;
    }
    return OK;
}

/* Of those topics that exist. */
static enum err describe_configs(struct admin *admin, size_t count, uint32_t timeout_ms,
                                 struct arena *arena, struct topic_observed *observed,
                                 struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    rd_kafka_ConfigResource_t *batch[TOPICS_BATCH];
    size_t asked = 0, answered = 0;

    for (size_t i = 0; i < count; i++)
        if (observed[i].err == OK)
            batch[asked++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, observed[i].topic);
    if (asked == 0)
        return OK;
    call_init(&call, admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms,
              "describe the topics' configs");
    rd_kafka_DescribeConfigs(call.handle, batch, asked, call.options, call.queue);
    rd_kafka_ConfigResource_destroy_array(batch, asked);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;

    const rd_kafka_ConfigResource_t **resources = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &answered);
    for (size_t i = 0; i < answered; i++) {
        struct topic_observed *topic =
            find_topic(observed, count, rd_kafka_ConfigResource_name(resources[i]));
        if (topic == NULL)
            continue;
        err = read_configs(resources[i], arena, topic, error);
        if (err)
            return err;
    }
    return OK;
}

static enum err describe_all(struct admin *admin, const char *const *names, size_t count,
                             bool with_configs, uint32_t timeout_ms, struct arena *arena,
                             struct topic_observed *observed, struct error *error)
{
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;

    for (size_t i = 0; i < count; i++)
        observed[i] = (struct topic_observed){
            .topic = names[i], .err = ERR_AGAIN, .error_text = "Kafka's answer left it out"};
    for (size_t at = 0; at < count; at += TOPICS_BATCH) {
        size_t batch = count - at < TOPICS_BATCH ? count - at : TOPICS_BATCH;
        enum err err = describe_batch(admin, names + at, batch, left_ms(deadline_ms), arena,
                                      observed + at, error);
        if (!err && with_configs)
            err = describe_configs(admin, batch, left_ms(deadline_ms), arena, observed + at, error);
        if (err)
            return err;
    }
    return OK;
}

enum err topics_describe(struct admin *admin, const char *const *names, size_t count,
                         uint32_t timeout_ms, struct arena *arena, struct topic_observed *observed,
                         struct error *error)
{
    return describe_all(admin, names, count, true, timeout_ms, arena, observed, error);
}

enum err topics_describe_shape(struct admin *admin, const char *const *names, size_t count,
                               uint32_t timeout_ms, struct arena *arena,
                               struct topic_observed *observed, struct error *error)
{
    return describe_all(admin, names, count, false, timeout_ms, arena, observed, error);
}

/* ---- apply */

/* One request's worth of plans of a kind, and where each came from. */
struct batch {
    size_t at[TOPICS_BATCH];
    size_t count;
};

struct work {
    struct admin *admin;
    const struct topic_plan *plans;
    struct topic_outcome *outcomes;
    size_t count;
    uint64_t deadline_ms;
};

static void set_outcome(const struct work *work, const struct batch *batch, const char *name,
                        rd_kafka_resp_err_t code, const char *text)
{
    char what[TOPIC_NAME_MAX + 16];

    for (size_t i = 0; i < batch->count; i++) {
        if (strcmp(work->plans[batch->at[i]].wanted->topic, name) != 0)
            continue;
        snprintf(what, sizeof what, "topic '%s'", name);
        struct error *outcome = &work->outcomes[batch->at[i]].error;
        *outcome = (struct error){.code = OK};
        if (code)
            kafka_error_set(outcome, code, what, text);
    }
}

static void set_outcomes(const struct work *work, const struct batch *batch,
                         const rd_kafka_topic_result_t **results, size_t count)
{
    for (size_t i = 0; i < count; i++)
        set_outcome(work, batch, rd_kafka_topic_result_name(results[i]),
                    rd_kafka_topic_result_error(results[i]),
                    rd_kafka_topic_result_error_string(results[i]));
}

static rd_kafka_NewTopic_t *new_topic(const struct topic_plan *plan, struct error *error)
{
    char why[256];
    const struct topic_wanted *wanted = plan->wanted;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(
        wanted->topic, (int)wanted->partitions, (int)wanted->replication_factor, why, sizeof why);

    if (topic == NULL) {
        error_set(error, ERR_INVALID, "topic '%s': %s", wanted->topic, why);
        return NULL;
    }
    for (size_t i = 0; i < plan->set_count; i++) {
        rd_kafka_resp_err_t code =
            rd_kafka_NewTopic_set_config(topic, plan->set[i].name, plan->set[i].value);
        ASSERT(code == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    return topic;
}

static enum err create_batch(const struct work *work, const struct batch *batch,
                             struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    rd_kafka_NewTopic_t *topics[TOPICS_BATCH];
    size_t asked = 0, answered = 0;

    for (size_t i = 0; i < batch->count; i++) {
        topics[asked] = new_topic(&work->plans[batch->at[i]], &work->outcomes[batch->at[i]].error);
        asked += topics[asked] != NULL;
    }
    if (asked == 0)
        return OK;
    call_init(&call, work->admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, left_ms(work->deadline_ms),
              "create topics");
    rd_kafka_CreateTopics(call.handle, topics, asked, call.options, call.queue);
    rd_kafka_NewTopic_destroy_array(topics, asked);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &answered);
    set_outcomes(work, batch, results, answered);
    return OK;
}

static enum err grow_batch(const struct work *work, const struct batch *batch, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    rd_kafka_NewPartitions_t *parts[TOPICS_BATCH];
    char why[256];
    size_t asked = 0, answered = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const struct topic_plan *plan = &work->plans[batch->at[i]];
        parts[asked] =
            rd_kafka_NewPartitions_new(plan->wanted->topic, plan->grow_to, why, sizeof why);
        if (parts[asked] == NULL)
            error_set(&work->outcomes[batch->at[i]].error, ERR_INVALID, "topic '%s': %s",
                      plan->wanted->topic, why);
        asked += parts[asked] != NULL;
    }
    if (asked == 0)
        return OK;
    call_init(&call, work->admin, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, left_ms(work->deadline_ms),
              "grow topics");
    rd_kafka_CreatePartitions(call.handle, parts, asked, call.options, call.queue);
    rd_kafka_NewPartitions_destroy_array(parts, asked);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &answered);
    set_outcomes(work, batch, results, answered);
    return OK;
}

static rd_kafka_ConfigResource_t *config_changes(const struct topic_plan *plan)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, plan->wanted->topic);

    for (size_t i = 0; i < plan->set_count; i++) {
        rd_kafka_error_t *refused = rd_kafka_ConfigResource_add_incremental_config(
            resource, plan->set[i].name, RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, plan->set[i].value);
        ASSERT(refused == NULL);
    }
    return resource;
}

static enum err set_batch(const struct work *work, const struct batch *batch, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    rd_kafka_ConfigResource_t *resources[TOPICS_BATCH];
    size_t answered = 0;

    for (size_t i = 0; i < batch->count; i++)
        resources[i] = config_changes(&work->plans[batch->at[i]]);
    call_init(&call, work->admin, RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS,
              left_ms(work->deadline_ms), "set topic configs");
    rd_kafka_IncrementalAlterConfigs(call.handle, resources, batch->count, call.options,
                                     call.queue);
    rd_kafka_ConfigResource_destroy_array(resources, batch->count);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_ConfigResource_t **results = rd_kafka_IncrementalAlterConfigs_result_resources(
        rd_kafka_event_IncrementalAlterConfigs_result(event), &answered);
    for (size_t i = 0; i < answered; i++)
        set_outcome(work, batch, rd_kafka_ConfigResource_name(results[i]),
                    rd_kafka_ConfigResource_error(results[i]),
                    rd_kafka_ConfigResource_error_string(results[i]));
    return OK;
}

static bool wants_create(const struct topic_plan *plan)
{
    return plan->create;
}

static bool wants_growth(const struct topic_plan *plan)
{
    return !plan->create && plan->grow_to > 0;
}

static bool wants_configs(const struct topic_plan *plan)
{
    return !plan->create && plan->set_count > 0;
}

typedef bool wants_fn(const struct topic_plan *plan);
typedef enum err batch_fn(const struct work *work, const struct batch *batch, struct error *error);

/* Runs `act` over the plans that want it, TOPICS_BATCH at a time. What failed before is left out.
 */
static enum err in_batches(const struct work *work, wants_fn *wants, batch_fn *act,
                           struct error *error)
{
    struct batch batch = {.count = 0};

    for (size_t i = 0; i < work->count; i++) {
        if (wants(&work->plans[i]) && work->outcomes[i].error.code == OK)
            batch.at[batch.count++] = i;
        if (batch.count == TOPICS_BATCH || (i + 1 == work->count && batch.count > 0)) {
            enum err err = act(work, &batch, error);
            if (err)
                return err;
            batch.count = 0;
        }
    }
    return OK;
}

static bool wants_anything(const struct topic_plan *plan)
{
    return wants_create(plan) || wants_growth(plan) || wants_configs(plan);
}

enum err topics_apply(struct admin *admin, const struct topic_plan *plans, size_t count,
                      uint32_t timeout_ms, struct topic_outcome *outcomes, struct error *error)
{
    const struct work work = {.admin = admin,
                              .plans = plans,
                              .outcomes = outcomes,
                              .count = count,
                              .deadline_ms = clock_mono_ms() + timeout_ms};
    struct error why = {.code = OK};

    for (size_t i = 0; i < count; i++)
        outcomes[i].error = (struct error){.code = OK};
    enum err err = in_batches(&work, wants_create, create_batch, &why);
    if (!err)
        err = in_batches(&work, wants_growth, grow_batch, &why);
    if (!err)
        err = in_batches(&work, wants_configs, set_batch, &why);
    if (!err)
        return OK;
    /* How far it got is not known, so nothing that was wanted counts as done. */
    for (size_t i = 0; i < count; i++)
        if (wants_anything(&plans[i]))
            outcomes[i].error = why;
    return error_set(error, err, "%s", why.text);
}

/* ---- delete */

enum err topics_delete(struct admin *admin, const char *topic, const char *topic_id,
                       uint32_t timeout_ms, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    AUTO(arena_fini) struct arena arena = {0};
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;
    struct topic_observed observed = {.topic = topic, .err = ERR_AGAIN};
    rd_kafka_event_t *event = NULL;
    size_t answered = 0;

    enum err err = describe_batch(admin, &topic, 1, timeout_ms, &arena, &observed, error);
    if (err)
        return err;
    if (observed.err == ERR_NOTFOUND)
        return OK;
    if (observed.err)
        return error_set(error, observed.err, "delete topic '%s': %s", topic,
                         observed.error_text != NULL ? observed.error_text : "no answer");
    if (strcmp(observed.topic_id, topic_id) != 0)
        return error_set(error, ERR_CONFLICT,
                         "topic '%s' is not deleted: it has id %s and the one we made had %s",
                         topic, observed.topic_id, topic_id);

    call_init(&call, admin, RD_KAFKA_ADMIN_OP_DELETETOPICS, left_ms(deadline_ms), "delete topic");
    rd_kafka_DeleteTopic_t *request = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_DeleteTopics(call.handle, &request, 1, call.options, call.queue);
    rd_kafka_DeleteTopic_destroy(request);
    err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &answered);
    rd_kafka_resp_err_t code =
        answered == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return OK;
    return kafka_error_set(error, code, "delete topic",
                           answered == 1 ? rd_kafka_topic_result_error_string(results[0]) : NULL);
}
