#include "tests/support/processors.h"

#include "common/yaml.h"
#include "tests/support/test.h"

#include <stdio.h>

enum { TEXT_MAX = 32768 };

struct pipeline *processors_pipeline(const char *processors, const char *routes)
{
    AUTO(json_free) struct json *documents = NULL;
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};
    char text[TEXT_MAX];

    snprintf(text, sizeof text,
             "apiVersion: surgetank.dev/v1alpha1\n"
             "kind: TelemetryPipeline\n"
             "metadata: {name: shop}\n"
             "spec:\n"
             "  kafka: {bootstrapServers: [kafka:9092]}\n"
             "  topics:\n"
             "    - {name: traces}\n"
             "    - {name: metrics}\n"
             "    - {name: logs}\n"
             "    - {name: red-logs, signal: logs}\n"
             "    - {name: blue-logs, signal: logs}\n"
             "    - {name: red-traces, signal: traces}\n"
             "  gateways:\n"
             "    - {name: g, from: [traces], export: {otlp: {endpoint: 'x:1'}}}\n"
             "  edges:\n"
             "    - name: edge\n"
             "      processors:\n%s%s\n"
             "      routes:\n%s%s\n",
             processors[0] == '[' ? "        " : "", processors, routes[0] == '[' ? "        " : "",
             routes);
    if (yaml_parse(bytes_from(text), sizeof text, &documents, &error) ||
        pipeline_read(json_first(documents), &pipeline, &faults, &error))
        fail_msg("%s\n%s", error.text, text);
    faults_fini(&faults);
    return pipeline;
}

struct process *processors_make(const char *processors)
{
    AUTO(pipeline_free) struct pipeline *pipeline = processors_pipeline(processors, "[]");
    struct process *process = NULL;
    struct error error = {0};

    if (process_create(pipeline->edges[0].processors, pipeline->edges[0].processor_count, "edge",
                       &process, &error))
        fail_msg("%s", error.text);
    return process;
}
