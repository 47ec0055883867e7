#include "sidecar/edge/receive_metrics.h"

#include "common/metrics.h"

static const struct metric_desc items_desc = {.name = "surgetank_edge_accepted_items_total",
                                              .kind = METRIC_COUNTER,
                                              .help = "Items acknowledged to clients.",
                                              .labels = {"signal", "protocol"}};
static const struct metric_desc bytes_desc = {
    .name = "surgetank_edge_accepted_bytes_total",
    .kind = METRIC_COUNTER,
    .help = "Bytes of OTLP put into the spool and acknowledged.",
    .labels = {"signal", "protocol"}};
static const double seconds_buckets[] = {.0005, .001, .0025, .005, .01, .025,
                                         .05,   .1,   .25,   .5,   1,   5};
static const struct metric_desc seconds_desc = {
    .name = "surgetank_edge_acknowledge_seconds",
    .kind = METRIC_HISTOGRAM,
    .help = "From a whole request to its acknowledgement, in seconds.",
    .labels = {"signal", "protocol"},
    .buckets = seconds_buckets,
    .buckets_len = sizeof seconds_buckets / sizeof seconds_buckets[0]};

static const struct metric_desc rejected_desc = {
    .name = "surgetank_edge_rejected_items_total",
    .kind = METRIC_COUNTER,
    .help = "Malformed items left out of requests whose other items were taken; clients were told.",
    .labels = {"signal", "protocol"}};

static const struct metric_desc connections_desc = {.name = "surgetank_edge_connections",
                                                    .kind = METRIC_GAUGE,
                                                    .help = "OTLP connections that are open.",
                                                    .labels = {"port"}};
static const struct metric_desc accepted_desc = {.name =
                                                     "surgetank_edge_accepted_connections_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help = "OTLP connections that were accepted.",
                                                 .labels = {"port"}};
static const struct metric_desc received_desc = {
    .name = "surgetank_edge_received_bytes_total",
    .kind = METRIC_COUNTER,
    .help = "Bytes received from OTLP clients, compressed as they came.",
    .labels = {"port"}};
static const struct metric_desc lost_desc = {
    .name = "surgetank_edge_lost_answers_total",
    .kind = METRIC_COUNTER,
    .help = "Answers to clients that had gone away; they will send the same again.",
    .labels = {"port"}};
static const struct metric_desc waited_desc = {
    .name = "surgetank_edge_waited_requests_total",
    .kind = METRIC_COUNTER,
    .help = "OTLP requests whose body was not read before there was memory for it.",
    .labels = {"port"}};
static const struct metric_desc waiting_desc = {.name = "surgetank_edge_waiting_requests",
                                                .kind = METRIC_GAUGE,
                                                .help = "OTLP requests that wait for memory.",
                                                .labels = {"port"}};
static const struct metric_desc turned_away_desc = {
    .name = "surgetank_edge_turned_away_total",
    .kind = METRIC_COUNTER,
    .help = "Connections and streams turned away before they had brought a request, by reason.",
    .labels = {"port", "reason"}};

void receive_metrics_accept(struct receive_metrics *metrics, const struct answer *answer,
                            uint32_t items, uint64_t bytes, double seconds)
{
    enum answer_protocol protocol = answer_protocol(answer);
    const char *signal = signal_name(answer->signal), *name = answer_protocol_name(protocol);

    if (metrics->accepted[answer->signal][protocol].items == NULL) {
        metrics->accepted[answer->signal][protocol].items =
            metrics_series(&items_desc, signal, name);
        metrics->accepted[answer->signal][protocol].bytes =
            metrics_series(&bytes_desc, signal, name);
        metrics->accepted[answer->signal][protocol].seconds =
            metrics_series(&seconds_desc, signal, name);
    }
    metric_add(metrics->accepted[answer->signal][protocol].items, items);
    metric_add(metrics->accepted[answer->signal][protocol].bytes, (double)bytes);
    metric_observe(metrics->accepted[answer->signal][protocol].seconds, seconds);
}

void receive_metrics_reject(const struct answer *answer, uint32_t items)
{
    metric_add(metrics_series(&rejected_desc, signal_name(answer->signal),
                              answer_protocol_name(answer_protocol(answer))),
               items);
}

void receive_metrics_show(const char *port, const struct net_server_stats *stats)
{
    metric_set(metrics_series(&connections_desc, port), (double)stats->connections);
    metric_set(metrics_series(&accepted_desc, port), (double)stats->connections_accepted);
    metric_set(metrics_series(&received_desc, port), (double)stats->bytes_received);
    metric_set(metrics_series(&lost_desc, port), (double)stats->responses_lost);
    metric_set(metrics_series(&waited_desc, port), (double)stats->waited);
    metric_set(metrics_series(&waiting_desc, port), (double)stats->waiting);
    for (int i = 0; i < NET_REFUSAL_COUNT; i++)
        if (net_refusal_is_own((enum net_refusal)i))
            metric_set(
                metrics_series(&turned_away_desc, port, net_refusal_name((enum net_refusal)i)),
                (double)stats->refused[i]);
}
