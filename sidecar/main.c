/* surgetank-sidecar: one binary for both tiers. Reads its command line, starts what it names, waits
 * for a signal, drains. */
#include "common/contract/pipeline.h"
#include "common/json.h"
#include "common/log.h"
#include "sidecar/edge/edge.h"
#include "sidecar/gateway/gateway.h"
#include "sidecar/spool/spool_tool.h"

#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, GRACE_MS = 25000 };

static const char help[] =
    "surgetank-sidecar - takes telemetry in at the edge, hands it to backends at the gateway,\n"
    "and loses none of it in between.\n"
    "\n"
    "  surgetank-sidecar run --pipeline FILE\n"
    "      The whole pipeline in one process, on the spool alone (a document without `kafka`).\n"
    "  surgetank-sidecar edge --pipeline FILE [--edge NAME]\n"
    "      OTLP into a durable spool on local disk, and from there into Kafka.\n"
    "  surgetank-sidecar gateway --pipeline FILE --gateway NAME\n"
    "      A Kafka consumer group into a backend; offsets are committed after delivery.\n"
    "  surgetank-sidecar check --pipeline FILE\n"
    "      Checks the document. Exit 0, or 2 with one line for each fault.\n"
    "  surgetank-sidecar spool ls DIR | verify DIR | cat DIR traces|metrics|logs\n"
    "      Looks into a spool, also beside a running edge.\n"
    "\n"
    "  --pipeline FILE              a TelemetryPipeline, YAML or JSON, as for kubectl apply\n"
    "  --secrets DIR                Secrets as files: DIR/<name>/<key>\n"
    "  --spool DIR                  the spool's directory, in place of the document's\n"
    "  --listen ADDR                serve OTLP on this address only\n"
    "  --health-listen ADDR:PORT    /health /ready /debug/state  (default :13133)\n"
    "  --metrics-listen ADDR:PORT   /metrics                     (default :8888)\n"
    "  --log-level LEVEL            debug, info, warn, error     (default info)\n"
    "  --log-format FORMAT          logfmt, json                 (default logfmt)\n"
    "\n"
    "SIGTERM drains: what is open is answered, what is spooled is sent as far as time allows, and\n"
    "the rest is sent after the next start. Try it: manifests/samples/single-node.yaml\n";

struct arguments {
    const char *verb, *pipeline, *edge, *gateway, *secrets, *spool, *listen;
    const char *health_listen, *metrics_listen;
};

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "surgetank-sidecar: %s%s%s\nTry: surgetank-sidecar --help\n", what,
            value == NULL ? "" : ": ", value == NULL ? "" : value);
    return EXIT_USAGE;
}

/* 0, or the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *ret_arguments)
{
    enum { PIPELINE = 256, EDGE, GATEWAY, SECRETS, SPOOL, LISTEN, HEALTH, METRICS, LEVEL, FORMAT };
    static const struct option options[] = {
        {"pipeline", required_argument, NULL, PIPELINE},
        {"edge", required_argument, NULL, EDGE},
        {"gateway", required_argument, NULL, GATEWAY},
        {"secrets", required_argument, NULL, SECRETS},
        {"spool", required_argument, NULL, SPOOL},
        {"listen", required_argument, NULL, LISTEN},
        {"health-listen", required_argument, NULL, HEALTH},
        {"metrics-listen", required_argument, NULL, METRICS},
        {"log-level", required_argument, NULL, LEVEL},
        {"log-format", required_argument, NULL, FORMAT},
        {0},
    };
    enum log_level level = LOG_LEVEL_INFO;
    enum log_format format = LOG_FORMAT_LOGFMT;
    struct arguments *to = ret_arguments;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **places[] = {&to->pipeline,      &to->edge,          &to->gateway,
                                 &to->secrets,       &to->spool,         &to->listen,
                                 &to->health_listen, &to->metrics_listen};
        if (option >= PIPELINE && option <= METRICS)
            *places[option - PIPELINE] = optarg;
        else if (option == LEVEL && !log_level_parse(optarg, &level))
            return usage_error("--log-level is debug, info, warn or error, not", optarg);
        else if (option == FORMAT && strcmp(optarg, "json") == 0)
            format = LOG_FORMAT_JSON;
        else if (option == FORMAT && strcmp(optarg, "logfmt") != 0)
            return usage_error("--log-format is logfmt or json, not", optarg);
        else if (option == '?')
            return usage_error("that option is not known, or lacks its value", NULL);
    }
    log_setup(level, format);
    if (optind < argc)
        return usage_error("one word too many", argv[optind]);
    if (to->pipeline == NULL)
        return usage_error("say --pipeline FILE", NULL);
    return 0;
}

/* Loads the document; faults go to the log, one line each. */
static struct pipeline *load(const char *path)
{
    struct pipeline *pipeline = NULL;
    struct faults faults = {0};
    struct error error = {0};

    enum err err = pipeline_load(path, &pipeline, &faults, &error);
    if (err && faults.count == 0)
        LOG_ERROR("Could not load the pipeline", LOG_STR("file", path),
                  LOG_STR("error", error.text));
    for (size_t i = 0; err && i < faults.count; i++)
        LOG_ERROR("Fault in the pipeline", LOG_STR("file", path),
                  LOG_STR("path", faults.items[i].path), LOG_STR("fault", faults.items[i].what),
                  LOG_STR("advice", faults.items[i].advice));
    faults_fini(&faults);
    return pipeline;
}

/* Signals are taken by sigwait() in the main thread only: every other thread has them blocked. */
static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
}

static void wait_for_end(const sigset_t *signals)
{
    for (;;) {
        int number = 0;
        if (sigwait(signals, &number) != 0 || number == SIGPIPE)
            continue;
        if (number == SIGHUP) {
            LOG_WARN("A changed document needs a restart; certificates are followed by themselves");
            continue;
        }
        LOG_INFO("Stopping", LOG_STR("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"),
                 LOG_U64("grace_ms", GRACE_MS));
        return;
    }
}

static struct edge_options edge_settings(const struct arguments *arguments,
                                         const struct pipeline *pipeline,
                                         const struct pipeline_edge *edge)
{
    return (struct edge_options){
        .pipeline = pipeline,
        .edge = edge,
        .secrets_dir = arguments->secrets,
        .spool_dir = arguments->spool,
        .listen_address = arguments->listen,
        .health_listen = arguments->health_listen,
        .metrics_listen = arguments->metrics_listen,
    };
}

static int run_edge(const struct arguments *arguments, const struct pipeline *pipeline,
                    const sigset_t *signals)
{
    const struct pipeline_edge *wanted =
        arguments->edge != NULL ? pipeline_edge(pipeline, arguments->edge) : &pipeline->edges[0];
    struct error error = {0};
    struct edge *edge = NULL;

    if (arguments->edge == NULL && pipeline->edge_count > 1)
        return usage_error("the pipeline has several edges: say --edge NAME", NULL);
    if (wanted == NULL)
        return usage_error("the pipeline has no edge of that name", arguments->edge);
    if (pipeline->kafka == NULL)
        return usage_error("the pipeline has no `kafka`: use `run`, which needs none", NULL);
    const struct edge_options options = edge_settings(arguments, pipeline, wanted);
    if (edge_start(&options, &edge, &error)) {
        LOG_ERROR("Could not start", LOG_STR("error", error.text));
        return EXIT_FAILURE;
    }
    wait_for_end(signals);
    edge_stop(&edge, GRACE_MS);
    LOG_INFO("Stopped");
    return EXIT_SUCCESS;
}

static int run_gateway(const struct arguments *arguments, const struct pipeline *pipeline,
                       const sigset_t *signals)
{
    const struct pipeline_gateway *wanted =
        arguments->gateway == NULL ? NULL : pipeline_gateway(pipeline, arguments->gateway);
    struct error error = {0};
    struct gateway *gateway = NULL;

    if (arguments->gateway == NULL)
        return usage_error("say --gateway NAME", NULL);
    if (wanted == NULL)
        return usage_error("the pipeline has no gateway of that name", arguments->gateway);
    if (pipeline->kafka == NULL)
        return usage_error("the pipeline has no `kafka`: use `run`, which needs none", NULL);
    const struct gateway_options options = {
        .pipeline = pipeline,
        .gateway = wanted,
        .secrets_dir = arguments->secrets,
        .health_listen = arguments->health_listen != NULL ? arguments->health_listen : ":13133",
        .metrics_listen = arguments->metrics_listen != NULL ? arguments->metrics_listen : ":8888",
    };
    if (gateway_start(&options, &gateway, &error)) {
        LOG_ERROR("Could not start", LOG_STR("error", error.text));
        return EXIT_FAILURE;
    }
    wait_for_end(signals);
    gateway_stop(&gateway, GRACE_MS);
    LOG_INFO("Stopped");
    return EXIT_SUCCESS;
}

/* ---- everything in one process */

struct single_node {
    struct edge *edge;
    struct gateway *gateways[PIPELINE_GATEWAYS_MAX];
    atomic_size_t len; /* started; read by the HTTP server */
};

static void add_gateways_state(void *context, struct json *root)
{
    struct single_node *node = context;
    struct json *list = json_set_array(root, "gateways");

    for (size_t i = 0; i < node->len; i++) {
        struct json *state = gateway_state(node->gateways[i]);
        json_add(list, &state);
    }
}

static enum err start_all(struct single_node *node, const struct arguments *arguments,
                          const struct pipeline *pipeline, struct error *error)
{
    struct edge_options edge = edge_settings(arguments, pipeline, &pipeline->edges[0]);

    edge.more_state = add_gateways_state;
    edge.more_state_context = node;
    enum err err = edge_start(&edge, &node->edge, error);
    for (size_t i = 0; i < pipeline->gateway_count && !err; i++) {
        const struct gateway_options options = {.pipeline = pipeline,
                                                .gateway = &pipeline->gateways[i],
                                                .secrets_dir = arguments->secrets,
                                                .spool = edge_spool(node->edge),
                                                .dead_letters_dir = edge_spool_dir(node->edge)};
        err = gateway_start(&options, &node->gateways[i], error);
        if (!err)
            atomic_store(&node->len, i + 1);
    }
    return err;
}

/* Senders first, then what they filled the spool with, then the spool itself. */
static void stop_all(struct single_node *node, size_t gateways)
{
    if (node->edge != NULL)
        edge_drain(node->edge, GRACE_MS / 3);
    atomic_store(&node->len, 0);
    for (size_t i = 0; i < gateways; i++)
        gateway_stop(&node->gateways[i], GRACE_MS / 2);
    edge_stop(&node->edge, 0);
}

static int run_single(const struct arguments *arguments, const struct pipeline *pipeline,
                      const sigset_t *signals)
{
    struct single_node node = {0};
    struct error error = {0};

    if (pipeline->kafka != NULL)
        return usage_error("the pipeline has `kafka`: use `edge` and `gateway`, or leave it out",
                           NULL);
    if (pipeline->edge_count > 1)
        return usage_error("one process has one edge; the pipeline has several", NULL);
    enum err err = start_all(&node, arguments, pipeline, &error);
    if (err)
        LOG_ERROR("Could not start", LOG_STR("error", error.text));
    else
        wait_for_end(signals);
    stop_all(&node, pipeline->gateway_count);
    LOG_INFO("Stopped");
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_pipeline(const struct arguments *arguments)
{
    static const struct {
        const char *verb;
        int (*run)(const struct arguments *arguments, const struct pipeline *pipeline,
                   const sigset_t *signals);
    } verbs[] = {{"edge", run_edge}, {"gateway", run_gateway}, {"run", run_single}};
    sigset_t signals;
    int code = EXIT_USAGE;

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(arguments->verb, verbs[i].verb) != 0)
            continue;
        block_signals(&signals);
        struct pipeline *pipeline = load(arguments->pipeline);
        if (pipeline != NULL)
            code = verbs[i].run(arguments, pipeline, &signals);
        pipeline_free(&pipeline);
        return code;
    }
    return usage_error("no such verb", arguments->verb);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
    }
    if (argc < 2) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    arguments.verb = argv[1];
    if (strcmp(arguments.verb, "spool") == 0)
        return spool_tool_main(argc - 2, argv + 2, stdout, stderr);
    int code = read_arguments(argc - 1, argv + 1, &arguments);
    if (code != 0)
        return code;
    if (strcmp(arguments.verb, "check") == 0)
        return pipeline_check(arguments.pipeline);
    return run_pipeline(&arguments);
}
