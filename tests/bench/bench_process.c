/* What processors cost: CPU-s for a million spans of 458 bytes, in requests of 100, cache hot.
 *
 *   make build/tests/bench/bench_process && build/tests/bench/bench_process
 *
 * Last seen (AMD EPYC, gcc 12 -O2, CPU time on a busy machine), in CPU-s per million spans; the
 * copying of what is left is 0.03 of each:
 *
 *   attributes on the resource   0.03     redact two keys                   0.24
 *   attributes on items          0.36     redact one pattern, no match      0.41
 *   filter by a resource         0.03     sample, keeping errors            0.23
 *   filter by an attribute       0.14     attributes twice, filter, redact
 *   filter by a pattern          0.17       keys and a pattern, sample      0.93
 */
// link: tests/support/processors.c tests/support/bench.c
#include "tests/support/bench.h"
#include "tests/support/processors.h"

#include <stdio.h>

enum { SPANS = 100, ROUNDS = 2000, TRIES = 3 };

static void measure(const char *what, const char *text, struct bytes request)
{
    AUTO(process_destroy) struct process *process = processors_make(text);
    struct process_counts counts;
    struct bytes out;
    uint32_t items = 0;
    double best = 1e9;

    for (int try = 0; try < TRIES; try++) {
        double start = bench_cpu_s();
        for (int i = 0; i < ROUNDS; i++)
            bench_need(process_run(process, SIGNAL_TRACES, request, SIZE_MAX, &out, &items, &counts,
                                   NULL));
        double took = (bench_cpu_s() - start) * 1e6 / ROUNDS / SPANS;
        best = took < best ? took : best;
    }
    printf("%-44s %6.3f CPU-s per million spans, %3u of %d left\n", what, best, items, SPANS);
}

int main(void)
{
    AUTO(buf_fini) struct buf request = {0};

    bench_put_request(&request, SPANS);
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
