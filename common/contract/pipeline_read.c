#include "common/contract/pipeline_shape.h"

#include "common/contract/names.h"

#include <stdlib.h>

enum {
    MEMORY_MAX = 16 << 20
}; /* of a pipeline; a document of PIPELINE_TEXT_MAX stays well below */

void pipeline_free(struct pipeline **pipeline)
{
    if (*pipeline == NULL)
        return;
    arena_fini(&(*pipeline)->arena);
    json_free(&(*pipeline)->document);
    free(*pipeline);
    *pipeline = NULL;
}

static void check_is(const struct json *document, const char *field, const char *wanted,
                     struct faults *faults)
{
    char quoted[FAULT_QUOTE_MAX];
    const char *given = json_string(json_get(document, field), NULL);

    if (given == NULL)
        fault_add(faults, field, "Write it at the top of the document", "is missing; %s is wanted",
                  wanted);
    else if (strcmp(given, wanted) != 0)
        fault_add(faults, field, "Look whether this is the right document",
                  "is \"%s\"; %s is wanted", fault_quote(given, quoted), wanted);
}

/* apiVersion, kind and status have no place in the struct. */
static struct json *without_frame(const struct json *document, struct faults *faults)
{
    struct json *copy = json_clone(document);

    check_is(document, "apiVersion", NAMES_API_VERSION, faults);
    check_is(document, "kind", NAMES_KIND_PIPELINE, faults);
    json_remove(copy, "apiVersion");
    json_remove(copy, "kind");
    json_remove(copy, "status");
    return copy;
}

enum err pipeline_read(const struct json *document, struct pipeline **ret_pipeline,
                       struct faults *faults, struct error *error)
{
    AUTO(pipeline_free) struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (pipeline == NULL)
        return error_set(error, ERR_NOMEM, "read pipeline");
    struct field_reader reader = {&pipeline->arena, faults, pipeline_judge, false, false};

    faults_fini(faults);
    pipeline->arena.max = MEMORY_MAX;
    if (json_kind(document) != JSON_OBJECT) {
        fault_add(faults, "document", "Write a TelemetryPipeline, an object", "is %s",
                  json_kind_name(json_kind(document)));
        return faults_error(faults, error);
    }
    pipeline->document = without_frame(document, faults);
    field_read(&reader, &shape_document, pipeline->document, "", pipeline);
    if (reader.out_of_memory || !pipeline_default(&reader, pipeline))
        return error_set(error, ERR_NOMEM, "read pipeline");
    pipeline_validate(pipeline, faults);

    enum err err = faults_error(faults, error);
    if (err)
        return err;
    MOVE(*ret_pipeline, pipeline);
    return OK;
}

struct json *pipeline_to_json(const struct pipeline *pipeline)
{
    struct json *document = json_new_object();

    json_set_string(document, "apiVersion", NAMES_API_VERSION);
    json_set_string(document, "kind", NAMES_KIND_PIPELINE);
    field_write(&shape_document, pipeline, document);
    if (pipeline->kafka == NULL)
        json_remove(json_get(document, "spec"), "topics"); /* there are none without Kafka */
    return document;
}
