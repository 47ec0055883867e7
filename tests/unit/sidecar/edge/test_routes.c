/* Promise: every item goes the way of the first route that is true, once, and no other way. */
// link: tests/support/processors.c tests/support/otlp_random.c
#include "tests/support/otlp_random.h"
#include "tests/support/processors.h"
#include "tests/support/test.h"

#include "sidecar/edge/routes.h"
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/walk.h"

#include <stdio.h>
#include <stdlib.h>

struct got {
    enum signal signal;
    char text[1024]; /* "tag: JSON\n" for each part */
    uint32_t items, parts;
};

#define ROOM ((size_t)1 << 20)

static const char *name_of(uint32_t tag, const struct pipeline *pipeline)
{
    for (size_t i = 0; tag != 0 && i < pipeline->topic_count; i++)
        if (routes_tag(pipeline, &pipeline->topics[i]) == tag)
            return pipeline->topics[i].name;
    return tag == 0 ? "-" : "?";
}

static struct pipeline *pipeline_at_hand;

static void take_part(struct got *got, struct bytes request, const struct spool_cut *cut)
{
    AUTO(buf_fini) struct buf json = {0};
    struct otlp_summary summary = {0};

    assert_ok(otlp_walk(got->signal, request, NULL, &summary, NULL));
    assert_int_equal(summary.items, cut->items);
    got->items += cut->items;
    got->parts++;
    assert_ok(otlp_json_write(got->signal, request, &json, NULL));
    size_t used = strlen(got->text);
    snprintf(got->text + used, sizeof got->text - used, "%s: %s\n",
             name_of(cut->tag, pipeline_at_hand), buf_text(&json));
}

static void take(struct got *got, const struct routed *routed)
{
    size_t at = 0;

    for (size_t i = 0; i < routed->cut_count; at += routed->cuts[i++].len) {
        size_t len = routed->cuts[i].len;
        assert_in_range(len, 0, routed->bytes.len - at);
        const struct bytes part = {len > 0 ? routed->bytes.data + at : NULL, len};
        take_part(got, part, &routed->cuts[i]);
    }
    assert_int_equal(at, routed->bytes.len);
}

static struct routes *make(const char *text)
{
    struct routes *routes = NULL;

    pipeline_at_hand = processors_pipeline("[]", text);
    assert_ok(routes_create(pipeline_at_hand, &pipeline_at_hand->edges[0], &routes, NULL));
    return routes;
}

static void split(enum signal signal, const char *text, const char *json, const char *want)
{
    AUTO(routes_destroy) struct routes *routes = make(text);
    AUTO(buf_fini) struct buf request = {0};
    struct got got = {.signal = signal};
    struct otlp_summary summary = {0};
    struct routed routed;

    assert_ok(otlp_json_read(signal, bytes_from(json), NULL, &request, NULL));
    assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &summary, NULL));
    assert_ok(
        routes_split(routes, signal, buf_bytes(&request), summary.items, ROOM, &routed, NULL));
    take(&got, &routed);
    assert_string_equal(got.text, want);
    pipeline_free(&pipeline_at_hand);
}

#define ITEM(n)      "{\"severityNumber\":" n "}"
#define SCOPE(items) "\"scopeLogs\":[{\"logRecords\":[" items "]}]"
#define NAMESPACE(name)                                                                         \
    "\"resource\":{\"attributes\":[{\"key\":\"k8s.namespace.name\",\"value\":{\"stringValue\":" \
    "\"" name "\"}}]}"
#define LOGS(resources) "{\"resourceLogs\":[" resources "]}"

static void test_whole_resources_go_their_ways(void **state)
{
    (void)state;
    static const char routes[] =
        "        - {when: 'k8s.namespace.name == \"pay\"', to: red-logs}\n";

    split(SIGNAL_LOGS, routes,
          LOGS("{" NAMESPACE("shop") "," SCOPE(ITEM("1")) "},{" NAMESPACE("pay") "," SCOPE(
              ITEM("2") "," ITEM("3")) "},{" NAMESPACE("x") "," SCOPE(ITEM("4")) "}"),
          "-: " LOGS("{" NAMESPACE("shop") "," SCOPE(ITEM("1")) "},{" NAMESPACE("x") "," SCOPE(
              ITEM("4")) "}") "\n"
                              "red-logs: " LOGS("{" NAMESPACE("pay") "," SCOPE(
                                  ITEM("2") "," ITEM("3")) "}") "\n");
    split(SIGNAL_LOGS, routes, LOGS("{" NAMESPACE("pay") "," SCOPE(ITEM("1")) "}"),
          "red-logs: " LOGS("{" NAMESPACE("pay") "," SCOPE(ITEM("1")) "}") "\n");
    split(SIGNAL_LOGS, routes, LOGS("{" NAMESPACE("x") "," SCOPE(ITEM("1")) "}"),
          "-: " LOGS("{" NAMESPACE("x") "," SCOPE(ITEM("1")) "}") "\n");
}

static void test_items_of_one_scope_are_cut_apart(void **state)
{
    (void)state;
    split(SIGNAL_LOGS, "        - {when: 'severity in [\"INFO\", \"ERROR\"]', to: red-logs}\n",
          LOGS("{" SCOPE(ITEM("9") "," ITEM("5") "," ITEM("17")) "}"),
          "red-logs: " LOGS(
              "{" SCOPE(ITEM("9") "," ITEM("17")) "}") "\n"
                                                       "-: " LOGS("{" SCOPE(ITEM("5")) "}") "\n");
}

static void test_the_first_route_that_is_true_decides(void **state)
{
    (void)state;
    split(SIGNAL_LOGS,
          "        - {when: 'severity < \"INFO\"', to: logs}\n"
          "        - {to: red-logs}\n"
          "        - {when: 'true', to: logs}\n",
          LOGS("{" SCOPE(ITEM("9") "," ITEM("5")) "}"),
          "red-logs: " LOGS("{" SCOPE(ITEM("9")) "}") "\n"
                                                      "-: " LOGS("{" SCOPE(ITEM("5")) "}") "\n");
}

static void test_three_topics_get_their_own(void **state)
{
    (void)state;
    split(SIGNAL_LOGS,
          "        - {when: 'severity == \"ERROR\"', to: red-logs}\n"
          "        - {when: 'severity == \"INFO\"', to: blue-logs}\n",
          LOGS("{" SCOPE(ITEM("9") "," ITEM("5") "," ITEM("17") "," ITEM("10")) "}"),
          "blue-logs: " LOGS("{" SCOPE(ITEM("9") "," ITEM(
              "10")) "}") "\n"
                          "-: " LOGS("{" SCOPE(ITEM("5")) "}") "\n"
                                                               "red-logs: " LOGS(
                                                                   "{" SCOPE(ITEM("17")) "}") "\n");
}

static void test_a_route_is_about_the_signal_of_its_topic(void **state)
{
    (void)state;
    AUTO(routes_destroy) struct routes *routes = make("        - {to: red-traces}\n");

    assert_true(routes_concern(routes, SIGNAL_TRACES));
    assert_false(routes_concern(routes, SIGNAL_LOGS));
    pipeline_free(&pipeline_at_hand);
    split(SIGNAL_LOGS, "        - {to: red-traces}\n", LOGS("{" SCOPE(ITEM("9")) "}"),
          "-: " LOGS("{" SCOPE(ITEM("9")) "}") "\n");
}

/* A request without items goes the default way, though the one before it did not. */
static void test_an_empty_request_goes_the_default_way(void **state)
{
    (void)state;
    AUTO(routes_destroy) struct routes *routes = make("        - {to: red-logs}\n");
    AUTO(buf_fini) struct buf request = {0}, empty = {0};
    struct routed routed;

    assert_ok(otlp_json_read(SIGNAL_LOGS, bytes_from(LOGS("{" SCOPE(ITEM("9")) "}")), NULL,
                             &request, NULL));
    assert_ok(otlp_json_read(SIGNAL_LOGS, bytes_from(LOGS("{" SCOPE("") "}")), NULL, &empty, NULL));
    assert_ok(routes_split(routes, SIGNAL_LOGS, buf_bytes(&request), 1, ROOM, &routed, NULL));
    assert_int_not_equal(routed.cuts[0].tag, 0);
    assert_ok(routes_split(routes, SIGNAL_LOGS, buf_bytes(&empty), 0, ROOM, &routed, NULL));
    assert_int_equal(routed.cut_count, 1);
    assert_int_equal(routed.cuts[0].tag, 0);
    assert_true(bytes_equal(routed.bytes, buf_bytes(&empty)));
    pipeline_free(&pipeline_at_hand);
}

static void test_cuts_within_its_limit_or_not_at_all(void **state)
{
    (void)state;
    AUTO(routes_destroy)
    struct routes *routes = make("        - {when: 'severity == \"INFO\"', to: red-logs}\n");
    AUTO(buf_fini) struct buf request = {0};
    struct routed routed = {.cut_count = 7};
    size_t enough = 0;

    assert_ok(otlp_json_read(
        SIGNAL_LOGS, bytes_from(LOGS("{" NAMESPACE("x") "," SCOPE(ITEM("9") "," ITEM("5")) "}")),
        NULL, &request, NULL));
    while (routes_split(routes, SIGNAL_LOGS, buf_bytes(&request), 2, ++enough, &routed, NULL) ==
           ERR_FULL)
        assert_int_equal(routed.cut_count, 7);
    assert_int_equal(routed.cut_count, 2);
    assert_in_range(routed.bytes.len, request.len + 1, enough); /* the resource is there twice */
    pipeline_free(&pipeline_at_hand);
}

static void test_tags_depend_on_the_name_alone(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline("[]", "[]");
    const struct pipeline_topic *red = pipeline_topic(pipeline, "red-logs");
    struct pipeline_topic moved = *red;

    uint32_t tag = routes_tag(pipeline, red);
    assert_int_not_equal(tag, 0);
    assert_int_equal(routes_tag(pipeline, &moved), tag); /* wherever it stands */
    assert_int_equal(routes_tag(pipeline, pipeline_topic(pipeline, "logs")), 0);
    assert_int_equal(routes_tag(pipeline, NULL), 0);
}

/* Strange requests too: no item is lost or doubled. */
static void test_no_item_is_lost_or_doubled(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "        - {when: 'kind in [\"server\", \"client\"]', to: red-traces}\n",
        "        - {when: 'severity > \"TRACE2\"', to: red-logs}\n",
        ("        - {when: 'exists attributes[\"k\"]', to: red-logs}\n"
         "        - {when: 'exists resource[\"GET\"]', to: red-traces}\n")};
    uint32_t split_up = 0;

    for (unsigned i = 0; i < 600; i++) {
        AUTO(routes_destroy) struct routes *routes = make(texts[i % 3]);
        struct otlp_random random = {.state = i, .odd = i % 2 == 0};
        enum signal signal = i % 4 < 2 ? SIGNAL_TRACES : SIGNAL_LOGS;
        AUTO(buf_fini) struct buf request = {0};
        struct otlp_summary summary = {0};
        struct got got = {.signal = signal};
        struct routed routed;

        otlp_random_request(&random, signal, &request);
        assert_ok(otlp_walk(signal, buf_bytes(&request), NULL, &summary, NULL));
        assert_ok(
            routes_split(routes, signal, buf_bytes(&request), summary.items, ROOM, &routed, NULL));
        take(&got, &routed);
        assert_int_equal(got.items, summary.items);
        split_up += got.parts > 1;
        pipeline_free(&pipeline_at_hand);
    }
    assert_true(split_up > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_resources_go_their_ways),
        cmocka_unit_test(test_items_of_one_scope_are_cut_apart),
        cmocka_unit_test(test_the_first_route_that_is_true_decides),
        cmocka_unit_test(test_three_topics_get_their_own),
        cmocka_unit_test(test_a_route_is_about_the_signal_of_its_topic),
        cmocka_unit_test(test_an_empty_request_goes_the_default_way),
        cmocka_unit_test(test_cuts_within_its_limit_or_not_at_all),
        cmocka_unit_test(test_tags_depend_on_the_name_alone),
        cmocka_unit_test(test_no_item_is_lost_or_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
