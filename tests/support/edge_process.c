#include "tests/support/edge_process.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/json.h"
#include "common/log.h"
#include "sidecar/run.h"
#include "tests/support/free_port.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, LOOK_MS = 20 };

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void look_again_soon(void)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    nanosleep(&pause, NULL);
}

/* ---- its files */

void edge_process_make(struct edge_process *edge)
{
    *edge = (struct edge_process){.dir = "/tmp/surgetank-edge-XXXXXX"};
    assert_non_null(mkdtemp(edge->dir));
    snprintf(edge->file, sizeof edge->file, "%s/pipeline.yaml", edge->dir);
    snprintf(edge->spool, sizeof edge->spool, "%s/spool", edge->dir);
    edge->grpc_port = free_port();
    edge->http_port = free_port();
    edge->health_port = free_port();
    edge->metrics_port = free_port();
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text == NULL ? otherwise : text;
}

void edge_process_write(struct edge_process *edge, const struct edge_document *document)
{
    const char *body_max = or_else(document->body_max, "2Mi");
    FILE *file = fopen(edge->file, "we");

    assert_non_null(file);
    fprintf(file,
            "apiVersion: surgetank.dev/v1alpha1\nkind: TelemetryPipeline\nmetadata: {name: p}\n"
            "spec:\n  kafka: {bootstrapServers: ['%s'], properties: %s}\n"
            "  topics: [{name: logs, topic: %s}]\n"
            "  gateways: [{name: g, from: [logs], export: {otlp: {endpoint: 'nowhere:4317'}}}]\n"
            "  edges:\n    - name: edge\n      receivers:\n"
            "        otlp: {grpc: {port: %u, maxRequestBytes: %s}, http: {port: %u, "
            "maxRequestBytes: %s}}\n%s      spool: %s\n%s",
            document->bootstrap, or_else(document->properties, "{}"), document->topic,
            edge->grpc_port, body_max, edge->http_port, body_max, or_else(document->receivers, ""),
            or_else(document->spool, "{size: 64Mi, minFree: 0%}"), or_else(document->more, ""));
    assert_int_equal(fclose(file), 0);
}

void edge_process_remove(struct edge_process *edge)
{
    char command[128];

    if (edge->pid != 0)
        edge_process_kill(edge);
    snprintf(command, sizeof command, "rm -rf %s", edge->dir);
    assert_int_equal(system(command), 0);
}

/* ---- its life */

void edge_process_start(struct edge_process *edge)
{
    char health[32], metrics[32];

    assert_int_equal(edge->pid, 0);
    edge->pid = fork();
    assert_true(edge->pid >= 0);
    if (edge->pid != 0)
        return;
    run_block_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    if (edge->prepare != NULL)
        edge->prepare();
    snprintf(health, sizeof health, "127.0.0.1:%u", edge->health_port);
    snprintf(metrics, sizeof metrics, "127.0.0.1:%u", edge->metrics_port);
    _exit(run_pipeline(&(struct run_options){.verb = "edge",
                                             .pipeline = edge->file,
                                             .spool = edge->spool,
                                             .listen = "127.0.0.1",
                                             .health_listen = health,
                                             .metrics_listen = metrics}));
}

void edge_process_await_ready(struct edge_process *edge)
{
    uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;

    for (;;) {
        AUTO(buf_fini) struct buf body = {0};
        if (edge_process_get(edge->health_port, NAMES_PATH_READY, &body))
            return;
        if (clock_mono_ms() > until || waitpid(edge->pid, NULL, WNOHANG) != 0)
            fail_msg("the edge is not ready");
        look_again_soon();
    }
}

void edge_process_kill(struct edge_process *edge)
{
    kill(edge->pid, SIGKILL);
    assert_int_equal(waitpid(edge->pid, NULL, 0), edge->pid);
    edge->pid = 0;
}

void edge_process_terminate(struct edge_process *edge)
{
    assert_int_equal(kill(edge->pid, SIGTERM), 0);
}

int edge_process_wait(struct edge_process *edge)
{
    uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;
    int status = -1;

    while (waitpid(edge->pid, &status, WNOHANG) == 0) {
        if (clock_mono_ms() > until)
            fail_msg("the edge does not end");
        look_again_soon();
    }
    edge->pid = 0;
    return status;
}

/* ---- what it tells */

/* Sends what is in `ask`, reads to the end. The answer's status; 0: none came. */
static int ask_port(uint16_t port, const struct buf *ask, struct buf *ret_answer)
{
    const struct sockaddr_in to = loopback(port);
    uint8_t chunk[4096];
    ssize_t got = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
        send(fd, ask->data, ask->len, MSG_NOSIGNAL) == (ssize_t)ask->len)
        while ((got = read(fd, chunk, sizeof chunk)) > 0)
            assert_ok(buf_append(ret_answer, (struct bytes){chunk, (size_t)got}));
    close(fd);
    const char *text = ret_answer->len == 0 ? "" : buf_text(ret_answer);
    return strncmp(text, "HTTP/1.", 7) == 0 ? (int)strtol(text + 8, NULL, 10) : 0;
}

bool edge_process_get(uint16_t port, const char *path, struct buf *ret_body)
{
    AUTO(buf_fini) struct buf ask = {0}, answer = {.max = ANSWER_MAX};

    assert_ok(buf_printf(&ask, "GET %s HTTP/1.0\r\nHost: x\r\n\r\n", path));
    if (ask_port(port, &ask, &answer) != 200)
        return false;
    const char *body = strstr(buf_text(&answer), "\r\n\r\n");
    assert_ok(buf_append_text(ret_body, body == NULL ? "" : body + 4));
    return true;
}

int edge_process_post(const struct edge_process *edge, const char *content_type,
                      const struct buf *logs)
{
    AUTO(buf_fini) struct buf ask = {0}, answer = {.max = ANSWER_MAX};

    assert_ok(buf_printf(&ask,
                         "POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                         content_type, logs->len));
    assert_ok(buf_append(&ask, buf_bytes(logs)));
    return ask_port(edge->http_port, &ask, &answer);
}

int64_t edge_process_waiting(const struct edge_process *edge)
{
    AUTO(buf_fini) struct buf body = {0};
    AUTO(json_free) struct json *state = NULL;

    if (!edge_process_get(edge->health_port, NAMES_PATH_STATE, &body) ||
        json_parse(buf_bytes(&body), ANSWER_MAX, &state, NULL))
        return -1;
    return json_int(json_at(state, "spool.lanes.logs.waitingItems"), -1);
}

void edge_process_await_empty(const struct edge_process *edge)
{
    uint64_t until = clock_mono_ms() + EDGE_PROCESS_MS;
    int64_t waiting;

    while ((waiting = edge_process_waiting(edge)) != 0) {
        if (clock_mono_ms() > until) {
            AUTO(buf_fini) struct buf body = {0};
            bool told = edge_process_get(edge->health_port, NAMES_PATH_STATE, &body);
            fail_msg("%d records still wait: %s", (int)waiting, told ? buf_text(&body) : "?");
        }
        look_again_soon();
    }
}

double edge_process_metric(const struct edge_process *edge, const char *series)
{
    AUTO(buf_fini) struct buf page = {0};

    if (!edge_process_get(edge->metrics_port, NAMES_PATH_METRICS, &page))
        return -1;
    const char *at = strstr(buf_text(&page), series);
    return at == NULL ? -1 : strtod(at + strlen(series), NULL);
}
