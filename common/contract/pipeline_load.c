/* Documents from files: which of several it is, ${env:NAME}, and `check`. */
#include "common/contract/pipeline.h"

#include "common/contract/names.h"
#include "common/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_LEN = 128, EXPANDED_MAX = 64 * 1024 };

/* ---- ${env:NAME} */

/* Appends what `get` knows of the NAME before `end`. */
static void append_variable(const char *name, const char *end, pipeline_getenv *get,
                            const char *path, struct faults *faults, struct buf *into)
{
    char variable[NAME_MAX_LEN], quoted[FAULT_QUOTE_MAX];
    size_t len = (size_t)(end - name);

    if (len == 0 || len >= sizeof variable) {
        fault_add(faults, path, "Write ${env:NAME}", "has a variable without a usable name");
        return;
    }
    memcpy(variable, name, len);
    variable[len] = '\0';
    const char *value = get(variable);
    if (value == NULL)
        fault_add(faults, path, "Set it, or write the value itself",
                  "needs the environment variable %s, which isn't set",
                  fault_quote(variable, quoted));
    else if (buf_append_text(into, value) != OK)
        fault_add(faults, path, "Set a shorter value", "becomes longer than %d bytes",
                  EXPANDED_MAX);
}

/* Rebuilds `text` into `into`. Nothing that was put in is looked at again. */
static void expand_text(const char *text, pipeline_getenv *get, const char *path,
                        struct faults *faults, struct buf *into)
{
    static const char open[] = "${env:";

    for (;;) {
        const char *at = strstr(text, open);
        size_t plain = at == NULL ? strlen(text) : (size_t)(at - text);
        if (buf_append(into, (struct bytes){(const uint8_t *)text, plain}) != OK) {
            fault_add(faults, path, "Write less", "becomes longer than %d bytes", EXPANDED_MAX);
            return;
        }
        if (at == NULL)
            return;
        const char *name = at + strlen(open), *end = strchr(name, '}');
        if (end == NULL) {
            fault_add(faults, path, "Write ${env:NAME}", "has a ${env: that isn't closed");
            return;
        }
        append_variable(name, end, get, path, faults, into);
        text = end + 1;
    }
}

static void expand_string(struct json *string, pipeline_getenv *get, const char *path,
                          struct faults *faults)
{
    AUTO(buf_fini) struct buf text = {.max = EXPANDED_MAX};

    if (strstr(json_string(string, ""), "${env:") == NULL)
        return;
    expand_text(json_string(string, ""), get, path, faults, &text);
    const char *expanded = buf_text(&text);
    if (expanded != NULL) /* else a fault has been noted */
        json_change_string(string, expanded);
}

/* Parsing has bounded the depth. */
static void expand(struct json *node, pipeline_getenv *get, const char *path, struct faults *faults)
{
    char at[FAULT_PATH_MAX], key[FAULT_QUOTE_MAX];
    bool list = json_kind(node) == JSON_ARRAY;
    size_t index = 0;

    if (json_kind(node) == JSON_STRING)
        expand_string(node, get, path, faults);
    JSON_EACH(child, node) {
        if (list)
            fault_path_at(path, index++, at);
        else
            fault_path(path, fault_quote(json_key(child), key), at);
        expand(child, get, at, faults);
    }
}

void pipeline_expand_env(struct json *document, pipeline_getenv *get, struct faults *faults)
{
    expand(document, get, "", faults);
}

/* ---- files */

static enum err read_text(const char *path, struct buf *into, struct error *error)
{
    uint8_t chunk[16384];
    size_t len = 0;

    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(error, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "open '%s'", path);
    enum err err = OK;
    while (!err && (len = fread(chunk, 1, sizeof chunk, file)) > 0)
        err = buf_append(into, (struct bytes){chunk, len});
    if (err == ERR_NOMEM)
        error_set(error, err, "no memory to read '%s'", path);
    else if (err)
        error_set(error, err, "'%s' is longer than the %u bytes of a pipeline", path,
                  PIPELINE_TEXT_MAX);
    else if (ferror(file))
        err = error_set_errno(error, ERR_IO, "read '%s'", path);
    fclose(file);
    return err;
}

/* The one TelemetryPipeline among the documents; others are none of our business. */
static enum err pick(const struct json *documents, const char *path, struct json **ret_document,
                     struct error *error)
{
    struct json *found = NULL;
    size_t count = 0;

    JSON_EACH(document, documents) {
        if (strcmp(json_string(json_get(document, "kind"), ""), NAMES_KIND_PIPELINE) != 0)
            continue;
        found = document;
        count++;
    }
    if (count == 0 && json_size(documents) == 1)
        found = json_first(documents); /* reading it says what it is instead */
    else if (count == 0)
        return error_set(error, ERR_INVALID, "'%s' holds no " NAMES_KIND_PIPELINE, path);
    if (count > 1)
        return error_set(error, ERR_INVALID,
                         "'%s' holds %zu " NAMES_KIND_PIPELINE "s. Put each into a file of its own",
                         path, count);
    *ret_document = found;
    return OK;
}

static const char *from_environment(const char *name)
{
    return getenv(name);
}

enum err pipeline_load(const char *path, struct pipeline **ret_pipeline, struct faults *faults,
                       struct error *error)
{
    AUTO(buf_fini) struct buf text = {.max = PIPELINE_TEXT_MAX};
    AUTO(json_free) struct json *documents = NULL;
    struct json *document = NULL;

    faults_fini(faults);
    enum err err = read_text(path, &text, error);
    if (err)
        return err;
    err = yaml_parse(buf_bytes(&text), PIPELINE_TEXT_MAX, &documents, error);
    if (err == ERR_NOMEM)
        return error_set(error, err, "no memory to read '%s'", path);
    if (err)
        return error_prefix(error, ERR_INVALID, "'%s'", path);
    err = pick(documents, path, &document, error);
    if (err)
        return err;
    pipeline_expand_env(document, from_environment, faults);
    err = faults_error(faults, error);
    if (err)
        return err;
    return pipeline_read(document, ret_pipeline, faults, error);
}

int pipeline_check(const char *path)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(buf_fini) struct buf lines = {0};
    struct faults faults = {0};
    struct error error = {0};

    enum err err = pipeline_load(path, &pipeline, &faults, &error);
    if (err && !faults_any(&faults))
        printf("%s\n", error.text);
    else if (err && faults_print(&faults, &lines) == OK)
        printf("%s", buf_text(&lines));
    faults_fini(&faults);
    return err ? 2 : 0;
}
