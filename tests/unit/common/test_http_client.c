/* Every accepted request ends exactly once, with the code that the header promises, whatever the
 * peer does; and nothing the caller didn't ask for is sent. */
#include "tests/support/test.h"

#include "common/http_client.h"
#include "tests/support/http_script.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

// link: tests/support/http_script.c

static struct http_client *new_client(void)
{
    struct http_client *client = NULL;
    assert_ok(http_client_create(&(struct http_client_config){.name = "test"}, &client, NULL));
    return client;
}

struct waiter {
    pthread_mutex_t lock; /* guards done */
    pthread_cond_t changed;
    bool done;
    enum err err;
    int status;
    struct buf *body;
    struct error *error;
};

static void on_fetched(void *context, enum err err, const struct http_response *response,
                       const struct error *error)
{
    struct waiter *waiter = context;

    if (!err) {
        waiter->status = http_response_status(response);
        err = buf_append(waiter->body, http_response_body(response));
        if (err)
            error_set(waiter->error, err, "answer of %zu bytes", http_response_body(response).len);
    } else if (waiter->error != NULL) {
        *waiter->error = *error;
    }
    pthread_mutex_lock(&waiter->lock);
    waiter->err = err;
    waiter->done = true;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

/* One request, waited for. */
static enum err fetch(struct http_client *client, struct http_request *request, int *ret_status,
                      struct buf *ret_body, struct error *error)
{
    struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER,
                            .changed = PTHREAD_COND_INITIALIZER,
                            .body = ret_body,
                            .error = error};

    if (request->method == NULL)
        request->method = "GET";
    request->on_done = on_fetched;
    request->context = &waiter;
    if (request->response_max == 0)
        request->response_max = ret_body->max;
    enum err err = http_submit(client, request, NULL, error);
    if (err)
        return err;

    pthread_mutex_lock(&waiter.lock);
    while (!waiter.done)
        pthread_cond_wait(&waiter.changed, &waiter.lock);
    pthread_mutex_unlock(&waiter.lock);
    if (!waiter.err)
        *ret_status = waiter.status;
    return waiter.err;
}

/* What the asynchronous callbacks saw. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_client *client;
    int done, pieces;
    uint64_t id;
    enum err err, stop_with;
    bool cancel_inside;
    struct buf body;
    struct error error;
};

static enum err on_piece(void *context, struct bytes piece)
{
    struct seen *seen = context;
    seen->pieces++;
    assert_ok(buf_append(&seen->body, piece));
    if (seen->cancel_inside)
        http_cancel(seen->client, seen->id);
    return seen->stop_with;
}

static void on_done(void *context, enum err err, const struct http_response *response,
                    const struct error *error)
{
    struct seen *seen = context;
    pthread_mutex_lock(&seen->lock);
    assert_true((response != NULL) == (err == OK));
    seen->done++;
    seen->err = err;
    seen->error = *error;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void wait_done(struct seen *seen, int count)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->done < count)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
}

#define SEEN                                                                   \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static void test_sends_what_was_asked_and_nothing_else(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.status = 200, .body = "hello"}, {.status = 404}};
    struct http_script *script = http_script_start(steps, 2);
    struct http_client *client = new_client();
    AUTO(buf_fini) struct buf body = {0};
    const struct http_header headers[] = {{"X-One", "1"}, {"X-Empty", ""}};
    int status = 0;

    setenv("http_proxy", "http://127.0.0.1:1", 1); /* must not be used */
    struct http_request request = {.method = "PATCH",
                                   .url = http_script_url(script),
                                   .headers = headers,
                                   .header_count = 2,
                                   .bearer_token = "secret",
                                   .body = BYTES_LITERAL("{}")};
    assert_ok(fetch(client, &request, &status, &body, NULL));
    assert_int_equal(status, 200);
    assert_string_equal(buf_text(&body), "hello");

    const char *sent = http_script_request(script, 0);
    assert_ptr_equal(strstr(sent, "PATCH / HTTP/1.1\r\n"), sent);
    assert_non_null(strstr(sent, "X-One: 1\r\n"));
    assert_non_null(strstr(sent, "X-Empty:\r\n"));
    assert_non_null(strstr(sent, "Authorization: Bearer secret\r\n"));
    assert_null(strstr(sent, "Expect"));
    assert_null(strstr(sent, "Content-Type"));
    assert_non_null(strstr(sent, "\r\n\r\n{}"));

    request = (struct http_request){.url = http_script_url(script)};
    assert_ok(fetch(client, &request, &status, &body, NULL));
    assert_int_equal(status, 404);
    assert_int_equal(http_script_connections(script), 1); /* kept alive */
    unsetenv("http_proxy");
    http_client_destroy(&client);
    http_script_stop(&script);
}

static void test_refuses_what_would_break_out_of_a_header_or_carry_a_password(void **state)
{
    (void)state;
    struct http_client *client = new_client();
    struct error error = {0};
    const struct http_header bad[] = {
        {"X-A", "1\r\nX-B: 2"}, {"X A", "1"}, {"", "1"}, {"X-A", "1\n"}};
    AUTO(buf_fini) struct buf body = {0};
    int status = 0;

    for (size_t i = 0; i < 4; i++) {
        struct http_request request = {
            .url = "http://127.0.0.1:1/", .headers = &bad[i], .header_count = 1};
        assert_int_equal(fetch(client, &request, &status, &body, &error), ERR_INVALID);
    }
    struct http_request token = {.url = "http://127.0.0.1:1/", .bearer_token = "a\r\nb"};
    assert_int_equal(fetch(client, &token, &status, &body, &error), ERR_INVALID);
    assert_null(strstr(error.text, "a\r"));

    const char *urls[] = {"ftp://h/", "file:///etc/passwd", "nonsense", "http://u:pw@h/", ""};
    for (size_t i = 0; i < 5; i++) {
        struct http_request request = {.url = urls[i]};
        assert_int_equal(fetch(client, &request, &status, &body, &error), ERR_INVALID);
        assert_null(strstr(error.text, "pw"));
    }
    http_client_destroy(&client);
}

static void test_says_again_when_nobody_answers_or_the_answer_is_cut_anywhere(void **state)
{
    (void)state;
    struct http_client *client = new_client();
    struct error error = {0};
    AUTO(buf_fini) struct buf body = {0};
    int status = 0;

    struct http_request nobody = {.url = "http://127.0.0.1:1/path?secret=1"};
    assert_int_equal(fetch(client, &nobody, &status, &body, &error), ERR_AGAIN);
    assert_non_null(strstr(error.text, "http://127.0.0.1:1/path"));
    assert_null(strstr(error.text, "secret"));

    for (size_t cut = 1; cut < 5; cut++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            const struct http_step steps[] = {{.status = 200,
                                               .body = "hello",
                                               .cut = cut,
                                               .chunked = chunked == 1,
                                               .end = HTTP_END_CUT}};
            struct http_script *script = http_script_start(steps, 1);
            struct http_request request = {.url = http_script_url(script)};
            assert_int_equal(fetch(client, &request, &status, &body, &error), ERR_AGAIN);
            http_script_stop(&script);
        }
    }
    http_client_destroy(&client);
}

static void test_bounds_what_the_peer_can_make_it_hold(void **state)
{
    (void)state;
    char *headers = calloc(1, 100000);
    for (int i = 0; i < 900; i++)
        strncat(headers,
                "X-Long-Header-Of-Around-A-Hundred-Bytes: "
                "0123456789012345678901234567890123456789012345678\r\n",
                99);
    const struct http_step steps[] = {{.status = 200, .body = "0123456789", .chunked = true},
                                      {.status = 200, .body = "x", .headers = headers}};
    struct http_script *script = http_script_start(steps, 2);
    struct http_client *client = new_client();
    AUTO(buf_fini) struct buf body = {.max = 9};
    struct error error = {0};
    int status = 0;

    struct http_request request = {.url = http_script_url(script)};
    assert_int_equal(fetch(client, &request, &status, &body, &error), ERR_FULL);
    assert_int_equal(fetch(client, &request, &status, &body, &error), ERR_FULL);
    http_client_destroy(&client);
    http_script_stop(&script);
    free(headers);
}

static void test_follows_no_redirect(void **state)
{
    (void)state;
    const struct http_step steps[] = {{.status = 302, .headers = "Location: /other\r\n"}};
    struct http_script *script = http_script_start(steps, 1);
    struct http_client *client = new_client();
    AUTO(buf_fini) struct buf body = {0};
    int status = 0;

    struct http_request request = {.url = http_script_url(script), .bearer_token = "secret"};
    assert_ok(fetch(client, &request, &status, &body, NULL));
    assert_int_equal(status, 302);
    assert_int_equal(http_script_requests(script), 1);
    http_client_destroy(&client);
    http_script_stop(&script);
}

static void test_gives_up_on_a_peer_that_falls_silent(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 200, .body = "some, then nothing", .cut = 4, .end = HTTP_END_HOLD},
        {.end = HTTP_END_HOLD},
        {.status = 200, .body = "123456789012", .piece = 1, .delay_ms = 100}};
    struct http_script *script = http_script_start(steps, 3);
    struct http_client *client = new_client();
    AUTO(buf_fini) struct buf body = {0};
    struct error error = {0};
    int status = 0;

    struct http_request idle = {.url = http_script_url(script), .idle_timeout_ms = 800};
    assert_int_equal(fetch(client, &idle, &status, &body, &error), ERR_AGAIN);
    assert_non_null(strstr(error.text, "nothing was received"));

    struct http_request total = {.url = http_script_url(script), .total_timeout_ms = 100};
    assert_int_equal(fetch(client, &total, &status, &body, &error), ERR_AGAIN);

    assert_ok(fetch(client, &idle, &status, &body, &error)); /* slow, but alive */
    assert_string_equal(buf_text(&body), "123456789012");
    http_client_destroy(&client);
    http_script_stop(&script);
}

static void test_streams_a_good_body_and_gathers_a_bad_one(void **state)
{
    (void)state;
    const struct http_step steps[] = {
        {.status = 200, .body = "abcdef", .chunked = true, .piece = 1},
        {.status = 410, .body = "gone"},
        {.status = 200, .body = "abcdef", .chunked = true, .piece = 1, .end = HTTP_END_HOLD}};
    struct http_script *script = http_script_start(steps, 3);
    struct seen seen = SEEN;
    struct http_client *client = new_client();
    struct http_request request = {.method = "GET",
                                   .url = http_script_url(script),
                                   .on_body = on_piece,
                                   .on_done = on_done,
                                   .context = &seen};

    assert_ok(http_submit(client, &request, NULL, NULL));
    wait_done(&seen, 1);
    assert_int_equal(seen.err, OK);
    assert_string_equal(buf_text(&seen.body), "abcdef");

    assert_ok(http_submit(client, &request, NULL, NULL));
    wait_done(&seen, 2);
    assert_int_equal(seen.err, OK);
    assert_int_equal(seen.body.len, 6); /* nothing streamed */

    seen.stop_with = ERR_CORRUPT;
    assert_ok(http_submit(client, &request, NULL, NULL));
    wait_done(&seen, 3);
    assert_int_equal(seen.err, ERR_CORRUPT);
    buf_fini(&seen.body);
    http_client_destroy(&client);
    http_script_stop(&script);
}

static void test_ends_every_request_once_when_cancelled_or_destroyed(void **state)
{
    (void)state;
    const struct http_step hold = {
        .status = 200, .body = "x", .chunked = true, .end = HTTP_END_HOLD};
    const struct http_step steps[] = {hold, hold, hold, hold};
    struct http_script *script = http_script_start(steps, 4);
    struct seen seen = SEEN;
    struct http_client *client = new_client();
    struct http_request request = {.method = "GET",
                                   .url = http_script_url(script),
                                   .on_body = on_piece,
                                   .on_done = on_done,
                                   .context = &seen};

    seen.client = client;
    assert_ok(http_submit(client, &request, &seen.id, NULL));
    assert_true(http_script_wait(script, 1));
    http_cancel(client, seen.id);
    wait_done(&seen, 1);
    assert_int_equal(seen.err, ERR_CLOSED);
    http_cancel(client, seen.id); /* again: nothing */
    http_cancel(client, 12345);

    seen.cancel_inside = true;
    assert_ok(http_submit(client, &request, &seen.id, NULL));
    wait_done(&seen, 2);
    assert_int_equal(seen.err, ERR_CLOSED);
    seen.cancel_inside = false;

    assert_ok(http_submit(client, &request, NULL, NULL));
    assert_ok(http_submit(client, &request, NULL, NULL));
    http_client_destroy(&client);
    assert_int_equal(seen.done, 4);
    assert_int_equal(seen.err, ERR_CLOSED);
    buf_fini(&seen.body);
    http_script_stop(&script);
}

struct tick {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_client *client;
    char order[8];
    int count;
};

static void tick(void *context)
{
    struct tick *ticks = *(struct tick **)context;
    pthread_mutex_lock(&ticks->lock);
    ticks->order[ticks->count++] = *((char *)context + sizeof ticks);
    pthread_cond_broadcast(&ticks->changed);
    pthread_mutex_unlock(&ticks->lock);
}

static void test_calls_timers_in_order_and_not_those_cancelled(void **state)
{
    (void)state;
    struct http_client *client = new_client();
    struct tick ticks = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct named {
        struct tick *ticks;
        char name;
    } a = {&ticks, 'a'}, b = {&ticks, 'b'}, c = {&ticks, 'c'}, never = {&ticks, 'x'};
    uint64_t id = 0;

    assert_ok(http_call_after(client, 60, tick, &c, NULL, NULL));
    assert_ok(http_call_after(client, 30, tick, &never, &id, NULL));
    assert_ok(http_call_after(client, 5, tick, &a, NULL, NULL));
    assert_ok(http_call_after(client, 20, tick, &b, NULL, NULL));
    http_cancel(client, id);
    pthread_mutex_lock(&ticks.lock);
    while (ticks.count < 3)
        pthread_cond_wait(&ticks.changed, &ticks.lock);
    pthread_mutex_unlock(&ticks.lock);
    assert_string_equal(ticks.order, "abc");

    assert_ok(http_call_after(client, 10000, tick, &never, NULL, NULL)); /* freed, not called */
    http_client_destroy(&client);
    assert_int_equal(ticks.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends_what_was_asked_and_nothing_else),
        cmocka_unit_test(test_refuses_what_would_break_out_of_a_header_or_carry_a_password),
        cmocka_unit_test(test_says_again_when_nobody_answers_or_the_answer_is_cut_anywhere),
        cmocka_unit_test(test_bounds_what_the_peer_can_make_it_hold),
        cmocka_unit_test(test_follows_no_redirect),
        cmocka_unit_test(test_gives_up_on_a_peer_that_falls_silent),
        cmocka_unit_test(test_streams_a_good_body_and_gathers_a_bad_one),
        cmocka_unit_test(test_ends_every_request_once_when_cancelled_or_destroyed),
        cmocka_unit_test(test_calls_timers_in_order_and_not_those_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
