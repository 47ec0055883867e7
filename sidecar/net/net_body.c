/* A body is charged to the budget before it is read, by the length that the peer announces
 * (content-length, the prefix of a gRPC message) or, if it does not, by UNKNOWN_SIZE. Its block is
 * made for all of it, so that it is never copied: of a large one, which is mapped by itself, what
 * has not arrived takes no memory. What was not foreseen comes from scratch, as does what is
 * decompressed: handlers work on one body a thread, so that is little, and it is not waited for,
 * since they hold something already.
 */
#include "sidecar/net/server_internal.h"

#include "common/assert.h"
#include "sidecar/net/grpc.h"

enum {
    UNKNOWN_SIZE = 1 << 20,
    DECOMPRESS_STEP = 256 * 1024,
};

/* ---- memory for it */

/* Moves the contents into a block of at least `size` bytes, charging the difference to scratch. */
static bool grow(struct net_request *request, struct buf *buf, size_t size)
{
    struct net_server *server = request->server;
    size_t more = body_pool_size(size) - buf->cap;

    if (!net_budget_take_scratch(server->options.budget, more))
        return false;
    if (body_pool_grow(&server->pool, size, buf)) {
        net_budget_give_scratch(server->options.budget, more);
        return false;
    }
    request->scratch += more;
    return true;
}

static bool take_early(struct net_request *request, size_t bytes)
{
    if (!net_budget_take_overhead(request->server->options.budget, bytes))
        return false;
    request->early += bytes;
    request->overhead += bytes;
    return true;
}

static void give_early(struct net_request *request)
{
    net_budget_give_overhead(request->server->options.budget, request->early);
    request->overhead -= request->early;
    request->early = 0;
}

/* The same for the body as it comes in, which has been charged for, but for what comes early. */
static bool grow_body(struct net_request *request, size_t size)
{
    struct buf *body = &request->body;
    size_t cap = body_pool_size(size);

    if (request->admission == ADMISSION_DONE && cap > request->charged + request->scratch)
        return grow(request, body, size);
    if (request->admission != ADMISSION_DONE && !take_early(request, cap - body->cap))
        return false;
    return body_pool_grow(&request->server->pool, size, body) == OK;
}

static void drop(struct net_request *request, struct buf *buf)
{
    body_pool_put(&request->server->pool, buf);
    *buf = (struct buf){0};
}

/* Gives back what the body as it came was charged, and of scratch all but `remain`. */
static void discharge(struct net_request *request, size_t remain)
{
    struct net_budget *budget = request->server->options.budget;
    size_t charged = request->charged, scratch = request->scratch - remain;

    request->charged = 0;
    request->scratch = remain;
    give_early(request);
    net_budget_give_scratch(budget, scratch);
    if (charged > 0)
        net_budget_give(budget, charged);
}

/* Back on the loop's thread: there is memory. Meanwhile the request may have been refused, or have
 * lost its connection. */
static void admit(struct net_request *request)
{
    struct net_server *server = request->server;

    request->admission = ADMISSION_DONE;
    request->charged = request->wait.bytes;
    give_early(request);
    request->deadline_ms = net_loop_now_ms(server->loop) + server->options.body_timeout_ms;
    if (request->conn == NULL) {
        request_release(request);
    } else if (request->refusal != NET_REFUSED_NOT) {
        request_refuse(request, request->refusal);
    } else {
        stall_watch(request);
        request->conn->protocol->admitted(request->conn, request);
    }
    server_wait_ended(server);
}

/* On the thread that gave memory back. */
static void on_granted(struct net_budget_wait *wait)
{
    net_request_post(CONTAINER_OF(wait, struct net_request, wait), admit);
}

/* Learns from a gRPC message's prefix how long the body will be. */
static void expect_message(struct net_request *request, struct bytes first)
{
    if (first.len < GRPC_PREFIX_SIZE ||
        !grpc_is_content_type(net_request_header(request, NET_HEADER_CONTENT_TYPE)))
        return;
    size_t len = 0;
    for (int i = 1; i < GRPC_PREFIX_SIZE; i++)
        len = len << 8 | first.data[i];
    request->body_expected = len + GRPC_PREFIX_SIZE;
}

enum admission request_admit(struct net_request *request, struct bytes first)
{
    struct net_server *server = request->server;
    size_t size = UNKNOWN_SIZE;

    ASSERT(request->admission == ADMISSION_NONE);
    if (request->body_expected == 0)
        expect_message(request, first);
    if (request->body_expected > 0)
        size = request->body_expected;
    if (size > server->options.body_max)
        size = server->options.body_max;
    request->wait = (struct net_budget_wait){.bytes = body_pool_size(size), .granted = on_granted};
    request->admission = ADMISSION_WAITING; /* before granted() can come */
    if (net_budget_ask(server->options.budget, &request->wait)) {
        request->admission = ADMISSION_DONE;
        request->charged = request->wait.bytes;
        stall_watch(request);
        return ADMISSION_DONE;
    }
    server_count(server, COUNT_WAITED, 1);
    server_count(server, COUNT_WAITING, 1);
    request->deadline_ms = net_loop_now_ms(server->loop) + server->options.memory_wait_ms;
    conn_arm(request->conn, request->deadline_ms);
    return ADMISSION_WAITING;
}

bool request_stop_waiting(struct net_request *request)
{
    ASSERT(request->admission == ADMISSION_WAITING);
    if (!net_budget_cancel(request->server->options.budget, &request->wait))
        return false;
    request->admission = ADMISSION_NONE;
    server_count(request->server, COUNT_WAITING, (uint64_t)-1);
    return true;
}

/* ---- its bytes */

/* The size of block to take when `need` bytes must fit. */
static size_t size_to_take(const struct net_request *request, size_t need)
{
    size_t body_max = request->server->options.body_max;
    size_t size = request->body_expected >= need ? request->body_expected : need * 2;

    if (size > body_max)
        size = body_max;
    if (request->admission != ADMISSION_DONE && size > FIRST_WINDOW)
        size = FIRST_WINDOW; /* no more can come before there is memory */
    return size < need ? need : size;
}

bool request_add_body(struct net_request *request, struct bytes data)
{
    size_t body_max = request->server->options.body_max;

    if (request->refusal != NET_REFUSED_NOT)
        return false;
    size_t need = request->body.len + data.len;
    if (need > body_max || request->body_expected > body_max)
        request->refusal = NET_REFUSED_BODY_SIZE;
    else if (need > request->body.cap && !grow_body(request, size_to_take(request, need)))
        request->refusal = NET_REFUSED_MEMORY;
    if (request->refusal != NET_REFUSED_NOT)
        return false;

    if (data.len > 0)
        memcpy(request->body.data + request->body.len, data.data, data.len);
    request->body.len = need;
    return true;
}

/* Fills `out` from the compressed body; on failure what it holds is dropped by the caller. */
static enum err inflate_body(struct net_request *request, struct decompressor *decompressor,
                             size_t max, struct buf *out, struct error *error)
{
    struct bytes in = net_request_body(request);
    size_t first = in.len * 4;

    for (bool done = false; !done;) {
        if (out->len == out->cap && out->len < max) {
            size_t size = out->cap == 0 ? first : out->cap * 2;
            if (size > max)
                size = max;
            if (!grow(request, out, size))
                return error_set(error, ERR_NOMEM, "no memory left for bytes in flight");
            if (out->max > max)
                out->max = max;
        }
        size_t step = out->cap - out->len < DECOMPRESS_STEP ? out->cap - out->len : DECOMPRESS_STEP;
        enum err err = decompressor_step(decompressor, &in, step, out, &done, error);
        if (err)
            return err;
    }
    return OK;
}

static enum net_refusal refusal_of(enum err err)
{
    if (err == ERR_FULL)
        return NET_REFUSED_DECOMPRESSED_SIZE;
    return err == ERR_NOMEM ? NET_REFUSED_MEMORY : NET_REFUSED_CORRUPT;
}

enum err net_request_decompress(struct net_request *request, enum compression compression,
                                size_t max, enum net_refusal *ret_refusal, struct error *error)
{
    struct net_server *server = request->server;
    struct decompressor *decompressor = NULL;
    struct buf out = {0};
    size_t before = request->scratch;
    enum err err = OK;

    if (compression == COMPRESSION_NONE)
        return OK;
    decompressor = server_decompressor(server, compression);
    if (decompressor == NULL)
        err = error_set(error, ERR_NOMEM, "no memory for decompression");
    else
        err = inflate_body(request, decompressor, max, &out, error);

    if (err)
        drop(request, &out);
    drop(request, &request->body);
    discharge(request, err ? 0 : request->scratch - before);
    request->body_at = 0;
    if (err) {
        *ret_refusal = refusal_of(err);
        server_count_refusal(server, *ret_refusal);
        return err;
    }
    request->body = out;
    return OK;
}

enum err net_request_decode(struct net_request *request, size_t max, enum net_refusal *ret_refusal,
                            struct error *error)
{
    struct bytes name = net_request_header(request, NET_HEADER_CONTENT_ENCODING);
    enum compression compression;

    if (compression_parse(name, &compression)) {
        *ret_refusal = NET_REFUSED_ENCODING;
        server_count_refusal(request->server, *ret_refusal);
        return error_set(error, ERR_INVALID,
                         "Content-Encoding '%.*s' is not known; use gzip, zstd, deflate or none",
                         (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
    }
    return net_request_decompress(request, compression, max, ret_refusal, error);
}

struct bytes net_request_body(const struct net_request *request)
{
    if (request->body.len == 0)
        return (struct bytes){0};
    return (struct bytes){request->body.data + request->body_at,
                          request->body.len - request->body_at};
}

void net_request_skip(struct net_request *request, size_t n)
{
    ASSERT(n <= request->body.len - request->body_at);
    request->body_at += n;
}

void net_request_drop_body(struct net_request *request)
{
    drop(request, &request->body);
    discharge(request, 0);
    request->body_at = 0;
}
