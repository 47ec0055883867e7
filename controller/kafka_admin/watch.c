#include "controller/kafka_admin/watch.h"

#include "common/xalloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- topics */

static struct watched_topic *use_topic(struct watch *watch, const char *name)
{
    struct watched_topic *topic = map_get(&watch->topics, name);

    if (topic == NULL) {
        topic = xcalloc(1, sizeof *topic);
        topic->name = xstrdup(name);
        topic->err = ERR_AGAIN;
        snprintf(topic->why, sizeof topic->why, "topic '%.200s' has not been looked at yet", name);
        map_set(&watch->topics, name, topic);
    }
    topic->users++;
    return topic;
}

static void free_topic(struct watched_topic *topic)
{
    free(topic->name);
    free(topic->ends);
    free(topic);
}

void watch_set_topic(struct watched_topic *topic, const char *id, uint32_t count)
{
    bool other = topic->id[0] != '\0' && strcmp(topic->id, id) != 0;

    if (count > WATCH_PARTITIONS_MAX)
        count = WATCH_PARTITIONS_MAX;
    if (other || count < topic->partition_count) {
        topic->recreated++;
        for (uint32_t i = 0; i < topic->partition_count; i++)
            lag_reset_end(&topic->ends[i]);
    }
    if (count > topic->partition_count) {
        topic->ends = xrealloc(topic->ends, count, sizeof *topic->ends);
        memset(topic->ends + topic->partition_count, 0,
               (count - topic->partition_count) * sizeof *topic->ends);
    }
    topic->partition_count = count;
    snprintf(topic->id, sizeof topic->id, "%s", id);
    topic->err = OK;
    topic->why[0] = '\0';
}

/* ---- groups */

static void free_group(struct watched_group *group)
{
    for (size_t i = 0; i < group->place_count; i++) {
        group->places[i].topic->users--;
        free(group->places[i].commits);
    }
    free(group->places);
    free(group->name);
    free(group->client_prefix);
    free(group);
}

static bool same_topics(const struct watched_group *old, const struct observer_group *group)
{
    if (old->place_count != group->topic_count)
        return false;
    for (size_t i = 0; i < group->topic_count; i++)
        if (strcmp(old->places[i].topic->name, group->topics[i]) != 0)
            return false;
    return true;
}

static struct watched_group *new_group(struct watch *watch, const struct observer_group *group)
{
    struct watched_group *made = xcalloc(1, sizeof *made);

    made->name = xstrdup(group->group);
    made->places = xcalloc(group->topic_count, sizeof *made->places);
    made->place_count = group->topic_count;
    for (size_t i = 0; i < group->topic_count; i++) {
        made->places[i].topic = use_topic(watch, group->topics[i]);
        made->places[i].recreated_before = made->places[i].topic->recreated;
    }
    snprintf(made->lag.why, sizeof made->lag.why, "it has not been looked at yet");
    return made;
}

static enum err check(const struct watch *watch, const struct observer_group *group,
                      struct error *error)
{
    if (strlen(group->group) > OBSERVER_GROUP_MAX)
        return error_set(error, ERR_INVALID, "a group's name has at most %d bytes",
                         OBSERVER_GROUP_MAX);
    if (group->topic_count == 0 || group->topic_count > OBSERVER_TOPICS_MAX)
        return error_set(error, ERR_INVALID, "group '%s' reads %zu topics; 1 to %d are watched",
                         group->group, group->topic_count, OBSERVER_TOPICS_MAX);
    for (size_t i = 0; i < group->topic_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(group->topics[i], group->topics[j]) == 0)
                return error_set(error, ERR_INVALID, "group '%s' names topic '%s' twice",
                                 group->group, group->topics[i]);
    if (watch->groups.count >= OBSERVER_GROUPS_MAX && map_get(&watch->groups, group->group) == NULL)
        return error_set(error, ERR_FULL, "group '%s' is not watched: there are %d already",
                         group->group, OBSERVER_GROUPS_MAX);
    return OK;
}

static void bury(struct watch *watch, struct watched_group *group)
{
    group->next_dead = watch->dead;
    watch->dead = group;
}

enum err watch_put(struct watch *watch, const struct observer_group *group, struct error *error)
{
    enum err err = check(watch, group, error);
    if (err)
        return err;

    struct watched_group *watched = map_get(&watch->groups, group->group);
    if (watched == NULL || !same_topics(watched, group)) {
        struct watched_group *made = new_group(watch, group);
        if (watched != NULL)
            bury(watch, watched);
        map_set(&watch->groups, group->group, made);
        watched = made;
    }
    if (watched->asleep && !group->asleep)
        watched->committed_ms = watched->described_ms = 0; /* it wakes: look at once */
    watched->latest = group->latest;
    watched->asleep = group->asleep;
    free(watched->client_prefix);
    watched->client_prefix = group->client_prefix != NULL ? xstrdup(group->client_prefix) : NULL;
    return OK;
}

void watch_remove(struct watch *watch, const char *group)
{
    struct watched_group *gone = map_remove(&watch->groups, group);
    if (gone != NULL)
        bury(watch, gone);
}

void watch_sweep(struct watch *watch)
{
    while (watch->dead != NULL) {
        struct watched_group *group = watch->dead;
        watch->dead = group->next_dead;
        free_group(group);
    }
    struct map_entry *next;
    for (struct map_entry *entry = map_next(&watch->topics, NULL); entry != NULL; entry = next) {
        struct watched_topic *topic = entry->value;
        next = map_next(&watch->topics, entry);
        if (topic->users > 0)
            continue;
        map_remove(&watch->topics, topic->name);
        free_topic(topic);
    }
}

void watch_fini(struct watch *watch)
{
    for (struct map_entry *entry = map_next(&watch->groups, NULL); entry != NULL;
         entry = map_next(&watch->groups, entry))
        bury(watch, entry->value);
    map_fini(&watch->groups);
    watch_sweep(watch);
    map_fini(&watch->topics);
}

void watch_fit_group(struct watched_group *group)
{
    for (size_t i = 0; i < group->place_count; i++) {
        struct watched_place *place = &group->places[i];
        uint32_t count = place->topic->partition_count;
        if (count > place->partition_count) {
            place->commits = xrealloc(place->commits, count, sizeof *place->commits);
            memset(place->commits + place->partition_count, 0,
                   (count - place->partition_count) * sizeof *place->commits);
        }
        place->partition_count = count;
    }
}

/* ---- summing up */

struct lag_context watch_context(const struct watched_group *group, int64_t now_ms)
{
    return (struct lag_context){
        .now_ms = now_ms,
        .latest = group->latest,
        .asleep = group->asleep,
        .working = group->state == GROUP_STABLE && group->members > 0,
    };
}

static void add_place(const struct watched_group *group, struct watched_place *place,
                      int64_t now_ms, struct group_lag *lag)
{
    const struct lag_context context = watch_context(group, now_ms);

    if (place->topic->err != OK) {
        lag->partitions_unknown++;
        snprintf(lag->why, sizeof lag->why, "%s", place->topic->why);
        return;
    }
    lag->topics_recreated += place->topic->recreated - place->recreated_before;
    for (uint32_t i = 0; i < place->partition_count; i++) {
        const struct lag_end *end = &place->topic->ends[i];
        struct lag_commit *commit = &place->commits[i];
        struct partition_lag partition = lag_of(&context, end, commit);

        partition.topic = place->topic->name;
        partition.partition = (int32_t)i;
        lag_sum(lag, &partition, commit->read && commit->committed != OFFSET_NONE);
        if (!end->arrival.known ||
            (commit->committed != OFFSET_NONE && !commit->consume.known && !group->asleep))
            lag->rates_known = false;
        if (!partition.known && lag->why[0] == '\0')
            snprintf(lag->why, sizeof lag->why, "%s of %.120s/%" PRIu32 " is not known%s%.80s",
                     end->known ? "the committed offset" : "the end", place->topic->name, i,
                     group->trouble[0] != '\0' ? ": " : "", group->trouble);
        if ((uint64_t)end->read_ms > lag->observed_ms)
            lag->observed_ms = (uint64_t)end->read_ms;
    }
}

void watch_evaluate(struct watched_group *group, int64_t now_ms, const char *trouble)
{
    struct group_lag lag = {
        .state = group->state,
        .consumer_protocol = group->consumer_protocol,
        .members = group->members,
        .members_foreign = group->members_foreign,
        .lag_ms_known = true,
        .rates_known = true,
        .committed_everywhere = true,
    };

    memcpy(lag.foreign, group->foreign, sizeof lag.foreign);
    for (size_t i = 0; i < group->place_count; i++)
        add_place(group, &group->places[i], now_ms, &lag);
    lag_finish(&lag);
    if (lag.known)
        lag.why[0] = '\0';
    else if (trouble != NULL && *trouble != '\0')
        snprintf(lag.why, sizeof lag.why, "%s", trouble);
    group->lag = lag;
}
