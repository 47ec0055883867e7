/* bench_net: a server that answers every gRPC call and POST with an empty success at once, to be
 * loaded from outside, and its cost. Prints a line of CPU seconds a second while requests come.
 *
 *   build/tests/bench/bench_net [PORT [THREADS [CERT KEY]]]
 *   h2load -n 1000000 -c 8 -m 10 -H 'content-type: application/grpc' -H 'te: trailers'
 *          -d BODY http://127.0.0.1:PORT/opentelemetry.proto.collector.trace.v1.TraceService/Export
 */
#include "common/tls.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/net/net_server.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

static struct net_budget budget = {.max = 256 << 20};

static void on_request(void *ctx, struct net_request *request)
{
    struct net_response response = {.status = 200};
    struct grpc_reply reply = {.status = GRPC_OK};
    struct error error = {0};

    (void)ctx;
    if (!grpc_request_is_call(request)) {
        net_respond(&request, &response);
        return;
    }
    if (grpc_request_open(request, 16 << 20, &reply.status, &error))
        reply.message = error.text;
    grpc_respond(&request, &reply);
}

static void *serve(void *loop)
{
    net_loop_run(loop);
    return NULL;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(struct net_server **servers, unsigned threads)
{
    uint64_t requests_before = 0, bytes_before = 0;
    double cpu_before = cpu_s();

    for (;;) {
        uint64_t requests = 0, bytes = 0, refused = 0;
        sleep(1);
        for (unsigned i = 0; i < threads; i++) {
            struct net_server_stats stats;
            net_server_stats(servers[i], &stats);
            requests += stats.requests;
            bytes += stats.bytes_received;
            for (int r = 0; r < NET_REFUSAL_COUNT; r++)
                refused += stats.refused[r];
        }
        double cpu = cpu_s();
        if (requests > requests_before)
            printf("%" PRIu64 " requests, %.3f CPU-s, %.3f CPU-s/100k, %.3f CPU-s/GB, %" PRIu64
                   " refused so far\n",
                   requests - requests_before, cpu - cpu_before,
                   (cpu - cpu_before) * 1e5 / (double)(requests - requests_before),
                   (cpu - cpu_before) * 1e9 / (double)(bytes - bytes_before), refused);
        fflush(stdout);
        requests_before = requests;
        bytes_before = bytes;
        cpu_before = cpu;
    }
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    struct net_server *servers[THREADS_MAX] = {0};
    struct net_server_options options;
    struct error error = {0};
    unsigned threads = argc > 2 ? number(argv[2]) : 1;

    net_server_options_init(&options);
    options.address = "127.0.0.1";
    options.port = argc > 1 ? (uint16_t)number(argv[1]) : 0;
    options.budget = &budget;
    options.on_request = on_request;
    if (argc > 4) {
        const struct tls_server_options files = {
            .certificate_file = argv[3], .key_file = argv[4], .alpn = "h2,http/1.1"};
        if (tls_server_open(&files, &options.tls, &error)) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
    }
    for (unsigned i = 0; i < threads && i < THREADS_MAX; i++) {
        struct net_loop *loop = NULL;
        pthread_t thread;
        if (net_loop_create(&loop, &error) ||
            net_server_open(loop, &options, &servers[i], &error) ||
            pthread_create(&thread, NULL, serve, loop) != 0) {
            fprintf(stderr, "%s\n", error.text);
            return 1;
        }
        options.port = net_server_port(servers[i]);
    }
    printf("port %u\n", options.port);
    fflush(stdout);
    report(servers, threads);
}
