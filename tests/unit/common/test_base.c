/* The small things that everything stands on: growing buffers, arenas, numbers, delays, errors. */
#include "tests/support/test.h"

#include "common/arena.h"
#include "common/backoff.h"
#include "common/buf.h"
#include "common/num.h"

static void test_buffer_grows_up_to_its_cap_and_keeps_its_contents(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf buf = {.max = 10};

    assert_ok(buf_append_text(&buf, "12345"));
    assert_ok(buf_printf(&buf, "%d", 678));
    assert_int_equal(buf_append_text(&buf, "9ab"), ERR_FULL);
    assert_string_equal(buf_text(&buf), "12345678");
    buf_consume(&buf, 3);
    assert_string_equal(buf_text(&buf), "45678");
    assert_int_equal(buf_reserve(&buf, SIZE_MAX), ERR_NOMEM);
}

static void test_arena_is_aligned_bounded_and_reusable(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {.max = 100000};

    for (size_t size = 0; size < 300; size++) {
        uint8_t *at = arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 16, 0);
        memset(at, 1, size);
    }
    assert_null(arena_alloc(&arena, 100000));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 99984));
    assert_null(arena_alloc(&arena, 17));
    arena_reset(&arena);
    assert_string_equal(arena_printf(&arena, "%s-%d", "a", 7), "a-7");
}

static void test_numbers_are_read_strictly(void **state)
{
    (void)state;
    uint64_t value = 77;
    uint16_t port = 0;
    char host[16];

    assert_true(num_parse_u64("0", 0, &value));
    assert_int_equal(value, 0);
    assert_true(num_parse_u64("18446744073709551615", UINT64_MAX, &value));
    assert_false(num_parse_u64("18446744073709551616", UINT64_MAX, &value));
    assert_false(num_parse_u64("", 9, &value));
    assert_false(num_parse_u64("1 ", 9, &value));
    assert_false(num_parse_u64("+1", 9, &value));
    assert_false(num_parse_u64("10", 9, &value));
    assert_true(num_parse_address("127.0.0.1:80", host, sizeof host, &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 80);
    assert_true(num_parse_address("[::1]:81", host, sizeof host, &port));
    assert_string_equal(host, "::1");
    assert_true(num_parse_address(":82", host, sizeof host, &port));
    assert_string_equal(host, "");
    assert_false(num_parse_address("::1:81", host, sizeof host, &port));
    assert_false(num_parse_address("host", host, sizeof host, &port));
    assert_false(num_parse_address("host:65536", host, sizeof host, &port));
    assert_false(num_parse_address("a-name-that-is-too-long:1", host, sizeof host, &port));
}

static void test_delay_doubles_up_to_its_maximum_within_its_jitter(void **state)
{
    (void)state;
    const struct backoff plain = {.initial_ms = 100, .max_ms = 1000, .multiplier_percent = 200};
    struct backoff spread = plain;

    spread.jitter_percent = 50;
    assert_int_equal(backoff_delay_ms(&plain, 1, 1), 100);
    assert_int_equal(backoff_delay_ms(&plain, 2, 1), 200);
    assert_int_equal(backoff_delay_ms(&plain, 5, 1), 1000);
    assert_int_equal(backoff_delay_ms(&plain, UINT32_MAX, 1), 1000);
    assert_int_equal(backoff_delay_ms(&spread, 1, 0), 50);
    assert_int_equal(backoff_delay_ms(&spread, 1, UINT32_MAX), 150);
}

static void test_errors_gain_context_on_the_way_up(void **state)
{
    (void)state;
    struct error error = {0};

    assert_int_equal(error_set(&error, ERR_FULL, "spool '%s' is full", "a"), ERR_FULL);
    assert_int_equal(error_prefix(&error, ERR_FULL, "append"), ERR_FULL);
    assert_string_equal(error.text, "append: spool 'a' is full");
    assert_int_equal(error_set(NULL, ERR_IO, "nobody looks"), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_grows_up_to_its_cap_and_keeps_its_contents),
        cmocka_unit_test(test_arena_is_aligned_bounded_and_reusable),
        cmocka_unit_test(test_numbers_are_read_strictly),
        cmocka_unit_test(test_delay_doubles_up_to_its_maximum_within_its_jitter),
        cmocka_unit_test(test_errors_gain_context_on_the_way_up),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
