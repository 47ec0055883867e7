/* What is added is worked on, by as many workers as there are, when it is due, while they run. */
#include "tests/support/test.h"

#include "common/metrics.h"
#include "controller/queue/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls, at_once, most_at_once;
    bool hold;
    struct work_result answers[8];
};
#define SEEN                                                                   \
    {                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER \
    }

static struct work_result work(void *context, const char *name)
{
    struct seen *seen = context;
    assert_string_not_equal(name, "");
    pthread_mutex_lock(&seen->lock);
    struct work_result answer = seen->answers[seen->calls++ % 8];
    if (++seen->at_once > seen->most_at_once)
        seen->most_at_once = seen->at_once;
    pthread_cond_broadcast(&seen->changed);
    while (seen->hold)
        pthread_cond_wait(&seen->changed, &seen->lock);
    seen->at_once--;
    pthread_mutex_unlock(&seen->lock);
    return answer;
}

static void wait_calls(struct seen *seen, int calls)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->calls < calls)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
}

static struct workers *new_workers(struct seen *seen, unsigned threads, uint64_t resync_ms)
{
    struct workers *workers = NULL;
    assert_ok(workers_create(&(struct workers_config){.name = "test",
                                                      .threads = threads,
                                                      .resync_ms = resync_ms,
                                                      .work = work,
                                                      .context = seen},
                             &workers, NULL));
    return workers;
}

static void test_works_only_while_started_and_in_parallel(void **state)
{
    (void)state;
    struct seen seen = SEEN;
    struct workers *workers = new_workers(&seen, 2, 0);

    seen.hold = true;
    workers_add(workers, "a");
    workers_add(workers, "b");
    workers_add(workers, "c");
    assert_int_equal(seen.calls, 0);
    workers_start(workers);
    wait_calls(&seen, 2);
    pthread_mutex_lock(&seen.lock);
    seen.hold = false;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    wait_calls(&seen, 3);
    workers_stop(workers);
    assert_int_equal(seen.at_once, 0); /* stopped means that none is under way */
    assert_int_equal(seen.most_at_once, 2);
    workers_add(workers, "d");
    workers_start(workers);
    wait_calls(&seen, 4);
    workers_destroy(&workers);
}

static void test_comes_again_as_the_work_says(void **state)
{
    (void)state;
    struct seen seen = SEEN;
    struct workers *workers = new_workers(&seen, 1, 20);

    seen.answers[0] = (struct work_result){.verdict = WORK_RETRY};
    seen.answers[1] = (struct work_result){.verdict = WORK_RETRY};
    seen.answers[2] = (struct work_result){.verdict = WORK_LATER, .delay_ms = 10};
    workers_start(workers);
    workers_add(workers, "a");
    wait_calls(&seen, 6); /* twice retried, once later, then by the resync */
    workers_drop(workers, "a");
    workers_refresh(workers);
    workers_destroy(&workers);

    AUTO(buf_fini) struct buf text = {0};
    assert_ok(metrics_expose(&text));
    assert_non_null(strstr(buf_text(&text), "workqueue_retries_total{name=\"test\"} 2\n"));
    assert_non_null(strstr(buf_text(&text),
                           "controller_runtime_reconcile_total{controller=\"test\","
                           "result=\"error\"} 2\n"));
    assert_non_null(strstr(buf_text(&text), "result=\"requeue_after\"} 1\n"));
}

static void test_refuses_a_senseless_number_of_workers(void **state)
{
    (void)state;
    struct workers *workers = NULL;
    assert_int_equal(
        workers_create(&(struct workers_config){.name = "x", .work = work}, &workers, NULL),
        ERR_INVALID);
    assert_int_equal(
        workers_create(&(struct workers_config){.name = "x", .threads = 10000, .work = work},
                       &workers, NULL),
        ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_works_only_while_started_and_in_parallel),
        cmocka_unit_test(test_comes_again_as_the_work_says),
        cmocka_unit_test(test_refuses_a_senseless_number_of_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
