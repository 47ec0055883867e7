// link: tests/support/kafka_peer.c
/* Promise: the lag observer's numbers are right where it knows them, and where it doesn't it says
 * so and why. On librdkafka's mock cluster; what that can't do is in test_observer_kafka.c. */
#include "tests/support/kafka_peer.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "controller/kafka_admin/observer.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

struct cluster {
    rd_kafka_t *owner;
    rd_kafka_mock_cluster_t *mock;
    char bootstrap[128];
};

enum { OFFSET_FETCH = 9 }; /* Kafka's number for the request */

static struct cluster start_cluster(int brokers)
{
    struct cluster cluster;
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    cluster.owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    assert_non_null(cluster.owner);
    cluster.mock = rd_kafka_mock_cluster_new(cluster.owner, brokers);
    assert_non_null(cluster.mock);
    rd_kafka_mock_set_controller_id(cluster.mock, 1); /* there is none otherwise */
    snprintf(cluster.bootstrap, sizeof cluster.bootstrap, "%s",
             rd_kafka_mock_cluster_bootstraps(cluster.mock));
    return cluster;
}

static void stop_cluster(struct cluster *cluster)
{
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->owner);
}

static struct cluster cluster;
static struct admin_pool *pool;
static struct observer *observer;

static int begin_on(int brokers)
{
    cluster = start_cluster(brokers);
    assert_int_equal(rd_kafka_mock_topic_create(cluster.mock, "t", 3, 1), 0);
    assert_ok(admin_pool_create(2, &pool, NULL));
    const struct kafka_access access = {.bootstrap = cluster.bootstrap};
    assert_ok(observer_create(pool, &access, &observer, NULL));
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_on(1);
}

static int begin_on_two_brokers(void **state)
{
    (void)state;
    return begin_on(2);
}

static int end(void **state)
{
    (void)state;
    observer_destroy(&observer);
    admin_pool_destroy(&pool);
    stop_cluster(&cluster);
    return 0;
}

static const char *const one_topic[] = {"t"};

static void want(struct observer_group group)
{
    struct error error;
    if (group.topics == NULL) {
        group.topics = one_topic;
        group.topic_count = 1;
    }
    if (observer_want(observer, &group, &error))
        fail_msg("%s", error.text);
}

typedef bool condition(const struct group_lag *lag);

/* Far more than a busy machine takes. */
enum { PATIENCE_MS = 60000 };

/* The group's lag, once the condition holds. */
static struct group_lag wait_for(struct observer *watched, const char *group, condition *holds)
{
    struct group_lag lag = {0};
    for (unsigned ms = 0; ms < PATIENCE_MS; ms += 50) {
        assert_ok(observer_read(watched, group, &lag));
        if (holds(&lag))
            return lag;
        peer_wait(50);
    }
    struct observer_stats stats;
    observer_stats(watched, &stats);
    fail_msg("known %d (%s), lag %llu, lag_ms %llu known %d, rounds %llu failed %llu: %s",
             lag.known, lag.why, (unsigned long long)lag.lag_messages,
             (unsigned long long)lag.lag_ms, lag.lag_ms_known, (unsigned long long)stats.rounds,
             (unsigned long long)stats.rounds_failed, stats.text);
    return lag;
}

static bool is_known(const struct group_lag *lag)
{
    return lag->known;
}

static bool is_unknown(const struct group_lag *lag)
{
    return !lag->known;
}

static bool is_timed(const struct group_lag *lag)
{
    return lag->known && lag->lag_ms_known;
}

static void test_counts_what_is_not_committed(void **state)
{
    (void)state;
    peer_produce(cluster.bootstrap, "t", 0, 100, 0);
    peer_produce(cluster.bootstrap, "t", 1, 7, 0);
    peer_commit(cluster.bootstrap, "g", "t", 0, 40);
    peer_commit(cluster.bootstrap, "g", "t", 1, 7);
    want((struct observer_group){.group = "g"});
    struct group_lag lag = wait_for(observer, "g", is_known);
    assert_int_equal(lag.lag_messages, 60);
    assert_int_equal(lag.partitions, 3);
    assert_int_equal(lag.partitions_lagging, 1);
    assert_true(lag.committed_everywhere); /* the third partition is empty */
    assert_true(lag.skew > 2.9 && lag.skew < 3.1);
    assert_string_equal(lag.why, "");
}

static void test_without_offsets_the_initial_offset_decides(void **state)
{
    (void)state;
    peer_produce(cluster.bootstrap, "t", 2, 30, 0);
    want((struct observer_group){.group = "early"});
    want((struct observer_group){.group = "late", .latest = true});
    struct group_lag lag = wait_for(observer, "early", is_known);
    assert_int_equal(lag.lag_messages, 30);
    assert_false(lag.committed_everywhere);
    lag = wait_for(observer, "late", is_known);
    assert_int_equal(lag.lag_messages, 0);
    assert_false(lag.committed_everywhere);
}

static bool has_rates(const struct group_lag *lag)
{
    return lag->known && lag->rates_known && lag->arrival_rate > 5 && lag->consume_rate > 2;
}

static void test_measures_rates_in_and_out(void **state)
{
    (void)state;
    peer_commit(cluster.bootstrap, "g", "t", 0, 0);
    want((struct observer_group){.group = "g"});
    wait_for(observer, "g", is_known);
    for (int i = 1; i <= 5; i++) {
        peer_produce(cluster.bootstrap, "t", 0, 40, 0);
        peer_commit(cluster.bootstrap, "g", "t", 0, i * 20);
        peer_wait(1500);
    }
    struct group_lag lag = wait_for(observer, "g", has_rates);
    assert_true(lag.arrival_rate < 60);
    assert_true(lag.consume_rate < lag.arrival_rate + 20);
}

static void test_the_age_of_an_old_backlog_is_read_from_its_first_record(void **state)
{
    (void)state;
    int64_t hour_ago_ms = (int64_t)clock_wall_ms() - 3600000;
    peer_produce(cluster.bootstrap, "t", 0, 5, hour_ago_ms - 3600000);
    peer_produce(cluster.bootstrap, "t", 0, 50, hour_ago_ms);
    peer_produce(cluster.bootstrap, "t", 0, 50, 0);
    peer_commit(cluster.bootstrap, "g", "t", 0, 5);
    want((struct observer_group){.group = "g"});
    struct group_lag lag = wait_for(observer, "g", is_timed);
    assert_in_range(lag.lag_ms, 3590000, 3700000);
    struct observer_stats stats;
    observer_stats(observer, &stats);
    assert_int_equal(stats.peeks, 1);
}

static bool has_lost(const struct group_lag *lag)
{
    return lag->known && lag->lost_messages > 0;
}

static void test_what_expired_unread_is_counted_once(void **state)
{
    (void)state;
    peer_produce(cluster.bootstrap, "t", 0, 100, 0);
    peer_commit(cluster.bootstrap, "g", "t", 0, 10);
    assert_int_equal(rd_kafka_mock_partition_delete_records(cluster.mock, "t", 0, 70), 0);
    want((struct observer_group){.group = "g"});
    struct group_lag lag = wait_for(observer, "g", has_lost);
    assert_int_equal(lag.lost_messages, 60);
    assert_int_equal(lag.lag_messages, 30);
    peer_wait(6000);
    lag = wait_for(observer, "g", is_known);
    assert_int_equal(lag.lost_messages, 60);
}

static void test_a_topic_that_is_not_there_is_named(void **state)
{
    (void)state;
    static const char *const topics[] = {"t", "absent"};
    want((struct observer_group){.group = "g", .topics = topics, .topic_count = 2});
    peer_wait(3000);
    struct group_lag lag;
    assert_ok(observer_read(observer, "g", &lag));
    assert_false(lag.known);
    assert_string_equal(lag.why, "topic 'absent': does not exist");
}

static void test_with_kafka_away_nothing_is_known_and_the_broker_is_named(void **state)
{
    (void)state;
    peer_commit(cluster.bootstrap, "g", "t", 0, 0);
    want((struct observer_group){.group = "g"});
    wait_for(observer, "g", is_known);
    rd_kafka_mock_broker_set_down(cluster.mock, 1);
    struct group_lag lag = wait_for(observer, "g", is_unknown);
    if (strstr(lag.why, "127.0.0.1") == NULL)
        fail_msg("%s", lag.why);
    rd_kafka_mock_broker_set_up(cluster.mock, 1);
    wait_for(observer, "g", is_known);
}

static void test_a_group_that_another_broker_has_now_is_read_on(void **state)
{
    (void)state;
    struct group_lag lag;
    rd_kafka_mock_coordinator_set(cluster.mock, "group", "g", 1);
    peer_produce(cluster.bootstrap, "t", 0, 3, 0);
    peer_commit(cluster.bootstrap, "g", "t", 0, 0);
    want((struct observer_group){.group = "g"});
    wait_for(observer, "g", is_known);
    rd_kafka_mock_coordinator_set(cluster.mock, "group", "g", 2);
    for (int i = 0; i < 100; i++) /* the mock cluster answers for any group everywhere */
        rd_kafka_mock_broker_push_request_error_rtts(cluster.mock, 1, OFFSET_FETCH, (size_t)1,
                                                     RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 0);
    peer_commit(cluster.bootstrap, "g", "t", 0, 3);
    for (int i = 0; i < 400; i++) {
        assert_ok(observer_read(observer, "g", &lag));
        if (lag.known && lag.lag_messages == 0)
            return;
        peer_wait(50);
    }
    fail_msg("known: %d, lag %lld: %s", lag.known, (long long)lag.lag_messages, lag.why);
}

static void test_a_group_asleep_is_seen_without_asking_for_its_commits(void **state)
{
    (void)state;
    peer_commit(cluster.bootstrap, "g", "t", 0, 0);
    want((struct observer_group){.group = "g", .asleep = true});
    struct group_lag lag = wait_for(observer, "g", is_known);
    assert_int_equal(lag.lag_messages, 0);
    peer_produce(cluster.bootstrap, "t", 0, 3, 0);
    for (int i = 0; i < 400 && lag.lag_messages == 0; i++) {
        peer_wait(50);
        assert_ok(observer_read(observer, "g", &lag));
    }
    assert_int_equal(lag.lag_messages, 3);
    assert_true(lag.known);
}

static void test_forgets_and_changes_groups_while_it_runs(void **state)
{
    (void)state;
    static const char *const topics[] = {"u"};
    struct group_lag lag;
    for (int i = 0; i < 40; i++) {
        want((struct observer_group){.group = "g"});
        want((struct observer_group){.group = "h"});
        peer_wait(60);
        want((struct observer_group){.group = "g", .topics = topics, .topic_count = 1});
        observer_forget(observer, "h");
        observer_forget(observer, "never");
        assert_int_equal(observer_read(observer, "h", &lag), ERR_NOTFOUND);
    }
    want((struct observer_group){.group = "g"});
    wait_for(observer, "g", is_known);
}

static void count_partition(void *context, const struct partition_lag *partition)
{
    uint64_t *sums = context;
    assert_string_equal(partition->topic, "t");
    assert_int_equal(partition->partition, sums[0]);
    sums[0]++;
    sums[1] += partition->lag;
}

static void test_each_partition_can_be_visited(void **state)
{
    (void)state;
    uint64_t sums[2] = {0};
    peer_produce(cluster.bootstrap, "t", 0, 4, 0);
    peer_produce(cluster.bootstrap, "t", 2, 5, 0);
    want((struct observer_group){.group = "g"});
    wait_for(observer, "g", is_known);
    assert_ok(observer_each(observer, "g", count_partition, sums));
    assert_int_equal(sums[0], 3);
    assert_int_equal(sums[1], 9);
    assert_int_equal(observer_each(observer, "never", count_partition, sums), ERR_NOTFOUND);
}

static void test_more_clusters_than_connections_take_turns(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    struct cluster others[COUNT];
    struct observer *observers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        others[i] = start_cluster(1);
        assert_int_equal(rd_kafka_mock_topic_create(others[i].mock, "t", 1, 1), 0);
        const struct kafka_access access = {.bootstrap = others[i].bootstrap};
        assert_ok(observer_create(pool, &access, &observers[i], NULL)); /* room for two */
        const struct observer_group group = {.group = "g", .topics = one_topic, .topic_count = 1};
        assert_ok(observer_want(observers[i], &group, NULL));
    }
    for (int i = 0; i < COUNT; i++)
        wait_for(observers[i], "g", is_known);
    assert_in_range(admin_pool_open_count(pool), 1, 2);
    for (int i = 0; i < COUNT; i++) {
        observer_destroy(&observers[i]);
        stop_cluster(&others[i]);
    }
}

static void test_hundreds_of_groups_are_one_matter(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    char name[32];
    peer_produce(cluster.bootstrap, "t", 0, 10, 0);
    peer_commit(cluster.bootstrap, "g-123", "t", 0, 3);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "g-%d", i);
        want((struct observer_group){.group = name});
    }
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "g-%d", i);
        struct group_lag lag = wait_for(observer, name, is_known);
        assert_int_equal(lag.lag_messages, i == 123 ? 7 : 10);
    }
    struct observer_stats stats;
    observer_stats(observer, &stats);
    assert_int_equal(stats.groups, COUNT);
    assert_int_equal(stats.partitions, 3); /* topics are shared */
}

static void test_absurd_registrations_are_refused_with_a_reason(void **state)
{
    (void)state;
    char name[OBSERVER_GROUP_MAX + 2];
    struct error error;
    static const char *const twice[] = {"t", "t"};
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct observer_group group = {.group = name, .topics = one_topic, .topic_count = 1};
    assert_int_equal(observer_want(observer, &group, &error), ERR_INVALID);
    group = (struct observer_group){.group = "g"};
    assert_int_equal(observer_want(observer, &group, &error), ERR_INVALID);
    group = (struct observer_group){.group = "g", .topics = twice, .topic_count = 2};
    assert_int_equal(observer_want(observer, &group, &error), ERR_INVALID);
    assert_string_equal(error.text, "group 'g' names topic 't' twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ON_MOCK(test) cmocka_unit_test_setup_teardown(test, begin, end)
        ON_MOCK(test_counts_what_is_not_committed),
        ON_MOCK(test_without_offsets_the_initial_offset_decides),
        ON_MOCK(test_measures_rates_in_and_out),
        ON_MOCK(test_the_age_of_an_old_backlog_is_read_from_its_first_record),
        ON_MOCK(test_what_expired_unread_is_counted_once),
        ON_MOCK(test_a_topic_that_is_not_there_is_named),
        ON_MOCK(test_with_kafka_away_nothing_is_known_and_the_broker_is_named),
        cmocka_unit_test_setup_teardown(test_a_group_that_another_broker_has_now_is_read_on,
                                        begin_on_two_brokers, end),
        ON_MOCK(test_a_group_asleep_is_seen_without_asking_for_its_commits),
        ON_MOCK(test_forgets_and_changes_groups_while_it_runs),
        ON_MOCK(test_each_partition_can_be_visited),
        ON_MOCK(test_more_clusters_than_connections_take_turns),
        ON_MOCK(test_hundreds_of_groups_are_one_matter),
        ON_MOCK(test_absurd_registrations_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
