#include "controller/kafka_admin/rounds.h"

#include "common/clock.h"
#include "common/xalloc.h"
#include "controller/kafka_admin/peek.h"
#include "controller/kafka_admin/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS          5000
#define PEEK_MS          3000
#define PEEK_RETRY_MS    60000
#define DESCRIBE_MS      30000 /* topics, and log starts */
#define DESCRIBE_SOON_MS 5000  /* topics that are not there */
#define STATE_BUSY_MS    5000
#define STATE_IDLE_MS    30000

static int64_t now(void)
{
    return (int64_t)clock_mono_ms();
}

static void free_array(void *array)
{
    free(*(void **)array);
}

static void count_request(const struct round *round)
{
    pthread_mutex_lock(round->mutex);
    round->stats->requests++;
    pthread_mutex_unlock(round->mutex);
}

/* ---- topics */

static bool topic_is_due(const struct watched_topic *topic, int64_t now_ms)
{
    int64_t every_ms = topic->err == OK ? DESCRIBE_MS : DESCRIBE_SOON_MS;
    return topic->described_ms == 0 || now_ms - topic->described_ms >= every_ms;
}

static size_t gather_topics(const struct round *round, struct watched_topic ***ret_topics)
{
    struct map *topics = &round->watch->topics;
    size_t count = 0;
    int64_t now_ms = now();

    *ret_topics = xcalloc(topics->count + 1, sizeof(struct watched_topic *));
    for (struct map_entry *entry = map_next(topics, NULL); entry != NULL;
         entry = map_next(topics, entry))
        if (topic_is_due(entry->value, now_ms))
            (*ret_topics)[count++] = entry->value;
    return count;
}

static void store_topic(struct watched_topic *topic, const struct topic_observed *seen)
{
    topic->described_ms = now();
    if (seen->err == OK) {
        watch_set_topic(topic, seen->topic_id, seen->partitions);
        return;
    }
    topic->err = seen->err;
    snprintf(topic->why, sizeof topic->why, "topic '%.120s': %.120s", topic->name,
             seen->err == ERR_NOTFOUND  ? "does not exist"
             : seen->error_text != NULL ? seen->error_text
                                        : err_name(seen->err));
}

static enum err ask_topics(const struct round *round, struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(free_array) struct watched_topic **topics = NULL;
    AUTO(free_array) const char **names = NULL;
    AUTO(free_array) struct topic_observed *seen = NULL;

    pthread_mutex_lock(round->mutex);
    size_t count = gather_topics(round, &topics);
    pthread_mutex_unlock(round->mutex);
    if (count == 0)
        return OK;
    names = xcalloc(count, sizeof *names);
    seen = xcalloc(count, sizeof *seen);
    for (size_t i = 0; i < count; i++)
        names[i] = topics[i]->name;
    count_request(round);
    enum err err = topics_describe_shape(round->admin, names, count, CALL_MS, &arena, seen, error);
    if (err)
        return err;
    pthread_mutex_lock(round->mutex);
    for (size_t i = 0; i < count; i++)
        store_topic(topics[i], &seen[i]);
    pthread_mutex_unlock(round->mutex);
    return OK;
}

/* ---- ends and starts */

struct end_question {
    struct watched_topic **topics; /* one for each query */
    struct offset_query *queries;
    size_t count;
};

static void fini_question(struct end_question *question)
{
    free(question->topics);
    free(question->queries);
}

/* Starts are asked for when a topic has just been described, and where they are missing. */
static bool start_is_due(const struct watched_topic *topic, const struct lag_end *end,
                         int64_t round_ms)
{
    return !end->start_known || topic->described_ms >= round_ms;
}

static void gather_ends(const struct round *round, int64_t at, int64_t round_ms,
                        struct end_question *question)
{
    struct map *topics = &round->watch->topics;
    size_t count = 0;

    for (struct map_entry *entry = map_next(topics, NULL); entry != NULL;
         entry = map_next(topics, entry))
        count += ((struct watched_topic *)entry->value)->partition_count;
    question->topics = xcalloc(count + 1, sizeof(struct watched_topic *));
    question->queries = xcalloc(count + 1, sizeof *question->queries);
    for (struct map_entry *entry = map_next(topics, NULL); entry != NULL;
         entry = map_next(topics, entry)) {
        struct watched_topic *topic = entry->value;
        for (uint32_t i = 0; topic->err == OK && i < topic->partition_count; i++) {
            if (at == OFFSET_EARLIEST && !start_is_due(topic, &topic->ends[i], round_ms))
                continue;
            question->topics[question->count] = topic;
            question->queries[question->count++] =
                (struct offset_query){.topic = topic->name, .partition = (int32_t)i, .at = at};
        }
    }
}

static void store_ends(const struct end_question *question)
{
    int64_t now_ms = now();

    for (size_t i = 0; i < question->count; i++) {
        const struct offset_query *query = &question->queries[i];
        struct watched_topic *topic = question->topics[i];
        struct lag_end *end = &topic->ends[query->partition];
        if (query->err == ERR_NOTFOUND)
            topic->described_ms = 0; /* look again what has become of it */
        if (query->err)
            continue;
        if (query->at == OFFSET_EARLIEST)
            lag_feed_start(end, query->offset);
        else
            lag_feed_end(end, now_ms, query->offset);
    }
}

static enum err ask_ends(const struct round *round, int64_t at, int64_t round_ms,
                         struct error *error)
{
    AUTO(fini_question) struct end_question question = {.count = 0};

    pthread_mutex_lock(round->mutex);
    gather_ends(round, at, round_ms, &question);
    pthread_mutex_unlock(round->mutex);
    if (question.count == 0)
        return OK;
    count_request(round);
    enum err err = offsets_list(round->admin, question.queries, question.count, CALL_MS, error);
    if (err)
        return err;
    pthread_mutex_lock(round->mutex);
    store_ends(&question);
    pthread_mutex_unlock(round->mutex);
    return OK;
}

/* ---- commits */

static bool has_work(const struct watched_group *group)
{
    if (!group->lag.known || group->lag.lag_messages > 0)
        return true;
    for (size_t i = 0; i < group->place_count; i++) {
        const struct watched_topic *topic = group->places[i].topic;
        for (uint32_t p = 0; p < topic->partition_count; p++)
            if (topic->ends[p].moved_ms > group->committed_ms)
                return true;
    }
    return false;
}

static bool commits_are_due(const struct watched_group *group, int64_t now_ms)
{
    if (group->committed_ms == 0)
        return true;
    if (group->asleep)
        return group->trouble[0] != '\0'; /* nobody commits, so once is enough */
    /* Half a round early rather than half a round late. */
    int64_t every_ms = has_work(group) ? OBSERVER_BUSY_MS : OBSERVER_IDLE_MS;
    return now_ms - group->committed_ms >= every_ms - OBSERVER_ENDS_MS / 2;
}

struct commit_question {
    struct watched_group **watched;
    struct group_committed *groups;
    size_t count;
};

static void fini_commits(struct commit_question *question)
{
    for (size_t i = 0; i < question->count; i++)
        free(question->groups[i].offsets);
    free(question->watched);
    free(question->groups);
}

static void ask_for_group(struct watched_group *watched, struct group_committed *group)
{
    size_t count = 0;

    watch_fit_group(watched);
    for (size_t i = 0; i < watched->place_count; i++)
        count += watched->places[i].partition_count;
    *group = (struct group_committed){.group = watched->name};
    group->offsets = xcalloc(count + 1, sizeof *group->offsets);
    for (size_t i = 0; i < watched->place_count; i++) {
        const struct watched_place *place = &watched->places[i];
        for (uint32_t p = 0; place->topic->err == OK && p < place->partition_count; p++)
            group->offsets[group->offset_count++] =
                (struct group_offset){.topic = place->topic->name, .partition = (int32_t)p};
    }
}

static void gather_commits(const struct round *round, struct commit_question *question)
{
    struct map *groups = &round->watch->groups;
    int64_t now_ms = now();

    question->watched = xcalloc(groups->count + 1, sizeof(struct watched_group *));
    question->groups = xcalloc(groups->count + 1, sizeof *question->groups);
    for (struct map_entry *entry = map_next(groups, NULL); entry != NULL;
         entry = map_next(groups, entry)) {
        struct watched_group *group = entry->value;
        if (!commits_are_due(group, now_ms))
            continue;
        ask_for_group(group, &question->groups[question->count]);
        question->watched[question->count++] = group;
    }
}

static void store_commits(struct watched_group *watched, const struct group_committed *group)
{
    int64_t now_ms = now();
    size_t at = 0;

    watched->trouble[0] = '\0';
    if (group->err)
        snprintf(watched->trouble, sizeof watched->trouble, "%s",
                 group->err == ERR_INVALID
                     ? "Kafka refuses to tell; the operator's user needs the right to describe "
                       "the group"
                     : "its coordinator did not answer");
    if (group->err || group->offset_count == 0)
        return; /* asked again in the next round */
    watched->committed_ms = now_ms;
    for (size_t i = 0; i < watched->place_count; i++) {
        struct watched_place *place = &watched->places[i];
        for (uint32_t p = 0; place->topic->err == OK && p < place->partition_count; p++, at++)
            if (group->offsets[at].err == OK)
                lag_feed_commit(&place->commits[p], &place->topic->ends[p], now_ms,
                                group->offsets[at].offset);
    }
}

static enum err ask_commits(const struct round *round, struct error *error)
{
    AUTO(fini_commits) struct commit_question question = {.count = 0};

    pthread_mutex_lock(round->mutex);
    gather_commits(round, &question);
    pthread_mutex_unlock(round->mutex);
    if (question.count == 0)
        return OK;
    count_request(round);
    enum err err =
        groups_committed(round->admin, question.groups, question.count, CALL_MS, NULL, error);
    pthread_mutex_lock(round->mutex);
    for (size_t i = 0; i < question.count; i++)
        store_commits(question.watched[i], &question.groups[i]);
    pthread_mutex_unlock(round->mutex);
    return err;
}

/* ---- states and members */

static bool state_is_due(const struct watched_group *group, int64_t now_ms)
{
    int64_t every_ms = STATE_IDLE_MS;

    if (group->state == GROUP_REBALANCING)
        every_ms = OBSERVER_ENDS_MS;
    else if (!group->asleep && has_work(group))
        every_ms = STATE_BUSY_MS;
    return group->described_ms == 0 ||
           now_ms - group->described_ms >= every_ms - OBSERVER_ENDS_MS / 2;
}

static void store_state(struct watched_group *watched, const struct group_description *group)
{
    watched->described_ms = now();
    watched->state = group->err ? GROUP_UNKNOWN : group->state;
    watched->consumer_protocol = group->consumer_protocol;
    watched->members = group->member_count;
    watched->members_foreign = 0;
    watched->foreign[0] = '\0';
    for (size_t i = 0; watched->client_prefix != NULL && i < group->members_listed; i++) {
        const struct group_member *member = &group->members[i];
        if (strncmp(member->client_id, watched->client_prefix, strlen(watched->client_prefix)) == 0)
            continue;
        if (watched->members_foreign++ == 0)
            snprintf(watched->foreign, sizeof watched->foreign, "%.120s on %.100s",
                     member->client_id, member->host);
    }
}

static enum err ask_states(const struct round *round, struct error *error)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(free_array) struct watched_group **watched = NULL;
    AUTO(free_array) struct group_description *groups = NULL;
    struct map *map = &round->watch->groups;
    size_t count = 0;

    pthread_mutex_lock(round->mutex);
    watched = xcalloc(map->count + 1, sizeof(struct watched_group *));
    groups = xcalloc(map->count + 1, sizeof(struct group_description));
    for (struct map_entry *entry = map_next(map, NULL); entry != NULL;
         entry = map_next(map, entry)) {
        if (!state_is_due(entry->value, now()))
            continue;
        watched[count] = entry->value;
        groups[count].group = watched[count]->name;
        count++;
    }
    pthread_mutex_unlock(round->mutex);
    if (count == 0)
        return OK;
    count_request(round);
    enum err err = groups_describe(round->admin, groups, count, CALL_MS, &arena, error);
    pthread_mutex_lock(round->mutex);
    for (size_t i = 0; i < count; i++)
        store_state(watched[i], &groups[i]);
    pthread_mutex_unlock(round->mutex);
    return err;
}

/* ---- peeks */

struct peek_question {
    struct lag_commit *commits[PEEKS_MAX];
    struct peek peeks[PEEKS_MAX];
    size_t count;
};

static bool is_asked(const struct peek_question *question, const char *topic, int32_t partition)
{
    for (size_t i = 0; i < question->count; i++)
        if (question->peeks[i].partition == partition &&
            strcmp(question->peeks[i].topic, topic) == 0)
            return true;
    return false;
}

static void gather_group_peeks(struct watched_group *group, struct peek_question *question)
{
    const struct lag_context context = watch_context(group, now());

    watch_fit_group(group); /* now, so that nobody has to move the commits we point at */
    for (size_t i = 0; i < group->place_count; i++) {
        struct watched_place *place = &group->places[i];
        uint32_t count = place->topic->err == OK ? place->partition_count : 0;
        for (uint32_t p = 0; p < count && question->count < PEEKS_MAX; p++) {
            const struct lag_end *end = &place->topic->ends[p];
            struct lag_commit *commit = &place->commits[p];
            if (!lag_wants_peek(&context, end, commit) ||
                is_asked(question, place->topic->name, (int32_t)p))
                continue;
            question->commits[question->count] = commit;
            question->peeks[question->count++] =
                (struct peek){.topic = place->topic->name,
                              .partition = (int32_t)p,
                              .at = lag_base(&context, end, commit)};
        }
    }
}

/* A record's own time is the wall clock's; all else here is monotonic. */
static void store_peek(struct lag_commit *commit, const struct peek *peek)
{
    int64_t age_ms = (int64_t)clock_wall_ms() - peek->timestamp_ms;

    if (peek->found == LAG_NOT_PEEKED || (peek->found == LAG_RECORD && peek->timestamp_ms == 0))
        commit->peek_retry_ms = now() + PEEK_RETRY_MS;
    else
        lag_feed_peek(commit, peek->at, peek->end, peek->found, now() - (age_ms > 0 ? age_ms : 0));
}

static void ask_peeks(const struct round *round)
{
    struct peek_question question = {.count = 0};
    struct map *groups = &round->watch->groups;

    pthread_mutex_lock(round->mutex);
    for (struct map_entry *entry = map_next(groups, NULL); entry != NULL;
         entry = map_next(groups, entry))
        gather_group_peeks(entry->value, &question);
    round->stats->peeks += question.count;
    pthread_mutex_unlock(round->mutex);
    if (question.count == 0)
        return;
    /* What could not be read is tried again a minute later, and is no reason to stop the round. */
    IGNORE_RESULT(peek_records(round->access, question.peeks, question.count, PEEK_MS, NULL));
    pthread_mutex_lock(round->mutex);
    for (size_t i = 0; i < question.count; i++)
        store_peek(question.commits[i], &question.peeks[i]);
    pthread_mutex_unlock(round->mutex);
}

/* ---- all of it */

static bool stopping(const struct round *round)
{
    pthread_mutex_lock(round->mutex);
    bool stop = *round->stop;
    pthread_mutex_unlock(round->mutex);
    return stop;
}

enum err round_ask(const struct round *round, struct error *error)
{
    int64_t round_ms = now();

    enum err err = ask_topics(round, error);
    if (!err && !stopping(round))
        err = ask_ends(round, OFFSET_EARLIEST, round_ms, error);
    if (!err && !stopping(round))
        err = ask_ends(round, OFFSET_LATEST, round_ms, error);
    if (!err && !stopping(round))
        err = ask_commits(round, error);
    if (err || stopping(round))
        return err;
    /* Lag is worth having without the groups' states, which need a right of their own. */
    err = ask_states(round, error);
    if (!stopping(round))
        ask_peeks(round);
    return err;
}

void round_evaluate(const struct round *round, const char *trouble)
{
    struct map *groups = &round->watch->groups;
    struct map *topics = &round->watch->topics;
    uint32_t partitions = 0;

    pthread_mutex_lock(round->mutex);
    for (struct map_entry *entry = map_next(groups, NULL); entry != NULL;
         entry = map_next(groups, entry)) {
        watch_fit_group(entry->value);
        watch_evaluate(entry->value, now(), trouble);
    }
    for (struct map_entry *entry = map_next(topics, NULL); entry != NULL;
         entry = map_next(topics, entry))
        partitions += ((struct watched_topic *)entry->value)->partition_count;
    round->stats->groups = (uint32_t)groups->count;
    round->stats->topics = (uint32_t)topics->count;
    round->stats->partitions = partitions;
    pthread_mutex_unlock(round->mutex);
}
