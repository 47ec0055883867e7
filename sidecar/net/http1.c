/* HTTP/1.1 over http-parser: one request at a time, answered in order.
 *
 *   IDLE --first byte--> HEADERS -------------> BODY --whole, or refused--> ANSWERING --> IDLE
 *                           `--> WAITING --------^                             `--close--> (linger)
 *                                for memory
 *
 * While a request waits or is being answered nothing is read; what was read behind it is kept in
 * `rest`, at most one read's worth. After a refusal or a malformed request the rest of the input
 * has no meaning, so the answer closes the connection.
 */
#include "sidecar/net/server_internal.h"

#include "common/assert.h"

#include <http_parser.h>
#include <stdlib.h>
#include <strings.h>

enum { UNREAD_MAX = 32 * 1024 }; /* bytes of answers that wait for the client to read */

enum stage { STAGE_IDLE, STAGE_HEADERS, STAGE_WAITING, STAGE_BODY, STAGE_ANSWERING, STAGE_CLOSING };

struct http1 {
    http_parser parser;
    struct net_conn *conn;
    struct net_request *request; /* from HEADERS to ANSWERING */
    enum stage stage;
    struct buf line; /* the request target, or a header's name and then its value */
    size_t name_len; /* of the header in `line` */
    bool has_value;  /* its value has begun: the next name is another header's */
    bool has_host, wants_continue, bad_expectation;
    bool feeding;     /* feed() is on the stack, and goes on with what is left by itself */
    bool keep_alive;  /* as the request at hand has it */
    bool failed;      /* what follows in the input is not looked at */
    unsigned failure; /* the status to answer with, 0: the handler answers */
    struct buf rest;
};

static struct http1 *http1_of(const struct net_conn *conn)
{
    return conn->session;
}

/* ---- sending */

static const char *reason_of(unsigned status)
{
    switch (status) {
#define X(number, name, text) \
    case number:              \
        return #text;
        HTTP_STATUS_MAP(X)
#undef X
    default:
        return "Unknown";
    }
}

static bool has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

static enum err put_head(struct net_conn *conn, const struct net_response *response, bool close)
{
    struct buf *out = &conn->socket.out;

    enum err err = buf_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\n", response->status,
                              reason_of(response->status), server_date(conn->server));
    for (size_t i = 0; !err && i < response->header_count; i++)
        err = buf_printf(out, "%s: %s\r\n", response->headers[i].name, response->headers[i].value);
    if (!err && has_body(response->status))
        err = buf_printf(out, "Content-Length: %zu\r\n", response->body.len);
    if (!err && close)
        err = buf_append(out, BYTES_LITERAL("Connection: close\r\n"));
    return err ? err : buf_append(out, BYTES_LITERAL("\r\n"));
}

static void send_response(struct net_conn *conn, const struct net_response *response, bool close,
                          bool without_body)
{
    struct http1 *http1 = http1_of(conn);

    enum err err = put_head(conn, response, close);
    if (!err && !without_body && has_body(response->status))
        err = buf_append(&conn->socket.out, response->body);
    if (err) {
        conn_close(conn); /* half an answer is worse than none */
        return;
    }
    http1->stage = close ? STAGE_CLOSING : STAGE_IDLE;
    net_socket_kick(&conn->socket);
}

static void http1_respond(struct net_conn *conn, struct net_request *request,
                          const struct net_response *response)
{
    struct http1 *http1 = http1_of(conn);
    bool head = bytes_equal(net_request_method(request), BYTES_LITERAL("HEAD"));
    bool close = response->close || !http1->keep_alive || http1->failed || conn->draining;

    ASSERT(http1->request == request);
    http1->request = NULL;
    send_response(conn, response, close, head);
    if (conn->closed)
        return; /* and has released the request */
    request_release(request);
    if (!close && !http1->feeding)
        net_socket_resume(&conn->socket);
}

/* Answers what is not HTTP, or comes too slowly, without asking the handler. */
static void reject(struct net_conn *conn, unsigned status)
{
    struct http1 *http1 = http1_of(conn);
    static const struct net_field later = {"retry-after", "1"};
    const struct net_response response = {
        .status = status, .headers = &later, .header_count = status == 503 ? 1 : 0};

    if (http1->request != NULL)
        request_release(http1->request);
    http1->request = NULL;
    http1->failed = true;
    send_response(conn, &response, true, false);
}

/* ---- receiving: the parser's callbacks. Not 0 stops it. */

static struct http1 *http1_of_parser(http_parser *parser)
{
    return CONTAINER_OF(parser, struct http1, parser);
}

/* The library answers this one. */
static int fail(struct http1 *http1, enum net_refusal refusal, unsigned status)
{
    server_count_refusal(http1->conn->server, refusal);
    http1->failed = true;
    http1->failure = status;
    return -1;
}

/* The request is refused: the handler answers, unless the headers are at fault. */
static int fail_request(struct http1 *http1)
{
    if (http1->request->refusal == NET_REFUSED_HEADERS)
        return fail(http1, NET_REFUSED_HEADERS, 431);
    http1->failed = true;
    return -1;
}

static int on_message_begin(http_parser *parser)
{
    struct http1 *http1 = http1_of_parser(parser);
    struct net_conn *conn = http1->conn;

    http1->request = request_create(conn);
    if (http1->request == NULL)
        return fail(http1, NET_REFUSED_EXHAUSTED, 503);
    http1->stage = STAGE_HEADERS;
    http1->has_host = http1->wants_continue = http1->bad_expectation = false;
    buf_clear(&http1->line);
    http1->name_len = 0;
    http1->has_value = false;
    return 0;
}

static int gather(struct http1 *http1, const char *text, size_t len)
{
    enum err err = buf_append(&http1->line, (struct bytes){(const uint8_t *)text, len});
    if (err == ERR_FULL)
        return fail(http1, NET_REFUSED_HEADERS, 431);
    return err ? fail(http1, NET_REFUSED_EXHAUSTED, 503) : 0;
}

static int on_url(http_parser *parser, const char *text, size_t len)
{
    return gather(http1_of_parser(parser), text, len);
}

static bool is_text(struct bytes a, const char *text)
{
    return a.len == strlen(text) && strncasecmp((const char *)a.data, text, a.len) == 0;
}

static int finish_header(struct http1 *http1)
{
    struct net_request *request = http1->request;
    struct bytes line = buf_bytes(&http1->line);
    struct bytes name = {line.data, http1->name_len};
    struct bytes value = {line.data + http1->name_len, line.len - http1->name_len};

    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    if (http1->stage == STAGE_BODY)
        name.len = 0; /* a trailer: counted, but it can't change what the headers said */
    if (is_text(name, "host"))
        http1->has_host = true;
    if (is_text(name, "expect")) {
        http1->wants_continue = is_text(value, "100-continue");
        http1->bad_expectation = !http1->wants_continue;
    }
    bool taken = request_add_header(request, name, value);
    buf_clear(&http1->line);
    http1->name_len = 0;
    http1->has_value = false;
    return taken ? 0 : fail_request(http1);
}

/* The end of the request line is told by the first header, or by the end of the headers. */
static int finish_target(struct http1 *http1)
{
    struct net_request *request = http1->request;
    const char *method = http_method_str((enum http_method)http1->parser.method);

    if (request->method.len > 0)
        return 0;
    request_set_method(request, bytes_from(method));
    request_set_target(request, buf_bytes(&http1->line));
    buf_clear(&http1->line);
    return request->refusal == NET_REFUSED_NOT ? 0 : fail_request(http1);
}

static int on_header_field(http_parser *parser, const char *text, size_t len)
{
    struct http1 *http1 = http1_of_parser(parser);

    int stop = finish_target(http1);
    if (stop == 0 && http1->has_value)
        stop = finish_header(http1);
    if (stop == 0)
        stop = gather(http1, text, len);
    http1->name_len = http1->line.len;
    return stop;
}

static int on_header_value(http_parser *parser, const char *text, size_t len)
{
    struct http1 *http1 = http1_of_parser(parser);
    http1->has_value = true;
    return gather(http1, text, len);
}

static int send_continue(struct http1 *http1)
{
    struct net_conn *conn = http1->conn;

    if (buf_append(&conn->socket.out, BYTES_LITERAL("HTTP/1.1 100 Continue\r\n\r\n")))
        return fail(http1, NET_REFUSED_EXHAUSTED, 503);
    net_socket_kick(&conn->socket);
    return 0;
}

/* There is memory for the body: let it come. */
static int begin_body(struct http1 *http1)
{
    http1->stage = STAGE_BODY;
    conn_arm(http1->conn, http1->request->deadline_ms);
    return http1->wants_continue ? send_continue(http1) : 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct http1 *http1 = http1_of_parser(parser);
    bool chunked = (parser->flags & F_CHUNKED) != 0;
    uint64_t length = parser->content_length;

    int stop = finish_target(http1);
    if (stop == 0 && http1->has_value)
        stop = finish_header(http1);
    if (stop != 0)
        return stop;
    if (parser->http_major != 1)
        return fail(http1, NET_REFUSED_MALFORMED, 505);
    if (parser->http_minor >= 1 && !http1->has_host)
        return fail(http1, NET_REFUSED_MALFORMED, 400);
    if (http1->bad_expectation)
        return fail(http1, NET_REFUSED_MALFORMED, 417);

    parser->upgrade = 0; /* we upgrade to nothing, and may go on as if it had not been asked */
    http1->keep_alive = http_should_keep_alive(parser) != 0;
    http1->stage = STAGE_BODY;
    if (chunked || length == UINT64_MAX)
        length = 0;
    if (!request_headers_done(http1->request, length))
        return fail_request(http1);
    if (parser->http_minor == 0)
        http1->wants_continue = false;
    if (!chunked && length == 0) {
        http1->wants_continue = false;
    } else if (request_admit(http1->request, (struct bytes){0}) == ADMISSION_WAITING) {
        http1->stage = STAGE_WAITING;
        http_parser_pause(parser, 1);
        return 0;
    }
    return begin_body(http1);
}

static int on_body(http_parser *parser, const char *data, size_t len)
{
    struct http1 *http1 = http1_of_parser(parser);

    if (request_add_body(http1->request, (struct bytes){(const uint8_t *)data, len}))
        return 0;
    return fail_request(http1);
}

static int on_message_complete(http_parser *parser)
{
    struct http1 *http1 = http1_of_parser(parser);

    if (http1->has_value && finish_header(http1) != 0)
        return -1;
    http1->stage = STAGE_ANSWERING;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- receiving: around the parser */

/* What the parser could not go on with: answered by us, by the handler, or plainly malformed. */
static void answer_failure(struct http1 *http1)
{
    struct net_conn *conn = http1->conn;

    if (!http1->failed) {
        IGNORE_RESULT(fail(http1, NET_REFUSED_MALFORMED, 400)); /* its result is for the parser */
        if (HTTP_PARSER_ERRNO(&http1->parser) == HPE_HEADER_OVERFLOW)
            http1->failure = 431;
    }
    if (http1->failure != 0) {
        reject(conn, http1->failure);
        return;
    }
    http1->stage = STAGE_ANSWERING;
    request_refuse(http1->request, http1->request->refusal);
}

/* Feeds the parser until a request is there. Returns how much it used up. */
static size_t parse(struct http1 *http1, struct bytes data)
{
    http_parser *parser = &http1->parser;

    size_t used = http_parser_execute(parser, &settings, (const char *)data.data, data.len);
    enum http_errno error = HTTP_PARSER_ERRNO(parser);
    if (error == HPE_PAUSED) {
        http_parser_pause(parser, 0);
        if (http1->stage == STAGE_ANSWERING)
            request_hand_over(http1->request);
        return used;
    }
    if (error != HPE_OK)
        answer_failure(http1);
    return data.len;
}

/* A client that does not read its answers is not asked what else it wants. */
static bool is_choked(const struct http1 *http1)
{
    const struct net_socket *socket = &http1->conn->socket;
    return http1->stage == STAGE_IDLE && socket->out.len - socket->out_at > UNREAD_MAX;
}

static bool wants_more(const struct http1 *http1)
{
    return !http1->conn->closed && !http1->failed && http1->stage != STAGE_WAITING &&
           http1->stage != STAGE_ANSWERING && http1->stage != STAGE_CLOSING && !is_choked(http1);
}

/* There is no memory, and won't be in time. */
static void refuse_waiting(struct http1 *http1)
{
    if (!request_stop_waiting(http1->request))
        return; /* it came just now */
    http1->failed = true;
    http1->stage = STAGE_ANSWERING;
    request_refuse(http1->request, NET_REFUSED_MEMORY);
}

/* Keeps what can't be looked at yet, and stops reading. */
static void keep(struct http1 *http1, struct bytes data)
{
    struct net_conn *conn = http1->conn;

    if (conn->closed || http1->failed || http1->stage == STAGE_CLOSING)
        return;
    if (data.len > 0 && (!conn_charge(conn, data.len) || buf_append(&http1->rest, data))) {
        if (http1->stage == STAGE_WAITING)
            refuse_waiting(http1);
        else
            conn_refuse(conn, NET_REFUSED_EXHAUSTED);
        return;
    }
    net_socket_pause(&conn->socket);
}

static void http1_feed(struct net_conn *conn, struct bytes data)
{
    struct http1 *http1 = http1_of(conn);

    http1->feeding = true;
    while (wants_more(http1) && http1->rest.len > 0) {
        size_t used = parse(http1, buf_bytes(&http1->rest));
        if (conn->closed)
            return; /* and the session is gone */
        conn_discharge(conn, used);
        buf_consume(&http1->rest, used);
        if (http1->rest.len == 0)
            buf_fini(&http1->rest);
    }
    while (wants_more(http1) && data.len > 0) {
        size_t used = parse(http1, data);
        if (conn->closed)
            return;
        data.data += used;
        data.len -= used;
    }
    http1->feeding = false;
    if (!wants_more(http1))
        keep(http1, data);
}

static void http1_admitted(struct net_conn *conn, struct net_request *request)
{
    struct http1 *http1 = http1_of(conn);

    ASSERT(http1->request == request);
    ASSERT(http1->stage == STAGE_WAITING);
    if (begin_body(http1) != 0)
        answer_failure(http1);
    else
        net_socket_resume(&conn->socket);
}

static void http1_end(struct net_conn *conn)
{
    struct http1 *http1 = http1_of(conn);

    http1->keep_alive = false;
    if (http1->stage != STAGE_ANSWERING && http1->stage != STAGE_CLOSING)
        conn_close(conn); /* nothing is owed */
}

/* ---- the connection's other events */

static enum err http1_start(struct net_conn *conn)
{
    struct http1 *http1 = calloc(1, sizeof *http1);
    if (http1 == NULL)
        return ERR_NOMEM;
    http_parser_init(&http1->parser, HTTP_REQUEST);
    http1->conn = conn;
    http1->line.max = conn->server->options.headers_max;
    http1->rest.max = READ_SIZE;
    conn->session = http1;
    return OK;
}

static void http1_stop(struct net_conn *conn)
{
    struct http1 *http1 = http1_of(conn);

    buf_fini(&http1->line);
    buf_fini(&http1->rest);
    free(http1);
    conn->session = NULL;
}

static void http1_fill(struct net_conn *conn)
{
    (void)conn; /* answers are put into the output at once */
}

static void http1_flushed(struct net_conn *conn)
{
    if (http1_of(conn)->stage == STAGE_CLOSING)
        conn_linger(conn);
    else if (http1_of(conn)->stage == STAGE_IDLE && conn->socket.paused)
        net_socket_resume(&conn->socket); /* it was choked */
}

static void http1_drain(struct net_conn *conn)
{
    struct http1 *http1 = http1_of(conn);

    if (http1->stage == STAGE_IDLE && http1->rest.len == 0) {
        http1->stage = STAGE_CLOSING; /* nothing is owed */
        net_socket_kick(&conn->socket);
    }
}

static void http1_stalled(struct net_conn *conn, struct net_request *request)
{
    ASSERT(http1_of(conn)->request == request);
    reject(conn, 503);
}

static uint64_t http1_deadline(const struct net_conn *conn)
{
    const struct http1 *http1 = http1_of(conn);
    const struct net_server_options *options = &conn->server->options;

    switch (http1->stage) {
    case STAGE_IDLE:
        return conn->active_ms + options->idle_timeout_ms;
    case STAGE_HEADERS:
    case STAGE_WAITING:
    case STAGE_BODY:
        return http1->request->deadline_ms;
    case STAGE_ANSWERING:
    case STAGE_CLOSING:
        break;
    }
    return UINT64_MAX;
}

static void http1_overdue(struct net_conn *conn, uint64_t now_ms)
{
    struct http1 *http1 = http1_of(conn);

    (void)now_ms;
    if (http1->stage == STAGE_IDLE) {
        http1_drain(conn);
    } else if (http1->stage == STAGE_HEADERS) {
        server_count_refusal(conn->server, NET_REFUSED_HEADER_TIMEOUT);
        reject(conn, 408);
    } else if (http1->stage == STAGE_WAITING) {
        refuse_waiting(http1);
    } else { /* 408 would be final to an OTLP client, and a slow network is nobody's fault */
        server_count_refusal(conn->server, NET_REFUSED_BODY_TIMEOUT);
        reject(conn, 503);
    }
}

const struct protocol http1_protocol = {
    .start = http1_start,
    .feed = http1_feed,
    .admitted = http1_admitted,
    .stalled = http1_stalled,
    .end = http1_end,
    .fill = http1_fill,
    .flushed = http1_flushed,
    .respond = http1_respond,
    .drain = http1_drain,
    .deadline = http1_deadline,
    .overdue = http1_overdue,
    .stop = http1_stop,
};
