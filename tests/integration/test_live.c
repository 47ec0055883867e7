/* Promise: a changed document is taken over by a process under load without a dropped connection or
 * a lost or doubled item; a bad one is refused with the reason and the last good one goes on; what
 * is read at start only waits, and the rest is taken over. The process is a child that runs what
 * `surgetank-sidecar run` does, confined; client, backends and the person who edits are here. */
// link: tests/support/net_peer.c tests/support/numbered.c tests/support/mock_kafka.c
// link: tests/support/free_port.c
#include "tests/support/test.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/json.h"
#include "common/log.h"
#include "sidecar/edge/produce.h"
#include "sidecar/net/grpc_client.h"
#include "sidecar/net/net_server.h"
#include "sidecar/otlp/wire.h"
#include "sidecar/run.h"
#include "tests/support/free_port.h"
#include "tests/support/mock_kafka.h"
#include "tests/support/net_peer.h"
#include "tests/support/numbered.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* At the pace, NUMBERS_MAX lasts for a quarter of an hour, longer than all deadlines together. */
enum {
    NUMBERS_MAX = 2000000,
    NUMBERS_PER_MS = 2,
    PER_CALL = 5,
    CALLS_AT_ONCE = 4,
    DEADLINE_MS = 60000
};

#define EXPORT_LOGS "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

struct backend {
    struct net_server *server;
    struct net_budget budget;
    uint16_t port;
    unsigned items;
};

/* How often each number came, and whether the marker of the day was with it. */
static struct {
    struct net_loop *loop;
    struct backend a, b;
    struct grpc_client *client;
    char dir[64], file[96], spool[96];
    uint16_t grpc_port, http_port, health_port, metrics_port;
    pid_t pid;

    uint64_t next;     /* number to send */
    uint64_t began_ms; /* the load */
    unsigned calls, failed;
    bool sending;
    uint8_t seen[NUMBERS_MAX];
    char marker[NUMBERS_MAX]; /* of v1, v2, ... the digit */
} t;

/* ---- backends */

struct visit {
    struct backend *backend;
    char marker;
};

static void see(void *context, uint64_t number)
{
    const struct visit *visit = context;

    assert_in_range(number, 0, NUMBERS_MAX - 1);
    t.seen[number]++;
    t.marker[number] = visit->marker;
    visit->backend->items++;
}

static void take(void *ctx, struct net_request *request)
{
    static const char key[] = "marker\x12\x04\x0a\x02v";
    static const struct net_response ok = {.status = 200};
    struct bytes rest = net_request_body(request);
    struct wire_field field;

    while (rest.len > 0) { /* one resource after the other: a batch may hold old and new ones */
        struct bytes resource = rest;
        assert_true(wire_next(&rest, &field));
        resource.len -= rest.len;
        const char *found = memmem(resource.data, resource.len, key, sizeof key - 1);
        struct visit visit = {ctx, found == NULL ? '?' : found[sizeof key - 1]};
        numbered_visit(resource, see, &visit);
    }
    net_respond(&request, &ok);
}

static void open_backend(struct backend *backend)
{
    struct net_server_options options;

    *backend = (struct backend){.budget = {.max = 64 << 20}};
    net_server_options_init(&options);
    options.address = "127.0.0.1";
    options.budget = &backend->budget;
    options.ctx = backend;
    options.on_request = take;
    assert_ok(net_server_open(t.loop, &options, &backend->server, NULL));
    backend->port = net_server_port(backend->server);
}

/* ---- the child */

static void start_child(const char *pod)
{
    char health[32], metrics[32];

    t.pid = fork();
    assert_true(t.pid >= 0);
    if (t.pid != 0)
        return;
    run_block_signals();
    if (pod != NULL)
        setenv(NAMES_POD_ENV, pod, 1);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    snprintf(health, sizeof health, "127.0.0.1:%u", t.health_port);
    snprintf(metrics, sizeof metrics, "127.0.0.1:%u", t.metrics_port);
    _exit(run_pipeline(&(struct run_options){.verb = "run",
                                             .pipeline = t.file,
                                             .spool = t.spool,
                                             .listen = "127.0.0.1",
                                             .health_listen = health,
                                             .metrics_listen = metrics}));
}

/* /debug/state; NULL: nobody answers yet. */
static struct json *ask_state(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(t.health_port)};
    static char answer[65536];
    struct json *state = NULL;
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
        dprintf(fd, "GET " NAMES_PATH_STATE " HTTP/1.0\r\nHost: x\r\n\r\n") > 0) {
        for (ssize_t n = 1; n > 0 && len<sizeof answer - 1; len += n> 0 ? (size_t)n : 0)
            n = read(fd, answer + len, sizeof answer - 1 - len);
        answer[len] = '\0';
        const char *body = strstr(answer, "\r\n\r\n");
        if (body != NULL)
            (void)!json_parse(bytes_from(body + 4), sizeof answer, &state, NULL);
    }
    close(fd);
    return state;
}

static void send_next(void);

/* Runs the loop, with its load, until the child's document is as wanted. */
static void await(int64_t generation, bool refused, const char *waits)
{
    uint64_t until = clock_mono_ms() + DEADLINE_MS;

    for (;;) {
        AUTO(json_free) struct json *state = ask_state();
        const struct json *document = json_get(state, "document");
        const char *found = json_string(json_get(document, "waits"), "?");
        if (document != NULL && json_int(json_get(document, "generation"), -1) == generation &&
            (json_string(json_get(document, "refused"), "")[0] != '\0') == refused &&
            (waits[0] == '\0' ? found[0] == '\0' : strstr(found, waits) != NULL))
            return;
        if (clock_mono_ms() > until) {
            AUTO(buf_fini) struct buf text = {0};
            (void)!json_print(document, &text);
            fail_msg("waited for generation %d, but: %s", (int)generation,
                     text.len == 0 ? "no answer" : buf_text(&text));
        }
        send_next();
        net_peer_run_for(t.loop, 20);
    }
}

/* ---- the editor */

/* Replaces a file of the directory by renaming, as editors and kubelet do. NULL: removes it. */
static void edit(const char *name, const char *text)
{
    char fresh[160], path[160];

    snprintf(path, sizeof path, "%s/%s", t.dir, name);
    if (text == NULL) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    snprintf(fresh, sizeof fresh, "%s/.fresh", t.dir);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static void edit_document(const char *name, unsigned generation, uint16_t grpc_port,
                          const char *marker, const struct backend *to)
{
    char text[2048];

    snprintf(text, sizeof text,
             "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\n"
             "metadata: {name: p, generation: %u}\nspec:\n"
             "  edges:\n  - name: edge\n    receivers:\n      otlp:\n"
             "        grpc: {port: %u}\n        http: {port: %u}\n"
             "    resourceAttributes: [{key: marker, value: %s, action: upsert}]\n"
             "    spool: {size: 1Gi, minFree: 0%%}\n"
             "  gateways:\n  - name: g\n    from: [logs]\n    batch: {timeout: 10ms}\n"
             "    export: {otlp: {protocol: http, endpoint: 'http://127.0.0.1:%u', "
             "compression: none}}\n",
             generation, grpc_port, t.http_port, marker, to->port);
    edit(name, text);
}

/* ---- the load */

static void on_reply(void *ctx, const struct grpc_result *result)
{
    struct buf *value = ctx;

    t.failed += result->outcome != GRPC_CALL_ANSWERED || result->status != GRPC_OK;
    t.calls--;
    buf_fini(value);
    free(value);
    send_next();
}

static void send_next(void)
{
    static struct bytes messages[1024]; /* one for each call, for as long as it takes */
    static unsigned at;

    uint64_t due = (clock_mono_ms() - t.began_ms) * NUMBERS_PER_MS;
    while (t.sending && t.calls < CALLS_AT_ONCE && t.next < due &&
           t.next + PER_CALL < NUMBERS_MAX) {
        struct buf *value = calloc(1, sizeof *value);
        struct bytes *message = &messages[at++ % 1024];

        assert_non_null(value);
        numbered_request(t.next, PER_CALL, 40, value);
        t.next += PER_CALL;
        *message = buf_bytes(value);
        const struct grpc_call_params params = {.path = EXPORT_LOGS,
                                                .message = message,
                                                .message_count = 1,
                                                .timeout_ms = 60000,
                                                .done = on_reply,
                                                .ctx = value};
        t.calls++;
        assert_ok(grpc_client_call(t.client, &params, NULL, NULL));
    }
}

static void begin_load(void)
{
    struct grpc_client_options options;

    grpc_client_options_init(&options);
    options.host = "127.0.0.1";
    options.port = t.grpc_port;
    assert_ok(grpc_client_create(t.loop, &options, &t.client, NULL));
    t.began_ms = clock_mono_ms();
    t.sending = true;
    send_next();
}

/* Until `count` more numbers are under way. Returns the first that was sent later than now. */
static uint64_t load_more(unsigned count)
{
    uint64_t from = t.next, until = clock_mono_ms() + DEADLINE_MS;

    while (t.next < from + count) {
        if (clock_mono_ms() > until)
            fail_msg("sent %u of %u numbers, %u calls under way", (unsigned)t.next,
                     (unsigned)from + count, t.calls);
        send_next();
        net_loop_run_once(t.loop, 20);
    }
    return from;
}

static void end_load(void)
{
    uint64_t until = clock_mono_ms() + DEADLINE_MS;

    t.sending = false;
    while (t.calls > 0 || t.a.items + t.b.items < t.next) {
        if (clock_mono_ms() > until)
            fail_msg("%u of %u numbers came", t.a.items + t.b.items, (unsigned)t.next);
        net_loop_run_once(t.loop, 20);
    }
    net_peer_run_for(t.loop, 100); /* for a double to show */
    assert_int_equal(t.failed, 0);
    for (uint64_t i = 0; i < t.next; i++)
        if (t.seen[i] != 1)
            fail_msg("number %u of %u came %u times", (unsigned)i, (unsigned)t.next, t.seen[i]);
}

static void assert_marked(uint64_t from, char marker)
{
    for (uint64_t i = from; i < t.next; i++)
        assert_int_equal(t.marker[i], marker);
}

/* ---- set-up */

static int begin(void **state)
{
    (void)state;
    memset(&t, 0, sizeof t);
    snprintf(t.dir, sizeof t.dir, "/tmp/live-XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.file, sizeof t.file, "%s/pipeline.json", t.dir);
    snprintf(t.spool, sizeof t.spool, "%s/spool", t.dir);
    t.grpc_port = free_port();
    t.http_port = free_port();
    t.health_port = free_port();
    t.metrics_port = free_port();
    assert_ok(net_loop_create(&t.loop, NULL));
    open_backend(&t.a);
    open_backend(&t.b);
    return 0;
}

static int end(void **state)
{
    char command[128];
    int status = -1;

    (void)state;
    kill(t.pid, SIGTERM);
    assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
    assert_int_equal(status, 0);
    grpc_client_destroy(&t.client);
    net_server_close(&t.a.server);
    net_server_close(&t.b.server);
    net_loop_destroy(&t.loop);
    snprintf(command, sizeof command, "rm -rf %s", t.dir);
    return system(command);
}

/* ---- tests */

static void test_takes_over_under_load(void **state)
{
    struct grpc_client_stats stats;

    (void)state;
    edit_document("pipeline.json", 1, t.grpc_port, "v1", &t.a);
    start_child(NULL);
    await(1, false, "");
    begin_load();
    load_more(500);

    edit_document("pipeline.json", 2, t.grpc_port, "v2", &t.b);
    await(2, false, "");
    load_more(CALLS_AT_ONCE * PER_CALL); /* what was under way */
    uint64_t second = load_more(500);
    unsigned at_a = t.a.items;

    edit("pipeline.json", "kind: TelemetryPipeline\nspec: {edges: 7}\n");
    await(2, true, "");
    load_more(500);

    edit_document("pipeline.json", 3, free_port(), "v3", &t.b);
    await(2, false, "receivers.otlp.grpc.port");
    load_more(CALLS_AT_ONCE * PER_CALL);
    uint64_t third = load_more(500);
    assert_in_range(at_a, 1, t.a.items);

    kill(t.pid, SIGHUP);
    edit_document("pipeline.json", 4, t.grpc_port, "v4", &t.b);
    await(4, false, "");
    load_more(CALLS_AT_ONCE * PER_CALL);
    uint64_t fourth = load_more(500);
    end_load();

    for (uint64_t i = second; i < third; i++)
        assert_in_range(t.marker[i], '2', '3');
    assert_int_equal(t.marker[second], '2');
    assert_int_equal(t.marker[third], '3');
    assert_marked(fourth, '4');
    assert_true(t.b.items > 1500);
    grpc_client_stats(t.client, &stats);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.goaways, 0);
}

static void test_takes_a_candidate_when_its_share_of_the_pods_does(void **state)
{
    (void)state;
    edit_document("pipeline.json", 1, t.grpc_port, "v1", &t.a);
    edit_document("candidate.json", 2, t.grpc_port, "v2", &t.a);
    edit("percent", "0");
    start_child("p-edge-0");
    await(1, false, "");

    edit("percent", "100");
    await(2, false, "");
    edit("candidate.json", "{}");
    await(2, true, "");
    edit_document("candidate.json", 3, t.grpc_port, "v3", &t.a);
    await(3, false, "");
    edit("percent", NULL); /* called off */
    edit("candidate.json", NULL);
    await(1, false, "");
}

static void test_starts_with_the_current_document_when_the_candidate_is_bad(void **state)
{
    (void)state;
    edit_document("pipeline.json", 1, t.grpc_port, "v1", &t.a);
    edit("candidate.json", "not a pipeline");
    edit("percent", "100");
    start_child("p-edge-0");
    await(1, true, "");
    edit_document("candidate.json", 2, t.grpc_port, "v2", &t.a);
    await(2, false, "");
}

static void test_starts_with_the_current_document_when_the_candidate_can_not_run(void **state)
{
    uint16_t taken = 0;
    int listener = net_peer_listen(&taken);

    (void)state;
    edit_document("pipeline.json", 1, t.grpc_port, "v1", &t.a);
    edit_document("candidate.json", 2, taken, "v2", &t.a);
    edit("percent", "100");
    start_child("p-edge-0");
    await(1, true, "");
    edit_document("candidate.json", 3, t.grpc_port, "v3", &t.a);
    await(3, false, "");
    close(listener);
}

/* ---- the producer's compression, which takes a new client */

static void count_numbers(void *context, uint64_t number)
{
    (void)number;
    ++*(unsigned *)context;
}

static void see_message(void *context, const struct mock_message *message)
{
    numbered_visit(message->value, count_numbers, context);
}

/* Until all of them are in the spool: `total`, with what was there before. */
static void append(struct spool *spool, unsigned count, unsigned total)
{
    uint64_t until = clock_mono_ms() + DEADLINE_MS;
    struct spool_stats stats;

    for (unsigned i = 0; i < count; i++) {
        AUTO(buf_fini) struct buf value = {0};
        numbered_request(i, 1, 100, &value);
        const struct bytes part = buf_bytes(&value);
        const struct spool_request request = {
            .lane = SIGNAL_LOGS, .parts = &part, .part_count = 1, .items = 1};
        assert_ok(spool_append(spool, &request, NULL, NULL));
        usleep(2000);
    }
    do {
        usleep(1000);
        spool_stats(spool, &stats);
    } while (stats.lanes[SIGNAL_LOGS].items < total && clock_mono_ms() < until);
}

static void test_compresses_otherwise_by_another_client(void **state)
{
    static struct mock_kafka kafka;
    const struct pipeline_topic topic = {
        .signal = SIGNAL_LOGS, .topic = "t", .dead_letter = "t.dlq"};
    const struct produce_route route = {.topic = &topic};
    struct kafka_access access = {.client_id = "test"};
    struct produce_options options = {.access = &access,
                                      .routes = &route,
                                      .route_count = 1,
                                      .compression = "none",
                                      .in_flight_bytes = 8 << 20,
                                      .source = "ns/p/edge"};
    char dir[] = "/tmp/live-XXXXXX", journal[64], command[64];
    struct produce_state told = {0};
    struct produce *produce = NULL;
    struct spool *spool = NULL;
    unsigned items = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(journal, sizeof journal, "%s/journal", dir);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    mock_kafka_start(&kafka);
    assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, "t", 2, 1), 0);
    const struct spool_config config = {.dir = dir, .size_bytes = 64 << 20};
    assert_ok(spool_open(&config, &spool, NULL));
    access.bootstrap_servers = kafka.bootstrap;
    options.spool = spool;
    options.journal_path = journal;
    assert_ok(produce_open(&options, &produce, NULL));
    append(spool, 50, 50);
    produce_set_compression(produce, "none", 0); /* as it is: the client stays */
    append(spool, 50, 100);
    produce_state(produce, &told);
    assert_int_equal(told.clients, 1);
    produce_set_compression(produce, "zstd", 3);
    append(spool, 50, 150);
    for (uint64_t until = clock_mono_ms() + DEADLINE_MS;
         told.clients < 2 && clock_mono_ms() < until; usleep(10000))
        produce_state(produce, &told);
    assert_int_equal(told.clients, 2);
    append(spool, 50, 200);
    produce_close(&produce, DEADLINE_MS);
    spool_close(&spool);
    mock_kafka_read(&kafka, "t", 2, see_message, &items);
    if (items != 200)
        fail_msg("%u of 200 came", items);
    mock_kafka_stop(&kafka);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_over_under_load, begin, end),
        cmocka_unit_test_setup_teardown(test_takes_a_candidate_when_its_share_of_the_pods_does,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            test_starts_with_the_current_document_when_the_candidate_is_bad, begin, end),
        cmocka_unit_test_setup_teardown(
            test_starts_with_the_current_document_when_the_candidate_can_not_run, begin, end),
        cmocka_unit_test(test_compresses_otherwise_by_another_client), /* last: it has threads */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
