#include "controller/reconcile/topics_job.h"

#include "common/metrics.h"
#include "common/xalloc.h"
#include "controller/reconcile/topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEAD_LETTER_HEADROOM (64 << 10) /* for the reason, beside the source's largest message */
enum { DEAD_LETTER_PARTITIONS = 1, CONFIGS_OF_OURS = 5 };

static const struct metric_desc operations_desc = {.name = "surgetank_topic_operations_total",
                                                   .kind = METRIC_COUNTER,
                                                   .help =
                                                       "What was done to topics, and how it ended.",
                                                   .labels = {"operation", "outcome"}};

/* ---- what is wanted */

static void add_config(struct topic_config *configs, size_t *count, const char *name,
                       const char *value)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(configs[i].name, name) == 0) {
            configs[i].value = value;
            return;
        }
    }
    if (*count < TOPIC_CONFIGS_MAX)
        configs[(*count)++] = (struct topic_config){name, value};
}

static const char *number(struct arena *arena, int64_t value)
{
    return arena_printf(arena, "%" PRId64, value);
}

/* The topic's own config goes first, so that a field of the schema wins over its double there. */
static bool want_configs(struct topics_job *job, const struct topic_use *use,
                         struct topic_wanted *wanted)
{
    const struct pipeline_topic *source = use->source;
    struct arena *arena = &job->arena;
    struct topic_config *configs =
        arena_zalloc(arena, (source->config.count + CONFIGS_OF_OURS) * sizeof *configs);
    int64_t bytes_max = source->max_message_bytes + (use->dead_letter ? DEAD_LETTER_HEADROOM : 0);
    int64_t retention = use->dead_letter ? use->retention_ms : source->retention_ms;
    const char *retention_ms = number(arena, retention);
    const char *retention_bytes = number(arena, source->retention_bytes);
    const char *insync = number(arena, source->min_insync_replicas);
    const char *message_bytes = number(arena, bytes_max);
    size_t count = 0;

    if (configs == NULL || retention_ms == NULL || retention_bytes == NULL || insync == NULL ||
        message_bytes == NULL)
        return false;
    for (size_t i = 0; i < source->config.count && !use->dead_letter; i++)
        add_config(configs, &count, source->config.items[i].name, source->config.items[i].value);
    add_config(configs, &count, "retention.ms", retention_ms);
    if (source->retention_bytes >= 0 && !use->dead_letter)
        add_config(configs, &count, "retention.bytes", retention_bytes);
    add_config(configs, &count, "min.insync.replicas", insync);
    add_config(configs, &count, "max.message.bytes", message_bytes);
    add_config(configs, &count, "compression.type", source->compression);
    wanted->configs = configs;
    wanted->config_count = count;
    return true;
}

static enum topic_ownership ownership_of(const struct topic_use *use)
{
    if (use->dead_letter)
        return TOPIC_CREATE;
    switch (use->source->ownership) {
    case PIPELINE_OWNERSHIP_ADOPT:
        return TOPIC_ADOPT;
    case PIPELINE_OWNERSHIP_OBSERVE:
        return TOPIC_OBSERVE;
    case PIPELINE_OWNERSHIP_CREATE:
        break;
    }
    return TOPIC_CREATE;
}

/* ---- what is remembered */

static enum topic_made made_of(const struct json *entry)
{
    const char *made = json_string(json_get(entry, "made"), "");

    if (strcmp(made, "Created") == 0)
        return TOPIC_MADE;
    return strcmp(made, "Intended") == 0 ? TOPIC_INTENDED : TOPIC_NOT_MADE;
}

static void recall(const struct json *status, struct board *board, const char *key,
                   struct topic_wanted *wanted, struct topic_result *result)
{
    const struct json *entry = NULL;

    JSON_EACH(topic, json_get(status, "topics")) {
        if (strcmp(json_string(json_get(topic, "topic"), ""), wanted->topic) == 0)
            entry = topic;
    }
    wanted->made = made_of(entry);
    if (board_topic(board, key, wanted->topic, result) != OK) {
        *result = (struct topic_result){.made = wanted->made};
        snprintf(result->topic, sizeof result->topic, "%s", wanted->topic);
        snprintf(result->topic_id, sizeof result->topic_id, "%s",
                 json_string(json_get(entry, "topicID"), ""));
        result->partitions = (uint32_t)json_int(json_get(entry, "partitions"), 0);
        result->replication_factor = (uint32_t)json_int(json_get(entry, "replicationFactor"), 0);
    }
    if (result->made == TOPIC_MADE)
        wanted->made = TOPIC_MADE;
    wanted->topic_id = result->topic_id;
}

enum err topics_job_create(const struct pipeline *pipeline, const struct json *status,
                           struct board *board, const char *key, struct topics_job **ret_job,
                           struct error *error)
{
    AUTO(topics_job_free) struct topics_job *job = xcalloc(1, sizeof *job);

    job->pipeline = pipeline;
    job->count = gather_topics(pipeline, job->uses);
    for (size_t i = 0; i < job->count; i++) {
        const struct topic_use *use = &job->uses[i];
        struct topic_wanted *wanted = &job->wanted[i];
        *wanted = (struct topic_wanted){
            .topic = use->topic,
            .ownership = ownership_of(use),
            .partitions =
                use->dead_letter ? DEAD_LETTER_PARTITIONS : (uint32_t)use->source->partitions,
            .replication_factor = (uint32_t)use->source->replication_factor,
            .keyed = !use->dead_letter && use->source->partition_by != PIPELINE_PARTITION_BY_NONE,
        };
        if (!want_configs(job, use, wanted))
            return error_set(error, ERR_NOMEM, "plan topics of %s", key);
        recall(status, board, key, wanted, &job->results[i]);
    }
    MOVE(*ret_job, job);
    return OK;
}

void topics_job_free(struct topics_job **job)
{
    if (*job == NULL)
        return;
    arena_fini(&(*job)->arena);
    free(*job);
    *job = NULL;
}

void topics_job_set_unread(struct topics_job *job, const struct pipeline_gateway *gateway,
                           const struct group_lag *lag)
{
    for (size_t i = 0; i < job->count; i++) {
        struct topic_unread *unread = &job->wanted[i].unread;
        bool read = false;
        for (size_t j = 0; j < gateway->from_count && !job->uses[i].dead_letter; j++)
            read = read || gateway->from[j] == job->uses[i].source;
        if (!read)
            continue;
        unread->known = lag->known;
        unread->messages += lag->lag_messages;
        unread->age_known = lag->lag_ms_known;
        if (lag->lag_ms_known && lag->lag_ms > unread->age_ms)
            unread->age_ms = lag->lag_ms;
    }
}

/* ---- results */

static void say(struct topic_result *result, enum topic_state state, const char *message)
{
    result->state = topic_state_name(state);
    result->usable = false;
    result->settled = false;
    snprintf(result->message, sizeof result->message, "Topic %s %s", result->topic, message);
}

static void conclude(const struct topic_plan *plan, const struct topic_observed *observed,
                     struct topic_result *result)
{
    say(result, plan->state, plan->message);
    result->usable = plan->usable;
    result->settled =
        plan->state == TOPIC_READY || plan->state == TOPIC_EXISTS || plan->state == TOPIC_DIFFERS;
    if (observed->err)
        return;
    result->partitions = observed->partitions;
    result->replication_factor = observed->replication_factor;
    if (plan->record_id == NULL)
        return;
    snprintf(result->topic_id, sizeof result->topic_id, "%s", plan->record_id);
    if (plan->wanted->ownership == TOPIC_CREATE)
        result->made = TOPIC_MADE;
}

void topics_job_fail(struct topics_job *job, const struct error *error)
{
    char message[TOPIC_MESSAGE_MAX];

    snprintf(message, sizeof message, "could not be looked at: %s", error->text);
    for (size_t i = 0; i < job->count; i++)
        say(&job->results[i], TOPIC_UNREACHABLE, message);
}

/* ---- doing */

static void count_operation(const char *operation, enum err outcome)
{
    metric_add(metrics_series(&operations_desc, operation, outcome == OK ? "success" : "error"), 1);
}

static void take_outcome(struct topics_job *job, size_t index, const struct topic_plan *plan,
                         const struct topic_outcome *outcome)
{
    struct topic_result *result = &job->results[index];
    char message[TOPIC_MESSAGE_MAX];

    if (!plan->create && plan->grow_to == 0 && plan->set_count == 0)
        return;
    count_operation(plan->create        ? "create"
                    : plan->grow_to > 0 ? "grow"
                                        : "configure",
                    outcome->error.code);
    job->again = true;
    if (outcome->error.code == OK) {
        if (plan->create && plan->wanted->ownership == TOPIC_CREATE)
            result->made = TOPIC_MADE;
        return;
    }
    snprintf(message, sizeof message, "could not be changed: %s", outcome->error.text);
    bool usable = result->usable;
    say(result, TOPIC_REFUSED, message);
    result->usable = usable;
}

/* A topic is made only after the status has said that it will be. */
static void announce(struct topics_job *job, struct topic_plan *plans)
{
    for (size_t i = 0; i < job->count; i++) {
        if (!plans[i].create || job->wanted[i].ownership != TOPIC_CREATE ||
            job->wanted[i].made != TOPIC_NOT_MADE)
            continue;
        plans[i].create = false;
        plans[i].set_count = 0;
        job->results[i].made = TOPIC_INTENDED;
    }
}

/* Nothing is done to topics while the pipeline is paused; what would be is said. */
static void hold(struct topics_job *job, const struct topic_plan *plans)
{
    for (size_t i = 0; i < job->count; i++) {
        struct topic_result *result = &job->results[i];
        bool usable = result->usable;
        if (!plans[i].create && plans[i].grow_to == 0 && plans[i].set_count == 0)
            continue;
        say(result, plans[i].state, "is left as it is while the pipeline is paused");
        result->usable = usable;
    }
}

static enum err plan_all(struct topics_job *job, const struct topic_observed *observed,
                         uint32_t brokers, struct topic_plan *plans, struct error *error)
{
    for (size_t i = 0; i < job->count; i++) {
        enum err err =
            topic_plan(&job->wanted[i], &observed[i], brokers, &job->arena, &plans[i], error);
        if (err)
            return err;
        conclude(&plans[i], &observed[i], &job->results[i]);
    }
    if (job->pipeline->paused)
        hold(job, plans);
    else
        announce(job, plans);
    return OK;
}

enum err topics_job_run(struct topics_job *job, struct admin *admin, uint32_t brokers,
                        struct error *error)
{
    const char *names[STATUS_TOPICS_MAX];
    struct topic_observed *observed = arena_zalloc(&job->arena, job->count * sizeof *observed);
    struct topic_plan *plans = arena_zalloc(&job->arena, job->count * sizeof *plans);
    struct topic_outcome *outcomes = arena_zalloc(&job->arena, job->count * sizeof *outcomes);

    if (observed == NULL || plans == NULL || outcomes == NULL)
        return error_set(error, ERR_NOMEM, "look at %zu topics", job->count);
    for (size_t i = 0; i < job->count; i++)
        names[i] = job->uses[i].topic;
    enum err err =
        topics_describe(admin, names, job->count, TOPICS_TIMEOUT_MS, &job->arena, observed, error);
    if (err)
        return err;
    err = plan_all(job, observed, brokers, plans, error);
    if (err || job->pipeline->paused)
        return err;
    err = topics_apply(admin, plans, job->count, TOPICS_TIMEOUT_MS, outcomes, error);
    if (err)
        return err;
    for (size_t i = 0; i < job->count; i++)
        take_outcome(job, i, &plans[i], &outcomes[i]);
    return OK;
}
