/* Promise: of a tracestate nothing changes but OpenTelemetry's threshold, within W3C's limits. */
#include "tests/support/test.h"

#include "sidecar/process/trace_state.h"

#include <stdio.h>

static void write(const char *text, uint64_t threshold, const char *want)
{
    AUTO(buf_fini) struct buf out = {0};
    struct trace_state state;

    assert_ok(buf_append_text(&out, "before"));
    assert_true(trace_state_read(bytes_from(text), &state));
    assert_ok(trace_state_write(&state, threshold, &out));
    assert_string_equal(buf_text(&out) + 6, want);
}

static void test_reads_what_is_there(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t threshold, randomness;
        bool has_threshold;
    } cases[] = {
        {"", TRACE_STATE_ABSENT, TRACE_STATE_ABSENT, false},
        {"ot=th:0", 0, TRACE_STATE_ABSENT, true},
        {"ot=th:fd70a", UINT64_C(0xfd70a000000000), TRACE_STATE_ABSENT, true},
        {"a=1 ,\tot=rv:0123456789ABcd;th:c ,b=2", UINT64_C(0xc0000000000000),
         UINT64_C(0x0123456789abcd), true},
        {"ot=th:", TRACE_STATE_ABSENT, TRACE_STATE_ABSENT, true},
        {"ot=th:123456789012345", TRACE_STATE_ABSENT, TRACE_STATE_ABSENT, true},
        {"ot=rv:123", TRACE_STATE_ABSENT, TRACE_STATE_ABSENT, false},
        {"ott=th:8,x@ot=th:8,a=ot=th:8", TRACE_STATE_ABSENT, TRACE_STATE_ABSENT, false},
    };
    struct trace_state read;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(trace_state_read(bytes_from(cases[i].text), &read));
        assert_true(read.threshold == cases[i].threshold);
        assert_true(read.randomness == cases[i].randomness);
        assert_int_equal(read.has_threshold, cases[i].has_threshold);
    }
    assert_false(trace_state_read(bytes_from("ot=a:1,ot=b:2"), &read));
    assert_false(trace_state_read(bytes_from("ot=rv:0123456789abcd ;a:1"), &read));
    assert_false(trace_state_read(bytes_from("ot=a:\xff"), &read));
}

static void test_writes_the_threshold_and_keeps_the_rest(void **state)
{
    (void)state;
    write("", 0, "ot=th:0");
    write("", UINT64_C(0xfd70a000000000), "ot=th:fd70a");
    write("", UINT64_C(0x00000000000001), "ot=th:00000000000001");
    write(" a=1 ,, ot=x:y;th:8;z:;rv:1,b=2\t", UINT64_C(0xc0000000000000),
          "ot=th:c;x:y;z:;rv:1,a=1,b=2");
    write("a=1,ot=th:8,b=2", TRACE_STATE_ABSENT, "a=1,b=2");
    write("ot=th:8", TRACE_STATE_ABSENT, "");
    write(",", TRACE_STATE_ABSENT, "");
}

static void test_makes_room_by_the_last_member_and_has_none_for_long_sub_keys(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = {0}, want = {0}, out = {0};
    struct trace_state read;

    assert_ok(buf_append_text(&want, "ot=th:8"));
    for (int i = 0; i < TRACE_STATE_MEMBERS_MAX; i++) {
        assert_ok(buf_printf(&text, "%sk%d=v", i > 0 ? "," : "", i));
        if (i < TRACE_STATE_MEMBERS_MAX - 1)
            assert_ok(buf_printf(&want, ",k%d=v", i));
    }
    write(buf_text(&text), UINT64_C(1) << 55, buf_text(&want));

    for (int len = 240; len < 270; len++) {
        buf_clear(&text);
        assert_ok(buf_printf(&text, "ot=x:%0*d", len - 2, 0));
        assert_true(trace_state_read(buf_bytes(&text), &read));
        enum err err = trace_state_write(&read, UINT64_C(1) << 55, &out);
        assert_int_equal(err, len + 5 <= TRACE_STATE_OT_MAX ? OK : ERR_INVALID); /* "th:8;" */
        assert_int_equal(out.len, err ? 0 : 3 + len + 5);
        buf_clear(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_is_there),
        cmocka_unit_test(test_writes_the_threshold_and_keeps_the_rest),
        cmocka_unit_test(test_makes_room_by_the_last_member_and_has_none_for_long_sub_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
