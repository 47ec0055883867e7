/* What the schema knows and the programs don't do yet. A field that is asked for and not built is
 * refused with a sentence; a value that asks for nothing (what the schema's defaults fill in) is
 * let through. Whoever builds a part deletes its row and adds the field to pipeline_shape.c. */
#include "common/contract/pipeline_shape.h"

#include "common/assert.h"

/* How the row's values, a JSON array, are meant. */
enum row_when {
    ALWAYS, /* refused whatever it is */
    UNLESS, /* refused unless it matches one of them */
    ONLY,   /* refused if it matches one of them */
};

struct row {
    const char *path; /* with [] for an index */
    enum row_when when;
    const char *values;
    const char *advice;
};

#define EDGE    "spec.edges[]."
#define GATEWAY "spec.gateways[]."
#define OTLP    "Use otlp over grpc or http, which this backend takes too"

static const struct row rows[] = {
    {"spec.kafka.strimzi", ALWAYS, NULL, "Give the addresses in spec.kafka.bootstrapServers"},
    {"spec.kafka.clientRack", ALWAYS, NULL, "Leave it out; consumers fetch from the leader"},
    {"spec.topics[].encoding", ONLY, "[\"vector_json\",\"json\",\"raw\"]",
     "Write otlp_proto, otlp_json or fluentbit_json, or leave it out"},
    {EDGE "mode", ONLY, "[\"Sidecar\"]",
     "Write StatefulSet or DaemonSet, and point the application at the edge's Service"},
    {EDGE "scaling", ALWAYS, NULL, "Set replicas"},
    {EDGE "processors[].limitSeries", ALWAYS, NULL, "Leave it out"},
    {EDGE "spool.storage.emptyDir", ALWAYS, NULL, "Leave it out; it is for mode Sidecar"},
    {EDGE "nextHop", ALWAYS, NULL, "Leave it out; edges write to Kafka"},
    {GATEWAY "processors[].limitSeries", ALWAYS, NULL, "Leave it out"},
    {GATEWAY "export.prometheusRemoteWrite", ALWAYS, NULL,
     "Use otlp with protocol http, which Prometheus takes at /api/v1/otlp"},
    {GATEWAY "export.loki", ALWAYS, NULL, "Use otlp with protocol http, which Loki takes at /otlp"},
    {GATEWAY "export.victoriaLogs", ALWAYS, NULL,
     "Use otlp with protocol http, which VictoriaLogs takes at /insert/opentelemetry"},
    {GATEWAY "export.elasticsearch", ALWAYS, NULL, "Use otlp"},
    {GATEWAY "export.kafka", ALWAYS, NULL, "Use otlp"},
    {GATEWAY "export.file", ALWAYS, NULL, "Use otlp"},
    {GATEWAY "export.debug", ALWAYS, NULL, "Use otlp"},
    {GATEWAY "export.otlp.proxy", ALWAYS, NULL, "Leave it out"},
    {GATEWAY "export.otlp.tenant.fromAttribute", ALWAYS, NULL, "Set value, one gateway a tenant"},
    {GATEWAY "rateLimit", UNLESS, "[{\"itemsPerSecond\":0}]",
     "Leave it out; the backend's answers set the pace"},
    {"spec.observability", UNLESS,
     "[{\"podMonitor\":false,\"prometheusRule\":false,\"grafanaDashboard\":false}]",
     "Leave it out; the pods serve /metrics on their port named metrics"},
};

/* An object matches if each member that the pattern names is absent or equal. */
static bool matches(const struct json *value, const struct json *pattern)
{
    if (json_kind(pattern) != JSON_OBJECT || json_kind(value) != JSON_OBJECT)
        return json_equal(value, pattern);
    JSON_EACH(wanted, pattern) {
        const struct json *member = json_get(value, json_key(wanted));
        if (member != NULL && json_kind(member) != JSON_NULL && !json_equal(member, wanted))
            return false;
    }
    return true;
}

static bool matches_any(const struct json *value, const char *values)
{
    AUTO(json_free) struct json *patterns = NULL;
    struct bytes text = bytes_from(values);

    enum err err = json_parse(text, text.len, &patterns, NULL);
    ASSERT(err == OK);
    JSON_EACH(pattern, patterns)
        if (matches(value, pattern))
            return true;
    return false;
}

static bool is_refused(const struct row *row, const struct json *value)
{
    switch (row->when) {
    case ALWAYS:
        return true;
    case UNLESS:
        return !matches_any(value, row->values);
    case ONLY:
        return matches_any(value, row->values);
    }
    return true;
}

static const struct row *row_of(const char *pattern)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].path, pattern) == 0)
            return &rows[i];
    return NULL;
}

enum field_verdict pipeline_judge(struct faults *faults, const char *pattern, const char *path,
                                  const struct json *value)
{
    const struct row *row = row_of(pattern);

    if (row == NULL)
        return FIELD_BUILT;
    if (json_kind(value) == JSON_NULL || !is_refused(row, value))
        return FIELD_TRIVIAL;
    if (json_kind(value) == JSON_STRING) {
        char quoted[FAULT_QUOTE_MAX];
        fault_add(faults, path, row->advice, "\"%s\" isn't built yet",
                  fault_quote(json_string(value, ""), quoted));
    } else {
        fault_add(faults, path, row->advice, "isn't built yet");
    }
    return FIELD_REFUSED;
}
