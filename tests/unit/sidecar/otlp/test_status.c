/* Answers are read and written as protobuf's own classes do it, in both encodings. */
// link: tests/support/golden.c
#include "sidecar/otlp/status.h"

#include "common/json.h"
#include "tests/support/golden.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

static size_t from_hex(const char *hex, uint8_t *to, size_t size)
{
    size_t len = 0;

    if (strcmp(hex, "-") == 0)
        return 0;
    for (; hex[0] != '\0'; hex += 2) {
        const char pair[] = {hex[0], hex[1], '\0'};
        assert_true(len < size);
        to[len++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return len;
}

static bool same_json(struct bytes a, struct bytes b)
{
    AUTO(json_free) struct json *one = NULL, *two = NULL;

    assert_ok(json_parse(a, 1 << 20, &one, NULL));
    assert_ok(json_parse(b, 1 << 20, &two, NULL));
    if (json_size(json_get(two, "details")) == 0) /* protobuf may write it empty, we do not */
        json_remove(two, "details");
    return json_equal(one, two);
}

static void check_status(struct bytes proto, struct bytes text)
{
    AUTO(buf_fini) struct buf proto_again = {0}, text_again = {0};
    struct otlp_status a = {0}, b = {0};

    assert_ok(otlp_status_decode(proto, OTLP_PROTO, &a, NULL));
    assert_ok(otlp_status_decode(text, OTLP_JSON, &b, NULL));
    assert_int_equal(a.code, b.code);
    assert_string_equal(a.message, b.message);
    assert_int_equal(a.has_retry_delay, b.has_retry_delay);
    assert_int_equal(a.retry_delay_ms, b.retry_delay_ms);
    assert_ok(otlp_status_encode(&a, OTLP_PROTO, &proto_again));
    assert_true(bytes_equal(buf_bytes(&proto_again), proto));
    assert_ok(otlp_status_encode(&a, OTLP_JSON, &text_again));
    assert_true(same_json(buf_bytes(&text_again), text));
}

static void check_response(enum signal signal, struct bytes proto, struct bytes text)
{
    AUTO(buf_fini) struct buf proto_again = {0}, text_again = {0};
    struct otlp_response a = {0}, b = {0};

    assert_ok(otlp_response_decode(signal, proto, OTLP_PROTO, &a, NULL));
    assert_ok(otlp_response_decode(signal, text, OTLP_JSON, &b, NULL));
    assert_int_equal(a.partial, proto.len > 0);
    assert_int_equal(a.partial, b.partial);
    assert_int_equal(a.rejected, b.rejected);
    assert_int_equal(a.rejected, proto.len > 0 ? 12345678901 : 0);
    assert_string_equal(a.message, b.message);
    assert_ok(otlp_response_encode(signal, &a, OTLP_PROTO, &proto_again));
    assert_true(bytes_equal(buf_bytes(&proto_again), proto));
    assert_ok(otlp_response_encode(signal, &a, OTLP_JSON, &text_again));
    assert_true(same_json(buf_bytes(&text_again), text));
}

static void test_agrees_with_protobuf(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = {0};
    unsigned checked = 0;

    assert_true(golden_read("tests/golden/otlp/answers.txt", &file));
    assert_non_null(buf_text(&file));
    char *line = (char *)file.data, *next;
    for (; *line != '\0'; line = next + 1, checked++) {
        char kind[16], hex[512];
        uint8_t proto[256];
        int used = 0;
        next = strchr(line, '\n');
        *next = '\0';
        assert_int_equal(sscanf(line, "%15s %511s %n", kind, hex, &used), 2);
        struct bytes bytes = {proto, from_hex(hex, proto, sizeof proto)};
        struct bytes text = {(const uint8_t *)line + used, strlen(line + used)};
        if (strcmp(kind, "status") == 0)
            check_status(bytes, text);
        for (unsigned signal = 0; signal < SIGNAL_COUNT; signal++) {
            if (strcmp(kind, signal_name(signal)) == 0)
                check_response(signal, bytes, text);
        }
    }
    assert_int_equal(checked, 12);
}

static void test_takes_an_empty_body_for_success(void **state)
{
    (void)state;
    for (unsigned encoding = OTLP_PROTO; encoding <= OTLP_JSON; encoding++) {
        struct otlp_response response = {.partial = true};
        struct otlp_status status = {.code = 9};
        assert_ok(otlp_response_decode(SIGNAL_LOGS, (struct bytes){0}, encoding, &response, NULL));
        assert_false(response.partial);
        assert_ok(otlp_status_decode((struct bytes){0}, encoding, &status, NULL));
        assert_int_equal(status.code, 0);
    }
}

static void test_reads_odd_delays(void **state)
{
    (void)state;
    static const struct {
        const char *delay;
        uint64_t ms;
    } cases[] = {
        {"1s", 1000},
        {"0.0015s", 1},
        {"1.123456789s", 1123},
        {"-1s", 0},
        {"1", 0},
        {"", 0},
        {"x", 0},
        {"99999999999999999999s", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[200];
        struct otlp_status status = {0};
        snprintf(text, sizeof text,
                 "{\"details\":[{\"@type\":\"x\"},5,{\"@type\":\"my.own/google.rpc.RetryInfo\","
                 "\"retryDelay\":\"%s\"}]}",
                 cases[i].delay);
        struct bytes body = {(const uint8_t *)text, strlen(text)};
        assert_ok(otlp_status_decode(body, OTLP_JSON, &status, NULL));
        assert_true(status.has_retry_delay);
        assert_true(status.retry_delay_ms == cases[i].ms);
    }
}

static void test_refuses_what_is_no_answer(void **state)
{
    (void)state;
    const struct bytes html = BYTES_LITERAL("<html>"), list = BYTES_LITERAL("[]"),
                       cut = BYTES_LITERAL("\x12\x05x"), cut2 = BYTES_LITERAL("\x0a\x02\x08");
    struct otlp_status status = {.code = 7};
    struct otlp_response response = {.rejected = 7};
    struct error error = {0};

    assert_int_equal(otlp_status_decode(html, OTLP_JSON, &status, &error), ERR_INVALID);
    assert_string_equal(error.text, "the answer's body is not JSON");
    assert_int_equal(otlp_status_decode(list, OTLP_JSON, &status, &error), ERR_INVALID);
    assert_int_equal(otlp_status_decode(cut, OTLP_PROTO, &status, &error), ERR_INVALID);
    assert_int_equal(otlp_response_decode(SIGNAL_LOGS, list, OTLP_JSON, &response, &error),
                     ERR_INVALID);
    assert_int_equal(otlp_response_decode(SIGNAL_LOGS, cut2, OTLP_PROTO, &response, &error),
                     ERR_INVALID);
    assert_int_equal(status.code, 7);
    assert_int_equal(response.rejected, 7);
}

static void test_cuts_and_mends_messages(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf proto = {0};
    struct otlp_status status = {.code = 3}, again = {0};
    uint8_t body[2000] = {0x12, 0xcd, 0x0f}; /* 1997 bytes: a two-byte character, over and over */

    for (size_t i = 3; i < sizeof body; i++)
        body[i] = i % 2 != 0 ? 0xc3 : 0xbc;
    assert_ok(otlp_status_decode((struct bytes){body, sizeof body}, OTLP_PROTO, &status, NULL));
    assert_in_range(strlen(status.message), OTLP_MESSAGE_MAX - 8, OTLP_MESSAGE_MAX - 1);
    assert_int_equal(strlen(status.message) % 2, 0);

    memcpy(status.message,
           "a\xff"
           "b",
           4);
    assert_ok(otlp_status_encode(&status, OTLP_PROTO, &proto));
    assert_ok(otlp_status_decode(buf_bytes(&proto), OTLP_PROTO, &again, NULL));
    assert_string_equal(again.message, "a\xef\xbf\xbd"
                                       "b");
}

static void test_knows_content_types(void **state)
{
    (void)state;
    enum otlp_encoding encoding = OTLP_PROTO;

    assert_true(otlp_encoding_of(BYTES_LITERAL("application/json"), &encoding));
    assert_int_equal(encoding, OTLP_JSON);
    assert_true(otlp_encoding_of(BYTES_LITERAL("Application/X-Protobuf ; a=b"), &encoding));
    assert_int_equal(encoding, OTLP_PROTO);
    assert_false(otlp_encoding_of(BYTES_LITERAL("text/plain"), &encoding));
    assert_false(otlp_encoding_of(BYTES_LITERAL("application/jsonx"), &encoding));
    assert_false(otlp_encoding_of((struct bytes){0}, &encoding));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_protobuf),
        cmocka_unit_test(test_takes_an_empty_body_for_success),
        cmocka_unit_test(test_reads_odd_delays),
        cmocka_unit_test(test_refuses_what_is_no_answer),
        cmocka_unit_test(test_cuts_and_mends_messages),
        cmocka_unit_test(test_knows_content_types),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
