/* Promise: what clients send over OTLP is, after processors and routes, in the topics that the
 * document names, each item in one of them or counted as dropped; and changed processors and routes
 * are taken over without a restart. A whole edge on librdkafka's mock cluster. */
// link: tests/support/mock_kafka.c
#include "tests/support/mock_kafka.h"
#include "tests/support/test.h"

#include "common/metrics.h"
#include "common/yaml.h"
#include "sidecar/edge/edge.h"
#include "sidecar/otlp/walk.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUESTS = 40, PARTITIONS = 3, DRAIN_MS = 60000 };

static const char document[] =
    "apiVersion: surgetank.dev/v1alpha1\n"
    "kind: TelemetryPipeline\n"
    "metadata: {name: shop}\n"
    "spec:\n"
    "  kafka: {bootstrapServers: ['%s']}\n"
    "  topics:\n"
    "    - {name: logs, topic: all}\n"
    "    - {name: pay, signal: logs, topic: pay}\n"
    "    - {name: errors, signal: logs, topic: errors}\n"
    "  gateways:\n"
    "    - {name: g, from: [logs], export: {otlp: {endpoint: 'x:1'}}}\n"
    "  edges:\n"
    "    - name: edge\n"
    "      spool: {size: 64Mi, minFree: 0%%}\n"
    "      receivers: {otlp: {grpc: {maxRequestBytes: 1Mi}, http: {maxRequestBytes: 1Mi}}}\n"
    "      processors:\n"
    "        - parse: {json: body}\n"
    "        - filter: {drop: 'attributes[\"level\"] == \"%s\"'}\n"
    "        - redact: {keys: [card], patterns: ['\\d{4}-\\d{4}']}\n"
    "      routes:\n"
    "        - {when: 'severity >= \"ERROR\"', to: errors}\n"
    "        - {when: 'k8s.namespace.name == \"pay\"', to: %s}\n";

#define RECORD(severity, body)                                                              \
    "{\"severityNumber\":" severity ",\"body\":{\"stringValue\":\"{\\\"level\\\":\\\"" body \
    "\\\",\\\"card\\\":\\\"4111\\\"} 1234-5678\"}}"
#define JSON_RECORD(severity, level)                                                         \
    "{\"severityNumber\":" severity ",\"body\":{\"stringValue\":\"{\\\"level\\\":\\\"" level \
    "\\\",\\\"card\\\":\\\"4111\\\"}\"}}"
#define RESOURCE(name, records)                                                  \
    "{\"resource\":{\"attributes\":[{\"key\":\"k8s.namespace.name\",\"value\":{" \
    "\"stringValue\":\"" name "\"}}]},\"scopeLogs\":[{\"logRecords\":[" records "]}]}"

/* Of each request: two records that "debug" drops, one error, two for pay, two for all. */
static const char request[] = "{\"resourceLogs\":[" RESOURCE(
    "pay",
    JSON_RECORD("5", "debug") "," JSON_RECORD("9", "info") "," JSON_RECORD(
        "17",
        "error") "," JSON_RECORD("9",
                                 "info")) "," RESOURCE("shop",
                                                       JSON_RECORD("9", "info") "," JSON_RECORD(
                                                           "5", "debug") "," RECORD("9",
                                                                                    "none")) "]}";

static struct mock_kafka kafka;
static char dir[64];

static struct pipeline *read_document(const char *dropped, const char *pay_to)
{
    AUTO(json_free) struct json *documents = NULL;
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};
    char text[4096];

    snprintf(text, sizeof text, document, kafka.bootstrap, dropped, pay_to);
    if (yaml_parse(bytes_from(text), sizeof text, &documents, &error) ||
        pipeline_read(json_first(documents), &pipeline, &faults, &error))
        fail_msg("%s", error.text);
    faults_fini(&faults);
    return pipeline;
}

static void post(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    AUTO(buf_fini) struct buf text = {0};
    char answer[1024] = "";
    size_t used = 0;
    ssize_t got = 0;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    assert_ok(buf_printf(&text,
                         "POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(request), request));
    assert_int_equal(send(fd, text.data, text.len, 0), text.len);
    while (used < sizeof answer - 1 &&
           (got = recv(fd, answer + used, sizeof answer - 1 - used, 0)) > 0)
        used += (size_t)got;
    close(fd);
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
        fail_msg("%s", answer);
}

struct topic {
    uint32_t items;
    bool secret;
};

static bool holds(struct bytes value, const char *text)
{
    return memmem(value.data, value.len, text, strlen(text)) != NULL;
}

static void visit(void *context, const struct mock_message *message)
{
    struct topic *topic = context;
    struct otlp_summary summary = {0};

    assert_ok(otlp_walk(SIGNAL_LOGS, message->value, NULL, &summary, NULL));
    topic->items += summary.items;
    topic->secret = topic->secret || holds(message->value, "1234-5678");
}

static void assert_topic(const char *name, uint32_t items)
{
    struct topic topic = {0};

    mock_kafka_read(&kafka, name, PARTITIONS, visit, &topic);
    if (topic.items != items)
        fail_msg("%s has %u items, not %u", name, topic.items, items);
    assert_false(topic.secret);
}

static double dropped(void)
{
    AUTO(buf_fini) struct buf page = {0};
    static const char series[] = "surgetank_process_dropped_items_total{owner=\"edge\","
                                 "signal=\"logs\",processor=\"1\",kind=\"filter\"} ";

    assert_ok(metrics_expose(&page));
    const char *at = strstr(buf_text(&page), series);
    return at == NULL ? -1 : strtod(at + sizeof series - 1, NULL);
}

static void test_every_item_is_in_its_topic_or_counted(void **state)
{
    (void)state;
    AUTO(pipeline_free) struct pipeline *pipeline = read_document("debug", "pay");
    AUTO(pipeline_free) struct pipeline *changed = read_document("nothing", "errors");
    struct edge *edge = NULL;
    struct error error = {0};

    pipeline->edges[0].otlp.grpc_port = pipeline->edges[0].otlp.http_port = 0;
    const struct edge_options options = {.pipeline = pipeline,
                                         .edge = &pipeline->edges[0],
                                         .spool_dir = dir,
                                         .listen_address = "127.0.0.1",
                                         .health_listen = "127.0.0.1:0",
                                         .metrics_listen = "127.0.0.1:0"};
    if (edge_start(&options, &edge, &error))
        fail_msg("%s", error.text);
    for (int i = 0; i < REQUESTS; i++)
        post(edge_http_port(edge));
    assert_true(dropped() == 2 * REQUESTS);
    assert_ok(edge_change(edge, changed, NULL));
    for (int i = 0; i < REQUESTS; i++)
        post(edge_http_port(edge));
    assert_true(dropped() == 2 * REQUESTS);
    edge_stop(&edge, DRAIN_MS);

    assert_topic("errors", REQUESTS + (1 + 3) * REQUESTS);
    assert_topic("pay", 2 * REQUESTS);
    assert_topic("all", 2 * REQUESTS + 3 * REQUESTS);
}

static int begin(void **state)
{
    static const char *const topics[] = {"all", "pay", "errors"};

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/surgetank-processing-XXXXXX");
    assert_non_null(mkdtemp(dir));
    mock_kafka_start(&kafka);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rd_kafka_mock_topic_create(kafka.cluster, topics[i], PARTITIONS, 1), 0);
    return 0;
}

static int end(void **state)
{
    char command[96];

    (void)state;
    mock_kafka_stop(&kafka);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_item_is_in_its_topic_or_counted, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
