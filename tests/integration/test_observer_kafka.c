// link: tests/support/kafka_peer.c
/* Promise: what librdkafka's mock cluster can't show: group states and members with either
 * protocol, transaction markers, and topics that are deleted and made again. Needs
 * SURGETANK_TEST_KAFKA=host:port of a Kafka broker; without it every test is skipped. */
#include "tests/support/kafka_peer.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "controller/kafka_admin/observer.h"
#include "controller/kafka_admin/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 15000

static const char *bootstrap;
static struct admin_pool *pool;
static struct admin *admin;
static struct observer *observer;
static struct arena arena;
static char topic[64], group[80];
static const char *topics[] = {topic};
static unsigned number;

static void make_topic(void)
{
    const struct topic_wanted wanted = {.topic = topic, .partitions = 3, .replication_factor = 1};
    const struct topic_observed none = {.err = ERR_NOTFOUND};
    struct topic_plan plan;
    struct topic_outcome outcome;
    assert_ok(topic_plan(&wanted, &none, 0, &arena, &plan, NULL));
    assert_ok(topics_apply(admin, &plan, 1, WAIT_MS, &outcome, NULL));
    assert_int_equal(outcome.error.code, OK);
}

static struct topic_observed describe(void)
{
    struct topic_observed seen;
    const char *name = topic;
    assert_ok(topics_describe_shape(admin, &name, 1, WAIT_MS, &arena, &seen, NULL));
    return seen;
}

static void delete_topic(void)
{
    struct topic_observed seen = describe();
    if (seen.err == OK)
        assert_ok(topics_delete(admin, topic, seen.topic_id, WAIT_MS, NULL));
}

static void want(bool asleep)
{
    const struct observer_group wanted = {.group = group,
                                          .topics = topics,
                                          .topic_count = 1,
                                          .asleep = asleep,
                                          .client_prefix = "surgetank-gateway"};
    assert_ok(observer_want(observer, &wanted, NULL));
}

typedef bool condition(const struct group_lag *lag);

static struct group_lag wait_for(condition *holds, rd_kafka_t *member, unsigned seconds)
{
    struct group_lag lag = {0};
    uint64_t deadline_ms = clock_mono_ms() + seconds * 1000;
    while (clock_mono_ms() < deadline_ms) {
        assert_ok(observer_read(observer, group, &lag));
        if (holds(&lag))
            return lag;
        if (member != NULL)
            peer_poll(member, 50);
        else
            peer_wait(50);
    }
    fail_msg("known %d (%s), state %s, lag %llu, members %u, foreign %u", lag.known, lag.why,
             group_state_name(lag.state), (unsigned long long)lag.lag_messages, lag.members,
             lag.members_foreign);
    return lag;
}

static bool is_known(const struct group_lag *lag)
{
    return lag->known;
}

static bool is_stable(const struct group_lag *lag)
{
    return lag->known && lag->state == GROUP_STABLE && lag->members == 1;
}

static bool is_foreign(const struct group_lag *lag)
{
    return lag->members_foreign == 1;
}

static bool is_empty(const struct group_lag *lag)
{
    return lag->known && lag->state == GROUP_EMPTY;
}

static void sees_members(bool kip848)
{
    peer_produce(bootstrap, topic, 0, 10, 0);
    want(false);
    rd_kafka_t *ours = peer_join(bootstrap, group, "surgetank-gateway-1", topic, kip848);
    struct group_lag lag = wait_for(is_stable, ours, 25);
    assert_int_equal(lag.members_foreign, 0);
    assert_int_equal(lag.consumer_protocol, kip848);
    peer_leave(&ours);
    rd_kafka_t *theirs = peer_join(bootstrap, group, "somebody-else", topic, kip848);
    lag = wait_for(is_foreign, theirs, 25);
    assert_memory_equal(lag.foreign, "somebody-else on ", 17);
    peer_leave(&theirs);
    wait_for(is_empty, NULL, 40);
}

static void test_sees_the_members_of_a_classic_group(void **state)
{
    (void)state;
    sees_members(false);
}

static void test_sees_the_members_of_a_kip_848_group(void **state)
{
    (void)state;
    if (getenv("SURGETANK_TEST_KAFKA_CLASSIC") == NULL) /* brokers before 4.0 */
        sees_members(true);
}

static bool is_free_of_lag(const struct group_lag *lag)
{
    return lag->known && lag->lag_messages == 0;
}

static bool has_lag(const struct group_lag *lag)
{
    return lag->known && lag->lag_messages > 0;
}

static void test_transaction_markers_are_no_lag_and_wake_nobody(void **state)
{
    (void)state;
    peer_produce_transaction(bootstrap, topic, 0, 5);
    peer_commit(bootstrap, group, topic, 0, 5); /* all messages, but not the marker */
    want(true);
    struct group_lag lag = wait_for(is_known, NULL, 25);
    assert_int_equal(lag.lag_messages, 0);
    peer_produce_transaction(bootstrap, topic, 0, 2);
    wait_for(has_lag, NULL, 25);
    peer_commit(bootstrap, group, topic, 0, 8);
    want(false);
    wait_for(is_free_of_lag, NULL, 60); /* only once it has stood still for a while */
}

static bool is_recreated(const struct group_lag *lag)
{
    return lag->known && lag->topics_recreated == 1;
}

static bool is_missing(const struct group_lag *lag)
{
    return !lag->known && strstr(lag->why, "does not exist") != NULL;
}

static void test_a_topic_deleted_and_made_again_begins_anew(void **state)
{
    (void)state;
    peer_produce(bootstrap, topic, 0, 500, 0);
    peer_commit(bootstrap, group, topic, 0, 450);
    want(false);
    struct group_lag lag = wait_for(is_known, NULL, 25);
    assert_int_equal(lag.lag_messages, 50);
    delete_topic();
    wait_for(is_missing, NULL, 40);
    make_topic();
    peer_produce(bootstrap, topic, 0, 7, 0);
    lag = wait_for(is_recreated, NULL, 40);
    assert_in_range(lag.lag_messages, 0, 7); /* Kafka drops a deleted topic's commits by itself */
}

static bool has_grown(const struct group_lag *lag)
{
    return lag->known && lag->partitions == 5;
}

static void test_partitions_that_are_added_are_counted(void **state)
{
    (void)state;
    want(false);
    wait_for(is_known, NULL, 25);
    const struct topic_wanted wanted = {
        .topic = topic, .partitions = 5, .replication_factor = 1, .ownership = TOPIC_ADOPT};
    struct topic_observed seen = describe();
    struct topic_plan plan;
    struct topic_outcome outcome;
    assert_ok(topic_plan(&wanted, &seen, 0, &arena, &plan, NULL));
    assert_int_equal(plan.grow_to, 5);
    assert_ok(topics_apply(admin, &plan, 1, WAIT_MS, &outcome, NULL));
    wait_for(has_grown, NULL, 45);
}

static bool is_aged(const struct group_lag *lag)
{
    return lag->known && lag->lag_ms_known && lag->lag_messages > 0;
}

static void test_reads_the_age_of_many_partitions_at_once(void **state)
{
    (void)state;
    int64_t made_ms = (int64_t)clock_wall_ms() - 7200000;
    for (int32_t i = 0; i < 3; i++)
        peer_produce(bootstrap, topic, i, 1000, made_ms + i * 600000);
    want(false);
    struct group_lag lag = wait_for(is_aged, NULL, 25);
    assert_in_range(lag.lag_ms, 7190000, 7300000);
    assert_int_equal(lag.lag_messages, 3000);
}

static int begin(void **state)
{
    (void)state;
    const struct kafka_access access = {.bootstrap = bootstrap};
    snprintf(topic, sizeof topic, "surgetank-observed-%d-%u", (int)getpid(), number++);
    snprintf(group, sizeof group, "%s-group", topic);
    assert_ok(admin_acquire(pool, &access, &admin, NULL));
    assert_ok(observer_create(pool, &access, &observer, NULL));
    make_topic();
    return 0;
}

static int end(void **state)
{
    (void)state;
    observer_destroy(&observer);
    delete_topic();
    admin_release(&admin);
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define REAL(test) cmocka_unit_test_setup_teardown(test, begin, end)
        REAL(test_sees_the_members_of_a_classic_group),
        REAL(test_sees_the_members_of_a_kip_848_group),
        REAL(test_transaction_markers_are_no_lag_and_wake_nobody),
        REAL(test_a_topic_deleted_and_made_again_begins_anew),
        REAL(test_partitions_that_are_added_are_counted),
        REAL(test_reads_the_age_of_many_partitions_at_once),
    };
    bootstrap = getenv("SURGETANK_TEST_KAFKA");
    if (bootstrap == NULL || *bootstrap == '\0') {
        puts("test_observer_kafka: skipped, for SURGETANK_TEST_KAFKA=host:port names no broker");
        return 0;
    }
    assert_ok(admin_pool_create(4, &pool, NULL));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    admin_pool_destroy(&pool);
    arena_fini(&arena);
    return failed;
}
