#include "tests/support/bench.h"

#include "sidecar/otlp/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ATTRIBUTES = 10, TRACES = 64, ERROR_EVERY = 20 };

double bench_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void bench_need(enum err err)
{
    if (err) {
        fprintf(stderr, "bench: %s\n", err_name(err));
        exit(1);
    }
}

static void put_field(struct buf *out, uint32_t number, struct bytes payload)
{
    uint8_t head[WIRE_HEAD_MAX];
    size_t len = (size_t)(wire_put_len(head, number, payload.len) - head);

    bench_need(buf_append(out, (struct bytes){head, len}));
    bench_need(buf_append(out, payload));
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
    static const uint8_t kind[] = {0x30, 2};
    static const uint8_t times[] = {0x39, 1, 2, 3, 4, 5, 6, 7, 8, 0x41, 1, 2, 3, 4, 5, 6, 7, 8};
    AUTO(buf_fini) struct buf span = {0};
    const uint64_t random = (at % TRACES + 1) * UINT64_C(0x9e3779b97f4a7c15);
    const uint64_t id[2] = {random, random * random};
    char value[32];

    put_field(&span, 1, (struct bytes){(const uint8_t *)id, sizeof id});
    put_field(&span, 2, BYTES_LITERAL("01234567"));
    put_field(&span, 5, BYTES_LITERAL("GET /shop/cart/{id}"));
    bench_need(buf_append(&span, (struct bytes){kind, sizeof kind}));
    bench_need(buf_append(&span, (struct bytes){times, sizeof times}));
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        snprintf(value, sizeof value, "value-%02u-%02u-abcd", at % 100, i);
        put_attribute(&span, 9, keys[i], value);
    }
    if (at % ERROR_EVERY == 0)
        put_field(&span, 15, BYTES_LITERAL("\x18\x02"));
    put_field(scope, 2, buf_bytes(&span));
}

void bench_put_request(struct buf *out, unsigned spans)
{
    AUTO(buf_fini) struct buf resource = {0}, scope = {0}, resource_spans = {0};

    put_attribute(&resource, 1, "service.name", "checkout");
    put_attribute(&resource, 1, "k8s.namespace.name", "shop");
    put_attribute(&resource, 1, "k8s.pod.name", "checkout-5d9c7-x2x4z");
    put_attribute(&resource, 1, "telemetry.sdk.language", "java");
    for (unsigned i = 0; i < spans; i++)
        put_span(&scope, i);
    put_field(&resource_spans, 1, buf_bytes(&resource));
    put_field(&resource_spans, 2, buf_bytes(&scope));
    put_field(out, 1, buf_bytes(&resource_spans));
}
