#include "controller/plugin/plugin.h"

#include "common/kube/object.h"
#include "common/xalloc.h"
#include "controller/desired/desired.h"
#include "controller/desired/rights.h"
#include "controller/reconcile/kinds.h"
#include "controller/scaling/scaling.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* As the images that the sources build are called. */
#define SIDECAR_IMAGE "surgetank.dev/surgetank-sidecar:dev"

int plugin_fail(int code, const struct error *error)
{
    fprintf(stderr, "kubectl surgetank: %s\n", error->text);
    return code;
}

/* ---- the cluster */

enum err plugin_connect(const struct plugin_options *options, struct kube_client **ret_client,
                        struct error *error)
{
    struct kube_auth *auth = NULL;

    enum err err = kube_auth_default(options->kubeconfig, options->context, &auth, error);
    if (err)
        return err;
    return kube_client_create(&auth, "plugin", ret_client, error);
}

/* The namespace meant: asked for, or the context's. */
static const char *namespace_meant(const struct plugin_options *options,
                                   const struct kube_client *client)
{
    return options->namespace != NULL ? options->namespace : kube_client_namespace(client);
}

static enum err get_one(const struct plugin_options *options, struct kube_client *client,
                        struct json **ret_list, struct error *error)
{
    const char *namespace = namespace_meant(options, client);
    struct json *one = NULL;

    enum err err = kube_get(client, &kind_pipelines, namespace, options->name, &one, error);
    if (err == ERR_NOTFOUND)
        return error_set(error, ERR_NOTFOUND,
                         "there is no TelemetryPipeline \"%s\" in namespace %s; try -n, or kubectl "
                         "get tp -A",
                         options->name, namespace);
    if (err)
        return err;
    *ret_list = json_new_array();
    json_add(*ret_list, &one);
    return OK;
}

enum err plugin_pipelines(const struct plugin_options *options, struct kube_client *client,
                          struct json **ret_list, struct error *error)
{
    const char *namespace = namespace_meant(options, client);
    AUTO(json_free) struct json *list = NULL;

    if (options->name != NULL)
        return get_one(options, client, ret_list, error);
    enum err err = kube_list(client, &kind_pipelines, options->all_namespaces ? NULL : namespace,
                             NULL, &list, error);
    if (err == ERR_NOTFOUND)
        return error_set(error, ERR_NOTFOUND,
                         "the cluster doesn't know TelemetryPipelines; install the operator first");
    if (err)
        return err;
    if (json_size(json_get(list, "items")) == 0)
        return error_set(error, ERR_NOTFOUND, "there is no TelemetryPipeline in %s%s",
                         options->all_namespaces ? "any namespace" : "namespace ",
                         options->all_namespaces ? "" : namespace);
    *ret_list = json_take(list, "items");
    return OK;
}

/* ---- documents */

/* Topics and groups are named after the namespace, so the document is read again with the one asked
 * for, as kubectl apply -n would put it there. */
static enum err read_in_namespace(const char *namespace, struct pipeline **pipeline,
                                  struct faults *faults, struct error *error)
{
    const struct json *document = (*pipeline)->document;
    const char *own = json_string(json_at(document, "metadata.namespace"), NULL);
    struct pipeline *read = NULL;

    if (own != NULL && strcmp(own, namespace) == 0)
        return OK;
    if (own != NULL)
        return error_set(error, ERR_INVALID,
                         "the document is for namespace %s, and -n says %s. Leave one of them out",
                         own, namespace);
    AUTO(json_free)
    struct json *copy = object_new(&kind_pipelines, namespace, (*pipeline)->name);
    struct json *spec = json_clone(json_get(document, "spec"));
    json_set(copy, "spec", &spec);
    enum err err = pipeline_read(copy, &read, faults, error);
    if (err)
        return err;
    pipeline_free(pipeline);
    *pipeline = read;
    return OK;
}

/* What the operator refuses whatever its own flags say; where it may go and what namespaces may
 * have of nodes is between it and who started it. */
static enum err check_in_cluster(const struct pipeline *pipeline, struct faults *faults,
                                 struct error *error)
{
    static const char *all[] = {"*"};
    static const struct rights_settings lenient = {.node_access_namespaces = {all, 1}};
    const char *reason = NULL;

    enum err err = pipeline_check_in_cluster(pipeline, faults, error);
    return err ? err : rights_check(pipeline, &lenient, &reason, error);
}

int plugin_read_file(const struct plugin_options *options, struct pipeline **ret_pipeline)
{
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(buf_fini) struct buf text = {0};
    struct error error = {0};

    if (options->file == NULL) {
        error_set(&error, ERR_INVALID, "say which document: -f FILE");
        return plugin_fail(PLUGIN_WRONG, &error);
    }
    struct faults *faults = xcalloc(1, sizeof *faults);
    const char *path = strcmp(options->file, "-") == 0 ? "/dev/stdin" : options->file;
    enum err err = pipeline_load(path, &pipeline, faults, &error);
    if (err == OK && options->namespace != NULL)
        err = read_in_namespace(options->namespace, &pipeline, faults, &error);
    if (err == OK)
        err = check_in_cluster(pipeline, faults, &error);
    if (err && faults_any(faults) && faults_print(faults, &text) == OK)
        fputs(buf_text(&text), stderr);
    else if (err)
        plugin_fail(PLUGIN_WRONG, &error);
    faults_fini(faults);
    free(faults);
    if (err)
        return PLUGIN_WRONG;
    MOVE(*ret_pipeline, pipeline);
    return PLUGIN_OK;
}

struct json *plugin_objects(const struct plugin_options *options, const struct pipeline *pipeline)
{
    struct desired_bounds bounds[PIPELINE_GATEWAYS_MAX];
    const struct desired_settings settings = {
        .sidecar_image = options->sidecar_image != NULL ? options->sidecar_image : SIDECAR_IMAGE};

    for (size_t i = 0; i < pipeline->gateway_count; i++) {
        const struct pipeline_scaling *scaling = &pipeline->gateways[i].scaling;
        struct scaling_bounds first =
            scaling_hpa_bounds(scaling->cpu_utilization > 0,
                               scaling->min_replicas > 0 ? (uint32_t)scaling->min_replicas : 1,
                               (uint32_t)scaling->max_replicas);
        bounds[i] = (struct desired_bounds){first.replicas_min, first.replicas_max};
    }
    const struct desired_input input = {
        .pipeline = pipeline, .settings = &settings, .bounds = bounds};
    return desired_objects(&input);
}

/* ---- small things */

const struct json *plugin_named(const struct json *list, const char *name)
{
    JSON_EACH(element, list) {
        if (strcmp(json_string(json_get(element, "name"), ""), name) == 0)
            return element;
    }
    return NULL;
}

const char *plugin_duration(int64_t seconds, char into[PLUGIN_DURATION_SIZE])
{
    const size_t size = PLUGIN_DURATION_SIZE;

    if (seconds < 0)
        snprintf(into, size, "-");
    else if (seconds < 60)
        snprintf(into, size, "%" PRId64 "s", seconds);
    else if (seconds < 3600)
        snprintf(into, size, "%" PRId64 "m%" PRId64 "s", seconds / 60, seconds % 60);
    else if (seconds < 86400)
        snprintf(into, size, "%" PRId64 "h%" PRId64 "m", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(into, size, "%" PRId64 "d%" PRId64 "h", seconds / 86400, seconds / 3600 % 24);
    return into;
}
