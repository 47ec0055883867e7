/* kubectl-surgetank: kubectl finds it on the PATH as `kubectl surgetank`. */
#include "controller/plugin/plugin.h"

#include "common/log.h"
#include "common/version.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "kubectl surgetank: looks at TelemetryPipelines.\n"
    "\n"
    "  kubectl surgetank status [NAME]    the path as a picture, with lag, replicas and reasons\n"
    "  kubectl surgetank lag [NAME]       one line for each consumer group\n"
    "  kubectl surgetank render -f FILE   the objects that a document leads to; needs no cluster\n"
    "  kubectl surgetank plan -f FILE     what applying a document would change, and its price\n"
    "\n"
    "  kubectl surgetank VERB --help      more about one of them\n"
    "  kubectl surgetank --version        which version this is\n"
    "\n"
    "For all that talk to a cluster: -n NAMESPACE, -A for all namespaces, --context, "
    "--kubeconfig.\n";

static const char help_status[] =
    "kubectl surgetank status [NAME] [-n NAMESPACE | -A]\n"
    "\n"
    "Draws the path of each pipeline, from the applications down to the backends: which pods are\n"
    "ready, how much waits in spools and in Kafka, how many replicas are wanted and why, and what "
    "is\n"
    "wrong where something is. It shows what the pipeline's status says, whose numbers are "
    "rounded\n"
    "and at most a minute old; exact ones are in the operator's metrics.\n"
    "\n"
    "  kubectl surgetank status shop -n observability\n"
    "  watch kubectl surgetank status shop\n";

static const char help_lag[] =
    "kubectl surgetank lag [NAME] [-n NAMESPACE | -A]\n"
    "\n"
    "One line for each gateway's consumer group: messages that wait (LAG), the age of the oldest\n"
    "(AGE), when it will have caught up (DRAIN), when Kafka would delete the oldest (LOSS), what "
    "one\n"
    "replica is seen to manage a second (CAPACITY), replicas ready and wanted, and why.\n"
    "\n"
    "  kubectl surgetank lag -A\n";

static const char help_render[] =
    "kubectl surgetank render -f FILE [-o yaml|json] [--sidecar-image IMAGE] [-n NAMESPACE]\n"
    "\n"
    "Prints every object that the operator would make for the document, with all defaults filled\n"
    "in. No cluster is asked. FILE may be - for standard input. The document is checked as the\n"
    "operator checks it: what is wrong is printed, one line for each, with exit status 2.\n"
    "\n"
    "  kubectl surgetank render -f pipeline.yaml\n"
    "  diff <(kubectl surgetank render -f old.yaml) <(kubectl surgetank render -f new.yaml)\n";

static const char help_plan[] =
    "kubectl surgetank plan -f FILE [-n NAMESPACE]\n"
    "\n"
    "Says what applying the document would change, without changing anything: which objects, "
    "which\n"
    "pods would be restarted, which topics made or altered, which unread data would expire "
    "sooner,\n"
    "and which history a new consumer group would send to its backend. The API server checks the\n"
    "document too. FILE may be - for standard input.\n"
    "\n"
    "  kubectl surgetank plan -f pipeline.yaml && kubectl apply -f pipeline.yaml\n";

struct verb {
    const char *name, *help;
    int (*run)(const struct plugin_options *options);
};

static const struct verb verbs[] = {
    {"status", help_status, plugin_status},
    {"lag", help_lag, plugin_lag},
    {"render", help_render, plugin_render},
    {"plan", help_plan, plugin_plan},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

/* Where the value of a flag goes; NULL for no flag of ours. */
static const char **flag_target(struct plugin_options *options, const char *flag, size_t len)
{
    const struct {
        const char *flag;
        const char **target;
    } flags[] = {
        {"-n", &options->namespace},
        {"--namespace", &options->namespace},
        {"-f", &options->file},
        {"--filename", &options->file},
        {"-o", &options->output},
        {"--output", &options->output},
        {"--context", &options->context},
        {"--kubeconfig", &options->kubeconfig},
        {"--sidecar-image", &options->sidecar_image},
    };

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strlen(flags[i].flag) == len && strncmp(flags[i].flag, flag, len) == 0)
            return flags[i].target;
    }
    return NULL;
}

static enum err read_flag(struct plugin_options *options, int argc, char **argv, int *at,
                          struct error *error)
{
    const char *flag = argv[*at], *equals = strchr(flag, '=');
    size_t len = equals != NULL ? (size_t)(equals - flag) : strlen(flag);

    if (strcmp(flag, "-A") == 0 || strcmp(flag, "--all-namespaces") == 0) {
        options->all_namespaces = true;
        return OK;
    }
    if (strcmp(flag, "--version") == 0) {
        options->version = true;
        return OK;
    }
    const char **target = flag_target(options, flag, len);
    if (target == NULL)
        return error_set(error, ERR_INVALID, "there is no flag %s; see --help", flag);
    if (equals == NULL && *at + 1 >= argc)
        return error_set(error, ERR_INVALID, "%s needs a value", flag);
    *target = equals != NULL ? equals + 1 : argv[++*at];
    return OK;
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0 ||
           strcmp(argument, "help") == 0;
}

static enum err read_arguments(struct plugin_options *options, int argc, char **argv,
                               bool *ret_help, struct error *error)
{
    for (int i = 1; i < argc; i++) {
        enum err err = OK;
        if (is_help(argv[i]))
            *ret_help = true;
        else if (argv[i][0] == '-' && argv[i][1] != '\0')
            err = read_flag(options, argc, argv, &i, error);
        else if (options->verb == NULL)
            options->verb = argv[i];
        else if (options->name == NULL)
            options->name = argv[i];
        else
            err = error_set(error, ERR_INVALID, "\"%s\" is one argument too many", argv[i]);
        if (err)
            return err;
    }
    if (options->output != NULL && strcmp(options->output, "yaml") != 0 &&
        strcmp(options->output, "json") != 0)
        return error_set(error, ERR_INVALID, "-o is yaml or json, not \"%s\"", options->output);
    return OK;
}

int main(int argc, char **argv)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct plugin_options options = {0};
    struct error error = {0};
    bool wants_help = false;

    sigaction(SIGPIPE, &ignore, NULL);
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
    if (read_arguments(&options, argc, argv, &wants_help, &error))
        return plugin_fail(PLUGIN_WRONG, &error);
    if (options.version) {
        printf("kubectl-surgetank %s\n", version_text);
        return PLUGIN_OK;
    }
    if (options.verb == NULL) {
        fputs(help, stdout);
        return wants_help ? PLUGIN_OK : PLUGIN_WRONG;
    }
    const struct verb *verb = find_verb(options.verb);
    if (verb == NULL) {
        error_set(&error, ERR_INVALID, "there is no verb \"%s\"; see --help", options.verb);
        return plugin_fail(PLUGIN_WRONG, &error);
    }
    if (wants_help) {
        fputs(verb->help, stdout);
        return PLUGIN_OK;
    }
    return verb->run(&options);
}
