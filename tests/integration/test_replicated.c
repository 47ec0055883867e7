/* Promise: with `acknowledge: Replicated`, success means that Kafka has it. Whatever kills the edge
 * takes its disk with it here: what was acknowledged is in Kafka all the same, by number. And while
 * Kafka is away nobody waits without end. SURGETANK_SEED repeats a run; SURGETANK_LOSS=N makes it N
 * times as long. */
// link: tests/support/broker_process.c tests/support/edge_process.c tests/support/ledger.c
// link: tests/support/sender.c tests/support/mock_kafka.c tests/support/numbered.c
// link: tests/support/free_port.c tests/support/edge_trial.c
#include "tests/support/test.h"

#include "tests/support/edge_trial.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { KILLS = 12 };

static int begin(void **state)
{
    (void)state;
    trial_begin();
    edge_process_write(&edge, &(struct edge_document){
                                  .bootstrap = broker.bootstrap,
                                  .topic = "t",
                                  .spool = "{size: 64Mi, minFree: 0%, acknowledge: Replicated}",
                                  .properties = "{request.timeout.ms: '300000', "
                                                "socket.timeout.ms: '300000'}"});
    return 0;
}

static void check(void)
{
    trial_check();
    print_message("%zu records acknowledged, all in Kafka\n", ledger_promised(&ledger));
}

static void lose_the_disk(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", edge.spool);
    assert_int_equal(system(command), 0);
}

/* With answers to the edge on their way, to its clients too, or neither. */
static void test_kills_that_take_the_disk_along_lose_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KILLS * trial_factor(); i++) {
        trial_start();
        broker_process_delay(&broker, i % 3 == 1 ? trial_up_to(20) : 0);
        sender_run(&sender, trial_up_to(60));
        if (i % 3 == 2)
            broker_process_close_port(&broker);
        poll(NULL, 0, rand() % 4);
        edge_process_kill(&edge);
        sender_finish(&sender);
        sender_close(&sender);
        if (i % 3 == 2)
            broker_process_open_port(&broker);
        lose_the_disk();
    }
    broker_process_delay(&broker, 0);
    assert_true(sender.acknowledged > 0);
    check();
}

static void test_who_waits_while_kafka_is_away_is_told_and_kept(void **state)
{
    (void)state;
    trial_start();
    sender_run(&sender, 20);
    sender_finish(&sender);
    broker_process_close_port(&broker);
    uint64_t first = sender.next;
    sender_begin(&sender);
    sender_finish(&sender);
    assert_int_equal(sender.refused, SENDER_CONNECTIONS);
    assert_int_equal(sender.broken, 0);
    ledger_promise(&ledger, first,
                   SENDER_CONNECTIONS * TRIAL_PER_REQUEST); /* refused, but stored */
    uint64_t last = sender.next;
    sender_begin(&sender); /* refused before they are stored */
    sender_finish(&sender);
    assert_int_equal(sender.refused, 2 * SENDER_CONNECTIONS);
    edge_process_kill(&edge);
    broker_process_open_port(&broker);
    trial_start();
    edge_process_await_empty(&edge);
    check();
    for (uint64_t i = last; i < sender.next; i++)
        assert_int_equal(ledger.seen[i], 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kills_that_take_the_disk_along_lose_nothing, begin,
                                        trial_end),
        cmocka_unit_test_setup_teardown(test_who_waits_while_kafka_is_away_is_told_and_kept, begin,
                                        trial_end),
    };
    return cmocka_run_group_tests_name("replicated", tests, NULL, NULL);
}
