/* Promise: whatever made other agents lose what they had acknowledged, an edge loses nothing of it:
 * killed under load with the broker up, frozen and gone, outages longer than every timeout, full
 * spools, log files that rotate meanwhile. The edge is a process that does what `surgetank-sidecar
 * edge` does, the broker another one. What was acknowledged and what is in Kafka are compared by
 * number. docs/reference/loss.md says which test stands for which loss.
 *
 * SURGETANK_SEED repeats a run; SURGETANK_LOSS=N makes it N times as long, with outages as long as
 * people have tried. */
// link: tests/support/broker_process.c tests/support/edge_process.c tests/support/ledger.c
// link: tests/support/sender.c tests/support/mock_kafka.c tests/support/numbered.c
// link: tests/support/free_port.c tests/support/edge_trial.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "sidecar/otlp/wire.h"
#include "tests/support/edge_trial.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL_KILLS = 4 };

/* ---- how long */

static unsigned seconds(unsigned usually, unsigned in_full)
{
    return trial_factor() > 1 ? in_full : usually;
}

static void pass_ms(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* ---- set-up */

static int begin(void **state)
{
    (void)state;
    trial_begin();
    broker_process_topic(&broker, "t.dlq", 1);
    return 0;
}

static struct edge_document document(void)
{
    return (struct edge_document){
        .bootstrap = broker.bootstrap,
        .topic = "t",
        /* However slow the machine: see `may_repeat`. */
        .properties = "{request.timeout.ms: '300000', socket.timeout.ms: '300000'}"};
}

static void start_with(const struct edge_document *said)
{
    edge_process_write(&edge, said);
    trial_start();
}

static void start_plain(void)
{
    const struct edge_document plain = document();
    start_with(&plain);
}

/* So that the topic is known, and whatever comes now is on its way at once. */
static void send_some_to_kafka(void)
{
    sender_run(&sender, 20);
    sender_finish(&sender);
    edge_process_await_empty(&edge);
}

/* Kills it with requests under way. */
static void kill_under_load(unsigned requests)
{
    sender_run(&sender, requests);
    pass_ms((unsigned)rand() % 4);
    edge_process_kill(&edge);
    sender_finish(&sender);
    sender_close(&sender);
}

static void check(void)
{
    edge_process_await_empty(&edge);
    trial_check();
    print_message("%zu records acknowledged, all in Kafka in %u messages\n",
                  ledger_promised(&ledger), ledger.messages);
}

/* ---- what clients send, and a process that dies */

static void test_kafka_away_and_a_kill_lose_nothing(void **state)
{
    (void)state;
    start_plain();
    send_some_to_kafka();
    broker_process_close_port(&broker);
    kill_under_load(2000);
    assert_true(sender.acknowledged >= 1900);
    trial_start();
    broker_process_open_port(&broker);
    check();
}

/* As many kills in each state, at random instants. */
static void test_kills_under_load_lose_nothing(void **state)
{
    enum { KILLS = 4 };
    const struct edge_document said = document();

    (void)state;
    edge_process_write(&edge, &said);
    for (unsigned round = 0; round < 3 * trial_factor(); round++) {
        if (round % 3 == 1)
            broker_process_freeze(&broker);
        if (round % 3 == 2)
            broker_process_close_port(&broker);
        for (int kills = 0; kills < KILLS; kills++) {
            trial_start();
            kill_under_load(trial_up_to(150));
        }
        if (round % 3 == 1)
            broker_process_thaw(&broker);
        if (round % 3 == 2)
            broker_process_open_port(&broker);
    }
    trial_start();
    check();
}

static void test_a_freeze_and_a_kill_lose_nothing(void **state)
{
    (void)state;
    start_plain();
    sender_run(&sender, 300);
    broker_process_freeze(&broker);
    sender_run(&sender, 300);
    pass_ms(1000 * seconds(2, 12));
    kill_under_load(300);
    trial_start();
    broker_process_thaw(&broker);
    check();
}

/* ---- outages that no process dies of */

static void test_a_freeze_longer_than_every_timeout_loses_nothing(void **state)
{
    struct edge_document said = document();

    (void)state;
    said.properties = trial_factor() > 1 ? "{}" : /* half a minute, unless told */
                          "{request.timeout.ms: '1000', socket.timeout.ms: '1000'}";
    ledger.may_repeat = true;
    start_with(&said);
    sender_run(&sender, 300);
    sender_finish(&sender);
    edge_process_await_empty(&edge);
    unsigned before = sender.acknowledged;
    broker_process_freeze(&broker);
    sender_run(&sender, 300);
    sender_finish(&sender);
    pass_ms(1000 * seconds(4, 75));
    assert_int_equal(edge_process_waiting(&edge),
                     (sender.acknowledged - before) * TRIAL_PER_REQUEST);
    broker_process_thaw(&broker);
    sender_run(&sender, 300);
    sender_finish(&sender);
    assert_int_equal(sender.refused + sender.broken, 0);
    check();
}

/* What Kafka takes by default is what a message may have, however fast requests come. */
static void test_full_rate_makes_no_message_that_kafka_refuses(void **state)
{
    enum { MESSAGE_MAX = 1048588 };

    (void)state;
    sender.per_request = 50;
    sender.padding = 1000;
    start_plain();
    for (unsigned i = 0; i < trial_factor(); i++)
        sender_run(&sender, 400);
    sender_finish(&sender);
    assert_int_equal(sender.broken, 0);
    check();
    assert_in_range(ledger.largest, 1, MESSAGE_MAX);
    ledger_read(&ledger, broker.bootstrap, "t.dlq", 1);
    assert_int_equal(ledger.messages, 0);
}

/* ---- a spool that is full: 64 MiB, the smallest there is */

enum { LARGE_REQUEST = 150, LARGE_RECORD = 1000 };

static void fill(unsigned refusals)
{
    while (sender.refused < refusals)
        sender_run(&sender, 1);
    sender_finish(&sender);
}

static void test_a_full_spool_refuses_and_loses_nothing(void **state)
{
    (void)state;
    sender.per_request = LARGE_REQUEST;
    sender.padding = LARGE_RECORD;
    start_plain();
    send_some_to_kafka();
    broker_process_close_port(&broker);
    fill(20);
    assert_true(sender.acknowledged > 50);
    assert_true(edge_process_metric(&edge,
                                    "surgetank_edge_refused_requests_total{signal=\"logs\","
                                    "protocol=\"http_proto\",reason=\"spool_full\"} ") >= 20);
    edge_process_kill(&edge);
    sender_close(&sender);
    trial_start();
    broker_process_open_port(&broker);
    edge_process_await_empty(&edge);
    unsigned refused = sender.refused;
    sender_run(&sender, 20);
    sender_finish(&sender);
    assert_int_equal(sender.refused, refused);
    check();
}

/* Where the document asks for it, and to the item. */
static void test_dropping_the_oldest_is_counted_to_the_item(void **state)
{
    struct edge_document said = document();
    uint64_t lost = 0;

    (void)state;
    said.spool = "{size: 64Mi, minFree: 0%, whenFull: DropOldest}";
    sender.per_request = LARGE_REQUEST;
    sender.padding = LARGE_RECORD;
    broker_process_close_port(&broker);
    start_with(&said);
    sender_run(&sender, 1000); /* of 150 KB and more */
    sender_finish(&sender);
    assert_int_equal(sender.refused + sender.broken, 0);
    broker_process_open_port(&broker);
    edge_process_await_empty(&edge);
    ledger_read(&ledger, broker.bootstrap, "t", TRIAL_PARTITIONS);
    for (uint64_t i = 0; i < sender.next; i++)
        lost += ledger.seen[i] == 0;
    double told =
        edge_process_metric(&edge, "surgetank_spool_dropped_items_total{signal=\"logs\"} ");
    print_message("%" PRIu64 " records dropped, %.0f counted\n", lost, told);
    assert_true(lost > 0);
    assert_true((uint64_t)told == lost);
}

/* ---- log files */

static uint64_t written;

/* Calls `see` with the number of each line, "n=17 ...". */
static void visit_lines(struct bytes rest, void (*see)(void *context, uint64_t number),
                        void *context)
{
    static const uint32_t path[] = {1, 2, 2, 5, 1}; /* down to the text of a record's body */
    struct {
        struct bytes rest;
    } levels[6] = {{rest}};
    struct wire_field field;
    int level = 0;

    while (level >= 0) {
        if (!wire_next(&levels[level].rest, &field)) {
            assert_int_equal(levels[level].rest.len, 0);
            level--;
        } else if (field.tag == WIRE_TAG(path[level], WIRE_LEN) && level < 4) {
            levels[++level].rest = field.payload;
        } else if (field.tag == WIRE_TAG(path[level], WIRE_LEN)) {
            char text[32] = "";
            memcpy(text, field.payload.data,
                   field.payload.len < sizeof text ? field.payload.len : sizeof text - 1);
            assert_int_equal(strncmp(text, "n=", 2), 0);
            see(context, strtoull(text + 2, NULL, 10));
        }
    }
}

static void start_with_files(void)
{
    struct edge_document said = document();
    char receivers[200], dir[96];

    snprintf(dir, sizeof dir, "%s/logs", edge.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    snprintf(receivers, sizeof receivers,
             "        files: [{name: f, paths: ['%s/*.log'], startAt: beginning}]\n", dir);
    said.receivers = receivers;
    said.spool = "{size: 256Mi, minFree: 0%}";
    ledger.visit = visit_lines;
    written = 0;
    start_with(&said);
}

/* Each line is 200 bytes or a little more. */
static void write_lines(unsigned count)
{
    char path[128];

    snprintf(path, sizeof path, "%s/logs/a.log", edge.dir);
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    for (unsigned i = 0; i < count; i++)
        fprintf(file, "n=%" PRIu64 " %0200d\n", written + i, 0);
    assert_int_equal(fclose(file), 0);
    ledger_promise(&ledger, written, count);
    written += count;
}

static void rotate(unsigned number)
{
    char from[128], to[128];

    snprintf(from, sizeof from, "%s/logs/a.log", edge.dir);
    snprintf(to, sizeof to, "%s/logs/a.log.%u", edge.dir, number);
    assert_int_equal(rename(from, to), 0);
}

/* Until Kafka has so many records, as far as the spool knows. */
static void check_lines(void)
{
    uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;
    static const char accepted[] = "surgetank_spool_accepted_items_total{signal=\"logs\"} ";

    while (edge_process_metric(&edge, accepted) < (double)written) {
        assert_true(clock_mono_ms() < until);
        pass_ms(20);
    }
    check();
}

static void test_a_tail_killed_again_and_again_loses_nothing(void **state)
{
    (void)state;
    start_with_files();
    for (unsigned i = 0; i < TAIL_KILLS * trial_factor(); i++) {
        for (unsigned writes = trial_up_to(20); writes > 0; writes--) {
            write_lines(trial_up_to(500));
            pass_ms((unsigned)rand() % 10);
        }
        edge_process_kill(&edge);
        write_lines(trial_up_to(500));
        trial_start();
    }
    check_lines();
}

static void test_a_tail_frozen_out_and_killed_loses_nothing(void **state)
{
    (void)state;
    start_with_files();
    write_lines(5000);
    broker_process_freeze(&broker);
    for (unsigned i = 0; i < 10; i++) {
        write_lines(1000);
        pass_ms(100 * seconds(2, 6));
    }
    edge_process_kill(&edge);
    write_lines(1000);
    trial_start();
    broker_process_thaw(&broker);
    check_lines();
}

/* A file of half a megabyte, and the next: some twenty a second. */
static void test_files_renamed_at_ten_megabytes_a_second_lose_nothing(void **state)
{
    enum { LINES = 250, PER_FILE = 10, MS = 5 };
    unsigned bursts = seconds(3, 30) * 1000 / MS;

    (void)state;
    start_with_files();
    for (unsigned i = 1; i <= bursts; i++) {
        write_lines(LINES);
        if (i % PER_FILE == 0)
            rotate(i / PER_FILE);
        pass_ms(MS);
    }
    check_lines();
    assert_true(edge_process_metric(&edge, "surgetank_tail_lost_bytes_total{source=\"f\"} ") <= 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, begin, trial_end)
    const struct CMUnitTest tests[] = {
        T(test_kafka_away_and_a_kill_lose_nothing),
        T(test_kills_under_load_lose_nothing),
        T(test_a_freeze_and_a_kill_lose_nothing),
        T(test_a_freeze_longer_than_every_timeout_loses_nothing),
        T(test_full_rate_makes_no_message_that_kafka_refuses),
        T(test_a_full_spool_refuses_and_loses_nothing),
        T(test_dropping_the_oldest_is_counted_to_the_item),
        T(test_a_tail_killed_again_and_again_loses_nothing),
        T(test_a_tail_frozen_out_and_killed_loses_nothing),
        T(test_files_renamed_at_ten_megabytes_a_second_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
