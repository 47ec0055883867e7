/* Two kinds of passes through the request: the first asks the routes about each item, notes what
 * they say, and writes those that go where the first one goes; if others were met, each further
 * topic has a pass that writes its own behind them by the notes. Mostly all go one way, and the
 * first pass is the last. */
#include "sidecar/edge/routes.h"

#include "common/assert.h"
#include "common/buf.h"
#include "common/crc32c.h"
#include "sidecar/process/condition.h"
#include "sidecar/process/process.h"
#include "sidecar/process/rewrite.h"

#include <stdlib.h>

/* The ways out: one for each topic that a route names, and the default, which is way 0. */
enum { WAYS_MAX = PIPELINE_ROUTES_MAX + 1 };

struct route {
    struct condition when;
    bool always;
    enum signal signal; /* of its topic */
    uint8_t way;
};

struct routes {
    struct route list[PIPELINE_ROUTES_MAX];
    size_t count;
    uint32_t tags[WAYS_MAX];
    size_t ways;

    enum signal signal; /* the request at hand */
    struct item above;  /* its bytes are those of the item at hand */
    struct buf notes;   /* the way of each item */
    size_t at;          /* of the item at hand in the notes */
    uint8_t way;        /* that is being written */
    uint64_t met;       /* bit w: some item goes there */
    struct buf out;
    struct spool_cut cuts[WAYS_MAX]; /* of what is in it */
};

uint32_t routes_tag(const struct pipeline *pipeline, const struct pipeline_topic *topic)
{
    if (topic == NULL || topic == pipeline_topic_of(pipeline, topic->signal))
        return 0;
    uint32_t tag = crc32c(0, bytes_from(topic->name));
    return tag != 0 ? tag : 1;
}

/* ---- making */

void routes_destroy(struct routes **routes)
{
    struct routes *gone = *routes;
    if (gone == NULL)
        return;

    for (size_t i = 0; i < gone->count; i++)
        condition_fini(&gone->list[i].when);
    buf_fini(&gone->notes);
    buf_fini(&gone->out);
    free(gone);
    *routes = NULL;
}

/* Routes to one topic share a way. */
static uint8_t way_of(struct routes *routes, uint32_t tag)
{
    for (size_t i = 0; i < routes->ways; i++)
        if (routes->tags[i] == tag)
            return (uint8_t)i;
    routes->tags[routes->ways] = tag;
    return (uint8_t)routes->ways++;
}

enum err routes_create(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                       struct routes **ret_routes, struct error *error)
{
    ASSERT(edge->route_count <= PIPELINE_ROUTES_MAX);
    AUTO(routes_destroy) struct routes *routes = calloc(1, sizeof *routes);
    if (routes == NULL)
        return error_set(error, ERR_NOMEM, "routes");
    routes->ways = 1;
    for (size_t i = 0; i < edge->route_count; i++) {
        const struct pipeline_route *wanted = &edge->routes[i];
        const struct pipeline_topic *topic = pipeline_topic(pipeline, wanted->to);
        struct route *route = &routes->list[routes->count++];
        if (topic == NULL)
            return error_set(error, ERR_INVALID, "routes[%zu]: '%s' names no topic", i, wanted->to);
        route->signal = topic->signal;
        route->way = way_of(routes, routes_tag(pipeline, topic));
        route->always = wanted->when == NULL;
        enum err err = route->always ? OK : condition_make(&route->when, wanted->when, error);
        if (err)
            return error_prefix(error, err, "routes[%zu]", i);
    }
    MOVE(*ret_routes, routes);
    return OK;
}

bool routes_concern(const struct routes *routes, enum signal signal)
{
    for (size_t i = 0; i < routes->count; i++)
        if (routes->list[i].signal == signal)
            return true;
    return false;
}

/* ---- splitting */

static enum err on_enter(void *context, enum rewrite_level level, struct bytes *bytes)
{
    struct routes *routes = context;
    bool resource = level == REWRITE_RESOURCE;

    if (level == REWRITE_METRIC)
        routes->above.metric = *bytes;
    else if (resource)
        routes->above.resource = *bytes;
    else
        routes->above.scope = *bytes;
    for (size_t i = 0; level != REWRITE_METRIC && i < routes->count; i++)
        condition_enter(&routes->list[i].when, resource ? EXPR_AT_RESOURCE : EXPR_AT_SCOPE);
    return OK;
}

static uint8_t choose(struct routes *routes)
{
    for (size_t i = 0; i < routes->count; i++) {
        struct route *route = &routes->list[i];
        if (route->signal == routes->signal &&
            (route->always || condition_holds(&route->when, routes->signal, &routes->above)))
            return route->way;
    }
    return 0;
}

static enum err choose_item(void *context, enum otlp_message_id message, struct bytes *bytes,
                            bool *ret_keep)
{
    struct routes *routes = context;

    routes->above.message = message;
    routes->above.bytes = *bytes;
    uint8_t way = choose(routes);
    if (routes->met == 0)
        routes->way = way;
    routes->met |= UINT64_C(1) << way;
    *ret_keep = way == routes->way;
    return buf_append_byte(&routes->notes, way);
}

static enum err pick_item(void *context, enum otlp_message_id message, struct bytes *bytes,
                          bool *ret_keep)
{
    struct routes *routes = context;

    (void)message;
    (void)bytes;
    *ret_keep = routes->notes.data[routes->at++] == routes->way;
    return OK;
}

static enum err stay(void *context, enum rewrite_level level, struct bytes *bytes)
{
    (void)context;
    (void)level;
    (void)bytes;
    return OK;
}

/* What is next to be written: the way of the first item whose way has not been. */
static uint8_t next_way(const struct routes *routes, uint64_t written)
{
    size_t at = 0;

    while ((written >> routes->notes.data[at] & 1) != 0)
        at++;
    return routes->notes.data[at];
}

/* Writes the items of the way at hand behind what is there. */
static enum err write_way(struct routes *routes, struct bytes request,
                          const struct rewrite_hooks *hooks, struct spool_cut *ret_cut)
{
    size_t before = routes->out.len;
    uint32_t kept = 0;

    enum err err = rewrite(routes->signal, request, hooks, &routes->out, &kept);
    if (!err)
        *ret_cut = (struct spool_cut){routes->out.len - before, kept, routes->tags[routes->way]};
    return err;
}

/* The ways of all other items than those that are written. */
static enum err write_others(struct routes *routes, struct bytes request, size_t *count)
{
    const struct rewrite_hooks picking = {stay, pick_item, NULL, routes};
    uint64_t written = UINT64_C(1) << routes->way;
    enum err err = OK;

    while (!err && written != routes->met) {
        routes->way = next_way(routes, written);
        routes->at = 0;
        err = write_way(routes, request, &picking, &routes->cuts[(*count)++]);
        written |= UINT64_C(1) << routes->way;
    }
    return err;
}

enum err routes_split(struct routes *routes, enum signal signal, struct bytes request,
                      uint32_t items, size_t size_max, struct routed *ret_routed,
                      struct error *error)
{
    const struct rewrite_hooks choosing = {on_enter, choose_item, NULL, routes};
    size_t count = 1;

    routes->signal = signal;
    routes->above = (struct item){0};
    routes->met = 0;
    routes->way = 0; /* of a request without items */
    routes->out.max = size_max;
    buf_clear(&routes->notes);
    buf_clear(&routes->out);
    enum err err = write_way(routes, request, &choosing, &routes->cuts[0]);
    bool all = !err && routes->cuts[0].items == items;
    if (!err && !all)
        err = write_others(routes, request, &count);
    if (err == ERR_FULL)
        return error_set(error, err, "the request is above %zu bytes when cut by routes", size_max);
    if (err)
        return error_set(error, err, "route an OTLP request");
    if (all)
        routes->cuts[0].len = request.len;
    *ret_routed = (struct routed){all ? request : buf_bytes(&routes->out), routes->cuts, count};
    return OK;
}

void routes_release(struct routes *routes)
{
    if (routes->out.cap > PROCESS_KEPT_BYTES)
        buf_fini(&routes->out);
    if (routes->notes.cap > PROCESS_KEPT_BYTES)
        buf_fini(&routes->notes);
}
