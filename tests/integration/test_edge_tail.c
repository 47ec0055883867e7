/* Promise: log files go the way of everything that an edge takes in: the document says which files,
 * processors and stamps are applied before the spool, routes choose the topic; what a filter drops
 * is not read again. */
// link: tests/support/tailing.c
#include "tests/support/test.h"

#include "common/json.h"
#include "common/metrics.h"
#include "sidecar/edge/edge_tail.h"
#include "sidecar/edge/refine.h"
#include "sidecar/edge/routes.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/spool/reader.h"
#include "sidecar/spool/spool_tool.h"
#include "sidecar/tail/describe.h"
#include "tests/support/tailing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct tailing t; /* its directories, and its eye for what arrived */
static struct pipeline *pipeline;
static struct spool *spool;
static struct refine *refine;
static struct stamp *stamp;
static struct edge_tail *tail;
static struct net_budget budget;
static bool secret_seen;
static const char *pattern; /* that begins a record */
static const char *topics;  /* beside logs and pay */
static const char *large;   /* further attributes of the resource */
static uint64_t segment_bytes;

static int begin(void **state)
{
    (void)state;
    tailing_begin(&t);
    pattern = "^n=";
    topics = large = "";
    segment_bytes = 0;
    return 0;
}

static void stop(void)
{
    edge_tail_stop(tail, 60000);
    spool_close(&spool);
    edge_tail_close(&tail);
    refine_close(&refine);
    stamp_destroy(&stamp);
    pipeline_free(&pipeline);
}

static int end(void **state)
{
    (void)state;
    stop();
    tailing_end(&t);
    return 0;
}

/* An edge with one input, which follows *.log; `more` is what else it has, indented by six. */
static void start(const char *more)
{
    static const struct stamp_rule rules[] = {{"site_name", "fra1", STAMP_INSERT}};
    char path[128], dir[128];
    struct faults faults = {0};
    struct error error = {0};

    snprintf(path, sizeof path, "%s/pipeline.yaml", t.dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file,
            "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: t}\n"
            "spec:\n  kafka: {bootstrapServers: [\"127.0.0.1:1\"]}\n"
            "  topics: [{name: logs}, {name: pay, signal: logs}%s]\n  edges:\n    - name: edge\n"
            "      receivers:\n        files: [{name: f, paths: [\"%s\"], startAt: beginning, "
            "attributes: {service.name: shop%s}, multiline: [{start: '%s'}]}]\n%s"
            "  gateways: [{name: a, from: [logs], export: {otlp: {endpoint: \"h:1\"}}}]\n",
            topics, t.glob, large, pattern, more);
    fclose(file);
    if (pipeline_load(path, &pipeline, &faults, &error))
        fail_msg("%s", faults.count > 0 ? faults.items[0].what : error.text);
    faults_fini(&faults);
    snprintf(dir, sizeof dir, "%s/spool", t.dir);
    const struct spool_config config = {
        .dir = dir, .size_bytes = 64 << 20, .segment_bytes = segment_bytes};
    assert_ok(spool_open(&config, &spool, NULL));
    assert_ok(stamp_create(rules, 1, &stamp, NULL));
    assert_ok(refine_open(pipeline, pipeline->edges, &budget, &refine, &error));
    const struct edge_tail_options options = {
        .edge = pipeline->edges, .stamp = stamp, .refine = refine, .spool = spool};
    assert_ok(edge_tail_open(&options, &tail, &error));
    assert_non_null(tail);
}

static uint64_t items(void)
{
    struct spool_stats stats;
    spool_stats(spool, &stats);
    return stats.lanes[SIGNAL_LOGS].items;
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

static void wait_for_items(uint64_t count)
{
    for (int i = 0; items() < count && i < 2000; i++) /* sooner than `rescan` */
        pause_ms(10);
    assert_int_equal(items(), count);
}

/* As /debug/state tells. */
static int64_t records_read(void)
{
    AUTO(json_free) struct json *root = json_new_object();

    edge_tail_put(tail, root);
    return json_int(json_get(json_first(json_at(root, "tail.sources")), "records"), -1);
}

static int64_t left_out(void)
{
    AUTO(json_free) struct json *root = json_new_object();

    edge_tail_put(tail, root);
    return json_int(json_at(root, "tail.leftOutRecords"), -1);
}

/* What is in the spool; records of the topic with that tag. */
static uint64_t collect(uint32_t tag)
{
    struct spool_reader *reader = NULL;
    struct spool_frame *frame = NULL;
    uint64_t records = 0;

    memset(t.seen, 0, TAILING_NUMBERS);
    t.records = t.others = 0;
    assert_ok(spool_reader_open(spool, SIGNAL_LOGS, "check", &reader, NULL));
    while (spool_reader_next(reader, 0, &frame, NULL) == OK) {
        for (uint32_t i = 0; i < frame->entry_count; i++) {
            struct spool_entry entry = spool_frame_entry(frame, i);
            records += entry.tag == tag ? entry.items : 0;
            secret_seen |= memmem(entry.data.data, entry.data.len, "4111", 4) != NULL;
            tailing_take(&t, entry.data);
        }
        spool_frame_release(&frame);
    }
    spool_reader_close(&reader);
    return records;
}

static void test_an_edge_without_processors_stamps_what_it_reads(void **state)
{
    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 x\n  goes on\nn=1 x\nn=2 x\n");
    start("");
    wait_for_items(3); /* the last one after a moment, when no more lines come */
    assert_int_equal(collect(0), 3);
    assert_non_null(strstr(t.last_resource, "service.name=shop\n"));
    assert_non_null(strstr(t.last_resource, "log.file.path="));
    assert_non_null(strstr(t.last_resource, "site_name=fra1\n"));
}

/* Attributes of one key twice would be no OTLP. */
static void test_an_attribute_of_the_document_takes_the_place_of_its_own(void **state)
{
    (void)state;
    large = ", log.file.path: mine";
    tailing_append(tailing_path(&t, "a.log"), "n=0 x\n");
    start("");
    wait_for_items(1);
    assert_int_equal(collect(0), 1);
    const char *path = strstr(t.last_resource, "log.file.path=");
    assert_non_null(path);
    assert_int_equal(strncmp(path, "log.file.path=mine\n", 19), 0);
    assert_null(strstr(path + 1, "log.file.path="));
}

static void test_processors_see_lines_before_the_spool_does(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 100, 10);
    tailing_append(tailing_path(&t, "b.log"), "n=100 card 4111111111111111\n");
    tailing_append(tailing_path(&t, "c.log"), "n=101 drop me\n");
    start("      processors:\n        - redact: {patterns: ['\\d{16}']}\n"
          "        - filter: {drop: 'body matches \"drop me\"'}\n");
    wait_for_items(101);
    assert_int_equal(collect(0), 101);
    assert_int_equal(t.seen[101], 0);
    for (unsigned i = 0; i < 101; i++)
        assert_int_equal(t.seen[i], 1);
    assert_false(secret_seen);
    assert_non_null(strstr(t.last_resource, "site_name=fra1\n"));
}

/* All of it is dropped, and stays so. */
static void test_what_is_dropped_is_not_read_again(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "a.log"), 0, 1000, 10);
    start("      processors:\n        - filter: {drop: 'true'}\n");
    for (int i = 0; records_read() < 1000 && i < 6000; i++)
        pause_ms(10);
    assert_int_equal(records_read(), 1000);
    assert_int_equal(items(), 0);
    stop();
    start("");
    pause_ms(700); /* it has looked: only an event can tell it of more */
    tailing_write(tailing_path(&t, "a.log"), 1000, 3, 10);
    wait_for_items(3);
    assert_int_equal(collect(0), 3);
    assert_int_equal(t.seen[0], 0);
}

static void test_routes_choose_the_topic(void **state)
{
    (void)state;
    tailing_write(tailing_path(&t, "pay.log"), 0, 50, 10);
    tailing_write(tailing_path(&t, "shop.log"), 50, 70, 10);
    start("      routes: [{when: 'resource[\"log.file.path\"] matches \"pay\"', to: pay}]\n");
    wait_for_items(120);
    uint32_t tag = routes_tag(pipeline, pipeline_topic(pipeline, "pay"));
    assert_int_equal(collect(tag), 50);
    assert_int_equal(collect(0), 70);
    for (unsigned i = 0; i < 120; i++)
        assert_int_equal(t.seen[i], 1);
}

/* Each load was one request of the spool, however it was cut. */
static void assert_whole_loads(void)
{
    AUTO(json_free) struct json *root = json_new_object();
    struct spool_stats stats;

    edge_tail_stop(tail, 20000);
    edge_tail_put(tail, root);
    spool_stats(spool, &stats);
    assert_int_equal(json_int(json_at(root, "tail.loads"), -1), stats.lanes[SIGNAL_LOGS].requests);
}

static void test_lines_for_several_topics_are_one_frame_with_their_positions(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++)
        tailing_write(tailing_path(&t, "a.log"), 50 * i, 50, 10);
    start("      routes: [{when: 'body matches \"^n=[0-9]*[02468] \"', to: pay}]\n");
    wait_for_items(1000);
    assert_whole_loads();
    assert_int_equal(collect(routes_tag(pipeline, pipeline_topic(pipeline, "pay"))), 500);
    assert_int_equal(collect(0), 500);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(t.seen[i], 1);
}

/* 14 files with a resource of 12 KB that each of ten topics gets: 1.7 MB, where this spool's
 * segments have 1 MiB. */
static void
test_lines_that_are_too_much_for_a_frame_when_cut_go_one_topic_after_the_other(void **state)
{
    (void)state;
    enum { FILES = 14, TOPICS = 10, LARGE = 1000 };
    AUTO(buf_fini) struct buf routes = {0}, names = {0}, value = {0};
    char name[16];

    for (unsigned i = 0; i < 12; i++)
        assert_ok(buf_printf(&value, ", large%u: '%0*d'", i, LARGE, 0));
    assert_ok(buf_append_text(&routes, "      routes:\n"));
    for (unsigned i = 0; i < TOPICS; i++) {
        assert_ok(buf_printf(&names, ", {name: t%u, signal: logs}", i));
        assert_ok(buf_printf(&routes,
                             "        - {when: 'body matches \"^n=[0-9]*%u \"', to: t%u}\n", i, i));
    }
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%u.log", i);
        tailing_write(tailing_path(&t, name), (uint64_t)TOPICS * i, TOPICS, 10);
    }
    topics = buf_text(&names);
    large = buf_text(&value);
    segment_bytes = 1 << 20;
    start(buf_text(&routes));
    wait_for_items(FILES * TOPICS);
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(name, sizeof name, "t%u", i);
        assert_int_equal(collect(routes_tag(pipeline, pipeline_topic(pipeline, name))), FILES);
    }
    for (unsigned i = 0; i < FILES * TOPICS; i++)
        assert_int_equal(t.seen[i], 1);
}

/* 1000 lines, each of which gets 10 KB: ten times what this spool's segments hold. */
static void test_lines_that_processors_make_too_large_go_in_portions(void **state)
{
    (void)state;
    enum { LINES = 1000, LARGE = 1000 };
    AUTO(buf_fini) struct buf more = {0};

    assert_ok(buf_append_text(&more, "      processors:\n"
                                     "        - attributes:\n"
                                     "            \"on\": item\n"
                                     "            actions:\n"));
    for (unsigned i = 0; i < 10; i++)
        assert_ok(
            buf_printf(&more, "              - {key: large%u, value: '%0*d'}\n", i, LARGE, 0));
    assert_ok(buf_append_text(&more, "        - filter: {drop: 'body matches \"^n=[0-9]*7 \"'}\n"));
    tailing_write(tailing_path(&t, "a.log"), 0, LINES, 10);
    segment_bytes = 1 << 20;
    start(buf_text(&more));
    wait_for_items(LINES - LINES / 10);
    assert_int_equal(collect(0), LINES - LINES / 10);
    for (unsigned i = 0; i < LINES; i++)
        assert_int_equal(t.seen[i], i % 10 != 7);
    stop();
    start(buf_text(&more)); /* what was dropped last has its position, too */
    tailing_write(tailing_path(&t, "a.log"), LINES, 3, 10);
    wait_for_items(LINES - LINES / 10 + 3);
}

/* A line that no processor could make smaller is cut, and what follows goes on. */
static void test_a_line_that_is_too_large_for_the_spool_comes_in_pieces(void **state)
{
    (void)state;
    enum { LENGTH = 250 << 10 };
    AUTO(buf_fini) struct buf line = {0};

    assert_ok(buf_append_text(&line, "n=0 "));
    for (unsigned i = 0; i < LENGTH; i++)
        assert_ok(buf_append_byte(&line, 'x'));
    assert_ok(buf_append_text(&line, "\nn=1 y\n"));
    tailing_append(tailing_path(&t, "a.log"), buf_text(&line));
    segment_bytes = 128 << 10;
    start("");
    wait_for_items(5); /* 125 KB is too much for the spool, 63 KB is not */
    assert_int_equal(collect(0), 5);
    assert_int_equal(t.seen[0], 1);
    assert_int_equal(t.seen[1], 1);
    assert_int_equal(t.others, 3);
}

/* Not even a piece can be worked on: it holds up nothing, and somebody is told. */
static void test_a_line_that_no_memory_is_enough_for_is_left_out_and_counted(void **state)
{
    (void)state;
    tailing_append(tailing_path(&t, "a.log"), "n=0 card 4111111111111111\nn=1 x\n");
    budget.scratch_max = 1000;
    start("      processors:\n        - redact: {patterns: ['\\d{16}']}\n");
    for (int i = 0; left_out() < 2 && i < 6000; i++)
        pause_ms(10);
    assert_int_equal(left_out(), 2);
    assert_int_equal(items(), 0);
    stop();
    budget.scratch_max = 0;
    start(""); /* positions are behind them */
    tailing_append(tailing_path(&t, "a.log"), "n=2 y\n");
    wait_for_items(1);
    assert_int_equal(collect(0), 1);
    assert_int_equal(t.seen[2], 1);
}

/* What /metrics says of the only input; -1: nothing. */
static double metric_of(const char *name)
{
    AUTO(buf_fini) struct buf text = {0};
    char series[128];

    edge_tail_refresh(tail);
    assert_ok(metrics_expose(&text));
    int len = snprintf(series, sizeof series, "\n%s{source=\"f\"} ", name);
    const char *at = strstr(buf_text(&text), series);
    return at == NULL ? -1 : strtod(at + len, NULL);
}

/* As `surgetank-sidecar spool ls` does, beside the running edge. */
static void test_the_spool_shows_how_far_files_are_read(void **state)
{
    (void)state;
    char *text = NULL, dir[128], want[128];
    size_t len = 0;

    tailing_append(tailing_path(&t, "a.log"), "n=0 x\nn=1 x\n");
    start("");
    wait_for_items(2);
    snprintf(dir, sizeof dir, "%s/spool", t.dir);
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    assert_ok(spool_tool_ls(dir, tail_describe_mark, out, NULL));
    fclose(out);
    assert_non_null(strstr(text, "\nmark logs     file 1 read to 12 of 12 bytes, device "));
    snprintf(want, sizeof want, "Z: %s\n", tailing_path(&t, "a.log"));
    assert_non_null(strstr(text, want));
    assert_non_null(strstr(text, "\nmark logs     input "));
    free(text);
}

static void test_tells_what_became_of_lines(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf lines = {0};
    const char *slow = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!";

    pattern = "^(a+)+$";
    assert_ok(buf_printf(&lines, "%s\n%s\n\n", slow, slow)); /* the first is not asked about */
    for (unsigned i = 0; i < 300 << 10; i++)
        assert_ok(buf_append_byte(&lines, 'x'));
    assert_ok(buf_append_text(&lines, "\n"));
    tailing_append(tailing_path(&t, "a.log"), buf_text(&lines));
    start("");
    wait_for_items(3); /* the group, and the long line in two */
    for (int i = 0; metric_of("surgetank_tail_records_total") < 3 && i < 2000; i++)
        pause_ms(10);
    assert_true(metric_of("surgetank_tail_lines_total") == 4);
    assert_true(metric_of("surgetank_tail_empty_lines_total") == 1);
    assert_true(metric_of("surgetank_tail_grouped_records_total") == 1);
    assert_true(metric_of("surgetank_tail_multiline_gave_up_total") == 1);
    assert_true(metric_of("surgetank_tail_cut_lines_total") == 1);
    assert_true(metric_of("surgetank_tail_long_lines_total") == 1);
    assert_true(metric_of("surgetank_tail_joined_lines_total") == 0);
    assert_true(metric_of("surgetank_tail_passed_lines_total") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(test_an_edge_without_processors_stamps_what_it_reads),
        TEST(test_an_attribute_of_the_document_takes_the_place_of_its_own),
        TEST(test_processors_see_lines_before_the_spool_does),
        TEST(test_what_is_dropped_is_not_read_again),
        TEST(test_routes_choose_the_topic),
        TEST(test_lines_for_several_topics_are_one_frame_with_their_positions),
        TEST(test_lines_that_are_too_much_for_a_frame_when_cut_go_one_topic_after_the_other),
        TEST(test_lines_that_processors_make_too_large_go_in_portions),
        TEST(test_a_line_that_is_too_large_for_the_spool_comes_in_pieces),
        TEST(test_a_line_that_no_memory_is_enough_for_is_left_out_and_counted),
        TEST(test_the_spool_shows_how_far_files_are_read),
        TEST(test_tells_what_became_of_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
