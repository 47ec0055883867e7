/* Bodies never take more than the limit, whoever asks gets its turn in the order of asking, and
 * nobody waits for ever, whatever the threads do to each other. */
#include "tests/support/test.h"

#include "sidecar/net/net_budget.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

struct asker {
    struct net_budget_wait wait;
    unsigned granted, order;
};

static unsigned grants;

static void on_granted(struct net_budget_wait *wait)
{
    struct asker *asker = (struct asker *)wait; /* its first member */
    asker->granted++;
    asker->order = ++grants;
}

static bool ask(struct net_budget *budget, struct asker *asker, size_t bytes)
{
    *asker = (struct asker){.wait = {.bytes = bytes, .granted = on_granted}};
    return net_budget_ask(budget, &asker->wait);
}

static void test_turns_come_in_the_order_of_asking(void **state)
{
    (void)state;
    struct net_budget budget = {.max = 100};
    struct asker a, large, small;

    assert_true(ask(&budget, &a, 60));
    assert_false(ask(&budget, &large, 80));
    assert_false(ask(&budget, &small, 10)); /* it would fit, but the large one was first */
    net_budget_give(&budget, 10);
    assert_int_equal(large.granted, 0);
    net_budget_give(&budget, 50);
    assert_int_equal(large.granted, 1);
    assert_int_equal(small.granted, 1);
    assert_true(large.order < small.order);
    assert_int_equal(net_budget_used(&budget), 90);
    net_budget_give(&budget, 90);
    assert_int_equal(net_budget_used(&budget), 0);
}

static void test_what_is_larger_than_all_there_is_comes_in_alone(void **state)
{
    (void)state;
    struct net_budget budget = {.max = 100};
    struct asker a, huge, after;

    assert_true(ask(&budget, &a, 1));
    assert_false(ask(&budget, &huge, 500));
    assert_false(ask(&budget, &after, 1));
    net_budget_give(&budget, 1);
    assert_int_equal(huge.granted, 1);
    assert_int_equal(after.granted, 0);
    net_budget_give(&budget, 500);
    assert_int_equal(after.granted, 1);
    net_budget_give(&budget, 1);
    assert_int_equal(net_budget_used(&budget), 0);
}

static void test_who_gives_up_lets_the_next_one_pass(void **state)
{
    (void)state;
    struct net_budget budget = {.max = 100};
    struct asker a, large, small;

    assert_true(ask(&budget, &a, 60));
    assert_false(ask(&budget, &large, 80));
    assert_false(ask(&budget, &small, 40));
    assert_true(net_budget_cancel(&budget, &large.wait));
    assert_int_equal(small.granted, 1);
    assert_false(net_budget_cancel(&budget, &small.wait)); /* too late: it has them */
    assert_int_equal(net_budget_used(&budget), 100);
    net_budget_give(&budget, 100);
    assert_int_equal(large.granted, 0);
    assert_int_equal(net_budget_used(&budget), 0);
}

static void test_without_a_limit_everything_is_counted(void **state)
{
    (void)state;
    struct net_budget budget = {.max = 0};
    struct asker a;

    assert_true(ask(&budget, &a, SIZE_MAX / 2));
    assert_int_equal(net_budget_used(&budget), SIZE_MAX / 2);
    net_budget_give(&budget, SIZE_MAX / 2);
}

/* ---- threads */

enum { THREADS = 4, TURNS = 5000, MAX = 1000 };

struct thread {
    struct net_budget_wait wait;
    struct net_budget *budget;
    sem_t granted;
    unsigned seed, cancelled, waited;
    pthread_t id;
};

static void on_thread_granted(struct net_budget_wait *wait)
{
    struct thread *thread = (struct thread *)wait; /* its first member */
    sem_post(&thread->granted);
}

static void *take_turns(void *context)
{
    struct thread *thread = context;
    struct net_budget *budget = thread->budget;

    for (int i = 0; i < TURNS; i++) {
        size_t bytes = 1 + (size_t)rand_r(&thread->seed) % (MAX - 1);
        thread->wait = (struct net_budget_wait){.bytes = bytes, .granted = on_thread_granted};
        if (!net_budget_ask(budget, &thread->wait)) {
            thread->waited++;
            if (rand_r(&thread->seed) % 4 == 0 && net_budget_cancel(budget, &thread->wait)) {
                thread->cancelled++;
                continue;
            }
            sem_wait(&thread->granted);
        }
        assert_true(net_budget_used(budget) <= MAX);
        net_budget_give(budget, bytes);
    }
    return NULL;
}

static void test_threads_get_their_turns_and_never_too_much(void **state)
{
    (void)state;
    struct net_budget budget = {.max = MAX};
    struct thread threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.budget = &budget, .seed = i};
        sem_init(&threads[i].granted, 0, 0);
        assert_int_equal(pthread_create(&threads[i].id, NULL, take_turns, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        sem_destroy(&threads[i].granted);
    }
    assert_int_equal(net_budget_used(&budget), 0);
    assert_int_equal(atomic_load(&budget.waiting), 0);
    assert_null(budget.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_come_in_the_order_of_asking),
        cmocka_unit_test(test_what_is_larger_than_all_there_is_comes_in_alone),
        cmocka_unit_test(test_who_gives_up_lets_the_next_one_pass),
        cmocka_unit_test(test_without_a_limit_everything_is_counted),
        cmocka_unit_test(test_threads_get_their_turns_and_never_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
