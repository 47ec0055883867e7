/* Promise: what the spool has acknowledged is in Kafka or in the dead letters, by identity,
 * whatever brokers answer, however often clients and the process die; and what may be there twice
 * says so. On librdkafka's mock cluster. */
// link: tests/support/mock_kafka.c tests/support/numbered.c tests/support/kafka_peer.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "sidecar/edge/journal.h"
#include "sidecar/edge/produce.h"
#include "sidecar/edge/produce_topic.h"
#include "tests/support/kafka_peer.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/numbered.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PARTITIONS = 4,
    KILLS = 8,
    AWAKE = 10, /* numbers, before a kill */
    NUMBERS = 20000,
    PRODUCE = 0,
    INIT_PRODUCER_ID = 22,
    DEADLINE_MS = 60000,
    TAG = 7, /* of what is for the second topic */
};

static struct mock_kafka kafka;
static struct pipeline_topic topics[2];
static const struct produce_route routes[2] = {{&topics[0], 0}, {&topics[1], TAG}};
static size_t route_count, in_flight_bytes;
static bool fresh_first, traced; /* each record is in a trace of its own */
static const char *certificate;  /* NULL: none */
static char dir[64], journal[80];
static int standard_error = -1; /* the test's own, while log_to() has another */

struct edge {
    struct spool *spool;
    struct produce *produce;
    uint64_t next;
};

static int begin(void **state)
{
    char command[128];

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/surgetank-produce-%d", (int)getpid());
    snprintf(journal, sizeof journal, "%s/journal", dir);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
    topics[0] =
        (struct pipeline_topic){.signal = SIGNAL_LOGS, .topic = "t", .dead_letter = "t.dlq"};
    topics[1] =
        (struct pipeline_topic){.signal = SIGNAL_LOGS, .topic = "u", .dead_letter = "t.dlq"};
    route_count = 1;
    in_flight_bytes = 8 << 20;
    fresh_first = true;
    traced = false;
    certificate = NULL;
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", PARTITIONS, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t.dlq", 1, 1), 0);
    return 0;
}

/* What is logged goes there; end() puts it back, or a test that fails would do so without a word. */
static void log_to(FILE *file)
{
    standard_error = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
}

static void log_as_before(void)
{
    if (standard_error < 0)
        return;
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    standard_error = -1;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    log_as_before();
    mock_kafka_stop(&kafka);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void open_edge_saving(struct edge *edge, unsigned save_interval_ms)
{
    const struct spool_config config = {.dir = dir,
                                        .size_bytes = 128 << 20,
                                        .segment_bytes = 16 << 20,
                                        .save_interval_ms = save_interval_ms};
    static struct kafka_access access = {.bootstrap_servers = kafka.bootstrap, .client_id = "test"};
    access.certificate_file = certificate;
    const struct produce_options options = {.access = &access,
                                            .routes = routes,
                                            .route_count = route_count,
                                            .compression = "none",
                                            .in_flight_bytes = in_flight_bytes,
                                            .fresh_first = fresh_first,
                                            .journal_path = journal,
                                            .source = "ns/test/edge"};
    struct produce_options with_spool = options;

    assert_ok(spool_open(&config, &edge->spool, NULL));
    with_spool.spool = edge->spool;
    assert_ok(produce_open(&with_spool, &edge->produce, NULL));
}

static void open_edge(struct edge *edge)
{
    open_edge_saving(edge, 100);
}

static void close_edge(struct edge *edge, uint32_t drain_ms)
{
    produce_close(&edge->produce, drain_ms);
    spool_close(&edge->spool);
}

/* ---- acknowledged appends */

struct ack {
    struct spool_waiter waiter;
    atomic_int answered; /* 1 + enum err */
};

static void on_done(struct spool_waiter *waiter, enum err err, const struct error *error)
{
    struct ack *ack = (struct ack *)waiter;
    (void)error;
    atomic_store(&ack->answered, 1 + (int)err);
}

/* Appends a request of `count` numbers; true once the spool has promised them. */
static bool append_tagged(struct edge *edge, unsigned count, size_t padding, uint32_t tag)
{
    AUTO(buf_fini) struct buf value = {0};
    struct ack ack = {.waiter = {.done = on_done}};

    if (traced)
        numbered_traces(edge->next, count, &value);
    else
        numbered_request(edge->next, count, padding, &value);
    edge->next += count;
    const struct bytes part = buf_bytes(&value);
    const struct spool_request request = {
        .lane = SIGNAL_LOGS, .parts = &part, .part_count = 1, .items = count, .tag = tag};
    if (spool_append(edge->spool, &request, &ack.waiter, NULL))
        return false;
    while (atomic_load(&ack.answered) == 0)
        sched_yield();
    produce_kick(edge->produce);
    return atomic_load(&ack.answered) == 1 + OK;
}

static bool append(struct edge *edge, unsigned count, size_t padding)
{
    return append_tagged(edge, count, padding, 0);
}

static void append_all(struct edge *edge, unsigned requests, unsigned count, size_t padding)
{
    for (unsigned i = 0; i < requests; i++)
        assert_true(append(edge, count, padding));
}

static uint64_t waiting_items(const struct edge *edge)
{
    struct spool_stats stats;
    spool_stats(edge->spool, &stats);
    return stats.lanes[SIGNAL_LOGS].readers[0].items;
}

static void await_empty(const struct edge *edge)
{
    for (int ms = 0; waiting_items(edge) > 0; ms += 20) {
        if (ms > DEADLINE_MS) {
            struct produce_state state;
            produce_state(edge->produce, &state);
            fail_msg("%lu items still wait: %s; %s", (unsigned long)waiting_items(edge),
                     state.lanes[SIGNAL_LOGS].trouble, state.kafka);
        }
        peer_wait(20);
    }
}

/* Until so many messages are on their way, of which Kafka has said nothing. */
static void await_in_flight(const struct edge *edge, uint64_t count)
{
    struct produce_state state = {0};

    for (int ms = 0; state.lanes[SIGNAL_LOGS].in_flight < count; ms += 20) {
        assert_true(ms <= DEADLINE_MS);
        peer_wait(20);
        produce_state(edge->produce, &state);
    }
}

/* ---- what is in Kafka */

struct found {
    uint16_t seen[NUMBERS];   /* times */
    uint16_t marked[NUMBERS]; /* of them, in messages that say they may be repeats */
    unsigned messages, pointers;
    unsigned by_partition[PARTITIONS];
    char reason[200], first_id[100];
    bool is_marked; /* the message at hand */
};

static void see_number(void *context, uint64_t number)
{
    struct found *found = context;
    assert_true(number < NUMBERS);
    found->seen[number]++;
    found->marked[number] += found->is_marked;
}

static void see(void *context, const struct mock_message *message)
{
    struct found *found = context;
    char text[200];

    mock_message_header(message, NAMES_HEADER_RETRY, text, sizeof text);
    found->is_marked = text[0] != '\0';
    mock_message_header(message, NAMES_HEADER_DLQ_POINTER, text, sizeof text);
    found->pointers += text[0] != '\0';
    mock_message_header(message, NAMES_HEADER_DLQ_REASON, text, sizeof text);
    if (text[0] != '\0')
        snprintf(found->reason, sizeof found->reason, "%s", text);
    mock_message_header(message, NAMES_HEADER_ID, text, sizeof text);
    assert_true(text[0] != '\0');
    if (found->messages++ == 0)
        snprintf(found->first_id, sizeof found->first_id, "%.99s", text);
    found->by_partition[message->partition]++;
    numbered_visit(message->value, see_number, found);
}

static struct found *read_topic(const char *topic, int partitions)
{
    struct found *found = calloc(1, sizeof *found);
    assert_non_null(found);
    mock_kafka_read(&kafka, topic, partitions, see, found);
    return found;
}

static void assert_each_once(const struct found *found, uint64_t first, uint64_t end_)
{
    for (uint64_t i = first; i < end_; i++)
        if (found->seen[i] != 1)
            fail_msg("number %lu is there %u times", (unsigned long)i, found->seen[i]);
}

/* ---- the tests */

static void test_brings_every_item_to_kafka_once(void **state)
{
    (void)state;
    struct edge edge = {0};

    open_edge(&edge);
    append_all(&edge, 200, 7, 100);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    for (int i = 0; i < PARTITIONS; i++)
        assert_true(found->by_partition[i] > 0);
    free(found);
}

static void test_waits_while_the_broker_is_away(void **state)
{
    (void)state;
    struct edge edge = {0};

    open_edge(&edge);
    append_all(&edge, 5, 3, 10);
    await_empty(&edge);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    append_all(&edge, 50, 3, 10);
    peer_wait(500);
    assert_int_equal(waiting_items(&edge), 150);
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    for (uint64_t i = 0; i < edge.next; i++) /* the mock may have stored what it did not answer */
        assert_true(found->seen[i] >= 1 && found->seen[i] <= 1 + found->marked[i]);
    free(found);
}

static void test_halves_what_is_too_large_until_it_fits(void **state)
{
    (void)state;
    struct edge edge = {0};

    for (int i = 0; i < 5; i++)
        rd_kafka_mock_push_request_errors(kafka.cluster, PRODUCE, 1,
                                          RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    open_edge(&edge);
    append_all(&edge, 1, 64, 10);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS), *dead = read_topic("t.dlq", 1);
    assert_each_once(found, 0, 64);
    assert_true(found->messages > 1);
    assert_int_equal(dead->messages, 0);
    free(found);
    free(dead);
}

static void test_puts_one_item_that_is_too_large_into_the_dead_letters(void **state)
{
    (void)state;
    struct edge edge = {0};
    struct produce_state told;

    for (int i = 0; i < 2; i++) /* once more because it should have fit */
        rd_kafka_mock_push_request_errors(kafka.cluster, PRODUCE, 1,
                                          RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    open_edge(&edge);
    append_all(&edge, 1, 1, 10);
    await_empty(&edge);
    produce_state(edge.produce, &told);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS), *dead = read_topic("t.dlq", 1);
    assert_int_equal(found->messages + dead->messages, 1);
    assert_int_equal(dead->messages, 1);
    assert_int_equal(dead->seen[0], 1);
    assert_non_null(strstr(dead->reason, "large"));
    assert_int_equal(told.lanes[SIGNAL_LOGS].dead_letters, 1);
    free(found);
    free(dead);
}

/* With little memory, an item may be larger than all that may otherwise be under way. */
static void test_sends_an_item_that_is_larger_than_the_queue(void **state)
{
    (void)state;
    struct edge edge = {0};

    in_flight_bytes = 1 << 20;
    open_edge(&edge);
    append_all(&edge, 3, 1, 3 << 20);
    append_all(&edge, 10, 5, 100);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    free(found);
}

/* A fatal error ends a client, not the data. */
static void test_replaces_a_client_that_died(void **state)
{
    (void)state;
    struct edge edge = {0};
    struct produce_state told;

    rd_kafka_mock_push_request_errors(kafka.cluster, INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    open_edge(&edge);
    append_all(&edge, 20, 3, 10);
    await_empty(&edge);
    produce_state(edge.produce, &told);
    close_edge(&edge, 0);
    assert_int_equal(told.clients, 2);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    free(found);
}

static void write_certificate(const char *text)
{
    char fresh[128];

    snprintf(fresh, sizeof fresh, "%s.fresh", certificate);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, certificate), 0);
}

/* What is read when a client is made is read by another one, which goes on with the data. */
static void test_opens_another_client_when_a_certificate_has_changed(void **state)
{
    (void)state;
    struct edge edge = {0};
    struct produce_state told = {0};
    char path[96];

    snprintf(path, sizeof path, "/tmp/surgetank-produce-%d.crt", (int)getpid());
    certificate = path;
    write_certificate("one");
    open_edge(&edge);
    append_all(&edge, 20, 3, 10);
    await_empty(&edge);
    produce_state(edge.produce, &told);
    assert_int_equal(told.clients, 1);
    write_certificate("another");
    for (int ms = 0; told.clients < 2; ms += 20) {
        assert_true(ms <= DEADLINE_MS);
        peer_wait(20);
        assert_true(append(&edge, 1, 10));
        produce_state(edge.produce, &told);
    }
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    free(found);
    assert_int_equal(unlink(path), 0);
}

static void test_sends_again_under_the_same_name_after_a_restart(void **state)
{
    (void)state;
    struct edge edge = {0};
    char want[100];

    open_edge(&edge);
    append_all(&edge, 1, 1, 10); /* knows the topic, so that the next is sent */
    await_empty(&edge);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    append_all(&edge, 3, 1, 10);
    await_in_flight(&edge, 3);
    snprintf(want, sizeof want, "%016lx-", (unsigned long)spool_incarnation(edge.spool));
    close_edge(&edge, 0);
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    open_edge(&edge);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    for (uint64_t i = 0; i < edge.next; i++) {
        assert_true(found->seen[i] >= 1);
        assert_int_equal(found->marked[i] > 0, i > 0);
    }
    assert_memory_equal(found->first_id, want, strlen(want));
    free(found);
}

/* After a power cut the journal may be gone: whatever the run before left counts as a repeat, and
 * what came since does not. */
static void test_marks_all_of_an_earlier_run_where_its_journal_is_gone(void **state)
{
    (void)state;
    struct edge edge = {0};

    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    open_edge(&edge);
    append_all(&edge, 3, 1, 10);
    close_edge(&edge, 0);
    assert_int_equal(unlink(journal), 0);
    open_edge(&edge);
    append_all(&edge, 3, 1, 10);
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    for (uint64_t i = 0; i < edge.next; i++) {
        assert_int_equal(found->seen[i], 1);
        assert_int_equal(found->marked[i], i < 3);
    }
    free(found);
}

static void test_avoids_a_partition_without_a_leader(void **state)
{
    (void)state;
    struct edge edge = {0};

    rd_kafka_mock_partition_set_leader(kafka.cluster, "t", 2, -1);
    open_edge(&edge);
    append_all(&edge, 40, 1, 10);
    await_empty(&edge);
    close_edge(&edge, 0);
    rd_kafka_mock_partition_set_leader(kafka.cluster, "t", 2, 1);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, 40);
    assert_int_equal(found->by_partition[2], 0);
    assert_true(found->by_partition[0] > 0 && found->by_partition[1] > 0);
    free(found);
}

/* A key belongs to one partition, and waits for its leader. */
static void test_waits_for_the_leader_of_a_keys_partition(void **state)
{
    (void)state;
    struct edge edge = {0};
    int32_t partition = -1;

    topics[0].partition_by = PIPELINE_PARTITION_BY_RESOURCE;
    open_edge(&edge);
    append_all(&edge, 5, 1, 10);
    await_empty(&edge);
    struct found *found = read_topic("t", PARTITIONS);
    for (int32_t i = 0; i < PARTITIONS; i++)
        if (found->by_partition[i] == 5)
            partition = i;
    assert_true(partition >= 0);
    free(found);
    rd_kafka_mock_partition_set_leader(kafka.cluster, "t", partition, -1);
    close_edge(&edge, 0);
    open_edge(&edge); /* knows from the start that there is no leader */
    append_all(&edge, 5, 1, 10);
    peer_wait(1500);
    assert_int_equal(waiting_items(&edge), 5);
    rd_kafka_mock_partition_set_leader(kafka.cluster, "t", partition, 1);
    await_empty(&edge);
    close_edge(&edge, 0);
    found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    assert_int_equal(found->by_partition[partition], found->messages);
    free(found);
}

static void test_drains_before_it_closes(void **state)
{
    (void)state;
    struct edge edge = {0};

    open_edge(&edge);
    append_all(&edge, 100, 5, 100);
    close_edge(&edge, DEADLINE_MS);
    struct found *found = read_topic("t", PARTITIONS);
    assert_each_once(found, 0, edge.next);
    free(found);
}

/* ---- several topics, other encodings, dead letters */

static void test_sends_entries_to_the_topic_of_their_tag(void **state)
{
    (void)state;
    struct edge edge = {0};

    route_count = 2;
    open_edge(&edge);
    for (int i = 0; i < 60; i++) /* odd ones to the second topic, which is not there yet */
        assert_true(append_tagged(&edge, 1, 10, i % 2 == 1 ? TAG : 0));
    peer_wait(1500);
    assert_true(waiting_items(&edge) > 0);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "u", PARTITIONS, 1), 0);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS), *other = read_topic("u", PARTITIONS);
    for (uint64_t i = 0; i < edge.next; i++) {
        assert_int_equal(found->seen[i], i % 2 == 0);
        assert_int_equal(other->seen[i], i % 2 == 1);
    }
    free(found);
    free(other);
}

enum { LINES = 50 };

static void see_line(void *context, const struct mock_message *message)
{
    unsigned *seen = context;
    double seconds = 0;
    char text[256] = "";

    assert_true(message->value.len < sizeof text);
    memcpy(text, message->value.data, message->value.len);
    if (sscanf(text, "{\"@timestamp\":%lf,\"log\":\"", &seconds) != 1 || seconds < 1 ||
        seconds > LINES)
        fail_msg("%s", text);
    seen[(unsigned)seconds - 1]++;
}

static void test_writes_a_document_for_each_record(void **state)
{
    (void)state;
    struct edge edge = {0};
    unsigned seen[LINES] = {0};

    topics[0].encoding = PIPELINE_ENCODING_FLUENTBIT_JSON;
    open_edge(&edge);
    for (unsigned i = 0; i < LINES; i++) {
        edge.next = UINT64_C(1000000000) * (i + 1); /* nanoseconds, and seconds come out */
        assert_true(append(&edge, 1, 10));
    }
    await_empty(&edge);
    close_edge(&edge, 0);
    assert_int_equal(mock_kafka_read(&kafka, "t", PARTITIONS, see_line, seen), LINES);
    for (unsigned i = 0; i < LINES; i++)
        assert_int_equal(seen[i], 1);
}

/* Where the journal says that the parts of frames were headed, and what became of them. */
struct headed {
    struct journal *journal;
    unsigned marked, elsewhere;
};

static void see_where_it_was_headed(void *context, const struct mock_message *message)
{
    struct headed *headed = context;
    struct journal_entry entry;
    unsigned long seq;
    unsigned part;
    char text[200];

    mock_message_header(message, NAMES_HEADER_RETRY, text, sizeof text);
    if (text[0] == '\0')
        return;
    headed->marked++;
    mock_message_header(message, NAMES_HEADER_ID, text, sizeof text);
    assert_int_equal(sscanf(text, "%*16[0-9a-f]-%lu-%u/", &seq, &part), 2);
    assert_true(journal_find(headed->journal, SIGNAL_LOGS, seq, part, &entry));
    headed->elsewhere += message->partition != entry.partition;
}

enum { WAYLAID = 4 * LINES };

/* An edge ends with frames under way; each is one entry of the journal. */
static uint64_t end_with_messages_under_way(void)
{
    enum { RECORD_BYTES = 48, REQUESTS = WAYLAID / LINES };
    struct edge edge = {0};
    struct stat status;

    open_edge(&edge);
    append_all(&edge, 1, 1, 10); /* knows the topic, so that the next is sent */
    await_empty(&edge);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    append_all(&edge, REQUESTS, LINES, 10);
    await_in_flight(&edge, WAYLAID);
    uint64_t incarnation = spool_incarnation(edge.spool);
    close_edge(&edge, 0);
    assert_int_equal(stat(journal, &status), 0);
    assert_true(status.st_size <= (1 + 1 + REQUESTS) * RECORD_BYTES);
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    return incarnation;
}

static void send_the_rest(void)
{
    struct edge edge = {0};

    open_edge(&edge);
    await_empty(&edge);
    close_edge(&edge, 0);
}

static void test_sends_each_record_again_where_it_was_headed_before(void **state)
{
    (void)state;
    struct headed headed = {0};

    topics[0].encoding = PIPELINE_ENCODING_FLUENTBIT_JSON;
    uint64_t incarnation = end_with_messages_under_way();
    assert_ok(journal_open(journal, incarnation, &headed.journal, NULL));
    send_the_rest();
    mock_kafka_read(&kafka, "t", PARTITIONS, see_where_it_was_headed, &headed);
    assert_true(headed.marked >= WAYLAID);
    assert_int_equal(headed.elsewhere, 0);
    journal_close(&headed.journal);
}

enum { FORMER_PARTITIONS = PARTITIONS - 1 };

static void see_where_its_key_put_it_before(void *context, const struct mock_message *message)
{
    const struct bytes key = {message->message->key, message->message->key_len};
    unsigned *elsewhere_now = context;
    char text[200];

    assert_int_equal(key.len, 32);
    mock_message_header(message, NAMES_HEADER_RETRY, text, sizeof text);
    assert_true(text[0] != '\0');
    assert_int_equal(message->partition, produce_topic_by_key(key, FORMER_PARTITIONS));
    *elsewhere_now += message->partition != produce_topic_by_key(key, PARTITIONS);
}

/* Keys put messages elsewhere once a topic has grown, but not those that went out before. */
static void test_sends_each_key_again_where_it_was_headed_before(void **state)
{
    (void)state;
    unsigned elsewhere_now = 0;

    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "u", FORMER_PARTITIONS, 1), 0);
    topics[0].partition_by = PIPELINE_PARTITION_BY_TRACE_ID;
    topics[0].topic = "u";
    traced = true;
    end_with_messages_under_way();
    topics[0].topic = "t"; /* for the same one, grown */
    send_the_rest();
    assert_int_equal(
        mock_kafka_read(&kafka, "t", PARTITIONS, see_where_its_key_put_it_before, &elsewhere_now),
        WAYLAID);
    assert_true(elsewhere_now > 0);
}

static unsigned times_in(const char *text, const char *part)
{
    unsigned times = 0;

    while ((text = strstr(text, part)) != NULL) {
        times++;
        text++;
    }
    return times;
}

/* Not only in /debug/state, and not every second. */
static void test_logs_when_a_topic_is_missing_and_when_it_is_there(void **state)
{
    struct produce_state told = {0};
    struct edge edge = {0};
    char text[8192] = "";

    (void)state;
    FILE *log = tmpfile();
    assert_non_null(log);
    log_to(log);
    topics[0].topic = "late";
    open_edge(&edge);
    append_all(&edge, 3, 3, 10);
    for (int ms = 0; told.lanes[SIGNAL_LOGS].trouble[0] == '\0' && ms < DEADLINE_MS; ms += 20) {
        peer_wait(20);
        produce_state(edge.produce, &told);
    }
    peer_wait(2500); /* it is asked for every second */
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "late", PARTITIONS, 1), 0);
    await_empty(&edge);
    close_edge(&edge, 0);
    log_as_before();
    rewind(log);
    assert_true(fread(text, 1, sizeof text - 1, log) > 0);
    fclose(log);
    assert_int_equal(times_in(text, "topic 'late' does not exist"), 1);
    assert_int_equal(times_in(text, "Sends to Kafka again"), 1);
}

/* What Kafka will never take waits for the dead-letter topic, over a restart with Kafka away. */
/* A document that gives a signal up must not hide what was accepted of it. */
static void test_says_what_waits_for_a_topic_that_was_taken_out(void **state)
{
    struct produce_state told = {0};
    struct edge edge = {0};

    (void)state;
    open_edge(&edge);
    append_all(&edge, 1, 3, 10);
    await_empty(&edge);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    append_all(&edge, 1, 4, 10);
    close_edge(&edge, 0);
    route_count = 0;
    open_edge(&edge);
    for (int ms = 0; told.lanes[SIGNAL_LOGS].trouble[0] == '\0' && ms < DEADLINE_MS; ms += 20) {
        peer_wait(20);
        produce_state(edge.produce, &told);
    }
    assert_non_null(strstr(told.lanes[SIGNAL_LOGS].trouble, "4 items wait"));
    close_edge(&edge, 0);
    route_count = 1;
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    open_edge(&edge);
    await_empty(&edge);
    produce_state(edge.produce, &told);
    assert_string_equal(told.lanes[SIGNAL_LOGS].trouble, "");
    close_edge(&edge, 0);
}

static void test_keeps_dead_letters_until_their_topic_is_there(void **state)
{
    (void)state;
    struct edge edge = {0};

    topics[0].dead_letter = "later.dlq";
    open_edge(&edge);
    append_all(&edge, 1, 1, 10);
    await_empty(&edge);
    rd_kafka_mock_push_request_errors(kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    append_all(&edge, 1, 1, 10);
    peer_wait(1500);
    assert_int_equal(waiting_items(&edge), 1);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    close_edge(&edge, 0);
    open_edge(&edge);
    peer_wait(500);
    assert_int_equal(waiting_items(&edge), 1);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "later.dlq", 1, 1), 0);
    rd_kafka_mock_push_request_errors(kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS), *dead = read_topic("later.dlq", 1);
    assert_int_equal(found->seen[0], 1);
    assert_int_equal(dead->seen[1], 1);
    assert_true(dead->reason[0] != '\0');
    free(found);
    free(dead);
}

/* ---- what is fresh, and a backlog */

enum { BACKLOG = 1500, FRESH = 20 }; /* a partition of the mock keeps 5 MB */

struct times {
    int64_t sent_ms[BACKLOG + FRESH + 1];
    unsigned seen[BACKLOG + FRESH + 1];
    int64_t at_ms;
};

static void see_time(void *context, uint64_t number)
{
    struct times *times = context;

    assert_true(number <= BACKLOG + FRESH);
    times->sent_ms[number] = times->at_ms;
    times->seen[number]++;
}

static void see_times(void *context, const struct mock_message *message)
{
    rd_kafka_timestamp_type_t type;
    struct times *times = context;

    times->at_ms = rd_kafka_message_timestamp(message->message, &type);
    numbered_visit(message->value, see_time, times);
}

/* A backlog of 12 MB that drains at 5 MB/s at most, and an item now and then while more than half
 * of it is left: how long it takes until that is sent, at most, and how long the backlog takes. */
static void drain_with_fresh(bool wanted, uint64_t *ret_fresh_ms, uint64_t *ret_backlog_ms)
{
    struct edge edge = {0};
    struct times *times = calloc(1, sizeof *times);
    int64_t appended_ms[FRESH], last_ms = 0, worst_ms = 0;
    int fresh = 0;

    assert_non_null(times);
    in_flight_bytes = 512 << 10;
    fresh_first = !wanted; /* it is told while it runs */
    open_edge(&edge);
    append_all(&edge, 1, 1, 10);
    await_empty(&edge);
    produce_set_fresh_first(edge.produce, wanted);
    rd_kafka_mock_broker_set_down(kafka.cluster, 1);
    append_all(&edge, BACKLOG, 1, 8000);
    rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 100);
    int64_t from_ms = (int64_t)clock_wall_ms();
    rd_kafka_mock_broker_set_up(kafka.cluster, 1);
    for (int ms = 0; waiting_items(&edge) == BACKLOG; ms += 5) {
        assert_true(ms <= DEADLINE_MS);
        peer_wait(5);
    }
    while (fresh < FRESH && waiting_items(&edge) > BACKLOG / 2) {
        appended_ms[fresh++] = (int64_t)clock_wall_ms();
        append_all(&edge, 1, 1, 10);
        peer_wait(50);
    }
    assert_true(fresh > 0); /* or it proves nothing */
    await_empty(&edge);
    close_edge(&edge, 0);
    rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 0);
    mock_kafka_read(&kafka, "t", PARTITIONS, see_times, times);
    for (int i = 0; i <= BACKLOG + fresh; i++)
        assert_true(times->seen[i] >= 1);
    for (int i = 1; i <= BACKLOG; i++)
        last_ms = times->sent_ms[i] > last_ms ? times->sent_ms[i] : last_ms;
    for (int i = 0; i < fresh; i++) {
        int64_t late = times->sent_ms[1 + BACKLOG + i] - appended_ms[i];
        worst_ms = late > worst_ms ? late : worst_ms;
    }
    *ret_fresh_ms = (uint64_t)worst_ms;
    *ret_backlog_ms = (uint64_t)(last_ms - from_ms);
    free(times);
}

static void test_sends_what_is_fresh_ahead_of_a_backlog(void **state)
{
    (void)state;
    uint64_t fresh_ms = 0, backlog_ms = 0;

    drain_with_fresh(true, &fresh_ms, &backlog_ms);
    print_message("fresh within %lu ms, backlog in %lu ms\n", (unsigned long)fresh_ms,
                  (unsigned long)backlog_ms);
    assert_true(fresh_ms < backlog_ms / 2); /* in turn they come last */
}

static void test_keeps_the_order_where_nothing_is_to_go_ahead(void **state)
{
    (void)state;
    uint64_t fresh_ms = 0, backlog_ms = 0;

    drain_with_fresh(false, &fresh_ms, &backlog_ms);
    assert_true(fresh_ms > backlog_ms / 4);
}

/* ---- kill -9 */

/* The child: appends, and writes each number to the pipe once it is acknowledged. Never more than
 * its share of the numbers: a fast machine must not run out of them before the last kill. */
static void run_until_killed(int to_parent, uint64_t first)
{
    struct edge edge = {.next = first};
    const uint64_t end = first + NUMBERS / KILLS - 1;

    open_edge(&edge);
    for (;;) {
        uint64_t number = edge.next;
        if (number >= end)
            pause();
        if (!append(&edge, 1, 200)) { /* full: it goes on when some is in Kafka */
            edge.next = number;
            peer_wait(1);
        } else if (write(to_parent, &number, sizeof number) != sizeof number) {
            _exit(1);
        }
    }
}

static void test_loses_nothing_acknowledged_however_often_it_is_killed(void **state)
{
    (void)state;
    static bool acked[NUMBERS];
    uint64_t next = 0, count = 0, number;

    in_flight_bytes = 64 << 10; /* so that fresh frames go ahead now and then */
    memset(acked, 0, sizeof acked);
    for (int round = 0; round < KILLS; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            run_until_killed(ends[1], next);
        }
        close(ends[1]);
        for (int i = 0; i < AWAKE; i++) { /* it may take its time to start */
            assert_int_equal(read(ends[0], &number, sizeof number), sizeof number);
            acked[number] = true;
            next = number + 1;
            count++;
        }
        peer_wait(200 + 97 * (unsigned)round);
        rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, round % 2 * 2000); /* stored, not told */
        peer_wait(100);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        rd_kafka_mock_broker_set_rtt(kafka.cluster, 1, 0);
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            acked[number] = true;
            next = number + 1;
            count++;
        }
        next += 1; /* one that was under way may be there too */
        close(ends[0]);
    }
    assert_true(count >= AWAKE * KILLS);

    struct edge edge = {.next = next};
    open_edge(&edge);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    for (uint64_t i = 0; i < next; i++) {
        if (acked[i] && found->seen[i] == 0)
            fail_msg("number %lu was acknowledged and is lost", (unsigned long)i);
        if (found->seen[i] > 1 + found->marked[i])
            fail_msg("number %lu is there %u times, and only %u say so", (unsigned long)i,
                     found->seen[i], found->marked[i]);
    }
    print_message("%lu acknowledged, %u messages\n", (unsigned long)count, found->messages);
    free(found);
}

static void test_says_so_where_a_cursor_that_was_not_saved_makes_it_repeat(void **state)
{
    (void)state;
    enum { MESSAGES = JOURNAL_SLACK + 500 }; /* so many that the journal may be written anew */
    int ends[2];
    char done = 0;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct edge edge = {0};
        open_edge_saving(&edge, 600000);
        append_all(&edge, JOURNAL_SLACK, 1, 10);
        await_empty(&edge);
        append_all(&edge, MESSAGES - JOURNAL_SLACK, 1, 10);
        await_empty(&edge);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &done, 1), 1);
    close(ends[0]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);

    struct edge edge = {0};
    open_edge(&edge);
    await_empty(&edge);
    close_edge(&edge, 0);
    struct found *found = read_topic("t", PARTITIONS);
    unsigned repeats = 0;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_true(found->seen[i] >= 1);
        assert_int_equal(found->seen[i], 1 + found->marked[i]);
        repeats += found->marked[i];
    }
    assert_true(repeats > 0);
    free(found);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter(argv[1]);
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_brings_every_item_to_kafka_once),
        T(test_waits_while_the_broker_is_away),
        T(test_halves_what_is_too_large_until_it_fits),
        T(test_puts_one_item_that_is_too_large_into_the_dead_letters),
        T(test_sends_an_item_that_is_larger_than_the_queue),
        T(test_replaces_a_client_that_died),
        T(test_opens_another_client_when_a_certificate_has_changed),
        T(test_sends_again_under_the_same_name_after_a_restart),
        T(test_marks_all_of_an_earlier_run_where_its_journal_is_gone),
        T(test_avoids_a_partition_without_a_leader),
        T(test_waits_for_the_leader_of_a_keys_partition),
        T(test_drains_before_it_closes),
        T(test_sends_what_is_fresh_ahead_of_a_backlog),
        T(test_keeps_the_order_where_nothing_is_to_go_ahead),
        T(test_sends_entries_to_the_topic_of_their_tag),
        T(test_writes_a_document_for_each_record),
        T(test_logs_when_a_topic_is_missing_and_when_it_is_there),
        T(test_sends_each_record_again_where_it_was_headed_before),
        T(test_sends_each_key_again_where_it_was_headed_before),
        T(test_says_what_waits_for_a_topic_that_was_taken_out),
        T(test_keeps_dead_letters_until_their_topic_is_there),
        T(test_loses_nothing_acknowledged_however_often_it_is_killed),
        T(test_says_so_where_a_cursor_that_was_not_saved_makes_it_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
