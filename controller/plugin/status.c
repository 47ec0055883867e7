/* The picture: one column, in the direction in which telemetry flows.
 *
 *   observability/shop   Ready
 *
 *       applications
 *           |  OTLP to shop-edge.observability.svc:4317 (gRPC), :4318 (HTTP)
 *       edge edge          2 of 2 pods ready, nothing spooled
 *           |
 *       topic traces       observability.shop.traces, 6 partitions
 *           |  read by group observability.shop.jaeger
 *       gateway jaeger     1 of 1 pods ready, lag 0: Steady
 *           |
 *       backend            jaeger.monitoring.svc:4317, Up
 */
#include "controller/plugin/plugin.h"

#include "common/kube/object.h"
#include "common/xalloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PART "    %-7s %-14s "

static const char *text(const struct json *object, const char *key, const char *fallback)
{
    return json_string(json_get(object, key), fallback);
}

static int64_t number(const struct json *object, const char *key, int64_t fallback)
{
    return json_int(json_get(object, key), fallback);
}

static void print_arrow(void)
{
    puts("        |");
}

/* ---- parts */

static void print_edge(const struct pipeline *pipeline, const struct pipeline_edge *edge,
                       const struct json *status)
{
    const struct json *state = plugin_named(json_get(status, "edges"), edge->name);
    int64_t spooled = number(state, "spooledBytes", -1);
    char age[PLUGIN_DURATION_SIZE];

    printf("        |  OTLP to %s-%s.%s.svc:%" PRId64 " (gRPC), :%" PRId64 " (HTTP)\n",
           pipeline->name, edge->name, pipeline->namespace, edge->otlp.grpc_port,
           edge->otlp.http_port);
    printf(PART "%" PRId64 " of %" PRId64 " pods ready", "edge", edge->name,
           number(state, "ready", 0), number(state, "desired", edge->replicas));
    if (spooled == 0)
        printf(", nothing spooled");
    else if (spooled > 0)
        printf(", %" PRId64 " MiB spooled, the oldest for %s", (spooled >> 20) + 1,
               plugin_duration(number(state, "oldestSpooledSeconds", -1), age));
    if (json_bool(json_get(state, "full"), false))
        printf(", FULL: clients are told to wait");
    putchar('\n');
}

static void print_topic(const struct pipeline_topic *topic, const struct json *status)
{
    const struct json *state = plugin_named(json_get(status, "topics"), topic->name);
    const char *word = text(state, "state", "Unknown");

    printf(PART "%s, %" PRId64 " partitions", "topic", topic->name, topic->topic,
           number(state, "partitions", topic->partitions));
    if (strcmp(word, "Ready") != 0)
        printf(", %s: %s", word, text(state, "message", "not looked at yet"));
    putchar('\n');
}

static void print_lag(const struct json *state)
{
    int64_t lag = number(state, "lagMessages", -1), age = number(state, "lagSeconds", -1);
    int64_t drain = number(state, "drainSeconds", -1);
    char duration[PLUGIN_DURATION_SIZE];

    if (lag < 0) {
        printf(", lag not known");
        return;
    }
    printf(", lag %" PRId64, lag);
    if (lag > 0 && age >= 0)
        printf(", the oldest for %s", plugin_duration(age, duration));
    if (lag > 0 && drain >= 0)
        printf(", gone in %s", plugin_duration(drain, duration));
}

static void print_gateway(const struct pipeline_gateway *gateway, const struct json *status)
{
    const struct json *state = plugin_named(json_get(status, "gateways"), gateway->name);
    int64_t dead = number(state, "deadLetters", 0);

    printf("        |  ");
    for (size_t i = 0; i < gateway->from_count; i++)
        printf("%s%s", i > 0 ? ", " : "", gateway->from[i]->name);
    printf(" read by group %s\n", gateway->group_id);
    printf(PART "%" PRId64 " of %" PRId64 " pods ready", "gateway", gateway->name,
           number(state, "ready", 0), number(state, "desiredReplicas", 0));
    print_lag(state);
    if (dead > 0)
        printf(", %" PRId64 " dead letters", dead);
    printf(": %s\n", text(state, "reason", "not looked at yet"));
    print_arrow();
    printf(PART "%s, %s\n", "backend", "", gateway->export.endpoint,
           text(state, "backend", "Unknown"));
}

static void print_conditions(const struct json *status)
{
    printf("\n    %-15s %-8s %-18s %s\n", "CONDITION", "STATUS", "REASON", "WHY");
    JSON_EACH(condition, json_get(status, "conditions"))
        printf("    %-15s %-8s %-18s %s\n", text(condition, "type", ""),
               text(condition, "status", ""), text(condition, "reason", ""),
               text(condition, "message", ""));
}

/* ---- the whole */

static void print_picture(const struct pipeline *pipeline, const struct json *status)
{
    puts("\n    applications");
    for (size_t i = 0; i < pipeline->edge_count; i++)
        print_edge(pipeline, &pipeline->edges[i], status);
    print_arrow();
    for (size_t i = 0; i < pipeline->topic_count; i++)
        print_topic(&pipeline->topics[i], status);
    for (size_t i = 0; i < pipeline->gateway_count; i++)
        print_gateway(&pipeline->gateways[i], status);
}

static void print_pipeline(const struct json *object)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(buf_fini) struct buf sentences = {0};
    struct faults *faults = xcalloc(1, sizeof *faults);
    const char *ready = object_condition(object, "Ready");

    printf("%s/%s   %s\n", object_namespace(object), object_name(object),
           strcmp(ready, "True") == 0 ? "Ready"
           : ready[0] != '\0'         ? "not ready"
                                      : "not looked at yet: does the operator run?");
    if (pipeline_read(object, &pipeline, faults, NULL) == OK)
        print_picture(pipeline, json_get(object, "status"));
    else if (faults_print(faults, &sentences) == OK)
        printf("\nThe document has faults:\n%s", buf_text(&sentences));
    faults_fini(faults);
    free(faults);
    print_conditions(json_get(object, "status"));
}

int plugin_status(const struct plugin_options *options)
{
    AUTO(kube_client_destroy) struct kube_client *client = NULL;
    AUTO(json_free) struct json *pipelines = NULL;
    struct error error = {0};
    bool first = true, live = false;

    enum err err = plugin_connect(options, &client, &error);
    if (err == OK)
        err = plugin_pipelines(options, client, &pipelines, &error);
    if (err)
        return plugin_fail(PLUGIN_FAILED, &error);
    live = plugin_overlay_live(client, pipelines);
    JSON_EACH(pipeline, pipelines) {
        if (!first)
            putchar('\n');
        first = false;
        print_pipeline(pipeline);
    }
    if (!live)
        puts("\n" PLUGIN_NOT_LIVE);
    return PLUGIN_OK;
}
