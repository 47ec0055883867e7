#include "controller/controller.h"

#include "common/contract/names.h"
#include "common/kube/watch.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/xalloc.h"
#include "controller/cache/store.h"
#include "controller/kube/lease.h"
#include "controller/pages.h"
#include "controller/reconcile/kinds.h"
#include "controller/reconcile/reconcile.h"
#include "controller/reconcile/scale.h"
#include "controller/reconcile/ticker.h"
#include "controller/reconcile/topics.h"
#include "controller/reconcile/volumes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WATCHES_MAX = 12,
    CONDUCT_MS = 200,
    RESYNC_MS = 600000,
    IDENTITY_SIZE = 160,
    SWEEP_TICKS = 25, /* of CONDUCT_MS: close idle Kafka clients every 5 s */
};

#define CHILDREN_SELECTOR NAMES_LABEL_MANAGED_BY "=" NAMES_FIELD_MANAGER

static const struct metric_desc leading_desc = {.name = "leader_election_master_status",
                                                .kind = METRIC_GAUGE,
                                                .help = "1 while this instance leads.",
                                                .labels = {"name"}};

struct controller {
    struct controller_config config;
    char identity[IDENTITY_SIZE];
    const char *own_namespace[1];
    struct kube_client *client;
    struct store *store;
    struct admin_pool *pool;
    struct lags *lags;
    struct probe *probe;
    struct topics *topics;
    struct scale *scale;
    struct workers *workers;
    struct lease *lease;
    struct ticker *conductor;
    struct pages_server *server;
    struct reconcile reconcile;
    struct kube_watch *watches[WATCHES_MAX];
    size_t watch_count;
    atomic_bool leading, lost;
    bool working;   /* the conductor's */
    unsigned ticks; /* the conductor's */
};

/* ---- news, from whichever thread, to the queue */

static void on_news(void *context, const char *key)
{
    struct controller *controller = context;
    workers_add(controller->workers, key);
}

/* A child's name doesn't say whose it is, but its label does. */
static void on_change(void *context, const struct kube_resource *resource, const struct object *old,
                      const struct object *now)
{
    struct controller *controller = context;
    const struct object *object = now != NULL ? now : old;
    char key[BOARD_KEY_MAX];

    if (resource == &kind_pipelines) {
        if (now != NULL)
            board_put(controller->reconcile.board, now);
        on_news(controller, board_key(object->namespace, object->name, key));
        return;
    }
    AUTO(json_free) struct json *child = object_parse(object);
    const char *pipeline = object_label(child, NAMES_LABEL_PIPELINE);
    if (pipeline[0] != '\0')
        on_news(controller, board_key(object->namespace, pipeline, key));
}

/* ---- leading */

static void on_leading(void *context)
{
    struct controller *controller = context;

    kube_client_allow_writes(controller->client, true);
    atomic_store(&controller->leading, true);
    metric_set(metrics_series(&leading_desc, NAMES_FIELD_MANAGER), 1);
    LOG_INFO("Leading", LOG_STR("identity", controller->identity));
}

static void on_lost(void *context)
{
    struct controller *controller = context;

    atomic_store(&controller->leading, false);
    kube_client_allow_writes(controller->client, false);
    metric_set(metrics_series(&leading_desc, NAMES_FIELD_MANAGER), 0);
    atomic_store(&controller->lost, true);
    LOG_INFO("Stopped leading", LOG_STR("identity", controller->identity));
}

static void on_lease_trouble(void *context, const struct error *error)
{
    (void)context;
    LOG_WARN("Failed to look at the lease", LOG_STR("error", error->text));
}

static bool is_synced(const struct controller *controller)
{
    for (size_t i = 0; i < controller->watch_count; i++) {
        if (!kube_watch_synced(controller->watches[i]))
            return false;
    }
    return true;
}

/* Starts the work once we lead and know everything. */
static void conduct(void *context)
{
    struct controller *controller = context;

    if (controller->ticks++ % SWEEP_TICKS == 0)
        admin_pool_sweep(controller->pool);
    if (controller->working || !atomic_load(&controller->leading) || !is_synced(controller))
        return;
    controller->working = true;
    LOG_INFO("Caches are complete",
             LOG_U64("pipelines", store_count(controller->store, &kind_pipelines)));
    workers_start(controller->workers);
    topics_start(controller->topics);
    scale_set_active(controller->scale, true);
    probe_set_active(controller->probe, true);
}

/* ---- wiring */

static enum err open_client(const struct controller_config *config, const char *name,
                            struct kube_client **ret_client, struct error *error)
{
    struct kube_auth *auth = NULL;

    enum err err = kube_auth_default(config->kubeconfig, config->context, &auth, error);
    if (err)
        return err;
    return kube_client_create(&auth, name, ret_client, error);
}

static enum err start_watch(struct controller *controller, const struct kube_resource *resource,
                            const char *selector, void (*project)(struct json *),
                            struct error *error)
{
    const struct kube_watch_config config = {.resource = resource,
                                             .namespace = controller->config.namespace,
                                             .label_selector = selector,
                                             .project = project,
                                             .sink = store_sink(controller->store)};
    struct kube_watch *watch = NULL;

    enum err err = kube_watch_start(controller->client, &config, &watch, error);
    if (err)
        return err;
    controller->watches[controller->watch_count++] = watch;
    return OK;
}

static enum err start_watches(struct controller *controller, struct error *error)
{
    enum err err = start_watch(controller, &kind_pipelines, NULL, NULL, error);

    for (size_t i = 0; kind_children[i] != NULL && err == OK; i++)
        err = start_watch(controller, kind_children[i], CHILDREN_SELECTOR, NULL, error);
    if (err)
        return err;
    err =
        start_watch(controller, &kube_persistentvolumeclaims, VOLUMES_LABEL_SELECTOR, NULL, error);
    if (err)
        return err;
    return start_watch(controller, &kube_pods, CHILDREN_SELECTOR, probe_project_pod, error);
}

static enum err start_lease(struct controller *controller, struct error *error)
{
    const struct controller_config *config = &controller->config;
    struct kube_client *client = NULL;

    if (!config->leader_elect) {
        on_leading(controller);
        return OK;
    }
    enum err err = open_client(config, "lease", &client, error);
    if (err)
        return err;
    const struct lease_config lease = {
        .namespace = config->lease_namespace != NULL ? config->lease_namespace
                                                     : kube_client_namespace(controller->client),
        .name = config->lease_name,
        .identity = controller->identity,
        .on_leading = on_leading,
        .on_lost = on_lost,
        .on_trouble = on_lease_trouble,
        .context = controller,
    };
    return lease_create(&client, &lease, &controller->lease, error);
}

static enum err create_stages(struct controller *controller, struct error *error)
{
    struct reconcile *reconcile = &controller->reconcile;

    reconcile->board = board_create();
    reconcile->volumes = volumes_create();
    controller->store = store_create(NAMES_LABEL_PIPELINE, on_change, controller);
    reconcile->apply = (struct apply){
        .client = controller->client, .store = controller->store, .leading = &controller->leading};
    enum err err = admin_pool_create(ADMIN_CLIENTS_MAX, &controller->pool, error);
    if (err)
        return err;
    controller->lags = lags_create(controller->pool);
    err = probe_create(controller->store, &controller->probe, error);
    if (err)
        return err;
    reconcile->gather = (struct gather){
        .store = controller->store, .board = reconcile->board, .probe = controller->probe};

    const struct topics_config topics = {.apply = reconcile->apply,
                                         .board = reconcile->board,
                                         .pool = controller->pool,
                                         .lags = controller->lags,
                                         .on_news = on_news,
                                         .context = controller};
    err = topics_create(&topics, &controller->topics, error);
    if (err)
        return err;
    reconcile->topics = controller->topics;
    const struct scale_config scale = {.store = controller->store,
                                       .board = reconcile->board,
                                       .lags = controller->lags,
                                       .probe = controller->probe,
                                       .on_news = on_news,
                                       .context = controller};
    err = scale_create(&scale, &controller->scale, error);
    if (err)
        return err;
    return event_recorder_create(controller->client, NAMES_GROUP "/controller",
                                 controller->identity, &reconcile->events, error);
}

static enum err create_workers(struct controller *controller, struct error *error)
{
    const struct workers_config config = {.name = "telemetrypipeline",
                                          .threads = controller->config.threads,
                                          .resync_ms = RESYNC_MS,
                                          .work = reconcile_name,
                                          .context = &controller->reconcile};

    return workers_create(&config, &controller->workers, error);
}

/* The host's name is the pod's; the random part tells two processes on one host apart. */
static void name_ourselves(struct controller *controller)
{
    char host[128] = "localhost";
    uint64_t random = 0;

    gethostname(host, sizeof host - 1);
    if (getentropy(&random, sizeof random) != 0)
        random = (uint64_t)getpid();
    snprintf(controller->identity, sizeof controller->identity, "%s_%08x", host,
             (unsigned)(random & 0xffffffffu));
}

static void settle_rights(struct controller *controller)
{
    struct reconcile *reconcile = &controller->reconcile;

    reconcile->desired = controller->config.desired;
    reconcile->rights = controller->config.rights;
    if (reconcile->rights.node_access_namespaces.count > 0)
        return;
    controller->own_namespace[0] = kube_client_namespace(controller->client);
    reconcile->rights.node_access_namespaces =
        (struct pipeline_strings){controller->own_namespace, 1};
}

/* ---- what the pages show */

static bool page_synced(void *context)
{
    return is_synced(context);
}

static struct json *page_state(void *context)
{
    struct controller *controller = context;
    struct json *state = json_new_object();
    char leader[IDENTITY_SIZE] = "";

    json_set_string(state, "identity", controller->identity);
    json_set_bool(state, "leading", atomic_load(&controller->leading));
    json_set_bool(state, "synced", is_synced(controller));
    if (controller->lease != NULL)
        json_set_bool(state, "leaseFresh", lease_leader(controller->lease, leader, sizeof leader));
    json_set_string(state, "leader", leader);
    pages_put_pipelines(state, controller->reconcile.board);
    return state;
}

/* ---- life */

enum err controller_create(const struct controller_config *config,
                           struct controller **ret_controller, struct error *error)
{
    AUTO(controller_destroy) struct controller *controller = xcalloc(1, sizeof *controller);
    const struct pages pages = {.synced = page_synced, .state = page_state, .context = controller};

    controller->config = *config;
    name_ourselves(controller);
    enum err err = open_client(config, "kube", &controller->client, error);
    if (err)
        return err;
    settle_rights(controller);
    err = create_stages(controller, error);
    if (err)
        return err;
    err = create_workers(controller, error);
    if (err)
        return err;
    metrics_on_refresh(workers_refresh, controller->workers);
    metric_set(metrics_series(&leading_desc, NAMES_FIELD_MANAGER), 0);
    err = start_watches(controller, error);
    if (err)
        return err;
    err = start_lease(controller, error);
    if (err)
        return err;
    err =
        ticker_create("conductor", CONDUCT_MS, conduct, controller, &controller->conductor, error);
    if (err)
        return err;
    ticker_set_active(controller->conductor, true);
    err = pages_open(&pages, config->listen, &controller->server, error);
    if (err)
        return err;
    LOG_INFO("Started controller", LOG_STR("api_server", kube_client_server(controller->client)),
             LOG_STR("identity", controller->identity),
             LOG_STR("namespace", config->namespace != NULL ? config->namespace : "all"));
    MOVE(*ret_controller, controller);
    return OK;
}

/* In the opposite order of creation: first those that begin work, then the work, then the lease, so
 * that the next leader never meets a write of ours. */
void controller_destroy(struct controller **controller_ptr)
{
    struct controller *controller = *controller_ptr;

    if (controller == NULL)
        return;
    pages_close(&controller->server);
    ticker_destroy(&controller->conductor);
    scale_destroy(&controller->scale);
    if (controller->workers != NULL)
        workers_stop(controller->workers);
    if (controller->topics != NULL)
        topics_stop(controller->topics);
    event_recorder_destroy(&controller->reconcile.events);
    lease_destroy(&controller->lease);
    for (size_t i = 0; i < controller->watch_count; i++)
        kube_watch_stop(&controller->watches[i]);
    topics_destroy(&controller->topics);
    workers_destroy(&controller->workers);
    probe_destroy(&controller->probe);
    lags_destroy(&controller->lags);
    admin_pool_destroy(&controller->pool);
    store_destroy(&controller->store);
    volumes_destroy(&controller->reconcile.volumes);
    board_destroy(&controller->reconcile.board);
    kube_client_destroy(&controller->client);
    free(controller);
    *controller_ptr = NULL;
}

bool controller_is_over(const struct controller *controller)
{
    return atomic_load(&controller->lost);
}
