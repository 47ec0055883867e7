/* plugin: kubectl-surgetank, what a person types. One file for each verb; this is what they share.
 *
 * Exit status: 0 done, 1 it failed, 2 the command line or the document is wrong.
 */
#ifndef CONTROLLER_PLUGIN_PLUGIN_H
#define CONTROLLER_PLUGIN_PLUGIN_H

#include "common/contract/pipeline.h"
#include "common/kube/client.h"

enum { PLUGIN_OK = 0, PLUGIN_FAILED = 1, PLUGIN_WRONG = 2 };

struct plugin_options {
    const char *verb;
    const char *name;      /* of a pipeline; NULL: all */
    const char *file;      /* -f */
    const char *namespace; /* NULL: the context's */
    const char *kubeconfig, *context;
    const char *output; /* "yaml" or "json"; NULL: the verb's own */
    const char *sidecar_image;
    bool all_namespaces;
    bool version; /* --version */
};

int plugin_status(const struct plugin_options *options);
int plugin_lag(const struct plugin_options *options);
int plugin_render(const struct plugin_options *options);
int plugin_plan(const struct plugin_options *options);

/* ---- for the verbs */

/* Prints "kubectl surgetank: SENTENCE" to stderr and returns `code`. */
int plugin_fail(int code, const struct error *error);

NODISCARD enum err plugin_connect(const struct plugin_options *options,
                                  struct kube_client **ret_client, struct error *error);

/* The pipelines meant, as an array. ERR_NOTFOUND: the named one doesn't exist, or there are none.
 */
NODISCARD enum err plugin_pipelines(const struct plugin_options *options,
                                    struct kube_client *client, struct json **ret_list,
                                    struct error *error);

/* Puts the leader's numbers of this second over those in the statuses; false: it couldn't be asked.
 */
bool plugin_overlay_live(struct kube_client *client, struct json *pipelines);

/* What to say under numbers that are the status's own. */
#define PLUGIN_NOT_LIVE \
    "(Numbers are from the status, up to a minute old: the operator could not be asked.)"

/* Reads -f FILE; "-" is standard input. What the operator would refuse is refused. Faults are
 * printed, one a line. Returns an exit status. */
int plugin_read_file(const struct plugin_options *options, struct pipeline **ret_pipeline);

/* The objects of `pipeline` as the operator begins, before it has seen any lag. */
struct json *plugin_objects(const struct plugin_options *options, const struct pipeline *pipeline);

/* The element of a list with that name, NULL if none. */
const struct json *plugin_named(const struct json *list, const char *name);

/* 93 -> "1m33s"; "-" if negative. */
#define PLUGIN_DURATION_SIZE 32
const char *plugin_duration(int64_t seconds, char into[PLUGIN_DURATION_SIZE]);

/* To standard output, as kubectl apply reads it. */
void plugin_print_yaml(const struct json *json);

#endif
