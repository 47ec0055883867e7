/* However the bytes are cut, the same events come out; nothing else does. */
#include "tests/support/test.h"

#include "common/kube/object.h"
#include "common/kube/stream.h"

#include <stdio.h>
#include <stdlib.h>

struct seen {
    char text[512];
    size_t count;
    enum err answer;
};

static enum err on_event(void *context, enum watch_event_type type, struct json *object,
                         struct error *error)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);
    snprintf(seen->text + used, sizeof seen->text - used, "%d:%s ", (int)type, object_name(object));
    seen->count++;
    return seen->answer ? error_set(error, seen->answer, "enough") : OK;
}

static const char stream_text[] =
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
    "\r\n"
    "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"b\\n\"}}}\r\n"
    "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"c\"}}}\n"
    "{\"type\":\"BOOKMARK\",\"object\":{}}\n"
    "{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n"
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"unfinished\"}}}";
#define WANT "0:a 1:b\n 2:c 3: 4: "

static void test_gives_the_same_events_for_every_cut(void **state)
{
    (void)state;
    size_t len = sizeof stream_text - 1;

    for (size_t first = 0; first <= len; first++) {
        for (size_t second = first; second <= len; second += 7) {
            AUTO(watch_stream_fini) struct watch_stream stream = {0};
            struct seen seen = {0};
            const uint8_t *data = (const uint8_t *)stream_text;
            assert_ok(
                watch_stream_feed(&stream, (struct bytes){data, first}, on_event, &seen, NULL));
            assert_ok(watch_stream_feed(&stream, (struct bytes){data + first, second - first},
                                        on_event, &seen, NULL));
            assert_ok(watch_stream_feed(&stream, (struct bytes){data + second, len - second},
                                        on_event, &seen, NULL));
            assert_string_equal(seen.text, WANT);
        }
    }
}

static void test_is_dead_after_anything_that_is_no_event(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "not json\n",
        "{\"type\":\"ADDED\"}\n",
        "{\"type\":\"ADDED\",\"object\":[]}\n",
        "{\"type\":\"RENAMED\",\"object\":{}}\n",
        "{\"object\":{}}\n",
        "[]\n",
        "{\"type\":\"ADDED\",\"object\":{}} {}\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        AUTO(watch_stream_fini) struct watch_stream stream = {0};
        struct seen seen = {0};
        struct bytes text = {(const uint8_t *)bad[i], strlen(bad[i])};
        assert_int_equal(watch_stream_feed(&stream, text, on_event, &seen, NULL), ERR_INVALID);
        assert_int_equal(watch_stream_feed(&stream, text, on_event, &seen, NULL), ERR_CLOSED);
        assert_int_equal(seen.count, 0);
        watch_stream_reset(&stream);
        assert_int_equal(watch_stream_feed(&stream, text, on_event, &seen, NULL), ERR_INVALID);
    }
}

static void test_stops_where_the_reader_says(void **state)
{
    (void)state;
    AUTO(watch_stream_fini) struct watch_stream stream = {0};
    struct seen seen = {.answer = ERR_AGAIN};
    struct error error = {0};
    struct bytes text = {(const uint8_t *)stream_text, sizeof stream_text - 1};

    assert_int_equal(watch_stream_feed(&stream, text, on_event, &seen, &error), ERR_AGAIN);
    assert_string_equal(error.text, "enough");
    assert_int_equal(seen.count, 1);
}

static void test_bounds_an_event_without_an_end(void **state)
{
    (void)state;
    AUTO(watch_stream_fini) struct watch_stream stream = {0};
    struct seen seen = {0};
    enum { PIECE = 1 << 20 };
    uint8_t *data = malloc(PIECE);
    enum err err = OK;
    size_t fed = 0;

    memset(data, ' ', PIECE);
    while (!err && fed <= WATCH_LINE_MAX) {
        err = watch_stream_feed(&stream, (struct bytes){data, PIECE}, on_event, &seen, NULL);
        fed += PIECE;
    }
    assert_int_equal(err, ERR_INVALID);
    assert_true(stream.line.cap <= 2 * WATCH_LINE_MAX);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gives_the_same_events_for_every_cut),
        cmocka_unit_test(test_is_dead_after_anything_that_is_no_event),
        cmocka_unit_test(test_stops_where_the_reader_says),
        cmocka_unit_test(test_bounds_an_event_without_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
