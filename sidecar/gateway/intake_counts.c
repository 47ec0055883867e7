#include "sidecar/gateway/intake_counts.h"

static const struct metric_desc messages_desc = {.name =
                                                     "surgetank_gateway_consumed_messages_total",
                                                 .kind = METRIC_COUNTER,
                                                 .help = "Messages read.",
                                                 .labels = {"gateway"}};
static const struct metric_desc items_desc = {.name = "surgetank_gateway_consumed_items_total",
                                              .kind = METRIC_COUNTER,
                                              .help = "Items in the messages read.",
                                              .labels = {"gateway"}};
static const struct metric_desc repeats_desc = {
    .name = "surgetank_gateway_repeats_total",
    .kind = METRIC_COUNTER,
    .help = "Items of messages that were read before and left out.",
    .labels = {"gateway"}};
static const struct metric_desc undecodable_desc = {
    .name = "surgetank_gateway_undecodable_messages_total",
    .kind = METRIC_COUNTER,
    .help = "Messages that are no OTLP of their topic's signal; they are dead letters.",
    .labels = {"gateway"}};
static const struct metric_desc missed_desc = {
    .name = "surgetank_gateway_lost_to_retention_messages_total",
    .kind = METRIC_COUNTER,
    .help = "Messages that the topic's retention deleted before they were read.",
    .labels = {"gateway"}};

static const struct metric_desc look_backs_desc = {
    .name = "surgetank_gateway_look_backs_total",
    .kind = METRIC_COUNTER,
    .help = "Looks at what a partition held before it was taken over, for repeats of it.",
    .labels = {"gateway", "outcome"}};

void intake_counts_init(struct intake_counts *counts, const char *gateway)
{
    *counts = (struct intake_counts){
        .messages = metrics_series(&messages_desc, gateway),
        .items = metrics_series(&items_desc, gateway),
        .repeats = metrics_series(&repeats_desc, gateway),
        .undecodable = metrics_series(&undecodable_desc, gateway),
        .missed = metrics_series(&missed_desc, gateway),
        .looked_back = metrics_series(&look_backs_desc, gateway, "whole"),
        .looked_back_partly = metrics_series(&look_backs_desc, gateway, "partly"),
    };
}
