/* Promise: an edge with the default memoryLimit stays below 64 MB resident under any load of
 * requests up to 1 MiB, takes them all in the end, and makes who is too early wait rather than
 * refusing it. With larger ones it stays below memoryLimit. The requests don't compress, so that what is on its way to Kafka is as large as what
 * came in. Peaks are the kernel's own (VmHWM). */
// link: tests/support/broker_process.c tests/support/edge_process.c tests/support/mock_kafka.c
// link: tests/support/numbered.c tests/support/ledger.c tests/support/free_port.c
#include "tests/support/test.h"

#include "common/file.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/net/net_loop.h"
#include "tests/support/broker_process.h"
#include "tests/support/edge_process.h"
#include "tests/support/numbered.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 6,
    CLIENTS = 128,
    CONNECTIONS = 4, /* of gRPC, which share out CLIENTS calls at a time */
    EACH = 2,        /* requests of a client */
    RECORDS = 16,
    TEXT = (1 << 16) - 40, /* bytes of each, so that a request is a little less than 1 MiB */
    PEAK_MAX_KB = 64 * 1000 * 1000 / 1024,
    AGAIN_MS = 100,
    CALL_MS = 120000,
    LARGE = 15 << 20, /* bytes of text of a large request */
    LARGE_COUNT = 12,
    LARGE_PEAK_MAX_KB = 128 << 10,
};

/* All before this process has threads or much memory: an edge would begin with what it has. */
static struct bed {
    struct broker_process broker;
    struct edge_process edge;
} beds[3];

static struct buf request;
static atomic_uint taken, refused;

/* Makes the texts, which are nothing but runs of small letters, random ones. */
static void spoil(void)
{
    for (size_t i = 0, run = 0; i < request.len; i++) {
        bool is_text = request.data[i] >= 'a' && request.data[i] <= 'z';
        run = is_text ? run + 1 : 0;
        if (run > 26)
            request.data[i] = (uint8_t)('a' + rand() % 26);
    }
}

static void start(struct bed *bed)
{
    broker_process_start(&bed->broker);
    broker_process_topic(&bed->broker, "t", PARTITIONS);
    edge_process_make(&bed->edge);
    edge_process_write(&bed->edge, &(struct edge_document){.bootstrap = bed->broker.bootstrap,
                                                           .topic = "t",
                                                           .body_max = "16Mi",
                                                           .spool = "{size: 1Gi, minFree: 0%}"});
    edge_process_start(&bed->edge);
    edge_process_await_ready(&bed->edge);
}

static int start_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof beds / sizeof beds[0]; i++)
        start(&beds[i]);
    numbered_request(1, RECORDS, TEXT, &request);
    spoil();
    return 0;
}

static int end_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof beds / sizeof beds[0]; i++) {
        edge_process_remove(&beds[i].edge);
        broker_process_stop(&beds[i].broker);
    }
    buf_fini(&request);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    atomic_store(&taken, 0);
    atomic_store(&refused, 0);
    return 0;
}

static unsigned long peak_kb(const struct bed *bed)
{
    AUTO(buf_fini) struct buf status = {0};
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/status", (int)bed->edge.pid);
    assert_ok(file_read(path, 1 << 16, &status, NULL));
    const char *at = strstr(buf_text(&status), "VmHWM:");
    assert_non_null(at);
    return strtoul(at + 6, NULL, 10);
}

static void check(const struct bed *bed)
{
    unsigned long kb = peak_kb(bed);

    print_message("%u requests of 1 MiB taken, %u refused on the way, peak %lu kB\n",
                  atomic_load(&taken), atomic_load(&refused), kb);
    assert_int_equal(atomic_load(&taken), CLIENTS * EACH);
    assert_in_range(kb, 1, PEAK_MAX_KB);
}

/* ---- HTTP: a connection for each client */

static void *post_all(void *context)
{
    const struct bed *bed = context;

    for (int i = 0; i < EACH;) {
        if (edge_process_post(&bed->edge, "application/x-protobuf", &request) == 200) {
            atomic_fetch_add(&taken, 1);
            i++;
        } else { /* the disk was slower than the edge waits */
            atomic_fetch_add(&refused, 1);
            poll(NULL, 0, AGAIN_MS);
        }
    }
    return NULL;
}

static void test_many_connections_of_http_stay_below_64_mb(void **state)
{
    pthread_t clients[CLIENTS];

    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, post_all, &beds[0]), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    check(&beds[0]);
}

/* ---- gRPC: many streams on few connections */

struct caller {
    struct net_loop *loop;
    struct grpc_client *clients[CONNECTIONS];
    struct bytes message;
    unsigned under_way;
};

static void call_done(void *context, const struct grpc_result *result)
{
    struct caller *caller = context;

    caller->under_way--;
    if (result->outcome == GRPC_CALL_ANSWERED && result->status == GRPC_OK)
        atomic_fetch_add(&taken, 1);
    else
        atomic_fetch_add(&refused, 1);
}

static void test_many_streams_of_grpc_stay_below_64_mb(void **state)
{
    struct caller caller = {.message = buf_bytes(&request)};
    struct grpc_client_options options;

    (void)state;
    const struct grpc_call_params params = {
        .path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        .message = &caller.message,
        .message_count = 1,
        .timeout_ms = CALL_MS,
        .done = call_done,
        .ctx = &caller};
    grpc_client_options_init(&options);
    options.host = "127.0.0.1";
    options.port = beds[1].edge.grpc_port;
    assert_ok(net_loop_create(&caller.loop, NULL));
    for (int i = 0; i < CONNECTIONS; i++)
        assert_ok(grpc_client_create(caller.loop, &options, &caller.clients[i], NULL));
    for (unsigned next = 0; atomic_load(&taken) < CLIENTS * EACH;) {
        unsigned wanted = CLIENTS * EACH - atomic_load(&taken);
        for (; caller.under_way < CLIENTS && caller.under_way < wanted; caller.under_way++)
            assert_ok(grpc_client_call(caller.clients[next++ % CONNECTIONS], &params, NULL, NULL));
        net_loop_run_once(caller.loop, 100);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        grpc_client_destroy(&caller.clients[i]);
    net_loop_destroy(&caller.loop);
    check(&beds[1]);
}

/* ---- large ones, as JSON, which are texts and messages at a time, while no frame goes away */

static void test_large_requests_stay_below_the_limit(void **state)
{
    static const char head[] = "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":"
                               "{\"stringValue\":\"";
    static const char end[] = "\"}}]}]}]}";
    AUTO(buf_fini) struct buf text = {0};
    struct bed *bed = &beds[2];

    (void)state;
    assert_ok(buf_append(&text, bytes_from(head)));
    for (size_t i = 0; i < LARGE; i++)
        assert_ok(buf_append_byte(&text, (uint8_t)('a' + i % 26)));
    assert_ok(buf_append(&text, bytes_from(end)));
    broker_process_freeze(&bed->broker);
    for (int i = 0; i < LARGE_COUNT;) {
        int status = edge_process_post(&bed->edge, "application/json", &text);
        assert_true(status == 200 || status == 503);
        i += status == 200;
        if (status != 200)
            poll(NULL, 0, AGAIN_MS);
    }
    broker_process_thaw(&bed->broker);
    unsigned long kb = peak_kb(bed);
    print_message("%d requests of 15 MiB taken, peak %lu kB\n", (int)LARGE_COUNT, kb);
    assert_in_range(kb, 1, LARGE_PEAK_MAX_KB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_many_connections_of_http_stay_below_64_mb, begin),
        cmocka_unit_test_setup(test_many_streams_of_grpc_stay_below_64_mb, begin),
        cmocka_unit_test_setup(test_large_requests_stay_below_the_limit, begin),
    };
    return cmocka_run_group_tests(tests, start_all, end_all);
}
