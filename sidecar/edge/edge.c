#include "sidecar/edge/edge.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/http_server.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/tls.h"
#include "sidecar/edge/credentials.h"
#include "sidecar/edge/edge_adopt.h"
#include "sidecar/edge/edge_live.h"
#include "sidecar/edge/edge_memory.h"
#include "sidecar/edge/edge_pods.h"
#include "sidecar/edge/edge_state.h"
#include "sidecar/edge/edge_tail.h"
#include "sidecar/edge/produce.h"
#include "sidecar/edge/receive.h"
#include "sidecar/edge/receive_metrics.h"
#include "sidecar/edge/receive_tokens.h"
#include "sidecar/edge/routes.h"
#include "sidecar/kafka/kafka_access.h"
#include "sidecar/net/net_loop.h"
#include "sidecar/pods/pods.h"
#include "sidecar/spool/spool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CREDENTIALS_REFRESH_MS = 10000, TAIL_DRAIN_MS = 1000, SPOOL_OWNER_WAIT_MS = 20000 };

struct worker {
    struct edge *edge;
    struct net_loop *loop;
    struct receive *receive;
    struct net_task drain, change;
    struct net_timer refresh;
    pthread_t thread;
    bool running;
};

struct edge {
    struct edge_options options;
    struct arena arena; /* what the document's settings became: names, paths, secrets */
    struct edge_memory memory;
    struct net_budget budget;
    struct tls_context *tls;
    struct receive_tokens *tokens;
    struct edge_live *live;
    struct kafka_access access;
    struct produce_route routes[PIPELINE_TOPICS_MAX];
    struct spool_config spool_config;
    struct spool *spool;
    struct produce *produce;
    struct edge_adopt *adopt; /* NULL: there is no Kafka to send to */
    struct edge_tail *tail;   /* NULL: no files are followed */
    struct pods *pods;        /* NULL: nobody asked who they are */
    struct worker workers[EDGE_WORKERS_MAX];
    size_t workers_len;
    struct edge_state state;
    struct http_server *server;
    uint64_t drain_until_ms;
    bool drained;
    atomic_size_t draining; /* workers that have not finished */
    atomic_size_t changing; /* the same, of a change */
};

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "start edge");
}

/* ---- what the document says, as the stages want it */

static struct spool_policy policy_of(const struct pipeline_edge *edge)
{
    return (struct spool_policy){
        .size_bytes = (uint64_t)edge->spool.size_bytes,
        .min_free_percent = (unsigned)edge->spool.min_free_percent,
        .when_full =
            edge->spool.when_full == PIPELINE_FULL_DROP_OLDEST ? SPOOL_DROP_OLDEST : SPOOL_BLOCK,
        .max_age_ms = (uint64_t)edge->spool.max_age_ms,
    };
}

static enum err open_spool(struct edge *edge, struct error *error)
{
    const char *dir = NULL;

    enum err err = edge_make_dir(&edge->options, &edge->arena, &dir, error);
    if (err)
        return error_prefix(error, err, "spool");
    const struct spool_policy policy = policy_of(edge->options.edge);
    edge->spool_config = (struct spool_config){
        .dir = dir,
        .size_bytes = policy.size_bytes,
        .min_free_percent = policy.min_free_percent,
        .when_full = policy.when_full,
        .max_age_ms = policy.max_age_ms,
        .pending_max_bytes = edge->memory.pending,
    };
    /* Positions in files are in the spool, and gateways read one only. */
    const struct pipeline_edge *wanted = edge->options.edge;
    bool may_move = edge->options.pipeline->kafka != NULL && wanted->container_logs == NULL &&
                    wanted->files_count == 0;
    return edge_claim_spool(&edge->spool_config, may_move, SPOOL_OWNER_WAIT_MS, &edge->arena,
                            &edge->options.spool_dir, &edge->spool, error);
}

static enum err open_tls(struct edge *edge, struct error *error)
{
    const struct pipeline_otlp_receiver *otlp = &edge->options.edge->otlp;
    const char *dir = edge->options.secrets_dir;

    if (otlp->certificate_secret.name == NULL)
        return OK;
    struct tls_server_options options = {.alpn = "h2,http/1.1"};
    enum err err = pipeline_secret_path(&otlp->certificate_secret, dir, &edge->arena,
                                        &options.certificate_file, error);
    if (!err)
        err = pipeline_secret_path(&otlp->key_secret, dir, &edge->arena, &options.key_file, error);
    if (!err)
        err = pipeline_secret_path(&otlp->client_ca_secret, dir, &edge->arena,
                                   &options.client_ca_file, error);
    return err ? err : tls_server_open(&options, &edge->tls, error);
}

static enum err open_tokens(struct edge *edge, struct error *error)
{
    const char *path = NULL;

    enum err err = pipeline_secret_path(&edge->options.edge->otlp.bearer_token_secret,
                                        edge->options.secrets_dir, &edge->arena, &path, error);
    return err || path == NULL ? err : receive_tokens_open(path, &edge->tokens, error);
}

/* ---- producing */

static const char *const compressions[] = {[PIPELINE_COMPRESSION_NONE] = "none",
                                           [PIPELINE_COMPRESSION_GZIP] = "gzip",
                                           [PIPELINE_COMPRESSION_SNAPPY] = "snappy",
                                           [PIPELINE_COMPRESSION_LZ4] = "lz4",
                                           [PIPELINE_COMPRESSION_ZSTD] = "zstd"};

static enum err open_produce(struct edge *edge, struct error *error)
{
    const struct pipeline *pipeline = edge->options.pipeline;
    const struct pipeline_edge *wanted = edge->options.edge;
    const char *source =
        arena_printf(&edge->arena, "%s/%s/%s", pipeline->namespace, pipeline->name, wanted->name);
    const char *journal = arena_printf(&edge->arena, "%s/journal", edge->options.spool_dir);
    const char *client = arena_printf(&edge->arena, "surgetank-edge-%s", wanted->name);

    if (pipeline->kafka == NULL)
        return OK; /* single node: the gateways read the spool */
    if (source == NULL || journal == NULL || client == NULL)
        return no_memory(error);
    enum err err = kafka_access_make(pipeline, edge->options.secrets_dir, client, NULL,
                                     &edge->arena, &edge->access, error);
    if (err)
        return err;
    struct produce_options options = {
        .spool = edge->spool,
        .access = &edge->access,
        .compression = compressions[wanted->producer.compression],
        .compression_level = (int)wanted->producer.compression_level,
        .in_flight_bytes = edge->memory.in_flight,
        .fresh_first = wanted->producer.fresh_first,
        .replicated = wanted->spool.acknowledge == PIPELINE_ACK_REPLICATED,
        .journal_path = journal,
        .source = source,
        .routes = edge->routes,
    };
    for (size_t i = 0; i < pipeline->topic_count; i++) {
        const struct pipeline_topic *topic = &pipeline->topics[i];
        edge->routes[options.route_count++] =
            (struct produce_route){topic, routes_tag(pipeline, topic)};
    }
    err = produce_open(&options, &edge->produce, error);
    if (err)
        return err;
    const struct edge_adopt_options adopt = {.home = edge->spool_config.dir,
                                             .own = edge->options.spool_dir,
                                             .spool = &edge->spool_config,
                                             .produce = &options};
    return edge_adopt_start(&adopt, &edge->adopt, error);
}

static void on_stored(void *context)
{
    struct edge *edge = context;
    if (edge->produce != NULL)
        produce_kick(edge->produce);
    if (edge->options.stored != NULL)
        edge->options.stored(edge->options.stored_context);
}

static enum err open_tail(struct edge *edge, struct error *error)
{
    bool by_path = pipeline_metadata_from(edge->options.edge, PIPELINE_METADATA_PATH);
    const struct edge_tail_options options = {.edge = edge->options.edge,
                                              .stamp = edge->live->stamp_local,
                                              .refine = edge->live->refine_files,
                                              .spool = edge->spool,
                                              .pods = by_path ? edge->pods : NULL,
                                              .stored = on_stored,
                                              .context = edge};
    enum err err = edge_tail_open(&options, &edge->tail, error);
    edge->state.tail = edge->tail;
    return err;
}

/* ---- workers */

/* On the first worker's loop, for all of them. */
static void refresh_credentials(struct net_timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, refresh);

    credentials_refresh(worker->edge->tls, worker->edge->tokens);
    net_timer_set(worker->loop, timer, net_loop_now_ms(worker->loop) + CREDENTIALS_REFRESH_MS);
}

/* Before metrics are read: what the workers counted, together. */
static void show_receive(void *context)
{
    struct edge *edge = context;
    struct net_server_stats grpc = {0}, http = {0};

    for (size_t i = 0; i < edge->workers_len; i++) {
        struct receive_stats stats;
        receive_stats(edge->workers[i].receive, &stats);
        net_server_stats_add(&grpc, &stats.grpc);
        net_server_stats_add(&http, &stats.http);
    }
    receive_metrics_show("grpc", &grpc);
    receive_metrics_show("http", &http);
    credentials_show(edge->tls);
}

static void receive_settings(struct edge *edge, struct receive_options *ret_options)
{
    static const enum spool_ack acks[] = {[PIPELINE_ACK_SYNCED] = SPOOL_ACK_SYNCED,
                                          [PIPELINE_ACK_WRITTEN] = SPOOL_ACK_WRITTEN,
                                          [PIPELINE_ACK_REPLICATED] = SPOOL_ACK_REPLICATED};
    const struct pipeline_edge *wanted = edge->options.edge;
    const struct pipeline_otlp_receiver *otlp = &wanted->otlp;

    *ret_options = (struct receive_options){
        .spool = edge->spool,
        .budget = &edge->budget,
        .tls = edge->tls,
        .ack = acks[wanted->spool.acknowledge],
        .address = edge->options.listen_address,
        .grpc_port = (uint16_t)otlp->grpc_port,
        .http_port = (uint16_t)otlp->http_port,
        .limits = edge->live->limits,
        .tokens = edge->tokens,
        .all_local = wanted->mode == PIPELINE_DAEMONSET,
        .pods = pipeline_metadata_from(wanted, PIPELINE_METADATA_CONNECTION) ? edge->pods : NULL,
        .stored = on_stored,
        .context = edge,
    };
    for (int i = 0; i < SIGNAL_COUNT; i++)
        ret_options->serves[i] = pipeline_topic_of(edge->options.pipeline, (enum signal)i) != NULL;
}

static void *run_worker(void *context)
{
    struct worker *worker = context;

    pthread_setname_np(pthread_self(), "worker");
    net_loop_run(worker->loop);
    return NULL;
}

/* What this worker does by the document as it is now. */
static struct receive_limits limits_of(const struct worker *worker)
{
    const struct edge_live *live = worker->edge->live;
    struct receive_limits limits = live->limits;

    limits.refine = live->refines[worker - worker->edge->workers];
    return limits;
}

static enum err open_worker(struct edge *edge, const struct receive_options *options,
                            struct error *error)
{
    struct worker *worker = &edge->workers[edge->workers_len++];
    struct receive_options own = *options;

    worker->edge = edge;
    own.limits = limits_of(worker);
    enum err err = net_loop_create(&worker->loop, error);
    if (!err)
        err = receive_open(worker->loop, &own, &worker->receive, error);
    if (err)
        return err;
    if (edge->workers_len == 1) {
        worker->refresh.fire = refresh_credentials;
        net_timer_set(worker->loop, &worker->refresh,
                      net_loop_now_ms(worker->loop) + CREDENTIALS_REFRESH_MS);
    }
    return OK;
}

static enum err open_workers(struct edge *edge, struct error *error)
{
    struct receive_options options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = cores < 2 ? 2 : cores > EDGE_WORKERS_MAX ? EDGE_WORKERS_MAX : (size_t)cores;

    enum err err = OK;

    receive_settings(edge, &options);
    for (size_t i = 0; i < n && !err; i++) {
        err = open_worker(edge, &options, error);
        if (!err && i == 0) { /* port 0 in tests: the others follow the first */
            options.grpc_port = receive_grpc_port(edge->workers[0].receive);
            options.http_port = receive_http_port(edge->workers[0].receive);
        }
    }
    for (size_t i = 0; i < edge->workers_len && !err; i++) {
        struct worker *worker = &edge->workers[i];
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
            return error_set_errno(error, ERR_NOMEM, "start a worker");
        worker->running = true;
    }
    return err;
}

/* ---- start and stop */

static enum err open_server(struct edge *edge, struct error *error)
{
    char health[32], metrics[32];
    const struct pipeline_edge *wanted = edge->options.edge;
    const struct http_route health_routes[] = {
        {NAMES_PATH_HEALTH, edge_serve_health, &edge->state},
        {NAMES_PATH_READY, edge_serve_ready, &edge->state},
        {NAMES_PATH_STATE, edge_serve_state, &edge->state},
    };
    const struct http_route metrics_routes[] = {
        {NAMES_PATH_METRICS, http_serve_metrics, NULL},
    };

    snprintf(health, sizeof health, ":%u", (unsigned)wanted->health_port);
    snprintf(metrics, sizeof metrics, ":%u", (unsigned)wanted->metrics_port);
    const char *health_at = edge->options.health_listen, *metrics_at = edge->options.metrics_listen;
    const struct http_listener listeners[] = {
        {.listen = health_at != NULL ? health_at : health,
         .routes = health_routes,
         .routes_len = 3},
        {.listen = metrics_at != NULL ? metrics_at : metrics,
         .routes = metrics_routes,
         .routes_len = 1},
    };
    return http_server_open(listeners, 2, &edge->server, error);
}

enum err edge_start(const struct edge_options *options, struct edge **ret_edge, struct error *error)
{
    struct edge *edge = calloc(1, sizeof *edge);
    if (edge == NULL)
        return no_memory(error);
    edge->options = *options;
    edge->memory = edge_memory_of(options->edge);
    edge->budget.max = edge->memory.bodies;
    edge->budget.scratch_max = edge->memory.scratch;
    edge->budget.overhead_max = edge->memory.overhead;

    enum err err = open_spool(edge, error);
    if (!err)
        err = edge_live_make(options->pipeline, options->edge, &edge->budget, &edge->live, error);
    if (!err)
        err = open_tls(edge, error);
    if (!err)
        err = open_tokens(edge, error);
    if (!err)
        err = open_produce(edge, error);
    if (!err)
        err = edge_pods_open(options->pipeline, options->edge, &edge->pods, error);
    if (!err)
        edge_state_init(&edge->state, &edge->options, edge->spool, edge->produce);
    edge->state.pods = edge->pods;
    if (!err)
        err = open_workers(edge, error);
    if (!err)
        err = open_tail(edge, error);
    if (!err)
        metrics_on_refresh(show_receive, edge);
    if (!err)
        err = open_server(edge, error);
    if (err) {
        edge_stop(&edge, 0);
        return error_prefix(error, err, "edge '%s'", options->edge->name);
    }
    atomic_store(&edge->state.ready, true);
    LOG_INFO("Started edge", LOG_STR("edge", options->edge->name),
             LOG_U64("grpc_port", edge_grpc_port(edge)), LOG_U64("http_port", edge_http_port(edge)),
             LOG_STR("spool", edge->options.spool_dir));
    *ret_edge = edge;
    return OK;
}

/* Waits until `done` or the time is up; there is nothing to be woken by but the clock. */
static void wait_until(uint64_t until_ms, bool (*done)(const struct edge *edge),
                       const struct edge *edge)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    while (!done(edge) && clock_mono_ms() < until_ms)
        nanosleep(&pause, NULL);
}

/* ---- changes */

static bool workers_have_changed(const struct edge *edge)
{
    return atomic_load(&edge->changing) == 0;
}

static void change_worker(struct net_task *task)
{
    struct worker *worker = CONTAINER_OF(task, struct worker, change);

    const struct receive_limits limits = limits_of(worker);

    receive_change(worker->receive, &limits);
    atomic_fetch_sub(&worker->edge->changing, 1);
}

/* On each worker's thread; when this returns none of them uses the one before. */
static void change_workers(struct edge *edge, struct edge_live **live)
{
    struct edge_live *before = edge->live;

    (*live)->retired = before;
    MOVE(edge->live, *live);
    atomic_store(&edge->changing, edge->workers_len);
    for (size_t i = 0; i < edge->workers_len; i++) {
        edge->workers[i].change.run = change_worker;
        net_loop_post(edge->workers[i].loop, &edge->workers[i].change);
    }
    wait_until(UINT64_MAX, workers_have_changed, edge);
    edge_tail_change(edge->tail, edge->live->stamp_local, edge->live->refine_files);
    edge_live_retire(before);
}

enum err edge_change(struct edge *edge, const struct pipeline *pipeline, struct error *error)
{
    const char *name = edge->options.edge->name;
    const struct pipeline_edge *wanted = pipeline_edge(pipeline, name);
    struct edge_live *live = NULL;

    ASSERT(wanted != NULL);
    const struct spool_policy policy = policy_of(wanted);
    enum err err = edge_live_make(pipeline, wanted, &edge->budget, &live, error);
    if (!err)
        err = edge_pods_change(edge->pods, pipeline, wanted, error);
    if (!err)
        err = spool_set_policy(edge->spool, &policy, error);
    if (err) {
        edge_live_free(&live);
        return error_prefix(error, err, "edge '%s'", name);
    }
    if (edge->produce != NULL) {
        produce_set_compression(edge->produce, compressions[wanted->producer.compression],
                                (int)wanted->producer.compression_level);
        produce_set_fresh_first(edge->produce, wanted->producer.fresh_first);
    }
    change_workers(edge, &live);
    return OK;
}

static void worker_drained(void *context)
{
    struct edge *edge = context;
    atomic_fetch_sub(&edge->draining, 1);
}

static void drain_worker(struct net_task *task)
{
    struct worker *worker = (struct worker *)((char *)task - offsetof(struct worker, drain));
    receive_drain(worker->receive, worker->edge->drain_until_ms, worker_drained, worker->edge);
}

static size_t in_spool(const struct edge *edge)
{
    size_t n = 0;
    for (size_t i = 0; i < edge->workers_len; i++)
        if (edge->workers[i].receive != NULL)
            n += receive_in_spool(edge->workers[i].receive);
    return n;
}

static bool workers_are_drained(const struct edge *edge)
{
    return atomic_load(&edge->draining) == 0;
}

static bool spool_has_answered(const struct edge *edge)
{
    return in_spool(edge) == 0 && !edge_tail_in_spool(edge->tail);
}

static void drain_workers(struct edge *edge, uint64_t until_ms)
{
    if (edge->drained)
        return;
    edge->drained = true;
    edge->drain_until_ms = until_ms;
    for (size_t i = 0; i < edge->workers_len; i++) {
        if (!edge->workers[i].running)
            continue;
        atomic_fetch_add(&edge->draining, 1);
        edge->workers[i].drain.run = drain_worker;
        net_loop_post(edge->workers[i].loop, &edge->workers[i].drain);
    }
    edge_tail_stop(edge->tail, TAIL_DRAIN_MS);
    wait_until(until_ms + 500, workers_are_drained, edge);
    if (edge->spool != NULL)
        spool_stop_appends(edge->spool);
    wait_until(until_ms + 1000, spool_has_answered, edge);
}

static void close_workers(struct edge *edge)
{
    for (size_t i = 0; i < edge->workers_len; i++) {
        struct worker *worker = &edge->workers[i];
        if (worker->running) {
            net_loop_stop(worker->loop);
            pthread_join(worker->thread, NULL);
        }
        if (worker->loop == NULL)
            continue;
        net_timer_cancel(worker->loop, &worker->refresh);
        net_loop_run_once(worker->loop, 0); /* answers that the spool posted last */
        receive_close(&worker->receive);
        net_loop_destroy(&worker->loop);
    }
}

void edge_drain(struct edge *edge, uint32_t grace_ms)
{
    atomic_store(&edge->state.ready, false);
    drain_workers(edge, clock_mono_ms() + grace_ms);
}

void edge_stop(struct edge **edge, uint32_t grace_ms)
{
    struct edge *gone = *edge;
    if (gone == NULL)
        return;
    uint64_t now = clock_mono_ms(), end = now + grace_ms;

    edge_drain(gone, grace_ms / 3);
    now = clock_mono_ms();
    edge_state_forget_produce(&gone->state);
    edge_adopt_stop(&gone->adopt);
    produce_close(&gone->produce, end > now ? (uint32_t)(end - now) : 0);
    http_server_close(&gone->server);
    metrics_off_refresh(show_receive, gone);
    if (gone->state.spool != NULL)
        edge_state_fini(&gone->state);
    spool_close(&gone->spool); /* answers whoever still waits */
    edge_tail_close(&gone->tail);
    close_workers(gone);
    pods_destroy(&gone->pods);
    edge_live_free(&gone->live);
    tls_context_close(&gone->tls);
    receive_tokens_close(&gone->tokens);
    arena_fini(&gone->arena);
    free(gone);
    *edge = NULL;
}

struct spool *edge_spool(struct edge *edge)
{
    return edge->spool;
}

const char *edge_spool_dir(const struct edge *edge)
{
    return edge->options.spool_dir;
}

uint16_t edge_grpc_port(const struct edge *edge)
{
    return receive_grpc_port(edge->workers[0].receive);
}

uint16_t edge_http_port(const struct edge *edge)
{
    return receive_http_port(edge->workers[0].receive);
}
