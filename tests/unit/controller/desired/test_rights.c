/* Whoever may create a pipeline gains nothing by it that he couldn't have otherwise. */
#include "controller/desired/rights.h"

#include "tests/support/test.h"

#include <string.h>

static const char *servers[] = {"kafka-0.kafka.svc:9092"};
static struct pipeline_kafka kafka = {.bootstrap_servers = {servers, 1}};

static struct pipeline with_edges(struct pipeline_edge *edges, size_t count)
{
    return (struct pipeline){
        .name = "shop", .namespace = "pay", .kafka = &kafka, .edges = edges, .edge_count = count};
}

static void fill(struct pipeline_strings *into, const char **room, const char *const *texts)
{
    for (; texts != NULL && texts[into->count] != NULL; into->count++)
        room[into->count] = texts[into->count];
    into->items = room;
}

/* `namespaces` and `bootstrap` are ended by NULL; NULL: none. */
static enum err check(const struct pipeline *pipeline, const char *const *namespaces,
                      const char *const *bootstrap, const char **ret_reason)
{
    const char *node[4], *addresses[4];
    struct rights_settings settings = {{0}, {0}};
    struct error error = {0};

    fill(&settings.node_access_namespaces, node, namespaces);
    fill(&settings.bootstrap_allowed, addresses, bootstrap);
    return rights_check(pipeline, &settings, ret_reason, &error);
}

static void test_gives_nodes_only_to_namespaces_that_may_have_them(void **state)
{
    (void)state;
    struct pipeline_edge edge = {.name = "edge", .mode = PIPELINE_DAEMONSET};
    struct pipeline pipeline = with_edges(&edge, 1);
    const char *reason = NULL;

    assert_int_equal(check(&pipeline, (const char *[]){"surgetank-system", NULL}, NULL, &reason),
                     ERR_INVALID);
    assert_string_equal(reason, "NodeAccessRefused");
    assert_ok(check(&pipeline, (const char *[]){"surgetank-system", "pay", NULL}, NULL, &reason));
    assert_ok(check(&pipeline, (const char *[]){"p*", NULL}, NULL, &reason));
}

static void test_takes_a_host_port_for_node_access(void **state)
{
    (void)state;
    struct pipeline_edge edge = {.name = "edge", .otlp = {.expose = PIPELINE_EXPOSE_HOST_PORT}};
    struct pipeline pipeline = with_edges(&edge, 1);
    const char *reason = NULL;

    assert_int_equal(check(&pipeline, NULL, NULL, &reason), ERR_INVALID);
    assert_string_equal(reason, "NodeAccessRefused");
}

static void test_connects_only_where_it_may(void **state)
{
    (void)state;
    struct pipeline pipeline = with_edges(NULL, 0);
    const char *reason = NULL;

    assert_ok(check(&pipeline, NULL, NULL, &reason));
    assert_ok(check(&pipeline, NULL, (const char *[]){"*.kafka.svc:9092", NULL}, &reason));
    assert_int_equal(check(&pipeline, NULL, (const char *[]){"*.kafka.svc:9093", NULL}, &reason),
                     ERR_INVALID);
    assert_string_equal(reason, "BootstrapRefused");
}

static void test_refuses_a_pipeline_without_kafka(void **state)
{
    (void)state;
    struct pipeline pipeline = with_edges(NULL, 0);
    const char *reason = NULL;

    pipeline.kafka = NULL;
    assert_int_equal(check(&pipeline, NULL, NULL, &reason), ERR_INVALID);
    assert_string_equal(reason, "KafkaMissing");
}

static void test_refuses_what_only_a_machine_of_ones_own_can_give(void **state)
{
    (void)state;
    struct pipeline_files files = {.name = "app"};
    struct pipeline_edge edge = {.name = "edge", .files = &files, .files_count = 1};
    struct pipeline pipeline = with_edges(&edge, 1);
    const char *reason = NULL;

    assert_int_equal(check(&pipeline, NULL, NULL, &reason), ERR_INVALID);
    assert_string_equal(reason, "ClusterRefused");
    edge.mode = PIPELINE_DAEMONSET;
    assert_ok(check(&pipeline, (const char *[]){"pay", NULL}, NULL, &reason));
}

static void test_keeps_the_services_of_two_edges_apart(void **state)
{
    (void)state;
    struct pipeline_edge edges[] = {{.name = "in-pods"}, {.name = "in"}};
    struct pipeline pipeline = with_edges(edges, 2);
    const char *reason = NULL;

    assert_int_equal(check(&pipeline, NULL, NULL, &reason), ERR_INVALID);
    assert_string_equal(reason, "NameRefused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_nodes_only_to_namespaces_that_may_have_them),
        cmocka_unit_test(test_takes_a_host_port_for_node_access),
        cmocka_unit_test(test_connects_only_where_it_may),
        cmocka_unit_test(test_refuses_a_pipeline_without_kafka),
        cmocka_unit_test(test_refuses_what_only_a_machine_of_ones_own_can_give),
        cmocka_unit_test(test_keeps_the_services_of_two_edges_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
