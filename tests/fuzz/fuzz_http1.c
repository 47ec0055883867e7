/* Bytes of a stranger through a whole server: HTTP/1.1, or HTTP/2 if they begin with its preface.
 * The first byte says in how many pieces the rest arrives. Bodies are decoded and echoed, so the
 * decompressors are in it too. Whatever comes, the server is empty again at the end.
 */
#include "common/assert.h"
#include "sidecar/net/grpc_server.h"
#include "sidecar/net/server_internal.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_FED = 64 * 1024, BODY_MAX = 32 * 1024, ROUNDS_MAX = 10000 };

static struct net_loop *loop;
static struct net_server *server;
static struct net_budget budget = {.max = 256 * 1024, .overhead_max = 256 * 1024};

static void on_request(void *ctx, struct net_request *request)
{
    struct net_response response = {.status = 200};
    struct grpc_reply reply = {.status = GRPC_OK};
    enum net_refusal refusal = net_request_refusal(request);
    struct error error = {0};

    (void)ctx;
    if (grpc_request_is_call(request)) {
        if (grpc_request_open(request, BODY_MAX, &reply.status, &error))
            reply.message = error.text;
        grpc_respond(&request, &reply);
        return;
    }
    if (refusal != NET_REFUSED_NOT || net_request_decode(request, BODY_MAX, &refusal, &error) != OK)
        response.status = 413;
    else
        response.body = net_request_body(request);
    net_respond(&request, &response);
}

static void start(void)
{
    struct net_server_options options;

    net_server_options_init(&options);
    options.address = "127.0.0.1";
    options.budget = &budget;
    options.on_request = on_request;
    options.headers_max = 1024;
    options.body_max = BODY_MAX;
    options.streams_max = 8;
    enum err err = net_loop_create(&loop, NULL);
    ASSERT(err == OK);
    err = net_server_open(loop, &options, &server, NULL);
    ASSERT(err == OK);
}

static void drink(int fd)
{
    uint8_t away[16384];
    while (recv(fd, away, sizeof away, MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    int fds[2];

    if (size < 2 || size > SIZE_MAX_FED)
        return 0;
    if (loop == NULL)
        start();
    int bad = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds);
    ASSERT(bad == 0);
    conn_accept(server, fds[0], &peer);

    size_t piece = size / ((data[0] & 7u) + 1u) + 1;
    for (size_t at = 1; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        if (send(fds[1], data + at, len, MSG_NOSIGNAL) < 0)
            break; /* it has hung up on us */
        net_loop_run_once(loop, 0);
        net_loop_run_once(loop, 0);
        drink(fds[1]);
    }
    close(fds[1]);
    for (int i = 0; i < ROUNDS_MAX && server->conn_count > 0; i++)
        net_loop_run_once(loop, 0);
    ASSERT(server->conn_count == 0);
    ASSERT(net_budget_used(&budget) == 0);
    ASSERT(budget.overhead == 0);
    return 0;
}
