#include "sidecar/gateway/gateway.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/cond.h"
#include "common/contract/names.h"
#include "common/contract/pipeline_live.h"
#include "common/http_server.h"
#include "common/json.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/export/export.h"
#include "sidecar/gateway/dead_letters.h"
#include "sidecar/gateway/delivery.h"
#include "sidecar/gateway/intake.h"
#include "sidecar/gateway/prepare.h"
#include "sidecar/kafka/kafka_access.h"
#include "sidecar/net/net_loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUSY_MS = 20, COMMIT_LAST_MS = 5000, CHANGE_WAIT_MS = 10000 };

/* A changed document on its way in; lives on the stack of gateway_change(). */
struct change {
    struct net_task task;
    struct gateway *gateway;
    struct pipeline *pipeline, *pipeline_of_export; /* two copies: they are let go of apart */
    struct export *export;                          /* NULL: the backend stays as it is */
    struct prepare *prepare;
    uint64_t until_ms; /* then what is in flight is given up, and sent again */
    struct error error;
    bool done; /* guarded by the gateway's lock */
};

struct gateway {
    struct gateway_options options;
    struct arena arena;
    struct kafka_access access;
    struct net_loop *loop;
    struct export *export;
    struct pipeline *taken,
        *taken_of_export;  /* what delivery and export were changed to, or NULL */
    struct change *change; /* waits for an idle moment */
    struct prepare *prepare;
    struct delivery *delivery;
    struct dead_letters *dead_letters;
    struct intake *intake;
    struct net_timer tick;
    struct http_server *server;
    pthread_t thread;
    bool running;

    struct net_task kick;
    atomic_bool kicked; /* posted and not run yet */
    struct net_task stop;
    uint32_t grace_ms;
    uint64_t stop_at_ms; /* 0: not stopping */

    pthread_cond_t changed;
    pthread_mutex_t lock; /* guards what follows, and the pipeline in `options` */
    struct delivery_state delivery_state;
    struct intake_state intake_state;
    uint64_t dead_count, dead_waiting, filtered_items;
    char dead_trouble[256];
    bool ready;
};

static const struct metric_desc up_desc = {.name = "surgetank_gateway_backend_up",
                                           .kind = METRIC_GAUGE,
                                           .help = "1 while the backend takes what it is sent.",
                                           .labels = {"gateway"}};
static const struct metric_desc held_desc = {.name = "surgetank_gateway_held_bytes",
                                             .kind = METRIC_GAUGE,
                                             .help =
                                                 "Bytes of messages read and not delivered yet.",
                                             .labels = {"gateway"}};

/* ---- what the stages say to each other */

/* The next round of the loop goes through all stages. */
static void on_wake(void *context)
{
    struct gateway *gateway = context;
    net_timer_set(gateway->loop, &gateway->tick, net_loop_now_ms(gateway->loop));
}

static void on_deliver(void *context, struct parcel *parcel)
{
    struct gateway *gateway = context;

    if (prepare_parcel(gateway->prepare, gateway->delivery, parcel, clock_mono_ms()))
        on_wake(gateway);
}

static void on_parcel_done(void *context, struct parcel *parcel)
{
    struct gateway *gateway = context;
    gateway->intake->kind->done(gateway->intake, parcel, clock_mono_ms());
}

static void on_backend_lost(void *context)
{
    struct gateway *gateway = context;
    gateway->intake->kind->rewind(gateway->intake);
}

static void on_buried(void *context)
{
    struct piece *piece = context;
    struct gateway *gateway = piece->dead_context;

    delivery_buried(gateway->delivery, piece);
}

static void on_bury(void *context, struct piece *piece, const char *reason)
{
    struct gateway *gateway = context;

    piece->dead_context = gateway;
    struct dead_letter letter = {.signal = piece->parcel->signal,
                                 .value = piece->value,
                                 .reason = reason,
                                 .done = on_buried,
                                 .context = piece};
    if (gateway->intake->kind->origin != NULL)
        gateway->intake->kind->origin(gateway->intake, piece->parcel, &letter);
    dead_letters_put(gateway->dead_letters, &letter);
}

/* ---- the loop */

static void publish(struct gateway *gateway)
{
    const char *name = gateway->options.gateway->name;

    pthread_mutex_lock(&gateway->lock);
    delivery_state(gateway->delivery, &gateway->delivery_state);
    gateway->intake->kind->state(gateway->intake, &gateway->intake_state);
    gateway->dead_count = dead_letters_count(gateway->dead_letters);
    gateway->dead_waiting = dead_letters_waiting(gateway->dead_letters);
    gateway->filtered_items = prepare_filtered(gateway->prepare);
    dead_letters_trouble(gateway->dead_letters, gateway->dead_trouble,
                         sizeof gateway->dead_trouble);
    pthread_mutex_unlock(&gateway->lock);
    metric_set(metrics_series(&up_desc, name), gateway->delivery_state.failing == 0);
    metric_set(metrics_series(&held_desc, name), (double)gateway->intake_state.held_bytes);
}

/* ---- changes */

static const struct pipeline_gateway *find_self(const struct gateway *gateway,
                                                const struct pipeline *pipeline)
{
    const struct pipeline_gateway *self =
        pipeline_gateway(pipeline, gateway->options.gateway->name);
    ASSERT(self != NULL);
    return self;
}

static void end_change(struct gateway *gateway, struct change *change)
{
    pthread_mutex_lock(&gateway->lock);
    change->done = true;
    pthread_cond_signal(&gateway->changed);
    pthread_mutex_unlock(&gateway->lock);
}

static void swap(struct gateway *gateway, struct change *change)
{
    const struct pipeline_gateway *self = find_self(gateway, change->pipeline);
    struct pipeline *before = gateway->taken;

    delivery_change(gateway->delivery, self, change->export);
    prepare_change(gateway->prepare, &change->prepare);
    if (change->export != NULL) {
        pipeline_free(&gateway->taken_of_export);
        MOVE(gateway->taken_of_export, change->pipeline_of_export);
        MOVE(gateway->export, change->export);
    }
    pthread_mutex_lock(&gateway->lock);
    MOVE(gateway->taken, change->pipeline);
    gateway->options.pipeline = gateway->taken;
    gateway->options.gateway = self;
    pthread_mutex_unlock(&gateway->lock);
    pipeline_free(&before);
}

/* Requests go to the new backend once those to the old one are answered: so none is sent twice. */
static void finish_change(struct gateway *gateway, uint64_t now_ms)
{
    struct change *change = gateway->change;
    struct delivery_state delivery;

    delivery_state(gateway->delivery, &delivery);
    if (change->export != NULL && delivery.in_flight > 0 && now_ms < change->until_ms)
        return;
    gateway->change = NULL; /* closing may run the loop, and this again */
    if (change->export != NULL)
        export_close(&gateway->export);
    swap(gateway, change);
    delivery_pause(gateway->delivery, false);
    end_change(gateway, change);
}

/* `self` and what it hangs on are the exporter's loan. */
static enum err make_export(struct gateway *gateway, const struct pipeline_gateway *self,
                            struct export **ret_export, struct error *error)
{
    const struct export_options options = {.loop = gateway->loop,
                                           .settings = &self->export,
                                           .secrets_dir = gateway->options.secrets_dir,
                                           .user_agent = "surgetank",
                                           .gateway = self->name};
    return export_open(&options, ret_export, error);
}

static void begin_change(struct net_task *task)
{
    struct change *change = CONTAINER_OF(task, struct change, task);
    struct gateway *gateway = change->gateway;

    if (change->pipeline_of_export != NULL &&
        make_export(gateway, find_self(gateway, change->pipeline_of_export), &change->export,
                    &change->error)) {
        end_change(gateway, change);
        return;
    }
    change->until_ms = clock_mono_ms() + CHANGE_WAIT_MS;
    gateway->change = change;
    delivery_pause(gateway->delivery, change->export != NULL);
    net_timer_set(gateway->loop, &gateway->tick, net_loop_now_ms(gateway->loop));
}

static enum err copy_pipeline(const struct pipeline *pipeline, struct pipeline **ret_copy,
                              struct error *error)
{
    AUTO(json_free) struct json *document = pipeline_to_json(pipeline);
    struct faults faults = {0};

    enum err err = pipeline_read(document, ret_copy, &faults, error);
    faults_fini(&faults);
    return err;
}

enum err gateway_change(struct gateway *gateway, const struct pipeline *pipeline,
                        struct error *error)
{
    const char *name = gateway->options.gateway->name;
    struct change change = {.gateway = gateway, .task = {.run = begin_change}};

    enum err err = copy_pipeline(pipeline, &change.pipeline, error);
    if (!err)
        err = prepare_open(pipeline_gateway(pipeline, name), &change.prepare, error);
    if (!err && !pipeline_same_at(gateway->options.pipeline, pipeline, false, name, "export"))
        err = copy_pipeline(pipeline, &change.pipeline_of_export, error);
    if (!err) {
        net_loop_post(gateway->loop, &change.task);
        pthread_mutex_lock(&gateway->lock);
        while (!change.done)
            pthread_cond_wait(&gateway->changed, &gateway->lock);
        pthread_mutex_unlock(&gateway->lock);
        err = change.error.code;
        if (err && error != NULL)
            *error = change.error;
    }
    prepare_close(&change.prepare);
    pipeline_free(&change.pipeline);
    pipeline_free(&change.pipeline_of_export);
    return err ? error_prefix(error, err, "gateway '%s'", name) : OK;
}

/* ---- the rounds */

/* True: nothing is under way any more, or time is up. */
static bool is_drained(struct gateway *gateway, uint64_t now_ms)
{
    struct delivery_state delivery;

    delivery_state(gateway->delivery, &delivery);
    return now_ms >= gateway->stop_at_ms || (delivery.in_flight == 0 && delivery.waiting == 0 &&
                                             !prepare_has_empty(gateway->prepare) &&
                                             dead_letters_waiting(gateway->dead_letters) == 0);
}

/* Parcels of which processors have left nothing. */
static void end_empty(struct gateway *gateway, uint64_t now_ms)
{
    struct parcel *parcel = NULL;

    while ((parcel = prepare_next_empty(gateway->prepare)) != NULL)
        gateway->intake->kind->done(gateway->intake, parcel, now_ms);
}

static void on_tick(struct net_timer *timer)
{
    struct gateway *gateway = (struct gateway *)((char *)timer - offsetof(struct gateway, tick));
    uint64_t now_ms = clock_mono_ms();

    uint64_t intake_ms = gateway->intake->kind->poll(gateway->intake, now_ms);
    end_empty(gateway, now_ms);
    dead_letters_poll(gateway->dead_letters, now_ms);
    if (gateway->change != NULL)
        finish_change(gateway, now_ms);
    uint64_t next_ms = delivery_run(gateway->delivery, now_ms);
    publish(gateway);
    if (gateway->stop_at_ms != 0 && is_drained(gateway, now_ms)) {
        gateway->intake->kind->commit(gateway->intake, now_ms);
        net_loop_stop(gateway->loop);
        return;
    }
    bool busy = gateway->stop_at_ms != 0 || gateway->change != NULL ||
                dead_letters_waiting(gateway->dead_letters) > 0;
    next_ms = intake_ms < next_ms ? intake_ms : next_ms;
    if (busy && next_ms > now_ms + BUSY_MS)
        next_ms = now_ms + BUSY_MS;
    /* Not within this round: other events have their turn. */
    net_timer_set(gateway->loop, timer, next_ms > now_ms ? next_ms : now_ms + 1);
}

static void on_kick(struct net_task *task)
{
    struct gateway *gateway = CONTAINER_OF(task, struct gateway, kick);

    atomic_store(&gateway->kicked, false);
    on_wake(gateway);
}

void gateway_kick(struct gateway *gateway)
{
    if (!atomic_exchange(&gateway->kicked, true))
        net_loop_post(gateway->loop, &gateway->kick);
}

static void begin_stop(struct net_task *task)
{
    struct gateway *gateway = (struct gateway *)((char *)task - offsetof(struct gateway, stop));

    gateway->stop_at_ms = clock_mono_ms() + gateway->grace_ms;
    gateway->intake->kind->stop(gateway->intake);
    delivery_flush(gateway->delivery);
    net_timer_set(gateway->loop, &gateway->tick, clock_mono_ms());
}

static void *run(void *context)
{
    struct gateway *gateway = context;

    pthread_setname_np(pthread_self(), "gateway");
    net_timer_set(gateway->loop, &gateway->tick, clock_mono_ms());
    net_loop_run(gateway->loop);
    return NULL;
}

/* ---- pages */

static void serve_health(void *context, struct http_reply *reply)
{
    (void)context;
    if (buf_append_text(&reply->body, "ok\n"))
        reply->status = 500;
}

static void serve_ready(void *context, struct http_reply *reply)
{
    struct gateway *gateway = context;

    pthread_mutex_lock(&gateway->lock);
    bool ready = gateway->ready;
    pthread_mutex_unlock(&gateway->lock);
    reply->status = ready ? 200 : 503;
    if (buf_append_text(&reply->body, ready ? "ready\n" : "starting or stopping\n"))
        reply->status = 500;
}

static void serve_state(void *context, struct http_reply *reply)
{
    struct gateway *gateway = context;
    AUTO(json_free) struct json *root = gateway_state(gateway);

    if (gateway->options.more_state != NULL)
        gateway->options.more_state(gateway->options.more_state_context, root);
    reply->content_type = "application/json";
    if (json_print(root, &reply->body))
        reply->status = 500;
}

static const char *backend_state(const struct delivery_state *delivery)
{
    if (delivery->holding)
        return "holding";
    if (delivery->failing == 0)
        return "up";
    return delivery->mend ? "mend" : "failing";
}

struct json *gateway_state(struct gateway *gateway)
{
    struct json *root = json_new_object();

    pthread_mutex_lock(&gateway->lock);
    const struct delivery_state *delivery = &gateway->delivery_state;
    const struct intake_state *intake = &gateway->intake_state;
    json_set_string(root, "role", "gateway");
    json_set_string(root, "pipeline", gateway->options.pipeline->name);
    json_set_string(root, "gateway", gateway->options.gateway->name);
    json_set_number(root, "generation", (double)gateway->options.pipeline->generation);
    json_set_bool(root, "ready", gateway->ready);
    struct json *part = json_set_object(root, "backend");
    json_set_string(part, "state", backend_state(delivery));
    json_set_string(part, "trouble", delivery->trouble);
    json_set_number(part, "failures", (double)delivery->failures);
    json_set_number(part, "requests", (double)delivery->requests);
    json_set_number(part, "inFlight", (double)delivery->in_flight);
    json_set_number(part, "waiting", (double)delivery->waiting);
    part = json_set_object(root, "intake");
    json_set_string(part, "protocol", intake->protocol);
    json_set_number(part, "partitions", (double)intake->partitions);
    json_set_number(part, "heldBytes", (double)intake->held_bytes);
    json_set_string(part, "trouble", intake->trouble);
    part = json_set_object(root, "deadLetters");
    json_set_number(part, "waiting", (double)gateway->dead_waiting);
    json_set_string(part, "trouble", gateway->dead_trouble);
    part = json_set_object(root, "ledger");
    json_set_number(part, "consumedItems", (double)intake->consumed_items);
    json_set_number(part, "deliveredItems", (double)delivery->delivered_items);
    json_set_number(part, "filteredItems", (double)gateway->filtered_items);
    json_set_number(part, "deadLetters", (double)gateway->dead_count);
    json_set_number(part, "deadLettersWaiting", (double)gateway->dead_waiting);
    json_set_number(part, "rejectedItems", (double)delivery->rejected);
    json_set_number(part, "repeats", (double)intake->repeats);
    json_set_number(part, "undecodable", (double)intake->undecodable);
    json_set_number(part, "missedMessages", (double)intake->missed);
    pthread_mutex_unlock(&gateway->lock);
    return root;
}

/* ---- start and stop */

static enum err open_server(struct gateway *gateway, struct error *error)
{
    const struct http_route health_routes[] = {
        {NAMES_PATH_HEALTH, serve_health, gateway},
        {NAMES_PATH_READY, serve_ready, gateway},
        {NAMES_PATH_STATE, serve_state, gateway},
    };
    const struct http_route metrics_routes[] = {{NAMES_PATH_METRICS, http_serve_metrics, NULL}};
    const struct http_listener listeners[] = {
        {.listen = gateway->options.health_listen, .routes = health_routes, .routes_len = 3},
        {.listen = gateway->options.metrics_listen, .routes = metrics_routes, .routes_len = 1},
    };

    if (gateway->options.health_listen == NULL)
        return OK; /* the single node has one server for all */
    return http_server_open(listeners, 2, &gateway->server, error);
}

static enum err open_export(struct gateway *gateway, struct error *error)
{
    struct delivery_options delivery = {.gateway = gateway->options.gateway,
                                        .done = on_parcel_done,
                                        .bury = on_bury,
                                        .backend_lost = on_backend_lost,
                                        .wake = on_wake,
                                        .context = gateway};

    enum err err = make_export(gateway, gateway->options.gateway, &gateway->export, error);
    if (err)
        return err;
    delivery.export = gateway->export;
    return delivery_open(&delivery, &gateway->delivery, error);
}

static enum err open_dead_letters(struct gateway *gateway, struct error *error)
{
    const struct pipeline *pipeline = gateway->options.pipeline;
    const char *name = gateway->options.gateway->name;
    const char *source =
        arena_printf(&gateway->arena, "%s/%s/%s", pipeline->namespace, pipeline->name, name);
    struct dead_letters_options options = {.source = source};

    if (source == NULL)
        return error_set(error, ERR_NOMEM, "open dead letters");
    if (gateway->options.spool != NULL) {
        options.file = arena_printf(&gateway->arena, "%s/%s.dead-letters.jsonl",
                                    gateway->options.dead_letters_dir, name);
        if (options.file == NULL)
            return error_set(error, ERR_NOMEM, "open dead letters");
    } else {
        enum err err =
            kafka_access_make(pipeline, gateway->options.secrets_dir, "surgetank-dead-letters",
                              NULL, &gateway->arena, &gateway->access, error);
        if (err)
            return err;
        options.access = &gateway->access;
    }
    return dead_letters_open(&options, &gateway->dead_letters, error);
}

static enum err open_intake(struct gateway *gateway, struct error *error)
{
    const struct intake_options options = {.loop = gateway->loop,
                                           .pipeline = gateway->options.pipeline,
                                           .gateway = gateway->options.gateway,
                                           .secrets_dir = gateway->options.secrets_dir,
                                           .spool = gateway->options.spool,
                                           .dead_letters = gateway->dead_letters,
                                           .deliver = on_deliver,
                                           .wake = on_wake,
                                           .context = gateway};
    return gateway->options.spool != NULL ? intake_spool_open(&options, &gateway->intake, error)
                                          : intake_kafka_open(&options, &gateway->intake, error);
}

enum err gateway_start(const struct gateway_options *options, struct gateway **ret_gateway,
                       struct error *error)
{
    struct gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return error_set(error, ERR_NOMEM, "start gateway");

    gateway->options = *options;
    gateway->tick.fire = on_tick;
    gateway->kick.run = on_kick;
    gateway->ready = true;
    pthread_mutex_init(&gateway->lock, NULL);
    cond_init(&gateway->changed);
    enum err err = net_loop_create(&gateway->loop, error);
    if (!err)
        err = prepare_open(options->gateway, &gateway->prepare, error);
    if (!err)
        err = open_export(gateway, error);
    if (!err)
        err = open_dead_letters(gateway, error);
    if (!err)
        err = open_intake(gateway, error);
    if (!err)
        err = open_server(gateway, error);
    if (!err && pthread_create(&gateway->thread, NULL, run, gateway) != 0)
        err = error_set_errno(error, ERR_NOMEM, "start the gateway's thread");
    if (err) {
        gateway_stop(&gateway, 0);
        return error_prefix(error, err, "gateway '%s'", options->gateway->name);
    }
    gateway->running = true;
    LOG_INFO("Started gateway", LOG_STR("gateway", options->gateway->name),
             LOG_STR("endpoint", options->gateway->export.endpoint));
    *ret_gateway = gateway;
    return OK;
}

void gateway_stop(struct gateway **gateway, uint32_t grace_ms)
{
    struct gateway *gone = *gateway;
    if (gone == NULL)
        return;

    pthread_mutex_lock(&gone->lock);
    gone->ready = false;
    pthread_mutex_unlock(&gone->lock);
    if (gone->running) {
        gone->grace_ms = grace_ms > COMMIT_LAST_MS ? grace_ms - COMMIT_LAST_MS : grace_ms / 2;
        gone->stop.run = begin_stop;
        net_loop_post(gone->loop, &gone->stop);
        pthread_join(gone->thread, NULL);
    }
    http_server_close(&gone->server);
    if (gone->loop != NULL)
        net_timer_cancel(gone->loop, &gone->tick);
    export_close(&gone->export); /* what is under way is answered, and made ready again */
    dead_letters_close(&gone->dead_letters);
    delivery_close(&gone->delivery);
    prepare_close(&gone->prepare);
    if (gone->intake != NULL)
        gone->intake->kind->close(gone->intake);
    net_loop_destroy(&gone->loop);
    pthread_cond_destroy(&gone->changed);
    pthread_mutex_destroy(&gone->lock);
    pipeline_free(&gone->taken);
    pipeline_free(&gone->taken_of_export);
    arena_fini(&gone->arena);
    free(gone);
    *gateway = NULL;
}
