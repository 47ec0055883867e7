/* A deadline is an instant of the monotonic clock, and waiting ends there. */
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/cond.h"

#include <errno.h>

static void test_a_deadline_is_an_instant_of_the_monotonic_clock(void **state)
{
    (void)state;
    struct timespec at = cond_deadline(12999);
    assert_int_equal(at.tv_sec, 12);
    assert_int_equal(at.tv_nsec, 999000000);
}

static void test_carries_milliseconds_into_seconds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) { /* at whatever fraction of a second it is now */
        uint64_t before = clock_mono_ns();
        struct timespec at = cond_deadline_in(59970 + i);
        uint64_t after = clock_mono_ns();
        uint64_t ns = (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
        assert_in_range(at.tv_nsec, 0, 999999999);
        assert_in_range(ns - (59970 + i) * 1000000ull, before, after);
    }
}

static void test_waits_until_the_deadline_and_no_longer(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;

    cond_init(&cond);
    uint64_t before_ms = clock_mono_ms();
    struct timespec at = cond_deadline(before_ms + 30);
    pthread_mutex_lock(&lock);
    while (pthread_cond_timedwait(&cond, &lock, &at) != ETIMEDOUT)
        continue;
    pthread_mutex_unlock(&lock);
    assert_in_range(clock_mono_ms() - before_ms, 30, 20000);
    pthread_cond_destroy(&cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_deadline_is_an_instant_of_the_monotonic_clock),
        cmocka_unit_test(test_carries_milliseconds_into_seconds),
        cmocka_unit_test(test_waits_until_the_deadline_and_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
