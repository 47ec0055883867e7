// link: tests/support/kafka_peer.c
/* Promise: against a real broker, topics, groups and offsets are seen as they are and changed as
 * planned. Needs SURGETANK_TEST_KAFKA=host:port of a Kafka with one broker or more; without it
 * every test is skipped, for librdkafka's mock cluster has no admin requests. */
#include "tests/support/kafka_peer.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "controller/kafka_admin/groups.h"
#include "controller/kafka_admin/topics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000

static const char *bootstrap;
static struct admin_pool *pool;
static struct admin *admin;
static struct arena arena;
static char topic[64];
static unsigned topic_number;

static const struct topic_config spec[] = {
    {"retention.ms", "86400000"}, {"compression.type", "zstd"}, {"min.insync.replicas", "1"}};

static struct topic_wanted wanted_topic(void)
{
    return (struct topic_wanted){.topic = topic,
                                 .partitions = 3,
                                 .replication_factor = 1,
                                 .configs = spec,
                                 .config_count = 3,
                                 .unread = {.known = true}};
}

static struct topic_observed describe(void)
{
    struct topic_observed observed;
    const char *name = topic;
    struct error error;
    if (topics_describe(admin, &name, 1, WAIT_MS, &arena, &observed, &error))
        fail_msg("%s", error.text);
    return observed;
}

/* One round of a reconcile; the topic as seen before it is in `seen`. */
static struct topic_plan reconcile(const struct topic_wanted *wanted, struct topic_observed *seen)
{
    struct topic_plan plan;
    struct topic_outcome outcome;
    struct error error;

    *seen = describe();
    assert_ok(topic_plan(wanted, seen, 1, &arena, &plan, NULL));
    if (topics_apply(admin, &plan, 1, WAIT_MS, &outcome, &error))
        fail_msg("%s", error.text);
    if (outcome.error.code)
        fail_msg("%s", outcome.error.text);
    return plan;
}

/* A new topic has no leader for a moment. */
static void wait_usable(uint32_t partitions)
{
    for (int tries = 0; tries < 1200; tries++) {
        struct topic_observed seen = describe();
        if (seen.err == OK && seen.leaderless == 0 && seen.partitions == partitions)
            return;
        peer_wait(50);
    }
    fail_msg("%s never had %u partitions with leaders", topic, partitions);
}

static void make_topic(void)
{
    struct topic_wanted wanted = wanted_topic();
    struct topic_observed seen;
    reconcile(&wanted, &seen);
    wait_usable(3);
}

static void test_makes_grows_and_repairs_a_topic(void **state)
{
    (void)state;
    struct topic_wanted wanted = wanted_topic();
    struct topic_observed seen;

    assert_int_equal(reconcile(&wanted, &seen).state, TOPIC_CREATING);
    assert_int_equal(seen.err, ERR_NOTFOUND);
    wait_usable(3);
    wanted.made = TOPIC_MADE;
    struct topic_plan plan = reconcile(&wanted, &seen);
    assert_string_equal(plan.message, "");
    assert_int_equal(plan.state, TOPIC_READY);
    assert_int_equal(seen.partitions, 3);
    assert_int_equal(seen.replication_factor, 1);
    assert_int_equal(strlen(seen.topic_id), 22);

    static const struct topic_config other[] = {
        {"retention.ms", "1000000"}, {"compression.type", "lz4"}, {"min.insync.replicas", "1"}};
    wanted.configs = other;
    wanted.partitions = 5;
    plan = reconcile(&wanted, &seen);
    assert_int_equal(plan.state, TOPIC_GROWING);
    assert_int_equal(plan.set_count, 2);
    wait_usable(5);
    for (int tries = 0; tries < 1200 && plan.message[0] != '\0'; tries++) {
        plan = reconcile(&wanted, &seen); /* brokers may be slow to hear of it */
        peer_wait(50);
    }
    assert_int_equal(seen.partitions, 5);
    assert_string_equal(plan.message, "");
}

static void test_a_refused_config_leaves_the_others_batch_mates_alone(void **state)
{
    (void)state;
    static const struct topic_config wrong[] = {{"no.such.config", "1"}};
    char good_name[80];
    struct topic_wanted bad = wanted_topic(), good = wanted_topic();
    struct topic_plan plans[2];
    struct topic_outcome outcomes[2];
    struct topic_observed none = {.err = ERR_NOTFOUND};

    snprintf(good_name, sizeof good_name, "%s-good", topic);
    bad.configs = wrong;
    bad.config_count = 1;
    good.topic = good_name;
    assert_ok(topic_plan(&bad, &none, 1, &arena, &plans[0], NULL));
    assert_ok(topic_plan(&good, &none, 1, &arena, &plans[1], NULL));
    assert_ok(topics_apply(admin, plans, 2, WAIT_MS, outcomes, NULL));
    assert_int_equal(outcomes[0].error.code, ERR_INVALID);
    assert_non_null(strstr(outcomes[0].error.text, "no.such.config"));
    assert_int_equal(outcomes[1].error.code, OK);

    assert_ok(topics_apply(admin, &plans[1], 1, WAIT_MS, outcomes, NULL));
    assert_int_equal(outcomes[0].error.code, ERR_CONFLICT); /* it is there already */

    struct topic_observed seen;
    const char *name = good_name;
    assert_ok(topics_describe(admin, &name, 1, WAIT_MS, &arena, &seen, NULL));
    assert_ok(topics_delete(admin, name, seen.topic_id, WAIT_MS, NULL));
}

static void test_too_many_replicas_are_refused_with_what_to_set(void **state)
{
    (void)state;
    struct topic_wanted wanted = wanted_topic();
    struct topic_plan plan;
    struct topic_outcome outcome;
    struct topic_observed none = {.err = ERR_NOTFOUND};
    wanted.replication_factor = 30;
    assert_ok(topic_plan(&wanted, &none, 0, &arena, &plan, NULL));
    assert_ok(topics_apply(admin, &plan, 1, WAIT_MS, &outcome, NULL));
    assert_int_equal(outcome.error.code, ERR_INVALID);
    assert_non_null(strstr(outcome.error.text, "set replicationFactor"));
}

static void test_deletes_only_the_topic_with_the_right_id(void **state)
{
    (void)state;
    struct error error;
    make_topic();
    struct topic_observed seen = describe();
    assert_int_equal(topics_delete(admin, topic, "BBBBBBBBBBBBBBBBBBBBBB", WAIT_MS, &error),
                     ERR_CONFLICT);
    assert_int_equal(describe().err, OK);
    assert_ok(topics_delete(admin, topic, seen.topic_id, WAIT_MS, &error));
    for (int tries = 0; tries < 1200 && describe().err != ERR_NOTFOUND; tries++)
        peer_wait(50);
    assert_int_equal(describe().err, ERR_NOTFOUND);
    assert_ok(topics_delete(admin, topic, seen.topic_id, WAIT_MS, &error)); /* gone is deleted */

    make_topic();
    assert_string_not_equal(describe().topic_id, seen.topic_id);
}

static void test_describes_hundreds_of_topics_in_batches(void **state)
{
    (void)state;
    enum { COUNT = 120 };
    static char names[COUNT][80];
    const char *pointers[COUNT];
    static struct topic_wanted wanted[COUNT];
    static struct topic_plan plans[COUNT];
    static struct topic_outcome outcomes[COUNT];
    static struct topic_observed seen[COUNT];
    struct topic_observed none = {.err = ERR_NOTFOUND};
    struct error error;

    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s-%zu", topic, i);
        pointers[i] = names[i];
        wanted[i] = wanted_topic();
        wanted[i].topic = names[i];
        wanted[i].partitions = 1;
        assert_ok(topic_plan(&wanted[i], &none, 1, &arena, &plans[i], NULL));
    }
    uint64_t begun_ms = clock_mono_ms();
    if (topics_apply(admin, plans, COUNT, 60000, outcomes, &error))
        fail_msg("%s", error.text);
    uint64_t made_ms = clock_mono_ms();
    uint64_t waited_ms = made_ms;
    for (size_t found = 0; found < COUNT && waited_ms - made_ms < 60000;) {
        waited_ms = clock_mono_ms(); /* brokers hear of them one after the other */
        found = 0;
        if (topics_describe(admin, pointers, COUNT, 60000, &arena, seen, &error))
            fail_msg("%s", error.text);
        for (size_t i = 0; i < COUNT; i++)
            found += seen[i].err == OK;
    }
    print_message("120 topics made in %llu ms, described in %llu ms\n",
                  (unsigned long long)(made_ms - begun_ms),
                  (unsigned long long)(clock_mono_ms() - waited_ms));
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(outcomes[i].error.code, OK);
        assert_int_equal(seen[i].err, OK);
        assert_true(seen[i].config_count > 10);
        assert_ok(topics_delete(admin, names[i], seen[i].topic_id, WAIT_MS, NULL));
    }
}

static void test_lists_offsets_by_place_and_time(void **state)
{
    (void)state;
    make_topic();
    peer_produce(bootstrap, topic, 0, 10, 1700000000000);
    peer_produce(bootstrap, topic, 0, 5, 1700000100000);
    struct offset_query queries[] = {
        {.topic = topic, .partition = 0, .at = OFFSET_EARLIEST},
        {.topic = topic, .partition = 1, .at = OFFSET_LATEST},
        {.topic = topic, .partition = 99, .at = OFFSET_LATEST},
    };
    struct offset_query latest = {.topic = topic, .partition = 0, .at = OFFSET_LATEST};
    struct offset_query timed = {.topic = topic, .partition = 0, .at = 1700000050000};
    struct offset_query young = {.topic = topic, .partition = 0, .at = 1800000050000};
    uint64_t begun_ms = clock_mono_ms();
    assert_ok(offsets_list(admin, queries, 3, WAIT_MS, NULL));
    print_message("with a partition that is not there: %llu ms\n",
                  (unsigned long long)(clock_mono_ms() - begun_ms));
    assert_int_equal(queries[0].offset, 0);
    assert_int_equal(queries[1].offset, 0);
    assert_int_equal(queries[2].err, ERR_NOTFOUND);
    assert_ok(offsets_list(admin, &latest, 1, WAIT_MS, NULL));
    assert_int_equal(latest.offset, 15);
    assert_ok(offsets_list(admin, &timed, 1, WAIT_MS, NULL));
    assert_int_equal(timed.offset, 10);
    assert_int_equal(timed.timestamp, 1700000100000);
    assert_ok(offsets_list(admin, &young, 1, WAIT_MS, NULL));
    assert_int_equal(young.err, OK);
    assert_int_equal(young.offset, OFFSET_NONE);
}

static void test_a_topic_that_is_not_there_is_said_so_and_not_made(void **state)
{
    (void)state;
    struct offset_query query = {.topic = topic, .partition = 0, .at = OFFSET_LATEST};
    struct error error;
    enum err err = offsets_list(admin, &query, 1, WAIT_MS, &error);
    assert_true(err == OK || err == ERR_NOTFOUND || err == ERR_AGAIN);
    assert_int_not_equal(query.err, OK);
    assert_int_equal(describe().err, ERR_NOTFOUND);
}

static void test_groups_are_described_with_either_protocol(void **state)
{
    (void)state;
    char group[80];
    make_topic();
    peer_produce(bootstrap, topic, 0, 10, 0);
    for (int kip848 = 0; kip848 < 2; kip848++) {
        if (kip848 && getenv("SURGETANK_TEST_KAFKA_CLASSIC") != NULL)
            return; /* brokers before 4.0 */
        snprintf(group, sizeof group, "%s-group-%d", topic, kip848);
        struct group_description seen = {.group = group};
        assert_ok(groups_describe(admin, &seen, 1, WAIT_MS, &arena, NULL));
        assert_int_equal(seen.state, GROUP_DEAD); /* has never been */

        rd_kafka_t *member = peer_join(bootstrap, group, "surgetank-test", topic, kip848);
        for (int tries = 0; tries < 1200 && seen.state != GROUP_STABLE; tries++) {
            peer_poll(member, 100);
            assert_ok(groups_describe(admin, &seen, 1, WAIT_MS, &arena, NULL));
        }
        assert_int_equal(seen.err, OK);
        assert_int_equal(seen.state, GROUP_STABLE);
        assert_int_equal(seen.consumer_protocol, kip848);
        assert_int_equal(seen.member_count, 1);
        assert_int_equal(seen.members_listed, 1);
        assert_string_equal(seen.members[0].client_id, "surgetank-test");
        assert_int_equal(seen.members[0].partitions, 3);

        peer_leave(&member);
        peer_commit(bootstrap, group, topic, 0, 4);

        struct group_offset asked[] = {{.topic = topic, .partition = 0},
                                       {.topic = topic, .partition = 1}};
        struct group_committed committed = {.group = group, .offsets = asked, .offset_count = 2};
        assert_ok(groups_committed(admin, &committed, 1, WAIT_MS, &arena, NULL));
        assert_int_equal(committed.err, OK);
        assert_int_equal(asked[0].offset, 4);
        assert_int_equal(asked[1].offset, OFFSET_NONE);
        assert_ok(groups_describe(admin, &seen, 1, WAIT_MS, &arena, NULL));
        assert_int_equal(seen.state, GROUP_EMPTY);
    }
}

static void test_asks_for_thousands_of_groups_at_a_bounded_rate(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    static char names[COUNT][80];
    static struct group_offset asked[COUNT];
    static struct group_committed groups[COUNT];
    make_topic();
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s-%zu", topic, i);
        asked[i] = (struct group_offset){.topic = topic, .partition = 1};
        groups[i] =
            (struct group_committed){.group = names[i], .offsets = &asked[i], .offset_count = 1};
    }
    peer_commit(bootstrap, names[777], topic, 1, 42);
    uint64_t begun_ms = clock_mono_ms();
    assert_ok(groups_committed(admin, groups, COUNT, 60000, NULL, NULL));
    print_message("2000 groups asked in %llu ms\n",
                  (unsigned long long)(clock_mono_ms() - begun_ms));
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(groups[i].err, OK);
        assert_int_equal(asked[i].offset, i == 777 ? 42 : OFFSET_NONE);
    }
}

static void test_the_cluster_has_an_id_and_brokers(void **state)
{
    (void)state;
    struct admin_cluster cluster;
    assert_ok(admin_describe_cluster(admin, WAIT_MS, &cluster, NULL));
    assert_true(cluster.brokers >= 1);
    assert_true(strlen(cluster.id) >= 20);
}

static void test_credentials_for_a_listener_without_any_are_an_error_with_advice(void **state)
{
    (void)state;
    const struct kafka_access wrong = {
        .bootstrap = bootstrap,
        .sasl = {.mechanism = "SCRAM-SHA-512", .username = "u", .password = "secret-word"}};
    struct admin *other = NULL;
    struct admin_cluster cluster;
    struct error error;
    assert_ok(admin_acquire(pool, &wrong, &other, NULL));
    enum err err = admin_describe_cluster(other, 5000, &cluster, &error);
    print_message("%s: %s\n", err_name(err), error.text);
    assert_true(err == ERR_INVALID || err == ERR_AGAIN);
    assert_null(strstr(error.text, "secret-word"));
    admin_release(&other);
}

static int begin(void **state)
{
    (void)state;
    snprintf(topic, sizeof topic, "surgetank-test-%d-%u", (int)getpid(), topic_number++);
    if (bootstrap == NULL)
        return 0;
    const struct kafka_access access = {.bootstrap = bootstrap};
    return admin_acquire(pool, &access, &admin, NULL) == OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    if (bootstrap == NULL)
        return 0;
    struct topic_observed seen = describe();
    if (seen.err == OK)
        assert_ok(topics_delete(admin, topic, seen.topic_id, WAIT_MS, NULL));
    admin_release(&admin);
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define REAL(test) cmocka_unit_test_setup_teardown(test, begin, end)
        REAL(test_the_cluster_has_an_id_and_brokers),
        REAL(test_makes_grows_and_repairs_a_topic),
        REAL(test_a_refused_config_leaves_the_others_batch_mates_alone),
        REAL(test_too_many_replicas_are_refused_with_what_to_set),
        REAL(test_deletes_only_the_topic_with_the_right_id),
        REAL(test_describes_hundreds_of_topics_in_batches),
        REAL(test_lists_offsets_by_place_and_time),
        REAL(test_a_topic_that_is_not_there_is_said_so_and_not_made),
        REAL(test_groups_are_described_with_either_protocol),
        REAL(test_asks_for_thousands_of_groups_at_a_bounded_rate),
        REAL(test_credentials_for_a_listener_without_any_are_an_error_with_advice),
    };
    bootstrap = getenv("SURGETANK_TEST_KAFKA");
    if (bootstrap == NULL || *bootstrap == '\0') {
        puts("test_kafka_admin: skipped, for SURGETANK_TEST_KAFKA=host:port names no broker");
        return 0;
    }
    assert_ok(admin_pool_create(4, &pool, NULL));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    admin_pool_destroy(&pool);
    arena_fini(&arena);
    return failed;
}
