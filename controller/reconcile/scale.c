#include "controller/reconcile/scale.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/metrics.h"
#include "common/xalloc.h"
#include "controller/desired/desired.h"
#include "controller/reconcile/gather.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/ticker.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOW_MS = 10000 }; /* how often numbers alone make a pipeline be looked at */

struct scale {
    struct scale_config config;
    struct ticker *ticker;
    uint64_t shown_ms;
};

/* One gateway at one tick. */
struct look {
    struct scale *scale;
    const struct subject *subject;
    const struct pipeline_gateway *gateway;
    const struct json *status; /* of the pipeline */
    struct gateway_runtime runtime;
    struct scaling_observation observation;
};

/* ---- metrics */

#define GATEWAY_GAUGE(variable, metric, text)                         \
    static const struct metric_desc variable = {.name = (metric),     \
                                                .kind = METRIC_GAUGE, \
                                                .help = (text),       \
                                                .labels = {"namespace", "pipeline", "gateway"}}

GATEWAY_GAUGE(lag_desc, "surgetank_gateway_lag_messages", "Messages not yet committed.");
GATEWAY_GAUGE(age_desc, "surgetank_gateway_lag_seconds",
              "Age of the oldest message not committed.");
GATEWAY_GAUGE(drain_desc, "surgetank_gateway_drain_seconds",
              "Time until the lag is gone at the present rates; -1 while it isn't shrinking.");
GATEWAY_GAUGE(wanted_desc, "surgetank_gateway_wanted_replicas", "Replicas that the lag asks for.");
GATEWAY_GAUGE(replicas_desc, "surgetank_gateway_replicas", "Replicas of the Deployment.");

static const struct metric_desc partition_desc = {
    .name = "kafka_consumer_group_lag",
    .kind = METRIC_GAUGE,
    .help = "Messages between a group's committed offset and the end of the partition.",
    .labels = {"group", "topic", "partition"}};

static void show_partition(void *context, const struct partition_lag *partition)
{
    const char *group = context;
    char number[16];

    if (!partition->known)
        return;
    snprintf(number, sizeof number, "%d", partition->partition);
    metric_set(metrics_series(&partition_desc, group, partition->topic, number),
               (double)partition->lag);
}

static void show(const struct look *look, const struct metric_desc *desc, double value)
{
    const struct pipeline *pipeline = look->subject->pipeline;

    metric_set(metrics_series(desc, pipeline->namespace, pipeline->name, look->gateway->name),
               value);
}

static void show_all(const struct look *look)
{
    const struct group_lag *lag = &look->runtime.lag;
    char group[OBSERVER_GROUP_MAX + 1];

    show(look, &wanted_desc, look->runtime.decision.wanted);
    show(look, &replicas_desc, look->observation.replicas_current);
    if (!look->runtime.lag_read || !lag->known)
        return;
    show(look, &lag_desc, (double)lag->lag_messages);
    if (lag->lag_ms_known)
        show(look, &age_desc, (double)lag->lag_ms / 1000);
    show(look, &drain_desc, lag->drain_ms < 0 ? -1 : (double)lag->drain_ms / 1000);
    snprintf(group, sizeof group, "%s", look->gateway->group_id);
    IGNORE_RESULT(/* registered a moment ago, or gone by now: then there is nothing to show */
                  lags_each(look->scale->config.lags, look->subject->key, group, show_partition,
                            group));
}

/* What was not shown in this round is of pipelines that are gone, or not known any more. */
static void forget_the_others(void)
{
    const struct metric_desc *const all[] = {&lag_desc,    &age_desc,      &drain_desc,
                                             &wanted_desc, &replicas_desc, &partition_desc};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        metrics_sweep(all[i]);
}

/* ---- observing */

static void observe_lag(struct look *look)
{
    struct scaling_observation *observation = &look->observation;
    const struct group_lag *lag = &look->runtime.lag;

    look->runtime.lag_read = lags_read(look->scale->config.lags, look->subject->key,
                                       look->gateway->group_id, &look->runtime.lag) == OK;
    if (!look->runtime.lag_read) {
        observation->lag_unknown_why = "Kafka has not been reached yet; see TopicsReady";
        return;
    }
    observation->lag_known = lag->known;
    observation->lag_unknown_why = lag->why;
    observation->lag_messages = lag->lag_messages;
    observation->lag_ms = lag->lag_ms;
    observation->lag_ms_known = lag->lag_ms_known;
    observation->arrival_rate = lag->arrival_rate;
    observation->consume_rate = lag->consume_rate;
    observation->rates_known = lag->rates_known;
    observation->partitions_lagging = lag->partitions_lagging;
    observation->committed_everywhere = lag->committed_everywhere;
    observation->partitions_stuck = lag->partitions_stuck;
    observation->lag_stuck = lag->lag_stuck;
    observation->stuck_where = lag->stuck_where;
    observation->members_foreign = lag->members_foreign;
    observation->foreign_who = lag->foreign;
    switch (lag->state) {
    case GROUP_STABLE:
        observation->group = SCALING_GROUP_STABLE;
        break;
    case GROUP_EMPTY:
    case GROUP_DEAD:
        observation->group = SCALING_GROUP_EMPTY;
        break;
    case GROUP_REBALANCING:
        observation->group = SCALING_GROUP_REBALANCING;
        break;
    case GROUP_UNKNOWN:
        break;
    }
}

/* False: there is no Deployment yet. */
static bool observe_workload(struct look *look)
{
    const struct pipeline *pipeline = look->subject->pipeline;
    char name[DESIRED_NAME_MAX + 1];
    struct object *object = NULL;

    if (!desired_name(pipeline, look->gateway->name, name) ||
        store_get(look->scale->config.store, &kube_deployments, pipeline->namespace, name,
                  &object) != OK)
        return false;
    AUTO(json_free) struct json *workload = object_parse(object);
    object_unref(&object);
    look->observation.replicas_current = (uint32_t)json_int(json_at(workload, "spec.replicas"), 1);
    look->observation.replicas_ready =
        (uint32_t)json_int(json_at(workload, "status.readyReplicas"), 0);
    return true;
}

/* One pod that gets through means that the backend is up; all that speak saying Down, that it is
 * down. */
static void observe_backend(struct look *look, char *text, size_t size)
{
    const struct pipeline *pipeline = look->subject->pipeline;
    AUTO(object_list_fini)
    struct object_list pods =
        store_labelled(look->scale->config.store, &kube_pods, pipeline->namespace, pipeline->name);

    for (size_t i = 0; i < pods.count; i++) {
        struct pod_state state;
        probe_pod(look->scale->config.probe, pods.items[i]->uid, &state);
        if (!state.known || state.backend == PROBE_BACKEND_UNKNOWN)
            continue;
        AUTO(json_free) struct json *pod = object_parse(pods.items[i]);
        if (strcmp(object_label(pod, NAMES_LABEL_GATEWAY), look->gateway->name) != 0)
            continue;
        if (state.backend == PROBE_BACKEND_UP) {
            look->observation.backend = SCALING_BACKEND_UP;
            return;
        }
        look->observation.backend = SCALING_BACKEND_DOWN;
        snprintf(text, size, "%s", state.backend_error);
        look->observation.backend_error = text;
    }
}

/* ---- deciding */

static uint32_t partitions_of(const struct look *look)
{
    uint32_t partitions = 0;

    for (size_t i = 0; i < look->gateway->from_count; i++) {
        struct topic_result result;
        if (board_topic(look->scale->config.board, look->subject->key,
                        look->gateway->from[i]->topic, &result) != OK ||
            result.partitions == 0)
            return 0;
        partitions += result.partitions;
    }
    return partitions;
}

static struct scaling_settings settings_of(const struct look *look)
{
    const struct pipeline_scaling *scaling = &look->gateway->scaling;
    int64_t window =
        json_int(json_at(scaling->behavior, "scaleDown.stabilizationWindowSeconds"), -1);

    return (struct scaling_settings){
        .mode = scaling->mode == PIPELINE_SCALING_HPA      ? SCALING_HPA
                : scaling->mode == PIPELINE_SCALING_DIRECT ? SCALING_DIRECT
                                                           : SCALING_FIXED,
        .paused = look->subject->pipeline->paused,
        .replicas_min = (uint32_t)scaling->min_replicas,
        .replicas_max = (uint32_t)scaling->max_replicas,
        .partitions = partitions_of(look),
        .drain_within_ms = (uint64_t)scaling->drain_within_ms,
        .messages_per_replica_max = (uint64_t)scaling->max_messages_per_replica,
        .wake_above = (uint64_t)scaling->wake_above,
        /* Bounds bypass the HPA's behavior, so its window is applied here. */
        .down_window_ms = window < 0    ? 0
                          : window == 0 ? 1
                                        : (uint64_t)window * 1000,
        .settle_ms = (uint64_t)look->gateway->settle_ms,
    };
}

/* Whether somebody waits for what was decided. */
static bool is_news(const struct gateway_runtime *before, const struct gateway_runtime *after)
{
    return !before->decided || before->decision.wanted != after->decision.wanted ||
           before->decision.reason != after->decision.reason;
}

/* True: the pipeline should be looked at. */
static bool look_at(struct look *look, uint64_t now_ms)
{
    const struct scale_config *config = &look->scale->config;
    char backend_error[PROBE_TEXT_MAX] = "";
    double capacity = 0;
    int64_t wanted = 0;

    board_gateway(config->board, look->subject->key, look->gateway->name, &look->runtime);
    struct gateway_runtime before = look->runtime;
    if (!observe_workload(look))
        return false;
    observe_lag(look);
    observe_backend(look, backend_error, sizeof backend_error);
    if (!before.decided) {
        /* What was learned before the operator was restarted. */
        status_remember_gateway(look->status, look->gateway->name, &capacity, &wanted);
        look->runtime.memory.capacity = capacity;
    }
    struct scaling_settings settings = settings_of(look);
    look->runtime.decision =
        scaling_decide(now_ms, &settings, &look->observation, &look->runtime.memory);
    look->runtime.decided = true;
    board_set_gateway(config->board, look->subject->key, look->gateway->name, &look->runtime);
    bool asleep = look->runtime.decision.wanted == 0;
    if (asleep != (before.decided && before.decision.wanted == 0))
        lags_set_asleep(config->lags, look->subject->key, look->subject->pipeline, look->gateway,
                        asleep);
    show_all(look);
    return is_news(&before, &look->runtime);
}

static void look_at_pipeline(struct scale *scale, const char *key, uint64_t now_ms, bool show_now)
{
    AUTO(subject_unref) struct subject *subject = NULL;
    struct object *object = NULL;
    bool news = show_now;

    if (board_subject(scale->config.board, key, &subject, NULL) != OK)
        return;
    const struct pipeline *pipeline = subject->pipeline;
    if (store_get(scale->config.store, &kind_pipelines, pipeline->namespace, pipeline->name,
                  &object) != OK)
        return;
    AUTO(json_free) struct json *live = object_parse(object);
    object_unref(&object);
    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        struct look look = {.scale = scale,
                            .subject = subject,
                            .gateway = &pipeline->gateways[i],
                            .status = json_get(live, "status")};
        news = look_at(&look, now_ms) || news;
    }
    if (news)
        scale->config.on_news(scale->config.context, key);
}

static void tick(void *context)
{
    struct scale *scale = context;
    uint64_t now_ms = clock_mono_ms();
    bool show_now = now_ms - scale->shown_ms >= SHOW_MS;
    size_t count = 0;
    char **keys = board_keys(scale->config.board, &count);

    if (show_now)
        scale->shown_ms = now_ms;
    for (size_t i = 0; i < count; i++) {
        look_at_pipeline(scale, keys[i], now_ms, show_now);
        free(keys[i]);
    }
    free(keys);
    forget_the_others();
}

/* ---- life */

enum err scale_create(const struct scale_config *config, struct scale **ret_scale,
                      struct error *error)
{
    AUTO(scale_destroy) struct scale *scale = xcalloc(1, sizeof *scale);

    scale->config = *config;
    enum err err = ticker_create("scale", SCALE_TICK_MS, tick, scale, &scale->ticker, error);
    if (err)
        return err;
    MOVE(*ret_scale, scale);
    return OK;
}

void scale_destroy(struct scale **scale)
{
    if (*scale == NULL)
        return;
    ticker_destroy(&(*scale)->ticker);
    free(*scale);
    *scale = NULL;
}

void scale_set_active(struct scale *scale, bool active)
{
    ticker_set_active(scale->ticker, active);
}
