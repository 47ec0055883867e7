/* The loop calls what it was asked to call, once, in order, in its own thread. */
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/net/net_loop.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { TIMERS = 500, THREADS = 4, POSTS = 2000 };

static struct net_loop *loop;

static int set_up(void **state)
{
    (void)state;
    assert_ok(net_loop_create(&loop, NULL));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    net_loop_destroy(&loop);
    return 0;
}

/* ---- timers */

struct timed {
    struct net_timer timer;
    bool fired;
};

static struct timed timed[TIMERS];
static unsigned fired;
static uint64_t last_at_ms;

static void on_timer(struct net_timer *timer)
{
    struct timed *self = CONTAINER_OF(timer, struct timed, timer);
    assert_false(self->fired);
    assert_false(timer->armed);
    assert_true(timer->at_ms >= last_at_ms);
    assert_true(timer->at_ms <= clock_mono_ms());
    last_at_ms = timer->at_ms;
    self->fired = true;
    fired++;
}

static void test_fires_timers_in_order_of_time_whatever_was_moved_or_cancelled(void **state)
{
    bool wanted[TIMERS] = {false};
    uint64_t begin = clock_mono_ms();
    (void)state;
    fired = 0;
    last_at_ms = 0;
    srand(1);
    for (int i = 0; i < TIMERS; i++) {
        timed[i] = (struct timed){.timer.fire = on_timer};
        net_timer_set(loop, &timed[i].timer, begin + (uint64_t)rand() % 50);
        wanted[i] = true;
    }
    for (int n = 0; n < 3 * TIMERS; n++) {
        int i = rand() % TIMERS;
        wanted[i] = rand() % 3 != 0;
        if (wanted[i])
            net_timer_set(loop, &timed[i].timer, begin + (uint64_t)rand() % 50);
        else
            net_timer_cancel(loop, &timed[i].timer);
    }
    while (clock_mono_ms() < begin + 60)
        net_loop_run_once(loop, 10);
    net_loop_run_once(loop, 0); /* for whoever slept all that time */
    unsigned count = 0;
    for (int i = 0; i < TIMERS; i++) {
        assert_int_equal(timed[i].fired, wanted[i]);
        count += wanted[i];
    }
    assert_int_equal(fired, count);
}

static void test_waits_no_longer_than_the_first_timer(void **state)
{
    uint64_t begin = clock_mono_ms();
    (void)state;
    fired = 0;
    last_at_ms = 0;
    timed[0] = (struct timed){.timer.fire = on_timer};
    net_timer_set(loop, &timed[0].timer, begin + 20);
    while (fired == 0)
        net_loop_run_once(loop, 60000);
    assert_in_range(clock_mono_ms() - begin, 20, 50000);
}

/* ---- tasks */

struct counted {
    struct net_task task;
    unsigned thread, number;
};

static unsigned next_of[THREADS], ran;
static pthread_t loop_thread;

static void on_task(struct net_task *task)
{
    struct counted *self = CONTAINER_OF(task, struct counted, task);
    assert_true(pthread_equal(pthread_self(), loop_thread));
    assert_int_equal(self->number, next_of[self->thread]++);
    if (++ran == THREADS * POSTS)
        net_loop_stop(loop);
    free(self);
}

static void *post_many(void *arg)
{
    unsigned thread = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < POSTS; i++) {
        struct counted *made = calloc(1, sizeof *made);
        made->task.run = on_task;
        made->thread = thread;
        made->number = i;
        net_loop_post(loop, &made->task);
    }
    return NULL;
}

static void test_runs_what_other_threads_post_in_their_order(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    ran = 0;
    memset(next_of, 0, sizeof next_of);
    loop_thread = pthread_self();
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)(uintptr_t)i), 0);
    net_loop_run(loop);
    assert_int_equal(ran, THREADS * POSTS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static unsigned again;

static void on_deferred(struct net_task *task)
{
    if (++again < 3)
        net_loop_defer(loop, task);
}

static void test_runs_deferred_tasks_once_a_round(void **state)
{
    struct net_task task = {.run = on_deferred};
    (void)state;
    again = 0;
    net_loop_defer(loop, &task);
    for (unsigned round = 1; round <= 3; round++) {
        net_loop_run_once(loop, 5000); /* does not wait: something is to be done */
        assert_int_equal(again, round);
    }
}

static void test_runs_what_is_left_when_it_is_destroyed(void **state)
{
    struct net_task deferred = {.run = on_deferred}, posted = {.run = on_deferred};
    (void)state;
    again = 10;
    net_loop_defer(loop, &deferred);
    net_loop_post(loop, &posted);
    net_loop_destroy(&loop);
    assert_int_equal(again, 12);
}

/* ---- sources */

static struct net_source sources[2];
static unsigned ready;

static void on_ready(struct net_source *source, uint32_t events)
{
    (void)source;
    assert_true((events & EPOLLIN) != 0);
    ready++;
    net_source_forget(loop, &sources[0]); /* the other one's event is under way as well */
    net_source_forget(loop, &sources[1]);
}

static void test_does_not_call_a_source_forgotten_in_the_same_round(void **state)
{
    int pipes[2][2];
    (void)state;
    ready = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
        sources[i] = (struct net_source){.ready = on_ready, .fd = pipes[i][0]};
        assert_ok(net_source_watch(loop, &sources[i], EPOLLIN, NULL));
    }
    net_loop_run_once(loop, 100);
    net_loop_run_once(loop, 0);
    assert_int_equal(ready, 1);
    for (int i = 0; i < 2; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fires_timers_in_order_of_time_whatever_was_moved_or_cancelled),
        TEST(test_waits_no_longer_than_the_first_timer),
        TEST(test_runs_what_other_threads_post_in_their_order),
        TEST(test_runs_deferred_tasks_once_a_round),
        TEST(test_runs_what_is_left_when_it_is_destroyed),
        TEST(test_does_not_call_a_source_forgotten_in_the_same_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
