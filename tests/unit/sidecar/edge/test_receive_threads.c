/* Promise: a request that routes cut into parts is stored whole, each part under its topic, or not
 * at all, while other threads receive, commit and read beside it and the disk fails now and then;
 * and it is whole if it was acknowledged. What TSan has to see is in here. */
// link: tests/support/fault_disk.c tests/support/net_peer.c tests/support/numbered.c
// link: tests/support/processors.c
#include "tests/support/test.h"

#include "sidecar/edge/receive.h"
#include "sidecar/edge/refine.h"
#include "sidecar/edge/routes.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/spool/reader.h"
#include "tests/support/fault_disk.h"
#include "tests/support/net_peer.h"
#include "tests/support/numbered.h"
#include "tests/support/processors.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum {
    WORKERS = 2,
    CLIENTS = 4,
    CALLS = 200,
    PER_CALL = 27, /* records whose bodies begin with each letter: some for each topic */
    BODY = 10,
    NUMBERS = CALLS * PER_CALL,
    SOUND = 30, /* calls answered between two failures of the disk */
    BROKEN = 10 /* and during one */
};

#define EXPORT_LOGS "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
#define ROUTES                                                    \
    "        - {when: 'body matches \"^[a-i]\"', to: red-logs}\n" \
    "        - {when: 'body matches \"^[j-r]\"', to: blue-logs}\n"

struct worker {
    struct net_loop *loop;
    struct refine *refine;
    struct receive *receive;
    pthread_t thread;
};

static struct {
    struct net_budget budget;
    struct stamp *stamp;
    struct spool *spool;
    struct spool_reader *reader;
    struct worker workers[WORKERS];
    uint32_t red, blue;
    atomic_uint stored; /* requests that the committer has told of */
    atomic_bool over;
    pthread_mutex_t reads; /* guards `broken`: three reads that fail would be damage */
    bool broken;           /* the disk */
    pthread_t reading;

    uint8_t seen[NUMBERS];
    uint32_t tags[NUMBERS];
    uint32_t tag; /* of the entry at hand */
} edge = {.reads = PTHREAD_MUTEX_INITIALIZER};

/* ---- the edge */

static void on_stored(void *context)
{
    (void)context;
    atomic_fetch_add(&edge.stored, 1);
}

static void see(void *context, uint64_t number)
{
    (void)context;
    assert_true(number < NUMBERS);
    edge.seen[number]++;
    edge.tags[number] = edge.tag;
}

static enum err next_frame(struct spool_frame **ret_frame)
{
    pthread_mutex_lock(&edge.reads);
    enum err err = edge.broken ? ERR_IO : spool_reader_next(edge.reader, 0, ret_frame, NULL);
    pthread_mutex_unlock(&edge.reads);
    if (err)
        sched_yield();
    return err;
}

static void break_disk(bool broken)
{
    pthread_mutex_lock(&edge.reads);
    edge.broken = broken;
    fault_disk_fail(broken ? 1 : 0, broken, ERR_IO);
    pthread_mutex_unlock(&edge.reads);
}

/* As the producer reads: beside the committer. */
static void *read_all(void *context)
{
    struct spool_frame *frame = NULL;

    (void)context;
    for (;;) {
        bool over = atomic_load(&edge.over);
        enum err err = next_frame(&frame);
        if (err == ERR_AGAIN && over)
            return NULL;
        if (err)
            continue;
        for (uint32_t i = 0; i < frame->entry_count; i++) {
            struct spool_entry entry = spool_frame_entry(frame, i);
            edge.tag = entry.tag;
            numbered_visit(entry.data, see, NULL);
        }
        spool_reader_ack(edge.reader, frame->end);
        spool_frame_release(&frame);
    }
}

static void *serve(void *context)
{
    struct worker *worker = context;
    net_loop_run(worker->loop);
    return NULL;
}

static void open_edge(void)
{
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline("[]", ROUTES);
    const struct spool_config config = {.dir = "spool", .size_bytes = 48 << 20};

    edge.budget.max = 16 << 20;
    edge.red = routes_tag(pipeline, pipeline_topic(pipeline, "red-logs"));
    edge.blue = routes_tag(pipeline, pipeline_topic(pipeline, "blue-logs"));
    fault_disk_reset();
    assert_ok(stamp_create(NULL, 0, &edge.stamp, NULL));
    assert_ok(spool_open(&config, &edge.spool, NULL));
    assert_ok(spool_reader_open(edge.spool, SIGNAL_LOGS, "test", &edge.reader, NULL));
    struct receive_options options = {.spool = edge.spool,
                                      .budget = &edge.budget,
                                      .ack = SPOOL_ACK_SYNCED,
                                      .address = "127.0.0.1",
                                      .limits = {.grpc_body_max = 1 << 20,
                                                 .http_body_max = 1 << 20,
                                                 .stamp_local = edge.stamp,
                                                 .stamp_remote = edge.stamp},
                                      .serves = {[SIGNAL_LOGS] = true},
                                      .stored = on_stored};
    for (struct worker *worker = edge.workers; worker < edge.workers + WORKERS; worker++) {
        assert_ok(net_loop_create(&worker->loop, NULL));
        assert_ok(refine_open(pipeline, pipeline->edges, &edge.budget, &worker->refine, NULL));
        options.limits.refine = worker->refine;
        assert_ok(receive_open(worker->loop, &options, &worker->receive, NULL));
        options.grpc_port = receive_grpc_port(worker->receive);
        options.http_port = receive_http_port(worker->receive);
    }
    for (struct worker *worker = edge.workers; worker < edge.workers + WORKERS; worker++)
        assert_int_equal(pthread_create(&worker->thread, NULL, serve, worker), 0);
    assert_int_equal(pthread_create(&edge.reading, NULL, read_all, NULL), 0);
}

static void close_edge(void)
{
    for (struct worker *worker = edge.workers; worker < edge.workers + WORKERS; worker++) {
        while (receive_in_spool(worker->receive) > 0)
            sched_yield();
        net_loop_stop(worker->loop);
        pthread_join(worker->thread, NULL);
        net_loop_run_once(worker->loop, 0);
        receive_close(&worker->receive);
        refine_close(&worker->refine);
        net_loop_destroy(&worker->loop);
    }
    atomic_store(&edge.over, true);
    pthread_join(edge.reading, NULL);
    spool_reader_close(&edge.reader);
    spool_close(&edge.spool);
    stamp_destroy(&edge.stamp);
    assert_int_equal(net_budget_used(&edge.budget), 0);
}

/* ---- its clients */

struct call {
    struct buf value;
    struct bytes message;
    bool acknowledged;
};

static struct call calls[CALLS];
static unsigned answered, acknowledged;

/* The disk fails and is sound again, in turn; what was under way may go either way. */
static void on_reply(void *context, const struct grpc_result *result)
{
    struct call *call = context;
    unsigned turn = ++answered % (SOUND + BROKEN);

    assert_int_equal(result->outcome, GRPC_CALL_ANSWERED);
    assert_true(result->status == GRPC_OK || result->status == GRPC_UNAVAILABLE);
    call->acknowledged = result->status == GRPC_OK;
    acknowledged += call->acknowledged;
    if (turn == SOUND || turn == 0)
        break_disk(turn == SOUND);
}

static void send_all(void)
{
    struct grpc_client *clients[CLIENTS] = {NULL};
    struct grpc_client_options options;
    struct net_loop *loop = NULL;

    assert_ok(net_loop_create(&loop, NULL));
    grpc_client_options_init(&options);
    options.host = "127.0.0.1";
    options.port = receive_grpc_port(edge.workers[0].receive);
    for (int i = 0; i < CLIENTS; i++)
        assert_ok(grpc_client_create(loop, &options, &clients[i], NULL));
    for (unsigned i = 0; i < CALLS; i++) {
        struct call *call = &calls[i];
        numbered_request(i * PER_CALL, PER_CALL, BODY, &call->value);
        call->message = buf_bytes(&call->value);
        const struct grpc_call_params params = {.path = EXPORT_LOGS,
                                                .message = &call->message,
                                                .message_count = 1,
                                                .timeout_ms = 60000,
                                                .done = on_reply,
                                                .ctx = call};
        assert_ok(grpc_client_call(clients[i % CLIENTS], &params, NULL, NULL));
        while (i + 1 - answered >
               4 * CLIENTS) /* not all at once: the disk has to fail under them */
            net_loop_run_once(loop, 100);
    }
    while (answered < CALLS)
        net_loop_run_once(loop, 100);
    for (int i = 0; i < CLIENTS; i++)
        grpc_client_destroy(&clients[i]);
    net_loop_destroy(&loop);
}

static uint32_t tag_of(unsigned number)
{
    unsigned letter = number % 26;
    return letter < 9 ? edge.red : letter < 18 ? edge.blue : 0;
}

static void test_a_request_of_several_topics_is_stored_whole_or_not_at_all(void **state)
{
    (void)state;
    open_edge();
    send_all();
    break_disk(false);
    close_edge();
    assert_in_range(acknowledged, CALLS / 4, CALLS - 1);
    assert_true(atomic_load(&edge.stored) >= acknowledged);
    for (unsigned i = 0; i < NUMBERS; i++) {
        const struct call *call = &calls[i / PER_CALL];
        if (edge.seen[i] > 1 || (call->acknowledged && edge.seen[i] == 0))
            fail_msg("number %u is stored %u times", i, edge.seen[i]);
        if (edge.seen[i] != edge.seen[i - i % PER_CALL])
            fail_msg("of the request with number %u a part is stored", i);
        if (edge.seen[i] == 1)
            assert_int_equal(edge.tags[i], tag_of(i));
    }
    for (unsigned i = 0; i < CALLS; i++)
        buf_fini(&calls[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_of_several_topics_is_stored_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
