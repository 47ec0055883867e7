/* Two pipelines never meet by accident: what the older one claims, a later one can't have. */
#include "controller/reconcile/claims.h"

#include "tests/support/test.h"

static const char *const servers[] = {"a:9092", "b:9092"};
static const char *const servers_reversed[] = {"b:9092", "a:9092"};
static const char *const servers_by_ip[] = {"10.0.0.1:9092"};

struct sample {
    struct pipeline pipeline;
    struct pipeline_kafka kafka;
    struct pipeline_topic topic;
    struct pipeline_gateway gateway;
};

static const struct pipeline *make(struct sample *sample, const char *const *bootstrap,
                                   size_t count, const char *topic, const char *group)
{
    static const char *items[4];

    for (size_t i = 0; i < count; i++)
        items[i] = bootstrap[i];
    *sample = (struct sample){.topic = {.topic = topic}, .gateway = {.group_id = group}};
    sample->kafka.bootstrap_servers = (struct pipeline_strings){items, count};
    sample->pipeline = (struct pipeline){.kafka = &sample->kafka,
                                         .topics = &sample->topic,
                                         .topic_count = 1,
                                         .gateways = &sample->gateway,
                                         .gateway_count = 1};
    return &sample->pipeline;
}

#define OLD   "2026-01-01T00:00:00Z"
#define YOUNG "2026-01-02T00:00:00Z"

static void put(struct claims *claims, const char *key, const char *created, const char *topic,
                const char *group)
{
    struct sample sample;
    claims_put(claims, key, created, make(&sample, servers, 2, topic, group));
}

static void test_gives_a_topic_to_the_oldest_whoever_came_first(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();
    struct error error = {0};

    put(claims, "b/young", YOUNG, "t", "g1");
    assert_ok(claims_check(claims, "b/young", NULL));
    put(claims, "a/old", OLD, "t", "g2");
    assert_ok(claims_check(claims, "a/old", NULL));
    assert_int_equal(claims_check(claims, "b/young", &error), ERR_CONFLICT);
    assert_non_null(strstr(error.text, "Topic t belongs to pipeline a/old"));
}

static void test_guards_groups_as_well(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();
    struct error error = {0};

    put(claims, "a/old", OLD, "t1", "g");
    put(claims, "b/young", YOUNG, "t2", "g");
    assert_int_equal(claims_check(claims, "b/young", &error), ERR_CONFLICT);
    assert_non_null(strstr(error.text, "group g"));
}

static void test_decides_between_twins_by_name(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();

    put(claims, "b/x", OLD, "t", "g1");
    put(claims, "a/x", OLD, "t", "g2");
    assert_ok(claims_check(claims, "a/x", NULL));
    assert_int_equal(claims_check(claims, "b/x", NULL), ERR_CONFLICT);
}

static void test_passes_a_claim_on_when_the_older_one_goes(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();

    put(claims, "a/old", OLD, "t", "g1");
    put(claims, "b/young", YOUNG, "t", "g2");
    claims_drop(claims, "a/old");
    assert_ok(claims_check(claims, "b/young", NULL));
    put(claims, "a/old", OLD, "other", "g1");
    assert_ok(claims_check(claims, "b/young", NULL));
}

static void test_lets_a_topic_be_shared_on_purpose(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();
    struct sample sample;

    put(claims, "a/old", OLD, "t", "g1");
    make(&sample, servers, 2, "t", "g2");
    sample.topic.ownership = PIPELINE_OWNERSHIP_OBSERVE;
    claims_put(claims, "b/young", YOUNG, &sample.pipeline);
    assert_ok(claims_check(claims, "b/young", NULL));
}

static void test_knows_a_cluster_under_several_addresses(void **state)
{
    (void)state;
    AUTO(claims_destroy) struct claims *claims = claims_create();
    struct sample reversed, by_ip;

    put(claims, "a/old", OLD, "t", "g1");
    claims_put(claims, "b/reversed", YOUNG, make(&reversed, servers_reversed, 2, "t", "g2"));
    assert_int_equal(claims_check(claims, "b/reversed", NULL), ERR_CONFLICT);

    claims_put(claims, "c/ip", YOUNG, make(&by_ip, servers_by_ip, 1, "t", "g3"));
    assert_ok(claims_check(claims, "c/ip", NULL));
    struct pipeline_strings one = {(const char *[]){"10.0.0.1:9092"}, 1};
    struct pipeline_strings two = {(const char *[]){"b:9092", "a:9092"}, 2};
    claims_note_cluster(claims, &one, "id-1");
    claims_note_cluster(claims, &two, "id-1");
    assert_int_equal(claims_check(claims, "c/ip", NULL), ERR_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_a_topic_to_the_oldest_whoever_came_first),
        cmocka_unit_test(test_guards_groups_as_well),
        cmocka_unit_test(test_decides_between_twins_by_name),
        cmocka_unit_test(test_passes_a_claim_on_when_the_older_one_goes),
        cmocka_unit_test(test_lets_a_topic_be_shared_on_purpose),
        cmocka_unit_test(test_knows_a_cluster_under_several_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
