#include "sidecar/live/follow.h"

#include "common/clock.h"
#include "common/contract/pipeline_live.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sidecar/live/document.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct follow {
    struct follow_options options;
    struct pipeline *taken; /* the last one taken over; NULL: what the process was started with */

    pthread_mutex_t lock; /* guards what follows */
    int64_t generation;
    uint64_t taken_ms; /* monotonic */
    bool candidate;
    char refused[sizeof(struct error)];
    char waits[PIPELINE_DIFFERENCE_MAX];
};

static const struct metric_desc generation_desc = {
    .name = "surgetank_config_generation",
    .kind = METRIC_GAUGE,
    .help = "Generation of the pipeline that this process has taken over as a whole."};
static const struct metric_desc changes_desc = {
    .name = "surgetank_config_changes_total",
    .kind = METRIC_COUNTER,
    .help = "Changed documents, by what became of them: taken, waits (for a restart) or refused.",
    .labels = {"result"}};

const struct pipeline *follow_running(const struct follow *follow)
{
    return follow->taken != NULL ? follow->taken : follow->options.running;
}

static void publish(struct follow *follow, bool candidate, const char *refused, const char *waits)
{
    pthread_mutex_lock(&follow->lock);
    follow->generation = follow_running(follow)->generation;
    follow->candidate = candidate;
    snprintf(follow->refused, sizeof follow->refused, "%s", refused);
    snprintf(follow->waits, sizeof follow->waits, "%s", waits);
    pthread_mutex_unlock(&follow->lock);
    metric_set(metrics_series(&generation_desc), (double)follow_running(follow)->generation);
}

static void note_taken(struct follow *follow)
{
    pthread_mutex_lock(&follow->lock);
    follow->taken_ms = clock_mono_ms();
    pthread_mutex_unlock(&follow->lock);
}

enum err follow_open(const struct follow_options *options, struct follow **ret_follow,
                     struct error *error)
{
    struct follow *follow = calloc(1, sizeof *follow);

    if (follow == NULL)
        return error_set(error, ERR_NOMEM, "follow the document");
    follow->options = *options;
    pthread_mutex_init(&follow->lock, NULL);
    note_taken(follow);
    publish(follow, options->candidate, "", "");
    *ret_follow = follow;
    return OK;
}

void follow_close(struct follow **follow)
{
    struct follow *gone = *follow;

    if (gone == NULL)
        return;
    pipeline_free(&gone->taken);
    pthread_mutex_destroy(&gone->lock);
    free(gone);
    *follow = NULL;
}

static void refuse(struct follow *follow, const char *why)
{
    metric_add(metrics_series(&changes_desc, "refused"), 1);
    LOG_ERROR("Refused a changed document; the last good one goes on", LOG_STR("error", why),
              LOG_I64("generation", follow_running(follow)->generation));
    publish(follow, follow->candidate, why, "");
}

void follow_refused_at_start(struct follow *follow, const char *why)
{
    refuse(follow, why);
}

/* ---- what can be taken over */

/* Where the two differ in what is read at start, over all that runs here. */
static void difference(const struct follow *follow, const struct pipeline *wanted,
                       char into[PIPELINE_DIFFERENCE_MAX])
{
    const struct follow_options *options = &follow->options;
    size_t count = options->gateways_len + (options->edge != NULL);

    into[0] = '\0';
    for (size_t i = 0; i < count && into[0] == '\0'; i++) {
        bool edge = i == options->gateways_len;
        const char *name = edge ? options->edge : options->gateways[i];
        AUTO(json_free) struct json *have = pipeline_start_part(options->running, edge, name);
        AUTO(json_free) struct json *want = pipeline_start_part(wanted, edge, name);
        pipeline_difference(have, want, into);
    }
}

/* Everything that runs here must be there still. */
static enum err check_names(const struct follow *follow, const struct pipeline *wanted,
                            struct error *error)
{
    const struct follow_options *options = &follow->options;

    if (options->edge != NULL && pipeline_edge(wanted, options->edge) == NULL)
        return error_set(error, ERR_INVALID, "it has no edge '%s', which runs here", options->edge);
    for (size_t i = 0; i < options->gateways_len; i++)
        if (pipeline_gateway(wanted, options->gateways[i]) == NULL)
            return error_set(error, ERR_INVALID, "it has no gateway '%s', which runs here",
                             options->gateways[i]);
    return OK;
}

/* What runs, with what is live of `wanted`: checked as a whole, as any document is. */
static enum err mix(const struct follow *follow, const struct pipeline *wanted,
                    struct pipeline **ret_pipeline, struct error *error)
{
    const struct follow_options *options = &follow->options;
    AUTO(json_free) struct json *from = pipeline_to_json(wanted);
    AUTO(json_free) struct json *to = pipeline_to_json(follow_running(follow));
    struct faults faults = {0};

    if (options->edge != NULL)
        pipeline_copy_live(from, to, true, options->edge);
    for (size_t i = 0; i < options->gateways_len; i++)
        pipeline_copy_live(from, to, false, options->gateways[i]);
    enum err err = pipeline_read(to, ret_pipeline, &faults, error);
    faults_fini(&faults);
    return err;
}

static bool is_same(const struct follow *follow, const struct pipeline *wanted)
{
    AUTO(json_free) struct json *have = pipeline_to_json(follow_running(follow));
    AUTO(json_free) struct json *want = pipeline_to_json(wanted);

    return json_equal(have, want);
}

static enum err take_over(struct follow *follow, struct pipeline **wanted, bool candidate,
                          struct error *error)
{
    char waits[PIPELINE_DIFFERENCE_MAX];
    struct pipeline *mixed = NULL;

    enum err err = check_names(follow, *wanted, error);
    if (err)
        return err;
    if (is_same(follow, *wanted)) {
        publish(follow, candidate, "", "");
        return OK;
    }
    difference(follow, *wanted, waits);
    if (waits[0] != '\0') {
        err = mix(follow, *wanted, &mixed, error);
        pipeline_free(wanted);
        MOVE(*wanted, mixed);
    }
    if (!err)
        err = follow->options.change(follow->options.context, *wanted, error);
    if (err)
        return err;
    pipeline_free(&follow->taken);
    MOVE(follow->taken, *wanted);
    note_taken(follow);
    if (waits[0] != '\0') {
        metric_add(metrics_series(&changes_desc, "waits"), 1);
        LOG_WARN("Took over a part of the changed document; the rest waits for a restart",
                 LOG_STR("waits", waits));
    } else {
        metric_add(metrics_series(&changes_desc, "taken"), 1);
        LOG_INFO("Took over the changed document", LOG_I64("generation", follow->taken->generation),
                 LOG_BOOL("candidate", candidate));
    }
    publish(follow, candidate, "", waits);
    return OK;
}

static void answer(const struct follow *follow)
{
    LOG_INFO("Looked at the document, as asked",
             LOG_I64("generation", follow_running(follow)->generation),
             LOG_STR("refused", follow->refused), LOG_STR("waits", follow->waits));
}

void follow_look(struct follow *follow, bool asked)
{
    AUTO(pipeline_free) struct pipeline *wanted = NULL;
    struct faults faults = {0};
    struct error error = {0};
    bool candidate = false;

    if (!document_has_changed(follow->options.document) && !asked)
        return;
    enum err err = document_read(follow->options.document, &wanted, &candidate, &faults, &error);
    faults_fini(&faults);
    if (!err)
        err = take_over(follow, &wanted, candidate, &error);
    if (err)
        refuse(follow, error.text);
    if (asked)
        answer(follow);
}

void follow_add_state(struct follow *follow, struct json *root)
{
    struct json *part = json_set_object(root, "document");

    pthread_mutex_lock(&follow->lock);
    uint64_t seconds = (clock_mono_ms() - follow->taken_ms) / 1000;
    json_set_number(root, "generation", (double)follow->generation);
    json_set_number(part, "generation", (double)follow->generation);
    json_set_number(part, "takenSeconds", (double)seconds);
    json_set_bool(part, "candidate", follow->candidate);
    json_set_string(part, "refused", follow->refused);
    json_set_string(part, "waits", follow->waits);
    pthread_mutex_unlock(&follow->lock);
}
