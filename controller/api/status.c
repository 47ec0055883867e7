#include "controller/api/status.h"

#include "common/assert.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- conditions */

void condition_put(struct condition_set *set, const char *type, enum condition_status status,
                   const char *reason, const char *format, ...)
{
    struct condition *condition = NULL;

    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->items[i].type, type) == 0)
            condition = &set->items[i];
    }
    if (condition == NULL) {
        ASSERT(set->count < CONDITIONS_MAX);
        condition = &set->items[set->count++];
    }
    *condition = (struct condition){.type = type, .status = status, .reason = reason};

    va_list args;
    va_start(args, format);
    vsnprintf(condition->message, sizeof condition->message, format, args);
    va_end(args);
}

const struct condition *condition_find(const struct condition_set *set, const char *type)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->items[i].type, type) == 0)
            return &set->items[i];
    }
    return NULL;
}

static const char *status_word(enum condition_status status)
{
    switch (status) {
    case CONDITION_TRUE:
        return "True";
    case CONDITION_FALSE:
        return "False";
    case CONDITION_UNKNOWN:
        break;
    }
    return "Unknown";
}

static const struct json *find_by(const struct json *list, const char *key, const char *value)
{
    JSON_EACH(element, list) {
        if (strcmp(json_string(json_get(element, key), ""), value) == 0)
            return element;
    }
    return NULL;
}

static void add_condition(struct json *into, const struct condition *condition, int64_t generation,
                          const struct json *old_conditions, const char *now)
{
    const struct json *old = find_by(old_conditions, "type", condition->type);
    const char *word = status_word(condition->status);
    bool same = strcmp(json_string(json_get(old, "status"), ""), word) == 0;
    struct json *object = json_add_object(into);

    json_set_string(object, "type", condition->type);
    json_set_string(object, "status", word);
    json_set_number(object, "observedGeneration", (double)generation);
    json_set_string(object, "lastTransitionTime",
                    same ? json_string(json_get(old, "lastTransitionTime"), now) : now);
    json_set_string(object, "reason", condition->reason);
    json_set_string(object, "message", condition->message);
}

static void add_conditions(struct json *status, const struct condition_set *conditions,
                           int64_t generation, const struct json *old, const char *now)
{
    struct json *list = json_set_array(status, "conditions");
    for (size_t i = 0; i < conditions->count; i++)
        add_condition(list, &conditions->items[i], generation, json_get(old, "conditions"), now);
}

/* ---- lists */

int64_t status_round(int64_t value)
{
    int64_t unit = 1;
    while (value / unit >= 100)
        unit *= 10;
    return value / unit * unit;
}

static void set_int(struct json *object, const char *key, int64_t value)
{
    json_set_number(object, key, (double)value);
}

/* What isn't known isn't there. */
static void set_known(struct json *object, const char *key, int64_t value, bool known)
{
    if (known)
        set_int(object, key, status_round(value));
}

static void set_text(struct json *object, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        json_set_string(object, key, text);
}

static void add_topic(struct json *list, const struct topic_status *topic)
{
    struct json *object = json_add_object(list);

    json_set_string(object, "name", topic->name);
    json_set_string(object, "topic", topic->topic);
    set_text(object, "topicID", topic->topic_id);
    set_text(object, "made", topic->made);
    if (topic->partitions > 0)
        set_int(object, "partitions", topic->partitions);
    if (topic->replication_factor > 0)
        set_int(object, "replicationFactor", topic->replication_factor);
    json_set_string(object, "state", topic->state != NULL ? topic->state : "Unknown");
    set_text(object, "message", topic->message);
}

static void add_edge(struct json *list, const struct edge_status *edge)
{
    struct json *object = json_add_object(list);

    json_set_string(object, "name", edge->name);
    set_int(object, "desired", edge->desired);
    set_int(object, "ready", edge->ready);
    set_int(object, "updated", edge->updated);
    if (edge->generation > 0)
        set_int(object, "generation", edge->generation);
    if (edge->spool_known) {
        set_known(object, "spooledBytes", edge->spooled_bytes, true);
        set_known(object, "oldestSpooledSeconds", edge->oldest_spooled_seconds,
                  edge->spooled_bytes > 0);
        json_set_bool(object, "full", edge->full);
    }
    if (edge->stranded != NULL)
        json_set(object, "stranded", &(struct json *){json_clone(edge->stranded)});
}

static void add_gateway(struct json *list, const struct gateway_status *gateway)
{
    struct json *object = json_add_object(list);

    json_set_string(object, "name", gateway->name);
    json_set_string(object, "groupID", gateway->group_id);
    set_text(object, "groupState", gateway->group_state);
    set_int(object, "replicas", gateway->replicas);
    set_int(object, "ready", gateway->ready);
    set_int(object, "desiredReplicas", gateway->wanted);
    set_text(object, "reason", gateway->reason);
    set_known(object, "capacityPerReplica", (int64_t)gateway->capacity, gateway->capacity >= 1);
    set_known(object, "lagMessages", gateway->lag_messages, gateway->lag_known);
    set_known(object, "lagSeconds", gateway->lag_seconds, gateway->lag_seconds >= 0);
    set_known(object, "drainSeconds", gateway->drain_seconds, gateway->drain_seconds >= 0);
    set_known(object, "timeToLossSeconds", gateway->time_to_loss_seconds,
              gateway->time_to_loss_seconds >= 0);
    set_known(object, "deadLetters", gateway->dead_letters, gateway->dead_letters >= 0);
    set_text(object, "backend", gateway->backend);
    if (gateway->generation > 0)
        set_int(object, "generation", gateway->generation);
}

/* ---- what kubectl get shows */

static void set_fraction(struct json *summary, const char *key, int64_t part, int64_t whole)
{
    char text[48];

    snprintf(text, sizeof text, "%" PRId64 "/%" PRId64, part, whole);
    json_set_string(summary, key, text);
}

/* 93 -> "1m33s"; people read the two largest units. */
static void set_duration(struct json *summary, const char *key, int64_t seconds)
{
    char text[48];

    if (seconds < 60)
        snprintf(text, sizeof text, "%" PRId64 "s", seconds);
    else if (seconds < 3600)
        snprintf(text, sizeof text, "%" PRId64 "m%" PRId64 "s", seconds / 60, seconds % 60);
    else
        snprintf(text, sizeof text, "%" PRId64 "h%" PRId64 "m", seconds / 3600, seconds / 60 % 60);
    json_set_string(summary, key, text);
}

static void add_lag_summary(struct json *summary, const struct pipeline_status *status)
{
    int64_t lag = 0, drain = 0;
    char text[32];

    for (size_t i = 0; i < status->gateway_count; i++) {
        const struct gateway_status *gateway = &status->gateways[i];
        if (!gateway->lag_known)
            return;
        lag += gateway->lag_messages;
        drain = gateway->drain_seconds < 0 || drain < 0 ? -1
                : gateway->drain_seconds > drain        ? gateway->drain_seconds
                                                        : drain;
    }
    snprintf(text, sizeof text, "%" PRId64, status_round(lag));
    json_set_string(summary, "lag", text);
    if (drain >= 0)
        set_duration(summary, "drain", status_round(drain));
}

static void add_summary(struct json *into, const struct pipeline_status *status)
{
    struct json *summary = json_set_object(into, "summary");
    int64_t topics = 0, edges = 0, edges_ready = 0, gateways = 0, gateways_ready = 0;

    for (size_t i = 0; i < status->topic_count; i++)
        topics += status->topics[i].usable;
    for (size_t i = 0; i < status->edge_count; i++) {
        edges += status->edges[i].desired;
        edges_ready += status->edges[i].ready;
    }
    for (size_t i = 0; i < status->gateway_count; i++) {
        gateways += status->gateways[i].wanted;
        gateways_ready += status->gateways[i].ready;
    }
    set_fraction(summary, "topics", topics, (int64_t)status->topic_count);
    set_fraction(summary, "edges", edges_ready, edges);
    set_fraction(summary, "gateways", gateways_ready, gateways);
    add_lag_summary(summary, status);
}

struct json *status_to_json(const struct pipeline_status *status, const struct json *old,
                            const char *now)
{
    struct json *into = json_new_object();

    set_int(into, "observedGeneration", status->observed_generation);
    add_conditions(into, &status->conditions, status->observed_generation, old, now);

    add_summary(into, status);
    struct json *topics = json_set_array(into, "topics");
    for (size_t i = 0; i < status->topic_count; i++)
        add_topic(topics, &status->topics[i]);
    struct json *edges = json_set_array(into, "edges");
    for (size_t i = 0; i < status->edge_count; i++)
        add_edge(edges, &status->edges[i]);
    struct json *gateways = json_set_array(into, "gateways");
    for (size_t i = 0; i < status->gateway_count; i++)
        add_gateway(gateways, &status->gateways[i]);
    return into;
}

struct json *status_of_conditions(const struct condition_set *conditions, int64_t generation,
                                  const struct json *old, const char *now)
{
    static const char *const kept[] = {"summary", "topics", "edges", "gateways"};
    struct json *into = json_new_object();

    set_int(into, "observedGeneration", generation);
    add_conditions(into, conditions, generation, old, now);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const struct json *list = json_get(old, kept[i]);
        if (list != NULL) {
            struct json *copy = json_clone(list);
            json_set(into, kept[i], &copy);
        }
    }
    return into;
}

/* ---- calm */

/* Equal in the members named in `keys` (ended by NULL), element by element. */
static bool lists_equal_in(const struct json *a, const struct json *b, const char *const *keys)
{
    if (json_size(a) != json_size(b))
        return false;
    const struct json *other = json_first(b);
    JSON_EACH(element, a) {
        for (const char *const *key = keys; *key != NULL; key++) {
            const struct json *mine = json_get(element, *key), *theirs = json_get(other, *key);
            if (mine != theirs && !json_equal(mine, theirs))
                return false;
        }
        other = json_next(other);
    }
    return true;
}

/* "2/2": somebody who waits for all of them has waited long enough. */
static bool is_complete(const struct json *status, const char *key)
{
    const char *text = json_string(json_get(json_get(status, "summary"), key), "");
    const char *slash = strchr(text, '/');

    return slash != NULL && strlen(slash + 1) == (size_t)(slash - text) &&
           strncmp(text, slash + 1, (size_t)(slash - text)) == 0;
}

enum status_verdict status_judge(const struct json *old, const struct json *now)
{
    static const struct {
        const char *list;
        const char *keys[6];
    } urgent[] = {
        {"conditions", {"type", "status", "reason", "observedGeneration"}},
        {"topics", {"name", "topic", "topicID", "made", "state"}},
        {"edges", {"name", "desired", "full"}},
        {"gateways", {"name", "groupID", "desiredReplicas", "backend"}},
    };

    for (size_t i = 0; i < sizeof urgent / sizeof urgent[0]; i++) {
        if (!lists_equal_in(json_get(old, urgent[i].list), json_get(now, urgent[i].list),
                            urgent[i].keys))
            return STATUS_NOW;
    }
    if (is_complete(old, "edges") != is_complete(now, "edges") ||
        is_complete(old, "gateways") != is_complete(now, "gateways"))
        return STATUS_NOW;
    if (json_int(json_get(old, "observedGeneration"), -1) !=
        json_int(json_get(now, "observedGeneration"), -1))
        return STATUS_NOW;
    return json_equal(old, now) ? STATUS_KEEP : STATUS_LATER;
}

void status_remember_gateway(const struct json *old, const char *gateway, double *ret_capacity,
                             int64_t *ret_wanted)
{
    const struct json *entry = find_by(json_get(old, "gateways"), "name", gateway);

    *ret_capacity = json_number(json_get(entry, "capacityPerReplica"), 0);
    *ret_wanted = json_int(json_get(entry, "desiredReplicas"), -1);
}
