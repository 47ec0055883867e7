#include "controller/pages.h"

#include "common/xalloc.h"

#include <stdlib.h>

struct pages_server {
    struct pages pages;
    struct http_server *http;
};

static void put_text(struct http_reply *reply, const char *text)
{
    /* Only memory could fail it, and then the answer is empty. */
    IGNORE_RESULT(buf_append_text(&reply->body, text));
}

static void serve_health(void *context, struct http_reply *reply)
{
    (void)context;
    put_text(reply, "ok\n");
}

static void serve_ready(void *context, struct http_reply *reply)
{
    const struct pages_server *server = context;

    if (server->pages.synced(server->pages.context)) {
        put_text(reply, "ok\n");
        return;
    }
    reply->status = 503;
    put_text(reply, "the caches are not complete yet: see whether the API server answers\n");
}

static void serve_state(void *context, struct http_reply *reply)
{
    const struct pages_server *server = context;
    AUTO(json_free) struct json *state = server->pages.state(server->pages.context);

    reply->content_type = "application/json";
    IGNORE_RESULT(json_print_pretty(state, &reply->body)); /* as in put_text() */
}

enum err pages_open(const struct pages *pages, const char *listen, struct pages_server **ret_server,
                    struct error *error)
{
    AUTO(pages_close) struct pages_server *server = xcalloc(1, sizeof *server);
    const struct http_route routes[] = {{"/healthz", serve_health, server},
                                        {"/readyz", serve_ready, server},
                                        {"/metrics", http_serve_metrics, NULL},
                                        {"/debug/state", serve_state, server}};
    const struct http_listener listener = {
        .listen = listen, .routes = routes, .routes_len = sizeof routes / sizeof routes[0]};

    server->pages = *pages;
    enum err err = http_server_open(&listener, 1, &server->http, error);
    if (err)
        return err;
    MOVE(*ret_server, server);
    return OK;
}

void pages_close(struct pages_server **server)
{
    if (*server == NULL)
        return;
    http_server_close(&(*server)->http);
    free(*server);
    *server = NULL;
}

static void put_gateway(struct json *gateways, struct board *board, const char *key,
                        const struct pipeline_gateway *gateway)
{
    struct json *object = json_add_object(gateways);
    struct gateway_runtime runtime;

    board_gateway(board, key, gateway->name, &runtime);
    json_set_string(object, "name", gateway->name);
    json_set_string(object, "groupID", gateway->group_id);
    if (runtime.decided) {
        json_set_number(object, "wanted", runtime.decision.wanted);
        json_set_number(object, "need", runtime.decision.need);
        json_set_number(object, "capacity", runtime.memory.capacity);
        json_set_string(object, "reason", scaling_reason_name(runtime.decision.reason));
        json_set_string(object, "sentence", runtime.decision.sentence);
    }
    if (!runtime.lag_read)
        return;
    const struct group_lag *lag = &runtime.lag;
    json_set_bool(object, "lagKnown", lag->known);
    json_set_string(object, "groupState", group_state_name(lag->state));
    json_set_number(object, "members", lag->members);
    if (!lag->known) {
        json_set_string(object, "why", lag->why);
        return;
    }
    json_set_number(object, "lagMessages", (double)lag->lag_messages);
    if (lag->lag_ms_known)
        json_set_number(object, "lagSeconds", (double)lag->lag_ms / 1000);
    if (lag->rates_known) {
        json_set_number(object, "arrivalRate", lag->arrival_rate);
        json_set_number(object, "consumeRate", lag->consume_rate);
    }
    if (lag->drain_ms >= 0)
        json_set_number(object, "drainSeconds", (double)lag->drain_ms / 1000);
}

void pages_put_pipelines(struct json *state, struct board *board)
{
    struct json *list = json_set_array(state, "pipelines");
    size_t count = 0;
    char **keys = board_keys(board, &count);

    for (size_t i = 0; i < count; i++) {
        AUTO(subject_unref) struct subject *subject = NULL;
        if (board_subject(board, keys[i], &subject, NULL) == OK) {
            struct json *object = json_add_object(list);
            json_set_string(object, "key", keys[i]);
            json_set_number(object, "generation", (double)subject->pipeline->generation);
            struct json *gateways = json_set_array(object, "gateways");
            for (size_t g = 0; g < subject->pipeline->gateway_count; g++)
                put_gateway(gateways, board, keys[i], &subject->pipeline->gateways[g]);
        }
        free(keys[i]);
    }
    free(keys);
}
