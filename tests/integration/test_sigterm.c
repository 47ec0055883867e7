/* Promise: SIGTERM ends an edge orderly in whatever state it is, and costs nothing that was
 * acknowledged: what could be sent is in Kafka, the rest is sent after the next start, and only
 * what may be a repeat comes twice, and says so. SURGETANK_SEED repeats a run. */
// link: tests/support/broker_process.c tests/support/edge_process.c tests/support/ledger.c
// link: tests/support/sender.c tests/support/mock_kafka.c tests/support/numbered.c
// link: tests/support/free_port.c
#include "tests/support/seed.h"
#include "tests/support/test.h"

#include "common/clock.h"
#include "tests/support/broker_process.h"
#include "tests/support/edge_process.h"
#include "tests/support/sender.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PARTITIONS = 8,
    NUMBERS = 400000,
    LARGE_REQUEST = 150,
    LARGE_RECORD = 1000,
    STARTS = 8,
};

/* An edge with a topic of its own, and its client. */
struct stand {
    char topic[24];
    struct broker_process *broker;
    struct edge_process edge;
    struct ledger ledger;
    struct sender sender;
};

static struct broker_process broker, other;

static int begin(void **state)
{
    (void)state;
    seed_rand();
    broker_process_start(&broker);
    broker_process_start(&other);
    return 0;
}

static int end(void **state)
{
    (void)state;
    broker_process_stop(&broker);
    broker_process_stop(&other);
    return 0;
}

static void pass_ms(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* ---- a stand */

static void write_document(struct stand *stand, const char *spool)
{
    edge_process_write(
        &stand->edge,
        &(struct edge_document){.bootstrap = stand->broker->bootstrap,
                                .topic = stand->topic,
                                .spool = spool,
                                /* However slow the machine: the mock cluster stores what a client
                                 * sends again after a timeout, which Kafka does not. */
                                .properties =
                                    "{request.timeout.ms: '300000', socket.timeout.ms: '300000', "
                                    "topic.metadata.refresh.interval.ms: '1000'}"});
}

static void set_up(struct stand *stand, const char *topic, struct broker_process *at)
{
    stand->broker = at;
    snprintf(stand->topic, sizeof stand->topic, "%s", topic);
    edge_process_make(&stand->edge);
    write_document(stand, NULL);
    ledger_open(&stand->ledger, NUMBERS);
    stand->sender = (struct sender){
        .port = stand->edge.http_port, .ledger = &stand->ledger, .per_request = 5, .padding = 100};
}

static void set_up_with_topic(struct stand *stand, const char *topic, struct broker_process *at)
{
    broker_process_topic(at, topic, PARTITIONS);
    set_up(stand, topic, at);
}

static void take_down(struct stand *stand)
{
    sender_close(&stand->sender);
    edge_process_remove(&stand->edge);
    ledger_close(&stand->ledger);
}

static void start(struct stand *stand)
{
    edge_process_start(&stand->edge);
    edge_process_await_ready(&stand->edge);
}

static void send_some(struct stand *stand, unsigned requests)
{
    sender_run(&stand->sender, requests);
    sender_finish(&stand->sender);
    sender_close(&stand->sender);
}

static void end_orderly(struct stand *stand)
{
    edge_process_terminate(&stand->edge);
    assert_int_equal(edge_process_wait(&stand->edge), 0);
}

static void check(struct stand *stand)
{
    ledger_read(&stand->ledger, stand->broker->bootstrap, stand->topic, PARTITIONS);
    ledger_check(&stand->ledger);
    print_message("%s: %zu records acknowledged, all in Kafka\n", stand->topic,
                  ledger_promised(&stand->ledger));
}

/* Once more from the beginning to the end, with the broker there. */
static void bring_home(struct stand *stand)
{
    start(stand);
    edge_process_await_empty(&stand->edge);
    end_orderly(stand);
    check(stand);
}

/* ---- the broker is there */

static void test_while_it_starts(void **state)
{
    static struct stand stand;

    (void)state;
    set_up_with_topic(&stand, "starting", &broker);
    broker_process_close_port(&broker);
    start(&stand);
    send_some(&stand, 500);
    edge_process_kill(&stand.edge); /* so that there is something to recover */
    broker_process_open_port(&broker);
    for (int i = 0; i < STARTS; i++) {
        edge_process_start(&stand.edge);
        pass_ms((unsigned)rand() % 80);
        edge_process_terminate(&stand.edge);
        int status = edge_process_wait(&stand.edge); /* or before it was asked not to die of it */
        assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM));
    }
    bring_home(&stand);
    take_down(&stand);
}

static void test_while_it_waits_for_the_owner_of_its_spool(void **state)
{
    static struct stand stand;
    struct edge_process second;
    char files[200];
    sigset_t blocked;

    (void)state;
    set_up_with_topic(&stand, "owned", &broker);
    snprintf(files, sizeof files, "        files: [{name: f, paths: ['%s/*.log']}]\n",
             stand.edge.dir);
    start(&stand);
    send_some(&stand, 50);
    edge_process_make(&second);
    edge_process_write(&second, &(struct edge_document){.bootstrap = broker.bootstrap,
                                                        .topic = stand.topic,
                                                        .receivers = files});
    snprintf(second.spool, sizeof second.spool, "%s", stand.edge.spool);
    sigemptyset(&blocked); /* at once, as it will be: however slowly it starts */
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    edge_process_start(&second);
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    pass_ms(300);
    edge_process_terminate(&second);
    end_orderly(&stand);
    assert_int_equal(edge_process_wait(&second), 0);
    edge_process_remove(&second);
    bring_home(&stand);
    take_down(&stand);
}

static void test_while_it_receives(void **state)
{
    static struct stand stand;

    (void)state;
    set_up_with_topic(&stand, "receiving", &broker);
    for (int i = 0; i < 3; i++) {
        start(&stand);
        sender_run(&stand.sender, 100 + (unsigned)rand() % 100);
        edge_process_terminate(&stand.edge);
        sender_finish(&stand.sender);
        sender_close(&stand.sender);
        assert_int_equal(edge_process_wait(&stand.edge), 0);
    }
    check(&stand); /* all of it was sent before it ended */
    take_down(&stand);
}

static void test_while_it_takes_a_changed_document_over(void **state)
{
    static struct stand stand;

    (void)state;
    set_up_with_topic(&stand, "changing", &broker);
    for (int i = 0; i < 3; i++) {
        start(&stand);
        sender_run(&stand.sender, 50);
        write_document(&stand, i % 2 == 0 ? "{size: 128Mi, minFree: 0%}" : NULL);
        assert_int_equal(kill(stand.edge.pid, SIGHUP), 0);
        pass_ms((unsigned)rand() % 5);
        edge_process_terminate(&stand.edge);
        sender_finish(&stand.sender);
        sender_close(&stand.sender);
        assert_int_equal(edge_process_wait(&stand.edge), 0);
    }
    check(&stand);
    take_down(&stand);
}

static void test_while_it_sends_a_backlog(void **state)
{
    static struct stand stand;

    (void)state;
    set_up_with_topic(&stand, "backlog", &broker);
    start(&stand);
    broker_process_close_port(&broker);
    stand.sender.per_request = LARGE_REQUEST;
    stand.sender.padding = LARGE_RECORD;
    send_some(&stand, 60);
    broker_process_delay(&broker, 20);
    broker_process_open_port(&broker);
    int64_t all = edge_process_waiting(&stand.edge);
    for (uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;
         edge_process_waiting(&stand.edge) == all && clock_mono_ms() < until;)
        pass_ms(5);
    end_orderly(&stand);
    broker_process_delay(&broker, 0);
    check(&stand);
    unsigned messages = stand.ledger.messages;
    bring_home(&stand); /* nothing comes again */
    assert_int_equal(stand.ledger.messages, messages);
    take_down(&stand);
}

/* ---- the broker is not there: all of them at once, for each takes its time */

enum away { GONE, FROZEN, FULL, AGAIN, KILLED, NO_TOPIC, WAITED_FOR, AWAY_COUNT };

static struct stand away[AWAY_COUNT];

static void open_away(void)
{
    static const char *const names[] = {"gone",   "frozen",   "full",      "again",
                                        "killed", "no-topic", "waited-for"};

    for (int i = 0; i < AWAY_COUNT; i++) {
        if (i == NO_TOPIC)
            set_up(&away[i], names[i], &broker);
        else
            set_up_with_topic(&away[i], names[i], i == FROZEN ? &other : &broker);
        if (i == WAITED_FOR)
            write_document(&away[i], "{size: 64Mi, minFree: 0%, acknowledge: Replicated}");
        start(&away[i]);
        if (i != NO_TOPIC) {
            send_some(&away[i], 100);
            edge_process_await_empty(&away[i].edge);
        }
    }
}

static void fill(struct stand *stand)
{
    stand->sender.per_request = LARGE_REQUEST;
    stand->sender.padding = LARGE_RECORD;
    while (stand->sender.refused < 20)
        sender_run(&stand->sender, 1);
    sender_finish(&stand->sender);
}

/* Requests that the edge has, and does not answer while Kafka does not: for a while. */
static void begin_to_wait(struct stand *stand)
{
    enum { WHILE_MS = 8000 };
    uint64_t until = clock_mono_ms() + WHILE_MS;
    int64_t all = (int64_t)SENDER_CONNECTIONS * stand->sender.per_request;

    sender_begin(&stand->sender);
    while (edge_process_waiting(&stand->edge) < all && clock_mono_ms() < until)
        pass_ms(5);
}

static void terminate_all(void)
{
    uint64_t since_ms = clock_mono_ms();

    for (int i = 0; i < AWAY_COUNT; i++)
        edge_process_terminate(&away[i].edge);
    for (int i = 0; i < 3; i++) {
        pass_ms(500);
        edge_process_terminate(&away[AGAIN].edge);
    }
    edge_process_kill(&away[KILLED].edge); /* as kubelet does when the grace is over */
    for (int i = 0; i < AWAY_COUNT; i++)
        if (i != KILLED)
            assert_int_equal(edge_process_wait(&away[i].edge), 0);
    print_message("ended within %" PRIu64 " ms\n", clock_mono_ms() - since_ms);
}

static void test_while_kafka_is_away_or_the_spool_full(void **state)
{
    (void)state;
    open_away();
    broker_process_close_port(&broker);
    broker_process_freeze(&other);
    for (int i = 0; i < AWAY_COUNT; i++) {
        if (i == FULL)
            fill(&away[i]);
        else if (i == WAITED_FOR)
            begin_to_wait(&away[i]);
        else
            send_some(&away[i], 100);
    }
    terminate_all();
    sender_finish(&away[WAITED_FOR].sender); /* they were told, and not just cut off */
    assert_int_equal(away[WAITED_FOR].sender.refused, SENDER_CONNECTIONS);
    assert_int_equal(away[WAITED_FOR].sender.broken, 0);
    broker_process_open_port(&broker);
    broker_process_thaw(&other);
    broker_process_topic(&broker, away[NO_TOPIC].topic, PARTITIONS);
    for (int i = 0; i < AWAY_COUNT; i++)
        bring_home(&away[i]);
    for (int i = 0; i < AWAY_COUNT; i++)
        take_down(&away[i]);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_while_it_starts),          T(test_while_it_waits_for_the_owner_of_its_spool),
        T(test_while_it_receives),        T(test_while_it_takes_a_changed_document_over),
        T(test_while_it_sends_a_backlog), T(test_while_kafka_is_away_or_the_spool_full),
    };
    return cmocka_run_group_tests_name("sigterm", tests, NULL, NULL);
}
