#include "controller/plugin/plugin.h"

#include "common/kube/object.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE "%-18s %-14s %-14s %-36s %-11s %9s %7s %7s %7s %9s %9s  %s\n"

enum { COUNT_SIZE = 32 };

static int64_t number(const struct json *gateway, const char *key)
{
    return json_int(json_get(gateway, key), -1);
}

static const char *count(int64_t value, char into[COUNT_SIZE])
{
    if (value < 0)
        return "?";
    snprintf(into, COUNT_SIZE, "%" PRId64, value);
    return into;
}

static void print_gateway(const struct json *pipeline, const struct json *gateway)
{
    char age[PLUGIN_DURATION_SIZE], drain[PLUGIN_DURATION_SIZE], loss[PLUGIN_DURATION_SIZE];
    char lag[COUNT_SIZE], capacity[COUNT_SIZE], replicas[2 * COUNT_SIZE];

    snprintf(replicas, sizeof replicas, "%" PRId64 "/%" PRId64, number(gateway, "ready"),
             number(gateway, "desiredReplicas"));
    printf(LINE, object_namespace(pipeline), object_name(pipeline),
           json_string(json_get(gateway, "name"), ""),
           json_string(json_get(gateway, "groupID"), ""),
           json_string(json_get(gateway, "groupState"), "?"),
           count(number(gateway, "lagMessages"), lag),
           plugin_duration(number(gateway, "lagSeconds"), age),
           plugin_duration(number(gateway, "drainSeconds"), drain),
           plugin_duration(number(gateway, "timeToLossSeconds"), loss),
           count(number(gateway, "capacityPerReplica"), capacity), replicas,
           json_string(json_get(gateway, "reason"), ""));
}

int plugin_lag(const struct plugin_options *options)
{
    AUTO(kube_client_destroy) struct kube_client *client = NULL;
    AUTO(json_free) struct json *pipelines = NULL;
    struct error error = {0};

    enum err err = plugin_connect(options, &client, &error);
    if (err == OK)
        err = plugin_pipelines(options, client, &pipelines, &error);
    if (err)
        return plugin_fail(PLUGIN_FAILED, &error);

    bool live = plugin_overlay_live(client, pipelines);
    printf(LINE, "NAMESPACE", "PIPELINE", "GATEWAY", "GROUP", "STATE", "LAG", "AGE", "DRAIN",
           "LOSS", "CAPACITY", "REPLICAS", "REASON");
    JSON_EACH(pipeline, pipelines) {
        JSON_EACH(gateway, json_at(pipeline, "status.gateways"))
            print_gateway(pipeline, gateway);
    }
    if (!live)
        puts(PLUGIN_NOT_LIVE);
    return PLUGIN_OK;
}
