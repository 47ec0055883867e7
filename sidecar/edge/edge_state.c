#include "sidecar/edge/edge_state.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/metrics.h"
#include "sidecar/edge/edge_tail.h"
#include "sidecar/edge/produce.h"
#include "sidecar/pods/pods.h"
#include "sidecar/spool/spool.h"

#include <inttypes.h>
#include <stdio.h>

#define GAUGE(variable, metric_name, text)                                        \
    static const struct metric_desc variable = {.name = "surgetank_" metric_name, \
                                                .kind = METRIC_GAUGE,             \
                                                .help = (text),                   \
                                                .labels = {"signal"}}
#define COUNTER(variable, metric_name, text)                                      \
    static const struct metric_desc variable = {.name = "surgetank_" metric_name, \
                                                .kind = METRIC_COUNTER,           \
                                                .help = (text),                   \
                                                .labels = {"signal"}}

GAUGE(disk_desc, "spool_lane_bytes", "Bytes on disk of the lane's segments.");
GAUGE(waiting_items_desc, "spool_waiting_items", "Items in the spool that are not delivered yet.");
GAUGE(oldest_desc, "spool_oldest_seconds", "Age of the oldest item that is not delivered yet.");
GAUGE(full_desc, "spool_full", "1 while the lane has no room.");
COUNTER(spooled_desc, "spool_accepted_items_total", "Items accepted since the spool was made.");
COUNTER(lost_desc, "spool_dropped_items_total", "Items dropped by policy before delivery.");
COUNTER(damaged_desc, "spool_damaged_events_total",
        "Runs of bytes that could not be read any more.");
COUNTER(damaged_items_desc, "spool_damaged_items_total",
        "Items lost in what could not be read any more.");
COUNTER(unread_marks_desc, "spool_unread_marks_total",
        "Frames whose marks, such as positions of log files, could not be read at the start.");
COUNTER(written_lost_desc, "spool_written_lost_items_total",
        "Items acknowledged once written (acknowledge: Written) that could not be synced.");
GAUGE(in_flight_desc, "edge_in_flight_messages",
      "Messages sent to Kafka and not acknowledged yet.");

static const struct metric_desc size_desc = {.name = "surgetank_spool_size_bytes",
                                             .kind = METRIC_GAUGE,
                                             .help = "Bytes that the spool may use on disk."};
static const struct metric_desc used_desc = {.name = "surgetank_spool_disk_bytes",
                                             .kind = METRIC_GAUGE,
                                             .help = "Bytes that the spool uses on disk."};
static const struct metric_desc syncs_desc = {.name = "surgetank_spool_syncs_total",
                                              .kind = METRIC_COUNTER,
                                              .help = "Group commits that were synced."};
static const struct metric_desc sync_seconds_desc = {.name = "surgetank_spool_sync_seconds_total",
                                                     .kind = METRIC_COUNTER,
                                                     .help = "Time spent in syncs, in seconds."};
static const struct metric_desc failures_desc = {
    .name = "surgetank_spool_failures_total",
    .kind = METRIC_COUNTER,
    .help = "Writes and syncs that failed; each retires a segment.",
    .labels = {"call"}};

static const struct spool_reader_stats *slowest(const struct spool_lane_stats *lane)
{
    const struct spool_reader_stats *slow = NULL;
    for (size_t i = 0; i < lane->reader_count; i++)
        if (slow == NULL || lane->readers[i].items > slow->items)
            slow = &lane->readers[i];
    return slow;
}

static void refresh_lane(enum signal signal, const struct spool_lane_stats *lane)
{
    const char *name = signal_name(signal);
    const struct spool_reader_stats *slow = slowest(lane);
    uint64_t oldest_ns = slow == NULL ? 0 : slow->oldest_ns, now = clock_wall_ns();

    metric_set(metrics_series(&disk_desc, name), (double)lane->bytes);
    metric_set(metrics_series(&waiting_items_desc, name), slow == NULL ? 0 : (double)slow->items);
    metric_set(metrics_series(&oldest_desc, name),
               oldest_ns == 0 || oldest_ns > now ? 0 : (double)(now - oldest_ns) / 1e9);
    metric_set(metrics_series(&full_desc, name), lane->full);
    metric_set(metrics_series(&spooled_desc, name), (double)lane->items);
    metric_set(metrics_series(&lost_desc, name), (double)lane->dropped);
    metric_set(metrics_series(&damaged_desc, name), (double)lane->damage_events);
    metric_set(metrics_series(&damaged_items_desc, name), slow == NULL ? 0 : (double)slow->damaged);
    metric_set(metrics_series(&unread_marks_desc, name), (double)lane->unread_marks);
    metric_set(metrics_series(&written_lost_desc, name), (double)lane->written_lost);
}

static void refresh(void *context)
{
    struct edge_state *state = context;
    struct produce_state produce;
    struct spool_stats spool;

    spool_stats(state->spool, &spool);
    metric_set(metrics_series(&size_desc), (double)spool.size_bytes);
    metric_set(metrics_series(&used_desc), (double)spool.disk_bytes);
    metric_set(metrics_series(&syncs_desc), (double)spool.syncs);
    metric_set(metrics_series(&sync_seconds_desc), (double)spool.sync_ns / 1e9);
    metric_set(metrics_series(&failures_desc, "write"), (double)spool.write_failures);
    metric_set(metrics_series(&failures_desc, "sync"), (double)spool.sync_failures);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        refresh_lane((enum signal)i, &spool.lanes[i]);

    edge_tail_refresh(state->tail);
    pthread_mutex_lock(&state->lock);
    if (state->produce != NULL) {
        produce_state(state->produce, &produce);
        for (int i = 0; i < SIGNAL_COUNT; i++)
            metric_set(metrics_series(&in_flight_desc, signal_name((enum signal)i)),
                       (double)produce.lanes[i].in_flight);
    }
    pthread_mutex_unlock(&state->lock);
}

void edge_state_init(struct edge_state *state, const struct edge_options *options,
                     struct spool *spool, struct produce *produce)
{
    *state = (struct edge_state){.options = options, .spool = spool, .produce = produce};
    pthread_mutex_init(&state->lock, NULL);
    metrics_on_refresh(refresh, state);
}

void edge_state_forget_produce(struct edge_state *state)
{
    pthread_mutex_lock(&state->lock);
    state->produce = NULL;
    pthread_mutex_unlock(&state->lock);
}

void edge_state_fini(struct edge_state *state)
{
    metrics_off_refresh(refresh, state);
    pthread_mutex_destroy(&state->lock);
}

/* ---- pages */

void edge_serve_health(void *context, struct http_reply *reply)
{
    (void)context;
    if (buf_append_text(&reply->body, "ok\n"))
        reply->status = 500;
}

void edge_serve_ready(void *context, struct http_reply *reply)
{
    struct edge_state *state = context;
    bool ready = atomic_load(&state->ready);

    reply->status = ready ? 200 : 503;
    if (buf_append_text(&reply->body, ready ? "ready\n" : "starting or stopping\n"))
        reply->status = 500;
}

static void put_spool_lane(struct json *into, const struct spool_lane_stats *lane)
{
    const struct spool_reader_stats *slow = slowest(lane);
    uint64_t oldest_ms = slow == NULL ? 0 : slow->oldest_ns / 1000000;

    json_set_number(into, "acceptedItems", (double)lane->items);
    json_set_number(into, "waitingItems", slow == NULL ? 0 : (double)slow->items);
    json_set_number(into, "waitingFrames", slow == NULL ? 0 : (double)slow->frames);
    json_set_number(into, "deliveredItems", slow == NULL ? 0 : (double)slow->delivered);
    json_set_number(into, "droppedItems", (double)lane->dropped);
    json_set_number(into, "damagedItems", slow == NULL ? 0 : (double)slow->damaged);
    json_set_number(into, "bytes", (double)lane->bytes);
    json_set_number(into, "oldestUnixMs", (double)oldest_ms);
    json_set_bool(into, "full", lane->full);
}

static void put_spool(struct json *into, struct spool *spool)
{
    char incarnation[24];
    struct spool_stats stats;
    bool full = false;

    spool_stats(spool, &stats);
    snprintf(incarnation, sizeof incarnation, "%016" PRIx64, spool_incarnation(spool));
    json_set_string(into, "incarnation", incarnation);
    json_set_number(into, "sizeBytes", (double)stats.size_bytes);
    json_set_number(into, "diskBytes", (double)stats.disk_bytes);
    struct json *lanes = json_set_object(into, "lanes");
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        put_spool_lane(json_set_object(lanes, signal_name((enum signal)i)), &stats.lanes[i]);
        full |= stats.lanes[i].full;
    }
    json_set_bool(into, "full", full);
}

static void put_kafka_lane(struct json *into, const struct produce_lane_state *lane)
{
    json_set_bool(into, "topicKnown", lane->topic_known);
    json_set_number(into, "partitions", lane->partitions);
    json_set_number(into, "inFlight", (double)lane->in_flight);
    json_set_number(into, "waiting", (double)lane->waiting);
    json_set_number(into, "delivered", (double)lane->delivered);
    json_set_number(into, "retries", (double)lane->retries);
    json_set_number(into, "deadLetters", (double)lane->dead_letters);
    json_set_string(into, "trouble", lane->trouble);
}

static void put_kafka(struct json *into, const struct produce_state *produce)
{
    json_set_string(into, "trouble", produce->kafka);
    json_set_number(into, "sinceUnixMs", (double)produce->kafka_since_ms);
    json_set_number(into, "clients", (double)produce->clients);
    struct json *lanes = json_set_object(into, "lanes");
    for (int i = 0; i < SIGNAL_COUNT; i++)
        put_kafka_lane(json_set_object(lanes, signal_name((enum signal)i)), &produce->lanes[i]);
}

static void put_pods(struct json *into, struct pods *pods)
{
    struct pods_state state;

    pods_state(pods, &state);
    json_set_number(into, "pods", (double)state.known);
    json_set_string(into, "trouble", state.trouble);
}

void edge_serve_state(void *context, struct http_reply *reply)
{
    struct edge_state *state = context;
    struct produce_state produce;
    AUTO(json_free) struct json *root = json_new_object();

    json_set_string(root, "role", "edge");
    json_set_string(root, "pipeline", state->options->pipeline->name);
    json_set_string(root, "edge", state->options->edge->name);
    json_set_number(root, "generation", (double)state->options->pipeline->generation);
    json_set_bool(root, "ready", atomic_load(&state->ready));
    put_spool(json_set_object(root, "spool"), state->spool);
    edge_tail_put(state->tail, root);
    if (state->pods != NULL)
        put_pods(json_set_object(root, "kubernetesMetadata"), state->pods);
    pthread_mutex_lock(&state->lock);
    if (state->produce != NULL) {
        produce_state(state->produce, &produce);
        put_kafka(json_set_object(root, "kafka"), &produce);
    }
    pthread_mutex_unlock(&state->lock);
    if (state->options->more_state != NULL)
        state->options->more_state(state->options->more_state_context, root);
    reply->content_type = "application/json";
    if (json_print(root, &reply->body))
        reply->status = 500;
}
