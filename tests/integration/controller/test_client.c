/* What the API server says becomes the code and the sentence that client.h promises, and what we
 * say to it is what its API asks for. */
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/kube/client.h"
#include "common/kube/object.h"
#include "tests/support/kube_script.h"

#include <pthread.h>

// link: tests/support/http_script.c tests/support/kube_script.c

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool sent(struct kube_script *script, size_t nth, const char *text)
{
    bool found = strstr(http_script_request(script->http, nth), text) != NULL;
    if (!found)
        print_error("no '%s' in: %s\n", text, http_script_request(script->http, nth));
    return found;
}

static void test_gets_an_object_by_its_path(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 200, .body = "{\"metadata\":{\"name\":\"web\",\"resourceVersion\":\"7\"}}"}};
    struct kube_script script;
    AUTO(json_free) struct json *json = NULL;

    kube_script_start(&script, steps, COUNT(steps));
    assert_string_equal(kube_client_namespace(script.client), "shop");
    assert_ok(kube_get(script.client, &kube_deployments, "shop", "web", &json, NULL));
    assert_string_equal(object_resource_version(json), "7");
    assert_true(sent(&script, 0, "GET /apis/apps/v1/namespaces/shop/deployments/web HTTP/1.1"));
    assert_true(sent(&script, 0, "Authorization: Bearer one\r\n"));
    assert_true(sent(&script, 0, "User-Agent: surgetank/test\r\n"));
    kube_script_stop(&script);
}

static void test_turns_each_answer_into_what_to_do(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum err want;
        const char *sentence;
    } cases[] = {
        {404,
         "{\"kind\":\"Status\",\"message\":\"pods \\\"a\\\" not found\",\"reason\":\"NotFound\"}",
         ERR_NOTFOUND, "pods \"a\" not found"},
        {404, "404 page not found\n", ERR_NOTFOUND, "404 page not found"},
        {409, "{\"message\":\"conflict with \\\"kubectl\\\": .spec.x\",\"reason\":\"Conflict\"}",
         ERR_CONFLICT, "kubectl"},
        {409, "{\"message\":\"a exists\",\"reason\":\"AlreadyExists\"}", ERR_CONFLICT, "a exists"},
        {422, "{\"message\":\"spec.x: Invalid value: 3\",\"reason\":\"Invalid\"}", ERR_INVALID,
         "spec.x"},
        {400, "{\"message\":\"unknown field \\\"spec.y\\\"\",\"reason\":\"BadRequest\"}",
         ERR_INVALID, "spec.y"},
        {403,
         "{\"message\":\"pods is forbidden: User \\\"me\\\" cannot list resource "
         "\\\"pods\\\" in the namespace \\\"x\\\"\",\"reason\":\"Forbidden\"}",
         ERR_INVALID, "a Role or ClusterRole must allow it"},
        {403, "{\"message\":\"exceeded quota\",\"reason\":\"Forbidden\"}", ERR_INVALID, "quota"},
        {410, "{\"message\":\"too old\",\"reason\":\"Expired\"}", ERR_AGAIN, "too old"},
        {500, "{\"message\":\"webhook failed\",\"reason\":\"InternalError\"}", ERR_AGAIN,
         "webhook"},
        {500,
         "{\"message\":\"failed to create typed patch object (x): .dta: field not declared in "
         "schema\"}",
         ERR_INVALID, ".dta"},
        {504, "", ERR_AGAIN, "504"},
        {503, "<html>", ERR_AGAIN, "503: <html>"},
        {302, "", ERR_INVALID, "302"},
        {200, "{\"cut", ERR_AGAIN, "JSON"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct http_step steps[] = {{.status = cases[i].status, .body = cases[i].body}};
        struct kube_script script;
        struct error error = {0};
        struct json *json = NULL;

        kube_script_start(&script, steps, 1);
        assert_int_equal(kube_get(script.client, &kube_pods, "x", "a", &json, &error),
                         cases[i].want);
        if (strstr(error.text, cases[i].sentence) == NULL)
            fail_msg("no '%s' in: %s", cases[i].sentence, error.text);
        assert_null(json);
        kube_script_stop(&script);
    }
}

static void test_lists_in_pages_and_starts_again_when_they_expire(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.expect = "limit=500&labelSelector=app%3Dx HTTP",
         .status = 200,
         .body = "{\"metadata\":{\"continue\":\"tok/"
                 "1\"},\"items\":[{\"metadata\":{\"name\":\"old\"}}]}"},
        {.expect = "continue=tok%2F1",
         .status = 410,
         .body = "{\"reason\":\"Expired\",\"message\":\"continue expired\"}"},
        {.expect = "limit=500&labelSelector=app%3Dx HTTP",
         .status = 200,
         .body = "{\"metadata\":{\"continue\":\"tok2\"},\"items\":[{\"metadata\":{\"name\":\"a\","
                 "\"managedFields\":[]}}]}"},
        {.expect = "continue=tok2",
         .status = 200,
         .body = "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[{\"metadata\":{\"name\":"
                 "\"b\"}}]}"}};
    struct kube_script script;
    AUTO(json_free) struct json *list = NULL;

    kube_script_start(&script, steps, COUNT(steps));
    assert_ok(kube_list(script.client, &kube_pods, NULL, "app=x", &list, NULL));
    assert_int_equal(json_size(json_get(list, "items")), 2);
    const struct json *first = json_item(json_get(list, "items"), 0);
    assert_string_equal(object_name(first), "a");
    assert_string_equal(json_string(json_get(first, "kind"), ""), "Pod");
    assert_null(json_at(first, "metadata.managedFields"));
    assert_string_equal(object_resource_version(list), "9");
    kube_script_stop(&script);
}

static void test_reads_a_rotated_token_after_a_401_and_repeats_the_call_once(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.expect = "Bearer one", .status = 200, .body = "{}"},
                                      {.expect = "Bearer one", .status = 401},
                                      {.expect = "Bearer two", .status = 200, .body = "{}"},
                                      {.expect = "Bearer two", .status = 401},
                                      {.expect = "Bearer two", .status = 401}};
    struct kube_script script;
    struct json *json = NULL;

    kube_script_start(&script, steps, COUNT(steps));
    assert_ok(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL));
    kube_script_token(&script, "two");
    assert_ok(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL));
    assert_int_equal(kube_get(script.client, &kube_pods, "x", "a", &json, NULL), ERR_AGAIN);
    assert_int_equal(http_script_requests(script.http), 5);
    kube_script_stop(&script);
}

static void test_waits_as_long_as_the_server_says_and_no_longer_than_the_deadline(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.status = 429, .headers = "Retry-After: 1\r\n"},
                                      {.status = 200, .body = "{}"},
                                      {.status = 503, .headers = "Retry-After: 100\r\n"},
                                      {.status = 503}};
    struct kube_script script;
    uint64_t begun = clock_mono_ms();

    kube_script_start(&script, steps, COUNT(steps));
    assert_ok(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL));
    assert_true(clock_mono_ms() - begun >= 1000);
    assert_int_equal(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL), ERR_AGAIN);
    assert_int_equal(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL), ERR_AGAIN);
    assert_int_equal(http_script_requests(script.http), 4);
    kube_script_stop(&script);
}

static void test_writes_as_the_api_asks_for(void **state)
{
    (void)state;
    const struct http_step ok = {.status = 200, .body = "{}"};
    const struct http_step steps[] = {ok, ok, ok, ok, ok, ok};
    struct kube_script script;
    AUTO(json_free) struct json *object = object_new(&kube_configmaps, "shop", "conf");

    kube_script_start(&script, steps, COUNT(steps));
    assert_ok(kube_apply(script.client, &kube_configmaps, object,
                         &(struct kube_apply){.field_manager = "surgetank", .force = true}, NULL,
                         NULL));
    assert_true(sent(&script, 0,
                     "PATCH /api/v1/namespaces/shop/configmaps/conf"
                     "?fieldManager=surgetank&force=true&fieldValidation=Strict HTTP"));
    assert_true(sent(&script, 0, "Content-Type: application/apply-patch+yaml\r\n"));
    assert_true(sent(&script, 0, "\"kind\":\"ConfigMap\""));

    assert_ok(kube_apply(
        script.client, &kube_configmaps, object,
        &(struct kube_apply){.field_manager = "m", .subresource = "status", .dry_run = true}, NULL,
        NULL));
    assert_true(sent(&script, 1,
                     "/configmaps/conf/status?fieldManager=m&force=false"
                     "&fieldValidation=Strict&dryRun=All HTTP"));

    assert_ok(kube_scale(script.client, &kube_deployments, "shop", "web", 0, "12", "m", NULL));
    assert_true(sent(&script, 2, "PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale?"));
    assert_true(sent(&script, 2,
                     "{\"metadata\":{\"resourceVersion\":\"12\"},"
                     "\"spec\":{\"replicas\":0}}"));

    assert_ok(kube_delete(script.client, &kube_pods, "shop", "web",
                          &(struct kube_delete){.uid = "u", .resource_version = "3"}, NULL));
    assert_true(sent(&script, 3, "DELETE /api/v1/namespaces/shop/pods/web HTTP"));
    assert_true(sent(&script, 3,
                     "\"propagationPolicy\":\"Background\",\"preconditions\":"
                     "{\"uid\":\"u\",\"resourceVersion\":\"3\"}"));

    assert_ok(kube_create(script.client, &kube_configmaps, object, NULL, NULL));
    assert_true(sent(&script, 4, "POST /api/v1/namespaces/shop/configmaps?fieldValidation"));
    assert_ok(kube_update(script.client, &kube_configmaps, object, NULL, NULL));
    assert_true(sent(&script, 5, "PUT /api/v1/namespaces/shop/configmaps/conf?"));
    kube_script_stop(&script);
}

static void test_refuses_names_that_would_leave_their_place(void **state)
{
    (void)state;
    struct kube_script script;
    static const char *const names[] = {"", ".", "..", "a/b", "../secrets/x", "a%2fb"};

    kube_script_start(&script, NULL, 0);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(kube_get(script.client, &kube_pods, "shop", names[i], NULL, NULL),
                         ERR_INVALID);
    assert_int_equal(kube_get(script.client, &kube_pods, NULL, "a", NULL, NULL), ERR_INVALID);
    assert_int_equal(http_script_requests(script.http), 0);
    kube_script_stop(&script);
}

static void *write_something(void *context)
{
    struct kube_script *script = context;
    AUTO(json_free) struct json *object = object_new(&kube_configmaps, "shop", "conf");
    enum err err = kube_update(script->client, &kube_configmaps, object, NULL, NULL);
    return err == ERR_CLOSED ? script : NULL;
}

static void test_stops_writing_at_once_and_goes_on_reading(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.end = HTTP_END_HOLD},
                                      {.expect = "GET ", .status = 200, .body = "{}"},
                                      {.expect = "PUT ", .status = 200, .body = "{}"},
                                      {.status = 429, .headers = "Retry-After: 20\r\n"}};
    struct kube_script script;
    pthread_t writer;
    void *closed = NULL;

    kube_script_start(&script, steps, COUNT(steps));
    assert_int_equal(pthread_create(&writer, NULL, write_something, &script), 0);
    assert_true(http_script_wait(script.http, 1));
    kube_client_allow_writes(script.client, false);
    pthread_join(writer, &closed);
    assert_non_null(closed);
    assert_non_null(write_something(&script));
    assert_ok(kube_get(script.client, &kube_pods, "x", "a", NULL, NULL));
    kube_client_allow_writes(script.client, true);
    assert_null(write_something(&script));

    assert_int_equal(pthread_create(&writer, NULL, write_something, &script), 0);
    assert_true(http_script_wait(script.http, 4)); /* it waits out Retry-After */
    uint64_t begun = clock_mono_ms();
    kube_client_allow_writes(script.client, false);
    pthread_join(writer, &closed);
    assert_true(clock_mono_ms() - begun < 15000);
    kube_script_stop(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gets_an_object_by_its_path),
        cmocka_unit_test(test_turns_each_answer_into_what_to_do),
        cmocka_unit_test(test_lists_in_pages_and_starts_again_when_they_expire),
        cmocka_unit_test(test_reads_a_rotated_token_after_a_401_and_repeats_the_call_once),
        cmocka_unit_test(test_waits_as_long_as_the_server_says_and_no_longer_than_the_deadline),
        cmocka_unit_test(test_writes_as_the_api_asks_for),
        cmocka_unit_test(test_refuses_names_that_would_leave_their_place),
        cmocka_unit_test(test_stops_writing_at_once_and_goes_on_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
