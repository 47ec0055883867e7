/* Promise: a stretch of a partition is read again beside the group, no further than asked, and a
 * question always ends. On librdkafka's mock cluster. */
// link: tests/support/mock_kafka.c tests/support/kafka_peer.c
#include "sidecar/kafka/look_back.h"

#include "common/clock.h"
#include "tests/support/kafka_peer.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/test.h"

#include <string.h>

enum { DEADLINE_MS = 60000 };

static struct mock_kafka kafka;
static struct kafka_access access;

struct answer {
    int64_t first, last;
    unsigned count, ended;
    bool whole;
};

static int begin(void **state)
{
    (void)state;
    mock_kafka_start(&kafka);
    access = (struct kafka_access){.bootstrap_servers = kafka.bootstrap, .client_id = "test"};
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", 2, 1), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mock_kafka_stop(&kafka);
    return 0;
}

static void on_found(void *context, void *whose, const struct consumer_message *message)
{
    struct answer *answer = whose;

    (void)context;
    if (answer->count++ == 0)
        answer->first = message->at.offset;
    answer->last = message->at.offset;
}

static void on_ended(void *context, void *whose, bool whole)
{
    struct answer *answer = whose;

    (void)context;
    answer->ended++;
    answer->whole = whole;
}

static struct look_back *make(void)
{
    const struct look_back_options options = {
        .access = &access, .found = on_found, .ended = on_ended};
    struct look_back *look_back = NULL;

    assert_ok(look_back_create(&options, &look_back, NULL));
    return look_back;
}

static void await(struct look_back *look_back)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    while (look_back_poll(look_back, clock_mono_ms())) {
        assert_true(clock_mono_ms() < until_ms);
        peer_wait(5);
    }
}

static void test_reads_up_to_where_it_was_asked_and_not_beyond(void **state)
{
    (void)state;
    AUTO(look_back_destroy) struct look_back *look_back = make();
    struct answer zero = {0}, one = {0};

    peer_produce(kafka.bootstrap, "t", 0, 20, 0);
    peer_produce(kafka.bootstrap, "t", 1, 5, 0);
    assert_ok(look_back_ask(look_back, &zero, "t", 0, 0, 12, NULL));
    assert_ok(look_back_ask(look_back, &one, "t", 1, 0, 5, NULL)); /* to its very end */
    await(look_back);
    assert_int_equal(zero.first, 0);
    assert_int_equal(zero.last, 11);
    assert_int_equal(zero.count, 12);
    assert_int_equal(one.count, 5);
    assert_true(zero.ended == 1 && zero.whole && one.ended == 1 && one.whole);
}

static void test_goes_back_no_further_than_its_bound(void **state)
{
    (void)state;
    AUTO(look_back_destroy) struct look_back *look_back = make();
    struct answer answer = {0};

    peer_produce(kafka.bootstrap, "t", 0, LOOK_BACK_MESSAGES_MAX + 50, 0);
    assert_ok(look_back_ask(look_back, &answer, "t", 0, 0, LOOK_BACK_MESSAGES_MAX + 40, NULL));
    await(look_back);
    assert_int_equal(answer.first, 40);
    assert_int_equal(answer.count, LOOK_BACK_MESSAGES_MAX);
    assert_true(answer.whole);
}

static void test_always_ends(void **state)
{
    (void)state;
    AUTO(look_back_destroy) struct look_back *look_back = make();
    struct answer absent = {0}, dropped = {0};

    assert_ok(look_back_ask(look_back, &absent, "nothing", 0, 0, 10, NULL));
    assert_ok(look_back_ask(look_back, &dropped, "t", 0, 0, 10, NULL));
    look_back_forget(look_back, &dropped);
    look_back_forget(look_back, &dropped); /* there is no question of that name any more */
    await(look_back);
    assert_int_equal(absent.ended, 1);
    assert_false(absent.whole);
    assert_int_equal(dropped.ended, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_reads_up_to_where_it_was_asked_and_not_beyond),
        T(test_goes_back_no_further_than_its_bound),
        T(test_always_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
