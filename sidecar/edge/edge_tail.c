#include "sidecar/edge/edge_tail.h"

#include "common/contract/names.h"
#include "common/json.h"
#include "common/metrics.h"
#include "common/rfc3339.h"
#include "sidecar/edge/refine.h"
#include "sidecar/lines/kube_path.h"
#include "sidecar/lines/multiline.h"
#include "sidecar/otlp/stamp.h"
#include "sidecar/pods/pods.h"
#include "sidecar/tail/glob.h"
#include "sidecar/tail/tail.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTAINER_LOGS "containerLogs" /* no name of files is like it: it has a capital */

struct edge_tail {
    struct arena arena;
    struct tail_source sources[TAIL_SOURCES_MAX];
    size_t source_count;
    struct tail *tail;
    struct spool *spool;
    struct stamp *unchanged; /* that stamps nothing */
    void (*stored)(void *context);
    void *context;
    pthread_mutex_t lock; /* guards what follows */
    const struct stamp *stamp;
    struct refine *refine;
    struct tail_state state; /* scratch of the HTTP server's thread */
};

/* ---- the document's words */

static enum err no_memory(struct error *error)
{
    return error_set(error, ERR_NOMEM, "follow files");
}

static enum err put_multiline(struct arena *arena, const struct pipeline_following *following,
                              struct tail_source *source, struct error *error)
{
    static const unsigned rules[] = {[PIPELINE_LANGUAGE_JAVA] = MULTILINE_JAVA,
                                     [PIPELINE_LANGUAGE_PYTHON] = MULTILINE_PYTHON,
                                     [PIPELINE_LANGUAGE_GO] = MULTILINE_GO,
                                     [PIPELINE_LANGUAGE_NONE] = 0};
    size_t count = following->multiline_count;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
    const char **patterns = arena_zalloc(arena, (count + 1) * sizeof(*patterns));

    if (patterns == NULL)
        return no_memory(error);
    for (size_t i = 0; i < count; i++) {
        const struct pipeline_multiline *rule = &following->multiline[i];
        if (rule->start != NULL)
            patterns[source->pattern_count++] = rule->start;
        else
            source->rules |= rules[rule->language];
    }
    source->patterns = patterns;
    return OK;
}

static enum err put_following(struct arena *arena, const struct pipeline_following *following,
                              struct tail_source *source, struct error *error)
{
    if (strcmp(following->start_at, "beginning") == 0)
        source->start = TAIL_START_BEGINNING;
    else if (rfc3339_parse(following->start_at, &source->start_ns))
        source->start = TAIL_START_TIME;
    else
        source->start = TAIL_START_END;
    source->ignore_older_ms = (uint64_t)following->ignore_older_ms;
    source->rescan_ms = (uint32_t)following->rescan_ms;
    source->line_max = (size_t)following->max_line_bytes;
    return put_multiline(arena, following, source, error);
}

static enum err put_container_logs(struct arena *arena, const struct pipeline_container_logs *logs,
                                   struct tail_source *source, struct error *error)
{
    *source = (struct tail_source){.name = CONTAINER_LOGS,
                                   .root = NAMES_POD_LOGS_DIR,
                                   .namespaces = logs->namespaces.items,
                                   .namespace_count = logs->namespaces.count,
                                   .pods = logs->pods.items,
                                   .pod_count = logs->pods.count,
                                   .exclude_pods = logs->exclude_pods.items,
                                   .exclude_pod_count = logs->exclude_pods.count,
                                   .format = LINES_CRI};
    return put_following(arena, &logs->following, source, error);
}

static enum err put_files(struct arena *arena, const struct pipeline_files *files,
                          struct tail_source *source, struct error *error)
{
    static const enum lines_format formats[] = {[PIPELINE_PARSER_RAW] = LINES_RAW,
                                                [PIPELINE_PARSER_JSON] = LINES_JSON,
                                                [PIPELINE_PARSER_CRI] = LINES_CRI,
                                                [PIPELINE_PARSER_DOCKER] = LINES_DOCKER};
    struct batch_attribute *attributes =
        arena_zalloc(arena, (files->attributes.count + 1) * sizeof *attributes);

    if (attributes == NULL)
        return no_memory(error);
    for (size_t i = 0; i < files->attributes.count; i++)
        attributes[i] = (struct batch_attribute){files->attributes.items[i].name,
                                                 files->attributes.items[i].value};
    *source = (struct tail_source){.name = files->name,
                                   .paths = files->paths.items,
                                   .path_count = files->paths.count,
                                   .exclude = files->exclude.items,
                                   .exclude_count = files->exclude.count,
                                   .format = formats[files->parser],
                                   .attributes = attributes,
                                   .attribute_count = files->attributes.count};
    return put_following(arena, &files->following, source, error);
}

static enum err put_sources(struct edge_tail *tail, const struct pipeline_edge *edge,
                            struct error *error)
{
    enum err err = OK;

    if (edge->container_logs != NULL && edge->container_logs->enabled)
        err = put_container_logs(&tail->arena, edge->container_logs,
                                 &tail->sources[tail->source_count++], error);
    for (size_t i = 0; i < edge->files_count && !err; i++)
        err = put_files(&tail->arena, &edge->files[i], &tail->sources[tail->source_count++], error);
    return err;
}

/* ---- processors and routes */

struct emission {
    tail_emit_fn *emit;
    void *context;
};

static enum err emit_all(void *context, const struct refined *refined, struct error *error)
{
    const struct emission *emission = context;
    const struct tail_refined all = {.slices = refined->slices,
                                     .slice_count = refined->slice_count,
                                     .items = refined->items,
                                     .cuts = refined->cuts,
                                     .cut_count = refined->cut_count};
    enum err err = emission->emit(emission->context, &all);
    return err ? error_set(error, err, "no memory for lines that are processed") : OK;
}

/* Of a result; the rest of what the spool takes is for positions. */
static size_t refined_max(const struct spool *spool)
{
    return spool_request_max(spool) / 4 * 3;
}

/* With nothing to be done, resources are stamped while lines are collected, and no byte is copied.
 */
static enum err refine_lines(void *context, bool stamped, struct bytes request, uint32_t items,
                             tail_emit_fn *emit, void *emit_context, bool *ret_as_is,
                             struct error *error)
{
    struct edge_tail *tail = context;
    struct emission emission = {emit, emit_context};
    struct process_counts counts = {0};
    enum err err = OK;

    pthread_mutex_lock(&tail->lock);
    *ret_as_is = stamped && refine_is_plain(tail->refine, SIGNAL_LOGS);
    if (!*ret_as_is)
        err = refine_run(tail->refine, SIGNAL_LOGS, request, items,
                         stamped ? tail->unchanged : tail->stamp, refined_max(tail->spool),
                         emit_all, &emission, &counts, error);
    pthread_mutex_unlock(&tail->lock);
    if (!err)
        process_count(&counts);
    return err;
}

static void stored(void *context)
{
    const struct edge_tail *tail = context;
    if (tail->stored != NULL)
        tail->stored(tail->context);
}

static const struct stamp *early_stamp(const struct edge_tail *tail)
{
    return refine_is_plain(tail->refine, SIGNAL_LOGS) ? tail->stamp : NULL;
}

/* ---- whose a log is */

static size_t describe(void *context, const struct kube_path *path, struct arena *arena,
                       struct batch_attribute *list)
{
    AUTO(pod_unref) struct pod *pod = pods_by_uid(context, path->pod_uid);
    size_t count = 0;

    _Static_assert(TAIL_POD_ATTRIBUTES_MAX >= POD_ATTRIBUTES_MAX, "there is room for all");
    for (size_t i = POD_OWN_ATTRIBUTES; pod != NULL && i < pod->attribute_count; i++) {
        const char *key = arena_strdup(arena, pod->attributes[i].key);
        const char *value = arena_strdup(arena, pod->attributes[i].value);
        if (key != NULL && value != NULL)
            list[count++] = (struct batch_attribute){key, value};
    }
    return count;
}

/* ---- life */

enum err edge_tail_open(const struct edge_tail_options *options, struct edge_tail **ret_tail,
                        struct error *error)
{
    AUTO(edge_tail_close) struct edge_tail *tail = calloc(1, sizeof *tail);
    if (tail == NULL)
        return no_memory(error);
    pthread_mutex_init(&tail->lock, NULL);
    tail->spool = options->spool;
    tail->stored = options->stored;
    tail->context = options->context;
    tail->stamp = options->stamp;
    tail->refine = options->refine;
    enum err err = put_sources(tail, options->edge, error);
    if (!err)
        err = stamp_create(NULL, 0, &tail->unchanged, error);
    if (err)
        return err;
    if (tail->source_count == 0) {
        *ret_tail = NULL;
        return OK;
    }
    const struct tail_options settings = {.sources = tail->sources,
                                          .source_count = tail->source_count,
                                          .stamp = early_stamp(tail),
                                          .describe = options->pods != NULL ? describe : NULL,
                                          .describe_context = options->pods,
                                          .spool = options->spool,
                                          .refine = refine_lines,
                                          .stored = stored,
                                          .context = tail};
    err = tail_open(&settings, &tail->tail, error);
    if (!err)
        err = tail_start(tail->tail, error);
    if (err)
        return err;
    MOVE(*ret_tail, tail);
    return OK;
}

void edge_tail_change(struct edge_tail *tail, const struct stamp *stamp, struct refine *refine)
{
    if (tail == NULL)
        return;
    pthread_mutex_lock(&tail->lock);
    tail->stamp = stamp;
    tail->refine = refine;
    pthread_mutex_unlock(&tail->lock);
    tail_set_stamp(tail->tail, early_stamp(tail));
}

void edge_tail_stop(struct edge_tail *tail, uint32_t grace_ms)
{
    if (tail != NULL)
        tail_stop(tail->tail, grace_ms);
}

bool edge_tail_in_spool(const struct edge_tail *tail)
{
    return tail != NULL && tail_in_spool(tail->tail);
}

void edge_tail_close(struct edge_tail **tail)
{
    struct edge_tail *gone = *tail;
    if (gone == NULL)
        return;
    tail_close(&gone->tail);
    stamp_destroy(&gone->unchanged);
    pthread_mutex_destroy(&gone->lock);
    arena_fini(&gone->arena);
    free(gone);
    *tail = NULL;
}

/* ---- what it tells */

/* What is told of each input, as a metric and in /debug/state. */
static const struct figure {
    struct metric_desc metric;
    const char *key;
    size_t offset; /* in struct tail_source_state */
} figures[] = {
#define FIGURE(of, kind_of, metric_name, text, json_key)                                  \
    {                                                                                     \
        {.name = (metric_name), .kind = (kind_of), .help = (text), .labels = {"source"}}, \
            json_key, offsetof(struct tail_source_state, of)                              \
    }
    FIGURE(files, METRIC_GAUGE, "surgetank_tail_files", "Files that are followed.", "files"),
    FIGURE(bytes, METRIC_COUNTER, "surgetank_tail_read_bytes_total", "Bytes read from files.",
           "bytes"),
    FIGURE(records, METRIC_COUNTER, "surgetank_tail_records_total", "Records made of lines.",
           "records"),
    FIGURE(unread_bytes, METRIC_GAUGE, "surgetank_tail_unread_bytes",
           "Bytes in files that are followed and not read yet.", "unreadBytes"),
    FIGURE(lost_bytes, METRIC_COUNTER, "surgetank_tail_lost_bytes_total",
           "Bytes that are known to have gone with their file before they were read.", "lostBytes"),
    FIGURE(lost_files, METRIC_COUNTER, "surgetank_tail_lost_files_total",
           "Files that went before they were read to their end.", "lostFiles"),
    FIGURE(missed, METRIC_COUNTER, "surgetank_tail_missed_total",
           "Files, and directories of pods, that came and went before they could be looked at.",
           "missed"),
    FIGURE(truncations, METRIC_COUNTER, "surgetank_tail_truncations_total", "Files begun anew.",
           "truncations"),
    FIGURE(refused_files, METRIC_COUNTER, "surgetank_tail_refused_files_total",
           "Times that a file could not be followed.", "refusedFiles"),
    FIGURE(read_errors, METRIC_COUNTER, "surgetank_tail_read_errors_total", "Reads that failed.",
           "readErrors"),
    FIGURE(lines.lines, METRIC_COUNTER, "surgetank_tail_lines_total",
           "Lines read to their end, partial ones joined.", "lines"),
    FIGURE(lines.empty, METRIC_COUNTER, "surgetank_tail_empty_lines_total",
           "Lines without content, which are empty records.", "emptyLines"),
    FIGURE(lines.joined, METRIC_COUNTER, "surgetank_tail_joined_lines_total",
           "Lines that had come in parts and were joined.", "joinedLines"),
    FIGURE(lines.passed, METRIC_COUNTER, "surgetank_tail_passed_lines_total",
           "Lines read again after a start and passed over, as they are in the spool.",
           "passedLines"),
    FIGURE(lines.grouped, METRIC_COUNTER, "surgetank_tail_grouped_records_total",
           "Records made of several lines.", "groupedRecords"),
    FIGURE(multiline_gave_up, METRIC_COUNTER, "surgetank_tail_multiline_gave_up_total",
           "Times that a pattern of multiline took too long for a line and counted as no match.",
           "multilineGaveUp"),
    FIGURE(lines.invalid, METRIC_COUNTER, "surgetank_tail_invalid_lines_total",
           "Lines that were not in the format, and were kept as they stood.", "invalidLines"),
    FIGURE(lines.cut, METRIC_COUNTER, "surgetank_tail_cut_lines_total",
           "Lines that became several records, for their length or for waiting.", "cutLines"),
    FIGURE(lines.too_long, METRIC_COUNTER, "surgetank_tail_long_lines_total",
           "Lines that became several records for being longer than maxLineBytes.", "longLines"),
#undef FIGURE
};

enum { FIGURES = sizeof figures / sizeof figures[0] };

static const struct metric_desc oldest_desc = {
    .name = "surgetank_tail_oldest_unread_seconds",
    .kind = METRIC_GAUGE,
    .help = "For how long the file that waits longest has had something unread.",
    .labels = {"source"}};
static const struct metric_desc deaf_desc = {
    .name = "surgetank_tail_deaf",
    .kind = METRIC_GAUGE,
    .help = "1 while the kernel allows no more watches, and files are looked for every second."};
static const struct metric_desc paused_desc = {
    .name = "surgetank_tail_paused",
    .kind = METRIC_GAUGE,
    .help = "1 while the spool takes no lines, and files are not read."};
static const struct metric_desc left_out_desc = {
    .name = "surgetank_tail_left_out_records_total",
    .kind = METRIC_COUNTER,
    .help = "Log records, or pieces of one, that the spool or memoryLimit is too small for."};
static const struct metric_desc unread_desc = {
    .name = "surgetank_tail_unread_positions_total",
    .kind = METRIC_COUNTER,
    .help = "Positions of files that could not be read at the start; those begin as new ones."};
static const struct metric_desc open_desc = {
    .name = "surgetank_tail_open_files", .kind = METRIC_GAUGE, .help = "Files that are open."};

static double value_of(const struct figure *figure, const struct tail_source_state *source)
{
    uint64_t value;
    memcpy(&value, (const char *)source + figure->offset, sizeof value);
    return (double)value;
}

static void refresh_source(const struct tail_source_state *source)
{
    for (size_t i = 0; i < FIGURES; i++)
        metric_set(metrics_series(&figures[i].metric, source->name), value_of(&figures[i], source));
    metric_set(metrics_series(&oldest_desc, source->name), (double)source->oldest_unread_ms / 1000);
}

void edge_tail_refresh(struct edge_tail *tail)
{
    if (tail == NULL)
        return;
    tail_state(tail->tail, &tail->state);
    metric_set(metrics_series(&deaf_desc), tail->state.deaf);
    metric_set(metrics_series(&paused_desc), tail->state.paused);
    metric_set(metrics_series(&left_out_desc), (double)tail->state.left_out);
    metric_set(metrics_series(&unread_desc), (double)tail->state.unread_positions);
    metric_set(metrics_series(&open_desc), (double)tail->state.files_open);
    for (size_t i = 0; i < tail->state.source_count; i++)
        refresh_source(&tail->state.sources[i]);
}

static void put_source(struct json *into, const struct tail_source_state *source)
{
    json_set_string(into, "name", source->name);
    json_set_number(into, "oldestUnreadMs", (double)source->oldest_unread_ms);
    for (size_t i = 0; i < FIGURES; i++)
        json_set_number(into, figures[i].key, value_of(&figures[i], source));
}

void edge_tail_put(struct edge_tail *tail, struct json *root)
{
    if (tail == NULL)
        return;
    tail_state(tail->tail, &tail->state);
    struct json *into = json_set_object(root, "tail");
    json_set_bool(into, "deaf", tail->state.deaf);
    json_set_bool(into, "paused", tail->state.paused);
    json_set_string(into, "trouble", tail->state.trouble);
    json_set_number(into, "filesOpen", (double)tail->state.files_open);
    json_set_number(into, "loads", (double)tail->state.loads);
    json_set_number(into, "refusedLoads", (double)tail->state.refused_loads);
    json_set_number(into, "leftOutRecords", (double)tail->state.left_out);
    struct json *sources = json_set_array(into, "sources");
    for (size_t i = 0; i < tail->state.source_count; i++)
        put_source(json_add_object(sources), &tail->state.sources[i]);
}

/* ---- where files are */

struct visitor {
    edge_tail_visit_dir *visit;
    void *context;
};

/* As much of the directory as is there: the rest may be made later. */
static void visit_present(void *context, const char *wanted)
{
    const struct visitor *visitor = context;
    char dir[GLOB_PATH_MAX];

    snprintf(dir, sizeof dir, "%s", wanted);
    while (access(dir, F_OK) != 0) {
        char *slash = strrchr(dir, '/');
        if (slash == NULL || slash == dir)
            return;
        *slash = '\0';
    }
    visitor->visit(visitor->context, dir);
}

void edge_tail_dirs(const struct pipeline_edge *edge, edge_tail_visit_dir *visit, void *context)
{
    struct visitor visitor = {visit, context};
    pipeline_log_dirs(edge, visit_present, &visitor);
}
