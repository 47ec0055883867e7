/* Promise: a consumer that takes new credentials over loses nothing: what was handed out before
 * stays valid until it is given back, and what was not committed comes again. On librdkafka's mock
 * cluster. */
// link: tests/support/mock_kafka.c tests/support/kafka_peer.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/kafka/consumer.h"
#include "tests/support/kafka_peer.h"
#include "tests/support/mock_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEADLINE_MS = 60000 };

static struct mock_kafka kafka;
static unsigned assigned, lost;

static void on_assigned(void *context, const struct consumer_position *at, bool resumed)
{
    (void)context;
    (void)at;
    (void)resumed;
    assigned++;
}

static void on_lost(void *context, const struct consumer_position *at)
{
    (void)context;
    (void)at;
    lost++;
}

static void on_revoking(void *context, const struct consumer_position *at)
{
    (void)context;
    (void)at;
    fail_msg("nobody else is in the group");
}

static void on_reset(void *context, const struct consumer_position *at, int64_t missed)
{
    (void)context;
    (void)at;
    (void)missed;
    fail_msg("nothing was deleted");
}

static void on_commit_failed(void *context)
{
    (void)context;
}

static struct consumer_message next(struct consumer *consumer)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    struct consumer_message message;

    while (!consumer_poll(consumer, &message)) {
        assert_true(clock_mono_ms() < until_ms);
        peer_wait(1);
    }
    return message;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_keeps_what_it_handed_out_and_reads_on_from_the_commit(void **state)
{
    (void)state;
    char path[] = "/tmp/surgetank-certificate-XXXXXX";
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    static const char *const topics[] = {"t"};
    const struct kafka_access access = {
        .bootstrap_servers = kafka.bootstrap, .client_id = "test", .certificate_file = path};
    const struct consumer_options options = {.access = &access,
                                             .group_id = "g",
                                             .topics = topics,
                                             .topic_count = 1,
                                             .prefetch_bytes = 1 << 20,
                                             .assigned = on_assigned,
                                             .revoking = on_revoking,
                                             .lost = on_lost,
                                             .reset = on_reset,
                                             .commit_failed = on_commit_failed};
    struct consumer *consumer = NULL;

    assert_int_equal(close(mkstemp(path)), 0);
    assert_ok(consumer_open(&options, &consumer, NULL));
    peer_produce(kafka.bootstrap, "t", 0, 2, 0);
    struct consumer_message one = next(consumer), two = next(consumer);
    struct consumer_position at = two.at; /* behind the first */
    assert_ok(consumer_commit(consumer, &at, 1, DEADLINE_MS, NULL));

    assert_false(consumer_is_stale(consumer));
    write_file(path, "another certificate");
    while (!consumer_is_stale(consumer)) {
        struct consumer_message none;
        assert_true(clock_mono_ms() < until_ms);
        assert_false(consumer_poll(consumer, &none));
        peer_wait(1);
    }
    assert_int_equal(lost, 0);
    consumer_renew(consumer);
    assert_int_equal(lost, assigned);
    assert_false(consumer_is_stale(consumer));

    struct consumer_message again = next(consumer);
    assert_int_equal(again.at.offset, 1);
    assert_int_equal(one.at.offset, 0);
    assert_true(bytes_equal(two.value, again.value)); /* still to be read */
    consumer_release(&one);
    consumer_release(&again);
    assert_int_equal(two.value.len, 10);
    consumer_release(&two); /* the last of the client that left */
    consumer_close(&consumer);
    assert_int_equal(unlink(path), 0);
}

static int begin(void **state)
{
    (void)state;
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", 1, 1), 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mock_kafka_stop(&kafka);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keeps_what_it_handed_out_and_reads_on_from_the_commit,
                                        begin, end),
    };
    return cmocka_run_group_tests_name("consumer renew", tests, NULL, NULL);
}
