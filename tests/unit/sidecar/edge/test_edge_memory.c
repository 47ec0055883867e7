/* The shares leave room for each other, and for the largest request, whatever the limits are. */
#include "tests/support/test.h"

#include "sidecar/edge/edge_memory.h"

enum { MIB = 1 << 20 };

static struct edge_memory shares(int64_t limit, int64_t grpc_max, int64_t http_max)
{
    const struct pipeline_edge edge = {
        .memory_limit_bytes = limit,
        .otlp = {.grpc_max_request_bytes = grpc_max, .http_max_request_bytes = http_max}};
    return edge_memory_of(&edge);
}

static void test_all_shares_together_are_half_of_the_limit(void **state)
{
    (void)state;
    for (int64_t limit = 64 * (int64_t)MIB; limit <= 4096 * (int64_t)MIB; limit *= 2) {
        struct edge_memory m = shares(limit, MIB, MIB);
        assert_true(m.bodies + m.pending + 3 * m.in_flight + m.overhead <= (size_t)limit / 2);
        assert_true(m.bodies > 0 && m.pending > 0 && m.in_flight > 0);
    }
}

static void test_the_largest_request_can_be_worked_on_whatever_the_limit(void **state)
{
    (void)state;
    assert_true(shares(64 * MIB, 16 * MIB, MIB).scratch >= 20 * MIB);
    assert_true(shares(64 * MIB, MIB, 32 * MIB).scratch >= 40 * MIB);
    assert_int_equal(shares(128 * MIB, MIB, MIB).scratch, 20 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_shares_together_are_half_of_the_limit),
        cmocka_unit_test(test_the_largest_request_can_be_worked_on_whatever_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
