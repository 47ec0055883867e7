/* gRPC's own encodings are read as the protocol says and as peers write them, and never trusted. */
#include "tests/support/test.h"

#include "common/base64.h"
#include "sidecar/net/grpc.h"

static void test_takes_exactly_one_whole_message(void **state)
{
    uint8_t body[] = {0, 0, 0, 0, 2, 'h', 'i', 'x'};
    struct bytes message;
    bool compressed = true;
    (void)state;
    assert_ok(grpc_unframe((struct bytes){body, 7}, &compressed, &message, NULL));
    assert_false(compressed);
    assert_true(bytes_equal(message, BYTES_LITERAL("hi")));
    body[0] = 1;
    assert_ok(grpc_unframe((struct bytes){body, 7}, &compressed, &message, NULL));
    assert_true(compressed);
    for (size_t len = 0; len < 7; len++)
        assert_int_equal(grpc_unframe((struct bytes){body, len}, &compressed, &message, NULL),
                         ERR_INVALID);
    assert_int_equal(grpc_unframe((struct bytes){body, 8}, &compressed, &message, NULL),
                     ERR_INVALID);
    body[0] = 2;
    assert_int_equal(grpc_unframe((struct bytes){body, 7}, &compressed, &message, NULL),
                     ERR_INVALID);
    body[0] = 0;
    body[1] = 0xff; /* 4 GiB announced */
    assert_int_equal(grpc_unframe((struct bytes){body, 7}, &compressed, &message, NULL),
                     ERR_INVALID);
}

static void test_writes_the_prefix_that_it_reads(void **state)
{
    uint8_t prefix[GRPC_PREFIX_SIZE];
    const uint8_t want[] = {1, 0x01, 0x02, 0x03, 0x04};
    (void)state;
    grpc_put_prefix(prefix, true, 0x01020304);
    assert_memory_equal(prefix, want, sizeof want);
}

static void test_knows_its_content_types(void **state)
{
    (void)state;
    assert_true(grpc_is_content_type(BYTES_LITERAL("application/grpc")));
    assert_true(grpc_is_content_type(BYTES_LITERAL("application/grpc+proto")));
    assert_true(grpc_is_content_type(BYTES_LITERAL("Application/gRPC; charset=utf-8")));
    assert_false(grpc_is_content_type(BYTES_LITERAL("application/grpc-web")));
    assert_false(grpc_is_content_type(BYTES_LITERAL("application/grp")));
    assert_false(grpc_is_content_type((struct bytes){0}));
}

static void encode_and_decode(struct bytes text, const char *want)
{
    AUTO(buf_fini) struct buf encoded = {0}, decoded = {0};
    assert_ok(grpc_percent_encode(text, &encoded));
    assert_string_equal(buf_text(&encoded), want);
    assert_ok(grpc_percent_decode(buf_bytes(&encoded), &decoded));
    assert_true(bytes_equal(buf_bytes(&decoded), text));
}

static void test_percent_encodes_what_a_header_cannot_hold(void **state)
{
    (void)state;
    encode_and_decode(BYTES_LITERAL("plain words, ~"), "plain words, ~");
    encode_and_decode(BYTES_LITERAL("100%\r\n\x7f"), "100%25%0D%0A%7F");
    encode_and_decode(BYTES_LITERAL("\xc3\xa9"), "%C3%A9");
    encode_and_decode((struct bytes){0}, "");
}

static void test_keeps_a_bad_escape_as_it_stands(void **state)
{
    AUTO(buf_fini) struct buf out = {0};
    (void)state;
    assert_ok(grpc_percent_decode(BYTES_LITERAL("%zz %4 %c3%A9 %"), &out));
    assert_string_equal(buf_text(&out), "%zz %4 \xc3\xa9 %");
}

static void test_reads_base64_with_and_without_padding(void **state)
{
    static const char *const pairs[][2] = {{"", ""},           {"f", "Zg"},
                                           {"fo", "Zm8"},      {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg"}, {"\xfb\xff", "+/8"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        AUTO(buf_fini) struct buf out = {0}, back = {0};
        struct bytes raw = {(const uint8_t *)pairs[i][0], strlen(pairs[i][0])};
        assert_ok(grpc_base64_encode(raw, &out));
        assert_string_equal(buf_text(&out), pairs[i][1]);
        while (out.len % 4 != 0)
            assert_ok(buf_append_byte(&out, '='));
        assert_ok(base64_decode(buf_bytes(&out), &back));
        assert_true(bytes_equal(buf_bytes(&back), raw));
    }
    AUTO(buf_fini) struct buf out = {0};
    assert_int_equal(base64_decode(BYTES_LITERAL("Zm9vY"), &out), ERR_INVALID);
    assert_int_equal(base64_decode(BYTES_LITERAL("Zm 9v"), &out), ERR_INVALID);
}

static void test_carries_a_delay_in_the_status(void **state)
{
    static const uint32_t delays[] = {1, 999, 1000, 1500, 30000, UINT32_MAX - 1};
    (void)state;
    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        AUTO(buf_fini) struct buf status = {0};
        uint32_t delay = 0;
        assert_ok(grpc_encode_status(GRPC_UNAVAILABLE, "busy", delays[i], &status));
        assert_ok(grpc_decode_retry_delay(buf_bytes(&status), &delay));
        assert_int_equal(delay, delays[i]);
    }
}

static void test_writes_the_status_that_protobuf_writes(void **state)
{
    static const char want[] = "\x08\x0e"
                               "\x12\x04"
                               "busy"
                               "\x1a\x30"
                               "\x0a\x28"
                               "type.googleapis.com/google.rpc.RetryInfo"
                               "\x12\x04"
                               "\x0a\x02"
                               "\x08\x1e";
    AUTO(buf_fini) struct buf status = {0}, plain = {0};
    uint32_t delay;
    (void)state;
    assert_ok(grpc_encode_status(GRPC_UNAVAILABLE, "busy", 30000, &status));
    assert_int_equal(status.len, sizeof want - 1);
    assert_memory_equal(status.data, want, sizeof want - 1);
    assert_ok(grpc_encode_status(GRPC_UNAVAILABLE, "busy", 0, &plain));
    assert_int_equal(plain.len, 8);
    assert_int_equal(grpc_decode_retry_delay(buf_bytes(&plain), &delay), ERR_NOTFOUND);
}

static void test_refuses_a_status_that_is_no_protobuf(void **state)
{
    AUTO(buf_fini) struct buf status = {0};
    uint32_t delay = 7;
    (void)state;
    assert_ok(grpc_encode_status(GRPC_UNAVAILABLE, "busy", 1500, &status));
    for (size_t len = 9; len < status.len; len++)
        assert_int_equal(grpc_decode_retry_delay((struct bytes){status.data, len}, &delay),
                         ERR_INVALID);
    assert_int_equal(grpc_decode_retry_delay(
                         BYTES_LITERAL("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), &delay),
                     ERR_INVALID);
    assert_int_equal(delay, 7);
}

static void test_bounds_a_delay_that_makes_no_sense(void **state)
{
    uint8_t status[] = "\x1a\x26"
                       "\x0a\x15"
                       "/google.rpc.RetryInfo"
                       "\x12\x0d"
                       "\x0a\x0b"
                       "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"; /* -1 seconds */
    const struct bytes view = {status, sizeof status - 1};
    uint32_t delay = 7;
    (void)state;
    assert_ok(grpc_decode_retry_delay(view, &delay));
    assert_int_equal(delay, 0);
    status[sizeof status - 2] = 0x00; /* 2^63-1 seconds */
    assert_ok(grpc_decode_retry_delay(view, &delay));
    assert_int_equal(delay, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_exactly_one_whole_message),
        cmocka_unit_test(test_writes_the_prefix_that_it_reads),
        cmocka_unit_test(test_knows_its_content_types),
        cmocka_unit_test(test_percent_encodes_what_a_header_cannot_hold),
        cmocka_unit_test(test_keeps_a_bad_escape_as_it_stands),
        cmocka_unit_test(test_reads_base64_with_and_without_padding),
        cmocka_unit_test(test_carries_a_delay_in_the_status),
        cmocka_unit_test(test_writes_the_status_that_protobuf_writes),
        cmocka_unit_test(test_refuses_a_status_that_is_no_protobuf),
        cmocka_unit_test(test_bounds_a_delay_that_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
