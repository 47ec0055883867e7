#include "controller/kafka_admin/groups.h"

#include "common/assert.h"
#include "common/clock.h"
#include "controller/kafka_admin/call.h"
#include "controller/kafka_admin/kafka_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIBE_BATCH 50

_Static_assert((int)RD_KAFKA_OFFSET_SPEC_LATEST == OFFSET_LATEST, "as librdkafka has it");
_Static_assert((int)RD_KAFKA_OFFSET_SPEC_EARLIEST == OFFSET_EARLIEST, "as librdkafka has it");

static uint32_t left_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_mono_ms();
    return deadline_ms > now_ms ? (uint32_t)(deadline_ms - now_ms) : 0;
}

static void destroy_list(rd_kafka_topic_partition_list_t **list)
{
    if (*list != NULL)
        rd_kafka_topic_partition_list_destroy(*list);
}

/* ---- offsets of partitions */

static int compare_queries(const void *a, const void *b)
{
    const struct offset_query *const *x = a, *const *y = b;
    int topics = strcmp((*x)->topic, (*y)->topic);
    if (topics != 0)
        return topics;
    return ((*x)->partition > (*y)->partition) - ((*x)->partition < (*y)->partition);
}

static void read_offset(const rd_kafka_ListOffsetsResultInfo_t *info, struct offset_query **by_name,
                        size_t count)
{
    const rd_kafka_topic_partition_t *answer = rd_kafka_ListOffsetsResultInfo_topic_partition(info);
    struct offset_query key = {.topic = answer->topic, .partition = answer->partition};
    const struct offset_query *wanted = &key;
    struct offset_query **found =
        bsearch(&wanted, by_name, count, sizeof(struct offset_query *), compare_queries);

    if (found == NULL)
        return;
    (*found)->err = kafka_error_code(answer->err);
    if (answer->err)
        return;
    (*found)->offset = answer->offset;
    (*found)->timestamp = rd_kafka_ListOffsetsResultInfo_timestamp(info);
}

static enum err list_batch(struct admin *admin, struct offset_query *queries, size_t count,
                           uint32_t timeout_ms, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    AUTO(destroy_list)
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    struct offset_query *by_name[OFFSETS_BATCH];
    rd_kafka_event_t *event = NULL;
    size_t answered = 0;

    for (size_t i = 0; i < count; i++) {
        rd_kafka_topic_partition_list_add(list, queries[i].topic, queries[i].partition)->offset =
            queries[i].at;
        by_name[i] = &queries[i];
    }
    qsort(by_name, count, sizeof(struct offset_query *), compare_queries);
    call_init(&call, admin, RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout_ms, "list offsets");
    rd_kafka_ListOffsets(call.handle, list, call.options, call.queue);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_ListOffsetsResultInfo_t **infos =
        rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event), &answered);
    for (size_t i = 0; i < answered; i++)
        read_offset(infos[i], by_name, count);
    return OK;
}

enum err offsets_list(struct admin *admin, struct offset_query *queries, size_t count,
                      uint32_t timeout_ms, struct error *error)
{
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;

    for (size_t i = 0; i < count; i++) {
        queries[i].offset = OFFSET_NONE;
        queries[i].timestamp = -1;
        queries[i].err = ERR_AGAIN;
    }
    for (size_t at = 0; at < count; at += OFFSETS_BATCH) {
        size_t batch = count - at < OFFSETS_BATCH ? count - at : OFFSETS_BATCH;
        enum err err = list_batch(admin, queries + at, batch, left_ms(deadline_ms), error);
        if (err && err != ERR_NOTFOUND)
            return err;
        for (size_t i = 0; err == ERR_NOTFOUND && i < batch; i++)
            queries[at + i].err = err;
    }
    return OK;
}

/* ---- committed offsets */

static void ask_committed(struct call *call, struct group_committed *group)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)group->offset_count);

    for (size_t i = 0; i < group->offset_count; i++)
        rd_kafka_topic_partition_list_add(list, group->offsets[i].topic,
                                          group->offsets[i].partition);
    rd_kafka_ListConsumerGroupOffsets_t *request =
        rd_kafka_ListConsumerGroupOffsets_new(group->group, list);
    rd_kafka_AdminOptions_set_opaque(call->options, group);
    rd_kafka_ListConsumerGroupOffsets(call->handle, &request, 1, call->options, call->queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
}

static const char *keep_metadata(const rd_kafka_topic_partition_t *answer, struct arena *arena)
{
    if (arena == NULL || answer->metadata == NULL || answer->metadata_size == 0)
        return NULL;
    return arena_strndup(arena, answer->metadata, answer->metadata_size);
}

static void read_committed(rd_kafka_event_t *event, struct group_committed *group,
                           struct arena *arena)
{
    size_t count = 0;
    const rd_kafka_ListConsumerGroupOffsets_result_t *result =
        rd_kafka_event_ListConsumerGroupOffsets_result(event);
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(result, &count);

    if (count != 1)
        return;
    const rd_kafka_error_t *refused = rd_kafka_group_result_error(groups[0]);
    if (refused != NULL) {
        group->err = kafka_error_code(rd_kafka_error_code(refused));
        return;
    }
    group->err = OK;
    const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(groups[0]);
    for (size_t i = 0; i < group->offset_count; i++) {
        struct group_offset *offset = &group->offsets[i];
        const rd_kafka_topic_partition_t *answer =
            rd_kafka_topic_partition_list_find(list, offset->topic, offset->partition);
        if (answer == NULL)
            continue;
        offset->err = kafka_error_code(answer->err);
        offset->offset = answer->offset >= 0 ? answer->offset : OFFSET_NONE;
        offset->metadata = keep_metadata(answer, arena);
    }
}

static void forget_committed(struct group_committed *group)
{
    group->err = ERR_AGAIN;
    for (size_t i = 0; i < group->offset_count; i++) {
        group->offsets[i].offset = OFFSET_NONE;
        group->offsets[i].metadata = NULL;
        group->offsets[i].err = ERR_AGAIN;
    }
}

/* The questions under way. */
struct asking {
    struct call call;
    struct group_committed *groups;
    size_t count, asked, answered, failed;
    uint64_t stop_ms; /* nothing is asked any more from then on */
};

static void ask_more(struct asking *asking)
{
    while (asking->asked < asking->count && asking->asked - asking->answered < GROUPS_IN_FLIGHT &&
           clock_mono_ms() < asking->stop_ms) {
        struct group_committed *group = &asking->groups[asking->asked++];
        if (group->offset_count > 0) {
            ask_committed(&asking->call, group);
            continue;
        }
        group->err = OK; /* librdkafka would refuse an empty question */
        asking->answered++;
    }
}

/* Takes one answer. An error is that of its group, but where no answer came at all. */
static enum err take_committed(struct asking *asking, struct arena *arena, struct error *error)
{
    rd_kafka_event_t *event = NULL;
    enum err err = call_wait(&asking->call, &event, error);

    if (asking->call.event == NULL)
        return err;
    struct group_committed *group = rd_kafka_event_opaque(asking->call.event);
    group->err = err;
    if (!err)
        read_committed(event, group, arena);
    asking->failed += err != OK;
    asking->answered++;
    return OK;
}

static void fini_asking(struct asking *asking)
{
    call_fini(&asking->call);
}

enum err groups_committed(struct admin *admin, struct group_committed *groups, size_t count,
                          uint32_t timeout_ms, struct arena *arena, struct error *error)
{
    AUTO(fini_asking) struct asking asking = {.groups = groups, .count = count};
    struct error last = {.code = OK};

    for (size_t i = 0; i < count; i++)
        forget_committed(&groups[i]);
    call_init(&asking.call, admin, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms,
              "list committed offsets");
    asking.stop_ms = asking.call.begun_ms + 2u * (uint64_t)timeout_ms;
    for (;;) {
        ask_more(&asking);
        if (asking.answered == asking.asked)
            break;
        enum err err = take_committed(&asking, arena, &last);
        if (err)
            return error_set(error, err, "%s", last.text);
        if (asking.failed == asking.answered && asking.failed >= GROUPS_IN_FLIGHT)
            break; /* nobody is there */
    }
    if (asking.failed > 0 && asking.failed == asking.answered)
        return error_set(error, last.code, "%s", last.text);
    return OK;
}

/* ---- groups */

static enum group_state state_of(rd_kafka_consumer_group_state_t state)
{
    switch (state) {
    case RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE:
    case RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE:
        return GROUP_REBALANCING;
    case RD_KAFKA_CONSUMER_GROUP_STATE_STABLE:
        return GROUP_STABLE;
    case RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY:
        return GROUP_EMPTY;
    case RD_KAFKA_CONSUMER_GROUP_STATE_DEAD:
        return GROUP_DEAD;
    case RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN:
    case RD_KAFKA_CONSUMER_GROUP_STATE__CNT:
        break;
    }
    return GROUP_UNKNOWN;
}

static void read_members(const rd_kafka_ConsumerGroupDescription_t *description,
                         struct arena *arena, struct group_description *group)
{
    size_t count = rd_kafka_ConsumerGroupDescription_member_count(description);

    group->member_count = (uint32_t)count;
    if (count > GROUP_MEMBERS_MAX)
        count = GROUP_MEMBERS_MAX;
    struct group_member *members = count > 0 ? arena_zalloc(arena, count * sizeof *members) : NULL;
    for (size_t i = 0; members != NULL && i < count; i++) {
        const rd_kafka_MemberDescription_t *member =
            rd_kafka_ConsumerGroupDescription_member(description, i);
        const rd_kafka_MemberAssignment_t *assignment =
            rd_kafka_MemberDescription_assignment(member);
        const rd_kafka_topic_partition_list_t *partitions =
            assignment != NULL ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;
        members[i].client_id = arena_strdup(arena, rd_kafka_MemberDescription_client_id(member));
        members[i].host = arena_strdup(arena, rd_kafka_MemberDescription_host(member));
        members[i].partitions = partitions != NULL ? (uint32_t)partitions->cnt : 0;
        if (members[i].client_id == NULL || members[i].host == NULL)
            return; /* the arena is full: those before are listed, all are counted */
        group->members = members;
        group->members_listed = i + 1;
    }
}

static void read_group(const rd_kafka_ConsumerGroupDescription_t *description, struct arena *arena,
                       struct group_description *group)
{
    const rd_kafka_error_t *refused = rd_kafka_ConsumerGroupDescription_error(description);
    rd_kafka_resp_err_t code =
        refused != NULL ? rd_kafka_error_code(refused) : RD_KAFKA_RESP_ERR_NO_ERROR;

    if (code == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        group->err = OK;
        group->state = GROUP_DEAD;
        return;
    }
    group->err = kafka_error_code(code);
    if (group->err)
        return;
    group->state = state_of(rd_kafka_ConsumerGroupDescription_state(description));
    group->consumer_protocol = rd_kafka_ConsumerGroupDescription_type(description) ==
                               RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER;
    /* KIP-848 has "Assigning" and "Reconciling", for which librdkafka has no names. */
    if (group->consumer_protocol && group->state == GROUP_UNKNOWN)
        group->state = GROUP_REBALANCING;
    read_members(description, arena, group);
}

static enum err describe_batch(struct admin *admin, struct group_description *groups, size_t count,
                               uint32_t timeout_ms, struct arena *arena, struct error *error)
{
    AUTO(call_fini) struct call call = {0};
    rd_kafka_event_t *event = NULL;
    const char *names[DESCRIBE_BATCH];
    size_t answered = 0;

    for (size_t i = 0; i < count; i++)
        names[i] = groups[i].group;
    call_init(&call, admin, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, timeout_ms,
              "describe consumer groups");
    rd_kafka_DescribeConsumerGroups(call.handle, names, count, call.options, call.queue);
    enum err err = call_wait(&call, &event, error);
    if (err)
        return err;
    const rd_kafka_ConsumerGroupDescription_t **descriptions =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &answered);
    for (size_t i = 0; i < answered; i++) {
        const char *name = rd_kafka_ConsumerGroupDescription_group_id(descriptions[i]);
        for (size_t g = 0; g < count; g++)
            if (strcmp(groups[g].group, name) == 0)
                read_group(descriptions[i], arena, &groups[g]);
    }
    return OK;
}

enum err groups_describe(struct admin *admin, struct group_description *groups, size_t count,
                         uint32_t timeout_ms, struct arena *arena, struct error *error)
{
    uint64_t deadline_ms = clock_mono_ms() + timeout_ms;

    for (size_t i = 0; i < count; i++)
        groups[i] = (struct group_description){.group = groups[i].group, .err = ERR_AGAIN};
    for (size_t at = 0; at < count; at += DESCRIBE_BATCH) {
        size_t batch = count - at < DESCRIBE_BATCH ? count - at : DESCRIBE_BATCH;
        enum err err =
            describe_batch(admin, groups + at, batch, left_ms(deadline_ms), arena, error);
        if (err)
            return err;
    }
    return OK;
}

const char *group_state_name(enum group_state state)
{
    static const char *const names[] = {
        [GROUP_UNKNOWN] = "Unknown", [GROUP_REBALANCING] = "Rebalancing",
        [GROUP_STABLE] = "Stable",   [GROUP_EMPTY] = "Empty",
        [GROUP_DEAD] = "Dead",
    };
    return names[state];
}
