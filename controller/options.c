#include "controller/options.h"

#include "common/assert.h"
#include "common/num.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { THREADS_MAX = 64, LIST_MAX = 64 };

const char options_help[] =
    "surgetank-controller: makes TelemetryPipelines true.\n"
    "\n"
    "It watches TelemetryPipelines through the Kubernetes API and keeps their topics, edges, "
    "gateways\n"
    "and autoscalers as the document says. Run two or more: one leads, the others wait.\n"
    "\n"
    "  surgetank-controller --sidecar-image registry.example.com/surgetank-sidecar:0.1.0\n"
    "\n"
    "Where\n"
    "  --kubeconfig FILES   kubeconfig to use; without it in a cluster the pod's own account, "
    "else\n"
    "                       $KUBECONFIG or ~/.kube/config\n"
    "  --context NAME       of the kubeconfig; its current one without it\n"
    "  --namespace NAME     look after this namespace only; all without it\n"
    "  --listen ADDR:PORT   /healthz /readyz /metrics /debug/state; default :8080\n"
    "\n"
    "What pods run\n"
    "  --sidecar-image IMAGE         required: the image of edges and gateways\n"
    "  --sidecar-pull-policy POLICY  Always, IfNotPresent or Never; Kubernetes' own rule without "
    "it\n"
    "\n"
    "What pipelines may do\n"
    "  --node-access-namespaces LIST  namespaces whose pipelines may use mode: DaemonSet and\n"
    "                       expose: HostPort, as patterns with commas between; our own without it\n"
    "  --allowed-bootstrap LIST  patterns of host:port that pipelines may name as Kafka, as in\n"
    "                       '*.kafka.svc:9092'; everything without it\n"
    "\n"
    "Who leads\n"
    "  --leader-elect=false      don't compete for a Lease; only where there is no second "
    "instance\n"
    "  --lease-namespace NAME    of the Lease; our own without it\n"
    "  --lease-name NAME         default surgetank-controller\n"
    "\n"
    "How\n"
    "  --threads N          pipelines worked on at once; default 4\n"
    "  --log-level LEVEL    debug, info, warn or error; default info\n"
    "  --log-format FORMAT  logfmt or json; default logfmt\n"
    "  --help               this text\n"
    "  --version            which version this is\n"
    "\n"
    "Each flag can be set by the environment too: SURGETANK_SIDECAR_IMAGE for --sidecar-image.\n"
    "It ends with 0 after SIGTERM, with 1 when it could not start or lost the Lease, with 2 for\n"
    "wrong flags.\n";

/* ---- one setter for each flag */

static enum err set_list(struct arena *arena, const char *value, struct pipeline_strings *into,
                         struct error *error)
{
    char *copy = arena_strdup(arena, value);
    const char **items = arena_zalloc(arena, LIST_MAX * sizeof *items);
    size_t count = 0;
    char *rest = NULL;

    if (copy == NULL || items == NULL)
        return error_set(error, ERR_NOMEM, "read flags");
    for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
        if (count == LIST_MAX)
            return error_set(error, ERR_INVALID, "has more than %d entries", LIST_MAX);
        items[count++] = item;
    }
    *into = (struct pipeline_strings){items, count};
    return OK;
}

static enum err set_bool(const char *value, bool *into, struct error *error)
{
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return error_set(error, ERR_INVALID, "is true or false, not \"%s\"", value);
    *into = strcmp(value, "true") == 0;
    return OK;
}

static enum err set_threads(const char *value, unsigned *into, struct error *error)
{
    uint64_t threads = 0;

    if (!num_parse_u64(value, THREADS_MAX, &threads) || threads == 0)
        return error_set(error, ERR_INVALID, "is a number from 1 to %d, not \"%s\"", THREADS_MAX,
                         value);
    *into = (unsigned)threads;
    return OK;
}

static enum err set_listen(const char *value, const char **into, struct error *error)
{
    char host[256];
    uint16_t port = 0;

    if (!num_parse_address(value, host, sizeof host, &port))
        return error_set(error, ERR_INVALID, "is ADDR:PORT or :PORT, not \"%s\"", value);
    *into = value;
    return OK;
}

static enum err set_pull_policy(const char *value, const char **into, struct error *error)
{
    if (strcmp(value, "Always") != 0 && strcmp(value, "IfNotPresent") != 0 &&
        strcmp(value, "Never") != 0)
        return error_set(error, ERR_INVALID, "is Always, IfNotPresent or Never, not \"%s\"", value);
    *into = value;
    return OK;
}

static enum err set_format(const char *value, enum log_format *into, struct error *error)
{
    if (strcmp(value, "logfmt") != 0 && strcmp(value, "json") != 0)
        return error_set(error, ERR_INVALID, "is logfmt or json, not \"%s\"", value);
    *into = strcmp(value, "json") == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_LOGFMT;
    return OK;
}

static enum err set_text(const char *value, const char **into)
{
    *into = value;
    return OK;
}

/* `name` is one of `flags`. */
static enum err set_flag(struct options *options, const char *name, const char *value,
                         struct error *error)
{
    struct controller_config *config = &options->controller;

    if (strcmp(name, "kubeconfig") == 0)
        return set_text(value, &config->kubeconfig);
    if (strcmp(name, "context") == 0)
        return set_text(value, &config->context);
    if (strcmp(name, "namespace") == 0)
        return set_text(value, &config->namespace);
    if (strcmp(name, "listen") == 0)
        return set_listen(value, &config->listen, error);
    if (strcmp(name, "sidecar-image") == 0)
        return set_text(value, &config->desired.sidecar_image);
    if (strcmp(name, "sidecar-pull-policy") == 0)
        return set_pull_policy(value, &config->desired.image_pull_policy, error);
    if (strcmp(name, "node-access-namespaces") == 0)
        return set_list(&options->arena, value, &config->rights.node_access_namespaces, error);
    if (strcmp(name, "allowed-bootstrap") == 0)
        return set_list(&options->arena, value, &config->rights.bootstrap_allowed, error);
    if (strcmp(name, "leader-elect") == 0)
        return set_bool(value, &config->leader_elect, error);
    if (strcmp(name, "lease-namespace") == 0)
        return set_text(value, &config->lease_namespace);
    if (strcmp(name, "lease-name") == 0)
        return set_text(value, &config->lease_name);
    if (strcmp(name, "threads") == 0)
        return set_threads(value, &config->threads, error);
    if (strcmp(name, "log-level") == 0) {
        if (log_level_parse(value, &options->log_level))
            return OK;
        return error_set(error, ERR_INVALID, "is debug, info, warn or error, not \"%s\"", value);
    }
    ASSERT(strcmp(name, "log-format") == 0);
    return set_format(value, &options->log_format, error);
}

/* ---- reading */

static const char *const flags[] = {"kubeconfig",
                                    "context",
                                    "namespace",
                                    "listen",
                                    "sidecar-image",
                                    "sidecar-pull-policy",
                                    "node-access-namespaces",
                                    "allowed-bootstrap",
                                    "leader-elect",
                                    "lease-namespace",
                                    "lease-name",
                                    "threads",
                                    "log-level",
                                    "log-format"};

static enum err read_environment(struct options *options, char *(*getenv_fn)(const char *),
                                 struct error *error)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        char name[64] = "SURGETANK_";
        size_t len = strlen(name);
        for (const char *at = flags[i]; *at != '\0'; at++)
            name[len++] = (char)(*at == '-' ? '_' : toupper((unsigned char)*at));
        name[len] = '\0';

        const char *value = getenv_fn(name);
        if (value == NULL || value[0] == '\0')
            continue;
        enum err err = set_flag(options, flags[i], value, error);
        if (err)
            return error_prefix(error, err, "%s", name);
    }
    return OK;
}

static bool is_flag(const char *name)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(name, flags[i]) == 0)
            return true;
    return false;
}

/* "--name value" or "--name=value"; a boolean may stand alone. */
static enum err read_argument(struct options *options, int argc, char **argv, int *at,
                              struct error *error)
{
    const char *argument = argv[*at];
    char name[64];
    const char *equals = strchr(argument, '=');
    const char *value = equals != NULL ? equals + 1 : NULL;

    if (strncmp(argument, "--", 2) != 0)
        return error_set(error, ERR_INVALID, "\"%s\" is no flag; see --help", argument);
    size_t len = equals != NULL ? (size_t)(equals - argument - 2) : strlen(argument + 2);
    snprintf(name, sizeof name, "%.*s", (int)len, argument + 2);
    if (!is_flag(name))
        return error_set(error, ERR_INVALID, "there is no flag --%s; see --help", name);
    if (value == NULL && strcmp(name, "leader-elect") == 0)
        value = "true";
    if (value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (value == NULL)
        return error_set(error, ERR_INVALID, "--%s needs a value; see --help", name);
    enum err err = set_flag(options, name, value, error);
    return err ? error_prefix(error, err, "--%s", name) : OK;
}

enum err options_read(int argc, char **argv, char *(*getenv_fn)(const char *),
                      struct options *ret_options, struct error *error)
{
    struct options options = {
        .controller = {.listen = ":8080",
                       .leader_elect = true,
                       .lease_name = "surgetank-controller",
                       .threads = 4},
        .log_level = LOG_LEVEL_INFO,
        .log_format = LOG_FORMAT_LOGFMT,
    };

    enum err err = read_environment(&options, getenv_fn, error);
    for (int i = 1; i < argc && err == OK; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            options.help = true;
        else if (strcmp(argv[i], "--version") == 0)
            options.version = true;
        else
            err = read_argument(&options, argc, argv, &i, error);
    }
    if (err == OK && !options.help && !options.version &&
        options.controller.desired.sidecar_image == NULL)
        err = error_set(error, ERR_INVALID, "--sidecar-image is missing; see --help");
    if (err) {
        options_fini(&options);
        return err;
    }
    *ret_options = options;
    return OK;
}

void options_fini(struct options *options)
{
    arena_fini(&options->arena);
}
