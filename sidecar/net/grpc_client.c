/* Everything that starts something waits for the end of the round (pump), so that done() is never
 * called from within grpc_client_call(), and calls of a round leave together.
 *
 * Connecting: look up, then one address after the other, each with its share of the time left. The
 * first one moves on with every connection, so that several addresses share the load.
 */
#include "sidecar/net/client_internal.h"

#include "common/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ATTEMPTS_MAX = 3, /* of a call that the server keeps refusing to look at */
    SPARE_MAX = 256,
    SPARE_BUFFER_MAX = 4096,
    ATTEMPT_MIN_MS = 1000, /* for one address, while there are others */
};

const char *grpc_outcome_name(enum grpc_outcome outcome)
{
    static const char *const names[] = {
#define X(name, text) text,
        GRPC_OUTCOMES(X)
#undef X
    };
    return outcome < GRPC_OUTCOME_COUNT ? names[outcome] : "unknown";
}

/* ---- lists of calls */

void call_list_append(struct call_list *list, struct grpc_call *call)
{
    call->next = NULL;
    call->prev = list->last;
    if (list->last != NULL)
        list->last->next = call;
    else
        list->first = call;
    list->last = call;
    list->count++;
}

static void prepend(struct call_list *list, struct grpc_call *call)
{
    call->prev = NULL;
    call->next = list->first;
    if (list->first != NULL)
        list->first->prev = call;
    else
        list->last = call;
    list->first = call;
    list->count++;
}

void call_list_remove(struct call_list *list, struct grpc_call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        list->first = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    else
        list->last = call->prev;
    call->next = call->prev = NULL;
    list->count--;
}

/* ---- how calls end */

static void empty_or_free(struct buf *buf)
{
    if (buf->cap > SPARE_BUFFER_MAX)
        buf_fini(buf);
    buf_clear(buf);
}

void call_release(struct grpc_call *call)
{
    struct grpc_client *client = call->client;

    empty_or_free(&call->message);
    empty_or_free(&call->details);
    empty_or_free(&call->body);
    if (client->spare_count < SPARE_MAX && !client->destroyed) {
        call->next = client->spare;
        client->spare = call;
        client->spare_count++;
        return;
    }
    buf_fini(&call->message);
    buf_fini(&call->details);
    buf_fini(&call->body);
    buf_fini(&call->plain);
    free(call);
}

/* Tells the caller. The call is then free, or waits for its stream to close. */
static void finish(struct grpc_call *call, const struct grpc_result *result)
{
    struct grpc_client *client = call->client;
    struct grpc_conn *conn = call->conn;

    ASSERT(!call->finished);
    net_timer_cancel(client->loop, &call->timer);
    call->finished = true;
    if (conn == NULL)
        call_list_remove(&client->queue, call);
    client_count(client, CLIENT_IN_FLIGHT, (uint64_t)-1);
    uint64_t ended = atomic_load_explicit(&client->outcomes[result->outcome], memory_order_relaxed);
    atomic_store_explicit(&client->outcomes[result->outcome], ended + 1, memory_order_relaxed);
    call->params.done(call->params.ctx, result);
    if (conn == NULL)
        call_release(call);
}

static enum grpc_status status_of_outcome(enum grpc_outcome outcome)
{
    switch (outcome) {
    case GRPC_CALL_DEADLINE:
        return GRPC_DEADLINE_EXCEEDED;
    case GRPC_CALL_CANCELLED:
        return GRPC_CANCELLED;
    case GRPC_CALL_BAD_REPLY:
        return GRPC_INTERNAL;
    case GRPC_CALL_ANSWERED:
    case GRPC_CALL_RESOLVE_FAILED:
    case GRPC_CALL_CONNECT_FAILED:
    case GRPC_CALL_TLS_FAILED:
    case GRPC_CALL_UNPROCESSED:
    case GRPC_CALL_LOST:
    case GRPC_OUTCOME_COUNT:
        break;
    }
    return GRPC_UNAVAILABLE;
}

void call_finish(struct grpc_call *call, enum grpc_outcome outcome, const char *text)
{
    const struct grpc_result result = {
        .outcome = outcome,
        .http_status = call->http_status,
        .status = status_of_outcome(outcome),
        .message = bytes_from(text),
    };
    finish(call, &result);
}

/* What stands in for a missing grpc-status, as gRPC's own table has it. */
static enum grpc_status status_of_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* Servers in Go compress their replies as the request was. */
static bool expand(struct grpc_call *call, struct bytes *message, struct error *error)
{
    AUTO(decompressor_destroy) struct decompressor *decompressor = NULL;

    if (call->encoding == COMPRESSION_NONE) {
        error_set(error, ERR_INVALID, "the reply is compressed in a way that was not offered");
        return false;
    }
    buf_clear(&call->plain);
    call->plain.max = call->client->options.reply_max;
    if (decompressor_create(call->encoding, &decompressor, error) ||
        decompressor_run(decompressor, *message, &call->plain, error))
        return false;
    *message = buf_bytes(&call->plain);
    return true;
}

static bool take_message(struct grpc_call *call, struct bytes *ret_message, struct error *error)
{
    bool compressed = false;

    *ret_message = (struct bytes){0};
    if (call->oversize) {
        error_set(error, ERR_FULL, "the reply is larger than %zu bytes",
                  call->client->options.reply_max);
        return false;
    }
    if (call->body.len == 0)
        return true; /* success without a reply: the server has taken it, which is all we ask */
    if (grpc_unframe(buf_bytes(&call->body), &compressed, ret_message, error))
        return false;
    return !compressed || expand(call, ret_message, error);
}

void call_finish_answered(struct grpc_call *call)
{
    struct error error = {0};
    struct grpc_result result = {
        .outcome = GRPC_CALL_ANSWERED,
        .http_status = call->http_status,
        .status = (enum grpc_status)call->grpc_status,
        .message = buf_bytes(&call->message),
        .details = buf_bytes(&call->details),
        .has_retry_delay = call->has_retry_after,
        .retry_delay_ms = call->retry_after_ms,
        .accepts = call->accepts,
    };

    if (call->grpc_status < 0) {
        result.status = status_of_http(call->http_status);
        error_set(&error, ERR_INVALID, "the server answered HTTP %u without grpc-status",
                  call->http_status);
        result.message = bytes_from(error.text);
    }
    if (grpc_decode_retry_delay(result.details, &result.retry_delay_ms) == OK)
        result.has_retry_delay = true;
    if (result.status == GRPC_OK && !take_message(call, &result.body, &error)) {
        call_finish(call, GRPC_CALL_BAD_REPLY, error.text);
        return;
    }
    finish(call, &result);
}

void call_retry(struct grpc_call *call)
{
    struct grpc_client *client = call->client;

    call->conn = NULL;
    prepend(&client->queue, call);
    if (++call->attempts >= ATTEMPTS_MAX || client->destroyed) {
        call_finish(call, GRPC_CALL_UNPROCESSED, "the server refused to look at the call");
        return;
    }
    client_count(client, CLIENT_RETRIED, 1);
    client_pump(client);
}

static void fail_queue(struct grpc_client *client, enum grpc_outcome outcome, const char *text)
{
    /* As many as there are now: done() may start others, which wait for the next attempt. */
    for (unsigned left = client->queue.count; left > 0 && client->queue.first != NULL; left--)
        call_finish(client->queue.first, outcome, text);
}

/* ---- connecting */

static void give_up(struct grpc_client *client, enum grpc_outcome outcome, const char *text)
{
    net_timer_cancel(client->loop, &client->connect_timer);
    client->addresses_left = 0;
    client_count(client, CLIENT_CONNECT_FAILURES, 1);
    fail_queue(client, outcome, text);
    if (client->queue.count > 0)
        client_pump(client);
}

static void try_address(struct grpc_client *client, struct error *error)
{
    uint64_t now = net_loop_now_ms(client->loop);
    enum err err = ERR_IO;

    while (err && client->addresses_left > 0) {
        unsigned at = client->address_at++ % client->addresses.count;
        uint64_t left = client->connect_deadline_ms > now ? client->connect_deadline_ms - now : 0;
        uint64_t share = left / client->addresses_left--;
        if (share < ATTEMPT_MIN_MS && left >= ATTEMPT_MIN_MS)
            share = ATTEMPT_MIN_MS;
        net_timer_set(client->loop, &client->connect_timer, now + share);
        err = grpc_conn_open(client, &client->addresses.list[at], client->addresses.len[at],
                             &client->current, error);
    }
    if (err)
        give_up(client, GRPC_CALL_CONNECT_FAILED, error->text);
}

static void on_addresses(void *ctx, const struct net_addresses *addresses,
                         const struct error *error)
{
    struct grpc_client *client = ctx;
    struct error failed = {0};

    client->lookup = NULL;
    if (addresses == NULL) {
        give_up(client, GRPC_CALL_RESOLVE_FAILED, error->text);
        return;
    }
    client->addresses = *addresses;
    client->addresses_left = addresses->count;
    client->address_at = client->rotation++;
    try_address(client, &failed);
}

void client_connected(struct grpc_client *client)
{
    net_timer_cancel(client->loop, &client->connect_timer);
    client_count(client, CLIENT_CONNECTS, 1);
    client_count(client, CLIENT_CONNECTED, 1);
    client_pump(client);
}

void client_connect_failed(struct grpc_client *client, enum grpc_outcome outcome,
                           const struct error *error)
{
    struct error next = {0};

    client->current = NULL;
    if (client->addresses_left > 0)
        try_address(client, &next);
    else
        give_up(client, outcome, error->text);
}

static void on_connect_timer(struct net_timer *timer)
{
    struct grpc_client *client = CONTAINER_OF(timer, struct grpc_client, connect_timer);
    struct error error = {0};

    if (client->lookup != NULL) {
        net_lookup_cancel(&client->lookup);
        error_set(&error, ERR_AGAIN, "look up '%s': no answer in %u ms", client->host,
                  client->options.connect_timeout_ms);
        give_up(client, GRPC_CALL_RESOLVE_FAILED, error.text);
        return;
    }
    error_set(&error, ERR_AGAIN, "connect to %s port %u: no answer in time", client->host,
              client->options.port);
    if (client->current != NULL)
        grpc_conn_close(client->current, error.text);
    client_connect_failed(client, GRPC_CALL_CONNECT_FAILED, &error);
}

static void start_connecting(struct grpc_client *client)
{
    struct error error = {0};

    client->connect_deadline_ms =
        net_loop_now_ms(client->loop) + client->options.connect_timeout_ms;
    net_timer_set(client->loop, &client->connect_timer, client->connect_deadline_ms);
    enum err err = net_lookup_start(client->loop, client->host, client->options.port, on_addresses,
                                    client, &client->lookup, &error);
    if (err)
        give_up(client, GRPC_CALL_RESOLVE_FAILED, error.text);
}

/* ---- the queue */

static void run_pump(struct net_task *task)
{
    struct grpc_client *client = CONTAINER_OF(task, struct grpc_client, pump);

    client->pump_queued = false;
    if (client->destroyed) {
        free(client);
        return;
    }
    while (client->queue.first != NULL && client->current != NULL && client->current->ready &&
           grpc_conn_has_room(client->current)) {
        struct grpc_call *call = client->queue.first;
        call_list_remove(&client->queue, call);
        if (!grpc_conn_send(client->current, call)) {
            prepend(&client->queue, call);
            client->current = NULL; /* it drains */
        }
    }
    if (client->queue.first != NULL && client->current == NULL && client->lookup == NULL &&
        !client->connect_timer.armed)
        start_connecting(client);
}

void client_pump(struct grpc_client *client)
{
    if (client->pump_queued)
        return;
    client->pump_queued = true;
    net_loop_defer(client->loop, &client->pump);
}

static void on_deadline(struct net_timer *timer)
{
    struct grpc_call *call = CONTAINER_OF(timer, struct grpc_call, timer);
    struct grpc_conn *conn = call->conn;

    call_finish(call, GRPC_CALL_DEADLINE,
                conn != NULL ? "no answer before the deadline"
                             : "could not be sent before the deadline");
    if (conn != NULL)
        grpc_conn_reset(conn, call);
}

static bool are_valid(const struct grpc_call_params *params, size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0; i < params->message_count; i++)
        size += params->message[i].len;
    *ret_size = size;
    return params->path != NULL && params->path[0] == '/' && params->done != NULL &&
           params->timeout_ms > 0 && params->metadata_count <= GRPC_METADATA_MAX &&
           size <= UINT32_MAX;
}

static struct grpc_call *make_call(struct grpc_client *client)
{
    struct grpc_call *call = client->spare;
    struct buf message = {0}, details = {0}, body = {0};

    if (call != NULL) {
        client->spare = call->next;
        client->spare_count--;
        message = call->message;
        details = call->details;
        body = call->body;
    } else {
        call = malloc(sizeof *call);
        if (call == NULL)
            return NULL;
    }
    *call = (struct grpc_call){
        .client = client, .grpc_status = -1, .message = message, .details = details, .body = body};
    call->timer.fire = on_deadline;
    return call;
}

enum err grpc_client_call(struct grpc_client *client, const struct grpc_call_params *params,
                          struct grpc_call **ret_call, struct error *error)
{
    size_t size;

    if (!are_valid(params, &size))
        return error_set(error, ERR_INVALID, "gRPC call to '%s' has a bad parameter",
                         params->path != NULL ? params->path : "");
    if (atomic_load_explicit(&client->counters[CLIENT_IN_FLIGHT], memory_order_relaxed) >=
        client->options.calls_max)
        return error_set(error, ERR_FULL, "%u calls are under way", client->options.calls_max);
    struct grpc_call *call = make_call(client);
    if (call == NULL)
        return error_set(error, ERR_NOMEM, "start a gRPC call");

    call->params = *params;
    call->size = GRPC_PREFIX_SIZE + size;
    grpc_put_prefix(call->prefix, params->encoding != NULL, (uint32_t)size);
    call->deadline_ms = net_loop_now_ms(client->loop) + params->timeout_ms;
    net_timer_set(client->loop, &call->timer, call->deadline_ms);
    call_list_append(&client->queue, call);
    client_count(client, CLIENT_CALLS, 1);
    client_count(client, CLIENT_IN_FLIGHT, 1);
    client_pump(client);
    if (ret_call != NULL)
        *ret_call = call;
    return OK;
}

void grpc_client_cancel(struct grpc_client *client, struct grpc_call *call)
{
    struct grpc_conn *conn = call->conn;

    ASSERT(call->client == client);
    call_finish(call, GRPC_CALL_CANCELLED, "cancelled");
    if (conn != NULL)
        grpc_conn_reset(conn, call);
}

/* ---- the client */

void grpc_client_options_init(struct grpc_client_options *options)
{
    *options = (struct grpc_client_options){
        .user_agent = "surgetank",
        .calls_max = 1024,
        .reply_max = 4 << 20,
        .connect_timeout_ms = 10 * 1000,
        .keepalive_ms = 30 * 1000,
        .keepalive_timeout_ms = 10 * 1000,
        .idle_timeout_ms = 5 * 60 * 1000,
    };
}

static enum err copy_texts(struct grpc_client *client, const struct grpc_client_options *options)
{
    bool is_ipv6 = strchr(options->host, ':') != NULL;
    int printed = 0;

    client->host = strdup(options->host);
    client->user_agent = strdup(options->user_agent != NULL ? options->user_agent : "surgetank");
    client->server_name =
        strdup(options->server_name != NULL ? options->server_name : options->host);
    if (options->authority != NULL)
        client->authority = strdup(options->authority);
    else
        printed = asprintf(&client->authority, is_ipv6 ? "[%s]:%u" : "%s:%u", options->host,
                           options->port);
    if (printed < 0)
        client->authority = NULL; /* asprintf() leaves it undefined */
    return client->host != NULL && client->user_agent != NULL && client->server_name != NULL &&
                   client->authority != NULL
               ? OK
               : ERR_NOMEM;
}

enum err grpc_client_create(struct net_loop *loop, const struct grpc_client_options *options,
                            struct grpc_client **ret_client, struct error *error)
{
    if (options->host == NULL || options->host[0] == '\0' || options->port == 0)
        return error_set(error, ERR_INVALID, "a gRPC client needs a host and a port");
    AUTO(grpc_client_destroy) struct grpc_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return error_set(error, ERR_NOMEM, "make a gRPC client");
    client->loop = loop;
    client->options = *options;
    client->pump.run = run_pump;
    client->connect_timer.fire = on_connect_timer;
    enum err err = copy_texts(client, options);
    if (err)
        return error_set(error, err, "make a gRPC client");
    err = client_prepare_http2(client, error);
    if (err)
        return err;
    MOVE(*ret_client, client);
    return OK;
}

void grpc_client_destroy(struct grpc_client **client)
{
    struct grpc_client *old = *client;
    if (old == NULL)
        return;
    *client = NULL;

    old->destroyed = true;
    net_lookup_cancel(&old->lookup);
    while (old->conns != NULL)
        grpc_conn_close(old->conns, "the client is closing");
    while (old->queue.first != NULL)
        call_finish(old->queue.first, GRPC_CALL_CANCELLED, "the client is closing");
    net_timer_cancel(old->loop, &old->connect_timer);
    while (old->spare != NULL) {
        struct grpc_call *call = old->spare;
        old->spare = call->next;
        buf_fini(&call->message);
        buf_fini(&call->details);
        buf_fini(&call->body);
        buf_fini(&call->plain);
        free(call);
    }
    client_forget_http2(old);
    free(old->host);
    free(old->authority);
    free(old->server_name);
    free(old->user_agent);
    if (!old->pump_queued) /* else the queued task frees it */
        free(old);
}

static uint64_t count_of(const struct grpc_client *client, enum client_counter counter)
{
    return atomic_load_explicit(&client->counters[counter], memory_order_relaxed);
}

void grpc_client_stats(const struct grpc_client *client, struct grpc_client_stats *ret_stats)
{
    struct grpc_client_stats stats = {
        .connects = count_of(client, CLIENT_CONNECTS),
        .connect_failures = count_of(client, CLIENT_CONNECT_FAILURES),
        .goaways = count_of(client, CLIENT_GOAWAYS),
        .calls = count_of(client, CLIENT_CALLS),
        .retried = count_of(client, CLIENT_RETRIED),
        .bytes_sent = count_of(client, CLIENT_BYTES_SENT),
        .bytes_received = count_of(client, CLIENT_BYTES_RECEIVED),
        .in_flight = count_of(client, CLIENT_IN_FLIGHT),
        .connected = count_of(client, CLIENT_CONNECTED) > 0,
    };
    for (unsigned i = 0; i < GRPC_OUTCOME_COUNT; i++)
        stats.outcomes[i] = atomic_load_explicit(&client->outcomes[i], memory_order_relaxed);
    *ret_stats = stats;
}
