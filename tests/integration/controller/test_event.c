/* What happens again is one Event and its series; nothing waits for an Event. */
#include "tests/support/test.h"

#include "common/kube/object.h"
#include "controller/kube/event.h"
#include "tests/support/kube_script.h"

#include <stdio.h>
#include <stdlib.h>

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct json *new_object(const char *name)
{
    struct json *object = object_new(&kube_pods, "shop", name);
    json_set_string(json_get(object, "metadata"), "uid", name);
    return object;
}

static struct event_recorder *new_recorder(struct kube_script *script)
{
    struct event_recorder *recorder = NULL;
    assert_ok(
        event_recorder_create(script->client, "surgetank.dev/test", "pod-1", &recorder, NULL));
    return recorder;
}

static struct json *sent_body(struct kube_script *script, size_t nth)
{
    struct json *json = NULL;
    const char *body = strstr(http_script_request(script->http, nth), "\r\n\r\n");
    assert_non_null(body);
    assert_ok(json_parse((struct bytes){(const uint8_t *)body + 4, strlen(body + 4)}, 1 << 20,
                         &json, NULL));
    return json;
}

static void test_writes_what_the_api_wants_and_counts_repeats(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "POST /apis/events.k8s.io/v1/namespaces/shop/events",
         .status = 201,
         .body = "{}"},
        {.expect = "PATCH /apis/events.k8s.io/v1/namespaces/shop/events/p",
         .status = 200,
         .body = "{}"}};
    struct kube_script script;
    AUTO(json_free) struct json *pod = new_object("p");

    kube_script_start(&script, steps, COUNT(steps));
    struct event_recorder *recorder = new_recorder(&script);
    for (int i = 0; i < 7; i++)
        event_record(recorder, pod, EVENT_WARNING, "Stuck", "Check", "it is at %d", i);
    event_recorder_destroy(&recorder);
    assert_int_equal(http_script_requests(script.http), 2);

    AUTO(json_free) struct json *event = sent_body(&script, 0);
    assert_string_equal(json_string(json_get(event, "apiVersion"), ""), "events.k8s.io/v1");
    assert_string_equal(json_string(json_get(event, "type"), ""), "Warning");
    assert_string_equal(json_string(json_get(event, "reason"), ""), "Stuck");
    assert_string_equal(json_string(json_get(event, "action"), ""), "Check");
    assert_string_equal(json_string(json_get(event, "note"), ""), "it is at 0");
    assert_string_equal(json_string(json_get(event, "reportingInstance"), ""), "pod-1");
    assert_string_equal(json_string(json_at(event, "regarding.uid"), ""), "p");
    assert_string_equal(json_string(json_at(event, "regarding.kind"), ""), "Pod");
    assert_memory_equal(object_name(event), "p.", 2);
    AUTO(json_free) struct json *patch = sent_body(&script, 1);
    assert_int_equal(json_int(json_at(patch, "series.count"), 0), 7);
    kube_script_stop(&script);
}

static void test_cuts_a_note_at_a_character_and_a_name_at_its_bound(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.status = 201, .body = "{}"}};
    struct kube_script script;
    char name[254], note[3000];

    memset(name, 'n', sizeof name - 1);
    name[199] = '-';
    name[253] = '\0';
    note[0] = 'x'; /* so that 1,024 bytes end within a character */
    for (size_t i = 1; i + 2 < sizeof note; i += 2)
        memcpy(note + i, "\xc3\xa4", 3);
    AUTO(json_free) struct json *pod = new_object(name);

    kube_script_start(&script, steps, COUNT(steps));
    struct event_recorder *recorder = new_recorder(&script);
    event_record(recorder, pod, EVENT_NORMAL, "Long", "Talk", "%s", note);
    event_recorder_destroy(&recorder);
    AUTO(json_free) struct json *event = sent_body(&script, 0);
    assert_int_equal(strlen(json_string(json_get(event, "note"), "")), 1023);
    assert_true(strlen(object_name(event)) <= 253);
    assert_memory_equal(object_name(event) + 198, "n.", 2);
    kube_script_stop(&script);
}

static void test_bounds_new_events_of_one_object_but_not_those_of_others(void **state)
{
    (void)state;
    static struct http_step steps[64];
    struct kube_script script;
    AUTO(json_free) struct json *noisy = new_object("noisy");
    AUTO(json_free) struct json *quiet = new_object("quiet");
    char reason[16];

    for (size_t i = 0; i < COUNT(steps); i++)
        steps[i] = (struct http_step){.status = 201, .body = "{}"};
    kube_script_start(&script, steps, COUNT(steps));
    struct event_recorder *recorder = new_recorder(&script);
    for (int i = 0; i < 40; i++) {
        snprintf(reason, sizeof reason, "R%d", i);
        event_record(recorder, noisy, EVENT_NORMAL, reason, "Do", "note");
    }
    event_record(recorder, quiet, EVENT_NORMAL, "R", "Do", "note");
    event_recorder_destroy(&recorder);
    assert_int_equal(http_script_requests(script.http), 26);
    kube_script_stop(&script);
}

static void test_ends_in_time_when_the_server_is_stuck(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.end = HTTP_END_HOLD}};
    struct kube_script script;
    AUTO(json_free) struct json *pod = new_object("p");

    kube_script_start(&script, steps, COUNT(steps));
    struct event_recorder *recorder = new_recorder(&script);
    for (int i = 0; i < 2 * EVENT_QUEUE_MAX; i++)
        event_record(recorder, pod, EVENT_NORMAL, "R", "Do", "note");
    event_recorder_destroy(&recorder); /* would take 30 s if it waited for the answer */
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_what_the_api_wants_and_counts_repeats),
        cmocka_unit_test(test_cuts_a_note_at_a_character_and_a_name_at_its_bound),
        cmocka_unit_test(test_bounds_new_events_of_one_object_but_not_those_of_others),
        cmocka_unit_test(test_ends_in_time_when_the_server_is_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
