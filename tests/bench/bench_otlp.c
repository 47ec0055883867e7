/* What checking, stamping and cutting cost: MB/s and items/s of one core, input hot in the cache.
 *
 *   make build/tests/bench/bench_otlp && build/tests/bench/bench_otlp
 *
 * Last seen (AMD EPYC, gcc 12 -O2, CPU time on a busy machine), 512 spans of 407 bytes:
 *
 *   walk               3660 MB/s     9.0 M spans/s     split to 16 KiB    9100 MB/s
 *   count             51600 MB/s   126   M spans/s     halve              5240 MB/s
 *   stamp and copy    48900 MB/s   120   M spans/s     group by trace     2180 MB/s
 *   JSON read           382 MB/s of JSON, 0.45 M spans/s; write 177 MB/s of protobuf
 *   one span of 519 bytes: walk 2810 MB/s, stamp and copy 2710 MB/s
 */
// link: tests/support/otlp_random.c
#include "sidecar/otlp/otlp_json.h"
#include "sidecar/otlp/partition.h"
#include "sidecar/otlp/split.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/otlp/walk.h"
#include "sidecar/otlp/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SPANS = 512, ATTRIBUTES = 10, BATCH = 32 };

static double cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void need(enum err err)
{
    if (err) {
        fprintf(stderr, "bench_otlp: %s\n", err_name(err));
        exit(1);
    }
}

/* ---- 512 spans of ten attributes: 434 bytes a span */

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    need(buf_append(out, (struct bytes){head, len}));
    need(buf_append(out, payload));
}

static void put_text(struct buf *out, uint32_t number, const char *text)
{
    put_field(out, number, (struct bytes){(const uint8_t *)text, strlen(text)});
}

static void put_attribute(struct buf *out, uint32_t number, const char *key, const char *value)
{
    AUTO(buf_fini) struct buf any = {0}, kv = {0};

    put_text(&any, 1, value);
    put_text(&kv, 1, key);
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
    uint8_t times[18] = {0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x41, 1, 2, 3, 4, 5, 6, 7, 8};
    char value[32], id[17];

    snprintf(id, sizeof id, "trace-%02u-0123456", at % 64);
    put_field(&span, 1, (struct bytes){(const uint8_t *)id, 16});
    put_field(&span, 2, (struct bytes){(const uint8_t *)"01234567", 8});
    put_text(&span, 5, "GET /api/v1/cart/{id}");
    need(buf_append(&span, (struct bytes){(const uint8_t[]){0x30, 2}, 2}));
    need(buf_append(&span, (struct bytes){times, sizeof times}));
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        snprintf(value, sizeof value, "value-%u-%u", at, i);
        put_attribute(&span, 9, keys[i], value);
    }
    put_field(scope, 2, buf_bytes(&span));
}

static void put_request(struct buf *out, unsigned spans)
{
    AUTO(buf_fini) struct buf resource = {0}, scope = {0}, x = {0};

    put_attribute(&resource, 1, "service.name", "checkout");
    put_attribute(&resource, 1, "service.version", "1.2.3");
    put_attribute(&resource, 1, "host.name", "node-17.example");
    put_attribute(&resource, 1, "telemetry.sdk.language", "java");
    for (unsigned i = 0; i < spans; i++)
        put_span(&scope, i);
    put_field(&x, 1, buf_bytes(&resource));
    put_field(&x, 2, buf_bytes(&scope));
    put_field(out, 1, buf_bytes(&x));
}

/* ---- what is measured */

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
    need(otlp_walk(SIGNAL_TRACES, bench->request, NULL, &summary, NULL));
    bench->sink += summary.items;
}

static void run_count(struct bench *bench)
{
    struct otlp_summary summary;
    need(otlp_count(SIGNAL_TRACES, bench->request, &summary, NULL));
    bench->sink += summary.items;
}

static void run_stamp(struct bench *bench)
{
    need(stamp_apply(bench->stamp, bench->request, SIZE_MAX, &bench->slices, NULL));
    bench->sink += bench->slices.size_bytes;
}

static void run_stamp_copy(struct bench *bench)
{
    run_stamp(bench);
    buf_clear(&bench->copy);
    need(otlp_slices_append_to(&bench->slices, &bench->copy));
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
    need(otlp_split(SIGNAL_TRACES, bench->request, 16 << 10, &bench->slices, take, bench, NULL));
}

static void run_split_items(struct bench *bench)
{
    need(otlp_split(SIGNAL_TRACES, bench->request, 0, &bench->slices, take, bench, NULL));
}

static void run_halve(struct bench *bench)
{
    need(otlp_halve(SIGNAL_TRACES, bench->request, &bench->slices, &bench->more, NULL));
}

static void run_json_read(struct bench *bench)
{
    buf_clear(&bench->copy);
    need(otlp_json_read(SIGNAL_TRACES, bench->request, NULL, &bench->copy, NULL));
}

static void run_json_write(struct bench *bench)
{
    buf_clear(&bench->copy);
    need(otlp_json_write(SIGNAL_TRACES, bench->request, &bench->copy, NULL));
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
    need(otlp_group_by_resource(SIGNAL_TRACES, bench->request, &bench->slices, take_group, bench,
                                NULL));
}

static void run_by_trace(struct bench *bench)
{
    need(otlp_group_by_trace(SIGNAL_TRACES, bench->request, &bench->slices, take_group, bench,
                             NULL));
}

/* The best of five tenths of a second: what the code costs, not what the neighbours do. */
static void measure(const char *name, struct bench *bench, size_t bytes, unsigned items,
                    void (*run)(struct bench *))
{
    double best = 1e9;

    for (int round = 0; round < 5; round++) {
        unsigned runs = 0;
        double start = cpu_now(), spent = 0;
        while (spent < 0.1) {
            for (int i = 0; i < BATCH; i++)
                run(bench);
            runs += BATCH;
            spent = cpu_now() - start;
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

    put_request(&request, SPANS);
    put_request(&small, 1);
    need(stamp_create(rules, 2, &bench.stamp, NULL));
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

    need(otlp_json_write(SIGNAL_TRACES, buf_bytes(&request), &json, NULL));
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
