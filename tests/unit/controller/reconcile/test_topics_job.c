/* Promise: a topic is made after the status has said that it will be, and nothing is done to any
 * while the pipeline is paused. */
// link: tests/support/script_topics.c
#include "controller/reconcile/topics_job.h"

#include "common/json.h"
#include "common/yaml.h"
#include "controller/reconcile/board.h"
#include "tests/support/script_topics.h"
#include "tests/support/test.h"

#include <stdio.h>

static struct pipeline *read_pipeline(const char *paused)
{
    AUTO(json_free) struct json *documents = NULL;
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};
    char text[512];

    snprintf(text, sizeof text,
             "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\n"
             "metadata: {name: shop, namespace: ns}\nspec:\n  paused: %s\n"
             "  kafka: {bootstrapServers: ['k:9092']}\n"
             "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: 'h:1'}}}]\n",
             paused);
    if (yaml_parse(bytes_from(text), sizeof text, &documents, &error) ||
        pipeline_read(json_first(documents), &pipeline, &faults, &error))
        fail_msg("%s", error.text);
    faults_fini(&faults);
    return pipeline;
}

/* One look; the first topic's result. */
static struct topic_result look(const char *paused, const char *made)
{
    AUTO(pipeline_free) struct pipeline *pipeline = read_pipeline(paused);
    AUTO(topics_job_free) struct topics_job *job = NULL;
    AUTO(json_free) struct json *status = json_new_object();
    struct board *board = board_create();
    struct json *list = json_set_array(status, "topics");

    for (size_t i = 0; i < pipeline->topic_count; i++) {
        struct json *topic = json_add_object(list);
        json_set_string(topic, "topic", pipeline->topics[i].topic);
        json_set_string(topic, "made", made);
    }
    script_topics_changes = 0;
    assert_ok(topics_job_create(pipeline, status, board, "ns/shop", &job, NULL));
    assert_ok(topics_job_run(job, NULL, 3, NULL));
    assert_true(job->count > 0);
    board_destroy(&board);
    return job->results[0];
}

static void test_a_topic_is_made_once_the_status_has_said_so(void **state)
{
    (void)state;
    assert_int_equal(look("false", "").made, TOPIC_INTENDED);
    assert_int_equal(script_topics_changes, 0);
    assert_int_equal(look("false", "Intended").made, TOPIC_MADE);
    assert_true(script_topics_changes > 0);
}

static void test_nothing_is_done_to_topics_while_the_pipeline_is_paused(void **state)
{
    (void)state;
    static const char *const made[] = {"", "Intended"};

    for (size_t i = 0; i < 2; i++) {
        struct topic_result result = look("true", made[i]);
        assert_int_equal(script_topics_changes, 0);
        assert_int_equal(result.made, i == 0 ? TOPIC_NOT_MADE : TOPIC_INTENDED);
        assert_non_null(strstr(result.message, "while the pipeline is paused"));
        assert_false(result.settled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_topic_is_made_once_the_status_has_said_so),
        cmocka_unit_test(test_nothing_is_done_to_topics_while_the_pipeline_is_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
