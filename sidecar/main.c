/* surgetank-sidecar: one binary for both tiers. Reads its command line and does what it names. */
#include "common/contract/pipeline.h"
#include "common/log.h"
#include "common/version.h"
#include "sidecar/run.h"
#include "sidecar/spool/spool_tool.h"
#include "sidecar/tail/describe.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    "  surgetank-sidecar --version\n"
    "\n"
    "  --pipeline FILE              a TelemetryPipeline, YAML or JSON, as for kubectl apply\n"
    "  --secrets DIR                Secrets as files: DIR/<name>/<key>\n"
    "  --spool DIR                  the spool's directory, in place of the document's\n"
    "  --listen ADDR                serve OTLP on this address only\n"
    "  --health-listen ADDR:PORT    /health /ready /debug/state  (default :13133)\n"
    "  --metrics-listen ADDR:PORT   /metrics                     (default :8888)\n"
    "  --log-level LEVEL            debug, info, warn, error     (default info)\n"
    "  --log-format FORMAT          logfmt, json                 (default logfmt)\n"
    "  --unconfined                 keep the rights that the process gives up at start\n"
    "\n"
    "The document is followed: what a process can change while it runs it takes over within "
    "seconds\n"
    "(SIGHUP: at once); what it can't is named in the log and in /debug/state, and needs a "
    "restart.\n"
    "SIGTERM drains: what is open is answered, what is spooled is sent as far as time allows, and\n"
    "the rest is sent after the next start. Try it: manifests/samples/single-node.yaml\n";

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "surgetank-sidecar: %s%s%s\nTry: surgetank-sidecar --help\n", what,
            value == NULL ? "" : ": ", value == NULL ? "" : value);
    return RUN_EXIT_USAGE;
}

/* 0, or the exit code. */
static int read_options(int argc, char **argv, struct run_options *ret_options)
{
    enum {
        PIPELINE = 256,
        EDGE,
        GATEWAY,
        SECRETS,
        SPOOL,
        LISTEN,
        HEALTH,
        METRICS,
        LEVEL,
        FORMAT,
        UNCONFINED
    };
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
        {"unconfined", no_argument, NULL, UNCONFINED},
        {0},
    };
    enum log_level level = LOG_LEVEL_INFO;
    enum log_format format = LOG_FORMAT_LOGFMT;
    struct run_options *to = ret_options;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **places[] = {&to->pipeline,      &to->edge,          &to->gateway,
                                 &to->secrets,       &to->spool,         &to->listen,
                                 &to->health_listen, &to->metrics_listen};
        if (option >= PIPELINE && option <= METRICS)
            *places[option - PIPELINE] = optarg;
        else if (option == UNCONFINED)
            to->unconfined = true;
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

/* These only look at files, and end like other tools. */
static bool is_tool(const char *verb)
{
    return strcmp(verb, "spool") == 0 || strcmp(verb, "check") == 0;
}

int main(int argc, char **argv)
{
    struct run_options run = {0};

    if (argc > 1 && !is_tool(argv[1]))
        run_block_signals();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
    }
    if (argc < 2) {
        fputs(help, stderr);
        return RUN_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("surgetank-sidecar %s\n", version_text);
        return EXIT_SUCCESS;
    }
    run.verb = argv[1];
    if (!is_tool(run.verb) && !run_knows(run.verb))
        return usage_error("there is no such verb", run.verb);
    if (strcmp(run.verb, "spool") == 0)
        return spool_tool_main(argc - 2, argv + 2, tail_describe_mark, stdout, stderr);
    int code = read_options(argc - 1, argv + 1, &run);
    if (code != 0)
        return code;
    if (strcmp(run.verb, "check") == 0)
        return pipeline_check(run.pipeline);
    return run_pipeline(&run);
}
