/* What checking, stamping and cutting cost: MB/s and items/s of one core, input hot in the cache.
 *
 *   make build/tests/bench/bench_otlp && build/tests/bench/bench_otlp
 *
 * Last seen (AMD EPYC, gcc 12 -O2, CPU time on a busy machine), 512 spans of 457 bytes:
 *
 *   walk               4440 MB/s     9.7 M spans/s     split to 16 KiB   10500 MB/s
 *   count             55900 MB/s   122   M spans/s     halve              5880 MB/s
 *   stamp and copy    50200 MB/s   110   M spans/s     group by trace     2520 MB/s
 *   JSON read           410 MB/s of JSON, 0.46 M spans/s; write 221 MB/s of protobuf
 *   one span of 602 bytes: walk 3080 MB/s, stamp and copy 3770 MB/s
 */
// link: tests/support/bench.c
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/walk.h"
#include "tests/support/bench.h"

#include <stdio.h>

enum { SPANS = 512, BATCH = 32 };

struct bench {
    struct bytes request;
    struct stamp *stamp;
    struct otlp_slices slices, more;
    struct buf copy;
    uint64_t sink;
};

static void run_walk(struct bench *bench)
{
    struct otlp_summary summary;
    bench_need(otlp_walk(SIGNAL_TRACES, bench->request, NULL, &summary, NULL));
    bench->sink += summary.items;
}

static void run_count(struct bench *bench)
{
    struct otlp_summary summary;
    bench_need(otlp_count(SIGNAL_TRACES, bench->request, &summary, NULL));
    bench->sink += summary.items;
}

static void run_stamp(struct bench *bench)
{
    bench_need(stamp_apply(bench->stamp, bench->request, SIZE_MAX, &bench->slices, NULL));
    bench->sink += bench->slices.size_bytes;
}

static void run_stamp_copy(struct bench *bench)
{
    run_stamp(bench);
    buf_clear(&bench->copy);
    bench_need(otlp_slices_append_to(&bench->slices, &bench->copy));
}

static enum err take(void *user, const struct otlp_part *part, struct error *error)
{
    struct bench *bench = user;
    (void)error;
    bench->sink += part->items;
    return OK;
}

static void run_split(struct bench *bench)
{
    bench_need(
        otlp_split(SIGNAL_TRACES, bench->request, 16 << 10, &bench->slices, take, bench, NULL));
}

static void run_split_items(struct bench *bench)
{
    bench_need(otlp_split(SIGNAL_TRACES, bench->request, 0, &bench->slices, take, bench, NULL));
}

static void run_halve(struct bench *bench)
{
    bench_need(otlp_halve(SIGNAL_TRACES, bench->request, &bench->slices, &bench->more, NULL));
}

static void run_json_read(struct bench *bench)
{
    buf_clear(&bench->copy);
    bench_need(otlp_json_read(SIGNAL_TRACES, bench->request, NULL, &bench->copy, NULL));
}

static void run_json_write(struct bench *bench)
{
    buf_clear(&bench->copy);
    bench_need(otlp_json_write(SIGNAL_TRACES, bench->request, &bench->copy, NULL));
}

static enum err take_group(void *user, struct bytes key, const struct otlp_slices *request,
                           uint32_t items, struct error *error)
{
    struct bench *bench = user;
    (void)key;
    (void)request;
    (void)error;
    bench->sink += items;
    return OK;
}

static void run_by_resource(struct bench *bench)
{
    bench_need(otlp_group_by_resource(SIGNAL_TRACES, bench->request, &bench->slices, take_group,
                                      bench, NULL));
}

static void run_by_trace(struct bench *bench)
{
    bench_need(otlp_group_by_trace(SIGNAL_TRACES, bench->request, &bench->slices, take_group, bench,
                                   NULL));
}

/* The best of five tenths of a second: what the code costs, not what the neighbours do. */
static void measure(const char *name, struct bench *bench, size_t bytes, unsigned items,
                    void (*run)(struct bench *))
{
    double best = 1e9;

    for (int round = 0; round < 5; round++) {
        unsigned runs = 0;
        double start = bench_cpu_s(), spent = 0;
        while (spent < 0.1) {
            for (int i = 0; i < BATCH; i++)
                run(bench);
            runs += BATCH;
            spent = bench_cpu_s() - start;
        }
        best = spent / runs < best ? spent / runs : best;
    }
    printf("%-34s %9.0f MB/s %9.2f M items/s\n", name, (double)bytes / best / 1e6,
           items / best / 1e6);
}

int main(void)
{
    static const struct stamp_rule rules[] = {{"k8s.cluster.name", "prod-fra1", STAMP_INSERT},
                                              {"collector.tier", "edge", STAMP_INSERT}};
    AUTO(buf_fini) struct buf request = {0}, small = {0}, json = {0};
    struct bench bench = {0};

    bench_put_request(&request, SPANS);
    bench_put_request(&small, 1);
    bench_need(stamp_create(rules, 2, &bench.stamp, NULL));
    printf("%u spans, %zu bytes, %zu a span\n", SPANS, request.len, request.len / SPANS);

    bench.request = buf_bytes(&request);
    measure("walk", &bench, request.len, SPANS, run_walk);
    measure("count", &bench, request.len, SPANS, run_count);
    measure("stamp (slices)", &bench, request.len, SPANS, run_stamp);
    measure("stamp and copy", &bench, request.len, SPANS, run_stamp_copy);
    measure("split to 16 KiB", &bench, request.len, SPANS, run_split);
    measure("split to single items", &bench, request.len, SPANS, run_split_items);
    measure("halve", &bench, request.len, SPANS, run_halve);

    measure("group by resource", &bench, request.len, SPANS, run_by_resource);
    measure("group by trace (64 of them)", &bench, request.len, SPANS, run_by_trace);

    bench_need(otlp_json_write(SIGNAL_TRACES, buf_bytes(&request), &json, NULL));
    measure("JSON write (MB of protobuf)", &bench, request.len, SPANS, run_json_write);
    printf("%u spans, %zu bytes of JSON\n", SPANS, json.len);
    bench.request = buf_bytes(&json);
    measure("JSON read", &bench, json.len, SPANS, run_json_read);

    printf("1 span, %zu bytes\n", small.len);
    bench.request = buf_bytes(&small);
    measure("walk", &bench, small.len, 1, run_walk);
    measure("stamp and copy", &bench, small.len, 1, run_stamp_copy);

    otlp_slices_fini(&bench.slices);
    otlp_slices_fini(&bench.more);
    buf_fini(&bench.copy);
    stamp_destroy(&bench.stamp);
    return bench.sink == 0;
}
