/* Whatever happens on the way, the copy ends equal to what the server has, and no deletion is lost.
 */
#include "tests/support/test.h"

#include "common/kube/watch.h"
#include "tests/support/kube_script.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define EVENT(type, name, version)                                                          \
    "{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name "\",\"namespace\":" \
    "\"shop\",\"uid\":\"u-" name "\",\"resourceVersion\":\"" version "\"}}}\n"
#define BOOKMARK(version) \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define INITIAL_END(version)                                                                \
    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"" version "\"," \
    "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define EXPIRED                                                                                \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"," \
    "\"message\":\"too old resource version\"}}\n"
#define ITEM(name, version)                                                         \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\",\"uid\":\"u-" name \
    "\",\"resourceVersion\":\"" version "\"}}"
#define STREAM(text, how)                                                             \
    {                                                                                 \
        .expect = "watch=1", .status = 200, .body = text, .chunked = true, .end = how \
    }

/* Writes down what it is told, as "=a,b" "+a@7" "-a". */
struct record {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char text[1024];
    unsigned troubles;
    struct error trouble;
};
#define RECORD                                                                 \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static void note(struct record *record, const char *text)
{
    pthread_mutex_lock(&record->lock);
    size_t used = strlen(record->text);
    snprintf(record->text + used, sizeof record->text - used, "%s ", text);
    pthread_cond_broadcast(&record->changed);
    pthread_mutex_unlock(&record->lock);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct object *const *)a)->name, (*(struct object *const *)b)->name);
}

static void on_replace(void *context, const struct kube_resource *resource,
                       struct object *const *objects, size_t count)
{
    (void)resource;
    const struct object *sorted[16];
    char text[256] = "=";

    assert_in_range(count, 0, 16);
    memcpy(sorted, objects, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i == 0 ? "" : ",", sorted[i]->name);
    }
    note(context, text);
}

static void on_put(void *context, const struct kube_resource *resource, struct object *object)
{
    (void)resource;
    char text[64];
    snprintf(text, sizeof text, "+%s@%s", object->name, object->resource_version);
    note(context, text);
}

static void on_remove(void *context, const struct kube_resource *resource, struct object *object)
{
    (void)resource;
    char text[64];
    snprintf(text, sizeof text, "-%s", object->name);
    note(context, text);
}

static void on_trouble(void *context, const struct kube_resource *resource,
                       const struct error *error, unsigned pause_ms)
{
    (void)resource;
    (void)pause_ms;
    struct record *record = context;
    pthread_mutex_lock(&record->lock);
    record->troubles++;
    record->trouble = *error;
    pthread_mutex_unlock(&record->lock);
}

/* Runs the script until `want` was written down, then stops the watch. */
static void expect_record(const struct http_step *steps, size_t count, const char *want,
                          struct kube_script *script, struct record *record)
{
    struct kube_watch *watch = NULL;
    struct timespec until;
    int failed = 0;

    kube_script_start(script, steps, count);
    const struct kube_watch_config config = {.resource = &kube_pods,
                                             .namespace = "shop",
                                             .label_selector = "app=x",
                                             .sink = {on_replace, on_put, on_remove, record},
                                             .on_trouble = on_trouble,
                                             .trouble_context = record};
    assert_ok(kube_watch_start(script->client, &config, &watch, NULL));
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&record->lock);
    while (strlen(record->text) < strlen(want) && !failed)
        failed = pthread_cond_timedwait(&record->changed, &record->lock, &until);
    pthread_mutex_unlock(&record->lock);
    assert_true(http_script_wait(script->http, count));
    kube_watch_stop(&watch);
    if (strcmp(record->text, want) != 0)
        fail_msg("'%s' instead of '%s'; last trouble: %s", record->text, want,
                 record->trouble.text);
}

static bool sent(struct kube_script *script, size_t nth, const char *text)
{
    bool found = strstr(http_script_request(script->http, nth), text) != NULL;
    if (!found)
        print_error("no '%s' in: %s\n", text, http_script_request(script->http, nth));
    return found;
}

static void test_gathers_initial_events_and_goes_on_live(void **state)
{
    (void)state;
    const struct http_step steps[] = {STREAM(
        EVENT("ADDED", "a", "1") EVENT("ADDED", "b", "2") EVENT("MODIFIED", "a", "3")
            EVENT("ADDED", "gone", "4") EVENT("DELETED", "gone", "5") INITIAL_END("6")
                EVENT("ADDED", "c", "7") EVENT("MODIFIED", "a", "8") EVENT("DELETED", "b", "9"),
        HTTP_END_HOLD)};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=a,b +c@7 +a@8 -b ", &script, &record);
    assert_true(sent(&script, 0, "/api/v1/namespaces/shop/pods?watch=1&allowWatchBookmarks=true"));
    assert_true(sent(&script, 0, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"));
    assert_true(sent(&script, 0, "labelSelector=app%3Dx"));
    assert_int_equal(record.troubles, 0);
    kube_script_stop(&script);
}

static void test_lists_in_pages_where_the_server_has_no_initial_events(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 422, .body = "{\"message\":\"sendInitialEvents is forbidden\"}"},
        {.expect = "limit=500",
         .status = 200,
         .body = "{\"metadata\":{\"continue\":\"t1\"},\"items\":[" ITEM("a", "1") "]}"},
        {.expect = "continue=t1",
         .status = 410,
         .body = "{\"reason\":\"Expired\",\"message\":\"continue\"}"},
        {.expect = "limit=500",
         .status = 200,
         .body = "{\"metadata\":{\"continue\":\"t2\"},\"items\":[" ITEM("b", "2") "]}"},
        {.expect = "continue=t2",
         .status = 200,
         .body = "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[" ITEM("c", "3") "]}"},
        STREAM(EVENT("ADDED", "d", "21"), HTTP_END_HOLD)};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=b,c +d@21 ", &script, &record);
    assert_true(sent(&script, 5, "resourceVersion=20"));
    kube_script_stop(&script);
}

static void test_resumes_from_the_last_bookmark_or_event_after_any_end(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        STREAM(EVENT("ADDED", "a", "1") INITIAL_END("2"), HTTP_END_CLEAN),
        STREAM(EVENT("MODIFIED", "a", "3"), HTTP_END_CUT), STREAM(BOOKMARK("9"), HTTP_END_CLEAN),
        STREAM(EVENT("DELETED", "a", "10"), HTTP_END_HOLD)};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=a +a@3 -a ", &script, &record);
    assert_true(sent(&script, 1, "resourceVersion=2 HTTP"));
    assert_true(sent(&script, 2, "resourceVersion=3 HTTP"));
    assert_true(sent(&script, 3, "resourceVersion=9 HTTP"));
    kube_script_stop(&script);
}

static void test_starts_over_on_both_kinds_of_410(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        STREAM(EVENT("ADDED", "a", "1") EVENT("ADDED", "b", "1") INITIAL_END("2"), HTTP_END_CLEAN),
        STREAM(EXPIRED, HTTP_END_HOLD),
        STREAM(EVENT("ADDED", "b", "1") INITIAL_END("50"), HTTP_END_CLEAN),
        {.expect = "resourceVersion=50 HTTP",
         .status = 410,
         .body = "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Gone\",\"message\":\"gone\"}"},
        STREAM(EVENT("ADDED", "c", "51") INITIAL_END("60"), HTTP_END_HOLD)};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=a,b =b =c ", &script, &record);
    assert_true(sent(&script, 2, "sendInitialEvents=true"));
    assert_true(sent(&script, 4, "sendInitialEvents=true"));
    kube_script_stop(&script);
}

static void test_starts_over_when_it_cannot_read_the_stream(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        STREAM(EVENT("ADDED", "a", "1") INITIAL_END("2") "{\"type\":\"ADDED\",\"obj", HTTP_END_CUT),
        STREAM("garbage\n", HTTP_END_HOLD),
        STREAM(EVENT("ADDED", "a", "1") INITIAL_END("3"), HTTP_END_HOLD)};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=a =a ", &script, &record);
    assert_true(sent(&script, 1, "resourceVersion=2 HTTP")); /* half a line is no event */
    assert_true(sent(&script, 2, "sendInitialEvents=true"));
    assert_true(record.troubles >= 1);
    kube_script_stop(&script);
}

/* The stream is cut behind each of its bytes: whatever was not yet told comes with the next one. */
static void test_survives_a_cut_behind_each_byte(void **state)
{
    (void)state;
    static const char first[] = EVENT("ADDED", "a", "1") INITIAL_END("2") EVENT("ADDED", "b", "3");
    static const char live[] = EVENT("ADDED", "b", "3") EVENT("ADDED", "c", "4");
    static const char whole[] =
        EVENT("ADDED", "a", "1") EVENT("ADDED", "b", "3") INITIAL_END("3") EVENT("ADDED", "c", "4");
    size_t initial = strlen(EVENT("ADDED", "a", "1") INITIAL_END("2"));

    for (size_t cut = initial; cut < strlen(first); cut += 3) {
        /* The first stream ends in LIVE: the second is opened at once, from version 2. */
        const struct http_step steps[] = {
            {.status = 200, .body = first, .chunked = true, .cut = cut, .end = HTTP_END_CUT},
            {.expect = "resourceVersion=2 HTTP",
             .status = 200,
             .body = live,
             .chunked = true,
             .piece = 7,
             .end = HTTP_END_HOLD}};
        struct kube_script script;
        struct record record = RECORD;
        expect_record(steps, COUNT(steps), "=a +b@3 +c@4 ", &script, &record);
        kube_script_stop(&script);
    }

    /* One cut before the bookmark: nothing was told, all of it comes again after a pause. */
    const struct http_step steps[] = {
        {.status = 200, .body = first, .chunked = true, .cut = initial - 9, .end = HTTP_END_CUT},
        {.expect = "sendInitialEvents=true",
         .status = 200,
         .body = whole,
         .chunked = true,
         .piece = 1,
         .end = HTTP_END_HOLD}};
    struct kube_script script;
    struct record record = RECORD;
    expect_record(steps, COUNT(steps), "=a,b +c@4 ", &script, &record);
    kube_script_stop(&script);
}

static void test_tries_again_after_refusals_and_says_why(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 403,
         .body = "{\"message\":\"User \\\"me\\\" cannot watch resource \\\"pods\\\"\"}"},
        {.status = 429, .headers = "Retry-After: 1\r\n"},
        {.status = 200,
         .body = EVENT("ADDED", "a", "1") INITIAL_END("2"),
         .chunked = true,
         .end = HTTP_END_HOLD}};
    struct kube_script script;
    struct record record = RECORD;

    expect_record(steps, COUNT(steps), "=a ", &script, &record);
    assert_int_equal(record.troubles, 2);
    kube_script_stop(&script);
}

static void test_can_be_stopped_at_any_moment(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.end = HTTP_END_HOLD}, {.status = 500}};
    struct kube_script script;
    struct record record = RECORD;
    const struct kube_watch_config config = {.resource = &kube_pods,
                                             .sink = {on_replace, on_put, on_remove, &record}};

    kube_script_start(&script, steps, COUNT(steps));
    struct kube_watch *watch = NULL;
    assert_ok(kube_watch_start(script.client, &config, &watch, NULL));
    kube_watch_stop(&watch); /* before or while the request is made */
    assert_ok(kube_watch_start(script.client, &config, &watch, NULL));
    assert_true(http_script_wait(script.http, 1));
    kube_watch_stop(&watch); /* while it waits for an answer */
    for (int i = 0; i < 50; i++) {
        assert_ok(kube_watch_start(script.client, &config, &watch, NULL));
        kube_watch_stop(&watch);
    }
    assert_null(watch);
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathers_initial_events_and_goes_on_live),
        cmocka_unit_test(test_lists_in_pages_where_the_server_has_no_initial_events),
        cmocka_unit_test(test_resumes_from_the_last_bookmark_or_event_after_any_end),
        cmocka_unit_test(test_starts_over_on_both_kinds_of_410),
        cmocka_unit_test(test_starts_over_when_it_cannot_read_the_stream),
        cmocka_unit_test(test_survives_a_cut_behind_each_byte),
        cmocka_unit_test(test_tries_again_after_refusals_and_says_why),
        cmocka_unit_test(test_can_be_stopped_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
