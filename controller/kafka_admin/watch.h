/* watch: what an observer watches: topics with their partitions, and groups with their places in
 * them. Internal to the folder; its owner's lock guards all of it.
 *
 * A topic lives as long as a group names it. What is unregistered or replaced is kept on a list of
 * the dead until watch_sweep(), so that a round in progress may still point at it.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_WATCH_H
#define CONTROLLER_KAFKA_ADMIN_WATCH_H

#include "common/map.h"
#include "controller/kafka_admin/lag.h"
#include "controller/kafka_admin/topic_plan.h"

#define WATCH_PARTITIONS_MAX 100000u /* of one topic */

struct watched_topic {
    char *name;
    uint32_t users;
    int64_t described_ms; /* when it was last asked for; 0: never */
    enum err err;         /* OK: it exists */
    char why[OBSERVER_TEXT_MAX];
    char id[TOPIC_ID_SIZE];
    uint32_t recreated;
    struct lag_end *ends;
    uint32_t partition_count;
};

/* A group's places in one topic. */
struct watched_place {
    struct watched_topic *topic;
    uint32_t recreated_before; /* as topic->recreated was at registration */
    struct lag_commit *commits;
    uint32_t partition_count;
};

struct watched_group {
    struct watched_group *next_dead;
    char *name, *client_prefix;
    bool latest, asleep;
    struct watched_place *places;
    size_t place_count;

    int64_t committed_ms, described_ms; /* when asked for last; 0: never */
    enum group_state state;
    bool consumer_protocol;
    uint32_t members, members_foreign;
    char foreign[OBSERVER_TEXT_MAX];
    char trouble[OBSERVER_TEXT_MAX]; /* why committed offsets could not be had; "": they could */
    struct group_lag lag;            /* as of the last round */
};

struct watch {
    struct map topics, groups;
    struct watched_group *dead;
};

/* Registers or changes a group. Numbers are kept if its topics stay the same. ERR_FULL. */
NODISCARD enum err watch_put(struct watch *watch, const struct observer_group *group,
                             struct error *error);
void watch_remove(struct watch *watch, const char *group);

/* Frees the dead, and topics that nobody names any more. */
void watch_sweep(struct watch *watch);
void watch_fini(struct watch *watch);

/* Takes in that a topic has `count` partitions and an id: another id begins all anew. */
void watch_set_topic(struct watched_topic *topic, const char *id, uint32_t count);

/* Makes room for places in partitions that were added. */
void watch_fit_group(struct watched_group *group);

/* Sums a group up into group->lag. `trouble` says why nothing is known, if nothing could be asked.
 */
void watch_evaluate(struct watched_group *group, int64_t now_ms, const char *trouble);

/* The group's circumstances, for lag_of(). */
struct lag_context watch_context(const struct watched_group *group, int64_t now_ms);

#endif
