/* Arbitrary bytes as a document: reading never crashes, and what is taken is read again, from what
 * was written of it, as the same. Built with libFuzzer, or replayed over the corpus by
 * tests/unit/common/contract/test_fuzz_pipeline.c. */
#include "common/contract/pipeline.h"
#include "common/yaml.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *environment(const char *name)
{
    return strlen(name) % 2 == 0 ? "value" : NULL;
}

static void read_again(const struct pipeline *pipeline)
{
    AUTO(json_free) struct json *resolved = pipeline_to_json(pipeline);
    AUTO(pipeline_free) struct pipeline *again = NULL;
    AUTO(faults_fini) struct faults faults = {0};

    if (pipeline_read(resolved, &again, &faults, NULL) != OK)
        abort();
    AUTO(json_free) struct json *resolved_again = pipeline_to_json(again);
    if (!json_equal(resolved, resolved_again))
        abort();
}

static void read_one(struct json *document)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(faults_fini) struct faults faults = {0};
    AUTO(buf_fini) struct buf text = {0};
    struct error error = {0};

    pipeline_expand_env(document, environment, &faults);
    enum err err = pipeline_read(document, &pipeline, &faults, &error);
    if ((err == OK) != (pipeline != NULL) || (err == ERR_INVALID) != faults_any(&faults))
        abort();
    if (faults_print(&faults, &text) != OK)
        abort();
    if (pipeline != NULL)
        read_again(pipeline);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_free) struct json *documents = NULL;

    if (yaml_parse((struct bytes){data, size}, PIPELINE_TEXT_MAX, &documents, NULL) != OK)
        return 0;
    JSON_EACH(document, documents)
        read_one(document);
    return 0;
}
