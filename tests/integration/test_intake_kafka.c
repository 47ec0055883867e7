/* Promise: a gateway's group commits nothing that was not delivered, gives partitions back only
 * when their messages are through, counts what retention took, leaves out what it has read before,
 * and holds no more than its memory is for. On librdkafka's mock cluster. */
// link: tests/support/mock_kafka.c tests/support/numbered.c tests/support/kafka_peer.c tests/support/any_property.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/metrics.h"
#include "sidecar/gateway/dead_letters.h"
#include "sidecar/gateway/intake.h"
#include "sidecar/net/net_loop.h"
#include "tests/support/kafka_peer.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/numbered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PARTITIONS = 2, HELD_MAX = 256, DEADLINE_MS = 60000 };

static struct mock_kafka kafka;
static struct net_loop *loop;
static bool begin_latest; /* the group of members opened from now on */

/* A gateway without a backend: parcels pile up until the test says that they are done. */
struct member {
    struct pipeline pipeline;
    struct pipeline_kafka kafka;
    struct pipeline_topic topic;
    const struct pipeline_topic *from[1];
    const char *servers[1];
    struct pipeline_gateway gateway;
    struct kafka_access access;
    struct dead_letters *dead_letters;
    struct intake *intake;
    struct parcel *held[HELD_MAX];
    uint64_t numbers[HELD_MAX];
    unsigned count;
};

static int begin(void **state)
{
    (void)state;
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", PARTITIONS, 1), 0);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t.dlq", 1, 1), 0);
    assert_ok(net_loop_create(&loop, NULL));
    return 0;
}

static int end(void **state)
{
    (void)state;
    net_loop_destroy(&loop);
    mock_kafka_stop(&kafka);
    return 0;
}

static void see_number(void *context, uint64_t number)
{
    *(uint64_t *)context = number;
}

static void on_deliver(void *context, struct parcel *parcel)
{
    struct member *member = context;

    assert_true(member->count < HELD_MAX);
    numbered_visit(parcel->value, see_number, &member->numbers[member->count]);
    member->held[member->count++] = parcel;
}

static void on_wake(void *context)
{
    (void)context; /* polled all the time */
}

static void prepare_member(struct member *member)
{
    memset(member, 0, sizeof *member);
    member->servers[0] = kafka.bootstrap;
    member->kafka.bootstrap_servers.items = member->servers;
    member->kafka.bootstrap_servers.count = 1;
    member->topic = (struct pipeline_topic){
        .name = "t", .topic = "t", .signal = SIGNAL_LOGS, .dead_letter = "t.dlq"};
    member->from[0] = &member->topic;
    member->gateway = (struct pipeline_gateway){
        .name = "g",
        .from = member->from,
        .from_count = 1,
        .group_id = "g",
        .initial_offset = begin_latest ? PIPELINE_OFFSET_LATEST : PIPELINE_OFFSET_EARLIEST,
        .memory_limit_bytes = 64 << 20};
    member->pipeline = (struct pipeline){
        .name = "p", .namespace = "ns", .kafka = &member->kafka, .topics = &member->topic};
    member->access =
        (struct kafka_access){.bootstrap_servers = kafka.bootstrap, .client_id = "letters"};
}

static void start_member(struct member *member, const char *secrets_dir)
{
    const struct dead_letters_options letters = {.access = &member->access, .source = "ns/p/g"};
    assert_ok(dead_letters_open(&letters, &member->dead_letters, NULL));
    const struct intake_options options = {.loop = loop,
                                           .pipeline = &member->pipeline,
                                           .gateway = &member->gateway,
                                           .secrets_dir = secrets_dir,
                                           .dead_letters = member->dead_letters,
                                           .deliver = on_deliver,
                                           .wake = on_wake,
                                           .context = member};
    assert_ok(intake_kafka_open(&options, &member->intake, NULL));
}

static void open_member(struct member *member)
{
    prepare_member(member);
    start_member(member, NULL);
}

/* Names a certificate without using it: the mock cluster has no TLS (any_property.c lets that
 * pass). */
static void open_member_with_files(struct member *member, const char *dir)
{
    static struct pipeline_pair plain = {"security.protocol", "plaintext"};
    static const struct pipeline_tls_client tls = {
        .enabled = true,
        .certificate_secret = {.name = "own", .key = "tls.crt"},
        .key_secret = {.name = "own", .key = "tls.key"}};

    prepare_member(member);
    member->kafka.tls = tls;
    member->kafka.properties = (struct pipeline_map){&plain, 1};
    start_member(member, dir);
}

static void close_member(struct member *member)
{
    member->intake->kind->stop(member->intake);
    member->intake->kind->commit(member->intake, clock_mono_ms());
    dead_letters_close(&member->dead_letters);
    member->intake->kind->close(member->intake);
}

/* As a crash: nothing is committed. */
static void drop_member(struct member *member)
{
    dead_letters_close(&member->dead_letters);
    member->intake->kind->close(member->intake);
}

static void poll_member(struct member *member)
{
    member->intake->kind->poll(member->intake, clock_mono_ms());
    dead_letters_poll(member->dead_letters, clock_mono_ms());
    net_loop_run_once(loop, 5);
}

static struct intake_state state_of(const struct member *member)
{
    struct intake_state state;
    member->intake->kind->state(member->intake, &state);
    return state;
}

static void await_parcels(struct member *member, unsigned count)
{
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    while (member->count < count) {
        if (clock_mono_ms() > until_ms)
            fail_msg("%u parcels of %u: %s", member->count, count, state_of(member).trouble);
        poll_member(member);
    }
}

static void poll_for(struct member *member, uint64_t ms)
{
    for (uint64_t until_ms = clock_mono_ms() + ms; clock_mono_ms() < until_ms;)
        poll_member(member);
}

static void finish(struct member *member, unsigned index)
{
    member->intake->kind->done(member->intake, member->held[index], clock_mono_ms());
}

/* One message with one number; `id` and `retry` may be NULL. */
static void put_padded(int32_t partition, uint64_t number, size_t padding, const char *id,
                       const char *retry)
{
    static const char *const junk = "no protobuf";
    AUTO(buf_fini) struct buf value = {0};
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap, why, sizeof why),
                     0);
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    rd_kafka_headers_t *headers = rd_kafka_headers_new(2);

    if (number == UINT64_MAX)
        assert_ok(buf_append_text(&value, junk));
    else
        numbered_request(number, 1, padding, &value);
    if (id != NULL)
        rd_kafka_header_add(headers, NAMES_HEADER_ID, -1, id, -1);
    if (retry != NULL)
        rd_kafka_header_add(headers, NAMES_HEADER_RETRY, -1, retry, -1);
    assert_int_equal(rd_kafka_producev(client, RD_KAFKA_V_TOPIC("t"),
                                       RD_KAFKA_V_PARTITION(partition),
                                       RD_KAFKA_V_VALUE(value.data, value.len),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(client, 60000), 0);
    rd_kafka_destroy(client);
}

static void put(int32_t partition, uint64_t number, const char *id, const char *retry)
{
    put_padded(partition, number, 10, id, retry);
}

static int64_t committed(int32_t partition)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", kafka.bootstrap, why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", "g", why, sizeof why);
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, "t", partition);
    assert_int_equal(rd_kafka_committed(client, list, 60000), 0);
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
    return offset;
}

/* ---- the tests */

static void test_commits_only_below_what_is_not_delivered(void **state)
{
    (void)state;
    struct member member;

    for (uint64_t i = 0; i < 10; i++)
        put(0, i, NULL, NULL);
    open_member(&member);
    await_parcels(&member, 10);
    for (unsigned i = 0; i < 10; i++)
        if (member.numbers[i] < 5 || member.numbers[i] == 7)
            finish(&member, i);
    close_member(&member);
    assert_int_equal(committed(0), 5);

    open_member(&member); /* and from there on it is read again, 7 too */
    await_parcels(&member, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(member.numbers[i], 5 + i);
    poll_for(&member, 300);
    assert_int_equal(member.count, 5);
    drop_member(&member);
    assert_int_equal(committed(0), 5);
}

static void test_leaves_out_what_it_has_read_before_if_it_says_that_it_may_be_a_repeat(void **state)
{
    (void)state;
    struct member member;

    put(0, 1, "a-1-0/1", NULL);
    put(0, 2, "a-2-0/1", NULL);
    put(0, 1, "a-1-0/1", "123"); /* a repeat */
    put(0, 3, "a-3-0/1", "123"); /* its first try never arrived */
    put(0, 3, "a-3-0/1", "123");
    put(0, 2, "a-2-0/1", NULL); /* another producer's habits: not marked, so delivered */
    open_member(&member);
    await_parcels(&member, 4);
    poll_for(&member, 300);
    assert_int_equal(member.count, 4);
    static const uint64_t want[] = {1, 2, 3, 2};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(member.numbers[i], want[i]);
        finish(&member, i);
    }
    assert_int_equal(state_of(&member).repeats, 2);
    close_member(&member);
    assert_int_equal(committed(0), 6);
}

/* The first tries lie before the place where this member begins: it looks there, once, when a
 * message says that it may be a repeat. */
static void test_knows_the_first_try_of_a_repeat_that_was_read_by_another_member(void **state)
{
    (void)state;
    struct member member;

    put(0, 1, "a-1-0/1", NULL);
    put(0, 2, "a-2-0/1", NULL);
    put(0, 9, NULL, NULL);
    peer_commit(kafka.bootstrap, "g", "t", 0, 3);
    put(0, 4, "a-4-0/1", NULL);
    put(0, 1, "a-1-0/1", "123"); /* a repeat */
    put(0, 5, "a-5-0/1", NULL);
    put(0, 3, "a-3-0/1", "123"); /* its first try never arrived */
    put(0, 2, "a-2-0/1", "123"); /* a repeat */
    put(0, 4, "a-4-0/1", "123"); /* a repeat of what came since */
    open_member(&member);
    await_parcels(&member, 3);
    poll_for(&member, 300);
    assert_int_equal(member.count, 3);
    static const uint64_t want[] = {4, 5, 3};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(member.numbers[i], want[i]);
        finish(&member, i);
    }
    assert_int_equal(state_of(&member).repeats, 3);
    close_member(&member);
    assert_int_equal(committed(0), 9);
}

/* What a group that began at the end left out was delivered by nobody. */
static void test_takes_nothing_for_a_repeat_of_what_its_group_left_out(void **state)
{
    (void)state;
    struct member member;

    put(0, 1, "a-1-0/1", NULL);
    begin_latest = true;
    open_member(&member);
    begin_latest = false;
    for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS; state_of(&member).partitions < 2;) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
    }
    put(0, 1, "a-1-0/1", "123");
    await_parcels(&member, 1);
    assert_int_equal(member.numbers[0], 1);
    assert_int_equal(state_of(&member).repeats, 0);
    finish(&member, 0);
    close_member(&member);
}

static void see_letter(void *context, const struct mock_message *message)
{
    char text[200];

    (*(unsigned *)context)++;
    mock_message_header(message, NAMES_HEADER_DLQ_OFFSET, text, sizeof text);
    assert_string_equal(text, "1");
    mock_message_header(message, NAMES_HEADER_DLQ_TOPIC, text, sizeof text);
    assert_string_equal(text, "t");
    mock_message_header(message, NAMES_HEADER_ID, text, sizeof text); /* the original's own */
    assert_string_equal(text, "x");
    assert_memory_equal(message->value.data, "no protobuf", 11);
}

static void test_commits_past_what_it_can_not_read_once_that_is_a_dead_letter(void **state)
{
    (void)state;
    struct member member;
    unsigned letters = 0;

    put(0, 1, NULL, NULL);
    put(0, UINT64_MAX, "x", NULL);
    put(0, 2, NULL, NULL);
    open_member(&member);
    await_parcels(&member, 2);
    for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;
         dead_letters_count(member.dead_letters) == 0;) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
    }
    finish(&member, 0);
    finish(&member, 1);
    assert_int_equal(state_of(&member).undecodable, 1);
    close_member(&member);
    assert_int_equal(committed(0), 3);
    mock_kafka_read(&kafka, "t.dlq", 1, see_letter, &letters);
    assert_int_equal(letters, 1);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s/own/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_files(const char *dir)
{
    static const char *const names[] = {"own/tls.crt", "own/tls.key", "own", "."};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_int_equal(i < 2 ? unlink(path) : rmdir(i == 2 ? path : dir), 0);
    }
}

static double renewals(void)
{
    static const struct metric_desc desc = {.name =
                                                "surgetank_gateway_kafka_credential_reloads_total",
                                            .kind = METRIC_COUNTER,
                                            .labels = {"result"}};
    return metric_value(metrics_series(&desc, "ok"));
}

static void test_comes_back_with_a_new_certificate_once_all_is_through(void **state)
{
    (void)state;
    struct member member;
    char dir[] = "/tmp/surgetank-intake-XXXXXX", own[64];
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    assert_non_null(mkdtemp(dir));
    snprintf(own, sizeof own, "%s/own", dir);
    assert_int_equal(mkdir(own, 0700), 0);
    write_file(dir, "tls.crt", "one");
    write_file(dir, "tls.key", "one");
    for (uint64_t i = 0; i < 4; i++)
        put(0, i, NULL, NULL);
    open_member_with_files(&member, dir);
    await_parcels(&member, 4);
    finish(&member, 0);

    double before = renewals();
    write_file(dir, "tls.crt", "another");
    while (renewals() == before) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
    }
    poll_for(&member, 200); /* it waits for the others */
    assert_int_equal(state_of(&member).partitions, PARTITIONS);
    for (unsigned i = 1; i < 4; i++)
        finish(&member, i);
    while (state_of(&member).partitions != 0) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
    }
    assert_int_equal(committed(0), 4); /* before it left */
    put(0, 4, NULL, NULL);
    await_parcels(&member, 5);
    assert_int_equal(member.numbers[4], 4);
    finish(&member, 4);
    close_member(&member);
    assert_int_equal(committed(0), 5);
    remove_files(dir);
}

static void test_says_why_dead_letters_wait(void **state)
{
    (void)state;
    struct member member;
    char text[256];

    rd_kafka_mock_push_request_errors(kafka.cluster, 0, 1, RD_KAFKA_RESP_ERR_NO_ERROR);
    put(0, UINT64_MAX, "x", NULL);
    open_member(&member);
    rd_kafka_mock_topic_set_error(kafka.cluster, "t.dlq",
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;
    do {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
        dead_letters_trouble(member.dead_letters, text, sizeof text);
    } while (text[0] == '\0');
    assert_int_equal(dead_letters_waiting(member.dead_letters), 1);
    close_member(&member);
    assert_true(committed(0) <= 0); /* it is not in the dead letters, so it is not done */
}

static void test_counts_what_retention_took_and_goes_on_at_the_earliest(void **state)
{
    (void)state;
    struct member member;

    for (uint64_t i = 0; i < 10; i++)
        put(0, i, NULL, NULL);
    peer_commit(kafka.bootstrap, "g", "t", 0, 2);
    assert_int_equal(rd_kafka_mock_partition_delete_records(kafka.cluster, "t", 0, 6), 0);
    open_member(&member);
    await_parcels(&member, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(member.numbers[i], 6 + i);
        finish(&member, i);
    }
    assert_int_equal(state_of(&member).missed, 4);
    close_member(&member);
    assert_int_equal(committed(0), 10);
}

/* Another member joins while messages are under way: what it takes over begins behind them. */
static void test_delivers_first_what_it_has_of_a_partition_that_is_asked_back(void **state)
{
    (void)state;
    struct member first, second;

    for (uint64_t i = 0; i < 6; i++)
        put((int32_t)(i % PARTITIONS), i, NULL, NULL);
    open_member(&first);
    await_parcels(&first, 6);
    open_member(&second);
    for (uint64_t until_ms = clock_mono_ms() + 5000; clock_mono_ms() < until_ms;) {
        poll_member(&first);
        poll_member(&second);
        assert_int_equal(second.count, 0); /* for all of it is under way at the first */
        if (state_of(&second).partitions > 0)
            break;
    }
    assert_int_equal(first.count, 6);
    for (unsigned i = 0; i < 6; i++)
        finish(&first, i);
    for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS; state_of(&second).partitions == 0;) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&first);
        poll_member(&second);
    }
    put(0, 10, NULL, NULL);
    put(1, 11, NULL, NULL);
    for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS; first.count + second.count < 8;) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&first);
        poll_member(&second);
    }
    assert_int_equal(first.count, 7);
    assert_int_equal(second.count, 1); /* only the new one: nothing twice */
    close_member(&second);
    close_member(&first);
}

static void test_makes_up_for_a_commit_that_kafka_did_not_take(void **state)
{
    (void)state;
    enum { OFFSET_COMMIT = 8 };
    struct member member;

    put(0, 1, NULL, NULL);
    open_member(&member);
    await_parcels(&member, 1);
    finish(&member, 0);
    rd_kafka_mock_push_request_errors(kafka.cluster, OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    for (uint64_t until_ms = clock_mono_ms() + DEADLINE_MS; committed(0) != 1;) {
        assert_true(clock_mono_ms() < until_ms); /* the first one fails, and nothing came since */
        poll_for(&member, 500);
    }
    drop_member(&member);
}

/* A backend that takes nothing: Kafka holds what is above the gateway's share, and it comes when
 * there is room again. */
static void test_holds_no_more_than_its_share_and_reads_on_when_there_is_room(void **state)
{
    enum { MESSAGES = 24, PADDING = 100 << 10, LIMIT = 4 << 20, SHARE = LIMIT / 4 };
    (void)state;
    struct member member;
    uint64_t until_ms = clock_mono_ms() + DEADLINE_MS;

    for (uint64_t i = 0; i < MESSAGES; i++)
        put_padded(0, i, PADDING, NULL, NULL);
    prepare_member(&member);
    member.gateway.memory_limit_bytes = LIMIT;
    start_member(&member, NULL);
    while (state_of(&member).held_bytes < SHARE) {
        assert_true(clock_mono_ms() < until_ms);
        poll_member(&member);
    }
    poll_for(&member, 500);
    assert_in_range(state_of(&member).held_bytes, SHARE, SHARE + PADDING + 1024);
    for (unsigned done = 0; done < MESSAGES; done++) {
        await_parcels(&member, done + 1);
        assert_int_equal(member.numbers[done], done);
        finish(&member, done);
    }
    assert_int_equal(state_of(&member).held_bytes, 0);
    close_member(&member);
    assert_int_equal(committed(0), MESSAGES);
}

/* It had answered before it stored, and then it was gone: what was done less than `settle` ago may
 * be gone as well. */
static void test_hands_on_once_more_what_a_backend_that_was_lost_may_not_have_stored(void **state)
{
    (void)state;
    struct member member;

    for (uint64_t i = 0; i < 4; i++)
        put(0, i, NULL, NULL);
    prepare_member(&member);
    member.gateway.settle_ms = 3600 * 1000;
    start_member(&member, NULL);
    await_parcels(&member, 4);
    for (unsigned i = 0; i < 4; i++)
        finish(&member, i);
    member.intake->kind->rewind(member.intake);
    await_parcels(&member, 8);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(member.numbers[4 + i], i);
        finish(&member, 4 + i);
    }
    close_member(&member);
    assert_true(committed(0) <= 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_commits_only_below_what_is_not_delivered),
        T(test_leaves_out_what_it_has_read_before_if_it_says_that_it_may_be_a_repeat),
        T(test_knows_the_first_try_of_a_repeat_that_was_read_by_another_member),
        T(test_takes_nothing_for_a_repeat_of_what_its_group_left_out),
        T(test_commits_past_what_it_can_not_read_once_that_is_a_dead_letter),
        T(test_comes_back_with_a_new_certificate_once_all_is_through),
        T(test_says_why_dead_letters_wait),
        T(test_counts_what_retention_took_and_goes_on_at_the_earliest),
        T(test_delivers_first_what_it_has_of_a_partition_that_is_asked_back),
        T(test_makes_up_for_a_commit_that_kafka_did_not_take),
        T(test_holds_no_more_than_its_share_and_reads_on_when_there_is_room),
        T(test_hands_on_once_more_what_a_backend_that_was_lost_may_not_have_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
