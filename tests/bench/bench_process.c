/* What processors cost: CPU-s for a million spans of 434 bytes, in requests of 100, cache hot.
 *
 *   make build/tests/bench/bench_process && build/tests/bench/bench_process
 *
 * Last seen (AMD EPYC, gcc 12 -O2, CPU time on a busy machine), in CPU-s per million spans; the
 * copying of what is left is 0.04 of each:
 *
 *   attributes on the resource   0.05     redact two keys                   0.28
 *   attributes on items          0.33     redact one pattern, no match      0.40
 *   filter by a resource         0.05     sample, keeping errors            0.16
 *   filter by an attribute       0.15     attributes twice, filter, redact
 *   filter by a pattern          0.17       keys and a pattern, sample      0.86
 */
// link: tests/support/processors.c
#include "sidecar/otlp/wire.h"
#include "tests/support/processors.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SPANS = 100, ATTRIBUTES = 10, ROUNDS = 2000, TRIES = 3 };

static double cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void need(enum err err)
{
    if (err) {
        fprintf(stderr, "bench_process: %s\n", err_name(err));
        exit(1);
    }
}

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    need(buf_append(out, (struct bytes){head, len}));
    need(buf_append(out, payload));
}

static void put_attribute(struct buf *out, uint32_t number, const char *key, const char *value)
{
    AUTO(buf_fini) struct buf any = {0}, kv = {0};

    put_field(&any, 1, bytes_from(value));
    put_field(&kv, 1, bytes_from(key));
    put_field(&kv, 2, buf_bytes(&any));
    put_field(out, number, buf_bytes(&kv));
}

static void put_span(struct buf *scope, unsigned at)
{
    static const char *const keys[ATTRIBUTES] = {
        "http.request.method", "url.path",         "http.response.status", "server.address",
        "network.peer.addr",   "user_agent.name",  "http.route",           "client.address",
        "thread.name",         "code.function.nam"};
    AUTO(buf_fini) struct buf span = {0};
    const uint8_t times[18] = {0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x41, 1, 2, 3, 4, 5, 6, 7, 8};
    char value[32], id[17];

    snprintf(id, sizeof id, "%016llx", (unsigned long long)at * 0x9e3779b97f4a7c15ull);
    put_field(&span, 1, (struct bytes){(const uint8_t *)id, 16});
    put_field(&span, 2, BYTES_LITERAL("01234567"));
    put_field(&span, 5, BYTES_LITERAL("GET /shop/cart/{id}"));
    need(buf_append(&span, (struct bytes){times, sizeof times}));
    for (int i = 0; i < ATTRIBUTES; i++) {
        snprintf(value, sizeof value, "value-%02u-%02d-abcd", at % 100, i);
        put_attribute(&span, 9, keys[i], value);
    }
    if (at % 20 == 0)
        put_field(&span, 15, BYTES_LITERAL("\x18\x02"));
    put_field(scope, 2, buf_bytes(&span));
}

static void make_request(struct buf *out)
{
    AUTO(buf_fini) struct buf resource = {0}, scope = {0}, resource_spans = {0};

    put_attribute(&resource, 1, "service.name", "checkout");
    put_attribute(&resource, 1, "k8s.namespace.name", "shop");
    put_attribute(&resource, 1, "k8s.pod.name", "checkout-5d9c7-x2x4z");
    put_field(&resource_spans, 1, buf_bytes(&resource));
    for (unsigned i = 0; i < SPANS; i++)
        put_span(&scope, i);
    put_field(&resource_spans, 2, buf_bytes(&scope));
    put_field(out, 1, buf_bytes(&resource_spans));
}

static void measure(const char *what, const char *text, struct bytes request)
{
    AUTO(process_destroy) struct process *process = processors_make(text);
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0;
    double best = 1e9;

    for (int try = 0; try < TRIES; try++) {
        double start = cpu_now();
        for (int i = 0; i < ROUNDS; i++)
            need(process_run(process, SIGNAL_TRACES, request, SIZE_MAX, &out, &items, &counts,
                             NULL));
        double took = (cpu_now() - start) * 1e6 / ROUNDS / SPANS;
        best = took < best ? took : best;
    }
    printf("%-44s %6.3f CPU-s per million spans, %3u of %d left\n", what, best, items, SPANS);
}

int main(void)
{
    AUTO(buf_fini) struct buf request = {0};

    make_request(&request);
    printf("%zu bytes a span\n", request.len / SPANS);
    static const struct {
        const char *what, *text;
    } cases[] = {
        {"attributes on the resource, three actions",
         "        - attributes: {actions: [{key: site, value: fra1}, {key: team, value: red},"
         " {key: k8s.pod.name, action: delete}]}\n"},
        {"attributes on items, three actions",
         "        - attributes: {\"on\": item, actions: [{key: site, value: fra1},"
         " {key: thread.name, action: delete}, {key: path, fromAttribute: url.path, action: "
         "rename}]}\n"},
        {"filter by a resource, nothing dropped",
         "        - filter: {drop: 'k8s.namespace.name == \"pay\"'}\n"},
        {"filter by an attribute, nothing dropped",
         "        - filter: {drop: 'attributes[\"http.route\"] == \"/healthz\"'}\n"},
        {"filter by a pattern, nothing dropped",
         "        - filter: {drop: 'attributes[\"http.route\"] =~ \"^/health\"'}\n"},
        {"sample 0.25, keep errors",
         "        - sample: {ratio: 0.25, keep: 'status == \"error\"'}\n"},
        {"redact two keys", "        - redact: {keys: [card, client.address]}\n"},
        {"redact one pattern, no match", "        - redact: {patterns: ['\\b\\d{16}\\b']}\n"},
        {"all of the above",
         "        - attributes: {actions: [{key: site, value: fra1}]}\n"
         "        - attributes: {\"on\": item, actions: [{key: thread.name, action: delete}]}\n"
         "        - filter: {drop: 'attributes[\"http.route\"] == \"/healthz\"'}\n"
         "        - redact: {keys: [client.address], patterns: ['\\b\\d{16}\\b']}\n"
         "        - sample: {ratio: 0.25, keep: 'status == \"error\"'}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        measure(cases[i].what, cases[i].text, buf_bytes(&request));
    return 0;
}
