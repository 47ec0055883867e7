/* Promise: a topic is made, grown and put back as the spec says; nothing shrinks, nothing unread
 * expires, and what is not ours is not touched. */
#include "tests/support/test.h"

#include "controller/kafka_admin/topic_plan.h"

#include <stdio.h>
#include <string.h>

static const struct topic_config spec[] = {
    {"retention.ms", "86400000"},
    {"min.insync.replicas", "2"},
    {"compression.type", "zstd"},
    {"cleanup.policy", "delete"},
};
#define SPEC_COUNT (sizeof spec / sizeof spec[0])

static struct topic_wanted ours(void)
{
    return (struct topic_wanted){
        .topic = "shop.traces",
        .partitions = 12,
        .replication_factor = 3,
        .configs = spec,
        .config_count = SPEC_COUNT,
        .made = TOPIC_MADE,
        .topic_id = "AAAAAAAAAAAAAAAAAAAAAA",
        .unread = {.known = true},
    };
}

static struct topic_observed as_wanted(void)
{
    return (struct topic_observed){
        .topic = "shop.traces",
        .topic_id = "AAAAAAAAAAAAAAAAAAAAAA",
        .partitions = 12,
        .replication_factor = 3,
        .isr_min = 3,
        .configs = spec,
        .config_count = SPEC_COUNT,
    };
}

static struct arena arena;

static struct topic_plan plan(struct topic_wanted wanted, struct topic_observed observed)
{
    static struct topic_wanted kept_wanted;
    static struct topic_observed kept_observed;
    struct topic_plan result;

    kept_wanted = wanted;
    kept_observed = observed;
    assert_ok(topic_plan(&kept_wanted, &kept_observed, 3, &arena, &result, NULL));
    return result;
}

static void assert_untouched(const struct topic_plan *result)
{
    assert_false(result->create);
    assert_int_equal(result->grow_to, 0);
    assert_int_equal(result->set_count, 0);
}

#define assert_says(result, words)                                    \
    do {                                                              \
        if (strstr((result).message, words) == NULL)                  \
            fail_msg("'%s' is not in '%s'", words, (result).message); \
    } while (0)

static void test_a_topic_as_wanted_is_ready_and_costs_nothing(void **state)
{
    (void)state;
    struct topic_plan result = plan(ours(), as_wanted());
    assert_int_equal(result.state, TOPIC_READY);
    assert_true(result.usable);
    assert_untouched(&result);
    assert_string_equal(result.message, "");
}

static void test_a_missing_topic_is_made_with_all_its_configs(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    struct topic_observed none = {.err = ERR_NOTFOUND};
    wanted.made = TOPIC_NOT_MADE;
    wanted.topic_id = NULL;
    struct topic_plan result = plan(wanted, none);
    assert_int_equal(result.state, TOPIC_CREATING);
    assert_true(result.create && !result.usable);
    assert_ptr_equal(result.set, spec);
    assert_int_equal(result.set_count, SPEC_COUNT);

    wanted.ownership = TOPIC_ADOPT;
    assert_true(plan(wanted, none).create);
    wanted.ownership = TOPIC_OBSERVE;
    result = plan(wanted, none);
    assert_untouched(&result);
    assert_int_equal(result.state, TOPIC_MISSING);

    result = plan(ours(), none);
    assert_true(result.create);
    assert_says(result, "deleted behind our back");

    wanted = ours();
    wanted.topic_id = ""; /* just made, and never seen: not every broker has heard of it */
    result = plan(wanted, none);
    assert_true(result.create);
    assert_null(strstr(result.message, "deleted"));
}

static void test_too_few_brokers_are_named_with_what_to_set(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    struct topic_observed none = {.err = ERR_NOTFOUND};
    struct topic_plan result;
    assert_ok(topic_plan(&wanted, &none, 1, &arena, &result, NULL));
    assert_untouched(&result);
    assert_int_equal(result.state, TOPIC_REPLICATION_UNAVAILABLE);
    assert_string_equal(result.message,
                        "replicationFactor is 3 and Kafka has 1 brokers: start more, or set "
                        "replicationFactor: 1 and minInsyncReplicas: 1");

    wanted.replication_factor = 1; /* and min.insync.replicas 2 */
    assert_ok(topic_plan(&wanted, &none, 1, &arena, &result, NULL));
    assert_untouched(&result);
    assert_says(result, "every write would be refused");

    wanted = ours();
    assert_ok(topic_plan(&wanted, &none, 0, &arena, &result, NULL)); /* not known how many */
    assert_true(result.create);

    struct topic_observed observed = as_wanted();
    assert_ok(topic_plan(&wanted, &observed, 2, &arena, &result, NULL));
    assert_int_equal(result.state, TOPIC_REPLICATION_UNAVAILABLE);
    assert_true(result.usable);
}

static void test_says_when_writes_are_refused_for_want_of_replicas(void **state)
{
    (void)state;
    struct topic_observed observed = as_wanted();
    observed.isr_min = 1;
    struct topic_plan result = plan(ours(), observed);
    assert_int_equal(result.state, TOPIC_REPLICATION_UNAVAILABLE);
    assert_false(result.usable);
    assert_says(result, "min.insync.replicas is 2");

    observed = as_wanted();
    observed.leaderless = 4;
    result = plan(ours(), observed);
    assert_false(result.usable);
    assert_says(result, "4 of 12 partitions have no leader");
}

static void test_only_what_drifted_is_set(void **state)
{
    (void)state;
    static const struct topic_config drifted[] = {
        {"retention.ms", "86400000"},
        {"min.insync.replicas", "1"},
        {"compression.type", "producer"},
        {"cleanup.policy", "delete"},
        {"segment.ms", "123"},
    };
    struct topic_observed observed = as_wanted();
    observed.configs = drifted;
    observed.config_count = 5;
    struct topic_plan result = plan(ours(), observed);
    assert_int_equal(result.state, TOPIC_READY);
    assert_int_equal(result.set_count, 2);
    assert_string_equal(result.set[0].name, "min.insync.replicas");
    assert_string_equal(result.set[0].value, "2");
    assert_string_equal(result.set[1].name, "compression.type");
    assert_string_equal(result.message, "min.insync.replicas is set to 2 (was 1); compression.type "
                                        "is set to zstd (was producer)");
}

static void test_values_that_mean_the_same_are_no_drift(void **state)
{
    (void)state;
    static const struct topic_config a[] = {{"min.cleanable.dirty.ratio", "0.50"},
                                            {"cleanup.policy", "compact, delete"}};
    static const struct topic_config b[] = {{"min.cleanable.dirty.ratio", "0.5"},
                                            {"cleanup.policy", "delete,compact"}};
    struct topic_wanted wanted = ours();
    struct topic_observed observed = as_wanted();
    wanted.configs = a;
    observed.configs = b;
    wanted.config_count = observed.config_count = 2;
    struct topic_plan result = plan(wanted, observed);
    assert_untouched(&result);
}

static void test_retention_is_not_lowered_onto_unread_data(void **state)
{
    (void)state;
    static const struct {
        const char *name, *wanted, *present;
        struct topic_unread unread;
        bool held;
    } table[] = {
        {"retention.ms", "1000000", "2000000", {.known = false}, true},
        {"retention.ms", "1000000", "2000000", {.known = true}, false},
        {"retention.ms", "1000000", "2000000", {true, 5, false, 0}, true},
        {"retention.ms", "1000000", "2000000", {true, 5, true, 899999}, false},
        {"retention.ms", "1000000", "2000000", {true, 5, true, 900001}, true},
        {"retention.ms", "1000000", "-1", {true, 5, true, 5000000}, true},
        {"retention.ms", "-1", "1000000", {.known = false}, false},
        {"retention.ms", "2000000", "1000000", {.known = false}, false},
        {"retention.bytes", "1000", "-1", {true, 5, true, 1}, true},
        {"retention.bytes", "1000", "-1", {.known = true}, false},
        {"retention.bytes", "-1", "1000", {.known = false}, false},
        {"cleanup.policy", "delete", "compact", {true, 1, true, 1}, true},
        {"cleanup.policy", "delete", "compact", {.known = true}, false},
        {"segment.ms", "1", "100", {.known = false}, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct topic_config to = {table[i].name, table[i].wanted};
        struct topic_config from = {table[i].name, table[i].present};
        struct topic_wanted wanted = ours();
        struct topic_observed observed = as_wanted();
        wanted.configs = &to;
        observed.configs = &from;
        wanted.config_count = observed.config_count = 1;
        wanted.unread = table[i].unread;
        struct topic_plan result = plan(wanted, observed);
        if ((result.state == TOPIC_HELD_RETENTION) != table[i].held ||
            result.set_count != !table[i].held)
            fail_msg("row %zu: %s, %s", i, topic_state_name(result.state), result.message);
    }
}

static void test_a_retention_that_is_not_known_is_not_set_while_something_is_unread(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    struct topic_observed observed = as_wanted();
    observed.config_count = 0;
    wanted.unread = (struct topic_unread){true, 5, true, 1};
    struct topic_plan result = plan(wanted, observed);
    assert_int_equal(result.state, TOPIC_HELD_RETENTION); /* for cleanup.policy */
    assert_int_equal(result.set_count, 3);
    wanted.unread.age_known = false;
    assert_int_equal(plan(wanted, observed).set_count, 2);
}

static void test_a_hold_does_not_hold_other_repairs(void **state)
{
    (void)state;
    static const struct topic_config drifted[] = {{"retention.ms", "-1"},
                                                  {"min.insync.replicas", "1"},
                                                  {"compression.type", "zstd"},
                                                  {"cleanup.policy", "delete"}};
    struct topic_wanted wanted = ours();
    struct topic_observed observed = as_wanted();
    wanted.unread.known = false;
    wanted.partitions = 24;
    observed.configs = drifted;
    struct topic_plan result = plan(wanted, observed);
    assert_int_equal(result.state, TOPIC_HELD_RETENTION);
    assert_int_equal(result.set_count, 1);
    assert_int_equal(result.grow_to, 24);
    assert_says(result, "retention.ms stays at -1");
    assert_says(result, "grows from 12 to 24");
}

static void test_grows_but_keyed_topics_only_when_all_is_read(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    wanted.partitions = 24;
    struct topic_plan result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_GROWING);
    assert_int_equal(result.grow_to, 24);

    wanted.keyed = true;
    assert_int_equal(plan(wanted, as_wanted()).grow_to, 24);
    wanted.unread.messages = 1;
    result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_HELD_GROWTH);
    assert_untouched(&result);
    wanted.unread = (struct topic_unread){.known = false};
    assert_int_equal(plan(wanted, as_wanted()).state, TOPIC_HELD_GROWTH);
}

static void test_never_shrinks(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    wanted.partitions = 6;
    struct topic_plan result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_SHRINK_REFUSED);
    assert_untouched(&result);
    assert_true(result.usable);
    assert_says(result, "set partitions: 12");

    wanted = ours();
    wanted.replication_factor = 2;
    result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_DIFFERS);
    assert_untouched(&result);
}

static void test_what_somebody_else_made_is_only_compared(void **state)
{
    (void)state;
    static const struct topic_config theirs[] = {{"retention.ms", "1000"}};
    struct topic_wanted wanted = ours();
    struct topic_observed observed = as_wanted();
    wanted.made = TOPIC_NOT_MADE;
    wanted.topic_id = NULL;
    wanted.partitions = 24;
    observed.configs = theirs;
    observed.config_count = 1;
    struct topic_plan result = plan(wanted, observed);
    assert_int_equal(result.state, TOPIC_EXISTS);
    assert_untouched(&result);
    assert_true(result.usable);
    assert_null(result.record_id); /* a recorded id would make it ours */
    assert_says(result, "partitions: 12, spec 24");
    assert_says(result, "retention.ms: 1000, spec 86400000");

    wanted.ownership = TOPIC_OBSERVE;
    result = plan(wanted, observed);
    assert_int_equal(result.state, TOPIC_READY);
    assert_untouched(&result);
    assert_string_equal(result.message, "");

    wanted.ownership = TOPIC_ADOPT;
    result = plan(wanted, observed);
    assert_int_equal(result.state, TOPIC_GROWING);
    assert_int_equal(result.set_count, 4);
    assert_string_equal(result.record_id, "AAAAAAAAAAAAAAAAAAAAAA");
}

static void test_a_crash_between_making_and_remembering_loses_no_topic(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    wanted.made = TOPIC_INTENDED;
    wanted.topic_id = NULL;
    struct topic_plan result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_READY);
    assert_string_equal(result.record_id, "AAAAAAAAAAAAAAAAAAAAAA");

    struct topic_observed other = as_wanted();
    other.partitions = 1;
    result = plan(wanted, other);
    assert_int_equal(result.state, TOPIC_EXISTS);
    assert_untouched(&result);
}

static void test_a_topic_made_again_behind_our_back_is_noticed_and_not_ours(void **state)
{
    (void)state;
    struct topic_wanted wanted = ours();
    wanted.topic_id = "BBBBBBBBBBBBBBBBBBBBBB";
    wanted.partitions = 24;
    struct topic_plan result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_RECREATED);
    assert_untouched(&result);
    assert_null(result.record_id);

    wanted.ownership = TOPIC_ADOPT;
    result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_RECREATED);
    assert_int_equal(result.grow_to, 24);
    assert_string_equal(result.record_id, "AAAAAAAAAAAAAAAAAAAAAA");
}

static void test_nothing_is_planned_for_what_is_unknown_or_claimed(void **state)
{
    (void)state;
    struct topic_observed observed = {.err = ERR_AGAIN, .error_text = "kafka-0:9092 refused"};
    struct topic_plan result = plan(ours(), observed);
    assert_int_equal(result.state, TOPIC_UNREACHABLE);
    assert_untouched(&result);
    assert_says(result, "kafka-0:9092 refused");

    struct topic_wanted wanted = ours();
    wanted.claimant = "pay/checkout";
    wanted.partitions = 24;
    result = plan(wanted, as_wanted());
    assert_int_equal(result.state, TOPIC_CLAIM_LOST);
    assert_untouched(&result);
    assert_false(result.usable);
    assert_says(result, "pay/checkout");
}

static void test_a_message_never_outgrows_its_place(void **state)
{
    (void)state;
    static char names[40][64];
    struct topic_config to[40];
    for (size_t i = 0; i < 40; i++) {
        snprintf(names[i], sizeof names[i], "some.rather.long.config.name.number.%zu", i);
        to[i] = (struct topic_config){names[i], "value"};
    }
    struct topic_wanted wanted = ours();
    wanted.configs = to;
    wanted.config_count = 40;
    struct topic_plan result = plan(wanted, as_wanted());
    assert_int_equal(result.set_count, 40);
    assert_true(strlen(result.message) < TOPIC_MESSAGE_MAX);
}

static int drop(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_topic_as_wanted_is_ready_and_costs_nothing),
        cmocka_unit_test(test_a_missing_topic_is_made_with_all_its_configs),
        cmocka_unit_test(test_too_few_brokers_are_named_with_what_to_set),
        cmocka_unit_test(test_says_when_writes_are_refused_for_want_of_replicas),
        cmocka_unit_test(test_only_what_drifted_is_set),
        cmocka_unit_test(test_values_that_mean_the_same_are_no_drift),
        cmocka_unit_test(test_retention_is_not_lowered_onto_unread_data),
        cmocka_unit_test(test_a_retention_that_is_not_known_is_not_set_while_something_is_unread),
        cmocka_unit_test(test_a_hold_does_not_hold_other_repairs),
        cmocka_unit_test(test_grows_but_keyed_topics_only_when_all_is_read),
        cmocka_unit_test(test_never_shrinks),
        cmocka_unit_test(test_what_somebody_else_made_is_only_compared),
        cmocka_unit_test(test_a_crash_between_making_and_remembering_loses_no_topic),
        cmocka_unit_test(test_a_topic_made_again_behind_our_back_is_noticed_and_not_ours),
        cmocka_unit_test(test_nothing_is_planned_for_what_is_unknown_or_claimed),
        cmocka_unit_test(test_a_message_never_outgrows_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, drop);
}
