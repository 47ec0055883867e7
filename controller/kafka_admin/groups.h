/* groups: consumer groups and offsets. Classic and KIP-848 groups alike.
 *
 * Results are written into the caller's arrays; strings are in the caller's arena. One item's
 * trouble is in its own `err`; a call fails as a whole only when nothing could be asked.
 *
 * Thread: any; blocks until its deadline.
 */
#ifndef CONTROLLER_KAFKA_ADMIN_GROUPS_H
#define CONTROLLER_KAFKA_ADMIN_GROUPS_H

#include "common/arena.h"
#include "controller/kafka_admin/admin.h"

#define OFFSETS_BATCH     2000 /* partitions in one call to librdkafka */
#define GROUPS_IN_FLIGHT  64   /* groups that are asked at a time */
#define GROUP_MEMBERS_MAX 4096 /* members listed; more are only counted */

#define OFFSET_NONE     (-1)
#define OFFSET_LATEST   (-1) /* as offset_query.at */
#define OFFSET_EARLIEST (-2)

struct offset_query {
    const char *topic;
    int32_t partition;
    int64_t at; /* OFFSET_LATEST, OFFSET_EARLIEST, or ms since 1970: the first message not older */
    int64_t offset;    /* the answer; OFFSET_NONE: no message is that young */
    int64_t timestamp; /* of that message, where asked by time; else -1 */
    enum err err;
};

NODISCARD enum err offsets_list(struct admin *admin, struct offset_query *queries, size_t count,
                                uint32_t timeout_ms, struct error *error);

struct group_offset {
    const char *topic;
    int32_t partition;
    int64_t offset;       /* committed; OFFSET_NONE: none */
    const char *metadata; /* what the committer wrote beside it; NULL: nothing */
    enum err err;
};

struct group_committed {
    const char *group;
    struct group_offset *offsets; /* topic and partition are the question, the rest the answer */
    size_t offset_count;
    enum err err;
};

/* Asks for the committed offsets of many groups, GROUPS_IN_FLIGHT at a time, each of which may take
 * `timeout_ms`. After twice that time no more are asked, and those left are ERR_AGAIN. `arena`
 * takes the metadata; NULL: it is not wanted. */
NODISCARD enum err groups_committed(struct admin *admin, struct group_committed *groups,
                                    size_t count, uint32_t timeout_ms, struct arena *arena,
                                    struct error *error);

enum group_state { GROUP_UNKNOWN, GROUP_REBALANCING, GROUP_STABLE, GROUP_EMPTY, GROUP_DEAD };

struct group_member {
    const char *client_id, *host;
    uint32_t partitions; /* assigned */
};

struct group_description {
    const char *group;
    enum err err; /* a group that has never been is OK and GROUP_DEAD */
    enum group_state state;
    bool consumer_protocol; /* KIP-848 */
    uint32_t member_count;
    const struct group_member *members;
    size_t members_listed;
};

NODISCARD enum err groups_describe(struct admin *admin, struct group_description *groups,
                                   size_t count, uint32_t timeout_ms, struct arena *arena,
                                   struct error *error);

const char *group_state_name(enum group_state state);

#endif
