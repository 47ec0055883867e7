#include "controller/reconcile/probe.h"

#include "common/clock.h"
#include "common/contract/names.h"
#include "common/http_client.h"
#include "common/map.h"
#include "common/metrics.h"
#include "common/url.h"
#include "common/xalloc.h"
#include "controller/reconcile/ticker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 1000, FORGET_MS = 600000, HURRY_MS = 60000 };

static const struct metric_desc requests_desc = {
    .name = "surgetank_probe_requests_total",
    .kind = METRIC_COUNTER,
    .help = "Questions to pods about their state, by how they ended.",
    .labels = {"outcome"}};

/* What is kept of one pod, by uid. */
struct entry {
    struct pod_state state;
    uint64_t asked_ms, answered_ms; /* 0: never */
    uint64_t hurry_until_ms;
    bool gateway, in_flight;
};

struct probe {
    struct store *store;
    struct http_client *http;
    struct ticker *ticker;
    pthread_mutex_t mutex; /* guards all below */
    struct map entries;    /* uid -> struct entry * */
    unsigned in_flight;
};

/* ---- reading an answer */

/* An edge says, among other things (sidecar/edge/edge.c):
 *
 *   {"generation": 3, "document": {"takenSeconds": 17, "refused": ""},
 *    "kubernetesMetadata": {"trouble": ""},
 *    "spool": {"full": false, "lanes": {"traces": {"waitingItems": 0, "bytes": 4096,
 *              "oldestUnixMs": 1763720000000}, ...}}}
 *
 * and a gateway (sidecar/gateway/gateway.c):
 *
 *   {"generation": 3, "backend": {"state": "up" | "failing" | "mend" | "holding", "trouble": ""},
 *    "ledger": {"deadLetters": 0}}
 */
static void read_spool(const struct json *spool, uint64_t wall_ms, struct pod_state *state)
{
    int64_t oldest_ms = 0;

    JSON_EACH(lane, json_get(spool, "lanes")) {
        int64_t accepted_ms = json_int(json_get(lane, "oldestUnixMs"), 0);
        state->spool_known = true;
        if (json_int(json_get(lane, "waitingItems"), 0) == 0)
            continue;
        /* Segments are counted whole, so this says little about the last one. */
        state->spooled_bytes += json_int(json_get(lane, "bytes"), 0);
        if (accepted_ms > 0 && (oldest_ms == 0 || accepted_ms < oldest_ms))
            oldest_ms = accepted_ms;
    }
    state->full = json_bool(json_get(spool, "full"), false);
    if (oldest_ms > 0 && (int64_t)wall_ms > oldest_ms)
        state->oldest_spooled_seconds = ((int64_t)wall_ms - oldest_ms) / 1000;
}

void probe_read(const struct json *answer, uint64_t wall_ms, struct pod_state *ret_state)
{
    const char *backend = json_string(json_at(answer, "backend.state"), "");
    struct pod_state state = {.known = json_kind(answer) == JSON_OBJECT, .dead_letters = -1};

    state.generation = json_int(json_get(answer, "generation"), 0);
    state.taken_seconds = json_int(json_at(answer, "document.takenSeconds"), 0);
    snprintf(state.refused, sizeof state.refused, "%s",
             json_string(json_at(answer, "document.refused"), ""));
    snprintf(state.metadata_trouble, sizeof state.metadata_trouble, "%s",
             json_string(json_at(answer, "kubernetesMetadata.trouble"), ""));
    state.dead_letters = json_int(json_at(answer, "ledger.deadLetters"), -1);
    read_spool(json_get(answer, "spool"), wall_ms, &state);
    if (strcmp(backend, "up") == 0)
        state.backend = PROBE_BACKEND_UP;
    else if (backend[0] != '\0')
        state.backend = PROBE_BACKEND_DOWN;
    snprintf(state.backend_error, sizeof state.backend_error, "%s",
             json_string(json_at(answer, "backend.trouble"), ""));
    *ret_state = state;
}

/* ---- asking */

struct question {
    struct probe *probe;
    char uid[64];
};

static void on_done(void *context, enum err err, const struct http_response *response,
                    const struct error *error)
{
    struct question *question = context;
    struct probe *probe = question->probe;
    AUTO(json_free) struct json *answer = NULL;
    struct pod_state state = {0};

    (void)error;
    if (err == OK && http_response_status(response) == 200)
        err = json_parse(http_response_body(response), PROBE_BODY_MAX, &answer, NULL);
    else if (err == OK)
        err = ERR_INVALID;
    if (err == OK)
        probe_read(answer, clock_wall_ms(), &state);
    metric_add(metrics_series(&requests_desc, err == OK ? "success" : "error"), 1);

    pthread_mutex_lock(&probe->mutex);
    struct entry *entry = map_get(&probe->entries, question->uid);
    if (entry != NULL) {
        entry->in_flight = false;
        if (state.known) {
            entry->state = state;
            entry->answered_ms = clock_mono_ms();
        }
    }
    probe->in_flight--;
    pthread_mutex_unlock(&probe->mutex);
    free(question);
}

static void ask(struct probe *probe, const char *uid, const char *address, int64_t port)
{
    AUTO(buf_fini) struct buf url = {0};
    bool v6 = strchr(address, ':') != NULL;
    char base[96];
    struct question *question = xcalloc(1, sizeof *question);

    question->probe = probe;
    snprintf(question->uid, sizeof question->uid, "%s", uid);
    snprintf(base, sizeof base, v6 ? "http://[%s]:%d" : "http://%s:%d", address, (int)port);
    enum err err = url_start(&url, base);
    if (err == OK)
        err = buf_append_text(&url, NAMES_PATH_STATE);
    if (err == OK) {
        const struct http_request request = {.method = "GET",
                                             .url = buf_text(&url),
                                             .connect_timeout_ms = PROBE_TIMEOUT_MS,
                                             .total_timeout_ms = PROBE_TIMEOUT_MS,
                                             .response_max = PROBE_BODY_MAX,
                                             .http1 = true,
                                             .on_done = on_done,
                                             .context = question};
        err = http_submit(probe->http, &request, NULL, NULL);
    }
    if (err)
        on_done(question, err, NULL, NULL);
}

/* ---- who is due */

static uint64_t interval_of(const struct entry *entry)
{
    if (entry->gateway)
        return PROBE_GATEWAY_MS;
    if (entry->answered_ms == 0 || entry->hurry_until_ms > clock_mono_ms())
        return PROBE_STARTING_MS;
    return PROBE_EDGE_MS;
}

/* So that a pod whose turn it isn't need not be parsed. */
static bool may_be_due(struct probe *probe, const char *uid, uint64_t now_ms)
{
    pthread_mutex_lock(&probe->mutex);
    const struct entry *entry = map_get(&probe->entries, uid);
    bool due =
        entry == NULL || (!entry->in_flight && now_ms - entry->asked_ms >= interval_of(entry));
    pthread_mutex_unlock(&probe->mutex);
    return due;
}

/* Whether to ask the pod now; then it counts as asked. */
static bool take_turn(struct probe *probe, const char *uid, bool gateway, uint64_t now_ms)
{
    bool due = false;

    pthread_mutex_lock(&probe->mutex);
    struct entry *entry = map_get(&probe->entries, uid);
    if (entry == NULL) {
        entry = xcalloc(1, sizeof *entry);
        map_set(&probe->entries, uid, entry);
    }
    entry->gateway = gateway;
    if (!entry->in_flight && probe->in_flight < PROBE_IN_FLIGHT &&
        (entry->asked_ms == 0 || now_ms - entry->asked_ms >= interval_of(entry))) {
        due = true;
        entry->in_flight = true;
        entry->asked_ms = now_ms;
        probe->in_flight++;
    }
    pthread_mutex_unlock(&probe->mutex);
    return due;
}

static void ask_pod(struct probe *probe, const struct json *pod, uint64_t now_ms)
{
    const char *address = json_string(json_at(pod, "status.podIP"), "");
    bool gateway = object_label(pod, NAMES_LABEL_GATEWAY)[0] != '\0';

    if (address[0] == '\0' || object_is_deleting(pod) ||
        strcmp(json_string(json_at(pod, "status.phase"), ""), "Running") != 0)
        return;
    if (take_turn(probe, object_uid(pod), gateway, now_ms))
        ask(probe, object_uid(pod), address,
            json_int(json_at(pod, PROBE_PORT_PATH), NAMES_HEALTH_PORT));
}

static void ask_all(struct probe *probe, uint64_t now_ms)
{
    AUTO(object_list_fini) struct object_list pods = store_list(probe->store, &kube_pods, NULL);

    for (size_t i = 0; i < pods.count; i++) {
        if (!may_be_due(probe, pods.items[i]->uid, now_ms))
            continue;
        AUTO(json_free) struct json *pod = object_parse(pods.items[i]);
        ask_pod(probe, pod, now_ms);
    }
}

/* ---- what the cache keeps of a pod */

void probe_project_pod(struct json *pod)
{
    double port = NAMES_HEALTH_PORT;

    JSON_EACH(container, json_at(pod, "spec.containers")) {
        JSON_EACH(named, json_get(container, "ports")) {
            if (strcmp(json_string(json_get(named, "name"), ""), NAMES_PORT_HEALTH) == 0)
                port = json_number(json_get(named, "containerPort"), port);
        }
    }
    object_project_pod(pod);
    json_set_number(json_need_object(pod, "spec"), "healthPort", port);
}

/* Pods that are gone aren't asked any more. */
static void forget_old(struct probe *probe, uint64_t now_ms)
{
    struct map_entry *next = NULL;

    pthread_mutex_lock(&probe->mutex);
    for (struct map_entry *e = map_next(&probe->entries, NULL); e != NULL; e = next) {
        struct entry *entry = e->value;
        next = map_next(&probe->entries, e);
        if (!entry->in_flight && now_ms - entry->asked_ms > FORGET_MS)
            free(map_remove(&probe->entries, e->key));
    }
    pthread_mutex_unlock(&probe->mutex);
}

static void tick(void *context)
{
    struct probe *probe = context;
    uint64_t now_ms = clock_mono_ms();

    ask_all(probe, now_ms);
    forget_old(probe, now_ms);
}

/* ---- life */

enum err probe_create(struct store *store, struct probe **ret_probe, struct error *error)
{
    AUTO(probe_destroy) struct probe *probe = xcalloc(1, sizeof *probe);
    const struct http_client_config config = {.name = "probe-http",
                                              .user_agent = NAMES_FIELD_MANAGER,
                                              .connections_max = PROBE_IN_FLIGHT};

    probe->store = store;
    pthread_mutex_init(&probe->mutex, NULL);
    enum err err = http_client_create(&config, &probe->http, error);
    if (err)
        return err;
    err = ticker_create("probe", TICK_MS, tick, probe, &probe->ticker, error);
    if (err)
        return err;
    MOVE(*ret_probe, probe);
    return OK;
}

void probe_destroy(struct probe **probe)
{
    if (*probe == NULL)
        return;
    ticker_destroy(&(*probe)->ticker);
    http_client_destroy(&(*probe)->http);
    for (struct map_entry *e = map_next(&(*probe)->entries, NULL); e != NULL;
         e = map_next(&(*probe)->entries, e))
        free(e->value);
    map_fini(&(*probe)->entries);
    pthread_mutex_destroy(&(*probe)->mutex);
    free(*probe);
    *probe = NULL;
}

void probe_set_active(struct probe *probe, bool active)
{
    ticker_set_active(probe->ticker, active);
}

void probe_hurry(struct probe *probe, const char *uid)
{
    pthread_mutex_lock(&probe->mutex);
    struct entry *entry = map_get(&probe->entries, uid);
    if (entry != NULL)
        entry->hurry_until_ms = clock_mono_ms() + HURRY_MS;
    pthread_mutex_unlock(&probe->mutex);
}

void probe_pod(struct probe *probe, const char *uid, struct pod_state *ret_state)
{
    uint64_t now_ms = clock_mono_ms();

    *ret_state = (struct pod_state){.dead_letters = -1};
    pthread_mutex_lock(&probe->mutex);
    const struct entry *entry = map_get(&probe->entries, uid);
    if (entry != NULL && entry->answered_ms > 0 &&
        now_ms - entry->answered_ms < interval_of(entry) + PROBE_STALE_MS)
        *ret_state = entry->state;
    pthread_mutex_unlock(&probe->mutex);
}
