#include "sidecar/run.h"

#include "common/assert.h"
#include "common/clock.h"
#include "common/contract/names.h"
#include "common/contract/pipeline.h"
#include "common/json.h"
#include "common/kube/auth.h"
#include "common/log.h"
#include "common/memory.h"
#include "sidecar/confine/confine.h"
#include "sidecar/edge/edge.h"
#include "sidecar/edge/edge_tail.h"
#include "sidecar/gateway/gateway.h"
#include "sidecar/live/document.h"
#include "sidecar/live/follow.h"
#include "sidecar/spool/reader.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GRACE_MS = 25000, PLACES_MAX = 256 };

struct verb;

struct process {
    const struct run_options *options;
    const struct verb *verb;
    struct document *document;
    struct pipeline *pipeline;    /* at start; what was taken over since is with the stages */
    bool candidate;               /* it is the candidate */
    struct error candidate_error; /* why it is not, though it was to be */
    struct follow *follow;
    struct arena arena;
    struct confine_state confinement;
    bool confined;

    const struct pipeline_edge *wanted_edge; /* NULL: none */
    const struct pipeline_gateway *wanted_gateways;
    size_t wanted_gateways_len;
    bool single; /* the gateways read the edge's spool */
    const char *spool_dir;

    struct edge *edge;
    struct gateway *gateways[PIPELINE_GATEWAYS_MAX];
    pthread_mutex_t lock; /* guards what follows: the HTTP server and the committer look at it */
    size_t started;       /* gateways that are not about to end */
};

static void set_started(struct process *process, size_t started)
{
    pthread_mutex_lock(&process->lock);
    process->started = started;
    pthread_mutex_unlock(&process->lock);
}

/* The spool has something new, and the gateways of a single node read it. */
static void kick_gateways(void *context)
{
    struct process *process = context;

    pthread_mutex_lock(&process->lock);
    for (size_t i = 0; i < process->started; i++)
        gateway_kick(process->gateways[i]);
    pthread_mutex_unlock(&process->lock);
}

/* ---- what is to run */

static void tell_faults(const char *path, struct faults *faults, const struct error *error)
{
    if (faults->count == 0)
        LOG_ERROR("Could not load the pipeline", LOG_STR("file", path),
                  LOG_STR("error", error->text));
    for (size_t i = 0; i < faults->count; i++)
        LOG_ERROR("Fault in the pipeline", LOG_STR("file", path),
                  LOG_STR("path", faults->items[i].path), LOG_STR("fault", faults->items[i].what),
                  LOG_STR("advice", faults->items[i].advice));
}

/* Loads the document; faults go to the log, one line each. A candidate that can't be read is not
 * waited for. */
static enum err load(struct process *process)
{
    struct faults faults = {0};
    struct error error = {0};

    enum err err = document_open(process->options->pipeline, getenv(NAMES_POD_ENV),
                                 &process->document, &error);
    if (!err)
        err = document_read(process->document, &process->pipeline, &process->candidate, &faults,
                            &error);
    if (err && process->candidate) {
        process->candidate_error = error;
        process->candidate = false;
        err = document_read_current(process->document, &process->pipeline, &faults, &error);
    }
    if (err)
        tell_faults(process->options->pipeline, &faults, &error);
    faults_fini(&faults);
    return err;
}

/* The choose functions say what is wrong with the command line and the document together. */
static enum err choose_edge(struct process *process, struct error *error)
{
    const struct pipeline *pipeline = process->pipeline;
    const char *name = process->options->edge;

    if (name == NULL && pipeline->edge_count > 1)
        return error_set(error, ERR_INVALID, "the pipeline has several edges: say --edge NAME");
    process->wanted_edge = name != NULL ? pipeline_edge(pipeline, name) : &pipeline->edges[0];
    if (process->wanted_edge == NULL)
        return error_set(error, ERR_INVALID, "the pipeline has no edge '%s', see --edge", name);
    if (pipeline->kafka == NULL)
        return error_set(error, ERR_INVALID,
                         "the pipeline has no `kafka`: use `run`, which needs none");
    return OK;
}

static enum err choose_gateway(struct process *process, struct error *error)
{
    const char *name = process->options->gateway;

    if (name == NULL)
        return error_set(error, ERR_INVALID, "say --gateway NAME");
    process->wanted_gateways = pipeline_gateway(process->pipeline, name);
    process->wanted_gateways_len = 1;
    if (process->wanted_gateways == NULL)
        return error_set(error, ERR_INVALID, "the pipeline has no gateway '%s', see --gateway",
                         name);
    if (process->pipeline->kafka == NULL)
        return error_set(error, ERR_INVALID,
                         "the pipeline has no `kafka`: use `run`, which needs none");
    return OK;
}

static enum err choose_all(struct process *process, struct error *error)
{
    if (process->pipeline->kafka != NULL)
        return error_set(error, ERR_INVALID,
                         "the pipeline has `kafka`: use `edge` and `gateway`, or leave it out");
    process->single = true;
    process->wanted_edge = &process->pipeline->edges[0]; /* without Kafka there is one */
    process->wanted_gateways = process->pipeline->gateways;
    process->wanted_gateways_len = process->pipeline->gateway_count;
    return OK;
}

static const struct verb {
    const char *name;
    enum err (*choose)(struct process *process, struct error *error);
} verbs[] = {{"edge", choose_edge}, {"gateway", choose_gateway}, {"run", choose_all}};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(name, verbs[i].name) == 0)
            return &verbs[i];
    return NULL;
}

bool run_knows(const char *verb)
{
    return find_verb(verb) != NULL;
}

/* ---- /debug/state */

/* The confinement; for the single node its gateways too, whose own server is the edge's. */
static void add_state(void *context, struct json *root)
{
    struct process *process = context;
    const struct confine_state *confinement = &process->confinement;
    struct json *part = json_set_object(root, "confinement");

    follow_add_state(process->follow, root);
    json_set_bool(part, "noNewPrivileges", confinement->no_new_privileges);
    json_set_number(part, "landlock", confinement->landlock);
    json_set_bool(part, "systemCalls", confinement->system_calls);
    json_set_string(part, "without", confinement->without);
    if (!process->single)
        return;
    struct json *list = json_set_array(root, "gateways");
    pthread_mutex_lock(&process->lock);
    for (size_t i = 0; i < process->started; i++) {
        struct json *state = gateway_state(process->gateways[i]);
        json_add(list, &state);
    }
    pthread_mutex_unlock(&process->lock);
}

/* ---- start */

static struct edge_options edge_settings(struct process *process)
{
    const struct run_options *options = process->options;

    return (struct edge_options){
        .pipeline = process->pipeline,
        .edge = process->wanted_edge,
        .secrets_dir = options->secrets,
        .spool_dir = process->spool_dir,
        .listen_address = options->listen,
        .health_listen = options->health_listen,
        .metrics_listen = options->metrics_listen,
        .more_state = add_state,
        .more_state_context = process,
        .stored = process->single ? kick_gateways : NULL,
        .stored_context = process,
    };
}

/* Takes a changed document over in all that runs here, or in nothing of it. */
static enum err change(void *context, const struct pipeline *pipeline, struct error *error)
{
    struct process *process = context;
    size_t changed = 0, count = process->wanted_gateways_len;
    enum err err = OK;

    while (changed < count && !err) {
        err = gateway_change(process->gateways[changed], pipeline, error);
        changed += !err;
    }
    if (!err && process->edge != NULL)
        err = edge_change(process->edge, pipeline, error);
    for (size_t i = 0; err && i < changed; i++) {
        struct error again = {0};
        if (gateway_change(process->gateways[i], follow_running(process->follow), &again))
            LOG_ERROR("Could not go back to the last good document", LOG_STR("error", again.text));
    }
    return err;
}

static enum err follow(struct process *process, struct error *error)
{
    struct follow_options options = {.document = process->document,
                                     .running = process->pipeline,
                                     .candidate = process->candidate,
                                     .gateways_len = process->wanted_gateways_len,
                                     .change = change,
                                     .context = process};

    if (process->wanted_edge != NULL)
        options.edge = process->wanted_edge->name;
    for (size_t i = 0; i < process->wanted_gateways_len; i++)
        options.gateways[i] = process->wanted_gateways[i].name;
    enum err err = follow_open(&options, &process->follow, error);
    if (!err && process->candidate_error.code != OK)
        follow_refused_at_start(process->follow, process->candidate_error.text);
    return err;
}

struct places {
    struct arena *arena;
    struct confine_path list[PLACES_MAX];
    size_t len;
    bool full;
};

static void add_place(struct places *places, struct confine_path place)
{
    for (size_t i = 0; place.path != NULL && i < places->len; i++)
        if (places->list[i].path != NULL && places->list[i].right == place.right &&
            strcmp(places->list[i].path, place.path) == 0)
            return;
    if (places->len < PLACES_MAX)
        places->list[places->len++] = place;
    else
        places->full = true;
}

/* Where log files are: to be read and nothing else. */
static void add_log_dir(void *context, const char *dir)
{
    struct places *places = context;
    const char *path = arena_strdup(places->arena, dir);

    places->full |= path == NULL;
    if (path != NULL)
        add_place(places, (struct confine_path){path, CONFINE_READ});
}

static bool watches_pods(const struct process *process)
{
    return process->wanted_edge != NULL && pipeline_watches_pods(process->wanted_edge);
}

/* Before there is any thread: see confine.h. */
static enum err confine(struct process *process, struct error *error)
{
    char document[CONFINE_PATH_MAX], behind_links[CONFINE_PATH_MAX];
    char real[PATH_MAX];
    bool linked = realpath(process->options->pipeline, real) != NULL;
    const struct confine_path paths[] = {
        {confine_place_of(process->options->pipeline, document), CONFINE_READ},
        {linked ? confine_place_of(real, behind_links) : NULL, CONFINE_READ},
        {process->options->secrets, CONFINE_READ},
        {watches_pods(process) ? KUBE_SERVICE_ACCOUNT_DIR : NULL, CONFINE_READ},
        {process->spool_dir, CONFINE_WRITE},
    };
    struct places places = {.arena = &process->arena};
    struct confine_state *state = &process->confinement;

    if (process->options->unconfined) {
        state->without = "turned off by --unconfined";
        LOG_WARN("Runs unconfined", LOG_STR("why", state->without));
        return OK;
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        add_place(&places, paths[i]);
    if (process->wanted_edge != NULL)
        edge_tail_dirs(process->wanted_edge, add_log_dir, &places);
    enum err err = places.full
                       ? error_set(error, ERR_NOMEM, "files are in more than %d places", PLACES_MAX)
                       : confine_process(places.list, places.len, state, error);
    if (!err)
        LOG_INFO("Confined the process", LOG_I64("landlock", state->landlock),
                 LOG_BOOL("system_calls", state->system_calls), LOG_STR("without", state->without));
    return err;
}

static enum err start_gateway(struct process *process, size_t index, struct error *error)
{
    const struct run_options *options = process->options;
    struct gateway_options gateway = {.pipeline = process->pipeline,
                                      .gateway = &process->wanted_gateways[index],
                                      .secrets_dir = options->secrets,
                                      .more_state = add_state,
                                      .more_state_context = process};

    if (process->single) {
        gateway.spool = edge_spool(process->edge);
        gateway.dead_letters_dir = edge_spool_dir(process->edge);
    } else {
        gateway.health_listen = options->health_listen != NULL ? options->health_listen : ":13133";
        gateway.metrics_listen =
            options->metrics_listen != NULL ? options->metrics_listen : ":8888";
    }
    return gateway_start(&gateway, &process->gateways[index], error);
}

/* Gateways that the document no longer names, or whose signals, would hold the spool's frames back
 * until it is full. A renamed one begins at the oldest frame, so it misses nothing. */
static void forget_readers(struct spool *spool)
{
    struct spool_stats stats;

    spool_stats(spool, &stats);
    for (enum signal signal = 0; signal < SIGNAL_COUNT; signal++) {
        const struct spool_lane_stats *lane = &stats.lanes[signal];
        for (size_t i = 0; i < lane->reader_count; i++) {
            const struct spool_reader_stats *reader = &lane->readers[i];
            if (reader->open || spool_reader_forget(spool, signal, reader->name, NULL))
                continue;
            LOG_WARN("Forgot a reader of the spool that the document does not name",
                     LOG_STR("reader", reader->name), LOG_STR("signal", signal_name(signal)),
                     LOG_U64("unread_items", reader->items));
        }
    }
}

static enum err start(struct process *process, struct error *error)
{
    struct edge_options edge = edge_settings(process);
    enum err err = OK;

    if (process->wanted_edge != NULL) {
        edge.spool_dir = process->options->spool;
        err = edge_make_dir(&edge, &process->arena, &process->spool_dir, error);
        edge.spool_dir = process->spool_dir;
    }
    if (!err && !process->confined)
        err = confine(process, error);
    process->confined = true;
    if (!err)
        err = follow(process, error);
    if (!err && process->wanted_edge != NULL)
        err = edge_start(&edge, &process->edge, error);
    for (size_t i = 0; i < process->wanted_gateways_len && !err; i++) {
        err = start_gateway(process, i, error);
        if (!err)
            set_started(process, i + 1);
    }
    if (!err && process->single)
        forget_readers(edge_spool(process->edge));
    return err;
}

/* ---- stop */

/* Senders first, then what they filled the spool with, then the spool itself. */
static void stop(struct process *process)
{
    size_t started = process->started;
    uint32_t left_ms = GRACE_MS;

    if (process->single && process->edge != NULL) {
        edge_drain(process->edge, GRACE_MS / 3);
        left_ms = GRACE_MS / 2;
    }
    set_started(process, 0);
    for (size_t i = 0; i < started; i++)
        gateway_stop(&process->gateways[i], left_ms);
    edge_stop(&process->edge, process->single ? 0 : GRACE_MS);
}

/* A candidate that can be read and not be run: what the other pods have goes on. */
static enum err start_with_current(struct process *process, struct error *error)
{
    struct faults faults = {0};

    LOG_ERROR("Could not start with the candidate", LOG_STR("error", error->text));
    stop(process);
    follow_close(&process->follow);
    pipeline_free(&process->pipeline);
    process->candidate_error = *error;
    process->candidate = false;
    enum err err = document_read_current(process->document, &process->pipeline, &faults, error);
    faults_fini(&faults);
    if (!err)
        err = process->verb->choose(process, error);
    return err ? err : start(process, error);
}

static sigset_t own_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGPIPE);
    return set;
}

void run_block_signals(void)
{
    const sigset_t set = own_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Follows the document until it is time to go. */
static void wait_for_end(const struct process *process)
{
    const sigset_t signals = own_signals();
    static const struct timespec look = {.tv_sec = FOLLOW_EVERY_MS / 1000,
                                         .tv_nsec = FOLLOW_EVERY_MS % 1000 * 1000000L};
    struct memory_keeper memory = {0};

    for (;;) {
        int number = sigtimedwait(&signals, NULL, &look);
        if (number == SIGTERM || number == SIGINT) {
            LOG_INFO("Stopping", LOG_STR("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"),
                     LOG_U64("grace_ms", GRACE_MS));
            return;
        }
        follow_look(process->follow, number == SIGHUP);
        memory_keep(&memory, clock_mono_ms());
    }
}

static int run(struct process *process)
{
    struct error error = {0};

    memory_setup();
    enum err err = start(process, &error);
    if (err && process->candidate)
        err = start_with_current(process, &error);
    if (err)
        LOG_ERROR("Could not start", LOG_STR("error", error.text));
    else
        wait_for_end(process);
    stop(process);
    LOG_INFO("Stopped");
    return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int run_pipeline(const struct run_options *options)
{
    struct process process = {.options = options, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct error error = {0};
    int code = RUN_EXIT_USAGE;

    process.verb = find_verb(options->verb);
    ASSERT(process.verb != NULL);
    if (load(&process) == OK) {
        if (process.verb->choose(&process, &error))
            fprintf(stderr, "surgetank-sidecar: %s\nTry: surgetank-sidecar --help\n", error.text);
        else
            code = run(&process);
    }
    follow_close(&process.follow);
    document_close(&process.document);
    pipeline_free(&process.pipeline);
    arena_fini(&process.arena);
    return code;
}
